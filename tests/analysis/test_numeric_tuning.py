"""The search for the best hyperparameters against every closed form, against lower bounds, and against dense grids."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from user_rules import Averaged, Extragradient, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.numeric_tuning import plan, search_numerically
from heavyball_dynamics.analysis.tuning import tune
from heavyball_dynamics.analysis.worst_rates import worst_rate

KAPPA = [1.0, 2.0, 10.0, 100.0, 1e4]


def gap(kind, kappa):
    """1 - ρ in closed form."""
    return {
        hb.GradientDescent: 2 / (kappa + 1),
        hb.HeavyBall: 2 / (np.sqrt(kappa) + 1),
        hb.Nesterov: 2 / np.sqrt(3 * kappa + 1),
    }[kind]


@pytest.mark.parametrize("kappa", KAPPA)
@pytest.mark.parametrize("kind", [hb.GradientDescent, hb.HeavyBall, hb.Nesterov])
def test_closed_forms(kind, kappa):
    smallest = 0.37
    found = tune(kind, smallest, kappa * smallest, variant="numeric")
    assert type(found) is kind
    # A double pole is known to the root of rounding: √ε/(1-ρ) at most.
    assert_allclose(1 - worst_rate(found, smallest, kappa * smallest), gap(kind, kappa), rtol=1e-5)
    closed = tune(kind, smallest, kappa * smallest)
    if kappa > 1:
        assert_allclose(found.lr, closed.lr, rtol=1e-5)
        if kind is not hb.GradientDescent:
            assert_allclose(found.momentum, closed.momentum, rtol=1e-5)


def test_one_curvature_is_solved_in_one_or_two_steps():
    for kind in (hb.GradientDescent, hb.HeavyBall, hb.Nesterov):
        found = tune(kind, 5.0, 5.0, variant="numeric")
        assert worst_rate(found, 5.0, 5.0) < 1e-6
        assert found.lr == pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize("kappa", [10.0, 1e4])
@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (hb.TripleMomentum, {"query_lead": (0, 1)}),
        (hb.QuasiHyperbolicMomentum, {"discount": (0, 1.5)}),
        (hb.PIDMomentum, {"derivative": (-1, 1)}),
        (hb.DampenedHeavyBall, {"dampening": (0, 0.9)}),
        (Averaged, {"keep": (0, 0.9999)}),
        (TwoMomenta, {"quick": (0, 0.9999), "long": (0, 0.9999)}),
    ],
)
def test_families_that_hold_the_heavy_ball_do_no_better(kind, parameters, kappa):
    """With one gradient a step the heavy ball's rate cannot be beaten on quadratics (Nesterov 2004, theorem 2.1.13)."""
    found = tune(kind, 2.0, 2.0 * kappa, parameters=parameters)
    assert_allclose(1 - worst_rate(found, 2.0, 2.0 * kappa), gap(hb.HeavyBall, kappa), rtol=1e-4)


@pytest.mark.parametrize("kappa", [10.0, 100.0])
def test_extragradient_beats_gradient_descent_by_less_than_two_gradients(kappa):
    found = tune(Extragradient, 1.0, kappa)
    here = 1 - worst_rate(found, 1.0, kappa)
    # Its two gradients a step may at best do what two steps of the heavy ball do.
    rho = 1 - gap(hb.HeavyBall, kappa)
    assert gap(hb.GradientDescent, kappa) < here < 1 - rho**2
    # lr = 1/(3·largest + …): the dense grid around it holds nothing better.
    lr = found.lr * np.linspace(0.9, 1.1, 81)[:, None]
    momentum = np.clip(found.momentum + np.linspace(-0.05, 0.05, 81), 0, 0.9999)
    grid = hb.analyze_modes(Extragradient(lr, momentum), np.geomspace(1, kappa, 101)).rate.max(axis=-1)
    assert grid.min() >= 1 - here - 1e-9


def test_two_point_forms_with_a_given_lead():
    """Van Scoy's numbers are for all losses; on quadratics alone another tuning with the same lead is faster."""
    kappa = 100.0
    general = hb.tune(hb.TripleMomentum, 1.0, kappa)
    special = tune(hb.TripleMomentum, 1.0, kappa, fixed={"query_lead": general.query_lead})
    rates = [worst_rate(method, 1.0, kappa) for method in (general, special)]
    assert rates[0] == pytest.approx(1 - 1 / np.sqrt(kappa), abs=1e-7)
    assert 1 - gap(hb.HeavyBall, kappa) < rates[1] < rates[0]
    free = tune(hb.TripleMomentum, 1.0, kappa, variant="numeric")  # query_lead keeps its default 0: the heavy ball
    assert_allclose(1 - worst_rate(free, 1.0, kappa), gap(hb.HeavyBall, kappa), rtol=1e-6)


