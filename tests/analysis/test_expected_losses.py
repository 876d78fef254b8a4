"""Expected losses: the whole covariance recursion by hand, ten thousand simulated runs, the floor and the way to it."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import solve_discrete_lyapunov
from user_rules import Extragradient, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.bias_variances import bias_variance
from heavyball_dynamics.analysis.expected_losses import expected_loss
from heavyball_dynamics.analysis.stationary import stationary_covariance
from heavyball_dynamics.objectives.noisy import NoisyGradient

H = np.array([[2.0, 0.8], [0.8, 1.0]])
LOSS = hb.Quadratic(H, [1.0, -0.5])
SIGMA = np.array([[1.0, 0.6], [0.6, 0.5]])


def by_hand(beta, lr, start, steps, sigma, nesterov):
    """Mean and covariance of (x, V) in all coordinates at once, for the heavy ball and Nesterov's method."""
    eye, dim = np.eye(len(H)), len(H)
    look = beta if nesterov else 0.0
    M = np.block([[eye - lr * H, beta * eye - lr * look * H], [-lr * H, beta * eye - lr * look * H]])
    B = -lr * np.vstack([eye, eye])
    centre = -np.linalg.solve(H, LOSS.linear)
    mean, P = np.concatenate([start - centre, np.zeros(dim)]), np.zeros((2 * dim, 2 * dim))
    means, spreads = [mean[:dim] + centre], [P[:dim, :dim]]
    for _ in range(steps):
        mean, P = M @ mean, M @ P @ M.T + B @ sigma @ B.T
        means.append(mean[:dim] + centre)
        spreads.append(P[:dim, :dim])
    return np.array(means), np.array(spreads)


