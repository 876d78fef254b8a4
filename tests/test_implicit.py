"""Implicit steps: the equation d = -w∇f(p + d) is solved, or NaN says that it is not."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

import heavyball_dynamics as hb

BOWL = hb.from_sympy("cosh(x) + 2*y**2 + x**2*y**2/4 + x*y/2 + y**4/4", "x y")
QUADRATIC = hb.Quadratic([[3.0, 1.0], [1.0, 1.0]], linear=[0.5, -1.0])


def gap(loss, p, w, d):
    """Return the residual relative to the step."""
    return np.linalg.norm(d + w * loss.gradient(p + d), axis=-1) / np.linalg.norm(d, axis=-1)


class TestQuadratics:
    @given(p=st.tuples(st.floats(-5, 5), st.floats(-5, 5)), w=st.floats(1e-12, 1e6))
    def test_is_one_linear_solve(self, p, w):
        wanted = -np.linalg.solve(np.eye(2) + w * QUADRATIC.matrix, w * QUADRATIC.gradient(p))
        assert_allclose(hb.proximal_step(QUADRATIC, np.array(p), w), wanted, rtol=1e-12, atol=1e-300)

    def test_least_squares(self):
        rng = np.random.default_rng(0)
        loss = hb.LeastSquares(rng.normal(size=(3, 5)), rng.normal(size=3), l2=0.01)
        p, w = rng.normal(size=(4, 5)), np.array([[1e-9], [0.1], [10.0], [1e5]])
        d = hb.proximal_step(loss, p, w)
        hessian = loss.hessian(np.zeros(5))
        for i in range(4):
            wanted = -np.linalg.solve(np.eye(5) + w[i] * hessian, w[i] * loss.gradient(p[i]))
            assert_allclose(d[i], wanted, rtol=1e-10)

    def test_flat_and_saddle(self):
        """d = -wλp/(1 + wλ), without a solution where 1 + wλ = 0."""
        bends = np.array([0.0, -1.0, -4.0, -2.0, 1.0])
        for bend in bends:
            d = hb.proximal_step(hb.Quadratic([bend]), np.array([3.0]), 0.5)
            with np.errstate(divide="ignore"):
                wanted = -1.5 * bend / (1 + 0.5 * bend) if bend != -2 else np.nan
            assert_allclose(d, [wanted], rtol=1e-15)

    def test_a_singular_element_leaves_the_others_alone(self):
        w = np.array([[0.25], [0.5], [1.0]])
        d = hb.proximal_step(hb.Quadratic([-2.0, 1.0]), np.ones((3, 2)), w)
        assert np.isnan(d[1]).all()
        assert_allclose(d[[0, 2]], [[1.0, -0.2], [-2.0, -0.5]], rtol=1e-15)


class TestOtherLosses:
    @given(p=st.tuples(st.floats(-3, 3), st.floats(-3, 3)), exponent=st.floats(-14, 3))
    def test_solves_the_equation(self, p, exponent):
        p, w = np.array(p), 10**exponent
        slope = BOWL.gradient(p)
        if np.linalg.norm(slope) < 1e-3:
            return
        d = hb.proximal_step(BOWL, p, w)
        # What rounding of the position does to the gradient is no fault of the solver's.
        noise = 4e-16 * (1 + w * np.linalg.norm(BOWL.hessian(p + d)) * (1 + np.linalg.norm(p)) / np.linalg.norm(d))
        assert gap(BOWL, p, w, d) <= 10 * noise

    def test_against_a_closed_form(self):
        """x + wx³ = p by Cardano's formula."""
        p, w = np.array([[2.0], [10.0], [1e-3], [-1e4]]), np.array([[1.0], [1e-6], [1e3], [1.0]])
        u = np.cbrt(p / (2 * w) + np.sqrt((p / (2 * w)) ** 2 + 1 / (27 * w**3)))
        v = np.cbrt(p / (2 * w) - np.sqrt((p / (2 * w)) ** 2 + 1 / (27 * w**3)))
        x = p + hb.proximal_step(hb.from_sympy("x**4/4", "x"), p, w)
        assert_allclose(x, u + v, rtol=1e-9)  # that of Cardano's formula

    def test_tiny_weights_keep_the_digits_of_the_step(self):
        """The step is far below the rounding of the position, and still right: d = -w∇f(p) + O(w²)."""
        p = np.array([1e3, -2.0])
        for w in (1e-10, 1e-18, 1e-30):
            d = hb.proximal_step(hb.from_sympy("sqrt(1 + x**2) + cosh(y)", "x y"), p, w)
            slope = np.array([p[0] / np.sqrt(1 + p[0] ** 2), np.sinh(p[1])])
            assert_allclose(d, -w * slope, rtol=10 * w + 1e-15)

    def test_is_the_proximal_point(self):
        """For a convex loss it minimizes f(x) + |x - p|²/2w."""
        rng = np.random.default_rng(3)
        p, w = rng.normal(size=2), 0.7
        x = p + hb.proximal_step(BOWL, p, w)

        def model(y):
            return BOWL.value(y) + np.sum((y - p) ** 2, axis=-1) / (2 * w)

        assert np.all(model(x) <= model(x + 1e-3 * rng.normal(size=(100, 2))))

    def test_elements_that_newton_does_not_reach(self):
        """Non-convex, with large weights: what comes back solves the equation, each element like alone."""
        loss = hb.rosenbrock()
        rng = np.random.default_rng(5)
        p, w = rng.normal(scale=2.0, size=(20, 2)), 10 ** rng.uniform(-4, 4, size=(20, 1))
        with np.errstate(all="ignore"):
            d = hb.proximal_step(loss, p, w)
            alone = [hb.proximal_step(loss, each, weight) for each, weight in zip(p, w, strict=True)]
        solved = np.isfinite(d).all(axis=-1)
        assert solved.mean() > 0.9
        residual = np.linalg.norm(d + w * loss.gradient(p + d), axis=-1)
        assert np.all(residual[solved] <= 1e-9 * (1 + np.linalg.norm(d, axis=-1))[solved])
        assert_allclose(d, alone, rtol=1e-9)

    def test_newton_that_swings_for_ever(self):
        """On the arms of a hyperbola the curvature vanishes, and Newton's method overshoots; there is one solution."""
        loss = hb.from_sympy("sqrt(1 + x**2)", "x")
        p, w = np.array([[5.0], [0.1], [-30.0], [5.0]]), np.array([[100.0], [0.5], [1e3], [2.0]])
        d = hb.proximal_step(loss, p, w)
        for i in range(4):
            x = brentq(lambda x, i=i: x - p[i, 0] + w[i, 0] * x / np.sqrt(1 + x**2), -50, 50, xtol=1e-15)
            assert_allclose(p[i] + d[i], [x], rtol=1e-10, atol=1e-12)

    def test_no_solution(self):
        """x - w eˣ = p has no solution for p > -1 - ln w; below there are two."""
        loss = hb.from_sympy("-exp(x)", "x")
        p = np.array([[0.0], [-3.0]])
        with np.errstate(all="ignore"):
            d = hb.proximal_step(loss, p, 1.0)
        assert np.isnan(d[0])
        assert_allclose((p + d - np.exp(p + d))[1], p[1], rtol=1e-12)

    def test_starts_that_are_not_finite(self):
        p = np.array([[np.nan, 0.0], [1.0, np.inf], [1.0, 0.5]])
        with np.errstate(all="ignore"):
            d = hb.proximal_step(BOWL, p, 0.1)
        assert np.isnan(d[:2]).all()
        assert gap(BOWL, p[2], 0.1, d[2]) < 1e-14