@pytest.mark.parametrize("discount", [0.3, 0.7])
def test_quasi_hyperbolic_against_a_dense_grid(discount):
    kappa = 30.0
    found = tune(hb.QuasiHyperbolicMomentum, 1.0, kappa, fixed={"discount": discount})
    rate = worst_rate(found, 1.0, kappa)
    lr, momentum = np.linspace(0.2, 5, 201)[:, None] / kappa, np.linspace(0, 0.98, 99)
    grid = hb.analyze_modes(hb.QuasiHyperbolicMomentum(lr, momentum, discount), np.geomspace(1, kappa, 81)).rate
    coarse = grid.max(axis=-1).min()
    assert rate <= coarse < rate + 0.02


class Slow(NamedTuple):
    position: Any
    fast: Any
    slow: Any


@dataclass(frozen=True)
class Filtered:
    """Three states: the heavy ball with gradients that pass through a first-order filter."""

    lr: Any
    momentum: Any
    keep: Any = 0.0

    def init(self, position, velocity, objective):
        return Slow(position, velocity, 0 * position)

    def step(self, k, state, objective):
        slow = self.keep * state.slow + (1 - self.keep) * objective.gradient(state.position)
        fast = self.momentum * state.fast - self.lr * slow
        return Slow(state.position + fast, fast, slow)


def test_three_states():
    """Without the filter it is the heavy ball with a dead state; with it no better, and with much of it worse."""
    for kappa in (10.0, 300.0):
        free = tune(Filtered, 1.0, kappa, parameters={"keep": (0.0, 0.95)})
        assert_allclose(1 - worst_rate(free, 1.0, kappa), gap(hb.HeavyBall, kappa), rtol=1e-4)
        much = tune(Filtered, 1.0, kappa, fixed={"keep": 0.9})
        assert worst_rate(much, 1.0, kappa) > worst_rate(free, 1.0, kappa) + 1e-3


def test_aggregated_momentum():
    """Structure, such as a tuple of momenta, is fixed; the learning rate is then the only unknown."""
    found = tune(hb.AggregatedMomentum, 1.0, 50.0, fixed={"momenta": (0.0, 0.9, 0.99)})
    assert found.momenta == (0.0, 0.9, 0.99)
    grid = replace(found, lr=found.lr * np.geomspace(0.2, 5, 4001))
    best = hb.analyze_modes(grid, np.geomspace(1, 50, 60)).rate.max(axis=-1).min()
    assert worst_rate(found, 1.0, 50.0) <= best + 1e-9


def test_refining_the_grid_does_not_change_the_answer(monkeypatch):
    module = search_numerically.__globals__
    usual = {kind: tune(kind, 1.0, 64.0, variant="numeric") for kind in (hb.HeavyBall, hb.Nesterov, hb.TripleMomentum)}
    monkeypatch.setitem(module, "_COARSE", 7)
    coarse = {kind: tune(kind, 1.0, 64.0, variant="numeric") for kind in usual}
    monkeypatch.setitem(module, "_COARSE", 400)
    monkeypatch.setitem(module, "_FINE", 4001)
    for kind, method in usual.items():
        fine = tune(kind, 1.0, 64.0, variant="numeric")
        rates = [worst_rate(each, 1.0, 64.0) for each in (method, coarse[kind], fine)]
        assert np.ptp(rates) < 1e-6


def test_a_maximum_between_the_ends_is_found():
    """A rule whose slowest mode is inside: the step is lr·(1 + bump), with a resonance the grid does not hold."""

    @dataclass(frozen=True)
    class Resonant:
        lr: Any

        def init(self, position, velocity, objective):
            return hb.PhaseState(position, velocity)

        def step(self, k, state, objective):
            velocity = 0.5 * state.velocity - self.lr * objective.gradient(state.position + 2.0 * state.velocity)
            return hb.PhaseState(state.position + velocity, velocity)

    method = Resonant(0.2)
    grid = np.linspace(1, 4, 300_001)
    dense = hb.analyze_modes(method, grid).rate.max()
    assert worst_rate(method, 1.0, 4.0) == pytest.approx(dense, abs=1e-10)
    tuned = tune(Resonant, 1.0, 4.0)
    lrs = tuned.lr * np.linspace(0.5, 1.5, 2001)
    best = hb.analyze_modes(Resonant(lrs), np.linspace(1, 4, 801)).rate.max(axis=-1).min()
    assert worst_rate(tuned, 1.0, 4.0) <= best + 1e-6


