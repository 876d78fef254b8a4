"""One step of any rule with its exact Jacobian, on a loss with a Hessian.

A rule that is linear in state and gradient has constant matrices. Any other rule is differentiated by complex steps:
it is called once more, with an infinitesimal imaginary part on each part of its state and on each gradient that it is
answered, and the imaginary parts of what it returns are derivatives without the cancellation of differences. The rule
never sees the loss there; how its gradients depend on the state is known from the Hessian at the points where it asks,

    J = A + B (1 - H D)⁻¹ H C,    H = diag(∇²f(y_1), …, ∇²f(y_p)).

That holds for rules that are analytic where they are used. A rule that takes absolute values of complex numbers, or
asks for more than gradients, is found out by comparison with differences, which then take the place of complex steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, leaves, rebuild
from heavyball_dynamics._listening import Listening
from heavyball_dynamics._probe import (
    Linearization,
    NotLinearError,
    TimeNeededError,
    UnsetTime,
    frozen,
    probe,
    time_needed,
)
from heavyball_dynamics._protocols import Method, ObjectiveLike
from heavyball_dynamics._types import FloatArray, State
from heavyball_dynamics.analysis._complex_steps import Answering, on_complex_numbers
from heavyball_dynamics.analysis.jacobian import step_jacobian
from heavyball_dynamics.objectives._differentiate import differentiate

_TINY = 1e-30  # the imaginary step, relative to what it is added to: its square is far below rounding
_STEP = 1e-6  # the step of the differences that confirm, relative to what it is added to
_NOTHING = 1e-150  # a number smaller than this has a square that is none
_AGREE = 1e-5  # how well they have to


class StepMap:
    """The map of one step on flat states (leaf · dim,), leaves first, and its Jacobian.

    Attributes
    ----------
    rule : Method
        With the schedules' values at the step k.
    start : array (leaf · dim,)
        The state at the start position, at rest.
    derivatives : str
        Where the Jacobians come from: "matrices", "complex steps" or "differences".
    """

    def __init__(self, method: Method, objective: ObjectiveLike, start: FloatArray, k: float | None) -> None:
        self._time: Any = UnsetTime() if k is None else k
        self._objective, self._dim = objective, objective.dim
        try:
            self.rule = frozen(method, self._time)
            self._method: Any = append_axes(self.rule, 1)
            self._template = self._method.init(start, np.zeros(self._dim), objective)
            self.start = self._flat(self._template, start.shape)
            self.step(self.start)
        except TimeNeededError:
            raise ValueError(f"{time_needed(method)} k=math.inf stands for the limit of long runs.") from None
        self._linear: Linearization | None = None
        self.derivatives = "differences"
        if not hasattr(objective, "hessian"):
            return
        try:
            self._linear = probe(method, k)
            self.derivatives = "matrices"
        except NotLinearError:
            # Somewhere along the way the averages are no longer zero.
            somewhere = orbit(self.step, self.start, self.number + 2)
            usual = somewhere[np.isfinite(somewhere).all(axis=-1)][-1]
            with np.errstate(all="ignore"):
                self.derivatives = "complex steps" if self.confirmed(usual) else "differences"

    @property
    def number(self) -> int:
        """Number of leaves of a state."""
        return len(self.start) // self._dim

    def state(self, flat: FloatArray) -> State:
        """Return flat states (*batch, leaf · dim) as a state with leaves (*batch, dim)."""
        return rebuild(self._template, list(np.moveaxis(self._parts(flat), -2, 0)))

    def step(self, flat: FloatArray) -> FloatArray:
        """Return the next flat states, for any batch of them."""
        with np.errstate(all="ignore"):
            after = self._method.step(self._time, self.state(flat), self._objective)
        return self._flat(after, (*flat.shape[:-1], self._dim))

    def jacobian(self, flat: FloatArray) -> FloatArray:
        """Return the Jacobian of the step at one flat state."""
        with np.errstate(all="ignore"):
            if self._linear is not None:
                return step_jacobian(self._linear, self._objective, self._parts(flat))
            exact = self._by_complex_steps(flat) if self.derivatives == "complex steps" else None
            return differentiate(self.step, flat) if exact is None else exact

    def confirmed(self, flat: FloatArray) -> bool:
        """Tell whether central differences agree with complex steps at one flat state.

        They are taken by what is not zero, in proportion to it: an average of squares may not turn negative.
        """
        exact = self._by_complex_steps(flat)
        if exact is None:
            return False
        moving = np.flatnonzero(np.abs(flat) > _NOTHING)
        if not len(moving):
            return True
        steps = np.zeros((len(moving), len(flat)))
        steps[np.arange(len(moving)), moving] = _STEP * flat[moving]
        # Row by row, since leaves have different units, and by the share that each column has in its row.
        change = (self.step(flat + steps) - self.step(flat - steps)).T / (2 * _STEP)
        wanted = exact[:, moving] * flat[moving]
        size = np.abs(wanted).max(axis=-1, initial=0.0) + 1e-3 * np.abs(self.step(flat))
        return bool(np.all(np.abs(change - wanted) <= _AGREE * size[:, None]))

    def _by_complex_steps(self, flat: FloatArray) -> FloatArray | None:
        """Return the exact Jacobian, or None where the rule does not take complex numbers."""
        listening = Listening(self._objective)
        self._method.step(self._time, self.state(flat), listening)
        asked, answers = listening.queries, listening.gradients
        dim, inner, outer = self._dim, len(flat), len(asked) * self._dim
        size = inner + outer
        numbers = np.concatenate([flat, *answers]) if answers else flat
        steps = _TINY * np.maximum(np.abs(numbers), 1.0)
        moved = numbers + 1j * np.diag(steps)
        given = [moved[:, inner + j * dim : inner + (j + 1) * dim] for j in range(len(asked))]
        replaying = Answering(dim, given.__getitem__)
        state = self.state(moved[:, :inner])
        after = on_complex_numbers(lambda: self._method.step(self._time, state, replaying))
        if after is None or len(replaying.queries) != len(asked):
            return None

        def slopes(values: list[Any]) -> FloatArray:
            full = [np.broadcast_to(np.asarray(value), (size, dim)) for value in values]
            both = np.concatenate(full, axis=-1) if full else np.zeros((size, 0))
            return np.asarray((both.imag / steps[:, None]).T)

        rows, queries = slopes(leaves(after)), slopes(replaying.queries)
        A, B, C, D = rows[:, :inner], rows[:, inner:], queries[:, :inner], queries[:, inner:]
        H = np.zeros((outer, outer))
        for j, point in enumerate(asked):
            here = slice(j * dim, (j + 1) * dim)
            H[here, here] = self._objective.hessian(point)
        return np.asarray(A + B @ np.linalg.solve(np.eye(outer) - H @ D, H @ C))

    def _parts(self, flat: FloatArray) -> FloatArray:
        return flat.reshape(*flat.shape[:-1], -1, self._dim)

    @staticmethod
    def _flat(state: State, shape: tuple[int, ...]) -> FloatArray:
        parts = []
        for leaf in leaves(state):
            if isinstance(leaf, UnsetTime):
                raise TimeNeededError
            parts.append(np.broadcast_to(np.asarray(leaf, dtype=np.float64), shape))
        return np.concatenate(parts, axis=-1)


def orbit(step: Callable[[FloatArray], FloatArray], start: FloatArray, period: int) -> FloatArray:
    """Return the states start, step(start), …, period + 1 of them, (period + 1, size)."""
    states = [start]
    for _ in range(period):
        states.append(step(states[-1]))
    return np.stack(states)
