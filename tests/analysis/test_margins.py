"""Gain, phase, disk and delay margins: closed forms, python-control where it is right, poles everywhere."""

from dataclasses import dataclass
from typing import Any

import control as ct
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged, Extragradient, Lagged, LaggedFlow, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis._whole_delays import whole_steps
from heavyball_dynamics.analysis.robustness_cards import robustness

RULES = [
    (hb.GradientDescent(0.3), 1.0), (hb.HeavyBall(0.1, 0.5), 2.0), (hb.HeavyBall(0.1, 0.9), 30.0),
    (hb.Nesterov(0.1, 0.9), 2.0), (hb.TripleMomentum(0.1, 0.7, 0.4, 1.0), 3.0), (Averaged(0.2, 0.7), 2.0),
    (TwoMomenta(0.1, 0.5, 0.9), 1.0), (hb.AggregatedMomentum(0.1, (0.0, 0.9, 0.99)), 1.0),
    (hb.PIDMomentum(0.1, 0.8, 0.3), 1.0), (hb.HeavyBallFlow(1.0, 0.5), 2.0), (Maxwell(1.0, 1.0, 2.0), 1.0),
    (hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.5, "implicit_midpoint"), 1.0),
]  # fmt: skip


def stale(lr, momentum, delay):
    return hb.Delayed(hb.HeavyBall(lr, momentum), delay)


@given(hnp.arrays(float, 12, elements=st.floats(0.0, 0.999)), hnp.arrays(float, 12, elements=st.floats(1e-9, 0.999)))
@settings(max_examples=6, deadline=None)
def test_gain_margins_of_heavy_ball_and_nesterov(momentum, share):
    """Closed forms to 1e-12, and they are where poles leave the unit circle."""
    for kind, limit in ((hb.HeavyBall, 2 * (1 + momentum)), (hb.Nesterov, 2 * (1 + momentum) / (1 + 2 * momentum))):
        q = share * limit
        found = robustness(kind(1.0, momentum), q[:, None])
        assert_allclose(found.gain_margin[:, 0, 1], limit / q, rtol=1e-12)
        assert_array_equal(found.gain_margin[:, 0, 0], 0)
        assert_allclose(found.gain_frequency, np.pi)


@pytest.mark.parametrize(("rule", "curvature"), RULES, ids=lambda v: type(v).__name__)
def test_gain_margins_are_where_poles_cross(rule, curvature):
    found = robustness(rule, curvature)
    down, up = found.gain_margin[0]
    assert hb.analyze_modes(rule, [curvature * 0.999]).stable[0]
    if np.isfinite(up):
        around = hb.analyze_modes(rule, curvature * up * np.array([1 - 1e-9, 1 + 1e-9]))
        assert_array_equal(around.rate < (1 if found.discrete else 0), [True, False])
        angle = np.angle(around.poles[1, 0]) if found.discrete else around.poles[1, 0].imag
        assert_allclose(abs(angle), found.gain_frequency[0], rtol=1e-5, atol=1e-7)
    else:
        assert hb.analyze_modes(rule, [curvature * 1e6]).stable[0]
    inside = np.geomspace(max(down, 1e-3), min(up, 1e3), 41)[1:-1]
    assert hb.analyze_modes(rule, curvature * inside).stable.all()


def test_rule_that_needs_curvature():
    """Nesterov with momentum above one decays only above (β-1)/(βη)."""
    found = robustness(hb.Nesterov(1.0, 1.2), 0.4)
    assert_allclose(found.gain_margin[0], [(0.2 / 1.2) / 0.4, 2 * 2.2 / 3.4 / 0.4], rtol=1e-10)


def test_rule_that_contracts_by_itself():
    """Weight decay: x ← (1-a)x - ηλx decays for -a < ηλ < 2 - a."""

    @dataclass(frozen=True)
    class Decayed:
        lr: Any
        decay: Any

        def init(self, position, velocity, objective):
            return (position,)

        def step(self, k, state, objective):
            return ((1 - self.decay) * state[0] - self.lr * objective.gradient(state[0]),)

    found = robustness(Decayed(1.0, 0.25), 0.5)
    assert_allclose(found.gain_margin[0], [-0.5, 3.5], rtol=1e-12)


