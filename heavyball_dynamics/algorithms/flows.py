"""Flows: what minimises in continuous time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, positive
from heavyball_dynamics.algorithms.states import PhaseState, PositionState


@dataclass(frozen=True, eq=False)
class GradientFlow(Record):
    r"""Gradient flow, the overdamped limit of every momentum method.

    .. math:: \dot\theta = -\nabla f(\theta)

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, eq. (2).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.integrate(hb.GradientFlow(), hb.Quadratic([1.0]), [1.0], duration=1.0)
    >>> bool(abs(run.position[-1, 0] - 0.36787944) < 1e-7)
    True
    """

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Start at `position`; a gradient flow has no velocity of its own, so `velocity` is not used."""
        return PositionState(position)

    def vector_field(self, t: float, state: PositionState, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Return minus the gradient."""
        return PositionState(-objective.gradient(state.position))


@dataclass(frozen=True, eq=False)
class HeavyBallFlow(Record):
    r"""A ball with mass and linear friction that rolls on the graph of the loss.

    .. math:: m\ddot\theta + \gamma\dot\theta + \nabla f(\theta) = 0

    Parameters
    ----------
    mass : float or array (*batch,)
        Mass m > 0, in units of loss · time² / position².
    damping : float or array (*batch,)
        Damping γ, in units of loss · time / position². Negative damping is let through, since loci cross it.

    Raises
    ------
    ValueError
        If the mass is not positive, or a value is not finite.

    References
    ----------
    Polyak 1964, eq. (3); Qian, "On the momentum term in gradient descent learning algorithms", 1999, eq. (9).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> flow = hb.HeavyBallFlow(mass=1.0, damping=2.0)
    >>> hb.analyze_modes(flow, [1.0]).damping_ratio
    array([1.])
    """

    mass: Hyperparameter = 1.0
    damping: Hyperparameter = 1.0

    def __post_init__(self) -> None:
        self._set(mass=positive("mass", self.mass, "Did you pass lr?"), damping=finite("damping", self.damping))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with velocity dx/dt."""
        return PhaseState(position, velocity)

    def vector_field(self, t: float, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Return velocity and acceleration."""
        force = -self.damping * state.velocity - objective.gradient(state.position)
        return PhaseState(state.velocity, force / self.mass)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return ½m|v|², in units of the loss, (*batch, 1)."""
        return 0.5 * self.mass * np.sum(state.velocity**2, axis=-1, keepdims=True)

    def dissipation(self, state: PhaseState) -> Any:
        """Return the energy lost per unit time, γ|v|², (*batch, 1)."""
        return self.damping * np.sum(state.velocity**2, axis=-1, keepdims=True)
