"""What is known of every setting of a method: whether it converges on quadratics, on all losses, or goes round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray
from heavyball_dynamics._validation import count, one_number, real_array, require
from heavyball_dynamics.algorithms.methods import HeavyBall
from heavyball_dynamics.analysis._certificate_search import solver
from heavyball_dynamics.analysis.certificates import certify, is_certified
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices
from heavyball_dynamics.analysis.polygon_cycles import PolygonCycle, polygon_cycle, polygon_periods
from heavyball_dynamics.analysis.worst_rates import worst_rate


@dataclass(frozen=True)
class CertifiedMap(Drawable):
    """Three layers over a grid of learning rates and momenta, for one class of losses.

    Attributes
    ----------
    method_name : str
    strong_convexity, smoothness : float
    lr : array (column,)
    momentum : array (row,)
    quadratic_rate : array (row, column)
        Slowest rate on quadratics with curvatures from μ to L.
    stable : array (row, column), bool
        Whether that is below 1.
    certified : array (row, column), bool
        Whether convergence on every loss of the class is proved.
    rate : array (row, column)
        The certified rate where rates were asked for; infinity where there is none, NaN where none was asked for.
    period : array (row, column), int
        Shortest period of a regular polygon on which the method goes round on some loss of the class; 0 where there is
        none up to `longest`.
    winding : array (row, column), int
        How often it goes round the origin in a period.
    longest : int
    method_type : callable

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.certified_map(hb.HeavyBall, [0.04, 1 / 9], [0.1, 4 / 9], 1.0, 25.0)  # doctest: +SKIP
    >>> found.certified.tolist(), found.period.tolist()  # doctest: +SKIP
    ([[True, False], [True, False]], [[0, 2], [0, 3]])
    """

    method_name: str
    strong_convexity: float
    smoothness: float
    lr: FloatArray
    momentum: FloatArray
    quadratic_rate: FloatArray
    certified: BoolArray
    rate: FloatArray
    period: IntArray
    winding: IntArray
    longest: int
    method_type: Callable[[Any, Any], Any]

    @property
    def stable(self) -> BoolArray:
        """Whether a setting converges on all quadratics of the class, (row, column)."""
        return np.asarray(self.quadratic_rate < 1)

    @property
    def cycling(self) -> BoolArray:
        """Whether a setting that converges on quadratics goes round on another loss of the class, (row, column)."""
        return np.asarray(self.stable & (self.period > 0))

    @property
    def open(self) -> BoolArray:
        """Whether a setting converges on quadratics and nothing else is known of it, (row, column)."""
        return np.asarray(self.stable & ~self.certified & (self.period == 0))

    def cycle(self, row: int, column: int) -> PolygonCycle:
        """Return the cycle of a setting, with the loss on which it is one.

        Raises
        ------
        ValueError
            If none is known there.
        """
        steps = int(self.period[row, column])
        lr, momentum = float(self.lr[column]), float(self.momentum[row])
        if steps == 0:
            raise ValueError(f"`row` and `column` must be those of a setting that goes round. Received {row} and "
                             f"{column}: lr {lr:g}, momentum {momentum:g}.")  # fmt: skip
        method, turns = self.method_type(lr, momentum), int(self.winding[row, column])
        return polygon_cycle(method, self.strong_convexity, self.smoothness, steps, winding=turns)

    def summary(self) -> str:
        """Return the share of each layer in the map."""
        parts = [
            (self.stable, "converge on all quadratics"), (self.certified, "certified on all losses"),
            (self.cycling, f"of those stable on quadratics cycle (period up to {self.longest})"),
            (self.open, "stable on quadratics, neither certified nor seen to cycle"),
        ]  # fmt: skip
        shares = [f"  {np.mean(layer):6.1%} {words}" for layer, words in parts]
        head = f"{self.method_name}, curvatures in [{self.strong_convexity:g}, {self.smoothness:g}]:"
        return "\n".join([head, *shares])

    def __str__(self) -> str:
        return self.summary()


def certified_map(
    method_type: Callable[[Any, Any], Any] = HeavyBall, lrs: ArrayLike | None = None, momenta: ArrayLike | None = None,
    strong_convexity: float = 1.0, smoothness: float = 25.0, *, rates: bool = False, longest: int = 25,
    tolerance: float = 1e-6,
) -> CertifiedMap:  # fmt: skip
    """Return where a method converges on quadratics, where on every loss of a class, and where it cycles on one.

    Parameters
    ----------
    method_type : callable
        Class of the method, called as ``method_type(lr, momentum)``: any linear rule with one gradient a step.
    lrs : array (column,), optional
        Learning rates; by default 40 up to a tenth beyond 4/L, the heavy ball's limit for momentum 1.
    momenta : array (row,), optional
        30 from 0 to 0.99 by default.
    strong_convexity, smoothness : float
        Bounds on the curvature, 0 < μ < L, in units of loss / position².
    rates : bool
        Whether to search the smallest certified rate of each setting, which takes some twenty times as long.
    longest : int
        Longest period of cycles looked for.
    tolerance : float
        Of rates; a setting counts as certified if the rate 1 - tolerance is.

    Returns
    -------
    CertifiedMap

    Raises
    ------
    ImportError
        If clarabel is not installed: ``pip install "heavyball_dynamics[certify]"``.
    ValueError
        If an axis is not one-dimensional, a number out of its range, or the rule not linear with one gradient a step.

    Notes
    -----
    The layers are not each other's complement. A setting without a certificate may converge, and cycles are exact for
    regular polygons only; a linear program over cycles of all shapes found no others for the heavy ball where there was
    no polygon, with periods up to 15 and κ = 25.

    References
    ----------
    Lessard, Recht, Packard, SIAM J. Optim. 26, 2016, theorem 4. Goujaud, Taylor, Dieuleveut, "Provable
    non-accelerations of the heavy-ball method", Math. Program. 2025, arXiv:2307.11291.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.certified_map(hb.Nesterov, [0.01, 0.04], [0.0, 0.6], 1.0, 25.0)  # doctest: +SKIP
    >>> bool(found.certified.all())  # doctest: +SKIP
    True
    """
    low, high = one_number("strong_convexity", strong_convexity), one_number("smoothness", smoothness)
    require("strong_convexity", low, low > 0, "> 0")
    require("smoothness", high, high > low, "> strong_convexity")
    step = one_number("tolerance", tolerance)
    require("tolerance", step, (step >= 1e-9) & (step < 1), "between 1e-9, what the solver can tell apart, and 1")
    periods = count("longest", longest, 2)
    bottom, top = float(low), float(high)
    columns = np.linspace(0.0, 4.4 / top, 41)[1:] if lrs is None else _axis("lrs", lrs)
    rows = np.linspace(0.0, 0.99, 30) if momenta is None else _axis("momenta", momenta)
    solver()
    shape = (len(rows), len(columns))
    # A grid whose axes each have their own array: the rule broadcasts them.
    method = method_type(np.broadcast_to(columns, shape).copy(), np.broadcast_to(rows[:, None], shape).copy())
    plain = np.asarray(worst_rate(method, bottom, top))
    period, winding = polygon_periods(method, bottom, top, periods)
    matrices = state_matrices(method)
    certified, rate = np.zeros(shape, dtype=bool), np.full(shape, np.nan)
    for index in zip(*np.nonzero((plain < 1) & (period == 0)), strict=True):
        A, B, C, D = (part[index] for part in (matrices.A, matrices.B, matrices.C, matrices.D))
        one = StateMatrices(A, B, C, D, discrete=True)
        certified[index] = is_certified(one, bottom, top, 1 - float(step))
    if rates:
        rate[:] = np.inf
        for row, column in zip(*np.nonzero(certified), strict=True):
            setting = method_type(float(columns[column]), float(rows[row]))
            rate[row, column] = certify(setting, bottom, top, tolerance=float(step)).rate
    return CertifiedMap(
        method_name=getattr(method_type, "__name__", type(method).__name__), strong_convexity=bottom, smoothness=top,
        lr=columns, momentum=rows, quadratic_rate=plain, certified=certified, rate=rate, period=period,
        winding=winding, longest=periods, method_type=method_type,
    )  # fmt: skip


def _axis(name: str, value: ArrayLike) -> FloatArray:
    axis = np.atleast_1d(real_array(name, value))
    if axis.ndim > 1 or not axis.size:
        raise ValueError(f"`{name}` must be one-dimensional: it is one axis of the map. Received shape {axis.shape}.")
    return axis