def test_interior_crossing_of_a_lagged_flow():
    """Routh: τs³ + (1+τγ)s² + γs + λ is stable up to λ = γ(1+τγ)/τ, at ω² = γ/τ."""
    found = robustness(LaggedFlow(0.5, 2.0), 0.1)
    assert_allclose(found.gain_margin[0, 1], 0.5 * 2.0 / 2.0 / 0.1, rtol=1e-12)
    assert_allclose(found.gain_frequency, np.sqrt(0.25), rtol=1e-10)


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")  # python-control at z = 1
@pytest.mark.parametrize(("rule", "curvature"), RULES, ids=lambda v: type(v).__name__)
def test_phase_and_disk_margins_of_python_control(rule, curvature):
    found = robustness(rule, curvature)
    loop = ct.ss(-curvature * hb.linearize(rule))
    _, phase, modulus, _, crossing, _ = ct.stability_margins(loop)
    assert_allclose(np.degrees(found.phase_margin[0]), abs(phase), rtol=1e-5)
    assert_allclose(found.phase_frequency[0], crossing, rtol=1e-5)
    omega = np.linspace(1e-4, np.pi, 20_001) if found.discrete else np.geomspace(1e-4, 1e4, 20_001)
    disk, gain, angle = ct.disk_margins(loop, omega)
    assert_allclose(found.disk_margin[0], disk, rtol=1e-4)  # theirs is the minimum over a grid
    if found.disk_margin[0] < 2:
        assert_allclose(20 * np.log10(found.disk_gain[0, 1]), gain, rtol=1e-3)
    assert_allclose(np.degrees(found.disk_phase[0]), angle, rtol=1e-4)
    response = 1 + ct.frequency_response(loop, omega).complex
    assert_allclose(found.modulus_margin[0], np.abs(response).min(), rtol=1e-4)
    assert found.modulus_margin[0] <= modulus * (1 + 1e-6)


def test_python_control_misses_the_crossing_at_minus_one():
    """The reason for margins of our own."""
    rule = hb.HeavyBall(0.1, 0.5)
    missed = ct.stability_margins(-2.0 * hb.linearize(rule))[0]
    assert abs(missed - 15.0) > 1
    assert_allclose(robustness(rule, 2.0).gain_margin[0, 1], 15.0, rtol=1e-12)


@pytest.mark.parametrize(("rule", "curvature"), [*RULES, (Extragradient(0.1, 0.5), 5.0)],
                         ids=lambda v: type(v).__name__)  # fmt: skip
def test_complex_factors_move_a_pole_to_the_boundary(rule, curvature):
    """Phase and disk margins against the poles of the loop with a complex curvature; any smaller one decays."""
    found = robustness(rule, curvature)
    matrices = hb.state_matrices(rule)

    def worst(factor):
        gain = curvature * factor
        inner = np.linalg.inv(np.eye(len(matrices.D)) - gain * matrices.D)
        poles = np.linalg.eigvals(matrices.A + gain * matrices.B @ inner @ matrices.C)
        return (np.abs(poles) - 1 if found.discrete else poles.real).max()

    phase, alpha = found.phase_margin[0], found.disk_margin[0]
    assert abs(worst(np.exp(1j * phase))) < 1e-9 or abs(worst(np.exp(-1j * phase))) < 1e-9
    assert all(worst(np.exp(1j * angle)) < 0 for angle in np.linspace(0, phase, 30)[:-1])
    angles = np.linspace(0, np.pi, 721)
    delta = alpha * np.exp(1j * angles)
    values = np.array([worst((1 + 0.5 * d) / (1 - 0.5 * d)) for d in delta if abs(2 - d) > 1e-9])
    assert values.max() < 1e-9
    assert values.max() > -2e-3 * alpha
    beyond = [worst((1 + 0.5 * d) / (1 - 0.5 * d)) for d in 1.01 * delta if abs(2 - d) > 1e-9]
    assert max(beyond) > 0 or alpha > 1.99


