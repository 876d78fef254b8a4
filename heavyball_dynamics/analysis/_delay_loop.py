"""Loop gains on the stability boundary, and where a delay turns them into -1."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._types import BoolArray, ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis.linear import StateMatrices

_TURN = 2 * np.pi
_ON_BOUNDARY = 1e-6  # an open-loop pole this close to the unit circle is followed to tell on which side it goes
_STILL = 1e-12  # a pole that comes less far inside stays on the boundary
_SLACK = 1.1  # how far a gain inside an interval of the grid may lie outside those at its ends
_AT_ONCE = 2_000_000  # numbers of a grid held at a time


class Loop(NamedTuple):
    """Loop gains L = -(C(z-A)⁻¹B + D) of unit curvature, one a row.

    ``increment`` (row, state, state) is A - 1, for flows A; ``drive`` is B (row, state, gradient), ``reading`` C (row,
    gradient, state), ``through`` D (row, gradient, gradient).
    """

    increment: FloatArray
    drive: FloatArray
    reading: FloatArray
    through: FloatArray
    discrete: bool

    @staticmethod
    def of(matrices: StateMatrices) -> Loop:
        """Return the loops of a rule, the batch flattened."""
        rows = math.prod(matrices.A.shape[:-2])
        parts = (matrices.increment, matrices.B, matrices.C, matrices.D)
        S, B, C, D = (part.reshape(rows, *part.shape[-2:]) for part in parts)
        return Loop(S, B, C, D, matrices.discrete)

    @property
    def inputs(self) -> int:
        """Number of gradients asked for."""
        return int(self.drive.shape[-1])

    def gain(self, frequency: FloatArray, row: Any, rank: Any = 0) -> ComplexArray:
        """Return L at z = exp(iω), for flows s = iω, for pairs of a frequency and a row.

        Of several gradients L is a matrix: its eigenvalue of the given rank, the largest one first.
        """
        which = np.asarray(row).astype(int)
        # z - 1 without cancellation: slow poles lie close to one.
        point = np.expm1(1j * frequency) if self.discrete else 1j * frequency
        order = self.increment.shape[-1]
        matrix = point[..., None, None] * np.eye(order) - self.increment[which]
        state = np.linalg.solve(matrix, self.drive[which].astype(complex))
        value = -(self.reading[which] @ state + self.through[which])
        if self.inputs == 1:
            return np.asarray(value[..., 0, 0])
        if not np.all(np.isfinite(value)):
            value = np.where(np.isfinite(value).all(axis=(-2, -1), keepdims=True), value, np.nan_to_num(value))
        found = np.linalg.eigvals(value)
        order_of = np.argsort(-np.abs(found), axis=-1, kind="stable")
        chosen = np.broadcast_to(np.asarray(rank).astype(int), found.shape[:-1])[..., None]
        return np.asarray(np.take_along_axis(found, np.take_along_axis(order_of, chosen, -1), -1)[..., 0])

    def poles(self) -> ComplexArray:
        """Return the poles of the open loop as z - 1, for flows s, (row, state)."""
        return np.linalg.eigvals(self.increment).astype(complex)

    def closed(self, gain: Any, row: int) -> ComplexArray:
        """Return the poles, as z - 1 or s, of one row under feedback by complex gains (…,): (…, state)."""
        feedback = gain / (1 - gain * self.through[row, 0, 0])
        push = feedback[..., None, None] * (self.drive[row] @ self.reading[row])
        return np.asarray(np.linalg.eigvals(self.increment[row] + push), dtype=complex)


def method_grid(loop: Loop) -> FloatArray:
    """Return frequencies in (0, π], dense at both ends and where poles come close to the circle: (row, frequency)."""
    near = np.geomspace(1e-9, np.pi, 220)
    base = np.concatenate([near, np.linspace(0, np.pi, 130)[1:-1], np.pi - near[near < 1], [np.pi + 1e-6]])
    return _with_clusters(base, np.abs(np.angle(1 + loop.poles())), 1e-9, np.pi + 1e-6)


def _with_clusters(base: FloatArray, centre: FloatArray, low: float, high: float) -> FloatArray:
    offsets = np.geomspace(1e-8, 0.3, 24)
    offsets = np.concatenate([-offsets, offsets])
    around = (centre[..., None] + offsets).reshape(len(centre), centre.shape[-1] * len(offsets))
    return np.asarray(np.sort(np.clip(np.concatenate([np.tile(base, (len(centre), 1)), around], axis=1), low, high)))


def first_crossings(loop: Loop, delays: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the smallest curvature at which a pole reaches the unit circle, and the frequency there.

    A pole is at exp(iω) where λ L(e^{iω}) e^{-iωd} = -1: where the phase of L falls behind by a half turn. That does
    not depend on λ, so frequencies are solved for and the curvature 1/|L| read off.

    Returns
    -------
    tuple of arrays (row, delay)
        Infinite and NaN where there is no crossing.
    """
    grid = method_grid(loop)
    rows = np.broadcast_to(np.arange(len(grid))[:, None], grid.shape)
    with np.errstate(all="ignore"):
        value = loop.gain(grid, rows)
        phase, size = np.unwrap(np.angle(value), axis=1), 1 / np.abs(value)
    limit = np.full((len(grid), len(delays)), np.inf)
    frequency = np.full(limit.shape, np.nan)
    # A pole at z = 1 itself: loops without an integrator whose gain has the wrong sign there.
    at_one = _gain_at_one(loop)
    wrong = at_one < 0
    limit[wrong], frequency[wrong] = -1 / at_one[wrong, None], 0.0
    step = max(1, _AT_ONCE // max(1, grid.size))
    for begin in range(0, len(delays), step):
        part = slice(begin, begin + step)
        found = _solved(loop, grid, phase, size, delays[part])
        for row, column, omega, gain in zip(*found, strict=True):
            if gain < limit[row, begin + column]:
                limit[row, begin + column], frequency[row, begin + column] = gain, omega
    return limit, np.minimum(frequency, np.pi)


def _gain_at_one(loop: Loop) -> FloatArray:
    """Return L(1), infinite where there is a pole."""
    result = np.full(len(loop.drive), np.inf)
    fine = np.abs(loop.poles()).min(axis=-1) > 1e-12
    result[fine] = loop.gain(np.zeros(int(fine.sum())), np.flatnonzero(fine)).real
    return result


def _solved(
    loop: Loop, grid: FloatArray, phase: FloatArray, size: FloatArray, delays: FloatArray
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Return row, delay index, frequency and gain of the crossings that may be the first ones."""
    turns = (phase[:, None] - delays[:, None] * grid[:, None] + np.pi) / _TURN  # (row, delay, frequency)
    level = np.floor(turns)
    many = np.abs(np.diff(level, axis=-1))
    low = np.minimum(size[:, :-1], size[:, 1:]) / _SLACK
    high = np.maximum(size[:, :-1], size[:, 1:]) * _SLACK
    best = np.min(np.where(many > 0, high[:, None], np.inf), axis=-1, keepdims=True)
    keep = (many > 0) & (low[:, None] <= best)
    row, column, cell = np.nonzero(keep)
    times = many[keep].astype(int)
    row, column, cell = (np.repeat(index, times) for index in (row, column, cell))
    count = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    target = np.minimum(level[row, column, cell], level[row, column, cell + 1]) + 1 + count
    left = phase[row, cell]

    def ahead(omega: FloatArray, who: FloatArray, delay: FloatArray, goal: FloatArray, near: FloatArray) -> FloatArray:
        angle = np.angle(loop.gain(omega, who))
        angle = near + (angle - near + np.pi) % _TURN - np.pi
        return np.asarray(angle - omega * delay + np.pi - _TURN * goal)

    if not len(row):
        empty = np.empty(0)
        return row, column, empty, empty
    known = (row.astype(float), delays[column].astype(float), target, left)
    with np.errstate(all="ignore"):
        omega = np.asarray(elementwise.find_root(ahead, (grid[row, cell], grid[row, cell + 1]), args=known).x)
        # Where the phase jumps, at a pole or a zero on the circle, there is nothing to find.
        true = np.abs(ahead(omega, *known)) < 1e-6
        gain = 1 / np.abs(loop.gain(omega, known[0]))
    return row[true], column[true], omega[true], gain[true]


def begins_stable(loop: Loop, delays: FloatArray, limit: FloatArray) -> BoolArray:
    """Tell whether all poles are inside the circle for curvatures below the first crossing, (row, delay)."""
    poles = loop.poles()
    excess = np.abs(1 + poles) - 1
    result = np.broadcast_to(~np.any(excess > _ON_BOUNDARY, axis=-1)[:, None], limit.shape).copy()
    bound = np.abs(excess) <= _ON_BOUNDARY
    scale = 0.01 * np.where(np.isfinite(limit), limit, 1.0)
    for row in np.flatnonzero(result.any(axis=1) & bound.any(axis=1)):
        # A lone pole at one goes the same way for every delay.
        lone = bound[row].sum() == 1 and abs(poles[row][bound[row]][0]) <= _ON_BOUNDARY
        asked = np.zeros(1) if lone else delays
        gains = scale[row].min(keepdims=True) if lone else scale[row]
        result[row] &= np.all(_moved(loop, int(row), poles[row], bound[row], asked, gains) < -_STILL, axis=0)
    return result


def _moved(
    loop: Loop, row: int, poles: ComplexArray, bound: BoolArray, delays: FloatArray, gains: FloatArray
) -> FloatArray:
    """Return |z| - 1 of the poles that leave the boundary under small gains, (pole, delay)."""
    found = []
    for i in np.flatnonzero(bound):
        # Poles that are equal part: each follows another one of the new poles.
        rank = int(np.sum(np.abs(poles[:i] - poles[i]) <= _ON_BOUNDARY))
        z = np.full(len(delays), 1 + poles[i])
        for turn in range(40):
            new = 1 + loop.closed(gains * z**-delays, row)
            order = np.argsort(np.abs(new - z[:, None]), axis=-1)[:, rank if turn == 0 else 0]
            before, z = z, np.take_along_axis(new, order[:, None], axis=-1)[:, 0]
            if np.all(np.abs(z - before) <= 1e-15):
                break
        found.append(np.abs(z) - 1)
    return np.stack(found)
