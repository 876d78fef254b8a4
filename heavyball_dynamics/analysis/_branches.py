"""Poles along a locus, in columns that are continuous."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from heavyball_dynamics._types import ComplexArray, FloatArray
from heavyball_dynamics.analysis._pairs import Pairs
from heavyball_dynamics.analysis._spectra import Spectra


def sorted_poles(spectrum: Pairs | Spectra) -> ComplexArray:
    """Return poles (value, branch), real parts descending, the upper one of a conjugate pair first."""
    if isinstance(spectrum, Pairs):
        sigma = spectrum.sigma
        swap = (sigma[:, 1].real > sigma[:, 0].real)[:, None]
        ordered = np.where(swap, sigma[:, ::-1], sigma)
        return 1 + ordered if spectrum.discrete else ordered
    poles = spectrum.poles
    return np.take_along_axis(poles, np.lexsort((-poles.imag, -poles.real), axis=-1), axis=-1)


def branches(spectrum: Pairs | Spectra, values: FloatArray) -> ComplexArray:
    """Return poles (value, branch) with continuous branches.

    The two roots of a real quadratic, larger or upper one first, are continuous as they stand: they change places only
    where they are equal. Higher orders are matched from value to value.
    """
    poles = sorted_poles(spectrum)
    if spectrum.order <= 2:
        return poles
    step = np.diff(values)
    for i in range(1, len(poles)):
        guess = poles[i - 1]
        if i > 1:
            # Follow the tangent, so that branches pass through each other; not further than it is known.
            guess = guess + min(1.0, step[i - 1] / step[i - 2]) * (guess - poles[i - 2])
        _, order = linear_sum_assignment(np.abs(guess[:, None] - poles[i][None, :]))
        poles[i] = poles[i][order]
    return poles
