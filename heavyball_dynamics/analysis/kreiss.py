"""The Kreiss constant: how far a matrix is from decaying at once, read from its resolvent."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._types import BoolArray, ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis._matrix_sizes import resolvent_norms

_SMALL = 8  # poles beside which resolvents are sampled


def kreiss_constants(moving: FloatArray, finite: BoolArray, *, discrete: bool) -> FloatArray:
    r"""Return the Kreiss constants, lower bounds of the growth of states.

    .. math::
        K = \sup_{|z| > 1} (|z| - 1)\|(z - M)^{-1}\|_2, \qquad K \le \max_k\|M^k\|_2 \le e\,n\,K

    for flows over Re s > 0 with Re s in place of |z| - 1. The plane is sampled on circles (lines) whose distances from
    the boundary grow geometrically and at angles beside those of the poles; the best places are refined.

    Parameters
    ----------
    moving : array (element, state, state)
    finite : array (element,)
        Where the powers are bounded.
    discrete : bool

    Returns
    -------
    array (element,)
        At least 1, the limit far away; infinite where not finite.

    References
    ----------
    Kreiss 1962; Spijker, BIT 31, 1991, for the factor e·n; Trefethen and Embree, "Spectra and Pseudospectra", 2005,
    sections 14 and 18.
    """
    found = np.full(len(moving), np.inf)
    index = np.flatnonzero(finite)
    # A grid of some thousand points each.
    for start in range(0, len(index), 256):
        part = index[start : start + 256]
        found[part] = _kreiss(moving[part], discrete=discrete)
    return found


def _kreiss(S: FloatArray, *, discrete: bool) -> FloatArray:
    poles = np.linalg.eigvals(S).astype(complex)
    if discrete:
        gap = np.maximum(1 - np.abs(1 + poles), 1e-13)
        centre = np.abs(np.angle(1 + poles))
        top: Any = np.pi
    else:
        size = np.abs(poles).max(axis=-1, keepdims=True)
        size = np.where(size > 0, size, 1.0)
        gap, centre = np.maximum(-poles.real, 1e-13 * size), np.abs(poles.imag)
        top = 3 * size

    def value(logarithm: FloatArray, angle: FloatArray, *, rough: bool = False) -> FloatArray:
        away = np.exp(logarithm)
        if discrete:
            # z - 1 without cancellation: (1 + a)e^{iθ} - 1.
            turn = 2j * np.sin(angle / 2) * np.exp(0.5j * angle)
            sigma: ComplexArray = turn + away * np.exp(1j * angle)
        else:
            sigma = away + 1j * angle
        return away * resolvent_norms(sigma, S, rough=rough)

    low, high = np.log(gap.min(axis=-1, keepdims=True)) - 3, np.log(gap.max(axis=-1, keepdims=True)) + 5
    logs = low + (high - low) * np.linspace(0.0, 1.0, 33)
    if S.shape[-1] > _SMALL:
        # The poles nearest to the boundary alone: others lie deep inside.
        nearest = np.argsort(gap, axis=-1)[:, :_SMALL]
        gap, centre = np.take_along_axis(gap, nearest, axis=-1), np.take_along_axis(centre, nearest, axis=-1)
    offsets = np.array([-10.0, -3.0, -1.0, 0.0, 1.0, 3.0, 10.0])
    beside = np.clip(np.abs(centre[..., None] + gap[..., None] * offsets), 0.0, top if discrete else top[..., None])
    angles = np.concatenate([top * np.broadcast_to(np.linspace(0.0, 1.0, 25), (len(S), 25)),
                             beside.reshape(len(S), -1)], axis=-1)  # fmt: skip
    angles = np.sort(angles, axis=-1)
    number = angles.shape[-1]
    grid_a, grid_b = np.repeat(logs, number, axis=-1), np.tile(angles, (1, logs.shape[-1]))
    large = S.shape[-1] > _SMALL
    samples = value(grid_a, grid_b, rough=large)
    best = np.ones(len(S))
    rows = np.arange(len(S))
    for _ in range(1 if large else 3):
        # The best places that are not neighbours of each other.
        at = np.argmax(samples, axis=-1)
        a, b = grid_a[rows, at], grid_b[rows, at]
        spacing_b = _spacing(angles, at % number)
        best = np.maximum(best, _zoom(value, a, b, (high - low)[:, 0] / 32, spacing_b, top, 20 if large else 40))
        near = (np.abs(grid_a - a[:, None]) < 1.0) & (np.abs(grid_b - b[:, None]) <= 2 * spacing_b[:, None])
        samples = np.where(near, 0.0, samples)
    return best


def _spacing(angles: FloatArray, at: IntArray) -> FloatArray:
    rows = np.arange(len(angles))
    low = angles[rows, np.maximum(at - 1, 0)]
    high = angles[rows, np.minimum(at + 1, angles.shape[-1] - 1)]
    return np.asarray(np.maximum(high - low, 1e-12))


def _zoom(
    value: Any, a: FloatArray, b: FloatArray, width_a: FloatArray, width_b: FloatArray, top: Any,
    rounds: int,
) -> FloatArray:
    """Return the largest value near (a, b), on ever finer grids of 5 × 5 points around the best."""
    offsets = np.linspace(-1.0, 1.0, 5)
    da, db = (x.ravel() for x in np.meshgrid(offsets, offsets))
    rows = np.arange(len(a))
    best = np.zeros(len(a))
    for _ in range(rounds):
        grid_a = a[:, None] + width_a[:, None] * da
        grid_b = np.clip(b[:, None] + width_b[:, None] * db, 0.0, top)
        samples = value(grid_a, grid_b)
        at = np.argmax(samples, axis=-1)
        best = np.maximum(best, samples[rows, at])
        moved_a, moved_b = np.abs(grid_a[rows, at] - a), np.abs(grid_b[rows, at] - b)
        a, b = grid_a[rows, at], grid_b[rows, at]
        # Finer only where the best is inside: ridges need not lie along the axes.
        inside = (moved_a < 0.9 * width_a) & (moved_b < 0.9 * width_b)
        width_a, width_b = (np.where(inside, 0.5 * width, width) for width in (width_a, width_b))
    return best
