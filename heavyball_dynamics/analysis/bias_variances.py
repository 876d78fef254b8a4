"""Mean and variance of a mode under gradient noise, after every step and exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._noisy_springs import spring_start
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count, real_array, require
from heavyball_dynamics.analysis._noisy_loops import noisy_steps, stationary_modes
from heavyball_dynamics.analysis.linear import curvatures, require_broadcast


@dataclass(frozen=True)
class BiasVariance(Drawable):
    """Mean and variance of the position of each mode after each step, the minimum being at zero.

    Attributes
    ----------
    curvature : array (*batch, mode)
    mean : array (*batch, mode, step)
        Mean position, also the bias, after 0, 1, …, steps steps.
    variance : array (*batch, mode, step)
        Variance of the position.
    stationary_variance : array (*batch, mode)
        What the variance tends to; infinite where the mode is not stable, NaN for rules that vary in time.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.bias_variance(hb.HeavyBall(lr=0.5, momentum=0.5), [1.0], steps=2)
    >>> found.mean, found.variance, found.stationary_variance.round(6)
    (array([[1. , 0.5, 0. ]]), array([[0. , 0.25, 0.5 ]]), array([0.6]))
    """

    curvature: FloatArray
    mean: FloatArray
    variance: FloatArray
    stationary_variance: FloatArray

    @property
    def bias_squared(self) -> FloatArray:
        """Square of the mean, (*batch, mode, step)."""
        return np.asarray(self.mean**2)

    @property
    def second_moment(self) -> FloatArray:
        """Mean square distance from the minimum, bias² + variance, (*batch, mode, step)."""
        return np.asarray(self.mean**2 + self.variance)

    def loss(self) -> FloatArray:
        """Return the expected loss of each mode, ½λ(bias² + variance), (*batch, mode, step)."""
        return 0.5 * self.curvature[..., None] * self.second_moment

    def summary(self) -> str:
        """Return a line for each mode and batch element, at the last step."""
        steps = self.mean.shape[-1] - 1
        lines = [f"after {steps} {'step' if steps == 1 else 'steps'}"]
        curvature = np.broadcast_to(self.curvature, self.stationary_variance.shape)
        lines += [
            f"curvature {curvature[index]:.6g}: bias² {self.bias_squared[index][-1]:.6g}, variance "
            f"{self.variance[index][-1]:.6g}, in the end {self.stationary_variance[index]:.6g}"
            for index in np.ndindex(self.stationary_variance.shape)
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def bias_variance(
    method: Method, curvature: ArrayLike, steps: int, *, position: ArrayLike = 1.0, velocity: ArrayLike = 0.0,
    noise: ArrayLike = 1.0,
) -> BiasVariance:  # fmt: skip
    r"""Return the exact mean and variance of a mode's position under gradient noise, after each step.

    .. math:: s_{k+1} = M s_k + b\,\xi_k, \qquad
              \bar s_{k+1} = M\bar s_k, \qquad P_{k+1} = M P_k M^\top + \sigma^2 b b^\top

    for independent :math:`\xi_k` of variance σ², one a step: all gradients that a rule asks for in one step are off by
    the same error, like those of one minibatch. M and b are those of the rule itself, by probing.

    Parameters
    ----------
    method : Method
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    curvature : float or array (mode,) or (*batch, mode)
        Curvatures λ of the modes ½λx², of any sign.
    steps : int
        Number of steps.
    position, velocity : float or array, broadcast against (*batch, mode)
        The start, without noise; the velocity is the displacement V_0 (of a discretized flow its dx/dt).
    noise : float or array, broadcast against (*batch, mode)
        Variance σ² >= 0 of the gradient.

    Returns
    -------
    BiasVariance
        Arrays (*batch, mode, steps + 1) and (*batch, mode).

    Raises
    ------
    ValueError
        If the rule is not linear, an input is not finite, the noise is negative, or shapes do not broadcast.
    TypeError
        If the method is none or steps is no whole number.

    References
    ----------
    For two steps from rest of the heavy ball and of Nesterov's method the variance differs by
    -η²σ²βq(2(1+β) - (2+β)q) with q = ηλ, which is where the threshold λη = 2(1+β)/(2+β) comes from. For stationary
    variances: Gitman, Lang, Zhang, Xiao, "Understanding the role of momentum in stochastic gradient methods", NeurIPS
    2019, theorem 3.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ball, ahead = (hb.bias_variance(kind(0.5, 0.9), [1.0], steps=2) for kind in (hb.HeavyBall, hb.Nesterov))
    >>> (ahead.variance - ball.variance)[0].round(6)      # -0.25·0.9·0.5·(3.8 - 2.9·0.5) after two steps
    array([ 0.      ,  0.      , -0.264375])
    """
    require_method("method", method)
    number = count("steps", steps, 0)
    modes, level, start, push = _broadcast(method, curvature, noise, position, velocity)
    loops = noisy_steps(method, modes)
    state, error = spring_start(at_step(method, 0), modes, start, push)
    # The first step sees the sample that the start was prepared with.
    covariance = level[..., None, None] * error[..., :, None] * error[..., None, :]
    mean, variance = [state[..., 0]], [covariance[..., 0, 0]]
    for k in range(number):
        loop = loops.at(k)
        M, drive = loop.matrix, loop.drive
        state = np.einsum("...ij,...j->...i", M, state)
        if k == 0:
            drive = drive + np.einsum("...ij,...j->...i", M, error)
            covariance = np.zeros_like(covariance)
        pushed = level[..., None, None] * drive[..., :, None] * drive[..., None, :]
        covariance = M @ covariance @ np.swapaxes(M, -1, -2) + pushed
        mean.append(state[..., 0])
        variance.append(covariance[..., 0, 0])
    stationary = np.full(state.shape[:-1], np.nan)
    if loops.constant:
        found = stationary_modes(method, modes, level, np.zeros(()))
        # Without noise nothing grows, whatever the poles.
        stationary = np.where(level == 0, 0.0, np.where(found.stable, found.covariance[..., 0, 0], np.inf))
    return BiasVariance(modes, np.stack(mean, axis=-1), np.stack(variance, axis=-1), stationary)


def _broadcast(
    method: Method, curvature: ArrayLike, noise: ArrayLike, position: ArrayLike, velocity: ArrayLike
) -> list[FloatArray]:
    """Return curvatures, noise, positions and velocities, all (*batch, mode)."""
    modes = curvatures(curvature)
    batch = batch_shape(at_step(method, 0))
    require_broadcast(batch, modes.shape)
    level = real_array("noise", noise)
    require("noise", level, level >= 0, ">= 0, a variance")
    shape = np.broadcast_shapes((*batch, 1), modes.shape)
    found = [modes]
    for name, value in (("noise", level), ("position", position), ("velocity", velocity)):
        array = real_array(name, value)
        try:
            shape = np.broadcast_shapes(shape, array.shape)
        except ValueError:
            raise ValueError(
                f"`{name}` must be one number or broadcast against (*batch, mode), here {shape}. Received shape "
                f"{array.shape}."
            ) from None
        found.append(array)
    return [np.array(np.broadcast_to(array, shape)) for array in found]
