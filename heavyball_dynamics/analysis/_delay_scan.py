"""Learning rates as loop gains, and stability limits of delayed rules by their eigenvalues."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape, map_arrays
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.algorithms.delayed import Delayed
from heavyball_dynamics.analysis._delay_loop import Loop
from heavyball_dynamics.analysis.linear import state_matrices
from heavyball_dynamics.analysis.tuning import _last_stable


def with_unit_lr(rule: Any) -> Any:
    """Return the rule with learning rate one, in an array where its own is one."""
    if not is_dataclass(rule) or "lr" not in {field.name for field in fields(rule)}:
        raise TypeError(
            f"`method` must be a dataclass with a field lr. Received {rule!r}. For other rules pass "
            'parameter="curvature".'
        )
    known: Any = rule
    lr = known.lr
    return replace(known, lr=np.ones(lr.shape) if isinstance(lr, np.ndarray) else 1.0)


def require_factor(rule: Any, loop: Loop, k: int | None) -> None:
    """Raise ValueError unless doubling the learning rate doubles the loop gain."""
    twice = Loop.of(state_matrices(replace(rule, lr=2 * rule.lr), k=k))
    frequency = np.array([[0.3], [1.1], [2.4]])
    rows = np.arange(len(loop.drive)).astype(float)
    one, two = (each.gain(np.broadcast_to(frequency, (3, len(rows))), rows) for each in (loop, twice))
    if not np.allclose(two, 2 * one, rtol=1e-9, atol=0):
        raise ValueError(
            "`method` must have a learning rate that is a factor of its loop gain for a limit in lr. "
            f'Received {rule!r}. parameter="curvature" takes it as it stands.'
        )


def by_eigenvalues(rule: Any, steps: FloatArray, parameter: str, k: int | None) -> tuple[FloatArray, FloatArray]:
    """Return limits and frequencies from the poles of the delayed rule, (row, delay)."""
    shape = batch_shape(rule)
    number = int(np.prod(shape))
    limit, frequency = np.full((2, number, len(steps)), np.nan)
    for column, delay in enumerate(steps):

        def loops(value: FloatArray, index: Any, delay: int = int(delay)) -> Any:
            chosen: Any = map_arrays(rule, lambda array: array.ravel()[index.astype(int)])
            if parameter == "lr":
                chosen, value = replace(chosen, lr=value), np.ones(len(value))
            with np.errstate(all="ignore"):
                return state_matrices(Delayed(chosen, delay), k=k).spectrum(value[:, None], 0.0)

        def margin(value: FloatArray, index: FloatArray, loops: Any = loops) -> FloatArray:
            return np.asarray(np.min(loops(value, index).conditions, axis=0)[..., 0])

        found = _last_stable(margin, np.ones(number))
        limit[:, column] = found
        fine = np.where((found > 0) & np.isfinite(found), found, 1.0)
        poles = loops(fine, np.arange(number)).poles[:, 0, 0]
        frequency[:, column] = np.abs(np.angle(poles))
    return limit, frequency


def labels(rule: Any, batch: tuple[int, ...]) -> tuple[str, ...]:
    """Return what tells the elements of a batch apart: the hyperparameters that vary."""
    if not batch:
        return ("",)
    varying = {
        field.name: getattr(rule, field.name) for field in (fields(rule) if is_dataclass(rule) else ())
        if isinstance(getattr(rule, field.name), np.ndarray)
    }  # fmt: skip
    telling = {name: values.ravel() for name, values in varying.items() if values.size and np.ptp(values) > 0}
    number = int(np.prod(batch))
    return tuple(", ".join(f"{name} {values[i]:.6g}" for name, values in telling.items()) for i in range(number))
