"""The physical reading: its order of agreement with the flow, measured, and its starts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp

from heavyball_dynamics import RULES, HeavyBall, HeavyBallFlow, Nesterov, Physical


class Valley:
    """A loss in two coordinates whose curvature changes: ½x² + 2y² + ¼x²y² - cos(x + y)."""

    dim = 2

    def at(self, k):
        return self

    def value(self, p):
        x, y = p[..., 0], p[..., 1]
        return 0.5 * x**2 + 2 * y**2 + 0.25 * x**2 * y**2 - np.cos(x + y)

    def gradient(self, p):
        x, y = p[..., 0], p[..., 1]
        bend = np.sin(x + y)
        return np.stack([x + 0.5 * x * y**2 + bend, 4 * y + 0.5 * x**2 * y + bend], axis=-1)
    def hessian(self, p):
        x, y = p
        bend = np.cos(x + y)
        return np.array([[1 + 0.5 * y**2 + bend, x * y + bend], [x * y + bend, 4 + 0.5 * x**2 + bend]])


MASS, DAMPING, DURATION = 1.7, 0.9, 2.0
START, VELOCITY = np.array([1.2, -0.7]), np.array([-0.4, 0.9])
DTS = DURATION / np.array([100, 200, 400])


def flow(velocity, times, hessian_damping=0.0):
    """Return the flow's positions, (time, 2), from an integration that shares no code with the package."""

    def field(_, s):
        x, v = s[:2], s[2:]
        friction = DAMPING * v + hessian_damping * Valley().hessian(x) @ v
        return np.concatenate([v, -(friction + Valley().gradient(x)) / MASS])

    run = solve_ivp(field, (0, times[-1]), [*START, *velocity], "DOP853", t_eval=times, rtol=1e-12, atol=1e-13)
    return run.y[:2].T


def error(physical, displacement, velocity, *, hessian_damping=False):
    method = physical.method()
    state = method.init(START, displacement, Valley())
    points = [state.position]
    steps = round(DURATION / physical.dt)
    for k in range(steps):
        state = method.step(k, state, Valley())
        points.append(state.position)
    times = np.linspace(0, DURATION, steps + 1)
    exact = flow(velocity, times, physical.hessian_damping if hessian_damping else 0.0)
    return np.abs(np.array(points) - exact).max()


def slope(errors):
    """Return the order measured on the finest two dts."""
    return np.log2(errors[-2] / errors[-1])


@pytest.mark.parametrize("rule", RULES)
def test_order_from_the_matched_start(rule):
    gradient = Valley().gradient(START)
    physicals = [Physical(MASS, DAMPING, dt, rule) for dt in DTS]
    errors = [error(p, p.start_displacement(VELOCITY, gradient), VELOCITY) for p in physicals]
    assert physicals[0].order == {"central": 2}.get(rule, 1)
    assert abs(slope(errors) - physicals[0].order) < 0.1


@pytest.mark.parametrize("rule", RULES)
def test_order_from_the_naive_start_is_one(rule):
    errors = [error(Physical(MASS, DAMPING, dt, rule), dt * VELOCITY, VELOCITY) for dt in DTS]
    assert abs(slope(errors) - 1) < 0.1


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_buffer_is_the_flow_from_the_start_velocity(rule):
    gradient = Valley().gradient(START)
    physicals = [Physical(MASS, DAMPING, dt, rule) for dt in DTS]
    errors = [error(p, np.zeros(2), p.start_velocity(gradient)) for p in physicals]
    assert abs(slope(errors) - RULES[rule].order) < 0.1


def test_an_empty_buffer_is_not_the_flow_from_rest():
    """The first step is a full one: at second order the central rule tells the two apart."""
    errors = [error(Physical(MASS, DAMPING, dt), np.zeros(2), np.zeros(2)) for dt in DTS]
    assert abs(slope(errors) - 1) < 0.1


@pytest.mark.parametrize(("rule", "hessian_damping", "order"), [
    ("central", True, 2), ("central", False, 1), ("explicit", False, 1), ("implicit", False, 1),
    ("exponential", False, 1),
])  # fmt: skip
@pytest.mark.parametrize("empty", [False, True])
def test_order_of_the_look_ahead(rule, hessian_damping, order, empty):
    gradient = Valley().gradient(START)
    physicals = [Physical(MASS, DAMPING, dt, rule, look_ahead=True) for dt in DTS]
    errors = []
    for p in physicals:
        velocity = p.start_velocity(gradient) if empty else VELOCITY
        displacement = np.zeros(2) if empty else p.start_displacement(velocity, gradient)
        errors.append(error(p, displacement, velocity, hessian_damping=hessian_damping))
    assert physicals[0].order == 1
    assert abs(slope(errors) - order) < 0.1


