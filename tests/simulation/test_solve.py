"""Stops and blow-ups: who ends, when, what is kept, and that the others do not feel it."""

from __future__ import annotations

import numpy as np
import pytest

import heavyball_dynamics as hb
from heavyball_dynamics.simulation._solve import _stuck
from heavyball_dynamics.simulation._stack import Stack

SOLVERS = ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"]
DECAY = hb.Quadratic([1.0])
# Gradient flow of -x⁴/4 from x0 is x0/√(1 - 2 x0² t): infinite at t = 1/(2 x0²).
QUARTIC = hb.Objective(lambda x: -(x[..., 0] ** 4) / 4, lambda x: -(x**3), lambda x: (-3 * x**2)[..., None], dim=1)
# The first coordinate runs to the edge x = 1 of the domain and has no gradient beyond.
EDGE = hb.Objective(
    lambda x: np.sqrt(1 - x[..., 0] ** 2) + x[..., 1] ** 2 / 2,
    lambda x: np.stack([-x[..., 0] / np.sqrt(1 - x[..., 0] ** 2), x[..., 1]], axis=-1),
    dim=2,
)


def assert_gone(run, who, start_rows=1):
    """Trajectories `who` have values up to their stop time and NaN from then on."""
    assert (run.status[who] == hb.Status.DIVERGED).all()
    for i in np.flatnonzero(who):
        before = run.time <= run.stop_time[i]
        assert before.sum() >= start_rows
        assert np.isfinite(run.position[i, before]).all()
        assert np.isnan(run.position[i, ~before]).all()
        assert np.isnan(run.energy[i, ~before]).all()
    assert np.isfinite(run.state.position).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("hessian", [True, False])
