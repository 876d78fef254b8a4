"""Adaptive methods without bias correction: every coordinate has a learning rate of its own.

Definitions and defaults are those of torch.optim. The step k counts from 0, the t of torch and of the papers from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, hyperparameter, non_negative
from heavyball_dynamics.algorithms.adaptive_states import (
    AdaDeltaState,
    AdaGradState,
    CenteredRMSPropState,
    RMSPropState,
)


@dataclass(frozen=True, eq=False)
class RMSProp(Record):
    r"""Gradient descent divided by the root mean square of the recent gradients, with momentum on top.

    .. math::
        g = \nabla f(x_k) + w x_k, \qquad v_{k+1} = \alpha v_k + (1-\alpha)g^2, \qquad
        b_{k+1} = \beta b_k + \frac{g}{\sqrt{v_{k+1}} + \epsilon}, \qquad x_{k+1} = x_k - \eta b_{k+1}

    Centred, the root is that of the variance v - m² with the average m⁺ = αm + (1-α)g. It is kept by its own recursion
    s⁺ = α(s + (1-α)(g - m)²), which is the same number and, unlike a difference, never falls below zero by rounding.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position.
    alpha : float or array (*batch,)
        Share α of the average that a step keeps, 0 <= α <= 1.
    eps : float or array (*batch,)
        ε >= 0, outside the root, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|x|².
    momentum : float, array (*batch,) or schedule
        Momentum β.
    centered : bool
        Whether to divide by the standard deviation of the gradients.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range or not finite, or batch axes do not broadcast; on starting with a
        displacement where lr is 0.
    TypeError
        If centered is no bool.

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5, RMSProp", Coursera: Neural Networks for Machine Learning, 2012. Centred: Graves,
    "Generating sequences with recurrent neural networks", arXiv:1308.0850, eqs. (38) to (41), with ε inside the root.
    torch.optim.RMSprop.

    Examples
    --------
    On a constant slope steps of any gradient tend to η/(1-β):

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> slope = hb.Quadratic([0.0, 0.0], linear=[7.0, 0.01])
    >>> run = hb.iterate(hb.RMSProp(lr=0.1, alpha=0.5, eps=0.0, momentum=0.5), slope, [0.0, 0.0], steps=60)
    >>> np.diff(run.position, axis=0)[-1]
    array([-0.2, -0.2])
    """

    lr: Hyperparameter = 1e-2
    alpha: Hyperparameter = 0.99
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 0.0
    momentum: Hyperparameter = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        flag("centered", self.centered)
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), alpha=kept_share("alpha", self.alpha),
            eps=non_negative("eps", self.eps), weight_decay=non_negative("weight_decay", self.weight_decay),
            momentum=scheduled(finite, "momentum", self.momentum),
        )  # fmt: skip
        batch_shape(self)

    def init(
        self, position: Any, velocity: Any, objective: ObjectiveLike,  # noqa: ARG002
    ) -> RMSPropState | CenteredRMSPropState:  # fmt: skip
        """Start at `position` with empty averages and the buffer -V_0/η of V_0 = `velocity`, a step's displacement."""
        resting = 1 * (self.lr == 0)
        if np.any(resting) and np.any(resting * (velocity != 0)):
            raise ValueError(f"`velocity` must be 0 where lr is 0: no buffer moves the position. Received {velocity}.")
        nothing = position - position
        buffer = nothing - velocity / (self.lr + resting)
        if self.centered:
            return CenteredRMSPropState(position, nothing, nothing, buffer)
        return RMSPropState(position, nothing, buffer)

    def step(self, k: int, state: Any, objective: ObjectiveLike) -> RMSPropState | CenteredRMSPropState:  # noqa: ARG002
        """Divide the gradient by its recent size and add it to the buffer."""
        kept, gradient = self.alpha, penalized(self, state.position, objective)
        if self.centered:
            surprise = gradient - state.gradient_average
            average = kept * state.gradient_average + (1 - kept) * gradient
            spread = kept * (state.variance + (1 - kept) * surprise * surprise)
        else:
            spread = kept * state.square_average + (1 - kept) * gradient * gradient
        scale = namespace(spread).sqrt(spread) + self.eps
        buffer = self.momentum * state.momentum_buffer + gradient / scale
        position = state.position - self.lr * buffer
        if self.centered:
            return CenteredRMSPropState(position, spread, average, buffer)
        return RMSPropState(position, spread, buffer)


