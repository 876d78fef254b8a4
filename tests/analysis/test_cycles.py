"""Cycles against exact fractions, closed forms, long runs and differences; step Jacobians against differences."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from user_rules import Extragradient

import heavyball_dynamics as hb
from heavyball_dynamics.analysis._cycle_search import CycleSearch, lowest_period
from heavyball_dynamics.analysis._step_derivatives import StepMap, orbit
from heavyball_dynamics.analysis.cycles import find_cycle

LESSARD = hb.LessardCounterexample()
TUNED = hb.tune(hb.HeavyBall, 1.0, 25.0)


def difference(step, flat, size=1e-6):
    """Central differences, column by column, with steps in proportion."""
    columns = []
    for i, x in enumerate(flat):
        shift = np.zeros(len(flat))
        shift[i] = size * max(abs(x), 1e-3)
        columns.append((step(flat + shift) - step(flat - shift)) / (2 * shift[i]))
    return np.stack(columns, axis=-1)


class TestLessard:
    @pytest.mark.parametrize("start", [3.3, 3.1, 3.45, 2.1, -1.8])
    def test_exact_points(self, start):
        """Lessard, Recht, Packard 2016, section 4.6."""
        found = find_cycle(TUNED, LESSARD, [start], 3)
        assert (found.period, found.asked, found.derivatives) == (3, 3, "matrices")
        assert found.points.shape == (3, 1)
        shifts = [np.roll(found.points[:, 0], shift) for shift in range(3)]
        assert min(np.abs(each - LESSARD.cycle).max() for each in shifts) < 1e-13
        assert found.residual < 1e-13

    def test_from_the_state_of_a_run(self):
        state = hb.iterate(TUNED, LESSARD, [3.3], 31).state
        found = find_cycle(TUNED, LESSARD, state, 3)
        assert_allclose(found.points[0], state.position, atol=1e-3)
        assert_allclose(np.sort(found.points[:, 0]), np.sort(LESSARD.cycle), atol=1e-13)

    def test_multipliers(self):
        """All three points lie where the curvature is 25: the double root -2/3, three times."""
        found = find_cycle(TUNED, LESSARD, [3.3], 3)
        assert found.stable
        assert_allclose(found.multipliers, [-8 / 27, -8 / 27], atol=1e-6)
        assert_allclose(np.prod(found.multipliers), (4 / 9) ** 3, rtol=1e-12)  # det of the heavy ball's step is β
        assert found.multipliers.dtype == np.complex128

    def test_it_is_where_a_long_run_ends(self):
        run = hb.iterate(TUNED, LESSARD, [3.3], 600)
        found = find_cycle(TUNED, LESSARD, [3.3], 3)
        last = run.position[-3:, 0]
        assert min(np.abs(np.roll(last, s) - found.points[:, 0]).max() for s in range(3)) < 1e-12

    def test_its_states_go_round(self):
        found = find_cycle(TUNED, LESSARD, [3.3], 3)
        run = hb.iterate(TUNED, LESSARD, found.states, 3)
        assert run.position.shape == (3, 4, 1)
        assert_allclose(run.position[:, 1, 0], np.roll(found.points[:, 0], -1), atol=1e-13)
        assert_allclose(run.position[:, 3], run.position[:, 0], atol=1e-13)

    def test_a_cycle_that_repels(self):
        """Between the fixed point and the stable cycle there is another one, with a point on the flat piece or not."""
        found = find_cycle(TUNED, LESSARD, [0.7], 3)
        assert found.period == 3
        assert not found.stable
        nudged = found.states._replace(position=found.states.position * (1 + 1e-9))
        away = hb.iterate(TUNED, LESSARD, nudged, 90).position[0, ::3, 0] - found.points[0]
        grown = np.abs(away[4:12] / away[3:11])
        assert_allclose(grown, np.abs(found.multipliers[0]), rtol=1e-3)

    def test_multiples_and_fixed_points(self):
        six = find_cycle(TUNED, LESSARD, [3.3], 6)
        assert (six.period, six.asked) == (3, 6)
        assert len(six.points) == 3
        assert "period 6 was asked for: try another start" in six.summary()
        rest = find_cycle(TUNED, LESSARD, [0.3], 1)
        assert rest.period == 1
        assert_allclose(rest.points, [[0.0]], atol=1e-12)
        assert rest.summary().startswith("fixed point (period 1), stable")


def adams(eps, beta1=0.9, beta2=0.999, lr=0.1):
    return hb.Adam(lr=lr, beta1=beta1, beta2=beta2, eps=eps)


class TestAdamOnAParabola:
    """x -> -x with v = (λc)² and m⁺ = μλc, μ = (1-β₁)/(1+β₁): 2c = ημλc/(λc + ε), so c = ημ/2 - ε/λ."""

    @given(
        beta1=st.floats(0.0, 0.95), beta2=st.floats(0.0, 0.999), lr=st.floats(1e-4, 10.0),
        curvature=st.floats(1e-2, 100.0), share=st.floats(1e-8, 0.5),
    )  # fmt: skip
    @settings(max_examples=25)
    def test_closed_form(self, beta1, beta2, lr, curvature, share):
        whole = lr * (1 - beta1) / (1 + beta1) / 2
        eps = share * whole * curvature
        size = whole - eps / curvature
        found = find_cycle(hb.Adam(lr, beta1, beta2, eps), hb.Quadratic([curvature]), [1.05 * size], 2, k=math.inf)
        assert found.period == 2
        # Without averages and ε every size would do: near that, rounding decides.
        near = 1e-8 + 1e-15 / share
        assert_allclose(np.abs(found.points[:, 0]), size, rtol=near)
        assert_allclose(found.points[0], -found.points[1], rtol=near)
        assert_allclose(found.states.square_average, (curvature * size) ** 2 * np.ones((2, 1)), rtol=10 * near)
        assert_allclose(
            found.states.gradient_average, -(1 - beta1) / (1 + beta1) * curvature * found.points, rtol=10 * near,
            atol=1e-300,
        )  # fmt: skip

    def test_bias_corrections_end(self):
        """1 - β^∞ is one."""
        state = hb.AdamState(np.array([1.0]), np.array([0.3]), np.array([0.2]))
        method, loss = adams(1e-3), hb.Quadratic([2.0])
        limit, late = method.step(math.inf, state, loss), method.step(100_000, state, loss)
        assert_allclose(np.concatenate(limit), np.concatenate(late), rtol=1e-15)

    @pytest.mark.parametrize(("beta1", "beta2"), [(0.0, 0.9), (0.5, 0.9), (0.9, 0.999)])
    def test_multipliers_by_hand(self, beta1, beta2):
        """The loss is symmetric: half a round and a change of signs is a map whose square is the round."""
        lr, eps, curvature = 0.1, 1e-3, 2.0
        mu = (1 - beta1) / (1 + beta1)
        c = lr * mu / 2 - eps / curvature
        found = find_cycle(adams(eps, beta1, beta2), hb.Quadratic([curvature]), [1.1 * c], 2, k=math.inf)
        # At (x, m, v) = (c, -μλc, (λc)²): m⁺ = μλc, v⁺ = v, and the root has the derivative 1/(2λc).
        g, root = curvature * c, curvature * c + eps
        dm = np.array([(1 - beta1) * curvature, beta1, 0.0])
        dv = np.array([2 * (1 - beta2) * g * curvature, 0.0, beta2])
        dx = np.array([1.0, 0.0, 0.0]) - lr * (dm / root - mu * g / root**2 / (2 * g) * dv)
        flip = np.diag([-1.0, -1.0, 1.0])  # the symmetry (x, m, v) -> (-x, -m, v) maps the cycle's points to each other
        wanted = np.linalg.eigvals(flip @ np.stack([dx, dm, dv])) ** 2
        assert_allclose(np.sort_complex(found.multipliers), np.sort_complex(wanted), rtol=1e-6, atol=1e-9)

    def test_stable_without_momentum_and_where_runs_go(self):
        method, loss = adams(1e-3, beta1=0.0, beta2=0.9), hb.Quadratic([2.0])
        found = find_cycle(method, loss, [0.05], 2, k=math.inf)
        assert found.stable
        run = hb.iterate(method, loss, [1.0], 3000)
        assert_allclose(np.sort(run.position[-2:, 0]), np.sort(found.points[:, 0]), rtol=1e-9)

    def test_it_repels_at_the_usual_betas(self):
        """The cycle exists for all of them, but a run started on it leaves it."""
        method, loss = adams(1e-8), hb.Quadratic([1.0])
        found = find_cycle(method, loss, [0.0026], 2, k=math.inf)
        assert not found.stable
        assert np.abs(found.multipliers[0]) == pytest.approx(1.1013, abs=1e-4)

    def test_two_coordinates_each_for_itself(self):
        method = adams(0.01, beta1=0.5, beta2=0.9)
        found = find_cycle(method, hb.Quadratic([1.0, 10.0]), [0.02, 0.02], 2, k=math.inf)
        single = [find_cycle(method, hb.Quadratic([each]), [0.02], 2, k=math.inf) for each in (1.0, 10.0)]
        assert_allclose(np.abs(found.points[0]), [np.abs(each.points[0, 0]) for each in single], rtol=1e-9)
        together = np.concatenate([each.multipliers for each in single])
        assert_allclose(np.sort(np.abs(found.multipliers)), np.sort(np.abs(together)), rtol=1e-7)


class TestOtherRules:
    def test_rmsprop(self):
        """Without momentum: 2c = ηλc/(λc + ε)."""
        found = find_cycle(hb.RMSProp(lr=0.01, eps=1e-4), hb.Quadratic([1.0, 3.0]), [0.01, 0.01], 2)
        assert_allclose(np.abs(found.points[0]), 0.005 - 1e-4 / np.array([1.0, 3.0]), rtol=1e-9)
        assert found.derivatives == "complex steps"

    def test_nadam_and_its_limit(self):
        """In the limit it moves by (1-β)g + βm⁺, so 2c = ηλc(1-β)(1 + βs)/…: its own step says so."""
        method, loss = hb.NAdam(lr=0.01, beta1=0.9, beta2=0.9, eps=1e-6), hb.Quadratic([2.0])
        found = find_cycle(method, loss, [0.001], 2, k=math.inf)
        assert found.period == 2
        # m⁺ = μg with μ = (1-β)/(1+β); the move is η((1-β)g + βμg)/(|g| + ε) = 2c.
        mu = 0.1 / 1.9
        c = 0.01 * (0.1 + 0.9 * mu) / 2 - 1e-6 / 2.0
        assert_allclose(np.abs(found.points[:, 0]), c, rtol=1e-8)

    @pytest.mark.parametrize("kind", [hb.HeavyBall, hb.Nesterov])
    def test_flip_of_the_double_well(self, kind):
        """Above the stability limit of the minimum there is a cycle of period 2, and x -> x' -> x by hand."""
        beta = 0.5
        limit = hb.stability_limit(kind(1.0, beta), 2.0)
        found = find_cycle(kind(1.05 * limit, beta), hb.double_well(), [1.1, 0.0], 2)
        assert found.period == 2
        a, b = found.points[:, 0]
        if kind is hb.HeavyBall:
            # V = ±(a-b): (1+β)(b-a) = -ηf'(a) and (1+β)(a-b) = -ηf'(b).
            slope = hb.double_well().gradient(found.points)[:, 0]
            assert_allclose((1 + beta) * (a - b) * np.array([1, -1]), 1.05 * limit * slope, rtol=1e-10)
        assert found.stable
        below = find_cycle(kind(0.95 * limit, beta), hb.double_well(), [1.1, 0.0], 2)
        assert below.period == 1
        assert_allclose(below.points, [[1.0, 0.0]], atol=1e-10)
        fixed = find_cycle(kind(1.05 * limit, beta), hb.double_well(), [1.02, 0.0], 1)
        assert_allclose(fixed.multipliers[0].real, find_dominant(kind(1.05 * limit, beta)), rtol=1e-9)

    def test_quadratics_have_fixed_points_only(self):
        for method in (hb.GradientDescent(0.3), hb.HeavyBall(0.3, 0.7), hb.Nesterov(0.2, 0.7), Extragradient(0.1, 0.3)):
            found = find_cycle(method, hb.Quadratic([[2.0, 1.0], [1.0, 3.0]], [1.0, 0.0]), [1.0, -2.0], 4)
            assert (found.period, found.asked) == (1, 4)
            assert_allclose(found.points[0], -np.linalg.solve([[2.0, 1.0], [1.0, 3.0]], [1.0, 0.0]), atol=1e-10)
            poles = hb.analyze_modes(method, np.linalg.eigvalsh([[2.0, 1.0], [1.0, 3.0]])).poles
            assert_allclose(np.abs(found.multipliers).max(), np.abs(poles).max(), rtol=1e-7)

    def test_two_dimensions_with_a_rotated_loss(self):
        """Cycles beyond the limit of a stiff direction whose gradient saturates, against long runs."""
        loss = hb.from_sympy("2*sqrt(1 + (x - 2*y)**2) + (x + y)**2/5 + exp(y/4) - y/4", "x y", minimizer=(0.0, 0.0))
        limit = hb.stability_limit(hb.GradientDescent(1.0), loss.spectrum.max())
        for method in (hb.GradientDescent(1.2 * limit), hb.HeavyBall(1.2 * limit, 0.1)):
            run = hb.iterate(method, loss, [0.3, -0.2], 4000)
            found = find_cycle(method, loss, run.position[-1] + 0.01, 2)
            assert found.period == 2
            assert found.stable
            assert_allclose(found.points, run.position[[-1, -2]], atol=1e-8)
            # Its multipliers by differences of the run itself.
            step = StepMap(method, loss, run.position[-1], None)
            flat = np.concatenate([np.ravel(leaf[0]) for leaf in found.states])
            twice = difference(lambda s, step=step: step.step(step.step(s)), flat)
            assert_allclose(np.sort(np.abs(np.linalg.eigvals(twice))), np.sort(np.abs(found.multipliers)), atol=1e-6)

    def test_discretized_flow(self):
        scheme = hb.discretize(hb.HeavyBallFlow(1.0, 0.4), 0.3, "implicit_midpoint")
        found = find_cycle(scheme, hb.double_well(), [0.8, 0.1], 2)
        assert found.period == 1
        assert_allclose(found.points, [[1.0, 0.0]], atol=1e-9)

    def test_schedule_is_frozen(self):
        growing = hb.Schedule([0.1, 0.2, 1.6])
        found = find_cycle(hb.HeavyBall(growing, 0.5), hb.double_well(), [1.2, 0.1], 2, k=math.inf)
        same = find_cycle(hb.HeavyBall(1.6, 0.5), hb.double_well(), [1.2, 0.1], 2)
        assert_allclose(found.points, same.points, rtol=1e-12)
        with pytest.raises(ValueError, match="HeavyBall varies in time"):
            find_cycle(hb.HeavyBall(growing, 0.5), hb.double_well(), [1.2, 0.1], 2)


