"""Derivatives of the steps of any rule along a run on a constant gradient, by complex steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import FloatArray

_TINY = 1e-150  # its square vanishes beside any normal number, and so does the error
_CHECKED = 3  # steps whose derivatives are held against differences
_NUDGE, _AGREEMENT = 1e-5, 1e-4


class StepDerivative(NamedTuple):
    """Derivatives of the next state by the state, (*batch, state, state), and by the gradient, (*batch, state)."""

    A: FloatArray
    b: FloatArray


class Slope:
    """The loss g·x of one coordinate, with slopes g that broadcast against positions (…, 1)."""

    dim = 1

    def __init__(self, slope: Any) -> None:
        self._slope = slope

    def at(self, k: int) -> Slope:  # noqa: ARG002
        """Return itself."""
        return self

    def gradient(self, position: Any) -> Any:
        """Return g, in the shape of the positions."""
        return self._slope + 0.0 * position

    def value(self, position: Any) -> Any:
        """Return g·x."""
        return (self._slope * position)[..., 0]

    def hessian(self, position: Any) -> Any:
        """Return zeros."""
        return 0.0 * self.gradient(position)[..., None]

    def hessian_product(self, position: Any, vector: Any) -> Any:  # noqa: ARG002
        """Return zeros."""
        return 0.0 * vector


def response_derivatives(method: Method, around: FloatArray, last: int, kept: int) -> list[StepDerivative]:
    """Return the derivatives of the last `kept` steps of 0, …, last, on the constant gradient `around`, (*batch,).

    Raises
    ------
    ValueError
        If the rule cannot be differentiated by complex steps.
    """
    batch = batch_shape(at_step(method, 0), around.shape)
    slope = np.broadcast_to(around, batch)
    start = np.zeros((*batch, 1))
    first = append_axes(at_step(method, 0), 1).init(start, start, Slope(slope[..., None]))
    state = np.stack([np.broadcast_to(leaf, start.shape)[..., 0] for leaf in leaves(first)], axis=-1)
    found = []
    with np.errstate(all="ignore"):
        for k in range(last + 1):
            rule = append_axes(at_step(method, k), 2)
            after, derivative = _differentiate(rule, k, first, state, slope)
            if k < _CHECKED:
                _require_derivative(rule, k, first, state, slope, after, derivative)
            if k > last - kept:
                found.append(derivative)
            state = after
    return found


def _differentiate(
    rule: Method, k: int, template: Any, state: FloatArray, slope: FloatArray
) -> tuple[FloatArray, StepDerivative]:
    order = state.shape[-1]
    nudges = 1j * _TINY * np.eye(order + 1)
    result = _stepped(rule, k, template, state[..., None, :] + nudges[:, :order], slope[..., None] + nudges[:, order])
    slopes = np.swapaxes(result.imag / _TINY, -1, -2)
    return result.real[..., 0, :], StepDerivative(slopes[..., :order], slopes[..., order])


def _stepped(rule: Method, k: int, template: Any, states: Any, slopes: Any) -> Any:
    """Return the states (*batch, column, state) after step k on gradients (*batch, column)."""
    objective: Any = Slope(slopes[..., None])
    parts = [np.ascontiguousarray(states[..., i : i + 1]) for i in range(states.shape[-1])]
    shape = states.shape[:-1]
    after = leaves(rule.step(k, rebuild(template, parts), objective))
    return np.stack([np.broadcast_to(part, (*shape, 1))[..., 0] for part in after], axis=-1)


def _require_derivative(
    rule: Method, k: int, template: Any, state: FloatArray, slope: FloatArray, after: FloatArray, found: StepDerivative
) -> None:
    """Hold the derivatives against differences: absolute values, for one, lose the imaginary part without a word."""
    size = np.maximum(np.abs(state), np.abs(after))
    way = _NUDGE * np.random.default_rng(k).uniform(0.5, 1.0, state.shape[-1] + 1)
    nudge, push = way[:-1] * size, way[-1] * slope
    both = np.array([1.0, -1.0])
    ends = _stepped(rule, k, template, state[..., None, :] + both[:, None] * nudge[..., None, :],
                    slope[..., None] + both * push[..., None])  # fmt: skip
    measured = 0.5 * (ends[..., 0, :] - ends[..., 1, :])
    parts = np.concatenate([found.A * nudge[..., None, :], (found.b * push[..., None])[..., None]], axis=-1)
    scale = np.abs(parts).sum(axis=-1) + np.abs(measured)
    rounding = 1e-14 * (np.abs(after) + np.abs(state))
    if not np.all(np.abs(parts.sum(axis=-1) - measured) <= _AGREEMENT * scale + rounding):
        raise ValueError(
            f"{type(rule).__name__} cannot be differentiated by complex steps at step {k}: they do not agree with "
            "differences. Does it take absolute values, signs or whole numbers, or is `around` zero? Write |g| as "
            "sqrt(g·g) with hb.namespace."
        )
