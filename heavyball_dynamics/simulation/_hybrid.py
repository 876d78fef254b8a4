"""Flows that go in phases: a smooth flow up to an event, a jump, the next smooth flow.

The driver knows nothing of what the phases are; the contract is in the notes of `integrate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq

from heavyball_dynamics._batching import leaves, rebuild, take
from heavyball_dynamics._protocols import Flow, ObjectiveLike
from heavyball_dynamics._types import FloatArray, State
from heavyball_dynamics.simulation._solve import Options, Progress, solve
from heavyball_dynamics.simulation._stack import Stack
from heavyball_dynamics.simulation.trajectory import Status

_NOISE = 0.01  # of the absolute tolerance: what the solver is asked for, so that what it resolves is above its noise
_TOO_SHORT = 64  # units in the last place of the time
_LOOKS = np.linspace(0.0, 1.0, 33)  # inside a step, for the end of a phase


def is_hybrid(flow: Flow) -> bool:
    """Tell whether a flow, or one of a batch, goes in phases."""
    return bool(getattr(flow, "is_hybrid", hasattr(flow, "phase")))


@dataclass
class Ending:
    """The end of a phase: where its margin, having been positive, falls to zero."""

    phase: Any
    objective: ObjectiveLike
    stack: Stack
    start: float

    def margin(self, t: Any, vectors: FloatArray) -> FloatArray:
        """Return the margin at times (…) and states (…, number): (…)."""
        blocks = np.moveaxis(self.stack.blocks(vectors), -3, 0)
        time = np.asarray(t)[..., None, None]
        found = np.asarray(self.phase.margin(time, self.stack.state(blocks), self.objective))
        return np.broadcast_to(found, (*np.shape(t), 1, 1))[..., 0, 0]

    def event(self, t: float, vector: FloatArray) -> float:
        """Return the margin for solve_ivp: positive at the start, where a phase may begin with a margin of zero."""
        return 1.0 if t <= self.start else float(self.margin(t, vector))

    def inside(self, curve: Any, begin: float, end: float) -> float | None:
        """Return a time inside a step just after the margin has fallen to zero for the first time, or None.

        A step may hold a whole phase, from a margin of zero up and down again.
        """
        times = begin + (end - begin) * _LOOKS
        margins = self.margin(times, curve(times).T)
        falls = np.flatnonzero((margins[:-1] > 0) & (margins[1:] <= 0))
        if not falls.size:
            return None
        low, high = times[falls[0]], times[falls[0] + 1]
        root = float(brentq(lambda t: float(self.margin(t, curve(t))), low, high, xtol=1e-300, rtol=1e-15))
        for _ in range(8):
            if self.margin(root, curve(root)) <= 0:
                break
            root = float(np.nextafter(root, high))
        else:
            root = float(high)
        return root if begin < root < end else None


@dataclass
class HybridProgress(Progress):
    """Results of one trajectory, with the times of its events."""

    events: list[float] = field(default_factory=list)


def solve_one(
    flow: Any, objective: ObjectiveLike, template: State, start: FloatArray, times: FloatArray, options: Options
) -> HybridProgress:
    """Integrate one trajectory of a flow that goes in phases, from `start` (leaf, 1, dim) over `times`."""
    found = HybridProgress(
        np.full((len(times), *start.shape), np.nan), start.copy(), np.full(1, int(Status.COMPLETED)), np.full(1, np.nan)
    )
    found.states[0] = start
    finer = replace(options, atol=_NOISE * options.atol)
    state, t = rebuild(template, list(start)), float(times[0])
    while True:
        phase, state = flow.phase(t, state, objective, options.atol)
        blocks = np.stack([np.broadcast_to(leaf, start.shape[1:]) for leaf in leaves(state)])
        ahead = np.flatnonzero(times > t)
        if phase is None or not ahead.size:
            found.states[ahead], found.last = blocks, blocks
            return found
        stack = Stack(phase, objective, template, 1, options.method)
        ending = Ending(phase, objective, stack, t)
        part = solve(stack, blocks, np.append(t, times[ahead]), finer, ending)
        found.states[ahead] = part.states[1:]
        found.last, found.evaluations = part.last, found.evaluations + part.evaluations
        if part.left is None:
            found.status, found.stop_time = part.status, part.stop_time
            return found
        if part.left - t <= _TOO_SHORT * np.spacing(max(abs(t), abs(part.left))):
            # Events with no time between them would have no end.
            found.end(np.array([0]), Status.DIVERGED, t, times, part.last)
            return found
        t = part.left
        found.events.append(t)
        state = phase.jump(t, rebuild(template, list(part.last)), objective)


def solve_each(
    flow: Flow, objective: ObjectiveLike, template: State, batch: tuple[int, ...], start: FloatArray,
    times: FloatArray, options: Options,
) -> Progress:
    """Integrate a batch one by one, from `start` (leaf, trajectory, dim); those without phases as ever."""
    # An empty part first: a batch may be empty.
    states = np.empty((len(times), len(start), 0, start.shape[-1]))
    done = [Progress(states, start[:, :0], np.empty(0, dtype=np.int64), np.empty(0))]
    for i in range(start.shape[1]):
        one, begun = take(flow, batch, np.array([i])), start[:, i : i + 1]
        if is_hybrid(one):
            done.append(solve_one(one, objective, template, begun, times, options))
        else:
            done.append(solve(Stack(one, objective, template, 1, options.method), begun, times, options))
    return Progress(
        np.concatenate([part.states for part in done], axis=2), np.concatenate([part.last for part in done], axis=1),
        np.concatenate([part.status for part in done]), np.concatenate([part.stop_time for part in done]),
        sum(part.evaluations for part in done),
    )  # fmt: skip
