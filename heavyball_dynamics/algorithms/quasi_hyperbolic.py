"""Momentum methods that weight past gradients in other ways than the heavy ball.

Quasi-hyperbolic momentum gives the newest gradient a weight of its own, a controller reacts to its change. Both are one
and the same family of three parameters,

    x_{k+1} = x_k + β(x_k - x_{k-1}) - η∇f(y_k),        y_k = x_k + γ(x_k - x_{k-1}),

seen from its query points y: they hold y where the two-point form holds x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, hyperparameter, non_negative


class AverageState(NamedTuple):
    """State of `QuasiHyperbolicMomentum`: position and moving average of the gradients, both (*batch, dim).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.QuasiHyperbolicMomentum(lr=0.5, momentum=0.9).init(np.array([1.0]), np.array([0.5]), hb.Quadratic([1.0]))
    AverageState(position=array([1.]), average=array([-1.]))
    """

    position: Any
    average: Any


class ControllerState(NamedTuple):
    """State of `PIDMomentum`: position, displacement of the last step, gradient before it, all (*batch, dim).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.PIDMomentum(lr=0.5, momentum=0.9, derivative=0.1).init(np.array([1.0]), np.array([0.5]), hb.Quadratic([1.0]))
    ControllerState(position=array([1.]), velocity=array([0.5]), gradient=array([0.]))
    """

    position: Any
    velocity: Any
    gradient: Any


@dataclass(frozen=True, eq=False)
class QuasiHyperbolicMomentum(Record):
    r"""Quasi-hyperbolic momentum (QHM): a mean of a momentum step and a plain gradient step.

    .. math::
        g_{k+1} = \beta g_k + (1-\beta)\nabla f(x_k), \qquad
        x_{k+1} = x_k - \eta\big[(1-\nu)\nabla f(x_k) + \nu g_{k+1}\big]

    ν = 0 is gradient descent, ν = 1 the heavy ball in its averaging dialect, ν = β Nesterov's method seen from its
    look-ahead points. Every two-point form with momentum is one of these (`from_two_point`): Nesterov, triple momentum,
    robust momentum.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0 outside the average, in units of position² / loss. The canonical one is η(1-β).
    momentum : float, array (*batch,) or schedule
        Momentum β, the share of the average that is kept. Values of 1 and more are let through.
    discount : float or array (*batch,)
        Immediate discount ν, the weight of the average against the newest gradient.

    Raises
    ------
    ValueError
        If lr is negative or a value is not finite.

    Notes
    -----
    A start velocity V_0 stands for the average g_0 = -V_0/η: the displacement that the average alone would make.

    References
    ----------
    Ma and Yarats, "Quasi-hyperbolic momentum and Adam for deep learning", ICLR 2019, eqs. (3) and (4), table 1.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.Quadratic([1.0])
    >>> hb.iterate(hb.QuasiHyperbolicMomentum(lr=1.0, momentum=0.5, discount=0.5), loss, [1.0], steps=2).position[:, 0]
    array([ 1.    ,  0.25  , -0.0625])
    >>> run = hb.iterate(hb.Nesterov(lr=0.5, momentum=0.5), loss, [1.0], steps=2)
    >>> hb.Nesterov(lr=0.5, momentum=0.5).look_ahead(run)[:, 0]
    array([ 1.    ,  0.25  , -0.0625])
    """

    lr: Hyperparameter
    momentum: Hyperparameter
    discount: Hyperparameter = 0.7

    def __post_init__(self) -> None:
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum),
            discount=finite("discount", self.discount),
        )  # fmt: skip

    @classmethod
    def from_two_point(
        cls, lr: Hyperparameter, momentum: Hyperparameter, query_lead: Hyperparameter = 0.0
    ) -> QuasiHyperbolicMomentum:
        r"""Return the method whose positions are the query points of a two-point form.

        .. math:: \eta_{QHM} = \frac{\eta}{1-\beta}, \qquad \nu = 1 - \frac{1-\beta}\beta\gamma

        Parameters
        ----------
        lr : float or array (*batch,)
            Canonical learning rate η.
        momentum : float or array (*batch,)
            Momentum β < 1, not zero.
        query_lead : float or array (*batch,)
            γ in y = x + γV: 0 for the heavy ball, β for Nesterov, `query_lead` of `TripleMomentum`.

        Returns
        -------
        QuasiHyperbolicMomentum
            Started at y_0 = x_0 + γV_0 with the velocity V_0 it visits y_k.

        Raises
        ------
        ValueError
            If the momentum is zero or not below one, where the two families do not meet.

        References
        ----------
        Ma and Yarats 2019, appendix C.4 (synthesized Nesterov variants).

        Examples
        --------
        >>> import heavyball_dynamics as hb
        >>> hb.QuasiHyperbolicMomentum.from_two_point(lr=0.5, momentum=0.5, query_lead=0.5)
        QuasiHyperbolicMomentum(lr=1.0, momentum=0.5, discount=0.5)
        """
        lr, lead = non_negative("lr", lr), finite("query_lead", query_lead)
        keep = hyperparameter(
            "momentum", momentum, rule="< 1 and not 0", check=lambda x: (x < 1) & (x != 0),
            remedy="Without momentum there is no average; hb.GradientDescent has none.",
        )  # fmt: skip
        return cls(lr / (1 - keep), keep, 1 - (1 - keep) / keep * lead)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AverageState:  # noqa: ARG002
        """Start at `position` with the average -`velocity`/η."""
        return AverageState(position, -velocity / _divisor(self.lr))

    def step(self, k: int, state: AverageState, objective: ObjectiveLike) -> AverageState:  # noqa: ARG002
        """Average the gradient in, then mix the average with the gradient itself."""
        gradient = objective.gradient(state.position)
        average = self.momentum * state.average + (1 - self.momentum) * gradient
        move = (1 - self.discount) * gradient + self.discount * average
        return AverageState(state.position - self.lr * move, average)


@dataclass(frozen=True, eq=False)
class PIDMomentum(Record):
    r"""Momentum that also reacts to the change of the gradient, after the controller of industry.

    .. math::
        V_{k+1} = \beta V_k - \eta\nabla f(x_k) - d(1-\beta)\big(\nabla f(x_k) - \nabla f(x_{k-1})\big), \qquad
        x_{k+1} = x_k + V_{k+1}

    The paper keeps its integral and its filtered derivative in two buffers, I ← βI - η∇f and
    D ← βD + (1-β)(∇f - ∇f before); both forget alike, and V = I - dD is all that the positions see of them. For the
    same reason a proportional term is nothing new here: p∇f in each step is η raised by p(1-β) and d by pβ/(1-β).

    The derivative is a look-ahead in disguise: the positions are the query points of the two-point form with
    γ = d(1-β)/η. d = 0 is the heavy ball, d = ηβ/(1-β) Nesterov's method.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, the gain of the integral, in units of position² / loss.
    momentum : float, array (*batch,) or schedule
        Momentum β, by which both terms are filtered.
    derivative : float or array (*batch,)
        Gain d of the derivative, in the units of lr; positive values damp.

    Raises
    ------
    ValueError
        If lr is negative or a value is not finite.

    Notes
    -----
    The gradient before the first one counts as zero. Where a start velocity is given, it stands for I alone.

    References
    ----------
    An, Wang, Sun, Xu, Dai, Zhang, "A PID controller approach for stochastic optimization of deep networks", CVPR 2018,
    section 3; Ma and Yarats 2019, appendix E, on the dependence of the terms.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.PIDMomentum(lr=0.5, momentum=0.5, derivative=0.5)
    >>> hb.iterate(method, hb.Quadratic([1.0]), [1.0], steps=2).position[:, 0]
    array([ 1.    ,  0.25  , -0.0625])
    """

    lr: Hyperparameter
    momentum: Hyperparameter
    derivative: Hyperparameter

    def __post_init__(self) -> None:
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum),
            derivative=finite("derivative", self.derivative),
        )  # fmt: skip

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> ControllerState:  # noqa: ARG002
        """Start at `position` with V_0 = `velocity`, having seen no gradient."""
        return ControllerState(position, velocity, 0 * position)

    def step(self, k: int, state: ControllerState, objective: ObjectiveLike) -> ControllerState:  # noqa: ARG002
        """Keep a share of the last displacement; act on the gradient and on its change."""
        gradient = objective.gradient(state.position)
        change = (1 - self.momentum) * (gradient - state.gradient)
        velocity = self.momentum * state.velocity - self.lr * gradient - self.derivative * change
        return ControllerState(state.position + velocity, velocity, gradient)


def _divisor(lr: Any) -> Any:
    """Return lr, and 1 where it is zero: there the memory moves nothing, whatever it holds."""
    return lr + 1 * (lr == 0)
