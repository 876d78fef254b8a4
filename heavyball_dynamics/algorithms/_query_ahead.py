"""Two-point rules that ask for the gradient some way along the last displacement."""

from __future__ import annotations

from typing import Any

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics.algorithms.methods import _kinetic_energy
from heavyball_dynamics.algorithms.states import PhaseState


class QueryAhead(Record):
    """Base of rules x⁺ = x + V⁺, V⁺ = βV - η∇f(x + γV), whatever they make β, η and γ of."""

    lr: Hyperparameter
    momentum: Hyperparameter
    query_lead: Hyperparameter

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with V_0 = `velocity`, the displacement of one step."""
        return PhaseState(position, velocity)

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Ask for the gradient at the query point."""
        gradient = objective.gradient(state.position + self.query_lead * state.velocity)
        velocity = self.momentum * state.velocity - self.lr * gradient
        return PhaseState(state.position + velocity, velocity)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return β|V|²/(2η), that of the heavy ball with this lr and momentum, in units of the loss, (*batch, 1)."""
        return _kinetic_energy(self.lr, self.momentum, state)
