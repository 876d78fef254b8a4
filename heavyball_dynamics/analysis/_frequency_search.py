"""Where a function of frequency crosses zero or is largest, for whole batches of loops.

Sign changes and maxima are looked for on a grid and then solved for. For loops with one channel the grid is completed
by eigenvalues, which no feature escapes: the zeros of T(iν) ± T(-iν), and the level sets of a Hamiltonian matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis._loop_gain import LoopResponse

Function = Callable[[FloatArray, IntArray], FloatArray]  # of ν (k, point) and the elements (k,)

_LEVEL = 1e-8  # a supremum is certified to this, relatively
_ROUNDS = 12
_BETWEEN = 6  # steps that a step of the grid is divided into for several loci
_FEW = 12  # states up to which special frequencies are looked for at several scales
_NEARLY = 0.5  # local maxima below this share of the largest sample are left alone


def sign_changes(function: Function, grid: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the elements (root,) and the ν (root,) at which the function changes sign."""
    logs = np.log(grid)
    # The very numbers that the solver will see: a grid point may be a root to the last digit.
    values = function(np.exp(logs), np.arange(len(grid)))
    who, where = np.nonzero(np.sign(values[:, :-1]) * np.sign(values[:, 1:]) < 0)
    touched, at = np.nonzero(values == 0)
    if not who.size:
        return touched, np.asarray(grid[touched, at])

    def along(logarithm: FloatArray, index: FloatArray) -> FloatArray:
        return function(np.exp(logarithm)[:, None], index.astype(int))[:, 0]

    ends = logs[who, where], logs[who, where + 1]
    root = elementwise.find_root(along, ends, args=(who.astype(float),))
    return np.concatenate([who, touched]), np.concatenate([np.exp(root.x), grid[touched, at]])


