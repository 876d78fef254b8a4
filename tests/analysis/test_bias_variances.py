"""Mean and variance under noise: formulas after two steps and in the end, and simulated noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from user_rules import Extragradient

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.bias_variances import bias_variance

momenta = st.floats(0.0, 0.95)


class Noisy:
    """½λx² for many copies of a run, with one normal error a step for each."""

    dim = 1

    def __init__(self, curvature, noise, error=0.0):
        self.curvature, self.noise, self.error = curvature, noise, error

    def at(self, k):
        return Noisy(self.curvature, self.noise, self.noise[k])

    def gradient(self, position):
        return self.curvature * position + self.error

    def hessian_product(self, position, vector):
        return self.curvature * vector

    def value(self, position):
        return 0.5 * self.curvature * position[..., 0] ** 2


class TestTwoSteps:
    @settings(max_examples=30)
    @given(momenta, st.floats(0.05, 3.0), st.floats(0.1, 5.0))
    def test_nesterov_against_the_heavy_ball(self, beta, q, curvature):
        lr, sigma, start = q / curvature, 0.7, 1.3
        ball, ahead = (
            bias_variance(kind(lr, beta), curvature, 2, position=start, noise=sigma**2)
            for kind in (hb.HeavyBall, hb.Nesterov)
        )
        gap = ahead.variance[0, 2] - ball.variance[0, 2]
        assert_allclose(gap, -(lr**2) * sigma**2 * beta * q * (2 * (1 + beta) - (2 + beta) * q),
                        rtol=1e-9, atol=1e-12 * lr**2)  # fmt: skip
        gap = ahead.bias_squared[0, 2] - ball.bias_squared[0, 2]
        assert_allclose(gap, beta * q**2 * start**2 * (2 - (4 + 2 * beta) * q + (2 + beta) * q**2),
                        rtol=1e-9, atol=1e-12)  # fmt: skip

    @settings(max_examples=20)
    @given(st.floats(0.05, 0.95))
    def test_the_threshold_is_that_of_the_variance_after_two_steps(self, beta):
        critical = 2 * (1 + beta) / (2 + beta)
        q = critical * np.array([0.99, 1.0, 1.01])
        ball, ahead = (bias_variance(kind(1.0, beta), q, 2).variance for kind in (hb.HeavyBall, hb.Nesterov))
        gap = ahead - ball
        assert gap[0, 2] < 0 < gap[2, 2]
        assert abs(gap[1, 2]) < 1e-14

    def test_neither_holds_later(self):
        """After three steps and more both change sign elsewhere."""
        q, beta = np.linspace(0.01, 2.0, 400), 0.9
        ball, ahead = (bias_variance(kind(1.0, beta), q, 12) for kind in (hb.HeavyBall, hb.Nesterov))
        crossings = []
        for k in (2, 3, 5, 12):
            gap = ahead.variance[:, k] - ball.variance[:, k]
            crossings.append(tuple(np.round(q[:-1][np.diff(np.sign(gap)) != 0], 2)))
        assert crossings[0] == (round(2 * (1 + beta) / (2 + beta), 2),)
        assert len(set(crossings)) == 4
        k3 = ahead.bias_squared[:, 3] - ball.bias_squared[:, 3]
        two = beta * q**2 * (2 - (4 + 2 * beta) * q + (2 + beta) * q**2)
        assert np.any(np.sign(k3) != np.sign(two))


class TestStationary:
    """Gitman et al. 2019, and by hand: the variances that the recursion ends in."""

    @settings(max_examples=30)
    @given(momenta, st.floats(0.02, 0.95), st.floats(0.1, 5.0))
    def test_closed_forms(self, beta, share, curvature):
        sigma = 0.6
        q = 2 * share
        lr = q / curvature
        scale = lr**2 * sigma**2
        found = bias_variance(hb.GradientDescent(lr), curvature, 1, noise=sigma**2).stationary_variance
        assert_allclose(found, scale / (q * (2 - q)), rtol=1e-8)
        q = 2 * (1 + beta) * share
        found = bias_variance(hb.HeavyBall(q / curvature, beta), curvature, 1, noise=sigma**2).stationary_variance
        wanted = (q / curvature * sigma) ** 2 * (1 + beta) / (q * (1 - beta) * (2 * (1 + beta) - q))
        assert_allclose(found, wanted, rtol=1e-7)
        q = 2 * (1 + beta) / (1 + 2 * beta) * share
        found = bias_variance(hb.Nesterov(q / curvature, beta), curvature, 1, noise=sigma**2).stationary_variance
        slack = 1 - beta * (1 - q)
        edge = 2 * (1 + beta) - (1 + 2 * beta) * q
        wanted = (q / curvature * sigma) ** 2 * (1 + beta * (1 - q)) / (q * slack * edge)
        assert_allclose(found, wanted, rtol=1e-7)

    def test_threshold_between_nesterov_and_the_heavy_ball(self):
        for beta in (0.3, 0.5, 0.9):
            critical = (1 + beta) ** 2 / (1 + beta + beta**2)
            q = critical * np.array([0.999, 1.001])
            ball, ahead = (
                bias_variance(kind(1.0, beta), q, 1).stationary_variance for kind in (hb.HeavyBall, hb.Nesterov)
            )
            assert ahead[0] < ball[0]
            assert ahead[1] > ball[1]

    def test_the_recursion_gets_there(self):
        found = bias_variance(hb.AggregatedMomentum(0.1, (0.0, 0.9)), [0.5, 2.0], 2000)
        assert_allclose(found.variance[:, -1], found.stationary_variance, rtol=1e-9)
        assert_allclose(found.mean[:, -1], 0.0, atol=1e-12)

    def test_unstable_modes_have_none(self):
        found = bias_variance(hb.HeavyBall(1.0, 0.5), [-0.1, 0.0, 1.0, 3.5], 3, noise=[0.0, 1.0, 1.0, 1.0])
        assert np.isinf(found.stationary_variance).tolist() == [False, True, False, True]
        assert found.stationary_variance[0] == 0

    def test_both_popular_words_on_momentum_and_noise(self):
        """At one η the variance grows like 1/(1-β); with the average at one lr it does not."""
        beta = np.array([0.9, 0.99, 0.999])
        added = bias_variance(hb.from_dialect("torch", lr=1e-4, momentum=beta), 1.0, 1).stationary_variance[:, 0]
        averaged = bias_variance(hb.from_dialect("ema", lr=1e-4, momentum=beta), 1.0, 1).stationary_variance[:, 0]
        assert_allclose(added[1:] / added[:-1], 10, rtol=0.01)
        assert np.ptp(averaged) < 1e-5 * averaged[0]


@pytest.mark.parametrize("method", [
    hb.HeavyBall(0.4, 0.7), hb.Nesterov(0.4, 0.7), hb.QuasiHyperbolicMomentum(0.8, 0.7, 0.5), Extragradient(0.3, 0.5),
    hb.DampenedHeavyBall(0.4, 0.7, 0.5), hb.OptimizedGradient(0.5, 9), hb.AggregatedMomentum(0.3, (0.0, 0.9)),
    hb.HeavyBall(hb.Schedule([0.5, 0.4, 0.3]), 0.7), hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.4, "central"),
], ids=lambda m: type(m).__name__)  # fmt: skip
def test_simulated_noise(method, rng):
    """A rule that asks twice in a step is told the same error twice."""
    copies, curvature, sigma = 40000, 1.5, 0.3
    noise = sigma * rng.normal(size=(8, copies, 1))
    start, push = np.full((copies, 1), 1.2), 0.0 if isinstance(method, hb.DampenedHeavyBall) else 0.2
    run = hb.iterate(method, Noisy(curvature, noise), start, 8, velocity=np.full((copies, 1), push))
    found = bias_variance(method, curvature, 8, position=1.2, velocity=push, noise=sigma**2)
    x = run.position[..., 0]
    assert_allclose(x.mean(axis=0), found.mean[0], atol=5 * np.sqrt(found.variance.max() / copies))
    assert_allclose(x.var(axis=0), found.variance[0], rtol=0.05, atol=1e-12)


def test_the_mean_is_the_run_without_noise():
    method = hb.Nesterov(0.2, 0.8)
    found = bias_variance(method, [0.5, 3.0], 30, position=[1.0, -2.0], velocity=[0.1, 0.2], noise=0.0)
    run = hb.iterate(method, hb.Quadratic([0.5, 3.0]), [1.0, -2.0], 30, velocity=[0.1, 0.2])
    assert_allclose(found.mean, run.position.T, atol=1e-12)
    assert np.all(found.variance == 0)
    assert_allclose(found.loss().sum(axis=0), run.value, rtol=1e-10)
    assert_allclose(found.second_moment, found.mean**2)


def test_batches():
    beta = np.array([0.2, 0.5, 0.9])
    found = bias_variance(hb.HeavyBall(0.3, beta), np.array([[0.5, 2.0]]), 6, position=[[1.0], [2.0], [3.0]])
    assert found.mean.shape == (3, 2, 7)
    for i in range(3):
        alone = bias_variance(hb.HeavyBall(0.3, float(beta[i])), [0.5, 2.0], 6, position=i + 1.0)
        for name in ("mean", "variance", "stationary_variance"):
            assert_allclose(getattr(found, name)[i], getattr(alone, name), rtol=1e-12)
    assert str(found).count("curvature") == 6


def test_errors():
    with pytest.raises(ValueError, match="`noise` must be >= 0, a variance. Received -1.0"):
        bias_variance(hb.HeavyBall(0.1, 0.9), 1.0, 3, noise=-1.0)
    with pytest.raises(ValueError, match=r"`position` must be one number or broadcast .* Received shape \(3,\)"):
        bias_variance(hb.HeavyBall(0.1, 0.9), [1.0, 2.0], 3, position=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="Adam is not linear"):
        bias_variance(hb.Adam(), 1.0, 3)
    with pytest.raises(TypeError, match="`method` must be a method"):
        bias_variance(hb.GradientFlow(), 1.0, 3)
    with pytest.raises(ValueError, match="`steps` must be a whole number >= 0"):
        bias_variance(hb.HeavyBall(0.1, 0.9), 1.0, -1)
    with pytest.raises(ValueError, match="`curvature` must be finite"):
        bias_variance(hb.HeavyBall(0.1, 0.9), np.nan, 1)
