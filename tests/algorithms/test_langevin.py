"""Langevin's flow and its splitting: the drift, the exact distribution in the end, equipartition measured."""

import pickle

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import solve_discrete_lyapunov

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.langevin import LangevinBAOAB, LangevinFlow
from heavyball_dynamics.objectives.thermostat import Thermostat


class Kicking:
    """A spring that kicks with what it is told."""

    dim = 1

    def __init__(self, curvature, kick):
        self.curvature, self._kick = curvature, kick

    def gradient(self, position):
        return self.curvature * position

    def kick(self, batch):
        return np.full((*batch, 1), self._kick)


def of_the_rule(rule, curvature):
    """The matrix of a step, and what a kick of one adds, by calling the rule."""
    zero, one = np.zeros(1), np.ones(1)
    columns = [rule.step(0, hb.PhaseState(*start), Kicking(curvature, 0.0)) for start in ((one, zero), (zero, one))]
    push = rule.step(0, hb.PhaseState(zero, zero), Kicking(curvature, 1.0))
    return np.array([[c.position[0] for c in columns], [c.velocity[0] for c in columns]]), np.concatenate(push)


class TestFlow:
    def test_its_drift_is_that_of_a_ball(self):
        flow, ball = LangevinFlow(2.0, 0.5, 3.0), hb.HeavyBallFlow(2.0, 0.5)
        loss = hb.rosenbrock()
        runs = [hb.integrate(each, loss, [-1.0, 1.0], [0.1, 0.2], duration=3.0) for each in (flow, ball)]
        assert_array_equal(runs[0].position, runs[1].position)
        assert_array_equal(runs[0].energy, runs[1].energy)
        assert_array_equal(runs[0].dissipation, runs[1].dissipation)
        assert_array_equal(hb.analyze_modes(flow, [1.0, 2.0]).poles, hb.analyze_modes(ball, [1.0, 2.0]).poles)

    def test_its_noise(self):
        assert LangevinFlow(2.0, 0.5, 3.0).noise == 3.0
        assert_allclose(LangevinFlow(1.0, np.array([1.0, 2.0]), 0.5).noise, [1.0, 2.0])
        gamma, heat = sympy.symbols("gamma T", positive=True)
        assert LangevinFlow(1, gamma, heat).noise == 2 * gamma * heat

    def test_errors(self):
        with pytest.raises(ValueError, match="`temperature` must be >= 0"):
            LangevinFlow(1.0, 1.0, -1.0)
        with pytest.raises(ValueError, match="`mass` must be > 0"):
            LangevinFlow(0.0, 1.0, 1.0)
        with pytest.raises(ValueError, match="batch axes"):
            LangevinFlow(np.ones(2), np.ones(3), 1.0)
        flow = LangevinFlow(1.0, np.array([1.0, 2.0]), 0.5)
        assert pickle.loads(pickle.dumps(flow)) == flow


