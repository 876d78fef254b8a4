"""Nesterov's method that forgets its momentum when it no longer helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import count, non_negative, one_of, positive
from heavyball_dynamics.algorithms.methods import Nesterov
from heavyball_dynamics.algorithms.states import PhaseState


class RestartState(NamedTuple):
    """State of `RestartedNesterov`: `age` is j, 0 before the first step; every part (*batch, dim).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.RestartedNesterov(lr=0.1).init(np.array([1.0]), np.array([0.0]), hb.Quadratic([1.0])).age
    array([0.])
    """

    position: Any
    velocity: Any
    age: Any
    speed: Any


@dataclass(frozen=True, eq=False)
class RestartedNesterov(Record):
    r"""Nesterov's method with growing momentum, restarted from zero momentum when the speed falls.

    .. math::
        y_k = x_k + \frac{j_k - 1}{j_k + r - 1}V_k, \qquad V_{k+1} = y_k - \eta\nabla f(y_k) - x_k, \qquad
        x_{k+1} = x_k + V_{k+1}, \\
        j_{k+1} = 1 \text{ if } |V_k| < |V_{k-1}| \text{ and } j_k \ge j_{\min}, \quad j_k + 1 \text{ otherwise}, \quad
        j_1 = 1

    Unrestarted it is ``Nesterov(lr, AcceleratedMomentum(r))``, which on strongly convex losses oscillates; restarted it
    converges linearly without knowing the strong convexity. The speed is that of a whole trajectory: a batch element
    restarts alone, its coordinates together.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate 0 <= η, at most 1/L for the theory, in units of position² / loss.
    r : float or array (*batch,)
        Friction r > 0 of the flow's damping r/t.
    minimum : int
        Steps j_min >= 1 between restarts.
    restart : {"speed", "gradient"}
        When: as the speed falls, or as the step goes uphill, ∇f(y_k)·V_{k+1} > 0; the latter takes effect at once.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range, or the restart is unknown.

    References
    ----------
    Su, Boyd, Candès, J. Mach. Learn. Res. 17, 2016, section 5.1, algorithm 1. O'Donoghue, Candès, "Adaptive restart for
    accelerated gradient schemes", Found. Comput. Math. 15, 2015, section 3.2 (gradient scheme).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> loss = hb.Quadratic(np.geomspace(1e-3, 1, 20))
    >>> plain = hb.Nesterov(1.0, hb.AcceleratedMomentum())
    >>> [bool(hb.iterate(m, loss, np.ones(20), 1000).value[-1] < 1e-9) for m in (plain, hb.RestartedNesterov(1.0))]
    [False, True]
    """

    lr: Hyperparameter
    r: Hyperparameter = 3.0
    minimum: int = 10
    restart: str = "speed"

    def __post_init__(self) -> None:
        one_of("restart", self.restart, ("speed", "gradient"))
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), r=positive("r", self.r),
            minimum=count("minimum", self.minimum, 1),
        )  # fmt: skip
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> RestartState:  # noqa: ARG002
        """Start at `position` without momentum: `velocity` counts for the speed alone."""
        nothing = 0 * position
        return RestartState(position, velocity, nothing, nothing)

    def step(self, k: int, state: RestartState, objective: ObjectiveLike) -> RestartState:  # noqa: ARG002
        """Step as Nesterov's method of this age, and grow older or restart."""
        here = PhaseState(state.position, state.velocity)
        momentum = self._momentum(state.age)
        query = state.position + momentum * state.velocity
        gradient = objective.gradient(query)
        velocity = momentum * state.velocity - self.lr * gradient
        if self.restart == "speed":
            speed = np.sqrt(np.sum(here.velocity**2, axis=-1, keepdims=True))
            failing = speed < state.speed
        else:
            speed = state.speed
            failing = np.sum(gradient * velocity, axis=-1, keepdims=True) > 0
        old = failing & (state.age >= self.minimum)
        age = np.where(old, 1.0, state.age + 1)
        return RestartState(state.position + velocity, velocity, age, speed + 0 * age)

    def kinetic_energy(self, state: RestartState) -> Any:
        """Return β|V|²/(2η) with the momentum of this age, in units of the loss, (*batch, 1)."""
        ball = Nesterov(self.lr, self._momentum(state.age[..., :1]))
        return ball.kinetic_energy(PhaseState(state.position, state.velocity))

    def _momentum(self, age: Any) -> Any:
        young = np.maximum(age, 1)
        return (young - 1) / (young + self.r - 1)