def largest(function: Function, grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the suprema (element,) over 0 <= ν <= ∞ and the ν at which they are attained."""
    elements = np.arange(len(grid))
    ends = np.broadcast_to(np.array([0.0, np.inf]), (len(grid), 2))
    logs = np.log(grid)
    everywhere = np.concatenate([ends[:, :1], np.exp(logs), ends[:, 1:]], axis=-1)
    values = function(everywhere, elements)
    top = np.argmax(values, axis=-1)
    best, place = values[elements, top], everywhere[elements, top]
    inner = values[:, 1:-1]
    left, right = _neighbours(logs)
    inside = (left >= 0) & (right < logs.shape[-1])
    left, right = np.where(inside, left, 0), np.where(inside, right, 0)
    high = inside & (inner >= _NEARLY * best[:, None])
    high &= (inner >= np.take_along_axis(inner, left, -1)) & (inner >= np.take_along_axis(inner, right, -1))
    who, where = np.nonzero(high)
    if not who.size:
        return best, place

    def along(logarithm: FloatArray, index: FloatArray) -> FloatArray:
        return -function(np.exp(logarithm)[:, None], index.astype(int))[:, 0]

    bracket = logs[who, left[who, where]], logs[who, where], logs[who, right[who, where]]
    peak = elementwise.find_minimum(along, bracket, args=(who.astype(float),))
    order = np.argsort(-peak.f_x, kind="stable")  # the largest last
    for one in order:
        if -peak.f_x[one] > best[who[one]]:
            best[who[one]], place[who[one]] = -peak.f_x[one], np.exp(peak.x[one])
    return best, place


def _neighbours(logs: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the indices of the next smaller and the next larger point, off the grid for those that come again."""
    number = logs.shape[-1]
    index = np.broadcast_to(np.arange(number), logs.shape)
    apart = np.diff(logs, axis=-1) > 0
    yes = np.ones((len(logs), 1), dtype=bool)
    ends = np.where(np.concatenate([apart, yes], axis=-1), index, number)
    last = np.minimum.accumulate(ends[:, ::-1], axis=-1)[:, ::-1]
    first = np.concatenate([yes, apart], axis=-1)
    return np.where(first, index - 1, -1), last + 1


def largest_size(response: LoopResponse, grid: FloatArray, shift: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Return sup|G - shift| (element,) of a single channel and its ν, certified by a Hamiltonian without axis roots.

    The level-set method of Bruinsma and Steinbuch (1990) from the best sample; it goes on while the eigenvalues of the
    Hamiltonian of a slightly larger level point at frequencies where the response is larger still.
    """
    A, B, C, D = response.half_plane()
    straight = D[..., 0, 0] - shift

    def size(nu: FloatArray, index: IntArray) -> FloatArray:
        return np.abs(response.matrix_at(nu, index)[..., 0, 0] - shift)

    best, place = largest(size, grid)
    open_ = np.arange(len(grid))
    for _ in range(_ROUNDS):
        crossing = _axis_roots(A[open_], B[open_], C[open_], straight[open_], best[open_] * (1 + _LEVEL))
        seen = crossing.any(axis=-1)
        open_, crossing = open_[seen], np.sort(crossing[seen], axis=-1)
        if not open_.size:
            break
        # Between two neighbouring roots the response is above the level on one side: look at roots and midpoints.
        finer = np.concatenate([crossing, 0.5 * (crossing[:, 1:] + crossing[:, :-1])], axis=-1)
        finer = np.sort(np.concatenate([grid[open_], np.where(finer > 0, finer, grid[open_, :1])], axis=-1), axis=-1)
        new, at = largest(lambda nu, index, who=open_: size(nu, who[index]), finer)  # type: ignore[misc]
        better = new > best[open_] * (1 + _LEVEL)
        best[open_[better]], place[open_[better]] = new[better], at[better]
        open_ = open_[better]
    return best, place


def largest_real_part(response: LoopResponse, grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sup Re G (element,) of a single channel and its ν, certified by the roots of G(iν) + G(-iν) = 2 level."""
    A, B, C, D = response.half_plane()

    def part(nu: FloatArray, index: IntArray) -> FloatArray:
        return np.asarray(response.matrix_at(nu, index)[..., 0, 0].real)

    best, place = largest(part, grid)
    size = np.maximum(np.abs(best), _LEVEL * np.abs(D[..., 0, 0]))
    scale = np.abs(np.linalg.eigvals(A)).max(axis=-1) ** 2
    for _ in range(_ROUNDS):
        level = (best + _LEVEL * size)[:, None, None]
        roots = _zeros(A @ A, B, 2 * C @ A, 2 * (D - level), scale)
        kept = (roots.real < 0) & (np.abs(roots.imag) <= 1e-7 * np.abs(roots.real)) & np.isfinite(roots)
        special = np.sort(np.where(kept, np.sqrt(np.where(kept, -roots.real, 1.0)), grid[:, :1]), axis=-1)
        middle = 0.5 * (special[:, 1:] + special[:, :-1])
        new, at = largest(part, np.sort(np.concatenate([grid, special, middle], axis=-1), axis=-1))
        better = new > best + _LEVEL * size
        best, place = np.where(better, new, best), np.where(better, at, place)
        if not better.any():
            break
    return best, place


def _axis_roots(A: FloatArray, B: FloatArray, C: FloatArray, D: FloatArray, level: FloatArray) -> FloatArray:
    """Return the ν > 0 at which |G| is at the level, zero in place of eigenvalues off the axis, (element, 2·state)."""
    room = (level**2 - D**2)[:, None, None]
    room = np.where(room > 0, room, np.inf)  # the level is attained at ν = ∞, which is a sample
    through = (D[:, None, None] / room) * (B @ C)
    adjoint = np.swapaxes(A + through, -1, -2)
    top = np.concatenate([A + through, B @ np.swapaxes(B, -1, -2) * (level[:, None, None] / room)], axis=-1)
    low = np.swapaxes(C, -1, -2) @ C * (-level[:, None, None] / room)
    bottom = np.concatenate([low, -adjoint], axis=-1)
    roots = np.linalg.eigvals(np.concatenate([top, bottom], axis=-2)).astype(complex)
    near = np.abs(roots.real) <= 1e-7 * np.abs(roots)
    return np.where(near & (roots.imag > 0), roots.imag, 0.0)


def special_frequencies(response: LoopResponse) -> FloatArray:
    """Return the ν at which a single T is real, and at which |L| = 1, as far as eigenvalues tell, (element, point)."""
    A, B, C, D = response.half_plane()
    square = A @ A
    found = []
    sizes = np.maximum(np.abs(np.linalg.eigvals(A)), np.finfo(float).tiny)
    middle = np.exp(np.log(sizes).mean(axis=-1))
    scales = (sizes.max(axis=-1), middle, sizes.min(axis=-1)) if A.shape[-1] <= _FEW else (middle,)
    for scale in scales:
        found.append(_zeros(square, B, C, np.zeros_like(D), scale**2))  # T(iν) - T(-iν), but for its zero at ν = 0
        # What comes back is -T, so that 2 Re T = 1 reads G(iν) + G(-iν) + 1 = 0.
        found.append(_zeros(square, B, 2 * C @ A, 2 * D + 1, scale**2))
    roots = np.concatenate(found, axis=-1)
    kept = (roots.real < 0) & (np.abs(roots.imag) <= 0.1 * np.abs(roots.real)) & np.isfinite(roots)
    return np.where(kept, np.sqrt(np.where(kept, -roots.real, 1.0)), 0.0)


def _zeros(M: FloatArray, B: FloatArray, C: FloatArray, D: FloatArray, scale: FloatArray) -> ComplexArray:
    """Return the zeros of D + C(μ - M)⁻¹B, (element, state): eigenvalues after μ = κ + 1/μ'."""
    centre = (scale * np.exp(2.1j))[:, None, None]
    order = M.shape[-1]
    with np.errstate(all="ignore"):
        R = np.linalg.solve(centre * np.eye(order) - M, np.broadcast_to(np.eye(order), M.shape))
        value = C @ R @ B + D
        matrix = B @ (C @ R @ R) / value - R
        good = np.asarray(np.isfinite(matrix).all(axis=(-2, -1)))
        inverse = np.linalg.eigvals(np.where(good[:, None, None], matrix, np.eye(order)))
        return np.where(good[:, None], centre[..., 0] + 1 / inverse, np.nan)


def completed(response: LoopResponse, grid: FloatArray) -> FloatArray:
    """Return the grid with the special frequencies of single loops, their neighbours and their midpoints added.

    Characteristic loci have no such equations, and branch points besides: their grid is made finer all over.
    """
    if not response.single:
        logs = np.log(grid)
        shares = np.arange(_BETWEEN) / _BETWEEN
        between = logs[:, :-1, None] + np.diff(logs, axis=-1)[..., None] * shares
        between = between.reshape(len(logs), _BETWEEN * (grid.shape[-1] - 1))
        return np.asarray(np.exp(np.concatenate([between, logs[:, -1:]], axis=-1)))
    special = np.sort(special_frequencies(response), axis=-1)
    special = np.clip(special, grid[:, :1], grid[:, -1:])
    middle = np.sqrt(special[:, 1:] * special[:, :-1])
    if response.moving.shape[-1] > _FEW:
        return np.sort(np.concatenate([grid, special, middle], axis=-1), axis=-1)
    around = (special[..., None] * np.array([1 - 1e-3, 1 - 1e-6, 1 + 1e-6, 1 + 1e-3])).reshape(len(grid), -1)
    both = np.concatenate([grid, np.clip(around, grid[:, :1], grid[:, -1:]), middle], axis=-1)
    return np.sort(both, axis=-1)