class TestExact:
    @pytest.mark.parametrize("sigma", [SIGMA, 0.3 * np.eye(2), np.diag([1.0, 0.2]), np.zeros((2, 2))])
    @pytest.mark.parametrize("kind", [hb.HeavyBall, hb.Nesterov])
    def test_mean_and_covariance_by_hand(self, kind, sigma):
        start = np.array([2.0, -1.0])
        found = expected_loss(kind(0.1, 0.8), LOSS, start, 25, sigma)
        mean, covariance = by_hand(0.8, 0.1, start, 25, sigma, kind is hb.Nesterov)
        assert_allclose(found.mean, mean, atol=1e-13)
        assert_allclose(found.covariance, covariance, atol=1e-13)
        trace = 0.5 * np.einsum("ij,kji->k", H, covariance)
        assert_allclose(found.stochastic, trace, atol=1e-13)
        assert_allclose(found.deterministic + found.optimum, LOSS.value(mean), atol=1e-12)
        assert_allclose(found.loss, LOSS.value(mean) + trace, atol=1e-12)
        slopes = LOSS.gradient(mean)
        spread = [0.5 * np.trace(H @ P @ H @ P) + g @ P @ g for P, g in zip(covariance, slopes, strict=True)]
        assert_allclose(found.standard_deviation, np.sqrt(spread), atol=1e-12)

    def test_what_the_noise_is_given_as(self):
        rule, start = hb.HeavyBall(0.1, 0.5), [1.0, 1.0]
        one = expected_loss(rule, LOSS, start, 9, 0.4)
        for noise in ([0.4, 0.4], 0.4 * np.eye(2)):
            assert_allclose(expected_loss(rule, LOSS, start, 9, noise).covariance, one.covariance, atol=1e-15)
        assert one.mode_covariance is None
        pair = expected_loss(rule, LOSS, start, 9, np.stack([SIGMA, 0.4 * np.eye(2)]))
        assert pair.loss.shape == (2, 10)
        assert_allclose(pair.covariance[1], one.covariance, atol=1e-15)
        assert_allclose(pair.covariance[0], expected_loss(rule, LOSS, start, 9, SIGMA).covariance, atol=1e-15)

    def test_one_mode_is_what_bias_variance_says(self):
        for rule in (TwoMomenta(0.1, 0.5, 0.9), Extragradient(0.2, 0.8), hb.Nesterov(0.2, 0.9)):
            found = expected_loss(rule, hb.Quadratic([2.0]), [1.5], 12, 0.25)
            known = bias_variance(rule, 2.0, 12, position=1.5, noise=0.25)
            assert_allclose(found.mean[:, 0], known.mean[0], rtol=1e-12)
            assert_allclose(found.mode_variance[:, 0], known.variance[0], rtol=1e-11)
            assert_allclose(found.excess, known.loss()[0], rtol=1e-11)
            assert_allclose(found.floor, known.stationary_variance[0], rtol=1e-10)

    def test_a_start_in_motion(self):
        rule = hb.HeavyBall(0.1, 0.9)
        found = expected_loss(rule, LOSS, [1.0, 0.0], 5, 0.1, velocity=[0.2, -0.1])
        run = hb.iterate(rule, LOSS, [1.0, 0.0], 5, velocity=[0.2, -0.1])
        assert_allclose(found.mean, run.position, atol=1e-13)

    def test_a_scheme_starts_with_the_first_sample(self):
        """Its matched start asks for a gradient, that of step 0."""
        scheme = hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.2, "central")
        exact = expected_loss(scheme, LOSS, [1.0, 0.0], 20, 0.3)
        run = hb.iterate(scheme, NoisyGradient(LOSS, 0.3, seed=3), np.broadcast_to([1.0, 0.0], (20_000, 2)), 20)
        error = run.value.mean(axis=0) - exact.loss
        assert np.all(np.abs(error[1:]) < 5 * exact.standard_deviation[1:] / np.sqrt(20_000))

    def test_schedules_step_by_step(self):
        lr = hb.Schedule(lambda k: 0.3 / (k + 1))
        found = expected_loss(hb.HeavyBall(lr, 0.5), hb.Quadratic([1.0]), [1.0], 30, 0.2)
        state, P = np.array([1.0, 0.0]), np.zeros((2, 2))
        for k in range(30):
            eta = 0.3 / (k + 1)
            M, b = np.array([[1 - eta, 0.5], [-eta, 0.5]]), -eta * np.ones(2)
            state, P = M @ state, M @ P @ M.T + 0.2 * np.outer(b, b)
        assert_allclose(found.mean[-1, 0], state[0], rtol=1e-12)
        assert_allclose(found.covariance[-1, 0, 0], P[0, 0], rtol=1e-12)
        assert np.isnan(found.floor)
        assert np.isnan(found.phase_change)


class TestTenThousandSeeds:
    @pytest.mark.parametrize("rule", [hb.HeavyBall(0.15, 0.8), hb.Nesterov(0.15, 0.8), TwoMomenta(0.1, 0.5, 0.9)])
    @pytest.mark.parametrize("sigma", [SIGMA, 0.4])
    def test_curves_within_the_standard_error(self, rule, sigma):
        seeds, steps, start = 10_000, 40, np.array([3.0, 2.0])
        exact = expected_loss(rule, LOSS, start, steps, sigma)
        run = hb.iterate(rule, NoisyGradient(LOSS, sigma, seed=7), np.broadcast_to(start, (seeds, 2)), steps)
        error = exact.standard_deviation[1:] / np.sqrt(seeds)
        assert np.all(np.abs(run.value.mean(axis=0) - exact.loss)[1:] < 4.5 * error)
        sampled = np.cov(run.position[:, -1].T)
        P = exact.covariance[-1]
        assert_allclose(sampled, P, atol=5 * np.sqrt(2 / seeds) * np.max(np.diag(P)))
        assert_allclose(run.value.std(axis=0)[1:], exact.standard_deviation[1:], rtol=0.1)