def test_the_velocity_is_that_of_half_a_step_earlier():
    def field(_, s):
        return np.concatenate([s[2:], -(DAMPING * s[2:] + Valley().gradient(s[:2])) / MASS])

    errors = []
    for dt in DTS:
        displacement = Physical(MASS, DAMPING, dt).start_displacement(VELOCITY, Valley().gradient(START))
        back = solve_ivp(field, (0, -dt / 2), [*START, *VELOCITY], "DOP853", rtol=1e-12, atol=1e-13)
        errors.append(np.abs(displacement / dt - back.y[2:, -1]).max())
    assert abs(slope(errors) - 2) < 0.1


def test_what_it_is_made_of():
    physical = Physical(2.0, 1.0, 0.5)
    assert physical.flow == HeavyBallFlow(2.0, 1.0)
    assert physical.method() == HeavyBall(physical.lr, physical.momentum)
    assert physical.hessian_damping == 0.0
    ahead = Physical(2.0, 1.0, 0.5, look_ahead=True)
    assert ahead.method() == Nesterov(physical.lr, physical.momentum)
    assert ahead.hessian_damping == physical.momentum * 0.5
    assert ahead != physical


def test_without_momentum_only_the_central_rule_starts():
    """At γh = 2m (central) the first step holds no trace of V_0, yet the start is finite."""
    physical = Physical(1.0, 2.0, 1.0)
    assert physical.momentum == 0
    assert_array_equal(physical.start_displacement([1.0], [3.0]), [1.0 * 2 + 1.5])
    with pytest.raises(ValueError, match=r"`momentum` must be nonzero .* explicit rule. Received 0.0. .*central rule"):
        Physical(1.0, 1.0, 1.0, "explicit").start_displacement([1.0], [3.0])
    with pytest.raises(ValueError, match=r"Received 0.0 at index \(1,\)"):
        Physical(1.0, [0.5, 1.0], 1.0, "explicit").start_displacement([1.0], [3.0])


@pytest.mark.parametrize("rule", RULES)
def test_batches(rule):
    mass, damping, dt = np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.5, 0.0]), 0.3
    batch = Physical(mass, damping, dt, rule, look_ahead=True)
    rng = np.random.default_rng(0)
    velocity, gradient = rng.normal(size=(2, 3, 4))
    for i in range(3):
        single = Physical(mass[i], damping[i], dt, rule, look_ahead=True)
        for name in ("lr", "momentum", "hessian_damping"):
            assert_allclose(np.broadcast_to(getattr(batch, name), 3)[i], getattr(single, name), rtol=1e-15)
        assert_allclose(batch.start_velocity(gradient)[i], single.start_velocity(gradient[i]), rtol=1e-14)
        assert_allclose(
            batch.start_displacement(velocity, gradient)[i], single.start_displacement(velocity[i], gradient[i]),
            rtol=1e-13,
        )  # fmt: skip


def test_grids_broadcast():
    physical = Physical(1.0, np.array([0.1, 0.2])[:, None], np.array([0.1, 0.2, 0.3]))
    assert physical.momentum.shape == (2, 3)
    assert physical.start_displacement(np.ones(5), np.ones(5)).shape == (2, 3, 5)


def test_explicit_friction_may_overshoot():
    assert Physical(1.0, 3.0, 0.5, "explicit").momentum == -0.5


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((0.0, 1.0, 0.1), ValueError, "`mass` must be > 0. Received 0.0. Did you pass lr"),
    (([1.0, -0.2], 1.0, 0.1), ValueError, r"`mass` must be > 0. Received -0.2 at index \(1,\)"),
    ((1.0, np.nan, 0.1), ValueError, "`damping` must be finite. Received nan"),
    ((1.0, 1.0, -0.1), ValueError, "`dt` must be > 0. Received -0.1"),
    ((1.0, 1.0, 0.1, "euler"), ValueError,
     "`rule` must be one of 'central', 'explicit', 'implicit', 'exponential'. Received 'euler'"),
    ((1.0, 1.0, 0.1, "central", 1), TypeError, "`look_ahead` must be True or False. Received 1"),
    ((1.0, [1.0, -5.0], 0.5), ValueError,
     r"`damping` must be > -2·mass/dt under the central rule. Received -5.0 at index \(1,\)"),
    ((1.0, -2.0, 0.5, "implicit"), ValueError, "`damping` must be > -1·mass/dt under the implicit rule"),
    ((1.0, -1e3, 1.0, "exponential"), ValueError, "`damping` must be > -709·mass/dt under the exponential rule"),
    (([1.0, 2.0], [1.0, 2.0, 3.0], 0.5), ValueError, "batch axes of Physical must broadcast"),
])  # fmt: skip
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        Physical(*arguments)


def test_starts_refuse_what_is_no_vector():
    with pytest.raises(ValueError, match="`gradient_at_start` must be finite"):
        Physical(1.0, 1.0, 0.1).start_velocity([np.nan])
    with pytest.raises(ValueError, match="`velocity` must be finite"):
        Physical(1.0, 1.0, 0.1).start_displacement([np.inf], [0.0])