@dataclass(frozen=True, eq=False)
class AdaGrad(Record):
    r"""Gradient descent divided by the root of the sum of all squared gradients.

    .. math::
        g = \nabla f(x_k) + w x_k, \qquad G_{k+1} = G_k + g^2, \qquad
        x_{k+1} = x_k - \frac{\eta}{1 + kd}\,\frac{g}{\sqrt{G_{k+1}} + \epsilon}

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position.
    lr_decay : float or array (*batch,)
        Decay d >= 0 of the learning rate.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|x|².
    initial_accumulator_value : float or array (*batch,)
        G_0 >= 0, in units of the gradient squared.
    eps : float or array (*batch,)
        ε >= 0, outside the root, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.

    Raises
    ------
    ValueError
        If a hyperparameter is negative or not finite, or batch axes do not broadcast.

    References
    ----------
    Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", J. Mach.
    Learn. Res. 12, 2011, figure 1 with diagonal matrices. torch.optim.Adagrad.

    Examples
    --------
    On a constant slope, however steep, step k has the length η/√(k+1):

    >>> import heavyball_dynamics as hb
    >>> slope = hb.Quadratic([0.0], linear=[-5.0])
    >>> hb.iterate(hb.AdaGrad(lr=1.0), slope, [0.0], steps=4).position[:, 0].round(4)
    array([0.    , 1.    , 1.7071, 2.2845, 2.7845])
    """

    lr: Hyperparameter = 1e-2
    lr_decay: Hyperparameter = 0.0
    weight_decay: Hyperparameter = 0.0
    initial_accumulator_value: Hyperparameter = 0.0
    eps: Hyperparameter = 1e-10

    def __post_init__(self) -> None:
        names = ("lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        constants = {name: non_negative(name, getattr(self, name)) for name in names}
        self._set(lr=scheduled(non_negative, "lr", self.lr), **constants)
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdaGradState:  # noqa: ARG002
        """Start at `position`; the method has no momentum, so `velocity` is not used."""
        return AdaGradState(position, position - position + self.initial_accumulator_value)

    def step(self, k: int, state: AdaGradState, objective: ObjectiveLike) -> AdaGradState:
        """Divide the gradient by the root of the sum of all squares, its own included."""
        gradient = penalized(self, state.position, objective)
        total = state.square_sum + gradient * gradient
        # Without decay the rule does not vary in time, and should not look as if it did.
        constant = isinstance(self.lr_decay, float) and self.lr_decay == 0
        lr = self.lr if constant else self.lr / (1 + k * self.lr_decay)
        return AdaGradState(state.position - lr * (gradient / (namespace(total).sqrt(total) + self.eps)), total)


@dataclass(frozen=True, eq=False)
class AdaDelta(Record):
    r"""Steps in the unit of the position: the gradient over its recent size, times the recent size of the steps.

    .. math::
        g = \nabla f(x_k) + w x_k, \qquad v_{k+1} = \rho v_k + (1-\rho)g^2, \qquad
        \delta = \frac{\sqrt{u_k + \epsilon}}{\sqrt{v_{k+1} + \epsilon}}\,g, \qquad
        u_{k+1} = \rho u_k + (1-\rho)\delta^2, \qquad x_{k+1} = x_k - \eta\delta

    At ε = 0 it never starts to move; at ρ = 1 it is gradient descent.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, without unit.
    rho : float or array (*batch,)
        Share ρ of both averages that a step keeps, 0 <= ρ <= 1.
    eps : float or array (*batch,)
        ε >= 0, inside both roots, added to numbers of different units.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|x|².

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range or not finite, or batch axes do not broadcast.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, algorithm 1. torch.optim.Adadelta.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.iterate(hb.AdaDelta(rho=1.0, lr=0.5), hb.Quadratic([1.0]), [1.0], steps=3).position[:, 0]
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    lr: Hyperparameter = 1.0
    rho: Hyperparameter = 0.9
    eps: Hyperparameter = 1e-6
    weight_decay: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), rho=kept_share("rho", self.rho),
            eps=non_negative("eps", self.eps), weight_decay=non_negative("weight_decay", self.weight_decay),
        )  # fmt: skip
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdaDeltaState:  # noqa: ARG002
        """Start at `position`; the method has no momentum, so `velocity` is not used."""
        nothing = position - position
        return AdaDeltaState(position, nothing, nothing)

    def step(self, k: int, state: AdaDeltaState, objective: ObjectiveLike) -> AdaDeltaState:  # noqa: ARG002
        """Give the step the size that recent steps had, and the direction of the gradient over its recent size."""
        gradient = penalized(self, state.position, objective)
        square = self.rho * state.square_average + (1 - self.rho) * gradient * gradient
        before, now = state.step_average + self.eps, square + self.eps
        sqrt = namespace(before, now).sqrt
        delta = sqrt(before) / sqrt(now) * gradient
        step_average = self.rho * state.step_average + (1 - self.rho) * delta * delta
        return AdaDeltaState(state.position - self.lr * delta, square, step_average)


def penalized(method: Any, position: Any, objective: ObjectiveLike) -> Any:
    """Return the gradient of f + ½w|x|² with the method's weight decay w."""
    return objective.gradient(position) + method.weight_decay * position


def kept_share(name: str, value: Hyperparameter) -> Hyperparameter:
    """Return the share that an average keeps, in [0, 1]."""
    return hyperparameter(name, value, rule=">= 0 and <= 1", check=lambda x: (x >= 0) & (x <= 1))


def flag(name: str, value: object) -> None:
    """Raise TypeError unless `value` is True or False: flags are structure, no batch axes."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. Received {value!r} of type {type(value).__name__}.")
