"""What a method does to phase volume, to energy and to Lyapunov functions, along a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, leaves
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method, require_objective
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray, State
from heavyball_dynamics._validation import count
from heavyball_dynamics.analysis.jacobian import log_volume, log_volume_flow, log_volume_rule
from heavyball_dynamics.simulation._matrices import mode_loops, open_loop
from heavyball_dynamics.simulation._start import starting_state

Lyapunov = Callable[[Any, ObjectiveLike], Any]
_ROUNDING = 1e-12  # increases below this part of the largest value so far are rounding


@dataclass(frozen=True)
class Audit(Drawable):
    """Structure that a method keeps or loses along a run; made by `audit`.

    Attributes
    ----------
    name : str
        The method's type.
    finite_steps : array (*batch,)
        Steps before the run left the finite numbers; NaN stands beyond.
    log_determinant : array (*batch, step)
        log|det J| of the Jacobian of each step: exact, from the Hessian of the loss, for rules linear in state and
        gradient, differenced for others; -inf where a step collapses volume, as dry friction does once it holds the
        ball; NaN for rules that vary in time.
    conformal : array (*batch,)
        log|det J| where the loss is flat, n log β for the heavy ball; NaN for rules without an open loop. A
        conformally symplectic method has it everywhere.
    flow_conformal : array (*batch,) or None
        For a discretized flow: what the flow does in a time dt, -nγh/m.
    energy_drift : array (*batch, time) or None
        Shadow energy without its last term, f + |V|²/2η, plus what friction has taken, minus the start: how far the
        plain energy is from keeping account.
    shadow_drift : array (*batch, time) or None
        The same of the shadow energy; None for methods that have none (``shadow_energy`` and ``shadow_loss``).
    lyapunov : dict of array (*batch, time)
        The functions asked for, and the loss, and for methods with a kinetic energy the sum of both.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.audit(hb.HeavyBall(lr=0.05, momentum=0.9), hb.Quadratic([1.0, 4.0]), [1.0, 1.0], steps=50)
    >>> print(found)
    HeavyBall over 50 steps
    log|det J| of a step: -0.210721 (conformal: -0.210721), constant to 0e+00
    drift of the energy 3.5e-01, of the shadow energy ...e-15
    value increases in 22 of 50 steps, by 0.401 at most
    energy never increases
    """

    name: str
    finite_steps: IntArray
    log_determinant: FloatArray
    conformal: FloatArray
    flow_conformal: FloatArray | None
    energy_drift: FloatArray | None
    shadow_drift: FloatArray | None
    lyapunov: dict[str, FloatArray]

    @property
    def is_conformal(self) -> BoolArray:
        """Whether the determinant of every step is the conformal one, to rounding, (*batch,)."""
        wanted = self.conformal[..., None]
        # The logarithm of zero is no different from itself.
        with np.errstate(invalid="ignore"):
            apart = np.where(self.log_determinant == wanted, 0.0, np.abs(self.log_determinant - wanted))
        gap = np.fmax.reduce(apart, axis=-1)
        size = np.where(np.isfinite(self.conformal), np.abs(self.conformal), 0.0)
        return np.asarray(gap <= 1e-9 * np.maximum(1.0, size))

    @property
    def increases(self) -> dict[str, FloatArray]:
        """By how much each Lyapunov function grows in a step, zero where it does not, (*batch, step)."""
        return {name: _increases(values) for name, values in self.lyapunov.items()}

    @property
    def monotone(self) -> dict[str, BoolArray]:
        """Whether each Lyapunov function is finite and never increases, (*batch,)."""
        finite = {name: np.isfinite(values).all(axis=-1) for name, values in self.lyapunov.items()}
        return {name: ~np.any(grown > 0, axis=-1) & finite[name] for name, grown in self.increases.items()}

    def summary(self) -> str:
        """Return a few lines; over a batch the worst element."""
        steps = self.log_determinant.shape[-1]
        lines = [f"{self.name} over {steps} steps"]
        if np.any(self.finite_steps < steps):
            lines[0] += f", leaving the finite numbers after step {int(self.finite_steps.min())}"
        lines += self._volume()
        if self.shadow_drift is not None and self.energy_drift is not None:
            plain, shadow = (float(np.nanmax(np.abs(d))) for d in (self.energy_drift, self.shadow_drift))
            lines.append(f"drift of the energy {plain:.1e}, of the shadow energy {shadow:.0e}")
        for name, grown in self.increases.items():
            times = int(np.max(np.sum(grown > 0, axis=-1)))
            said = f"increases in {times} of {steps} steps, by {float(np.nanmax(grown)):.3g} at most"
            calm = "never increases" if np.all(self.monotone[name]) else "is not finite"
            lines.append(f"{name} {said if times else calm}")
        return "\n".join(lines)

    def _volume(self) -> list[str]:
        """Say what happens to phase volume."""
        lines, collapsed = [], np.isneginf(self.log_determinant)
        sound = np.where(collapsed, np.nan, self.log_determinant)
        if np.isfinite(sound).any():
            low, high = (np.asarray(f.reduce(sound, axis=-1)) for f in (np.fmin, np.fmax))
            spread = float(np.nanmax(high - low))
            unknown = np.isnan(self.conformal).any() or np.isneginf(self.conformal).all()
            wanted = float(np.mean(self.conformal[~np.isneginf(self.conformal)])) if not unknown else np.nan
            known = "" if unknown else f" (conformal: {wanted:.6g})"
            lines.append(f"log|det J| of a step: {float(np.nanmean(sound)):.6g}{known}, constant to {spread:.0e}")
            if self.flow_conformal is not None:
                lines.append(f"the flow in the time of a step: {float(np.mean(self.flow_conformal)):.6g}")
        if collapsed.any():
            if lines:
                lines[0] += " where it is finite"
            most = int(np.max(np.sum(collapsed, axis=-1)))
            lines.append(f"{most} of {self.log_determinant.shape[-1]} steps collapse volume: det J = 0")
        return lines

    def __str__(self) -> str:
        return self.summary()


def audit(
    method: Method, objective: ObjectiveLike, position: ArrayLike | State, *, steps: int = 200,
    velocity: ArrayLike | None = None, lyapunov: Mapping[str, Lyapunov] | None = None,
) -> Audit:
    """Run a method and check the structure that theory claims for it.

    Parameters
    ----------
    method : Method
        Any update rule, a discretized flow among them; arrays in its fields are batch axes.
    objective : objective
        The loss, with a Hessian.
    position : array (*batch, dim), or a state
        Start.
    steps : int
        Number of steps.
    velocity : array (*batch, dim), optional
        As for `iterate`.
    lyapunov : mapping of str to callable, optional
        Functions of (state, objective), each returning (*batch,), that are to decrease from step to step.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If shapes do not fit, or a Lyapunov function returns another shape.
    TypeError
        If the method is none, the objective has no Hessian, or a Lyapunov function is no function.

    References
    ----------
    McLachlan and Perlmutter, "Conformal Hamiltonian systems", 2001, for the determinant; Hairer, Lubich, Wanner,
    "Geometric Numerical Integration", 2006, chapter IX, for shadow energies.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.audit(hb.Nesterov(lr=1e-4, momentum=0.9), hb.rosenbrock(), [0.9, 0.9], steps=20)
    >>> bool(found.is_conformal)
    False
    """
    require_method("method", method)
    require_objective(objective)
    if not hasattr(objective, "hessian"):
        raise TypeError(f"`objective` must have a Hessian, for the Jacobian of a step. Received {objective!r}.")
    number = count("steps", steps, 1)
    with np.errstate(all="ignore"):
        state, batch, _ = starting_state(method, objective, position, velocity)
        rule = append_axes(method, 1)
        path = [state]
        for k in range(number):
            path.append(rule.step(k, path[-1], objective))
    shape = (*batch, objective.dim)
    stacked = np.stack([np.stack([np.broadcast_to(leaf, shape) for leaf in leaves(s)], axis=-2) for s in path])
    finite = np.isfinite(stacked).all(axis=(-2, -1))
    with np.errstate(all="ignore"):
        energy, shadow = _drifts(rule, path, objective)
        known = np.where(finite[..., None, None], stacked, np.nan)
        log, conformal = _determinants(method, objective, known[:-1], state)
        functions = _lyapunov(rule, path, objective, lyapunov, batch)
    # Minus infinity is a finding, a collapse; infinity is overflow.
    log = np.where(finite[:-1] & (log < np.inf), np.broadcast_to(log, finite[:-1].shape), np.nan)
    flow = log_volume_flow(method.flow, objective.dim) if hasattr(method, "flow") and hasattr(method, "dt") else None
    return Audit(
        name=type(method).__name__,
        finite_steps=np.asarray(finite.sum(axis=0) - 1, dtype=np.int64), log_determinant=np.moveaxis(log, 0, -1),
        conformal=np.array(np.broadcast_to(conformal, batch), dtype=np.float64),
        flow_conformal=None if flow is None else np.array(np.broadcast_to(flow * method.dt, batch)),  # type: ignore[attr-defined]
        energy_drift=energy, shadow_drift=shadow, lyapunov=functions,
    )  # fmt: skip


def _determinants(
    method: Method, objective: ObjectiveLike, states: FloatArray, template: State
) -> tuple[FloatArray, FloatArray]:
    """Return log|det J| of each step, (step, *batch), and that of a flat loss, (*batch,)."""
    batch = states.shape[1:-2]
    linear = open_loop(method)
    if linear is not None:
        flat = objective.dim * np.linalg.slogdet(linear.A)[1]
        return log_volume(linear, objective, states), flat
    unknown = np.full(batch, np.nan)
    loops = mode_loops(method, objective)
    if loops is not None:
        return np.linalg.slogdet(loops)[1].sum(axis=-1), unknown
    return log_volume_rule(method, objective, states, template), unknown


def _drifts(rule: Any, path: list[State], objective: ObjectiveLike) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the drifts of energy and shadow energy, (*batch, time)."""
    own = getattr(rule, "method", None) or rule
    if not (hasattr(own, "shadow_energy") and hasattr(own, "shadow_loss")):
        return None, None
    with np.errstate(all="ignore"):
        shadow = np.stack([np.asarray(own.shadow_energy(s, objective))[..., 0] for s in path], axis=-1)
        taken = [np.asarray(own.shadow_loss(a, b))[..., 0] for a, b in pairwise(path)]
        slope = np.stack([np.sum(objective.gradient(s.position) * s.velocity, axis=-1) for s in path], axis=-1)
    lost = np.cumsum(np.stack([np.zeros_like(taken[0]), *taken], axis=-1), axis=-1)
    kept, plain = shadow + lost, shadow + slope / 2 + lost
    return plain - plain[..., :1], kept - kept[..., :1]


