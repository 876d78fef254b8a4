"""Chains of saddles: losses on whose way down saddles come one after the other."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray, IntArray
from heavyball_dynamics._validation import count, real_array, require
from heavyball_dynamics.objectives.base import ObjectiveBase, Window, read_only

_LISTED = 10  # three to the power of so many stationary points can still be listed


class StationaryPoints(NamedTuple):
    """Points where the gradient vanishes, (point, dim), and how many directions lead down from each, (point,).

    The Morse index is 0 at a minimum, the number of coordinates at a maximum, and between the two at a saddle.
    """

    position: FloatArray
    morse_index: IntArray


class _Separable(ObjectiveBase):
    """A loss whose Hessian is diagonal everywhere."""

    @abstractmethod
    def _curvatures(self, positions: FloatArray) -> FloatArray:
        """Return the diagonal, (*batch, dim)."""

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the diagonal Hessian, (*batch, dim, dim)."""
        entries = self._curvatures(self._positions(position))
        matrix = np.zeros((*entries.shape, entries.shape[-1]))
        np.einsum("...ii->...i", matrix)[...] = entries
        return matrix

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> FloatArray:
        """Return the Hessian at `position` times `vector`, (*batch, dim)."""
        return self._curvatures(self._positions(position)) * self._positions(vector, "vector")


@dataclass(frozen=True, eq=False)
class TiltedWashboard(_Separable):
    r"""Tilted washboard: minima and saddles alternate along one coordinate, without end.

    .. math:: f(x, y) = -A\cos x - F x + \tfrac12 k y^2, \qquad |F| < A

    Minima at :math:`x = \arcsin(F/A) + 2\pi n`, saddles at :math:`x = \pi - \arcsin(F/A) + 2\pi n`, all with y = 0.
    A ball with little friction rolls on from well to well; one with much friction stays in its own. Unless F = 0 the
    loss is not bounded below.

    Parameters
    ----------
    amplitude : float
        Height A > 0 of the ripples, in units of the loss.
    tilt : float
        Mean slope F, smaller in size than the amplitude: with more there is no stationary point.
    stiffness : float
        Curvature k > 0 across.

    Raises
    ------
    ValueError
        If amplitude or stiffness is not one positive number, or the tilt is not smaller than the amplitude.

    References
    ----------
    Strogatz, "Nonlinear Dynamics and Chaos", 1994, sections 4.6 and 8.5: the driven pendulum and the Josephson
    junction; Tinkham, "Introduction to Superconductivity", 1996, section 6.3.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.TiltedWashboard(amplitude=1.0, tilt=0.5)
    >>> points = loss.stationary_points(0.0, 7.0)
    >>> (points.position[:, 0] * 6 / 3.141592653589793).round(9)   # π/6, 5π/6, 13π/6
    array([ 1.,  5., 13.])
    >>> points.morse_index
    array([0, 1, 0])
    """

    amplitude: float = 1.0
    tilt: float = 0.1
    stiffness: float = 1.0
    dim: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("amplitude", "stiffness"):
            number = real_array(name, getattr(self, name))
            require(name, number, (number.ndim == 0) & (number > 0), "one number > 0")
            self._set(**{name: float(number)})
        tilt = real_array("tilt", self.tilt)
        less = (tilt.ndim == 0) & (np.abs(tilt) < self.amplitude)
        require("tilt", tilt, less, f"one number smaller in size than the amplitude {self.amplitude!r}",
                "With more tilt there are neither minima nor saddles.")  # fmt: skip
        self._set(tilt=float(tilt), dim=2)

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the loss, (*batch,)."""
        x, y = np.moveaxis(self._positions(position), -1, 0)
        return np.asarray(-self.amplitude * np.cos(x) - self.tilt * x + 0.5 * self.stiffness * y**2, dtype=np.float64)

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, dim)."""
        x, y = np.moveaxis(self._positions(position), -1, 0)
        return np.stack([self.amplitude * np.sin(x) - self.tilt, self.stiffness * y], axis=-1)

    @property
    def minimizer(self) -> FloatArray:
        """The minimum next to the origin, (2,), one of many: with a tilt each is lower than the one before."""
        return read_only(np.array([np.arcsin(self.tilt / self.amplitude), 0.0]))

    @property
    def window(self) -> Window:
        """Three wells on the way down, and across as far as the walls are as high as the ripples."""
        reach = 2.0 * float(np.sqrt(self.amplitude / self.stiffness))
        low, high = (-np.pi, 5 * np.pi) if self.tilt >= 0 else (-5 * np.pi, np.pi)
        return ((float(low), float(high)), (-reach, reach))

    def stationary_points(self, low: float | None = None, high: float | None = None) -> StationaryPoints:
        """List the minima (index 0) and saddles (index 1) with low <= x <= high, by ascending x.

        Parameters
        ----------
        low, high : float, optional
            The range of x; by default that of `window`.

        Returns
        -------
        StationaryPoints
            ``position`` (point, 2) and ``morse_index`` (point,).

        Raises
        ------
        ValueError
            If the range is not finite or is empty.
        """
        ends = real_array("low, high", [end if end is not None else self.window[0][side]
                                        for side, end in enumerate((low, high))])  # fmt: skip
        if not ends[0] < ends[1]:
            raise ValueError(f"`low` must be less than `high`. Received {ends[0]} and {ends[1]}.")
        rest = float(self.minimizer[0])
        turns = 2 * np.pi * np.arange(np.floor(ends[0] / (2 * np.pi)) - 1, np.ceil(ends[1] / (2 * np.pi)) + 2)
        x = np.stack([rest + turns, np.pi - rest + turns], axis=-1).ravel()
        index = np.tile(np.array([0, 1], dtype=np.int64), len(turns))
        inside = (ends[0] <= x) & (x <= ends[1])
        return StationaryPoints(np.stack([x[inside], np.zeros(inside.sum())], axis=-1), index[inside])

    def _curvatures(self, positions: FloatArray) -> FloatArray:
        x, y = np.moveaxis(positions, -1, 0)
        return np.stack([self.amplitude * np.cos(x), np.full_like(y, self.stiffness)], axis=-1)


