"""The contracts between the rooms: what an objective, a method and a flow offer."""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard, runtime_checkable

from heavyball_dynamics._types import Hyperparameter, State


class ObjectiveLike(Protocol):
    """A loss, batched over every axis but the last: positions are (*batch, dim)."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    def value(self, position: Any, /) -> Any:
        """Loss, (*batch,)."""

    def gradient(self, position: Any, /) -> Any:
        """Gradient, (*batch, dim)."""

    def hessian(self, position: Any, /) -> Any:
        """Hessian, (*batch, dim, dim)."""

    def hessian_product(self, position: Any, vector: Any, /) -> Any:
        """Hessian times vector, (*batch, dim)."""

    def at(self, k: int, /) -> ObjectiveLike:
        """Return the objective of step k: itself unless gradients are noisy."""


@runtime_checkable
class Method(Protocol):
    """An update rule in discrete time, written as if for one scalar position.

    A frozen dataclass with a six-line ``step`` is enough: it then runs (`iterate`), linearizes (`linearize`,
    `analyze_modes`, `root_locus`) and draws like the rules that come with the package.
    """

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> State:
        """State before the first step. ``velocity`` is the displacement of one step, V_0 = x_0 - x_{-1}."""

    def step(self, k: int, state: Any, objective: ObjectiveLike) -> State:
        """State after step k (counted from 0); asks ``objective.gradient(position)`` where it likes."""


@runtime_checkable
class Flow(Protocol):
    """A system of ordinary differential equations, written as if for one scalar position.

    A flow that sticks, jumps or starts anew also offers ``phase``: see the notes of `integrate`.
    """

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> State:
        """State at the start. ``velocity`` is dx/dt."""

    def vector_field(self, t: float, state: Any, objective: ObjectiveLike) -> State:
        """Time derivative of the state, in a tuple of the same shape."""


Algorithm = Method | Flow


def is_flow(algorithm: Method | Flow, name: str = "algorithm") -> TypeGuard[Flow]:
    """Tell a flow from a method; anything else is refused, under the name of the argument."""
    flow, method = hasattr(algorithm, "vector_field"), hasattr(algorithm, "step")
    if isinstance(algorithm, type):
        raise TypeError(
            f"`{name}` must be an instance. Received the class {algorithm.__name__}: "
            f"write {algorithm.__name__}(...) with its hyperparameters."
        )
    if flow == method or not hasattr(algorithm, "init"):
        raise TypeError(
            f"`{name}` must offer init and either step (a method) or vector_field (a flow). "
            f"Received {algorithm!r} of type {type(algorithm).__name__}."
        )
    return flow


def require_method(name: str, method: Method) -> None:
    """Raise TypeError unless `method` is an update rule."""
    if is_flow(method, name):
        raise TypeError(
            f"`{name}` must be a method, in discrete time. Received the flow {method!r}. To run a flow, use integrate."
        )


def require_flow(name: str, flow: Flow) -> None:
    """Raise TypeError unless `flow` is a flow."""
    if not is_flow(flow, name):
        raise TypeError(
            f"`{name}` must be a flow, in continuous time. Received the method {flow!r}. To run a method, use iterate."
        )


def require_objective(objective: ObjectiveLike) -> None:
    """Raise TypeError unless `objective` offers what the drivers ask for."""
    missing = [name for name in ("dim", "value", "gradient", "at") if not hasattr(objective, name)]
    if missing:
        raise TypeError(
            f"`objective` must offer value, gradient, dim and at. Received {objective!r} without "
            f"{', '.join(missing)}. Wrap plain functions in hb.Objective(value, gradient, dim=...)."
        )


__all__ = ["Algorithm", "Flow", "Hyperparameter", "Method", "ObjectiveLike", "is_flow"]
