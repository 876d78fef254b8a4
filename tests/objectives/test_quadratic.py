"""Quadratics against linear algebra done by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heavyball_dynamics.objectives import Quadratic


def random_symmetric(seed, dim):
    matrix = np.random.default_rng(seed).normal(size=(dim, dim))
    return matrix + matrix.T


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 6))
def test_value_and_gradient_by_hand(seed, dim):
    matrix, rng = random_symmetric(seed, dim), np.random.default_rng(seed)
    b, x = rng.normal(size=dim), rng.normal(size=dim)
    loss = Quadratic(matrix, b)
    np.testing.assert_allclose(loss.value(x), 0.5 * x @ matrix @ x + b @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(loss.gradient(x), matrix @ x + b, rtol=1e-12, atol=1e-12)
    assert np.array_equal(loss.hessian(x), matrix)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 6))
def test_eigenvalues_are_a_diagonal_matrix(seed, dim):
    rng = np.random.default_rng(seed)
    eigenvalues, b = rng.normal(size=(2, dim))
    x = rng.normal(size=(3, dim))
    diagonal, full = Quadratic(eigenvalues, b), Quadratic(np.diag(eigenvalues), b)
    for name in ("value", "gradient", "hessian"):
        np.testing.assert_allclose(getattr(diagonal, name)(x), getattr(full, name)(x), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(diagonal.minimizer, full.minimizer, rtol=1e-11)
    assert np.array_equal(diagonal.spectrum, np.sort(eigenvalues))
    np.testing.assert_allclose(full.spectrum, np.sort(eigenvalues), rtol=1e-12, atol=1e-14)
    assert np.array_equal(diagonal.modes.eigenvectors, np.eye(dim)[:, np.argsort(eigenvalues)])


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), dim=st.integers(1, 6))
def test_minimizer_solves_the_linear_system(seed, dim):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dim, dim))
    matrix, b = root @ root.T + np.eye(dim), rng.normal(size=dim)
    loss = Quadratic(matrix, b)
    np.testing.assert_allclose(loss.minimizer, np.linalg.solve(matrix, -b), rtol=1e-10, atol=1e-12)
    around = loss.minimizer + rng.normal(size=(20, dim))
    assert np.all(loss.value(around) > loss.value(loss.minimizer))


def test_the_stationary_point_of_an_indefinite_quadratic():
    loss = Quadratic([[1.0, 2.0], [2.0, 1.0]], [3.0, 0.0])
    np.testing.assert_allclose(loss.spectrum, [-1.0, 3.0], rtol=1e-14)
    np.testing.assert_allclose(loss.minimizer, [1.0, -2.0], rtol=1e-14)


def test_of_many_stationary_points_the_nearest():
    direction = np.array([1.0, 2.0, 2.0]) / 3
    loss = Quadratic(np.outer(direction, direction), -5 * direction)
    np.testing.assert_allclose(loss.minimizer, 5 * direction, rtol=1e-13)
    assert np.array_equal(Quadratic([0.0, 2.0], [0.0, -2.0]).minimizer, [0.0, 1.0])
    assert np.array_equal(Quadratic(np.zeros((2, 2))).minimizer, [0.0, 0.0])


def test_no_stationary_point_names_the_direction():
    with pytest.raises(ValueError, match=r"unbounded below: it falls at a constant slope along \[-1.0, 0.0\]"):
        _ = Quadratic([0.0, 2.0], [3.0, 1.0]).minimizer
    direction = np.array([3.0, 4.0]) / 5
    flat = np.array([-4.0, 3.0]) / 5
    loss = Quadratic(7 * np.outer(direction, direction), flat + direction)
    with pytest.raises(ValueError, match="unbounded below") as caught:
        _ = loss.minimizer
    named = np.fromstring(str(caught.value).rsplit("[", 1)[1].rstrip("]."), sep=",")
    np.testing.assert_allclose(named, -flat, atol=1e-12)
    np.testing.assert_allclose(loss.value(2e3 * named) - loss.value(1e3 * named), -1e3, rtol=1e-9)


def test_given_eigenvalues_count_however_small():
    loss = Quadratic([1e-30, 1.0], [1e-30, 1.0])
    np.testing.assert_allclose(loss.minimizer, [-1.0, -1.0], rtol=1e-14)
    assert loss.spectrum.tolist() == [1e-30, 1.0]
    with pytest.raises(ValueError, match="unbounded"):
        _ = Quadratic([0.0, 1.0], [1e-30, 1.0]).minimizer


def test_a_large_diagonal_forms_no_matrix():
    loss = Quadratic(np.linspace(1.0, 2.0, 200_000), np.ones(200_000))
    assert loss.spectrum[0] == 1.0
    np.testing.assert_allclose(loss.gradient(loss.minimizer), 0.0, atol=1e-15)
    assert loss.hessian_product(loss.minimizer, np.ones(200_000))[-1] == 2.0


def test_rounding_is_symmetrized():
    matrix = np.array([[2.0, 1.0 + 1e-14], [1.0, 3.0]])
    hessian = Quadratic(matrix).hessian([0.0, 0.0])
    assert np.array_equal(hessian, hessian.T)


def test_asymmetric_matrices_are_refused_with_both_entries():
    with pytest.raises(ValueError, match=r"Received 1.0 at index \(0, 1\) and 5.0 at index \(1, 0\)"):
        Quadratic([[2.0, 1.0], [5.0, 3.0]])


@pytest.mark.parametrize("wrong", [3.0, np.ones((2, 3)), np.ones((2, 2, 2)), [], np.ones((0, 0))])
def test_wrong_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match="`hessian` must be a symmetric matrix .* Received shape"):
        Quadratic(wrong)


def test_other_bad_input():
    with pytest.raises(ValueError, match=r"`linear` must have shape \(2,\).*Received shape \(3,\)"):
        Quadratic([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"`hessian` must be finite. Received nan at index \(1, 0\)"):
        Quadratic([[1.0, 0.0], [np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"`linear` must be finite. Received inf at index \(0,\)"):
        Quadratic([1.0], [np.inf])
    with pytest.raises(TypeError, match="`hessian` must hold real numbers"):
        Quadratic([1.0 + 1j])


def test_repr_can_be_read_back():
    for loss in (Quadratic([1.0, 2.0]), Quadratic([[1.0, 0.5], [0.5, 2.0]], [1.0, 0.0])):
        assert eval(repr(loss)) == loss
