"""Nesterov's flow with its clock set back as soon as the speed stops growing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import non_negative

_FIRST = 1e-8  # as in NesterovFlow: friction that stays finite for every velocity, as implicit solvers need it
_TINY = 1e-300  # a margin that is positive


class RestartedFlowState(NamedTuple):
    """State of `RestartedNesterovFlow`: position, dx/dt, and the time of the last restart, (*batch, dim) each.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.integrate(hb.RestartedNesterovFlow(), hb.Quadratic([1.0]), [1.0], duration=3.0)
    >>> run.state.origin.round(4)
    array([2.2999])
    """

    position: Any
    velocity: Any
    origin: Any


@dataclass(frozen=True, eq=False)
class RestartedNesterovFlow(Record):
    r"""Nesterov's flow, restarted as soon as the speed stops growing.

    .. math::
        \ddot x + \frac{r}{t - t_0}\dot x + \nabla f(x) = 0, \qquad
        t_0 \leftarrow t,\ \dot x \leftarrow 0 \quad\text{where}\quad \frac{d|\dot x|^2}{dt} = 0

    Nesterov's flow gains momentum without bound, runs past the minimum and comes back: its loss falls like 1/t² with
    ripples. Restarted it converges linearly where the loss is strongly convex, without knowing how strongly, and the
    loss never grows. `integrate` runs it by events, one trajectory at a time; ``run.state.origin`` is the time of the
    last restart. A velocity given at the start does not count: friction without bound stops it at t = t0.

    Parameters
    ----------
    r : float or array (*batch,)
        Damping r >= 0; 3 in Nesterov's method.

    Raises
    ------
    ValueError
        If r is negative or not finite.

    References
    ----------
    Su, Boyd, Candès, "A differential equation for modeling Nesterov's accelerated gradient method", 2014 (JMLR 2016),
    section 5, speed restart, and theorem 10 for the linear rate.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.integrate(hb.RestartedNesterovFlow(), hb.Quadratic([1.0, 25.0]), [1.0, 1.0], duration=20.0)
    >>> bool(run.value[-1] < 1e-3), bool((run.value[1:] <= run.value[:-1] + 1e-12).all())
    (True, True)
    """

    r: Hyperparameter = 3.0

    def __post_init__(self) -> None:
        self._set(r=non_negative("r", self.r))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> RestartedFlowState:  # noqa: ARG002
        """Start at `position` with velocity dx/dt, the clock at t = 0."""
        return RestartedFlowState(position, velocity, 0.0 * position)

    def vector_field(self, t: Any, state: RestartedFlowState, objective: ObjectiveLike) -> RestartedFlowState:
        """Return velocity and acceleration; at the moment of a restart the limit -∇f/(1 + r) of the latter."""
        change = _acceleration(self.r, t, state, objective.gradient(state.position))
        return RestartedFlowState(state.velocity, change, 0.0 * state.position)

    def kinetic_energy(self, state: RestartedFlowState) -> Any:
        """Return ½|v|², in units of the loss, (*batch, 1)."""
        return 0.5 * np.sum(state.velocity**2, axis=-1, keepdims=True)

    def phase(
        self, t: float, state: RestartedFlowState, objective: ObjectiveLike, resolution: float
    ) -> tuple[Gaining | None, RestartedFlowState]:
        """Return the flow up to the next restart and the state to go on from; None at rest where there is no force.

        Parameters
        ----------
        t : float
        state : RestartedFlowState
            Of one trajectory, (1, dim).
        objective : objective
        resolution : float
            Speeds below 1 + r times it count as growing.

        Returns
        -------
        (smooth flow or None, RestartedFlowState)
        """
        going = Gaining(self, (1 + self.r) * resolution, None)
        moving = np.any(state.velocity != 0) and np.all(t > state.origin)
        if moving and np.all(going.margin(t, state, objective) > 0):
            return going, state
        first = np.asarray(objective.gradient(state.position))
        begun = replace(going, first=tuple(first[0].tolist())) if np.any(first) else None
        return begun, going.jump(t, state, objective)


def _acceleration(r: Any, t: Any, state: RestartedFlowState, gradient: Any) -> Any:
    elapsed, rest = t - state.origin, gradient / (1 + r)
    # Right after a restart friction pulls towards the first term of the series of the velocity.
    early = -(r / _FIRST) * (state.velocity + elapsed * rest) - rest
    late = -(r / np.maximum(elapsed, _FIRST)) * state.velocity - gradient
    return np.where(elapsed < _FIRST, early, late)


@dataclass(frozen=True)
class Gaining:
    """The flow while its speed grows."""

    flow: RestartedNesterovFlow
    noise: Any  # a speed, (1, 1) or a number
    first: tuple[float, ...] | None  # gradient at the restart; None in a phase that has begun before

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> RestartedFlowState:
        """Start like the flow itself."""
        return self.flow.init(position, velocity, objective)

    def vector_field(self, t: Any, state: RestartedFlowState, objective: ObjectiveLike) -> RestartedFlowState:
        """Return velocity and acceleration."""
        return self.flow.vector_field(t, state, objective)

    def margin(self, t: Any, state: RestartedFlowState, objective: ObjectiveLike) -> Any:
        """Return ½d|v|²/dt, which falls to zero where the speed stops growing, (..., 1).

        Early on the acceleration, -∇f/(1+r), is a difference of larger terms whose sign is lost in the solver's errors.
        But up to where the gradient has changed by ε = 1/(5+5r) of what it was at the restart, g, the speed grows: v is
        -t·g/(1+r) within ε of it, so that d|v|²/dt is positive as long as (1-ε)/(1+r) > 2ε.
        """
        gradient = np.asarray(objective.gradient(state.position))
        change = _acceleration(self.flow.r, t, state, gradient)
        power, square = (np.sum(state.velocity * part, axis=-1, keepdims=True) for part in (change, state.velocity))
        certain = np.sqrt(square) < self.noise
        if self.first is not None:
            first = np.asarray(self.first)
            moved, size = (np.linalg.norm(g, axis=-1, keepdims=True) for g in (gradient - first, first))
            certain = certain | ((5 + 5 * self.flow.r) * moved < size)
        return np.where(certain, np.abs(power) + _TINY, power)

    def jump(self, t: float, state: RestartedFlowState, objective: ObjectiveLike) -> RestartedFlowState:  # noqa: ARG002
        """Return the state at rest with the clock set back."""
        return RestartedFlowState(state.position, np.zeros_like(state.velocity), np.full_like(state.origin, t))