class TestSplitting:
    @settings(max_examples=40)
    @given(st.floats(0.1, 10.0), st.floats(0.01, 10.0), st.floats(0.1, 10.0), st.floats(0.02, 0.95))
    def test_positions_are_exact_at_every_stable_step(self, mass, damping, curvature, share):
        """Leimkuhler and Matthews 2013: T/λ for the position, T/m·(1 - h²λ/4m) for the velocity."""
        dt = share * 2 * np.sqrt(mass / curvature)
        M, b = of_the_rule(LangevinBAOAB(mass, damping, dt), curvature)
        P = solve_discrete_lyapunov(M, np.outer(b, b))
        assert_allclose(P[0, 0], 1 / curvature, rtol=1e-7)
        assert_allclose(P[1, 1], (1 - share**2) / mass, rtol=1e-7)
        assert abs(P[0, 1]) < 1e-8 * np.sqrt(P[0, 0] * P[1, 1])

    def test_equipartition_measured(self):
        """Both quadratic terms of the energy hold T/2, each coordinate its own."""
        seeds, loss, dt = 10_000, hb.Quadratic([[2.0, 0.5], [0.5, 1.0]]), 0.1
        flow = LangevinFlow(1.5, 1.0, 0.7)
        run = hb.iterate(flow.method(dt), flow.thermostat(loss, seed=5), np.zeros((seeds, 2)), 200, save_every=200)
        value = run.value[:, -1]
        assert abs(value.mean() - 2 * 0.35) < 4 * value.std() / np.sqrt(seeds)
        kinetic = 0.5 * 1.5 * run.velocity[:, -1] ** 2 @ np.ones(2)
        slowed = 0.35 * (1 - dt**2 * loss.spectrum / (4 * 1.5)).sum()
        assert abs(kinetic.mean() - slowed) < 4 * kinetic.std() / np.sqrt(seeds)
        assert_allclose(np.cov(run.position[:, -1].T), 0.7 * np.linalg.inv(loss.matrix), atol=0.04)

    def test_heat_and_errors_of_the_gradient_do_not_know_of_each_other(self):
        """Both default to seed 0; the variance is that of the two sources added up, by Lyapunov's equation."""
        seeds, dt, error = 20_000, 0.1, 10.0
        flow = LangevinFlow()
        bath = flow.thermostat(hb.NoisyGradient(hb.Quadratic([1.0]), error))
        run = hb.iterate(flow.method(dt), bath, np.zeros((seeds, 1)), 200, save_every=200)
        M, heat = of_the_rule(flow.method(dt), 1.0)
        push = (np.eye(2) - M) @ [-1.0, 0.0]  # a constant error of one moves the rest to -1
        P = solve_discrete_lyapunov(M, np.outer(heat, heat) + error * np.outer(push, push))
        found = run.position[:, -1, 0]
        assert abs(found.var() - P[0, 0]) < 5 * P[0, 0] * np.sqrt(2 / seeds)
        assert 1.45 < P[0, 0] < 1.55

    def test_without_a_thermostat_it_is_cold_and_of_second_order(self):
        flow, loss, start = hb.HeavyBallFlow(1.3, 0.4), hb.rosenbrock(), [-0.5, 0.5]
        exact = hb.integrate(flow, loss, start, [0.1, 0.0], times=[0.0, 0.4], rtol=1e-12, atol=1e-13).position[-1]
        error = []
        for n in (100, 200, 400):
            run = hb.iterate(LangevinBAOAB(1.3, 0.4, 0.4 / n), loss, start, n, velocity=[0.1, 0.0])
            error.append(np.abs(run.position[-1] - exact).max())
        assert_allclose(np.log2(np.array(error[:-1]) / error[1:]), 2.0, atol=0.05)

    def test_it_is_analysed_like_any_method(self):
        rule = LangevinBAOAB(1.0, 0.5, np.array([0.1, 0.2]))
        modes = hb.analyze_modes(rule, [1.0, 3.0])
        assert modes.stable.all()
        # Volume shrinks by e^{-γh/m} exactly.
        det = np.linalg.det(hb.state_matrices(rule).loop(np.array([1.0])))[:, 0]
        assert_allclose(det, np.exp(-0.5 * np.array([0.1, 0.2])), rtol=1e-12)
        assert not hb.analyze_modes(LangevinBAOAB(1.0, 0.5, 2.01), [1.0]).stable.any()

    def test_batches(self):
        dts = np.array([0.1, 0.3])
        bath = Thermostat(hb.Quadratic([1.0]), np.array([[1.0], [2.0]]), seed=1)
        run = hb.iterate(LangevinBAOAB(1.0, 1.0, dts[:, None]), bath, np.zeros((2, 3, 1)), 10)
        for i, dt in enumerate(dts):
            # Element numbers run over the whole batch: the first row alone has the same kicks, the second has others.
            alone = hb.iterate(LangevinBAOAB(1.0, 1.0, dt), Thermostat(hb.Quadratic([1.0]), i + 1.0, seed=1),
                               np.zeros((3, 1)), 10)  # fmt: skip
            assert np.allclose(run.position[i], alone.position) == (i == 0)

    def test_errors(self):
        with pytest.raises(ValueError, match="`dt` must be > 0"):
            LangevinBAOAB(1.0, 1.0, 0.0)
        with pytest.raises(ValueError, match="`damping` must be >= 0"):
            LangevinBAOAB(1.0, -1.0, 0.1)
