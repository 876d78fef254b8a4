"""How much of the noise of the gradient is left in the position, over all modes."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics.analysis._noisy_loops import noisy_loop, stationary_modes
from heavyball_dynamics.analysis.linear import curvatures as modes_of
from heavyball_dynamics.analysis.stationary import variances


def noise_amplification(
    algorithm: Algorithm, curvatures: ArrayLike, noise: ArrayLike = 1.0, *, iterate_noise: ArrayLike = 0.0,
    k: int | None = None, t: float | None = None,
) -> FloatArray:  # fmt: skip
    r"""Return the mean square distance from the minimum in the end, summed over the modes of a quadratic.

    .. math:: J = \lim_{k\to\infty} \mathbb E |x_k - x^*|^2 = \sum_i \operatorname{Var} c_i

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    curvatures : array (mode,) or (*batch, mode)
        All eigenvalues of the Hessian, each as often as it occurs.
    noise : float or array that broadcasts to (*batch, mode)
        Variance of the gradient along each mode; of flows the intensity.
    iterate_noise : float or array that broadcasts to (*batch, mode)
        Variance of what is added to the position after each step.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    array (*batch,)
        In units of position²; infinite where a mode is not stable.

    Raises
    ------
    ValueError
        If the rule is not linear or varies in time, a variance is negative, or shapes do not fit.

    Notes
    -----
    Mohammadi, Razaviyayn and Jovanović put noise of variance σ² into the two-point form, whatever the learning rate:
    that is ``noise=sigma**2 / lr**2``. In their normalization the optimal heavy ball amplifies each mode

    .. math:: \frac{\hat J_{hb}(\lambda)}{\hat J_{gd}(\lambda)} = \frac{(\sqrt\kappa+1)^4}{8\sqrt\kappa(\kappa+1)}

    times as much as optimal gradient descent does, about √κ/8 times. For the same noise of the *gradient* the ratio is
    (κ+1)/(2√κ), since momentum's optimal learning rate is larger too.

    References
    ----------
    Mohammadi, Razaviyayn, Jovanović, "Robustness of accelerated first-order algorithms for strongly convex optimization
    problems", IEEE Trans. Automat. Control 66, 2021: the contributions of single modes and their ratio.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> spectrum = np.array([1.0, 4.0, 100.0])
    >>> ball, descent = (hb.tune(kind, 1.0, 100.0) for kind in (hb.HeavyBall, hb.GradientDescent))
    >>> ratio = hb.noise_amplification(ball, spectrum) / hb.noise_amplification(descent, spectrum)
    >>> bool(np.isclose(ratio, (100 + 1) / (2 * 10)))
    True
    """
    modes = modes_of(curvatures)
    shape = noisy_loop(algorithm, modes, k=k, t=t).drive.shape[:-1]
    found = stationary_modes(
        algorithm, modes, variances("noise", noise, shape), variances("iterate_noise", iterate_noise, shape), k=k, t=t
    )
    variance = np.where(found.stable, found.covariance[..., 0, 0], np.inf)
    return np.asarray(variance.sum(axis=-1))
