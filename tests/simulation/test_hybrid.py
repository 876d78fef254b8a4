"""Flows that go in phases: dry friction against its exact law, creeping, restarts, and no chatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.special import jv

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.friction import PowerFriction
from heavyball_dynamics.algorithms.restarted_flow import RestartedNesterovFlow
from heavyball_dynamics.simulation import _hybrid, _solve
from heavyball_dynamics.simulation._hybrid import solve_one
from heavyball_dynamics.simulation._solve import Options

BOWL = hb.Quadratic([[2.0, 0.5], [0.5, 1.0]])
SOLVERS = ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"]


def dry(a, mass=1.0, damping=0.0):
    return hb.HeavyBallFlow(mass, damping, PowerFriction(a, 0.0))


def swings(x0, a, curvature, mass):
    """Number of half swings, the place and the time of the end: math of a block on a spring."""
    number = max(0, int(np.ceil((curvature * abs(x0) / a - 1) / 2 - 1e-12)))
    last = (-1) ** number * np.sign(x0) * (abs(x0) - 2 * number * a / curvature)
    return number, last, number * np.pi * np.sqrt(mass / curvature)


@pytest.fixture
def calls(monkeypatch):
    """Calls of solve_ivp."""
    made, own = [], _solve.solve_ivp

    def counted(*arguments, **options):
        made.append(arguments[1])
        return own(*arguments, **options)

    monkeypatch.setattr(_solve, "solve_ivp", counted)
    return made


class TestDryFrictionOnALine:
    @pytest.mark.parametrize(("x0", "a", "curvature", "mass"), [
        (3.0, 0.4, 1.0, 1.0), (-3.0, 0.4, 1.0, 1.0), (10.0, 0.3, 2.0, 3.0), (0.7, 0.2, 5.0, 0.1), (1.3, 1.0, 1.0, 1.0),
        (2.0, 1.0, 1.0, 1.0), (4.0, 1.0, 1.0, 2.0), (1.9, 0.5, 0.5, 1.0), (5.0, 0.13, 1.0, 1.0),
    ])  # fmt: skip
    def test_half_swings(self, x0, a, curvature, mass, calls):
        number, last, time = swings(x0, a, curvature, mass)
        times = np.unique(np.concatenate([np.linspace(0, time + 5, 301), [0.999 * time, time + 1e-6]]))
        run = hb.integrate(dry(a, mass), hb.Quadratic([curvature]), [x0], times=times, rtol=1e-11, atol=1e-13)
        assert len(calls) == number
        # Between reversals a swing about ±a/λ, exactly.
        swing = np.minimum(np.floor(times / (np.pi * np.sqrt(mass / curvature))), number)
        centre = np.sign(x0) * (-1.0) ** swing * a / curvature
        turned = np.sign(x0) * (-1.0) ** swing * (abs(x0) - 2 * swing * a / curvature)
        phase = np.sqrt(curvature / mass) * times - np.pi * swing
        wanted = np.where(times >= time, last, centre + (turned - centre) * np.cos(phase))
        assert_allclose(run.position[:, 0], wanted, atol=1e-8 * abs(x0))
        after = times > time + 1e-7
        assert_array_equal(run.velocity[after], 0.0)
        assert_array_equal(run.position[after], np.broadcast_to(run.position[-1], (after.sum(), 1)))
        assert run.status == hb.Status.COMPLETED
        assert np.isnan(run.stop_time)
        assert curvature * abs(run.position[-1, 0]) <= a * (1 + 1e-7)

    @pytest.mark.parametrize(("x0", "side"), [(1.9, 1), (2.0, 0), (2.2, -1)])
    def test_stops_before_on_and_past_the_minimum(self, x0, side):
        run = hb.integrate(dry(1.0), hb.Quadratic([1.0]), [x0], duration=10.0)
        assert_allclose(run.position[-1], 2.0 - x0, atol=1e-8)
        assert np.sign(run.position[-1, 0].round(6)) == side

    def test_stuck_at_the_start(self, calls):
        for x0 in (1.0, -0.3, 0.0):
            run = hb.integrate(dry(1.0), hb.Quadratic([1.0]), [x0], duration=10.0)
            assert_array_equal(run.position, np.full((201, 1), x0))
            assert run.evaluations == 0
        assert not calls
        run = hb.integrate(dry(1.0), hb.Quadratic([1.0]), [1.01], duration=10.0)
        assert_allclose(run.position[-1], 0.99, atol=1e-7)
        assert len(calls) == 1

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_every_solver(self, solver):
        run = hb.integrate(dry(0.4), hb.Quadratic([1.0]), [3.0], duration=20.0, method=solver, rtol=1e-7)
        assert_allclose(run.position[-1], -0.2, atol=1e-3 if solver == "RK23" else 1e-4)
        assert run.velocity[-1] == 0

    def test_energy_goes_into_the_path(self):
        times = np.linspace(0, 20, 20001)
        run = hb.integrate(dry(0.4), hb.Quadratic([1.0]), [3.0], times=times, rtol=1e-10)
        path = np.abs(np.diff(run.position[:, 0])).sum()
        assert_allclose(run.energy[0] - run.energy[-1], 0.4 * path, rtol=1e-6)
        assert_allclose(path, 5.2 + 3.6 + 2.0 + 0.4, rtol=1e-6)  # 3, -2.2, 1.4, -0.6, -0.2

    def test_no_chatter_however_small_the_friction(self, calls):
        run = hb.integrate(dry(0.01), hb.Quadratic([1.0]), [2.5], duration=500.0)
        assert len(calls) == swings(2.5, 0.01, 1.0, 1.0)[0] == 125
        assert run.evaluations < 250 * 125

    def test_with_damping_on_a_slope(self):
        # A constant force F > a: terminal velocity (F - a)/γ; F < a after a push: it stops at mv²/2(a - F) for γ = 0.
        slope = hb.Objective(lambda x: -2.0 * x[..., 0], lambda x: np.full_like(x, -2.0), dim=1)
        run = hb.integrate(dry(0.5, 1.0, 0.3), slope, [0.0], duration=200.0)
        assert_allclose(run.velocity[-1], 5.0, rtol=1e-8)
        run = hb.integrate(dry(2.5, 3.0), slope, [0.0], [4.0], duration=200.0)
        assert_allclose(run.position[-1], 3.0 * 16 / (2 * 0.5), rtol=1e-8)
        # Uphill: it stops, turns, and slides down.
        run = hb.integrate(dry(0.5), slope, [0.0], [-4.0], times=[0.0, 1.6, 3.6])
        assert_allclose(run.position[:, 0], [0, -3.2, -3.2 + 1.5 * 4 / 2], atol=1e-8)

    def test_resume(self):
        flow, loss, times = dry(0.4), hb.Quadratic([1.0]), np.linspace(0, 20, 41)
        whole = hb.integrate(flow, loss, [3.0], times=times)
        for cut in (7, 20, 35):
            first = hb.integrate(flow, loss, [3.0], times=times[: cut + 1])
            second = hb.integrate(flow, loss, first.state, times=times[cut:])
            assert_allclose(second.position, whole.position[cut:], atol=1e-7)

    def test_stop_when(self):
        run = hb.integrate(dry(0.4), hb.Quadratic([1.0]), [3.0], duration=20.0, stop_when={"value": 0.5})
        # From 3 about 0.4 down to 1.
        assert run.status == hb.Status.STOPPED
        assert_allclose(run.stop_time, np.arccos(0.6 / 2.6), rtol=1e-7)
        assert_allclose(run.position[-1], 1.0, rtol=1e-7)
        never = hb.integrate(dry(0.4), hb.Quadratic([1.0]), [0.3], duration=20.0, stop_when={"gradient_norm": 0.1})
        assert never.status == hb.Status.COMPLETED

    def test_stop_when_at_rest_from_the_start(self):
        # As smooth flows do, whatever power the others of a batch have.
        flow = hb.HeavyBallFlow(1.0, 0.0, PowerFriction(0.4, np.array([0.0, 1.0])))
        for loss in (hb.Quadratic([1.0]), BOWL):
            run = hb.integrate(flow, loss, 0.1 * np.ones(loss.dim), duration=10.0, stop_when={"value": 1.0})
            assert_array_equal(run.status, hb.Status.STOPPED)
            assert_array_equal(run.stop_time, 0.0)
        run = hb.integrate(RestartedNesterovFlow(), BOWL, [0.0, 0.0], duration=10.0, stop_when={"gradient_norm": 1e-9})
        assert (run.status, run.stop_time) == (hb.Status.STOPPED, 0.0)

    def test_divergence(self):
        hill = hb.Objective(lambda x: -(x[..., 0] ** 4) / 4, lambda x: -(x**3), dim=1)
        run = hb.integrate(dry(0.4), hill, [[2.0], [0.1]], duration=20.0)
        assert list(run.status) == [hb.Status.DIVERGED, hb.Status.COMPLETED]
        assert np.isnan(run.position[0, -1]).all()
        assert np.isfinite(run.state.position).all()
        assert_array_equal(run.position[1], 0.1)


class TestBatches:
    def test_each_as_if_alone(self):
        a, p = np.array([0.0, 0.4, 0.4, 0.4]), np.array([0.0, 0.0, 0.5, 2.0])
        mass = np.array([[1.0], [2.0]])
        loss = hb.Quadratic([1.0])
        run = hb.integrate(hb.HeavyBallFlow(mass, 0.1, PowerFriction(a, p)), loss, [3.0], duration=10.0)
        assert run.position.shape == (2, 4, 201, 1)
        assert run.dissipation.shape == (2, 4, 201)
        evaluations = 0
        for i, j in np.ndindex(2, 4):
            one = hb.integrate(hb.HeavyBallFlow(mass[i, 0], 0.1, PowerFriction(a[j], p[j])), loss, [3.0], duration=10.0)
            assert_allclose(run.position[i, j], one.position, atol=1e-12)
            evaluations += one.evaluations
        # Powers of numbers and of arrays differ in the last digit, and so may what a solver takes for small enough.
        assert abs(run.evaluations - evaluations) < 0.05 * evaluations

    def test_positions(self):
        starts = np.linspace(-3, 3, 6).reshape(2, 3, 1)
        run = hb.integrate(dry(0.4), hb.Quadratic([1.0]), starts, duration=20.0)
        wanted = [[swings(x, 0.4, 1.0, 1.0)[1] for x in row] for row in starts[..., 0]]
        assert_allclose(run.position[..., -1, 0], wanted, atol=1e-7)

    def test_none_at_all(self):
        run = hb.integrate(dry(0.4), hb.Quadratic([1.0]), np.empty((0, 1)), duration=20.0)
        assert run.position.shape == (0, 201, 1)


def implicit_reference(flow, loss, start, times, n):
    """Small steps with the friction soft-thresholded, extrapolated: a code of its own."""
    def run(steps):
        h = times[-1] / steps
        x, v, out = np.array(start, dtype=float), np.zeros(len(start)), [np.array(start, dtype=float)]
        every = steps // (len(times) - 1)
        for k in range(1, steps + 1):
            free = v - h / flow.mass * (loss.gradient(x) + flow.damping * v)
            size = np.sqrt(free @ free)
            cut = h / flow.mass * flow.friction.coefficient
            v = free * (1 - cut / size) if size > cut else 0 * free
            x = x + h * v
            if k % every == 0:
                out.append(x)
        return np.array(out)

    return 2 * run(2 * n) - run(n)


@pytest.fixture(scope="module")
def best():
    return hb.integrate(dry(0.4), BOWL, [3.0, -2.0], duration=24.0, rtol=1e-11, atol=1e-12).position[-1]


@pytest.fixture(scope="module")
def turning():
    """Small steps with the friction soft-thresholded, from rest, where the force turns at once."""
    return implicit_reference(dry(0.26), hb.Quadratic([1.0, 3.0]), [2.0, 1.0], np.linspace(0, 0.5, 2), 4000)[-1]


class TestDryFrictionInThePlane:
    @pytest.mark.parametrize("damping", [0.0, 0.2])
    def test_against_soft_thresholding(self, damping):
        flow, times = dry(0.4, 1.2, damping), np.linspace(0, 24, 25)
        run = hb.integrate(flow, BOWL, [3.0, -2.0], times=times)
        wanted = implicit_reference(flow, BOWL, [3.0, -2.0], times, 24 * 1000)
        assert_allclose(run.position, wanted, atol=2e-4)
        assert_array_equal(run.velocity[-1], 0.0)
        assert 0 < run.gradient_norm[-1] <= 0.4
        assert run.evaluations < 10_000

    def test_along_an_axis_it_is_the_line(self):
        loss = hb.Quadratic([1.0, 2.0])
        run = hb.integrate(dry(0.4), loss, [3.0, 0.0], duration=20.0, rtol=1e-10, atol=1e-11)
        line = hb.integrate(dry(0.4), hb.Quadratic([1.0]), [3.0], duration=20.0, rtol=1e-10, atol=1e-11)
        assert_allclose(run.position[:, 0], line.position[:, 0], atol=1e-7)
        assert_array_equal(run.position[:, 1], 0.0)

    def test_stuck_at_the_start(self):
        held = np.linalg.solve(BOWL.hessian(np.zeros(2)), [0.24, 0.32])
        run = hb.integrate(dry(0.4), BOWL, (1 - 1e-9) * held, duration=5.0)
        assert_array_equal(run.position, np.broadcast_to(run.position[0], (201, 2)))

    @pytest.mark.parametrize("solver", ["LSODA", "Radau", "BDF"])
    @pytest.mark.parametrize("excess", [1e-1, 1e-3, 1e-6])
    def test_slow_sliding_is_stiff(self, solver, excess):
        held = np.linalg.solve(BOWL.hessian(np.zeros(2)), [0.24, 0.32])
        run = hb.integrate(dry(0.4), BOWL, (1 + excess) * held, duration=5.0, method=solver)
        # One half swing, through the place where the force is a: as far below it as it was above.
        assert_allclose(run.gradient_norm[-1] - 0.4, -0.4 * excess, rtol=0.03)
        assert_array_equal(run.velocity[-1], 0.0)
        assert run.evaluations < 10_000

    def test_energy_goes_into_the_path(self):
        times = np.linspace(0, 12, 12001)
        run = hb.integrate(dry(0.4), BOWL, [3.0, -2.0], times=times, rtol=1e-10)
        path = np.linalg.norm(np.diff(run.position, axis=0), axis=-1).sum()
        assert_allclose(run.energy[0] - run.energy[-1], 0.4 * path, rtol=1e-6)

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_every_solver(self, solver, best):
        run = hb.integrate(dry(0.4), BOWL, [3.0, -2.0], duration=24.0, method=solver, rtol=1e-6)
        assert_allclose(run.position[-1], best, atol=2e-3)
        assert_array_equal(run.velocity[-1], 0.0)

    @pytest.mark.parametrize("scale", [1.0, 1e5])
    @pytest.mark.parametrize("solver", SOLVERS)
    def test_from_rest_where_the_force_turns(self, solver, scale, turning):
        # At the start friction turns with the velocity 1e9 times as fast as later: no Jacobian may be kept.
        run = hb.integrate(
            dry(0.26 * scale), hb.Quadratic([1.0, 3.0]), [2.0 * scale, 1.0 * scale], times=[0.0, 0.5], method=solver,
            rtol=1e-7 if solver == "RK23" else 1e-8,
        )  # fmt: skip
        assert_allclose(run.position[-1] / scale, turning, rtol=3e-7)

    @pytest.mark.parametrize("solver", ["Radau", "BDF", "LSODA"])
    def test_implicit_solvers_at_large_scale(self, solver):
        loss = hb.Quadratic([1e3, 3e3])
        runs = [hb.integrate(dry(4e4), loss, [300.0, 100.0], duration=0.5, method=m) for m in (solver, "DOP853")]
        assert_allclose(runs[0].position, runs[1].position, atol=1e-3)

    @pytest.mark.parametrize("solver", ["DOP853", "LSODA"])
    @pytest.mark.parametrize(("scale", "begin"), [(1e5, 0.0), (1e8, 0.0), (1.0, 1e6)])
    def test_stops_where_times_are_rounded(self, solver, scale, begin):
        # What the forces change within rounding of the time is more than the resolution there.
        loss = hb.Quadratic([1.0, 3.0])
        times = begin + np.linspace(0.0, 14.0, 3)
        run = hb.integrate(dry(0.4 * scale), loss, [3.0 * scale, scale], times=times, method=solver)
        assert run.status == hb.Status.COMPLETED
        assert_array_equal(run.velocity[-1], 0.0)
        assert_allclose(run.position[-1] / scale, [0.1356486, 0.0012928], atol=2e-6)

    def test_few_calls(self, calls):
        # A ball that passes near rest may be started anew there, but never again and again.
        rng = np.random.default_rng(3)
        for start in rng.normal(size=(3, 2)) * 3:
            hb.integrate(dry(0.3), BOWL, start, duration=30.0)
        assert len(calls) <= 3 * 3

    def test_rosenbrock(self, calls):
        runs = [
            hb.integrate(dry(2.0, 1.0, 0.5), hb.rosenbrock(), [-1.0, 1.0], duration=15.0, method=solver)
            for solver in ("DOP853", "LSODA")
        ]
        assert len(calls) < 10
        assert_array_equal([run.velocity[-1] for run in runs], 0.0)
        assert runs[0].gradient_norm[-1] <= 2.0
        assert_allclose(runs[0].position[-1], runs[1].position[-1], atol=1e-4)

    def test_crawling_is_said(self, monkeypatch):
        # Terminal velocity (F - a)/γ, at which friction turns the velocity 3e4 times in a unit of time.
        along = np.array([0.6, 0.8])
        slope = hb.Objective(lambda x: -0.501 * (x @ along), lambda x: 0 * x - 0.501 * along, dim=2)
        monkeypatch.setattr(_hybrid, "_MANY", 100)
        with pytest.warns(UserWarning, match=r"'DOP853' has made 100 steps .* method=\"LSODA\""):
            run = hb.integrate(dry(0.5, 1.0, 30.0), slope, [0.0, 0.0], duration=0.1)
        quick = hb.integrate(dry(0.5, 1.0, 30.0), slope, [0.0, 0.0], duration=0.1, method="LSODA")
        assert quick.evaluations < 0.2 * run.evaluations
        assert_allclose(quick.velocity[-1], 0.001 / 30.0 * (1 - np.exp(-3.0)) * along, rtol=1e-4)


class TestPowersBetweenDryAndViscous:
    def test_large_forces(self):
        # The time of a stop is rounded by more than the resolution; the end is on the other side, creeping.
        run = hb.integrate(hb.HeavyBallFlow(1.0, 0.0, PowerFriction(4e5, 0.01)), hb.Quadratic([1.0]), [3e6], duration=5)
        assert run.status == hb.Status.COMPLETED
        assert np.isfinite(run.position).all()

    @pytest.mark.parametrize("power", [0.3, 0.5, 0.75])
    def test_reversals_against_an_implicit_solver(self, power, calls):
        flow = hb.HeavyBallFlow(1.0, 0.0, PowerFriction(0.3, power))
        run = hb.integrate(flow, hb.Quadratic([1.0]), [3.0], duration=15.0)
        assert len(calls) < 12
        fine = hb.integrate(flow, hb.Quadratic([1.0]), [3.0], duration=15.0, method="Radau", rtol=1e-9, atol=1e-12)
        assert_allclose(run.position, fine.position, atol=1e-6)

    def test_creeping_is_where_friction_balances_the_force(self):
        # |v| = (λ|x|/a)^(1/p): for p = ½ and λ = a = 1, x' = -x², so that 1/x grows by 1 in a unit of time.
        flow = hb.HeavyBallFlow(1e-3, 0.0, PowerFriction(1.0, 0.5))
        times = np.linspace(0, 200, 21)
        run = hb.integrate(flow, hb.Quadratic([1.0]), [0.5], times=times, method="LSODA")
        assert_allclose(1 / run.position[:, 0], 2 + times, rtol=2e-3)
        assert (run.velocity[1:, 0] < 0).all()

    def test_creeping_below_the_threshold_is_rest(self, calls):
        flow = hb.HeavyBallFlow(1e-3, 0.0, PowerFriction(1.0, 0.5))
        loss, times = hb.Quadratic([1.0]), np.linspace(0, 300, 31)
        run = hb.integrate(flow, loss, [0.5], times=times, atol=1e-4, method="LSODA")
        # x' = -x² falls to 1e-4 at x = 0.01, t = 98: stuck where |∇f| <= a·ε^½.
        assert_allclose(run.position[-1], 0.01, rtol=0.02)
        assert_array_equal(run.velocity[11:], 0.0)
        assert len(calls) == 1
        at_rest = hb.integrate(flow, loss, [0.009], duration=1.0, atol=1e-4)
        assert_array_equal(at_rest.position, np.full((201, 1), 0.009))

    def test_on_a_slope_it_never_sticks(self):
        # Terminal speed (F/a)^(1/p), whatever small force.
        slope = hb.Objective(lambda x: -0.1 * x[..., 0], lambda x: np.full_like(x, -0.1), dim=1)
        flow = hb.HeavyBallFlow(1.0, 0.0, PowerFriction(1.0, 0.5))
        run = hb.integrate(flow, slope, [0.0], duration=5.0)
        assert_allclose(run.velocity[-1], 0.01, rtol=1e-6)
        assert_array_equal(hb.integrate(flow, hb.Quadratic([0.0]), [1.0], duration=5.0).velocity, np.zeros((201, 1)))

    def test_in_the_plane(self):
        flow = hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.4, 0.5))
        run = hb.integrate(flow, BOWL, [3.0, -2.0], duration=10.0)
        fine = hb.integrate(flow, BOWL, [3.0, -2.0], duration=10.0, method="Radau", rtol=1e-9, atol=1e-12)
        assert_allclose(run.position, fine.position, atol=1e-6)


@dataclass(frozen=True)
class Bouncing:
    """A ball under gravity that loses a part of its speed at the floor: a flow of a user's own."""

    kept: float = 0.8
    gravity: float = 2.0

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        return hb.PhaseState(state.velocity, 0 * state.velocity - self.gravity)

    def margin(self, t, state, objective):
        return state.position

    def jump(self, t, state, objective):
        return hb.PhaseState(0 * state.position, -self.kept * state.velocity)

    def phase(self, t, state, objective, resolution):
        if np.all(state.position <= 0) and np.all(state.velocity <= resolution):
            return None, hb.PhaseState(0 * state.position, 0 * state.velocity)
        return self, state


