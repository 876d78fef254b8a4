"""What an error of the gradient does to a rule on springs: the columns that noise comes in by."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._probe import TimeNeededError, UnsetTime, call, frozen, time_needed
from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._springs import Springs
from heavyball_dynamics._types import FloatArray


class NoisySprings(Springs):
    """Springs whose gradient is off by a given error; curvatures (*batch, mode, 1)."""

    def __init__(self, curvature: FloatArray, error: float) -> None:
        super().__init__(curvature)
        self._error = error
        self.asked = False

    def at(self, k: int) -> NoisySprings:  # noqa: ARG002
        """Return itself."""
        return self

    def gradient(self, position: Any) -> Any:
        """Return λx and the error."""
        self.asked = True
        return self.curvature * position + self._error

    def proximal_point(self, position: Any, weight: Any) -> Any:
        """Return the x with x + w(λx + error) = position."""
        return position + self.proximal_step(position, weight)

    def proximal_step(self, position: Any, weight: Any) -> Any:
        """Return the step from there to that point."""
        self.asked = True
        return -weight * (self.curvature * position + self._error) / (1 + weight * self.curvature)


def spring_drive(algorithm: Algorithm, curvature: FloatArray, time: float | None = None) -> FloatArray:
    """Return what an error of one in every gradient of a step adds to the state (a flow: to its time derivative).

    Parameters
    ----------
    algorithm
        Flow or method, linear on quadratics.
    curvature : array (*batch, mode)
    time
        The step k or time t at which a rule that varies in time is frozen.

    Returns
    -------
    array (*batch, mode, state)

    Raises
    ------
    ValueError
        If the rule asks for no gradient, or varies in time and no time is given.
    """
    now = UnsetTime() if time is None else time
    springs = NoisySprings(curvature[..., None], 1.0)
    zero = np.zeros((1,))
    try:
        at_hand = frozen(algorithm, now)
        rule = append_axes(at_hand, 2)
        template = rule.init(zero, zero, Springs(curvature[..., None]))
        rest = rebuild(template, [zero for _ in leaves(template)])
        with np.errstate(all="ignore"):
            pushed = leaves(call(rule, now, rest, springs))
        shape = (*np.broadcast_shapes((*batch_shape(at_hand), 1), curvature.shape), 1)
        drive = np.concatenate([np.broadcast_to(np.asarray(leaf, dtype=float), shape) for leaf in pushed], axis=-1)
    except TimeNeededError:
        raise time_needed(algorithm) from None
    if not springs.asked:
        raise ValueError(
            f"`algorithm` must ask for a gradient, where the noise enters. Received {algorithm!r}, which knows the "
            "quadratic without asking."
        )
    return drive


def spring_start(
    rule: Any, curvature: FloatArray, position: FloatArray, velocity: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the first state of a rule without schedules, and how it moves with an error of the gradient.

    Parameters
    ----------
    rule
        Its arrays have the batch axes of the curvatures.
    curvature, position, velocity : array (*batch, mode)

    Returns
    -------
    two arrays (*batch, mode, state)
    """
    ready = append_axes(rule, 2)
    shape = (*np.broadcast_shapes(curvature.shape, position.shape, (*batch_shape(rule), 1)), 1)
    states = []
    for error in (0.0, 1.0):
        first = ready.init(position[..., None], velocity[..., None], NoisySprings(curvature[..., None], error))
        states.append(
            np.concatenate([np.broadcast_to(np.asarray(leaf, dtype=float), shape) for leaf in leaves(first)], axis=-1)
        )
    return states[0], states[1] - states[0]
