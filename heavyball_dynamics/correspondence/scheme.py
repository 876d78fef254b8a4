"""What all discretizations of a flow share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from heavyball_dynamics._batching import batch_shape, leaves, rebuild
from heavyball_dynamics._probe import TimeNeededError, UnsetTime
from heavyball_dynamics._protocols import Flow, Method, ObjectiveLike, require_flow
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter, State
from heavyball_dynamics._validation import is_symbolic, positive, require
from heavyball_dynamics.algorithms._phases import is_hybrid
from heavyball_dynamics.algorithms.flows import HeavyBallFlow
from heavyball_dynamics.correspondence.rules import decay_of


@dataclass(frozen=True, eq=False)
class Scheme(Record, ABC):
    """Base of the schemes: a flow and a time step, made into a method.

    A scheme of a user's own need not inherit from it. A frozen dataclass with the fields ``flow`` and ``dt``, the class
    attributes below and the calls ``init(position, velocity, objective)`` and ``step(k, state, objective)`` is enough,
    if its state has a ``velocity`` in units of dx/dt; otherwise it also offers ``velocity(state, objective)``.

    Parameters
    ----------
    flow : Flow
        What is discretized.
    dt : float or array (*batch,)
        Time h > 0 of one step.

    Attributes
    ----------
    name : str
        Its key in the table of schemes.
    order : float
        Order in dt to which the iterates agree with the flow from the start that `init` prepares; infinite where they
        are exact.
    gradients_per_step : int
        Gradients asked for in one step; for implicit schemes in each iteration.
    requires : frozenset of str
        What the objective must have: "hessian", "quadratic".

    Raises
    ------
    ValueError
        If dt is not positive, or batch axes do not broadcast.
    TypeError
        If the flow is none, or not one that the scheme can discretize.
    """

    flow: Any
    dt: Hyperparameter

    name: ClassVar[str]
    order: ClassVar[float]
    gradients_per_step: ClassVar[int] = 1
    requires: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        require_instance(self.flow)
        self._set(dt=positive("dt", self.dt))
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> State:
        """Return the state at the start; `velocity` is the flow's dx/dt."""
        return self.flow.init(position, velocity, objective)

    @abstractmethod
    def step(self, k: int, state: Any, objective: ObjectiveLike) -> State:
        """Return the state one time step later."""

    def velocity(self, state: Any, objective: ObjectiveLike) -> Any:
        """Return dx/dt at a state, (*batch, dim): what `init` was given, for the state that it returned.

        It is NaN where the state does not tell it: for a flow that varies in time and keeps no velocity.
        """
        if hasattr(state, "velocity"):
            return state.velocity
        try:
            slope = self.flow.vector_field(UnsetTime(), state, objective).position
        except TimeNeededError:
            slope = UnsetTime()
        return np.nan * state.position if isinstance(slope, UnsetTime) else slope

    def kinetic_energy(self, state: Any) -> Any:
        """Return the flow's kinetic energy at a state whose velocity is dx/dt, (*batch, 1)."""
        own = getattr(self.flow, "kinetic_energy", None)
        return 0.0 * state.position[..., :1] if own is None else own(state)

    @property
    def method(self) -> Method | None:
        """The optimizer that makes the same steps, where it is one with a name of its own."""
        return None

    @classmethod
    def largest_dt(cls, flow: Flow) -> Hyperparameter:  # noqa: ARG003
        """Return the largest dt that the scheme takes for a flow; it need not be stable there."""
        return float("inf")


def velocity_reader(scheme: Any, state: Any) -> Callable[[Any, ObjectiveLike], Any]:
    """Return the function of (state, objective) that gives dx/dt: the scheme's own, or else the state's velocity."""
    own: Callable[[Any, ObjectiveLike], Any] | None = getattr(scheme, "velocity", None)
    if own is not None:
        return own
    if not hasattr(state, "velocity"):
        raise TypeError(
            f"`scheme` must tell dx/dt. Received {type(scheme).__name__}, whose state {type(state).__name__} has no "
            "field velocity. Name it so, or offer velocity(state, objective)."
        )
    return lambda state, _: state.velocity


def require_quadratic(scheme: str, objective: ObjectiveLike) -> None:
    """Raise TypeError unless the loss is a quadratic."""
    if not getattr(objective, "constant_hessian", False):
        raise TypeError(
            f"`objective` must be a quadratic for the scheme {scheme}, which needs its modes. Received {objective!r}. "
            "hb.Quadratic(loss.hessian(point)) is the quadratic that fits a loss at a point."
        )


def require_instance(flow: Any) -> None:
    """Raise TypeError unless `flow` is a flow with its parameters."""
    if isinstance(flow, type):
        raise TypeError(
            f"`flow` must be an instance. Received the class {flow.__name__}: "
            f"write {flow.__name__}(...) with its parameters."
        )
    require_flow("flow", flow)


def require_one_phase(scheme: str, flow: Any) -> None:
    """Raise TypeError if the flow goes in phases: a scheme steps over where it sticks, jumps or starts anew."""
    require_instance(flow)
    if is_hybrid(flow):
        raise TypeError(
            f"`flow` must be smooth for the scheme {scheme}. Received {flow!r}, which goes in phases. hb.integrate "
            "finds where they end; hb.FrictionMethod is the heavy ball with friction of any power."
        )


def require_half_a_step(mass: Hyperparameter, damping: Hyperparameter, dt: Hyperparameter) -> None:
    """Raise ValueError where negative damping leaves no velocity half a step away: 1 + γh/2m <= 0."""
    decay = decay_of(mass, damping, dt)
    if not is_symbolic(decay):
        damping, decay = np.broadcast_arrays(damping, decay)
        require("damping", damping, decay > -2, "> -2·mass/dt", "A smaller dt lets it through.")


def half_a_step_limit(flow: Any, lowest: float = -2.0) -> Hyperparameter:
    """Return the dt at which negative damping brings γh/m down to `lowest`; infinite without negative damping."""
    if is_symbolic(flow.mass) or is_symbolic(flow.damping):
        return np.inf
    # Just inside the limit, which itself is refused.
    reach = np.abs(np.minimum(flow.damping, 0.0)) / flow.mass
    with np.errstate(divide="ignore"):
        return np.where(reach > 0, (1 - 1e-9) * -lowest / reach, np.inf)[()]


def require_oscillator(scheme: str, flow: Any) -> None:
    """Raise TypeError unless the flow has mass and damping, and no further friction."""
    require_instance(flow)
    if not isinstance(flow, HeavyBallFlow):
        raise TypeError(
            f"`flow` must be a HeavyBallFlow, with mass and damping, for the scheme {scheme}. Received {flow!r}. "
            "explicit_euler and runge_kutta4 take every smooth flow."
        )
    if flow.friction is not None:
        others = "" if flow.friction.sticks else "explicit_euler and runge_kutta4 take friction of power 1 and more; "
        raise TypeError(
            f"`friction` must be None for the scheme {scheme}, which knows damping alone. Received {flow.friction!r}. "
            f"{others}hb.FrictionMethod is the heavy ball with friction."
        )


def moved(state: State, by: State, factor: Any) -> State:
    """Return state + factor·by, leaf by leaf."""
    pairs = zip(leaves(state), leaves(by), strict=True)
    return rebuild(state, [value + factor * change for value, change in pairs])


def combined(states: list[State], function: Callable[..., Any]) -> State:
    """Return `function` of the corresponding leaves of several states."""
    return rebuild(states[0], [function(*parts) for parts in zip(*map(leaves, states), strict=True)])
