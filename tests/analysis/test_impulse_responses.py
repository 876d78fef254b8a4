"""Weights of past gradients: closed forms, runs, sums, rules that are not linear, rules that vary in time."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged, Extragradient

import heavyball_dynamics as hb
from heavyball_dynamics.analysis._response_derivatives import response_differences
from heavyball_dynamics.analysis.impulse_responses import impulse_response

J = np.arange(12)


class Told:
    """A loss whose gradients are told in advance, one a step."""

    dim = 1

    def __init__(self, gradients, k=0):
        self.told, self.k = gradients, k

    def at(self, k):
        return Told(self.told, k)

    def gradient(self, position):
        return np.full(np.shape(position), self.told[self.k])

    def value(self, position):
        return 0.0 * position[..., 0]


LINEAR = [
    hb.GradientDescent(0.3), hb.HeavyBall(0.1, 0.9), hb.Nesterov(0.1, 0.9), hb.DampenedHeavyBall(0.1, 0.8, 0.0),
    hb.QuasiHyperbolicMomentum(0.7, 0.8, 0.6), hb.AggregatedMomentum(0.1, (0.0, 0.9, 0.99)),
    hb.PIDMomentum(0.1, 0.8, 0.3), hb.TripleMomentum(0.1, 0.7, 0.4, 1.0), hb.RobustMomentum(0.3, 7.5, 0.9),
    hb.OptimizedGradient(0.1, 30), Averaged(0.2, 0.7), Extragradient(0.1, 0.6),
    hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.3, "runge_kutta4"), hb.GradientDescent(lambda k: 1 / (k + 1)),
    hb.HeavyBall(0.1, hb.Schedule([0.1, 0.5, 0.8])),
]  # fmt: skip


@pytest.mark.parametrize("method", LINEAR, ids=lambda m: type(m).__name__)
def test_weights_explain_every_run(method, rng):
    """On gradients that depend on nothing the displacement is the weighted sum."""
    told = rng.normal(size=20)
    run = hb.iterate(method, Told(told), [0.0], 20)
    found = impulse_response(method, 20)
    newest_first = told[::-1]
    assert_allclose(np.diff(run.position[:, 0])[-1], -found.weights @ newest_first, rtol=1e-11, atol=1e-13)
    assert_allclose(run.position[-1, 0], -found.cumulative @ newest_first, rtol=1e-11, atol=1e-13)
    later = impulse_response(method, 6, k=19)
    assert_allclose(later.weights, found.weights[:6], rtol=1e-12, atol=1e-15)


class TestClosedForms:
    def test_polyak_sum_and_average(self):
        """math of the two dialects: the sum's weights add to (1-βᵗ)/(1-β), the average's to 1-βᵗ."""
        beta, t = 0.8, 12
        added = impulse_response(hb.from_dialect("torch", lr=1.0, momentum=beta), t).weights
        averaged = impulse_response(hb.from_dialect("ema", lr=1.0, momentum=beta), t).weights
        assert_allclose(added, beta**J, rtol=1e-13)
        assert_allclose(averaged, (1 - beta) * beta**J, rtol=1e-13)
        assert_allclose(added.sum(), (1 - beta**t) / (1 - beta), rtol=1e-13)
        assert_allclose(averaged.sum(), 1 - beta**t, rtol=1e-13)

    def test_nesterov_is_the_heavy_ball_but_for_where_it_asks(self):
        ball, ahead = (impulse_response(kind(0.1, 0.9), 12) for kind in (hb.HeavyBall, hb.Nesterov))
        assert_allclose(ahead.weights, 0.1 * 0.9**J, rtol=1e-13)
        assert_allclose(ahead.weights, ball.weights, rtol=1e-13)
        looking = impulse_response(hb.QuasiHyperbolicMomentum(1.0, 0.9, 0.9), 12).weights
        assert_allclose(looking, 0.1 * np.where(J == 0, 1.9, 0.9 ** (J + 1.0)), rtol=1e-12)

    def test_every_memory(self):
        lr, beta, nu = 0.7, 0.8, 0.6
        found = impulse_response(hb.QuasiHyperbolicMomentum(lr, beta, nu), 12).weights
        assert_allclose(found, lr * ((1 - nu) * (J == 0) + nu * (1 - beta) * beta**J), rtol=1e-12)
        found = impulse_response(hb.AggregatedMomentum(0.3, (0.5, 0.9)), 12).weights
        assert_allclose(found, 0.15 * (0.5**J + 0.9**J), rtol=1e-12)
        d = 0.3
        found = impulse_response(hb.PIDMomentum(0.1, beta, d), 12).weights
        change = np.where(J == 0, d * (1 - beta), -d * (1 - beta) ** 2 * beta ** (J - 1.0))
        assert_allclose(found, 0.1 * beta**J + change, rtol=1e-11)

    def test_gradient_descent_has_no_memory(self):
        found = impulse_response(hb.GradientDescent(0.3), 4)
        assert_array_equal(found.weights, [0.3, 0, 0, 0])
        assert_array_equal(found.cumulative, [0.3] * 4)
        assert (found.total, found.effective_memory, found.effective_samples, found.k) == (0.3, 1, 1, None)

    def test_optimized_gradient(self):
        """Its coefficients h by the recursion of Kim and Fessler 2016, eq. (6.16), kept for the step k."""
        method, k = hb.OptimizedGradient(0.2, 8), 4
        theta = method.factors
        h = np.zeros((k + 2, k + 1))
        for i in range(k + 1):
            for m in range(i - 1):
                h[i + 1, m] = (theta[i] - 1) / theta[i + 1] * h[i, m]
            if i:
                h[i + 1, i - 1] = (theta[i] - 1) / theta[i + 1] * (h[i, i - 1] - 1)
            h[i + 1, i] = 1 + (2 * theta[i] - 1) / theta[i + 1]
        found = impulse_response(method, k + 1)
        assert found.k == k
        assert_allclose(found.weights, 0.2 * h[k + 1, ::-1], rtol=1e-12)
        assert_allclose(found.total, found.weights.sum(), rtol=1e-15)

    def test_weight_decay_forgets_where_it_went(self):
        """A plain step that shrinks the position too: a position is its own forgetting sum."""

        @dataclass(frozen=True)
        class Decayed:
            lr: Any = 0.1
            decay: Any = 0.2

            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                push = self.lr * objective.gradient(state.position)
                return hb.PositionState((1 - self.decay) * state.position - push)

        found = impulse_response(Decayed(), 12)
        assert_allclose(found.cumulative, 0.1 * 0.8**J, rtol=1e-13)
        assert_allclose(found.weights, 0.1 * np.where(J == 0, 1.0, -0.2 * 0.8 ** (J - 1.0)), rtol=1e-13)
        assert_allclose(found.total, 0.0, atol=1e-15)
        assert np.isnan(found.effective_memory)


class TestSums:
    @settings(max_examples=25)
    @given(st.floats(-0.9, 0.99), st.floats(0.01, 10.0))
    def test_heavy_ball(self, beta, lr):
        found = impulse_response(hb.HeavyBall(lr, beta), 3)
        assert_allclose(found.total, lr / (1 - beta), rtol=1e-9)
        assert_allclose(found.effective_memory, 1 / (1 - beta), rtol=1e-9)
        assert_allclose(found.effective_samples, (1 + beta) / (1 - beta), rtol=1e-9)

    @pytest.mark.parametrize("method", [m for m in LINEAR if impulse_response(m, 1).k is None],
                             ids=lambda m: type(m).__name__)  # fmt: skip
    def test_endless_sums_are_those_of_long_ones(self, method):
        found = impulse_response(method, 5000)
        w, age = found.weights, np.arange(1, 5001)
        assert_allclose(found.total, w.sum(), rtol=1e-10)
        assert_allclose(found.effective_memory, (age * w).sum() / w.sum(), rtol=1e-9)
        assert_allclose(found.effective_samples, w.sum() ** 2 / (w**2).sum(), rtol=1e-9)
        assert_allclose(found.cumulative, np.cumsum(w), rtol=1e-10)

    def test_total_is_the_gain_of_the_linear_system(self):
        """From the position's transfer function: (z-1)X(z) at z = 1, along the real axis."""
        m = hb.state_matrices(hb.AggregatedMomentum(0.3, (0.2, 0.9)))
        z = 1 + 1e-7
        gain = -(z - 1) * np.linalg.solve(z * np.eye(3) - m.A, m.B)[0, 0]
        assert_allclose(impulse_response(hb.AggregatedMomentum(0.3, (0.2, 0.9)), 1).total, gain, rtol=1e-5)

    def test_momentum_of_one_and_more_has_no_sum(self):
        found = impulse_response(hb.HeavyBall(0.1, np.array([0.5, 1.0, 1.1, -1.0])), 4)
        for value in (found.total, found.effective_memory, found.effective_samples):
            assert_array_equal(np.isinf(value), [False, True, True, True])
        assert_allclose(found.weights[2], 0.1 * 1.1 ** np.arange(4))

    def test_states_of_two_positions(self):
        """The translation may move more than one part of a state."""

        @dataclass(frozen=True)
        class TwoPoint:
            def init(self, position, velocity, objective):
                return hb.PhaseState(position, position - velocity)

            def step(self, k, state, objective):
                new = 1.8 * state.position - 0.8 * state.velocity - 0.1 * objective.gradient(state.position)
                return hb.PhaseState(new, state.position)

        one, other = impulse_response(TwoPoint(), 12), impulse_response(hb.HeavyBall(0.1, 0.8), 12)
        assert_allclose(one.weights, other.weights, rtol=1e-11)
        for name in ("total", "effective_memory", "effective_samples"):
            assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


