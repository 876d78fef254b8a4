"""The loss along several algorithms on the same objective, beside what their poles predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import expm

from heavyball_dynamics._batching import leaves
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Algorithm, Flow, is_flow, require_objective
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray
from heavyball_dynamics._validation import count, points, positive
from heavyball_dynamics.analysis.linear import state_matrices
from heavyball_dynamics.objectives.base import ObjectiveBase
from heavyball_dynamics.objectives.quadratic import Quadratic
from heavyball_dynamics.simulation.integration import integrate
from heavyball_dynamics.simulation.iteration import iterate
from heavyball_dynamics.simulation.trajectory import Trajectory

_EARLY = 100  # steps that are all saved, since transients are short
_POINTS = 400  # about as many again are saved later
_RADIANS = 1e4  # flows are followed through this much phase of their fastest mode; a solver has to resolve it all
_EVALUATIONS = 200_000  # of a flow's vector field: it is followed no further than these would last
_TRIAL = 0.02  # part of the first step
_STIFF = 10_000  # decay times of the fastest mode after which a run is for an implicit solver


@dataclass(frozen=True)
class LossCurves(Drawable):
    """Loss against steps, measured along runs and predicted from poles.

    Attributes
    ----------
    labels : tuple of str
        One name a curve.
    steps : array (point,)
        Steps; for flows time divided by the time step.
    excess : array (curve, point)
        f(x_k) - f(x*), along the run on the loss itself. NaN after a divergence.
    reference : array (curve, point)
        The same as predicted by linearization at the minimizer, from the same start.
    measured, predicted : array (curve,)
        Factor of the loss per step, fitted over the last third of the curve and of its prediction.
    asymptotic : array (curve,)
        Factor of the loss per step that the slowest mode tends to.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> curves = hb.loss_curves({"descent": hb.GradientDescent(0.1)}, hb.Quadratic([1.0, 5.0]), [1.0, 1.0], steps=60)
    >>> print(curves.summary())
    curve    measured per step  predicted per step  asymptotic
    descent               0.81                0.81        0.81
    """

    labels: tuple[str, ...]
    steps: FloatArray
    excess: FloatArray
    reference: FloatArray
    measured: FloatArray
    predicted: FloatArray
    asymptotic: FloatArray

    def summary(self) -> str:
        """Return a table of the factors per step."""
        rows = [("curve", "measured per step", "predicted per step", "asymptotic")]
        for label, *numbers in zip(self.labels, self.measured, self.predicted, self.asymptotic, strict=True):
            rows.append((label, *(_cell(x) for x in numbers)))  # type: ignore[arg-type]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        )

    def __str__(self) -> str:
        return self.summary()


def loss_curves(
    algorithms: Mapping[str, Algorithm], objective: ObjectiveBase, position: ArrayLike, steps: int, *,
    dt: float = 1.0, velocities: Mapping[str, ArrayLike] | None = None,
) -> LossCurves:
    """Run algorithms on one loss from one start and hold the loss against the linear prediction.

    Parameters
    ----------
    algorithms : mapping of str to Method or Flow
        Named linear rules with scalar hyperparameters.
    objective : objective with a known minimizer and modes
        The loss; its Hessian at the minimizer makes the prediction.
    position : array (dim,)
        Start.
    steps : int
        Number of steps, at least 2; flows run for ``steps * dt``, or until their fastest mode has turned through 10,000
        radians.
    dt : float
        Time of one step, for flows.
    velocities : mapping of str to array (dim,), optional
        Start velocities of some of the algorithms; the others start at rest.

    Returns
    -------
    LossCurves

    Raises
    ------
    ValueError
        If the objective knows no minimizer, or a rule is not linear.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> runs = {"momentum": hb.HeavyBall(0.1, 0.5), "flow": hb.GradientFlow()}
    >>> hb.loss_curves(runs, hb.Quadratic([1.0]), [1.0], steps=50, dt=0.1).predicted.round(4)
    array([0.5418, 0.8187])
    """
    require_objective(objective)
    number = count("steps", steps, 2)
    positive("dt", dt)
    start = points("position", position, objective.dim)
    minimizer = objective.minimizer
    if minimizer is None:
        raise ValueError("`objective` must know its minimizer: the loss is measured from there. Received None.")
    saved = _saved(number)
    given = velocities or {}
    zero, lowest = np.zeros(objective.dim), float(objective.value(minimizer))
    excess, reference, slowest = [], [], []
    for label, algorithm in algorithms.items():
        velocity = np.asarray(given.get(label, zero), dtype=np.float64)
        value = _run(algorithm, objective, start, velocity, saved, dt)
        excess.append(value - lowest)
        predicted, exponent = _predict(algorithm, objective, start - minimizer, velocity, saved, dt)
        reference.append(predicted)
        with np.errstate(over="ignore"):
            slowest.append(np.exp(2 * exponent))
    measured, model = np.array(excess), np.array(reference)
    floor = 1e4 * np.finfo(np.float64).eps * max(abs(lowest), np.finfo(np.float64).tiny)
    seen = np.isfinite(measured) & (measured > floor) & (model > floor)
    return LossCurves(
        labels=tuple(algorithms),
        steps=saved.astype(np.float64),
        excess=measured,
        reference=model,
        measured=np.array([_factor(saved, curve, good) for curve, good in zip(measured, seen, strict=True)]),
        predicted=np.array([_factor(saved, curve, good) for curve, good in zip(model, seen, strict=True)]),
        asymptotic=np.array(slowest),
    )


def _cell(factor: float) -> str:
    if np.isnan(factor):
        return "-"
    return "∞" if np.isinf(factor) else f"{factor:.8g}"


def _saved(steps: int) -> IntArray:
    early = np.arange(min(_EARLY, steps) + 1)
    stride = max(1, (steps - early[-1]) // _POINTS)
    return np.unique(np.concatenate([early, np.arange(early[-1], steps + 1, stride), [steps]]))


def _run(
    algorithm: Algorithm, objective: ObjectiveBase, start: FloatArray, velocity: FloatArray, saved: IntArray, dt: float
) -> FloatArray:
    if is_flow(algorithm):
        return _run_flow(algorithm, objective, start, velocity, saved.astype(np.float64) * dt)
    method: Algorithm = algorithm
    first = min(_EARLY, int(saved[-1]))
    early = iterate(method, objective, start, first, velocity=velocity)  # type: ignore[arg-type]
    if len(saved) == first + 1 or not early.success:
        return _padded(early, saved)
    stride = int(saved[first + 1] - saved[first])
    late = iterate(method, objective, early.state, int(saved[-1]) - first, save_every=stride, first_step=first)  # type: ignore[arg-type]
    return np.concatenate([early.value, late.value[1:]])


def _run_flow(
    flow: Flow, objective: ObjectiveBase, start: FloatArray, velocity: FloatArray, times: FloatArray
) -> FloatArray:
    value = np.full(len(times), np.nan)
    value[0] = float(objective.value(start))
    poles = state_matrices(flow, t=0.0).spectrum(objective.spectrum, 0.0).poles
    followed = times[times * np.max(np.abs(poles.imag), initial=0.0) <= _RADIANS]
    if len(followed) < 2:
        return value
    # An explicit solver takes steps no longer than the fastest decay, also long after it is over.
    stiff = followed[-1] * np.max(np.abs(poles.real), initial=0.0) > _STIFF
    options: dict[str, Any] = {"method": "LSODA" if stiff else "DOP853", "rtol": 1e-10, "atol": 1e-14}
    # Far from the minimum a loss may be much steeper than there: a trial and pieces twice as long each time tell what
    # the next one will cost.
    trial = integrate(flow, objective, start, velocity, duration=_TRIAL * followed[1], **options)
    cost, spent = trial.evaluations / (_TRIAL * followed[1]), 0
    state: Any = start
    done, piece = 0, 1
    while done < len(followed) - 1:
        part = followed[done : done + piece + 1]
        if spent + cost * (part[-1] - part[0]) > _EVALUATIONS:
            break
        run = integrate(flow, objective, state, velocity if done == 0 else None, times=part, **options)
        value[done + 1 : done + len(part)] = run.value[1:]
        if not run.success:
            break
        state, cost, spent = run.state, run.evaluations / (part[-1] - part[0]), spent + run.evaluations
        done, piece = done + len(part) - 1, 2 * piece
    return value


def _padded(run: Trajectory, saved: IntArray) -> FloatArray:
    """Return the values of a run that ended early, NaN where it has none."""
    value = np.full(len(saved), np.nan)
    value[: len(run.value)] = run.value
    return value


def _predict(
    algorithm: Algorithm, objective: ObjectiveBase, offset: FloatArray, velocity: FloatArray, saved: IntArray, dt: float
) -> tuple[FloatArray, float]:
    """Return ½Σλ_i x_i² with every mode moved by the powers of its own matrix, and the slowest exponent per step."""
    eigenvalues, directions = objective.modes
    matrices = state_matrices(algorithm, t=0.0) if is_flow(algorithm) else state_matrices(algorithm, k=0)
    loop = matrices.loop(eigenvalues)
    with np.errstate(all="ignore"):
        first = algorithm.init(directions.T @ offset, directions.T @ velocity, Quadratic(eigenvalues))
        state = np.stack([np.broadcast_to(leaf, eigenvalues.shape) for leaf in leaves(first)], axis=-1)
        curve = []
        power = np.broadcast_to(np.eye(loop.shape[-1]), loop.shape)
        # Equal strides recur: each power is computed once.
        moves: dict[int, FloatArray] = {}
        for stride in np.diff(saved, prepend=0):
            if stride not in moves:
                moves[stride] = _power(loop, int(stride), dt, discrete=matrices.discrete)
            power = moves[stride] @ power
            position = np.einsum("mj,mj->m", power[:, 0, :], state)
            curve.append(0.5 * np.sum(eigenvalues * position**2))
    bent = eigenvalues != 0
    exponents = matrices.spectrum(eigenvalues[bent], 0.0).log_rate
    exponent = float(exponents.max()) if exponents.size else 0.0
    return np.array(curve), exponent * (1.0 if matrices.discrete else dt)


def _power(loop: FloatArray, stride: int, dt: float, *, discrete: bool) -> FloatArray:
    return np.linalg.matrix_power(loop, stride) if discrete else np.asarray(expm(loop * (stride * dt)))


def _factor(steps: IntArray, curve: FloatArray, good: BoolArray) -> float:
    """Return the factor per step by a straight line through the logarithms of the last third of the good points."""
    index = np.flatnonzero(good)
    if index.size < 3:
        return float("nan")
    tail = index[steps[index] >= steps[index[-1]] * 2 / 3]
    if tail.size < 2:
        tail = index[-3:]
    slope = np.polynomial.Polynomial.fit(steps[tail], np.log(curve[tail]), 1).convert().coef
    return float(np.exp(slope[1])) if slope.size > 1 else 1.0
