"""The contract of every objective: shapes, derivatives, batches, equality, pickles."""

import pickle
import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from heavyball_dynamics.objectives import (
    GraphColoring,
    LeastSquares,
    LessardCounterexample,
    LinearNetwork,
    LogisticRegression,
    Objective,
    ObjectiveBase,
    PathColoring,
    Quadratic,
    SaddleChain,
    TiltedWashboard,
    beale,
    canyon,
    double_well,
    from_sympy,
    himmelblau,
    nesterov_worst,
    rosenbrock,
    saddle,
    styblinski_tang,
)


def cubic_value(x):
    return x[..., 0] ** 3 * x[..., 1] + np.cos(x[..., 1])


def cubic_gradient(x):
    return np.stack([3 * x[..., 0] ** 2 * x[..., 1], x[..., 0] ** 3 - np.sin(x[..., 1])], axis=-1)


def cubic_hessian(x):
    mixed = 3 * x[..., 0] ** 2
    rows = [[6 * x[..., 0] * x[..., 1], mixed], [mixed, -np.cos(x[..., 1])]]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def objectives():
    rng = np.random.default_rng(7)
    features = rng.normal(size=(12, 3))
    labels = rng.integers(0, 2, size=12)
    return {
        "callables": Objective(cubic_value, cubic_gradient, cubic_hessian, dim=2),
        "diagonal": Quadratic([3.0, -1.0, 0.0], linear=[1.0, 2.0, 0.0]),
        "matrix": Quadratic([[4.0, 1.0], [1.0, 3.0]], linear=[1.0, -2.0]),
        "least squares": LeastSquares(features, rng.normal(size=12), l2=0.1),
        "logistic": LogisticRegression(features, labels, l2=0.1),
        "symbolic": from_sympy("exp(x*y) + sin(z)*x + z**2", "x y z"),
        "one coordinate": from_sympy("cos(x)", "x"),
        "rosenbrock": rosenbrock(),
        "beale": beale(),
        "double well": double_well(),
        "canyon": canyon(),
        "saddle": saddle(),
        "himmelblau": himmelblau(),
        "styblinski-tang": styblinski_tang(),
        "path colouring": PathColoring(5),
        "graph colouring": GraphColoring([(0, 1), (1, 2), (2, 0), (2, 3)]),
        "washboard": TiltedWashboard(),
        "saddle chain": SaddleChain(3),
        "linear network": LinearNetwork(features[:, :2], features @ rng.normal(size=(3, 2)), 2),
        "nesterov's worst": nesterov_worst(4, 10.0, 0.5),
        "lessard": LessardCounterexample(),
        "minibatch": LeastSquares(features, rng.normal(size=12), l2=0.1).minibatch(5, seed=3),
        "logistic minibatch": LogisticRegression(features, labels, l2=0.1).minibatch(4, seed=3),
    }


OBJECTIVES = objectives()
every = pytest.mark.parametrize("name", OBJECTIVES)


def five_point(function, x, direction, h=2e-3):
    """Fourth-order directional derivative, independent of what the package uses."""
    d = direction
    outer = function(x - 2 * h * d) - function(x + 2 * h * d)
    return (outer + 8 * (function(x + h * d) - function(x - h * d))) / (12 * h)


@every
def test_gradient_is_the_derivative_of_the_value(name):
    loss = OBJECTIVES[name]
    x = np.random.default_rng(0).uniform(-1, 1, size=(6, loss.dim))
    for i, direction in enumerate(np.eye(loss.dim)):
        expected = five_point(loss.value, x, direction)
        np.testing.assert_allclose(loss.gradient(x)[:, i], expected, rtol=1e-7, atol=1e-7)


