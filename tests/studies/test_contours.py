"""Level lines."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import heavyball_dynamics as hb


@pytest.mark.parametrize("name", sorted(hb.LANDSCAPES))
def test_values_are_those_of_the_loss(name):
    loss = hb.LANDSCAPES[name]()
    lines = hb.contours(loss, resolution=31)
    np.testing.assert_array_equal([lines.x[[0, -1]], lines.y[[0, -1]]], loss.window)
    for row, column in [(0, 0), (7, 20), (30, 3)]:
        assert lines.value[row, column] == pytest.approx(float(loss.value([lines.x[column], lines.y[row]])))
    assert np.all(np.diff(lines.levels) > 0)
    assert lines.levels[0] > lines.value.min() or name == "saddle"
    assert lines.levels[-1] < lines.value.max()


def test_levels_are_logarithmic_above_a_known_minimum():
    lines = hb.contours(hb.rosenbrock())
    ratios = lines.levels[1:] / lines.levels[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    np.testing.assert_array_equal(lines.minimizer, [1.0, 1.0])


def test_a_saddle_is_no_minimum():
    assert hb.contours(hb.saddle(), resolution=11).minimizer is None


def test_constant_loss_and_pickling():
    lines = hb.contours(hb.from_sympy("x*0 + y*0 + 3", "x y"), [(-1, 1), (-1, 1)], resolution=5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lines)).levels, [3.0])
    lines.plot()


@pytest.mark.parametrize(
    ("objective", "limits", "message"),
    [
        (hb.Quadratic([1.0]), None, "`objective` must have two coordinates.*Received one with 1"),
        (hb.canyon(), [(0, 1)], "`limits` must be two pairs"),
        (hb.from_sympy("x + y", "x y"), None, "`limits` must be given"),
    ],
)
def test_bad_input_is_named(objective, limits, message):
    with pytest.raises(ValueError, match=message):
        hb.contours(objective, limits)
