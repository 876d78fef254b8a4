"""How any rule along a run on a constant gradient responds to other gradients.

Derivatives of its steps are taken by complex steps, exact to rounding; of rules that do not take complex numbers, the
runs themselves are compared.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis._complex_steps import on_complex_numbers

_TINY = 1e-150  # its square vanishes beside any normal number, and so does the error
_CHECKED = 3  # steps whose derivatives are held against differences
_NUDGE, _AGREEMENT = 1e-5, 1e-4
_SHARE, _SMOOTH = 1e-4, 1e-3  # by which gradients are changed, and how well both amounts have to agree


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


def response_derivatives(
    method: Method, around: FloatArray, last: int, kept: int
) -> list[StepDerivative] | None:
    """Return the derivatives of the last `kept` steps of 0, …, last, on the constant gradient `around`, (*batch,).

    None where the rule cannot be differentiated by complex steps: it does not take complex numbers, or loses their
    imaginary parts without a word, as absolute values do.
    """
    slope, first, state = _start(method, around)
    found = []
    with np.errstate(all="ignore"):
        for k in range(last + 1):
            rule = append_axes(at_step(method, k), 2)
            derivative, after = _differentiate(rule, k, first, state, slope)
            if derivative is None or (k < _CHECKED and not _agree(rule, k, first, state, slope, after, derivative)):
                return None
            if k > last - kept:
                found.append(derivative)
            state = after
    return found


def response_differences(
    method: Method, around: FloatArray, last: int, number: int
) -> tuple[FloatArray, FloatArray]:
    """Return weights and cumulative weights (*batch, number) of the gradients of the last steps of 0, …, last.

    Each gradient in turn is changed a little, to both sides and by two different amounts; the changes of the last
    displacement and position are extrapolated to none, with an error of fourth order.

    Raises
    ------
    ValueError
        If the sides or the amounts disagree: the rule is not differentiable there.
    """
    slope, first, state = _start(method, around)
    amounts = _SHARE * np.array([0.0, 1.0, -1.0, 0.5, -0.5])
    shape = (*slope.shape, len(amounts), number)
    states = np.broadcast_to(state[..., None, None, :], (*shape, state.shape[-1]))
    before = states
    with np.errstate(all="ignore"):
        for k in range(last + 1):
            changed = (np.arange(number) == last - k) * amounts[:, None]
            before = states
            states = _stepped(append_axes(at_step(method, k), 3), k, first, before,
                              slope[..., None, None] * (1 + changed))  # fmt: skip
        change = -np.stack([states[..., 0] - before[..., 0], states[..., 0]])
        # Differences are taken between runs, then divided: (kind, *batch, amount, weight) to (kind, *batch, weight).
        away = (change - change[..., :1, :])[..., 1:, :] / (amounts[1:] * slope[..., None])[..., None]
        whole, half = away[..., :2, :].mean(axis=-2), away[..., 2:, :].mean(axis=-2)
        noise = 1e-14 * np.abs(change[1, ..., 0, :]) / np.abs(_SHARE * slope)[..., None]
        scale = _SMOOTH * np.abs(away).max(axis=(-2, -1))[..., None] + noise
        # The two sides of a smooth curve come together as the change shrinks, those of a kink do not.
        wide, narrow = np.abs(away[..., 0, :] - away[..., 1, :]), np.abs(away[..., 2, :] - away[..., 3, :])
        smooth = (np.abs(whole - half) <= scale) & (wide >= 1.5 * narrow - 1e-3 * scale - noise)
    if not np.all(smooth):
        raise ValueError(
            f"{type(method).__name__} is not differentiable along its run on the gradient `around`. Received "
            f"{around.tolist()}: is it zero, where roots and signs have a kink?"
        )
    found = (4 * half - whole) / 3
    return found[0] + 0.0, found[1] + 0.0


def _start(method: Method, around: FloatArray) -> tuple[FloatArray, Any, FloatArray]:
    """Return the slopes (*batch,), a state to copy the structure of, and the state at rest, (*batch, state)."""
    rule = at_step(method, 0)
    batch = batch_shape(rule, around.shape)
    slope = np.broadcast_to(around, batch)
    start = np.zeros((*batch, 1))
    first = append_axes(rule, 1).init(start, start, Slope(slope[..., None]))
    return slope, first, np.stack([np.broadcast_to(leaf, start.shape)[..., 0] for leaf in leaves(first)], axis=-1)


def _differentiate(
    rule: Method, k: int, template: Any, state: FloatArray, slope: FloatArray
) -> tuple[StepDerivative | None, FloatArray]:
    """Return the derivatives, if the rule takes complex numbers, and the next state."""
    order = state.shape[-1]
    nudges = 1j * _TINY * np.eye(order + 1)
    states, slopes = state[..., None, :] + nudges[:, :order], slope[..., None] + nudges[:, order]
    result = on_complex_numbers(lambda: _stepped(rule, k, template, states, slopes))
    if result is None:
        return None, state
    found = np.swapaxes(result.imag / _TINY, -1, -2)
    return StepDerivative(found[..., :order], found[..., order]), result.real[..., 0, :]


def _stepped(rule: Method, k: int, template: Any, states: Any, slopes: Any) -> Any:
    """Return the states (*batch, column, state) after step k on gradients (*batch, column), for any column axes."""
    objective: Any = Slope(slopes[..., None])
    parts = [np.ascontiguousarray(states[..., i : i + 1]) for i in range(states.shape[-1])]
    shape = states.shape[:-1]
    after = leaves(rule.step(k, rebuild(template, parts), objective))
    return np.stack([np.broadcast_to(part, (*shape, 1))[..., 0] for part in after], axis=-1)


def _agree(
    rule: Method, k: int, template: Any, state: FloatArray, slope: FloatArray, after: FloatArray, found: StepDerivative
) -> bool:
    """Hold the derivatives against differences: absolute values, for one, lose the imaginary part without a word."""
    size = np.maximum(np.abs(state), np.abs(after))
    # At zero nothing gives the size of a change: one that is lost in no square root.
    slope_size = np.where(slope == 0, 1e-20, slope)
    way = _NUDGE * np.random.default_rng(k).uniform(0.5, 1.0, state.shape[-1] + 1)
    nudge, push = way[:-1] * size, way[-1] * slope_size
    both = np.array([1.0, -1.0])
    ends = _stepped(rule, k, template, state[..., None, :] + both[:, None] * nudge[..., None, :],
                    slope[..., None] + both * push[..., None])  # fmt: skip
    measured = 0.5 * (ends[..., 0, :] - ends[..., 1, :])
    parts = np.concatenate([found.A * nudge[..., None, :], (found.b * push[..., None])[..., None]], axis=-1)
    scale = np.abs(parts).sum(axis=-1) + np.abs(measured)
    rounding = 1e-14 * (np.abs(after) + np.abs(state))
    # A kink bends and may have no slope; at zero, squares do too.
    bend = np.where(slope[..., None] == 0, 0.0, ends[..., 0, :] + ends[..., 1, :] - 2 * after)
    fits = np.abs(parts.sum(axis=-1) - measured) <= _AGREEMENT * scale + rounding
    return bool(np.all(fits & (np.abs(bend) <= 1e-2 * scale + rounding)))
