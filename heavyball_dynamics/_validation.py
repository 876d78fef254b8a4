"""Checks of what the user passes in, and the sentences said when a check fails.

Every message names the argument, the rule that it breaks, the value received (with its index in an array)
and, where one is known, the likely remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray, Hyperparameter


def is_symbolic(value: object) -> bool:
    """Tell whether `value` is a SymPy object, without importing SymPy."""
    return hasattr(value, "free_symbols")


def require_numbers(algorithm: object) -> None:
    """Raise TypeError if a hyperparameter, also one of a nested record, is a symbol: symbols cannot be run."""
    for name, value in getattr(algorithm, "__dict__", {}).items():
        if is_symbolic(value):
            raise TypeError(
                f"`{name}` must be a number to be run. Received the symbol {value} in {algorithm!r}. Put a number in "
                "its place, for example with dataclasses.replace."
            )
        # The records inside: rules, friction laws; a loss may hold symbols.
        if is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "gradient"):
            require_numbers(value)


def _received(value: FloatArray, bad: Any) -> str:
    """Quote the first offending entry, with its index where there is one."""
    if value.ndim == 0:
        return f"Received {float(value)!r}."
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"Received {float(value[index])!r} at index {index}."


def require(name: str, value: FloatArray, good: Any, rule: str, remedy: str = "") -> None:
    """Raise ValueError unless `good` holds for every entry of `value`."""
    if not np.all(good):
        sentence = f"`{name}` must be {rule}. {_received(value, ~np.asarray(good))}"
        raise ValueError(f"{sentence} {remedy}".rstrip())


def real_array(name: str, value: ArrayLike, *, finite: bool = True) -> FloatArray:
    """Return `value` as a new float64 array, or say why it is none."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise ValueError(f"`{name}` must be a rectangular array of numbers. Received a ragged one: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must hold real numbers. Received {value!r} of type {type(value).__name__}.")
    result = array.astype(np.float64)
    if finite:
        require(name, result, np.isfinite(result), "finite")
    return result


def hyperparameter(
    name: str, value: Hyperparameter, *, rule: str = "finite", check: Callable[[FloatArray], Any] | None = None,
    remedy: str = "",
) -> Hyperparameter:
    """Return a hyperparameter as a float or a read-only array; SymPy expressions pass, their numbers are checked.

    Parameters
    ----------
    name
        The argument's name, for the message.
    value
        A real number, an array of them (a batch axis), or a SymPy expression.
    rule, check
        The rule in words and as a predicate on the array, for example ``"> 0"`` and ``lambda x: x > 0``.
    remedy
        What the user probably meant.
    """
    if is_symbolic(value):
        number: Any = value
        if check is not None and getattr(number, "is_number", False) and number.is_real:
            exact = np.asarray(float(number))
            require(name, exact, check(exact), rule, remedy)
        return value
    if callable(value):
        raise TypeError(
            f"`{name}` must be a number or an array of numbers, constant in time. Received the callable {value!r}: "
            "schedules are not supported here; a rule of your own may read k in its step."
        )
    array = real_array(name, value)
    if check is not None:
        require(name, array, check(array), rule, remedy)
    if array.ndim == 0:
        return float(array)
    array.flags.writeable = False
    return array


def finite(name: str, value: Hyperparameter) -> Hyperparameter:
    """Return a finite hyperparameter of any sign."""
    return hyperparameter(name, value)


def positive(name: str, value: Hyperparameter, remedy: str = "") -> Hyperparameter:
    """Return a finite hyperparameter greater than zero."""
    return hyperparameter(name, value, rule="> 0", check=lambda x: x > 0, remedy=remedy)


def non_negative(name: str, value: Hyperparameter, remedy: str = "") -> Hyperparameter:
    """Return a finite hyperparameter that is zero or greater."""
    return hyperparameter(name, value, rule=">= 0", check=lambda x: x >= 0, remedy=remedy)


def one_number(name: str, value: Any, *, finite: bool = True) -> FloatArray:
    """Return a single number as an array without axes."""
    number = real_array(name, value, finite=finite)
    if number.ndim:
        raise ValueError(f"`{name}` must be one number. Received shape {number.shape}.")
    return number


def vector(name: str, value: Any) -> Any:
    """Return finite real numbers as an array; SymPy expressions pass untouched."""
    return value if is_symbolic(value) else real_array(name, value)


def points(name: str, value: ArrayLike, dim: int) -> FloatArray:
    """Return finite points of shape (*batch, dim)."""
    array = real_array(name, value)
    if array.ndim == 0 and dim == 1:
        array = array[None]
    if array.ndim == 0 or array.shape[-1] != dim:
        raise ValueError(
            f"`{name}` must have shape (*batch, {dim}), its last axis the {dim} coordinates of the objective. "
            f"Received shape {array.shape}."
        )
    return array


def one_of(name: str, value: object, choices: Any) -> None:
    """Raise ValueError unless `value` is among the choices."""
    options = list(choices)
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"`{name}` must be one of {listed}. Received {value!r}.")


def count(name: str, value: object, minimum: int) -> int:
    """Return a whole number that is at least `minimum`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` must be a whole number >= {minimum}. Received {value!r}.")
    if value < minimum:
        raise ValueError(f"`{name}` must be a whole number >= {minimum}. Received {value}.")
    return int(value)
