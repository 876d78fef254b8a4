"""Adaptive methods along a run: the poles that they would have if their preconditioner stopped adapting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import leaves, rebuild
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method, require_objective
from heavyball_dynamics._types import ArrayLike, BoolArray, ComplexArray, FloatArray, IntArray, State
from heavyball_dynamics._validation import count, real_array, require
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.frozen_rules import FrozenRule, frozen_rule, largest_curvature
from heavyball_dynamics.analysis.modes import Modes
from heavyball_dynamics.simulation.iteration import iterate


@dataclass(frozen=True)
class FrozenPreconditioner(Drawable):
    r"""What is left of an adaptive method at some steps of a run, its preconditioner held: learning rates and modes.

    .. math:: G^{1/2}\,(\nabla^2 f + W)\,G^{1/2}, \qquad G = \mathrm{diag}(\eta_j)

    Its eigenvalues are the curvatures that one linear filter of learning rate 1, the momentum part, meets.

    Attributes
    ----------
    time : array (time,)
        Steps k. What is held is what step k divides by.
    position : array (*batch, time, dim)
        Where the run is before step k; NaN after a divergence, as is all that follows.
    value : array (*batch, time)
        The loss there.
    learning_rate : array (*batch, time, dim)
        η_j of each coordinate: the displacement per step that a constant unit gradient would lead to. Of Adam
        η/(√v̂+ε), over the 1-β₁ᵗ of its bias correction; of RMSProp η/(√v+ε), over 1-β with momentum.
    curvature : array (*batch, time, mode)
        Eigenvalues of the preconditioned Hessian, ascending; the last one is the preconditioned sharpness. W is an L2
        penalty of the method.
    poles : array (*batch, time, mode, order)
        Frozen poles, the dominant one first.
    damping : array (*batch, time, mode)
        Class of each mode as an integer of `DampingClass`.
    rate : array (*batch, time, mode)
        max|z| of each mode.
    threshold : array (*batch, time)
        The preconditioned curvature at which the filter becomes unstable, 2(1+β₁)/(1-β₁) of Adam.
    ratio : array (*batch, time)
        Preconditioned sharpness over the threshold: above one the fastest mode grows. Adaptive methods run there.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.Quadratic([[10.0, 6.0], [6.0, 4.0]])
    >>> found = hb.frozen_preconditioner(hb.Adam(lr=0.01, beta2=0.9), loss, [1.0, 1.0], steps=2000, at=[0, 50, 2000])
    >>> print(found.summary())
    k=0: preconditioned curvature 0.0025 to 0.1, threshold 38, ratio 0.00263 (overdamped to underdamped)
    k=50: preconditioned curvature 0.0004219 to 0.01688, threshold 38, ratio 0.000444 (overdamped to overdamped)
    k=2000: preconditioned curvature 0.8045 to 32.18, threshold 38, ratio 0.847 (underdamped to underdamped)
    """

    time: FloatArray
    position: FloatArray
    value: FloatArray
    learning_rate: FloatArray
    curvature: FloatArray
    poles: ComplexArray
    damping: IntArray
    rate: FloatArray
    threshold: FloatArray
    ratio: FloatArray

    def summary(self) -> str:
        """Return one line for each time of each batch element."""
        lines = []
        for index in np.ndindex(self.ratio.shape):
            where = f"{list(index[:-1])} " if index[:-1] else ""
            bends = self.curvature[index]
            if np.isnan(bends).any():
                lines.append(f"{where}k={self.time[index[-1]]:g}: the run has diverged")
                continue
            soft, stiff = (DampingClass(int(self.damping[index][i])).label for i in (0, -1))
            lines.append(
                f"{where}k={self.time[index[-1]]:g}: preconditioned curvature {bends[0]:.4g} to {bends[-1]:.4g}, "
                f"threshold {self.threshold[index]:.4g}, ratio {self.ratio[index]:.3g} ({soft} to {stiff})"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def frozen_preconditioner(
    method: Method, objective: ObjectiveLike, position: ArrayLike | State, steps: int, *,
    at: ArrayLike | None = None, hold: Mapping[str, str] | None = None, rtol: float = 1e-9,
) -> FrozenPreconditioner:
    r"""Run an adaptive method and find the modes that it has at some steps if its preconditioner is held.

    An adaptive method divides by a running size of its gradients. With that size held as it is in step k, what is left
    is linear: momentum on the preconditioned Hessian. The rule itself says what is left: its own step is differentiated
    while the held parts of its state stay as they are, and the linear step so found is held against the step taken.

    .. math::
        \text{Adam: } \lambda_{\max}\big(P^{-1}\nabla^2 f\big) < \frac{2(1+\beta_1)}{(1-\beta_1)\,\eta}, \qquad
        P = \mathrm{diag}(\sqrt{\hat v}+\epsilon)

    is stable, 38/η at β₁ = 0.9: on the full batch Adam drives the left side up to the right and stays there.

    Parameters
    ----------
    method : Method
        Adam, AdamW, NAdam, RMSProp, AdaGrad, AdaDelta, a linear rule, or a rule of your own whose state is a flat
        NamedTuple and which asks for one gradient a step. Its hyperparameters may be arrays (*batch,) or schedules.
    objective : objective
        The loss. The gradient of a step is that of ``objective.at(k)``, the Hessian that of the full loss.
    position : array (*batch, dim), or a state
        Start.
    steps : int
        Number of steps to run.
    at : array (time,), optional
        Increasing steps, from 0 to `steps`, at which to hold. By default about 100, evenly spread.
    hold : mapping of str to str, optional
        Parts of the state of a rule of your own that make its preconditioner, each "after" or "before": whether its
        value after the step or before it is the one divided by. By default ``square_average``, ``square_sum``,
        ``variance``, ``largest_square_average`` after, ``step_average`` and ``momentum_product`` before.
    rtol : float
        See `analyze_modes`.

    Returns
    -------
    FrozenPreconditioner

    Raises
    ------
    ValueError
        If the rule is not linear with these parts held, its coordinates differ in more than a learning rate, or steps
        are out of range.
    TypeError
        If the method or the objective is none.

    References
    ----------
    Cohen, Ghorbani, Krishnan, Agarwal, Medapati, Badura, Suo, Cardoze, Nado, Dahl, Gilmer, "Adaptive gradient methods
    at the edge of stability", arXiv:2207.14484, 2022, section 3 and appendix: the threshold of Adam.

    Examples
    --------
    On a quadratic the steps of Adam shrink until its fastest mode is about to be unstable:

    >>> import heavyball_dynamics as hb
    >>> found = hb.frozen_preconditioner(
    ...     hb.Adam(lr=0.01, beta2=0.9), hb.Quadratic([1.0, 50.0]), [1.0, 1.0], steps=2000, at=[10, 1000, 2000])
    >>> found.ratio.round(1)
    array([0. , 0.9, 0.8])
    """
    require_method("method", method)
    require_objective(objective)
    number = count("steps", steps, 0)
    moments = _moments(at, number)
    state: Any = position
    alive: BoolArray = np.ones((), dtype=bool)
    before, rows = 0, []
    for moment in moments:
        run = iterate(method, objective, state, moment - before, save_every=max(1, moment - before), first_step=before)
        state, before, alive = run.state, moment, alive & run.success
        rows.append(_row(method, objective, moment, state, alive, hold, rtol))
    batch = rows[0][1].ndim  # the loss has no axes but these
    columns = [np.stack(column, axis=batch) for column in zip(*rows, strict=True)]
    return FrozenPreconditioner(np.array(moments, dtype=float), *columns)


def _moments(at: ArrayLike | None, steps: int) -> list[int]:
    if at is None:
        return [int(k) for k in np.unique(np.linspace(0, steps, min(steps, 100) + 1).round())]
    moments = np.atleast_1d(real_array("at", list(at) if isinstance(at, range) else at))
    if moments.ndim != 1 or not len(moments):
        raise ValueError(f"`at` must be a one-dimensional array of steps. Received shape {moments.shape}.")
    whole = (moments == np.round(moments)) & (moments >= 0) & (moments <= steps)
    require("at", moments, whole, f"whole steps from 0 to steps = {steps}")
    require("at", moments, np.append(True, np.diff(moments) > 0), "strictly increasing")
    return [int(k) for k in moments]


def _row(
    method: Method, objective: ObjectiveLike, k: int, state: State, alive: BoolArray, hold: Mapping[str, str] | None,
    rtol: float,
) -> list[np.ndarray[Any, Any]]:
    """Return the fields of the result at one step, (*batch, …), NaN where the run has diverged."""
    with np.errstate(all="ignore"):  # a run about to diverge
        gradient = np.asarray(objective.at(k).gradient(state.position), dtype=float)
        hessian = np.asarray(objective.hessian(state.position), dtype=float)
    alive = alive & np.isfinite(gradient).all(axis=-1) & np.isfinite(hessian).all(axis=(-2, -1))
    # What has diverged is put to rest and left out afterwards.
    there = rebuild(state, [np.where(alive[..., None], leaf, 0.0) for leaf in leaves(state)])
    rule = frozen_rule(method, k, there, np.where(alive[..., None], gradient, 1.0), hold)
    bends = _preconditioned(rule, np.where(alive[..., None, None], hessian, np.eye(objective.dim)))
    modes = Modes(bends, rule.matrices.spectrum(bends, rtol))
    threshold = np.broadcast_to(largest_curvature(rule.matrices), alive.shape)
    with np.errstate(divide="ignore"):
        ratio = bends[..., -1] / threshold
    one, two = alive[..., None], alive[..., None, None]
    return [
        np.where(one, state.position, np.nan), np.where(alive, objective.value(there.position), np.nan),
        np.where(one, rule.learning_rate, np.nan), np.where(one, bends, np.nan), np.where(two, modes.poles, np.nan),
        np.where(one, modes.damping, int(DampingClass.DIVERGENT)), np.where(one, modes.rate, np.nan),
        np.where(alive, threshold, np.nan), np.where(alive, ratio, np.nan),
    ]  # fmt: skip


def _preconditioned(rule: FrozenRule, hessian: FloatArray) -> FloatArray:
    """Return the eigenvalues of G^½(H + W)G^½, (*batch, mode)."""
    root = np.sqrt(rule.learning_rate)
    scaled = root[..., :, None] * hessian * root[..., None, :]
    diagonal = np.arange(root.shape[-1])
    scaled[..., diagonal, diagonal] += rule.learning_rate * rule.penalty
    return np.asarray(np.linalg.eigvalsh(scaled))
