"""Losses with noisy gradients: normal errors, and minibatches drawn afresh."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heavyball_dynamics._covariances import full_matrix, noise_covariance
from heavyball_dynamics._normals import Purpose, normals, square_root
from heavyball_dynamics._protocols import ObjectiveLike, require_objective
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count
from heavyball_dynamics.objectives._around import Around, number_inside
from heavyball_dynamics.objectives.base import ObjectiveBase, read_only
from heavyball_dynamics.objectives.minibatch import Minibatch


@dataclass(frozen=True, eq=False)
class NoisyGradient(Around, Record):
    r"""A loss whose gradients are off by normal noise, independent from step to step.

    .. math:: \nabla f_k(x) = \nabla f(x) + \xi_k, \qquad \xi_k \sim N(0, \Sigma)

    It is the loss without noise for whoever asks it directly; `at` gives the loss of step k, which `iterate` asks for
    once a step. That one is tilted at random, :math:`f_k(x) = f(x) + \xi_k\cdot x`, so that its value, its gradient and
    its Hessian belong together, and all gradients that a rule asks for in one step are off by the same error.

    Every element of a batch of positions has errors of its own: a function of the seed, of the step and of the
    element's index in the flattened batch, and of nothing else. A position without batch axes is element 0.

    Parameters
    ----------
    objective : objective
        Any loss; also one that has minibatches of its own.
    noise : float, array (dim,) or array (dim, dim)
        One variance for all coordinates of the gradient, one for each, or the covariance matrix Σ.
    seed : int
        Which random numbers, >= 0. Noise inside noise, minibatches and heat have others for the same seed.

    Raises
    ------
    ValueError
        If the covariance is not symmetric or not positive semidefinite, or the seed is negative.
    TypeError
        If the loss is none, or the seed is no whole number.

    Notes
    -----
    The errors of element i are made of the random integers that stand from the place i·dim on in the stream
    ``PCG64(SeedSequence(seed, spawn_key=(k, 1, depth)))``, put through the inverse of the normal distribution function.
    The depth is the number of noisy gradients inside, 0 around a loss without noise.

    Examples
    --------
    Ten thousand runs against their exact mean:

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> method, loss = hb.HeavyBall(lr=0.1, momentum=0.9), hb.Quadratic([1.0, 4.0])
    >>> run = hb.iterate(method, hb.NoisyGradient(loss, noise=0.1, seed=1), np.ones((10_000, 2)), steps=20)
    >>> exact = hb.expected_loss(method, loss, [1.0, 1.0], steps=20, noise=0.1)
    >>> error = run.value.mean(axis=0) - exact.loss
    >>> bool(np.all(np.abs(error) <= 4 * exact.standard_deviation / 100))
    True
    """

    objective: ObjectiveLike
    noise: Any = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_objective(self.objective)
        noise = noise_covariance("noise", self.noise, self.objective.dim)
        if noise.ndim > 2:
            raise ValueError(
                f"`noise` must be one covariance matrix, the same for every element. Received shape {noise.shape}."
            )
        self._set(noise=read_only(noise), seed=count("seed", self.seed, 0))

    def at(self, k: int, /) -> NoisyGradientSample:
        """Return the loss of step k, with an error of its own for every element of the batch.

        Parameters
        ----------
        k : int
            Step, counted from 0.

        Returns
        -------
        NoisyGradientSample
        """
        step = count("k", k, 0)
        return NoisyGradientSample(self.objective.at(step), self, step)

    def gradient_covariance(self, position: ArrayLike, /) -> FloatArray:
        """Return the covariance of the gradient of one step, (*batch, dim, dim), that of the loss itself included."""
        shape = (*np.shape(position)[:-1], self.dim, self.dim)
        own = np.broadcast_to(full_matrix(self.noise), shape)
        inner = getattr(self.objective, "gradient_covariance", None)
        return own.copy() if inner is None else own + inner(position)

    def errors(self, k: int, elements: int) -> FloatArray:
        """Return the errors of the gradient in step k, (element, dim)."""
        z = normals(self.seed, k, elements, self.dim, Purpose.GRADIENT, self._depth)
        return z * self._root if self.noise.ndim == 1 else z @ self._root.T

    @cached_property
    def _depth(self) -> int:
        return number_inside(self.objective, NoisyGradient)

    @cached_property
    def _root(self) -> FloatArray:
        return np.sqrt(self.noise) if self.noise.ndim == 1 else square_root(self.noise)


class NoisyGradientSample(Around):
    """The loss of one step: tilted at random, differently for every element of a batch of positions.

    Attributes
    ----------
    source : NoisyGradient
        Where it is from.
    k : int
        The step.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> loss = hb.Quadratic([1.0, 2.0])
    >>> sample = hb.NoisyGradient(loss, 0.25, seed=0).at(3)
    >>> np.allclose(sample.gradient([1.0, 1.0]) - loss.gradient([1.0, 1.0]), sample.tilt(()))
    True
    """

    def __init__(self, objective: ObjectiveLike, source: NoisyGradient, k: int) -> None:
        self.objective, self.source, self.k = objective, source, k
        self._drawn = np.empty((0, source.dim))

    def __reduce__(self) -> Any:
        return type(self), (self.objective, self.source, self.k)

    @property
    def by_element(self) -> bool:
        """Whether the loss depends on the place in the batch: it does."""
        return True

    def value(self, position: ArrayLike, /) -> Any:
        """Return the tilted loss, (*batch,)."""
        x = np.asarray(position, dtype=np.float64)
        return self.objective.value(x) + np.einsum("...i,...i->...", self.tilt(x.shape[:-1]), x)

    def gradient(self, position: ArrayLike, /) -> Any:
        """Return the gradient with its error, (*batch, dim)."""
        return self.objective.gradient(position) + self.tilt(np.shape(position)[:-1])

    def tilt(self, batch: tuple[int, ...]) -> FloatArray:
        """Return the errors of a batch of positions, (*batch, dim)."""
        number = math.prod(batch)
        if len(self._drawn) < number:  # a rule may ask more than once a step
            self._drawn = self.source.errors(self.k, number)
        return self._drawn[:number].reshape(*batch, self.source.dim)


@dataclass(frozen=True, eq=False)
class IndependentMinibatch(Around, Record):
    """Minibatches that know nothing of each other: every step draws its rows afresh from all of them.

    Within a minibatch no row comes twice. `Minibatch` itself goes through all rows in every epoch, so that its errors
    cancel over it; formulas for noise that is independent from step to step are about this one.

    Parameters
    ----------
    objective : Minibatch
        What ``LeastSquares.minibatch`` or ``LogisticRegression.minibatch`` returned.

    Raises
    ------
    TypeError
        If it is no Minibatch.

    Notes
    -----
    Step k sees the first minibatch of epoch k.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> loss = hb.LeastSquares(np.linspace(-1.0, 1.0, 6)[:, None], [1.0, 0.0, 2.0, 1.0, 3.0, 1.0])
    >>> drawn = hb.IndependentMinibatch(loss.minibatch(batch_size=3, seed=1))
    >>> run = hb.iterate(hb.HeavyBall(lr=0.1, momentum=0.9), drawn, np.zeros((3, 1)), steps=40)
    >>> run.position.shape
    (3, 41, 1)
    """

    objective: Minibatch

    def __post_init__(self) -> None:
        if not isinstance(self.objective, Minibatch):
            raise TypeError(f"`objective` must be a Minibatch, made by loss.minibatch. Received {self.objective!r}.")

    def at(self, k: int, /) -> ObjectiveBase:
        """Return the loss of the minibatch of step k, with its own rows for every element of the batch."""
        return self.objective.at(count("k", k, 0) * self.objective.steps_per_epoch)
