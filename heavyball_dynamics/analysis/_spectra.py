"""Modes of any order, classified from their poles.

For orders other than two there is no closed form to lean on: poles are eigenvalues, and a double pole is known to the
square root of the machine precision only. The class is that of the dominant pole or pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from heavyball_dynamics._types import BoolArray, ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis._pairs import _is_oscillator
from heavyball_dynamics.analysis.damping_class import DampingClass

_BOUNDARY = 1e-12  # eigenvalues at the stability boundary are known to about this
_ROUNDING = 8 * np.finfo(np.float64).eps
_DOUBLE = 1e-5  # two poles closer than this (relative, in s) may be one double pole split by rounding
_TIE = 1e-9  # two moduli closer than this are equally dominant


@dataclass(frozen=True)
class Spectra:
    """Eigenvalues σ = z - 1 (flows: σ = s) of each mode, (*batch, mode, order)."""

    sigma: ComplexArray
    discrete: bool
    rtol: float

    @property
    def order(self) -> int:
        """Number of poles of a mode."""
        return int(self.sigma.shape[-1])

    @cached_property
    def _exponents(self) -> FloatArray:
        """log|z|, or Re s, of each pole."""
        if not self.discrete:
            return self.sigma.real
        real, imaginary = self.sigma.real, self.sigma.imag
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # |1+σ|² - 1 without cancellation near z = 1; near z = 0 it is that which would cancel, far out overflow.
            slow = 0.5 * np.log1p(np.maximum(real * (2 + real) + imaginary**2, -0.99))
            size = np.abs(1 + self.sigma)
            return np.where((size < 0.5) | (size > 2), np.log(size), slow)

    @property
    def conditions(self) -> tuple[FloatArray, ...]:
        """What is positive exactly where the mode is stable."""
        return (np.where(np.abs(self.log_rate) <= self._edge, 0.0, -self.log_rate),)

    @cached_property
    def _edge(self) -> FloatArray:
        """What rounding may have done to the exponent of a pole on the stability boundary, (*batch, mode)."""
        # The partner that a lone pole is given may be infinitely fast.
        largest = np.abs(np.where(np.isfinite(self.sigma), self.sigma, 0.0)).max(axis=-1)
        if self.order == 1:
            # The only pole is a coefficient: near z = 1 and s = 0 it keeps all its digits, near z = -1 none are lost.
            return np.where((largest > 1) & self.discrete, 4 * _ROUNDING, 0.0)
        if self.discrete:
            # A pole far outside the unit circle says nothing about those on it.
            return np.asarray(_BOUNDARY * (1 + np.minimum(largest, 2.0)))
        # Flows have no scale but their own.
        return np.asarray(_BOUNDARY * np.abs(self._ranked[..., 0]) + 4 * _ROUNDING * largest)

    @cached_property
    def discriminant(self) -> FloatArray:
        """Product of the squared differences of all pairs of roots, real for a real system, (*batch, mode)."""
        i, j = np.triu_indices(self.order, 1)
        return np.asarray(np.prod((self.sigma[..., i] - self.sigma[..., j]) ** 2, axis=-1).real)

    @cached_property
    def _ranked(self) -> ComplexArray:
        """The roots σ, the dominant one first, the upper one of a conjugate pair before the lower."""
        # A conjugate pair ties exactly, and the sign of its imaginary part decides.
        order = np.lexsort((-self.sigma.imag, -self._exponents), axis=-1)
        return np.take_along_axis(self.sigma, order, axis=-1)

    @cached_property
    def poles(self) -> ComplexArray:
        """Poles, (*batch, mode, order), the dominant one first."""
        return 1 + self._ranked if self.discrete else self._ranked

    @cached_property
    def log_rate(self) -> FloatArray:
        """Exponent of decay per step or unit time, (*batch, mode)."""
        return np.asarray(self._exponents.max(axis=-1))

    @cached_property
    def rate(self) -> FloatArray:
        """Spectral radius per step; for flows the spectral abscissa per unit time."""
        return np.asarray(np.abs(1 + self.sigma).max(axis=-1)) if self.discrete else self.log_rate

    @cached_property
    def _logs(self) -> tuple[ComplexArray, ComplexArray]:
        """The dominant pole and its partner as s = log z; the partner of a lone pole is infinitely fast."""
        first = self._ranked[..., 0]
        second = self._ranked[..., 1] if self.order > 1 else np.full_like(first, -1.0 if self.discrete else -np.inf)
        # A real pole that decays just as fast may rank between the two of a conjugate pair.
        second = np.where(first.imag != 0, first.conj(), second)
        if not self.discrete:
            return first, second
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log1p(first), np.log1p(second)

    @cached_property
    def _is_pair(self) -> BoolArray:
        first = self._ranked[..., 0]
        return np.asarray(np.abs(first.imag) > _BOUNDARY * (np.abs(first) + (1 if self.discrete else 0)))

    @cached_property
    def _double(self) -> BoolArray:
        first, second = self._logs
        with np.errstate(invalid="ignore"):
            close = np.abs(first - second) <= _DOUBLE * 0.5 * np.abs(first + second)
        return np.asarray(close & np.isfinite(second))

    @cached_property
    def damping(self) -> IntArray:
        """Class of each mode, as integers of DampingClass."""
        sigma, exponent = self._ranked, self.log_rate
        first = sigma[..., 0]
        is_pair = self._is_pair
        on_boundary = np.abs(exponent) <= self._edge
        choices: list[tuple[BoolArray, DampingClass]] = [
            (~(exponent <= self._edge), DampingClass.DIVERGENT),
            (on_boundary & is_pair, DampingClass.UNDAMPED),
            (on_boundary, DampingClass.MARGINAL),
        ]
        if self.discrete:
            dominant = first + 1
            gone = np.abs(dominant) <= self.rtol
            partner = sigma[..., 1] + 1 if self.order > 1 else np.zeros_like(first)
            tie = ~is_pair & (np.abs(dominant + partner) <= _TIE * np.abs(dominant))
            split = np.abs(first.imag) <= _DOUBLE * np.abs(dominant)  # a double negative pole, pulled apart
            negative = dominant.real < 0
            choices.append((gone, DampingClass.CRITICAL))
            choices.append(((negative & split) | tie, DampingClass.ALTERNATING))
        choices.append((self._double, DampingClass.CRITICAL))
        choices.append((is_pair, DampingClass.UNDERDAMPED))
        masks, values = zip(*choices, strict=True)
        return np.select(masks, [int(v) for v in values], int(DampingClass.OVERDAMPED))

    @cached_property
    def _oscillator(self) -> tuple[FloatArray, FloatArray]:
        first, second = self._logs
        with np.errstate(invalid="ignore", divide="ignore"):
            lone = ~np.isfinite(second) | (np.abs(first.imag + second.imag) > _BOUNDARY * np.abs(second))
            product = np.where(lone, np.inf, (first * second).real)
            frequency = np.sqrt(product)
            ratio = np.where(lone, np.inf, -0.5 * (first + second).real / frequency)
        return ratio, frequency

    @cached_property
    def damping_ratio(self) -> FloatArray:
        """Damping ratio of the dominant pair, NaN where there is no oscillator."""
        ratio = np.where(self.damping == DampingClass.CRITICAL, 1.0, self._oscillator[0])
        ratio = np.where(self.damping == DampingClass.UNDAMPED, 0.0, ratio)
        return np.where(_is_oscillator(self.damping), ratio, np.nan)

    @cached_property
    def natural_frequency(self) -> FloatArray:
        """Natural frequency of the dominant pair, NaN where there is no oscillator."""
        return np.where(_is_oscillator(self.damping), self._oscillator[1], np.nan)
