"""Floors of noisy runs, measured against predicted: normal noise, fresh minibatches, shuffled epochs."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from user_rules import TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics._table import read_table
from heavyball_dynamics.analysis.expected_losses import expected_loss
from heavyball_dynamics.objectives.noisy import IndependentMinibatch, NoisyGradient
from heavyball_dynamics.studies.noise_floors import noise_floor

LONGLEY = Path(__file__).parents[2] / "examples" / "data" / "longley.csv"


def longley():
    table = read_table(LONGLEY, "TOTEMP").standardized()
    return hb.LeastSquares(table.features, table.target)


@pytest.mark.parametrize("make", [hb.HeavyBall, hb.Nesterov, lambda lr, beta: TwoMomenta(lr, 0.3, beta)])
def test_normal_noise_is_as_predicted(make):
    loss, sigma = hb.Quadratic([[2.0, 0.5], [0.5, 1.0]]), [[1.0, 0.3], [0.3, 0.5]]
    method = make(np.array([0.1, 0.3]), 0.7)
    found = noise_floor(method, NoisyGradient(loss, sigma, seed=1), runs=200, steps=400, burn_in=200)
    assert_allclose(found.predicted, expected_loss(method, loss, [0.0, 0.0], 1, sigma).floor, rtol=1e-12)
    assert np.all(np.abs(found.measured - found.predicted) < 4 * found.standard_error)
    assert np.all(found.standard_error < 0.03 * found.predicted)


def test_longley_by_fresh_minibatches_and_by_shuffled_epochs():
    """Fresh minibatches: the predicted floor, ∝ lr, up to O(lr) of it. Shuffled ones: ∝ lr², far below."""
    shuffled = longley().minibatch(4, seed=1)
    method = hb.HeavyBall(np.array([0.004, 0.001]), 0.8)
    fresh = noise_floor(method, IndependentMinibatch(shuffled), runs=40, steps=1000, burn_in=1000)
    assert np.all(np.abs(fresh.ratio - 1) < 4 * fresh.standard_error / fresh.predicted + 0.05)
    cancelled = noise_floor(method, shuffled, runs=40, steps=1000, burn_in=1000)
    assert np.all(cancelled.ratio < 0.1)
    power = np.log(cancelled.measured[0] / cancelled.measured[1]) / np.log(4.0)
    assert 1.7 < power < 2.3
    assert_allclose(np.log(fresh.measured[0] / fresh.measured[1]) / np.log(4.0), 1.0, atol=0.15)


def test_a_logistic_loss_near_its_minimum(rng):
    features = rng.normal(size=(60, 2))
    labels = (features @ [1.0, -1.0] + rng.logistic(size=60) > 0).astype(int)
    drawn = IndependentMinibatch(hb.LogisticRegression(features, labels, 0.05).minibatch(12, seed=1))
    found = noise_floor(hb.HeavyBall(0.02, 0.8), drawn, runs=80, steps=1000, burn_in=600)
    assert abs(found.ratio - 1) < 4 * found.standard_error / found.predicted + 0.05


def test_what_is_not_stable():
    noisy = NoisyGradient(hb.Quadratic([1.0, 2.0]), 0.1)
    found = noise_floor(hb.GradientDescent(np.array([0.1, 3.0])), noisy, runs=3, steps=1500, burn_in=0)
    assert np.isfinite(found.measured[0])
    assert found.predicted[1] == np.inf == found.measured[1]
    assert "[1] floor predicted inf" in str(found)


def test_errors():
    rule = hb.HeavyBall(0.1, 0.5)
    with pytest.raises(ValueError, match="gradient_covariance"):
        noise_floor(rule, hb.Quadratic([1.0]))
    with pytest.raises(ValueError, match="`runs`"):
        noise_floor(rule, NoisyGradient(hb.Quadratic([1.0])), runs=1)
    with pytest.raises(TypeError, match="`method`"):
        noise_floor(hb.GradientFlow(), NoisyGradient(hb.Quadratic([1.0])))


def test_schedules_are_frozen_first():
    noisy = hb.NoisyGradient(hb.Quadratic([1.0]), 0.1)
    rule = hb.HeavyBall(lambda k: 0.5 / (k + 1), 0.5)
    with pytest.raises(ValueError, match=r"`method` must not vary in time.*hb\.at_step\(method, k\)"):
        hb.noise_floor(rule, noisy)
    assert np.isfinite(hb.noise_floor(hb.at_step(rule, 1), noisy, runs=2, steps=2).predicted)

    class Slowing(hb.GradientDescent):
        """It reads k itself."""

        def step(self, k, state, objective):
            moved = state.position - self.lr / (k + 1) * objective.gradient(state.position)
            return state._replace(position=moved)

    with pytest.raises(ValueError, match="It reads k itself"):
        hb.noise_floor(Slowing(0.1), noisy)


def test_flat_directions_cost_nothing():
    found = hb.noise_floor(hb.HeavyBall(0.1, 0.5), hb.NoisyGradient(hb.Quadratic([0.0, 1.0]), 0.1), runs=2, steps=2)
    alone = hb.noise_floor(hb.HeavyBall(0.1, 0.5), hb.NoisyGradient(hb.Quadratic([1.0]), 0.1), runs=2, steps=2)
    assert np.isclose(found.predicted, alone.predicted, rtol=1e-12)