class TestIterateNoise:
    @pytest.mark.parametrize("shaken", [0.02, [0.05, 0.01], 0.02 * SIGMA])
    @pytest.mark.parametrize("sigma", [0.3, SIGMA])
    def test_by_hand_and_in_the_end(self, sigma, shaken):
        """The recursion in all coordinates, and Lyapunov's equation for the floor."""
        lr, beta, eye = 0.1, 0.8, np.eye(2)
        M = np.block([[eye - lr * H, beta * eye], [-lr * H, beta * eye]])
        B, E = -lr * np.vstack([eye, eye]), np.vstack([eye, 0 * eye])
        full = np.diag(np.broadcast_to(shaken, 2)) if np.ndim(shaken) < 2 else shaken
        N = B @ (sigma * eye if np.ndim(sigma) == 0 else sigma) @ B.T + E @ full @ E.T
        found = expected_loss(hb.HeavyBall(lr, beta), LOSS, [2.0, -1.0], 25, sigma, iterate_noise=shaken)
        P = np.zeros((4, 4))
        for k in range(26):
            assert_allclose(found.covariance[k], P[:2, :2], atol=1e-13)
            P = M @ P @ M.T + N
        assert_allclose(found.stochastic, 0.5 * np.einsum("ij,kji->k", H, found.covariance), rtol=1e-12)
        assert_allclose(found.floor, 0.5 * np.trace(H @ solve_discrete_lyapunov(M, N)[:2, :2]), rtol=1e-10)
        quiet = expected_loss(hb.HeavyBall(lr, beta), LOSS, [2.0, -1.0], 25, sigma)
        assert_allclose(found.deterministic, quiet.deterministic, rtol=1e-14)

    @pytest.mark.parametrize("rule", [hb.HeavyBall(0.15, 0.8), hb.Nesterov(0.15, 0.8), TwoMomenta(0.1, 0.5, 0.9)])
    def test_ten_thousand_runs(self, rule, rng):
        """Each step by `iterate`, the position then moved by hand; the rest of the state stays."""
        seeds, steps, shaken = 10_000, 15, 0.02 * SIGMA
        exact = expected_loss(rule, LOSS, [3.0, 2.0], steps, 0.4, iterate_noise=shaken)
        noisy, state = NoisyGradient(LOSS, 0.4, seed=7), np.broadcast_to([3.0, 2.0], (seeds, 2))
        root = np.linalg.cholesky(shaken)
        for k in range(steps):
            state = hb.iterate(rule, noisy, state, 1, first_step=k).state
            state = state._replace(position=state.position + rng.normal(size=(seeds, 2)) @ root.T)
            value = LOSS.value(state.position)
            assert abs(value.mean() - exact.loss[k + 1]) < 4.5 * exact.standard_deviation[k + 1] / np.sqrt(seeds)
        assert_allclose(value.std(), exact.standard_deviation[-1], rtol=0.1)

    def test_what_it_shares_with_the_other_noise(self):
        """Batches, flat modes, and the stationary covariance mode by mode."""
        rule = hb.Nesterov(np.array([0.1, 0.3]), 0.7)
        found = expected_loss(rule, hb.Quadratic([0.7, 1.5]), [1.0, 1.0], 900, 0.0, iterate_noise=[0.2, 0.1])
        P = stationary_covariance(rule, [0.7, 1.5], 0.0, iterate_noise=[0.2, 0.1])
        assert_allclose(found.floor, P[..., 0, 0] @ [0.35, 0.75], rtol=1e-11)
        assert_allclose(found.excess[:, -1], found.floor, rtol=1e-9)
        both, ball = np.stack([SIGMA, 2 * SIGMA]), hb.HeavyBall(0.1, 0.5)
        pair = expected_loss(ball, LOSS, [1.0, 1.0], 5, 0.3, iterate_noise=both)
        alone = expected_loss(ball, LOSS, [1.0, 1.0], 5, 0.3, iterate_noise=both[1])
        assert_allclose(pair.covariance[1], alone.covariance, rtol=1e-13)
        assert_allclose(pair.floor[1], alone.floor, rtol=1e-13)
        flat = expected_loss(hb.HeavyBall(0.1, 0.5), hb.Quadratic([0.0, 1.0]), [1.0, 1.0], 5, 0.0, iterate_noise=1.0)
        P = stationary_covariance(ball, [1.0], 0.0, iterate_noise=1.0)
        assert_allclose(flat.floor, 0.5 * P[0, 0, 0], rtol=1e-12)
        assert expected_loss(hb.HeavyBall(5.0, 0.5), LOSS, [1.0, 1.0], 5, 0.0, iterate_noise=1.0).floor == np.inf
        with pytest.raises(ValueError, match="`iterate_noise` must be >= 0, a variance"):
            expected_loss(hb.HeavyBall(0.1, 0.5), LOSS, [1.0, 1.0], 5, iterate_noise=-1.0)


