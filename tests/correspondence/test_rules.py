"""The table of rules against formulas written down a second time, symbolically."""

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose

from heavyball_dynamics import RULES, HeavyBall, Nesterov, Physical, to_physical

m, c, h, lr = sympy.symbols("m gamma h eta", positive=True)
b = sympy.Symbol("beta", positive=True)
v, g = sympy.symbols("v g")
half = sympy.Rational(1, 2)

# momentum, learning rate, time step given m, damping given m and h
TABLE = {
    "explicit": (1 - c * h / m, h**2 / m, sympy.sqrt(m * lr), (1 - b) * m / h),
    "implicit": (m / (m + c * h), h**2 / (m + c * h), sympy.sqrt(m * lr / b), m * (1 - b) / (b * h)),
    "exponential": (sympy.exp(-c * h / m), h**2 / m, sympy.sqrt(m * lr), -m * sympy.log(b) / h),
    "central": (
        (1 - c * h / (2 * m)) / (1 + c * h / (2 * m)), (h**2 / m) / (1 + c * h / (2 * m)),
        sympy.sqrt(2 * m * lr / (1 + b)), 2 * m * (1 - b) / ((1 + b) * h),
    ),
}  # fmt: skip
ORDERS = {"central": 2, "explicit": 1, "implicit": 1, "exponential": 1}


def same(one, other):
    return sympy.simplify(one - other) == 0


def test_every_rule_is_tested():
    assert set(RULES) == set(TABLE)
    assert {name: rule.order for name, rule in RULES.items()} == ORDERS


@pytest.mark.parametrize("name", RULES)
def test_the_table(name):
    momentum, rate, dt, damping = TABLE[name]
    method = Physical(m, c, h, name).method()
    assert same(method.momentum, momentum)
    assert same(method.lr, rate)
    reading = to_physical(HeavyBall(lr, b), mass=m, rule=name)
    assert same(reading.dt, dt)
    assert same(reading.damping, damping.subs(h, dt))
    by_step = to_physical(Nesterov(lr, b), dt=h, rule=name)
    assert same(by_step.mass, sympy.solve(dt - h, m)[0])
    assert same(by_step.damping, damping.subs(m, by_step.mass))


@pytest.mark.parametrize("name", RULES)
def test_reading_inverts_writing(name):
    method = Physical(m, c, h, name).method()
    reading = to_physical(method, mass=m, rule=name)
    values = {m: 1.7, c: 0.9, h: 0.3}
    assert_allclose(float(reading.dt.subs(values)), 0.3, rtol=1e-14)
    assert_allclose(float(reading.damping.subs(values)), 0.9, rtol=1e-14)


@pytest.mark.parametrize("name", RULES)
def test_the_matched_start_is_the_general_formula(name):
    """V_0 = (h v_0 + h²a_0/2 + η∇f)/β with a_0 = -(γv_0 + ∇f)/m, with whatever cancels in it divided out."""
    momentum, rate, _, _ = TABLE[name]
    acceleration = -(c * v + g) / m
    general = (h * v + half * h**2 * acceleration + rate * g) / momentum
    assert same(Physical(m, c, h, name).start_displacement(v, g), general)


def test_the_central_start_in_closed_form():
    expected = h * v * (1 + c * h / (2 * m)) + h**2 / (2 * m) * g
    assert same(Physical(m, c, h).start_displacement(v, g), expected)


def test_a_zero_buffer_is_the_flow_from_the_start_velocity():
    """Exactly for the central rule, up to third order in h for the others (where V_0 is of first order)."""
    for name in RULES:
        physical = Physical(m, c, h, name)
        velocity = physical.start_velocity(g)
        assert same(velocity, -TABLE[name][1] / (2 * h) * g)
        residue = physical.start_displacement(velocity, g)
        if name == "central":
            assert same(residue, 0)
        else:
            assert sympy.series(residue, h, 0, 3).removeO() == 0


@pytest.mark.parametrize("name", RULES)
def test_the_two_shares_are_one(name):
    rule = RULES[name]
    decay = np.array([1e-9, 1e-3, 0.4, 0.9, 3.0])
    momentum = rule.momentum(decay)
    assert_allclose(rule.share_at(momentum), rule.share(decay), rtol=1e-14)
    assert_allclose(rule.decay(momentum), decay, rtol=1e-14, atol=1e-15)


def test_explicit_friction_is_semi_implicit_euler():
    physical = Physical(m, c, h, "explicit")
    old = sympy.Symbol("V") / h
    new = old + h * (-c * old - g) / m
    method = physical.method()
    assert same(method.momentum * old * h - method.lr * g, h * new)
