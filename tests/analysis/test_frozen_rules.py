"""Steps of adaptive rules with the preconditioner held, against their definitions written out by hand."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.frozen_rules import frozen_rule, largest_curvature
from heavyball_dynamics.analysis.linear import StateMatrices

LOSS = hb.Quadratic([[2.0, 0.3], [0.3, 50.0]])
ETA, BETA = 0.01, 0.9


def frozen_at(method, k, hold=None):
    """Return the frozen rule of step k of a run, and the states before and after that step."""
    before = hb.iterate(method, LOSS, [1.0, -2.0], k).state
    after = hb.iterate(method, LOSS, before, 1, first_step=k).state
    return frozen_rule(method, k, before, LOSS.gradient(before.position), hold), before, after


def responses(matrices, number=6):
    """Return the first positions after a unit gradient."""
    A, state = matrices.A, matrices.B[..., 0]
    found = []
    for _ in range(number):
        found.append(state[0])
        state = A @ state
    return np.array(found)


@pytest.mark.parametrize("k", [0, 1, 30])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam(k, amsgrad):
    method = hb.Adam(ETA, BETA, 0.99, amsgrad=amsgrad)
    rule, _, after = frozen_at(method, k)
    square = after.largest_square_average if amsgrad else after.square_average
    scale = np.sqrt(square / (1 - 0.99 ** (k + 1))) + method.eps
    assert_allclose(rule.learning_rate, ETA / scale / (1 - BETA ** (k + 1)), rtol=1e-12)
    assert_array_equal(rule.penalty, 0)
    # -(1-β) Σ βʲ, an average of gradients that adds up.
    assert_allclose(responses(rule.matrices), -(1 - BETA ** np.arange(1, 7)), rtol=1e-12)


def test_an_l2_penalty_is_curvature():
    rule, _, _ = frozen_at(hb.Adam(ETA, BETA, weight_decay=0.3), 12)
    assert_allclose(rule.penalty, 0.3, rtol=1e-10)
    assert_allclose(responses(rule.matrices), -(1 - BETA ** np.arange(1, 7)), rtol=1e-12)


def test_a_decoupled_decay_is_not():
    rule, _, after = frozen_at(hb.AdamW(ETA, BETA, weight_decay=0.3), 12)
    assert_array_equal(rule.penalty, 0)
    scale = np.sqrt(after.square_average / (1 - 0.999**13)) + 1e-8
    assert_allclose(rule.learning_rate, ETA / scale / (1 - BETA**13), rtol=1e-12)
    assert_allclose(rule.matrices.A[0, 0], 1 - 0.3 * ETA, rtol=1e-14)


def test_nadam():
    k = 20
    method = hb.NAdam(ETA, BETA)
    rule, before, after = frozen_at(method, k)
    mu = [BETA * (1 - 0.5 * 0.96 ** (t * method.momentum_decay)) for t in (k + 1, k + 2)]
    product = before.momentum_product * mu[0]
    now, later = (1 - mu[0]) / (1 - product), mu[1] / (1 - product * mu[1])
    scale = np.sqrt(after.square_average / (1 - 0.999 ** (k + 1))) + method.eps
    assert_allclose(rule.learning_rate, ETA / scale * (now + later), rtol=1e-12)
    first = -(now + later * (1 - BETA)) / (now + later)
    assert_allclose(responses(rule.matrices)[0], first, rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop(momentum, centered):
    method = hb.RMSProp(ETA, alpha=0.95, momentum=momentum, centered=centered)
    rule, _, after = frozen_at(method, 9)
    spread = after.variance if centered else after.square_average
    assert_allclose(rule.learning_rate, ETA / (np.sqrt(spread) + 1e-8) / (1 - momentum), rtol=1e-10)
    # The average that centres it has a pole of its own, which the position never sees.
    assert rule.matrices.A.shape == ((2, 2) if momentum else (1, 1))


def test_adagrad_and_adadelta():
    rule, _, after = frozen_at(hb.AdaGrad(0.1, lr_decay=0.2, weight_decay=0.5), 9)
    assert_allclose(rule.learning_rate, 0.1 / (1 + 9 * 0.2) / (np.sqrt(after.square_sum) + 1e-10), rtol=1e-12)
    assert_allclose(rule.penalty, 0.5, rtol=1e-9)
    rule, before, after = frozen_at(hb.AdaDelta(), 9)
    scale = np.sqrt(before.step_average + 1e-6) / np.sqrt(after.square_average + 1e-6)
    assert_allclose(rule.learning_rate, scale, rtol=1e-12)


@pytest.mark.parametrize(("method", "limit"), [
    (hb.GradientDescent(0.1), 2.0), (hb.HeavyBall(0.1, 0.5), 2 * 1.5 / 0.5), (hb.Nesterov(0.1, 0.5), 2 * 1.5 / 2 / 0.5),
])  # fmt: skip
def test_linear_rules_are_their_own(method, limit):
    """q < 2, 2(1+β), 2(1+β)/(1+2β); the learning rate of the long run is η/(1-β)."""
    rule, _, _ = frozen_at(method, 3)
    assert_allclose(rule.learning_rate, 0.1 / (1 - getattr(method, "momentum", 0.0)), rtol=1e-12)
    assert_allclose(largest_curvature(rule.matrices), limit, rtol=1e-11)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_the_edge_of_adam(beta):
    """(2 + 2β₁)/((1-β₁)η) of arXiv:2207.14484: 38/η at β₁ = 0.9."""
    rule, _, _ = frozen_at(hb.Adam(ETA, beta), 5)
    assert_allclose(largest_curvature(rule.matrices), (2 + 2 * beta) / (1 - beta), rtol=1e-10)


def test_filters_without_an_edge():
    growing = StateMatrices(np.array([[1.1]]), np.array([[-1.0]]), np.eye(1), np.zeros((1, 1)), discrete=True)
    assert_allclose(largest_curvature(growing), 0.0)
    still = StateMatrices(np.array([[0.5]]), np.array([[0.0]]), np.eye(1), np.zeros((1, 1)), discrete=True)
    assert_array_equal(largest_curvature(still), np.inf)


def test_batches():
    method = hb.Adam(np.array([0.01, 0.1]), np.array([[0.5], [0.9], [0.8]]))
    rule, _, _ = frozen_at(method, 6)
    assert rule.learning_rate.shape == (3, 2, 2)
    alone, _, _ = frozen_at(hb.Adam(0.1, 0.9), 6)
    assert_allclose(rule.learning_rate[1, 1], alone.learning_rate, rtol=1e-13)
    assert_allclose(rule.matrices.A[1, 1], alone.matrices.A, rtol=1e-13)
    assert_allclose(largest_curvature(rule.matrices), np.repeat([[6.0], [38.0], [18.0]], 2, axis=1), rtol=1e-10)


class Own(NamedTuple):
    position: Any
    velocity: Any
    size: Any


@dataclass(frozen=True)
class Scaled:
    """A user's rule: heavy ball divided by the running fourth root of fourth powers, as it was before the step."""

    lr: Any
    momentum: Any

    def init(self, position, velocity, objective):
        return Own(position, velocity, 0 * position + 1)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position)
        velocity = self.momentum * state.velocity - self.lr * gradient / state.size**0.25
        return Own(state.position + velocity, velocity, 0.9 * state.size + 0.1 * gradient**4)


