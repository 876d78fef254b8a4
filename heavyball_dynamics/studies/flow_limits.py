"""How fast methods approach their flows as the learning rate shrinks, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike, require_objective
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import one_number, one_of, points, real_array, require
from heavyball_dynamics.correspondence.flow_limits import FLOW_LIMITS, FlowLimit
from heavyball_dynamics.simulation.integration import integrate
from heavyball_dynamics.simulation.iteration import iterate
from heavyball_dynamics.studies.measurements import lengths

_MOST = 1_000_000  # steps of one run
_RTOL, _ATOL = 1e-10, 1e-12
_FAR = 1e8  # what is so much farther from the flow than the flow has gone has diverged


@dataclass(frozen=True)
class FlowApproach:
    """Distances between a method and its flow; made by `approach_flow`.

    Attributes
    ----------
    name : str
        Row of `FLOW_LIMITS`.
    lr : array (lr,)
        Learning rates, as given.
    step : array (lr,)
        The steps in which the order is counted: lr or its root.
    unit : str
        Which of the two.
    steps : array (lr,)
        Numbers of steps that fit into the duration.
    error : array (*batch, lr)
        Largest Euclidean distance of the positions along the run; infinite where the method diverged, or got 1e8 times
        as far from the flow as that got from the origin; NaN where the flow diverged.
    reference_error : array (*batch,)
        How far two solutions of the flow, of different tolerance, are apart: what errors below it mean is unknown.
    order : array (*batch,)
        Slope of the straight line fitted to log error over log step; NaN where an error is not finite, or not above ten
        times the reference error.
    declared_order : float
        The order of the row.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.approach_flow("gradient_descent", hb.Quadratic([1.0]), [1.0], lrs=[0.02, 0.01], duration=1.0)
    >>> print(found)
    gradient_descent: order 1.01 in lr measured, 1 declared
        lr  steps    error
      0.02     50  0.00371
      0.01    100  0.00185
    the flow itself is known to 1e-08
    """

    name: str
    lr: FloatArray
    step: FloatArray
    unit: str
    steps: FloatArray
    error: FloatArray
    reference_error: FloatArray
    order: FloatArray
    declared_order: float

    def summary(self) -> str:
        """Return the orders and a line for each learning rate; over a batch the lowest order and the largest error."""
        flat = self.error.reshape(-1, len(self.lr))
        rows = [("lr", "steps", "error")] + [
            (f"{lr:.3g}", f"{steps:.0f}", f"{np.max(error):.3g}")
            for lr, steps, error in zip(self.lr, self.steps, flat.T, strict=True)
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        table = ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        first = (
            f"{self.name}: order {np.min(self.order):.2f} in {self.unit} measured, {self.declared_order:g} declared"
        )
        return "\n".join([first, *table, f"the flow itself is known to {np.max(self.reference_error):.0e}"])

    def __str__(self) -> str:
        return self.summary()


def approach_flow(
    limit: FlowLimit | str, objective: ObjectiveLike, position: ArrayLike, lrs: ArrayLike, duration: float
) -> FlowApproach:
    """Run a method at several learning rates beside its flow, and measure the order at which it approaches it.

    The distance is taken at every step. The flow is integrated once, for the times of all steps.

    Parameters
    ----------
    limit : FlowLimit or str
        A row of `FLOW_LIMITS`, its name, or a row of your own.
    objective : objective
        The loss.
    position : array (*batch, dim)
        Start; both are at rest there.
    lrs : array (lr,)
        Two or more learning rates > 0. Where the order is counted in their root, divide them by four to halve it.
    duration : float
        Length of the run, in the flow's time; it must hold at least one step.

    Returns
    -------
    FlowApproach

    Raises
    ------
    ValueError
        If the name is unknown, there are fewer than two different learning rates, one is not positive, the duration is
        shorter than a step, or a run would have more than a million steps.
    TypeError
        If the limit or the objective is none.

    References
    ----------
    Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I", section II.3, on the order of convergence.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.approach_flow("adam", hb.rosenbrock(), [-1.0, 1.5], lrs=[0.004, 0.002, 0.001], duration=0.5)
    >>> float(found.order.round(1))
    1.0
    """
    row, rates, length = _row(limit), _rates(lrs), one_number("duration", duration)
    require("duration", length, length > 0, "> 0")
    require_objective(objective)
    start = points("position", position, objective.dim)
    counts = [_steps(row, lr, float(length)) for lr in rates]
    clocks = [row.time(np.arange(n + 1), lr) for n, lr in zip(counts, rates, strict=True)]
    times = np.unique(np.concatenate(clocks))
    flow, rougher = (
        integrate(row.flow, objective, start, times=times, rtol=scale * _RTOL, atol=scale * _ATOL).position
        for scale in (1.0, 100.0)
    )
    errors = []
    for n, lr, clock in zip(counts, rates, clocks, strict=True):
        first: Any = start if row.start is None else row.start(start, objective)
        run, beside = iterate(row.method(float(lr)), objective, first, n), flow[..., np.searchsorted(times, clock), :]
        off = _distance(run.position, beside)
        with np.errstate(invalid="ignore"):
            lost = (run.status < 0) | (off > _FAR * (1 + _distance(beside, np.zeros(objective.dim))))
        errors.append(np.where(lost & np.isfinite(beside).all(axis=(-2, -1)), np.inf, off))
    error, uncertain, step = np.stack(errors, axis=-1), _distance(flow, rougher), np.asarray(row.step_of(rates))
    return FlowApproach(
        row.name, rates, step, row.step, np.asarray(counts, dtype=np.float64), error, uncertain,
        _slope(error, step, uncertain), row.order,
    )  # fmt: skip


def _row(limit: FlowLimit | str) -> FlowLimit:
    if isinstance(limit, FlowLimit):
        return limit
    if not isinstance(limit, str):
        raise TypeError(f"`limit` must be a FlowLimit or the name of one in FLOW_LIMITS. Received {limit!r}.")
    one_of("limit", limit, FLOW_LIMITS)
    return FLOW_LIMITS[limit]


def _rates(lrs: ArrayLike) -> FloatArray:
    rates = real_array("lrs", lrs)
    if rates.ndim != 1 or len(np.unique(rates)) < 2:
        raise ValueError(f"`lrs` must be two or more different learning rates. Received {lrs!r}.")
    require("lrs", rates, rates > 0, "> 0")
    return rates


def _steps(row: FlowLimit, lr: float, duration: float) -> int:
    """Return the number of steps in the duration, of which the time of step k, growing with k, decides."""
    room = duration * (1 + 1e-12)
    below, above = 0, 1
    while row.time(above, lr) <= room:
        below, above = above, 2 * above
        if above > 2 * _MOST:
            raise ValueError(
                f"`duration` must not hold more than {_MOST:,} steps. Received {duration:g}, with lr = {lr:g}."
            )
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if row.time(middle, lr) <= room else (below, middle)
    if below == 0:
        raise ValueError(
            f"`duration` must hold a step at every learning rate. Received {duration:g}: the first step of lr = {lr:g} "
            f"ends at {float(row.time(1, lr)):g}."
        )
    return below


def _distance(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the largest distance along runs (*batch, time, dim)."""
    return np.asarray(lengths(one - other).max(axis=-1))


def _slope(error: FloatArray, step: FloatArray, uncertain: FloatArray) -> FloatArray:
    """Return the slope of the line of least squares through log error over log step, (*batch,)."""
    known = (np.isfinite(error) & (error > 10 * uncertain[..., None])).all(axis=-1)
    centred = np.log(step) - np.log(step).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.sum(np.log(error) * centred, axis=-1) / np.sum(centred**2)
    return np.asarray(np.where(known, slope, np.nan))
