"""How much delay is borne: closed forms, brute force over polynomials and matrices, python-control, asymptotics."""

import pickle
from dataclasses import dataclass
from typing import Any

import control
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from user_rules import Averaged, Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.delayed import Delayed
from heavyball_dynamics.analysis.delays import delay_limits, largest_delay

DELAYS = np.arange(31)


def radius(method, q, d):
    """Spectral radius from the polynomial."""
    beta = getattr(method, "momentum", 0.0)
    lead = beta if isinstance(method, hb.Nesterov) else 0.0
    p = np.r_[1, -(1 + beta), beta, np.zeros(d)]
    p[-2:] += [q * (1 + lead), -q * lead]
    return np.abs(np.roots(p)).max()


def largest_stable(method, d):
    """Raise q in small steps until a root leaves the circle, then bisect."""
    grid = np.geomspace(1e-6, 5.0, 600)
    lost = np.argmax([radius(method, q, d) > 1 for q in grid])
    return brentq(lambda q: radius(method, q, d) - 1, grid[lost - 1], grid[lost], xtol=1e-14)


class TestLimits:
    def test_gradient_descent_exactly(self):
        found = delay_limits(hb.GradientDescent(1.0), DELAYS)
        assert_allclose(found.limit, 2 * np.sin(np.pi / (4 * DELAYS + 2)), rtol=1e-13)
        assert_allclose(found.frequency, np.pi / (2 * DELAYS + 1), rtol=1e-12)
        assert_array_equal(found.delays, DELAYS)

    @pytest.mark.parametrize("beta", [-0.5, 0.0, 1e-6, 0.3, 0.9, 0.99, 0.9999])
    def test_closed_forms_of_short_delays(self, beta):
        heavy, nesterov = (delay_limits(kind(1.0, beta), [0, 1]).limit for kind in (hb.HeavyBall, hb.Nesterov))
        assert_allclose(heavy[0], 2 * (1 + beta), rtol=1e-12)
        assert_allclose(nesterov[0], 2 * (1 + beta) / (1 + 2 * beta) if beta > -0.5 else nesterov[0], rtol=1e-12)
        # One step late: z² - (1+β)z + β + q/… has the product of its roots equal to one at q = 1 - β.
        if beta >= 0:
            assert_allclose(heavy[1], 1 - beta, rtol=1e-10)

    @pytest.mark.parametrize("delay", [1, 2, 5, 13])
    @pytest.mark.parametrize("kind", [hb.HeavyBall, hb.Nesterov])
    @pytest.mark.parametrize("beta", [-0.3, 0.2, 0.9, 0.97])
    def test_brute_force(self, kind, beta, delay):
        method = kind(1.0, beta)
        assert_allclose(delay_limits(method, [delay]).limit[0], largest_stable(method, delay), rtol=1e-10)

    @pytest.mark.parametrize("method", [
        hb.HeavyBall(0.7, 0.6), hb.Nesterov(0.7, 0.8), hb.QuasiHyperbolicMomentum(0.7, 0.8, 0.6), Averaged(0.3, 0.7),
        hb.AggregatedMomentum(0.1, (0.0, 0.9, 0.99)), TwoMomenta(0.1, 0.2, 0.9), Extragradient(0.1, 0.5),
        hb.TripleMomentum(0.1, 0.7, 0.4),
    ], ids=lambda m: type(m).__name__)  # fmt: skip
    @pytest.mark.parametrize("delay", [0, 1, 6])
    def test_any_rule_stands_on_its_limit(self, method, delay):
        found = delay_limits(method, [delay], parameter="curvature")
        edge = found.limit[0]
        modes = hb.analyze_modes(Delayed(method, delay), edge * np.array([1e-3, 0.5, 1 - 1e-6, 1, 1 + 1e-6]))
        assert_array_equal(modes.stable[[0, 1, 2]], True)
        assert not modes.stable[4]
        assert_allclose(modes.rate[3], 1, atol=1e-9)
        assert_allclose(np.abs(np.abs(np.angle(modes.poles[3])) - found.frequency[0]).min(), 0, atol=1e-6)

    def test_asymptotes(self):
        """For long delays all that counts is the gain on slow signals."""
        beta = np.array([0.0, 0.5, 0.9])
        for kind in (hb.HeavyBall, hb.Nesterov):
            limit = delay_limits(kind(1.0, beta), [100_000]).limit[:, 0]
            assert_allclose(limit * 2 * 100_000 / (np.pi * (1 - beta)), 1, rtol=2e-4)

    @pytest.mark.parametrize("kind", [hb.HeavyBall, hb.Nesterov])
    def test_momentum_of_one_and_more_bears_nothing(self, kind):
        limit = delay_limits(kind(1.0, np.array([1.0, 1.05])), [1, 5, 50]).limit
        assert_array_equal(limit, 0)
        assert_array_equal(delay_limits(hb.HeavyBall(1.0, 1.0), [0]).limit, 0)
        assert_allclose(delay_limits(hb.Nesterov(1.0, 1.0), [0]).limit, 4 / 3)

    def test_slow_friction(self):
        for gap in (1e-3, 1e-5, 1e-6):
            assert_allclose(delay_limits(hb.HeavyBall(1.0, 1 - gap), [1]).limit, gap, rtol=1e-6)

    @given(st.lists(st.floats(-0.5, 0.995), min_size=1, max_size=4), st.lists(st.integers(0, 40), min_size=1))
    @settings(max_examples=20)
    def test_batches_agree_with_their_elements(self, momenta, delays):
        beta, bend = np.array(momenta), np.linspace(0.5, 2.0, len(momenta))
        whole = delay_limits(hb.Nesterov(1.0, beta), delays, bend)
        assert whole.limit.shape == (len(beta), len(delays))
        for i in range(len(beta)):
            one = delay_limits(hb.Nesterov(0.3, momenta[i]), delays, float(bend[i]))
            assert_allclose(whole.limit[i], one.limit, rtol=1e-13)
            assert_allclose(whole.frequency[i], one.frequency, rtol=1e-12)

    def test_grids_units_and_words(self):
        grid = hb.HeavyBall(1.0, np.array([[0.0], [0.5]]))
        found = delay_limits(grid, [0, 3], np.array([1.0, 10.0, 100.0]))
        assert found.limit.shape == (2, 3, 2)
        assert_allclose(found.limit[:, 1], found.limit[:, 0] / 10, rtol=1e-14)
        assert found.labels == ("momentum 0",) * 3 + ("momentum 0.5",) * 3
        assert "momentum 0.5: stable up to lr = 3 at delay 0" in str(found)
        assert pickle.loads(pickle.dumps(found)).summary() == found.summary()
        varied = delay_limits(hb.HeavyBall(np.array([0.1, 0.4]), 0.5), [2], parameter="curvature")
        assert_allclose(varied.limit[0], 4 * varied.limit[1], rtol=1e-13)

    def test_schedules(self):
        method = hb.HeavyBall(lambda k: 1 / (k + 1), lambda k: k / (k + 3))
        assert_allclose(delay_limits(method, [1], k=27).limit, 0.1)
        with pytest.raises(ValueError, match="varies in time"):
            delay_limits(method, [1])

    def test_bad_input(self):
        method = hb.GradientDescent(1.0)
        for delays in ([-1], [0.5], [1, np.nan]):
            with pytest.raises(ValueError, match="`delays` must be"):
                delay_limits(method, delays)
        with pytest.raises(ValueError, match="`delays` must be a one-dimensional array of whole numbers"):
            delay_limits(method, np.zeros((2, 2)))
        with pytest.raises(TypeError, match="`method` must be a method, in discrete time"):
            delay_limits(hb.GradientFlow(), [1])
        with pytest.raises(ValueError, match="RMSProp is not linear"):
            delay_limits(hb.RMSProp(0.1), [1])
        with pytest.raises(ValueError, match=r"`curvature` must be > 0. Received -1.0"):
            delay_limits(method, [1], -1.0)
        with pytest.raises(ValueError, match="`parameter` must be one of 'lr', 'curvature'"):
            delay_limits(method, [1], parameter="momentum")
        with pytest.raises(TypeError, match="dataclass with a field lr"):
            delay_limits(hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.1, "runge_kutta4"), [1])
        with pytest.raises(ValueError, match="a factor of its loop gain"):
            delay_limits(hb.PIDMomentum(0.1, 0.8, 0.3), [1])


