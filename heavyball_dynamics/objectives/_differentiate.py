"""Derivatives of batched callables by finite differences, for losses that come without them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from heavyball_dynamics._types import FloatArray

# SciPy's eighth-order differences start here and halve the step until two estimates agree. A step of 1/16 keeps
# polynomials of degree eight exact to rounding and stays inside most domains; SciPy's own 0.5 leaves many of them.
_FIRST_STEP = 0.0625


def differentiate(function: Callable[[FloatArray], FloatArray], position: FloatArray) -> FloatArray:
    """Return the derivatives of a batched function by every coordinate of its position.

    Parameters
    ----------
    function
        Maps (*batch, dim) to (*batch,), or to (*batch, row).
    position : array (*batch, dim)

    Returns
    -------
    array (*batch, dim), or (*batch, row, dim)

    References
    ----------
    `scipy.differentiate.jacobian`, whose axes come first where ours come last.
    """
    from scipy.differentiate import jacobian

    rows: list[int] = []

    def first_axes_first(x: FloatArray) -> FloatArray:
        result = function(np.moveaxis(x, 0, -1))
        rows[:] = [result.ndim - (x.ndim - 1)]
        return np.moveaxis(result, -1, 0) if rows[0] else result

    if position.size == 0:
        return np.zeros((*function(position).shape, position.shape[-1]))
    result = jacobian(first_axes_first, np.moveaxis(position, -1, 0), initial_step=_FIRST_STEP)
    derivative = np.asarray(result.df, dtype=np.float64)
    return np.moveaxis(derivative, 0, -1) if rows[0] == 0 else np.moveaxis(derivative, (0, 1), (-2, -1))


def differentiate_along(
    function: Callable[[FloatArray], FloatArray], position: FloatArray, vector: FloatArray
) -> FloatArray:
    """Return the derivative of a batched function (*batch, dim) -> (*batch, dim) along `vector`, (*batch, dim)."""
    from scipy.differentiate import derivative

    x, v = np.broadcast_arrays(position, vector)
    if x.size == 0:
        return np.zeros(x.shape)
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    unit = v / np.where(length == 0, 1.0, length)

    def shifted(offset: FloatArray) -> FloatArray:
        # All coordinates of a position get the same offset, so that this is one number per position; SciPy may append
        # an axis of abscissae.
        if offset.ndim == x.ndim:
            return function(x + offset * unit)
        moved = np.moveaxis(offset, -1, 0)
        return np.moveaxis(function(x + moved * unit), 0, -1)

    result = derivative(shifted, np.zeros(x.shape), initial_step=_FIRST_STEP, preserve_shape=True)
    return np.asarray(result.df * length, dtype=np.float64)
