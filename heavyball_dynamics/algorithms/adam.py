"""Adam and its family: average gradients over root mean squares, both freed from the zeros that they start at.

Definitions and defaults are those of torch.optim. The step k counts from 0, the t = k + 1 of torch and of the papers
from 1. A run that is resumed must therefore be told its `first_step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import hyperparameter, non_negative
from heavyball_dynamics.algorithms.adaptive import flag, penalized
from heavyball_dynamics.algorithms.adaptive_states import AdamState, AMSGradState, NAdamState


@dataclass(frozen=True, eq=False)
class Adam(Record):
    r"""Adam, its weight decay as an L2 penalty; with `amsgrad` AMSGrad.

    .. math::
        g = \nabla f(x_k) + w x_k, \qquad m_{k+1} = \beta_1 m_k + (1-\beta_1)g, \qquad
        v_{k+1} = \beta_2 v_k + (1-\beta_2)g^2, \\
        x_{k+1} = x_k - \eta\,\frac{m_{k+1}/(1-\beta_1^{k+1})}{\sqrt{v_{k+1}/(1-\beta_2^{k+1})} + \epsilon}

    AMSGrad puts the largest of v_1, …, v_{k+1} in the place of v_{k+1}, before the correction of the bias.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position.
    beta1, beta2 : float, array (*batch,) or schedule
        Shares of the averages that a step keeps, 0 <= β < 1.
    eps : float or array (*batch,)
        ε >= 0, outside the root, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|x|².
    amsgrad : bool
        Whether the average square may never shrink.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range or not finite, or batch axes do not broadcast.
    TypeError
        If amsgrad is no bool.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980, algorithm 1. Reddi, Kale, Kumar, "On the
    convergence of Adam and beyond", arXiv:1904.09237, algorithm 2 (without bias correction). torch.optim.Adam.

    Examples
    --------
    The first step has the length η in every coordinate:

    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.Adam(lr=0.125, eps=0.0), hb.Quadratic([1.0, 100.0]), [1.0, -1.0], steps=1)
    >>> run.position[-1]
    array([ 0.875, -0.875])
    """

    lr: Hyperparameter = 1e-3
    beta1: Hyperparameter = 0.9
    beta2: Hyperparameter = 0.999
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        flag("amsgrad", self.amsgrad)
        _check(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:  # noqa: ARG002
        """Start at `position` with empty averages; they average gradients, so `velocity` is not used."""
        return _empty(self, position)

    def step(self, k: int, state: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:
        """Average the gradient of the penalized loss and its square, and move by their quotient."""
        return _move(self, k, state, penalized(self, state.position, objective), state.position)


@dataclass(frozen=True, eq=False)
class AdamW(Record):
    r"""Adam with decoupled weight decay: the position shrinks by itself, and the averages see the loss alone.

    .. math::
        x_{k+1} = (1 - \eta w)x_k - \eta\,\frac{m_{k+1}/(1-\beta_1^{k+1})}{\sqrt{v_{k+1}/(1-\beta_2^{k+1})} + \epsilon}

    with m and v those of `Adam` for g = ∇f(x_k).

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position.
    beta1, beta2 : float, array (*batch,) or schedule
        Shares of the averages that a step keeps, 0 <= β < 1.
    eps : float or array (*batch,)
        ε >= 0, outside the root, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.
    weight_decay : float or array (*batch,)
        Decay w >= 0; a step takes the share ηw from the position.
    amsgrad : bool
        Whether the average square may never shrink, as in `Adam`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range or not finite, or batch axes do not broadcast.
    TypeError
        If amsgrad is no bool.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2. torch.optim.AdamW.

    Examples
    --------
    Where the loss is flat only the decay is left:

    >>> import heavyball_dynamics as hb
    >>> hb.iterate(hb.AdamW(lr=0.5, weight_decay=0.5), hb.Quadratic([0.0]), [1.0], steps=2).position[:, 0]
    array([1.    , 0.75  , 0.5625])
    """

    lr: Hyperparameter = 1e-3
    beta1: Hyperparameter = 0.9
    beta2: Hyperparameter = 0.999
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 1e-2
    amsgrad: bool = False

    def __post_init__(self) -> None:
        flag("amsgrad", self.amsgrad)
        _check(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:  # noqa: ARG002
        """Start at `position` with empty averages; they average gradients, so `velocity` is not used."""
        return _empty(self, position)

    def step(self, k: int, state: Any, objective: ObjectiveLike) -> AdamState | AMSGradState:
        """Shrink the position, then move as Adam does; the gradient is the one before shrinking."""
        shrunk = (1 - self.lr * self.weight_decay) * state.position
        return _move(self, k, state, objective.gradient(state.position), shrunk)


@dataclass(frozen=True, eq=False)
class NAdam(Record):
    r"""Adam with a look-ahead in the manner of Nesterov, and a momentum that grows.

    .. math::
        \mu_t = \beta_1(1 - \tfrac12\,0.96^{t\psi}), \qquad P_t = \mu_1\cdots\mu_t, \qquad t = k + 1, \\
        x_{k+1} = x_k - \eta\,\Big[\frac{(1-\mu_t)\,g}{1 - P_t} + \frac{\mu_{t+1}m_{k+1}}{1 - P_{t+1}}\Big]\Big/
        \Big(\sqrt{v_{k+1}/(1-\beta_2^t)} + \epsilon\Big)

    with m and v those of `Adam`.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position.
    beta1, beta2 : float, array (*batch,) or schedule
        Shares of the averages that a step keeps, 0 <= β < 1; β₁ is also the limit of the momentum μ.
    eps : float or array (*batch,)
        ε >= 0, outside the root, in units of the gradient. At ε = 0 a gradient that has always been zero gives NaN.
    weight_decay : float or array (*batch,)
        Weight decay w >= 0, an L2 penalty unless it is decoupled.
    momentum_decay : float or array (*batch,)
        ψ >= 0. The momentum grows from about β₁/2 to β₁ and has gone half the way after 17/ψ steps.
    decoupled_weight_decay : bool
        Whether the position shrinks by the share ηw instead, as in `AdamW`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range or not finite, or batch axes do not broadcast.
    TypeError
        If decoupled_weight_decay is no bool.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop, 2016, the algorithm called
    Nadam. torch.optim.NAdam.

    Examples
    --------
    Without momentum it is Adam without momentum:

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> methods = [kind(lr=0.1, beta1=0.0) for kind in (hb.NAdam, hb.Adam)]
    >>> runs = [hb.iterate(method, hb.rosenbrock(), [-1.0, 1.0], steps=9) for method in methods]
    >>> np.allclose(runs[0].position, runs[1].position)
    True
    """

    lr: Hyperparameter = 2e-3
    beta1: Hyperparameter = 0.9
    beta2: Hyperparameter = 0.999
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 0.0
    momentum_decay: Hyperparameter = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        flag("decoupled_weight_decay", self.decoupled_weight_decay)
        self._set(momentum_decay=non_negative("momentum_decay", self.momentum_decay))
        _check(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> NAdamState:  # noqa: ARG002
        """Start at `position` with empty averages; they average gradients, so `velocity` is not used."""
        nothing = position - position
        return NAdamState(position, nothing, nothing, nothing + 1)

    def step(self, k: int, state: NAdamState, objective: ObjectiveLike) -> NAdamState:
        """Move by the gradient and by the average as it will weigh in the next step."""
        t, origin = k + 1, state.position
        if self.decoupled_weight_decay:
            gradient = objective.gradient(origin)
            origin = (1 - self.lr * self.weight_decay) * origin
        else:
            gradient = penalized(self, origin, objective)
        average, square = _averages(self, state, gradient)
        momentum, following = self._momentum(t), self._momentum(t + 1)
        product = state.momentum_product * momentum
        ahead = (1 - momentum) / (1 - product) * gradient + following / (1 - product * following) * average
        return NAdamState(origin - self.lr * (ahead / _scale(self, square, t)), average, square, product)

    def _momentum(self, t: int) -> Any:
        return self.beta1 * (1 - 0.96 ** (t * self.momentum_decay) / 2)


def _check(method: Any) -> None:
    """Check and store the hyperparameters that all of the family have."""
    varying = {name: scheduled(_lasting_share, name, getattr(method, name)) for name in ("beta1", "beta2")}
    constants = {name: non_negative(name, getattr(method, name)) for name in ("eps", "weight_decay")}
    method._set(lr=scheduled(non_negative, "lr", method.lr), **varying, **constants)  # noqa: SLF001
    batch_shape(method)


def _lasting_share(name: str, value: Hyperparameter) -> Hyperparameter:
    return hyperparameter(name, value, rule=">= 0 and < 1", check=lambda x: (x >= 0) & (x < 1))


def _empty(method: Adam | AdamW, position: Any) -> AdamState | AMSGradState:
    nothing = position - position
    # A part that is not in use would be a mode that never decays.
    return AMSGradState(position, *[nothing] * 3) if method.amsgrad else AdamState(position, nothing, nothing)


def _averages(method: Any, state: Any, gradient: Any) -> tuple[Any, Any]:
    """Return the new averages of the gradient and of its square."""
    average = method.beta1 * state.gradient_average + (1 - method.beta1) * gradient
    return average, method.beta2 * state.square_average + (1 - method.beta2) * gradient * gradient


def _scale(method: Any, square: Any, t: int) -> Any:
    """Return the root of the corrected average square, plus ε."""
    corrected = square / (1 - method.beta2**t)
    return namespace(corrected).sqrt(corrected) + method.eps


def _move(method: Adam | AdamW, k: int, state: Any, gradient: Any, origin: Any) -> AdamState | AMSGradState:
    """Return the state after Adam's step from `origin`."""
    t = k + 1
    average, square = _averages(method, state, gradient)
    if method.amsgrad:
        before = state.largest_square_average
        largest = namespace(before, square).maximum(before, square)
    else:
        largest = square
    position = origin - method.lr * (average / (1 - method.beta1**t) / _scale(method, largest, t))
    return AMSGradState(position, average, square, largest) if method.amsgrad else AdamState(position, average, square)
