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
    """Return the values inside the grid where the function touches zero, or crosses it twice between grid points.

    Near a point where it touches zero it is a square, whose root is linear there: the two sides are extrapolated to
    zero.
    """
    values = function(grid)
    size, same = np.abs(values), np.sign(values)
    lowest = np.flatnonzero((size[1:-1] < size[:-2]) & (size[1:-1] < size[2:])) + 1
    lowest = lowest[(same[lowest - 1] == same[lowest]) & (same[lowest + 1] == same[lowest])]
    if not lowest.size:
        return np.empty(0)
    bracket = grid[lowest - 1], grid[lowest], grid[lowest + 1]

    def depth(x: FloatArray, side: FloatArray) -> FloatArray:
        return side * function(x)

    side: FloatArray = same[lowest]
    bottom = elementwise.find_minimum(depth, bracket, args=(side,))
    rounding = 1e-9 * np.maximum(size[lowest - 1], size[lowest + 1])
    through = bottom.f_x < -rounding
    found = [_touched(function, np.asarray(bottom.x[np.abs(bottom.f_x) <= rounding]))]
    for end in (bracket[0], bracket[2]):
        if through.any():
            ends = np.sort(np.stack([end[through], bottom.x[through]]), axis=0)
            found.append(np.asarray(elementwise.find_root(function, (ends[0], ends[1])).x))
    return np.concatenate(found)


def _touched(function: Function, touching: FloatArray) -> FloatArray:
    if not touching.size:
        return touching
    step = 1e-4 * np.abs(touching)
    # The rest of the function tilts the square, an error of the order of step²: two steps and an extrapolation.
    coarse, fine = _between(function, touching, step), _between(function, touching, 0.5 * step)
    return touching + (4 * fine - coarse) / 3


def _between(function: Function, middle: FloatArray, step: FloatArray) -> FloatArray:
    """Return how far from `middle` the lines through the square roots on both sides meet zero."""
    left, right = np.sqrt(np.abs(function(middle - step))), np.sqrt(np.abs(function(middle + step)))
    return np.asarray(step * (left - right) / (left + right))


def distinct(values: FloatArray) -> FloatArray:
    """Return the values in increasing order, those that differ by rounding only once."""
    ordered = np.sort(values)
    same = np.diff(ordered) <= 1e-12 * np.abs(ordered[1:])
    return np.asarray(ordered[np.concatenate([np.ones(min(1, len(ordered)), dtype=bool), ~same])])
