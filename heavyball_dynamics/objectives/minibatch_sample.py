"""The loss of one minibatch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics.objectives._row_mean import half_square, mean_of, scores_of
from heavyball_dynamics.objectives._shuffling import chunks
from heavyball_dynamics.objectives.base import ObjectiveBase

if TYPE_CHECKING:
    from heavyball_dynamics.objectives.minibatch import Minibatch


@dataclass(frozen=True, eq=False)
class MinibatchSample(ObjectiveBase):
    """The loss of one minibatch: every element of a batch of positions has its own rows.

    Attributes
    ----------
    source : Minibatch
        Where it is from.
    k : int
        The step.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> loss = hb.LeastSquares([[1.0], [1.0], [1.0], [1.0]], [0.0, 0.0, 4.0, 4.0])
    >>> sample = loss.minibatch(2, seed=3).at(0)
    >>> bool(sample.gradient([0.0])[0] == -np.mean(loss.targets[sample.source.rows(0)]))
    True
    """

    source: Minibatch
    k: int
    dim: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._set(dim=self.source.dim)

    @property
    def by_element(self) -> bool:
        """Whether the loss depends on the place in the batch: it does."""
        return True

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the mean over the rows of every element, (*batch,)."""
        w, loss = self._positions(position), self.source.loss

        def mean(rows: FloatArray, answers: FloatArray, x: FloatArray) -> FloatArray:
            return np.asarray(np.mean(loss.row_losses(scores_of(rows, x), answers), axis=-1))

        return self._each(mean, (), w) + loss.l2 * half_square(w)

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, dim)."""
        w, loss = self._positions(position), self.source.loss

        def mean(rows: FloatArray, answers: FloatArray, x: FloatArray) -> FloatArray:
            return mean_of(loss.row_slopes(scores_of(rows, x), answers), rows)

        return self._each(mean, (self.dim,), w) + loss.l2 * w

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the Hessian, (*batch, dim, dim)."""
        w, loss = self._positions(position), self.source.loss

        def mean(rows: FloatArray, answers: FloatArray, x: FloatArray) -> FloatArray:
            curvatures = loss.row_curvatures(scores_of(rows, x), answers)
            scaled = np.sqrt(curvatures / rows.shape[-2])[..., None] * rows
            return np.asarray(np.swapaxes(scaled, -1, -2) @ scaled)

        return self._each(mean, (self.dim, self.dim), w) + loss.l2 * np.eye(self.dim)

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> FloatArray:
        """Return the Hessian at `position` times `vector`, (*batch, dim); their common batch numbers the elements."""
        w, v, loss = self._positions(position), self._positions(vector, "vector"), self.source.loss

        def mean(rows: FloatArray, answers: FloatArray, x: FloatArray, direction: FloatArray) -> FloatArray:
            return mean_of(loss.row_curvatures(scores_of(rows, x), answers) * scores_of(rows, direction), rows)

        return self._each(mean, (self.dim,), w, v) + loss.l2 * v

    def _each(self, function: Callable[..., FloatArray], tail: tuple[int, ...], *vectors: FloatArray) -> FloatArray:
        """Return `function` of the rows, the answers and the vectors of every element, (*batch, *tail)."""
        batch = np.broadcast_shapes(*(vector.shape[:-1] for vector in vectors))
        number, loss = math.prod(batch), self.source.loss
        flat = [np.broadcast_to(vector, (*batch, self.dim)).reshape(number, self.dim) for vector in vectors]
        picked = self.source.picked(self.k, number)
        found = np.empty((number, *tail))
        for part in chunks(number, picked.shape[-1] * self.dim):
            rows = picked[part]
            found[part] = function(loss.features[rows], loss.row_answers[rows], *(vector[part] for vector in flat))
        return found.reshape((*batch, *tail))
