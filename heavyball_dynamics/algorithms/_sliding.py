"""Stick and slip: how a body goes on under friction of a power below 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.algorithms.friction import speed_of
from heavyball_dynamics.algorithms.states import PhaseState

_ROUNDINGS = 256.0  # units in the last place of the time in which a solver cannot resolve a stop
_SLOW = 1e4  # times the threshold: speeds of which a solver that chooses its own first step takes no notice


@dataclass(frozen=True)
class Slide:
    """A body that slides under friction, up to where its speed falls to a threshold.

    In one dimension the direction of sliding is kept, also by the steps that a solver tries beyond the end: so dry
    friction is a constant force and the flow is smooth up to the end and through it.
    """

    flow: Any  # a HeavyBallFlow with friction
    resolution: float
    direction: FloatArray | None  # ±1, (1, 1); None in several dimensions
    first_step: float | None

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

    def margin(self, t: Any, state: PhaseState, objective: ObjectiveLike) -> Any:
        """Return by how much the speed exceeds the threshold, (..., 1)."""
        speed = speed_of(state.velocity) if self.direction is None else self.direction * state.velocity
        if self.resolution == 0:
            return speed
        return speed - _threshold(self.flow, t, speed, -objective.gradient(state.position), self.resolution)

    def jump(self, t: float, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Return the state at rest."""
        return PhaseState(state.position, np.zeros_like(state.velocity))


def _threshold(flow: Any, t: Any, speed: Any, pull: Any, resolution: float) -> Any:
    """Return the speed that counts as rest: the resolution, or what the forces change within rounding of the time."""
    force = flow.friction.coefficient * np.maximum(speed, 1.0) ** flow.friction.power + speed_of(pull)
    return np.maximum(resolution, _ROUNDINGS * np.spacing(np.abs(t)) * force / flow.mass)


def slide(
    flow: Any, t: float, state: PhaseState, objective: ObjectiveLike, resolution: float
) -> tuple[Slide | None, PhaseState]:
    """Return the flow up to the next rest, and the state from which it starts; None for a rest for ever.

    At rest friction holds a body against every force that it could balance at the threshold. A body that it cannot
    hold starts along the force with twice the threshold speed, so that the start is not taken for the next rest.
    """
    line = state.velocity.shape[-1] == 1
    # Dry friction on a line is smooth between reversals: no threshold is needed.
    exact = line and bool(np.all(np.asarray(flow.friction.power) == 0))
    speed, pull = speed_of(state.velocity), -np.asarray(objective.gradient(state.position))
    threshold = np.asarray(0.0) if exact else _threshold(flow, t, speed, pull, resolution)
    if np.all(speed <= 2 * threshold):
        rest, size = PhaseState(state.position, np.zeros_like(state.velocity)), speed_of(pull)
        holding = flow.friction.coefficient * threshold**flow.friction.power + np.maximum(flow.damping, 0.0) * threshold
        if np.all(size <= holding):
            return None, rest
        along = pull / size
        state = PhaseState(state.position, 2 * threshold * along) if np.all(np.isfinite(along)) else rest
        direction = along
    else:
        direction = np.sign(state.velocity)
    if exact:
        return Slide(flow, 0.0, direction, None), state
    first_step = _first_step(flow, t, state, objective, threshold)
    return Slide(flow, resolution, direction if line else None, first_step), state


def _first_step(flow: Any, t: float, state: PhaseState, objective: ObjectiveLike, threshold: Any) -> float | None:
    """Return the time in which a slow start gains its own speed once more, and friction so changes by a factor."""
    speed = float(np.max(speed_of(state.velocity)))
    change = float(np.max(speed_of(flow.vector_field(t, state, objective).velocity)))
    return speed / change if change > 0 and speed < _SLOW * np.max(threshold) else None
