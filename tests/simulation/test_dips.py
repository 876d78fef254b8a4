"""Bounds that are met inside a step: the first time counts, whatever the rest of the batch does."""

import numpy as np
import pytest
from scipy.optimize import brentq

import heavyball_dynamics as hb

DAMPING = np.array([0.1, 0.2, 0.5, 3.0])


def position(t, damping):
    """Exact solution of x'' + γx' + x = 0 from rest at 1."""
    roots = np.roots([1, damping, 1]).astype(complex)
    weights = np.array([-roots[1], roots[0]]) / (roots[0] - roots[1])
    return float((weights @ np.exp(roots * t)).real)


def first_time(damping, level):
    """When |x| first falls to a level: before it first passes through zero, where it does."""
    times = np.linspace(0, 60, 60_001)
    below = next(t for t in times if abs(position(t, damping)) < level or position(t, damping) < 0)
    return brentq(lambda t: position(t, damping) - level, below - 1e-3, below, xtol=1e-13)


@pytest.mark.parametrize("solver", ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"])
@pytest.mark.parametrize(("name", "bound", "level"), [
    ("value", 1e-2, np.sqrt(2e-2)), ("value", 1e-5, np.sqrt(2e-5)), ("gradient_norm", 1e-2, 1e-2),
])  # fmt: skip
def test_first_passage_of_an_oscillation(solver, name, bound, level):
    flow, loss = hb.HeavyBallFlow(1.0, DAMPING), hb.Quadratic([1.0])
    run = hb.integrate(flow, loss, [1.0], duration=60.0, stop_when={name: bound}, method=solver)
    expected = [first_time(damping, level) for damping in DAMPING]
    np.testing.assert_allclose(run.stop_time, expected, rtol=0, atol=2e-5)
    assert np.all(run.status == hb.Status.STOPPED)
    for i, damping in enumerate(DAMPING):
        alone = hb.integrate(
            hb.HeavyBallFlow(1.0, damping), loss, [1.0], duration=60.0, stop_when={name: bound}, method=solver
        )
        np.testing.assert_allclose(run.stop_time[i], alone.stop_time, rtol=0, atol=2e-5)


def test_the_curve_before_a_stop_inside_a_step_is_the_solvers():
    run = hb.integrate(hb.HeavyBallFlow(1.0, 0.1), hb.Quadratic([1.0]), [1.0], duration=5.0, stop_when={"value": 1e-5})
    before = run.time < run.stop_time
    exact = [position(t, 0.1) for t in run.time[before]]
    np.testing.assert_allclose(run.position[before, 0], exact, atol=1e-7)
    np.testing.assert_array_equal(run.position[~before, 0], run.position[-1, 0])
    assert abs(run.value[-1] - 1e-5) < 1e-8


def test_a_dip_that_stays_above_the_bound_does_not_stop():
    """|x|² with x = (cos, ½ sin)-like motion never falls below its smaller half axis."""
    loss = hb.Quadratic([1.0, 1.0])
    run = hb.integrate(hb.HeavyBallFlow(1.0, 0.0), loss, [1.0, 0.0], [0.0, 0.5], duration=20.0,
                       stop_when={"gradient_norm": 0.499})  # fmt: skip
    assert run.status == hb.Status.COMPLETED
    run = hb.integrate(hb.HeavyBallFlow(1.0, 0.0), loss, [1.0, 0.0], [0.0, 0.5], duration=20.0,
                       stop_when={"gradient_norm": 0.501})  # fmt: skip
    np.testing.assert_allclose(run.stop_time, np.arccos(np.sqrt((0.501**2 - 0.25) / 0.75)), atol=1e-6)
