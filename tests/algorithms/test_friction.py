"""Friction laws: force, dissipation, implicit step, and the flow that they brake, against closed forms."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.friction import PowerFriction

FLAT = hb.Quadratic([0.0])
PLANE = hb.Quadratic([0.0, 0.0])
POWERS = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


class TestForce:
    @pytest.mark.parametrize("power", POWERS)
    def test_is_against_the_motion_and_isotropic(self, power, rng):
        law, velocity = PowerFriction(0.7, power), rng.normal(size=(5, 3))
        speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
        assert_allclose(law.force(velocity), -0.7 * speed ** (power - 1) * velocity, rtol=1e-14)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        assert_allclose(law.force(velocity @ turn), law.force(velocity) @ turn, rtol=1e-13, atol=1e-15)

    @pytest.mark.parametrize("power", POWERS)
    def test_dissipation_is_the_power_of_the_force(self, power, rng):
        law, velocity = PowerFriction(0.7, power), rng.normal(size=(5, 3))
        assert_allclose(law.dissipation(velocity)[:, 0], -np.sum(law.force(velocity) * velocity, axis=-1), rtol=1e-14)

    @pytest.mark.parametrize("power", POWERS)
    @pytest.mark.parametrize("dim", [1, 3])
    def test_at_rest_and_near_it(self, power, dim):
        law = PowerFriction(0.7, power)
        assert_array_equal(law.force(np.zeros((2, dim))), np.zeros((2, dim)))
        assert_array_equal(law.dissipation(np.zeros((2, dim))), np.zeros((2, 1)))
        for tiny in (5e-324, 1e-200, 1e200 if power <= 1 else 1e100):
            velocity = np.zeros(dim)
            velocity[0] = tiny
            assert_allclose(law.force(velocity)[0], -0.7 * tiny**power, rtol=1e-14)

    def test_viscous_is_linear_to_the_last_digit(self, rng):
        velocity = rng.normal(size=(7, 1))
        assert_allclose(PowerFriction(0.7, 1.0).force(velocity), -0.7 * velocity, rtol=3e-16)

    def test_batches(self, rng):
        velocity, a, p = rng.normal(size=(4, 3, 2)), rng.random(3), np.array([0.0, 0.5, 2.0])
        law = PowerFriction(a[:, None], p[:, None])
        for i in range(3):
            one = PowerFriction(a[i], p[i])
            assert_allclose(law.force(velocity)[:, i], one.force(velocity[:, i]), rtol=1e-15)
            assert_allclose(law.proximal(velocity, 0.3)[:, i], one.proximal(velocity[:, i], 0.3), rtol=1e-14)

    def test_dry_friction_holds_at_rest_no_harder_than_it_is_pulled(self):
        law, rest = PowerFriction(2.0, 0.0), np.zeros((3, 2))
        pull = np.array([[0.3, 0.4], [3.0, 4.0], [0.0, 0.0]])
        assert_allclose(law.reaction(rest, pull), [[-0.3, -0.4], [-1.2, -1.6], [0.0, 0.0]], rtol=1e-15)
        assert_array_equal(law.reaction(pull + 1, pull), law.force(pull + 1))
        assert_array_equal(PowerFriction(2.0, 0.5).reaction(rest, pull), rest)

    def test_symbols(self):
        sympy = pytest.importorskip("sympy")
        a, p, v = sympy.symbols("a p v", positive=True)
        assert sympy.simplify(PowerFriction(a, p).force(v) + a * v**p) == 0
        assert PowerFriction(a, 1).force(-v) == a * v
        assert sympy.simplify(PowerFriction(a, p).dissipation(-v) - a * v ** (p + 1)) == 0
        w = sympy.Symbol("w", positive=True)
        after = PowerFriction(a, 2).proximal(v, w)
        assert sympy.simplify(after + w * a * after**2 - v) == 0
        pair = np.array([3 * v, -4 * v], dtype=object)
        assert list(PowerFriction(a, sympy.Integer(0)).force(pair)) == [-3 * a / 5, 4 * a / 5]
        with pytest.raises(NotImplementedError, match="`power` must be 0, 1 or 2"):
            PowerFriction(a, p).proximal(v, w)


class TestProximal:
    def test_closed_forms(self):
        g = np.array([[3.0, 4.0], [0.03, -0.04], [0.0, 0.0]])
        assert_allclose(PowerFriction(2.0, 0.0).proximal(g, 0.5), [[2.4, 3.2], [0, 0], [0, 0]], rtol=1e-15)
        assert_allclose(PowerFriction(2.0, 1.0).proximal(g, 0.5), g / 2, rtol=1e-15)
        assert_allclose(PowerFriction(2.0, 2.0).proximal([12.0], 0.5), [3.0], rtol=1e-15)
        # r + √r = 6 and r + r³ = 10
        assert_allclose(PowerFriction(2.0, 0.5).proximal([-6.0], 0.5), [-4.0], rtol=1e-15)
        assert_allclose(PowerFriction(2.0, 3.0).proximal([6.0, 8.0], 0.5), [1.2, 1.6], rtol=1e-15)

    @given(
        power=st.floats(0.02, 20.0), log_a=st.floats(-25, 25), log_g=st.floats(-25, 25), log_w=st.floats(-5, 5),
    )  # fmt: skip
    def test_solves_its_equation(self, power, log_a, log_g, log_w):
        a, g, w = np.exp(log_a), np.exp(log_g), np.exp(log_w)
        r = float(PowerFriction(a, power).proximal(np.array([g]), w)[0])
        assert 0 <= r <= g
        assume(r > 1e-290)
        # What the equation leaves is what a change of r by a few units in the last place makes.
        friction = w * a * r**power
        assert abs(r + friction - g) <= 1e-14 * (g + power * friction) * max(1.0, 1 / power)

    @pytest.mark.parametrize("power", [0.3, 0.999, 1.001, 1.5, 2.5, 40.0])
    def test_against_a_bracketing_solver(self, power):
        for c in (1e-6, 1.0, 1e6):
            wanted = brentq(lambda r, c=c: r + c * r**power - 2.5, 0, 2.5, xtol=1e-300, rtol=1e-15, maxiter=2000)
            assert_allclose(PowerFriction(c, power).proximal([2.5], 1.0), [wanted], rtol=2e-14)

    @pytest.mark.parametrize("power", [0.0, 0.3, 1.0, 2.0, 2.5])
    def test_tiny_and_huge(self, power):
        law = PowerFriction(1.0, power)
        for g in (0.0, 5e-324, 1e-300, 1e300):
            r = float(law.proximal(np.array([g]), 1.0)[0])
            with np.errstate(all="ignore"):
                limit = min(g, float(np.float64(g) ** (1 / power))) if power else max(g - 1, 0.0)
            assert_allclose(r, limit / 2 if power == 1 else limit, rtol=1e-12, atol=5e-324)
        assert np.isnan(law.proximal([np.nan], 1.0)).all()

    def test_a_square_beyond_the_range_of_numbers(self):
        # r + w·r² = w at w = 1e200, and r + w·r² = g with w·g = 1e-400 (r = g) and 1e400 (r = √(g/w)).
        law = PowerFriction(1.0, 2.0)
        assert_allclose(law.proximal([1e200], 1e200), [1.0], rtol=1e-15)
        assert_allclose(law.proximal([1e-200], 1e-200), [1e-200], rtol=1e-15)
        assert_allclose(law.proximal([1e100], 1e300), [1e-100], rtol=1e-15)

    @pytest.mark.parametrize("power", POWERS)
    def test_no_friction_changes_no_bit(self, power, rng):
        velocity = rng.normal(size=(20, 3))
        assert_array_equal(PowerFriction(0.0, power).proximal(velocity, 0.3), velocity)
        assert_array_equal(PowerFriction(0.5, power).proximal(velocity, 0.0), velocity)

    @given(power=st.floats(0.0, 6.0), seed=st.integers(0, 1000))
    def test_never_expands(self, power, seed):
        # A proximal map of a convex function; friction against the motion is one.
        one, other = np.random.default_rng(seed).normal(size=(2, 3))
        law = PowerFriction(0.8, power)
        gap = np.linalg.norm(law.proximal(one, 0.7) - law.proximal(other, 0.7))
        assert gap <= np.linalg.norm(one - other) * (1 + 1e-14)


class TestFlow:
    def test_without_friction_nothing_changes(self, rng):
        position, velocity = rng.normal(size=(2, 4, 2))
        loss, plain = hb.Quadratic([1.0, 3.0]), hb.HeavyBallFlow(0.7, 0.4)
        for a, p in [(0.0, 0.0), (0.0, 0.5), (0.0, 2.0)]:
            flow = hb.HeavyBallFlow(0.7, 0.4, PowerFriction(a, p))
            state = flow.init(position, velocity, loss)
            for parts in zip(*(f.vector_field(0.0, state, loss) for f in (flow, plain)), strict=True):
                assert_array_equal(*parts)
            one, other = (hb.integrate(f, loss, position, velocity, duration=2.0) for f in (flow, plain))
            assert_array_equal(one.position, other.position)
            assert_array_equal(one.dissipation, other.dissipation)

    @pytest.mark.parametrize("power", POWERS)
    def test_energy_balance(self, power):
        flow = hb.HeavyBallFlow(0.7, 0.2, PowerFriction(0.4, power))
        times = np.linspace(0.0, 3.0, 30001)
        run = hb.integrate(flow, hb.rosenbrock(), [0.0, 0.5], [1.0, -0.5], times=times, rtol=1e-10)
        lost = np.trapezoid(run.dissipation, times)
        assert_allclose(run.energy[0] - run.energy[-1], lost, rtol=2e-6)
        rate = np.gradient(run.energy, times, edge_order=2)
        smooth = np.linalg.norm(run.velocity, axis=-1) > 0.05
        assert_allclose(rate[smooth], -run.dissipation[smooth], rtol=2e-3, atol=1e-4)

    def test_turbulent_friction_never_stops(self):
        a, m, v0 = 0.6, 1.5, 2.0
        flow, times = hb.HeavyBallFlow(m, 0.0, PowerFriction(a, 2.0)), np.append(0.0, np.geomspace(0.1, 1e5, 41))
        run = hb.integrate(flow, FLAT, [0.0], [v0], times=times, rtol=1e-11, atol=1e-14)
        assert_allclose(run.velocity[:, 0], v0 / (1 + a * v0 * times / m), rtol=1e-8)
        assert_allclose(run.position[:, 0], m / a * np.log1p(a * v0 * times / m), rtol=1e-8)
        # As far again in every decade: logarithmic for ever.
        late = [-11, -4, -1]
        assert_allclose(np.diff(run.position[late, 0]) / np.diff(np.log(times[late])), m / a, rtol=1e-3)

    def test_viscous_coasting_distance(self):
        m, gamma, v0 = 1.5, 0.6, 2.0
        for flow in (hb.HeavyBallFlow(m, gamma), hb.HeavyBallFlow(m, gamma / 3, PowerFriction(2 * gamma / 3, 1.0))):
            run = hb.integrate(flow, FLAT, [0.0], [v0], duration=80.0, rtol=1e-11)
            assert_allclose(run.position[-1], m * v0 / gamma, rtol=1e-9)

    @pytest.mark.parametrize("power", POWERS)
    def test_free_motion(self, power):
        """Finite stopping time iff p < 1, finite coasting distance iff p < 2."""
        a, m, v0 = 0.6, 1.5, 2.0
        flow = hb.HeavyBallFlow(m, 0.0, PowerFriction(a, power))
        times = np.append(0.0, np.geomspace(0.01, 1e4, 61))
        run = hb.integrate(flow, FLAT, [0.0], [v0], times=times, rtol=1e-11, atol=1e-13)
        if power == 1:
            speed, distance = v0 * np.exp(-a * times / m), m * v0 / a * -np.expm1(-a * times / m)
        else:
            # v^(1-p) = v0^(1-p) - (1-p)at/m, and x = m(v0^(2-p) - v^(2-p))/((2-p)a)
            speed = np.maximum(v0 ** (1 - power) - (1 - power) * a * times / m, 0.0) ** (1 / (1 - power))
            if power == 2:
                distance = m / a * np.log(v0 / speed)
            else:
                distance = m * (v0 ** (2 - power) - speed ** (2 - power)) / ((2 - power) * a)
        assert_allclose(run.velocity[:, 0], speed, rtol=1e-7, atol=1e-10)
        assert_allclose(run.position[:, 0], distance, rtol=1e-7, atol=1e-14)
        assert power == 1 or (run.velocity[-1, 0] == 0) == (power < 1)
        still_going = run.position[-1, 0] - run.position[-11, 0] > 0.1
        assert still_going == (power >= 2)

    def test_viscous_friction_is_damping(self):
        flow, plain = hb.HeavyBallFlow(2.0, 0.3, PowerFriction(0.5, 1.0)), hb.HeavyBallFlow(2.0, 0.8)
        curvature = [0.01, 0.08, 1.0]
        assert_allclose(hb.analyze_modes(flow, curvature).poles, hb.analyze_modes(plain, curvature).poles, rtol=1e-12)
        assert_allclose(hb.state_matrices(flow).A, hb.state_matrices(plain).A, rtol=1e-15)
        loss = hb.Quadratic([1.0, 9.0])
        one, other = (hb.integrate(f, loss, [0.0, 0.5], duration=2.0, method="Radau") for f in (flow, plain))
        assert_allclose(one.position, other.position, atol=1e-6)

    def test_two_dimensional_dry_friction_brakes_along_a_straight_line(self):
        flow = hb.HeavyBallFlow(2.0, 0.0, PowerFriction(0.5, 0.0))
        times = np.linspace(0.0, 30.0, 61)
        run = hb.integrate(flow, PLANE, [1.0, 2.0], [3.0, 4.0], times=times)
        along = np.array([0.6, 0.8])
        stop = 2.0 * 5.0 / 0.5
        t = np.minimum(times, stop)
        assert_allclose(run.position, [1.0, 2.0] + (5 * t - 0.125 * t**2)[:, None] * along, rtol=1e-9)
        assert_allclose(run.velocity, (5 - 0.25 * t)[:, None] * along, atol=1e-8)
        assert_array_equal(run.velocity[times > stop], 0.0)

    @pytest.mark.parametrize("power", [1.5, 2.0, 3.0])
    def test_general_schemes_keep_their_order(self, power):
        flow, loss = hb.HeavyBallFlow(1.0, 0.2, PowerFriction(0.4, power)), hb.Quadratic([[2.0, 0.5], [0.5, 1.0]])
        # From a start whose speed never vanishes on the way the field is smooth.
        start, velocity, end = [1.0, -0.5], [0.5, 2.0], 1.0
        exact = hb.integrate(flow, loss, start, velocity, times=[0.0, end], rtol=1e-13, atol=1e-14).position[-1]
        for name, order in [("explicit_euler", 1), ("runge_kutta4", 4)]:
            ends = [
                hb.iterate(hb.discretize(flow, end / n, name), loss, start, n, velocity=velocity).position[-1]
                for n in (40, 80)
            ]
            errors = [np.abs(last - exact).max() for last in ends]
            assert abs(np.log2(errors[0] / errors[1]) - order) < 0.2, (name, errors)


class TestRefusals:
    @pytest.mark.parametrize("name", ["coefficient", "power"])
    def test_bad_numbers(self, name):
        good = {"coefficient": 1.0, "power": 1.0}
        with pytest.raises(ValueError, match=f"`{name}` must be >= 0. Received -0.5"):
            PowerFriction(**{**good, name: -0.5})
        with pytest.raises(ValueError, match=rf"`{name}` must be >= 0. Received -2.0 at index \(1,\)"):
            PowerFriction(**{**good, name: [1.0, -2.0]})
        with pytest.raises(ValueError, match=f"`{name}` must be finite"):
            PowerFriction(**{**good, name: np.inf})
        with pytest.raises(TypeError, match=f"`{name}`"):
            PowerFriction(**{**good, name: "dry"})

    def test_axes_that_do_not_fit(self):
        with pytest.raises(ValueError, match="must broadcast"):
            PowerFriction(np.ones(2), np.ones(3))
        with pytest.raises(ValueError, match="must broadcast"):
            hb.HeavyBallFlow(np.ones(2), 1.0, PowerFriction(np.ones(3), 1.0))

    @pytest.mark.parametrize("wrong", [0.5, "dry", PowerFriction, (1.0, 0.0)])
    def test_no_friction_law(self, wrong):
        with pytest.raises(TypeError, match="`friction` must be a PowerFriction"):
            hb.HeavyBallFlow(1.0, 1.0, friction=wrong)

    @pytest.mark.parametrize("scheme", [
        "semi_implicit_euler", "implicit_friction", "exponential", "central", "nesterov", "dissipative_leapfrog",
        "implicit_midpoint",
    ])  # fmt: skip
    def test_schemes_that_know_damping_alone(self, scheme):
        with pytest.raises(TypeError, match=f"`friction` must be None for the scheme {scheme}"):
            hb.discretize(hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.1, 2.0)), 0.1, scheme)

    @pytest.mark.parametrize("scheme", ["explicit_euler", "runge_kutta4"])
    def test_schemes_step_over_where_a_body_sticks(self, scheme):
        for power in (0.0, 0.5, np.array([2.0, 0.0])):
            flow = hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.1, power))
            with pytest.raises(TypeError, match=f"`flow` must be smooth for the scheme {scheme}.*hb.FrictionMethod"):
                hb.discretize(flow, 0.1, scheme)
        with pytest.raises(TypeError, match="`flow` must be smooth"):
            hb.discretize(hb.RestartedNesterovFlow(), 0.1, scheme)
        for flow in (hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.1, 1.0)), hb.NesterovFlow()):
            assert hb.discretize(flow, 0.1, scheme).flow == flow

    def test_no_scheme_is_advised_that_would_be_refused(self):
        for power, advised in ((0.5, False), (1.5, True)):
            with pytest.raises(TypeError, match="hb.FrictionMethod") as caught:
                hb.discretize(hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.1, power)), 0.1, "central")
            assert ("runge_kutta4" in str(caught.value)) == advised

    @pytest.mark.parametrize("power", [0.0, 0.5, 2.0])
    def test_what_is_not_linear_has_no_poles(self, power):
        flow = hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.1, power))
        with pytest.raises(ValueError, match="not linear"):
            hb.analyze_modes(flow, [1.0])
        with pytest.raises(ValueError, match="not linear"):
            hb.iterate(hb.discretize(flow, 0.1, "modal_exact"), hb.Quadratic([1.0]), [1.0], 2)

    def test_modal_scheme_takes_viscous_friction(self):
        loss = hb.Quadratic([1.0, 4.0])
        runs = [
            hb.iterate(hb.discretize(flow, 0.1, "modal_exact"), loss, [1.0, 1.0], 20).position
            for flow in (hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.2, 1.0)), hb.HeavyBallFlow(1.0, 0.3))
        ]
        assert_allclose(*runs, atol=1e-13)

    def test_records(self):
        flow = hb.HeavyBallFlow(1.0, 0.1, PowerFriction(np.array([0.1, 0.2]), 2.0))
        assert pickle.loads(pickle.dumps(flow)) == flow
        assert flow != hb.HeavyBallFlow(1.0, 0.1)
        assert hash(flow) == hash(hb.HeavyBallFlow(1.0, 0.1, PowerFriction([0.1, 0.2], 2.0)))


class TestPortrait:
    def test_dry_friction(self):
        well = hb.from_sympy("(x**2 - 1)**2/4", "x")
        portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.1, PowerFriction(0.2, 0.0)), well)
        assert portrait.kind == ("sticking",) * 3
        assert_allclose(portrait.equilibria[:, 0], [-1.0, 0.0, 1.0], atol=1e-9)
        last = portrait.orbits[:, -1]
        resting = last[:, 1] == 0
        assert resting.sum() >= 4
        assert (np.abs(well.gradient(last[resting][:, :1])) <= 0.2 + 1e-6).all()

    def test_creeping(self):
        portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.0, PowerFriction(0.4, 0.5)), hb.Quadratic([1.0]))
        assert portrait.kind == ("creeping",)
        x, v = portrait.orbits[:, -1].T
        assert (x * v < 0).all()
        assert (np.abs(x) < 0.1).all()
