"""The distance from a polygon: against a brute-force projection, differences, and the bounds of its class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from heavyball_dynamics.objectives.polygon_well import PolygonWell

numbers = st.floats(-3, 3)


def nearest_of_all_edges(loss, point):
    corners = loss.vertices
    following = np.roll(corners, -1, axis=0)
    side = following - corners
    if len(corners) > 2:
        outside = side[:, 0] * (point - corners)[:, 1] - side[:, 1] * (point - corners)[:, 0] < 0
        if not outside.any():
            return point
    share = np.clip(np.sum((point - corners) * side, axis=1) / np.sum(side**2, axis=1), 0, 1)
    candidates = corners + share[:, None] * side
    return candidates[np.argmin(np.sum((point - candidates) ** 2, axis=1))]


@given(st.integers(2, 9), st.floats(0.1, 2), st.floats(-4, 4), numbers, numbers)
def test_projection(corners, radius, angle, x, y):
    loss = PolygonWell(1.0, 10.0, corners, radius, angle)
    assert_allclose(loss.nearest([x, y]), nearest_of_all_edges(loss, np.array([x, y])), atol=1e-12)


@given(st.integers(2, 7), numbers, numbers, numbers, numbers)
def test_class_of_losses(corners, a, b, c, d):
    loss = PolygonWell(1.0, 10.0, corners, 1.0, 0.3)
    x, y = np.array([a, b]), np.array([c, d])
    u, v = loss.gradient(x) - loss.gradient(y), x - y
    assert np.dot(10 * v - u, u - v) >= -1e-10 * (1 + np.dot(v, v))


@pytest.mark.parametrize("corners", [2, 3, 5])
def test_gradient_and_hessian_by_differences(corners, rng):
    loss, h = PolygonWell(1.0, 10.0, corners, 1.0, 0.3), 1e-6
    x = rng.normal(size=(200, 2))
    steps = h * np.eye(2)
    slope = np.stack([(loss.value(x + s) - loss.value(x - s)) / (2 * h) for s in steps], axis=-1)
    assert_allclose(loss.gradient(x), slope, atol=1e-7)
    bend = np.stack([(loss.gradient(x + s) - loss.gradient(x - s)) / (2 * h) for s in steps], axis=-1)
    assert_allclose(loss.hessian(x), bend, atol=1e-6)
    values = np.linalg.eigvalsh(loss.hessian(x))
    assert values.min() > 1 - 1e-12
    assert values.max() < 10 + 1e-12


def test_minimum_and_window():
    loss = PolygonWell(1.0, 10.0, 5, 2.0)
    assert loss.gradient(loss.minimizer).tolist() == [0.0, 0.0]
    assert_allclose(loss.spectrum, [1.0, 1.0])
    assert loss.window == ((-4.0, 4.0), (-4.0, 4.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0.0, 1.0, 3), "`strong_convexity` must be > 0"), ((2.0, 1.0, 3), "`smoothness` must be >= strong_convexity"),
     ((1.0, 2.0, 1), "`corners` must be a whole number >= 2"), ((1.0, 2.0, 3, -1.0), "`radius` must be >= 0")],
)  # fmt: skip
def test_bad_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        PolygonWell(*arguments)
