"""Saddles that a run crosses, when, and how long it stays with each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray
from heavyball_dynamics._validation import one_number, points, require
from heavyball_dynamics.objectives.chains import SaddleChain, TiltedWashboard
from heavyball_dynamics.simulation.trajectory import Trajectory
from heavyball_dynamics.studies.measurements import first_time, lengths

_ROOM = 1000 * 2 * np.pi  # how far from the starts saddles of a washboard are listed
_LONGEST = 10 * _ROOM  # and how far apart the starts may be
_SHOWN = 8  # times that a summary lists


@dataclass(frozen=True)
class SaddleCrossings(Drawable):
    """Which saddles a run has crossed, and when.

    Attributes
    ----------
    saddles : array (saddle, dim)
    time : array (*batch, saddle)
        First saved time at which the saddle has been crossed: steps of methods, times of flows; infinite where it never
        was.
    stay : array (*batch, saddle)
        Time spent within `radius` of the saddle, each saved point counting until the next.
    ran_away : array (*batch,), bool
        Whether the run diverged, or left the range in which the saddles of a `TiltedWashboard` are listed. Saddles
        beyond that range are not counted; those of a chain that a diverging run passed are.
    radius : float
    end : float
        The last saved time.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> chain = hb.SaddleChain(3)
    >>> run = hb.iterate(hb.GradientDescent(0.1), chain, chain.start, steps=120)
    >>> print(hb.saddles_crossed(run, chain).summary())
    2 of 3 saddles crossed, at 43 and 91
    """

    saddles: FloatArray
    time: FloatArray
    stay: FloatArray
    ran_away: BoolArray
    radius: float
    end: float

    @property
    def crossed(self) -> BoolArray:
        """Whether each saddle has been crossed, (*batch, saddle)."""
        return np.isfinite(self.time)

    @property
    def number(self) -> IntArray:
        """Number of saddles crossed, (*batch,)."""
        return np.asarray(np.sum(self.crossed, axis=-1, dtype=np.int64))

    def summary(self) -> str:
        """Return a line for each batch element."""
        count = len(self.saddles)
        lines = []
        for index in np.ndindex(self.time.shape[:-1]):
            when = [f"{t:.6g}" for t in np.sort(self.time[index][self.crossed[index]])]
            if len(when) > _SHOWN:
                told = ", ".join([*when[: _SHOWN - 1], "…", when[-1]])
            else:
                told = " and ".join(filter(None, [", ".join(when[:-1]), when[-1]])) if when else ""
            where = f"{index}: " if index else ""
            lines.append(
                f"{where}{len(when)} of {count} {'saddle' if count == 1 else 'saddles'} crossed"
                + (f", at {told}" if told else "")
                + ("; it ran away" if self.ran_away[index] else "")
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def saddles_crossed(
    trajectory: Trajectory, objective: ObjectiveLike, *, saddles: ArrayLike | None = None, radius: float = 0.5
) -> SaddleCrossings:
    """Tell which saddles a run has crossed, at what time, and how long it was near each of them.

    What it means to have crossed depends on the landscape:

    - `TiltedWashboard`: a saddle has been crossed once the run, which began on one side of its ridge x = x_s, is on the
      other. Listed are the saddles within 2π of the range of x that the runs cover, but no farther than 1000 of them
      from where the runs began: beyond, a run has run away.
    - `SaddleChain`: saddle i of its ``path``, where coordinates i, i + 1, … are still zero, has been crossed once
      |x_i| > radius.
    - Any other landscape, with a list of saddles: a saddle has been crossed once the run, after a point within the
      ball of that radius, is outside it and farther away along the directions of negative curvature at the saddle than
      along the others. A run that comes near and leaves the way it came, against the stable directions, has not
      crossed it.

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them.
    objective : objective
        The loss it ran on; its ``hessian`` is asked for at listed saddles.
    saddles : array (saddle, dim), optional
        The saddles; both chains know theirs.
    radius : float
        What counts as near a saddle, > 0.

    Returns
    -------
    SaddleCrossings
        Arrays (*batch, saddle).

    Raises
    ------
    ValueError
        If no saddles are known or given, one of them has no direction of negative curvature, the radius is not
        positive, the run has another dimension than the loss, or runs on a washboard began more than 10,000 saddles
        apart.

    Notes
    -----
    A way that is straight crosses no more saddles than a winding one: see `direction_coherence`.

    References
    ----------
    Du, Jin, Lee, Jordan, Singh, Póczos, "Gradient descent can take exponential time to escape saddle points", NeurIPS
    2017, for times spent at saddles in a row.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> board = hb.TiltedWashboard(tilt=0.3)
    >>> flow = hb.HeavyBallFlow(damping=np.array([0.1, 2.0]))
    >>> run = hb.integrate(flow, board, [-2.0, 0.0], duration=12.0)
    >>> hb.saddles_crossed(run, board).number
    array([3, 0])
    """
    size = one_number("radius", radius)
    require("radius", size, size > 0, "> 0")
    if trajectory.position.shape[-1] != objective.dim:
        raise ValueError(f"`trajectory` must be a run on this loss, of dimension {objective.dim}. Received one of "
                         f"dimension {trajectory.position.shape[-1]}.")  # fmt: skip
    ran_away = np.asarray(trajectory.status < 0)
    if saddles is not None:
        listed = np.atleast_2d(points("saddles", saddles, objective.dim))
        if listed.ndim > 2 or not len(listed):
            raise ValueError(f"`saddles` must have shape (saddle, {objective.dim}), with one saddle or more. "
                             f"Received shape {listed.shape}.")  # fmt: skip
        time = _through_balls(trajectory, objective, listed, float(size))
    elif isinstance(objective, SaddleChain):
        listed = objective.path.position[:-1]
        with np.errstate(invalid="ignore"):
            time = first_time(trajectory.time, np.swapaxes(np.abs(trajectory.position), -1, -2) > size, stay=False)
    elif isinstance(objective, TiltedWashboard):
        listed, time, left = _over_ridges(trajectory, objective)
        ran_away = ran_away | left
    else:
        raise ValueError(
            f"`saddles` must be given: of the landscapes only hb.SaddleChain and hb.TiltedWashboard know theirs. "
            f"Received {type(objective).__name__} without."
        )
    return SaddleCrossings(listed, time, _stay(trajectory, listed, float(size)), ran_away, float(size),
                           float(trajectory.time[-1]))  # fmt: skip


def _over_ridges(trajectory: Trajectory, board: TiltedWashboard) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the saddles in the range of x, the first times on the other sides of their ridges, and who left it."""
    # After a divergence x is NaN, which these pass over: a run is as far then as it has ever been.
    x = trajectory.position[..., 0]
    highest, lowest = np.fmax.accumulate(x, axis=-1), np.fmin.accumulate(x, axis=-1)
    batch, start = x.shape[:-1], x[..., 0]
    if not start.size:
        return np.empty((0, 2)), np.empty((*batch, 0)), np.zeros(batch, dtype=bool)
    if np.ptp(start) > _LONGEST:
        raise ValueError(f"`trajectory` must hold runs that began near each other, for saddles to be listed. Received "
                         f"starts from {start.min():g} to {start.max():g}: call saddles_crossed for each, or give "
                         "`saddles`.")  # fmt: skip
    low, high = float(start.min()) - _ROOM, float(start.max()) + _ROOM
    left = (highest[..., -1] > high) | (lowest[..., -1] < low)
    # At least to the next saddle on either side, so that the list is not empty for a run that stays in its well.
    low, high = max(low, float(lowest.min())) - 2 * np.pi, min(high, float(highest.max())) + 2 * np.pi
    found = board.stationary_points(low, high)
    listed = found.position[found.morse_index == 1]
    ridge = listed[:, 0]
    time = np.full((*batch, len(ridge)), np.inf)
    ended = np.append(trajectory.time, np.inf)
    for index in np.ndindex(batch):
        # A run that begins on the ridge is on no side.
        for side, far in ((1.0, highest[index]), (-1.0, -lowest[index])):
            ahead = side * ridge > side * start[index]
            time[index][ahead] = ended[np.searchsorted(far, side * ridge[ahead], side="right")]
    return listed, time, left


