"""Tunings against closed forms and against their neighbours, stability limits against closed forms."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import (
    DampingClass,
    GradientDescent,
    HeavyBall,
    HeavyBallFlow,
    Nesterov,
    PhaseState,
    PositionState,
    Schedule,
    TripleMomentum,
    analyze_modes,
    stability_limit,
    tune,
)  # fmt: skip

KAPPA = [1.0, 1.5, 10.0, 100.0, 1e4, 1e6]


def worst_rate(method, smallest, largest, number=400):
    """Largest rate over the spectrum; ends included, since optima balance them."""
    spectrum = np.append(np.geomspace(smallest, largest, number), [smallest, largest])
    return float(analyze_modes(method, spectrum).rate.max())


def rates(kappa):
    root = np.sqrt(kappa)
    return {
        (GradientDescent, "tuned"): (kappa - 1) / (kappa + 1),
        (HeavyBall, "tuned"): (root - 1) / (root + 1),
        (Nesterov, "standard"): 1 - 1 / root,
        (Nesterov, "tuned"): 1 - 2 / np.sqrt(3 * kappa + 1),
        (TripleMomentum, "tuned"): 1 - 1 / root,
    }


@pytest.mark.parametrize("kappa", KAPPA)
@pytest.mark.parametrize("smallest", [1.0, 0.037])
@pytest.mark.parametrize("which", rates(1.0))
def test_rates(kappa, smallest, which):
    method = tune(which[0], smallest, kappa * smallest, variant=which[1])
    # The end modes have double poles, which rounding of lr and momentum splits by √eps.
    assert_allclose(worst_rate(method, smallest, kappa * smallest), rates(kappa)[which], atol=2e-7)


def test_published_numbers():
    """Condition number 100."""
    assert round(worst_rate(tune(GradientDescent, 1, 100), 1, 100), 6) == 0.980198
    assert round(worst_rate(tune(HeavyBall, 1, 100), 1, 100), 6) == 0.818182


def test_closed_forms():
    small, large = 0.5, 18.0
    assert tune(GradientDescent, small, large).lr == pytest.approx(2 / 18.5)
    ball = tune(HeavyBall, small, large)
    assert ball.lr == pytest.approx((2 / (np.sqrt(18) + np.sqrt(0.5))) ** 2)
    assert ball.momentum == pytest.approx((5 / 7) ** 2)
    standard = tune(Nesterov, small, large, variant="standard")
    assert (standard.lr, standard.momentum) == (pytest.approx(1 / 18), pytest.approx(5 / 7))
    tuned = tune(Nesterov, small, large)
    root = np.sqrt(3 * 36 + 1)
    assert (tuned.lr, tuned.momentum) == (pytest.approx(4 / 54.5), pytest.approx((root - 2) / (root + 2)))


def test_ends_of_the_tuned_heavy_ball_are_critical():
    modes = analyze_modes(tune(HeavyBall, 1.0, 100.0), [1.0, 10.0, 100.0])
    assert [DampingClass(c).name for c in modes.damping] == ["CRITICAL", "UNDERDAMPED", "ALTERNATING"]


@given(
    kappa=st.floats(1.5, 1e4), lr=st.floats(-0.2, 0.2), momentum=st.floats(-0.2, 0.2),
    kind=st.sampled_from([GradientDescent, HeavyBall, Nesterov]),
)  # fmt: skip
def test_no_neighbour_is_better(kappa, lr, momentum, kind):
    best = tune(kind, 1.0, kappa)
    other = replace(best, lr=best.lr * (1 + lr))
    if kind is not GradientDescent:
        other = replace(other, momentum=best.momentum + momentum * (1 - best.momentum))
    assert worst_rate(other, 1.0, kappa) >= rates(kappa)[kind, "tuned"] - 1e-9


def test_tuning_at_given_lr():
    """Given η, the best β is max over modes of (1 - √(ηλ))²."""
    lr, spectrum = 0.01, np.array([0.3, 5.0, 40.0])
    best = np.max((1 - np.sqrt(lr * spectrum)) ** 2)
    grid = np.linspace(0, 0.999, 2001)
    found = analyze_modes(HeavyBall(lr, grid), spectrum).rate.max(axis=-1)
    assert_allclose(grid[np.argmin(found)], best, atol=1e-3)
    assert analyze_modes(HeavyBall(lr, best), spectrum).rate.max() <= found.min() + 1e-6


def test_batch():
    small, large = np.array([1.0, 0.5])[:, None], np.array([2.0, 30.0, 100.0])
    for kind in (GradientDescent, HeavyBall, Nesterov):
        batch = tune(kind, small, large)
        assert batch.lr.shape == (2, 3)
        for i, j in np.ndindex(2, 3):
            single = tune(kind, small[i, 0], large[j])
            assert_allclose(batch.lr[i, j], single.lr, rtol=4e-16)
            if kind is not GradientDescent:
                assert_allclose(batch.momentum[i, j], single.momentum, rtol=1e-15)
    assert isinstance(tune(HeavyBall, 1, 2).lr, float)


def test_errors_of_tune():
    for smallest in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"`smallest` must be > 0. Received {smallest}"):
            tune(HeavyBall, smallest, 1.0)
    with pytest.raises(ValueError, match=r"`largest` must be >= smallest. Received 2.0 at index \(1,\)"):
        tune(HeavyBall, [1.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"`smallest` and `largest` must have shapes .* \(3,\) and \(2,\)"):
        tune(HeavyBall, np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="`variant` must be one of 'tuned', 'numeric'. Received 'standard'"):
        tune(HeavyBall, 1, 2, variant="standard")


class Lag(NamedTuple):
    position: Any
    old: tuple[Any, Any]


@dataclass(frozen=True)
class Stale:
    """Gradient descent with gradients two steps old."""

    lr: Any

    def init(self, position, velocity, objective):
        return Lag(position, (position, position))

    def step(self, k, state, objective):
        return Lag(state.position - self.lr * objective.gradient(state.old[1]), (state.position, state.old[0]))


@dataclass(frozen=True)
class Averaged:
    """Heavy ball with an average of gradients for a buffer: the canonical η is lr(1-β)."""

    lr: Any
    momentum: Any

    def init(self, position, velocity, objective):
        return PhaseState(position, velocity)

    def step(self, k, state, objective):
        average = self.momentum * state.velocity + (1 - self.momentum) * objective.gradient(state.position)
        return PhaseState(state.position - self.lr * average, average)


class TestStabilityLimit:
    @given(momentum=st.floats(-0.95, 0.9999), curvature=st.floats(1e-6, 1e6))
    def test_heavy_ball(self, momentum, curvature):
        found = stability_limit(HeavyBall(0.1, momentum), curvature)
        assert isinstance(found, float)
        assert_allclose(found, 2 * (1 + momentum) / curvature, rtol=1e-12)

    @given(momentum=st.floats(-0.3, 0.9999), curvature=st.floats(1e-6, 1e6))
    def test_nesterov(self, momentum, curvature):
        wanted = 2 * (1 + momentum) / (1 + 2 * momentum) / curvature
        assert_allclose(stability_limit(Nesterov(0.1, momentum), curvature), wanted, rtol=1e-12)

    def test_nesterov_with_strongly_negative_momentum(self):
        """det = β(1 - q) reaches one first: q = (1-β)/(-β)."""
        assert_allclose(stability_limit(Nesterov(0.1, -0.8), 1.0), 1.8 / 0.8, rtol=1e-12)

    def test_gradient_descent(self):
        assert_allclose(stability_limit(GradientDescent(0.1), [0.5, 8.0]), [4.0, 0.25], rtol=1e-12)

    def test_momentum_of_one_and_more(self):
        assert_array_equal(stability_limit(HeavyBall(0.1, np.array([1.0, 1.0 + 1e-6, 3.0])), 1.0), [0, 0, 0])
        # Nesterov's look-ahead adds friction where the loss is curved.
        assert_allclose(stability_limit(Nesterov(0.1, 1.0), 1.0), 4 / 3, rtol=1e-12)
        assert_allclose(stability_limit(Nesterov(0.1, 1.05), 1.0), 4.1 / 3.1, rtol=1e-12)

    def test_flat_and_downhill(self):
        assert_array_equal(stability_limit(HeavyBall(0.1, 0.5), [0.0, -1.0]), [np.inf, 0.0])
        assert stability_limit(HeavyBall(0.1, 0.5), 0.0) == np.inf
        assert stability_limit(HeavyBall(0.1, 0.5), []).shape == (0,)

    def test_batches(self):
        momentum, curvature = np.array([[0.1, 0.5, 0.9], [0.0, 0.3, 0.99]]), np.array([0.5, 1.0, 2.0, 3.0])
        found = stability_limit(HeavyBall(0.1, momentum), curvature)
        assert_allclose(found, 2 * (1 + momentum[..., None]) / curvature, rtol=1e-12)
        assert_allclose(stability_limit(HeavyBall(0.1, momentum), 2.0), 1 + momentum, rtol=1e-12)
        assert stability_limit(HeavyBall(np.ones(3), 0.5), np.ones((3, 2))).shape == (3, 2)
        # The present learning rate plays no part.
        assert_allclose(stability_limit(HeavyBall(0.0, 0.5), 1.0), 3.0)

    @given(momentum=st.floats(0, 0.99999))
    def test_users_rule_with_an_average(self, momentum):
        found = stability_limit(Averaged(0.1, momentum), 1.0)
        assert_allclose(found, 2 * (1 + momentum) / (1 - momentum), rtol=1e-9)

    def test_users_rule_with_a_delay(self):
        """z³ - z² + q = 0 touches the circle at q = 2 sin(π/10)."""
        found = stability_limit(Stale(np.array([0.1, 7.0])), np.array([1.0, 20.0]))
        assert_allclose(found, 2 * np.sin(np.pi / 10) / np.array([[1.0, 20.0]] * 2), rtol=1e-11)

    def test_it_is_where_iterations_stop_decaying(self):
        for method in (HeavyBall(1.0, 0.7), Nesterov(1.0, 0.7), Stale(1.0)):
            limit = stability_limit(method, 3.0)
            assert analyze_modes(replace(method, lr=limit * (1 - 1e-9)), [3.0]).stable[0]
            assert not analyze_modes(replace(method, lr=limit * (1 + 1e-9)), [3.0]).stable[0]

    def test_frozen_in_time(self):
        @dataclass(frozen=True)
        class Slowing:
            lr: Any

            def init(self, position, velocity, objective):
                return PositionState(position)

            def step(self, k, state, objective):
                return PositionState(state.position - self.lr / (k + 1) * objective.gradient(state.position))

        assert_allclose(stability_limit(Slowing(1.0), 1.0, k=4), 10.0)
        with pytest.raises(ValueError, match="say at which step"):
            stability_limit(Slowing(1.0), 1.0)

    def test_schedules_of_batches(self):
        table = np.array([[0.5, 0.6], [0.9, 0.8]])
        method = HeavyBall(0.1, Schedule(table))
        for k in (0, 1):
            assert_allclose(stability_limit(method, [1.0, 2.0], k=k), 2 * (1 + table[:, k, None]) / [1.0, 2.0])
        assert_allclose(stability_limit(HeavyBall(lambda k: 1 / (k + 1), 0.5), 1.0), 3.0)

    def test_errors(self):
        with pytest.raises(TypeError, match="`method` must be a method, in discrete time. Received the flow"):
            stability_limit(HeavyBallFlow(), 1.0)

        class Plain:
            def init(self, position, velocity, objective):
                return PositionState(position)

            step = Stale.step

        with pytest.raises(TypeError, match="must be a dataclass with a field lr"):
            stability_limit(Plain(), 1.0)
        with pytest.raises(ValueError, match=r"`curvature` must have shape .* \(3,\). Received shape \(2, 4\)"):
            stability_limit(HeavyBall(np.ones(3), 0.5), np.ones((2, 4)))
        with pytest.raises(ValueError, match="`curvature` must be finite"):
            stability_limit(HeavyBall(0.1, 0.5), np.nan)
