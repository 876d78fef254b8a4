"""iterate against literal loops, identities of the heavy ball, and runs that leave the finite numbers."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import heavyball_dynamics as hb

DOUBLE_WELL = hb.double_well()
QUARTIC = hb.Objective(
    lambda x: np.sum(x**4, -1) / 4 + x[..., 0] * x[..., 1], lambda x: x**3 + x[..., ::-1], dim=2
)


def logistic():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(40, 3))
    return hb.LogisticRegression(features, (rng.uniform(size=40) < 0.5).astype(float), l2=0.01)


def literal(lr, momentum, gradient, x, v, steps, nesterov=False):
    """Return positions and displacements, a point at a time in plain Python."""
    xs, vs = [x], [v]
    for _ in range(steps):
        where = x + momentum * v if nesterov else x
        v = momentum * v - lr * gradient(where)
        x = x + v
        xs.append(x)
        vs.append(v)
    return np.array(xs), np.array(vs)


@pytest.mark.parametrize("nesterov", [False, True])
def test_equals_a_literal_loop(nesterov):
    method = (hb.Nesterov if nesterov else hb.HeavyBall)(lr=0.03, momentum=0.8)
    start, push = np.array([1.0, -0.7]), np.array([0.1, 0.2])
    run = hb.iterate(method, QUARTIC, start, 25, velocity=push)
    x, v = literal(0.03, 0.8, QUARTIC.gradient, start, push, 25, nesterov)
    np.testing.assert_array_equal(run.position, x)
    np.testing.assert_array_equal(run.velocity, v)
    np.testing.assert_array_equal(run.time, np.arange(26))
    np.testing.assert_array_equal(run.value, QUARTIC.value(x))
    np.testing.assert_allclose(run.gradient_norm, np.linalg.norm(QUARTIC.gradient(x), axis=-1), rtol=1e-15)
    np.testing.assert_allclose(run.energy, QUARTIC.value(x) + 0.8 * np.sum(v**2, -1) / 0.06, rtol=1e-14)
    assert run.dissipation is None
    assert run.evaluations == 25


def test_gradient_descent_velocities_are_displacements():
    run = hb.iterate(hb.GradientDescent(0.1), QUARTIC, [1.0, 0.5], 9)
    np.testing.assert_array_equal(run.velocity[1:], np.diff(run.position, axis=0))
    np.testing.assert_array_equal(run.velocity[0], 0.0)
    np.testing.assert_array_equal(run.energy, run.value)


@pytest.mark.parametrize(("steps", "every", "times"), [
    (10, 1, range(11)), (10, 4, [0, 4, 8, 10]), (10, 5, [0, 5, 10]), (3, 100, [0, 3]), (0, 1, [0]), (0, 7, [0]),
])  # fmt: skip
def test_save_every_keeps_start_and_end(steps, every, times):
    method = hb.HeavyBall(0.05, 0.9)
    every_step = hb.iterate(method, QUARTIC, [1.0, 0.5], steps)
    run = hb.iterate(method, QUARTIC, [1.0, 0.5], steps, save_every=every)
    np.testing.assert_array_equal(run.time, list(times))
    for name in ("position", "velocity", "value", "energy", "gradient_norm"):
        np.testing.assert_array_equal(getattr(run, name), getattr(every_step, name)[list(times)])


def test_displacements_are_of_one_step_also_where_few_are_saved():
    full = hb.iterate(hb.GradientDescent(0.1), QUARTIC, [1.0, 0.5], 20)
    run = hb.iterate(hb.GradientDescent(0.1), QUARTIC, [1.0, 0.5], 20, save_every=5)
    np.testing.assert_array_equal(run.velocity, full.velocity[::5])


@dataclass(frozen=True)
class Decaying:
    """A learning rate that falls like 1/(k + 1)."""

    lr: Any

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        velocity = 0.5 * state.velocity - self.lr / (k + 1) * objective.gradient(state.position)
        return hb.PhaseState(state.position + velocity, velocity)


@pytest.mark.parametrize("method", [
    hb.HeavyBall(np.array([0.01, 0.05]), 0.9), hb.Nesterov(0.02, 0.8), hb.GradientDescent(0.03),
    hb.DampenedHeavyBall(0.03, 0.9, 0.5), Decaying(0.1),
], ids=lambda method: type(method).__name__)  # fmt: skip
def test_a_resumed_run_is_the_long_run(method):
    start = [1.0, -0.5]
    long = hb.iterate(method, QUARTIC, start, 30)
    first = hb.iterate(method, QUARTIC, start, 12)
    rest = hb.iterate(method, QUARTIC, first.state, 18, first_step=12)
    np.testing.assert_array_equal(rest.position, long.position[..., 12:, :])
    np.testing.assert_array_equal(rest.velocity[..., 1:, :], long.velocity[..., 13:, :])
    np.testing.assert_array_equal(rest.time, long.time[12:])
    np.testing.assert_array_equal(rest.state.position, long.state.position)


def test_first_step_is_the_k_of_the_rule():
    run = hb.iterate(Decaying(0.1), QUARTIC, [1.0, 0.5], 1, first_step=9)
    np.testing.assert_allclose(run.velocity[1], -0.01 * QUARTIC.gradient([1.0, 0.5]), rtol=1e-15)


@settings(max_examples=25)
@given(
    lr=st.floats(0.0, 0.2), momentum=st.floats(-0.5, 1.0), seed=st.integers(0, 1000),
    kind=st.sampled_from([hb.HeavyBall, hb.Nesterov]),
)  # fmt: skip
def test_a_batch_is_its_elements(lr, momentum, seed, kind):
    rng = np.random.default_rng(seed)
    rates = np.append(lr, rng.uniform(0.0, 0.1, 2))[:, None]
    momenta = np.append(momentum, rng.uniform(0.0, 1.0, 3))
    starts, pushes = rng.uniform(-1, 1, (3, 1, 2)), rng.uniform(-0.1, 0.1, (4, 2))
    run = hb.iterate(kind(rates, momenta), DOUBLE_WELL, starts, 15, velocity=pushes)
    assert run.position.shape == (3, 4, 16, 2)
    assert run.value.shape == run.energy.shape == run.gradient_norm.shape == (3, 4, 16)
    assert run.status.shape == run.stop_time.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            one = hb.iterate(kind(rates[i, 0], momenta[j]), DOUBLE_WELL, starts[i, 0], 15, velocity=pushes[j])
            np.testing.assert_allclose(run.position[i, j], one.position, rtol=1e-13, atol=1e-15)
            np.testing.assert_allclose(run.velocity[i, j], one.velocity, rtol=1e-12, atol=1e-14)


@settings(max_examples=25)
@given(momentum=st.floats(0.0, 0.99), share=st.floats(0.01, 1.0), seed=st.integers(0, 1000))
def test_lyapunov_function_never_increases(momentum, share, seed):
    """f(x_k) + β|V_k|²/(2η) falls for η ≤ 2(1-β)/L, on a convex loss and on an indefinite quadratic alike."""
    rng = np.random.default_rng(seed)
    loss = logistic()
    bound = np.linalg.eigvalsh(loss.features.T @ loss.features)[-1] / (4 * 40) + 0.01
    quadratic = hb.Quadratic([4.0, 1.0, -0.5])
    for objective, smoothness in ((loss, bound), (quadratic, 4.0)):
        method = hb.HeavyBall(share * 2 * (1 - momentum) / smoothness, momentum)
        run = hb.iterate(method, objective, rng.normal(size=(4, 3)), 60)
        rise = np.diff(run.energy, axis=-1)
        assert np.all(rise <= 1e-13 * np.abs(run.energy[..., :-1]) + 1e-15)


@pytest.mark.parametrize("q", [0.1, 1.0, 3.5])
def test_without_friction_a_quadratic_keeps_its_invariant(q):
    """At β = 1, V² + q x² - q x V stays (η = 1, curvature q)."""
    run = hb.iterate(hb.HeavyBall(1.0, 1.0), hb.Quadratic([q]), [0.7], 500, velocity=[0.2])
    x, v = run.position[:, 0], run.velocity[:, 0]
    kept = v**2 + q * x**2 - q * x * v
    np.testing.assert_allclose(kept, kept[0], rtol=1e-11)


@pytest.mark.parametrize("momentum", [0.5, 0.9, 1.0])
def test_phase_volume_shrinks_by_beta_to_the_n(momentum):
    """The Jacobian of n steps in two dimensions has determinant β^(2n), on a loss that is not quadratic."""
    steps, h = 3, 1e-5
    point = np.array([0.4, -0.6, 0.05, 0.02])
    shifted = point + h * np.concatenate([np.eye(4), -np.eye(4)])
    method = hb.HeavyBall(0.02, momentum)
    end = hb.iterate(method, hb.rosenbrock(1.0, 5.0), shifted[:, :2], steps, velocity=shifted[:, 2:])
    image = np.concatenate([end.state.position, end.state.velocity], axis=-1)
    jacobian = (image[:4] - image[4:]) / (2 * h)
    assert np.linalg.det(jacobian) == pytest.approx(momentum ** (2 * steps), rel=1e-7)


def test_divergence_is_per_element_and_harms_nobody():
    lr = np.array([0.1, 2.5, 0.2, 40.0])
    run = hb.iterate(hb.HeavyBall(lr, 0.5), hb.Quadratic([2.0]), [1.0], 400)
    np.testing.assert_array_equal(run.status, [0, 0, 0, -1])
    assert run.success.tolist() == [True, True, True, False]
    alone = hb.iterate(hb.HeavyBall(lr[:3], 0.5), hb.Quadratic([2.0]), [1.0], 400)
    np.testing.assert_array_equal(run.position[:3], alone.position)
    np.testing.assert_array_equal(run.energy[:3], alone.energy)
    with np.errstate(all="ignore"):
        x, _ = literal(40.0, 0.5, lambda x: 2.0 * x, np.array([1.0]), np.array([0.0]), 400)
    gone = int(np.argmin(np.isfinite(x[:, 0])))
    assert run.stop_time[3] == gone
    np.testing.assert_array_equal(run.position[3, :gone], x[:gone])
    assert np.isnan(run.position[3, gone:]).all()
    assert np.isnan(run.value[3, gone:]).all()
    np.testing.assert_array_equal(run.state.position[3], x[gone - 1])
    assert np.isnan(run.stop_time[:3]).all()
    assert "1 diverged" in run.summary()


def test_a_run_ends_early_where_all_diverged():
    run = hb.iterate(hb.GradientDescent(np.array([1e3, 1e4])), hb.Quadratic([1.0]), [1.0], 10**6, save_every=10**5)
    assert run.evaluations < 200
    assert (run.status == hb.Status.DIVERGED).all()
    assert run.position.shape == (2, 11, 1)
    assert np.isnan(run.position[:, 1:]).all()


def test_leaving_the_domain_is_a_divergence():
    root = hb.Objective(lambda x: 2 * x[..., 0] ** 1.5 / 3, np.sqrt, dim=1)
    run = hb.iterate(hb.GradientDescent(0.3), root, [[1.0], [0.05]], 3)
    np.testing.assert_array_equal(run.status, [0, -1])
    assert run.stop_time[1] == 2  # the first step lands on a negative number, the second has no gradient


class Twice(NamedTuple):
    position: Any
    noise: Any


@dataclass(frozen=True)
class AsksTwice:
    """Remembers the difference of two gradients asked at one point."""

    lr: float

    def init(self, position, velocity, objective):
        return Twice(position, 0.0 * position)

    def step(self, k, state, objective):
        one, two = objective.gradient(state.position), objective.gradient(state.position)
        return Twice(state.position - self.lr * one, one - two)


class Noisy:
    """A quadratic whose gradients are noisy; each call of `at` draws a new sample."""

    dim = 1

    def __init__(self):
        self.asked = []

    def value(self, position):
        return 0.5 * np.sum(position**2, -1)

    def gradient(self, position):
        return 1.0 * position

    def at(self, k):
        self.asked.append(k)
        shift = np.random.default_rng(len(self.asked)).normal()
        return hb.Objective(lambda x: np.full(x.shape[:-1], np.nan), lambda x: x + shift, dim=1)


def test_one_sample_a_step_and_values_of_the_full_loss():
    objective = Noisy()
    run = hb.iterate(AsksTwice(0.1), objective, [1.0], 8, first_step=3)
    assert objective.asked == list(range(3, 11))
    np.testing.assert_array_equal(run.state.noise, 0.0)
    np.testing.assert_array_equal(run.value, 0.5 * run.position[:, 0] ** 2)
    np.testing.assert_array_equal(run.gradient_norm, np.abs(run.position[:, 0]))
    shifts = [np.random.default_rng(i).normal() for i in range(1, 9)]
    x = [1.0]
    for shift in shifts:
        x.append(x[-1] - 0.1 * (x[-1] + shift))
    np.testing.assert_allclose(run.position[:, 0], x, rtol=1e-14)


def test_memory_is_that_of_the_saved_points():
    method = hb.HeavyBall(np.geomspace(1e-5, 1e-3, 100)[:, None], np.linspace(0.0, 0.99, 100))
    loss = hb.rosenbrock()
    hb.iterate(method, loss, [-1.2, 1.0], 2)
    tracemalloc.start()
    run = hb.iterate(method, loss, [-1.2, 1.0], 500, save_every=500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert run.position.shape == (100, 100, 2, 2)
    all_positions = 10_000 * 501 * 2 * 8
    assert peak < all_positions / 10


class Nested(NamedTuple):
    position: Any
    past: tuple[Any, tuple[Any, Any]]


@dataclass(frozen=True)
class Delayed:
    """Gradient descent on the gradient of three steps ago, held in nested tuples."""

    lr: Any

    def init(self, position, velocity, objective):
        return Nested(position, (position, (position, position)))

    def step(self, k, state, objective):
        one, (two, three) = state.past
        return Nested(state.position - self.lr * objective.gradient(three), (state.position, (one, two)))


def test_nested_states_run_diverge_and_resume():
    lr = np.array([0.1, 3000.0])
    run = hb.iterate(Delayed(lr), hb.Quadratic([1.0]), [1.0], 400)
    x = [1.0] * 4
    for _ in range(400):
        x.append(x[-1] - 0.1 * x[-4])
    np.testing.assert_allclose(run.position[0, :, 0], x[3:], rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(run.status, [0, -1])
    assert isinstance(run.state, Nested)
    assert run.state.past[1][1].shape == (2, 1)
    half = hb.iterate(Delayed(0.1), hb.Quadratic([1.0]), [1.0], 150)
    rest = hb.iterate(Delayed(0.1), hb.Quadratic([1.0]), half.state, 250, first_step=150)
    np.testing.assert_array_equal(rest.position[-1], run.position[0, -1])


def test_nothing_moves_at_lr_zero():
    run = hb.iterate(hb.HeavyBall(0.0, 0.9), QUARTIC, [1.0, 0.5], 5)
    np.testing.assert_array_equal(run.position, np.broadcast_to([1.0, 0.5], (6, 2)))
    np.testing.assert_array_equal(run.energy, run.value)
    coasting = hb.iterate(hb.HeavyBall(0.0, 0.0), QUARTIC, [1.0, 0.5], 2, velocity=[0.1, 0.0])
    np.testing.assert_array_equal(coasting.energy, coasting.value)


@dataclass(frozen=True)
class SharedCounter:
    """Its second leaf is one number for all coordinates."""

    lr: float

    def init(self, position, velocity, objective):
        return Twice(position, position[..., :1] * 0)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position)
        return Twice(state.position - self.lr * gradient, state.noise + np.sum(gradient**2, -1, keepdims=True))


def test_states_are_full_so_that_they_resume():
    run = hb.iterate(SharedCounter(0.1), QUARTIC, [[1.0, 0.5]] * 3, 4)
    assert run.state.noise.shape == (3, 2)
    rest = hb.iterate(SharedCounter(0.1), QUARTIC, run.state, 4, first_step=4)
    long = hb.iterate(SharedCounter(0.1), QUARTIC, [[1.0, 0.5]] * 3, 8)
    np.testing.assert_array_equal(rest.state.noise, long.state.noise)


def test_shapes_of_batches():
    for batch in ((), (1,), (2, 3), (0,)):
        run = hb.iterate(hb.HeavyBall(0.01, 0.5), QUARTIC, np.ones((*batch, 2)), 3)
        assert run.position.shape == (*batch, 4, 2)
        assert run.status.shape == batch


def test_results_pickle():
    run = hb.iterate(hb.HeavyBall(0.01, 0.5), QUARTIC, [1.0, 0.5], 3)
    again = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(again.position, run.position)
    assert isinstance(again.state, hb.PhaseState)


GOOD = {"method": hb.HeavyBall(0.1, 0.5), "objective": QUARTIC, "position": [1.0, 0.5], "steps": 3}


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"position": [1.0, 2.0, 3.0]}, ValueError, r"`position` must have shape \(\*batch, 2\).*\(3,\)"),
    ({"position": [[1.0, 2.0], [np.nan, 0.0]]}, ValueError, r"`position` must be finite.*nan at index \(1, 0\)"),
    ({"position": ["a", "b"]}, TypeError, "`position` must hold real numbers"),
    ({"velocity": [1.0]}, ValueError, r"`velocity` must have shape.*\(1,\)"),
    ({"velocity": [np.inf, 0.0]}, ValueError, "`velocity` must be finite. Received inf"),
    ({"position": hb.PhaseState([1.0, 0.5], [0.0, 0.0]), "velocity": [0.0, 0.0]}, ValueError, "`velocity` must be"),
    ({"position": hb.PositionState([1.0, 0.5])}, ValueError, "`position` must be a state of HeavyBall, which has 2 p"),
    ({"position": hb.PhaseState([1.0, 0.5], [np.nan, 0.0])}, ValueError, "`position` must be finite. Received nan"),
    ({"steps": -1}, ValueError, "`steps` must be a whole number >= 0. Received -1"),
    ({"steps": 2.5}, TypeError, "`steps` must be a whole number >= 0. Received 2.5"),
    ({"save_every": 0}, ValueError, "`save_every` must be a whole number >= 1. Received 0"),
    ({"first_step": -2}, ValueError, "`first_step` must be a whole number >= 0. Received -2"),
    ({"method": hb.HeavyBallFlow()}, TypeError, r"`method` must be a method.*HeavyBallFlow.*use integrate"),
    ({"method": hb.HeavyBall}, TypeError, "must be an instance. Received the class HeavyBall"),
    ({"method": 0.1}, TypeError, "must offer init and either step"),
    ({"method": hb.HeavyBall(np.ones(3), np.ones(2))}, ValueError, r"`lr` \(3,\) and `momentum` \(2,\)"),
    ({"method": hb.HeavyBall(np.ones(3), 0.1), "position": np.ones((2, 2))}, ValueError, r"`lr` \(3,\) and \(2,\)"),
    ({"objective": np.cos}, TypeError, "`objective` must offer value, gradient, dim and at.*without dim, value"),
])  # fmt: skip
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        hb.iterate(**(GOOD | change))
