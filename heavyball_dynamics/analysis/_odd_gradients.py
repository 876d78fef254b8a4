"""Odd gradients of one coordinate, as functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heavyball_dynamics._types import FloatArray

_ARRAYS = (
    "`gradient` must take arrays and return as many numbers, elementwise: np.where(x > 0, 1.0, -1.0) in the place of "
    "1.0 if x > 0 else -1.0. "
)


def derivative(gradient: Any) -> Callable[[FloatArray], FloatArray]:
    """Return f' of arrays of any shape, from an objective of one coordinate or a function."""
    if not hasattr(gradient, "gradient"):
        if not callable(gradient):
            raise TypeError(
                f"`gradient` must be a function of positions, or an objective of one coordinate. Received {gradient!r}."
            )
        return lambda x: _elementwise(gradient, x)
    if getattr(gradient, "dim", 1) != 1:
        raise ValueError(f"`gradient` must be of one coordinate. Received an objective of dim {gradient.dim}.")
    return lambda x: np.asarray(gradient.gradient(x[..., None]))[..., 0]


def _elementwise(gradient: Callable[[FloatArray], Any], x: FloatArray) -> FloatArray:
    try:
        found = np.asarray(gradient(x), dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(_ARRAYS + f"Received {gradient!r}, which fails on one: {error}") from error
    if found.shape != x.shape:
        raise ValueError(_ARRAYS + f"Received {gradient!r}, which made shape {found.shape} of {x.shape}.")
    return found


def require_odd(slope: Callable[[FloatArray], FloatArray], largest: float) -> None:
    """Raise ValueError unless f'(-x) = -f'(x) up to the largest position."""
    x = largest * np.linspace(0.0, 1.0, 101)
    up, down = slope(x), slope(-x)
    off = np.abs(up + down)
    if not np.all(off <= 1e-9 * (np.abs(up).max() + np.finfo(float).tiny)):
        worst = float(x[np.argmax(off)])
        raise ValueError(
            "`gradient` must be odd, f'(-x) = -f'(x): only then an oscillation has no offset. Received "
            f"{float(slope(np.array([worst]))[0])!r} at {worst:g} and {float(slope(np.array([-worst]))[0])!r} at "
            f"{-worst:g}. Put the centre of symmetry at 0."
        )
