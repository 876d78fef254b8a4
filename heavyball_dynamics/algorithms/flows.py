"""Flows: what minimises in continuous time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, positive
from heavyball_dynamics.algorithms._sliding import slide
from heavyball_dynamics.algorithms.friction import PowerFriction
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
    r"""A ball with mass and friction that rolls on the graph of the loss.

    .. math:: m\ddot\theta + \gamma\dot\theta + a|\dot\theta|^{p-1}\dot\theta + \nabla f(\theta) = 0

    Parameters
    ----------
    mass : float or array (*batch,)
        Mass m > 0, in units of loss · time² / position².
    damping : float or array (*batch,)
        Damping γ, in units of loss · time / position². Negative damping is let through, since loci cross it.
    friction : PowerFriction, optional
        A friction law with coefficient a and power p, besides the damping; none by default.

    Raises
    ------
    ValueError
        If the mass is not positive, a value is not finite, or batch axes do not broadcast.
    TypeError
        If the friction is no `PowerFriction`.

    Notes
    -----
    Under a power below 1 the body sticks and slips, and `integrate` runs it by events, one trajectory at a time. A body
    whose speed has fallen to the threshold rests for ever iff friction can hold it there,

    .. math:: |\nabla f| \le a\,\varepsilon^p + \gamma\varepsilon;

    otherwise it slips on along the force. For dry friction (p = 0) that is |∇f| <= a: exactly so in one dimension,
    where the threshold ε is 0 and the events are the reversals of the motion; in several dimensions ε is the `atol` of
    `integrate`, or, where that is more, the speed that the forces change within the rounding of the time. Between 0 and
    1 a body never sticks while a force acts: on a slope it creeps, at the speed at which friction balances the force,
    and in a minimum it comes to rest only in the limit. Creeping more slowly than ε is taken for rest, which displaces
    it by less than ε in a unit of time. Long creeping, and dry sliding at low speed in several dimensions, are stiff:
    Radau, BDF and LSODA go through them in large steps.

    References
    ----------
    Polyak 1964, eq. (3); Qian, "On the momentum term in gradient descent learning algorithms", 1999, eq. (9). Dry
    friction: Adly, Attouch, Cabot, "Finite time stabilization of nonlinear oscillators subject to dry friction", 2006.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> flow = hb.HeavyBallFlow(mass=1.0, damping=2.0)
    >>> hb.analyze_modes(flow, [1.0]).damping_ratio
    array([1.])

    Dry friction stops a body on a slope:

    >>> flow = hb.HeavyBallFlow(mass=1.0, damping=0.0, friction=hb.PowerFriction(coefficient=0.4, power=0.0))
    >>> run = hb.integrate(flow, hb.Quadratic([1.0]), [3.0], duration=20.0)
    >>> run.position[[0, 150, -1], 0].round(6), bool(run.velocity[-1, 0] == 0)
    (array([ 3. , -0.2, -0.2]), True)
    """

    mass: Hyperparameter = 1.0
    damping: Hyperparameter = 1.0
    friction: PowerFriction | None = None

    def __post_init__(self) -> None:
        self._set(mass=positive("mass", self.mass, "Did you pass lr?"), damping=finite("damping", self.damping))
        if self.friction is not None and not isinstance(self.friction, PowerFriction):
            raise TypeError(
                f"`friction` must be a PowerFriction or None. Received {self.friction!r} of type "
                f"{type(self.friction).__name__}. A linear friction of that coefficient is the `damping`."
            )
        if self.friction is not None:
            batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with velocity dx/dt."""
        return PhaseState(position, velocity)

    def vector_field(self, t: float, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Return velocity and acceleration."""
        force = -self.damping * state.velocity - objective.gradient(state.position)
        if self.friction is not None:
            force = force + self.friction.reaction(state.velocity, force)
        return PhaseState(state.velocity, force / self.mass)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return ½m|v|², in units of the loss, (*batch, 1)."""
        return 0.5 * self.mass * np.sum(state.velocity**2, axis=-1, keepdims=True)

    def dissipation(self, state: PhaseState) -> Any:
        """Return the energy lost per unit time, γ|v|² + a|v|^(p+1), (*batch, 1)."""
        linear = self.damping * np.sum(state.velocity**2, axis=-1, keepdims=True)
        return linear if self.friction is None else linear + self.friction.dissipation(state.velocity)

    @property
    def is_hybrid(self) -> bool:
        """Whether `integrate` has to run the flow by events: under friction of a power below 1."""
        return self.friction is not None and self.friction.sticks

    def phase(self, t: float, state: PhaseState, objective: ObjectiveLike, resolution: float) -> Any:
        """Return how the motion goes on under friction of a power below 1, and from where: see `integrate`.

        Parameters
        ----------
        t : float
        state : PhaseState
            Of one trajectory, (1, dim).
        objective : objective
        resolution : float
            The speed below which a body counts as being at rest.

        Returns
        -------
        (flow or None, PhaseState)
            The smooth flow up to the next rest, or None for a rest for ever.
        """
        return slide(self, t, state, objective, resolution)
