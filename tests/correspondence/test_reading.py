"""Mass, damping and time step read back: round trips, the free gauge, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from heavyball_dynamics import (
    RULES,
    DampenedHeavyBall,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Nesterov,
    Physical,
    to_physical,
)

EPS = np.finfo(np.float64).eps
rules = st.sampled_from(sorted(RULES))
scales = st.floats(1e-4, 1e4)


def batches(elements):
    return elements | arrays(np.float64, (3,), elements=elements)


@given(rule=rules, lr=batches(scales), momentum=batches(st.floats(0.01, 0.99999)), mass=scales, nesterov=st.booleans())
@settings(deadline=None, max_examples=80)
def test_method_to_physical_and_back(rule, lr, momentum, mass, nesterov):
    method = (Nesterov if nesterov else HeavyBall)(lr, momentum)
    for choice in ({"mass": mass}, {"dt": mass}, {}):
        physical = to_physical(method, rule=rule, **choice)
        again = physical.method()
        assert type(again) is type(method)
        assert_allclose(again.lr, np.broadcast_to(lr, np.shape(again.lr)), rtol=16 * EPS)
        assert_allclose(again.momentum, np.broadcast_to(momentum, np.shape(again.momentum)), rtol=0, atol=8 * EPS)
        # What drives the damping is 1 - β, and it keeps every digit that the float β has of it.
        if rule == "explicit":
            decay = physical.damping * physical.dt / physical.mass
            assert_allclose(decay, np.broadcast_to(1 - momentum, np.shape(decay)), rtol=8 * EPS)


@given(rule=rules, mass=batches(scales), dt=scales, decay=batches(st.floats(1e-5, 0.9)), ahead=st.booleans())
@settings(deadline=None, max_examples=80)
def test_physical_to_method_and_back(rule, mass, dt, decay, ahead):
    physical = Physical(mass, decay * mass / dt, dt, rule, look_ahead=ahead)
    readings = [to_physical(physical.method(), mass=mass, rule=rule), to_physical(physical.method(), dt=dt, rule=rule)]
    for again in readings:
        assert (again.rule, again.look_ahead) == (rule, ahead)
        shape = np.broadcast_shapes(np.shape(mass), np.shape(decay))
        for name, slack in (("mass", 16.0), ("dt", 16.0), ("damping", 16 * (1 + 4 / np.min(decay)))):
            one, other = (np.broadcast_to(getattr(p, name), shape) for p in (again, physical))
            # The momentum is rounded to a float near 1, which costs the damping a relative eps/decay.
            assert_allclose(one, other, rtol=slack * EPS)


@pytest.mark.parametrize("rule", RULES)
def test_values_that_floats_hold_exactly(rule):
    physical = to_physical(HeavyBall(1.0, 1.0), rule=rule)
    assert physical == Physical(1.0, 0.0, 1.0, rule)
    assert physical.method() == HeavyBall(1.0, 1.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("gap", [2.0**-10, 2.0**-30, 2.0**-50])
def test_damping_near_momentum_one_keeps_its_digits(rule, gap):
    """Against exact series: decay = gap (explicit), gap/(1-gap), -ln(1-gap), 2 gap/(2-gap)."""
    exact = {"explicit": gap, "implicit": gap / (1 - gap), "exponential": -np.log1p(-gap),
             "central": 2 * gap / (2 - gap)}[rule]  # fmt: skip
    physical = to_physical(HeavyBall(1.0, 1.0 - gap), dt=1.0, rule=rule)
    assert_allclose(physical.damping / physical.mass, exact, rtol=4 * EPS)


def test_the_gauge_is_free():
    """The damping ratio γ/(2√(mλ)) and the phase per step h√(λ/m) do not know which mass was chosen."""
    method, curvature = HeavyBall(0.02, 0.9), 3.0
    for rule in RULES:
        readings = [to_physical(method, rule=rule, **c) for c in ({}, {"mass": 7.0}, {"dt": 0.01}, {"dt": 30.0})]
        ratios = [p.damping / (2 * np.sqrt(p.mass * curvature)) for p in readings]
        phases = [p.dt * np.sqrt(curvature / p.mass) for p in readings]
        assert_allclose(ratios, ratios[0], rtol=1e-14)
        assert_allclose(phases, phases[0], rtol=1e-14)


@pytest.mark.parametrize("rule", RULES)
def test_momentum_above_one_is_negative_damping(rule):
    physical = to_physical(HeavyBall(0.1, 1.2), rule=rule)
    assert physical.damping < 0
    assert_allclose(physical.momentum, 1.2, rtol=1e-15)


def test_negative_momentum():
    assert_allclose(to_physical(HeavyBall(0.1, -0.5)).momentum, -0.5, rtol=1e-15)
    assert_allclose(to_physical(HeavyBall(0.1, -3.0), rule="explicit").momentum, -3.0, rtol=1e-15)


def test_dampening_enters_by_the_effective_learning_rate():
    assert to_physical(DampenedHeavyBall(0.4, 0.9, 0.5)) == to_physical(HeavyBall(0.2, 0.9))


def test_batches_broadcast_against_the_choice():
    lr, mass = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0])[:, None]
    physical = to_physical(HeavyBall(lr, 0.9), mass=mass)
    assert physical.dt.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            single = to_physical(HeavyBall(lr[j], 0.9), mass=mass[i, 0])
            assert_allclose(physical.dt[i, j], single.dt, rtol=1e-15)
            assert_allclose(physical.damping[i, j], single.damping, rtol=1e-15)


@pytest.mark.parametrize(("method", "arguments", "error", "message"), [
    (HeavyBall(0.1, 0.9), {"mass": 1.0, "dt": 1.0}, ValueError, "`mass` and `dt` must not both be given"),
    (HeavyBall(0.1, 0.9), {"mass": -1.0}, ValueError, "`mass` must be > 0. Received -1.0"),
    (HeavyBall(0.1, 0.9), {"dt": 0.0}, ValueError, "`dt` must be > 0. Received 0.0"),
    (HeavyBall(0.1, 0.9), {"rule": "leapfrog"}, ValueError, "`rule` must be one of 'central'.*Received 'leapfrog'"),
    (HeavyBall([0.1, 0.2], 0.9), {"mass": [1, 2, 3]}, ValueError, "must broadcast"),
    (HeavyBall([0.1, 0.2], 0.9), {"dt": [1, 2, 3]}, ValueError, "must broadcast"),
    (HeavyBall([0.1, 0.0], 0.9), {}, ValueError, r"`lr` must be > 0. Received 0.0 at index \(1,\)"),
    (DampenedHeavyBall(0.1, 0.9, 1.0), {}, ValueError, r"`lr·\(1 - dampening\)` must be > 0. Received 0.0"),
    (HeavyBall(0.1, -1.0), {}, ValueError, "`momentum` must be > -1 under the central rule. Received -1.0"),
    (HeavyBall(0.1, 0.0), {"rule": "implicit"}, ValueError, "`momentum` must be > 0 under the implicit rule"),
    (HeavyBall(0.1, [0.5, 0.0]), {"rule": "exponential"}, ValueError, r"exponential rule.*0.0 at index \(1,\)"),
    (GradientDescent(0.1), {}, TypeError, r"gradient descent has no mass.*GradientFlow.*HeavyBall\(lr, 0.0\)"),
    (GradientFlow(), {}, TypeError, "`method` must be a HeavyBall, Nesterov or DampenedHeavyBall.*GradientFlow"),
])  # fmt: skip
def test_refusals(method, arguments, error, message):
    with pytest.raises(error, match=message):
        to_physical(method, **arguments)
