"""Phase portraits against what is known exactly."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import heavyball_dynamics as hb


@pytest.fixture(scope="module")
def well():
    return hb.from_sympy("(x**2 - 1)**2/4", "x")


def _energy(points):
    return 0.5 * points[..., 1] ** 2 + (points[..., 0] ** 2 - 1) ** 2 / 4


@pytest.mark.parametrize("damping", [0.0, 0.3, np.sqrt(8.0), 4.0])
def test_double_well_has_its_three_equilibria(well, damping):
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, damping), well)
    np.testing.assert_allclose(portrait.equilibria, [[-1, 0], [0, 0], [1, 0]], atol=1e-12)
    gap = damping**2 - 4 * 2.0
    decaying = "critical node" if abs(gap) < 1e-9 else "stable node" if gap > 0 else "stable focus"
    bottom = "centre" if damping == 0 else decaying
    assert portrait.kind == (bottom, "saddle", bottom)
    for curvature, values in zip([2.0, -1.0, 2.0], portrait.eigenvalues, strict=True):
        exact = np.roots([1, damping, curvature])
        np.testing.assert_allclose(np.sort_complex(values), np.sort_complex(exact), atol=1e-7)


@given(st.floats(0.1, 10), st.floats(0.01, 20), st.floats(0.1, 10))
def test_class_follows_the_discriminant(mass, damping, curvature):
    gap = damping**2 - 4 * mass * curvature
    if abs(gap) < 1e-6 * damping**2:
        return
    flow = hb.HeavyBallFlow(mass, damping)
    portrait = hb.phase_portrait(flow, hb.Quadratic([curvature]), resolution=5, starts=[[1.0, 0.0]])
    assert portrait.kind == (("stable node",) if gap > 0 else ("stable focus",))
    assert portrait.damping == hb.analyze_modes(flow, [curvature]).damping


def test_critical_damping_is_recognized_exactly():
    for mass, curvature in [(0.3, 7.0), (2.0, 0.11)]:
        flow = hb.HeavyBallFlow(mass, 2 * np.sqrt(mass * curvature))
        assert hb.phase_portrait(flow, hb.Quadratic([curvature]), resolution=5).kind == ("critical node",)


def test_separatrices_without_friction_keep_the_energy_of_the_saddle(well):
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.0), well)
    for branches in (portrait.stable_separatrices, portrait.unstable_separatrices):
        assert branches.shape[0] == 2
        np.testing.assert_allclose(_energy(branches), 0.25, atol=1e-6)
        # Homoclinic loops: out to ±√2 and back.
        np.testing.assert_allclose(np.sort(np.abs(branches[..., 0]).max(axis=1)), np.sqrt(2), atol=1e-3)


def test_separatrix_divides_the_basins(well):
    flow = hb.HeavyBallFlow(1.0, 0.3)
    portrait = hb.phase_portrait(flow, well)
    branch = portrait.stable_separatrices[0]
    point = branch[np.flatnonzero(np.abs(branch[:, 0]) > 0.5)[0]]
    slope = flow.vector_field(0.0, hb.PhaseState(point[:1], point[1:]), well)
    normal = np.array([-slope.velocity[0], slope.position[0]])
    sides = point + 1e-3 * np.array([[1.0], [-1.0]]) * normal
    run = hb.integrate(flow, well, sides[:, :1], sides[:, 1:], duration=80.0)
    ends = run.position[:, -1, 0]
    np.testing.assert_allclose(np.sort(ends), [-1, 1], atol=1e-3)


def test_orbits_are_those_of_an_independent_solver(well):
    flow = hb.HeavyBallFlow(2.0, 0.4)
    portrait = hb.phase_portrait(flow, well, starts=[[1.5, 0.3], [-0.2, 0.9]], duration=6.0, rtol=1e-8)
    assert portrait.orbits.shape == (2, len(portrait.time), 2)
    for start, orbit in zip([[1.5, 0.3], [-0.2, 0.9]], portrait.orbits, strict=True):
        exact = solve_ivp(lambda t, u: [u[1], (-0.4 * u[1] - u[0] * (u[0] ** 2 - 1)) / 2], (0, 6), start,
                          t_eval=portrait.time, rtol=1e-11, atol=1e-12)  # fmt: skip
        inside = np.isfinite(orbit).all(axis=1)
        assert inside.mean() > 0.9
        np.testing.assert_allclose(orbit[inside], exact.y.T[inside], atol=1e-5)


def test_nothing_is_drawn_outside_the_window(well):
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, -0.2), well, limits=[(-1.5, 2.0), (-1.0, 1.5)])
    for paths in (portrait.orbits, portrait.stable_separatrices, portrait.unstable_separatrices):
        inside = paths[np.isfinite(paths).all(axis=-1)]
        low, high = portrait.limits.T
        assert np.all((inside >= low - 1e-9) & (inside <= high + 1e-9))
    assert "unstable focus" in portrait.kind


def test_nullclines_are_where_a_component_vanishes(well):
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.5), well)
    x, y = np.meshgrid(portrait.fine_x, portrait.fine_y)
    np.testing.assert_allclose(portrait.fine_field[..., 0], y, atol=1e-14)
    np.testing.assert_allclose(portrait.fine_field[..., 1], -0.5 * y - x * (x**2 - 1), atol=1e-12)
    assert portrait.field.shape == (len(portrait.y), len(portrait.x), 2)


def test_gradient_flow_of_beale_finds_its_minimum_and_saddles():
    loss = hb.beale()
    portrait = hb.phase_portrait(hb.GradientFlow(), loss)
    np.testing.assert_allclose(loss.gradient(portrait.equilibria), 0, atol=1e-7)
    assert portrait.kind == ("saddle", "saddle", "stable node")
    np.testing.assert_allclose(portrait.equilibria[-1], [3.0, 0.5], atol=1e-9)
    assert portrait.labels == ("$x$", "$y$")


def test_separatrices_of_the_plain_saddle_are_its_axes():
    portrait = hb.phase_portrait(hb.GradientFlow(), hb.saddle())
    np.testing.assert_allclose(np.nan_to_num(portrait.stable_separatrices[..., 1]), 0, atol=1e-8)
    np.testing.assert_allclose(np.nan_to_num(portrait.unstable_separatrices[..., 0]), 0, atol=1e-8)
    assert np.nanmax(np.abs(portrait.unstable_separatrices)) > 1.9


def test_flat_loss_has_a_line_of_equilibria():
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 1.0), hb.Quadratic([0.0]), limits=[(-1, 1), (-1, 1)])
    assert portrait.kind == ("non-isolated",)
    assert portrait.damping[0] == hb.DampingClass.MARGINAL


def test_quartic_minimum_is_degenerate():
    assert hb.phase_portrait(hb.HeavyBallFlow(1.0, 1.0), hb.from_sympy("x**4", "x")).kind == ("degenerate",)


class Pair(NamedTuple):
    position: Any
    charge: Any


@dataclass(frozen=True)
class Nonlinear:
    """Van der Pol's oscillator, a rule that is not linear in its state."""

    strength: float = 1.0

    def init(self, position, velocity, objective):
        return Pair(position, velocity)

    def vector_field(self, t, state, objective):
        force = self.strength * (1 - state.position**2) * state.charge - objective.gradient(state.position)
        return Pair(state.charge, force)