def _lyapunov(
    rule: Any, path: list[State], objective: ObjectiveLike, given: Mapping[str, Lyapunov] | None, batch: tuple[int, ...]
) -> dict[str, FloatArray]:
    def value(state: State, loss: ObjectiveLike) -> Any:
        return loss.value(state.position)

    def energy(state: State, loss: ObjectiveLike) -> Any:
        seen = state
        if hasattr(rule, "velocity") and hasattr(state, "velocity"):
            seen = state._replace(velocity=rule.velocity(state, loss))
        return np.asarray(loss.value(state.position)) + np.asarray(rule.kinetic_energy(seen))[..., 0]

    functions: dict[str, Lyapunov] = {"value": value}
    if hasattr(rule, "kinetic_energy"):
        functions["energy"] = energy
    functions |= _checked({} if given is None else given)
    out = {}
    for name, function in functions.items():
        rows = [np.asarray(function(state, objective), dtype=np.float64) for state in path]
        try:
            out[name] = np.stack([np.broadcast_to(row, batch) for row in rows], axis=-1)
        except ValueError:
            raise ValueError(
                f"`lyapunov[{name!r}]` must return shape {batch}, one number for each run. Received shape "
                f"{rows[0].shape}. Sum over axis=-1, the coordinates."
            ) from None
    return out


def _checked(given: Any) -> dict[str, Lyapunov]:
    if not isinstance(given, Mapping):
        raise TypeError(f"`lyapunov` must map names to functions, as in {{'mine': function}}. Received {given!r}.")
    for name, function in given.items():
        if not callable(function):
            raise TypeError(f"`lyapunov[{name!r}]` must be a function of (state, objective). Received {function!r}.")
    return dict(given)


def _increases(values: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", over="ignore"):
        grown = np.diff(values, axis=-1)
    finite = np.where(np.isfinite(values), values, 0.0)
    # Of the largest value so far: beside those to come, where a run diverges, every increase would be rounding.
    rounding = _ROUNDING * np.maximum.accumulate(np.abs(finite), axis=-1)[..., 1:]
    return np.where(np.isfinite(grown) & (grown > rounding), grown, 0.0)
