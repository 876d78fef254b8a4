"""Fitted rates: their intervals cover the exact rate, in every class of damping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.studies.rate_fits import fit_rate

S = np.sqrt(0.81)
PARABOLA = hb.Quadratic([1.0])


def fitted(method, curvature, start, steps, of="distance", **keywords):
    run = hb.iterate(method, hb.Quadratic(curvature), start, steps)
    return fit_rate(run, of, minimizer=np.zeros(len(curvature)), algorithm=method, curvature=curvature, **keywords)


@pytest.mark.parametrize("of", ["distance", "value", "gradient_norm", "speed"])
@pytest.mark.parametrize(("method", "exact"), [
    (hb.GradientDescent(0.1), 0.9),
    (hb.GradientDescent(1.9), 0.9),  # alternating
    (hb.HeavyBall(0.3, 0.81), 0.9),  # underdamped
    (hb.HeavyBall((1 - S) ** 2, 0.81), 0.9),  # critical
    (hb.HeavyBall((1 + S) ** 2, 0.81), 0.9),  # a double negative root
    (hb.HeavyBall(0.005, 0.81), None),  # overdamped
    (hb.HeavyBall(3.615, 0.81), None),  # two negative roots
    (hb.Nesterov(0.5, 0.8), 0.4**0.5), (hb.Nesterov(0.01, 0.9), None), (hb.Nesterov(1 / 361, 0.9), None),
], ids=repr)  # fmt: skip
def test_the_interval_covers_the_rate(method, exact, of):
    rate = float(hb.analyze_modes(method, [1.0]).rate[0])
    if exact is not None:
        assert_allclose(rate, exact, rtol=1e-7)
    fit = fitted(method, [1.0], [1.0], int(-25 / np.log(rate)), of)
    assert fit.agrees
    assert_allclose(fit.predicted, np.log(rate) * (2 if of == "value" else 1), rtol=1e-7)
    # Wide enough to be honest, narrow enough to say something; of the value only half as many e-folds are seen.
    assert fit.interval[1] - fit.interval[0] < (1.2 if of == "value" else 0.6) * abs(fit.predicted)


def test_a_pure_rate_is_found_to_rounding():
    fit = fitted(hb.GradientDescent(0.1), [1.0], [1.0], 200)
    assert_allclose(fit.factor, 0.9, rtol=1e-13)
    assert fit.interval[1] - fit.interval[0] < 1e-12
    assert fit.agrees


@settings(max_examples=30)
@given(st.floats(0.3, 0.95), st.floats(0.0, 1.0), st.floats(-2.0, 2.0), st.floats(0.02, 0.98))
def test_any_heavy_ball_of_one_mode(beta, push, start, share):
    """From any start, in any class."""
    q = 2 * (1 + beta) * share
    method = hb.HeavyBall(q, beta)
    rate = float(hb.analyze_modes(method, [1.0]).rate[0])
    # Of a pair of real roots that are close, but not equal, no short run tells which is the slower.
    ratio = abs(np.diff(np.abs(hb.analyze_modes(method, [1.0]).poles[0])).item()) / rate
    if 1e-9 < ratio < 0.05 or abs(start) < 0.1:
        return
    loss = hb.Quadratic([1.0])
    run = hb.iterate(method, loss, [start], max(60, int(-25 / np.log(rate))), velocity=[push])
    fit = fit_rate(run, minimizer=[0.0], algorithm=method, curvature=[1.0])
    # Where the poles turn by nearly a rational part of a circle, few points lie near the envelope.
    slack = 0.02 * abs(fit.predicted)
    assert fit.interval[0] - slack <= fit.predicted <= fit.interval[1] + slack


@pytest.mark.parametrize("damping", [0.3, 2.0, 5.0])
def test_flows(damping):
    """Underdamped, critically damped and overdamped."""
    flow, loss = hb.HeavyBallFlow(1.0, damping), hb.Quadratic([1.0, 4.0])
    rate = float(hb.analyze_modes(flow, [1.0, 4.0]).rate.max())
    run = hb.integrate(flow, loss, [1.0, 1.0], times=np.linspace(0, -20 / rate, 3000), rtol=1e-10, atol=1e-14)
    fit = fit_rate(run, minimizer=[0.0, 0.0], algorithm=flow, curvature=loss.spectrum)
    assert_allclose(fit.predicted, rate)
    assert fit.agrees
    assert_allclose(fit.exponent, rate, rtol=0.12)


def test_several_modes_and_growth():
    fit = fitted(hb.HeavyBall(0.05, 0.7), [0.3, 1.0, 9.0], [1.0, -2.0, 0.5], 1200)
    assert fit.agrees
    assert_allclose(fit.exponent, fit.predicted, rtol=1e-3)
    away = fitted(hb.HeavyBall(0.1, 0.9), [-0.5, 1.0], [1e-6, 1.0], 200)
    assert away.agrees
    assert away.exponent > 0


def test_the_interval_covers_under_noise(rng):
    """About as often as it claims, on the logarithm of a decay with scatter."""

    class Scattered:
        def init(self, position, velocity, objective):
            return hb.PositionState(position)

        def step(self, k, state, objective):
            return hb.PositionState(0.95 ** (k + 1) * np.exp(0.1 * noise[k]))

    noise = rng.normal(size=(400, 500, 1))
    run = hb.iterate(Scattered(), hb.Quadratic([1.0]), np.ones((500, 1)), 400)
    fit = fit_rate(run, minimizer=[0.0])
    wanted = np.log(0.95)
    covered = np.mean((fit.interval[:, 0] <= wanted) & (wanted <= fit.interval[:, 1]))
    assert covered >= 0.93
    with pytest.raises(ValueError, match="`agrees` needs a prediction"):
        fit.agrees  # noqa: B018


def test_what_is_rounding_is_left_out():
    long = fitted(hb.GradientDescent(0.5), [1.0], [1.0], 3000)
    assert_allclose(long.factor, 0.5, rtol=1e-12)
    # Around a minimizer other than zero the distance ends at a floor.
    loss = hb.Quadratic([1.0], linear=[-1.0])
    run = hb.iterate(hb.GradientDescent(0.5), loss, [3.0], 300)
    fit = fit_rate(run, minimizer=loss.minimizer, algorithm=hb.GradientDescent(0.5), curvature=[1.0])
    assert_allclose(fit.factor, 0.5, rtol=1e-3)


def test_too_few_points():
    fit = fitted(hb.GradientDescent(1.0), [1.0], [1.0], 50)
    assert np.isnan(fit.exponent)
    assert not fit.agrees
    assert fit.points == 0


def test_batches():
    method = hb.HeavyBall(np.array([0.1, 0.3]), np.array([[0.5], [0.8]]))
    fit = fitted(method, [1.0, 2.0], [1.0, 1.0], 150)
    assert fit.exponent.shape == (2, 2)
    assert fit.interval.shape == (2, 2, 2)
    alone = fitted(hb.HeavyBall(0.3, 0.5), [1.0, 2.0], [1.0, 1.0], 150)
    assert_allclose(fit.exponent[0, 1], alone.exponent, rtol=1e-9)
    assert_allclose(fit.interval[0, 1], alone.interval, rtol=1e-6)
    assert str(fit).count("predicted") == 4


def test_rules_that_vary_in_time_are_frozen_where_it_is_said():
    method = hb.HeavyBall(0.1, hb.GrowingMomentum(0.9, 3))
    run = hb.iterate(method, PARABOLA, [1.0], 300)
    with pytest.raises(ValueError, match="HeavyBall varies in time: say at which step"):
        fit_rate(run, minimizer=[0.0], algorithm=method, curvature=[1.0])
    late = fit_rate(run, minimizer=[0.0], algorithm=method, curvature=[1.0], k=299)
    assert_allclose(late.predicted, np.log(0.9) / 2, rtol=1e-12)
    assert late.agrees
    flow = hb.NesterovFlow()
    run = hb.integrate(flow, PARABOLA, [1.0], times=np.linspace(0, 20, 101))
    with pytest.raises(ValueError, match="NesterovFlow varies in time: say at which time"):
        fit_rate(run, minimizer=[0.0], algorithm=flow, curvature=[1.0])
    assert_allclose(fit_rate(run, minimizer=[0.0], algorithm=flow, curvature=[1.0], t=10.0).predicted, -0.15)


@pytest.mark.parametrize("lr", [2.3, 3.0, 4.0])
def test_growth_by_many_powers_of_ten(lr):
    """The first points are far below the floor of the largest: that is growth, no rounding."""
    fit = fitted(hb.GradientDescent(lr), [1.0], [1.0], 120)
    assert_allclose(fit.factor, lr - 1, rtol=1e-9)
    assert fit.agrees



def test_errors():
    run = hb.iterate(hb.GradientDescent(0.5), hb.Quadratic([1.0]), [1.0], 30)
    with pytest.raises(ValueError, match="`of` must be one of 'distance'"):
        fit_rate(run, "loss")
    with pytest.raises(ValueError, match="`minimizer` must be given"):
        fit_rate(run)
    with pytest.raises(ValueError, match="`algorithm` and `curvature` must be given together"):
        fit_rate(run, "value", curvature=[1.0])
    with pytest.raises(ValueError, match="`confidence` must be between 0 and 1"):
        fit_rate(run, "value", confidence=1.0)
    with pytest.raises(ValueError, match="`floor` must be >= 0 and < 1"):
        fit_rate(run, "value", floor=1.0)
