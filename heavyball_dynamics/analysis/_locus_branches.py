"""Characteristic loci followed from one frequency to the next, so that crossings of several at once are told apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray

Loci = Callable[[FloatArray, IntArray], ComplexArray]  # of ν (k, point) and the elements (k,): (k, point, locus)

_MANY = 5  # loci from which on they are matched by their order instead of by all permutations


def half_crossings(loci: Loci, grid: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the elements (root,) and the ν (root,) at which a locus has the real part ½.

    A product over the loci would not see two that cross within one step of the grid.
    """
    logs = np.log(grid)
    # The very numbers that the solver will see.
    values = loci(np.exp(logs), np.arange(len(grid)))
    ends = values[:, :-1], _matched(values[:, :-1], values[:, 1:])
    who, where, which = np.nonzero((ends[0].real - 0.5) * (ends[1].real - 0.5) < 0)
    touched, at, _ = np.nonzero(values.real == 0.5)
    if not who.size:
        return touched, np.asarray(grid[touched, at])
    low, high = logs[who, where], logs[who, where + 1]
    one, other = (end[who, where, which] for end in ends)

    def along(logarithm: FloatArray, number: FloatArray) -> FloatArray:
        i = number.astype(int)
        # Between its ends a branch is the locus nearest to the straight line.
        share = (logarithm - low[i]) / (high[i] - low[i])
        near = (1 - share) * one[i] + share * other[i]
        found = loci(np.exp(logarithm)[:, None], who[i])[:, 0]
        nearest = np.argmin(np.abs(found - near[:, None]), axis=-1)
        return np.asarray(np.take_along_axis(found, nearest[:, None], -1)[:, 0].real - 0.5)

    root = elementwise.find_root(along, (low, high), args=(np.arange(len(who), dtype=float),))
    solved = np.isfinite(root.x)
    found = np.exp(root.x[solved])
    return np.concatenate([who[solved], touched]), np.concatenate([found, grid[touched, at]])


def _matched(one: ComplexArray, other: ComplexArray) -> ComplexArray:
    """Return the other loci (…, locus) in the order in which they are nearest to the first ones."""
    number = one.shape[-1]
    if number >= _MANY:
        rank = np.argsort(np.argsort(one.real, axis=-1), axis=-1)
        return np.take_along_axis(np.take_along_axis(other, np.argsort(other.real, axis=-1), -1), rank, -1)
    orders = np.array(list(permutations(range(number))))
    cost = np.stack([np.abs(one - other[..., order]).sum(axis=-1) for order in orders], axis=-1)
    return np.take_along_axis(other, orders[np.argmin(cost, axis=-1)], -1)
