"""Races: the search against known optima, the criterion against hand-made curves, and the runs against `iterate`."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged

import heavyball_dynamics as hb
from heavyball_dynamics.studies._best_settings import Course, Settings, best_settings, needed_steps
from heavyball_dynamics.studies.races import Race, race

CANYON, START = hb.canyon(), [0.5, 10.0]


@pytest.fixture(scope="module")
def family():
    return race(None, CANYON, START, 120)


class TestNeededSteps:
    def test_hand_made_curves(self):
        curves = np.array([
            [1.0, 0.1, 0.01, 0.001, 0.0001, 1e-5],  # crosses 1e-2.5 between steps 2 and 3
            [1.0, 1e-4, 1.0, 1e-4, 1e-4, 1e-4],  # comes back once
            [1.0, 1.0, 1.0, 1.0, 1.0, 1e-9],  # only at the end
            [1.0, np.nan, np.nan, np.nan, np.nan, np.nan],
            [1e-9, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9],
        ])  # fmt: skip
        found = needed_steps(curves, 10**-2.5, 4)
        assert_allclose(found[:2], [2.5, 2 + 2.5 / 4])
        assert_array_equal(np.ceil(found), [3, 3, np.inf, np.inf, 0])
        far = needed_steps(curves, 10**-2.5, 4, far=True)
        assert_allclose(far[:2], found[:2])
        # What is missing counts: the third curve is above the tolerance after the last step, by 2.5 powers of ten.
        assert far[2] == pytest.approx(6 + 2.5)
        assert far[3] > 1000

    @given(rate=st.floats(0.05, 0.9), tolerance=st.floats(1e-8, 0.5))
    def test_geometric(self, rate, tolerance):
        curve = rate ** np.arange(400.0)
        wanted = np.log(tolerance) / np.log(rate)
        found = needed_steps(np.maximum(curve, 1e-300), tolerance, 399)
        if wanted < 399:
            assert_allclose(found, wanted, rtol=1e-9)


class TestBest:
    def test_gradient_descent(self):
        """On one curvature the best step is its inverse: one step."""
        found = race([hb.GradientDescent], hb.Quadratic([4.0]), [3.0], 10)
        assert found.methods[0].lr == pytest.approx(0.25, rel=1e-3)
        assert found.steps_needed[0] == 1

    def test_gradient_descent_on_two_curvatures(self):
        """From equal excesses in both modes the minimax 2/(L+μ) is best for long races, rate (κ-1)/(κ+1)."""
        loss = hb.Quadratic([1.0, 9.0])
        found = race([hb.GradientDescent], loss, [1.0, 1 / 3], 300, tolerance=1e-14)
        assert found.methods[0].lr == pytest.approx(0.2, rel=1e-2)
        wanted = np.log(1e-14) / np.log(0.8**2)
        assert abs(found.steps_needed[0] - wanted) < 2.5

    def test_the_ball_is_not_slower_than_its_tuning(self, family):
        """The minimax tuning is for the worst start and long runs; on this start the search does at least as well."""
        tuned = hb.tune(hb.HeavyBall, 1.0, 100.0)
        run = hb.iterate(tuned, CANYON, START, 120)
        share = run.value / run.value[0]
        index = family.labels.index("heavy ball")
        assert family.steps_needed[index] <= needed_steps(share[None], 1e-6, 119)[0]

    def test_no_random_setting_is_much_better(self, rng):
        loss = hb.rosenbrock()
        found = race([hb.HeavyBall], loss, [-1.2, 1.0], 250)
        lr, beta = 10 ** rng.uniform(-4, -1.5, 4000), 1 - 10 ** rng.uniform(-2, 0, 4000)
        course = Course(loss, np.array([-1.2, 1.0]), 250, 0.0, 1e-6, 10.0)
        scores = course.scores(hb.HeavyBall(lr, beta))
        assert found.steps_needed[0] <= 1.1 * scores.min() + 1

    def test_wider_families_do_at_least_about_as_well(self, family):
        needed = dict(zip(family.labels, family.steps_needed, strict=True))
        assert needed["triple momentum"] <= needed["heavy ball"] + 1
        assert needed["triple momentum"] <= needed["Nesterov"] + 1
        assert needed["quasi-hyperbolic"] <= needed["heavy ball"] + 1
        assert needed["heavy ball"] < needed["gradient descent"]

    def test_a_run_may_not_rise_above_the_ceiling(self):
        free = race([hb.AdaGrad], CANYON, START, 60, ceiling=1e12)
        held = race([hb.AdaGrad], CANYON, START, 60, ceiling=10.0)
        assert free.excess[0].max() > 100 * free.excess[0, 0]
        assert held.excess[0].max() <= 10 * held.excess[0, 0]
        assert free.steps_needed[0] < held.steps_needed[0]

    def test_settings_that_only_pass_through_have_not_arrived(self):
        """Watched for half as many steps again."""
        found = race([hb.OptimizedGradient(1.0, 60)], CANYON, START, 40)
        run = hb.iterate(found.methods[0], CANYON, START, 60)
        inside = run.value <= 1e-6 * run.value[0]
        assert np.isinf(found.steps_needed[0]) or inside[int(found.steps_needed[0]) :].all()


class TestResult:
    def test_the_family(self, family):
        assert family.labels == (
            "gradient descent", "heavy ball", "Nesterov", "triple momentum", "quasi-hyperbolic", "aggregated",
            "optimized gradient", "RMSProp", "AdaGrad", "AdaDelta", "Adam", "NAdam",
        )  # fmt: skip
        assert family.position.shape == (12, 121, 2)
        assert family.value.shape == family.excess.shape == (12, 121)
        assert np.all(family.tried > 200)
        assert_array_equal(np.sort(family.ranking), np.arange(12))
        ranked = family.steps_needed[family.ranking]
        assert np.all(ranked[:-1] <= ranked[1:])

    def test_it_is_what_iterate_does(self, family):
        for i, method in enumerate(family.methods):
            run = hb.iterate(method, CANYON, START, 120)
            assert_array_equal(run.value, family.value[i])
            share = family.value[i] / family.value[i, 0]
            if np.isfinite(family.steps_needed[i]):
                needed = int(family.steps_needed[i])
                assert np.all(share[needed:] <= 1e-6)
                assert share[needed - 1] > 1e-6
        assert_array_equal(family.excess, family.value)

    def test_said(self, family):
        text = str(family)
        assert text.startswith("each at its own best of the settings tried")
        assert text.count("tried)") == 12
        for label in family.labels:
            assert label in text
        assert "lr=" in family.settings(0)
        assert isinstance(pickle.loads(pickle.dumps(family)), Race)

    def test_same_each_time(self):
        one, two = (race([hb.HeavyBall], CANYON, START, 50) for _ in range(2))
        assert one.methods == two.methods

    def test_window_holds_the_paths(self, family):
        best = family.position[family.ranking[:6]].reshape(-1, 2)
        for axis, grid in enumerate((family.contours.x, family.contours.y)):
            assert grid[0] < best[:, axis].min()
            assert best[:, axis].max() < grid[-1]

    def test_other_dimensions_and_losses_without_minimizer(self):
        found = race([hb.HeavyBall], hb.Quadratic([1.0, 2.0, 3.0]), [1.0, 1.0, 1.0], 40)
        assert found.contours is None
        loss = hb.Objective(lambda x: np.sum(x**4, axis=-1), lambda x: 4 * x**3, dim=1)
        assert np.isfinite(race([hb.Nesterov], loss, [1.0], 60, lowest=0.0, tolerance=1e-3).steps_needed[0])


@dataclass(frozen=True)
class Fixed:
    """A rule without any field that is searched."""

    size: Any = 0.1

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        return hb.PositionState(state.position - self.size * objective.gradient(state.position))


class TestMethods:
    def test_instances_and_own_rules(self):
        found = race(
            {"own": Fixed(), "average": Averaged(1.0, 0.5), "searched": Averaged}, hb.Quadratic([1.0, 5.0]),
            [1.0, 1.0], 80, ranges={"keep": (0.0, 0.9)},
        )  # fmt: skip
        assert found.searched == ((), ("lr", "keep"), ("lr", "keep"))
        assert found.methods[0] == Fixed()
        assert found.tried[0] == 0
        assert "as given" in str(found)
        assert found.methods[1] == found.methods[2]

    def test_ranges(self):
        found = race([hb.HeavyBall], CANYON, START, 60, ranges={"momentum": (0.0, 0.3), "lr": (1e-3, 1e-1)})
        assert 0.0 <= found.methods[0].momentum <= 0.3 + 1e-12
        assert 1e-3 <= found.methods[0].lr <= 0.1

    def test_best_settings_alone(self):
        settings = Settings.of("ball", hb.HeavyBall(1.0, 0.5), None)
        course = Course(CANYON, np.array(START), 100, 0.0, 1e-6, 10.0)
        method, tried = best_settings(settings, course)
        assert isinstance(method.lr, float)
        assert tried == 73 * 12 + 4 * 3 * 49


class TestErrors:
    def test_methods(self):
        with pytest.raises(ValueError, match="`methods` must name at least one method"):
            race([], CANYON, START, 10)
        with pytest.raises(TypeError, match="`methods` must be a mapping or a sequence"):
            race("heavy ball", CANYON, START, 10)
        with pytest.raises(TypeError, match=r"`methods\['str'\]` must be a dataclass of a method"):
            race(["heavy ball"], CANYON, START, 10)
        with pytest.raises(TypeError, match=r"`methods\['flow'\]` must be a dataclass of a method"):
            race({"flow": hb.HeavyBallFlow()}, CANYON, START, 10)
        with pytest.raises(ValueError, match="different names. Received two of HeavyBall"):
            race([hb.HeavyBall, hb.HeavyBall(1.0, 0.5)], CANYON, START, 10)
        with pytest.raises(TypeError, match="AggregatedMomentum needs 'momenta'"):
            race([hb.AggregatedMomentum], CANYON, START, 10)

    def test_start(self):
        with pytest.raises(ValueError, match="`position` must be one where the loss is above its lowest value"):
            race(None, CANYON, [0.0, 0.0], 10)
        with pytest.raises(ValueError, match="`position` must be one point"):
            race(None, CANYON, [START], 10)
        with pytest.raises(ValueError, match=r"`position` must have shape \(\*batch, 2\)"):
            race(None, CANYON, [1.0], 10)

    def test_lowest(self):
        loss = hb.Objective(lambda x: np.sum(x**4, axis=-1), lambda x: 4 * x**3, dim=1)
        with pytest.raises(ValueError, match="`lowest` must be given for a loss that knows no minimizer"):
            race([hb.Nesterov], loss, [1.0], 60)

    @pytest.mark.parametrize("bounds", [(1.0, 0.5), 0.5, (0.1, 0.2, 0.3)])
    def test_ranges(self, bounds):
        with pytest.raises(ValueError, match=r"`ranges\['lr'\]` must be bounds \(low, high\) with low < high"):
            race([hb.HeavyBall], CANYON, START, 10, ranges={"lr": bounds})

    def test_other_ranges(self):
        with pytest.raises(ValueError, match=r"`ranges\['lr'\]` must be > 0. Received 0.0 at index \(0,\)"):
            race([hb.HeavyBall], CANYON, START, 10, ranges={"lr": (0.0, 1.0)})
        with pytest.raises(ValueError, match=r"`ranges\['momentum'\]` must be < 1. Received 1.0"):
            race([hb.HeavyBall], CANYON, START, 10, ranges={"momentum": (0.0, 1.0)})

    def test_numbers(self):
        with pytest.raises(ValueError, match="`tolerance` must be between 0 and 1"):
            race(None, CANYON, START, 10, tolerance=1.0)
        with pytest.raises(ValueError, match="`ceiling` must be >= 1"):
            race(None, CANYON, START, 10, ceiling=0.5)
        with pytest.raises(ValueError, match="`steps` must be a whole number >= 1"):
            race(None, CANYON, START, 0)

    def test_names_in_ranges(self):
        with pytest.raises(ValueError, match="`ranges` must name fields of the methods. Received 'lrr', .* heavy ball"):
            race([hb.HeavyBall, hb.Nesterov], CANYON, START, 10, ranges={"lrr": (0.1, 1.0)})

    @pytest.mark.parametrize("decay", [np.array([0.0, 0.1]), hb.Schedule([[0.0, 0.1], [0.1, 0.2]])])
    def test_batches(self, decay):
        method = hb.HeavyBall(0.1, decay)
        with pytest.raises(ValueError, match=r"`methods\['ball'\]` must have scalar hyperparameters"):
            race({"ball": method}, CANYON, START, 10)
