"""Losses of linear models on data: least squares and logistic regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import expit

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import non_negative, real_array, require
from heavyball_dynamics.objectives._newton import minimize_logistic
from heavyball_dynamics.objectives._row_mean import RowMean
from heavyball_dynamics.objectives.base import Eigenmodes, broadcast_product, read_only, signed
from heavyball_dynamics.objectives.minibatch import Minibatch


class _Fit(RowMean):
    """What both losses offer."""

    def minibatch(self, batch_size: int, seed: int = 0) -> Minibatch:
        """Return the same loss with gradients of minibatches: step k sees the mean over a few rows only.

        Parameters
        ----------
        batch_size : int
            Rows of a minibatch, from 1 to all of them; drawn without replacement in every epoch.
        seed : int
            Which stream of random numbers, >= 0.

        Returns
        -------
        Minibatch

        Raises
        ------
        TypeError
            If one of them is no whole number.
        ValueError
            If the batch size is below 1 or above the number of rows, or the seed is negative.
        """
        return Minibatch(self, batch_size, seed)


@dataclass(frozen=True, eq=False)
class LeastSquares(_Fit):
    r"""Mean squared residual of a linear model, with a ridge.

    .. math:: f(w) = \tfrac1{2N} |Xw - y|^2 + \tfrac{\ell_2}{2} |w|^2

    Parameters
    ----------
    features : array (row, dim)
        The matrix X, one row per sample. For an intercept add a column of ones.
    targets : array (row,)
        The vector y.
    l2 : float
        Ridge, >= 0, in units of loss / position².

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is not finite or l2 is negative.

    Notes
    -----
    Curvatures come from the singular values of X, with twice the digits that the eigenvalues of X'X keep; a singular
    value below the rank tolerance of `numpy.linalg.matrix_rank` counts as zero, so that its curvature is l2 exactly.

    References
    ----------
    Björck, "Numerical Methods for Least Squares Problems", 1996, sections 1.2 and 1.4.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.LeastSquares([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [1.0, 3.0, 5.0])
    >>> loss.minimizer.round(12)
    array([1., 2.])
    >>> loss.spectrum.round(6)
    array([0.279241, 2.387426])
    """

    features: FloatArray
    targets: FloatArray
    l2: float = 0.0
    dim: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        features, targets = _data(self.features, "targets", self.targets)
        self._set(features=features, targets=targets, l2=_ridge(self.l2), dim=features.shape[1])

    @property
    def row_answers(self) -> FloatArray:
        """What every row is fitted to: the targets."""
        return self.targets

    def row_losses(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return (s - y)²/2 at scores and targets of equal shapes."""
        return 0.5 * (scores - answers) ** 2

    def row_slopes(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return its derivative by the score, s - y."""
        return scores - answers

    def row_curvatures(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:  # noqa: ARG002
        """Return its second derivative, 1."""
        return np.ones_like(scores)

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return X'X/N + l2 at every position, (*batch, dim, dim), as a read-only view."""
        w = self._positions(position)
        return np.broadcast_to(self._full, (*w.shape, self.dim))

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> FloatArray:
        """Return the Hessian times `vector`, (*batch, dim), without forming the Hessian."""
        w, v = self._positions(position), self._positions(vector, "vector")
        product = (v @ self.features.T) @ self.features / len(self.targets) + self.l2 * v
        return broadcast_product(product, w.shape)

    @property
    def constant_hessian(self) -> bool:
        """Whether the loss is a quadratic: it is."""
        return True

    @cached_property
    def _full(self) -> FloatArray:
        return read_only(self.features.T @ self.features / len(self.targets) + self.l2 * np.eye(self.dim))

    @cached_property
    def modes(self) -> Eigenmodes:
        """Curvatures, ascending, and orthonormal directions in columns, from the singular values of the features."""
        return _gram_modes(self.features / np.sqrt(len(self.targets)), self.l2)

    @cached_property
    def minimizer(self) -> FloatArray:
        """The best fit, (dim,): of many, the one nearest to the origin."""
        left, singular, right = np.linalg.svd(self.features, full_matrices=False)
        kept = _above_rank_tolerance(singular, self.features.shape)
        left, singular, right = left[:, kept], singular[kept], right[kept]
        weight = singular / (singular**2 + self.l2 * len(self.targets))
        w = right.T @ (weight * (left.T @ self.targets))
        # One refinement: forming U'y in one go leaves more of the rounding of large targets than a residual does.
        shortfall = left.T @ (self.targets - self.features @ w) - self.l2 * len(self.targets) * (right @ w) / singular
        return read_only(w + right.T @ (weight * shortfall))


@dataclass(frozen=True, eq=False)
class LogisticRegression(_Fit):
    r"""Mean logistic loss of a linear classifier, with a ridge.

    .. math:: f(w) = \tfrac1N \sum_i \log(1 + e^{-y_i x_i\cdot w}) + \tfrac{\ell_2}{2} |w|^2, \qquad y_i = \pm 1

    Parameters
    ----------
    features : array (row, dim)
        One row x_i per sample. For an intercept add a column of ones.
    labels : array (row,)
        Classes, either 0 and 1 or -1 and 1.
    l2 : float
        Ridge, >= 0, in units of loss / position².

    Raises
    ------
    ValueError
        If shapes do not fit, a label is none of these, an entry is not finite or l2 is negative.

    References
    ----------
    Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2009, section 4.4.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.LogisticRegression([[1.0], [1.0], [1.0], [1.0]], [1, 1, 1, 0])
    >>> loss.minimizer                            # the log odds, log 3
    array([1.09861229])
    >>> loss.spectrum                             # p(1 - p)
    array([0.1875])
    """

    features: FloatArray
    labels: FloatArray
    l2: float = 0.0
    dim: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        features, labels = _data(self.features, "labels", self.labels)
        good = np.isin(labels, [0.0, 1.0] if np.any(labels == 0) else [-1.0, 1.0])
        require("labels", labels, good, "0 and 1, or -1 and 1", "Compare them with one class: labels == name.")
        self._set(features=features, labels=labels, l2=_ridge(self.l2), dim=features.shape[1])

    @cached_property
    def row_answers(self) -> FloatArray:
        """The classes of all rows as -1 and 1."""
        return read_only(np.where(self.labels == 1, 1.0, -1.0))

    def row_losses(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return log(1 + exp(-ys)) at scores s and classes y = -1 or 1 of equal shapes."""
        return np.asarray(np.logaddexp(0.0, -answers * scores))

    def row_slopes(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:
        """Return its derivative by the score, -y/(1 + exp(ys))."""
        return np.asarray(-answers * expit(-answers * scores), dtype=np.float64)

    def row_curvatures(self, scores: FloatArray, answers: FloatArray, /) -> FloatArray:  # noqa: ARG002
        """Return its second derivative, p(1 - p), without cancellation where p is near one."""
        return np.asarray(expit(scores) * expit(-scores), dtype=np.float64)

    @cached_property
    def _signed_rows(self) -> FloatArray:
        return self.row_answers[:, None] * self.features

    @cached_property
    def modes(self) -> Eigenmodes:
        """Curvatures, ascending, and orthonormal directions in columns, of the Hessian at the minimizer."""
        weights = self.row_curvatures(self.features @ self.minimizer, self.row_answers) / len(self.labels)
        return _gram_modes(np.sqrt(weights)[:, None] * self.features, self.l2)

    @cached_property
    def minimizer(self) -> FloatArray:
        """The best fit, (dim,), to the last digits: of many, the one nearest to the origin.

        Raises
        ------
        ValueError
            If there is none, because without a ridge the classes are separable and the loss falls for ever.
        """
        return read_only(minimize_logistic(self, self._signed_rows, self.l2))


def _data(features: ArrayLike, name: str, column: ArrayLike) -> tuple[FloatArray, FloatArray]:
    rows, values = real_array("features", features), real_array(name, column)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(
            f"`features` must have shape (row, dim), one row per sample. Received shape {rows.shape}. For a single "
            "feature write features[:, None]."
        )
    if values.shape != (len(rows),):
        raise ValueError(
            f"`{name}` must have shape ({len(rows)},), one entry for every row of `features`. Received shape "
            f"{values.shape}."
        )
    return read_only(rows), read_only(values)


def _ridge(l2: float) -> float:
    ridge = non_negative("l2", l2)
    if not isinstance(ridge, float):
        raise TypeError(f"`l2` must be one number >= 0. Received {l2!r}.")
    return ridge


def _above_rank_tolerance(singular: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return np.asarray(singular > max(shape) * np.finfo(np.float64).eps * np.max(singular))


def _gram_modes(matrix: FloatArray, ridge: float) -> Eigenmodes:
    """Return the modes of M'M + ridge from the singular values of M, which keep twice as many digits as M'M."""
    rows, dim = matrix.shape
    _, singular, right = np.linalg.svd(matrix, full_matrices=rows < dim)
    squares = np.zeros(dim)
    squares[: len(singular)] = np.where(_above_rank_tolerance(singular, matrix.shape), singular, 0.0) ** 2
    return Eigenmodes(*signed(squares[::-1] + ridge, right.T[:, ::-1]))
