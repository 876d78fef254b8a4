"""The covariance that noise and decay settle at, mode by mode and between modes."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._covariances import covariance_matrix
from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.analysis._lyapunov import covariance_solution
from heavyball_dynamics.analysis._noisy_loops import noisy_loop, report_unstable, stationary_modes
from heavyball_dynamics.analysis.linear import curvatures


def stationary_covariance(
    algorithm: Algorithm, curvature: ArrayLike, noise: ArrayLike = 1.0, *, iterate_noise: ArrayLike = 0.0,
    k: int | None = None, t: float | None = None,
) -> FloatArray:  # fmt: skip
    r"""Return the covariance of an algorithm's state under noisy gradients, in the end and for every mode.

    .. math:: P = MPM^\top + \sigma^2 bb^\top + r^2 e_1 e_1^\top \quad\text{(methods)}, \qquad
              MP + PM^\top + \sigma^2 bb^\top + r^2 e_1 e_1^\top = 0 \quad\text{(flows)}

    M is the closed loop of the rule, b what an error of one in the gradient adds to its state, and e₁ the position.
    Both come from the rule itself, by probing. All gradients of one step are off by the same error, like those of a
    minibatch. What the state is says the rule: for the heavy ball position and displacement, for a flow position and
    dx/dt.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    curvature : float or array (mode,) or (*batch, mode)
        Curvatures λ > 0 of the modes.
    noise : float or array that broadcasts to (*batch, mode)
        Variance σ² >= 0 of the gradient along each mode; of flows the intensity S² of white noise, variance · time.
    iterate_noise : float or array that broadcasts to (*batch, mode)
        Variance r² >= 0 of what is added to the position after each step (of flows: intensity, per unit of time). The
        rest of the state does not learn of it.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    array (*batch, mode, state, state)
        NaN for modes that are not stable.

    Raises
    ------
    ValueError
        If no mode is stable, the rule is not linear or varies in time, a variance is negative, or shapes do not fit.

    Warns
    -----
    UserWarning
        If some modes are not stable: which, and by how much.

    Notes
    -----
    For q = ηλ the variances of the position are

    .. math::
        \text{gradient descent: } \frac{\eta^2\sigma^2}{q(2-q)}, \qquad
        \text{heavy ball: } \frac{\eta^2\sigma^2(1+\beta)}{q(1-\beta)(2(1+\beta)-q)}, \qquad
        \text{Nesterov: } \frac{\eta^2\sigma^2(1+\beta(1-q))}{q(1-\beta(1-q))(2(1+\beta)-(1+2\beta)q)},

    and for the flow :math:`m\ddot x + \gamma\dot x + \lambda x = S\dot W` they are S²/(2γλ), and S²/(2mγ) of dx/dt.

    Where iterates are perturbed in the two-point form, x₊ = x + β(x - x₋) - η∇f + rw, the next displacement contains
    the perturbation: that is gradient noise of variance r²/η².

    References
    ----------
    Gitman, Lang, Zhang, Xiao, "Understanding the role of momentum in stochastic gradient methods", NeurIPS 2019,
    theorem 3; Mohammadi, Razaviyayn, Jovanović, "Robustness of accelerated first-order algorithms for strongly convex
    optimization problems", IEEE Trans. Automat. Control 66, 2021.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.stationary_covariance(hb.HeavyBall(lr=0.5, momentum=0.5), [1.0], noise=4.0)
    >>> found.shape, found[0, 0, 0].round(12)       # 0.25·4·1.5 / (0.5·0.5·2.5)
    ((1, 2, 2), np.float64(2.4))

    Equipartition: in heat of temperature 2 both quadratic terms of the energy hold half of it.

    >>> flow = hb.HeavyBallFlow(mass=4.0, damping=0.5)
    >>> hb.stationary_covariance(flow, [10.0], noise=2 * 0.5 * 2.0)[0].round(12) + 0.0
    array([[0.2, 0. ],
           [0. , 0.5]])
    """
    modes = curvatures(curvature)
    shape = noisy_loop(algorithm, modes, k=k, t=t).drive.shape[:-1]
    found = stationary_modes(
        algorithm, modes, variances("noise", noise, shape), variances("iterate_noise", iterate_noise, shape), k=k, t=t
    )
    report_unstable(found)
    return found.covariance


def cross_covariance(
    algorithm: Algorithm, curvature: ArrayLike, covariance: ArrayLike, *, k: int | None = None, t: float | None = None
) -> FloatArray:
    r"""Return the stationary covariances between all modes under gradient noise that correlates them.

    .. math:: P_{ij} = M_i P_{ij} M_j^\top + \Sigma_{ij}\, bb^\top

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    curvature : float or array (mode,) or (*batch, mode)
        Curvatures λ > 0 of the modes.
    covariance : array (mode, mode) or (*batch, mode, mode)
        Covariance Σ of the gradient noise in the basis of the modes, Qᵀ Cov Q; of flows its intensity.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    array (*batch, mode, mode, state, state)
        Block [i, j] is the covariance of the state of mode i with that of mode j; the blocks [i, i] are those of
        `stationary_covariance` for the variances on the diagonal. NaN where mode i or j is not stable.

    Raises
    ------
    ValueError
        If no mode is stable, the covariance is not symmetric or not positive semidefinite, the rule is not linear or
        varies in time, or shapes do not fit.

    Warns
    -----
    UserWarning
        If some modes are not stable.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> blocks = hb.cross_covariance(hb.GradientDescent(lr=0.5), [1.0, 2.0], [[1.0, 0.5], [0.5, 1.0]])
    >>> blocks[..., 0, 0].round(6)
    array([[0.333333, 0.125   ],
           [0.125   , 0.25    ]])
    """
    modes = curvatures(curvature)
    sigma = covariance_matrix("covariance", covariance, modes.shape[-1])
    loop = noisy_loop(algorithm, modes, k=k, t=t)
    shape = loop.drive.shape[:-1]
    try:
        sigma = np.broadcast_to(sigma, (*shape, shape[-1]))
    except ValueError:
        raise ValueError(
            f"`covariance` must have shape (mode, mode) or (*batch, mode, mode), here {(*shape, shape[-1])}. Received "
            f"{sigma.shape}."
        ) from None
    variance = np.diagonal(sigma, axis1=-2, axis2=-1)
    found = stationary_modes(algorithm, modes, variance, np.zeros(()), k=k, t=t)
    report_unstable(found)
    order = loop.increment.shape[-1]
    increment = np.where(found.stable[..., None, None], loop.increment, -np.eye(order))
    source = sigma[..., None, None] * (loop.drive[..., :, None, :, None] * loop.drive[..., None, :, None, :])
    blocks = covariance_solution(
        increment[..., :, None, :, :], increment[..., None, :, :, :], source, discrete=loop.discrete
    )
    blocks[~(found.stable[..., :, None] & found.stable[..., None, :])] = np.nan
    return blocks


def variances(name: str, value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return variances that broadcast to (*batch, mode), or say why they do not."""
    array = real_array(name, value)
    require(name, array, array >= 0, ">= 0, a variance")
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        matrix = array.ndim >= 2 and array.shape[-1] == array.shape[-2]
        remedy = " For a covariance matrix of the modes use hb.cross_covariance." if matrix else ""
        raise ValueError(
            f"`{name}` must be one variance or broadcast to (*batch, mode), here {shape}. Received shape "
            f"{array.shape}.{remedy}"
        ) from None
