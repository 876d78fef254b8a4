"""The matrix inequality behind a certificate, written in the units of the user, and its proof in rational numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._types import FloatArray


class Loop(NamedTuple):
    """One rule x⁺ = Ax + Bu, y = Cx + Du whose gradients u have slopes between `low` and `high`."""

    A: FloatArray
    B: FloatArray
    C: FloatArray
    D: FloatArray
    low: float
    high: float


class Candidate(NamedTuple):
    """A rate, with the numbers that are to prove it: a root F of P = FᵀF, and multipliers (gradient, constraint).

    Near the smallest rate P is too ill-conditioned to be known by its entries; by a root it is.
    """

    rate: float
    root: FloatArray
    multipliers: FloatArray


exact = np.vectorize(Fraction, otypes=[object])


def inequality(loop: Loop, found: Candidate, number: Any = np.asarray) -> Any:
    """Return the matrix that must be negative definite, in the arithmetic that `number` turns arrays into."""
    A, B, C, D, root, multipliers, (low, high, rate) = map(number, (*loop[:4], *found[1:], (*loop[4:], found.rate)))
    P = root.T @ root
    states, gradients = B.shape
    memory = len(P) - states  # states of the filters
    keep = number(np.zeros((states, memory)))
    now = number(np.eye(states + memory, states + memory + gradients))
    query = np.hstack([C, number(np.zeros((gradients, memory))), D])
    gradient = number(np.eye(states + memory + gradients)[states + memory :])
    after = np.hstack([A, keep, B])
    if memory:
        after = np.vstack([after, gradient - high * query])
    total = after.T @ P @ after - rate * rate * (now.T @ P @ now)
    upper, lower = high * query - gradient, gradient - low * query
    for j, weights in enumerate(multipliers):
        # What was left of the upper bound a step ago is subtracted in the second constraint.
        past = rate * rate * now[states + j] if memory else 0 * upper[j]
        for weight, side in zip(weights, (upper[j], upper[j] + past), strict=False):
            total = total + weight * (np.outer(side, lower[j]) + np.outer(lower[j], side))
    return total


def proven(loop: Loop, found: Candidate) -> FloatArray | None:
    """Return the inequality, if the numbers of a candidate prove its rate in rational arithmetic, without rounding."""
    if not (np.all(np.isfinite(found.root)) and np.all(np.isfinite(found.multipliers))):
        return None
    if np.any(found.multipliers < 0):
        return None
    root, left = exact(found.root), inequality(loop, found, exact)
    if not (_positive(root.T @ root) and _positive(-left)):
        return None
    return np.asarray(left.astype(np.float64))


def _positive(matrix: Any) -> bool:
    """Tell whether a symmetric matrix of fractions is positive definite: all pivots of its elimination are."""
    rest = matrix.copy()
    while len(rest):
        pivot = rest[0, 0]
        if pivot <= 0:
            return False
        rest = rest[1:, 1:] - np.outer(rest[1:, 0], rest[0, 1:] / pivot)
    return True