def find_dominant(method):
    poles = hb.analyze_modes(method, [2.0]).poles[0]
    return poles[np.argmax(np.abs(poles))].real


@dataclass(frozen=True)
class SignDescent:
    """Not analytic: sign and absolute value of the gradient."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position)
        return hb.PositionState(state.position - self.lr * np.sign(gradient) * np.abs(gradient) ** 1.5)


@dataclass(frozen=True)
class Normalized:
    """Analytic, but it mixes coordinates: the gradient over its norm."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position + 0.5 * state.velocity)
        size = np.sqrt(0.1 + np.sum(gradient**2, axis=-1, keepdims=True))
        velocity = 0.5 * state.velocity - self.lr * gradient / size
        return hb.PhaseState(state.position + velocity, velocity)


@dataclass(frozen=True)
class LineLike:
    """Asks for the value of the loss."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        scale = 1 + np.asarray(objective.value(state.position))[..., None]
        return hb.PositionState(state.position - self.lr / scale * objective.gradient(state.position))


@dataclass(frozen=True)
class TwoQueries:
    """Nonlinear, with a second question that depends on the first answer."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        first = objective.gradient(state.position)
        half = state.position - self.lr * first / np.sqrt(1 + first * first)
        return hb.PositionState(state.position - self.lr * objective.gradient(half) * np.exp(-0.1 * first * first))


