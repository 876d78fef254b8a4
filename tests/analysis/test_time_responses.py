"""Step and impulse responses, against python-control, closed forms and runs."""

import control
import numpy as np
import pytest
from numpy.testing import assert_allclose

import heavyball_dynamics as hb

RULES = [hb.GradientDescent(0.3), hb.HeavyBall(0.1, 0.9), hb.Nesterov(0.1, 0.9),
         hb.AggregatedMomentum(0.05, (0.0, 0.9, 0.99))]  # fmt: skip
FLOWS = [hb.GradientFlow(), hb.HeavyBallFlow(2.0, 0.7)]


@pytest.mark.parametrize("rule", RULES + FLOWS, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("force", ["step", "impulse"])
@pytest.mark.parametrize("curvature", [None, 0.8])
def test_python_control_agrees(rule, force, curvature):
    flow = rule in FLOWS
    times = np.linspace(0, 20, 41) if flow else np.arange(30.0)
    for output in ("displacement", "position", "query", *(("sensitivity", "loop") if curvature else ())):
        system = hb.signal_system(rule, curvature=curvature, output=output)
        respond = control.step_response if force == "step" else control.impulse_response
        direct = np.any(system.D != 0)
        if flow and direct and force == "impulse":
            continue  # python-control refuses to draw a delta
        expected = respond(system, times).outputs
        found = hb.time_response(rule, times if flow else 30, force=force, curvature=curvature, output=output)
        values = found.response if curvature is None else found.response[:, 0]
        assert_allclose(values, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())
        assert_allclose(found.time, times)


def test_weights_are_an_impulse_response():
    method = hb.Nesterov(np.array([0.1, 0.2]), 0.8)
    found = hb.time_response(method, 25, force="impulse")
    assert_allclose(found.response, hb.impulse_response(method, steps=25).weights, rtol=1e-12)


def test_a_step_on_a_spring_is_a_run():
    """A force that sets in moves the minimum to f/λ."""
    curvature = np.array([0.5, 4.0])
    method = hb.HeavyBall(0.1, 0.9)
    run = hb.iterate(method, hb.Quadratic(curvature, linear=[-1.0, -1.0]), [0.0, 0.0], 60)
    found = hb.time_response(method, 61, curvature=curvature, output="position")
    assert_allclose(found.response, run.position, atol=1e-13)
    flow = hb.HeavyBallFlow(1.0, 0.3)
    times = np.array([0.0, 0.1, 3.0, 7.0])
    path = hb.integrate(flow, hb.Quadratic(curvature, linear=[-1.0, -1.0]), [0.0, 0.0], times=times, rtol=1e-11,
                        atol=1e-13)  # fmt: skip
    found = hb.time_response(flow, times, curvature=curvature, output="position")
    assert_allclose(found.response, path.position, atol=1e-9)


def test_batches():
    lr, curvature = np.array([[0.1], [0.2]]), np.array([[1.0, 3.0]])
    found = hb.time_response(hb.HeavyBall(lr, [0.5, 0.7, 0.9]), 12, curvature=np.broadcast_to(curvature, (2, 3, 2)))
    assert found.response.shape == (2, 3, 12, 2)
    alone = hb.time_response(hb.HeavyBall(0.2, 0.7), 12, curvature=[1.0, 3.0])
    assert_allclose(found.response[1, 1], alone.response, rtol=1e-13, atol=1e-16)
    flows = hb.time_response(hb.HeavyBallFlow(np.array([1.0, 2.0]), 0.5), [0.5, 1.0])
    assert_allclose(flows.response[1], hb.time_response(hb.HeavyBallFlow(2.0, 0.5), [0.5, 1.0]).response, rtol=1e-13)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: hb.time_response(RULES[1], 5, force="ramp"), ValueError, "`force` must be one of 'step', 'impulse'"),
    (lambda: hb.time_response(RULES[1], 2.5), TypeError, "`times` must be a whole number >= 1"),
    (lambda: hb.time_response(FLOWS[1], [0.0, -1.0]), ValueError, r"`times` must be >= 0. Received -1.0 at index"),
    (lambda: hb.time_response(FLOWS[1], [[0.0]]), ValueError, "one-dimensional"),
    (lambda: hb.signal_system(RULES[1], curvature=[1.0]), ValueError, r"one mode. Received shape \(1,\)"),
    (lambda: hb.signal_system(hb.HeavyBall([0.1], 0.5)), ValueError, "python-control has no batches"),
    (lambda: hb.signal_system(hb.HeavyBall([0.1], 0.5), curvature=1.0), ValueError, "python-control has no batches"),
])  # fmt: skip
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("curvature", [1.0, 37.9, 38.1, 60.0])
def test_nyquists_curve_counts_unstable_poles(curvature):
    """python-control's Nyquist criterion on the loop gain: encirclements of -1 are unstable closed-loop poles."""
    method = hb.HeavyBall(0.1, 0.9)
    loop = hb.signal_system(method, curvature=curvature, output="loop")
    unstable = int(np.sum(np.abs(hb.analyze_modes(method, curvature).poles) > 1))
    assert control.nyquist_response(loop).count == unstable


def test_summary():
    found = hb.time_response(hb.HeavyBallFlow([1.0, 2.0], 0.4), [0.0, 1.0], curvature=[1.0, 2.0], output="position",
                             force="impulse")  # fmt: skip
    assert str(found).splitlines()[3] == (
        "[1] curvature 2, position under an impulse of force: from 0, between 0 and "
        f"{found.response[1, 1, 1]:.6g}, {found.response[1, 1, 1]:.6g} at 1"
    )
