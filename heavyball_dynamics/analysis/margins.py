"""How much a loop bears before it diverges: more curvature, a phase, both, a delay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heavyball_dynamics._types import FloatArray, IntArray
from heavyball_dynamics.analysis._frequency_search import completed, largest, largest_size, sign_changes
from heavyball_dynamics.analysis._locus_branches import half_crossings
from heavyball_dynamics.analysis._loop_gain import LoopResponse, frequency_grid
from heavyball_dynamics.analysis._pole_scan import gains_by_poles
from heavyball_dynamics.analysis._whole_delays import whole_delays

_ZERO = 1e-12  # a factor this small is none
_FAINT = 1e-15  # loci are looked at down to this share of the largest
_NOISE = 1e-14  # loci below this share of the largest at a frequency are rounding
_REAL = 1e-7  # a locus is real if its imaginary part is smaller, relatively


class LoopMargins(NamedTuple):
    r"""Margins of stable loops L, every array (element,).

    Attributes
    ----------
    gain : array (element, 2)
        The open interval of factors on the curvature within which the loop decays.
    gain_frequency : array
        ω at which a pole reaches the boundary at the upper end.
    phase, phase_frequency : array
        The smallest phase in radians that destabilizes, whichever its sign.
    disk, disk_frequency : array
        1/‖(S - T)/2‖∞.
    modulus : array
        1/‖S‖∞, the distance of L from -1.
    delay, delay_frequency : array
        The smallest delay that destabilizes, in steps or time.
    whole : array
        The largest whole delay in steps such that the loop decays with it and with all smaller ones; NaN for flows.
    """

    gain: FloatArray
    gain_frequency: FloatArray
    phase: FloatArray
    phase_frequency: FloatArray
    disk: FloatArray
    disk_frequency: FloatArray
    modulus: FloatArray
    delay: FloatArray
    delay_frequency: FloatArray
    whole: FloatArray


def loop_margins(response: LoopResponse) -> LoopMargins:
    r"""Return the margins of stable loops.

    A complex factor c on the curvature puts a pole on the boundary where :math:`c = 1 - 1/T(i\omega)`, T being
    the complementary sensitivity or, for rules with several gradients a step, one of its characteristic loci (the same
    factor on all the gradients).

    Parameters
    ----------
    response : LoopResponse
        From `curvature_response`, stable elements only.

    Returns
    -------
    LoopMargins
    """
    grid = completed(response, frequency_grid(response))
    gain, gain_frequency = _gain_margins(response, grid)
    phase, phase_frequency, *late = _phase_margins(response, grid)
    delay, delay_frequency, whole = _delays(response, *late)
    disk, disk_nu = _supremum(response, grid, 0.5)
    modulus, _ = _supremum(response, grid, 1.0)
    return LoopMargins(
        gain, gain_frequency, phase, phase_frequency, 1 / disk, response.omega(disk_nu), 1 / modulus, delay,
        delay_frequency, whole,
    )  # fmt: skip


def delay_margins(response: LoopResponse) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return `delay`, `delay_frequency` and `whole` of `loop_margins` alone."""
    return _delays(response, *_phase_margins(response, completed(response, frequency_grid(response)))[2:])


def _supremum(response: LoopResponse, grid: FloatArray, shift: float) -> tuple[FloatArray, FloatArray]:
    """Return sup|T - shift|: for 1/2 it is ‖(S - T)/2‖∞, for 1 it is ‖S‖∞."""
    if response.single:
        return largest_size(response, grid, -shift)
    return largest(lambda nu, index: np.abs(response.loci(nu, index) - shift).max(axis=-1), grid)