NONLINEAR = [
    (hb.Adam(0.1, eps=1e-3), "complex steps"), (hb.Adam(0.1, weight_decay=0.1), "complex steps"),
    (hb.AdamW(0.1, weight_decay=0.1), "complex steps"), (hb.NAdam(0.1), "complex steps"),
    (hb.RMSProp(0.05, momentum=0.5), "complex steps"), (hb.RMSProp(0.05, centered=True, alpha=0.5), "complex steps"),
    (hb.AdaGrad(0.2), "complex steps"), (hb.AdaDelta(1.0), "complex steps"), (Normalized(0.1), "complex steps"),
    (TwoQueries(0.05), "complex steps"), (SignDescent(1e-4), "differences"), (LineLike(0.05), "differences"),
    (hb.HeavyBall(0.05, 0.7), "matrices"), (hb.Nesterov(0.05, 0.7), "matrices"), (Extragradient(0.05, 0.3), "matrices"),
    (hb.discretize(hb.HeavyBallFlow(1.0, 0.4), 0.2, "implicit_midpoint"), "matrices"),
    (hb.discretize(hb.HeavyBallFlow(1.0, 0.4), 0.2, "runge_kutta4"), "matrices"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "source"), NONLINEAR, ids=lambda value: getattr(type(value), "__name__", value))
