"""Nesterov's method as frameworks store it, which under a schedule is a method of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, non_negative
from heavyball_dynamics.algorithms.adaptive import flag


class BufferState(NamedTuple):
    """State of `LookAheadNesterov`: the stored parameters and the framework's momentum buffer, (*batch, dim) both.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.LookAheadNesterov(lr=0.5, momentum=0.9).init(np.array([1.0]), np.array([0.25]), hb.Quadratic([1.0]))
    BufferState(position=array([1.]), buffer=array([-0.5]))
    """

    position: Any
    buffer: Any


@dataclass(frozen=True, eq=False)
class LookAheadNesterov(Record):
    r"""Nesterov's method in the variables of torch and Keras: the position is the look-ahead point y.

    .. math::
        \text{outside (torch): } v_{k+1} = \beta_k v_k + g, \qquad y_{k+1} = y_k - \alpha_k(g + \beta_k v_{k+1}); \\
        \text{inside (Keras): } v_{k+1} = \beta_k v_k - \alpha_k g, \qquad y_{k+1} = y_k - \alpha_k g + \beta_k v_{k+1}

    with g = ∇f(y_k), and (1-β)g in its place where the buffer is an average. The sum of gradients outside is torch's,
    which a step with β = 0 leaves alone. While lr and momentum are constant these
    are the points y_k of `Nesterov`, from the same start at rest. Under a schedule of the momentum, outside also of the
    learning rate, they are not: no choice of lr and momentum in `Nesterov` then gives these iterates.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        The framework's learning rate α >= 0.
    momentum : float, array (*batch,) or schedule
        Momentum β.
    averaging : bool
        Whether the buffer averages gradients with the weight 1-β.
    outside : bool
        Whether the learning rate multiplies the buffer instead of sitting in it.

    Raises
    ------
    ValueError
        If lr is negative, a value is not finite, or batch axes do not broadcast; on starting with a displacement where
        lr is 0, outside.
    TypeError
        If a flag is no bool.

    References
    ----------
    torch.optim.SGD and keras.optimizers.SGD with nesterov=True. Bengio, Boulanger-Lewandowski, Pascanu, "Advances in
    optimizing recurrent networks", arXiv:1212.0901, eqs. (5) and (6).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> loss, start = hb.Quadratic([1.0, 0.1]), [1.0, 1.0]
    >>> stored = hb.iterate(hb.LookAheadNesterov(lr=0.5, momentum=0.5), loss, start, steps=20)
    >>> nesterov = hb.Nesterov(lr=0.5, momentum=0.5)
    >>> np.allclose(stored.position, nesterov.look_ahead(hb.iterate(nesterov, loss, start, steps=20)))
    True
    """

    lr: Hyperparameter
    momentum: Hyperparameter
    averaging: bool = False
    outside: bool = True

    def __post_init__(self) -> None:
        flag("averaging", self.averaging)
        flag("outside", self.outside)
        self._set(lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum))
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> BufferState:  # noqa: ARG002
        """Start at the look-ahead point `position` with the buffer of V_0 = `velocity`, a step's displacement."""
        if not self.outside:
            return BufferState(position, velocity)
        resting = 1 * (self.lr == 0)
        if np.any(resting) and np.any(resting * (velocity != 0)):
            raise ValueError(f"`velocity` must be 0 where lr is 0: no buffer moves the position. Received {velocity}.")
        return BufferState(position, (position - position) - velocity / (self.lr + resting))

    def step(self, k: int, state: BufferState, objective: ObjectiveLike) -> BufferState:  # noqa: ARG002
        """Update the buffer, and move by it as it will be after coasting."""
        pull = objective.gradient(state.position)
        if self.averaging:
            pull = (1 - self.momentum) * pull
        if self.outside:
            buffer = self.momentum * state.buffer + pull
            if not self.averaging:
                buffer = buffer + (1 * (self.momentum == 0)) * (state.buffer - pull)
            return BufferState(state.position - self.lr * (pull + self.momentum * buffer), buffer)
        buffer = self.momentum * state.buffer - self.lr * pull
        return BufferState(state.position - self.lr * pull + self.momentum * buffer, buffer)
