"""The audit finds the structure that theory promises, and its loss where theory promises none."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb

QUADRATIC = hb.Quadratic([[2.0, 0.5], [0.5, 7.0]], linear=[0.3, -1.0])
COUPLED = hb.from_sympy("cosh(x) + x**2*y**2/4 + y**4/4", "x y", minimizer=[0.0, 0.0])
FLOW = hb.HeavyBallFlow(mass=1.3, damping=0.8)


@pytest.mark.parametrize("momentum", [0.2, 0.9, 1.0])
@pytest.mark.parametrize("objective", [QUADRATIC, COUPLED, hb.rosenbrock()])
def test_heavy_ball_is_conformally_symplectic_everywhere(momentum, objective):
    found = hb.audit(hb.HeavyBall(1e-3, momentum), objective, [0.6, -0.4], steps=40)
    assert_allclose(found.log_determinant, 2 * np.log(momentum), atol=1e-12)
    assert bool(found.is_conformal)
    assert not hb.audit(hb.Nesterov(1e-3, 0.9), objective, [0.6, -0.4], steps=40).is_conformal


@pytest.mark.parametrize(("lr", "momentum"), [(0.1, 0.9), (0.02, 0.3), (0.2, 1.0), (0.1, -0.4)])
def test_shadow_energy_keeps_account_exactly_on_quadratics(lr, momentum):
    """S_k - S_{k+1} = (1-β)V_k·(V_k + V_{k+1})/2η; with β = 1 this is the invariant V² + qx² - qxV of one mode."""
    found = hb.audit(hb.HeavyBall(lr, momentum), QUADRATIC, [1.0, -0.5], steps=100, velocity=[0.1, 0.2])
    assert np.abs(found.shadow_drift).max() < 1e-12
    assert np.abs(found.energy_drift).max() > 1e-3
    mode, q = hb.HeavyBall(0.2, 1.0), 0.2 * 3.0
    run = hb.iterate(mode, hb.Quadratic([3.0]), [1.0], 50)
    x, v = run.position[:, 0], run.velocity[:, 0]
    assert_allclose(v**2 + q * x**2 - q * x * v, q, rtol=1e-12)


def test_elsewhere_the_shadow_energy_drifts_one_order_less():
    """Over a fixed time: the energy by O(h), its shadow by O(h²)."""
    drifts = []
    for dt in (0.02, 0.01, 0.005):
        method = hb.discretize(FLOW, dt, "semi_implicit_euler")
        found = hb.audit(method, COUPLED, [1.0, 1.5], steps=round(2 / dt), velocity=[0.2, -0.3])
        drifts.append([np.abs(found.energy_drift).max(), np.abs(found.shadow_drift).max()])
    orders = np.log2(np.array(drifts[:-1]) / drifts[1:])
    assert_allclose(orders[:, 0], 1.0, atol=0.15)
    assert_allclose(orders[:, 1], 2.0, atol=0.15)


def test_the_flow_shrinks_volume_as_conformal_schemes_do():
    for name, exact in [("exponential", True), ("dissipative_leapfrog", True), ("semi_implicit_euler", False)]:
        found = hb.audit(hb.discretize(FLOW, 0.1, name), COUPLED, [1.0, 1.0], steps=20)
        assert bool(found.is_conformal)
        assert_allclose(found.flow_conformal, -2 * 0.8 * 0.1 / 1.3)
        assert np.allclose(found.log_determinant, found.flow_conformal, rtol=1e-12) == exact
    modal = hb.audit(hb.discretize(FLOW, 0.1, "modal_exact"), QUADRATIC, [1.0, 1.0], steps=20)
    assert_allclose(modal.log_determinant, -2 * 0.8 * 0.1 / 1.3, rtol=1e-10)


def test_the_energy_of_the_heavy_ball_never_increases_up_to_its_bound():
    """f + β|V|²/2η decreases for η <= 2(1-β)/L, and beyond it need not."""
    smoothness, momentum = QUADRATIC.spectrum[-1], 0.7
    bound = 2 * (1 - momentum) / smoothness
    lr = np.array([0.3, 1.0, 2.5]) * bound
    found = hb.audit(hb.HeavyBall(lr, momentum), QUADRATIC, [1.0, -0.5], steps=200)
    assert_array_equal(found.monotone["energy"], [True, True, False])
    assert not found.monotone["value"].any()
    assert found.increases["energy"].shape == (3, 200)


def test_lyapunov_functions_of_a_users_own():
    def distance(state, objective):
        return np.sum((state.position - objective.minimizer) ** 2, axis=-1)

    found = hb.audit(hb.GradientDescent(0.1), QUADRATIC, [1.0, -0.5], steps=30, lyapunov={"distance": distance})
    run = hb.iterate(hb.GradientDescent(0.1), QUADRATIC, [1.0, -0.5], 30)
    assert_allclose(found.lyapunov["distance"], np.sum((run.position - QUADRATIC.minimizer) ** 2, axis=-1))
    assert bool(found.monotone["distance"])
    assert "distance never increases" in str(found)
    with pytest.raises(ValueError, match=r"`lyapunov\['wrong'\]` must return shape \(\).*Received shape \(2,\)"):
        hb.audit(hb.GradientDescent(0.1), QUADRATIC, [1.0, 0.5], lyapunov={"wrong": lambda s, f: s.position})


def test_a_batch_is_each_of_its_elements():
    lr, start = np.array([0.05, 0.1, 0.02]), np.array([[1.0, 0.5], [-0.3, 0.2], [0.4, 0.9]])
    for kind in (hb.HeavyBall, hb.Nesterov):
        both = hb.audit(kind(lr, 0.8), COUPLED, start, steps=25)
        for i in range(3):
            alone = hb.audit(kind(lr[i], 0.8), COUPLED, start[i], steps=25)
            assert_allclose(both.log_determinant[i], alone.log_determinant, rtol=1e-11, atol=1e-14)
            assert_allclose(both.lyapunov["energy"][i], alone.lyapunov["energy"], rtol=1e-12)
            if kind is hb.HeavyBall:
                assert_allclose(both.shadow_drift[i], alone.shadow_drift, atol=1e-13)
            else:
                assert both.shadow_drift is None


@dataclass(frozen=True)
class Sign:
    """Momentum of a smoothed sign: no linear rule."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        velocity = 0.9 * state.velocity - self.lr * np.tanh(objective.gradient(state.position))
        return hb.PhaseState(state.position + velocity, velocity)


