"""The expected loss of a noisy run on a quadratic, step by step and exactly: a transient, then a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._covariances import noise_covariance
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray
from heavyball_dynamics._validation import count, points
from heavyball_dynamics.analysis._noisy_loops import stationary_modes
from heavyball_dynamics.analysis._noisy_paths import NoisyPath, NoisyRun, follow


@dataclass(frozen=True)
class ExpectedLoss(Drawable):
    r"""Mean and covariance of the position after each step, and the expected loss that they make.

    .. math:: \mathbb E f(x_k) = f^* + \underbrace{\tfrac12 \sum_i \lambda_i \bar c_{k,i}^2}_{\text{deterministic}}
              + \underbrace{\tfrac12 \sum_i \lambda_i \operatorname{Var} c_{k,i}}_{\text{stochastic}}

    with the coordinates c = Qᵀ(x - x*) along the eigenvectors.

    Attributes
    ----------
    curvature : array (mode,)
        Eigenvalues λ of the Hessian.
    directions : array (dim, mode)
        Its eigenvectors Q in columns.
    optimum : float
        The loss f* at the stationary point.
    mean : array (*batch, step, dim)
        Mean position after 0, 1, …, steps steps.
    deterministic, stochastic : array (*batch, step)
        The two parts of the expected loss above f*: what the start is still worth, and what the noise costs.
    mode_variance : array (*batch, step, mode)
        Variance of the position along each eigenvector.
    mode_covariance : array (*batch, step, mode, mode) or None
        Covariances between eigenvectors; None where the noise does not correlate them.
    floor : array (*batch,)
        What the expected loss above f* tends to. Infinite where a mode is not stable, NaN for rules that vary in time.
    standard_deviation : array (*batch, step)
        That of the loss itself, for normal noise.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.expected_loss(hb.GradientDescent(0.2), hb.Quadratic([1.0]), [10.0], steps=60, noise=0.01)
    >>> print(found)
    60 steps
    floor 0.000555556, reached within a factor of two after 26 steps; at the end 0.000555556, of it 0.0% deterministic
    """

    curvature: FloatArray
    directions: FloatArray
    optimum: float
    mean: FloatArray
    deterministic: FloatArray
    stochastic: FloatArray
    mode_variance: FloatArray
    mode_covariance: FloatArray | None
    floor: FloatArray
    standard_deviation: FloatArray

    @property
    def excess(self) -> FloatArray:
        """Expected loss above f*, (*batch, step)."""
        return self.deterministic + self.stochastic

    @property
    def loss(self) -> FloatArray:
        """Expected loss, (*batch, step)."""
        return self.optimum + self.excess

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the position, (*batch, step, dim, dim)."""
        Q = self.directions
        if self.mode_covariance is not None:
            return np.asarray(Q @ self.mode_covariance @ Q.T)
        return np.asarray((Q * self.mode_variance[..., None, :]) @ Q.T)

    @property
    def phase_change(self) -> FloatArray:
        """The first step after which the expected loss above f* is at most twice the floor, (*batch,).

        NaN where that is not reached, or there is no floor. A mean that swings through the minimum may rise again: see
        `settled`.
        """
        low = self._low
        return np.where(low.any(axis=-1), np.argmax(low, axis=-1), np.nan)

    @property
    def settled(self) -> FloatArray:
        """The first step from which on the expected loss above f* is at most twice the floor, (*batch,), or NaN."""
        low = self._low
        last = low.shape[-1] - np.argmax(~low[..., ::-1], axis=-1)
        return np.where(low[..., -1], np.where(low.all(axis=-1), 0, last), np.nan)

    @property
    def _low(self) -> BoolArray:
        with np.errstate(invalid="ignore"):
            return np.asarray((self.excess <= 2.0 * self.floor[..., None]) & np.isfinite(self.floor[..., None]))

    def summary(self) -> str:
        """Return a line for each batch element."""
        lines = [f"{self.deterministic.shape[-1] - 1} steps"]
        change = self.phase_change
        for index in np.ndindex(self.floor.shape):
            name = f"{list(index)} " if index else ""
            lines.append(f"{name}{self._floor_words(index, float(change[index]))}; at the end {self._end_words(index)}")
        return "\n".join(lines)

    def _floor_words(self, index: tuple[int, ...], change: float) -> str:
        floor = self.floor[index]
        if np.any(self.curvature < 0):
            return "no floor, a curvature is negative"
        if np.isnan(floor):
            return "floor unknown, the rule varies in time"
        if np.isinf(floor):
            return "no floor, a mode is not stable"
        when = "not reached" if np.isnan(change) else f"reached within a factor of two after {change:.0f} steps"
        return f"floor {floor:.6g}, {when}"

    def _end_words(self, index: tuple[int, ...]) -> str:
        part, last = float(self.deterministic[index][-1]), float(self.excess[index][-1])
        if not np.isfinite(last):
            return "no finite number"
        if np.any(self.curvature < 0):  # parts of either sign are no shares
            return f"{last:+.6g} relative to the stationary point, {part:+.6g} of it deterministic"
        return f"{last:.6g}, of it {part / last if last else 0.0:.1%} deterministic"

    def __str__(self) -> str:
        return self.summary()