@pytest.mark.parametrize("delay", [1, 2, 5, 12])
def test_delay_margin_of_gradient_descent(delay):
    """Stable up to q = 2 sin(π/(4d+2)): there a delay of d is the margin."""
    limit = 2 * np.sin(np.pi / (4 * delay + 2))
    found = robustness(hb.GradientDescent(1.0), limit * np.array([1 - 1e-7, 1.0, 1 + 1e-7]))
    assert_allclose(found.delay_margin[1], delay, rtol=1e-12)
    assert_array_equal(found.delay_steps, [delay, delay - 1, delay - 1])


@given(st.floats(0.0, 0.95), st.floats(0.001, 0.95))
@settings(max_examples=25, deadline=None)
def test_whole_delays_against_the_poles_of_delayed_rules(momentum, share):
    q = share * 2 * (1 + momentum)
    steps = int(robustness(hb.HeavyBall(1.0, momentum), q).delay_steps[0])
    for delay in range(min(steps, 6) + 1):
        assert hb.analyze_modes(stale(1.0, momentum, delay), [q]).rate[0] < 1 + 1e-9
    if steps < 40:
        assert hb.analyze_modes(stale(1.0, momentum, steps + 1), [q]).rate[0] > 1 - 1e-9


def test_a_loop_louder_than_one_at_the_alternation_bears_no_delay():
    """L = q/((z-1)(z+0.9)) decays for q < 1.9, with L(-1) = 5q: a step of delay turns its sign there."""
    rule = stale(1.0, -0.9, 1)
    found = robustness(rule, 1.0)
    assert found.stable[0]
    assert_allclose((-hb.linearize(rule))(-1.0 + 0j), 5.0, rtol=1e-9)
    assert found.delay_margin[0] <= 1
    assert found.delay_steps[0] == 0
    assert hb.analyze_modes(stale(1.0, -0.9, 2), [1.0]).rate[0] > 1


def test_delay_margin_of_a_flow():
    """Gradient flow x' = -λx(t - d) decays for λd < π/2."""
    assert_allclose(robustness(hb.GradientFlow(), [0.1, 1.0, 30.0]).delay_margin * [0.1, 1.0, 30.0], np.pi / 2)
    assert np.isnan(robustness(hb.GradientFlow(), 1.0).delay_steps[0])


@pytest.mark.parametrize(("rule", "curvature"), RULES, ids=lambda v: type(v).__name__)
def test_delay_margins_of_another_way(rule, curvature):
    bends = curvature * np.array([0.01, 0.3, 1.0])
    found, other = robustness(rule, bends), hb.largest_delay(rule, bends)
    assert_allclose(found.delay_margin, other.margin, rtol=1e-8)
    assert_allclose(found.delay_frequency, other.frequency, rtol=1e-8)


def test_two_gradients_a_step():
    """Extragradient without momentum: z = 1 - q + q², which leaves at q = 1, through z = 1."""
    found = robustness(Extragradient(0.1, 0.0), 4.0)
    assert_allclose(found.gain_margin[0], [0.0, 1 / 0.4], rtol=1e-12)
    assert found.gain_frequency[0] == 0
    assert "drifting away" in str(found)


@dataclass(frozen=True)
class Drawn:
    """A rule of three states drawn at random, which asks for one or two gradients a step."""

    seed: int
    gradients: int

    def init(self, position, velocity, objective):
        return Lagged(position, velocity, 0 * position)

    def step(self, k, state, objective):
        draw = np.random.default_rng(self.seed)
        A = draw.normal(size=(3, 3))
        A *= draw.uniform(0.3, 1.0) / np.abs(np.linalg.eigvals(A)).max()
        B, C, D = -draw.normal(size=(3, 2)) * draw.choice([0.1, 0.5]), draw.normal(size=(2, 3)), 0.5 * draw.normal()
        old, pushes = np.stack(state), []
        for j in range(self.gradients):
            query = np.tensordot(C[j], old, 1) + sum(D * push for push in pushes)
            pushes.append(objective.gradient(query))
        return Lagged(*(np.tensordot(A, old, 1) + np.tensordot(B[:, : self.gradients], np.stack(pushes), 1)))


