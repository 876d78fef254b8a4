"""The heavy ball under a friction law, in discrete time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, is_symbolic, non_negative, positive
from heavyball_dynamics.algorithms.friction import PowerFriction, speed_of
from heavyball_dynamics.algorithms.methods import HeavyBall
from heavyball_dynamics.algorithms.states import PhaseState


@dataclass(frozen=True, eq=False)
class FrictionMethod(Record):
    r"""Polyak's heavy ball under a friction law, which acts with the new velocity.

    .. math::
        V_{k+1} + \eta a\left|\frac{V_{k+1}}{h}\right|^{p-1}\frac{V_{k+1}}{h} = \beta V_k - \eta\nabla f(x_k), \qquad
        x_{k+1} = x_k + V_{k+1}, \qquad h = \sqrt{m\eta}

    It agrees to order 1 in h with the flow mẍ + γẋ + a|ẋ|^(p-1)ẋ + ∇f(x) = 0 of damping γ = m(1-β)/h, started with
    V_0 = hẋ(0). Being implicit in the friction it never pushes: dry friction (p = 0) is the soft threshold of the
    norm by ηa, whatever the mass, and holds a ball at rest exactly where \|∇f\| <= a. Viscous friction (p = 1) makes a
    heavy ball with lr η/(1 + c) and momentum β/(1 + c), where c = a√(η/m).

    Parameters
    ----------
    lr : float or array (*batch,)
        Learning rate η >= 0, in units of position² / loss.
    momentum : float or array (*batch,)
        Momentum β, which stands for the linear part of the friction.
    friction : PowerFriction
        The friction law.
    mass : float or array (*batch,)
        Mass m > 0: it says how long a step lasts, and so how fast a displacement is.

    Raises
    ------
    ValueError
        If lr is negative, the mass is not positive, a value is not finite, or batch axes do not broadcast.
    TypeError
        If the friction is no `PowerFriction`.

    References
    ----------
    Adly and Attouch, "Finite convergence of proximal-gradient inertial algorithms combining dry friction with
    Hessian-driven damping", 2020: friction as a proximal step, and why it stops the iterates.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.FrictionMethod(lr=0.01, momentum=1.0, friction=hb.PowerFriction(coefficient=0.4, power=0.0))
    >>> run = hb.iterate(method, hb.Quadratic([1.0]), [3.0], steps=200)
    >>> run.position[[0, 150, 200], 0].round(2)
    array([ 3. , -0.2, -0.2])
    """

    lr: Hyperparameter
    momentum: Hyperparameter
    friction: PowerFriction
    mass: Hyperparameter = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.friction, PowerFriction):
            raise TypeError(
                f"`friction` must be a PowerFriction. Received {self.friction!r} of type "
                f"{type(self.friction).__name__}. Without friction the method is HeavyBall(lr, momentum)."
            )
        self._set(
            lr=non_negative("lr", self.lr), momentum=finite("momentum", self.momentum),
            mass=positive("mass", self.mass),
        )  # fmt: skip
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with V_0 = `velocity`, the displacement of one step."""
        return PhaseState(position, velocity)

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Make the heavy ball's displacement, and let friction take its share."""
        free = self.momentum * state.velocity - self.lr * objective.gradient(state.position)
        velocity = self._braked(free)
        return PhaseState(state.position + velocity, velocity)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return β|V|²/(2η), in units of the loss, (*batch, 1)."""
        return HeavyBall(self.lr, self.momentum).kinetic_energy(state)

    def _braked(self, free: Any) -> Any:
        """Return what friction leaves of a displacement: the weight is η/h^p, as friction is a power of V/h."""
        if is_symbolic(self.lr) or is_symbolic(self.mass) or is_symbolic(self.friction.power):
            xp, power = namespace(self.lr, self.mass, self.friction.power), _exact(self.friction.power)
            weight = xp.sqrt(self.lr) ** (2 - power) * xp.sqrt(_exact(self.mass)) ** -power
            return self.friction.proximal(free, weight)
        lr, mass, power = (np.asarray(part) for part in (self.lr, self.mass, self.friction.power))
        steep = (power > 2) & (lr > 0)
        with np.errstate(all="ignore"):
            weight = lr ** (1 - power / 2) * mass ** (-power / 2)
            # A step that takes no time has no speed: without lr there is no friction either.
            weight = np.where(lr == 0, 0.0, np.where(steep, np.sqrt(lr / mass), weight))
        if not steep.any():
            return self.friction.proximal(free, weight)
        # A large power of h leaves the range of numbers: there it is V/h itself that is braked.
        speed = speed_of(np.asarray(free)) / np.where(steep, np.sqrt(lr) * np.sqrt(mass), 1.0)
        return self.friction.share(speed, weight) * free


def _exact(number: Any) -> Any:
    """Return a whole number as an int, so that a formula has no decimals in its powers."""
    return int(number) if not is_symbolic(number) and number == int(number) else number
