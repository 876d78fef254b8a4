"""Nesterov's flow against its Bessel solution, its bound and its Lyapunov function (Su, Boyd, Candès 2016)."""

import pickle

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose
from scipy.special import gamma, j1, jv

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.nesterov_flow import NesterovFlow

BENDS = np.array([1.0, 25.0])
START = np.array([1.0, -2.0])
SOLVERS = ["RK45", "DOP853", "Radau", "BDF", "LSODA"]


def bessel(r, t):
    """The solution from rest at START on the quadratic of BENDS."""
    reach = t[:, None] * np.sqrt(BENDS)
    half = (r - 1) / 2
    return START * gamma(half + 1) * (2 / reach) ** half * jv(half, reach)


def convex_losses():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(25, 2))
    weights = np.array([1.0, -2.0])
    labels = (rng.random(25) < 1 / (1 + np.exp(-features @ weights))).astype(float)
    logistic = hb.LogisticRegression(features, labels, l2=0.01)
    best = np.zeros(2)
    for _ in range(50):
        best = best - np.linalg.solve(logistic.hessian(best), logistic.gradient(best))
    assert np.linalg.norm(logistic.gradient(best)) < 1e-12
    return {
        "quadratic": (hb.Quadratic(BENDS), np.zeros(2)),
        "flat quadratic": (hb.Quadratic([4.0, 0.0]), np.array([0.0, 3.0])),
        "logistic": (logistic, best),
        "quartic": (hb.from_sympy("x**4/4 + (x - y)**4", "x y"), np.zeros(2)),
        "log cosh": (hb.from_sympy("log(cosh(x)) + log(cosh(3*y - x))", "x y"), np.zeros(2)),
    }


LOSSES = convex_losses()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("r", [0.5, 1.0, 3.0, 4.5, 10.0])
def test_bessel_solution(solver, r):
    run = hb.integrate(NesterovFlow(r), hb.Quadratic(BENDS), START, times=np.linspace(0, 6, 31), method=solver)
    assert run.success
    assert_allclose(run.position[1:], bessel(r, run.time[1:]), atol=3e-6 if solver == "BDF" else 2e-7)


def test_bessel_solution_for_three():
    """x = 2x_0 J_1(t√λ)/(t√λ), to the solver's tolerance."""
    run = hb.integrate(NesterovFlow(), hb.Quadratic([4.0]), [3.0], duration=20.0, rtol=1e-12, atol=1e-13)
    reach = 2 * run.time[1:]
    assert_allclose(run.position[1:, 0], 6 * j1(reach) / reach, atol=1e-11)


@pytest.mark.parametrize("name", LOSSES)
def test_bound_and_lyapunov_function(name):
    """E = 2t²(f - f*)/(r-1) + (r-1)|x + t v/(r-1) - x*|² never grows, hence f - f* <= (r-1)²|x_0 - x*|²/(2t²)."""
    loss, best = LOSSES[name]
    r = np.array([3.0, 4.0, 8.0])
    start = np.array([2.0, 3.0])
    run = hb.integrate(NesterovFlow(r), loss, start, times=np.linspace(0, 15, 400), rtol=1e-10, atol=1e-12)
    excess = run.value - loss.value(best)
    assert excess.min() > -1e-12
    far = np.sum((start - best) ** 2)
    assert np.all(excess[:, 1:] <= (r[:, None] - 1) ** 2 * far / (2 * run.time[1:] ** 2))
    t, bend = run.time[:, None], r[:, None, None] - 1
    gap = run.position + t * run.velocity / bend - best
    energy = 2 * run.time**2 * excess / bend[..., 0] + bend[..., 0] * np.sum(gap**2, axis=-1)
    assert np.all(np.diff(energy, axis=-1) <= 1e-8 * energy[:, :1])
    assert_allclose(energy[:, 0], (r - 1) * far, rtol=1e-12)


def test_less_friction_is_slower():
    """For r = 1 a mode is J_0(t√λ), and t²(f - f*) grows like t/π on the unit parabola: no bound of order 1/t²."""
    run = hb.integrate(NesterovFlow(1.0), hb.Quadratic([1.0]), [1.0], times=np.linspace(0, 200, 4001), rtol=1e-10)
    scaled = run.time**2 * run.value
    assert_allclose(scaled[3600:].max(), 200 / np.pi, rtol=0.02)


