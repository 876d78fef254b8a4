"""Stale gradients: any method with a delay in its loop, and the momentum that random delays amount to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from heavyball_dynamics._protocols import ObjectiveLike, require_method
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import count, hyperparameter, non_negative
from heavyball_dynamics.algorithms.methods import HeavyBall


class DelayedState(NamedTuple):
    """State of `Delayed`: that of the method inside, and the points whose gradients are still under way.

    ``history`` holds one tuple for each step of delay, the oldest first, with one point (*batch, dim) for each gradient
    that the method asks for in a step.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.Delayed(hb.GradientDescent(0.5), 2), hb.Quadratic([1.0]), [1.0], steps=3)
    >>> run.state.position, run.state.history
    (array([-0.5]), ((array([0.5]),), (array([0.]),)))
    """

    inner: Any
    history: tuple[tuple[Any, ...], ...]

    @property
    def position(self) -> Any:
        """Position of the method inside, (*batch, dim)."""
        return self.inner.position


@dataclass(frozen=True, eq=False)
class Delayed(Record):
    r"""A method whose gradients are stale by whole steps.

    .. math:: g_k = \nabla f(y_{k-d}), \qquad y_{-1} = y_{-2} = \dots = x_0

    where y_k is the point at which the method asks in step k: workers that need d steps to compute a gradient, while
    the others move the position on. Where a method asks for several gradients in a step each of them is late. On a mode
    of curvature λ, with L(z) the loop gain of the method, the poles are the roots of

    .. math:: 1 + z^{-d}L(z) = 0, \qquad \text{for gradient descent } z^{d+1} - z^d + \eta\lambda = 0

    Parameters
    ----------
    method : Method
        Any update rule that asks for gradients and for nothing else of a loss, a user's own included; its
        hyperparameters may be batched or scheduled.
    delay : int
        Staleness d >= 0 in steps: structure, not a batch axis. 0 is the method itself.

    Raises
    ------
    TypeError
        If the method is none (a flow, for example), or the delay no whole number; on running, if the method asks for
        more of the loss than gradients.
    ValueError
        If the delay is negative; on running, if steps ask for different numbers of gradients.

    Notes
    -----
    Only gradients are late: the kicks of a `Thermostat` are those of the step, as without delay.

    The state keeps the points, not their gradients. So a step costs as many gradients as one of the method (the start
    none), a noisy objective gives each step a sample of its own, ``objective.at(k)``, also at the start, and where a
    gradient is asked for is part of the state, as the probe of `state_matrices` needs it: the system of a method of n
    states that asks for m gradients a step has n + dm.

    References
    ----------
    Agarwal and Duchi, "Distributed delayed stochastic optimization", NeurIPS 2011; Lian, Huang, Li, Liu,
    "Asynchronous parallel stochastic gradient for nonconvex optimization", NeurIPS 2015.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> stale = hb.Delayed(hb.GradientDescent(lr=0.5), delay=2)
    >>> hb.iterate(stale, hb.Quadratic([1.0]), [1.0], steps=4).position[:, 0]
    array([ 1.  ,  0.5 ,  0.  , -0.5 , -0.75])
    >>> float(hb.analyze_modes(stale, [1.0]).rate[0].round(6))
    0.940556
    """

    method: Any
    delay: int

    def __post_init__(self) -> None:
        require_method("method", self.method)
        self._set(delay=count("delay", self.delay, 0))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> DelayedState:
        """Start the method; until the first of its own gradients comes back it gets those of the start."""
        inner = self.method.init(position, velocity, objective)
        asked = _Counted(objective)
        if self.delay:
            self.method.step(0, inner, asked)
        return DelayedState(inner, ((inner.position,) * asked.number,) * self.delay)

    def step(self, k: int, state: DelayedState, objective: ObjectiveLike) -> DelayedState:
        """Make one step of the method with the gradients of the points of `delay` steps ago."""
        if not self.delay:
            return DelayedState(self.method.step(k, state.inner, objective), ())
        stale = _Stale(objective, state.history[0])
        inner = self.method.step(k, state.inner, stale)
        if len(stale.asked) != len(state.history[0]):
            raise _uneven(self.method, len(stale.asked), len(state.history[0]))
        return DelayedState(inner, (*state.history[1:], tuple(stale.asked)))

    @property
    def velocity(self) -> Callable[[DelayedState, ObjectiveLike], Any] | None:
        """How the scheme inside reads dx/dt off a state; None where the method is no scheme."""
        own = getattr(self.method, "velocity", None)
        return (lambda state, objective: own(state.inner, objective)) if callable(own) else None

    def kinetic_energy(self, state: Any) -> Any:
        """Return the kinetic energy of the method inside, in units of the loss, (*batch, 1); 0 where it has none."""
        own = getattr(self.method, "kinetic_energy", None)
        inner = state.inner if isinstance(state, DelayedState) else state
        return 0.0 * inner.position[..., :1] if own is None else own(inner)


_OF_CURVATURE = ("modes", "spectrum", "matrix")
_FRESH = ("proximal_step", "proximal_point")  # rules go without where there is none


class _GradientsOnly:
    """A loss whose slope is told by gradients and by nothing else; what it gives besides, as kicks, it gives."""

    def __init__(self, objective: Any) -> None:
        self._objective = objective

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_objective" or name in _FRESH:
            raise AttributeError(name)
        if name in _OF_CURVATURE:
            raise _refused(f"the {name}")
        return getattr(self._objective, name)

    @property
    def dim(self) -> int:
        return int(self._objective.dim)

    def at(self, k: int) -> _GradientsOnly:  # noqa: ARG002
        """Return itself: whoever runs the method has chosen the sample of this step."""
        return self

    def value(self, position: Any) -> NoReturn:  # noqa: ARG002
        raise _refused("the value")

    def hessian(self, position: Any) -> NoReturn:  # noqa: ARG002
        raise _refused("the Hessian")

    def hessian_product(self, position: Any, vector: Any) -> NoReturn:  # noqa: ARG002
        raise _refused("the Hessian")


class _Counted(_GradientsOnly):
    """Answers every question with zero and counts them."""

    number = 0

    def gradient(self, position: Any) -> Any:
        self.number += 1
        return 0 * position


class _Stale(_GradientsOnly):
    """Answers the j-th question with the gradient at the j-th of given points, and notes where it was asked."""

    def __init__(self, objective: Any, points: tuple[Any, ...]) -> None:
        super().__init__(objective)
        self._points = points
        self.asked: list[Any] = []

    def gradient(self, position: Any) -> Any:
        self.asked.append(position)
        if len(self.asked) > len(self._points):
            raise ValueError(
                f"`method` must ask for the same number of gradients in every step to be delayed. Received one that "
                f"asked for more than the {len(self._points)} of its first step."
            )
        return self._objective.gradient(self._points[len(self.asked) - 1])


def _refused(what: str) -> TypeError:
    return TypeError(
        f"`method` must ask for nothing but gradients to be delayed. Received one that asks for {what} of the loss."
    )


def _uneven(method: Any, now: int, before: int) -> ValueError:
    return ValueError(
        "`method` must ask for the same number of gradients in every step to be delayed. "
        f"Received {method!r}, which asked for {now} after {before}."
    )


def implicit_momentum(lr: Hyperparameter, workers: Hyperparameter) -> HeavyBall:
    r"""Return the heavy ball that asynchronous gradient descent is on average.

    .. math::
        x_{k+1} = x_k - \eta\nabla f(x_{k-\tau_k}), \quad P(\tau = l) = (1-\beta)\beta^l
        \quad\Rightarrow\quad
        E[x_{k+1} - x_k] = \beta E[x_k - x_{k-1}] - (1-\beta)\eta E\nabla f(x_k)

    M workers whose computing times are exponentially distributed deliver gradients of that staleness, with
    β = 1 - 1/M: asynchrony is momentum that nobody asked for, and the gradients count 1/M each.

    Parameters
    ----------
    lr : float or array (*batch,)
        Learning rate η of the asynchronous gradient descent.
    workers : float or array (*batch,)
        Number M >= 1 of workers; the mean staleness is M - 1.

    Returns
    -------
    HeavyBall
        With lr η/M and momentum 1 - 1/M. If the gradients asked for before the start are those of x_0 it begins with
        the displacement V_0 = -η∇f(x_0); if they count as zero, with V_0 = 0.

    Raises
    ------
    ValueError
        If there is less than one worker, or lr is negative or not finite.

    Notes
    -----
    Exact in the mean where the gradient is linear, for every learning rate. Single runs scatter around that mean, and
    may diverge in the mean square where it converges.

    References
    ----------
    Mitliagkas, Zhang, Hadjis, Ré, "Asynchrony begets momentum, with an application to deep learning", Allerton 2016,
    arXiv:1605.09774: momentum from geometric staleness, and its value for M workers with exponential service times.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.implicit_momentum(lr=0.5, workers=4)
    HeavyBall(lr=0.125, momentum=0.75)
    """
    eta = non_negative("lr", lr)
    number = hyperparameter("workers", workers, rule=">= 1", check=lambda x: x >= 1)
    return HeavyBall(eta / number, 1 - 1 / number)