def test_given_curvatures_are_all_that_counts():
    """Two curvatures: gradient descent's optimum is that of the interval, the heavy ball's too; one in between not."""
    ends = tune(hb.HeavyBall, 1.0, 100.0, curvatures=[1.0, 100.0])
    assert_allclose(hb.analyze_modes(ends, [1.0, 100.0]).rate.max(), 9 / 11, atol=1e-6)
    two = tune(hb.GradientDescent, 1.0, 100.0, curvatures=[10.0, 30.0])
    assert two.lr == pytest.approx(2 / 40)
    # Extragradient has 1 - q + q²: over a whole interval its parabola's valley counts for nothing.
    alone = tune(Extragradient, 1.0, 100.0, curvatures=[4.0], fixed={"momentum": 0.0})
    assert hb.analyze_modes(alone, [4.0]).rate[0] == pytest.approx(0.75, abs=1e-7)


def test_batches_and_bounds():
    found = tune(hb.HeavyBall, 1.0, np.array([[4.0, 9.0]]), variant="numeric")
    closed = hb.tune(hb.HeavyBall, 1.0, np.array([[4.0, 9.0]]))
    assert found.lr.shape == (1, 2)
    assert_allclose(found.lr, closed.lr, rtol=1e-5)
    assert_allclose(found.momentum, closed.momentum, rtol=1e-5)
    # At a bound: with β <= 0.1 the best is at 0.1.
    held = tune(hb.HeavyBall, 1.0, 100.0, parameters={"momentum": (0.0, 0.1)})
    assert held.momentum == pytest.approx(0.1)
    # At a given lr the best β is max (1 - √(ηλ))².
    given = tune(hb.HeavyBall, 0.3, 40.0, fixed={"lr": 0.01})
    assert given.lr == 0.01
    assert given.momentum == pytest.approx((1 - np.sqrt(0.003)) ** 2, abs=1e-6)


def test_it_is_the_same_each_time():
    assert tune(Extragradient, 1.0, 7.0) == tune(Extragradient, 1.0, 7.0)


class TestWorstRate:
    def test_closed_forms(self):
        kappa = np.array([1.0, 3.0, 50.0])
        for kind in (hb.GradientDescent, hb.HeavyBall, hb.Nesterov):
            found = worst_rate(hb.tune(kind, 2.0, 2 * kappa), 2.0, 2 * kappa)
            assert found.shape == (3,)
            assert_allclose(found, 1 - gap(kind, kappa), atol=1e-7)

    def test_batch_is_its_elements(self):
        method = hb.Nesterov(np.array([0.1, 0.2])[:, None], np.array([0.3, 0.6, 0.9]))
        largest = np.array([3.0, 5.0, 9.0])
        whole = worst_rate(method, 1.0, largest)
        for i, j in np.ndindex(2, 3):
            one = worst_rate(hb.Nesterov(method.lr[i, 0], method.momentum[j]), 1.0, largest[j])
            assert isinstance(one, float)
            assert_allclose(whole[i, j], one, rtol=1e-12)

    def test_divergent(self):
        assert worst_rate(hb.GradientDescent(1.0), 1.0, 5.0) == pytest.approx(4.0)

    def test_errors(self):
        with pytest.raises(ValueError, match="`smallest` must be > 0. Received 0.0"):
            worst_rate(hb.GradientDescent(0.1), 0.0, 1.0)
        with pytest.raises(ValueError, match="`largest` must be >= smallest. Received 1.0"):
            worst_rate(hb.GradientDescent(0.1), 2.0, 1.0)
        with pytest.raises(ValueError, match="batch axes of GradientDescent must broadcast"):
            worst_rate(hb.GradientDescent(np.ones(2)), np.ones(3), 1.0)
        with pytest.raises(TypeError, match="`method` must be a method"):
            worst_rate(hb.HeavyBallFlow(), 1.0, 2.0)
        with pytest.raises(ValueError, match="RMSProp is not linear"):
            worst_rate(hb.RMSProp(0.1), 1.0, 2.0)
        with pytest.raises(ValueError, match="Adam is not linear"):
            worst_rate(hb.Adam(0.1), 1.0, 2.0)
        method = hb.HeavyBall(0.1, hb.GrowingMomentum(0.9, 3))
        with pytest.raises(ValueError, match=r"HeavyBall varies in time. .* hb.at_step\(method, k\)"):
            worst_rate(method, 1.0, 2.0)
        assert worst_rate(hb.at_step(method, 100), 1.0, 2.0) == worst_rate(hb.HeavyBall(0.1, 0.9), 1.0, 2.0)


