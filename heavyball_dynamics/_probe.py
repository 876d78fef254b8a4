"""Linearization of a rule by calling it: basis states and an objective that answers with given gradients.

Seen by one coordinate, a linear rule is a linear system whose inputs are the gradients it receives and whose outputs
are the points where it asks for them,

    x⁺ = A x + B u,   y = C x + D u        (for a flow x⁺ is the time derivative),

and one batched call of the rule on unit vectors yields all four matrices, for every element of a batch of
hyperparameters at once. Nothing about the rule is written down a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._schedule import at_step, has_schedules
from heavyball_dynamics._types import FloatArray


@dataclass(frozen=True)
class Linearization:
    """State-space matrices of a rule as seen by one coordinate.

    Attributes
    ----------
    A : array (*batch, state, state)
    B : array (*batch, state, gradient)
    C : array (*batch, gradient, state)
    D : array (*batch, gradient, gradient)
        Strictly lower triangular for explicit rules: where the second gradient is asked may depend on the first.
    discrete : bool
        True for methods: the matrices then map a state to the next one. For flows they give its time derivative.
    """

    A: FloatArray
    B: FloatArray
    C: FloatArray
    D: FloatArray
    discrete: bool


class NotLinearError(ValueError):
    """The rule has no state-space matrices."""


class HessianAskedError(NotLinearError):
    """The rule asks for the Hessian: it is linear at best for a given curvature."""


class TimeNeededError(Exception):
    """The rule looked at k or t."""


def _needed(*_: object, **__: object) -> NoReturn:
    raise TimeNeededError


def _stays(self: UnsetTime, *_: object, **__: object) -> UnsetTime:
    return self


class UnsetTime:
    """Stands for a k or t that was not given.

    Whatever is computed from it is unset as well (a scheme may work out t = k·dt for a flow that never looks at it);
    a decision or a number made of it, or a state that it enters, reports that the rule varies in time.
    """

    __array_ufunc__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _stays
    __pow__ = __rpow__ = __mod__ = __rmod__ = __floordiv__ = __rfloordiv__ = __neg__ = __abs__ = __pos__ = _stays
    __array__ = __index__ = __int__ = __float__ = __bool__ = __call__ = __getitem__ = __iter__ = __len__ = _needed
    __invert__ = __divmod__ = __rdivmod__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = _needed
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __round__ = __trunc__ = __floor__ = __ceil__ = _needed
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = __hash__ = _needed


class _Answering:
    """An objective that answers the j-th question with the j-th given gradient, and notes where it was asked."""

    dim = 1

    def __init__(self, answer: Callable[[int], FloatArray]) -> None:
        self._answer = answer
        self.queries: list[Any] = []

    def at(self, k: int) -> _Answering:  # noqa: ARG002
        """Return itself: the answers do not depend on the step."""
        return self

    def gradient(self, position: Any) -> FloatArray:
        """Return the next answer."""
        self.queries.append(position)
        return self._answer(len(self.queries) - 1)

    def proximal_point(self, position: Any, weight: Any) -> Any:
        """Return y = position - weight·u for the next answer u: the point y whose gradient u is."""
        return position + self.proximal_step(position, weight)

    def proximal_step(self, position: Any, weight: Any) -> Any:
        """Return -weight·u, the way to that point."""
        self.queries.append(None)
        step = -weight * self._answer(len(self.queries) - 1)
        self.queries[-1] = position + step
        return step

    def hessian(self, position: Any) -> Any:  # noqa: ARG002
        """Refuse: the Hessian times the state is a product of two unknowns."""
        raise HessianAskedError("it asks for the Hessian of the loss")

    def hessian_product(self, position: Any, vector: Any) -> Any:  # noqa: ARG002
        """Refuse, like `hessian`."""
        raise HessianAskedError("it asks for the Hessian of the loss")

    @property
    def modes(self) -> NoReturn:
        """Refuse, like `hessian`."""
        raise HessianAskedError("it asks for the modes of the loss")

    def value(self, position: Any) -> Any:  # noqa: ARG002
        """Refuse: a rule that looks at the value of the loss is not linear."""
        raise NotLinearError("it asks for the value of the loss")


class _Flat(_Answering):
    """A loss that is zero everywhere: enough for `init`, of which only the structure of the state is used."""

    constant_hessian = True

    def __init__(self) -> None:
        super().__init__(lambda _: np.zeros((1, 1)))

    def hessian(self, position: Any) -> Any:
        return np.zeros((*np.shape(position), 1))

    def hessian_product(self, position: Any, vector: Any) -> Any:  # noqa: ARG002
        return 0.0 * vector

    def value(self, position: Any) -> Any:
        return np.zeros(np.shape(position)[:-1])


def time_needed(algorithm: Algorithm) -> ValueError:
    """Return the error that says that a rule varies in time."""
    flow = is_flow(algorithm)
    return ValueError(
        f"{type(algorithm).__name__} varies in time: say at which {'time' if flow else 'step'} to freeze it, "
        f"for example {'t=10.0' if flow else 'k=100'}."
    )


def frozen(algorithm: Algorithm, time: Any) -> Algorithm:
    """Return the algorithm with its schedules replaced by their values, where a time is given."""
    if isinstance(time, UnsetTime) and has_schedules(algorithm):
        raise TimeNeededError
    return at_step(algorithm, time)


def as_numbers(value: Any) -> Any:
    """Return a part of a state as an array, unless it was made of a time that was not given."""
    if isinstance(value, UnsetTime):
        raise TimeNeededError
    return np.asarray(value)


def call(algorithm: Algorithm, time: Any, state: Any, objective: Any) -> Any:
    """Return the next state of a method, or the time derivative of a flow's state."""
    if is_flow(algorithm):
        return algorithm.vector_field(time, state, objective)
    method: Any = algorithm
    return method.step(time, state, objective)


