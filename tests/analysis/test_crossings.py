"""Sign changes and touching zeros of functions whose zeros are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics.analysis._crossings import crossings, distinct, meetings

GRID = np.linspace(0, 3, 101)
NOWHERE = np.zeros(101, dtype=bool)


def test_sign_changes():
    assert_allclose(crossings(lambda x: (x - 0.123) * (x - np.e), GRID, NOWHERE), [0.123, np.e], rtol=1e-14)
    assert crossings(lambda x: x**2 + 1, GRID, NOWHERE).size == 0


def test_a_zero_on_the_grid_counts_unless_skipped():
    assert_array_equal(crossings(lambda x: x - GRID[20], GRID, NOWHERE), [GRID[20]])
    assert_array_equal(crossings(lambda x: x, GRID, NOWHERE), [0.0])
    assert crossings(lambda x: x, GRID, np.arange(101) == 0).size == 0


def test_a_stretch_of_zeros_is_no_crossing():
    assert crossings(lambda x: np.maximum(x - 1, 0), GRID, NOWHERE).size == 0
    assert crossings(np.zeros_like, GRID, NOWHERE).size == 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("at", [0.777, 1.234567])
def test_touching(sign, at):
    assert_allclose(meetings(lambda x: sign * (x - at) ** 2 * (1 + x), GRID), [at], rtol=1e-10)


@pytest.mark.parametrize("width", [1e-2, 1e-3, 1e-4, 1e-5])
def test_through_and_back_between_two_grid_points(width):
    found = meetings(lambda x: (x - 1.004) ** 2 - width**2, GRID)
    assert_allclose(np.sort(found), [1.004 - width, 1.004 + width], rtol=1e-10)


def test_near_miss():
    assert meetings(lambda x: (x - 1.004) ** 2 + 1e-6, GRID).size == 0


def test_distinct():
    assert_array_equal(distinct(np.array([2.0, 1.0, 1.0 + 2e-16, 3.0])), [1.0, 2.0, 3.0])
    assert distinct(np.empty(0)).shape == (0,)
    assert_array_equal(distinct(np.array([0.0, 0.0, -1.0])), [-1.0, 0.0])
