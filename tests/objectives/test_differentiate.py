"""Finite differences of batched functions: where the axes go, and how exact they are."""

import numpy as np
import pytest

from heavyball_dynamics.objectives._differentiate import differentiate, differentiate_along


def rotation(x):
    """A map whose Jacobian, [[-sin a, 1], [cos a, 2b]], is not symmetric."""
    a, b = x[..., 0], x[..., 1]
    return np.stack([np.cos(a) + b, np.sin(a) + b**2], axis=-1)


@pytest.mark.parametrize("batch", [(), (3,), (2, 4), (1, 2, 3)])
def test_rows_come_before_coordinates(batch):
    x = np.random.default_rng(0).uniform(-2, 2, size=(*batch, 2))
    jacobian = differentiate(rotation, x)
    expected = np.empty((*batch, 2, 2))
    expected[..., 0, 0], expected[..., 0, 1] = -np.sin(x[..., 0]), 1.0
    expected[..., 1, 0], expected[..., 1, 1] = np.cos(x[..., 0]), 2 * x[..., 1]
    np.testing.assert_allclose(jacobian, expected, atol=1e-12)
    v = np.array([0.6, -3.0])
    np.testing.assert_allclose(differentiate_along(rotation, x, v), expected @ v, atol=1e-11)


def test_polynomials_of_degree_eight_are_exact_to_rounding():
    x = np.array([[0.5, -0.25], [1.0, 1.0]])
    result = differentiate(lambda p: p[..., 0] ** 8 + p[..., 0] ** 4 * p[..., 1] ** 3, x)
    a, b = x.T
    np.testing.assert_allclose(result, np.stack([8 * a**7 + 4 * a**3 * b**3, 3 * a**4 * b**2], axis=-1), atol=1e-12)


def test_domains_wider_than_the_first_step_are_not_left():
    x = np.array([[0.3], [0.5]])
    np.testing.assert_allclose(differentiate(lambda p: np.log(p[..., 0]), x), 1 / x, rtol=1e-10)


def test_fine_scales_are_resolved_by_halving():
    x = np.linspace(0, 1, 7)[:, None]
    np.testing.assert_allclose(differentiate(lambda p: np.sin(60 * p[..., 0]), x), 60 * np.cos(60 * x), atol=1e-7)
