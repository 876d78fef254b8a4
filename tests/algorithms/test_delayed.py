"""Stale gradients: hand-written loops, the start, samples, batches, linearization; and momentum from random delays."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged, Extragradient, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.delayed import Delayed, DelayedState, implicit_momentum

RULES = [
    hb.GradientDescent(0.05), hb.HeavyBall(0.02, 0.8), hb.Nesterov(0.02, 0.8),
    hb.QuasiHyperbolicMomentum(0.1, 0.8, 0.6), hb.AggregatedMomentum(0.02, (0.0, 0.9)), hb.Adam(0.01),
    Averaged(0.1, 0.7), TwoMomenta(0.05, 0.2, 0.9), Extragradient(0.02, 0.6),
]  # fmt: skip
NAMES = [type(rule).__name__ for rule in RULES]


class Recording:
    """½|x|² whose sample of step k pushes by k too; notes every question."""

    dim = 1

    def __init__(self, asked, k=None):
        self.asked, self.k = asked, k

    def at(self, k):
        return Recording(self.asked, k)

    def value(self, position):
        return 0.5 * np.sum(position**2, axis=-1)

    def gradient(self, position):
        if self.k is not None:
            self.asked.append((self.k, float(position[0])))
        return position + 0.0


class Handed:
    """A loss that hands out what it is told, in order, and notes the questions of a step."""

    dim = 2

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def gradient(self, position):
        self.asked.append(position)
        return self.answers[len(self.asked) - 1]


def by_hand(rule, loss, start, steps, delay):
    """Run a rule with a list of all points at which it has asked."""
    state = rule.init(start, np.zeros_like(start), loss)
    counted = Handed([np.zeros_like(start)] * 9)
    rule.step(0, state, counted)
    asked = [[start] * len(counted.asked)] * delay
    path = [state.position]
    for k in range(steps):
        if delay:
            handed = Handed([loss.gradient(point) for point in asked[k]])
            state = rule.step(k, state, handed)
            asked.append(handed.asked)
        else:
            state = rule.step(k, state, loss)
        path.append(state.position)
    return np.array(path)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_no_delay_is_the_method_itself(rule):
    loss = hb.rosenbrock()
    plain, wrapped = (hb.iterate(m, loss, [-0.5, 0.3], 50) for m in (rule, Delayed(rule, 0)))
    for name in ("position", "value", "gradient_norm", "energy", "status"):
        assert_array_equal(getattr(wrapped, name), getattr(plain, name))
    assert_allclose(wrapped.velocity, plain.velocity, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("delay", [1, 2, 7])
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_runs_by_hand(rule, delay):
    draw = np.random.default_rng(1)
    loss = hb.LogisticRegression(3 * draw.normal(size=(20, 2)), draw.integers(0, 2, 20))
    start = np.array([0.4, -0.3])
    run = hb.iterate(Delayed(rule, delay), loss, start, 25)
    assert_array_equal(run.position, by_hand(rule, loss, start, 25, delay))


def test_before_the_start_the_rule_stood_still():
    """The first `delay` gradients are those of x_0, also under a start velocity."""
    method = Delayed(hb.HeavyBall(0.1, 0.5), 3)
    run = hb.iterate(method, hb.Quadratic([1.0]), [1.0], 4, velocity=[0.4])
    velocity, position = 0.4, [1.0]
    for gradient in (1.0, 1.0, 1.0, 1.0):
        velocity = 0.5 * velocity - 0.1 * gradient
        position.append(position[-1] + velocity)
    assert_allclose(run.position[:, 0], position, rtol=1e-14)


def test_one_gradient_a_step_with_the_sample_of_that_step():
    asked = []
    hb.iterate(Delayed(hb.GradientDescent(0.5), 2), Recording(asked), [1.0], 4)
    sampled = [(k, x) for k, x in asked]
    assert sampled == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.5)]


@given(st.integers(0, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_batches_agree_with_their_elements(delay, number, seed):
    rng = np.random.default_rng(seed)
    lr, start = rng.uniform(0.01, 0.2, number), rng.normal(size=(number, 2))
    loss = hb.Quadratic([[2.0, 0.5], [0.5, 1.0]])
    whole = hb.iterate(Delayed(hb.Nesterov(lr, 0.7), delay), loss, start, 12)
    matrices = hb.state_matrices(Delayed(hb.Nesterov(lr, 0.7), delay))
    for i in range(number):
        one = Delayed(hb.Nesterov(float(lr[i]), 0.7), delay)
        assert_allclose(whole.position[i], hb.iterate(one, loss, start[i], 12).position, rtol=1e-13, atol=1e-15)
        assert_allclose(matrices.A[i], hb.state_matrices(one).A, rtol=1e-14)


def test_schedules_and_resumed_runs():
    method = Delayed(hb.HeavyBall(lambda k: 0.2 / (k + 1), hb.Schedule([0.1, 0.5, 0.8])), 3)
    loss = hb.Quadratic([1.0, 2.0])
    whole = hb.iterate(method, loss, [1.0, 1.0], 20)
    begun = hb.iterate(method, loss, [1.0, 1.0], 8)
    assert isinstance(begun.state, DelayedState)
    rest = hb.iterate(method, loss, begun.state, 12, first_step=8)
    assert_array_equal(rest.position[-1], whole.position[-1])
    assert_allclose(hb.state_matrices(method, k=1).A[0, 1], 0.5)


def test_minibatches_are_those_of_the_method():
    rng = np.random.default_rng(0)
    fit = hb.LeastSquares(rng.normal(size=(30, 2)), rng.normal(size=30))
    noisy = hb.Minibatch(fit, 5, seed=3)
    run = hb.iterate(Delayed(hb.GradientDescent(0.1), 2), noisy, [1.0, -1.0], 10)
    path = [np.array([1.0, -1.0])] * 3
    for k in range(10):
        path.append(path[-1] - 0.1 * noisy.at(k).gradient(path[-3]))
    assert_allclose(run.position, path[2:], rtol=1e-14)


@pytest.mark.parametrize("delay", [1, 3])
def test_kicks_are_those_of_the_step(delay):
    """Gradients are late, the heat is not: the same run with gradients handed out by hand."""
    rule, loss = hb.LangevinBAOAB(1.0, 0.7, 0.3), hb.Quadratic([1.0, 2.0])
    bath = hb.Thermostat(loss, temperature=2.0, seed=5)
    start = np.ones((4, 2))

    class Warm(Handed):
        def __init__(self, answers, k):
            super().__init__(answers)
            self.kick = bath.at(k).kick

    state, asked, path = rule.init(start, 0 * start, bath), [[start, start]] * delay, [start]
    for k in range(12):
        handed = Warm([loss.gradient(point) for point in asked[k]], k)
        state = rule.step(k, state, handed)
        asked.append(handed.asked)
        path.append(state.position)
    run = hb.iterate(Delayed(rule, delay), bath, start, 12)
    assert_allclose(run.position, np.stack(path, axis=1), rtol=1e-13)
    assert np.abs(run.position - hb.iterate(Delayed(rule, delay), loss, start, 12).position).max() > 0.1


POLYNOMIALS = {
    "descent": (hb.GradientDescent(1.0), lambda q, d: np.r_[1, -1, np.zeros(d)] + np.r_[np.zeros(d + 1), q]),
    "heavy ball": (
        hb.HeavyBall(1.0, 0.8), lambda q, d: np.r_[1, -1.8, 0.8, np.zeros(d)] + np.r_[np.zeros(d + 1), q, 0],
    ),
    "nesterov": (
        hb.Nesterov(1.0, 0.8),
        lambda q, d: np.r_[1, -1.8, 0.8, np.zeros(d)] + np.r_[np.zeros(d + 1), 1.8 * q, -0.8 * q],
    ),
}  # fmt: skip


@pytest.mark.parametrize("delay", [0, 1, 4])
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_poles_are_the_roots_of_the_polynomial(name, delay):
    method, polynomial = POLYNOMIALS[name]
    q = np.array([0.05, 0.3, 1.1])
    modes = hb.analyze_modes(Delayed(method, delay), q)
    order = (1 if name == "descent" else 2) + delay
    assert modes.poles.shape == (3, order)
    for i, value in enumerate(q):
        found = np.array([np.poly(modes.poles[i])]).real[0]
        assert_allclose(found, polynomial(value, delay), atol=1e-12)


def test_two_gradients_are_both_late():
    matrices = hb.state_matrices(Delayed(Extragradient(0.1, 0.5), 3))
    assert matrices.A.shape == (8, 8)
    assert_array_equal(matrices.D, 0)
    # 1 = λ z^{-d} H(z) for the eigenvalues of the inner loop gain.
    inner = hb.state_matrices(Extragradient(0.1, 0.5))
    for z in np.linalg.eigvals(matrices.loop(np.array([2.0]))[0]):
        if abs(z) > 1e-3:
            H = inner.C @ np.linalg.solve(z * np.eye(2) - inner.A, inner.B) + inner.D
            assert abs(np.linalg.det(np.eye(2) - 2.0 * z**-3.0 * H)) < 1e-6


def test_delays_add_up():
    one, two = Delayed(Delayed(hb.HeavyBall(0.1, 0.5), 2), 3), Delayed(hb.HeavyBall(0.1, 0.5), 5)
    first, second = (hb.iterate(m, hb.Quadratic([1.0]), [1.0], 30).position for m in (one, two))
    assert_array_equal(first, second)


def test_formulas():
    lr, beta, bend = sp.Symbol("lr", positive=True), sp.Symbol("beta"), sp.Symbol("curvature")
    found = hb.characteristic_polynomial(Delayed(hb.HeavyBall(lr, beta), 2), curvature=bend)
    z = found.gen
    assert sp.expand(found.as_expr() - (z**4 - (1 + beta) * z**3 + beta * z**2 + lr * bend * z)) == 0


def test_schemes_keep_their_velocity_and_energy():
    scheme = hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.1, "semi_implicit_euler")
    plain, late = (hb.iterate(m, hb.Quadratic([1.0, 3.0]), [1.0, 1.0], 20, velocity=[0.3, 0.0])
                   for m in (scheme, Delayed(scheme, 0)))  # fmt: skip
    assert_array_equal(late.velocity, plain.velocity)
    assert_array_equal(late.energy, plain.energy)
    stale = hb.iterate(Delayed(scheme, 2), hb.Quadratic([1.0, 3.0]), [1.0, 1.0], 20, velocity=[0.3, 0.0])
    assert_allclose(stale.velocity[0], [0.3, 0.0], atol=1e-15)


def test_pickles_and_compares():
    method = Delayed(hb.HeavyBall(np.array([0.1, 0.2]), 0.9), 4)
    assert pickle.loads(pickle.dumps(method)) == method
    assert method != Delayed(hb.HeavyBall(np.array([0.1, 0.2]), 0.9), 5)


@dataclass(frozen=True)
class Uneven:
    lr: Any

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position)
        if k == self.lr:
            gradient = gradient + objective.gradient(state.position)
        return hb.PositionState(state.position - 0.1 * gradient)


@dataclass(frozen=True)
class Newton:
    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        return hb.PositionState(state.position - objective.gradient(state.position) / objective.hessian(state.position))


def test_bad_input():
    with pytest.raises(ValueError, match=r"`delay` must be a whole number >= 0. Received -1"):
        Delayed(hb.GradientDescent(0.1), -1)
    for delay in (1.5, True, "2", np.array([1, 2])):
        with pytest.raises(TypeError, match="`delay` must be a whole number >= 0"):
            Delayed(hb.GradientDescent(0.1), delay)
    with pytest.raises(TypeError, match="`method` must be a method, in discrete time. Received the flow"):
        Delayed(hb.GradientFlow(), 1)
    with pytest.raises(TypeError, match="must be an instance"):
        Delayed(hb.GradientDescent, 1)
    with pytest.raises(TypeError, match="nothing but gradients to be delayed. Received one that asks for the Hessian"):
        hb.iterate(Delayed(Newton(), 1), hb.Quadratic([1.0]), [1.0], 2)
    for name in ("modal_exact", "c2d_zoh"):
        modal = Delayed(hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.5, name), 1)
        with pytest.raises(TypeError, match="nothing but gradients .* asks for the modes"):
            hb.iterate(modal, hb.Quadratic([1.0]), [1.0], 2)
        with pytest.raises(TypeError, match="nothing but gradients .* asks for the modes"):
            hb.robustness(modal, 1.0)
    for when in (0, 3):
        with pytest.raises(ValueError, match="same number of gradients in every step"):
            hb.iterate(Delayed(Uneven(when), 1), hb.Quadratic([1.0]), [1.0], 6)
    with pytest.raises(ValueError, match=r"`workers` must be >= 1. Received 0.5"):
        implicit_momentum(0.1, 0.5)
    with pytest.raises(ValueError, match=r"`lr` must be >= 0"):
        implicit_momentum(-0.1, 2)


class TestImplicitMomentum:
    @pytest.mark.parametrize("workers", [1, 2, 5, 16])
    @pytest.mark.parametrize("q", [0.1, 0.7])
    def test_expectation_by_linear_algebra(self, workers, q):
        """E x_{k+1} = E x_k - q Σ P(τ = l) E x_{k-l}, with x_0 before the start."""
        steps = 80
        weight = (1 / workers) * (1 - 1 / workers) ** np.arange(steps)
        mean = np.ones(steps + 1)
        for k in range(steps):
            before = np.concatenate([mean[: k + 1][::-1], np.ones(steps)])[:steps]
            pull = weight @ before + (1 - weight.sum()) * 1.0
            mean[k + 1] = mean[k] - q * pull
        ball = hb.iterate(implicit_momentum(q, workers), hb.Quadratic([1.0]), [1.0], steps, velocity=[-q])
        assert_allclose(ball.position[:, 0], mean, rtol=1e-11, atol=1e-13)

    def test_monte_carlo(self):
        """The mean of runs with random delays is the heavy ball, within its standard error."""
        workers, q, steps, runs = 4, 0.4, 40, 20000
        rng = np.random.default_rng(7)
        path = np.ones((runs, steps + 1))
        for k in range(steps):
            stale = np.maximum(k - (rng.geometric(1 / workers, runs) - 1), 0)
            path[:, k + 1] = path[:, k] - q * path[np.arange(runs), stale]
        ball = hb.iterate(implicit_momentum(q, workers), hb.Quadratic([1.0]), [1.0], steps, velocity=[-q])
        error = path.std(axis=0) / np.sqrt(runs)
        away = np.abs(path.mean(axis=0) - ball.position[:, 0])
        assert np.all(away[2:] <= 4.5 * error[2:])
        assert error[-1] < 0.05

    def test_batches(self):
        found = implicit_momentum(np.array([0.1, 0.2]), np.array([[1], [4]]))
        assert_allclose(found.lr, [[0.1, 0.2], [0.025, 0.05]])
        assert_allclose(found.momentum, [[0.0], [0.75]])