@dataclass(frozen=True)
class PerCoordinate(Scaled):
    """Another momentum for every coordinate."""

    def step(self, k, state, objective):
        slower = self.momentum * np.linspace(0.5, 1.0, np.shape(state.position)[-1])
        velocity = slower * state.velocity - self.lr * objective.gradient(state.position)
        return Own(state.position + velocity, velocity, state.size)


def test_a_users_rule():
    rule, before, _ = frozen_at(Scaled(0.05, 0.6), 8, {"size": "before"})
    assert_allclose(rule.learning_rate, 0.05 / before.size**0.25 / 0.4, rtol=1e-12)
    assert_allclose(largest_curvature(rule.matrices), 2 * 1.6 / 0.4, rtol=1e-10)


@pytest.mark.parametrize(("method", "hold", "message"), [
    (Scaled(0.05, 0.6), None, "Step 8 of Scaled is not linear with nothing held"),
    (Scaled(0.05, 0.6), {"speed": "after"}, "`hold` must be one of 'velocity', 'size'. Received 'speed'"),
    (Scaled(0.05, 0.6), {"size": "now"}, r"`hold\['size'\]` must be one of 'after', 'before'. Received 'now'"),
    (PerCoordinate(0.05, 0.6), {"size": "before"}, "PerCoordinate must filter all coordinates alike"),
    (hb.HeavyBall(0.0, 0.5), None, "HeavyBall has no learning rate at step 8"),
    (hb.AggregatedMomentum(0.05, (0.0, 0.9)), None, "without further tuples"),
])  # fmt: skip
def test_bad_input(method, hold, message):
    with pytest.raises(ValueError, match=message):
        frozen_at(method, 8, hold)


def test_no_preconditioner_yet():
    method, loss = hb.RMSProp(eps=0.0), hb.Quadratic([1.0, 0.0])
    state = method.init(np.ones(2), np.zeros(2), loss)
    with pytest.raises(ValueError, match=r"Step 0 of RMSProp is not finite at index \(1,\)"):
        frozen_rule(method, 0, state, loss.gradient(state.position))


@pytest.mark.parametrize("amsgrad", [False, True])
def test_a_coordinate_that_has_never_had_a_gradient(amsgrad):
    """Its root is zero and has no derivative, but it is held: what is left of the denominator is ε."""
    method, loss = hb.Adam(ETA, BETA, amsgrad=amsgrad), hb.Quadratic([1.0, 0.0])
    state = hb.iterate(method, loss, [1.0, 1.0], 4).state
    rule = frozen_rule(method, 4, state, loss.gradient(state.position))
    assert_allclose(rule.learning_rate[1], ETA / 1e-8 / (1 - BETA**5), rtol=1e-12)
