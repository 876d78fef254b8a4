"""The report: numbers against independent formulas, and words against numbers."""

import json
import pickle

import numpy as np
import pytest

import heavyball_dynamics as hb


def test_columns_against_formulas():
    report = hb.report(hb.HeavyBall(0.1, 0.81), [0.05, 0.1, 1.0, 36.15])
    columns = report.columns()
    np.testing.assert_array_equal(columns["curvature"], [36.15, 1.0, 0.1, 0.05])
    np.testing.assert_allclose(columns["lr_times_curvature"], [3.615, 0.1, 0.01, 0.005])
    assert columns["method_class"] == ["alternating", "underdamped", "critically damped", "overdamped"]
    np.testing.assert_allclose(columns["distance_to_limit"], 3.62 / columns["lr_times_curvature"], rtol=1e-12)
    q = columns["lr_times_curvature"]
    largest = [np.abs(np.roots([1, -(1.81 - x), 0.81])).max() for x in q]
    np.testing.assert_allclose(columns["rate"], largest, rtol=1e-7)
    np.testing.assert_allclose(columns["steps_to_tolerance"], np.log(1e-6) / np.log(largest), rtol=1e-6)


def test_directions_diagonalize():
    loss = hb.Quadratic([[3.0, 1.0], [1.0, 2.0]])
    report = hb.report(hb.HeavyBall(0.1, 0.5), loss)
    product = report.directions.T @ loss.hessian([0.0, 0.0]) @ report.directions
    np.testing.assert_allclose(product, np.diag(report.curvature), atol=1e-14)


@pytest.mark.parametrize("rule", list(hb.RULES))
def test_physical_reading_follows_the_rule(rule):
    report = hb.report(hb.Nesterov(0.1, 0.5), [1.0], rule=rule, dt=0.25)
    assert report.physical == hb.to_physical(hb.Nesterov(0.1, 0.5), dt=0.25, rule=rule)
    assert "look-ahead" in report.summary()


def test_alternating_disagrees_with_the_flow_in_words():
    report = hb.report(hb.HeavyBall(1.0, 0.25), [2.4, 1.0, 0.01])
    assert any("Mode 1" in s and "alternating" in s and "sign flips" in s for s in report.disagreements)
    assert not any("Mode 3: the flow calls" in s for s in report.disagreements)


def test_agreement_is_said_too():
    report = hb.report(hb.HeavyBall(1e-4, 0.99), [1.0, 0.1])
    assert len(report.disagreements) == 1
    assert "agree on the class of every mode" in report.disagreements[0]


def test_explicit_reading_disagrees_near_critical():
    """The explicit reading calls a mode overdamped iff q < (1-β)²/4, the iteration iff q < (1-√β)²."""
    q = 0.5 * ((1 - 0.5) ** 2 / 4 + (1 - np.sqrt(0.5)) ** 2)
    report = hb.report(hb.HeavyBall(q, 0.5), [1.0], rule="explicit")
    assert report.columns()["flow_class"] == ["underdamped"]
    assert report.columns()["method_class"] == ["overdamped"]
    assert "explicit reading" in report.disagreements[0]


def test_verdict_names_the_bottleneck_and_the_gain():
    report = hb.report(hb.HeavyBall(0.01, 0.5), [1.0, 100.0])
    assert "bottleneck is mode 2 (curvature 1)" in report.verdict
    best = hb.tune(hb.HeavyBall, 1.0, 100.0)
    assert f"lr={best.lr:.4g} and momentum={best.momentum:.4g}" in report.verdict
    assert "times fewer" in report.verdict


def test_verdict_speaks_the_users_dialect():
    ema = hb.report(hb.from_dialect("ema", lr=0.1, momentum=0.9), [1.0, 100.0], dialect="ema")
    best = hb.to_dialect(hb.tune(hb.HeavyBall, 1.0, 100.0), "ema")
    assert f"lr={best['lr']:.4g}" in ema.verdict
    assert ema.settings["lr"] == pytest.approx(0.1, rel=1e-14)


def test_verdict_on_the_optimum_on_saddles_on_flats_and_on_divergence():
    assert "optimal already" in hb.report(hb.tune(hb.HeavyBall, 1.0, 100.0), [1.0, 100.0]).verdict
    assert "negative curvature" in hb.report(hb.HeavyBall(0.1, 0.5), hb.saddle()).verdict
    assert "Every direction is flat" in hb.report(hb.HeavyBall(0.1, 0.5), [0.0, 0.0]).verdict
    assert "mode 2: flat" in hb.report(hb.HeavyBall(0.1, 0.5), [0.0, 1.0]).verdict
    divergent = hb.report(hb.HeavyBall(1.0, 0.5), [10.0])
    assert divergent.diverges
    assert "lr must stay below 0.3" in divergent.verdict