class TestShapes:
    def test_weights_and_positions_broadcast(self):
        w = np.array([[[0.1]], [[0.2]]])
        p = np.array([[1.0, 2.0], [0.5, 0.5], [0.0, -1.0]])
        for loss in (BOWL, QUADRATIC):
            d = hb.proximal_step(loss, p, w)
            assert d.shape == (2, 3, 2)
            for i, j in np.ndindex(2, 3):
                assert_allclose(d[i, j], hb.proximal_step(loss, p[j], w[i, 0]), rtol=1e-12)
            assert_array_equal(hb.proximal_step(loss, p[0], w[:, 0])[1], d[1, 0])

    def test_no_step(self):
        assert_array_equal(hb.proximal_step(BOWL, np.array([1.0, 2.0]), 0.0), [0.0, 0.0])
        assert_array_equal(hb.proximal_step(hb.rosenbrock(), np.array([1.0, 1.0]), 0.5), [0.0, 0.0])


class TestObjectives:
    def test_own_answer_is_taken(self):
        class Absolute:
            """|x|, whose proximal point is the soft threshold."""

            dim = 1

            def proximal_point(self, position, weight):
                return np.sign(position) * np.maximum(np.abs(position) - weight, 0.0)

        assert_allclose(hb.proximal_step(Absolute(), np.array([[3.0], [-0.1]]), 0.5), [[-0.5], [0.1]])

    def test_no_hessian(self):
        loss = hb.Objective(lambda x: np.sum(x**4, axis=-1), lambda x: 4 * x**3, dim=1)
        with pytest.raises(TypeError, match=r"must have an analytic Hessian for an implicit.*Received Objective\(.*"
                           r"Give hb.Objective a hessian=, or write the loss with hb.from_sympy"):  # fmt: skip
            hb.proximal_step(loss, np.array([1.0]), 0.1)

        class Bare:
            dim = 1

            def gradient(self, position):
                return position

        with pytest.raises(TypeError, match="must have an analytic Hessian"):
            hb.proximal_step(Bare(), np.array([1.0]), 0.1)