def test_blowup_in_finite_time(solver, hessian):
    loss = QUARTIC if hessian else hb.Objective(QUARTIC.value_function, QUARTIC.gradient_function, dim=1)
    start = np.array([0.1, 1.0, 0.05, 0.7, 1e-9, 1.0, 0.0])
    gone = start > 0.5
    run = hb.integrate(hb.GradientFlow(), loss, start[:, None], duration=3.0, method=solver, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(run.status, np.where(gone, -1, 0))
    assert_gone(run, gone)
    np.testing.assert_allclose(run.stop_time[gone], 1 / (2 * start[gone] ** 2), rtol=2e-4)
    assert np.isnan(run.stop_time[~gone]).all()
    exact = start[:, None] / np.sqrt(np.maximum(1 - 2 * np.outer(start**2, run.time), 1e-300))
    np.testing.assert_allclose(run.position[~gone, :, 0], exact[~gone], rtol=1e-5, atol=1e-8)
    early = run.time < 0.4
    np.testing.assert_allclose(run.position[:, early, 0], exact[:, early], rtol=2e-4, atol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS[1:])
def test_exponential_growth_until_the_numbers_end(solver):
    """The unstable root of the saddle is the positive one of s² + γs - 1."""
    starts = [[0.5, 1.0], [1.0, 0.0], [0.1, 1e-5]]
    run = hb.integrate(hb.HeavyBallFlow(1.0, 0.1), hb.saddle(), starts, duration=1000.0, method=solver, rtol=1e-5)
    gone = np.array([True, False, True])
    np.testing.assert_array_equal(run.status, [-1, 0, -1])
    assert_gone(run, gone, 100)
    root = -0.05 + np.sqrt(0.05**2 + 1)
    other = -0.05 - np.sqrt(0.05**2 + 1)
    share = other / (other - root)
    np.testing.assert_allclose(run.stop_time[gone], np.log(1e300 / (share * np.array([1.0, 1e-5]))) / root, rtol=1e-3)
    np.testing.assert_array_equal(run.position[1, :, 1], 0.0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("flow", [hb.GradientFlow(), hb.HeavyBallFlow(0.5, 1.0)], ids=["first", "second"])
def test_the_edge_of_the_domain(solver, flow):
    starts = np.array([[0.5, 1.0], [0.0, 1.0], [0.01, -1.0]])
    options = {"duration": 1.9, "method": solver, "rtol": 1e-6}
    run = hb.integrate(flow, EDGE, starts, **options)
    np.testing.assert_array_equal(run.status, [-1, 0, 0])
    assert_gone(run, run.status < 0, 2)
    np.testing.assert_allclose(run.position[0, run.time <= run.stop_time[0] - 0.01][-1, 0], 0.99, atol=0.08)
    for i in (1, 2):
        alone = hb.integrate(flow, EDGE, starts[i], **(options | {"rtol": 1e-9}))
        np.testing.assert_allclose(run.position[i], alone.position, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_edge_where_the_jacobian_is_singular(solver):
    """x' = -(√x + ½) crosses zero, where the root has neither slope nor value."""
    root = hb.Objective(lambda x: x[..., 0] ** 1.5 / 1.5 + x[..., 0] / 2, lambda x: np.sqrt(x) + 0.5, dim=1)
    start = np.array([0.5, 10.0, 0.1])
    run = hb.integrate(hb.GradientFlow(), root, start[:, None], duration=2.0, method=solver, rtol=1e-6)
    np.testing.assert_array_equal(run.status, [-1, 0, -1])
    # With u = √x: t = ∫ 2u/(u + ½) du = 2u - ln(1 + 2u) down from u = √x0.
    u = np.sqrt(start[[0, 2]])
    np.testing.assert_allclose(run.stop_time[[0, 2]], 2 * u - np.log(1 + 2 * u), rtol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_all_of_them_blow_up(solver):
    run = hb.integrate(hb.GradientFlow(), QUARTIC, [[1.0], [2.0]], duration=3.0, method=solver, rtol=1e-6)
    assert_gone(run, np.array([True, True]))
    np.testing.assert_allclose(run.stop_time, [0.5, 0.125], rtol=2e-4)
    alone = hb.integrate(hb.GradientFlow(), QUARTIC, [1.0], duration=3.0, method=solver, rtol=1e-6)
    assert alone.status == hb.Status.DIVERGED
    assert alone.stop_time == pytest.approx(0.5, rel=2e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_gradient_at_the_start(solver):
    """Solvers would try for ever."""
    run = hb.integrate(hb.GradientFlow(), EDGE, [[2.0, 1.0], [0.1, 1.0]], duration=1.0, method=solver, rtol=1e-6)
    np.testing.assert_array_equal(run.status, [-1, 0])
    assert run.stop_time[0] == 0.0
    np.testing.assert_array_equal(run.position[0, 0], [2.0, 1.0])
    assert np.isnan(run.position[0, 1:]).all()
    np.testing.assert_allclose(run.position[1, :, 1], np.exp(-run.time), atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_stops_at_many_different_times(solver):
    """x0 e^{-t} falls to the bound at ln(x0 / bound); who is below it already stops at the start."""
    start = np.array([0.4, 3.0, 0.5, 0.75, 40.0, 1.5, 0.75])[:, None]
    run = hb.integrate(hb.GradientFlow(), DECAY, start, duration=3.0, method=solver, rtol=1e-7,
                       stop_when={"gradient_norm": 0.5})  # fmt: skip
    np.testing.assert_array_equal(run.status, [1, 1, 1, 1, 0, 1, 1])
    assert run.success.all()
    stopped = run.status == hb.Status.STOPPED
    exact = np.maximum(np.log(start[stopped, 0] / 0.5), 0.0)
    np.testing.assert_allclose(run.stop_time[stopped], exact, atol=1e-4)
    assert np.isnan(run.stop_time[4])
    frozen = np.where(stopped, run.stop_time, np.inf)[:, None]
    curve = start * np.exp(-np.minimum(run.time, frozen))
    np.testing.assert_allclose(run.position[..., 0], curve, rtol=1e-3 if solver == "BDF" else 1e-4)
    for i in np.flatnonzero(stopped):
        after = run.position[i, run.time > run.stop_time[i]]
        np.testing.assert_array_equal(after, np.broadcast_to(run.state.position[i], after.shape))
    np.testing.assert_allclose(run.gradient_norm[[1, 3, 5, 6], -1], 0.5, rtol=1e-10)


def test_bounds_on_value_and_on_both():
    start = np.array([[1.0], [2.0]])
    value = hb.integrate(hb.GradientFlow(), DECAY, start, duration=3.0, stop_when={"value": 0.08})
    np.testing.assert_allclose(value.stop_time, np.log(start[:, 0] / 0.4), atol=1e-7)
    for bounds, x in (({"value": 0.08, "gradient_norm": 0.1}, 0.4), ({"value": 0.005, "gradient_norm": 0.3}, 0.3)):
        both = hb.integrate(hb.GradientFlow(), DECAY, start, duration=3.0, stop_when=bounds)
        np.testing.assert_allclose(both.stop_time, np.log(start[:, 0] / x), atol=1e-7)


def test_overdamped_ball_stops_where_the_closed_form_says():
    """x = c₊e^{s₊t} + c₋e^{s₋t} from rest, both roots real."""
    run = hb.integrate(hb.HeavyBallFlow(1.0, 8.0), DECAY, [1.0], duration=60.0, stop_when={"gradient_norm": 1e-3})
    slow, fast = -4 + np.sqrt(15), -4 - np.sqrt(15)
    assert run.stop_time == pytest.approx(np.log(1e-3 * (fast - slow) / fast) / slow, rel=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("units", [-2, -1, 0, 1, 2, 40])
def test_an_event_at_the_very_end(solver, units):
    end = np.log(2.0) * (1 + units * np.finfo(float).eps)
    starts, bounds = [[1.0], [2.0], [1.0 + 1e-15]], {"gradient_norm": 0.5}
    run = hb.integrate(hb.GradientFlow(), DECAY, starts, duration=end, method=solver, stop_when=bounds)
    assert run.status[1] == hb.Status.COMPLETED
    assert np.isin(run.status, [0, 1]).all()
    np.testing.assert_allclose(run.position[:, -1, 0], [0.5, 1.0, 0.5], rtol=1e-5)
    np.testing.assert_allclose(run.state.position[:, 0], [0.5, 1.0, 0.5], rtol=1e-5)


def test_an_event_at_a_saved_time():
    """The row at the event belongs to the run, the rows after it are frozen."""
    line = hb.Objective(lambda x: x[..., 0], np.ones_like, dim=1)
    run = hb.integrate(hb.GradientFlow(), line, [[1.0], [2.0], [4.0]], times=[0.0, 0.5, 1.0, 2.0, 3.0],
                       stop_when={"value": 0.0})  # fmt: skip
    np.testing.assert_allclose(run.stop_time, [1.0, 2.0, np.nan], rtol=1e-13)
    exact = [[1, 0.5, 0, 0, 0], [2, 1.5, 1, 0, 0], [4, 3.5, 3, 2, 1]]
    np.testing.assert_allclose(run.position[..., 0], exact, atol=1e-13)


def test_stops_and_blowups_together():
    """One without a gradient does not hide the stops of others; thirty of them end one after the other."""
    growing, falling = np.linspace(0.8, 1.5, 15), np.linspace(1.0, 3.0, 15)
    loss = hb.Objective(
        lambda x: -(x[..., 0] ** 4) / 4 + x[..., 1] ** 2 / 2,
        lambda x: np.stack([-(x[..., 0] ** 3), x[..., 1]], axis=-1), dim=2,
    )  # fmt: skip
    starts = np.concatenate([np.stack([growing, 0 * growing], -1), np.stack([0 * falling, falling], -1)])
    run = hb.integrate(hb.GradientFlow(), loss, starts, duration=2.0, method="DOP853", rtol=1e-6, atol=1e-9,
                       stop_when={"gradient_norm": 0.5})  # fmt: skip
    np.testing.assert_array_equal(run.status, np.repeat([-1, 1], 15))
    np.testing.assert_allclose(run.stop_time[:15], 1 / (2 * growing**2), rtol=1e-5)
    np.testing.assert_allclose(run.stop_time[15:], np.log(2 * falling), rtol=1e-5)


def test_resuming_after_a_stop():
    run = hb.integrate(hb.GradientFlow(), DECAY, [1.0], duration=3.0, stop_when={"gradient_norm": 0.5})
    rest = hb.integrate(hb.GradientFlow(), DECAY, run.state, duration=1.0)
    np.testing.assert_allclose(rest.position[-1], 0.5 * np.exp(-1.0), rtol=1e-7)


def test_the_culprit_is_found_beside_one_at_a_zero_of_its_coordinates():
    """A coordinate that passes through zero with zero slope has no size to compare its change with."""
    loss = hb.Objective(
        lambda x: -(x[..., 0] ** 4) / 4 + x[..., 1] * x[..., 0],
        lambda x: np.stack([-(x[..., 0] ** 3) + x[..., 1], x[..., 0]], axis=-1), dim=2,
    )  # fmt: skip
    stack = Stack(hb.GradientFlow(), loss, hb.PositionState(0.0), 3, "DOP853")
    blocks = np.array([[[0.0, 1.0], [1e7, 0.0], [0.3, 0.2]]])
    np.testing.assert_array_equal(_stuck(stack, 0.5, stack.vector(blocks), 1.0), [False, True, False])