def _through_balls(
    trajectory: Trajectory, objective: ObjectiveLike, saddles: FloatArray, radius: float
) -> FloatArray:
    """Return the first times outside balls entered before, on the unstable side, (*batch, saddle)."""
    times = []
    for index, saddle in enumerate(saddles):
        curvature, directions = np.linalg.eigh(objective.hessian(saddle))
        if not curvature[0] < 0:
            raise ValueError(
                f"`saddles` must have a direction of negative curvature each. Received {saddle.tolist()} at index "
                f"{index}, whose smallest curvature is {curvature[0]:g}."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            square = ((trajectory.position - saddle) @ directions) ** 2
            unstable, distance = square[..., curvature < 0].sum(axis=-1), square.sum(axis=-1)
            inside = distance <= radius**2
            left = np.logical_or.accumulate(inside, axis=-1) & (distance > radius**2) & (2 * unstable > distance)
        times.append(first_time(trajectory.time, left, stay=False))
    return np.stack(times, axis=-1)


def _stay(trajectory: Trajectory, saddles: FloatArray, radius: float) -> FloatArray:
    """Return the time spent near each saddle, (*batch, saddle)."""
    lasts = np.diff(trajectory.time)
    spent = np.zeros((*trajectory.status.shape, len(saddles)))
    for i, saddle in enumerate(saddles):  # one by one: all at once would hold a copy of the run for each
        with np.errstate(invalid="ignore"):
            spent[..., i] = (lengths(trajectory.position[..., :-1, :] - saddle) <= radius) @ lasts
    return spent