class TestContract:
    def test_a_flow_of_ones_own(self):
        run = hb.integrate(Bouncing(), hb.Quadratic([0.0]), [1.0], times=np.linspace(0, 12, 1201), atol=1e-6)
        # Falls for 1, then bounces for 2·0.8ⁿ each: 1 + 2·0.8/(1 - 0.8) = 9.
        assert_array_equal(run.velocity[run.time > 9.001], 0.0)
        assert_allclose(run.position[run.time == 1.8, 0], 0.64, atol=1e-5)
        moving = run.time < 8.9
        assert (run.position[moving, 0] >= 0).all()
        assert (run.velocity[1:][moving[1:]] != 0).all()

    def test_a_step_may_hold_a_whole_phase(self):
        # Constant acceleration: one step of the solver would do for many bounces.
        options = Options("DOP853", 1e-8, 1e-6, np.inf, {})
        start = np.array([[[0.0]], [[1.0]]])
        times = np.array([0.0, 10.5])
        found = solve_one(Bouncing(1.0), hb.Quadratic([0.0]), hb.PhaseState(0, 0), start, times, options)
        assert_allclose(found.events, np.arange(1, 11), rtol=1e-9)

    def test_events_without_an_end(self):
        @dataclass(frozen=True)
        class Endless(Bouncing):
            def phase(self, t, state, objective, resolution):
                return self, state

        run = hb.integrate(Endless(0.5), hb.Quadratic([0.0]), [1.0], duration=5.0)
        assert run.status == hb.Status.DIVERGED
        # The bounces pile up at 1 + 2·0.5/(1 - 0.5).
        assert_allclose(run.stop_time, 3.0, atol=1e-6)


