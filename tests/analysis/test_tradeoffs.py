"""Rate against noise: the grid against single settings, the front against all pairs, and the two true claims."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.stationary import stationary_covariance
from heavyball_dynamics.analysis.tradeoffs import pareto_front, rate_noise_tradeoff

SPECTRUM = np.array([0.5, 2.0, 8.0])

numbers = st.one_of(st.integers(0, 5).map(float), st.floats(0.0, 1.0), st.just(np.inf))


class TestFront:
    @settings(max_examples=100)
    @given(st.lists(st.tuples(numbers, numbers), max_size=30))
    def test_against_all_pairs(self, pairs):
        points = np.array(pairs).reshape(-1, 2)
        found = pareto_front(points[:, 0], points[:, 1])
        for n, point in enumerate(points):
            beaten = any(np.all(other <= point) and np.any(other < point) for other in points)
            kept = any(np.array_equal(points[m], point) for m in found)
            assert kept == (np.isfinite(point).all() and not beaten), n
        assert np.all(np.diff(points[found, 0]) > 0)
        assert np.all(np.diff(points[found, 1]) < 0)

    def test_on_a_grid(self):
        found = rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, np.geomspace(0.01, 0.5, 12), np.linspace(0, 0.95, 9))
        assert found.pareto.sum() == len(found.front)
        assert np.all(found.stable[found.pareto])
        for i, j in np.argwhere(found.stable & ~found.pareto):
            better = (found.rate <= found.rate[i, j]) & (found.loss <= found.loss[i, j])
            assert better.sum() > 1
        assert np.all(np.isinf(found.steps[~found.stable]))
        assert_allclose(np.exp(-1 / found.steps[found.stable]), found.rate[found.stable], rtol=1e-12)
        assert not np.all(found.stable)


class TestGrid:
    @pytest.mark.parametrize("kind", [hb.HeavyBall, hb.Nesterov, lambda lr, beta: TwoMomenta(lr, 0.3, beta)])
    @pytest.mark.parametrize("normalization", ["polyak", "ema"])
    def test_against_single_settings(self, kind, normalization):
        lrs, betas = np.array([0.02, 0.1, 0.4]), np.array([0.0, 0.6, 0.9])
        found = rate_noise_tradeoff(kind, SPECTRUM, lrs, betas, noise=[1.0, 2.0, 0.5], normalization=normalization)
        for (i, lr), (j, beta) in [(a, b) for a in enumerate(lrs) for b in enumerate(betas)]:
            method = kind(lr * (1 - beta) if normalization == "ema" else lr, beta)
            modes = hb.analyze_modes(method, SPECTRUM)
            assert_allclose(found.rate[i, j], modes.rate.max(), rtol=1e-12)
            if modes.stable.all():
                variance = stationary_covariance(method, SPECTRUM, [1.0, 2.0, 0.5])[:, 0, 0]
                assert_allclose(found.variance[i, j], variance.sum(), rtol=1e-11)
                assert_allclose(found.loss[i, j], 0.5 * SPECTRUM @ variance, rtol=1e-11)
            else:
                assert found.loss[i, j] == np.inf == found.variance[i, j]

    def test_the_best_rate_is_that_of_the_tuning(self):
        best = hb.tune(hb.HeavyBall, SPECTRUM[0], SPECTRUM[-1])
        lrs, betas = best.lr * np.linspace(0.7, 1.0, 31), best.momentum + np.linspace(-0.1, 0.1, 41)
        found = rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, lrs, betas)
        root = np.sqrt(SPECTRUM[-1] / SPECTRUM[0])
        assert_allclose(found.rate.min(), (root - 1) / (root + 1), rtol=1e-6)
        i, j = found.front[0]
        assert found.rate[i, j] == found.rate.min()


class TestBothClaims:
    def test_accumulates_at_a_fixed_learning_rate(self):
        """(1 - β)·variance tends to η²σ²·2/(q(4 - q))."""
        lr, beta = 0.05, 1 - np.geomspace(1e-1, 1e-6, 6)
        found = rate_noise_tradeoff(hb.HeavyBall, [2.0], [lr], beta)
        q = 2.0 * lr
        assert_allclose((found.variance[0] * (1 - beta))[-1], lr**2 * 2 / (q * (4 - q)), rtol=1e-5)
        assert np.all(np.diff(found.variance[0]) > 0)

    def test_averages_in_the_normalization_of_averages(self):
        """α/(λ(2 - αλ)) without momentum falls to α/(2λ)."""
        lr, size, beta = 0.4, 2.0, np.concatenate([[0.0], 1 - np.geomspace(1e-1, 1e-6, 6)])
        found = rate_noise_tradeoff(hb.HeavyBall, [size], [lr], beta, normalization="ema")
        assert_allclose(found.variance[0, 0], lr / (size * (2 - lr * size)), rtol=1e-12)
        assert_allclose(found.variance[0, -1], lr / (2 * size), rtol=1e-5)
        assert np.all(np.diff(found.variance[0]) < 0)

    def test_a_rule_written_as_an_average(self):
        """The user's own average of gradients lags a step behind, and averages just so."""
        betas = np.array([0.0, 0.5, 0.9, 0.99])
        found = rate_noise_tradeoff(Averaged, [1.0], [0.05], betas)
        assert np.ptp(found.variance) < 0.1 * found.variance.mean()


class TestErrors:
    def test_all_of_them(self):
        with pytest.raises(ValueError, match="`normalization` must be one of 'polyak', 'ema'"):
            rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, [0.1], [0.5], normalization="adam")
        with pytest.raises(ValueError, match="`lrs` must be a vector"):
            rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, [[0.1]], [0.5])
        with pytest.raises(ValueError, match="`curvatures` must be one spectrum"):
            rate_noise_tradeoff(hb.HeavyBall, [SPECTRUM], [0.1], [0.5])
        with pytest.raises(TypeError, match="must be a method"):
            rate_noise_tradeoff(lambda lr, beta: hb.HeavyBallFlow(lr + 1, beta), SPECTRUM, [0.1], [0.5])

    def test_no_modes_flat_modes_and_schedules(self):
        with pytest.raises(ValueError, match=r"`curvatures` must hold one curvature or more.*Received shape \(0,\)"):
            hb.rate_noise_tradeoff(hb.HeavyBall, [], [0.1], [0.5])
        flat = hb.rate_noise_tradeoff(hb.HeavyBall, [0.0, 1.0], [0.1], [0.5])
        assert flat.loss == flat.variance == np.inf
        assert not flat.stable.any()
        with pytest.raises(ValueError, match=r"must not vary in time.*hb\.at_step\(method, k\)"):
            hb.rate_noise_tradeoff(lambda lr, beta: hb.HeavyBall(lambda k: 0.1 / (k + 1), beta), [1.0], [0.1], [0.5])

    def test_nothing_stable(self):
        found = rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, [10.0], [0.5])
        assert len(found.front) == 0
        assert "0 stable" in str(found)

    def test_pickles(self):
        found = rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, [0.1], [0.5])
        assert_array_equal(pickle.loads(pickle.dumps(found)).loss, found.loss)
