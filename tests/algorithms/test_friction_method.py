"""The heavy ball with friction: its relatives, where it sticks, and the order at which it approaches the flow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.friction import PowerFriction
from heavyball_dynamics.algorithms.friction_method import FrictionMethod

BOWL = hb.Quadratic([[2.0, 0.5], [0.5, 1.0]])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.7, 2.0, 3.0])
def test_without_friction_it_is_the_heavy_ball(power):
    for mass in (1.0, 0.3):
        method = FrictionMethod(0.013, 0.87, PowerFriction(0.0, power), mass)
        run, plain = (
            hb.iterate(m, hb.rosenbrock(), [-1.0, 1.0], 200, velocity=[0.01, 0.02])
            for m in (method, hb.HeavyBall(0.013, 0.87))
        )
        assert_array_equal(run.position, plain.position)
        assert_array_equal(run.energy, plain.energy)


@pytest.mark.parametrize(("lr", "a", "mass"), [(0.04, 0.7, 1.0), (0.3, 2.0, 0.5)])
def test_viscous_friction_makes_another_heavy_ball(lr, a, mass):
    share = 1 + a * np.sqrt(lr / mass)
    method, other = FrictionMethod(lr, 0.9, PowerFriction(a, 1.0), mass), hb.HeavyBall(lr / share, 0.9 / share)
    run, plain = (hb.iterate(m, BOWL, [1.0, -2.0], 50, velocity=[0.1, 0.1]) for m in (method, other))
    assert_allclose(run.position, plain.position, atol=1e-13)
    curvature = np.array([0.1, 1.0, 3.0])
    assert_allclose(hb.analyze_modes(method, curvature).poles, hb.analyze_modes(other, curvature).poles, rtol=1e-9)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_its_equation(power, rng):
    lr, beta, a, mass = 0.07, 0.8, 0.6, 1.7
    method, h = FrictionMethod(lr, beta, PowerFriction(a, power), mass), np.sqrt(mass * lr)
    position, before = rng.normal(size=(2, 6, 2))
    after = method.step(0, method.init(position, before, BOWL), BOWL)
    free = beta * before - lr * BOWL.gradient(position)
    moving = np.linalg.norm(after.velocity, axis=-1) > 0
    left = after.velocity - lr * PowerFriction(a, power).force(after.velocity / h)
    assert moving.sum() >= 4
    assert_allclose(left[moving], free[moving], rtol=1e-12)
    assert_array_equal(after.position, position + after.velocity)


def test_dry_friction_thresholds_whatever_the_mass(rng):
    position, before = rng.normal(size=(2, 50, 2))
    law, lr = PowerFriction(1.5, 0.0), 0.3
    steps = [FrictionMethod(lr, 0.8, law, m).step(0, hb.PhaseState(position, before), BOWL) for m in (1.0, 7.3)]
    assert_array_equal(steps[0].velocity, steps[1].velocity)
    free = 0.8 * before - lr * BOWL.gradient(position)
    size = np.linalg.norm(free, axis=-1, keepdims=True)
    assert_allclose(steps[0].velocity, free * np.maximum(1 - lr * 1.5 / size, 0), atol=1e-15)


def test_sticks_exactly_where_friction_can_hold():
    method = FrictionMethod(0.3, 0.9, PowerFriction(0.5, 0.0))
    for angle in np.linspace(0, 6, 7):
        pull = 0.5 * np.array([np.cos(angle), np.sin(angle)])
        held = np.linalg.solve(BOWL.hessian(np.zeros(2)), pull)
        run = hb.iterate(method, BOWL, (1 - 1e-12) * held, 50)
        assert_array_equal(run.position, np.broadcast_to(run.position[0], run.position.shape))
        assert np.linalg.norm(hb.iterate(method, BOWL, (1 + 1e-12) * held, 1).velocity[-1]) > 0
    # In a run it stops in finite time, for good, inside that region.
    run = hb.iterate(method, BOWL, [3.0, -2.0], 400)
    assert_array_equal(run.velocity[-100:], 0.0)
    assert_array_equal(run.position[-100:], np.broadcast_to(run.position[-1], (100, 2)))
    assert 0 < run.gradient_norm[-1] <= 0.5


@pytest.mark.parametrize("power", [0.0, 0.5, 1.5, 2.0])
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_order_one_to_the_flow(power, gamma):
    """Through reversals, and for dry friction past the place where it stops."""
    mass, law = 1.3, PowerFriction(0.4, power)
    flow, end = hb.HeavyBallFlow(mass, gamma, law), 16.0
    loss = hb.Quadratic([1.0])
    steps = [800, 1600, 3200, 6400] if power == 0 else [1600, 3200]
    exact = hb.integrate(flow, loss, [3.0], [0.5], times=np.linspace(0, end, 17), rtol=1e-10, atol=1e-12)
    errors = []
    for n in steps:
        h = end / n
        method = FrictionMethod(h**2 / mass, 1 - gamma * h / mass, law, mass)
        run = hb.iterate(method, loss, [3.0], n, velocity=[0.5 * h], save_every=n // 16)
        errors.append(np.abs(run.position - exact.position).max())
    assert errors[-1] < 0.02
    # The step at which a ball turns or stops has a whole number: so much the errors of dry friction scatter.
    assert_allclose(-np.polyfit(np.log(steps), np.log(errors), 1)[0], 1.0, atol=0.3 if power == 0 else 0.1)
    assert bool(exact.velocity[-1, 0] == 0) == (power == 0)


def test_batches():
    lr, a, p = np.array([0.01, 0.1, 0.2]), np.array([[0.1], [0.5]]), np.array([0.0, 0.5, 2.0])
    run = hb.iterate(FrictionMethod(lr, 0.9, PowerFriction(a, p), mass=a), BOWL, [1.0, -2.0], 60)
    assert run.position.shape == (2, 3, 61, 2)
    for i, j in np.ndindex(2, 3):
        one = hb.iterate(FrictionMethod(lr[j], 0.9, PowerFriction(a[i, 0], p[j]), a[i, 0]), BOWL, [1.0, -2.0], 60)
        assert_allclose(run.position[i, j], one.position, rtol=1e-12, atol=1e-14)


def test_energy_falls_and_goes_into_friction():
    # With β = 1 friction is all that takes energy; the shadow energy of the free ball keeps account to order h.
    law, lr = PowerFriction(0.4, 0.0), 1e-5
    run = hb.iterate(FrictionMethod(lr, 1.0, law), hb.Quadratic([1.0]), [3.0], 4000)
    path = np.abs(np.diff(run.position[:, 0])).sum()
    assert_allclose(run.energy[0] - run.energy[-1], 0.4 * path, rtol=5e-3)


def test_without_steps_it_keeps_its_momentum():
    for power in (0.0, 0.5, 2.0, 3.0):
        method = FrictionMethod(0.0, 0.5, PowerFriction(1.0, power))
        assert_array_equal(hb.iterate(method, BOWL, [0.0, 0.0], 2, velocity=[4.0, 8.0]).velocity[-1], [1.0, 2.0])


@pytest.mark.parametrize(("lr", "power"), [(1e-6, 106.0), (1e-8, 80.0), (0.1, 620.0), (1e-3, 1e4), (1e-3, 2.001)])
@pytest.mark.parametrize("mass", [1.0, 1e-3])
def test_large_powers(lr, power, mass):
    """η/h^p leaves the range of numbers; V does not: it solves V + ηa(V/h)^p = g."""
    h = np.sqrt(mass * lr)
    method = FrictionMethod(lr, 0.9, PowerFriction(2.0, power), mass)
    for fast in (0.5, 1.0, 30.0):
        free = -fast * h
        state = hb.PhaseState(np.zeros(1), np.array([free / 0.9]))
        after = float(method.step(0, state, hb.Quadratic([1.0])).velocity[0])
        # Beyond this speed friction alone is more than g.
        most = min(fast, (0.5 * fast * h / lr) ** (1 / power))
        speed = brentq(lambda u, g=fast: u + lr / h * 2.0 * u**power - g, 0, most, xtol=1e-300, rtol=1e-14)
        assert_allclose(after, -speed * h, rtol=1e-12)
    run = hb.iterate(method, hb.Quadratic([1.0]), [3.0], 50)
    assert run.status == hb.Status.COMPLETED
    both = FrictionMethod(lr, 0.9, PowerFriction(2.0, np.array([power, 0.5])), mass)
    assert_array_equal(hb.iterate(both, hb.Quadratic([1.0]), [3.0], 50).position[0], run.position)


@pytest.mark.parametrize(("power", "wanted"), [
    (0, "Piecewise((1 - a*eta/Abs(V), Abs(V) > a*eta), (0, True))"), (1, "1/(1 + a*sqrt(eta/m))"),
    (2, "2/(1 + sqrt(1 + 4*a*Abs(V)/m))"),
])  # fmt: skip
def test_formulas_are_exact(power, wanted):
    sympy = pytest.importorskip("sympy")
    eta, a, m, beta = sympy.symbols("eta a m beta", positive=True)
    V = sympy.Symbol("V")
    for mass in (m, 1.0):
        method = FrictionMethod(eta, beta, PowerFriction(a, power), mass)
        found = method.step(0, hb.PhaseState(sympy.Integer(0), V / beta), _Flat()).velocity
        assert not found.atoms(sympy.Float)
        right = sympy.sympify(wanted, locals={"eta": eta, "a": a, "m": m if mass is m else 1, "V": V}) * V
        assert sympy.simplify(found - right) == 0


class _Flat:
    def gradient(self, position):
        return 0 * position


def test_formula():
    sympy = pytest.importorskip("sympy")
    lr, beta, a = sympy.symbols("lr beta a", positive=True)
    found = hb.characteristic_polynomial(FrictionMethod(lr, beta, PowerFriction(a, 1), 1), curvature=1)
    share, z = 1 + a * sympy.sqrt(lr), found.gen
    wanted = z**2 - (1 + beta / share - lr / share) * z + beta / share
    assert sympy.simplify(found.as_expr() - wanted) == 0


class TestRefusals:
    def test_numbers(self):
        law = PowerFriction(1.0, 0.0)
        with pytest.raises(ValueError, match="`lr` must be >= 0"):
            FrictionMethod(-0.1, 0.9, law)
        with pytest.raises(ValueError, match="`mass` must be > 0"):
            FrictionMethod(0.1, 0.9, law, 0.0)
        with pytest.raises(ValueError, match="`momentum` must be finite"):
            FrictionMethod(0.1, np.nan, law)
        with pytest.raises(ValueError, match="must broadcast"):
            FrictionMethod(np.ones(2), 0.9, PowerFriction(np.ones(3), 0.0))

    @pytest.mark.parametrize("wrong", [None, 0.5, PowerFriction])
    def test_friction(self, wrong):
        with pytest.raises(TypeError, match="`friction` must be a PowerFriction"):
            FrictionMethod(0.1, 0.9, wrong)

    def test_no_mass_is_read_back(self):
        with pytest.raises(TypeError, match="`method` must be a HeavyBall"):
            hb.to_physical(FrictionMethod(0.1, 0.9, PowerFriction(1.0, 1.0)))