def _structure(algorithm: Algorithm, time: Any) -> tuple[Any, int]:
    """Return a state to copy the structure of, and the number of gradients asked for in one call."""
    zero = np.zeros((1, 1))
    template = algorithm.init(zero, zero, _Flat())
    counting = _Answering(lambda _: zero)
    call(algorithm, time, template, counting)
    return template, len(counting.queries)


def probe(algorithm: Algorithm, time: float | None = None) -> Linearization:
    """Return the state-space matrices of a linear rule.

    Parameters
    ----------
    algorithm
        Flow or method, its hyperparameters batched or not.
    time
        The step k or time t at which a rule that varies in time is frozen.

    Raises
    ------
    ValueError
        If the rule is not linear in state and gradient, or varies in time and no time is given.
    """
    discrete = not is_flow(algorithm)
    now = UnsetTime() if time is None else time
    try:
        rule = frozen(algorithm, now)
        with np.errstate(all="ignore"):
            A, B, C, D = _probe(append_axes(rule, 2), now, batch_shape(rule))
    except TimeNeededError:
        raise time_needed(algorithm) from None
    except HessianAskedError as error:
        raise HessianAskedError(
            f"{type(algorithm).__name__} is not linear in its state and gradient ({error}), so it has no open loop. "
            f"hb.analyze_modes takes it, if it is linear on quadratics. Received {algorithm!r}."
        ) from None
    except NotLinearError as error:
        raise NotLinearError(
            f"{type(algorithm).__name__} is not linear in its state and gradient ({error}), "
            "so it has no poles of its own. Received " + repr(algorithm) + "."
        ) from None
    return Linearization(A, B, C, D, discrete)


def _probe(
    algorithm: Algorithm, time: Any, batch: tuple[int, ...]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    template, inputs = _structure(algorithm, time)
    order = len(leaves(template))
    size = order + inputs
    # Unit vectors, the zero vector, and two combinations of different size that betray a rule that is not linear.
    weights = np.random.default_rng(0).normal(size=(2, size)) * np.array([[1.0], [1e3]])
    columns = np.concatenate([np.eye(size), np.zeros((1, size)), weights])
    state = rebuild(template, [np.ascontiguousarray(columns[:, i : i + 1]) for i in range(order)])
    objective = _Answering(lambda j: columns[:, order + j : order + j + 1])
    result = leaves(call(algorithm, time, state, objective))
    if len(result) != order or len(objective.queries) != inputs:
        raise NotLinearError(f"one call returned {len(result)} of {order} parts and asked {len(objective.queries)} "
                             f"of {inputs} gradients")  # fmt: skip
    shape = (*batch, len(columns), 1)
    rows = [response_row(algorithm, value, shape) for value in (*result, *objective.queries)]
    response = np.stack(rows, axis=-2)
    matrix = response[..., :size]
    _require_linear(response[..., size:], matrix, columns[size:])
    old, new = np.s_[:order], np.s_[order:]
    return matrix[..., old, old], matrix[..., old, new], matrix[..., new, old], matrix[..., new, new]


def response_row(algorithm: Algorithm, value: Any, shape: tuple[int, ...]) -> FloatArray:
    """Return one part of the new state, or one query point, for every unit vector: (*batch, vector)."""
    name = type(algorithm).__name__
    array = as_numbers(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} must return real numbers here. Received {array.ravel()[0]!r} of type "
            f"{type(array.ravel()[0]).__name__}. Put numbers in place of symbols."
        )
    try:
        return np.broadcast_to(array.astype(np.float64), shape)[..., 0]
    except ValueError:
        raise ValueError(
            f"{name} must return a tuple of arrays of the positions' shape. For positions of shape {shape} it returned "
            f"one of shape {array.shape}. Are its hyperparameters lists? An array is a batch axis, a list is none."
        ) from None


def _require_linear(response: FloatArray, matrix: FloatArray, columns: FloatArray) -> None:
    expected = matrix @ columns.T
    scale = np.abs(matrix) @ np.abs(columns.T)
    if not np.all(np.isfinite(matrix)):
        raise NotLinearError("a unit vector led to a value that is not finite")
    if np.any(response[..., 0] != 0):
        raise NotLinearError("it moves at rest with zero gradient")
    # Below the normal numbers digits are lost: a friction that has decayed so far is still linear.
    if not np.all(np.abs(response - expected) <= 1e-9 * scale + np.finfo(np.float64).tiny):
        raise NotLinearError("the response to a sum is not the sum of the responses")
