"""Measurements along runs, against runs whose numbers are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Extragradient

import heavyball_dynamics as hb
from heavyball_dynamics.studies.measurements import arrival, direction_coherence, first_below, peak_growth

PARABOLA = hb.Quadratic([1.0])


def walk(points):
    """A run through given points, by a rule that knows them."""
    table = np.asarray(points, dtype=float)

    class Walk:
        def init(self, position, velocity, objective):
            return hb.PositionState(position)

        def step(self, k, state, objective):
            return hb.PositionState(np.broadcast_to(table[k + 1], state.position.shape))

    return hb.iterate(Walk(), hb.Quadratic(np.ones(table.shape[1])), table[0], len(table) - 1)


class TestDirectionCoherence:
    def test_by_hand(self):
        run = walk([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0], [0, 0], [0, 0]])
        found = direction_coherence(run, 2)
        assert_allclose(found, [np.nan, np.nan, 0.5**0.5, 0.5**0.5, 0.5**0.5, 1.0, 0.0])
        assert_allclose(direction_coherence(run, 4)[4], 0.0)
        assert_allclose(direction_coherence(run, 1)[1:], [1, 1, 1, 1, 0, 0])

    @settings(max_examples=25)
    @given(st.integers(1, 9), st.integers(0, 2**32 - 1))
    def test_is_at_most_one_and_does_not_change_with_scale_or_place(self, window, seed):
        points = np.random.default_rng(seed).normal(size=(12, 3))
        found = direction_coherence(walk(points), window)[window:]
        assert np.all(found <= 1 + 1e-12)
        assert_allclose(direction_coherence(walk(7 * points - 3), window)[window:], found, rtol=1e-9)

    def test_zigzag_and_straight_line(self):
        """x_k = (1-q)ᵏ: alternating, |1 - (1-q)²|/(q + q|1-q|) over two steps."""
        q = 1.6
        zigzag = hb.iterate(hb.GradientDescent(q), PARABOLA, [1.0], 10)
        assert_allclose(direction_coherence(zigzag, 2)[2:], (2 - q) / q)
        straight = hb.iterate(hb.GradientDescent(0.5), PARABOLA, [1.0], 10)
        assert_allclose(direction_coherence(straight, 3)[3:], 1.0)

    def test_after_a_divergence_there_is_none(self):
        run = hb.iterate(hb.GradientDescent(1e300), PARABOLA, [1e10], 5)
        assert np.isnan(direction_coherence(run, 1)[-1])

    def test_batches(self):
        run = hb.iterate(hb.HeavyBall(np.array([0.1, 0.3]), 0.9), hb.canyon(), [0.5, 10.0], 30)
        found = direction_coherence(run, 4)
        assert found.shape == (2, 31)
        alone = hb.iterate(hb.HeavyBall(0.3, 0.9), hb.canyon(), [0.5, 10.0], 30)
        assert_allclose(found[1], direction_coherence(alone, 4), rtol=1e-9)

    def test_errors(self):
        run = hb.iterate(hb.GradientDescent(0.1), PARABOLA, [1.0], 3)
        with pytest.raises(ValueError, match="`window` must be less than the number of saved points, 4. Received 4"):
            direction_coherence(run, 4)
        with pytest.raises(ValueError, match="`window` must be a whole number >= 1"):
            direction_coherence(run, 0)


class TestFirstBelow:
    def test_gradient_descent_in_closed_form(self):
        lr, tolerance = np.array([0.01, 0.1, 0.5, 1.5, 2.5]), 1e-3
        run = hb.iterate(hb.GradientDescent(lr), PARABOLA, [1.0], 2000)
        with np.errstate(invalid="ignore"):
            wanted = np.ceil(np.log(tolerance) / np.log(np.abs(1 - lr)))
        wanted[-1] = np.inf
        for of in ("gradient_norm", "distance"):
            found = first_below(run, tolerance, of, minimizer=[0.0])
            assert_array_equal(found, wanted)
        assert_array_equal(first_below(run, 0.5 * tolerance**2), wanted)
        assert_array_equal(first_below(run, 0.5 * tolerance**2 - 3.0, minimum=3.0), wanted)

    def test_staying_takes_longer_where_a_mode_oscillates(self):
        run = hb.iterate(hb.HeavyBall(0.5, 0.9), PARABOLA, [1.0], 400)
        once, for_good = first_below(run, 1e-2), first_below(run, 1e-2, stay=True)
        assert once < for_good < np.inf
        at = int(for_good)
        assert np.all(run.value[at:] <= 1e-2)
        assert run.value[at - 1] > 1e-2

    def test_speed_tolerances_a_batch_and_flows(self):
        run = hb.integrate(hb.HeavyBallFlow(damping=0.0), PARABOLA, [1.0], times=np.linspace(0, 6, 601))
        # cos t and sin t
        assert_allclose(first_below(run, 0.5, "distance", minimizer=[0.0]), np.pi / 3, atol=0.01)
        fast = hb.iterate(hb.GradientDescent(0.5), PARABOLA, [[1.0], [1.0]], 20)
        assert_array_equal(first_below(fast, [0.5, 0.1], "speed", stay=True), [0, 4])
        assert_array_equal(first_below(fast, 0.1, "speed"), [0, 0])  # it starts at rest
        assert_array_equal(first_below(run, 1e-9, stay=True), np.inf)

    def test_errors(self):
        run = hb.iterate(hb.GradientDescent(0.5), PARABOLA, [1.0], 3)
        with pytest.raises(ValueError, match="`of` must be one of 'value', 'gradient_norm', 'distance', 'speed'"):
            first_below(run, 0.1, "loss")
        with pytest.raises(ValueError, match="`minimizer` must be given"):
            first_below(run, 0.1, "distance")
        with pytest.raises(ValueError, match="`tolerance` must be finite"):
            first_below(run, np.nan)
        with pytest.raises(ValueError, match=r"`minimizer` must have shape \(\*batch, 1\)"):
            first_below(run, 0.1, "distance", minimizer=[0.0, 0.0])


class TestArrival:
    def test_path_and_graph(self):
        loss = hb.GraphColoring([(0, 1), (1, 2), (0, 3), (3, 4)], anchor=0)
        run = hb.iterate(hb.Nesterov(np.array([0.1, 0.2]), 0.9), loss, np.zeros(5), 10)
        assert_array_equal(arrival(run), np.tile(loss.arrival, (2, 1)))

    def test_tolerance_and_never(self):
        run = hb.iterate(hb.GradientDescent(0.5), hb.Quadratic([1.0, 1.0]), [1.0, 0.0], 6)
        assert_array_equal(arrival(run), [1, np.inf])
        # 1 - 2⁻ᵏ > 0.9 from the fourth step on
        assert_array_equal(arrival(run, 0.9), [4, np.inf])
        with pytest.raises(ValueError, match="`tolerance` must be >= 0. Received -1.0"):
            arrival(run, -1.0)


class TestPeakGrowth:
    @pytest.mark.parametrize("kappa", [4.0, 100.0, 1e4])
    def test_stiff_mode_of_the_tuned_heavy_ball(self, kappa):
        """x_k = x_0(-ρ)ᵏ(1 + (1+ρ)k): it first grows, 3.7 times at κ = 100."""
        method = hb.tune(hb.HeavyBall, 1.0, kappa)
        rho = (kappa**0.5 - 1) / (kappa**0.5 + 1)
        run = hb.iterate(method, hb.Quadratic([1.0, kappa]), [0.0, 1.0], int(30 * kappa**0.5))
        k = np.arange(len(run.time))
        assert_allclose(run.position[:, 1], (-rho) ** k * (1 + (1 + rho) * k), atol=1e-7)
        assert_allclose(peak_growth(run), (rho**k * (1 + (1 + rho) * k)).max(), rtol=1e-8)
        if kappa == 100:
            assert_allclose(peak_growth(run), 3.7, atol=0.05)
        slow = hb.iterate(method, hb.Quadratic([1.0, kappa]), [1.0, 0.0], 100)
        assert_allclose(peak_growth(slow), 1.0)

    def test_is_bounded_by_the_powers_of_the_matrix(self):
        method = hb.tune(hb.HeavyBall, 1.0, 100.0)
        loop = hb.state_matrices(method).loop(np.array([100.0]))[0]
        # From rest only the first column of the powers is seen.
        powers = [np.linalg.matrix_power(loop, k)[0, 0] for k in range(60)]
        run = hb.iterate(method, hb.Quadratic([100.0]), [0.3], 59)
        assert_allclose(peak_growth(run), np.abs(powers).max(), rtol=1e-9)

    def test_ends(self):
        run = hb.iterate(hb.GradientDescent(np.array([0.5, 2.5])), PARABOLA, [3.0], 3000)
        assert_array_equal(peak_growth(run), [1.0, np.inf])
        assert np.isnan(peak_growth(run, [3.0])[0])
        moved = hb.iterate(hb.GradientDescent(0.5), hb.Quadratic([1.0], linear=[-2.0]), [3.0], 30)
        assert_allclose(peak_growth(moved, [2.0]), 1.0)


def test_two_gradients_a_step_travel_two_edges():
    run = hb.iterate(Extragradient(0.1, 0.5), hb.PathColoring(9), np.zeros(9), 6)
    assert_array_equal(arrival(run), [1, 1, 2, 2, 3, 3, 4, 4, 5])


class TestShapes:
    run = hb.iterate(hb.GradientDescent(np.array([0.1, 0.2, 0.3])), hb.Quadratic([1.0, 2.0]), [1.0, 1.0], 5)

    def test_one_minimizer(self):
        """An array (time, dim) would be one for each time."""
        several = np.zeros((6, 2))
        for measure in (lambda: peak_growth(self.run, several),
                        lambda: first_below(self.run, 0.1, "distance", minimizer=several)):  # fmt: skip
            with pytest.raises(ValueError, match=r"`minimizer` must be one point, of shape \(2,\). .* \(6, 2\)"):
                measure()

    def test_tolerance(self):
        assert first_below(self.run, [0.1, 0.2, 0.3]).shape == (3,)
        with pytest.raises(ValueError, match=r"`tolerance` must .* axes of the run, \(3,\). Received shape \(2,\)"):
            first_below(self.run, [0.1, 0.2])