def test_jacobians_against_differences(method, source):
    step = StepMap(method, hb.rosenbrock() if source != "matrices" else hb.double_well(), np.array([0.4, 0.7]), 20)
    assert step.derivatives == source
    flat = orbit(step.step, step.start, 4)[-1]
    wanted = difference(step.step, flat)
    found = step.jacobian(flat)
    scale = np.abs(wanted).max(axis=-1, keepdims=True) + 1e-12
    assert np.all(np.abs(found - wanted) <= 2e-6 * scale)


def test_complex_steps_are_exact():
    """Adam's Jacobian by hand, to rounding, where differences keep half the digits."""
    method, loss = hb.Adam(0.1, 0.8, 0.95, 1e-3), hb.Quadratic([3.0])
    step = StepMap(method, loss, np.array([0.7]), math.inf)
    x, m, v = flat = np.array([0.7, -0.4, 0.9])
    g = 3 * x
    new_m, new_v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
    root = np.sqrt(new_v)
    dm, dv = np.array([0.6, 0.8, 0.0]), np.array([0.1 * g * 3, 0.0, 0.95])
    dx = np.array([1.0, 0, 0]) - 0.1 * (dm / (root + 1e-3) - new_m / (root + 1e-3) ** 2 / (2 * root) * dv)
    assert_allclose(step.jacobian(flat), np.stack([dx, dm, dv]), rtol=1e-14)