class TestAdaptive:
    """Rules that are not linear, around a constant gradient."""

    def test_adam_in_closed_form(self):
        lr, b1, b2, g, t = 0.3, 0.8, 0.95, -2.0, 12
        found = impulse_response(hb.Adam(lr, b1, b2, eps=0.0), t, around=g)
        push = (1 - b1) * b1**J / (1 - b1**t)
        brake = (1 - b2) * b2**J / (1 - b2**t)
        assert_allclose(found.weights, lr * (push - brake) / abs(g), rtol=1e-10, atol=1e-15)
        assert found.k == t - 1

    @pytest.mark.parametrize("method", [hb.Adam(0.3, 0.8, 0.95, eps=0.1), hb.NAdam(0.3, 0.8, 0.95, eps=0.1)], ids=repr)
    def test_the_sum_is_the_slope_of_the_smoothed_sign(self, method):
        """Scaling all gradients moves a step -ηg/(|g| + ε) by its derivative, ηε/(|g| + ε)²."""
        g = np.array([0.5, -3.0])
        found = impulse_response(method, 30, around=g)
        scale = 1.0 if isinstance(method, hb.Adam) else found.total[0] / (0.3 * 0.1 / 0.6**2)
        assert_allclose(found.total, scale * 0.3 * 0.1 / (np.abs(g) + 0.1) ** 2, rtol=1e-9)

    @pytest.mark.parametrize("method", [
        hb.Adam(0.1), hb.Adam(0.1, amsgrad=True), hb.AdamW(0.1), hb.NAdam(0.1), hb.RMSProp(0.1, momentum=0.5),
        hb.RMSProp(0.1, alpha=0.9, centered=True), hb.AdaGrad(0.1), hb.AdaGrad(0.1, lr_decay=0.1), hb.AdaDelta(),
        hb.Adam(0.1, weight_decay=0.1), hb.Adam(hb.Schedule(0.1 / np.arange(1, 60))),
    ], ids=repr)  # fmt: skip
    def test_against_differences_of_runs(self, method):
        steps, g, h = 7, 1.3, 1e-5
        found = impulse_response(method, steps, around=g)
        for j in range(steps):
            ends = []
            for sign in (1, -1):
                told = np.full(steps, g)
                told[steps - 1 - j] += sign * h
                ends.append(hb.iterate(method, Told(told), [0.0], steps).position[-2:, 0])
            slope = -(ends[0] - ends[1]) / (2 * h)
            assert_allclose(found.weights[j], slope[1] - slope[0], rtol=1e-5, atol=1e-9)
            assert_allclose(found.cumulative[j], slope[1], rtol=1e-5, atol=1e-9)

    def test_linear_rules_are_what_they_are_linearized(self):
        """Decay in time and a clip that is never reached change nothing."""

        @dataclass(frozen=True)
        class Squashed:
            def init(self, position, velocity, objective):
                return hb.PhaseState(position, velocity)

            def step(self, k, state, objective):
                g = objective.gradient(state.position)
                push = 0.1 * np.where(g.real > 1e3, g * g, g)
                return hb.PhaseState(state.position + 0.9 * state.velocity - push, 0.9 * state.velocity - push)

        found = impulse_response(Squashed(), 12, around=1.0)
        assert_allclose(found.weights, 0.1 * 0.9**J, rtol=1e-12)

    def test_absolute_values_are_noticed(self):
        @dataclass(frozen=True)
        class Sized:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                g = objective.gradient(state.position)
                return hb.PositionState(state.position - 0.1 * g * np.abs(g))

        found = impulse_response(Sized(), 3, around=[1.0, -2.0])
        assert found.derivatives == "differences"
        assert_allclose(found.weights, [[0.2, 0, 0], [0.4, 0, 0]], rtol=1e-9, atol=1e-11)
        assert_allclose(found.cumulative, [[0.2] * 3, [0.4] * 3], rtol=1e-9)
        assert "by differences of runs" in str(found)

    def test_differences_are_the_complex_steps(self):
        for method in (hb.Adam(0.1), hb.RMSProp(np.array([0.1, 0.2])), hb.NAdam(0.1), hb.AdaGrad(0.1)):
            exact = impulse_response(method, 6, k=9, around=[[1.7], [-0.3]])
            assert exact.derivatives == "complex steps"
            weights, cumulative = response_differences(method, np.array([[1.7], [-0.3]]), 9, 6)
            assert_allclose(weights, exact.weights, atol=1e-8 * np.abs(exact.weights).max())
            assert_allclose(cumulative, exact.cumulative, atol=1e-8 * np.abs(exact.cumulative).max())

    def test_rules_that_decide(self):
        """Restarts stay away on a slope: the weights of Nesterov's method with growing momentum, (j - 1)/(j + 2)."""
        method, plain = hb.RestartedNesterov(np.array([0.1, 0.3])), hb.Nesterov(0.1, hb.AcceleratedMomentum())
        found, same = impulse_response(method, 8, around=1.0), impulse_response(plain, 8)
        assert (found.derivatives, same.derivatives) == ("differences", "matrices")
        assert_allclose(found.weights[0], same.weights, atol=1e-11)
        assert_allclose(found.weights[1], 3 * same.weights, atol=3e-11)
        assert_allclose(found.cumulative[0], same.cumulative, atol=1e-10)
        assert_allclose(impulse_response(method, 4, around=1.0).weights[0], [0.1, 0.04, 0.01, 0.0], atol=1e-11)

    def test_real_numbers_only(self):
        @dataclass(frozen=True)
        class Stored:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                g = np.zeros(np.shape(state.position))
                g[...] = objective.gradient(state.position)
                return hb.PositionState(state.position - 0.1 * g**3)

        found = impulse_response(Stored(), 2, around=2.0)
        assert found.derivatives == "differences"
        assert_allclose(found.weights, [1.2, 0.0], rtol=1e-9, atol=1e-10)

    def test_around_zero(self):
        """There the roots of Adam's squares are small beside ε: it is momentum over ε."""
        found = impulse_response(hb.RMSProp(0.1, eps=1e-3), 3, around=0.0)
        assert_allclose(found.weights, [100.0, 0.0, 0.0], rtol=1e-12)
        found = impulse_response(hb.Adam(0.1, 0.5, eps=1e-3), 3, around=0.0)
        assert_allclose(found.weights, 100 * np.array([0.5, 0.25, 0.125]) / 0.875, rtol=1e-12)

    def test_smooth_extrema_are_no_kinks(self):
        @dataclass(frozen=True)
        class Parabolic:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                g = objective.gradient(state.position)
                return hb.PositionState(state.position - 0.1 * (g - 1.0) ** 2)

        assert_allclose(impulse_response(Parabolic(), 3, around=1.0).weights, 0.0, atol=1e-12)
        weights, _ = response_differences(Parabolic(), np.array([1.0, 2.0]), 2, 3)
        assert_allclose(weights, [[0, 0, 0], [0.2, 0, 0]], atol=1e-10)

    @pytest.mark.parametrize("around", [1.0, [1.5, 1.0]])
    def test_kinks(self, around):
        @dataclass(frozen=True)
        class Kinked:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                g = objective.gradient(state.position)
                return hb.PositionState(state.position - 0.1 * np.abs(g - 1.0))

        with pytest.raises(ValueError, match="Kinked is not differentiable along its run on the gradient `around`"):
            impulse_response(Kinked(), 3, around=around)

    def test_weights_that_cancel_have_no_memory(self):
        found = impulse_response(hb.RMSProp(), 50, around=1.0)
        assert np.isnan(found.effective_memory)
        assert np.isnan(found.effective_samples)


