"""Rate against noise over learning rate and momentum, and the settings that nothing beats in both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray
from heavyball_dynamics._validation import one_of, real_array
from heavyball_dynamics.analysis._noisy_loops import noisy_loop, require_constant, stationary_modes
from heavyball_dynamics.analysis.linear import curvatures as modes_of
from heavyball_dynamics.analysis.stationary import variances

NORMALIZATIONS = ("polyak", "ema")


@dataclass(frozen=True)
class RateNoiseTradeoff(Drawable):
    """Worst rate and stationary noise of every pair of learning rate and momentum.

    Attributes
    ----------
    lr : array (lr,)
        Learning rates, in the normalization named.
    momentum : array (momentum,)
    rate : array (lr, momentum)
        Spectral radius of the slowest mode, a factor per step; also beyond 1.
    variance : array (lr, momentum)
        Mean square distance from the minimum in the end, summed over modes; infinite where a mode is not stable.
    loss : array (lr, momentum)
        Expected loss above the minimum in the end, Σ½λVar; infinite likewise.
    normalization : str
        "polyak" or "ema".

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.rate_noise_tradeoff(hb.HeavyBall, [1.0, 10.0], [0.05, 0.1, 0.2], [0.0, 0.5, 0.9])
    >>> print(found)
    9 settings (polyak), 8 stable, 3 on the front
    slowest: lr 0.05, momentum 0: rate 0.95, loss 0.0295
    fastest: lr 0.1, momentum 0.5: rate 0.707, loss 0.127
    """

    lr: FloatArray
    momentum: FloatArray
    rate: FloatArray
    variance: FloatArray
    loss: FloatArray
    normalization: str

    @property
    def stable(self) -> BoolArray:
        """Whether all modes decay, (lr, momentum)."""
        return np.isfinite(self.loss)

    @property
    def pareto(self) -> BoolArray:
        """Whether no other setting is as fast and less noisy, or as quiet and faster, (lr, momentum)."""
        mask = np.zeros(self.rate.shape, dtype=bool)
        mask[tuple(self.front.T)] = True
        return mask

    @property
    def front(self) -> IntArray:
        """Indices (lr, momentum) of those settings, the fastest first, (front, 2)."""
        chosen = pareto_front(self.rate.ravel(), self.loss.ravel())
        return np.stack(np.unravel_index(chosen, self.rate.shape), axis=-1)

    @property
    def steps(self) -> FloatArray:
        """Steps in which the slowest mode shrinks e-fold, -1/ln(rate), (lr, momentum); infinite where it does not."""
        with np.errstate(divide="ignore"):
            return np.where(self.stable, -1.0 / np.log(np.where(self.stable, self.rate, 0.5)), np.inf)

    def summary(self) -> str:
        """Return the ends of the front."""
        front = self.front
        stable = int(self.stable.sum())
        lines = [f"{self.rate.size} settings ({self.normalization}), {stable} stable, {len(front)} on the front"]
        for name, (i, j) in zip(("slowest", "fastest"), (front[-1], front[0]), strict=True) if len(front) else ():
            lines.append(f"{name}: lr {self.lr[i]:.4g}, momentum {self.momentum[j]:.4g}: rate {self.rate[i, j]:.3g}, "
                         f"loss {self.loss[i, j]:.3g}")  # fmt: skip
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def pareto_front(one: FloatArray, other: FloatArray) -> IntArray:
    """Return the indices of the pairs that no pair beats, the smallest `one` first; pairs not finite are left out.

    Of equal pairs one is kept. The pairs are sorted once, in O(n log n), and those kept that lower the minimum so far.
    """
    order = np.lexsort((other, one))
    order = order[np.isfinite(one[order]) & np.isfinite(other[order])]
    if not len(order):
        return order
    before = np.concatenate([[np.inf], np.minimum.accumulate(other[order])[:-1]])
    return order[other[order] < before]


def rate_noise_tradeoff(
    method_type: Callable[..., Method], curvatures: ArrayLike, lrs: ArrayLike, momenta: ArrayLike, *,
    noise: ArrayLike = 1.0, normalization: str = "polyak",
) -> RateNoiseTradeoff:  # fmt: skip
    r"""Return the worst rate and the stationary noise of a method over a grid of learning rates and momenta.

    The same grid says two things in two normalizations, and both are true. For gradients summed up (Polyak, torch) the
    variance at a fixed learning rate grows like 1/(1-β): momentum accumulates noise. For gradients averaged (EMA),
    whose step is α(1-β), it stays: momentum averages noise.

    Parameters
    ----------
    method_type : type, or any function of (lr, momentum) that returns a method
        Which rule, for example `HeavyBall`.
    curvatures : array (mode,)
        Curvatures λ > 0 of the quadratic, all of them. A flat one, λ = 0, never decays: leave it out, or every setting
        counts as not stable.
    lrs, momenta : array (lr,), array (momentum,)
        The grid.
    noise : float or array (mode,)
        Variance of the gradient along each mode.
    normalization : {"polyak", "ema"}
        Whether the method is given lr as it is, or lr·(1 - momentum).

    Returns
    -------
    RateNoiseTradeoff
        Arrays (lr, momentum).

    Raises
    ------
    ValueError
        If the normalization is neither, an input is empty, not finite or no vector, or the rule is not linear or varies
        in time.
    TypeError
        If `method_type` returns no method.

    References
    ----------
    Mohammadi, Razaviyayn, Jovanović, "Tradeoffs between convergence rate and noise amplification for momentum-based
    accelerated optimization algorithms", arXiv:2209.11920; Gitman, Lang, Zhang, Xiao, NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> sums, averages = (hb.rate_noise_tradeoff(hb.HeavyBall, [1.0], [0.01], [0.0, 0.9, 0.99], normalization=kind)
    ...                   for kind in ("polyak", "ema"))
    >>> sums.variance[0].round(4), averages.variance[0].round(4)
    (array([0.005 , 0.0501, 0.5013]), array([0.005, 0.005, 0.005]))
    """
    one_of("normalization", normalization, NORMALIZATIONS)
    lr, momentum = (_axis(name, value) for name, value in (("lrs", lrs), ("momenta", momenta)))
    modes = modes_of(curvatures)
    if modes.ndim > 1:
        raise ValueError(f"`curvatures` must be one spectrum, of shape (mode,). Received shape {modes.shape}.")
    if not modes.size:
        raise ValueError("`curvatures` must hold one curvature or more: without modes there is no worst rate. "
                         f"Received shape {modes.shape}.")  # fmt: skip
    grid = np.broadcast_to(lr[:, None], (len(lr), len(momentum)))
    betas = np.broadcast_to(momentum, grid.shape)
    method = method_type(grid * (1 - betas) if normalization == "ema" else grid, betas)
    require_method("method_type(lr, momentum)", method)
    require_constant("method_type(lr, momentum)", method, modes)
    shape = noisy_loop(method, modes).drive.shape[:-1]
    found = stationary_modes(method, modes, variances("noise", noise, shape), np.zeros(()))
    variance = np.where(found.stable, found.covariance[..., 0, 0], np.inf)
    return RateNoiseTradeoff(
        lr=lr, momentum=momentum, rate=found.rate.max(axis=-1), variance=variance.sum(axis=-1),
        loss=_loss(modes, variance), normalization=normalization,
    )  # fmt: skip


def _loss(modes: FloatArray, variance: FloatArray) -> FloatArray:
    """Return Σ½λVar, infinite where a variance is, also at λ = 0."""
    known = np.isfinite(variance)
    return np.asarray(np.where(known, 0.5 * modes * np.where(known, variance, 0.0), np.inf).sum(axis=-1))


def _axis(name: str, value: ArrayLike) -> FloatArray:
    array = np.atleast_1d(real_array(name, value))
    if array.ndim > 1 or not array.size:
        raise ValueError(f"`{name}` must be a vector of one or more numbers. Received shape {array.shape}.")
    return array
