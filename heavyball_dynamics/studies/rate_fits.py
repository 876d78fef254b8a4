"""The rate at which a run converges, fitted with an interval, beside the one that its poles predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import linregress, t

from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray
from heavyball_dynamics._validation import one_number, one_of, real_array, require
from heavyball_dynamics.analysis.modes import analyze_modes
from heavyball_dynamics.simulation.trajectory import Trajectory
from heavyball_dynamics.studies.measurements import measured

_POWER = {"distance": 1.0, "gradient_norm": 1.0, "speed": 1.0, "value": 2.0}  # of the position, near a minimum
_END = 0.25  # a last swing that takes a larger share of the run is none
_FEWEST = 4  # points of a window below which there is no interval


@dataclass(frozen=True)
class RateFit:
    """A fitted exponent with an interval.

    Attributes
    ----------
    exponent : array (*batch,)
        Slope of the logarithm of the measure's envelope, per step of a method or unit time of a flow. NaN where too few
        points are left.
    interval : array (*batch, 2)
        Its lower and upper end.
    predicted : array (*batch,) or None
        The exponent of the slowest mode, from its poles; None unless an algorithm was given.
    points : array (*batch,)
        Number of points of the envelope that were fitted.
    confidence : float

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method, loss = hb.HeavyBall(lr=0.1, momentum=0.81), hb.Quadratic([4.0])
    >>> run = hb.iterate(method, loss, [1.0], steps=200)
    >>> fit = hb.fit_rate(run, minimizer=[0.0], algorithm=method, curvature=loss.spectrum)
    >>> float(fit.factor.round(2)), float(fit.predicted.round(6)), bool(fit.agrees)
    (0.9, -0.105361, True)
    """

    exponent: FloatArray
    interval: FloatArray
    predicted: FloatArray | None
    points: IntArray
    confidence: float

    @property
    def factor(self) -> FloatArray:
        """Factor per step or unit time, exp(exponent), (*batch,)."""
        return np.asarray(np.exp(self.exponent))

    @property
    def agrees(self) -> BoolArray:
        """Whether the predicted exponent lies within the interval, (*batch,)."""
        if self.predicted is None:
            raise ValueError("`agrees` needs a prediction: give fit_rate the algorithm and the curvatures.")
        low, high = self.interval[..., 0], self.interval[..., 1]
        return np.asarray((low <= self.predicted) & (self.predicted <= high))

    def summary(self) -> str:
        """Return a line for each batch element."""
        lines = []
        for index in np.ndindex(self.exponent.shape):
            low, high = self.interval[index]
            line = f"exponent {self.exponent[index]:.6g}, between {low:.6g} and {high:.6g}"
            if self.predicted is not None:
                line += f", predicted {self.predicted[index]:.6g}"
            lines.append(line)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def fit_rate(
    trajectory: Trajectory, of: str = "distance", *, minimizer: ArrayLike | None = None, minimum: float = 0.0,
    algorithm: Algorithm | None = None, curvature: ArrayLike | None = None, k: int | None = None,
    t: float | None = None, confidence: float = 0.95, floor: float = 1e-13,
) -> RateFit:  # fmt: skip
    r"""Fit the exponential rate of a run, with an interval for it.

    .. math:: \log e_k \approx a + r k, \qquad e_k = \max_{j \ge k} y_j

    The envelope e of the measure y follows its peaks, so that a mode that oscillates is fitted like one that does not
    (where y grows, e is the largest value so far). The line is fitted to the points where y touches its envelope, over
    the last half of the run.

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them, of which each step is saved, or saved at even times.
    of : {"distance", "value", "gradient_norm", "speed"}
        The measure: see `first_below`. The value falls twice as fast as the others.
    minimizer : array (dim,), optional
        From where distances are measured.
    minimum : float
        Least value of the loss.
    algorithm, curvature : Method or Flow, array (mode,) or (*batch, mode), optional
        What ran, and the curvatures at the minimizer: the slowest mode of `analyze_modes` is the prediction.
    k, t : int, float, optional
        Step (methods) or time (flows) at which an algorithm that varies in time is frozen for it.
    confidence : float
        Level of the part of the interval that is due to scatter, between 0 and 1.
    floor : float
        Once a run has fallen below this share of its largest point, the rest of it is rounding and left out.

    Returns
    -------
    RateFit
        Arrays (*batch,) and (*batch, 2).

    Raises
    ------
    ValueError
        If there is no such measure, a minimizer is missing, only one of algorithm and curvature is given, the algorithm
        varies in time and it is not said when, or a number is out of its range.

    Notes
    -----
    The interval has two parts. The first is Student's, for the scatter of the points about the line, widened by the
    correlation of neighbours as of an autoregressive process of order one. The second is twice the difference from the
    slope over the quarter of the run before: a run has no pure rate while faster modes are dying out, nor ever where a
    pole is double, as (1 + ck)ρᵏ approaches its rate like 1/k only. That error at least halves from the earlier window
    to the later one, which is twice as long, so that the difference is no less than the error that is left. The
    interval presumes that the run has outlasted its faster modes: two modes of almost the same rate, or a slow one that
    has hardly been excited, are fitted as one, and a run of less than a few e-folds has not shown its rate.

    Examples
    --------
    A double pole, where the logarithm is no straight line:

    >>> import heavyball_dynamics as hb
    >>> method = hb.tune(hb.HeavyBall, 1.0, 100.0)
    >>> run = hb.iterate(method, hb.Quadratic([1.0, 100.0]), [1.0, 0.0], steps=120)
    >>> fit = hb.fit_rate(run, minimizer=[0.0, 0.0], algorithm=method, curvature=[1.0, 100.0])
    >>> print(fit.summary())
    exponent -0.189976, between -0.210366 and -0.169586, predicted -0.200671
    """
    one_of("of", of, _POWER)
    level = one_number("confidence", confidence)
    require("confidence", level, (level > 0) & (level < 1), "between 0 and 1")
    least = one_number("floor", floor)
    require("floor", least, (least >= 0) & (least < 1), ">= 0 and < 1")
    measure = measured(trajectory, of, minimizer, minimum)
    batch = measure.shape[:-1]
    fits = [_fit(trajectory.time, measure[index], float(level), float(least)) for index in np.ndindex(batch)]
    exponent = np.array([fit.slope for fit in fits]).reshape(batch)
    half = np.array([fit.half for fit in fits]).reshape(batch)
    return RateFit(
        exponent=exponent,
        interval=np.stack([exponent - half, exponent + half], axis=-1),
        predicted=_predicted(algorithm, curvature, k, t, _POWER[of], batch),
        points=np.array([fit.points for fit in fits], dtype=np.int64).reshape(batch),
        confidence=float(level),
    )


class _Fit(NamedTuple):
    slope: float
    half: float
    points: int


def _fit(time: FloatArray, measure: FloatArray, confidence: float, floor: float) -> _Fit:
    """Fit one run."""
    nothing = _Fit(np.nan, np.nan, 0)
    good = np.isfinite(measure) & (measure > 0)
    if good.sum() < 2 * _FEWEST:
        return nothing
    # From the first point at the floor on there is nothing but rounding; what grows has begun small.
    peak = int(np.argmax(np.where(good, measure, 0.0)))
    sunk = peak + np.flatnonzero((good & (measure <= floor * measure[peak]))[peak:])
    last = sunk[0] if sunk.size else len(measure)
    index = np.flatnonzero(good[:last])
    if index.size < 2 * _FEWEST:
        return nothing
    height = np.log(measure[index])
    # What grew is judged by its largest values so far, what fell by the largest still to come.
    growing = height[-1] > height[0]
    envelope = np.maximum.accumulate(height) if growing else np.maximum.accumulate(height[::-1])[::-1]
    touching = _touching(height, envelope, growing=bool(growing))
    begin, end = time[index[0]], time[index[-1]]
    middle, quarter = begin + 0.5 * (end - begin), begin + 0.25 * (end - begin)
    when, level = time[index][touching], height[touching]
    late, early = when >= middle, (when >= quarter) & (when < middle)
    if late.sum() < _FEWEST:
        return nothing
    line = linregress(when[late], level[late])
    before = linregress(when[early], level[early]).slope if early.sum() >= 2 else np.nan
    scatter = _scatter(when[late], level[late], line, confidence)
    if np.isnan(before):
        return _Fit(float(line.slope), np.inf, int(late.sum()))
    # Logarithms are known to their rounding; the steps of a run round too.
    rounding = 1e-15 * (np.abs(level).max() + 1.0) / (end - middle) + 1e-12 * abs(line.slope)
    return _Fit(float(line.slope), float(scatter + 2 * abs(line.slope - before) + rounding), int(late.sum()))


def _touching(height: FloatArray, envelope: FloatArray, *, growing: bool) -> BoolArray:
    """Tell where a run touches its envelope."""
    there = height >= envelope
    below = np.flatnonzero(~there)
    if not growing and below.size and len(height) - below[-1] < _END * len(height):
        # Behind the last dip nobody knows whether a higher peak would have come: the end of the run looks like one.
        there[below[-1] :] = False
    return np.asarray(there)


def _scatter(when: FloatArray, level: FloatArray, line: Any, confidence: float) -> float:
    """Return the half-width due to the scatter about the line."""
    # Its own standard error comes from 1 - r², which has no digits left where the line is exact.
    rest = level - line.intercept - line.slope * when
    power = np.sum(rest**2)
    error = np.sqrt(power / (len(when) - 2) / np.sum((when - when.mean()) ** 2))
    correlation = float(np.clip(np.sum(rest[1:] * rest[:-1]) / power, 0.0, 0.9)) if power > 0 else 0.0
    wider = np.sqrt((1 + correlation) / (1 - correlation))
    return float(t.ppf(0.5 + 0.5 * confidence, len(when) - 2) * error * wider)


def _predicted(
    algorithm: Algorithm | None, curvature: ArrayLike | None, k: int | None, t: float | None, power: float,
    batch: tuple[int, ...],
) -> FloatArray | None:  # fmt: skip
    """Return the exponent of the slowest mode, (*batch,)."""
    if (algorithm is None) != (curvature is None):
        raise ValueError(
            "`algorithm` and `curvature` must be given together: a prediction needs both. Received "
            f"{algorithm!r} and {curvature!r}."
        )
    if algorithm is None or curvature is None:
        return None
    slowest = analyze_modes(algorithm, real_array("curvature", curvature), k=k, t=t).log_rate.max(axis=-1)
    return np.array(np.broadcast_to(power * slowest, batch))
