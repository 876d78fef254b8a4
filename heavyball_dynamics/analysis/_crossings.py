"""Where a batched function of one parameter changes sign, or touches zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._types import BoolArray, FloatArray

Function = Callable[[FloatArray], FloatArray]


def crossings(function: Function, grid: FloatArray, skip: BoolArray) -> FloatArray:
    """Return the values where the function changes sign, solved for inside each interval of the grid.

    Grid points where it is exactly zero count, except those marked in `skip` and stretches where it is zero throughout.
    """
    sign = np.sign(function(grid))
    change = np.flatnonzero(sign[:-1] * sign[1:] < 0)
    padded = np.concatenate([[1.0], np.abs(sign), [1.0]])
    lone_zero = (sign == 0) & (padded[:-2] > 0) & (padded[2:] > 0) & ~skip
    if not change.size:
        return np.asarray(grid[lone_zero])
    root = elementwise.find_root(function, (grid[change], grid[change + 1]))
    return np.asarray(np.sort(np.concatenate([root.x, grid[lone_zero]])))


def meetings(function: Function, grid: FloatArray) -> FloatArray:
    """Return the values inside the grid where the function touches zero without changing sign.

    Near such a point it is a square, whose root is linear there: the two sides are extrapolated to zero.
    """
    values = function(grid)
    size, same = np.abs(values), np.sign(values)
    lowest = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] < size[2:])) + 1
    lowest = lowest[(same[lowest - 1] == same[lowest]) & (same[lowest + 1] == same[lowest])]
    if not lowest.size:
        return np.empty(0)
    bottom = elementwise.find_minimum(
        lambda x: np.abs(function(x)), (grid[lowest - 1], grid[lowest], grid[lowest + 1])
    )
    around = np.maximum(size[lowest - 1], size[lowest + 1])
    touching = np.asarray(bottom.x[bottom.f_x <= 1e-9 * around])
    if not touching.size:
        return np.empty(0)
    step = 1e-5 * np.abs(touching)
    left, right = np.sqrt(np.abs(function(touching - step))), np.sqrt(np.abs(function(touching + step)))
    return np.asarray(touching + step * (left - right) / (left + right))
