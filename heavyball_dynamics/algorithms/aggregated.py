"""Aggregated momentum: several memories of the gradients side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import count, finite, hyperparameter, non_negative
from heavyball_dynamics.algorithms.quasi_hyperbolic import _divisor


class AggregatedState(NamedTuple):
    """State of `AggregatedMomentum`: position, and a discounted sum of gradients for each momentum, all (*batch, dim).

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.AggregatedMomentum(lr=0.5, momenta=(0.0, 0.9)).init(np.array([1.0]), np.array([0.5]), hb.Quadratic([1.0]))
    AggregatedState(position=array([1.]), velocities=(array([1.]), array([1.])))
    """

    position: Any
    velocities: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class AggregatedMomentum(Record):
    r"""Aggregated momentum (AggMo): several memories of the gradients, averaged.

    .. math::
        v^{(i)}_{k+1} = \beta_i v^{(i)}_k - \nabla f(x_k), \qquad
        x_{k+1} = x_k + \eta\sum_{i=1}^K w_i v^{(i)}_{k+1}, \qquad w_i = \tfrac1K \text{ unless given}

    The short memories damp what the long ones would let oscillate. One memory is the heavy ball; momenta (0, β) with
    weights (1, β) are Nesterov's method seen from its look-ahead points.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position² / loss.
    momenta : tuple of float
        The momenta β_i: structure, not a batch axis.
    weights : tuple of float, optional
        The weights w_i; equal ones with sum 1 by default. The paper's rates γ_i are ηKw_i.

    Raises
    ------
    ValueError
        If lr is negative, momenta is empty, weights has another length, or a value is not finite.
    TypeError
        If momenta or weights is no tuple of numbers.

    Notes
    -----
    With a start velocity V_0 every memory begins with V_0/η.

    References
    ----------
    Lucas, Sun, Zemel, Grosse, "Aggregated momentum: stability through passive damping", ICLR 2019, eqs. (3) and (4);
    section 4 for Nesterov's method.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.AggregatedMomentum(lr=0.33, momenta=(0.0, 0.9, 0.99))
    >>> hb.analyze_modes(method, [0.01, 1.0]).rate.round(4)
    array([0.989 , 0.9455])
    """

    lr: Hyperparameter
    momenta: tuple[Hyperparameter, ...]
    weights: tuple[Hyperparameter, ...] | None = None

    def __post_init__(self) -> None:
        self._set(lr=scheduled(non_negative, "lr", self.lr), momenta=_numbers("momenta", self.momenta))
        if self.weights is not None:
            weights = _numbers("weights", self.weights)
            if len(weights) != len(self.momenta):
                raise ValueError(
                    f"`weights` must have one entry for each of the {len(self.momenta)} momenta. "
                    f"Received {self.weights!r}."
                )
            self._set(weights=weights)

    @classmethod
    def spaced(cls, lr: Hyperparameter, number: int = 3, ratio: float = 0.1) -> AggregatedMomentum:
        r"""Return the method whose memories are spaced exponentially, the paper's recommendation.

        .. math:: \beta_i = 1 - a^{i-1}, \qquad i = 1, \dots, K

        Parameters
        ----------
        lr : float or array (*batch,)
            Learning rate η >= 0.
        number : int
            Number K >= 1 of memories.
        ratio : float
            a, between 0 and 1: a step from one memory to the next is 1/a times longer.

        Returns
        -------
        AggregatedMomentum

        Raises
        ------
        ValueError
            If the ratio is not between 0 and 1 or the number is below 1.

        References
        ----------
        Lucas et al. 2019, section 3.1.

        Examples
        --------
        >>> import heavyball_dynamics as hb
        >>> hb.AggregatedMomentum.spaced(lr=0.1).momenta
        (0.0, 0.9, 0.99)
        """
        factor = hyperparameter("ratio", ratio, rule="between 0 and 1", check=lambda x: (x > 0) & (x < 1))
        return cls(lr, tuple(1 - factor**i for i in range(count("number", number, 1))))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> AggregatedState:  # noqa: ARG002
        """Start at `position`, every memory with `velocity`/η."""
        return AggregatedState(position, (velocity / _divisor(self.lr),) * len(self.momenta))

    def step(self, k: int, state: AggregatedState, objective: ObjectiveLike) -> AggregatedState:  # noqa: ARG002
        """Let every memory forget at its own pace, then move by their weighted sum."""
        gradient = objective.gradient(state.position)
        velocities = tuple(keep * v - gradient for keep, v in zip(self.momenta, state.velocities, strict=True))
        if self.weights is None:
            move = sum(velocities) / len(velocities)
        else:
            move = sum(weight * v for weight, v in zip(self.weights, velocities, strict=True))
        return AggregatedState(state.position + self.lr * move, velocities)


def _numbers(name: str, values: Any) -> tuple[Any, ...]:
    """Return a tuple of finite numbers or symbols."""
    if not isinstance(values, (tuple, list)):
        raise TypeError(
            f"`{name}` must be a tuple of numbers, one for each memory; an array would be a batch axis. "
            f"Received {values!r}."
        )
    if not values:
        raise ValueError(f"`{name}` must hold at least one number. Received {values!r}.")
    numbers = tuple(finite(f"{name}[{i}]", value) for i, value in enumerate(values))
    for i, number in enumerate(numbers):
        if getattr(number, "shape", ()) != ():
            raise TypeError(f"`{name}[{i}]` must be one number: tuples are never batched. Received {values[i]!r}.")
    return numbers
