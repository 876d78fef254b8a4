"""Flows of RMSProp, AdaGrad and AdaDelta.

Sums and averages of squares that start at zero make the position start like √t. Such a flow runs in the root τ = √t of
the time, in which its solution is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import non_negative, positive
from heavyball_dynamics.algorithms._flow_start import after_zero, not_negative, over, root, slide
from heavyball_dynamics.algorithms.adam_flows import kept_shares
from heavyball_dynamics.algorithms.adaptive import AdaDelta, AdaGrad, RMSProp, flag, penalized
from heavyball_dynamics.algorithms.adaptive_states import AdaDeltaState, AdaGradState


class SquareAverageState(NamedTuple):
    """State of `RMSPropFlow`; both parts (*batch, dim).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.RMSPropFlow().init(np.array([3.0]), np.array([0.0]), hb.Quadratic([1.0]))
    SquareAverageState(position=array([3.]), square_average=array([9.]))
    """

    position: Any
    square_average: Any


@dataclass(frozen=True, eq=False)
class RMSPropFlow(Record):
    r"""The limit of RMSProp (without momentum, not centred) as lr → 0, where t = k·lr.

    .. math::
        g = \nabla f(\theta) + w\theta, \qquad
        \frac{d\theta}{dt} = -\frac g{\sqrt v + \epsilon}, \qquad \frac{dv}{dt} = b(g^2 - v)

    Its time is t, and it starts at v = g². With `from_zero` it starts at v = 0 as torch.optim does, where
    dθ/dt ≈ -sign(g)/√(bt), and **its time is τ = √t**: step k is at τ = √(k·lr), a trajectory's ``velocity`` is dθ/dτ,
    and

    .. math:: \frac{d\theta}{d\tau} = -\frac{2\tau g}{\sqrt v + \epsilon}, \qquad \frac{dv}{d\tau} = 2\tau b(g^2 - v)

    Parameters
    ----------
    square_rate : float or array (*batch,)
        Rate b > 0 at which the average square forgets, (1 - alpha)/lr, per unit of t. The default is that of RMSProp.
    eps : float or array (*batch,)
        ε >= 0, in units of the gradient. A coordinate whose gradient has always been zero rests. With `from_zero` it
        should not be 0 (the notes of `AdaGradFlow` hold here too).
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|θ|².
    from_zero : bool
        Whether the average square starts at zero, and the time is √t.

    Raises
    ------
    ValueError
        If square_rate is not positive, another hyperparameter is negative, a value is not finite, or batch axes do not
        broadcast; on running from a negative time.
    TypeError
        If from_zero is no bool.

    References
    ----------
    Ma, Wu, E, "A qualitative study of the dynamic behavior for adaptive gradient algorithms", arXiv:2009.06125.

    Examples
    --------
    On a constant slope, however steep, it goes as far as (2/b) artanh √(1 - e^{-bt}) if it starts at zero:

    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> slope, flow = hb.Quadratic([0.0], linear=[-7.0]), hb.RMSPropFlow(square_rate=1.0, eps=0.0, from_zero=True)
    >>> hb.integrate(flow, slope, [0.0], times=[0.0, 1.0]).position[-1].round(6)
    array([2.170077])
    >>> float(2 * np.arctanh(np.sqrt(1 - np.exp(-1))).round(6))
    2.170078
    """

    square_rate: Hyperparameter = 1.0
    eps: Hyperparameter = 1e-8
    weight_decay: Hyperparameter = 0.0
    from_zero: bool = False

    def __post_init__(self) -> None:
        flag("from_zero", self.from_zero)
        self._set(
            square_rate=positive("square_rate", self.square_rate), eps=non_negative("eps", self.eps),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )  # fmt: skip
        batch_shape(self)

    def method(self, lr: Hyperparameter) -> RMSProp:
        """Return RMSProp at `lr` > 0 with an average as long as the flow's; it starts at zero by itself."""
        (alpha,) = kept_shares(lr, square_rate=self.square_rate)
        return RMSProp(lr, alpha, self.eps, self.weight_decay)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> SquareAverageState:  # noqa: ARG002
        """Start at `position` with the square of its gradient, or zero; `velocity` is not used."""
        if self.from_zero:
            return SquareAverageState(position, position - position)
        gradient = penalized(self, position, objective)
        return SquareAverageState(position, gradient * gradient)

    def vector_field(self, t: Any, state: SquareAverageState, objective: ObjectiveLike) -> SquareAverageState:
        """Average the squares and divide the gradient by their root."""
        gradient, square = penalized(self, state.position, objective), state.square_average
        spreading = self.square_rate * (gradient * gradient - square)
        if self.from_zero:
            tau = after_zero(t)
            return SquareAverageState(slide(gradient, square, self.square_rate, tau, self.eps), 2 * tau * spreading)
        return SquareAverageState(-gradient * over(1, root(square) + self.eps), spreading)


