"""How much an error of the gradient moves the position: the worst persistent error, and white noise."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis._frequency_search import largest_size
from heavyball_dynamics.analysis._loop_gain import LoopResponse, frequency_grid

_KRONECKER = 12  # states up to which all elements are solved at once


def worst_gain(response: LoopResponse) -> tuple[FloatArray, FloatArray]:
    r"""Return the H∞ norms of stable single responses and where they are attained.

    .. math:: \|G\|_\infty = \sup_\omega |G|

    Parameters
    ----------
    response : LoopResponse
        With one channel.

    Returns
    -------
    norm, frequency : array (element,)
        The frequency ω in radians per step or unit time.

    References
    ----------
    Bruinsma and Steinbuch, "A fast algorithm to compute the H∞-norm of a transfer function matrix", Systems & Control
    Letters 14, 1990.
    """
    norm, nu = largest_size(response, frequency_grid(response))
    return norm, response.omega(nu)


def noise_gain(response: LoopResponse) -> FloatArray:
    r"""Return the H2 norms of stable single responses, standard deviations under white noise of unit variance.

    .. math:: \|G\|_2^2 = C P C^T, \qquad P = MPM^T + bb^T \quad (MP + PM^T + bb^T = 0)

    A response that is not strictly proper in continuous time has none: infinity.

    Parameters
    ----------
    response : LoopResponse
        With one channel.

    Returns
    -------
    array (element,)
    """
    push = response.inputs[..., 0]
    order = push.shape[-1]
    if order <= _KRONECKER:
        spread = _covariance_at_once(response.moving, push, discrete=response.discrete)
    else:
        spread = np.stack([_covariance(one, b, discrete=response.discrete)
                           for one, b in zip(response.moving, push, strict=True)])  # fmt: skip
    row = response.outputs[..., 0, :]
    square = np.einsum("ei,eij,ej->e", row, spread, row)
    straight = response.through[..., 0, 0] ** 2
    if not response.discrete:
        straight = np.where(straight > 0, np.inf, 0.0)
    return np.asarray(np.sqrt(square + straight))


def _covariance_at_once(S: FloatArray, push: FloatArray, *, discrete: bool) -> FloatArray:
    """Return P of all elements; what a step adds is put in, so that slow modes keep their digits."""
    order = push.shape[-1]
    identity = np.eye(order)
    both = np.einsum("eij,kl->eikjl", S, identity) + np.einsum("ij,ekl->eikjl", identity, S)
    if discrete:
        both = both + np.einsum("eij,ekl->eikjl", S, S)
    right = -(push[:, :, None] * push[:, None, :]).reshape(-1, order**2, 1)
    found = np.linalg.solve(both.reshape(-1, order**2, order**2), right)
    return np.asarray(found.reshape(-1, order, order))


def _covariance(S: FloatArray, push: FloatArray, *, discrete: bool) -> FloatArray:
    square = np.outer(push, push)
    if discrete:
        return np.asarray(solve_discrete_lyapunov(S + np.eye(len(S)), square))
    return np.asarray(solve_continuous_lyapunov(S, -square))
