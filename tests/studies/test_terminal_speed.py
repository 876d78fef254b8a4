"""Terminal velocity: closed forms, shares, rules of every kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics.studies.terminal_speed import steps_to_share, terminal_velocity


@settings(max_examples=25)
@given(st.floats(0.05, 0.98), st.floats(0.01, 10.0), st.floats(-5.0, 5.0).filter(lambda g: abs(g) > 0.01),
       st.floats(0.5, 0.99))  # fmt: skip
def test_heavy_ball_in_closed_form(beta, lr, gradient, share):
    found = terminal_velocity(hb.HeavyBall(lr, beta), gradient, share=share)
    k = np.arange(1, found.velocity.shape[-1] + 1)
    assert_allclose(found.velocity, -lr * gradient * (1 - beta**k) / (1 - beta), rtol=1e-7)
    assert_allclose(found.limit, -lr * gradient / (1 - beta), rtol=1e-9)
    assert_allclose(found.speed_up, 1 / (1 - beta), rtol=1e-9)
    exact = np.log(1 - share) / np.log(beta)
    if abs(exact - round(exact)) > 1e-6:
        assert found.steps_to_share == max(np.ceil(exact), 1)


def test_two_ten_and_a_hundred_times():
    found = terminal_velocity(hb.HeavyBall(0.1, np.array([0.5, 0.9, 0.99])))
    assert_allclose(found.speed_up, [2, 10, 100], rtol=1e-9)
    assert_array_equal(found.steps_to_share, np.ceil(np.log(0.05) / np.log([0.5, 0.9, 0.99])))


@pytest.mark.parametrize(("method", "limit"), [
    (hb.GradientDescent(0.1), 0.1), (hb.Nesterov(0.1, 0.9), 1.0), (hb.QuasiHyperbolicMomentum(0.7, 0.9, 0.3), 0.7),
    (hb.AggregatedMomentum(0.1, (0.0, 0.9)), 0.05 * 11), (hb.PIDMomentum(0.1, 0.9, 3.0), 1.0),
    (hb.Adam(0.1, eps=0.0), 0.1), (hb.NAdam(0.1, eps=0.0, momentum_decay=0.0), None),
    (hb.RMSProp(0.1, alpha=0.5, momentum=0.5, eps=0.0), 0.2),
    (hb.discretize(hb.HeavyBallFlow(1.0, 2.0), 0.5, "central"), 0.25),
], ids=lambda m: type(m).__name__)  # fmt: skip
def test_limits(method, limit):
    found = terminal_velocity(method, steps=2000)
    if limit is not None:
        assert_allclose(found.limit, -limit, rtol=1e-6)
    assert_allclose(found.velocity[-1], found.limit, rtol=1e-6)
    at = int(found.steps_to_share)
    assert np.all(found.velocity[at - 1 :] / found.limit >= 0.95 * (1 - 1e-9))
    assert at == 1 or found.velocity[at - 2] / found.limit < 0.95


def test_rules_without_a_limit():
    assert np.isnan(terminal_velocity(hb.AdaGrad()).limit)  # its steps shrink for ever
    assert np.isnan(terminal_velocity(hb.OptimizedGradient(0.1, 30)).limit)  # its momentum grows to the end
    endless = terminal_velocity(hb.HeavyBall(0.1, 1.0))
    assert np.isinf(endless.speed_up)
    assert np.isinf(endless.steps_to_share)
    assert "not within the run" in str(endless)
    short = terminal_velocity(hb.HeavyBall(0.1, 0.99), steps=20)
    assert_allclose(short.speed_up, 100)
    assert np.isinf(short.steps_to_share)


def test_a_long_memory_settles_within_the_default_run():
    found = terminal_velocity(hb.RMSProp(0.1, momentum=np.array([0.0, 0.5, 0.9])))
    assert_allclose(found.limit, [-0.1, -0.2, -1.0], rtol=1e-6)
    assert "has not settled" in str(terminal_velocity(hb.AdaGrad(), steps=50))


def test_a_peak_before_the_limit_is_not_counted():
    """What overshoots and falls below the share again has not arrived."""
    found = terminal_velocity(hb.HeavyBall(0.1, -0.9), steps=200)
    assert found.velocity[0] / found.limit > 0.95
    at = int(found.steps_to_share)
    assert at > 20
    assert found.velocity[at - 2] / found.limit < 0.95


def test_batches():
    found = terminal_velocity(hb.HeavyBall(0.1, np.array([0.5, 0.9])), gradient=[[1.0], [-4.0]])
    assert found.velocity.shape[:-1] == (2, 2)
    for i, j in np.ndindex(2, 2):
        alone = terminal_velocity(hb.HeavyBall(0.1, (0.5, 0.9)[j]), (1.0, -4.0)[i], steps=found.velocity.shape[-1])
        assert_allclose(found.velocity[i, j], alone.velocity, rtol=1e-9)
        assert found.steps_to_share[i, j] == alone.steps_to_share
    assert str(found).count("slope") == 4


class TestOnRuns:
    def test_any_number_of_coordinates(self):
        slope = hb.Quadratic([0.0, 0.0], linear=[3.0, 4.0])
        run = hb.iterate(hb.HeavyBall(0.1, np.array([0.5, 0.9])), slope, [0.0, 0.0], 400)
        assert_array_equal(steps_to_share(run), [5, 29])
        assert_array_equal(steps_to_share(run, limit=[1.0, 5.0]), [5, 29])
        assert_array_equal(steps_to_share(run, limit=100.0), np.inf)
        assert_array_equal(steps_to_share(run, 0.5), [1, 7])

    def test_flow(self):
        """v = (g/γ)(1 - e^{-γt/m}): 95 % after 3 m/γ, a little less."""
        run = hb.integrate(hb.HeavyBallFlow(2.0, 0.5), hb.Quadratic([0.0], linear=[1.0]), [0.0],
                           times=np.linspace(0, 80, 8001))  # fmt: skip
        assert_allclose(steps_to_share(run, limit=2.0), -np.log(0.05) * 4, atol=0.011)


def test_what_does_not_move_or_diverges():
    still = terminal_velocity(hb.HeavyBall(np.array([0.0, 0.1]), 0.5))
    assert_array_equal(still.limit, [0.0, -0.2])
    assert_array_equal(still.steps_to_share[0], np.inf)
    run = hb.iterate(hb.GradientDescent(3.0), hb.Quadratic([1.0]), [1.0], 2000)
    assert steps_to_share(run) == np.inf



def test_errors():
    with pytest.raises(ValueError, match="`gradient` must be other than 0: on level ground nothing rolls"):
        terminal_velocity(hb.HeavyBall(0.1, 0.9), [1.0, 0.0])
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="`share` must be between 0 and 1"):
            terminal_velocity(hb.HeavyBall(0.1, 0.9), share=share)
    with pytest.raises(TypeError, match="`method` must be a method"):
        terminal_velocity(hb.GradientFlow())
    run = hb.iterate(hb.GradientDescent(0.5), hb.Quadratic([1.0]), [1.0], 3)
    with pytest.raises(ValueError, match="`limit` must be > 0, a speed"):
        steps_to_share(run, limit=0.0)
