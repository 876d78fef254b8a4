"""Bifurcation diagrams against the logistic map's published numbers, stability limits and cycles found exactly."""

import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.cycles import find_cycle
from heavyball_dynamics.studies.bifurcations import Bifurcation, Change, bifurcation_diagram

# f' = x² - x: gradient descent is x -> (1 + η)x - ηx², and y = ηx/(1 + η) goes y -> ry(1 - y) with r = 1 + η.
CUBIC = hb.from_sympy("x**3/3 - x**2/2", "x", minimizer=[1.0])
DESCENT = hb.GradientDescent(1.0)
FLIPS = [3.0, 1 + math.sqrt(6), 3.544090, 3.564407]  # periods 2, 4, 8, 16 (Strogatz 1994, section 10.2, and May 1976)


def logistic(r, y, steps):
    for _ in range(steps):
        y = r * y * (1 - y)
    return y


def test_it_is_the_logistic_map():
    lrs = np.array([0.5, 1.7, 2.3, 2.5])
    found = bifurcation_diagram(DESCENT, CUBIC, [0.5], lrs, warmup=50, keep=4)
    y = lrs / (1 + lrs) * 0.5
    assert_allclose(found.points[:, 0, 0], (1 + lrs) / lrs * logistic(1 + lrs, y, 50), rtol=1e-9)


def test_flips_at_the_published_numbers():
    lrs = np.linspace(1.9, 2.568, 1337)
    found = bifurcation_diagram(DESCENT, CUBIC, [0.5], lrs, warmup=4000)
    doubled = [lrs[np.argmax(found.period == p)] for p in (2, 4, 8, 16)]
    assert_allclose(1 + np.array(doubled), FLIPS, atol=0.002)
    # Feigenbaum's ratio of the distances: 4.75 and 4.66 for the first ones, 4.6692 in the limit.
    gaps = np.diff(FLIPS)
    assert_allclose(np.diff(doubled)[:2], gaps[:2], rtol=0.02)
    assert found.first_flip == pytest.approx(2.0, abs=0.002)
    assert found.stability_limit == pytest.approx(2.0, rel=1e-12)


def test_flips_are_where_a_multiplier_is_minus_one():
    """At r = 3 that of the fixed point, 2 - r; at 1 + √6 that of the 2-cycle, 1 + 2r - r² + 3 = 4 + 2r - r²."""
    for r in (2.7, 3.0, 3.2):
        fixed = find_cycle(hb.GradientDescent(r - 1), CUBIC, [0.9], 1)
        assert_allclose(fixed.multipliers, [2 - r], rtol=1e-9)
    for r in (3.2, 1 + math.sqrt(6), 3.5):
        start = bifurcation_diagram(DESCENT, CUBIC, [0.5], [min(r - 1, 2.4)]).points[0, -1]
        found = find_cycle(hb.GradientDescent(r - 1), CUBIC, start, 2)
        assert found.period == 2
        assert_allclose(found.multipliers, [4 + 2 * r - r * r], rtol=1e-8, atol=1e-8)


def test_chaos_windows_and_divergence():
    found = bifurcation_diagram(DESCENT, CUBIC, [0.5], [2.7, 2.832, 2.99, 3.01, 5.0], warmup=3000)
    assert_array_equal(found.period, [0, 3, 0, -1, -1])  # the window of period 3 begins at r = 1 + √8 = 3.8284
    assert np.all(np.isnan(found.points[3:]))
    assert np.all(np.isnan(found.losses[3:]))
    assert np.all(np.isfinite(found.points[:3]))
    assert found.changes[1] == Change(2.832, 2.99, 3, 0)


def test_losses_belong_to_points():
    found = bifurcation_diagram(DESCENT, CUBIC, [0.5], [2.1, 2.6])
    assert_allclose(found.losses, CUBIC.value(found.points), rtol=1e-12)
    assert found.points.shape == (2, 64, 1)


def test_heavy_ball_in_the_double_well():
    """The flip is at the limit 2(1+β)/λ of the minimum, λ = 2; beyond it, once runs settle, the cycles are Newton's."""
    lrs = np.linspace(1.45, 1.7, 51)
    found = bifurcation_diagram(hb.HeavyBall(1.0, 0.5), hb.double_well(), [1.1, 0.1], lrs, warmup=3000)
    assert found.stability_limit == pytest.approx(1.5)
    assert found.first_flip == pytest.approx(1.5, abs=0.006)
    for i in np.flatnonzero((found.period == 2) & (lrs > 1.52))[::7]:
        state = hb.PhaseState(found.points[i, -1], found.points[i, -1] - found.points[i, -2])
        cycle = find_cycle(hb.HeavyBall(lrs[i], 0.5), hb.double_well(), state, 2)
        assert cycle.stable
        assert_allclose(cycle.points[0], found.points[i, -1], atol=1e-7)


def test_adam_flips_where_epsilon_lets_it():
    """For |g| far below ε it is the heavy ball with η(1-β₁)/ε, so 2ε(1+β₁)/(λ(1-β₁)); then c = ημ/2 - ε/λ."""
    eps, beta1, curvature = 0.1, 0.5, 2.0
    limit = 2 * eps * (1 + beta1) / (curvature * (1 - beta1))
    lrs = limit * np.linspace(0.8, 1.12, 33)
    method = hb.Adam(0.1, beta1=beta1, beta2=0.9, eps=eps)
    found = bifurcation_diagram(method, hb.Quadratic([curvature]), [0.1], lrs, warmup=4000)
    assert found.stability_limit is None  # the rule is not linear
    assert found.first_flip == pytest.approx(limit, rel=0.02)
    cycles = found.period == 2
    assert cycles.sum() > 5
    size = lrs * (1 - beta1) / (1 + beta1) / 2 - eps / curvature
    assert_allclose(np.abs(found.points[cycles, -1, 0]), size[cycles], rtol=1e-5)