class TestBrokenContracts:
    def check(self, error, message, **parts):
        kind = type("Mine", (Bouncing,), parts)
        with pytest.raises(error, match=message):
            hb.integrate(kind(), hb.Quadratic([0.0, 0.0]), [1.0, 1.0], duration=5.0)

    @pytest.mark.parametrize("answer", [None, 1, hb.PhaseState(np.ones((1, 2)), np.ones((1, 2)))])
    def test_no_pair(self, answer):
        self.check(TypeError, "`phase` of Mine must return .smooth flow or None, state.", phase=lambda *_: answer)

    def test_no_smooth_flow(self):
        self.check(TypeError, "`phase` of Mine must return a flow with .* without margin, jump",
                   phase=lambda self, t, state, *_: (hb.GradientFlow(), state))  # fmt: skip

    def test_no_state(self):
        self.check(TypeError, "`phase` of Mine must return a state like the one",
                   phase=lambda self, t, state, *_: (self, state.position))  # fmt: skip

    def test_a_margin_for_each_coordinate(self):
        self.check(ValueError, r"`margin` of Mine must return shape \(1, 1\) for states \(1, 2\)")

    def test_a_margin_that_does_not_take_many_states(self):
        self.check(ValueError, r"`margin` of Mine must return shape \(2, 1, 1\)",
                   margin=lambda self, t, state, _: np.ones((1, 2)) @ state.position.reshape(2, -1))  # fmt: skip

    def test_a_margin_that_is_no_number(self):
        self.check(ValueError, "`margin` of Mine must be a number. Received nan at t = 0",
                   margin=lambda self, t, state, _: np.nan * state.position[..., :1])  # fmt: skip

    def test_a_jump_that_changes_nothing(self):
        self.check(ValueError, "`jump` or `phase` of Mine must change the state",
                   margin=lambda self, t, state, _: state.position[..., :1], jump=lambda self, t, state, _: state,
                   phase=lambda self, t, state, *_: (self, state))  # fmt: skip


