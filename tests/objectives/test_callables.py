"""Losses given as plain functions: shapes, missing derivatives, errors."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heavyball_dynamics.objectives import Objective, rosenbrock


def value(x):
    return np.exp(x[..., 0]) * np.sin(2 * x[..., 1]) + x[..., 0] * x[..., 2] ** 2


def gradient(x):
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    return np.stack([np.exp(a) * np.sin(2 * b) + c**2, 2 * np.exp(a) * np.cos(2 * b), 2 * a * c], axis=-1)


def hessian(x):
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    mixed, zero = 2 * np.exp(a) * np.cos(2 * b), 0 * a
    sine = np.exp(a) * np.sin(2 * b)
    rows = [[sine, mixed, 2 * c], [mixed, -4 * sine, zero], [2 * c, zero, 2 * a]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def bare():
    with pytest.warns(UserWarning, match=r"No `gradient` was given.*33 to 81 values"):
        return Objective(value, dim=3)


POSITIONS = np.random.default_rng(3).uniform(-1.5, 1.5, size=(5, 4, 3))


def test_missing_gradient_is_differenced_to_the_accuracy_that_the_warning_states():
    loss = bare()
    np.testing.assert_allclose(loss.gradient(POSITIONS), gradient(POSITIONS), rtol=0, atol=1e-11)
    np.testing.assert_allclose(loss.hessian(POSITIONS), hessian(POSITIONS), rtol=0, atol=1e-8)
    assert not loss.exact_hessian


def test_missing_gradient_costs_what_the_warning_states():
    evaluated = []

    def counted(x):
        evaluated.append(x[..., 0].size)
        return value(x)

    with pytest.warns(UserWarning, match="33 to 81"):
        loss = Objective(counted, dim=3)
    loss.gradient(POSITIONS)
    per_gradient = sum(evaluated) / POSITIONS[..., 0].size
    assert 33 <= per_gradient <= 81
    assert len(evaluated) <= 11  # calls, however large the batch


def test_missing_hessian_is_differenced_from_the_gradient():
    loss = Objective(value, gradient, dim=3)
    assert not loss.exact_hessian
    result = loss.hessian(POSITIONS)
    np.testing.assert_allclose(result, hessian(POSITIONS), rtol=0, atol=1e-11)
    assert np.array_equal(result, np.swapaxes(result, -1, -2))


def test_a_missing_hessian_is_not_formed_for_a_product():
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=POSITIONS.shape) * 10.0 ** rng.integers(-8, 8, size=(5, 4, 1))
    vectors[0, 0] = 0.0
    loss = Objective(value, gradient, dim=3)
    expected = np.einsum("...ij,...j->...i", hessian(POSITIONS), vectors)
    error = np.linalg.norm(loss.hessian_product(POSITIONS, vectors) - expected, axis=-1)
    assert np.all(error <= 1e-11 * np.linalg.norm(vectors, axis=-1))
    one = loss.hessian_product(POSITIONS, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(one, hessian(POSITIONS)[..., 0], atol=1e-11)
    assert np.array_equal(loss.hessian_product(POSITIONS[0, 0], np.zeros(3)), np.zeros(3))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_differenced_batches_agree_with_single_positions(seed):
    x, v = np.random.default_rng(seed).uniform(-1, 1, size=(2, 3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = Objective(value, dim=3)
    sloped = Objective(value, gradient, dim=3)
    for i in range(3):
        np.testing.assert_allclose(loss.gradient(x)[i], loss.gradient(x[i]), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sloped.hessian(x)[i], sloped.hessian(x[i]), rtol=1e-12, atol=1e-12)
        one = sloped.hessian_product(x[i], v[i])
        np.testing.assert_allclose(sloped.hessian_product(x, v)[i], one, rtol=1e-12, atol=1e-12)


def test_one_coordinate_and_empty_batches():
    loss = Objective(lambda x: np.cosh(x[..., 0]), np.sinh, dim=1)
    np.testing.assert_allclose(loss.hessian([[0.5], [1.0]])[:, 0, 0], np.cosh([0.5, 1.0]), rtol=1e-11)
    np.testing.assert_allclose(loss.hessian_product([0.5], [2.0]), 2 * np.cosh([0.5]), rtol=1e-11)
    none = np.zeros((0, 3))
    assert bare().gradient(none).shape == (0, 3)
    assert Objective(value, gradient, dim=3).hessian(none).shape == (0, 3, 3)
    assert Objective(value, gradient, dim=3).hessian_product(none, none).shape == (0, 3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_position_that_is_not_finite_harms_no_other_difference():
    x = np.array([[0.1, 0.2, 0.3], [np.nan] * 3, [np.inf, 0.0, 0.0], [0.1, 0.2, 0.3]])
    loss = bare()
    result = loss.gradient(x)
    np.testing.assert_allclose(result[[0, 3]], gradient(x[[0, 3]]), atol=1e-11)
    assert np.all(np.isnan(result[1]))


@pytest.mark.parametrize(
    ("arguments", "name", "received"),
    [
        ({"value": 3.0}, "value", "3.0"),
        ({"value": None}, "value", "None"),
        ({"value": value, "gradient": np.ones(3)}, "gradient", "array"),
        ({"value": value, "gradient": gradient, "hessian": "eye"}, "hessian", "'eye'"),
    ],
)
def test_what_is_not_callable_is_refused(arguments, name, received):
    with pytest.raises(TypeError, match=rf"`{name}` must be a function.*Received {received}"):
        Objective(**arguments, dim=3)


def test_dim_is_needed_and_counts():
    with pytest.raises(TypeError, match="dim"):
        Objective(value, gradient)
    with pytest.raises(ValueError, match="`dim` must be a whole number >= 1. Received 0"):
        Objective(value, gradient, dim=0)
    with pytest.raises(TypeError, match="`dim` must be a whole number"):
        Objective(value, gradient, dim=2.0)


def test_a_wrong_shape_names_the_function_both_shapes_and_the_remedy():
    x = np.zeros((5, 2))
    summed = Objective(lambda x: np.sum(x**2), lambda x: 2 * x, dim=2)
    with pytest.raises(ValueError, match=r"`value` must return shape \(5,\).*Received shape \(\).*x\[\.\.\., 0\]"):
        summed.value(x)
    unpacked = Objective(lambda x: x[..., 0], lambda x: x[0], dim=2)
    with pytest.raises(ValueError, match=r"`gradient` must return shape \(5, 2\).*Received shape \(2,\)"):
        unpacked.gradient(x)
    constant = Objective(lambda x: x[..., 0], lambda x: x, lambda x: np.eye(2), dim=2)
    with pytest.raises(ValueError, match=r"`hessian` must return shape \(5, 2, 2\).*Received shape \(2, 2\)"):
        constant.hessian(x)
    # A single position may pass: the shapes then agree.
    assert summed.value([1.0, 2.0]) == 5.0


def test_what_is_not_real_is_refused():
    loss = Objective(lambda x: x[..., 0] + 1j, lambda x: x, dim=1)
    with pytest.raises(TypeError, match="`value` must return real numbers. Received an array of dtype complex128"):
        loss.value([0.0])


def test_whole_numbers_become_floats():
    loss = Objective(lambda x: (x[..., 0] > 0).astype(int), lambda x: np.zeros(x.shape, dtype=np.int64), dim=1)
    assert loss.value([1.0]).dtype == np.float64
    assert loss.gradient([1.0]).dtype == np.float64


def test_equality_depends_on_the_functions():
    assert Objective(value, gradient, dim=3) == Objective(value, gradient, dim=3)
    assert Objective(value, gradient, dim=3) != Objective(value, gradient, hessian, dim=3)
    assert Objective(value, gradient, dim=3) != Objective(value, gradient, dim=2)
    assert "dim=3" in repr(Objective(value, gradient, dim=3))


def test_pickles_if_the_functions_do():
    loss = Objective(np.sum, np.negative, dim=3)
    assert pickle.loads(pickle.dumps(loss)) == loss
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(Objective(lambda x: x[..., 0], np.negative, dim=1))


def test_minimizer_and_window_are_kept_and_checked():
    banana = rosenbrock()
    loss = Objective(banana.value, banana.gradient, dim=2, minimizer=[1, 1], window=[(-2, 2), (-1, 3)])
    assert loss.minimizer.tolist() == [1.0, 1.0]
    assert loss.window == ((-2.0, 2.0), (-1.0, 3.0))
    np.testing.assert_allclose(loss.spectrum, banana.spectrum, rtol=1e-9)
    with pytest.raises(ValueError, match=r"where the gradient vanishes. Received \[1.0, 2.0\]"):
        Objective(banana.value, banana.gradient, dim=2, minimizer=[1, 2])
    with pytest.raises(ValueError, match=r"`minimizer` must be one point, of shape \(2,\)"):
        Objective(banana.value, banana.gradient, dim=2, minimizer=[[1, 1]])
    with pytest.raises(ValueError, match="`window` must be 2 pairs"):
        Objective(banana.value, banana.gradient, dim=2, window=[(-2, 2)])
    with pytest.raises(ValueError, match="low < high"):
        Objective(banana.value, banana.gradient, dim=2, window=[(-2, 2), (3, -1)])
