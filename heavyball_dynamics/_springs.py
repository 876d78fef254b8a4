"""Closed loops by running a rule on springs, one for each curvature.

`state_matrices` opens the loop at the gradient. A rule that asks for Hessians, or that knows the modes of a quadratic,
has no such opening; on quadratics it is linear all the same, and one step from unit states yields its matrices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._probe import (
    NotLinearError,
    TimeNeededError,
    UnsetTime,
    call,
    frozen,
    response_row,
    time_needed,
)
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._types import FloatArray


class SpringModes(NamedTuple):
    """Curvatures, and the one coordinate as eigenvector."""

    eigenvalues: FloatArray
    eigenvectors: FloatArray


class Springs:
    """Springs f = ½λx² of one coordinate; curvatures (*batch, mode, 1, 1)."""

    constant_hessian = True
    exact_hessian = True
    dim = 1

    def __init__(self, curvature: FloatArray) -> None:
        self.curvature = curvature
        self.modes = SpringModes(curvature, np.eye(1))

    def at(self, k: int) -> Springs:  # noqa: ARG002
        """Return itself."""
        return self

    def value(self, position: Any) -> Any:  # noqa: ARG002
        """Refuse: a rule that looks at the value of the loss is not linear."""
        raise NotLinearError("it asks for the value of the loss")

    def gradient(self, position: Any) -> Any:
        """Return λx."""
        return self.curvature * position

    def hessian(self, position: Any) -> Any:
        """Return λ as a matrix."""
        return (self.curvature + 0.0 * position)[..., None]

    def hessian_product(self, position: Any, vector: Any) -> Any:  # noqa: ARG002
        """Return λv."""
        return self.curvature * vector

    def proximal_point(self, position: Any, weight: Any) -> Any:
        """Return the x with x + wλx = position."""
        return position / (1 + weight * self.curvature)

    def proximal_step(self, position: Any, weight: Any) -> Any:
        """Return the step from there to that point."""
        pull = weight * self.curvature
        return -pull * position / (1 + pull)


def spring_loops(algorithm: Algorithm, curvature: FloatArray, time: float | None = None) -> FloatArray:
    """Return what one step adds to a state (a flow: its time derivative) as matrices.

    Parameters
    ----------
    algorithm
        Flow or method, linear on quadratics.
    curvature : array (*batch, mode)
    time
        The step k or time t at which a rule that varies in time is frozen.

    Returns
    -------
    array (*batch, mode, state, state)

    Raises
    ------
    NotLinearError
        If the rule is not linear on quadratics.
    ValueError
        If it varies in time and no time is given.
    """
    springs = Springs(curvature[..., None, None])
    now = UnsetTime() if time is None else time
    try:
        at_hand = frozen(algorithm, now)
    except TimeNeededError:
        raise time_needed(algorithm) from None
    rule = append_axes(at_hand, 3)
    zero = np.zeros((1, 1))
    template = rule.init(zero, zero, springs)
    order = len(leaves(template))
    # Unit states, the zero state, and two combinations that betray a rule that is not linear.
    weights = np.random.default_rng(0).normal(size=(2, order)) * np.array([[1.0], [1e3]])
    basis = np.concatenate([np.eye(order), np.zeros((1, order)), weights])
    columns = [basis[:, i : i + 1] for i in range(order)]
    batch = np.broadcast_shapes((*batch_shape(at_hand), 1), curvature.shape)
    try:
        with np.errstate(all="ignore"):
            result = leaves(call(rule, now, rebuild(template, columns), springs))
            rows = [response_row(algorithm, part, (*batch, len(basis), 1)) for part in result]
        _require_parts(len(rows), order)
        response = np.stack(rows, axis=-2)
        discrete = not is_flow(algorithm)
        _require_linear(response[..., :order], response[..., order:], basis[order:], curvature, discrete=discrete)
    except TimeNeededError:
        raise time_needed(algorithm) from None
    except NotLinearError as error:
        raise NotLinearError(
            f"{type(algorithm).__name__} is not linear on quadratics ({error}), so it has no poles. "
            f"Received {algorithm!r}."
        ) from None
    matrix = response[..., :order]
    return np.asarray(matrix - np.eye(order) if discrete else matrix)


def _require_parts(returned: int, order: int) -> None:
    if returned != order:
        raise NotLinearError(f"one call returned {returned} of {order} parts")


def _require_linear(
    matrix: FloatArray, response: FloatArray, weights: FloatArray, curvature: FloatArray, *, discrete: bool
) -> None:
    finite = np.isfinite(matrix).all(axis=(-2, -1))
    if not finite.all():
        where = np.broadcast_to(curvature, finite.shape)[~finite][0]
        raise NotLinearError(f"a unit state led to a value that is not finite at curvature {where:g}")
    if np.any(response[..., 0] != 0):
        raise NotLinearError("it moves at rest in the minimum")
    # Of a step that ends at rest nothing is left but the rounding of the state that it began with.
    size = np.abs(matrix) @ np.abs(weights.T) + (1e-4 * np.abs(weights).sum(axis=1) if discrete else 0.0)
    if not np.all(np.abs(response - matrix @ weights.T) <= 1e-9 * size):
        raise NotLinearError("the response to a sum is not the sum of the responses")