def restarted(loss, start, times, r=3.0, **options):
    chosen = Options(options.get("solver", "DOP853"), 1e-10, 1e-14, np.inf, {})
    flow, x = RestartedNesterovFlow(np.array([[r]])), np.atleast_1d(np.asarray(start, dtype=float))
    blocks = np.stack([x[None], 0 * x[None], 0 * x[None]])
    state = flow.init(x[None], 0 * x[None], loss)
    return solve_one(flow, loss, state, blocks, np.asarray(times, dtype=float), chosen)


class TestSpeedRestart:
    # x = 2x0 J1(s)/s with s = t√λ has x'' = 0 where J2(s) = s J3(s).
    FIRST = brentq(lambda s: jv(2, s) - s * jv(3, s), 1, 4, xtol=1e-14)

    @pytest.mark.parametrize("curvature", [0.04, 1.0, 9.0])
    def test_on_a_line_at_the_zeros_of_bessel_functions(self, curvature):
        wanted = self.FIRST / np.sqrt(curvature)
        found = restarted(hb.Quadratic([curvature]), [5.0], [0.0, 6.5 * wanted])
        # A mode knows no amplitude: every phase is the first one again.
        assert_allclose(found.events, wanted * np.arange(1, 7), rtol=1e-6)
        assert_allclose(found.events[0], wanted, rtol=1e-9)
        factor = 2 * jv(1, self.FIRST) / self.FIRST
        loss = hb.Quadratic([curvature])
        times = np.append(0.0, wanted * np.arange(1, 7))
        run = hb.integrate(RestartedNesterovFlow(), loss, [5.0], times=times, rtol=1e-11, atol=1e-13)
        assert_allclose(run.position[:, 0], 5.0 * factor ** np.arange(7), rtol=1e-6)

    def test_condition_at_each_restart(self):
        loss = hb.Quadratic([1.0, 7.0, 40.0])
        start = np.array([3.0, -2.0, 1.0])
        found = restarted(loss, start, [0.0, 40.0])
        assert len(found.events) > 8
        # Run anew from each restart without restarts, the speed grows up to the next and there no longer.
        x, origin = start, 0.0
        for time in found.events[:6]:
            times = np.linspace(0, time - origin, 401)
            part = hb.integrate(_Fading(), loss, x, times=times, rtol=1e-11, atol=1e-14)
            growing = np.diff(np.linalg.norm(part.velocity, axis=-1))
            assert (growing[:-1] > 0).all()
            v, t = part.velocity[-1], time - origin
            force = -3 / t * v - loss.gradient(part.position[-1])
            assert abs(v @ force) <= 1e-6 * np.linalg.norm(v) * np.linalg.norm(force)
            x, origin = part.position[-1], time

    def test_converges_linearly_and_faster(self):
        loss, start = hb.Quadratic([1.0, 25.0]), [1.0, 1.0]
        times = np.linspace(0, 30, 301)
        run = hb.integrate(RestartedNesterovFlow(), loss, start, times=times, rtol=1e-10, atol=1e-16)
        plain = hb.integrate(_Fading(), loss, start, times=times, rtol=1e-10, atol=1e-16)
        # The slow mode alone would lose (2 J1(s)/s)² in a phase of length s/√μ.
        predicted = 2 * np.log(2 * jv(1, self.FIRST) / self.FIRST) / self.FIRST
        late = times > 10
        slope, _ = np.polyfit(times[late], np.log(run.value[late]), 1)
        assert 1.6 * predicted < slope < 0.7 * predicted
        assert np.polyfit(times[late], np.log(run.value[late]), 1, full=True)[1][0] / late.sum() < 0.5
        assert run.value[-1] < 1e-3 * plain.value[-1]
        assert (np.diff(run.value) <= 1e-15).all()

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_every_solver(self, solver):
        run = hb.integrate(RestartedNesterovFlow(), hb.Quadratic([1.0]), [1.0], duration=6.0, method=solver, rtol=1e-7)
        assert_allclose(run.state.origin, 2 * self.FIRST, rtol=1e-3)

    def test_resume_and_batches(self):
        loss, times, r = hb.Quadratic([1.0, 9.0]), np.linspace(0, 6, 25), np.array([2.0, 6.0])
        flow = RestartedNesterovFlow(r)
        whole = hb.integrate(flow, loss, [1.0, 1.0], times=times)
        assert whole.velocity.shape == (2, 25, 2)
        first = hb.integrate(flow, loss, [1.0, 1.0], times=times[:12])
        second = hb.integrate(flow, loss, first.state, times=times[11:])
        assert_allclose(second.position, whole.position[:, 11:], atol=1e-7)
        for i in range(2):
            one = hb.integrate(RestartedNesterovFlow(r[i]), loss, [1.0, 1.0], times=times)
            assert_allclose(whole.position[i], one.position, atol=1e-12)

    @pytest.mark.parametrize(("r", "solver", "most"), [
        (10.0, "DOP853", 10_000), (10.0, "RK45", 7000), (10.0, "LSODA", 3000), (30.0, "DOP853", 20_000),
        (30.0, "LSODA", 3000),
    ])  # fmt: skip
    def test_strong_damping_does_not_chatter(self, r, solver, most):
        # Of the first terms of the series ∇f/(1+r) remains: its sign is not to be lost in errors of the solver.
        loss, times = hb.Quadratic([1.0, 25.0]), np.linspace(0, 8, 5)
        run = hb.integrate(RestartedNesterovFlow(r), loss, [1.0, 1.0], times=times, method=solver)
        assert run.evaluations < most
        fine = restarted(loss, [1.0, 1.0], times, r)
        assert len(fine.events) < 8
        assert_allclose(run.position, fine.states[:, 0, 0], atol=1e-5)

    @pytest.mark.parametrize("size", [1e-8, 1e-12, 1e-30])
    def test_small_starts(self, size):
        run = hb.integrate(RestartedNesterovFlow(), hb.Quadratic([1.0, 25.0]), [size, size], duration=20.0)
        assert run.evaluations < 2000
        # As far as the tolerances reach.
        assert (np.abs(run.position[-1]) < 0.02 * size + 1e-11).all()

    @pytest.mark.parametrize(("r", "most"), [(0.0, 2000), (3.0, 10_000), (10.0, 40_000)])
    def test_long_after_the_end(self, r, most):
        run = hb.integrate(RestartedNesterovFlow(r), hb.Quadratic([1.0]), [1.0], duration=300.0)
        assert run.evaluations < most
        assert abs(run.position[-1, 0]) < 1e-10

    def test_starts(self):
        loss = hb.Quadratic([1.0])
        rest = hb.integrate(RestartedNesterovFlow(), loss, [0.0], duration=5.0)
        assert_array_equal(rest.position, 0.0)
        # No push counts: friction has no bound at the start.
        runs = [hb.integrate(RestartedNesterovFlow(), loss, [1.0], v, duration=5.0) for v in (None, [3.0], [-3.0])]
        assert_allclose(runs[1].position[1:], runs[0].position[1:], atol=1e-9)
        assert_allclose(runs[2].position[1:], runs[0].position[1:], atol=1e-9)
        run = hb.integrate(RestartedNesterovFlow(), loss, [1.0], duration=50.0, stop_when={"gradient_norm": 1e-6})
        assert run.status == hb.Status.STOPPED
        assert run.stop_time < 45

    def test_bad_input(self):
        with pytest.raises(ValueError, match="`r` must be >= 0"):
            RestartedNesterovFlow(-1.0)


class _Fading:
    """Nesterov's flow from rest at t = 0, written down a second time."""

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        pull = objective.gradient(state.position)
        return hb.PhaseState(state.velocity, -pull / 4 if t == 0 else -3 / t * state.velocity - pull)


def test_ordinary_flows_have_no_phases():
    assert not _hybrid.is_hybrid(hb.HeavyBallFlow(1.0, 1.0))
    assert not _hybrid.is_hybrid(hb.HeavyBallFlow(1.0, 1.0, PowerFriction(0.5, 1.0)))
    assert not _hybrid.is_hybrid(hb.HeavyBallFlow(1.0, 1.0, PowerFriction(0.0, 0.0)))
    assert not _hybrid.is_hybrid(hb.GradientFlow())
    assert _hybrid.is_hybrid(dry(0.1))
    assert _hybrid.is_hybrid(RestartedNesterovFlow())