@dataclass(frozen=True, eq=False, init=False)
class SaddleChain(_Separable):
    r"""A double well in every coordinate: from `start` the saddles of `path` are visited one by one.

    .. math:: f(x) = \sum_{i=1}^n \tfrac{a_i}{4} (x_i^2 - 1)^2

    Every point whose coordinates are -1, 0 or 1 is stationary, its Morse index the number of zeros. Of equal curvatures
    the coordinate that starts the largest leaves zero first, while the next ones still wait at theirs.

    Parameters
    ----------
    dim : int
        Number of coordinates n >= 1, and of saddles on the way.
    curvature : float or array (dim,)
        The curvatures a_i > 0, in units of the loss: -a_i at zero, 2a_i in the wells.

    Attributes
    ----------
    curvature : array (dim,)
        As stored, read-only.

    Raises
    ------
    TypeError, ValueError
        If dim is not a whole number >= 1, or a curvature is not positive or not finite.

    Notes
    -----
    Under gradient flow each coordinate grows by the logistic law
    :math:`x_i^{-2}(t) - 1 = (x_i^{-2}(0) - 1) e^{-2 a_i t}`, and leaves its saddle near
    :math:`t = -\ln|x_i(0)| / a_i`, for `start` at :math:`2 i \ln(10) / a_i`: the order is that of `path` where
    these times ascend. They grow in proportion to i; Du et al. build chains where they grow exponentially.

    References
    ----------
    Du, Jin, Lee, Jordan, Singh, Póczos, "Gradient descent can take exponential time to escape saddle points", NeurIPS
    2017, where saddles in a row hold gradient descent back.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> chain = hb.SaddleChain(3)
    >>> chain.start
    array([1.e-02, 1.e-04, 1.e-06])
    >>> chain.path.position
    array([[0., 0., 0.],
           [1., 0., 0.],
           [1., 1., 0.],
           [1., 1., 1.]])
    >>> chain.path.morse_index
    array([3, 2, 1, 0])
    >>> chain.value(chain.path.position)
    array([0.75, 0.5 , 0.25, 0.  ])
    """

    dim: int
    curvature: FloatArray

    def __init__(self, dim: int, curvature: ArrayLike = 1.0) -> None:
        dim = count("dim", dim, 1)
        a = real_array("curvature", curvature)
        require("curvature", a, a > 0, "> 0")
        if a.shape not in {(), (dim,)}:
            raise ValueError(f"`curvature` must be one number or have shape ({dim},). Received shape {a.shape}.")
        self._set(dim=dim, curvature=read_only(np.full(dim, a)))

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the loss, (*batch,)."""
        x = self._positions(position)
        return np.asarray(np.einsum("...i,i->...", (x**2 - 1.0) ** 2, 0.25 * self.curvature), dtype=np.float64)

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, dim)."""
        x = self._positions(position)
        return self.curvature * x * (x**2 - 1.0)

    @property
    def minimizer(self) -> FloatArray:
        """The minimum that `start` leads to, (dim,): ones. Every choice of signs is another."""
        return read_only(np.ones(self.dim))

    @property
    def window(self) -> Window:
        """All wells and saddles."""
        return ((-1.5, 1.5),) * self.dim

    @property
    def start(self) -> FloatArray:
        """Next to the saddle at the origin, (dim,): 10 to the powers -2, -4, -6, ..."""
        return read_only(np.asarray(10.0 ** (-2.0 * np.arange(1, self.dim + 1)), dtype=np.float64))

    @property
    def path(self) -> StationaryPoints:
        """The saddles in the order in which they are visited from `start`, and the minimum, dim + 1 points."""
        return StationaryPoints(np.tri(self.dim + 1, self.dim, -1), np.arange(self.dim, -1, -1))

    def stationary_points(self) -> StationaryPoints:
        """List all stationary points, by ascending Morse index.

        Returns
        -------
        StationaryPoints
            ``position`` (3^dim, dim) and ``morse_index``, the number of zeros, (3^dim,).

        Raises
        ------
        ValueError
            If there are more coordinates than can be listed.
        """
        if self.dim > _LISTED:
            raise ValueError(
                f"`stationary_points` lists 3^dim points, for dim <= {_LISTED}. Received dim {self.dim}. The ones that "
                "are visited from `start` are in `path`."
            )
        position = np.array(list(product([1.0, -1.0, 0.0], repeat=self.dim)))
        index = np.sum(position == 0, axis=-1)
        order = np.argsort(index, kind="stable")
        return StationaryPoints(position[order], index[order])

    def _curvatures(self, x: FloatArray) -> FloatArray:
        return self.curvature * (3.0 * x**2 - 1.0)
