"""Checks of what a user gives as the size of noise."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import real_array, require

_ROUNDING = 1e-10  # how far from symmetric or from semidefinite a matrix may be, relatively


def covariance_matrix(name: str, value: ArrayLike, dim: int) -> FloatArray:
    """Return symmetric positive semidefinite matrices (*batch, dim, dim), or say what is wrong with them."""
    matrix = real_array(name, value)
    if matrix.ndim < 2 or matrix.shape[-2:] != (dim, dim):
        raise ValueError(f"`{name}` must have shape (*batch, {dim}, {dim}). Received shape {matrix.shape}.")
    transposed = np.swapaxes(matrix, -1, -2)
    size = np.max(np.abs(matrix), axis=(-2, -1), initial=0.0)
    gap = np.abs(matrix - transposed)
    if np.any(gap > _ROUNDING * size[..., None, None]):
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(gap)), gap.shape))
        mirrored = (*at[:-2], at[-1], at[-2])
        raise ValueError(
            f"`{name}` must be symmetric, a covariance. Received {float(matrix[at])!r} at index {at} and "
            f"{float(matrix[mirrored])!r} at index {mirrored}."
        )
    matrix = 0.5 * (matrix + transposed)
    smallest = np.linalg.eigvalsh(matrix)[..., 0]
    if np.any(smallest < -_ROUNDING * np.maximum(size, np.finfo(np.float64).tiny) * dim):
        where = f" at index {tuple(int(i) for i in np.unravel_index(int(np.argmin(smallest)), smallest.shape))}"
        raise ValueError(
            f"`{name}` must be positive semidefinite, a covariance: no direction has a negative variance. Received one "
            f"with the eigenvalue {float(smallest.min()):.6g}{where if smallest.ndim else ''}."
        )
    return matrix


def noise_covariance(name: str, value: ArrayLike, dim: int) -> FloatArray:
    """Return a covariance (dim,) or (*batch, dim, dim) from one variance, one a coordinate, or matrices.

    Variances come back as a vector, for which everything is simpler.
    """
    array = real_array(name, value)
    if array.ndim < 2:
        if array.ndim == 1 and array.shape != (dim,):
            raise ValueError(
                f"`{name}` must be one variance, {dim} variances, one for each coordinate, or a covariance matrix "
                f"({dim}, {dim}). Received shape {array.shape}."
            )
        require(name, array, array >= 0, ">= 0, a variance")
        return np.array(np.broadcast_to(array, (dim,)))
    return covariance_matrix(name, array, dim)


def full_matrix(covariance: FloatArray) -> FloatArray:
    """Return a covariance from `noise_covariance` as matrices (*batch, dim, dim)."""
    return np.diag(covariance) if covariance.ndim == 1 else covariance