@dataclass(frozen=True, eq=False)
class AdaGradFlow(Record):
    r"""The limit of AdaGrad as lr → 0; **its time is τ = lr·√k** at step k.

    .. math::
        g = \nabla f(\theta) + w\theta, \qquad
        \frac{d\theta}{d\tau} = -\frac{2\tau g}{\sqrt\Gamma + \epsilon}, \qquad \frac{d\Gamma}{d\tau} = 2\tau g^2,
        \qquad \Gamma(0) = \Gamma_0

    In t = τ² = k·lr² that is dθ/dt = -g/(√Γ + ε), dΓ/dt = g², whose solution starts like √t at Γ₀ = 0; in τ it is
    smooth. A trajectory's ``velocity`` is dθ/dτ. Γ is lr² times the method's sum, ε is lr times its eps: the limit at
    fixed eps has ε = 0.

    Parameters
    ----------
    initial_accumulator_value : float or array (*batch,)
        Γ₀ >= 0, in units of the gradient squared times time.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|θ|².
    eps : float or array (*batch,)
        ε >= 0, in units of √Γ. A coordinate whose gradient has always been zero rests.

    Raises
    ------
    ValueError
        If a hyperparameter is negative or not finite, or batch axes do not broadcast; on running from a negative time.

    Notes
    -----
    At ε = 0 and Γ₀ = 0 the field is not continuous where a gradient and its sum are zero. Explicit solvers and Radau
    start there all the same, but a coordinate whose gradient begins at zero and that motion keeps at zero has no
    solution, and its run no end: leave ε a little above zero.

    References
    ----------
    Da Silva, Gazeau, "A general system of differential equations to model first-order adaptive algorithms", J. Mach.
    Learn. Res. 21, 2020.

    Examples
    --------
    On a constant slope, however steep, θ = 2τ, and step k of the method is near 2·lr·√k:

    >>> import heavyball_dynamics as hb
    >>> slope, flow = hb.Quadratic([0.0], linear=[-5.0]), hb.AdaGradFlow()
    >>> hb.integrate(flow, slope, [0.0], times=[0.0, 1.0, 2.0]).position[:, 0].round(6)
    array([0., 2., 4.])
    >>> hb.iterate(flow.method(lr=0.01), slope, [0.0], steps=10_000, save_every=10_000).position[:, 0].round(3)
    array([0.   , 1.985])
    """

    initial_accumulator_value: Hyperparameter = 0.0
    weight_decay: Hyperparameter = 0.0
    eps: Hyperparameter = 1e-10

    def __post_init__(self) -> None:
        names = ("initial_accumulator_value", "weight_decay", "eps")
        self._set(**{name: non_negative(name, getattr(self, name)) for name in names})
        batch_shape(self)

    def method(self, lr: Hyperparameter) -> AdaGrad:
        """Return AdaGrad at `lr` > 0 with the same sum and ε in its own units: step k is at τ = lr·√k."""
        lr = positive("lr", lr)
        return AdaGrad(
            lr, weight_decay=self.weight_decay, initial_accumulator_value=self.initial_accumulator_value / lr**2,
            eps=self.eps / lr,
        )  # fmt: skip

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdaGradState:  # noqa: ARG002
        """Start at `position`; the flow has no velocity of its own, so `velocity` is not used."""
        return AdaGradState(position, position - position + self.initial_accumulator_value)

    def vector_field(self, t: Any, state: AdaGradState, objective: ObjectiveLike) -> AdaGradState:
        """Sum the squares and divide the gradient by the root of the sum; `t` is τ."""
        gradient = penalized(self, state.position, objective)
        tau = after_zero(t)
        velocity = slide(gradient, state.square_sum, 1, tau, self.eps)
        return AdaGradState(velocity, 2 * tau * gradient * gradient)


@dataclass(frozen=True, eq=False)
class AdaDeltaFlow(Record):
    r"""The limit of AdaDelta as lr → 0, in the time t = k·lr.

    .. math::
        g = \nabla f(\theta) + w\theta, \qquad \delta = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\,g, \qquad
        \dot\theta = -\delta, \qquad \dot u = b(\delta^2 - u), \qquad \dot v = b(g^2 - v), \qquad u(0) = v(0) = 0

    Parameters
    ----------
    square_rate : float or array (*batch,)
        Rate b > 0 at which both averages forget, (1 - rho)/lr, per unit time. The default is that of AdaDelta.
    eps : float or array (*batch,)
        ε > 0, inside both roots; without it nothing would start to move.
    weight_decay : float or array (*batch,)
        L2 penalty w >= 0: the loss is f + ½w|θ|².

    Raises
    ------
    ValueError
        If square_rate or eps is not positive, weight_decay is negative, a value is not finite, or batch axes do not
        broadcast.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, algorithm 1.

    Examples
    --------
    With averages that hardly change it is gradient flow for the time that they hardly change:

    >>> import heavyball_dynamics as hb
    >>> flow = hb.AdaDeltaFlow(square_rate=1e-9, eps=1.0)
    >>> hb.integrate(flow, hb.Quadratic([1.0]), [1.0], times=[0.0, 1.0]).position[:, 0].round(6)
    array([1.      , 0.367879])
    """

    square_rate: Hyperparameter = 0.1
    eps: Hyperparameter = 1e-6
    weight_decay: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        self._set(
            square_rate=positive("square_rate", self.square_rate), eps=positive("eps", self.eps),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )  # fmt: skip
        batch_shape(self)

    def method(self, lr: Hyperparameter) -> AdaDelta:
        """Return AdaDelta at `lr` > 0 with averages as long as the flow's: step k is at t = k·lr."""
        (rho,) = kept_shares(lr, square_rate=self.square_rate)
        return AdaDelta(lr, rho, self.eps, self.weight_decay)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AdaDeltaState:  # noqa: ARG002
        """Start at `position` with empty averages; the flow has no velocity of its own, so `velocity` is not used."""
        nothing = position - position
        return AdaDeltaState(position, nothing, nothing)

    def vector_field(self, t: Any, state: AdaDeltaState, objective: ObjectiveLike) -> AdaDeltaState:  # noqa: ARG002
        """Move along the gradient over its recent size, times the recent size of the motion."""
        gradient = penalized(self, state.position, objective)
        moved, square = state.step_average, state.square_average
        delta = root(not_negative(moved) + self.eps) / root(not_negative(square) + self.eps) * gradient
        return AdaDeltaState(
            -delta, self.square_rate * (gradient * gradient - square), self.square_rate * (delta * delta - moved)
        )
