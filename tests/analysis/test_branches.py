"""Columns of poles that can be drawn as lines."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics.analysis._branches import branches, sorted_poles
from heavyball_dynamics.analysis._spectra import Spectra


def spectrum(poles):
    return Spectra(np.asarray(poles, dtype=complex), False, 0.0)


def test_order():
    assert_array_equal(sorted_poles(spectrum([[-2, -1 - 1j, -1 + 1j]])), [[-1 + 1j, -1 - 1j, -2]])


def test_straight_lines_that_cross(rng):
    """Three real poles that move at constant speeds and cross twice each, shuffled at each value."""
    values = np.linspace(0, 1, 201)
    lines = np.stack([-1 + 0 * values, -2 + 2.2 * values, -1.5 + 0.9 * values], axis=-1)
    shuffled = rng.permuted(lines, axis=-1)
    found = branches(spectrum(shuffled), values)
    for start in lines[0]:
        column = np.flatnonzero(np.isclose(found[0], start))[0]
        assert_allclose(found[:, column], lines[:, np.flatnonzero(lines[0] == start)[0]])


def test_uneven_steps():
    """A value inserted next to a crossing must not throw the lines into each other."""
    values = np.sort(np.append(np.linspace(0, 1, 21), [0.5 + 1e-9, 0.525, 0.525 + 1e-12]))
    lines = np.stack([-1 + values, -0.5 + 0 * values, -3 + 0 * values], axis=-1)
    found = branches(spectrum(np.sort(lines, axis=-1)), values)
    assert np.abs(np.diff(found, 2, axis=0)[np.diff(values, 2) == 0]).max(initial=0) < 1e-12
    assert_allclose(found[:, 0], lines[:, 1])