def test_not_analytic_rules_find_cycles_too_and_say_so():
    """x - η sign(x)|x|^1.5: the fixed point 0, and the cycle ±c with 2 = η√c."""
    found = find_cycle(SignDescent(0.5), hb.Quadratic([1.0]), [14.0], 2)
    assert (found.period, found.derivatives) == (2, "differences")
    assert_allclose(np.abs(found.points[:, 0]), 16.0, rtol=1e-9)
    assert_allclose(found.multipliers, [(1 - 0.75 * 4) ** 2], rtol=1e-6)
    assert "by differences" in str(found)


@dataclass(frozen=True)
class Clipped:
    """Gradient descent with the gradient clipped to norm 1, by a norm that NumPy takes of absolute values."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position)
        size = np.linalg.norm(gradient, axis=-1, keepdims=True)
        return hb.PositionState(state.position - self.lr * gradient / np.maximum(1.0, size))


def test_clipped_gradients():
    """Where they are clipped, x -> x - η x/|x|: every |x| = η/2 is on a cycle, along its own direction, of period 2."""
    method, loss = Clipped(6.0), hb.Quadratic([1.0, 1.0])
    found = find_cycle(method, loss, [1.8, 2.4], 2)
    assert (found.period, found.derivatives) == (2, "differences")
    assert_allclose(found.points, [[1.8, 2.4], [-1.8, -2.4]], rtol=1e-9)
    # A shift along the ray is kept and so is the angle: the cycle neither attracts nor repels.
    assert_allclose(np.abs(found.multipliers), [1.0, 1.0], rtol=1e-6)


def test_a_loss_without_hessian_is_differenced():
    class Bare:
        dim = 1

        def value(self, x):
            return np.cosh(x[..., 0])

        def gradient(self, x):
            return np.sinh(x)

        def at(self, k):
            return self

    found = find_cycle(hb.HeavyBall(3.2, 0.5), Bare(), [1.0], 2)
    same = find_cycle(hb.HeavyBall(3.2, 0.5), hb.from_sympy("cosh(x)", "x"), [1.0], 2)
    assert (found.derivatives, same.derivatives) == ("differences", "matrices")
    assert_allclose(found.points, same.points, atol=1e-9)
    assert_allclose(found.multipliers, same.multipliers, atol=1e-6)


class TestNeutral:
    def test_centres_are_not_stable_whatever_rounding_says(self):
        """The heavy ball without friction: its multipliers are on the unit circle."""
        for lr in (0.1, 0.2, 0.5, 1.0, 1.5):
            found = find_cycle(hb.HeavyBall(lr, 1.0), hb.Quadratic([1.0]), [0.5], 1)
            assert_allclose(np.abs(found.multipliers), 1.0, atol=1e-12)
            assert not found.stable
            assert "fixed point (period 1), neutral: largest" in str(found)
        assert "not stable" in str(find_cycle(hb.HeavyBall(0.1, 1.001), hb.Quadratic([1.0]), [0.5], 1))
        assert find_cycle(hb.HeavyBall(0.1, 0.999), hb.Quadratic([1.0]), [0.5], 1).stable

    @pytest.mark.parametrize("start", [0.01, 0.05, 0.3, 1.0])
    def test_a_growing_sum_is_no_cycle(self, start):
        """x swings while lr/√sum = 2, whatever its size; but each swing adds to the sum."""
        found = find_cycle(hb.AdaGrad(0.1), hb.Quadratic([1.0]), [start], 2)
        assert found.period == 1
        assert not found.stable
        assert_allclose(found.points, 0.0, atol=1e-9)

    def test_nor_one_that_grows_slowly(self):
        """Beside a large sum a swing of 0.05 is nothing, but it is not rounding."""
        method = hb.AdaGrad(2000.0, initial_accumulator_value=1e6)
        for tolerance in (1e-10, 1e-6):
            found = find_cycle(method, hb.Quadratic([1.0]), [0.05], 2, tolerance=tolerance)
            assert not found.stable
            after = hb.iterate(method, hb.Quadratic([1.0]), found.states, 2).state
            assert_allclose(after.square_sum, found.states.square_sum, rtol=1e-15)
            assert np.abs(found.points).max() < 1e-5

    def test_small_cycles_of_no_family_stay(self):
        """Adam's has one size: beside a first orbit that is larger by far it is still a cycle, AdaGrad's is none."""
        loss = hb.Quadratic([1.0])
        for method, k, period in ((adams(1e-8), math.inf, 2), (hb.AdaGrad(0.1), None, 1)):
            step = StepMap(method, loss, np.array([0.01]), k)
            if period == 2:
                found = find_cycle(method, loss, [0.01], 2, k=k)
                flat = np.concatenate([leaf[0] for leaf in found.states])
            else:
                flat = np.array([3e-10, 0.0025])
            far = CycleSearch(step, 2, 1e-10, np.full(len(flat), 1e6))
            assert lowest_period(far, flat)[0] == period


class TestErrors:
    def test_no_such_period(self):
        with pytest.raises(ValueError, match=r"`period` must be one that exists near the start. Received 3, and from"):
            find_cycle(hb.GradientDescent(0.5), hb.Quadratic([0.0], linear=[1.0]), [1.0], 3)
        # It travels for ever: far away its steps are lost in rounding, which is no cycle.
        with pytest.raises(ValueError, match="hb.bifurcation_diagram"):
            find_cycle(adams(1e-8), hb.Quadratic([0.0], linear=[1.0]), [1.0], 2, k=math.inf)

    def test_time_is_needed(self):
        with pytest.raises(ValueError, match=r"Adam varies in time: say at which step .* k=math.inf stands for"):
            find_cycle(hb.Adam(0.1), hb.Quadratic([1.0]), [0.1], 2)

    @pytest.mark.parametrize("k", [-1, 0.5, math.nan, "late"])
    def test_bad_step(self, k):
        with pytest.raises(ValueError, match=r"`k` must be a whole number >= 0, or math.inf. Received"):
            find_cycle(hb.Adam(0.1), hb.Quadratic([1.0]), [0.1], 2, k=k)

    @pytest.mark.parametrize("period", [0, -2, 1.5, True])
    def test_bad_period(self, period):
        with pytest.raises((ValueError, TypeError), match="`period` must be a whole number >= 1"):
            find_cycle(TUNED, LESSARD, [3.3], period)

    def test_batches(self):
        with pytest.raises(ValueError, match=r"`position` must be one point, of shape \(1,\)"):
            find_cycle(TUNED, LESSARD, [[3.3], [3.4]], 3)
        with pytest.raises(ValueError, match=r"`position` must be a state of HeavyBall, which has 2 parts"):
            find_cycle(TUNED, LESSARD, hb.PositionState(np.array([3.3])), 3)
        with pytest.raises(ValueError, match=r"`position` must be one point, of shape \(1,\)"):
            find_cycle(TUNED, LESSARD, hb.PhaseState(np.array([[3.3]]), np.array([[0.0]])), 3)
        with pytest.raises(ValueError, match="scalar hyperparameters"):
            find_cycle(hb.HeavyBall(np.array([0.1, 0.2]), 0.5), LESSARD, [3.3], 3)

    def test_others(self):
        with pytest.raises(ValueError, match="`tolerance` must be > 0"):
            find_cycle(TUNED, LESSARD, [3.3], 3, tolerance=0.0)
        with pytest.raises(ValueError, match=r"`position` must have shape \(\*batch, 1\)"):
            find_cycle(TUNED, LESSARD, [3.3, 1.0], 3)
        with pytest.raises(TypeError, match="`method` must be a method"):
            find_cycle(hb.HeavyBallFlow(), LESSARD, [3.3], 3)
        with pytest.raises(ValueError, match=r"`position` must be one from which 400 steps stay finite"):
            find_cycle(hb.GradientDescent(1e3), hb.Quadratic([1.0]), [1.0], 400)
        # At rest the root of an average that is zero has no derivative, if ε = 0 the step has no value either.
        with pytest.raises(ValueError, match=r"stay finite"):
            find_cycle(hb.RMSProp(0.1, eps=0.0), hb.Quadratic([1.0]), [0.0], 2)

    def test_a_schedule_of_batches(self):
        batch = hb.HeavyBall(0.1, hb.Schedule(np.array([[0.5, 0.6], [0.9, 0.8]])))
        with pytest.raises(ValueError, match="scalar hyperparameters"):
            find_cycle(batch, hb.Quadratic([1.0]), [0.5], 1, k=0)


def test_multipliers_next_to_one_are_told_from_it():
    found = hb.find_cycle(hb.HeavyBall(0.1, 1 - 1e-7), hb.Quadratic([1.0]), [0.5], 1)
    assert found.stable
    assert "stable: largest multiplier 1 - 5e-08 in modulus" in found.summary()