def test_one_step_to_the_minimum_is_said_without_infinities():
    """With momentum 0 and lr = 1/curvature the first step ends the run."""
    slow = hb.report(hb.HeavyBall(0.1, 0.9), [1.0])
    assert "would bring the mode to the minimum in one step, 262 times fewer" in slow.verdict
    best = hb.report(hb.HeavyBall(1.0, 0.0), [1.0])
    assert "is at the minimum after one step" in best.verdict
    assert "optimal already" in best.verdict
    descent = hb.report(hb.HeavyBall(0.1, 0.0), [1.0, 10.0, 100.0])
    assert any("against ∞ for mode 3" in sentence for sentence in descent.disagreements)
    assert "inf" not in " ".join([slow.verdict, best.verdict, *descent.disagreements])


def test_dampened_method_reports_the_effective_rate():
    report = hb.report(hb.DampenedHeavyBall(0.2, 0.5, 0.5), [1.0])
    assert report.method == hb.HeavyBall(0.1, 0.5)
    assert report.settings["dampening"] == 0.5


def test_dictionary_is_strict_json_and_pickles():
    report = hb.report(hb.HeavyBall(0.1, 1.0), [0.0, 1.0, 50.0])
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["modes"][0]["half_life"] is None
    again = pickle.loads(pickle.dumps(report))
    assert again.verdict == report.verdict


def test_many_modes_are_shortened_on_the_terminal_only():
    report = hb.report(hb.HeavyBall(0.01, 0.9), np.geomspace(1e-3, 1.0, 200))
    assert len(report.columns()["rate"]) == 200
    assert len(report.summary().splitlines()) < 60


def test_phase_plane_shows_the_run():
    """Iterates against a literal loop, orbit against the matched start."""
    found = hb.mode_portrait(hb.HeavyBall(0.1, 0.81), 1.0)
    dt = hb.to_physical(hb.HeavyBall(0.1, 0.81)).dt
    x = [1.0, 1.0]
    for _ in range(len(found.iterates)):
        x.append(x[-1] + 0.81 * (x[-1] - x[-2]) - 0.1 * x[-1])
    x = np.array(x)
    np.testing.assert_allclose(found.iterates[:, 0], x[1:-1], rtol=1e-12)
    np.testing.assert_allclose(found.iterates[:, 1], (x[2:] - x[:-2]) / (2 * dt), atol=1e-12)
    # From the matched start the central rule stays within O(h²) of the orbit.
    every = np.linspace(0, len(found.orbit) - 1, len(found.iterates)).round().astype(int)
    assert np.abs(found.orbit[every] - found.iterates).max() < 0.02


def test_phase_plane_of_a_strongly_damped_flow():
    """At momentum -0.99 the flow decays at 400 per step and is followed for 20,000: its end is known in closed form."""
    method = hb.HeavyBall(0.02, -0.99)
    found = hb.mode_portrait(method, 0.0004)
    physical = hb.to_physical(method)
    slow = -0.0004 / physical.damping  # to within a factor 1 + 1e-9
    start = found.orbit[0, 0]
    np.testing.assert_allclose(found.orbit[-1, 0], start * np.exp(slow * 20_000 * physical.dt), rtol=1e-5)


def test_bad_input():
    with pytest.raises(ValueError, match="one setting"):
        hb.report(hb.HeavyBall(np.array([0.1, 0.2]), 0.9), [1.0])
    with pytest.raises(TypeError, match="GradientDescent"):
        hb.report(hb.GradientDescent(0.1), [1.0])
    with pytest.raises(ValueError, match="`curvature` must be finite"):
        hb.report(hb.HeavyBall(0.1, 0.9), [np.nan])
    with pytest.raises(ValueError, match="`rule` must be one of"):
        hb.report(hb.HeavyBall(0.1, 0.9), [1.0], rule="magic")
    unknown = hb.Objective(lambda x: (x**4).sum(-1), lambda x: 4 * x**3, lambda x: 12 * x[..., None] ** 2, dim=1)
    with pytest.raises(ValueError, match="knows no point"):
        hb.report(hb.HeavyBall(0.1, 0.9), unknown)