class TestPhases:
    def test_gradient_descent_in_closed_form(self):
        """E f = ½λ(ρ^{2k}x² + (1 - ρ^{2k})Var∞), so that twice the floor is reached at ρ^{2k} = Var∞/(x² - Var∞)."""
        lr, size, noise, start = 0.1, 2.0, 0.05, 5.0
        found = expected_loss(hb.GradientDescent(lr), hb.Quadratic([size]), [start], 80, noise)
        q = lr * size
        variance = lr**2 * noise / (q * (2 - q))
        k = np.arange(81)
        fall = (1 - q) ** (2 * k)
        assert_allclose(found.deterministic, 0.5 * size * fall * start**2, rtol=1e-12)
        assert_allclose(found.stochastic, 0.5 * size * (1 - fall) * variance, rtol=1e-12, atol=1e-18)
        assert_allclose(found.floor, 0.5 * size * variance, rtol=1e-12)
        when = np.ceil(np.log(variance / (start**2 - variance)) / (2 * np.log(1 - q)))
        assert found.phase_change == when == found.settled

    @settings(max_examples=15)
    @given(st.floats(0.0, 0.9), st.floats(0.05, 0.9))
    def test_the_floor_is_the_limit(self, beta, share):
        rule = hb.HeavyBall(share, beta)
        found = expected_loss(rule, hb.Quadratic([0.7, 1.5]), [1.0, 1.0], 1500, [0.3, 0.1])
        P = stationary_covariance(rule, [0.7, 1.5], [0.3, 0.1])
        assert_allclose(found.floor, 0.5 * (0.7 * P[0, 0, 0] + 1.5 * P[1, 0, 0]), rtol=1e-11)
        assert_allclose(found.excess[-1], found.floor, rtol=1e-8)

    def test_a_mean_that_swings_through_the_minimum(self):
        found = expected_loss(hb.HeavyBall(0.5, 0.9), hb.Quadratic([1.0]), [100.0], 300, 1e-3)
        first, last = int(found.phase_change), int(found.settled)
        assert 0 < first < last
        low = found.excess <= 2 * found.floor
        assert not low[:first].any()
        assert low[first]
        assert low[last:].all()
        assert not low[last - 1]

    def test_never_and_at_once(self):
        never = expected_loss(hb.GradientDescent(0.01), hb.Quadratic([1.0]), [100.0], 5, 1e-3)
        assert np.isnan(never.phase_change)
        assert np.isnan(never.settled)
        assert "not reached" in never.summary()
        at_once = expected_loss(hb.GradientDescent(0.01), hb.Quadratic([1.0]), [0.0], 5, 1e-3)
        assert at_once.phase_change == 0 == at_once.settled

    def test_what_has_no_floor_is_said_in_words(self):
        said = [str(expected_loss(hb.GradientDescent(lr), hb.Quadratic(bends), [1.0] * len(bends), steps))
                for lr, bends, steps in ((3.0, [1.0], 3000), (3.0, [1.0], 3), (0.1, [1.0, -1.0], 10))]  # fmt: skip
        assert said[0].endswith("no floor, a mode is not stable; at the end no finite number")
        assert "no floor, a mode is not stable; at the end" in said[1]
        assert "no floor, a curvature is negative; at the end -3.41621 relative to the stationary point" in said[2]
        assert "%" not in said[2]
        fading = expected_loss(hb.GradientDescent(lambda k: 1 / (k + 2)), hb.Quadratic([1.0]), [1.0], 9)
        assert "floor unknown, the rule varies in time" in str(fading)
        assert "nan" not in "".join([*said, str(fading)])

    def test_flat_and_unstable_modes(self):
        flat = expected_loss(hb.HeavyBall(0.1, 0.5), hb.Quadratic([0.0, 1.0]), [1.0, 1.0], 5, 0.1)
        alone = expected_loss(hb.HeavyBall(0.1, 0.5), hb.Quadratic([1.0]), [1.0], 5, 0.1)
        assert_allclose(flat.floor, alone.floor, rtol=1e-13)  # what wanders where it is flat costs nothing
        unstable = expected_loss(hb.HeavyBall(np.array([0.1, 5.0]), 0.5), hb.Quadratic([1.0]), [1.0], 5, 0.1)
        assert np.isfinite(unstable.floor[0])
        assert unstable.floor[1] == np.inf
        assert np.isnan(unstable.phase_change[1])
        quiet = expected_loss(hb.HeavyBall(5.0, 0.5), hb.Quadratic([1.0]), [1.0], 5, 0.0)
        assert quiet.floor == 0