def largest_poles(rule, curvatures):
    m = hb.state_matrices(rule)
    gain = np.asarray(curvatures)[:, None, None]
    loop = m.A + m.B @ (gain * np.linalg.inv(np.eye(len(m.D)) - gain * m.D)) @ m.C
    return np.abs(np.linalg.eigvals(loop)).max(axis=-1)


def drawn_rules(gradients, number):
    """Rules that decay at their curvature."""
    for seed in range(number):
        rule, curvature = Drawn(seed, gradients), [0.03, 0.1, 0.3, 1.0][seed % 4]
        if largest_poles(rule, [curvature])[0] < 1 - 1e-6:
            yield rule, curvature


def test_several_gradients_against_a_scan_of_poles():
    """Neither conjugate loci at z = -1 nor pairs of crossings between two frequencies mislead."""
    away = np.geomspace(1e-4, 1e5, 2001)
    for rule, curvature in drawn_rules(2, 45):
        found = robustness(rule, curvature)
        for side, edge in ((1, found.gain_margin[0, 1] - 1), (-1, 1 - found.gain_margin[0, 0])):
            lost = largest_poles(rule, curvature * (1 + side * away)) > 1 + 1e-10
            if lost.any():
                first = np.argmax(lost)
                assert away[first - 1] * (1 - 1e-9) <= edge <= away[first] * (1 + 1e-9), rule
                assert_allclose(largest_poles(rule, [curvature * (1 + side * edge)]), 1.0, atol=1e-8)
            else:
                assert edge > away[-1]


def test_several_gradients_have_the_disk_of_their_loci():
    """On a dense grid of frequencies no locus comes closer than the margins say, to 1e-4."""
    z = np.exp(1j * np.linspace(0, np.pi, 10_001))[:, None, None]
    for rule, curvature in drawn_rules(2, 30):
        m = hb.state_matrices(rule)
        back = np.linalg.solve(z * np.eye(3) - m.A, np.broadcast_to(m.B, (len(z), 3, 2)))
        loop = -curvature * np.linalg.eigvals(m.C @ back + m.D)
        found = robustness(rule, curvature)
        assert found.disk_margin[0] <= (2 * np.abs(1 + loop) / np.abs(1 - loop)).min() * (1 + 1e-4), rule
        assert found.modulus_margin[0] <= np.abs(1 + loop).min() * (1 + 1e-4), rule


@pytest.mark.parametrize("delay", [0, 1])
def test_runge_kutta_has_the_limit_of_its_poles(delay):
    """Four gradients a step, whose loci are conjugate pairs at z = -1."""
    scheme = hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.1, "runge_kutta4")
    limit = hb.delay_limits(scheme, [delay], parameter="curvature")
    found = robustness(hb.Delayed(scheme, delay), 1.0)
    assert_allclose(found.gain_margin[0], [0.0, limit.limit[0]], rtol=1e-8)
    assert_allclose(found.gain_frequency, limit.frequency, rtol=1e-6)
    assert_allclose(hb.nyquist(hb.Delayed(scheme, delay), 1.0).gain_margin, found.gain_margin)
    q = np.array([1e-13, 1e-10]) if delay == 0 else np.array([1e-9, 1e-6])
    assert_allclose(q * robustness(hb.Delayed(scheme, delay), q).gain_margin[:, 1], limit.limit[0], rtol=1e-8)


@pytest.mark.parametrize("gradients", [1, 2])
def test_whole_delays_are_those_of_the_poles(gradients):
    """Also where poles cross between whole numbers, or the loop is louder than one at z = -1."""
    beyond = 0
    for rule, curvature in drawn_rules(gradients, 40):
        found, other = robustness(rule, curvature), hb.largest_delay(rule, curvature)
        whole = 0
        while whole < 12 and largest_poles(hb.Delayed(rule, whole + 1), [curvature])[0] < 1 - 1e-12:
            whole += 1
        assert min(found.delay_steps[0], 12) == whole, rule
        assert found.delay_margin[0] <= whole + 1 or whole == 12
        beyond += found.delay_steps[0] > found.delay_margin[0]
        assert_array_equal(found.delay_steps, other.whole)
        assert_array_equal(found.delay_margin, other.margin)
    assert gradients == 1 or beyond