def test_two_starts_two_attractors():
    """The tuned heavy ball on the counter-example ends at rest or on the cycle, by its start."""
    loss, method = hb.LessardCounterexample(), hb.tune(hb.HeavyBall, 1.0, 25.0)
    found = bifurcation_diagram(method, loss, [[3.3], [0.5]], [method.lr])
    assert_array_equal(found.period, [[3], [1]])
    assert found.points.shape == (2, 1, 64, 1)
    assert_allclose(np.sort(found.points[0, 0, -3:, 0]), np.sort(loss.cycle), atol=1e-12)
    assert found.stability_limit == pytest.approx(2 * (1 + 4 / 9) / 25)


def test_each_value_is_as_alone():
    lrs = np.array([1.2, 2.2, 2.48])
    whole = bifurcation_diagram(DESCENT, CUBIC, [0.5], lrs)
    for i, lr in enumerate(lrs):
        one = bifurcation_diagram(DESCENT, CUBIC, [0.5], [lr])
        assert_allclose(whole.points[i], one.points[0], rtol=1e-12)
        assert whole.period[i] == one.period[0]


def test_other_parameters_and_order():
    found = bifurcation_diagram(hb.HeavyBall(1.6, 0.5), hb.double_well(), [1.1, 0.1], [0.6, 0.3], parameter="momentum")
    assert_array_equal(found.values, [0.3, 0.6])
    # The limit 2(1+β)/2 is 1.3 and 1.6: at β = .6 the run is at its flip, at .3 far beyond.
    assert found.period[0] != 1
    assert found.stability_limit is None
    assert found.parameter == "momentum"


def test_runs_that_creep_away_have_diverged():
    found = bifurcation_diagram(hb.GradientDescent(1.0), hb.Quadratic([1.0]), [1.0], [2.02], warmup=1000)
    assert found.period[0] == -1


def test_runs_that_flip_forever_at_the_edge_and_rest():
    found = bifurcation_diagram(hb.GradientDescent(1.0), hb.Quadratic([1.0]), [1.0], [0.5, 2.0])
    assert_array_equal(found.period, [1, 2])
    assert found.first_flip == 1.25
    assert math.isnan(bifurcation_diagram(hb.GradientDescent(1.0), hb.Quadratic([1.0]), [1.0], [0.5]).first_flip)


def test_summary_and_pickle():
    found = bifurcation_diagram(DESCENT, CUBIC, [0.5], [1.5, 2.1, 2.48, 2.7, 3.5])
    assert str(found).splitlines() == [
        "lr from 1.5 to 3.5, 5 values", "1.5: at rest", "2.1: period 2", "2.48: period 4", "2.7: no period seen",
        "3.5: diverges", "stable at the minimizer up to 2",
    ]  # fmt: skip
    again = pickle.loads(pickle.dumps(found))
    assert isinstance(again, Bifurcation)
    assert_array_equal(again.points, found.points)
    many = bifurcation_diagram(DESCENT, CUBIC, [0.5], np.linspace(2.5, 3, 400), warmup=200)
    assert "more ranges" in str(many)


class TestErrors:
    def test_method(self):
        with pytest.raises(TypeError, match="`method` must be a dataclass with the field 'beta'"):
            bifurcation_diagram(hb.HeavyBall(0.1, 0.5), CUBIC, [0.5], [1.0], parameter="beta")
        with pytest.raises(TypeError, match="`method` must be a method"):
            bifurcation_diagram(hb.HeavyBallFlow(), CUBIC, [0.5], [1.0])
        with pytest.raises(ValueError, match="`method` must have scalar hyperparameters"):
            bifurcation_diagram(hb.HeavyBall(0.1, np.array([0.1, 0.2])), CUBIC, [0.5], [1.0])

    @pytest.mark.parametrize("values", [1.0, [], [[1.0]]])
    def test_values(self, values):
        with pytest.raises(ValueError, match=r"`values` must have shape \(value,\)"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5], values)

    def test_refused_values(self):
        with pytest.raises(ValueError, match="`lr` must be >= 0. Received -1.0 at index"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5], [1.0, -1.0])
        with pytest.raises(ValueError, match="`values` must be finite"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5], [1.0, np.nan])

    def test_counts(self):
        with pytest.raises(ValueError, match="`keep` must be a whole number >= 2"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5], [1.0], keep=1)
        with pytest.raises(ValueError, match="`warmup` must be a whole number >= 0"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5], [1.0], warmup=-1)
        with pytest.raises(ValueError, match="`tolerance` must be > 0"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5], [1.0], tolerance=0)
        with pytest.raises(ValueError, match=r"`position` must have shape \(\*batch, 1\)"):
            bifurcation_diagram(DESCENT, CUBIC, [0.5, 0.5], [1.0])

    def test_starts(self):
        with pytest.raises(ValueError, match=r"`position` must hold one start or more. Received shape \(0, 1\)"):
            bifurcation_diagram(DESCENT, CUBIC, np.zeros((0, 1)), [1.0])

    def test_a_schedule_of_batches(self):
        batch = hb.HeavyBall(0.1, hb.Schedule(np.array([[0.5, 0.6], [0.9, 0.8]])))
        with pytest.raises(ValueError, match="`method` must have scalar hyperparameters"):
            bifurcation_diagram(batch, CUBIC, [0.5], [1.0, 1.1, 1.2])
