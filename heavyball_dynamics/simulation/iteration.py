"""Runs of methods, in discrete time."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method, require_objective
from heavyball_dynamics._schedule import at_step, has_schedules, unresolved
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, State
from heavyball_dynamics._validation import count
from heavyball_dynamics.algorithms.states import PhaseState
from heavyball_dynamics.correspondence.scheme import Scheme
from heavyball_dynamics.simulation._start import full, starting_state
from heavyball_dynamics.simulation.trajectory import Status, Trajectory


class _Record:
    """The saved points of a run, time first, so that each save writes one contiguous block."""

    def __init__(self, method: Method, objective: ObjectiveLike, saved: int, shape: tuple[int, ...]) -> None:
        self.method = method  # under schedules that of the last step
        self._objective = objective
        self._next = 0
        self.position, self.velocity = np.full((2, saved, *shape), np.nan)
        self.value, self.gradient_norm, self.energy = np.full((3, saved, *shape[:-1]), np.nan)

    def save(self, state: State, moved: FloatArray, alive: BoolArray) -> None:
        """Write one point; elements that left the finite numbers keep their NaN."""
        i, position, velocity = self._next, state.position, moved
        kinetic_energy, own = (getattr(self.method, name, None) for name in ("kinetic_energy", "velocity"))
        if callable(own):  # a hyperparameter may have that name too
            # A discretized flow: its kinetic energy is that of the flow.
            velocity = own(state, self._objective)
            if hasattr(state, "velocity"):
                state = state._replace(velocity=velocity)
            elif not isinstance(self.method, Scheme):
                state = PhaseState(position, velocity)
        value = np.asarray(self._objective.value(position))
        kinetic = 0.0 if kinetic_energy is None else np.asarray(kinetic_energy(state))[..., 0]
        norm = np.linalg.norm(self._objective.gradient(position), axis=-1)
        everyone = bool(alive.all())
        for target, data in [
            (self.position, position), (self.velocity, velocity), (self.value, value), (self.gradient_norm, norm),
            (self.energy, value + kinetic),
        ]:  # fmt: skip
            if everyone:
                target[i] = data
            else:
                np.copyto(target[i], data, where=alive[..., None] if target.ndim > self.value.ndim else alive)
        self._next += 1


def iterate(
    method: Method, objective: ObjectiveLike, position: ArrayLike | State, steps: int, *,
    velocity: ArrayLike | None = None, save_every: int = 1, first_step: int = 0,
) -> Trajectory:
    """Run an update rule, batched over positions and hyperparameters at once.

    The state is advanced by ``state = method.step(k, state, objective.at(k))`` for k = first_step, first_step + 1, …

    Parameters
    ----------
    method : Method
        Any update rule; arrays in its fields are batch axes, a `Schedule` has a value for each step.
    objective : objective
        The loss. Its ``at(k)`` is asked once a step.
    position : array (*batch, dim), or a state
        Start. The ``.state`` of an earlier run goes on from there.
    steps : int
        Number of steps.
    velocity : array (*batch, dim), optional
        Displacement V_0 of the step before the first one; for a discretized flow its dx/dt. Zero by default.
    save_every : int
        Save each `save_every`-th point; start and end are always saved.
    first_step : int
        The k of the first step, for rules that vary in time and for resumed runs.

    Returns
    -------
    Trajectory
        ``time`` counts steps; steps + 1 points with the start if every step is saved. An element that leaves the finite
        numbers is frozen there (status DIVERGED, NaN from then on) and does not touch the others.

    Raises
    ------
    ValueError
        If shapes do not fit, an input is not finite, or a count is too small.
    TypeError
        If the method or the objective is none.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> method = hb.HeavyBall(lr=np.array([0.1, 2.0, 5.0]), momentum=0.5)
    >>> run = hb.iterate(method, hb.Quadratic([1.0]), [1.0], steps=600)
    >>> [hb.Status(s).name for s in run.status]
    ['COMPLETED', 'COMPLETED', 'DIVERGED']
    """
    require_method("method", method)
    require_objective(objective)
    steps, every = count("steps", steps, 0), count("save_every", save_every, 1)
    first = count("first_step", first_step, 0)
    with np.errstate(all="ignore"):
        try:
            return _run(method, objective, position, velocity, range(first, first + steps), every)
        except TypeError as error:
            for name in unresolved(method):
                error.add_note(
                    f"`{name}` of {type(method).__name__} is a callable that nobody has called: wrap it in "
                    "hb.Schedule, in a rule that is a dataclass, to have its value of every step put in its place."
                )
            raise


def _run(
    method: Method, objective: ObjectiveLike, position: Any, velocity: Any, clock: range, every: int
) -> Trajectory:
    # One sample a step: the start is prepared with the sample that the first step sees.
    sample = objective.at(clock.start)
    varies = has_schedules(method)
    rule = at_step(method, clock.start)
    state, batch, displacement = starting_state(rule, sample, position, velocity)
    rule = append_axes(rule, 1)
    shape = (*batch, objective.dim)
    saved = np.unique(np.append(np.arange(0, len(clock) + 1, every), len(clock)))
    # What a step leaves behind is measured by the rule of that step, also where a run is resumed.
    before = append_axes(at_step(method, max(clock.start - 1, 0)), 1) if varies else rule
    record = _Record(before, objective, len(saved), shape)
    alive, stop_time = np.ones(batch, dtype=bool), np.full(batch, np.nan)
    record.save(state, displacement, alive)
    record.method = rule
    done = 0
    for k in clock:
        if varies and k > clock.start:
            rule = record.method = append_axes(_fitting(at_step(method, k), batch, k), 1)
        new = rule.step(k, state, sample if k == clock.start else objective.at(k))
        done += 1
        fine = alive & _is_finite(new, shape)
        if not fine.all():
            stop_time[alive & ~fine] = k + 1
            alive = fine
            if not alive.any():
                break
            pairs = zip(leaves(state), leaves(new), strict=True)
            new = rebuild(new, [np.where(alive[..., None], after, before) for before, after in pairs])
        if done % every == 0 or done == len(clock):
            moved = new.velocity if isinstance(new, PhaseState) else new.position - state.position
            record.save(new, moved, alive)
        state = new
    return Trajectory(
        time=clock.start + saved.astype(np.float64),
        position=np.moveaxis(record.position, 0, -2),
        velocity=np.moveaxis(record.velocity, 0, -2),
        value=np.moveaxis(record.value, 0, -1),
        gradient_norm=np.moveaxis(record.gradient_norm, 0, -1),
        energy=np.moveaxis(record.energy, 0, -1),
        dissipation=None,
        status=np.where(alive, int(Status.COMPLETED), int(Status.DIVERGED)),
        stop_time=stop_time,
        state=full(state, shape),
        evaluations=done,
    )


def _fitting(rule: Method, batch: tuple[int, ...], k: int) -> Method:
    """Return the rule of step k, or say that its schedules have grown batch axes after the start."""
    own = batch_shape(rule)
    if len(own) > len(batch) or any(n not in (1, m) for n, m in zip(own[::-1], batch[::-1], strict=False)):
        raise ValueError(
            f"Schedules must keep the batch axes that they have at the first step, {batch}. Received {own} at step {k}."
        )
    return rule


def _is_finite(state: State, shape: tuple[int, ...]) -> BoolArray:
    finite = np.ones(shape[:-1], dtype=bool)
    for leaf in leaves(state):
        good = np.isfinite(leaf)
        if not good.all():
            finite &= np.broadcast_to(good, shape).all(axis=-1)
    return finite
