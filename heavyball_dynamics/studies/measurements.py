"""What is measured along a run: when something is reached, how straight the way is, how far it first goes astray."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray
from heavyball_dynamics._validation import count, one_number, one_of, points, real_array, require
from heavyball_dynamics.simulation.trajectory import Trajectory

_MEASURED = ("value", "gradient_norm", "distance", "speed")


def direction_coherence(trajectory: Trajectory, window: int) -> FloatArray:
    r"""Return how straight the way was over the last points: 1 on a straight line, small on a zigzag.

    .. math:: c_k = \frac{|x_k - x_{k-w}|}{\sum_{i=k-w+1}^k |x_i - x_{i-1}|}

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them, of which each step is saved.
    window : int
        Number w >= 1 of saved points to look back.

    Returns
    -------
    array (*batch, time)
        NaN before the window is full and after a divergence; 0 where nothing moved.

    Raises
    ------
    TypeError
        If the window is no whole number.
    ValueError
        If the window is longer than the run.

    Notes
    -----
    A straight way is no progress by itself: a ball that rolls back and forth along a line is coherent between its
    turns. Give it together with `saddles_crossed`.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.GradientDescent(1.5), hb.Quadratic([1.0]), [1.0], steps=4)      # 1, -1/2, 1/4, ...
    >>> hb.direction_coherence(run, window=2).round(4)
    array([   nan,    nan, 0.3333, 0.3333, 0.3333])
    """
    width = count("window", window, 1)
    position = trajectory.position
    if width >= position.shape[-2]:
        raise ValueError(
            f"`window` must be less than the number of saved points, {position.shape[-2]}. Received {width}."
        )
    coherence = np.full(position.shape[:-1], np.nan)
    # Sums of few terms each, not differences of long ones: those of a run that has settled would be rounding.
    parts = lengths(np.diff(position, axis=-2))
    way = np.lib.stride_tricks.sliding_window_view(parts, width, axis=-1).sum(axis=-1)
    gain = lengths(position[..., width:, :] - position[..., :-width, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        coherence[..., width:] = np.where(way == 0, 0.0, gain / way)
    return coherence


def first_below(
    trajectory: Trajectory, tolerance: ArrayLike, of: str = "value", *, minimizer: ArrayLike | None = None,
    minimum: float = 0.0, stay: bool = False,
) -> FloatArray:  # fmt: skip
    """Return the first saved time at which a measure is at most a tolerance.

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them.
    tolerance : float or array (*batch,)
        What the measure has to fall to.
    of : {"value", "gradient_norm", "distance", "speed"}
        The loss above `minimum`, the norm of its gradient, the distance |x - minimizer|, or the norm of the velocity.
    minimizer : array (dim,), optional
        From where distances are measured.
    minimum : float
        Least value of the loss.
    stay : bool
        Whether the measure has to stay there until the end of the run.

    Returns
    -------
    array (*batch,)
        Steps of methods, times of flows; infinite where it never gets there.

    Raises
    ------
    ValueError
        If there is no such measure, a minimizer is missing or no one point, a number is not finite, or the shape of the
        tolerance does not fit the batch.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.HeavyBall(0.5, 0.9), hb.Quadratic([1.0]), [1.0], steps=400)
    >>> float(hb.first_below(run, 0.01)), float(hb.first_below(run, 0.01, stay=True))
    (6.0, 35.0)
    """
    level = real_array("tolerance", tolerance)
    measure = measured(trajectory, of, minimizer, minimum)
    try:
        np.broadcast_shapes(level.shape, measure.shape[:-1])
    except ValueError:
        raise ValueError(f"`tolerance` must be one number or have the batch axes of the run, {measure.shape[:-1]}. "
                         f"Received shape {level.shape}.") from None  # fmt: skip
    with np.errstate(invalid="ignore"):
        low = measure <= level[..., None]
    return first_time(trajectory.time, low, stay=stay)


def arrival(trajectory: Trajectory, tolerance: float = 0.0) -> FloatArray:
    r"""Return the first saved time at which each coordinate has left its start.

    .. math:: |x_j(t) - x_j(0)| > \epsilon

    On `PathColoring` from zero that is the front of the colour: with one gradient a step no method moves node j before
    step j, with m gradients a step none before step j/m.

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them.
    tolerance : float
        How far, ε >= 0, counts as where it was; 0 for bit by bit.

    Returns
    -------
    array (*batch, dim)
        Steps of methods, times of flows; infinite where a coordinate never moves.

    Raises
    ------
    ValueError
        If the tolerance is negative or not finite.

    References
    ----------
    Goh, "Why momentum really works", Distill 2017, section "The space of adversaries": information travels one edge a
    step.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.Nesterov(0.25, 0.9), hb.PathColoring(5), [0.0] * 5, steps=4)
    >>> hb.arrival(run)
    array([ 1.,  2.,  3.,  4., inf])
    """
    level = one_number("tolerance", tolerance)
    require("tolerance", level, level >= 0, ">= 0")
    position = trajectory.position
    with np.errstate(invalid="ignore"):
        away = np.abs(position - position[..., :1, :]) > level
    return first_time(trajectory.time, np.swapaxes(away, -1, -2), stay=False)


def peak_growth(trajectory: Trajectory, minimizer: ArrayLike | None = None) -> FloatArray:
    r"""Return how far a run goes away before it comes closer.

    .. math:: \max_k \frac{|x_k - x^*|}{|x_0 - x^*|} \ge 1

    Poles near each other (and methods tuned for speed have double ones) let a run grow first, although all of them are
    inside the unit circle.

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them.
    minimizer : array (dim,), optional
        x*; the origin by default.

    Returns
    -------
    array (*batch,)
        1 where the distance is never larger than at the start; infinite where the run diverged; NaN where it started
        in x*.

    Raises
    ------
    ValueError
        If the minimizer has another shape.

    References
    ----------
    Mohammadi, Samuelson, Jovanović, "Transient growth of accelerated optimization algorithms", IEEE Trans. Autom.
    Control 68, 2023.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.tune(hb.HeavyBall, 1.0, 100.0)
    >>> stiff = hb.iterate(method, hb.Quadratic([1.0, 100.0]), [0.0, 1.0], steps=100)
    >>> float(hb.peak_growth(stiff).round(2))
    3.71
    """
    dim = trajectory.position.shape[-1]
    lowest = np.zeros(dim) if minimizer is None else _one_point(minimizer, dim)
    distance = lengths(trajectory.position - lowest)
    start = distance[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = np.nanmax(distance, axis=-1) / start
    growth = np.where(trajectory.status < 0, np.inf, growth)
    return np.where(start == 0, np.nan, growth)


def measured(
    trajectory: Trajectory, of: str, minimizer: ArrayLike | None = None, minimum: float = 0.0
) -> FloatArray:
    """Return a measure of every saved point, (*batch, time)."""
    one_of("of", of, _MEASURED)
    if of == "value":
        return np.asarray(trajectory.value - one_number("minimum", minimum))
    if of == "distance":
        if minimizer is None:
            raise ValueError("`minimizer` must be given: distances are measured from there. Received None.")
        return lengths(trajectory.position - _one_point(minimizer, trajectory.position.shape[-1]))
    if of == "speed":
        return lengths(trajectory.velocity)
    return trajectory.gradient_norm


def _one_point(minimizer: ArrayLike, dim: int) -> FloatArray:
    point = points("minimizer", minimizer, dim)
    if point.ndim != 1:
        raise ValueError(f"`minimizer` must be one point, of shape ({dim},). Received shape {point.shape}.")
    return point


def lengths(vectors: FloatArray) -> FloatArray:
    """Return Euclidean norms along the last axis, infinite for runs about to leave the finite numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.linalg.norm(vectors, axis=-1))


def first_time(time: FloatArray, there: BoolArray, *, stay: bool) -> FloatArray:
    """Return the first time at which something is so, (*batch,), from then on if it has to stay."""
    lasting = np.flip(np.logical_and.accumulate(np.flip(there, -1), axis=-1), -1) if stay else there
    return np.where(lasting.any(axis=-1), time[np.argmax(lasting, axis=-1)], np.inf)
