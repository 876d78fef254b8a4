"""Exact paths of noisy flows: the transition in closed form, its moments, and any linear flow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad_vec
from scipy.linalg import expm
from user_rules import Maxwell

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.langevin import LangevinFlow
from heavyball_dynamics.analysis.stationary import stationary_covariance
from heavyball_dynamics.simulation.flow_sampling import sample_flow, transition

LOSS = hb.Quadratic([[2.0, 0.8], [0.8, 1.0]], [1.0, -0.5])


class TestTransition:
    @settings(max_examples=20)
    @given(st.floats(0.01, 5.0), st.floats(0.01, 3.0))
    def test_one_state_in_closed_form(self, rate, dt):
        """Ornstein and Uhlenbeck: (1 - e^{-2rt})/(2r)."""
        carried, spread = transition(np.array([[-rate]]), np.array([[1.0]]), dt)
        assert_allclose(carried, np.exp(-rate * dt), rtol=1e-12)
        assert_allclose(spread, -np.expm1(-2 * rate * dt) / (2 * rate), rtol=1e-12)

    @settings(max_examples=8)
    @given(st.integers(0, 2**32), st.floats(0.01, 3.0))
    def test_against_quadrature(self, seed, dt):
        rng = np.random.default_rng(seed)
        M, b = rng.normal(size=(3, 3)), rng.normal(size=3)
        carried, spread = transition(M, np.outer(b, b), dt)
        integral, _ = quad_vec(lambda u: np.outer(expm(M * u) @ b, expm(M * u) @ b), 0.0, dt, epsrel=1e-11)
        assert_allclose(carried, expm(M * dt), rtol=1e-10, atol=1e-12)
        assert_allclose(spread, integral, rtol=1e-8, atol=1e-10 * np.abs(integral).max())

    def test_short_steps_keep_their_digits(self):
        """Var x = S²h³/3 for a free ball, seven orders below Var v = S²h."""
        _, spread = transition(np.array([[0.0, 1.0], [0.0, 0.0]]), np.diag([0.0, 1.0]), 1e-4)
        assert_allclose(spread, [[1e-12 / 3, 1e-8 / 2], [1e-8 / 2, 1e-4]], rtol=1e-12)

    def test_long_steps_of_a_stiff_flow(self):
        flow = hb.HeavyBallFlow(1.0, 100.0)
        M = hb.state_matrices(flow).loop(np.array([1.0]))[0]
        _, spread = transition(M, np.diag([0.0, 1.0]), 1e4)
        assert_allclose(spread, stationary_covariance(flow, 1.0)[0], rtol=1e-9, atol=1e-12)


class TestSamples:
    def test_moments_along_the_way(self):
        flow, seeds = LangevinFlow(1.2, 0.6, 0.8), 20_000
        times = np.array([0.0, 0.2, 0.5, 3.0, 40.0])
        run = sample_flow(flow, LOSS, np.broadcast_to([2.0, 1.0], (seeds, 2)), [0.5, 0.0], times=times, seed=1)
        drift = hb.integrate(flow, LOSS, [2.0, 1.0], [0.5, 0.0], times=times)
        for i, t in enumerate(times):
            spread = np.zeros((4, 4))
            if t:
                M = np.block([[np.zeros((2, 2)), np.eye(2)], [-LOSS.matrix / 1.2, -0.5 * np.eye(2)]])
                N = np.zeros((4, 4))
                N[2:, 2:] = flow.noise / 1.2**2 * np.eye(2)
                _, spread = transition(M, N, t)
            state = np.concatenate([run.position[:, i], run.velocity[:, i]], axis=-1)
            mean = np.concatenate([drift.position[i], drift.velocity[i]])
            assert np.all(np.abs(state.mean(axis=0) - mean) <= 4.5 * np.sqrt(np.diag(spread) / seeds) + 1e-6)
            size = np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
            assert_allclose(np.cov(state.T), spread, atol=5 * np.sqrt(2 / seeds) * size.max() + 1e-12)
        assert_allclose(np.cov(run.position[:, -1].T), 0.8 * np.linalg.inv(LOSS.matrix), atol=0.04)

    def test_equipartition(self):
        flow, seeds = LangevinFlow(2.0, 0.5, 3.0), 10_000
        run = sample_flow(flow, hb.Quadratic([0.7]), np.zeros((seeds, 1)), times=[0.0, 100.0], seed=2)
        for energy in (run.value[:, -1], run.energy[:, -1] - run.value[:, -1]):
            assert abs(energy.mean() - 1.5) < 4 * energy.std() / np.sqrt(seeds)

    def test_without_noise_it_is_the_flow(self):
        for flow in (LangevinFlow(1.0, 0.3, 0.0), Maxwell(1.0, 0.8, 0.5), hb.GradientFlow()):
            run = sample_flow(flow, LOSS, [2.0, 1.0], [0.1, 0.2], duration=5.0, noise=0.0)
            drift = hb.integrate(flow, LOSS, [2.0, 1.0], [0.1, 0.2], duration=5.0, rtol=1e-11, atol=1e-13)
            assert_array_equal(run.time, drift.time)
            for name in ("position", "velocity", "value", "energy"):
                assert_allclose(getattr(run, name), getattr(drift, name), atol=1e-8)

    def test_a_users_flow_of_three_states(self):
        flow, seeds = Maxwell(1.0, 0.8, 0.5), 20_000
        start = np.broadcast_to(LOSS.minimizer, (seeds, 2))
        run = sample_flow(flow, LOSS, start, times=[0.0, 200.0], noise=0.5, seed=4)
        P = stationary_covariance(flow, LOSS.spectrum, 0.5)[:, 0, 0]
        along = (run.position[:, -1] - LOSS.minimizer) @ LOSS.modes.eigenvectors
        assert_allclose(along.var(axis=0), P, rtol=5 * np.sqrt(2 / seeds))

    def test_paths_do_not_depend_on_the_batch(self):
        flow = LangevinFlow(np.array([[0.5], [2.0]]), 0.5, 1.0)
        run = sample_flow(flow, LOSS, np.ones((2, 3, 2)), duration=2.0, seed=1)
        assert run.position.shape == (2, 3, 201, 2)
        alone = sample_flow(LangevinFlow(0.5, 0.5, 1.0), LOSS, np.ones((3, 2)), duration=2.0, seed=1)
        assert_allclose(run.position[0], alone.position, atol=1e-12)
        rest = sample_flow(LangevinFlow(0.5, 0.5, 1.0), LOSS, alone.state, times=[2.0, 3.0], seed=2)
        assert_allclose(rest.position[:, 0], alone.position[:, -1], atol=1e-13)

    def test_batches_of_temperatures(self):
        flow = LangevinFlow(1.0, 0.5, np.array([0.0, 4.0]))
        run = sample_flow(flow, hb.Quadratic([1.0]), [1.0], duration=2.0, seed=1)
        assert run.position.shape == (2, 201, 1)
        drift = hb.integrate(hb.HeavyBallFlow(1.0, 0.5), hb.Quadratic([1.0]), [1.0], duration=2.0)
        assert_allclose(run.position[0], drift.position, atol=1e-7)
        # Noise of another batch makes a batch.
        run = sample_flow(hb.HeavyBallFlow(1.0, 0.5), hb.Quadratic([1.0]), [1.0], duration=2.0, noise=[0.0, 1.0, 2.0])
        assert run.position.shape == (3, 201, 1)

    def test_what_leaves_the_finite_numbers_has_diverged(self):
        """e^{0.618·1000} is no number any more; nothing is said but by the status."""
        loss = hb.Quadratic([-1.0])
        run = sample_flow(LangevinFlow(), loss, [0.0], times=[0.0, 1.0, 1000.0, 1001.0], seed=1)
        assert run.status == hb.Status.DIVERGED
        assert not run.success
        assert run.stop_time == 1000.0
        for each in (run.position[:, 0], run.velocity[:, 0], run.value, run.energy, run.gradient_norm):
            assert_array_equal(np.isfinite(each), [True, True, False, False])
            assert np.isnan(each[2:]).all()
        assert_array_equal(run.state.position, run.position[1])
        assert_array_equal(run.state.velocity, run.velocity[1])

    def test_what_has_diverged_does_not_touch_the_others(self):
        damping = np.array([1.0, -30.0, 2.0])
        flow, start = hb.HeavyBallFlow(1.0, damping), np.array([[1.0, 0.0]] * 3)
        times = [0.0, 1.0, 50.0]
        run = sample_flow(flow, LOSS, start, times=times, noise=0.5, seed=1)
        assert_array_equal(run.status, [0, hb.Status.DIVERGED, 0])
        assert_array_equal(run.stop_time, [np.nan, 50.0, np.nan])
        calm = sample_flow(hb.HeavyBallFlow(1.0, damping[:1]), LOSS, start[:1], times=times, noise=0.5, seed=1)
        assert_allclose(run.position[0], calm.position[0], atol=1e-12)
        assert np.isfinite(run.position[2]).all()

    def test_errors(self):
        flow = LangevinFlow(1.0, 0.5, 1.0)
        with pytest.raises(ValueError, match="`objective` must be a quadratic"):
            sample_flow(flow, hb.rosenbrock(), [0.0, 0.0], duration=1.0)
        with pytest.raises(ValueError, match="`noise`, the intensity.* HeavyBallFlow has none of its own"):
            sample_flow(hb.HeavyBallFlow(1.0, 1.0), LOSS, [0.0, 0.0], duration=1.0)
        with pytest.raises(ValueError, match="`noise` must be >= 0"):
            sample_flow(flow, LOSS, [0.0, 0.0], duration=1.0, noise=-1.0)
        with pytest.raises(ValueError, match="varies in time"):
            sample_flow(hb.NesterovFlow(), LOSS, [0.0, 0.0], duration=1.0, noise=1.0)
        with pytest.raises(TypeError, match="`flow` must be a flow"):
            sample_flow(hb.HeavyBall(0.1, 0.5), LOSS, [0.0, 0.0], duration=1.0)
