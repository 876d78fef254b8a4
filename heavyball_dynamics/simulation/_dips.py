"""Bounds that are met between two accepted points of a solver.

An oscillation may pass below a bound and leave again within one step, and how long a step is depends on the rest of the
batch. So the gradient and the value are sampled inside the step, interpolated (they are smooth, unlike the norm), and
searched for the first dip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heavyball_dynamics._types import BoolArray, FloatArray
from heavyball_dynamics.simulation._stack import Stack

# Chebyshev points of the unit interval, ends included, with their barycentric weights.
_NODES = 0.5 - 0.5 * np.cos(np.pi * np.arange(10) / 9)
_WEIGHTS = np.where(np.isin(np.arange(10), [0, 9]), 0.5, 1.0) * (-1.0) ** np.arange(10)
_FINE = np.linspace(0.0, 1.0, 33)
_CLOSE = np.linspace(-1.0, 1.0, 17)
_ROUNDS = 9  # of looking closer, each by a factor of eight


def _interpolation(at: FloatArray) -> FloatArray:
    """Return the weights of the nodes at points (…): (…, node)."""
    apart = at[..., None] - _NODES
    weights = _WEIGHTS / np.where(apart == 0, 1e-300, apart)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


_TO_FINE = _interpolation(_FINE)


class Bounds:
    """The bounds of `stop_when` on a stack of trajectories."""

    def __init__(self, stack: Stack, stop_when: Mapping[str, float]) -> None:
        self._stack = stack
        self._slope, self._value = stop_when.get("gradient_norm"), stop_when.get("value")

    def _measured(self, position: FloatArray) -> FloatArray:
        """Return what the bounds are on, as smooth functions: gradient and value, (…, trajectory, dim + 1)."""
        objective = self._stack.objective
        gradient = np.zeros_like(position) if self._slope is None else objective.gradient(position)
        value = np.zeros(position.shape[:-1]) if self._value is None else objective.value(position)
        return np.concatenate([gradient, np.asarray(value)[..., None]], axis=-1)

    def _margin(self, measured: FloatArray) -> FloatArray:
        margins = []
        if self._slope is not None:
            margins.append(np.linalg.norm(measured[..., :-1], axis=-1) - self._slope)
        if self._value is not None:
            margins.append(measured[..., -1] - self._value)
        return np.asarray(np.min(margins, axis=0))

    def margins(self, position: FloatArray) -> FloatArray:
        """Return the distance of each trajectory from the nearest of its bounds, (…, trajectory)."""
        return self._margin(self._measured(position))

    def first_dip(self, solution: Any, start: float, end: float) -> float | None:
        """Return a time inside a step at which a trajectory is below a bound, of several dips the first, or None."""
        times = start + (end - start) * _NODES
        samples = self._measured(self._stack.blocks(solution(times).T)[:, 0])
        sound: BoolArray = np.asarray(np.isfinite(samples).all(axis=(0, -1)))
        samples = np.where(sound[:, None], samples, np.inf)
        fine = self._margin(np.tensordot(_TO_FINE, samples, axes=1))
        fine = np.where(np.isnan(fine), np.inf, fine)
        below = fine <= 0
        when = np.where(below.any(axis=0), _FINE[below.argmax(axis=0)], np.inf)
        lowest = fine.argmin(axis=0)
        inside = (lowest > 0) & (lowest < len(_FINE) - 1)
        inner = np.flatnonzero(np.isinf(when) & inside & np.isfinite(fine.min(axis=0)))
        # A dip between two points is no deeper than what lies between them and their neighbours.
        at = lowest[inner]
        depth = np.maximum(fine[at - 1, inner], fine[at + 1, inner]) - fine[at, inner]
        inner = inner[fine[at, inner] <= depth]
        if inner.size:
            when[inner] = self._closer(samples[:, inner], _FINE[lowest[inner]])
        first = float(when.min())
        if not 0 < first < 1:
            return None
        time = start + (end - start) * first
        # The interpolation may err by a little: what counts is the solver's own curve.
        return time if self.margins(self._stack.blocks(solution(time))[0]).min() <= 0 else None

    def _closer(self, samples: FloatArray, centre: FloatArray) -> FloatArray:
        """Return where the lowest points of some trajectories lie if they are below a bound, else infinity."""
        half, low = 1.0 / (len(_FINE) - 1), np.full(len(centre), np.inf)
        for _ in range(_ROUNDS):
            grid = np.clip(centre + half * _CLOSE[:, None], 0.0, 1.0)
            margin = self._margin(np.einsum("mnk,knc->mnc", _interpolation(grid), samples))
            best = margin.argmin(axis=0)[None, :]
            centre, low = (np.take_along_axis(values, best, axis=0)[0] for values in (grid, margin))
            half /= 8
        return np.where(low <= 0, centre, np.inf)
