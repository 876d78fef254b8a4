"""One solve_ivp call for a whole batch, restarted for the survivors when one trajectory stops or blows up."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.integrate import solve_ivp

from heavyball_dynamics._types import BoolArray, FloatArray, IntArray
from heavyball_dynamics.simulation._dips import Bounds
from heavyball_dynamics.simulation._solvers import SOLVERS
from heavyball_dynamics.simulation._stack import Stack
from heavyball_dynamics.simulation.trajectory import Status

# Beyond this a trajectory counts as having left the finite numbers: the next steps would overflow.
_BLOWUP = 1e300
# Units in the last place of the time below which LSODA refuses an interval, with room to spare.
_TOO_SHORT = 16


@dataclass(frozen=True)
class Options:
    """What the user asked of the solver."""

    method: str
    rtol: float
    atol: float
    max_step: float
    stop_when: Mapping[str, float]


@dataclass
class Progress:
    """Results of one chunk, filled as the run goes on."""

    states: FloatArray  # (time, leaf, trajectory, dim)
    last: FloatArray  # (leaf, trajectory, dim), the last finite state
    status: IntArray
    stop_time: FloatArray
    evaluations: int = 0
    left: float | None = None  # when the phase ended, for which the call was told to look

    def end(self, who: IntArray, status: Status, t: float, times: FloatArray, last: FloatArray) -> None:
        """Freeze trajectories: the last value after a stop, NaN after a divergence."""
        self.status[who], self.stop_time[who], self.last[:, who] = int(status), t, last
        after = np.flatnonzero(times > t)
        if after.size:
            self.states[after[0] :, :, who] = last if status is Status.STOPPED else np.nan

    def finish(self, who: IntArray, t: float, times: FloatArray, blocks: FloatArray, rates: FloatArray) -> None:
        """Go to the end, a few units of rounding away, which solvers take for no interval at all."""
        for row in np.flatnonzero(times > t):
            self.states[row, :, who] = np.moveaxis(blocks + (times[row] - t) * rates, 1, 0)
        self.last[:, who] = blocks + (times[-1] - t) * rates


class Ending(Protocol):
    """The end of a phase of a flow that goes in phases."""

    def event(self, t: float, vector: FloatArray) -> float:
        """Return a number that falls to zero where the phase ends."""

    def inside(self, curve: Any, begin: float, end: float) -> float | None:
        """Return a time inside a step just after the end of the phase, or None."""

    @property
    def first_step(self) -> float | None:
        """The longest first step from the start of the phase, or None where that is left to the solver."""


class _Watch:
    """Event functions of one call, and the last accepted point, which solve_ivp keeps to itself.

    solve_ivp calls every event function once after each accepted step, in order.
    """

    def __init__(
        self, stack: Stack, bounds: Bounds | None, ending: Ending | None, t: float, vector: FloatArray
    ) -> None:
        self._stack, self._bounds, self._ending = stack, bounds, ending
        self.accepted = (t, vector.copy())
        self.step = 0.0

    def blowup(self, t: float, vector: FloatArray) -> float:
        """Positive while every trajectory is finite."""
        if t > self.accepted[0]:
            self.step = t - self.accepted[0]
            self.accepted = (t, vector.copy())
        return 1.0 - float(np.abs(vector).max()) / _BLOWUP

    def stop(self, t: float, vector: FloatArray) -> float:  # noqa: ARG002
        """Positive until the first trajectory meets a bound; one without a gradient does not hide the others."""
        return np.inf if self._bounds is None else float(np.fmin.reduce(self.margins(vector)))

    def margins(self, vector: FloatArray) -> FloatArray:
        """Return the distance of each trajectory from its bounds."""
        assert self._bounds is not None  # noqa: S101
        return self._bounds.margins(self._stack.blocks(vector)[0])

    def first_dip(self, curve: Any, start: float, end: float) -> float | None:
        """Return the first time inside a step at which something ends that the ends of the step do not show."""
        found = [
            None if self._bounds is None else self._bounds.first_dip(curve, start, end),
            None if self._ending is None else self._ending.inside(curve, start, end),
        ]
        return min((time for time in found if time is not None), default=None)

    def options(self) -> dict[str, Any]:
        """Return the event functions, terminal, and the look inside steps, as solve_ivp and our solvers want them."""
        events = [_terminal(self.blowup)]
        if self._bounds is None and self._ending is None:
            return {"events": events}
        events.append(_terminal(self.stop))
        if self._ending is not None:
            events.append(_terminal(self._ending.event))
        # Friction changes by powers of ten within a phase, and so does a Jacobian.
        return {"events": events, "first_dip": self.first_dip, "fresh_jacobian": self._ending is not None}


def _terminal(function: Any) -> Any:
    def event(t: float, vector: FloatArray) -> float:
        return float(function(t, vector))

    event.terminal, event.direction = True, -1.0  # type: ignore[attr-defined]
    return event


def solve(
    stack: Stack, start: FloatArray, times: FloatArray, options: Options, ending: Ending | None = None
) -> Progress:
    """Integrate a chunk of trajectories from `start` (leaf, trajectory, dim) over `times`.

    With an `ending`, of a single trajectory, up to there: ``.left`` says when.
    """
    number, end = stack.size, float(times[-1])
    progress = Progress(
        np.full((len(times), *start.shape), np.nan), start.copy(), np.full(number, int(Status.COMPLETED)),
        np.full(number, np.nan),
    )  # fmt: skip
    progress.states[0] = start
    alive, t, blocks, step = np.arange(number), float(times[0]), start, ending.first_step if ending else None
    if options.stop_when:
        begun = Bounds(stack, options.stop_when).margins(start[0]) <= 0
        progress.end(np.flatnonzero(begun), Status.STOPPED, t, times, start[:, begun])
        alive, blocks = alive[~begun], start[:, ~begun]
    while alive.size:
        part = stack.subset(alive)
        rates = part.blocks(part.derivative(t, part.vector(blocks)))
        lost = ~(np.isfinite(rates).all(axis=(0, 2)) & (np.abs(blocks).max(axis=(0, 2)) < _BLOWUP))
        if lost.any():
            # No solver can go on without a slope, and some would try for ever.
            progress.end(alive[lost], Status.DIVERGED, t, times, blocks[:, lost])
            alive, blocks = alive[~lost], blocks[:, ~lost]
            continue
        if end - t <= _TOO_SHORT * np.spacing(max(abs(t), abs(end))):
            progress.finish(alive, t, times, blocks, rates)
            break
        bounds = Bounds(part, options.stop_when) if options.stop_when else None
        watch = _Watch(part, bounds, ending, t, part.vector(blocks))
        result = _call(part, blocks, t, times, options, watch, step)
        progress.evaluations += result.nfev
        reached = part.blocks(result.y.T) if len(result.t) else np.empty((0, *blocks.shape))
        rows = np.searchsorted(times, result.t)
        progress.states[rows[:, None], :, alive[None, :]] = np.moveaxis(reached, 2, 1)
        if result.status == 0:
            progress.last[:, alive] = reached[-1]
            break
        if ending is not None and result.status == 1 and len(result.t_events[2]):
            progress.left = float(result.t_events[2][0])
            progress.last = part.blocks(result.y_events[2][0]).copy()
            break
        t, vector, who, status = _ending(part, watch, result, end)
        blocks = part.blocks(vector)
        progress.end(alive[who], status, t, times, blocks[:, who])
        alive, blocks = alive[~who], blocks[:, ~who]
        # Steps that shrank before a divergence say nothing about the others.
        step = watch.step if status is Status.STOPPED else None
    return progress


def _call(
    part: Stack, blocks: FloatArray, t: float, times: FloatArray, options: Options, watch: _Watch, step: float | None
) -> Any:
    # The error norm is a mean over all components: scaled so, no trajectory is less accurate than alone.
    shrink = 1.0 / np.sqrt(part.size)
    vector, solver_options = part.vector(blocks), part.solver_options(t)

    end = float(times[-1])
    with warnings.catch_warnings():
        # LSODA warns where the others return a status; what happened is said by the status of the run.
        warnings.filterwarnings("ignore", message="lsoda:")
        return solve_ivp(
            part.derivative, (t, end), vector, method=SOLVERS[options.method], t_eval=times[times > t],
            rtol=options.rtol * shrink, atol=options.atol * shrink, max_step=options.max_step,
            first_step=min(step, end - t) if step else None, **watch.options(), **solver_options,
        )  # fmt: skip


def _ending(
    part: Stack, watch: _Watch, result: Any, end: float
) -> tuple[float, FloatArray, BoolArray, Status]:
    """Say when, where, who and why: an event, or a solver that could not go on."""
    if result.status == 1:
        blown = len(result.t_events[0]) > 0
        happened = 0 if blown else 1
        t, vector = float(result.t_events[happened][0]), result.y_events[happened][0]
        blocks = part.blocks(vector)
        if blown:
            size = np.abs(blocks).max(axis=(0, 2))
            return t, vector, size >= 0.999 * size.max(), Status.DIVERGED
        margins = watch.margins(vector)
        return t, vector, margins <= max(float(np.nanmin(margins)), 0.0), Status.STOPPED
    t, vector = watch.accepted
    return t, vector, _stuck(part, t, vector, end), Status.DIVERGED


def _stuck(part: Stack, t: float, vector: FloatArray, end: float) -> BoolArray:
    """Tell which trajectories keep the solver from making any step.

    Each is tried alone on explicit Euler steps that shrink by tens: the largest step over which its slope stays finite
    and nearly constant is smallest for the one that blows up or leaves the domain of the loss.
    """
    rates = part.derivative(t, vector)
    size = np.abs(part.blocks(vector)).max(axis=(0, 2))
    largest = np.zeros(part.size)
    for step in np.geomspace(end - t, 4 * np.spacing(max(abs(t), 1e-300)), 40):
        move = step * rates
        change = part.blocks(step * part.derivative(t + step, vector + move) - move)
        # The largest component counts: one that passes through zero has no size of its own.
        room = 1e-3 * (size + np.abs(part.blocks(move)).max(axis=(0, 2))) + 1e-300
        good = np.isfinite(change).all(axis=(0, 2)) & (np.abs(change).max(axis=(0, 2)) <= room)
        largest = np.where(good & (largest == 0), step, largest)
    return np.asarray(largest <= 10 * largest.min())
