"""Lyapunov equations, batched, from what a step adds to a state."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_sylvester

from heavyball_dynamics._types import FloatArray

_SMALL = 36  # unknowns up to which one system of linear equations is solved for all of them
_DOUBLINGS = 64


def covariance_solution(left: FloatArray, right: FloatArray, source: FloatArray, *, discrete: bool) -> FloatArray:
    r"""Return the X with X = (1 + L)X(1 + R)ᵀ + N for methods, LX + XRᵀ + N = 0 for flows.

    The increments L and R are asked for, not 1 + L: close to the edge of stability the difference has the digits.

    Parameters
    ----------
    left, right : array (*batch, state, state)
        Both stable.
    source : array (*batch, state, state)
        N, what the noise adds in one step or per unit of time.

    Returns
    -------
    array (*batch, state, state)
    """
    rows, columns = source.shape[-2:]
    if rows * columns > _SMALL:
        return _doubling(left, right, source) if discrete else _sylvester(left, right, source)
    system = _kronecker(left, np.eye(columns)) + _kronecker(np.eye(rows), right)
    if discrete:
        system = system + _kronecker(left, right)
    shape = np.broadcast_shapes(system.shape[:-2], source.shape[:-2])
    known = np.broadcast_to(-source, (*shape, rows, columns)).reshape(*shape, rows * columns, 1)
    found = np.linalg.solve(system, known)
    # Masses, dampings and curvatures of very different sizes scale the equations badly: one refinement mends it.
    found = found + np.linalg.solve(system, known - system @ found)
    return np.asarray(found.reshape(*shape, rows, columns))


def _kronecker(one: FloatArray, other: FloatArray) -> FloatArray:
    product = np.einsum("...ij,...kl->...ikjl", one, other)
    rows, columns = one.shape[-2] * other.shape[-2], one.shape[-1] * other.shape[-1]
    return np.asarray(product.reshape(*product.shape[:-4], rows, columns))


def _doubling(left: FloatArray, right: FloatArray, source: FloatArray) -> FloatArray:
    """Sum the series Σ MʲN(Mᵀ)ʲ, twice as many terms with every pass (Smith 1968)."""
    one = np.eye(left.shape[-1]) + left
    other = np.eye(right.shape[-1]) + right
    total = source
    for _ in range(_DOUBLINGS):
        step = one @ total @ np.swapaxes(other, -1, -2)
        total = total + step
        if np.all(np.abs(step) <= 1e-17 * np.max(np.abs(total), axis=(-2, -1), keepdims=True)):
            break
        one, other = one @ one, other @ other
    return total


def _sylvester(left: FloatArray, right: FloatArray, source: FloatArray) -> FloatArray:
    shape = np.broadcast_shapes(left.shape[:-2], right.shape[:-2], source.shape[:-2])
    found = np.empty((*shape, *source.shape[-2:]))
    one, other, known = (np.broadcast_to(each, (*shape, *each.shape[-2:])) for each in (left, right, source))
    for index in np.ndindex(shape):
        found[index] = solve_sylvester(one[index], other[index].T, -known[index])
    return found
