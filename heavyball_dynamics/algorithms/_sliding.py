"""Stick and slip: how a body goes on under friction of a power below 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.algorithms.friction import speed_of
from heavyball_dynamics.algorithms.states import PhaseState


@dataclass(frozen=True)
class Slide:
    """A body that slides under friction, up to where its speed falls to a threshold.

    In one dimension the direction of sliding is kept, also by the steps that a solver tries beyond the end: so dry
    friction is a constant force and the flow is smooth up to the end and through it.
    """

    flow: Any  # a HeavyBallFlow with friction
    threshold: float
    direction: FloatArray | None  # ±1, (1, 1); None in several dimensions

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:
        """Start like the flow itself."""
        state: PhaseState = self.flow.init(position, velocity, objective)
        return state

    def vector_field(self, t: float, state: PhaseState, objective: ObjectiveLike) -> PhaseState:
        """Return velocity and acceleration."""
        if self.direction is None:
            slope: PhaseState = self.flow.vector_field(t, state, objective)
            return slope
        friction = self.flow.friction
        along = np.maximum(self.direction * state.velocity, 0.0)
        force = -self.flow.damping * state.velocity - objective.gradient(state.position)
        force = force - friction.coefficient * along**friction.power * self.direction
        return PhaseState(state.velocity, force / self.flow.mass)

    def margin(self, t: Any, state: PhaseState, objective: ObjectiveLike) -> Any:  # noqa: ARG002
        """Return by how much the speed exceeds the threshold, (..., 1)."""
        speed = speed_of(state.velocity) if self.direction is None else self.direction * state.velocity
        return speed - self.threshold

    def jump(self, t: float, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Return the state at rest."""
        return PhaseState(state.position, np.zeros_like(state.velocity))


def slide(
    flow: Any, state: PhaseState, objective: ObjectiveLike, resolution: float
) -> tuple[Slide | None, PhaseState]:
    """Return the flow up to the next rest, and the state from which it starts; None for a rest for ever.

    At rest friction holds a body against every force that it could balance at the threshold. A body that it cannot
    hold starts along the force with twice the threshold speed, so that the start is not taken for the next rest.
    """
    line = state.velocity.shape[-1] == 1
    # Dry friction on a line is smooth between reversals: no threshold is needed.
    threshold = 0.0 if line and np.all(np.asarray(flow.friction.power) == 0) else resolution
    speed = speed_of(state.velocity)
    if not np.all(speed <= threshold):
        return Slide(flow, threshold, np.sign(state.velocity) if line else None), state
    rest = PhaseState(state.position, np.zeros_like(state.velocity))
    pull = -np.asarray(objective.gradient(state.position))
    size = speed_of(pull)
    holding = flow.friction.coefficient * threshold**flow.friction.power + np.maximum(flow.damping, 0.0) * threshold
    if np.all(size <= holding):
        return None, rest
    along = pull / size
    begun = PhaseState(state.position, 2 * threshold * along) if np.all(np.isfinite(along)) else rest
    return Slide(flow, threshold, along if line else None), begun