@pytest.mark.parametrize("method", [hb.GradientDescent(0.3), hb.HeavyBall(0.1, 0.9), hb.Nesterov(0.1, 0.9)])
@pytest.mark.parametrize("delay", [1, 3, 8])
def test_the_delayed_rule_is_the_padded_loop_of_python_control(method, delay):
    late = control.ss2tf(hb.linearize(method)) * control.tf([1], [1, *[0] * delay], 1)
    closed = control.feedback(late, 1, sign=1)
    theirs = np.sort_complex(control.poles(control.minreal(closed, verbose=False)))
    ours = hb.analyze_modes(Delayed(method, delay), [1.0]).poles[0]
    # A zero at z = 0 takes one of the poles there away.
    assert_allclose(np.sort_complex(ours[np.abs(ours) > 1e-9])[-len(theirs) :], theirs, atol=1e-6)


@dataclass(frozen=True)
class Forgetting:
    """x⁺ = keep·x - lr·g."""

    lr: Any
    keep: Any

    def init(self, position, velocity, objective):
        return hb.PositionState(position)

    def step(self, k, state, objective):
        return hb.PositionState(self.keep * state.position - self.lr * objective.gradient(state.position))


class TestMargins:
    def test_gradient_descent(self):
        q = np.geomspace(1e-6, 1.99, 30)
        found = largest_delay(hb.GradientDescent(1.0), q)
        omega = 2 * np.arcsin(q / 2)
        assert_allclose(found.frequency, omega, rtol=1e-9)
        assert_allclose(found.margin, np.pi / (2 * omega) - 0.5, rtol=1e-9, atol=1e-9)

    def test_flows(self):
        bend = np.array([0.1, 1.0, 30.0])
        assert_allclose(largest_delay(hb.GradientFlow(), bend).margin, np.pi / (2 * bend), rtol=1e-12)
        mass, damping = np.array([0.5, 2.0]), 0.7
        found = largest_delay(hb.HeavyBallFlow(mass, damping), bend)
        m, c = mass[:, None], damping
        square = (-(c**2) + np.sqrt(c**4 + 4 * m**2 * bend**2)) / (2 * m**2)
        omega = np.sqrt(square)
        assert_allclose(found.frequency, omega, rtol=1e-10)
        assert_allclose(found.margin, np.arctan2(c, m * omega) / omega, rtol=1e-10)
        assert not found.discrete
        assert "units of time" in str(found)

    def test_margin_and_limit_are_inverse(self):
        for method in (hb.HeavyBall(1.0, 0.9), hb.Nesterov(1.0, 0.6), hb.QuasiHyperbolicMomentum(1.0, 0.8, 0.6)):
            limits = delay_limits(method, np.arange(1, 40), parameter="curvature").limit
            assert_allclose(largest_delay(method, limits * (1 - 1e-12)).margin, np.arange(1, 40), rtol=1e-6)
            assert_array_equal(largest_delay(method, limits * (1 - 1e-6)).whole, np.arange(1, 40))

    @pytest.mark.parametrize("method", [
        hb.HeavyBall(0.1, 0.9), hb.Nesterov(0.1, 0.9), Averaged(0.3, 0.7), TwoMomenta(0.1, 0.2, 0.9),
        Extragradient(0.1, 0.5), hb.PIDMomentum(0.1, 0.8, 0.3),
        hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.3, "semi_implicit_euler"),
    ], ids=lambda m: type(m).__name__)  # fmt: skip
    def test_whole_delays_by_brute_force(self, method):
        bend = np.array([0.2, 0.4, 1.3])
        for value, whole in zip(bend, largest_delay(method, bend).whole, strict=True):
            for delay in range(int(whole) + 1):
                assert hb.analyze_modes(Delayed(method, delay), [value]).stable[0]
            assert not hb.analyze_modes(Delayed(method, int(whole) + 1), [value]).stable[0]

    def test_a_third_order_flow(self):
        found = largest_delay(Maxwell(1.0, 1.0, 1.0), 1.0)
        matrices = hb.state_matrices(Maxwell(1.0, 1.0, 1.0))
        s = 1j * found.frequency[0]
        loop = -(matrices.C @ np.linalg.solve(s * np.eye(3) - matrices.A, matrices.B))[0, 0]
        assert_allclose(loop * np.exp(-s * found.margin[0]), -1, atol=1e-10)

    def test_nothing_to_lose_and_nothing_left(self):
        never = largest_delay(Forgetting(0.1, 0.5), 1.0)
        assert never.margin[0] == np.inf
        assert never.whole[0] == np.inf
        assert np.isnan(never.frequency[0])
        assert str(never) == "any delay is borne by all modes"
        gone = largest_delay(hb.GradientDescent(1.0), [-1.0, 0.0, 2.5])
        assert_array_equal(gone.margin, 0)
        assert_array_equal(gone.whole, -1)

    def test_exactly_at_the_limit_of_three_steps(self):
        """The margin is 3 but for rounding: there a pole is on the circle."""
        found = largest_delay(hb.GradientDescent(1.0), 2 * np.sin(np.pi / 14))
        assert_allclose(found.margin, 3.0, rtol=1e-12)
        assert_array_equal(found.whole, 2)
        assert_array_equal(hb.robustness(hb.GradientDescent(1.0), 2 * np.sin(np.pi / 14)).delay_steps, 2)

    def test_empty_batches(self):
        for rule in (hb.HeavyBall(np.zeros(0), 0.5), Extragradient(np.zeros(0), 0.5)):
            found = largest_delay(rule, [1.0, 2.0])
            assert found.margin.shape == found.whole.shape == found.frequency.shape == (0, 2)
            assert str(found) == "no modes"
            limits = delay_limits(rule, [0, 1, 2], parameter="curvature")
            assert limits.limit.shape == limits.frequency.shape == (0, 3)
            assert str(limits) == ""
        assert delay_limits(hb.HeavyBall(1.0, 0.5), [0, 1], np.zeros(0)).limit.shape == (0, 2)

    def test_a_gain_above_one_at_the_fastest_frequency(self):
        method = Forgetting(-0.5, -0.9)
        assert hb.analyze_modes(method, [1.0]).stable[0]
        assert not hb.analyze_modes(Delayed(method, 1), [1.0]).stable[0]
        found = largest_delay(method, 1.0)
        assert found.whole[0] == 0
        assert found.margin[0] <= 1

    @given(st.lists(st.floats(0.001, 0.3), min_size=1, max_size=4), st.floats(0.0, 0.98))
    @settings(max_examples=20)
    def test_batches_agree_with_their_elements(self, rates, beta):
        bend = np.array([0.01, 0.3, 1.0])
        whole = largest_delay(hb.HeavyBall(np.array(rates), beta), bend)
        for i, lr in enumerate(rates):
            assert_allclose(whole.margin[i], largest_delay(hb.HeavyBall(lr, beta), bend).margin, rtol=1e-11)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="RMSProp is not linear"):
            largest_delay(hb.RMSProp(0.1), 1.0)
        with pytest.raises(ValueError, match="`curvature` must have shape"):
            largest_delay(hb.GradientDescent([0.1, 0.2]), np.ones((3, 2)))
        with pytest.raises(TypeError, match="frozen with k="):
            largest_delay(hb.GradientDescent(0.1), 1.0, t=3.0)