def test_long_delays():
    """Twenty stale steps: 22 states, and the limit of the closed form."""
    limit = 2 * np.sin(np.pi / 82)
    found = robustness(stale(1.0, 0.0, 20), 0.9 * limit)
    assert_allclose(found.gain_margin[0], [0.0, 1 / 0.9], rtol=1e-10)
    # All twenty and those still borne are together what gradient descent bears.
    assert_allclose(20 + found.delay_margin, robustness(hb.GradientDescent(1.0), 0.9 * limit).delay_margin, rtol=1e-9)


def test_extreme_curvatures_keep_their_digits():
    q = np.array([1e-13, 1e-10, 1e-7, 3.8 * (1 - 1e-9)])
    found = robustness(hb.HeavyBall(1.0, 0.9), q)
    assert_allclose(found.gain_margin[:, 1], 3.8 / q, rtol=1e-12)
    # Far below the other pole the loop is q/((1-β)iω): phase π/2 less what that pole takes.
    assert_allclose(found.phase_frequency[:2], 10 * q[:2], rtol=1e-6)


def test_whole_steps():
    margins = np.array([0.0, 0.5, 1.0, 1.5, 2.0 + 1e-12, 3.1, np.inf])
    assert_array_equal(whole_steps(margins), [0, 0, 0, 1, 1, 3, np.inf])


def test_rules_without_an_open_loop_have_a_gain_margin():
    flow = hb.HeavyBallFlow(1.0, 0.5)
    exact = robustness(hb.discretize(flow, 0.5, "modal_exact"), 1.0)
    assert_array_equal(exact.gain_margin[0], [0.0, np.inf])
    assert np.isnan(exact.phase_margin[0])
    assert "asks for Hessians" in exact.summary()
    euler = robustness(hb.discretize(flow, 0.5, "c2d_euler"), 0.3)
    expected = robustness(hb.discretize(flow, 0.5, "explicit_euler"), 0.3)
    assert_allclose(euler.gain_margin[0, 1], expected.gain_margin[0, 1], rtol=1e-9)


@dataclass(frozen=True)
class ThreeGradients:
    """Momentum on three gradients, each asked for where the one before it points."""

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        x, v = state
        first = objective.gradient(x)
        second = objective.gradient(x - 0.13928314431614733 * first)
        third = objective.gradient(x + 0.17074176440574795 * v + 0.24081111753077508 * second)
        v = -0.33293552749502897 * v - 0.13800940866958067 * first
        v = v + 0.7888512761595047 * second - 0.665459896832841 * third
        return hb.PhaseState(x + v, v)


def test_two_loci_that_cross_the_unit_circle_together():
    """Both leave |L| = 1 near ω = 0.06: their product keeps its sign. Truth from closed-loop poles."""
    curvature = 0.5478108836526547
    matrices = hb.state_matrices(ThreeGradients())

    def radius(factor):
        gain = curvature * factor * np.linalg.inv(np.eye(3) - curvature * factor * matrices.D)
        return np.abs(np.linalg.eigvals(matrices.A + matrices.B @ gain @ matrices.C)).max()

    found = robustness(ThreeGradients(), curvature)
    phase = found.phase_margin[0]
    assert radius(np.exp(1j * (phase - 1e-6))) < 1 < radius(np.exp(1j * (phase + 1e-6)))
    assert np.all([radius(np.exp(1j * angle)) < 1 for angle in np.linspace(0, phase - 1e-6, 300)])
    late = [hb.analyze_modes(hb.Delayed(ThreeGradients(), d), [curvature]).rate[0] for d in (13, 14)]
    assert late[0] < 1 < late[1]
    assert found.delay_steps[0] == 13 < found.delay_margin[0] < 14