def expected_loss(
    method: Method, objective: ObjectiveLike, position: ArrayLike, steps: int, noise: ArrayLike = 1.0, *,
    iterate_noise: ArrayLike = 0.0, velocity: ArrayLike | None = None,
) -> ExpectedLoss:  # fmt: skip
    r"""Return the expected loss of a method on a quadratic under noise, after each step and exactly.

    .. math:: \bar s_{k+1} = M_k \bar s_k, \qquad
              P_{k+1} = M_k P_k M_k^\top + b_k \Sigma b_k^\top + e_1 \Sigma_x e_1^\top

    along the eigenvectors of the Hessian, for noise that is independent from step to step: an error of covariance Σ,
    the same for all gradients of one step, and another of covariance Σₓ added to the position e₁ after each step.

    First the mean decays, however large the noise; then the loss rests on a floor, however far the start.

    Parameters
    ----------
    method : Method
        Any linear rule, its hyperparameters scalars, arrays (*batch,) or schedules.
    objective : Quadratic, LeastSquares, or any other whose Hessian is constant
        The loss.
    position : array (*batch, dim)
        Start.
    steps : int
        Number of steps.
    noise : float, array (dim,), or array (dim, dim) or (*batch, dim, dim)
        One variance for all coordinates of the gradient, one for each, or the covariance matrix Σ.
    iterate_noise : float, array (dim,), or array (dim, dim) or (*batch, dim, dim)
        Likewise Σₓ, of what is added to the position after each step; the rest of the state does not learn of it.
    velocity : array (*batch, dim), optional
        Displacement V_0 (of a discretized flow its dx/dt); zero by default.

    Returns
    -------
    ExpectedLoss
        Arrays (*batch, steps + 1), and with further axes. What is not stable is NaN where it left the finite numbers.

    Raises
    ------
    ValueError
        If the loss is no quadratic, the rule is not linear, the noise is no covariance, or shapes do not fit.
    TypeError
        If the method is none or steps is no whole number.

    References
    ----------
    Bach, Moulines, "Non-strongly-convex smooth stochastic approximation with convergence rate O(1/n)", NeurIPS 2013;
    Gitman, Lang, Zhang, Xiao, "Understanding the role of momentum in stochastic gradient methods", NeurIPS 2019.

    Examples
    --------
    Momentum shortens the transient and lifts the floor:

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.expected_loss(hb.HeavyBall(0.05, np.array([0.0, 0.5, 0.9])), hb.Quadratic([0.1, 1.0]), [3.0, 1.0],
    ...                          steps=2000, noise=0.1)
    >>> found.phase_change
    array([517., 222.,  32.])
    >>> found.floor.round(5)
    array([0.00254, 0.00505, 0.02518])
    """
    require_method("method", method)
    number = count("steps", steps, 0)
    if not getattr(objective, "constant_hessian", False):
        raise ValueError(
            "`objective` must be a quadratic: one whose `constant_hessian` is true, such as hb.Quadratic or "
            f"hb.LeastSquares. Received {objective!r}. At a minimum of another loss take "
            "hb.Quadratic(loss.hessian(loss.minimizer))."
        )
    quadratic: Any = objective
    centre = np.asarray(quadratic.minimizer)
    modes = quadratic.modes
    errors = (noise_covariance(name, value, objective.dim)
              for name, value in (("noise", noise), ("iterate_noise", iterate_noise)))  # fmt: skip
    run = NoisyRun(method, modes.eigenvalues, modes.eigenvectors, *errors)
    start = (points("position", position, objective.dim) - centre) @ modes.eigenvectors
    push = np.zeros(objective.dim) if velocity is None else points("velocity", velocity, objective.dim)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not stable may leave the finite numbers
        path = follow(run, *run.broadcast(start, push @ modes.eigenvectors), number)
        return _assemble(run, path, centre, float(objective.value(centre)))


def _assemble(run: NoisyRun, path: NoisyPath, centre: FloatArray, optimum: float) -> ExpectedLoss:
    size, c, variance = run.curvature, path.mean, path.variance
    if path.cross is None:
        spread = 0.5 * ((size * variance) ** 2).sum(axis=-1) + ((size * c) ** 2 * variance).sum(axis=-1)
    else:
        weighted = size[:, None] * path.cross * size
        spread = 0.5 * (weighted * path.cross).sum(axis=(-2, -1))
        spread = spread + np.einsum("...i,...ij,...j->...", c, weighted, c)
    return ExpectedLoss(
        curvature=size,
        directions=run.directions,
        optimum=optimum,
        mean=centre + c @ run.directions.T,
        deterministic=0.5 * (size * c**2).sum(axis=-1),
        stochastic=0.5 * (size * variance).sum(axis=-1),
        mode_variance=variance,
        mode_covariance=path.cross,
        floor=_floor(run, c.shape[:-2]),
        standard_deviation=np.sqrt(np.maximum(spread, 0.0)),
    )


def _floor(run: NoisyRun, batch: tuple[int, ...]) -> FloatArray:
    """Return Σ½λVar in the end; modes without curvature or noise do not count."""
    if not run.steps.constant:
        return np.full(batch, np.nan)
    one, none = np.ones(()), np.zeros(())
    variance = np.zeros(())
    # Noise may have more batch axes than the rule: each kind is solved for once, of variance one.
    for noise, unit in ((run.gradient, (one, none)), (run.iterate, (none, one))):
        if not noise.variance.any():
            continue
        found = stationary_modes(run.method, run.curvature, *unit)
        each = np.where(found.stable, found.covariance[..., 0, 0], np.inf)
        with np.errstate(invalid="ignore"):
            variance = variance + np.where(noise.variance > 0, noise.variance * each, 0.0)
    with np.errstate(invalid="ignore"):
        terms = np.where((run.curvature != 0) & (variance > 0), 0.5 * run.curvature * variance, 0.0)
    total = np.where(np.isfinite(terms).all(axis=-1), terms.sum(axis=-1), np.inf)
    return np.broadcast_to(total, batch).copy()
