"""The level lines of a loss with two coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import ObjectiveLike, require_objective
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count
from heavyball_dynamics.algorithms.flows import GradientFlow
from heavyball_dynamics.studies._plane import Plane

_LEVELS = 14


@dataclass(frozen=True)
class Contours(Drawable):
    """A loss on a grid.

    Attributes
    ----------
    labels : (str, str)
        Names of the coordinates.
    x, y : array (column,), (row,)
    value : array (row, column)
        The loss.
    levels : array (level,)
        Where to draw lines: logarithmically spaced above the minimum, or quantiles of the values where the loss goes on
        falling beyond the window.
    minimizer : array (2,) or None
        The objective's, if it has one and it is a minimum.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> lines = hb.contours(hb.rosenbrock(), resolution=101)
    >>> lines.value.shape, lines.minimizer
    ((101, 101), array([1., 1.]))
    >>> print(lines)
    values from 0 to 2509 for x from -2 to 2, y from -1 to 3
    """

    labels: tuple[str, str]
    x: FloatArray
    y: FloatArray
    value: FloatArray
    levels: FloatArray
    minimizer: FloatArray | None

    def summary(self) -> str:
        """Return the window and the range of values in it."""
        axes = zip(self.labels, (self.x, self.y), strict=True)
        ranges = ", ".join(f"{name.strip('$')} from {axis[0]:.4g} to {axis[-1]:.4g}" for name, axis in axes)
        return f"values from {np.nanmin(self.value):.4g} to {np.nanmax(self.value):.4g} for {ranges}"

    def __str__(self) -> str:
        return self.summary()


def contours(objective: ObjectiveLike, limits: ArrayLike | None = None, resolution: int = 201) -> Contours:
    """Evaluate a loss with two coordinates on a grid, for its level lines.

    Parameters
    ----------
    objective : objective
        A loss with two coordinates.
    limits : ((low, high), (low, high)), optional
        The window; by default the objective's own, or one around its stationary points.
    resolution : int
        Points along each axis.

    Returns
    -------
    Contours

    Raises
    ------
    ValueError
        If the loss has not two coordinates, or a window is neither given nor known.
    TypeError
        If the objective is none.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.contours(hb.canyon(), limits=[(-1, 1), (-10, 10)], resolution=3).value
    array([[100.,  50., 100.],
           [ 50.,   0.,  50.],
           [100.,  50., 100.]])
    """
    require_objective(objective)
    if objective.dim != 2:
        raise ValueError(f"`objective` must have two coordinates, for level lines. Received one with {objective.dim}.")
    number = count("resolution", resolution, 3)
    plane = Plane.of(GradientFlow(), objective)
    x, y = (np.linspace(low, high, number) for low, high in plane.limits(limits))
    with np.errstate(all="ignore"):
        value = np.asarray(objective.value(np.stack(np.meshgrid(x, y), axis=-1)))
    minimizer = _minimum(objective)
    return Contours(plane.labels, x, y, value, _levels(value, objective, minimizer), minimizer)


def _minimum(objective: ObjectiveLike) -> FloatArray | None:
    """Return the known stationary point if it is a minimum."""
    point = getattr(objective, "minimizer", None)
    if point is None or not hasattr(objective, "hessian"):
        return None
    curvature = np.linalg.eigvalsh(objective.hessian(point))
    return np.asarray(point) if np.all(curvature >= -1e-12 * np.abs(curvature).max()) else None


def _levels(value: FloatArray, objective: ObjectiveLike, minimizer: FloatArray | None) -> FloatArray:
    finite = value[np.isfinite(value)]
    inside = value[1:-1, 1:-1]
    lowest = float(finite.min()) if finite.size else 0.0
    if not finite.size or lowest == finite.max():
        return np.array([lowest])
    if minimizer is not None:
        lowest = min(lowest, float(objective.value(minimizer)))
    elif not np.nanmin(inside) <= lowest:
        return np.unique(np.quantile(finite, np.linspace(0.0, 1.0, _LEVELS + 2)[1:-1]))
    above = finite[finite > lowest] - lowest
    smallest = max(float(np.quantile(above, 0.005)), 1e-6 * float(above.max()))
    return lowest + np.geomspace(smallest, float(above.max()), _LEVELS + 1)[:-1]