class TestErrors:
    def test_types(self):
        for bad in (hb.HeavyBall(0.1, 0.5), "heavy ball", [], int):
            with pytest.raises(TypeError, match="`method_type` must be a dataclass of a method, such as HeavyBall"):
                tune(bad, 1, 2)
        with pytest.raises(TypeError, match="must be a method, in discrete time. Received HeavyBallFlow"):
            tune(hb.HeavyBallFlow, 1, 2)

    def test_nonlinear_and_varying(self):
        with pytest.raises(ValueError, match=r"`method_type` must be linear .* RMSProp is not linear"):
            tune(hb.RMSProp, 1.0, 2.0)
        with pytest.raises(ValueError, match="OptimizedGradient varies in time"):
            tune(hb.OptimizedGradient, 1.0, 2.0, fixed={"steps": 5})
        with pytest.raises(ValueError, match=r"tuned on a spectrum; hb.race tunes any rule on a loss. Adam is not lin"):
            tune(hb.Adam, 1.0, 2.0)
        with pytest.raises(ValueError, match=r"HeavyBall varies in time. .* hb.at_step\(method, k\)"):
            tune(hb.HeavyBall, 1.0, 2.0, fixed={"momentum": hb.Schedule([0.1, 0.2])})

    @pytest.mark.parametrize("momentum", [np.array([0.5, 0.9]), [0.5, 0.9], hb.Schedule([[0.5], [0.9]])])
    def test_fixed_batches(self, momentum):
        with pytest.raises(ValueError, match="`fixed` must hold one value a field, not a batch. Received .*momentum"):
            tune(hb.HeavyBall, 1.0, 100.0, fixed={"momentum": momentum})

    def test_fields(self):
        with pytest.raises(ValueError, match=r"bounds for every field of TwoMomenta .* none for 'quick'"):
            tune(TwoMomenta, 1.0, 2.0)
        with pytest.raises(ValueError, match=r"`parameters` must name fields of HeavyBall: .* Received 'beta'"):
            tune(hb.HeavyBall, 1.0, 2.0, parameters={"beta": (0, 1)})
        with pytest.raises(ValueError, match=r"`fixed` must name fields of HeavyBall: lr, momentum. Received 'beta'"):
            tune(hb.HeavyBall, 1.0, 2.0, fixed={"beta": 1})
        with pytest.raises(ValueError, match="`fixed` must not hold what is searched. Received 'lr'"):
            tune(hb.HeavyBall, 1.0, 2.0, fixed={"lr": 1}, parameters={"lr": (0, 1)})
        with pytest.raises(ValueError, match="at least one field of GradientDescent to search over"):
            tune(hb.GradientDescent, 1.0, 2.0, fixed={"lr": 0.1})
        with pytest.raises(ValueError, match="bounds for every field of RobustMomentum"):
            tune(hb.RobustMomentum, 1.0, 2.0)

    @pytest.mark.parametrize("bounds", [(1.0, 0.5), (0.5, 0.5), 0.5, (0.0, 1.0, 2.0)])
    def test_bounds(self, bounds):
        with pytest.raises(ValueError, match=r"`parameters\['momentum'\]` must be bounds \(low, high\) with low <"):
            tune(hb.HeavyBall, 1.0, 2.0, parameters={"momentum": bounds})

    def test_other_bounds(self):
        with pytest.raises(ValueError, match=r"`parameters\['lr'\]` must have bounds >= 0"):
            tune(hb.HeavyBall, 1.0, 2.0, parameters={"lr": (-1.0, 1.0)})
        with pytest.raises(ValueError, match=r"`parameters\['lr'\]` must be finite"):
            tune(hb.HeavyBall, 1.0, 2.0, parameters={"lr": (0.0, np.inf)})

    def test_spectrum(self):
        with pytest.raises(ValueError, match="`smallest` must be > 0"):
            tune(Extragradient, 0.0, 2.0)
        with pytest.raises(ValueError, match=r"`curvatures` must be between smallest and largest. Received 3.0 at"):
            tune(hb.HeavyBall, 1.0, 2.0, curvatures=[1.0, 3.0])
        with pytest.raises(ValueError, match="`curvatures` must hold at least one curvature"):
            tune(hb.HeavyBall, 1.0, 2.0, curvatures=[])

    def test_variant(self):
        with pytest.raises(ValueError, match="`variant` must be one of 'tuned', 'numeric'. Received 'best'"):
            tune(Extragradient, 1.0, 2.0, variant="best")
        with pytest.raises(ValueError, match='`variant` must be "tuned" or "numeric" for a search'):
            tune(hb.Nesterov, 1.0, 2.0, variant="standard", fixed={"momentum": 0.5})


def test_plan_scales_with_the_largest_curvature():
    search = plan(hb.HeavyBall, 50.0, None, None)
    assert search.bounds == {"lr": (2e-6, 200.0), "momentum": (0.0, 1.0 - 1e-9)}
    found = search.method(np.array([[0.0, np.log(2)], [0.5, 0.6]]))
    assert_allclose(found.lr, [1.0, 2.0])
    assert_allclose(found.momentum, [0.5, 0.6])
