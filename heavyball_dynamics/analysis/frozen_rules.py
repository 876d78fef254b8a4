"""Adaptive rules with the preconditioner held: what is left of one step is linear, coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import append_axes, leaves, rebuild
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import BoolArray, FloatArray, State
from heavyball_dynamics._validation import one_of
from heavyball_dynamics.analysis._complex_steps import Answering
from heavyball_dynamics.analysis.linear import StateMatrices

_TINY = 1e-150  # its square vanishes beside any normal number, and so does the error
_AGREEMENT = 1e-9
_ROUNDING = 1e-13
_HALVINGS = 56

# Parts of a state that make the preconditioner, and whether a step divides by their value after or before it.
HELD: Mapping[str, str] = MappingProxyType({
    "square_average": "after", "square_sum": "after", "variance": "after", "largest_square_average": "after",
    "step_average": "before", "momentum_product": "before",
})  # fmt: skip


@dataclass(frozen=True)
class FrozenRule:
    r"""One linear filter for all coordinates, and a learning rate for each.

    .. math:: z_j^+ = A z_j + \eta_j B\,(g_j + w_j x_j), \qquad x_j = z_{j0}

    Attributes
    ----------
    matrices : StateMatrices
        The filter, (*batch, …): a constant gradient of one leads to a displacement of minus one per step.
    learning_rate : array (*batch, dim)
        η_j, the displacement per step that a constant unit gradient of coordinate j would lead to.
    penalty : array (*batch, dim)
        w_j, curvature that the rule adds by itself: a weight decay that goes through the preconditioner.
    """

    matrices: StateMatrices
    learning_rate: FloatArray
    penalty: FloatArray


class _Linear(NamedTuple):
    """Steps z⁺ = Az + Bg, g asked for at Cz, of each coordinate: (*batch, dim, state, state), (*batch, dim, state)."""

    A: FloatArray
    B: FloatArray
    C: FloatArray


def _held_parts(method: Method, state: State, hold: Mapping[str, str] | None) -> dict[int, str]:
    """Return the leaves of a state that are held, and how; by default those named in `HELD`."""
    names = list(getattr(state, "_fields", ()))
    if len(names) != len(leaves(state)):
        raise ValueError(f"{type(method).__name__} must keep its state in a NamedTuple without further tuples in it. "
                         f"Received one of {len(leaves(state))} parts named {names}.")  # fmt: skip
    if hold is None:
        return {names.index(name): how for name, how in HELD.items() if name in names}
    for name, how in hold.items():
        one_of("hold", name, names[1:])
        one_of(f"hold[{name!r}]", how, ("after", "before"))
    return {names.index(name): how for name, how in hold.items()}


def frozen_rule(
    method: Method, k: int, state: State, gradient: FloatArray, hold: Mapping[str, str] | None = None
) -> FrozenRule:
    """Return step k of a rule as one linear filter and learning rates, with its preconditioner held.

    The rule's own step is differentiated by complex steps. Where it divides by the new value of an average of squares,
    the old value is moved along so that the new one stays. The linear step so found is held against the step itself.

    Parameters
    ----------
    method : Method
        Any rule that is linear in its state and in the gradient but for the held parts.
    k : int
        The step.
    state : state
        Before the step, parts (*batch, dim).
    gradient : array (*batch, dim)
        What the step receives.
    hold : mapping of str to str, optional
        Names of the held parts of the state, each "after" or "before": whether its value after the step or before it
        makes the preconditioner. By default those of `HELD` that the state has.

    Returns
    -------
    FrozenRule

    Raises
    ------
    ValueError
        If the step is not linear even so, or its coordinates are not filtered alike.
    """
    held = _held_parts(method, state, hold)
    shape = np.shape(gradient)
    values = np.stack([np.broadcast_to(np.asarray(leaf, dtype=float), shape) for leaf in leaves(state)], axis=-1)
    rule = append_axes(at_step(method, k), 1)
    with np.errstate(all="ignore"):
        linear, after = _linear_step(rule, k, state, values, gradient, held)
        kept = [i for i in range(values.shape[-1]) if i not in held]
        names = [name for i, name in enumerate(state._fields) if i in held]
        _require_linear(method, k, linear, values[..., kept], gradient, after[..., kept], names)
        seen = _reaching(linear)
        part = _Linear(linear.A[..., seen, :][..., seen], linear.B[..., seen], linear.C[..., seen])
        return _factored(method, k, part)


def _linear_step(
    rule: Method, k: int, template: State, values: FloatArray, gradient: FloatArray, held: Mapping[int, str]
) -> tuple[_Linear, FloatArray]:
    """Return the step on what is not held, and all of the state after it."""
    number = values.shape[-1]
    kept = [i for i in range(number) if i not in held]
    moved = [i for i, how in held.items() if how == "after"]
    nudges = np.broadcast_to(np.eye(number + 1), (*gradient.shape, number + 1, number + 1)).copy()
    if moved:
        own = _derivatives(rule, k, template, values, gradient, nudges)[0][..., moved, :]
        own = np.where(np.isfinite(own), own, 0.0)  # what is not finite is seen below
        # Of two averages that end as one number both may be moved along: any solution holds them.
        answer = -np.linalg.pinv(own[..., moved]) @ own
        for column in (*kept, number):
            nudges[..., moved, column] = answer[..., column]
    slopes, queries, after = _derivatives(rule, k, template, values, gradient, nudges)
    return _Linear(slopes[..., kept, :][..., kept], slopes[..., kept, number], queries[..., kept]), after


def _derivatives(
    rule: Method, k: int, template: State, values: FloatArray, gradient: FloatArray, nudges: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return derivatives of the state after step k (*batch, dim, state, direction), of the query, and that state."""
    # Directions come first, so that the arrays of the rule meet the batch axes of the positions.
    ways = 1j * _TINY * np.moveaxis(nudges, -1, 0)
    parts = [values[..., i] + ways[..., i] for i in range(values.shape[-1])]
    told = gradient + ways[..., -1]
    objective: Any = Answering(int(told.shape[-1]), lambda _: told)
    result = leaves(rule.step(k, rebuild(template, parts), objective))
    if len(objective.queries) != 1:
        raise ValueError(f"{type(rule).__name__} must ask for one gradient a step to have a frozen rule. It asked for "
                         f"{len(objective.queries)}.")  # fmt: skip
    after = np.stack([np.broadcast_to(part, ways.shape[:-1]) for part in result], axis=-1)
    query = np.broadcast_to(objective.queries[0], ways.shape[:-1])
    return np.moveaxis(after.imag / _TINY, 0, -1), np.moveaxis(query.imag / _TINY, 0, -1), after.real[0]


