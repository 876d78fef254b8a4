"""Loss along runs against the prediction from poles."""

import pickle

import numpy as np
import pytest

import heavyball_dynamics as hb

RUNS = {
    "flow": hb.HeavyBallFlow(1.0, 0.5), "descent": hb.GradientDescent(0.1), "heavy": hb.HeavyBall(0.1, 0.8),
    "nesterov": hb.Nesterov(0.1, 0.8),
}  # fmt: skip


def test_on_a_quadratic_prediction_and_run_agree():
    loss = hb.Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, -1.0])
    curves = hb.loss_curves(RUNS, loss, [3.0, -2.0], steps=300, dt=0.1, velocities={"flow": [0.3, 0.1]})
    good = curves.reference > 1e-10
    np.testing.assert_allclose(curves.excess[good], curves.reference[good], rtol=1e-5)
    np.testing.assert_allclose(curves.measured, curves.predicted, rtol=1e-4)


def test_gradient_descent_by_hand():
    curves = hb.loss_curves({"gd": hb.GradientDescent(0.1)}, hb.Quadratic([1.0, 4.0]), [1.0, 1.0], steps=50)
    k = np.arange(51)
    np.testing.assert_allclose(curves.excess[0], 0.5 * 0.9 ** (2 * k) + 2 * 0.6 ** (2 * k), rtol=1e-12)
    np.testing.assert_allclose(curves.asymptotic, 0.81, rtol=1e-12)
    np.testing.assert_allclose(curves.measured, 0.81, rtol=1e-6)


def test_long_runs_save_early_steps_and_then_fewer():
    curves = hb.loss_curves({"gd": hb.GradientDescent(1e-4)}, hb.Quadratic([1.0]), [1.0], steps=12_345)
    assert curves.steps[-1] == 12_345
    np.testing.assert_array_equal(curves.steps[:101], np.arange(101))
    assert len(curves.steps) < 600
    np.testing.assert_allclose(curves.excess[0], 0.5 * (1 - 1e-4) ** (2 * curves.steps), rtol=1e-9)


def test_stiff_flow_is_followed_without_resolving_its_decay():
    """Two million decay times of the fastest mode: an explicit solver would need as many steps."""
    flow = hb.HeavyBallFlow(1.0, 1e3)
    curves = hb.loss_curves({"flow": flow}, hb.Quadratic([1.0, 4.0]), [1.0, 1.0], steps=2000)
    good = curves.reference > 1e-8
    np.testing.assert_allclose(curves.excess[good], curves.reference[good], rtol=1e-5)


def test_flow_that_would_cost_too_much_is_left_early():
    """Thrown at 10,000 per unit time the ball climbs where Rosenbrock's valley turns hundreds of times faster."""
    loss, flow = hb.rosenbrock(), hb.HeavyBallFlow(1.0, 0.003)
    curves = hb.loss_curves({"flow": flow}, loss, [0.0, 0.0], steps=60, dt=5.0, velocities={"flow": [1e4, 0.0]})
    assert np.isfinite(curves.excess[0, 0])
    assert np.isnan(curves.excess[0, -1])


def test_on_another_loss_the_tail_agrees():
    loss = hb.double_well()
    curves = hb.loss_curves({"heavy": hb.HeavyBall(0.05, 0.5)}, loss, loss.minimizer + np.array([0.3, 0.2]), steps=150)
    np.testing.assert_allclose(curves.measured, curves.predicted, rtol=1e-3)


def test_divergence_is_nan_from_where_it_left():
    curves = hb.loss_curves({"gd": hb.GradientDescent(50.0)}, hb.Quadratic([1.0]), [1.0], steps=400)
    assert np.isnan(curves.excess[0, -1])
    assert np.isfinite(curves.excess[0, 0])
    np.testing.assert_allclose(curves.measured, 49.0**2, rtol=1e-9)


def test_saddle_has_no_fitted_factor_but_an_asymptotic_one():
    curves = hb.loss_curves({"gd": hb.GradientDescent(0.1)}, hb.saddle(), [1.0, 1.0], steps=50)
    assert np.isnan(curves.measured[0])
    np.testing.assert_allclose(curves.asymptotic, 1.1**2, rtol=1e-12)


def test_pickles_and_prints():
    curves = hb.loss_curves(RUNS, hb.Quadratic([1.0]), [1.0], steps=30, dt=0.1)
    again = pickle.loads(pickle.dumps(curves))
    np.testing.assert_array_equal(again.excess, curves.excess)
    assert all(label in str(curves) for label in RUNS)


def test_bad_input():
    with pytest.raises(ValueError, match="`steps` must be a whole number >= 2"):
        hb.loss_curves(RUNS, hb.Quadratic([1.0]), [1.0], steps=1)
    with pytest.raises(ValueError, match="`position` must have shape"):
        hb.loss_curves(RUNS, hb.Quadratic([1.0]), [1.0, 2.0], steps=10)
    unknown = hb.Objective(lambda x: (x**4).sum(-1), lambda x: 4 * x**3, dim=1)
    with pytest.raises(ValueError, match="must know its minimizer"):
        hb.loss_curves(RUNS, unknown, [1.0], steps=10)
