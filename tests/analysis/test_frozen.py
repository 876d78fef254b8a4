"""Frozen poles over time, against the poles at each time and closed forms of the moment when a mode turns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb

CURVATURES = np.array([0.03, 0.5, 2.0, 11.0])


def test_each_time_is_the_frozen_rule():
    method = hb.HeavyBall(lr=lambda k: 0.2 / (1 + 0.1 * k), momentum=hb.GrowingMomentum(0.95, 5))
    steps = [0, 3, 7, 30, 200]
    found = hb.frozen_modes(method, CURVATURES, steps)
    assert found.poles.shape == (5, 4, 2)
    for i, k in enumerate(steps):
        alone = hb.analyze_modes(method, CURVATURES, k=k)
        for name in ("poles", "damping", "damping_ratio", "natural_frequency", "rate"):
            assert_array_equal(getattr(found, name)[i], getattr(alone, name))


@pytest.mark.parametrize("r", [1.0, 3.0, 5.5])
def test_nesterovs_flow_turns_underdamped(r):
    """s² + (r/t)s + λ has complex roots from t = r/(2√λ) on (math of Su, Boyd, Candès 2016, section 3.2)."""
    found = hb.frozen_modes(hb.NesterovFlow(r), CURVATURES, np.geomspace(0.01, 100, 30))
    assert_allclose(found.turns_underdamped, r / (2 * np.sqrt(CURVATURES)), rtol=2e-9)
    # Critical damping itself is met only at that one moment.
    assert set(np.unique(found.damping)) == {int(hb.DampingClass.OVERDAMPED), int(hb.DampingClass.UNDERDAMPED)}


@settings(deadline=None, max_examples=30)
@given(st.floats(1e-4, 0.5), st.floats(3, 9))
def test_nesterovs_method_turns_underdamped(q, r):
    """(1-β)/(1+β) < √q with β = (k-1)/(k+r-1) from k > (r/√q - r + 2)/2 on."""
    found = hb.frozen_modes(hb.Nesterov(1.0, hb.AcceleratedMomentum(r)), [q], [*range(0, 3000, 50), 10**6])
    exact = (r / np.sqrt(q) - r + 2) / 2
    expected = 1 + np.floor(exact) if exact >= 1 else found.turns_underdamped[0]
    assert abs(exact - np.round(exact)) < 1e-6 or found.turns_underdamped[0] == expected
    assert found.turns_underdamped[0] <= max(2, exact + 1)


def test_batches_of_rules_and_curvatures():
    r = np.array([[3.0], [5.0]])
    curvature = np.array([[1.0, 4.0], [9.0, 16.0], [25.0, 36.0]])
    times = np.linspace(0.05, 9, 40)
    found = hb.frozen_modes(hb.NesterovFlow(r), curvature, times)
    assert found.poles.shape == (2, 3, 40, 2, 2)
    assert_allclose(found.turns_underdamped, r[..., None] / (2 * np.sqrt(curvature)), rtol=2e-9)
    for i in range(2):
        for j in range(3):
            alone = hb.frozen_modes(hb.NesterovFlow(r[i, 0]), curvature[j], times)
            assert_allclose(found.poles[i, j], alone.poles, rtol=1e-14)
            assert_array_equal(found.damping[i, j], alone.damping)


def test_batches_of_schedules():
    rates = 0.01 * np.array([[1.0], [4.0], [9.0]]) * np.ones(80)
    method = hb.Nesterov(hb.Schedule(rates), hb.AcceleratedMomentum())
    found = hb.frozen_modes(method, [0.5, 1.0], range(80))
    for i in range(3):
        alone = hb.frozen_modes(hb.Nesterov(rates[i, 0], hb.AcceleratedMomentum()), [0.5, 1.0], range(80))
        assert_array_equal(found.turns_underdamped[i], alone.turns_underdamped)


def test_what_never_turns_and_what_begins_so():
    found = hb.frozen_modes(hb.HeavyBall(0.1, 0.5), [0.0, 0.01, 5.0], [0, 1])
    assert_array_equal(found.turns_underdamped, [np.inf, np.inf, 0])
    assert "underdamped from k=0" in found.summary()


def test_accumulated_rates_of_a_constant_rule_are_powers():
    found = hb.frozen_modes(hb.HeavyBall(0.1, 0.5), [0.5, 3.0], [0, 10, 25])
    assert_allclose(found.accumulated, found.rate[0] ** np.array([[0], [10], [25]]), rtol=1e-12)
    flow = hb.frozen_modes(hb.HeavyBallFlow(1.0, 1.0), [0.1, 3.0], [0, 2.0, 3.0])
    assert_allclose(flow.accumulated, np.exp(flow.rate[0] * np.array([[0], [2.0], [3.0]])), rtol=1e-12)


def test_frozen_rates_follow_a_slowly_varying_rule():
    """WKB: the envelope of x'' + (r/t)x' + λx = 0 falls like t^{-r/2}, which is what its frozen poles add up to."""
    times = np.linspace(20, 200, 400)
    found = hb.frozen_modes(hb.NesterovFlow(), [1.0], times)
    assert_allclose(found.accumulated[-1, 0], (200 / 20) ** -1.5, rtol=1e-3)


@pytest.mark.parametrize(("times", "message"), [
    ([], r"`times` must be a one-dimensional array of times. Received shape \(0,\)"),
    ([2, 1], r"`times` must be strictly increasing. Received 1.0 at index \(1,\)"),
    ([0, 0.5], r"`times` must be whole steps >= 0 of a method. Received 0.5 at index \(1,\)"),
    ([-1, 0], r"`times` must be whole steps >= 0 of a method. Received -1.0"),
])  # fmt: skip
def test_bad_times(times, message):
    with pytest.raises(ValueError, match=message):
        hb.frozen_modes(hb.HeavyBall(0.1, 0.5), [1.0], times)


def test_infinite_friction_at_time_zero_is_explained():
    with pytest.raises(ValueError, match="At t = 0 it may have no poles yet: begin the `times` above 0"):
        hb.frozen_modes(hb.NesterovFlow(), [1.0], [0.0, 1.0])