def _require_linear(
    method: Method, k: int, linear: _Linear, before: FloatArray, gradient: FloatArray, after: FloatArray,
    names: list[str],
) -> None:
    """Hold the linear step against the step itself: with the preconditioner held nothing else may be left."""
    parts = np.concatenate([linear.A * before[..., None, :], (linear.B * gradient[..., None])[..., None]], axis=-1)
    found = np.isfinite(parts).all(axis=(-2, -1)) & np.isfinite(after).all(axis=-1)
    if not found.all():
        where = tuple(int(i) for i in np.argwhere(~found)[0])
        raise ValueError(f"Step {k} of {type(method).__name__} is not finite at index {where} of the position. Has the "
                         "run diverged, or is eps = 0 where a gradient has always been zero?")  # fmt: skip
    scale = np.abs(parts).sum(axis=-1) + np.abs(after)
    if not np.all(np.abs(parts.sum(axis=-1) - after) <= _AGREEMENT * scale + np.finfo(float).tiny):
        raise ValueError(
            f"Step {k} of {type(method).__name__} is not linear with {' and '.join(names) or 'nothing'} held. Name the "
            "parts of the state that make its preconditioner, for example hold={'square_average': 'after'}; steps that "
            f"clip, or take absolute values or signs, have no frozen rule. Received {method!r}."
        )


def _reaching(linear: _Linear) -> list[int]:
    """Return the parts of the state that reach the position sooner or later; the others are no modes of it."""
    order = linear.A.shape[-1]
    ways = np.abs(linear.A)
    push = size = np.abs(linear.B)
    for _ in range(order):
        push = np.einsum("...ij,...j->...i", ways, push)
        size = size + push
    # What is left of a way that is held has the size of rounding.
    far = ways * size[..., None, :] > _ROUNDING * size[..., :, None]
    to = np.any(far, axis=tuple(range(linear.A.ndim - 2)))
    seen = {0, *(j for j in range(order) if np.any(linear.C[..., j] != 0))}
    for _ in range(order):
        seen |= {j for i in seen for j in range(order) if to[i, j]}
    return sorted(seen)


