"""The mean over rows of data of a loss of one score each: what least squares and logistic regression are."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics.objectives.base import ObjectiveBase


class RowMean(ObjectiveBase):
    r"""Base of the fits of linear models to data.

    .. math:: f(w) = \tfrac1N \sum_i \varphi(x_i\cdot w, y_i) + \tfrac{\ell_2}{2} |w|^2

    A subclass says what φ and its first two derivatives by the score x_i·w are.
    """

    features: FloatArray
    l2: float

    @property
    @abstractmethod
    def row_answers(self) -> FloatArray:
        """What every row is fitted to, y_i, (row,)."""

    @abstractmethod
    def row_losses(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return φ at scores and answers of equal shapes."""

    @abstractmethod
    def row_slopes(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return the derivative of φ by the score."""

    @abstractmethod
    def row_curvatures(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return the second derivative of φ by the score."""

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the loss, (*batch,)."""
        w = self._positions(position)
        losses = self.row_losses(w @ self.features.T, self.row_answers)
        return np.asarray(np.mean(losses, axis=-1) + self.l2 * half_square(w), dtype=np.float64)

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, dim)."""
        w = self._positions(position)
        slopes = self.row_slopes(w @ self.features.T, self.row_answers)
        return slopes @ self.features / len(self.features) + self.l2 * w

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the Hessian, (*batch, dim, dim)."""
        w = self._positions(position)
        curvatures = self.row_curvatures(w @ self.features.T, self.row_answers)
        scaled = np.sqrt(curvatures / len(self.features))[..., None] * self.features
        return np.swapaxes(scaled, -1, -2) @ scaled + self.l2 * np.eye(self.dim)

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> FloatArray:
        """Return the Hessian at `position` times `vector`, (*batch, dim), without forming the Hessian."""
        w, v = self._positions(position), self._positions(vector, "vector")
        curvatures = self.row_curvatures(w @ self.features.T, self.row_answers)
        return (curvatures * (v @ self.features.T)) @ self.features / len(self.features) + self.l2 * v


def half_square(x: FloatArray) -> FloatArray:
    """Return half the squared norm of vectors along the last axis."""
    return np.asarray(0.5 * np.einsum("...i,...i->...", x, x), dtype=np.float64)


def scores_of(rows: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return the scores of rows (element, row, dim) under vectors (element, dim)."""
    return np.asarray((rows @ vectors[..., None])[..., 0])


def mean_of(weights: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the mean of weighted rows, (element, dim)."""
    return np.asarray((weights[..., None, :] @ rows)[..., 0, :] / rows.shape[-2])