class TestBatches:
    def test_linear(self):
        lr, beta = np.array([0.1, 0.2])[:, None], np.array([0.5, 0.9, 1.0])
        found = impulse_response(hb.HeavyBall(lr, beta), 5)
        assert found.weights.shape == (2, 3, 5)
        for i, j in np.ndindex(2, 3):
            alone = impulse_response(hb.HeavyBall(float(lr[i, 0]), float(beta[j])), 5)
            for name in ("weights", "cumulative", "total", "effective_memory", "effective_samples"):
                assert_allclose(getattr(found, name)[i, j], getattr(alone, name), rtol=1e-12)

    def test_adaptive(self):
        found = impulse_response(hb.Adam(np.array([0.1, 0.2])), 5, around=[[1.0], [-2.0], [3.0]])
        assert found.weights.shape == (3, 2, 5)
        alone = impulse_response(hb.Adam(0.2), 5, around=-2.0)
        assert_allclose(found.weights[1, 1], alone.weights, rtol=1e-12)

    def test_around_is_a_batch_for_linear_rules_too(self):
        """They have the same weights around all of its gradients."""
        alone = impulse_response(hb.HeavyBall(0.1, 0.9), 3)
        for method in (hb.HeavyBall(0.1, 0.9), hb.HeavyBall(0.1, hb.Schedule([0.9]))):
            found = impulse_response(method, 3, around=[1.0, 2.0])
            assert found.weights.shape == found.cumulative.shape == (2, 3)
            assert found.total.shape == found.effective_memory.shape == found.effective_samples.shape == (2,)
            assert_allclose(found.weights, [alone.weights] * 2, rtol=1e-13)
        grid = impulse_response(hb.HeavyBall(np.array([0.1, 0.2]), 0.9), 3, around=[[1.0], [2.0], [3.0]])
        assert grid.weights.shape == (3, 2, 3)
        with pytest.raises(ValueError, match="must broadcast"):
            impulse_response(hb.HeavyBall(np.array([0.1, 0.2]), 0.9), 3, around=[1.0, 2.0, 3.0])

    def test_pickles_and_says_what_it_is(self):
        found = impulse_response(hb.HeavyBall(0.1, np.array([0.5, 0.9])), 5)
        again = pickle.loads(pickle.dumps(found))
        assert_array_equal(again.weights, found.weights)
        assert str(found).count("effective memory") == 2
        assert "(1,): sum 1, effective memory 10 steps" in str(found)
        assert "at step 4" in str(impulse_response(hb.OptimizedGradient(0.1, 9), 5))


class TestErrors:
    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"`k` must be at least steps - 1 = 4.* Received 2"):
            impulse_response(hb.HeavyBall(0.1, 0.9), 5, k=2)
        with pytest.raises(ValueError, match="`steps` must be a whole number >= 1"):
            impulse_response(hb.HeavyBall(0.1, 0.9), 0)
        with pytest.raises(TypeError, match="`method` must be a method"):
            impulse_response(hb.GradientFlow(), 5)
        with pytest.raises(ValueError, match="give `around`, a constant gradient"):
            impulse_response(hb.Adam(), 5)
        with pytest.raises(ValueError, match="`around` must be finite"):
            impulse_response(hb.Adam(), 5, around=np.nan)
        with pytest.raises(ValueError, match="`steps` must cover the whole run"):
            impulse_response(hb.OptimizedGradient(0.1, 3), 5)
