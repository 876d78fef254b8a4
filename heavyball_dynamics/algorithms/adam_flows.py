"""Flows of Adam's family: what is left as lr → 0 while the averages keep their length in the time t = k·lr.

The averages are those of the methods, before bias correction: they start at zero, and their equations are regular. Only
their corrected quotients are 0/0 at t = 0, where g and g² are put in their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import hyperparameter, is_symbolic, non_negative, positive
from heavyball_dynamics.algorithms._flow_start import require_empty, require_time
from heavyball_dynamics.algorithms.adam import Adam, AdamW
from heavyball_dynamics.algorithms.adaptive import flag, penalized
from heavyball_dynamics.algorithms.adaptive_states import AdamState, AMSGradState
from heavyball_dynamics.algorithms.states import PositionState


@dataclass(frozen=True, eq=False)
class AdamFlow(Record):
    r"""The limit of Adam (and of NAdam with constant momentum) as lr → 0, in the time t = k·lr.

    .. math::
        g = \nabla f(\theta) + w\theta, \qquad \dot m = a(g - m), \qquad \dot v = b(g^2 - v), \qquad m(0) = v(0) = 0, \\
        \dot\theta = -\frac{\hat m}{\sqrt{\hat v} + \epsilon}, \qquad
        \hat m = \frac m{1 - e^{-at}}, \qquad \hat v = \frac v{1 - e^{-bt}}

    where 1 - β₁ = a·lr and 1 - β₂ = b·lr. The corrected averages start at m̂ = g and v̂ = g², and obey
    m̂' = a(g - m̂)/(1 - e^{-at}) and its like; m and v, which the state holds, are regular at t = 0. With `amsgrad`
    the largest v so far stands in the place of v.

    Parameters
    ----------
    gradient_rate : float or array (*batch,)
        Rate a > 0 at which the average gradient forgets, (1 - beta1)/lr, per unit time.
    square_rate : float or array (*batch,)
        Rate b > 0 at which the average square forgets, (1 - beta2)/lr, per unit time. The defaults are those of Adam's.
    eps : float or array (*batch,)
        ε >= 0, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|θ|².
    amsgrad : bool
        Whether the average square may never shrink.

    Raises
    ------
    ValueError
        If a rate is not positive, another hyperparameter is negative, a value is not finite, or batch axes do not
        broadcast; on running from t = 0 with averages that are not zero, or from a negative time.
    TypeError
        If amsgrad is no bool.

    Notes
    -----
    With `amsgrad` the field jumps where v overtakes its maximum. Explicit solvers (the default is one) get over that
    with small steps; Radau and BDF, which take differences across the jump, do not: their errors are then large.

    References
    ----------
    Barakat, Bianchi, "Convergence and dynamical behavior of the Adam algorithm for nonconvex stochastic optimization",
    SIAM J. Optim. 31, 2021. Da Silva, Gazeau, "A general system of differential equations to model first-
    order adaptive algorithms", J. Mach. Learn. Res. 21, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> flow, loss = hb.AdamFlow(gradient_rate=2.0, square_rate=0.5), hb.rosenbrock()
    >>> run = hb.integrate(flow, loss, [-1.0, 1.5], duration=1.0)
    >>> steps = hb.iterate(flow.method(lr=0.001), loss, [-1.0, 1.5], steps=1000)
    >>> bool(np.abs(run.position[-1] - steps.position[-1]).max() < 2e-3)
    True
    """

    gradient_rate: Hyperparameter = 100.0
    square_rate: Hyperparameter = 1.0
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def method(self, lr: Hyperparameter) -> Adam:
        """Return Adam at the learning rate `lr` > 0 with averages as long as the flow's: step k is at t = k·lr."""
        beta1, beta2 = _betas(self, lr)
        return Adam(lr, beta1, beta2, self.eps, self.weight_decay, self.amsgrad)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:  # noqa: ARG002
        """Start at `position` with empty averages; they average gradients, so `velocity` is not used."""
        return _empty(self, position)

    def vector_field(self, t: Any, state: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:
        """Average the gradient of the penalized loss and its square, and move along their corrected quotient."""
        return _drift(self, t, state, penalized(self, state.position, objective), 0.0)


@dataclass(frozen=True, eq=False)
class AdamWFlow(Record):
    r"""The limit of AdamW as lr → 0, in the time t = k·lr: Adam's flow with decoupled weight decay.

    .. math:: \dot\theta = -w\theta - \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    with m̂ and v̂ those of `AdamFlow` for g = ∇f(θ).

    Parameters
    ----------
    gradient_rate, square_rate : float or array (*batch,)
        Rates a, b > 0 of the averages, (1 - beta1)/lr and (1 - beta2)/lr, per unit time.
    eps : float or array (*batch,)
        ε >= 0, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.
    weight_decay : float or array (*batch,)
        Decay w >= 0, per unit time.
    amsgrad : bool
        Whether the average square may never shrink.

    Raises
    ------
    ValueError, TypeError
        As `AdamFlow`.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2.

    Examples
    --------
    Where the loss is flat only the decay is left:

    >>> import heavyball_dynamics as hb
    >>> flow = hb.AdamWFlow(weight_decay=0.5)
    >>> hb.integrate(flow, hb.Quadratic([0.0]), [1.0], times=[0.0, 2.0]).position[:, 0].round(6)
    array([1.      , 0.367879])
    """

    gradient_rate: Hyperparameter = 100.0
    square_rate: Hyperparameter = 1.0
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 1e-2
    amsgrad: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def method(self, lr: Hyperparameter) -> AdamW:
        """Return AdamW at the learning rate `lr` > 0 with averages as long as the flow's: step k is at t = k·lr."""
        beta1, beta2 = _betas(self, lr)
        return AdamW(lr, beta1, beta2, self.eps, self.weight_decay, self.amsgrad)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:  # noqa: ARG002
        """Start at `position` with empty averages; they average gradients, so `velocity` is not used."""
        return _empty(self, position)

    def vector_field(self, t: Any, state: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:
        """Shrink the position and move as Adam does."""
        return _drift(self, t, state, objective.gradient(state.position), -self.weight_decay * state.position)


@dataclass(frozen=True, eq=False)
class SignFlow(Record):
    r"""The limit of Adam, AdamW without decay, and RMSProp as lr → 0 with fixed betas, in the time t = k·lr.

    .. math:: \dot\theta = -\frac g{|g| + \epsilon}

    The averages are then short in this time, and every coordinate moves at a speed just below 1.

    Parameters
    ----------
    eps : float or array (*batch,)
        ε > 0, in units of the gradient.

    Raises
    ------
    ValueError
        If eps is not positive: without it the flow is not continuous where a gradient changes its sign.

    References
    ----------
    Ma, Wu, E, "A qualitative study of the dynamic behavior for adaptive gradient algorithms", arXiv:2009.06125.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> slope = hb.Quadratic([0.0, 0.0], linear=[-3.0, 1.0])
    >>> hb.integrate(hb.SignFlow(eps=1.0), slope, [0.0, 0.0], times=[0.0, 1.0]).position[-1].round(6)
    array([ 0.75, -0.5 ])
    """

    eps: Hyperparameter = 1e-8

    def __post_init__(self) -> None:
        self._set(eps=positive("eps", self.eps, "It smooths the sign."))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Start at `position`; the flow has no velocity of its own, so `velocity` is not used."""
        return PositionState(position)

    def vector_field(self, t: Any, state: PositionState, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Return minus the smoothed sign of the gradient."""
        gradient = objective.gradient(state.position)
        return PositionState(-gradient / (namespace(gradient).abs(gradient) + self.eps))


def _check(flow: Any) -> None:
    """Check and store the hyperparameters that both flows have."""
    flag("amsgrad", flow.amsgrad)
    rates = {name: positive(name, getattr(flow, name)) for name in ("gradient_rate", "square_rate")}
    others = {name: non_negative(name, getattr(flow, name)) for name in ("eps", "weight_decay")}
    flow._set(**rates, **others)  # noqa: SLF001
    batch_shape(flow)


def kept_shares(lr: Hyperparameter, **rates: Hyperparameter) -> Any:
    """Return 1 - rate·lr for each rate, the share that a method's average keeps in a step."""
    lr = positive("lr", lr)
    for name, rate in rates.items():
        # Of a batch of rates the one that a learning rate meets decides.
        hyperparameter(f"lr * {name}", lr * rate, rule="<= 1", check=lambda x: x <= 1,
                       remedy=f"At lr = 1/{name} an average forgets everything in one step.")  # fmt: skip
    return tuple(1 - rate * lr for rate in rates.values())


def _betas(flow: AdamFlow | AdamWFlow, lr: Hyperparameter) -> Any:
    return kept_shares(lr, gradient_rate=flow.gradient_rate, square_rate=flow.square_rate)


def _empty(flow: AdamFlow | AdamWFlow, position: Any) -> AdamState | AMSGradState:
    nothing = position - position
    return AMSGradState(position, *[nothing] * 3) if flow.amsgrad else AdamState(position, nothing, nothing)


def _filled(rate: Any, t: Any) -> Any:
    """Return 1 - e^{-rate·t}, the weight that an average has gathered by the time t."""
    if is_symbolic(t) or is_symbolic(rate):
        return 1 - namespace(t, rate).exp(-rate * t)
    return -np.expm1(-rate * t)


def _quotient(flow: AdamFlow | AdamWFlow, t: Any, average: Any, square: Any, gradient: Any) -> Any:
    """Return m̂/(√v̂ + ε), at t = 0 its limit."""
    if is_symbolic(t) or t > 0:
        xp = namespace(square)
        # Trial stages of a solver may leave the positive numbers.
        spread = xp.sqrt(xp.maximum(square, 0.0) / _filled(flow.square_rate, t))
        return average / _filled(flow.gradient_rate, t) / (spread + flow.eps)
    return gradient / (namespace(gradient).abs(gradient) + flow.eps)


def _drift(flow: AdamFlow | AdamWFlow, t: Any, state: Any, gradient: Any, decay: Any) -> AdamState | AMSGradState:
    """Return the time derivative of the state, `decay` being what weight decay adds to that of the position."""
    require_time(t)
    if not is_symbolic(t) and t == 0:
        for name in state._fields[1:]:
            require_empty(name, getattr(state, name), "A resumed run goes on from its own time: times=[t, ...].")
    average, square = state.gradient_average, state.square_average
    towards = flow.gradient_rate * (gradient - average)
    spreading = flow.square_rate * (gradient * gradient - square)
    if not flow.amsgrad:
        return AdamState(decay - _quotient(flow, t, average, square, gradient), towards, spreading)
    xp, before = namespace(square, spreading), state.largest_square_average
    growing = xp.where(xp.less(square, before), 0.0, xp.maximum(spreading, 0.0))
    # After a step in which v overtakes its maximum this may be behind by the error of the step, but not for long.
    velocity = decay - _quotient(flow, t, average, xp.maximum(before, square), gradient)
    return AMSGradState(velocity, towards, spreading, growing)