def _factored(method: Method, k: int, linear: _Linear) -> FrozenRule:
    """Split the coordinates' steps into penalty, learning rate, and one filter for all."""
    A, B, C = linear
    order = A.shape[-1]
    first = np.eye(order)[0]
    pull = A[..., :, 0] - first
    pull = np.where(np.abs(pull) <= 4 * np.finfo(float).eps * first, 0.0, pull)
    size = np.einsum("...i,...i->...", B, B)
    weight = np.einsum("...i,...i->...", pull, B) / np.where(size > 0, size, 1.0)
    # An L2 penalty acts as a gradient would, along B; a decay beside the preconditioner does not.
    off = np.abs(pull - weight[..., None] * B).max(axis=-1)
    along = (off <= _AGREEMENT * np.abs(pull).max(axis=-1)) & (weight > 0) & np.all(first == C)
    penalty = np.where(along, weight, 0.0)
    A = A.copy()
    A[..., :, 0] = first + np.where(along[..., None], 0.0, pull)
    if np.any(A[..., 1:, 0] != 0):
        raise ValueError(f"{type(method).__name__} has no frozen rule: other parts of its state than the position must "
                         "not depend on the position itself.")  # fmt: skip
    others = np.linalg.solve(np.eye(order - 1) - A[..., 1:, 1:], B[..., 1:, None])
    rate = -(B[..., 0] + np.einsum("...i,...i->...", A[..., 0, 1:], others[..., 0]))
    usable = np.isfinite(rate) & (rate > 0)
    if not usable.all():
        where = tuple(int(i) for i in np.argwhere(~usable)[0])
        raise ValueError(f"{type(method).__name__} has no learning rate at step {k}: a constant gradient of one leads "
                         f"to the displacement {-rate[where]:g} per step at index {where}.")  # fmt: skip
    _require_alike(method, k, A, B, C, rate)
    # That of the first coordinate, its position in units of its learning rate.
    unit = np.ones((*rate.shape[:-1], order))
    unit[..., 0] = rate[..., 0]
    matrices = StateMatrices(
        A=A[..., 0, :, :] / unit[..., :, None] * unit[..., None, :], B=(B[..., 0, :] / unit)[..., None],
        C=(C[..., 0, :] * unit / rate[..., :1])[..., None, :], D=np.zeros((*rate.shape[:-1], 1, 1)), discrete=True,
    )  # fmt: skip
    return FrozenRule(matrices, rate, penalty)


def _require_alike(
    method: Method, k: int, A: FloatArray, B: FloatArray, C: FloatArray, rate: FloatArray
) -> None:
    """Hold the impulse responses of the coordinates against each other: 2n numbers tell filters of order n apart."""
    state, found = B, []
    for _ in range(2 * A.shape[-1]):
        found.append(np.einsum("...i,...i->...", C, state) / rate)
        state = np.einsum("...ij,...j->...i", A, state)
    table = np.stack(found, axis=-1)
    if not np.all(np.abs(table - table[..., :1, :]) <= 1e-8 * np.abs(table).max(axis=(-2, -1), keepdims=True)):
        raise ValueError(f"{type(method).__name__} must filter all coordinates alike but for a factor, to have modes "
                         f"of its own at step {k}. Received {method!r}.")  # fmt: skip


def largest_curvature(matrices: StateMatrices) -> FloatArray:
    """Return the curvature, (*batch,), at which a filter of learning rate one first becomes unstable.

    Zero where it is unstable at small curvatures already, infinite where it bears all that were tried.
    """
    grid = np.geomspace(1e-3, 1e9, 97)

    def unstable(curvature: FloatArray) -> BoolArray:
        return np.asarray(np.abs(np.linalg.eigvals(matrices.loop(curvature))).max(axis=-1) >= 1)

    beyond = unstable(np.broadcast_to(grid, (*matrices.A.shape[:-2], len(grid))))
    first = np.argmax(beyond, axis=-1)
    low, high = np.log(grid[np.maximum(first - 1, 0)]), np.log(grid[first])
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        over = unstable(np.exp(middle)[..., None])[..., 0]
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    found = np.where(first == 0, 0.0, np.exp(high))
    return np.where(beyond.any(axis=-1), found, np.inf)
