"""Paths of a signal through a linear rule: from the force on it to what it does, open or closed on a curvature.

The force is minus the gradient. A path is kept as what a step adds, S = A - 1 (of a flow its matrix), so that slow
modes keep their digits, and is evaluated at σ = z - 1 (of a flow at σ = s):

    H = c (σ - S)⁻¹ b + d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._types import BoolArray, ComplexArray, FloatArray
from heavyball_dynamics.analysis._linear_steps import translation
from heavyball_dynamics.analysis._loop_gain import solve_small
from heavyball_dynamics.analysis._lyapunov import covariance_solution

_ZERO = 1e-12
_ROUNDING = 1e-14  # of a difference that should be zero
_USABLE = 1e13  # condition number of equations that still have a solution
_CANCELLED = 1e-3  # a sum of weights this small beside their size is none to divide by
_NUMBER = 200  # points of the grid on which a cut-off is looked for
_AT_ONCE = 1_000_000  # complex numbers in a stack of matrices


class Averages(NamedTuple):
    """(Σh)²/Σh² and Σjh/Σh of an impulse response h, (*batch,) both."""

    window: FloatArray
    age: FloatArray


@dataclass(frozen=True)
class SignalPath:
    """One input, one output: ``moving`` (*batch, state, state), ``b`` and ``c`` (*batch, state), ``d`` (*batch,)."""

    moving: FloatArray
    b: FloatArray
    c: FloatArray
    d: FloatArray
    discrete: bool

    @cached_property
    def _shift(self) -> tuple[FloatArray, BoolArray]:
        """The r with r_0 = 1 and S r = 0, a shift that the rule does not notice, and whether there is one."""
        shift, moved = translation(self.moving)
        return shift, moved <= _ZERO * np.abs(self.moving).max(axis=(-2, -1))

    @cached_property
    def anchored(self) -> tuple[FloatArray, BoolArray]:
        """S with the shift taken out where the output does not see it, and whether a pole at rest is left in it."""
        shift, free = self._shift
        order = self.moving.shape[-1]
        seen = np.abs(np.einsum("...i,...i->...", self.c, shift))
        blind = seen <= _ZERO * np.einsum("...i,...i->...", np.abs(self.c), np.abs(shift))
        bordered = np.zeros((*self.moving.shape[:-2], order + 1, order + 1))
        bordered[..., :order, :order] = np.swapaxes(self.moving, -1, -2)
        bordered[..., :order, order] = bordered[..., order, :order] = shift
        # Two poles at rest, as of momentum one, leave no covector that reads the shift alone.
        with np.errstate(all="ignore"):
            usable = free & blind & (np.linalg.cond(bordered) < _USABLE)
        unit = np.zeros((order + 1, 1))
        unit[order] = 1.0
        left = np.linalg.solve(np.where(usable[..., None, None], bordered, np.eye(order + 1)), unit)[..., :order, 0]
        size = 1.0 if self.discrete else np.abs(self.moving).max(axis=(-2, -1), keepdims=True)
        carried = size * shift[..., :, None] * left[..., None, :]
        return np.where(usable[..., None, None], self.moving - carried, self.moving), free & ~usable

    @cached_property
    def poles(self) -> ComplexArray:
        """Poles as s, for methods log z, (*batch, state)."""
        sigma = np.linalg.eigvals(self.anchored[0]).astype(complex)
        with np.errstate(divide="ignore"):
            return np.log1p(sigma) if self.discrete else sigma

    @cached_property
    def stable(self) -> BoolArray:
        """Whether all poles decay, (*batch,)."""
        exponent = self.poles.real
        # Of a flow there is no scale but its own.
        edge = _ZERO if self.discrete else _ZERO * np.abs(self.poles).max(axis=-1)
        return np.asarray((exponent.max(axis=-1) < -edge) & ~self.anchored[1])

    def at(self, frequency: FloatArray) -> ComplexArray:
        """Return H at frequencies that broadcast against (*batch, frequency); infinite in a pole."""
        sigma = _sigma(frequency, discrete=self.discrete)
        order = self.moving.shape[-1]
        batch = self.moving.shape[:-2]
        shape = np.broadcast_shapes((*batch, 1), frequency.shape)
        found = np.empty(shape, dtype=complex)
        sigma = np.broadcast_to(sigma, shape)
        width = max(1, _AT_ONCE // max(1, order**2 * int(np.prod(batch))))
        for start in range(0, shape[-1], width):
            part = np.s_[..., start : start + width]
            matrix = sigma[part][..., None, None] * np.eye(order) - self.anchored[0][..., None, :, :]
            found[part] = np.einsum("...i,...i->...", self.c[..., None, :], _solved(matrix, self.b[..., None, :]))
        found = np.where(np.any(self.c != 0, axis=-1)[..., None], found, 0.0) + self.d[..., None]
        rest = (self.anchored[1] & np.any(self.c != 0, axis=-1))[..., None] & (sigma == 0)
        return np.where(rest | ~np.isfinite(found), complex(np.inf, np.nan), found)

    @cached_property
    def dc_gain(self) -> FloatArray:
        """H at rest, ±infinity where a pole sits there, (*batch,)."""
        value = self.at(np.zeros(1))[..., 0]
        resting = ~np.isfinite(value)
        # Beside the pole it has the sign of the infinity.
        size = np.abs(self.moving).max(axis=(-2, -1))
        scale = _ZERO**0.5 * np.where(size > 0, size, 1.0)
        beside = _solved(scale[..., None, None] * np.eye(self.moving.shape[-1]) - self.anchored[0], self.b)
        positive = np.einsum("...i,...i->...", self.c, beside.real) > 0
        gain = np.where(resting, 0.0, value).real
        nothing = np.abs(gain) <= _ROUNDING * (np.abs(self.d) + np.abs(gain - self.d))
        return np.where(resting, np.where(positive, np.inf, -np.inf), np.where(nothing, 0.0, gain))

    @cached_property
    def averages(self) -> Averages:
        """Window and mean age of the impulse response, NaN where the path has none, (*batch,)."""
        fine = self.stable
        order = self.moving.shape[-1]
        S = np.where(fine[..., None, None], self.anchored[0], -np.eye(order))
        once = np.linalg.solve(S, self.b[..., None])
        aged = np.einsum("...i,...i->...", self.c, np.linalg.solve(S, once)[..., 0])
        covariance = covariance_solution(S, S, self.b[..., :, None] * self.b[..., None, :], discrete=self.discrete)
        energy = np.einsum("...i,...ij,...j->...", self.c, covariance, self.c)
        # What passes straight through a flow lets all of the noise through.
        straight = self.d**2 if self.discrete else np.where(self.d != 0, np.inf, 0.0)
        gain = np.where(fine, self.dc_gain, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            window = gain**2 / (energy + straight)
            cancel = np.abs(gain) <= _CANCELLED * np.sqrt(energy + self.d**2)
            return Averages(np.where(cancel, np.nan, window), np.where(cancel, np.nan, aged / gain))

    @cached_property
    def cutoff(self) -> FloatArray:
        """The lowest frequency at which |H|² is half of what it is at rest, NaN where there is none, (*batch,)."""
        batch = self.moving.shape[:-2]
        flat = self.flat()
        gain = np.where(flat.stable, flat.dc_gain, np.nan)
        found = np.full(len(gain), np.nan)
        some = np.isfinite(gain) & (gain != 0)
        if not some.any():
            return found.reshape(batch)
        one = flat.some(some)
        level = 0.5 * gain[some] ** 2
        grid = np.log(one.grid())
        above = np.abs(one.at(np.exp(grid))) ** 2 - level[:, None]
        falls = (above[:, :-1] > 0) & (above[:, 1:] <= 0)
        first = np.argmax(falls, axis=-1)
        who = np.flatnonzero(falls.any(axis=-1))
        if who.size:
            ends = grid[who, first[who]], grid[who, first[who] + 1]

            def over(logarithm: FloatArray, index: FloatArray) -> FloatArray:
                here = index.astype(int)
                size = np.abs(one.some(here).at(np.exp(logarithm)[:, None])[:, 0])
                return np.asarray(size**2 - level[here])

            root = elementwise.find_root(over, ends, args=(who.astype(float),))
            found[np.flatnonzero(some)[who]] = np.exp(root.x)
        return found.reshape(batch)

    def flat(self) -> SignalPath:
        """Return the same paths with one batch axis."""
        order, number = self.moving.shape[-1], math.prod(self.d.shape)
        return SignalPath(self.moving.reshape(number, order, order), self.b.reshape(number, order),
                          self.c.reshape(number, order), self.d.reshape(number), self.discrete)  # fmt: skip

    def some(self, which: BoolArray | np.ndarray) -> SignalPath:
        """Return some elements of a path with one batch axis."""
        return SignalPath(self.moving[which], self.b[which], self.c[which], self.d[which], self.discrete)

    def grid(self) -> FloatArray:
        """Return increasing frequencies, (*batch, point): beyond all poles on both sides and dense beside each."""
        finite = np.isfinite(self.poles) & (np.abs(self.poles) > 0)
        poles = np.where(finite, self.poles, -1.0)
        sizes = np.abs(poles)
        low = 1e-4 * sizes.min(axis=-1, keepdims=True)
        if self.discrete:
            low = np.minimum(low, 1e-4)
            high = np.full_like(low, np.pi)
        else:
            high = 1e4 * sizes.max(axis=-1, keepdims=True)
        offsets = np.array([-4.0, -2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0, 4.0])
        beside = np.abs(np.abs(poles.imag)[..., None] + np.abs(poles.real)[..., None] * offsets)
        spread = low * (high / low) ** np.linspace(0.0, 1.0, _NUMBER)
        both = np.concatenate([spread, beside.reshape(*sizes.shape[:-1], sizes.shape[-1] * len(offsets))], axis=-1)
        return np.sort(np.clip(both, low, high), axis=-1)


def _sigma(frequency: FloatArray, *, discrete: bool) -> ComplexArray:
    if not discrete:
        return np.asarray(1j * frequency)
    # z - 1 without the difference, which would cancel near z = 1.
    return np.asarray(2j * np.sin(frequency / 2) * np.exp(0.5j * frequency))


def _solved(matrix: ComplexArray, right: FloatArray) -> ComplexArray:
    """Solve a stack of systems; the solutions of singular ones are not finite."""
    known = np.broadcast_to(right, matrix.shape[:-1])[..., None]
    try:
        with np.errstate(all="ignore"):
            return solve_small(matrix, known)[..., 0]
    except np.linalg.LinAlgError:
        singular = (np.linalg.det(matrix) == 0)[..., None]
        usable = np.where(singular[..., None], np.eye(matrix.shape[-1]), matrix)
        return np.where(singular, np.nan, np.linalg.solve(usable, known)[..., 0])
