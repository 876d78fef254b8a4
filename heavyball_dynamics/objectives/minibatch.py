"""Minibatches: the loss of a fit with, at step k, the gradient of a few rows of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray, IntArray
from heavyball_dynamics._validation import count
from heavyball_dynamics.objectives._row_mean import RowMean
from heavyball_dynamics.objectives._shuffling import Order, Orders, chunks
from heavyball_dynamics.objectives.base import Eigenmodes, ObjectiveBase, Window
from heavyball_dynamics.objectives.minibatch_sample import MinibatchSample


@dataclass(frozen=True, eq=False)
class Minibatch(ObjectiveBase):
    r"""A fit to data whose steps see minibatches, per epoch without replacement.

    .. math::
        f_k(w) = \tfrac1{|B_k|} \sum_{i\in B_k} \varphi(x_i\cdot w, y_i) + \tfrac{\ell_2}{2} |w|^2

    It is the full loss for whoever asks it directly; `at` gives the loss :math:`f_k` of step k, and `iterate` asks for
    that once a step. Made by ``LeastSquares.minibatch`` and ``LogisticRegression.minibatch``.

    Every epoch of ⌈N/batch_size⌉ steps draws a fresh permutation of the N rows, whose consecutive pieces are the
    minibatches. Where the batch size does not divide N the last one of an epoch is smaller, and is the mean over its
    own rows, as with torch's ``DataLoader(shuffle=True, drop_last=False)``.

    Every element of a batch of positions has permutations of its own: a function of the seed, of the epoch and of the
    element's index in the flattened batch, and of nothing else. So element i sees the same data in a batch of 3 as in
    one of 10,000, whatever was asked before and with which step a run begins. A position without batch axes is element
    0. All axes but the last count: a rule that stacks two points per element along a new axis asks for two elements.

    Parameters
    ----------
    loss : LeastSquares or LogisticRegression
        The full loss.
    batch_size : int
        Rows of a minibatch, from 1 to N; at N every step sees the full loss.
    seed : int
        Which stream of random numbers, >= 0.

    Raises
    ------
    TypeError
        If the loss is not made of rows, or a number is not whole.
    ValueError
        If the batch size is below 1 or above N, or the seed is negative.

    Notes
    -----
    Element i orders the rows by the N random integers of 64 bits that stand from the place iN on in the stream
    ``PCG64(SeedSequence(seed, spawn_key=(epoch,)))``: a stream that NumPy keeps the same in all versions. The orders of
    one epoch are kept, in the smallest integers that hold them: N to 4N bytes an element.

    Minibatches of one epoch are not independent: their errors cancel over it. At small learning rates the noise floor
    of the loss is therefore lower than formulas for independent noise say, and falls with lr² where theirs do with lr.

    References
    ----------
    Bottou, Curtis, Nocedal, "Optimization methods for large-scale machine learning", SIAM Review 60, 2018, section 3.
    Mishchenko, Khaled, Richtárik, "Random reshuffling: simple analysis with vast improvements", arXiv:2006.05988,
    theorem 1 and proposition 1.

    Examples
    --------
    Three runs that differ in their data alone, and what they saw in the first two steps:

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> features = np.linspace(-1.0, 1.0, 6)[:, None]
    >>> loss = hb.LeastSquares(features, 2 * features[:, 0] + [0.3, -0.1, 0.2, -0.3, 0.0, 0.1])
    >>> noisy = loss.minibatch(batch_size=3, seed=1)
    >>> run = hb.iterate(hb.HeavyBall(lr=0.1, momentum=0.9), noisy, np.zeros((3, 1)), steps=40)
    >>> run.position.shape, bool(np.ptp(run.position[:, -1, 0]) > 0)
    ((3, 41, 1), True)
    >>> seen = np.concatenate([noisy.rows(0, (3,)), noisy.rows(1, (3,))], axis=-1)
    >>> np.sort(seen)
    array([[0, 1, 2, 3, 4, 5],
           [0, 1, 2, 3, 4, 5],
           [0, 1, 2, 3, 4, 5]])
    """

    loss: RowMean
    batch_size: int
    seed: int = 0
    dim: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.loss, RowMean):
            raise TypeError(f"`loss` must be a LeastSquares or a LogisticRegression. Received {self.loss!r}.")
        size, seed, rows = count("batch_size", self.batch_size, 1), count("seed", self.seed, 0), len(self.loss.features)
        if size > rows:
            raise ValueError(
                f"`batch_size` must be at most {rows}, the number of rows of the data. Received {size}. For gradients "
                f"without noise use the loss itself, or batch_size={rows}."
            )
        self._set(batch_size=size, seed=seed, dim=self.loss.dim)

    @property
    def steps_per_epoch(self) -> int:
        """Number of minibatches in an epoch, ⌈N/batch_size⌉."""
        return -(-len(self.loss.features) // self.batch_size)

    def at(self, k: int, /) -> ObjectiveBase:  # type: ignore[override]
        """Return the loss of the minibatch of step k, which has its own rows for every element of the batch.

        Parameters
        ----------
        k : int
            Step, counted from 0.

        Returns
        -------
        MinibatchSample
            Or the full loss, where a minibatch holds all rows.
        """
        step = count("k", k, 0)
        return self.loss if self.steps_per_epoch == 1 else MinibatchSample(self, step)

    def rows(self, k: int, batch: tuple[int, ...] = ()) -> IntArray:
        """Return which rows of the data step k sees.

        Parameters
        ----------
        k : int
            Step, counted from 0.
        batch : tuple of int
            Batch axes of the positions.

        Returns
        -------
        array (*batch, size)
            Indices of rows; the size is the batch size, and less at the end of an epoch where it does not divide N.
        """
        seen = self.picked(count("k", k, 0), math.prod(batch))
        return seen.astype(np.int64).reshape(*batch, seen.shape[-1])

    def gradient_covariance(self, position: ArrayLike, /) -> FloatArray:
        r"""Return the covariance matrix of the gradient of one minibatch, exactly.

        .. math::
            \operatorname{Cov} = \frac1b\,\frac{N-b}{N-1}\,\frac1N \sum_i (g_i - \bar g)(g_i - \bar g)^\top,
            \qquad g_i = \varphi'(x_i\cdot w, y_i)\,x_i

        It is that of a minibatch of `batch_size` rows b, drawn without replacement, over all permutations; a smaller
        one at the end of an epoch has that of its own size. Between two minibatches of one epoch the covariance is
        minus that of single rows over N - 1: over the epoch the errors cancel.

        Parameters
        ----------
        position : array (*batch, dim)
            Where the gradient is taken.

        Returns
        -------
        array (*batch, dim, dim)
            In units of (loss / position)².

        References
        ----------
        Cochran, "Sampling Techniques", 1977, theorem 2.2.
        """
        w = self._positions(position)
        rows, answers = self.loss.features, self.loss.row_answers
        total, size = len(rows), self.batch_size
        flat = w.reshape(-1, self.dim)
        found = np.zeros((len(flat), self.dim, self.dim))
        if size < total:
            for part in chunks(len(flat), rows.size):
                gradients = self.loss.row_slopes(flat[part] @ rows.T, answers)[..., None] * rows
                spread = gradients - gradients.mean(axis=-2, keepdims=True)
                found[part] = np.swapaxes(spread, -1, -2) @ spread
            found *= (total - size) / (total * (total - 1) * size)
        return found.reshape(*w.shape, self.dim)

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the full loss, (*batch,)."""
        return self.loss.value(position)

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient of the full loss, (*batch, dim)."""
        return self.loss.gradient(position)

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the Hessian of the full loss, (*batch, dim, dim)."""
        return self.loss.hessian(position)

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> FloatArray:
        """Return the Hessian of the full loss at `position` times `vector`, (*batch, dim)."""
        return self.loss.hessian_product(position, vector)

    @property
    def constant_hessian(self) -> bool:
        """Whether the full loss is a quadratic."""
        return self.loss.constant_hessian

    @property
    def minimizer(self) -> FloatArray | None:
        """The best fit to all rows, (dim,)."""
        return self.loss.minimizer

    @property
    def modes(self) -> Eigenmodes:
        """Curvatures and directions of the full loss at its minimizer."""
        return self.loss.modes

    @property
    def window(self) -> Window | None:
        """A sensible range to draw: that of the full loss."""
        return self.loss.window

    def picked(self, k: int, elements: int) -> Order:
        """Return the rows that step k sees, (element, size), as a view of the orders of its epoch."""
        epoch, place = divmod(k, self.steps_per_epoch)
        order = self._orders.of(epoch, elements)
        return order[:elements, place * self.batch_size : (place + 1) * self.batch_size]

    @cached_property
    def _orders(self) -> Orders:
        return Orders(len(self.loss.features), self.seed)
