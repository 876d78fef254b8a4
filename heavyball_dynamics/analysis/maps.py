"""The damping class of every setting: a map over learning rate times curvature, and momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._types import ArrayLike, FloatArray, IntArray
from heavyball_dynamics._validation import real_array
from heavyball_dynamics.algorithms.methods import HeavyBall
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.modes import analyze_modes


@dataclass(frozen=True)
class StabilityMap(Drawable):
    """Damping classes and rates over a grid of settings.

    Attributes
    ----------
    method_name : str
        Name of the method's class.
    product : array (column,)
        Learning rate times curvature, q = ηλ: no other combination of the two matters.
    momentum : array (row,)
    damping : array (row, column)
        Class of each setting as an integer of `DampingClass`.
    rate : array (row, column)
        Factor per step, max|z|.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.stability_map(hb.HeavyBall, product=[0.01, 1.0, 5.0], momentum=[0.25, 0.81])
    >>> [[hb.DampingClass(c).name for c in row] for row in found.damping]
    [['OVERDAMPED', 'UNDERDAMPED', 'DIVERGENT'], ['CRITICAL', 'UNDERDAMPED', 'DIVERGENT']]
    """

    method_name: str
    product: FloatArray
    momentum: FloatArray
    damping: IntArray
    rate: FloatArray

    def summary(self) -> str:
        """Return the share of each class in the map."""
        total = max(1, self.damping.size)
        shares = [(c.label, int(np.sum(self.damping == c)) / total) for c in DampingClass]
        return f"{self.method_name}: " + ", ".join(f"{share:.1%} {label}" for label, share in shares if share > 0)

    def __str__(self) -> str:
        return self.summary()


def stability_map(
    method_type: type[Any] = HeavyBall, *, product: ArrayLike | None = None, momentum: ArrayLike | None = None
) -> StabilityMap:
    """Return the damping class of every setting of a method with a learning rate and a momentum.

    Parameters
    ----------
    method_type : type
        Class of the method, called as ``method_type(lr, momentum)``.
    product : array (column,), optional
        Values of learning rate times curvature; 0 to 4.4 by default.
    momentum : array (row,), optional
        0 to 1 by default.

    Returns
    -------
    StabilityMap

    Raises
    ------
    ValueError
        If an axis of the map is not one-dimensional, or a value not finite.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.stability_map(hb.Nesterov).damping.shape
    (301, 441)
    """
    columns = np.linspace(0.0, 4.4, 441) if product is None else _axis("product", product)
    rows = np.linspace(0.0, 1.0, 301) if momentum is None else _axis("momentum", momentum)
    modes = analyze_modes(method_type(1.0, rows), columns)
    return StabilityMap(method_type.__name__, columns, rows, modes.damping, modes.rate)


def _axis(name: str, value: ArrayLike) -> FloatArray:
    axis = np.atleast_1d(real_array(name, value))
    if axis.ndim > 1:
        raise ValueError(f"`{name}` must be one-dimensional: it is one axis of the map. Received shape {axis.shape}.")
    return axis
