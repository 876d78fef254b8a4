"""Runs of flows, in continuous time, on scipy.integrate.solve_ivp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, leaves, rebuild, take
from heavyball_dynamics._protocols import Flow, ObjectiveLike, require_flow, require_objective
from heavyball_dynamics._types import ArrayLike, FloatArray, State
from heavyball_dynamics._validation import one_number, one_of, real_array, require
from heavyball_dynamics.algorithms._phases import is_hybrid
from heavyball_dynamics.algorithms.states import PhaseState
from heavyball_dynamics.simulation._hybrid import solve_each
from heavyball_dynamics.simulation._solve import Options, Progress, solve
from heavyball_dynamics.simulation._solvers import SOLVERS
from heavyball_dynamics.simulation._stack import Stack
from heavyball_dynamics.simulation._start import starting_state
from heavyball_dynamics.simulation.trajectory import Trajectory

_BOUNDS = ("gradient_norm", "value")
_CHUNK = 1000  # trajectories in one call of solve_ivp
_FLOOR = 2.3e-14  # SciPy raises smaller relative tolerances to about this


def integrate(
    flow: Flow, objective: ObjectiveLike, position: ArrayLike | State, velocity: ArrayLike | None = None, *,
    times: ArrayLike | None = None, duration: float | None = None, method: str = "DOP853", rtol: float = 1e-8,
    atol: float = 1e-10, stop_when: Mapping[str, float] | None = None, max_step: float = np.inf,
) -> Trajectory:
    """Integrate a flow, batched over positions and parameters at once.

    A batch is one call of `scipy.integrate.solve_ivp` on the stacked state (in chunks of about a thousand). The
    tolerances are divided by the square root of the batch size, so that no trajectory is less accurate than alone.

    Parameters
    ----------
    flow : Flow
        Any flow; arrays in its fields are batch axes.
    objective : objective
        The loss.
    position : array (*batch, dim), or a state
        Start. The ``.state`` of an earlier run goes on from there.
    velocity : array (*batch, dim), optional
        dx/dt at the start; zero by default. Not used by flows of first order.
    times : array (time,), optional
        Increasing times at which to save, the first one being the start.
    duration : float, optional
        Instead of `times`: 201 uniform times from 0 to `duration`.
    method : str
        Solver of solve_ivp: RK23, RK45, DOP853, Radau, BDF or LSODA. The last three are for stiff problems; where the
        objective has a Hessian and the flow is linear in state and gradient they get the analytic Jacobian, block
        diagonal over the batch.
    rtol, atol : float
        Tolerances of each trajectory, as solve_ivp defines them.
    stop_when : mapping, optional
        Bounds ``{"gradient_norm": …}``, ``{"value": …}`` or both: a trajectory that falls to one of them stops there.
        The first time counts, also where an oscillation passes below the bound and leaves again within one step of the
        solver. A dip far shorter than a step, such as that of a gradient norm where a ball runs through the minimum,
        may go unseen where the bound is tiny; `max_step` makes the look closer.
    max_step : float
        Largest step of the solver.

    Returns
    -------
    Trajectory
        A trajectory that blows up is NaN from then on, one that stops keeps its last value; the others are unharmed.

    Raises
    ------
    ValueError
        If shapes do not fit, an input is not finite, times do not increase, a name is unknown, or a flow that goes in
        phases does not keep to the notes.
    TypeError
        If the flow or the objective is none, or `phase` returns something else than the notes say.

    Warns
    -----
    UserWarning
        If an explicit solver makes very many steps in one trajectory of a flow that goes in phases.

    Notes
    -----
    A flow that jumps (stick and slip, restarts) goes in phases, and is run one trajectory at a time, of shape (1, dim).
    It offers ``phase(t, state, objective, resolution) -> (smooth, state)``: the smooth flow that holds from here to the
    next event, or None where the state rests for ever, and the state to go on from. The smooth flow, which may be the
    flow itself, offers besides ``vector_field`` also ``margin(t, state, objective) -> (..., 1)``, positive during the
    phase (at its start zero will do) and falling through zero at its end, also of states (n, 1, dim) at times
    (n, 1, 1), and ``jump(t, state, objective) -> state`` there. Then ``phase`` is asked again. `resolution` is `atol`:
    what is smaller counts as nothing, while the solver works to a hundredth of it. Where the field changes in a much
    shorter time than its start shows, the smooth flow says so by an attribute ``first_step``. An attribute
    ``is_hybrid`` may say that phases are not needed after all. A step is searched for the end of its phase in 32 parts.
    Events without any time between them end as a divergence. Radau and BDF take a new Jacobian in every step.

    References
    ----------
    Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I", section II.10 (DOP853), and section II.6 on
    events.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> flow = hb.HeavyBallFlow(mass=1.0, damping=np.array([2.0, 4.0, 8.0]))
    >>> run = hb.integrate(flow, hb.Quadratic([1.0]), [1.0], duration=60.0, stop_when={"gradient_norm": 1e-3})
    >>> run.stop_time.round(2)
    array([ 9.23, 26.06, 54.51])
    """
    require_flow("flow", flow)
    require_objective(objective)
    one_of("method", method, SOLVERS)
    saved = _times(times, duration)
    largest = one_number("max_step", max_step, finite=False)
    require("max_step", largest, largest > 0, "> 0")
    options = Options(method, _tolerance("rtol", rtol), _tolerance("atol", atol), float(largest), _bounds(stop_when))
    with np.errstate(all="ignore"):
        state, batch, _ = starting_state(flow, objective, position, velocity)
        return _run(flow, objective, state, batch, saved, options)


def _times(times: ArrayLike | None, duration: float | None) -> FloatArray:
    if (times is None) == (duration is None):
        raise ValueError(f"Give either `times` or `duration`. Received times={times!r}, duration={duration!r}.")
    if times is None:
        length = one_number("duration", duration)
        require("duration", length, length > 0, "> 0")
        return np.linspace(0.0, float(length), 201)
    saved = real_array("times", times)
    if saved.ndim != 1 or len(saved) < 2:
        raise ValueError(f"`times` must be a one-dimensional array, two or more times. Received shape {saved.shape}.")
    later = np.append(True, np.diff(saved) > 0)
    require("times", saved, later, "strictly increasing")
    return saved


def _tolerance(name: str, value: float) -> float:
    tolerance = one_number(name, value)
    require(name, tolerance, tolerance >= _FLOOR if name == "rtol" else tolerance > 0,
            f">= {_FLOOR:g}, the floor of solve_ivp" if name == "rtol" else "> 0")  # fmt: skip
    return float(tolerance)


def _bounds(stop_when: Mapping[str, float] | None) -> dict[str, float]:
    if stop_when is None:
        return {}
    if not isinstance(stop_when, Mapping):
        raise TypeError(f"`stop_when` must be a mapping such as {{'gradient_norm': 1e-6}}. Received {stop_when!r}.")
    for name in stop_when:
        one_of("stop_when", name, _BOUNDS)
    return {name: float(one_number(f"stop_when[{name!r}]", bound)) for name, bound in stop_when.items()}


def _run(
    flow: Flow, objective: ObjectiveLike, state: State, batch: tuple[int, ...], times: FloatArray, options: Options
) -> Trajectory:
    number, dim = int(np.prod(batch)), objective.dim
    start = np.stack([leaf.reshape(number, dim) for leaf in leaves(state)])
    if is_hybrid(flow):
        done = [solve_each(flow, objective, state, batch, start, times, options)]
    else:
        done = _solve_chunks(flow, objective, state, batch, start, times, options)
    # (time, leaf, trajectory, dim) to (leaf, *batch, time, dim): the one transposition.
    states = np.concatenate([progress.states for progress in done], axis=2)
    states = np.moveaxis(states, 0, 2).reshape(len(start), *batch, len(times), dim)
    last = np.concatenate([progress.last for progress in done], axis=1)
    return Trajectory(
        time=times,
        **_observe(flow, objective, rebuild(state, list(states)), times),
        status=np.concatenate([progress.status for progress in done]).reshape(batch),
        stop_time=np.concatenate([progress.stop_time for progress in done]).reshape(batch),
        state=rebuild(state, [leaf.reshape(*batch, dim) for leaf in last]),
        evaluations=sum(progress.evaluations for progress in done),
    )


def _solve_chunks(
    flow: Flow, objective: ObjectiveLike, state: State, batch: tuple[int, ...], start: FloatArray, times: FloatArray,
    options: Options,
) -> list[Progress]:
    number = start.shape[1]
    chunk = max(1, min(_CHUNK, int((options.rtol / _FLOOR) ** 2)))
    parts = [np.arange(i, min(i + chunk, number)) for i in range(0, max(number, 1), chunk)]
    stacks = [Stack(take(flow, batch, part), objective, state, len(part), options.method) for part in parts]
    return [solve(stack, start[:, part], times, options) for stack, part in zip(stacks, parts, strict=True)]


def _observe(flow: Flow, objective: ObjectiveLike, states: State, times: FloatArray) -> dict[str, Any]:
    """Return what is measured along the states, whose leaves are (*batch, time, dim)."""
    position = states.position
    rule = append_axes(flow, 2)
    gradient = np.asarray(objective.gradient(position))
    value = np.asarray(objective.value(position))
    velocity = states.velocity if isinstance(states, PhaseState) else _velocity(flow, objective, states, times)
    energy, dissipation = value, None
    if hasattr(rule, "kinetic_energy"):
        energy = value + rule.kinetic_energy(states)[..., 0]
        if hasattr(rule, "dissipation"):
            dissipation = np.broadcast_to(rule.dissipation(states)[..., 0], value.shape).copy()
    else:
        dissipation = -np.sum(gradient * velocity, axis=-1)
    return {
        "position": position, "velocity": velocity, "value": value, "energy": energy, "dissipation": dissipation,
        "gradient_norm": np.linalg.norm(gradient, axis=-1),
    }  # fmt: skip


def _velocity(flow: Flow, objective: ObjectiveLike, states: State, times: FloatArray) -> FloatArray:
    rule = append_axes(flow, 1)
    parts = leaves(states)
    velocity = np.empty_like(parts[0])
    for i, t in enumerate(times):
        now = rebuild(states, [part[..., i, :] for part in parts])
        velocity[..., i, :] = rule.vector_field(float(t), now, objective).position
    return np.asarray(velocity)