def real_crossings(response: LoopResponse, grid: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return all real factors c on the curvature that put a pole on the boundary.

    Parameters
    ----------
    response : LoopResponse
        From `curvature_response`, without poles on the boundary.
    grid : array (element, point)
        Increasing ν.

    Returns
    -------
    element, nu : array (crossing,)
    factor : array (crossing, locus)
        NaN for loci that are not real there; infinite where T is zero.
    """

    def turn(nu: FloatArray, index: IntArray) -> FloatArray:
        return np.asarray(np.prod(response.loci(nu, index).imag, axis=-1))

    elements = len(grid)
    who, nu = sign_changes(turn, grid)
    # Both ends of the frequency axis are real: z = 1 and z = -1, the crossing that graphs of phase do not show.
    who = np.concatenate([np.arange(elements), np.arange(elements), who])
    nu = np.concatenate([np.zeros(elements), np.full(elements, np.inf), nu])
    loci = response.loci(nu[:, None], who)[:, 0]
    off = np.abs(loci.imag)
    # A sign change belongs to the flattest locus; at the ends loci may be a conjugate pair, none of them real.
    inner = (np.arange(len(nu)) >= 2 * elements)[:, None]
    real = (off <= _REAL * np.abs(loci)) | (inner & (off == off.min(axis=-1, keepdims=True)))
    if not response.single:
        size = np.abs(loci)
        real &= size > _NOISE * size.max(axis=-1, keepdims=True)
    return who, nu, np.where(real, _factor(loci.real), np.nan)


def _gain_margins(response: LoopResponse, grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the intervals of factors (element, 2) and ω at their upper ends."""
    elements = len(grid)
    who, nu, factor = real_crossings(response, grid)
    up, frequency = np.full(elements, np.inf), np.full(elements, np.nan)
    down = np.full(elements, -np.inf)
    larger = np.where(factor > 1, factor, np.inf).min(axis=-1)
    np.minimum.at(up, who, larger)
    np.maximum.at(down, who, np.where(factor < 1, factor, -np.inf).max(axis=-1))
    first = (larger == up[who]) & np.isfinite(larger)
    frequency[who[first]] = response.omega(nu[first])
    interval = np.stack([down, up], axis=-1)
    if not response.single:
        # A factor is as far from one as 1/T is from zero.
        size = np.abs(response.loci(grid, np.arange(elements)))
        most, least = size.max(axis=(-2, -1)), size.min(axis=(-2, -1))
        reach = np.stack([0.5 / most, 2 / np.maximum(least, _FAINT * most)], axis=-1)
        interval, omega = gains_by_poles(response, interval, reach)
        frequency = np.where(np.isnan(omega), frequency, omega)
    interval[:, 0] = np.where(np.abs(interval[:, 0]) <= _ZERO, 0.0, interval[:, 0])
    return interval, frequency


def _factor(value: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(1 - 1 / value)


def _phase_margins(
    response: LoopResponse, grid: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return phase and delay margins and their ω: at |L| = 1, which is Re T = 1/2."""

    def beyond(nu: FloatArray, index: IntArray) -> FloatArray:
        return np.asarray(np.prod(response.loci(nu, index).real - 0.5, axis=-1))

    elements = len(grid)
    phase, delay = np.full(elements, np.inf), np.full(elements, np.inf)
    phase_frequency, delay_frequency = np.full(elements, np.nan), np.full(elements, np.nan)
    who, nu = sign_changes(beyond, grid) if response.single else half_crossings(response.loci, grid)
    if who.size:
        loci = response.loci(nu[:, None], who)[:, 0]
        off = np.abs(loci.real - 0.5)
        crossing = off == off.min(axis=-1, keepdims=True)
        # c = (T - 1)/T is on the unit circle: its angle is the phase that destabilizes.
        angle = np.where(crossing, np.angle(1 - 1 / np.where(crossing, loci, 1.0)), np.nan)
        omega = response.omega(nu)
        smallest = np.nanmin(np.abs(angle), axis=-1)
        # A delay d turns by -ωd: it has to make up for c on the unit circle from its own side.
        lag = np.nanmin(np.mod(-angle, 2 * np.pi), axis=-1) / omega
        np.minimum.at(phase, who, smallest)
        np.minimum.at(delay, who, lag)
        first = smallest == phase[who]
        phase_frequency[who[first]] = omega[first]
        first = lag == delay[who]
        delay_frequency[who[first]] = omega[first]
    return phase, phase_frequency, delay, delay_frequency


def _delays(
    response: LoopResponse, delay: FloatArray, frequency: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return delay margins, of methods bounded by the first whole delay that is too long, their ω, whole delays."""
    if not response.discrete:
        return delay, frequency, np.full(len(delay), np.nan)
    whole = whole_delays(response, delay)
    # No real delay crosses at z = -1; where a whole one is lost before any of them does, it is there.
    first = whole + 1 < delay
    return np.where(first, whole + 1, delay), np.where(first, np.pi, frequency), whole