@pytest.mark.parametrize("dt", [1e-12, 1e-8, 1e-5])
def test_implicit_rules_are_probed_at_every_step_size(dt):
    # 2/h times the difference of two points h² apart would be rounding alone.
    flow = hb.HeavyBallFlow(1.0, 3.0)
    matrices = hb.state_matrices(hb.discretize(flow, dt, "implicit_midpoint"))
    drag = 1 + 1.5 * dt
    np.testing.assert_allclose(matrices.B[:, 0], [-(dt**2) / (2 * drag), -dt / drag], rtol=1e-12)
    found = hb.pole_map("implicit_midpoint", flow, dt, [1.0, 100.0])
    q = found.flow_poles * dt / 2
    np.testing.assert_allclose(found.poles[0], (1 + q) / (1 - q), rtol=1e-12)


def test_finished_elements_of_a_batch_ask_nothing_new():
    flow, loss = hb.HeavyBallFlow(1.0, 1.0), hb.rosenbrock()

    def counts(dts):
        return hb.compare(flow, loss, [-0.5, 0.5], schemes=["implicit_midpoint"], dts=dts, duration=0.5).evaluations[0]

    together = counts([1 / 50, 1 / 400, 1 / 1600])
    np.testing.assert_array_equal(together, [counts([1 / 50, 1 / 100])[0], *counts([1 / 400, 1 / 1600])])


def test_a_weight_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"`weight` must be a number or have shape .*Received shape \(2,\)"):
        hb.proximal_step(hb.Quadratic([1.0, 2.0]), np.ones((2, 2)), np.array([0.5, 1.0]))


def test_symbols_are_not_run():
    with pytest.raises(TypeError, match="`lr` must be a number to be run. Received the symbol a"):
        hb.iterate(hb.HeavyBall(sympy.Symbol("a"), 0.9), hb.Quadratic([1.0]), [1.0], 3)


def test_where_only_the_minimum_leads_to_the_solution():
    """Between the valleys of Himmelblau's function roots are missed; the proximal point is a minimum, and is found."""
    loss, p, w = hb.himmelblau(), np.array([[0.64042265, 0.10490012]]), 0.05
    d = hb.proximal_step(loss, p, w)
    assert_allclose(d, -w * loss.gradient(p + d), rtol=1e-9)
    assert_allclose(d, [[1.9504, 1.0236]], atol=1e-3)


@pytest.mark.parametrize("kind", ["minibatch", "noisy"])
def test_elements_left_to_minpack_keep_their_own_samples(kind, monkeypatch):
    """Where losses differ by their place in the batch, an element solved alone is still that element."""
    rng = np.random.default_rng(5)
    fit = hb.LogisticRegression(rng.normal(size=(12, 2)), (rng.random(12) < 0.5).astype(float), l2=0.1)
    loss = fit.minibatch(3, seed=2) if kind == "minibatch" else hb.NoisyGradient(fit, 0.3, seed=2)
    p = rng.normal(size=(2, 3, 2))
    expected = hb.proximal_step(loss.at(4), p, 0.7)
    assert np.ptp(expected.reshape(6, 2), axis=0).min() > 0.01
    monkeypatch.setattr("heavyball_dynamics._implicit._ITERATIONS", 0)
    assert_allclose(hb.proximal_step(loss.at(4), p, 0.7), expected, rtol=1e-9)
