"""The floor on which a noisy run ends: measured, and predicted from the covariance of its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method, require_objective
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics._validation import count
from heavyball_dynamics.analysis._noisy_loops import require_constant, stationary_modes
from heavyball_dynamics.simulation.iteration import iterate

_SEGMENT = 200  # steps held in memory at a time


@dataclass(frozen=True)
class NoiseFloor:
    """Predicted and measured mean of the loss above its minimum, once a run has forgotten its start.

    Attributes
    ----------
    predicted : array (*batch,)
        Σ½λVar for noise that is independent from step to step and has everywhere the covariance that it has in the
        minimum; infinite where a mode is not stable.
    measured : array (*batch,)
        Mean over runs and steps of the full loss above its minimum; infinite where a run diverged.
    standard_error : array (*batch,)
        Of the measured mean, from the scatter between runs.
    runs, steps : int
        What was averaged over.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.noise_floor(hb.GradientDescent(0.5), hb.NoisyGradient(hb.Quadratic([1.0]), 0.1, seed=1), runs=200)
    >>> print(found)
    floor predicted 0.0166667, measured 0.01663 ± 6e-05 (ratio 0.998), 200 runs of 1000 steps
    """

    predicted: FloatArray
    measured: FloatArray
    standard_error: FloatArray
    runs: int
    steps: int

    @property
    def ratio(self) -> FloatArray:
        """Measured over predicted floor, (*batch,)."""
        with np.errstate(invalid="ignore"):
            return self.measured / self.predicted

    def summary(self) -> str:
        """Return a line for each batch element."""
        lines = []
        for index in np.ndindex(self.predicted.shape):
            name = f"{list(index)} " if index else ""
            lines.append(
                f"{name}floor predicted {self.predicted[index]:.6g}, measured {self.measured[index]:.4g} ± "
                f"{self.standard_error[index]:.1g} (ratio {self.ratio[index]:.3f}), {self.runs} runs of "
                f"{self.steps} steps"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def noise_floor(
    method: Method, objective: ObjectiveLike, *, runs: int = 100, steps: int = 1000, burn_in: int = 500
) -> NoiseFloor:
    r"""Measure how high noise lifts the loss above its minimum, and predict it.

    .. math:: \mathbb E f - f^* \approx \sum_i \tfrac12\lambda_i \operatorname{Var} c_i, \qquad
              \Sigma = \operatorname{Cov}\nabla f_k(x^*)

    Many runs start in the minimum, in one call; the first `burn_in` steps are left out: they should outlast the slowest
    mode that counts, or the measured floor is too low. The prediction takes the loss
    for a quadratic, the noise for independent from step to step and its covariance for that in the minimum. Measured
    and predicted floor agree for `NoisyGradient` on a quadratic. For minibatches drawn afresh (`IndependentMinibatch`)
    they do as lr → 0: the Hessians of minibatches differ as well, which adds noise of its own. Minibatches of shuffled
    epochs (`Minibatch`) end lower, ∝ lr² instead of lr: their errors cancel over an epoch.

    Parameters
    ----------
    method : Method
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    objective : NoisyGradient, Minibatch, IndependentMinibatch, or another with a ``gradient_covariance``
        The noisy loss; it must know its minimizer.
    runs, steps, burn_in : int
        How many runs, how many steps each is averaged over, and how many are left out before.

    Returns
    -------
    NoiseFloor
        Arrays (*batch,).

    Raises
    ------
    ValueError
        If the loss has no gradient covariance or no minimizer, the rule is not linear or varies in
        time, or a count is too small.
    TypeError
        If the method or the objective is none.

    References
    ----------
    Mandt, Hoffman, Blei, "Stochastic gradient descent as approximate Bayesian inference", JMLR 18, 2017, section 3;
    Mishchenko, Khaled, Richtárik, "Random reshuffling", NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(size=(40, 2))
    >>> noisy = hb.LeastSquares(features, features @ [1.0, -1.0] + rng.normal(size=40)).minibatch(8, seed=1)
    >>> method = hb.HeavyBall(lr=0.01, momentum=0.5)
    >>> [hb.noise_floor(method, kind).ratio.round(1) for kind in (noisy, hb.IndependentMinibatch(noisy))]
    [np.float64(0.0), np.float64(1.0)]
    """
    require_method("method", method)
    require_objective(objective)
    runs, steps = count("runs", runs, 2), count("steps", steps, 1)
    idle = count("burn_in", burn_in, 0)
    noisy: Any = objective
    centre = noisy.minimizer
    if centre is None or not hasattr(noisy, "gradient_covariance"):
        raise ValueError(
            "`objective` must know its minimizer and the covariance of its gradients (`gradient_covariance`), as "
            f"minibatches and hb.NoisyGradient do. Received {objective!r}."
        )
    curvature, Q = noisy.modes
    variance = np.maximum(np.einsum("ij,ik,kj->j", Q, noisy.gradient_covariance(centre), Q), 0.0)
    require_constant("method", method, curvature)
    found = stationary_modes(method, curvature, variance, np.zeros(()))
    each = np.where(found.stable, 0.5 * curvature * found.covariance[..., 0, 0], np.inf)
    predicted = np.where(curvature == 0, 0.0, each).sum(axis=-1)  # what wanders where it is flat costs nothing
    means = _mean_excess(method, objective, np.asarray(centre), runs, idle, steps)
    with np.errstate(invalid="ignore"):
        error = means.std(axis=-1, ddof=1) / np.sqrt(runs)
    return NoiseFloor(predicted, means.mean(axis=-1), error, runs, steps)


def _mean_excess(
    method: Method, objective: ObjectiveLike, centre: FloatArray, runs: int, idle: int, steps: int
) -> FloatArray:
    """Return the mean of f - f* along each run, (*batch, run), infinite for runs that diverged."""
    start = np.broadcast_to(centre, (*batch_shape(method), runs, len(centre)))
    rule = append_axes(method, 1)
    run = iterate(rule, objective, start, idle, save_every=max(idle, 1))
    alive, total, done = run.success, np.zeros(start.shape[:-1]), 0
    lowest = float(objective.value(centre))
    while done < steps:
        more = min(_SEGMENT, steps - done)
        run = iterate(rule, objective, run.state, more, first_step=idle + done)
        total += (run.value[..., 1:] - lowest).sum(axis=-1)
        alive, done = alive & run.success, done + more
    return np.where(alive, total / steps, np.inf)
