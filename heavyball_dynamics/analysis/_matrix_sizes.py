"""Norms of stacks of small matrices, and of their resolvents."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._types import BoolArray, ComplexArray, FloatArray

_AT_ONCE = 4_000_000  # complex numbers in a stack of matrices


def spectral_norms(matrix: Any) -> FloatArray:
    """Return the largest singular value of each matrix; orders one and two in closed form."""
    order = matrix.shape[-1]
    if order == 1:
        return np.asarray(np.abs(matrix[..., 0, 0]))
    if order > 2:
        return np.asarray(np.linalg.svd(matrix, compute_uv=False)[..., 0])
    # Sum and difference of the singular values are roots of sums of squares, in which nothing cancels.
    a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
    determinant = a * d - b * c
    size = np.abs(determinant)
    turn = np.where(size > 0, determinant / np.where(size > 0, size, 1.0), 1.0)
    c, d = turn * np.conj(c), turn * np.conj(d)
    total = np.hypot(np.abs(a + d), np.abs(b - c))
    apart = np.hypot(np.abs(a - d), np.abs(b + c))
    return np.asarray(0.5 * (total + apart))


def norm_bounds(matrix: Any) -> FloatArray:
    """Return upper bounds of the largest singular values that cost little."""
    size = np.abs(matrix)
    return np.asarray(np.sqrt(size.sum(axis=-1).max(axis=-1) * size.sum(axis=-2).max(axis=-1)))


def resolvent_norms(sigma: ComplexArray, moving: FloatArray, *, rough: bool = False) -> FloatArray:
    """Return ‖(σ - S)⁻¹‖₂ for σ (element, point) and S (element, state, state), (element, point).

    ``rough`` allows the Frobenius norm instead, for orders above two.
    """
    order = moving.shape[-1]
    found = np.empty(sigma.shape)
    rows = max(1, _AT_ONCE // (order * order * len(moving)))
    for start in range(0, sigma.shape[-1], rows):
        found[:, start : start + rows] = _some(sigma[:, start : start + rows], moving, rough=rough)
    return found


def _some(sigma: ComplexArray, moving: FloatArray, *, rough: bool) -> FloatArray:
    order = moving.shape[-1]
    away = sigma[..., None, None] * np.eye(order) - moving[:, None]
    if order == 1:
        return np.asarray(1 / np.abs(away[..., 0, 0]))
    if order == 2:
        return np.asarray(spectral_norms(away) / np.abs(away[..., 0, 0] * away[..., 1, 1]
                                                        - away[..., 0, 1] * away[..., 1, 0]))  # fmt: skip
    inverse = np.linalg.inv(away)
    return np.asarray(np.linalg.norm(inverse, axis=(-2, -1))) if rough else spectral_norms(inverse)


def eigenvector_conditions(matrix: FloatArray, discriminant: FloatArray, defective: BoolArray) -> FloatArray:
    """Return κ₂ of the unit eigenvectors, infinite where they do not span; order two from the coefficients.

    With t the entry above the diagonal of the Schur form and Δ the squared difference of the eigenvalues, the
    eigenvectors meet at the angle of sine √|Δ|/√(|Δ| + t²).
    """
    order = matrix.shape[-1]
    if order == 1:
        return np.ones(matrix.shape[:-2])
    if order == 2:
        a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
        above = np.where(discriminant < 0, np.hypot(a - d, b + c), np.abs(b - c))
        apart = np.sqrt(np.abs(discriminant))
        with np.errstate(divide="ignore", invalid="ignore"):
            known = np.where(above == 0, 1.0, (np.hypot(apart, above) + above) / apart)
    else:
        known = np.linalg.cond(np.linalg.eig(matrix)[1])
    return np.where(defective, np.inf, known)


def are_defective(matrix: FloatArray, double: BoolArray) -> BoolArray:
    """Tell matrices without a full set of eigenvectors; ``double`` says, for order two, whether there is one pole.

    For other orders: whether a defective matrix is nearer than about 1e-12, relatively, which is where an eigenvalue
    has a condition number of a million (Wilkinson 1972).
    """
    order = matrix.shape[-1]
    if order == 1:
        return np.zeros(matrix.shape[:-2], dtype=bool)
    if order == 2:
        a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
        scalar = (b == 0) & (c == 0) & (a == d)
        return np.asarray(double & ~scalar)
    vectors = np.linalg.eig(matrix)[1]
    with np.errstate(all="ignore"):
        singular = np.linalg.svd(vectors, compute_uv=False)[..., -1] <= np.finfo(float).eps
        safe = np.where(singular[..., None, None], np.eye(order), vectors)
        left = np.linalg.inv(safe)
        worst = np.linalg.norm(left, axis=-1).max(axis=-1)
    return np.asarray(singular | (worst >= 1e6))
