"""Paths of a planar vector field inside a window, none of which blows up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heavyball_dynamics._batching import leaves, rebuild
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.algorithms.states import PositionState
from heavyball_dynamics.simulation.integration import integrate
from heavyball_dynamics.studies._plane import Plane

Field = Callable[[FloatArray], FloatArray]

_NEAR, _FAR = 1.25, 2.0  # half widths of the window up to which the field is left alone, and where it has come to rest



class _Slowed:
    """A vector field as a flow for `integrate`, brought to rest outside the window.

    Multiplying a field by a positive number changes no path, only the speed along it: so nothing blows up, however
    steep the loss is outside the picture. Inside `_NEAR` half widths of the window the field is what it was, unless a
    `pace` is given: then paths are run through at about one half width per unit time, slower where the speed, in half
    widths, falls below the pace.
    """

    def __init__(self, field: Field, limits: FloatArray, sign: float = 1.0, pace: float | None = None) -> None:
        self._field, self._sign, self._pace = field, sign, pace
        self._centre, self._half = limits.mean(axis=1), 0.5 * (limits[:, 1] - limits[:, 0])

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Start at `position`, a point of the plane."""
        return PositionState(position)

    def vector_field(self, t: float, state: PositionState, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Return the field, slowed down beyond the window."""
        room = np.clip((_FAR - self.distance(state.position)) / (_FAR - _NEAR), 0.0, 1.0)[..., None]
        brake = room**3 * (10 - 15 * room + 6 * room**2)
        slope = self._sign * self._field(state.position)
        if self._pace is not None:
            speed = np.linalg.norm(slope / self._half, axis=-1, keepdims=True)
            slope = slope / np.hypot(speed, self._pace)
        return PositionState(np.where(brake > 0, slope * brake, 0.0))

    def distance(self, point: FloatArray) -> FloatArray:
        """Return the distance from the centre in half widths of the window: 1 on its border."""
        return np.asarray(np.max(np.abs((point - self._centre) / self._half), axis=-1))


class _Sheet:
    """The plane as `integrate` wants an objective: two coordinates and nothing to be minimised."""

    dim = 2
    exact_hessian = False

    def value(self, position: Any, /) -> Any:
        """Return zero."""
        return np.zeros(np.shape(position)[:-1])

    def gradient(self, position: Any, /) -> Any:
        """Return zero."""
        return np.zeros(np.shape(position))

    def hessian(self, position: Any, /) -> Any:
        """Return zero."""
        return np.zeros((*np.shape(position), 2))

    def hessian_product(self, position: Any, vector: Any, /) -> Any:  # noqa: ARG002
        """Return zero."""
        return np.zeros(np.shape(vector))

    def at(self, k: int, /) -> _Sheet:  # noqa: ARG002
        """Return the same plane."""
        return self


def orbits(field: Field, limits: FloatArray, starts: FloatArray, times: FloatArray, rtol: float) -> FloatArray:
    """Return the orbits from `starts` (orbit, 2) at `times`, (orbit, time, 2).

    NaN where an orbit is outside the window, and for good once it has gone so far that its time is no longer true.
    """
    flow = _Slowed(field, limits)
    run = integrate(flow, _Sheet(), starts, times=times, method="LSODA", rtol=rtol, atol=rtol * _smallest(limits))
    return _inside(flow, run.position)


def orbits_in_phases(
    plane: Plane, limits: FloatArray, starts: FloatArray, times: FloatArray, rtol: float
) -> FloatArray:
    """Return the same of a flow that `integrate` runs by events: its field jumps where a body may come to rest."""
    parts = np.split(starts, len(leaves(plane.template)), axis=-1)
    run = integrate(
        plane.flow, plane.objective, rebuild(plane.template, parts), times=times, method="LSODA", rtol=rtol,
        atol=rtol * _smallest(limits),
    )  # fmt: skip
    points = run.position if len(parts) == 1 else np.concatenate([run.position, run.velocity], axis=-1)
    return _inside(_Slowed(plane.field, limits), points)


def _inside(flow: _Slowed, points: FloatArray) -> FloatArray:
    """Return orbits with NaN outside the window, and for good once they have gone far from it."""
    distance = flow.distance(points)
    gone = np.logical_or.accumulate(~(distance <= _NEAR), axis=-1)
    return np.where((gone | ~(distance <= 1 + 1e-12))[..., None], np.nan, points)


def branches(
    field: Field, limits: FloatArray, starts: FloatArray, *, backward: bool, pace: float, length: float, rtol: float
) -> FloatArray:
    """Return the paths from `starts` (branch, 2), with or against the field, (branch, point, 2).

    Points are about evenly spaced along each path; NaN where it is outside the window.
    """
    if not len(starts):
        return np.empty((0, 0, 2))
    flow = _Slowed(field, limits, sign=-1.0 if backward else 1.0, pace=pace)
    times = np.linspace(0.0, length, round(100 * length) + 1)
    run = integrate(flow, _Sheet(), starts, times=times, method="LSODA", rtol=rtol, atol=rtol * _smallest(limits))
    return np.where((flow.distance(run.position) <= 1 + 1e-12)[..., None], run.position, np.nan)


def _smallest(limits: FloatArray) -> float:
    return 0.01 * float(np.min(limits[:, 1] - limits[:, 0]))
