"""The stacked system: its order, and the analytic Jacobian against differences of the right-hand side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import heavyball_dynamics as hb
from heavyball_dynamics._batching import take
from heavyball_dynamics.simulation._stack import Stack

ROSENBROCK = hb.rosenbrock()


class Three(NamedTuple):
    position: Any
    rest: tuple[Any, Any]


@dataclass(frozen=True)
class Filtered:
    """Three states, in nested tuples."""

    damping: Any

    def init(self, position, velocity, objective):
        return Three(position, (velocity, 0 * position))

    def vector_field(self, t, state, objective):
        v, g = state.rest
        return Three(v, (-self.damping * v - g, 5.0 * (objective.gradient(state.position) - g)))


@dataclass(frozen=True)
class TwoGradients:
    """Asks where a first gradient leads, so that D is not zero."""

    reach: Any

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        one = objective.gradient(state.position + 0.1 * state.velocity)
        two = objective.gradient(state.position - self.reach * one)
        return hb.PhaseState(state.velocity, -state.velocity / t - two - 0.2 * one)


def stack_of(flow, number, solver):
    state = flow.init(np.zeros((number, 2)), np.zeros((number, 2)), ROSENBROCK)
    return Stack(take(flow, (number,), np.arange(number)), ROSENBROCK, state, number, solver)


def differences(stack, t, vector):
    h = 1e-6
    columns = [(stack.derivative(t, vector + e) - stack.derivative(t, vector - e)) / (2 * h)
               for e in h * np.eye(len(vector))]  # fmt: skip
    return np.stack(columns, axis=1)


def dense(packed, size, width):
    """Undo LSODA's packing: packed[i - j + width - 1, j] is the entry (i, j)."""
    matrix = np.zeros((size, size))
    for i in range(size):
        for j in range(max(0, i - width + 1), min(size, i + width)):
            matrix[i, j] = packed[i - j + width - 1, j]
    return matrix


@pytest.mark.parametrize("solver", ["Radau", "BDF", "LSODA"])
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("flow", [
    hb.GradientFlow(), hb.HeavyBallFlow(2.0, 0.7),
    hb.HeavyBallFlow(np.array([0.5, 1.0, 4.0]), np.array([0.1, 1.0, -0.3])),
    Filtered(np.array([0.5, 1.0, 2.0])), TwoGradients(0.001), TwoGradients(np.array([0.001, 0.002, 0.0])),
], ids=["gradient", "ball", "balls", "filtered", "two gradients", "batch of two gradients"])  # fmt: skip
def test_jacobian_is_the_derivative_of_the_right_hand_side(flow, number, solver):
    stack = stack_of(flow, 3, solver).subset(np.arange(number))
    vector = np.random.default_rng(1).uniform(-1.0, 1.0, number * 2 * stack._leaves)
    jacobian = stack.solver_options(0.7)["jac"](0.7, vector)
    size, width = len(vector), len(vector) // number
    if number > 1:
        jacobian = dense(jacobian, size, width) if solver == "LSODA" else jacobian.toarray()
    expected = differences(stack, 0.7, vector)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("solver", ["RK45", "Radau"])
def test_blocks_and_vectors_are_inverse(solver):
    stack = stack_of(Filtered(1.0), 4, solver)
    blocks = np.arange(24.0).reshape(3, 4, 2)
    vector = stack.vector(blocks)
    np.testing.assert_array_equal(stack.blocks(vector), blocks)
    np.testing.assert_array_equal(stack.blocks(np.stack([vector, 2 * vector])), [blocks, 2 * blocks])
    # Explicit solvers run over contiguous trajectories; for implicit ones a trajectory is contiguous itself.
    assert (stack.blocks(vector).strides[1] == 8) == (solver == "RK45")


def test_explicit_solvers_are_told_nothing():
    assert stack_of(hb.GradientFlow(), 3, "DOP853").solver_options(0.0) == {}


@dataclass(frozen=True)
class Turbulent:
    """Not linear: there is no analytic Jacobian, and its structure is told instead."""

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        v = state.velocity
        return hb.PhaseState(v, -abs(v) * v - objective.gradient(state.position))


def test_structure_stands_in_for_a_missing_jacobian():
    sparse = stack_of(Turbulent(), 3, "BDF").solver_options(0.0)
    assert "jac" not in sparse
    np.testing.assert_array_equal(sparse["jac_sparsity"].toarray(), np.kron(np.eye(3), np.ones((4, 4))))
    assert stack_of(Turbulent(), 3, "LSODA").solver_options(0.0) == {"lband": 3, "uband": 3}
    assert stack_of(Turbulent(), 1, "BDF").solver_options(0.0) == {}


class Counting:
    """An objective that counts how many points its gradient was asked at."""

    def __init__(self, objective, hessian):
        self.dim, self.points, self._objective = objective.dim, 0, objective
        self.value, self.at = objective.value, lambda k: self
        if hessian:
            self.hessian = objective.hessian

    def gradient(self, position):
        self.points += int(np.prod(position.shape[:-1]))
        return self._objective.gradient(position)


@pytest.mark.parametrize("kind", ["logistic", "rosenbrock"])
@pytest.mark.parametrize("solver", ["Radau", "BDF", "LSODA"])
def test_the_jacobian_saves_gradients_and_keeps_the_answer(solver, kind):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(60, 5)) * np.array([30.0, 10.0, 3.0, 1.0, 0.3])
    labels = (rng.uniform(size=60) < 0.5).astype(float)
    loss = hb.LogisticRegression(features, labels, l2=1e-3) if kind == "logistic" else ROSENBROCK
    starts, asked, ends = 0.3 * rng.normal(size=(3, loss.dim)), [], []
    for hessian in (True, False):
        counting = Counting(loss, hessian)
        run = hb.integrate(hb.GradientFlow(), counting, starts, times=[0.0, 20.0], method=solver, rtol=1e-6)
        asked.append(counting.points)
        ends.append(run.position[:, -1])
    assert asked[0] < asked[1]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-3)


def test_a_differenced_hessian_is_not_taken_for_an_analytic_one():
    given = hb.Objective(ROSENBROCK.value, ROSENBROCK.gradient, ROSENBROCK.hessian, dim=2)
    missing = hb.Objective(ROSENBROCK.value, ROSENBROCK.gradient, dim=2)
    state = hb.PositionState(np.zeros((2, 2)))
    assert "jac" in Stack(hb.GradientFlow(), given, state, 2, "BDF").solver_options(0.0)
    assert "jac" not in Stack(hb.GradientFlow(), missing, state, 2, "BDF").solver_options(0.0)