@every
def test_hessian_is_the_derivative_of_the_gradient_and_symmetric(name):
    loss = OBJECTIVES[name]
    x = np.random.default_rng(1).uniform(-1, 1, size=(6, loss.dim))
    hessian = loss.hessian(x)
    for j, direction in enumerate(np.eye(loss.dim)):
        expected = five_point(loss.gradient, x, direction)
        np.testing.assert_allclose(hessian[:, :, j], expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(hessian, np.swapaxes(hessian, -1, -2), rtol=1e-14, atol=1e-15)


@every
def test_hessian_product(name):
    loss = OBJECTIVES[name]
    rng = np.random.default_rng(2)
    x, v = rng.uniform(-1, 1, size=(2, 4, 3, loss.dim))
    expected = np.einsum("...ij,...j->...i", loss.hessian(x), v)
    np.testing.assert_allclose(loss.hessian_product(x, v), expected, rtol=1e-12, atol=1e-13)
    one = loss.hessian_product(x, v[0, 0])
    assert one.shape == x.shape
    np.testing.assert_allclose(one, loss.hessian(x) @ v[0, 0], rtol=1e-12, atol=1e-13)
    many = loss.hessian_product(x[0, 0], v)
    assert many.shape == v.shape
    np.testing.assert_allclose(many, v @ loss.hessian(x[0, 0]), rtol=1e-12, atol=1e-13)


@every
@settings(deadline=None, max_examples=15)
@given(batch=array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), seed=st.integers(0, 2**32 - 1))
def test_batches_agree_with_single_positions(name, batch, seed):
    loss = OBJECTIVES[name]
    x = np.random.default_rng(seed).uniform(-2, 2, size=(*batch, loss.dim))
    value, gradient, hessian = loss.value(x), loss.gradient(x), loss.hessian(x)
    assert value.shape == batch
    assert gradient.shape == x.shape
    assert hessian.shape == (*x.shape, loss.dim)
    for index in np.ndindex(*batch):
        np.testing.assert_allclose(value[index], loss.value(x[index]), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(gradient[index], loss.gradient(x[index]), rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(hessian[index], loss.hessian(x[index]), rtol=1e-13, atol=1e-12)


@every
def test_memory_order_lists_and_integers_do_not_matter(name):
    loss = OBJECTIVES[name]
    x = np.arange(4 * loss.dim).reshape(4, loss.dim) % 3 - 1
    expected = loss.gradient(x.astype(float))
    assert np.array_equal(loss.gradient(x), expected)
    assert np.array_equal(loss.gradient(x.tolist()), expected)
    np.testing.assert_allclose(loss.gradient(np.asfortranarray(x, dtype=float)), expected, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(loss.value(np.asfortranarray(x, dtype=float)), loss.value(x), rtol=1e-14, atol=1e-14)


@every
def test_positions_are_not_written_to_and_the_results_are_float64(name):
    loss = OBJECTIVES[name]
    x = np.full((2, loss.dim), 0.5)
    x.flags.writeable = False
    for result in (loss.value(x), loss.gradient(x), loss.hessian(x), loss.hessian_product(x, x)):
        assert result.dtype == np.float64


@every
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_positions_that_are_not_finite_harm_no_other(name):
    loss = OBJECTIVES[name]
    good = np.full(loss.dim, 0.3)
    x = np.array([good, np.full(loss.dim, np.inf), np.full(loss.dim, np.nan), good])
    for function in (loss.value, loss.gradient, loss.hessian):
        result = function(x)
        np.testing.assert_allclose(result[[0, 3]], np.array([function(good)] * 2), rtol=1e-13, atol=1e-13)
    assert np.isnan(loss.value(x)[2])


@every
def test_wrong_last_axis_is_refused(name):
    loss = OBJECTIVES[name]
    for wrong in (np.zeros((3, loss.dim + 1)), np.float64(1.0)):
        for function in (loss.value, loss.gradient, loss.hessian):
            with pytest.raises(ValueError, match=rf"`position` must have shape \(\*batch, {loss.dim}\)"):
                function(wrong)
        with pytest.raises(ValueError, match="`vector` must have shape"):
            loss.hessian_product(np.zeros(loss.dim), wrong)


@every
def test_equality_hash_and_pickle(name):
    loss, again = OBJECTIVES[name], objectives()[name]
    assert loss == again
    assert hash(loss) == hash(again)
    assert all(loss != other for key, other in OBJECTIVES.items() if key != name)
    x = np.full(loss.dim, 0.4)
    expected = loss.gradient(x)
    copy = pickle.loads(pickle.dumps(loss))
    assert copy == loss
    assert hash(copy) == hash(loss)
    assert np.array_equal(copy.gradient(x), expected)


@every
def test_is_frozen_and_the_same_at_every_step_unless_it_draws(name):
    loss = OBJECTIVES[name]
    assert ("minibatch" in name) != (loss.at(3) is loss)
    assert loss.exact_hessian
    with pytest.raises(AttributeError):
        loss.dim = 5


def test_arrays_stay_read_only_after_pickling():
    copy = pickle.loads(pickle.dumps(OBJECTIVES["least squares"]))
    with pytest.raises(ValueError, match="read-only"):
        copy.features[0, 0] = 1.0


def test_arrays_are_copied_in():
    features = np.eye(2)
    loss = LeastSquares(features, [1.0, 2.0])
    features[0, 0] = 9.0
    assert loss.features[0, 0] == 1.0
    matrix = np.eye(2)
    quadratic = Quadratic(matrix)
    matrix[0, 0] = 9.0
    assert quadratic.gradient([1.0, 1.0]).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", [name for name, loss in OBJECTIVES.items() if loss.minimizer is not None])
def test_minimizer_and_modes(name):
    loss = OBJECTIVES[name]
    assert loss.minimizer.shape == (loss.dim,)
    np.testing.assert_allclose(loss.gradient(loss.minimizer), 0.0, atol=1e-14)
    hessian = loss.hessian(loss.minimizer)
    eigenvalues, vectors = loss.modes
    assert np.all(np.diff(eigenvalues) >= 0)
    assert np.array_equal(loss.spectrum, eigenvalues)
    np.testing.assert_allclose(eigenvalues, np.linalg.eigvalsh(hessian), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(loss.dim), atol=1e-14)
    np.testing.assert_allclose(hessian @ vectors, vectors * eigenvalues, atol=1e-12 * np.max(np.abs(eigenvalues)))
    # The sign is fixed: the largest entry of each is positive.
    assert np.all(vectors[np.argmax(np.abs(vectors), axis=0), range(loss.dim)] > 0)


def test_modes_need_a_point():
    loss = OBJECTIVES["symbolic"]
    assert loss.minimizer is None
    assert loss.window is None
    with pytest.raises(ValueError, match="SymbolicObjective knows no point to be linearized at.*minimizer="):
        _ = loss.spectrum


@pytest.mark.parametrize("name", ["canyon", "saddle", "matrix", "least squares", "logistic", "diagonal", "minibatch"])
def test_the_window_is_twice_the_extent_of_an_ellipse(name):
    loss = OBJECTIVES[name]
    window = np.array(loss.window)
    np.testing.assert_allclose(window.mean(axis=1), loss.minimizer, atol=1e-12)
    hessian = loss.hessian(loss.minimizer)
    if name == "diagonal":
        expected = 2 / np.sqrt([3.0, 1.0, 1.0])
    else:
        expected = 2 * np.sqrt(np.abs(np.diag(np.linalg.inv(hessian))))
    np.testing.assert_allclose(np.diff(window)[:, 0] / 2, expected, rtol=1e-12)


def test_the_window_of_a_loss_without_a_minimum_is_none():
    assert Quadratic([0.0, 1.0], linear=[1.0, 0.0]).window is None
    assert Quadratic([0.0]).window == ((-2.0, 2.0),)


def test_a_loss_of_ones_own_takes_three_functions():
    @dataclass(frozen=True, eq=False)
    class Quartic(ObjectiveBase):
        dim: int = field(default=2, init=False)

        def value(self, position):
            return np.sum(self._positions(position) ** 4, axis=-1) / 4

        def gradient(self, position):
            return self._positions(position) ** 3

        def hessian(self, position):
            return 3 * self._positions(position)[..., None] ** 2 * np.eye(2)

    loss = Quartic()
    assert loss == Quartic()
    assert np.array_equal(loss.hessian_product([[1.0, 2.0]], [1.0, 1.0]), [[3.0, 12.0]])
    with pytest.raises(TypeError, match="abstract"):
        ObjectiveBase()


def test_importing_the_room_loads_nothing_heavy():
    heavy = "sympy", "scipy.optimize", "scipy.differentiate", "control", "matplotlib"
    code = f"import sys, heavyball_dynamics.objectives; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
