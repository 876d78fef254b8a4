"""Describing functions against closed forms and python-control; foretold cycles against runs."""

from dataclasses import dataclass
from typing import Any

import control as ct
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Extragradient, Lagged, LaggedFlow

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.limit_cycles import describing_function, predict_cycles


@dataclass(frozen=True)
class Stale:
    """Gradient descent with gradients two steps old."""

    lr: Any

    def init(self, position, velocity, objective):
        return Lagged(position, position, position)

    def step(self, k, state, objective):
        return Lagged(state[0] - self.lr * objective.gradient(state[2]), state[0], state[1])


def softening(x):
    """Slope 5 up to 1, then 1."""
    return x + 4 * np.clip(x, -1, 1)


def clipped(x):
    return np.clip(x, -1.0, 1.0)


def test_closed_forms():
    A = np.array([0.2, 1.0, 1.5, 7.0, 300.0])
    assert_allclose(describing_function(lambda x: 2.5 * x, A), 2.5, rtol=1e-12)
    assert_allclose(describing_function(lambda x: x**3, A), 0.75 * A**2, rtol=1e-12)
    assert_allclose(describing_function(lambda x: x**5, A), 0.625 * A**4, rtol=1e-12)
    assert_allclose(describing_function(np.sign, A), 4 / (np.pi * A), rtol=1e-9)
    ratio = np.minimum(1 / A, 1.0)
    expected = 2 / np.pi * (np.arcsin(ratio) + ratio * np.sqrt(1 - ratio**2))
    assert_allclose(describing_function(clipped, A), expected, rtol=1e-9)
    assert_allclose(describing_function(softening, A), 1 + 4 * expected, rtol=1e-9)


def test_python_control_agrees():
    A = np.array([0.5, 1.3, 4.0])
    theirs = ct.describing_function(ct.saturation_nonlinearity(1.0), A)
    assert_allclose(describing_function(clipped, A), np.real(theirs), rtol=1e-9)
    smooth = ct.describing_function(lambda x: np.tanh(3 * x), A, num_points=4000)
    assert_allclose(describing_function(lambda x: np.tanh(3 * x), A), np.real(smooth), rtol=1e-3)


def test_shapes_and_objectives():
    assert isinstance(describing_function(clipped, 2.0), float)
    assert describing_function(clipped, np.ones((2, 3))).shape == (2, 3)
    loss = hb.Objective(lambda x: 0.25 * (x**4).sum(axis=-1), lambda x: x**3, dim=1)
    assert_allclose(describing_function(loss, 2.0), 3.0)


def test_alternations_are_exact():
    """Heavy ball on a softening loss: f'(A)/A = 2(1+β)/η between points that attract."""
    for momentum in (0.0, 0.3, 0.5):
        method = hb.HeavyBall(1.0, momentum)
        found = predict_cycles(method, softening)
        assert_allclose(found.amplitude, 4 / (2 * (1 + momentum) - 1), rtol=1e-12)
        assert_allclose(found.frequency, np.pi)
        assert_array_equal(found.stable, [True])
        assert_array_equal(found.exact, [True])
        loss = hb.Objective(lambda x: 0.0 * x[..., 0], softening, dim=1)
        run = hb.iterate(method, loss, [1.3 * found.amplitude[0]], 3000, velocity=[2 * found.amplitude[0]])
        assert_allclose(np.abs(run.position[-4:, 0]), found.amplitude[0], rtol=1e-9)


def test_hardening_losses_repel():
    """On x⁴/4 the alternation at A² = 2(1+β)/η divides what converges from what diverges."""
    found = predict_cycles(hb.HeavyBall(1.0, 0.5), lambda x: x**3)
    assert_allclose(found.amplitude, np.sqrt(3.0), rtol=1e-12)
    assert_array_equal(found.stable, [False])
    loss = hb.Objective(lambda x: 0.25 * (x**4).sum(axis=-1), lambda x: x**3, dim=1)
    A = found.amplitude[0]
    inside = hb.iterate(hb.HeavyBall(1.0, 0.5), loss, [0.99 * A], 400, velocity=[0.99 * 2 * A])
    assert abs(inside.position[-1, 0]) < 0.5
    outside = hb.iterate(hb.HeavyBall(1.0, 0.5), loss, [1.01 * A], 400, velocity=[1.01 * 2 * A])
    assert not outside.success.all()


