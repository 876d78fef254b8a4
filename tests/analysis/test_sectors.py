"""The circle criterion: closed forms, brute force over frequencies, and losses on which rules do what it says."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged, Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.sectors import circle_criterion


def brute_largest(rule, smallest):
    """μ + 1/max Re G over a dense grid, G the loop closed by μ from error to query point."""
    m = hb.state_matrices(rule)
    omega = np.linspace(0, np.pi, 400_001) if m.discrete else np.append(0.0, np.geomspace(1e-4, 1e4, 400_000))
    z = np.exp(1j * omega) if m.discrete else 1j * omega
    M = m.A + smallest * m.B @ m.C
    response = (m.C @ np.linalg.solve(z[:, None, None] * np.eye(len(M)) - M, m.B))[:, 0, 0]
    return smallest + 1 / response.real.max()


@pytest.mark.parametrize("rule", [hb.HeavyBall(0.1, 0.5), hb.HeavyBall(0.1, 0.95), hb.Nesterov(0.1, 0.8),
                                  Averaged(0.2, 0.7), TwoMomenta(0.1, 0.5, 0.9), hb.TripleMomentum(0.1, 0.7, 0.4, 1.0),
                                  hb.HeavyBallFlow(2.0, 0.7), Maxwell(1.0, 0.3, 2.0)],
                         ids=lambda v: type(v).__name__)  # fmt: skip
def test_largest_slope_by_brute_force(rule):
    found = circle_criterion(rule, 1.0, 2.0)
    assert_allclose(found.largest_slope, brute_largest(rule, 1.0), rtol=1e-5)
    # At the largest slope the small gain around the centre is one: two ways to the same criterion.
    assert_allclose(circle_criterion(rule, 1.0, found.largest_slope).gain, 1.0, rtol=1e-7)
    assert circle_criterion(rule, 1.0, found.largest_slope * (1 - 1e-6)).holds
    assert not circle_criterion(rule, 1.0, found.largest_slope * (1 + 1e-6)).holds


def test_heavy_ball_flow_in_closed_form():
    """(√μ + γ/√m)²."""
    mass, damping, low = 2.0, np.array([0.1, 1.0, 30.0]), 3.0
    found = circle_criterion(hb.HeavyBallFlow(mass, damping), low, 4.0)
    assert_allclose(found.largest_slope, (np.sqrt(low) + damping / np.sqrt(mass)) ** 2, rtol=1e-9)


def test_gradient_descent_exactly():
    """The criterion asks for L < 2/η, whatever μ: the stability limit of quadratics."""
    found = circle_criterion(hb.GradientDescent(0.1), [0.01, 1.0, 19.0], 19.9)
    assert_allclose(found.largest_slope, 20.0, rtol=1e-12)
    assert_array_equal(found.holds, [True, True, True])
    assert np.all(np.isinf(circle_criterion(hb.GradientFlow(), 1.0, [2.0, 1e6]).largest_slope))


def test_tuned_heavy_ball():
    """Loop gain (κ-1)/(2√κ), so certified up to κ = 3 + 2√2."""
    kappa = np.array([2.0, 3 + 2 * np.sqrt(2) - 1e-6, 3 + 2 * np.sqrt(2) + 1e-6, 25.0, 100.0])
    found = circle_criterion(hb.tune(hb.HeavyBall, 1.0, kappa), 1.0, kappa)
    assert_allclose(found.gain, (kappa - 1) / (2 * np.sqrt(kappa)), rtol=1e-9)
    assert_array_equal(found.holds, [True, True, False, False, False])
    assert_allclose(found.margin, 1 / found.gain)


def test_standard_nesterov():
    """Certified up to κ = 6 + 4√2; the criterion does not see that gradients come from a loss."""
    edge = 6 + 4 * np.sqrt(2)
    kappa = edge * np.array([1 - 1e-7, 1.0, 1 + 1e-7])
    found = circle_criterion(hb.tune(hb.Nesterov, 1.0, kappa, variant="standard"), 1.0, kappa)
    assert_allclose(found.gain[1], 1.0, rtol=1e-9)
    assert_array_equal(found.holds[[0, 2]], [True, False])


def test_where_the_criterion_fails_methods_may_cycle():
    """The loss of Lessard, Recht and Packard is in the sector from 1 to 25: not certified, and it cycles."""
    loss, method = hb.LessardCounterexample(), hb.HeavyBall(lr=1 / 9, momentum=4 / 9)
    assert not circle_criterion(method, 1.0, 25.0).holds
    run = hb.iterate(method, loss, [3.3], 500)
    assert abs(run.position[-3:, 0]).max() > 1
    # Slower settings that are certified converge on it.
    for slow in (hb.HeavyBall(lr=1 / 30, momentum=0.3), hb.Nesterov(lr=1 / 30, momentum=0.4)):
        assert circle_criterion(slow, 1.0, 25.0).holds
        start = np.linspace(-5, 5, 41)[:, None]
        assert np.abs(hb.iterate(slow, loss, start, 2000).position[:, -1]).max() < 1e-9


def test_certified_rules_converge_on_slopes_that_change_every_step(rng):
    """The criterion knows no memory: gradients may be of another loss each step."""
    method = hb.HeavyBall(lr=0.1, momentum=0.3)
    top = float(circle_criterion(method, 1.0, 2.0).largest_slope)
    a, b = np.ones(50), np.ones(50)
    for _ in range(3000):
        slope = rng.choice([1.0, 0.999 * top], size=50)
        a, b = a + 0.3 * (a - b) - 0.1 * slope * a, a
    assert np.abs(a).max() < 1e-6


def test_several_gradients_a_step():
    """The norm of the matrix of responses, over all frequencies."""
    rule = Extragradient(0.05, 0.2)
    found = circle_criterion(rule, 1.0, 3.0)
    m = hb.state_matrices(rule)
    through = np.linalg.inv(np.eye(2) - 2.0 * m.D)
    M = m.A + 2.0 * m.B @ through @ m.C
    z = np.exp(1j * np.linspace(0, np.pi, 20_001))
    forward = np.linalg.solve(z[:, None, None] * np.eye(2) - M, m.B @ through)
    response = np.linalg.inv(np.eye(2) - 2.0 * m.D) @ (m.C @ forward) + through @ m.D
    assert_allclose(found.gain, np.linalg.norm(response, 2, axis=(-2, -1)).max(), rtol=1e-7)
    assert np.isnan(found.largest_slope)


def test_batches_and_findings():
    rules = hb.HeavyBall(np.array([[0.1], [0.3]]), np.array([0.2, 0.5, 0.9]))
    found = circle_criterion(rules, 1.0, [4.0, 5.0, 30.0])
    assert found.gain.shape == (2, 3)
    for index in np.ndindex(2, 3):
        one = hb.HeavyBall(float(rules.lr[index[0], 0]), float(rules.momentum[index[1]]))
        alone = circle_criterion(one, 1.0, [4.0, 5.0, 30.0][index[1]])
        assert_allclose(found.gain[index], alone.gain, rtol=1e-12)
        assert_allclose(found.largest_slope[index], alone.largest_slope, rtol=1e-12)
    unstable = circle_criterion(hb.HeavyBall(1.0, 0.5), 1.0, [2.0, 9.0])
    assert_array_equal(np.isinf(unstable.gain), [False, True])
    assert unstable.margin[1] == 0
    assert "unstable on the quadratic of the mean slope" in str(unstable)
    assert np.isnan(circle_criterion(hb.HeavyBall(1.0, 0.5), -1.0, 2.0).largest_slope)


def test_errors():
    with pytest.raises(ValueError, match="`largest` must be at least `smallest`"):
        circle_criterion(hb.HeavyBall(0.1, 0.5), 2.0, [3.0, 1.0])
    with pytest.raises(ValueError, match="must have shape"):
        circle_criterion(hb.HeavyBall([0.1, 0.2], 0.5), [1.0, 1.0, 1.0], 3.0)
