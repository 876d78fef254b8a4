"""The heavy ball with dampening, as torch spells it: the first gradient enters the buffer whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import combined, scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, non_negative
from heavyball_dynamics.algorithms.methods import _kinetic_energy
from heavyball_dynamics.algorithms.states import PhaseState


@dataclass(frozen=True, eq=False)
class DampenedHeavyBall(Record):
    r"""Heavy ball whose gradients are dampened, all but the first one.

    .. math::
        V_{k+1} = \beta V_k - (1-d)\,\eta\nabla f(x_k), \qquad x_{k+1} = x_k + V_{k+1}, \qquad
        V_1 = -\eta\nabla f(x_0) \text{ from } V_0 = 0

    Only the first step tells it from ``HeavyBall(effective_lr, momentum)``. `step` is that same rule at every k; the
    exception is made in `init`, which stores V_0 = -dη∇f(x_0)/β where the ball starts with V_0 = 0, so that the
    first step comes out as -η∇f(x_0). Where a start velocity is given, it stands for the buffer -V_0/η of an optimizer
    that has been running, and no exception is made. A buffer that is exactly zero after many steps cannot be told from
    a fresh one: resume such a run from its state.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position² / loss.
    momentum : float, array (*batch,) or schedule
        Momentum β. Where it is zero there is no buffer and the dampening is ignored.
    dampening : float or array (*batch,)
        Dampening d.

    Raises
    ------
    ValueError
        If lr is negative or a value is not finite.

    References
    ----------
    torch.optim.SGD: "buf = g" at the first step, "buf = momentum·buf + (1 - dampening)·g" afterwards.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> method = hb.DampenedHeavyBall(lr=0.5, momentum=0.5, dampening=0.5)
    >>> method.effective_lr
    0.25
    >>> state = method.init(np.array([1.0]), np.array([0.0]), hb.Quadratic([1.0]))
    >>> method.step(0, state, hb.Quadratic([1.0]))
    PhaseState(position=array([0.5]), velocity=array([-0.5]))
    """

    lr: Hyperparameter
    momentum: Hyperparameter
    dampening: Hyperparameter

    def __post_init__(self) -> None:
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum),
            dampening=finite("dampening", self.dampening),
        )  # fmt: skip

    @property
    def effective_lr(self) -> Hyperparameter:
        """Learning rate of every step but the first, (1-d)η, and η where the momentum is zero."""
        return combined(_dampened, self.lr, self.momentum, self.dampening)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:
        """Start at `position`; a batch element with V_0 = 0 starts with an empty buffer, the others resume."""
        has_buffer = np.not_equal(self.momentum, 0)
        fresh = np.all(np.equal(velocity, 0), axis=-1, keepdims=True) & has_buffer
        if not np.any(fresh):
            return PhaseState(position, velocity)
        # The gradient that the first step will see: the sample of step 0 where gradients are noisy.
        pull = self.lr * self.dampening * objective.at(0).gradient(position)
        shift = pull / (self.momentum + 1 * (self.momentum == 0))
        return PhaseState(position, np.where(fresh, -shift, velocity)[()])

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Keep a share of the last displacement and add the dampened gradient's."""
        velocity = self.momentum * state.velocity - self.effective_lr * objective.gradient(state.position)
        return PhaseState(state.position + velocity, velocity)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return β|V|²/(2(1-d)η), in units of the loss, (*batch, 1)."""
        return _kinetic_energy(self.effective_lr, self.momentum, state)


def _dampened(lr: Any, momentum: Any, dampening: Any) -> Any:
    # The product with 1 turns True into a number that arrays and SymPy expressions can be multiplied by.
    return lr * (1 - dampening * (1 * (momentum != 0)))