def test_a_rule_of_ones_own_reaches_its_limit_cycle():
    portrait = hb.phase_portrait(Nonlinear(), hb.Quadratic([1.0]), limits=[(-3, 3), (-4, 4)], duration=60.0)
    assert portrait.kind == ("unstable focus",)
    assert portrait.labels[1] == "charge"
    np.testing.assert_allclose(portrait.eigenvalues[0], [0.5 + 0.75**0.5 * 1j, 0.5 - 0.75**0.5 * 1j], atol=1e-8)
    late = portrait.orbits[:, portrait.time > 40]
    # The amplitude of the limit cycle for strength 1 is 2.00862.
    np.testing.assert_allclose(np.nanmax(late[..., 0]), 2.00862, atol=2e-3)


def test_centre_of_a_nonlinear_rule_is_not_lost_to_rounding():
    portrait = hb.phase_portrait(Nonlinear(strength=0.0), hb.Quadratic([1.7]))
    assert portrait.kind == ("centre",)


def test_it_pickles(well):
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.5), well, resolution=5)
    again = pickle.loads(pickle.dumps(portrait))
    np.testing.assert_array_equal(again.orbits, portrait.orbits)
    assert again.summary() == portrait.summary()


def test_default_starts_fill_the_window(well):
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 4.0), well)
    assert 10 <= len(portrait.orbits) <= 24
    assert np.isfinite(portrait.orbits[:, 0]).all()


@dataclass(frozen=True)
class Vanishing:
    """Friction 3/t: not autonomous."""

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        return hb.PhaseState(state.velocity, -3 / (t + 1) * state.velocity - objective.gradient(state.position))


@pytest.mark.parametrize(
    ("flow", "objective", "keywords", "message"),
    [
        (hb.HeavyBallFlow(), hb.canyon(), {}, "two state variables.*Received 4: 2 for each of 2"),
        (hb.GradientFlow(), hb.Quadratic([1.0, 2.0, 3.0]), {}, "Received 3: 1 for each of 3"),
        (hb.GradientFlow(), hb.Quadratic([1.0]), {}, "Received 1"),
        (hb.HeavyBallFlow(1.0, np.array([1.0, 2.0])), hb.Quadratic([1.0]), {}, "`flow` must have scalar parameters"),
        (Vanishing(), hb.Quadratic([1.0]), {}, "must not depend on time"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"limits": [(1, -1), (0, 1)]}, "`limits` must be two pairs"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"limits": [0, 1]}, "`limits` must be two pairs"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"limits": [(0, np.nan), (0, 1)]}, "`limits` must be finite"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"resolution": 1}, "`resolution`"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"duration": -1.0}, "`duration` must be > 0"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"rtol": 1.0}, "`rtol`"),
        (hb.HeavyBallFlow(), hb.Quadratic([1.0]), {"starts": [[1.0, 2.0, 3.0]]}, "`starts`"),
        (hb.HeavyBallFlow(), hb.from_sympy("x", "x"), {}, "`limits` must be given"),
    ],
)
def test_bad_input_is_named(flow, objective, keywords, message):
    with pytest.raises(ValueError, match=message):
        hb.phase_portrait(flow, objective, **keywords)


def test_a_method_is_refused():
    with pytest.raises(TypeError, match="must be a flow"):
        hb.phase_portrait(hb.HeavyBall(0.1, 0.9), hb.Quadratic([1.0]))


def test_a_nearly_flat_saddle_has_straight_separatrices():
    """Of x'' + x' - εx = 0 the unstable one leaves along v = sx with s² + s = ε."""
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 1.0), hb.Quadratic([-1e-9]), limits=((-1, 1), (-1, 1)))
    assert portrait.kind == ("saddle",)
    line = portrait.unstable_separatrices[0]
    line = line[np.isfinite(line).all(axis=-1)]
    assert np.abs(line[:, 0]).max() > 0.9
    np.testing.assert_allclose(line[:, 1], 1e-9 * line[:, 0], atol=1e-9)
