"""Flows that go in phases: a smooth flow up to an event, a jump, the next smooth flow.

The driver knows nothing of what the phases are; the contract is in the notes of `integrate`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from scipy.optimize import brentq

from heavyball_dynamics._batching import leaves, rebuild, take
from heavyball_dynamics._protocols import Flow, ObjectiveLike
from heavyball_dynamics._types import FloatArray, State
from heavyball_dynamics.algorithms._phases import is_hybrid
from heavyball_dynamics.simulation._dips import Bounds
from heavyball_dynamics.simulation._solve import Options, Progress, solve
from heavyball_dynamics.simulation._stack import Stack
from heavyball_dynamics.simulation.trajectory import Status

_NOISE = 0.01  # of the absolute tolerance: what the solver is asked for, so that what it resolves is above its noise
_TOO_SHORT = 64  # units in the last place of the time
_LOOKS = np.linspace(0.0, 1.0, 33)  # inside a step, for the end of a phase
_MANY = 10_000  # steps of one trajectory, 120 thousand evaluations of DOP853
_STIFF = ("Radau", "BDF", "LSODA")
_CONTRACT = "The notes of hb.integrate say what a flow that goes in phases has to offer."


class Patience:
    """Counts the steps of one trajectory, and says once, while it still runs, that there are very many."""

    def __init__(self, method: str) -> None:
        self._method, self._steps = method, 0

    def step(self, t: float) -> None:
        """Count one more step, which has come to the time t."""
        self._steps += 1
        if self._steps == _MANY and self._method not in _STIFF:
            warnings.warn(
                f"method={self._method!r} has made {_MANY} steps in one trajectory, and has come to t = {t:.6g}. If "
                'the motion is stiff, as slow sliding and creeping are, method="LSODA" goes through it in large steps.',
                UserWarning, stacklevel=2,
            )  # fmt: skip


@dataclass
class Ending:
    """The end of a phase: where its margin, having been positive, falls to zero."""

    phase: Any
    objective: ObjectiveLike
    stack: Stack
    start: float
    patience: Patience

    @property
    def first_step(self) -> float | None:
        """Return what the phase says of its first step, if anything."""
        return getattr(self.phase, "first_step", None)

    def check(self, blocks: FloatArray) -> None:
        """Raise unless the margin at the start is one number for a state, or several for several, and is no NaN."""
        state, found = self.stack.state(blocks), self.phase.margin
        several = self.stack.state(np.broadcast_to(blocks[:, None], (len(blocks), 2, *blocks.shape[1:])))
        times = np.full((2, 1, 1), self.start)
        for shape, margin in (((1, 1), found(self.start, state, self.objective)),
                              ((2, 1, 1), found(times, several, self.objective))):  # fmt: skip
            received = np.shape(margin)
            if any(n not in (1, m) for n, m in zip_longest(received[::-1], shape[::-1], fillvalue=1)):
                raise ValueError(
                    f"`margin` of {type(self.phase).__name__} must return shape {shape} for states "
                    f"{(*shape[:-1], self.objective.dim)}, one number for each. Received shape {received}. {_CONTRACT}"
                )
        slope = self.stack.derivative(self.start, self.stack.vector(blocks))
        if np.isnan(margin).any() and np.isfinite(slope).all():
            raise ValueError(
                f"`margin` of {type(self.phase).__name__} must be a number. Received nan at t = {self.start:g}, at the "
                f"state {state!r}. {_CONTRACT}"
            )

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
        self.patience.step(end)
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
    finer, patience = replace(options, atol=_NOISE * options.atol), Patience(options.method)
    state, t, before = rebuild(template, list(start)), float(times[0]), None
    while True:
        phase, state = _phase(flow, t, state, objective, options.atol)
        blocks = np.stack([np.broadcast_to(leaf, start.shape[1:]) for leaf in leaves(state)])
        ahead = np.flatnonzero(times > t)
        if phase is None or not ahead.size:
            found.states[ahead], found.last = blocks, blocks
            bounded = Bounds(Stack(flow, objective, template, 1, options.method), options.stop_when)
            if options.stop_when and bounded.margins(blocks[0])[0] <= 0:
                found.end(np.array([0]), Status.STOPPED, t, times, blocks)
            return found
        stack = Stack(phase, objective, template, 1, options.method)
        ending = Ending(phase, objective, stack, t, patience)
        ending.check(blocks)
        part = solve(stack, blocks, np.append(t, times[ahead]), finer, ending)
        found.states[ahead] = part.states[1:]
        found.last, found.evaluations = part.last, found.evaluations + part.evaluations
        if part.left is None:
            found.status, found.stop_time = part.status, part.stop_time
            return found
        if part.left - t <= _TOO_SHORT * np.spacing(max(abs(t), abs(part.left))):
            # Events with no time between them would have no end.
            _require_change(flow, t, before, blocks)
            found.end(np.array([0]), Status.DIVERGED, t, times, part.last)
            return found
        t, before = part.left, part.last
        found.events.append(t)
        state = phase.jump(t, rebuild(template, list(part.last)), objective)


def _phase(flow: Any, t: float, state: State, objective: ObjectiveLike, resolution: float) -> tuple[Any, State]:
    """Ask the flow how it goes on, and raise TypeError unless that is a phase and a state."""
    name, answer = type(flow).__name__, flow.phase(t, state, objective, resolution)
    # A state of two parts is a tuple of two as well, but of arrays.
    if not isinstance(answer, tuple) or hasattr(answer, "_fields") or len(answer) != 2:
        raise TypeError(f"`phase` of {name} must return (smooth flow or None, state). Received {answer!r}. {_CONTRACT}")
    smooth, begun = answer
    missing = [part for part in ("vector_field", "margin", "jump") if not hasattr(smooth, part)]
    if smooth is not None and missing:
        raise TypeError(
            f"`phase` of {name} must return a flow with vector_field, margin and jump, or None. Received {smooth!r} "
            f"without {', '.join(missing)}. {_CONTRACT}"
        )
    if len(leaves(begun)) != len(leaves(state)):
        raise TypeError(
            f"`phase` of {name} must return a state like the one that it got. Received {begun!r}. {_CONTRACT}"
        )
    return smooth, begun


def _require_change(flow: Any, t: float, before: FloatArray | None, after: FloatArray) -> None:
    """Raise ValueError where an event changed nothing, and so happens again."""
    if before is not None and np.array_equal(before, after):
        raise ValueError(
            f"`jump` or `phase` of {type(flow).__name__} must change the state, or the margin, where a phase ends. "
            f"Received the same state after the event at t = {t:g}, with a margin that falls at once. {_CONTRACT}"
        )


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
