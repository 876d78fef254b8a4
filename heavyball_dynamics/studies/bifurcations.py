"""Bifurcation diagrams: where runs end as a hyperparameter grows."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method, require_objective
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, FloatArray, IntArray
from heavyball_dynamics._validation import count, one_number, points, real_array, require
from heavyball_dynamics.analysis.tuning import stability_limit
from heavyball_dynamics.simulation.iteration import iterate


class Change(NamedTuple):
    """Two neighbouring values of the parameter between which runs begin to end otherwise.

    Attributes
    ----------
    low, high : float
        The values.
    before, after : int
        The periods there, 0 without one, -1 where the run diverges.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.bifurcation_diagram(hb.GradientDescent(1.0), hb.Quadratic([1.0]), [1.0], [1.5, 2.5]).changes
    (Change(low=1.5, high=2.5, before=1, after=-1),)
    """

    low: float
    high: float
    before: int
    after: int


@dataclass(frozen=True)
class Bifurcation(Drawable):
    """Where runs end, against a hyperparameter.

    Attributes
    ----------
    parameter : str
        Name of the field that was varied.
    values : array (value,)
        Its values, ascending.
    points : array (*start, value, keep, dim)
        The last positions of each run; NaN where it diverged.
    losses : array (*start, value, keep)
        The loss there.
    period : array (*start, value), int
        Lowest period within the tolerance: 1 where the run has come to rest, 0 where none up to keep/2 was seen,
        because there is none or because it is still on its way, -1 where the run diverged or got 1e8 times as far as
        its start.
    stability_limit : float or None
        The learning rate up to which a linear rule is stable at the minimizer of the loss, where that is known.

    Examples
    --------
    Gradient descent on a cubic is the logistic map, with r = 1 + lr:

    >>> import heavyball_dynamics as hb
    >>> loss = hb.from_sympy("x**3/3 - x**2/2", "x", minimizer=[1.0])
    >>> found = hb.bifurcation_diagram(hb.GradientDescent(1.0), loss, [0.5], [1.9, 2.1, 2.48, 2.55, 2.83, 3.1])
    >>> found.period
    array([ 1,  2,  4,  8,  3, -1])
    >>> round(found.stability_limit, 12)
    2.0
    """

    parameter: str
    values: FloatArray
    points: FloatArray
    losses: FloatArray
    period: IntArray
    stability_limit: float | None

    @property
    def changes(self) -> tuple[Change, ...]:
        """Where the period changes along the values, for the first start."""
        first = self.period.reshape(-1, len(self.values))[0]
        return tuple(
            Change(float(self.values[i]), float(self.values[i + 1]), int(first[i]), int(first[i + 1]))
            for i in np.flatnonzero(np.diff(first))
        )

    @property
    def first_flip(self) -> float:
        """Middle between the last value at rest and the first of period 2 that follows it; NaN if there are none.

        Values in between at which no period was seen are skipped: there runs settle slowly.
        """
        seen = self.period.reshape(-1, len(self.values))[0]
        settled = np.flatnonzero(seen)
        for i, j in pairwise(settled):
            if (seen[i], seen[j]) == (1, 2):
                return float(0.5 * (self.values[i] + self.values[j]))
        return float("nan")

    def summary(self) -> str:
        """Return the ranges of the parameter with what runs end in there, for the first start."""
        first = self.period.reshape(-1, len(self.values))[0]
        edges = np.concatenate([[0], np.flatnonzero(np.diff(first)) + 1, [len(first)]])
        lines = [f"{self.parameter} from {self.values[0]:.6g} to {self.values[-1]:.6g}, {len(self.values)} values"]
        for begin, end in pairwise(edges):
            low, high = self.values[begin], self.values[end - 1]
            where = f"{low:.6g}" if begin == end - 1 else f"{low:.6g} to {high:.6g}"
            lines.append(f"{where}: {_word(int(first[begin]))}")
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], f"… {len(lines) - _LINES + 1} more ranges"]
        if self.stability_limit is not None:
            lines.append(f"stable at the minimizer up to {self.stability_limit:.6g}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


_LINES = 14
_FAR = 1e8  # runs that get so much farther than their start have diverged


def _word(period: int) -> str:
    return {-1: "diverges", 0: "no period seen", 1: "at rest"}.get(period, f"period {period}")


def bifurcation_diagram(
    method: Method, objective: ObjectiveLike, position: ArrayLike, values: ArrayLike, *, parameter: str = "lr",
    warmup: int = 2000, keep: int = 64, tolerance: float = 1e-6,
) -> Bifurcation:  # fmt: skip
    """Run a method once for each value of a hyperparameter and keep the last points, all values in one batch.

    Parameters
    ----------
    method : Method
        Any rule with scalar hyperparameters, a frozen dataclass.
    objective : objective
        The loss.
    position : array (*start, dim)
        Start, or several of them: where there are several attractors, each may end in another one.
    values : array (value,)
        Values of the parameter; they are put in ascending order.
    parameter : str
        Name of the field that is varied.
    warmup : int
        Steps that are made before points are kept.
    keep : int
        Number of points kept; periods are recognized up to half of it.
    tolerance : float
        Points closer than this are the same, relative to the largest coordinate of the points and the start.

    Returns
    -------
    Bifurcation

    Raises
    ------
    ValueError
        If the values are not one axis of numbers, there is no start, the method has batch axes or refuses a value, or a
        count is too small.
    TypeError
        If the method is none or has no such field.

    Notes
    -----
    Close to a bifurcation runs settle slowly: there the period may be that of a run on its way, and `find_cycle` is
    exact.

    References
    ----------
    Strogatz, "Nonlinear dynamics and chaos", 1994, section 10.2.

    Examples
    --------
    The heavy ball at a minimum of curvature 2 flips at lr = 2(1+β)/2:

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> lrs = np.linspace(1.0, 1.6, 61)
    >>> found = hb.bifurcation_diagram(hb.HeavyBall(1.0, 0.5), hb.double_well(), [1.1, 0.1], lrs)
    >>> round(found.first_flip, 3), round(found.stability_limit, 12)
    (1.5, 1.5)
    """
    require_method("method", method)
    require_objective(objective)
    rule: Any = method
    known = is_dataclass(rule) and parameter in {f.name for f in fields(rule) if f.init}
    if not known:
        raise TypeError(f"`method` must be a dataclass with the field {parameter!r}. Received {method!r}.")
    if batch_shape(at_step(method, 0)):  # schedules may hold batches too
        raise ValueError(f"`method` must have scalar hyperparameters. Received {method!r} with batch axes.")
    axis = real_array("values", values)
    if axis.ndim != 1 or not axis.size:
        raise ValueError(f"`values` must have shape (value,), with one value or more. Received shape {axis.shape}.")
    axis = np.sort(axis)
    before, kept = count("warmup", warmup, 0), count("keep", keep, 2)
    limit = one_number("tolerance", tolerance)
    require("tolerance", limit, limit > 0, "> 0")
    start = points("position", position, objective.dim)
    if not start.size:
        raise ValueError(f"`position` must hold one start or more. Received shape {start.shape}.")
    swept = replace(rule, **{parameter: axis})
    warm = iterate(swept, objective, start[..., None, :], before, save_every=max(before, 1))
    run = iterate(swept, objective, warm.state, kept - 1, first_step=before)
    # Some grow so slowly that they are still finite.
    far = np.abs(run.position).max(axis=(-2, -1)) > _FAR * (np.abs(start).max(axis=-1, initial=0.0)[..., None] + 1)
    diverged = far | ~(warm.success & run.success)
    where = np.where(diverged[..., None, None], np.nan, run.position)
    return Bifurcation(
        parameter=parameter,
        values=axis,
        points=where,
        losses=np.where(diverged[..., None], np.nan, run.value),
        period=np.where(diverged, -1, _periods(where, start, float(limit))),
        stability_limit=_limit(swept, objective) if parameter == "lr" else None,
    )


def _periods(where: FloatArray, start: FloatArray, tolerance: float) -> IntArray:
    """Return the lowest period of points (*start, value, keep, dim), 0 where there is none."""
    size = np.maximum(np.abs(where).max(axis=(-2, -1)), np.abs(start).max(axis=-1, initial=0.0)[..., None])
    close = tolerance * size[..., None, None]
    period = np.zeros(where.shape[:-2], dtype=np.int64)
    for p in range(where.shape[-2] // 2, 0, -1):
        same = np.all(np.abs(where[..., p:, :] - where[..., :-p, :]) <= close, axis=(-2, -1))
        period[same] = p
    return period


def _limit(swept: Any, objective: Any) -> float | None:
    """Return the learning rate at which the stiffest mode of the minimizer stops being stable."""
    if getattr(objective, "minimizer", None) is None or not hasattr(objective, "spectrum"):
        return None
    try:
        limits = stability_limit(replace(swept, lr=float(swept.lr[0])), objective.spectrum)
    except (NotLinearError, ValueError):
        return None  # not linear, or varying in time
    lowest = float(np.min(limits))
    return lowest if np.isfinite(lowest) and lowest > 0 else None
