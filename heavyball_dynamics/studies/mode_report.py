"""The main question: a learning rate, a momentum and a loss, read as a physical system, mode by mode."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import Algorithm, Method, ObjectiveLike
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import points
from heavyball_dynamics.algorithms.dampened import DampenedHeavyBall
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.analysis.linear import curvatures
from heavyball_dynamics.analysis.loci import root_locus
from heavyball_dynamics.analysis.maps import StabilityMap, stability_map
from heavyball_dynamics.analysis.modes import Modes, analyze_modes
from heavyball_dynamics.analysis.tuning import stability_limit, tune
from heavyball_dynamics.correspondence.dialects import to_dialect
from heavyball_dynamics.correspondence.physical import Physical
from heavyball_dynamics.correspondence.reading import to_physical
from heavyball_dynamics.objectives.base import ObjectiveBase
from heavyball_dynamics.objectives.quadratic import Quadratic
from heavyball_dynamics.studies import _words
from heavyball_dynamics.studies.loss_curves import LossCurves, loss_curves
from heavyball_dynamics.studies.mode_portraits import mode_portrait
from heavyball_dynamics.studies.report_result import TOLERANCE, Report, curved

_LONGEST = 20_000  # steps of the runs on the loss, at the most


def report(
    method: Method, loss: ObjectiveLike | ArrayLike, *, rule: str = "central", mass: float | None = None,
    dt: float | None = None, position: ArrayLike | None = None, title: str | None = None, dialect: str = "torch",
    coordinates: tuple[str, ...] | None = None,
) -> Report:
    """Say which physical system a method on a loss is, mode by mode.

    Parameters
    ----------
    method : HeavyBall, Nesterov or DampenedHeavyBall
        With scalar hyperparameters.
    loss : objective or array (mode,)
        An objective with a known minimizer, linearized there, or the curvatures of a quadratic.
    rule, mass, dt
        The physical reading, as in `to_physical`.
    position : array (dim,), optional
        Start of the runs; by default one unit of standard size from the minimizer along every mode.
    title : str, optional
        What the loss is, in words.
    dialect : str
        In whose terms learning rates are told.
    coordinates : tuple of str, optional
        Names of the coordinates.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If the loss knows no minimizer, or the method has no physical reading under the rule.
    TypeError
        If the method is not one of those three.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> report = hb.report(hb.HeavyBall(lr=0.02, momentum=0.9), hb.canyon())
    >>> report.columns()["method_class"]
    ['underdamped', 'underdamped']
    """
    physical = to_physical(method, mass=mass, dt=dt, rule=rule)
    if batch_shape(physical):
        raise ValueError(f"`method`, `mass` and `dt` must hold single numbers: a report is on one setting. "
                         f"Received {method!r}, mass={mass!r}, dt={dt!r}.")  # fmt: skip
    effective = _canonical(method)
    objective = loss if isinstance(loss, ObjectiveBase) else Quadratic(curvatures(loss))  # type: ignore[arg-type]
    eigenvalues, vectors = objective.modes
    bend, vectors = eigenvalues[::-1].copy(), vectors[:, ::-1].copy()
    modes = analyze_modes(effective, bend)
    flow_modes = analyze_modes(physical.flow, bend)
    limit = np.asarray(stability_limit(effective, bend))
    tuned = _optimum(type(effective), bend)
    names = coordinates or tuple(f"x{i + 1}" for i in range(objective.dim))
    settings = {"dialect": dialect, **to_dialect(method, dialect)}
    start = _start(objective, bend, vectors) if position is None else points("position", position, objective.dim)
    return Report(
        title=title or repr(objective),
        method=effective,
        settings=settings,
        physical=physical,
        directions=vectors,
        coordinates=names,
        modes=modes,
        flow_modes=flow_modes,
        limit=limit,
        disagreements=_words.disagreements(effective, modes, flow_modes, physical),
        verdict=_words.verdict(effective, modes, limit, tuned, dialect),
        tuned=tuned,
        locus=root_locus(effective, values=_locus_values(effective, bend)),
        flow_locus=root_locus(physical.flow, values=_flow_values(physical, bend)),
        map=_map(type(effective), effective, bend),
        portraits=(
            mode_portrait(effective, bend[0], physical=physical),
            mode_portrait(effective, bend[_words.slowest(modes)], physical=physical),
        ),
        curves=_curves(effective, method, physical, objective, start, modes),
    )


def _canonical(method: Any) -> HeavyBall | Nesterov:
    """Return the rule of every step but, under dampening, the first."""
    if isinstance(method, DampenedHeavyBall):
        return HeavyBall(method.effective_lr, method.momentum)
    kind = Nesterov if isinstance(method, Nesterov) else HeavyBall
    return kind(method.lr, method.momentum)


def _optimum(kind: type[Any], bend: FloatArray) -> Any:
    bent = bend[curved(bend)]
    if np.any(bend < 0) or not bent.size:
        return None
    return _scalar(tune(kind, bent.min(), bent.max()))


def _scalar(method: Any) -> Any:
    return type(method)(float(method.lr), float(method.momentum))


def _start(objective: ObjectiveBase, bend: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return a start at which every mode holds about the same energy, and none is forgotten."""
    scale = np.abs(bend).max(initial=0.0)
    size = np.where(curved(bend), np.sqrt(scale / np.where(curved(bend), np.abs(bend), 1.0)), 0.0)
    minimizer = np.asarray(objective.minimizer)
    return np.asarray(minimizer + vectors @ (size / max(float(size.max(initial=0.0)), 1.0)))


