"""How much a loop bears before it diverges: more curvature, a phase, both, a delay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heavyball_dynamics._types import BoolArray, ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis._frequency_search import completed, largest, largest_size, sign_changes
from heavyball_dynamics.analysis._loop_gain import LoopResponse, frequency_grid

_ZERO = 1e-12  # a factor this small is none
_WHOLE = 1e-9  # a delay this close to a whole number of steps is that number


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
    phase, phase_frequency, delay, delay_frequency = _phase_margins(response, grid)
    disk, disk_nu = _supremum(response, grid, 0.5)
    modulus, _ = _supremum(response, grid, 1.0)
    return LoopMargins(
        gain, gain_frequency, phase, phase_frequency, 1 / disk, response.omega(disk_nu), 1 / modulus, delay,
        delay_frequency,
    )  # fmt: skip


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
    return who, nu, np.where(_is_real(loci), _factor(loci.real), np.nan)


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
    down = np.where(np.abs(down) <= _ZERO, 0.0, down)
    return np.stack([down, up], axis=-1), frequency


def _is_real(loci: ComplexArray) -> BoolArray:
    """Tell which loci are real here: with several of them a sign change belongs to the flattest."""
    off = np.abs(loci.imag)
    return np.asarray(off <= np.maximum(1e-7 * np.abs(loci), off.min(axis=-1, keepdims=True)))


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
    who, nu = sign_changes(beyond, grid)
    if who.size:
        loci = response.loci(nu[:, None], who)[:, 0]
        off = np.abs(loci.real - 0.5)
        crossing = off == off.min(axis=-1, keepdims=True)
        # c = (T - 1)/T is on the unit circle: its angle is the phase that destabilizes.
        angle = np.where(crossing, np.angle((loci - 1) / loci), np.nan)
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
    if response.discrete:
        delay, delay_frequency = _alternation(response, delay, delay_frequency)
    return phase, phase_frequency, delay, delay_frequency


def _alternation(
    response: LoopResponse, delay: FloatArray, frequency: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bound the delay where |L| > 1 at z = -1: a step of delay turns the sign there, and with it the loop."""
    elements = len(delay)
    end = response.loci(np.full((elements, 1), np.inf), np.arange(elements))[:, 0]
    factor = _factor(end.real)
    loud = _is_real(end) & (np.abs(factor) < 1)
    bound = np.where(loud, np.where(factor < 0, 1.0, 0.0), np.inf).min(axis=-1)
    return np.minimum(delay, bound), np.where(bound <= delay, np.where(np.isinf(bound), frequency, np.pi), frequency)


def whole_steps(delay: FloatArray) -> FloatArray:
    """Return the largest whole number of steps below a delay margin, so that the loop still decays.

    A delay of exactly the margin leaves a pole on the boundary.

    Parameters
    ----------
    delay : array
        Delay margins in steps.

    Returns
    -------
    array
        Infinite where the margin is.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(np.ceil(delay * (1 - _WHOLE) - _WHOLE) - 1, 0.0))