class TestShapes:
    @settings(max_examples=10)
    @given(st.lists(st.floats(0.01, 0.5), min_size=1, max_size=3), st.booleans())
    def test_an_element_is_what_it_is_alone(self, lrs, coupled):
        noise = SIGMA if coupled else 0.3
        starts = np.array([[[1.0, 2.0]], [[0.0, -1.0]]])
        found = expected_loss(hb.Nesterov(np.array(lrs), 0.5), LOSS, starts, 7, noise)
        assert found.loss.shape == (2, len(lrs), 8)
        for i, j in np.ndindex(2, len(lrs)):
            alone = expected_loss(hb.Nesterov(lrs[j], 0.5), LOSS, starts[i, 0], 7, noise)
            for name in ("mean", "covariance", "loss", "floor", "standard_deviation", "phase_change"):
                assert_allclose(getattr(found, name)[i, j], getattr(alone, name), rtol=1e-11, atol=1e-13)

    def test_least_squares_and_pickles(self, rng):
        loss = hb.LeastSquares(rng.normal(size=(20, 3)), rng.normal(size=20))
        noise = loss.minibatch(5).gradient_covariance(loss.minimizer)
        found = expected_loss(hb.HeavyBall(0.1, 0.5), loss, np.zeros(3), 4, noise)
        assert_allclose(found.deterministic[0] + found.optimum, loss.value(np.zeros(3)), rtol=1e-12)
        again = pickle.loads(pickle.dumps(found))
        assert_allclose(again.loss, found.loss)
        assert str(found).startswith("4 steps")

    def test_errors(self):
        rule = hb.HeavyBall(0.1, 0.5)
        with pytest.raises(ValueError, match="`objective` must be a quadratic"):
            expected_loss(rule, hb.rosenbrock(), [0.0, 0.0], 3)
        with pytest.raises(ValueError, match="symmetric"):
            expected_loss(rule, LOSS, [0.0, 0.0], 3, [[1.0, 0.2], [0.1, 1.0]])
        with pytest.raises(ValueError, match="positive semidefinite"):
            expected_loss(rule, LOSS, [0.0, 0.0], 3, [[1.0, 2.0], [2.0, 1.0]])
        with pytest.raises(ValueError, match=">= 0, a variance"):
            expected_loss(rule, LOSS, [0.0, 0.0], 3, [1.0, -1.0])
        with pytest.raises(ValueError, match=r"2 variances.*Received shape \(3,\)"):
            expected_loss(rule, LOSS, [0.0, 0.0], 3, np.ones(3))
        with pytest.raises(TypeError, match="`steps`"):
            expected_loss(rule, LOSS, [0.0, 0.0], 3.5)
        with pytest.raises(TypeError, match="`method` must be a method"):
            expected_loss(hb.GradientFlow(), LOSS, [0.0, 0.0], 3)
        with pytest.raises(ValueError, match="not linear"):
            expected_loss(hb.RMSProp(0.1), LOSS, [0.0, 0.0], 3)