@pytest.mark.parametrize("r", [1.0, 3.0, 7.0])
def test_frozen_modes(r):
    """A mode turns underdamped at t = r/(2√λ)."""
    flow, turn = NesterovFlow(r), r / (2 * np.sqrt(BENDS))
    for i in range(2):
        names = [hb.analyze_modes(flow, BENDS, t=share * turn[i]).damping[i] for share in (0.99, 1.0, 1.01)]
        assert names == [hb.DampingClass.OVERDAMPED, hb.DampingClass.CRITICAL, hb.DampingClass.UNDERDAMPED]
    with pytest.raises(ValueError, match="varies in time"):
        hb.analyze_modes(flow, BENDS)


def test_start():
    """From rest the acceleration is -∇f/(1 + r), and x = x_0 - t²∇f/(2(1+r)) + O(t⁴)."""
    loss = LOSSES["logistic"][0]
    for r in (1.0, 3.0):
        flow = NesterovFlow(r)
        pull = loss.gradient(START)
        field = flow.vector_field(0.0, hb.PhaseState(START, np.zeros(2)), loss)
        assert_allclose(field.velocity, -pull / (1 + r), rtol=1e-15)
        times = np.array([0.0, 0.01, 0.02])
        moved = hb.integrate(flow, loss, START, times=times, rtol=1e-12, atol=1e-16).position[1:] - START
        left = np.linalg.norm(moved + times[1:, None] ** 2 * pull / (2 * (1 + r)), axis=-1)
        assert_allclose(np.log2(left[1] / left[0]), 4, atol=0.05)


def test_small_times_agree_with_the_equation():
    """On the solution's own series, v = -t∇f/(1+r), the field below 1e-8 is that above it."""
    loss, flow = hb.Quadratic(BENDS), NesterovFlow(3.0)
    for t in (1e-9, 0.999e-8, 1.001e-8):
        state = hb.PhaseState(START, -t * loss.gradient(START) / 4)
        assert_allclose(flow.vector_field(t, state, loss).velocity, -loss.gradient(START) / 4, rtol=1e-14)


@pytest.mark.parametrize("solver", ["DOP853", "LSODA", "Radau"])
def test_batch_and_resumption(solver):
    loss = LOSSES["log cosh"][0]
    r = np.array([[3.0], [5.0]])
    starts = np.array([[1.0, 2.0], [-1.0, 0.3], [0.0, 1.0]])
    times = np.linspace(0, 4, 9)
    run = hb.integrate(NesterovFlow(r), loss, starts, times=times, method=solver)
    for i, j in np.ndindex(2, 3):
        alone = hb.integrate(NesterovFlow(r[i, 0]), loss, starts[j], times=times, method=solver)
        assert_allclose(run.position[i, j], alone.position, atol=1e-6)
    half = hb.integrate(NesterovFlow(r), loss, starts, times=times[:5], method=solver)
    rest = hb.integrate(NesterovFlow(r), loss, half.state, times=times[4:], method=solver)
    assert_allclose(rest.position, run.position[..., 4:, :], atol=1e-6)


def test_late_start_with_a_velocity_dissipates():
    flow = NesterovFlow(2.0)
    run = hb.integrate(flow, hb.Quadratic([1.0]), [1.0], [3.0], times=np.linspace(1, 9, 300), rtol=1e-10)
    assert_allclose(run.energy, run.value + 0.5 * run.velocity[:, 0] ** 2)
    rate = -2 / run.time * run.velocity[:, 0] ** 2
    lost = np.concatenate([[0.0], np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(run.time))])
    assert_allclose(run.energy - run.energy[0], lost, atol=1e-2)


def test_symbols():
    t, x, v, r = sympy.symbols("t x v r", positive=True)

    class Spring:
        def gradient(self, position):
            return 4 * position

    field = NesterovFlow(r).vector_field(t, hb.PhaseState(x, v), Spring())
    assert field.position == v
    assert sympy.simplify(field.velocity - (-r / t * v - 4 * x)) == 0


def test_errors():
    flow, loss = NesterovFlow(), hb.Quadratic([1.0])
    with pytest.raises(ValueError, match=r"`r` must be > 0. Received 0.0"):
        NesterovFlow(0.0)
    for solver in SOLVERS:
        with pytest.raises(ValueError, match=r"`velocity` must be 0 at t = 0. Received 1.0 at index .*start later"):
            hb.integrate(flow, loss, [1.0], [1.0], duration=1.0, method=solver)
    with pytest.raises(ValueError, match=r"`times` must not be negative.*-1.0"):
        hb.integrate(flow, loss, [1.0], times=[-1.0, 1.0])
    assert pickle.loads(pickle.dumps(flow)) == flow
