"""A planar flow as a vector field on points (..., 2): what phase portraits are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape, leaves, rebuild
from heavyball_dynamics._protocols import Flow, ObjectiveLike, require_flow, require_objective
from heavyball_dynamics._types import ArrayLike, FloatArray, State
from heavyball_dynamics._validation import real_array
from heavyball_dynamics.algorithms.states import PhaseState

_SEARCH = 10.0  # stationary points are looked for this far from the origin where an objective names no window


@dataclass(frozen=True)
class Plane:
    """A flow on an objective whose state is two numbers."""

    flow: Flow
    objective: ObjectiveLike
    template: State

    @staticmethod
    def of(flow: Flow, objective: ObjectiveLike) -> Plane:
        """Check that flow and objective make an autonomous planar system."""
        require_flow("flow", flow)
        require_objective(objective)
        if batch_shape(flow) != ():
            raise ValueError(f"`flow` must have scalar parameters: a portrait is of one system. Received {flow!r}.")
        zero = np.zeros(objective.dim)
        plane = Plane(flow, objective, flow.init(zero, zero, objective))
        number = len(leaves(plane.template))
        if number * objective.dim != 2:
            raise ValueError(
                "`flow` and `objective` must make a system of two state variables, (position, velocity) of a loss with "
                f"one coordinate or the position alone of a loss with two. Received {number * objective.dim}: {number} "
                f"for each of {objective.dim} coordinates, from {flow!r}."
            )
        sample = np.array([[0.3, -0.7], [-0.2, 0.4]])
        with np.errstate(all="ignore"):
            early, late = plane.field(sample, 0.0), plane.field(sample, 1.0)
        if not np.array_equal(early, late, equal_nan=True):
            raise ValueError(f"`flow` must not depend on time: its orbits would cross. Received {flow!r}.")
        return plane

    def field(self, point: FloatArray, t: float = 0.0) -> FloatArray:
        """Return the time derivative at points (..., 2), of the same shape."""
        number, dim = len(leaves(self.template)), self.objective.dim
        parts = point.reshape(*point.shape[:-1], number, dim)
        state = rebuild(self.template, [parts[..., i, :] for i in range(number)])
        slope = leaves(self.flow.vector_field(t, state, self.objective))
        return np.concatenate([np.broadcast_to(part, (*point.shape[:-1], dim)) for part in slope], axis=-1)

    @property
    def labels(self) -> tuple[str, str]:
        """Names of the two axes, with their symbols."""
        symbols = getattr(self.objective, "symbols", None)
        if self.objective.dim == 2:
            names = [_tex(symbol) for symbol in symbols] if symbols else ["x_1", "x_2"]
            return f"${names[0]}$", f"${names[1]}$"
        name = _tex(symbols[0]) if symbols else "x"
        if isinstance(self.template, PhaseState):
            return f"position ${name}$", rf"velocity $\dot{{{name}}}$ (per unit time)"
        second = getattr(self.template, "_fields", ("", "second state"))[-1]
        return f"position ${name}$", str(second).replace("_", " ")

    def limits(self, given: ArrayLike | None) -> FloatArray:
        """Return the window, ((low, high), (low, high)), from what was given or from the objective."""
        if given is not None:
            return window("limits", given)
        across = self._position_window()
        if self.objective.dim == 2:
            return across
        reach = self._fastest(across[0])
        return np.array([across[0], [-reach, reach]])

    def _position_window(self) -> FloatArray:
        known = getattr(self.objective, "window", None)
        if known is not None:
            return np.asarray(known, dtype=np.float64)
        dim = self.objective.dim
        still = _stationary(self.objective, dim)
        if not len(still):
            raise ValueError(
                f"`limits` must be given: {self.objective!r} knows no window or minimizer, and its gradient does not "
                f"vanish within {_SEARCH:g} of the origin."
            )
        low, high = still.min(axis=0), still.max(axis=0)
        margin = np.where(high > low, 0.5 * (high - low), 1.0)
        return np.round(np.stack([low - margin, high + margin], axis=-1), 1)

    def _fastest(self, across: FloatArray) -> float:
        """Return the speed that a fall through the window would give, √(2Δf/m)."""
        value = np.asarray(self.objective.value(np.linspace(across[0], across[1], 201)[:, None]))
        drop = float(np.nanmax(value) - np.nanmin(value))
        mass = getattr(self.flow, "mass", 1.0)
        speed = float(np.sqrt(2 * drop / mass)) if isinstance(mass, (int, float)) else float(np.sqrt(2 * drop))
        return speed if np.isfinite(speed) and speed > 0 else 0.5 * float(across[1] - across[0])


def window(name: str, given: ArrayLike) -> FloatArray:
    """Return two increasing pairs (low, high), or say what is wrong with them."""
    limits = real_array(name, given)
    if limits.shape != (2, 2) or not np.all(limits[:, 0] < limits[:, 1]):
        raise ValueError(
            f"`{name}` must be two pairs, ((low, high), (low, high)) with low < high, for the horizontal and the "
            f"vertical axis. Received {given!r}."
        )
    return limits


def _tex(symbol: Any) -> str:
    import sympy

    return str(sympy.latex(symbol))


def _stationary(objective: ObjectiveLike, dim: int) -> FloatArray:
    """Return rough places (n, dim) where the gradient vanishes, from its signs on a grid around the origin."""
    axis = np.linspace(-_SEARCH, _SEARCH, 402)
    grid = np.stack(np.meshgrid(*[axis] * dim, indexing="xy"), axis=-1)
    with np.errstate(all="ignore"):
        slope = np.asarray(objective.gradient(grid))
    if dim == 1:
        sign = np.sign(slope[:, 0])
        at = np.flatnonzero(sign[:-1] * sign[1:] < 0)
        return np.asarray(0.5 * (axis[at] + axis[at + 1])[:, None])
    rows, columns = sign_cells(slope)
    return np.asarray(np.stack([axis[columns], axis[rows]], axis=-1) + 0.5 * (axis[1] - axis[0]))


def sign_cells(field: FloatArray) -> tuple[Any, Any]:
    """Return the rows and columns of the cells of a grid (row, column, 2) on which both components change sign."""
    corners = np.stack([field[:-1, :-1], field[:-1, 1:], field[1:, :-1], field[1:, 1:]])
    both = np.all((corners.min(axis=0) <= 0) & (corners.max(axis=0) >= 0), axis=-1)
    rows, columns = np.nonzero(both)
    return rows, columns