def test_rules_that_are_not_linear_are_audited_too():
    found = hb.audit(Sign(np.array([0.01, 0.02])), COUPLED, [1.0, 1.0], steps=12)
    assert_allclose(found.log_determinant, 2 * np.log(0.9), atol=1e-8)
    assert np.isnan(found.conformal).all()
    assert found.energy_drift is None


def test_divergence_is_a_finding():
    found = hb.audit(hb.HeavyBall(np.array([0.01, 3.0]), 0.5), hb.rosenbrock(), [-1.0, 1.0], steps=30)
    assert_array_equal(found.finite_steps == 30, [False, False])
    found = hb.audit(hb.HeavyBall(np.array([1e-4, 3.0]), 0.5), hb.rosenbrock(), [-1.0, 1.0], steps=30)
    assert found.finite_steps[0] == 30
    assert found.finite_steps[1] < 30
    assert np.isnan(found.log_determinant[1, -1])
    assert_allclose(found.log_determinant[0], 2 * np.log(0.5))
    assert "leaving the finite numbers after step" in str(found)
    assert pickle.loads(pickle.dumps(found)).name == "HeavyBall"


def test_what_is_wrong_is_said():
    with pytest.raises(TypeError, match="`method` must be a method"):
        hb.audit(FLOW, QUADRATIC, [1.0, 1.0])
    with pytest.raises(ValueError, match="`steps` must be a whole number >= 1"):
        hb.audit(hb.GradientDescent(0.1), QUADRATIC, [1.0, 1.0], steps=0)
    with pytest.raises(ValueError, match="`position` must have shape"):
        hb.audit(hb.GradientDescent(0.1), QUADRATIC, [1.0, 1.0, 1.0])


def test_a_run_that_diverges_increases_all_along():
    """f(x) = x²/2 and x ↦ -2x: the loss grows by 4 in every step, whatever it will be in the end."""
    found = hb.audit(hb.GradientDescent(3.0), hb.Quadratic([1.0]), [1.0], steps=300)
    assert np.count_nonzero(found.increases["value"]) == 300
    assert "value increases in 300 of 300 steps" in str(found)


def test_functions_that_are_not_finite_are_not_monotone():
    found = hb.audit(hb.HeavyBall(0.1, 0.5), hb.Quadratic([1.0]), [1.0], steps=5,
                     lyapunov={"log": lambda state, loss: np.log(-loss.value(state.position))})  # fmt: skip
    assert not found.monotone["log"]
    assert "log is not finite" in str(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [(lambda state, loss: 0.0, "`lyapunov` must map names to functions"),
     ({"mine": 3.0}, r"`lyapunov\['mine'\]` must be a function of \(state, objective\). Received 3.0")],
)  # fmt: skip
def test_lyapunov_functions_have_names(given, message):
    with pytest.raises(TypeError, match=message):
        hb.audit(hb.HeavyBall(0.1, 0.5), hb.Quadratic([1.0]), [1.0], lyapunov=given)


def test_dry_friction_collapses_volume_once_it_holds():
    """β det of the identity while the ball slides on a line; at rest V is forgotten."""
    law = hb.PowerFriction(0.4, 0.0)
    found = hb.audit(hb.FrictionMethod(0.1, 0.9, law), hb.Quadratic([1.0]), [3.0], steps=60)
    run = hb.iterate(hb.FrictionMethod(0.1, 0.9, law), hb.Quadratic([1.0]), [3.0], 60)
    sliding = run.velocity[1:, 0] != 0
    assert 0 < sliding.sum() < 30
    assert_allclose(found.log_determinant[sliding], np.log(0.9), atol=1e-9)
    assert_array_equal(found.log_determinant[~sliding], -np.inf)
    assert "-0.105361, constant to" in str(found)
    assert f"{(~sliding).sum()} of 60 steps collapse volume: det J = 0" in str(found)


def test_without_momentum_volume_collapses_conformally():
    found = hb.audit(hb.HeavyBall(0.1, np.array([0.0, 0.5])), QUADRATIC, [1.0, 0.5], steps=5)
    assert_array_equal(found.log_determinant[0], -np.inf)
    assert_array_equal(found.is_conformal, [True, True])
    assert "(conformal: -1.38629)" in str(found)
    other = hb.audit(hb.FrictionMethod(0.1, 0.9, hb.PowerFriction(9.0, 0.0)), QUADRATIC, [1.0, 0.5], steps=5)
    assert "5 of 5 steps collapse volume" in str(other)
    assert "log|det J| of a step" not in str(other)