def _locus_values(method: Any, bend: FloatArray) -> FloatArray:
    """Curvatures from 0 past the stability limit, and past every mode of this loss, break-away points included."""
    usual = root_locus(method)
    top = max(float(usual.values[-1]), 1.05 * float(bend.max(initial=0.0)))
    low = min(0.0, 1.05 * float(bend.min(initial=0.0)))
    return np.unique(np.concatenate([np.linspace(low, top, 801), usual.breakaway, usual.stability_limit]))


def _flow_values(physical: Physical, bend: FloatArray) -> FloatArray:
    critical = physical.damping**2 / (4 * physical.mass)
    top = max(10 * critical, 1.05 * float(bend.max(initial=0.0)), np.finfo(np.float64).tiny)
    low = min(0.0, 1.05 * float(bend.min(initial=0.0)))
    fine = np.geomspace(1e-9 * top, top, 400)
    return np.unique(np.concatenate([np.linspace(low, top, 801), fine, [critical]]))


def _map(kind: type[Any], method: Any, bend: FloatArray) -> StabilityMap:
    """Return the map over products wide enough for every mode; logarithmic where they span decades."""
    product = method.lr * bend[bend > 0]
    low = min(1e-3, 0.3 * float(product.min(initial=1.0)))
    high = max(6.0, 2.0 * float(product.max(initial=1.0)))
    bottom = min(0.0, method.momentum)
    return stability_map(kind, product=np.geomspace(low, high, 500), momentum=np.linspace(bottom, 1.0, 301))


def _curves(
    effective: Any, method: Any, physical: Physical, objective: ObjectiveBase, start: FloatArray, modes: Modes
) -> LossCurves:
    lr, momentum = effective.lr, effective.momentum
    runs: dict[str, Algorithm] = {
        "damped ODE": physical.flow, "gradient descent": GradientDescent(lr), "heavy ball": HeavyBall(lr, momentum),
        "Nesterov": Nesterov(lr, momentum),
    }  # fmt: skip
    key = "Nesterov" if isinstance(effective, Nesterov) else "heavy ball"
    runs[key] = method
    released = physical.start_velocity(objective.gradient(start))
    steps = _horizon(modes)
    return loss_curves(runs, objective, start, steps, dt=float(physical.dt), velocities={"damped ODE": released})


def _horizon(modes: Modes) -> int:
    """Return how long to run: until the slowest mode is gone, or a divergent one has made its point."""
    exponent = float(np.max(np.where(modes.stable, -np.inf, modes.log_rate), initial=-np.inf))
    if exponent > 0:
        return int(np.clip(30 / exponent, 50, 2000))
    times = modes.time_to(TOLERANCE)
    finite = times[np.isfinite(times)]
    return int(np.clip(1.2 * finite.max(initial=100.0), 100, _LONGEST))
