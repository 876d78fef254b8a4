"""Batch axes of hyperparameters, and states as flat lists of leaves.

An array held by a dataclass field is a batch axis. Rules are written for scalars, so the drivers append to each such
array the axes that let it broadcast against positions; nested dataclasses (a friction law inside a flow) are reached
too. Tuples, strings, callables and numbers are structure and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from heavyball_dynamics._schedule import Schedule
from heavyball_dynamics._types import State

T = TypeVar("T")


def _is_record(value: object) -> bool:
    # The arrays of a loss (its Hessian, its minimizer) are no batch axes; those of a schedule have a step axis.
    kept = isinstance(value, (type, Schedule)) or hasattr(value, "gradient")
    return is_dataclass(value) and not kept


def _batched_arrays(algorithm: object) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    if not _is_record(algorithm):
        return
    for field in fields(algorithm):  # type: ignore[arg-type]
        value = getattr(algorithm, field.name)
        if isinstance(value, np.ndarray) and value.ndim > 0:
            yield field.name, value
        elif _is_record(value):
            yield from _batched_arrays(value)


def map_arrays(algorithm: T, function: Callable[[Any], Any]) -> T:
    """Return the algorithm with `function` applied to every array it holds (itself if it holds none)."""
    changed: dict[str, Any] = {}
    if _is_record(algorithm):
        for field in fields(algorithm):  # type: ignore[arg-type]
            value = getattr(algorithm, field.name)
            if isinstance(value, np.ndarray) and value.ndim > 0:
                changed[field.name] = function(value)
            elif _is_record(value):
                inner = map_arrays(value, function)
                if inner is not value:
                    changed[field.name] = inner
    return replace(algorithm, **changed) if changed else algorithm  # type: ignore[type-var]


def append_axes(algorithm: T, number: int) -> T:
    """Append `number` axes of length one to every array, so that it broadcasts against trailing axes."""
    return map_arrays(algorithm, lambda array: array.reshape(array.shape + (1,) * number))


def batch_shape(algorithm: object, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the common batch shape of an algorithm's arrays and of further shapes."""
    arrays = list(_batched_arrays(algorithm))
    try:
        return np.broadcast_shapes(*(array.shape for _, array in arrays), *shapes)
    except ValueError:
        own = [f"`{name}` {array.shape}" for name, array in arrays]
        received = " and ".join([*own, *(str(shape) for shape in shapes if shape)])
        raise ValueError(
            f"The batch axes of {type(algorithm).__name__} must broadcast against each other and against those of the "
            f"positions or curvatures. Received {received}. "
            "For a grid give one of them an axis of length one: lr[:, None]."
        ) from None


def take(algorithm: T, shape: tuple[int, ...], index: Any) -> T:
    """Return the elements `index` of the flattened batch of `shape`, each array then of shape (n, 1)."""
    return map_arrays(algorithm, lambda array: np.broadcast_to(array, shape).reshape(-1)[index][:, None])


def leaves(state: State) -> list[Any]:
    """Return the leaves of nested tuples, in order."""
    if isinstance(state, tuple):
        return [leaf for part in state for leaf in leaves(part)]
    return [state]


def rebuild(template: State, values: list[Any]) -> State:
    """Put leaves back into the tuples of `template`."""
    return _rebuild(template, iter(values))


def _rebuild(template: State, values: Iterator[Any]) -> State:
    if not isinstance(template, tuple):
        return next(values)
    parts = [_rebuild(part, values) for part in template]
    return type(template)(*parts) if hasattr(template, "_fields") else tuple(parts)