def test_cycle_of_a_flow():
    """The lag filters higher harmonics out: amplitude and period to a few percent."""
    flow = LaggedFlow(0.5, 1.0)
    found = predict_cycles(flow, lambda x: 0.2 * x + clipped(x))
    level = 0.5 * 1.5
    assert_allclose(found.curvature, level, rtol=1e-9)
    assert_allclose(found.frequency, np.sqrt(0.5), rtol=1e-9)
    assert_allclose(0.2 + describing_function(clipped, found.amplitude), level, rtol=1e-9)
    assert_array_equal(found.stable, [True])
    assert_array_equal(found.exact, [False])
    loss = hb.Objective(lambda x: 0.0 * x[..., 0], lambda x: 0.2 * x + clipped(x), dim=1)
    times = np.linspace(300, 400, 8001)
    run = hb.integrate(flow, loss, [0.5], [0.0], times=np.append(0.0, times))
    tail = run.position[1:, 0]
    assert_allclose(np.abs(tail).max(), found.amplitude[0], rtol=0.05)
    rising = times[1:][(tail[:-1] < 0) & (tail[1:] >= 0)]
    assert_allclose(np.diff(rising).mean(), found.period[0], rtol=0.02)


def test_cycle_of_a_method_off_the_alternation():
    """Stale gradients swing with ω = π/(2d+1); sampled in so few points, still within a tenth."""
    found = predict_cycles(Stale(0.5), lambda x: 0.5 * x + 2 * clipped(x))
    swing = np.flatnonzero(found.frequency < 3)
    assert_allclose(found.frequency[swing], np.pi / 5, rtol=1e-9)
    assert_allclose(found.curvature[swing], 2 * np.sin(np.pi / 10) / 0.5, rtol=1e-9)
    assert found.stable[swing].all()
    loss = hb.Objective(lambda x: 0.0 * x[..., 0], lambda x: 0.5 * x + 2 * clipped(x), dim=1)
    run = hb.iterate(Stale(0.5), loss, [0.7], 2000)
    assert_allclose(np.abs(run.position[-200:, 0]).max(), found.amplitude[swing][0], rtol=0.1)


def test_none_foretold():
    found = predict_cycles(hb.HeavyBallFlow(1.0, 0.5), softening)
    assert found.amplitude.size == 0
    assert str(found) == "no cycle foretold"
    assert predict_cycles(hb.HeavyBall(0.1, 0.5), softening).amplitude.size == 0


def test_a_continuum_is_no_list_of_cycles():
    """A quadratic at the limit 2(1+β)/η, and a clipped gradient of that slope, swing at any amplitude."""
    for loss in (hb.Quadratic([3.0]), lambda x: 3 * clipped(x)):
        found = predict_cycles(hb.HeavyBall(1.0, 0.5), loss)
        assert found.continuum
        assert found.amplitude.size == 0
        assert str(found).startswith("a continuum")
    assert not predict_cycles(hb.HeavyBall(1.0, 0.5), hb.Quadratic([2.9])).continuum
    assert not predict_cycles(hb.HeavyBall(1.0, 0.5), softening).continuum


def test_errors():
    with pytest.raises(TypeError, match=r"`gradient` must take arrays .* np.where"):
        describing_function(lambda x: 1.0 if x > 0 else -1.0, 1.0)
    with pytest.raises(ValueError, match=r"`gradient` must take arrays .* made shape \(\) of"):
        predict_cycles(hb.HeavyBall(0.1, 0.5), lambda x: 0.0)
    with pytest.raises(ValueError, match="`amplitudes` must be two numbers"):
        predict_cycles(hb.HeavyBall(0.1, 0.5), clipped, amplitudes=(1.0,))
    with pytest.raises(ValueError, match="`amplitude` must be > 0"):
        describing_function(clipped, [1.0, 0.0])
    with pytest.raises(ValueError, match="`gradient` must be odd"):
        describing_function(lambda x: x + x**2, 1.0)
    with pytest.raises(ValueError, match="`gradient` must be odd"):
        predict_cycles(hb.HeavyBall(0.1, 0.5), hb.LessardCounterexample())
    with pytest.raises(TypeError, match="`gradient` must be a function"):
        describing_function(3.0, 1.0)
    with pytest.raises(ValueError, match="one coordinate"):
        describing_function(hb.Quadratic([1.0, 2.0]), 1.0)
    with pytest.raises(ValueError, match="0 < low < high"):
        predict_cycles(hb.HeavyBall(0.1, 0.5), clipped, amplitudes=(2.0, 1.0))
    with pytest.raises(ValueError, match="scalar hyperparameters"):
        predict_cycles(hb.HeavyBall([0.1, 0.2], 0.5), clipped)
    with pytest.raises(ValueError, match="one gradient a step"):
        predict_cycles(Extragradient(0.1, 0.5), clipped)
