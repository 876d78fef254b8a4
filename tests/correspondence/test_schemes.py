"""Schemes: one table drives the measured orders; identities with integrators written out by hand."""

import pickle
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb

FLOW = hb.HeavyBallFlow(mass=2.0, damping=1.5)
BOWL = hb.from_sympy("cosh(x) + 2*y**2 + x**2*y**2/4 + x*y/2 + y**4/4", "x y")
QUADRATIC = hb.Quadratic([[3.0, 1.0], [1.0, 1.0]], linear=[0.5, -1.0])
START, VELOCITY = np.array([1.2, -0.7]), np.array([-0.4, 0.9])
ALL = {**hb.SCHEMES, **hb.C2D_SCHEMES}
MODAL = [name for name, scheme in ALL.items() if "quadratic" in scheme.requires]
TWO_POINT = ["semi_implicit_euler", "implicit_friction", "exponential", "central", "nesterov"]

# Loss, start, duration, and the coarser of the two numbers of steps for each order: fine enough for the leading term
# of the error to rule, coarse enough for it to stand above rounding.
LOSSES = {
    "bowl": (BOWL, START, VELOCITY, 1.0, {1: 400, 2: 200, 4: 20}),
    "rosenbrock": (hb.rosenbrock(), np.array([0.9, 0.7]), np.array([0.3, -0.2]), 0.5, {1: 1600, 2: 200, 4: 100}),
}
QUADRATICS = {
    "matrix": (QUADRATIC, START, VELOCITY, 2.0),
    "saddle": (hb.Quadratic([2.0, 0.0, -0.5], linear=[0.0, 0.3, 0.1]), np.ones(3), np.array([0.0, 1.0, -1.0]), 2.0),
}


def errors(scheme, flow, case, steps, reference=None):
    """Return the largest errors of position and velocity over twenty common times."""
    loss, position, velocity, duration = case[:4]
    times = np.linspace(0, duration, 21)
    exact = hb.integrate(reference or flow, loss, position, velocity, times=times, rtol=1e-12, atol=1e-13)
    method = hb.discretize(flow, duration / steps, scheme)
    run = hb.iterate(method, loss, position, steps, velocity=velocity, save_every=steps // 20)
    return np.array([np.abs(run.position - exact.position).max(), np.abs(run.velocity - exact.velocity).max(),
                     np.abs(run.energy - exact.energy).max()])  # fmt: skip


def measured(scheme, flow, case, steps, reference=None):
    return np.log2(np.divide(*(errors(scheme, flow, case, n, reference) for n in (steps, 2 * steps))))


class TestOrder:
    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize("name", hb.SCHEMES)
    def test_on_losses_that_are_no_quadratics(self, name, loss):
        scheme, case = hb.SCHEMES[name], LOSSES[loss]
        if "quadratic" in scheme.requires:
            with pytest.raises(TypeError, match=f"must be a quadratic for the scheme {name}, which needs its modes"):
                errors(name, FLOW, case, 20)
            return
        assert_allclose(measured(name, FLOW, case, case[4][scheme.order])[:2], scheme.order, atol=0.1)

    @pytest.mark.parametrize("loss", QUADRATICS)
    @pytest.mark.parametrize("name", ALL)
    def test_on_quadratics(self, name, loss):
        order, case = ALL[name].order, QUADRATICS[loss]
        if np.isinf(order):
            assert errors(name, FLOW, case, 20).max() < 2e-11  # that of the reference
        else:
            assert_allclose(measured(name, FLOW, case, {1: 400, 2: 100, 4: 20}[order])[:2], order, atol=0.1)

    @pytest.mark.parametrize("name", [name for name, scheme in hb.SCHEMES.items() if scheme.order in (2, 4)])
    def test_energy(self, name):
        order = hb.SCHEMES[name].order
        assert_allclose(measured(name, FLOW, LOSSES["bowl"], {2: 200, 4: 20}[order])[2], order, atol=0.1)

    def test_nesterov_follows_the_flow_with_hessian_damping(self):
        @dataclass(frozen=True)
        class CurvedFriction:
            """m x'' + γx' + b∇²f x' + ∇f = 0."""

            flow: Any
            extra: float

            def init(self, position, velocity, objective):
                return self.flow.init(position, velocity, objective)

            def vector_field(self, t, state, objective):
                moved, force = self.flow.vector_field(t, state, objective)
                bend = objective.hessian_product(state.position, state.velocity)
                return hb.PhaseState(moved, force - self.extra * bend / self.flow.mass)

        for case, steps in ((LOSSES["bowl"], 200), (LOSSES["rosenbrock"], 800)):
            found = []
            for n in (steps, 2 * steps):
                dt = case[3] / n
                momentum = hb.discretize(FLOW, dt, "nesterov").method.momentum
                found.append(errors("nesterov", FLOW, case, n, CurvedFriction(FLOW, momentum * dt))[:2])
            assert_allclose(np.log2(found[0] / found[1]), 2, atol=0.1)

    def test_any_flow(self):
        """The gradient flow has no velocity of its own: it is minus the gradient."""
        for name, order, steps in (("explicit_euler", 1, 400), ("runge_kutta4", 4, 40)):
            assert_allclose(measured(name, hb.GradientFlow(), LOSSES["bowl"], steps)[:2], order, atol=0.1)

    def test_a_flow_that_varies_in_time(self):
        @dataclass(frozen=True)
        class Cooling:
            damping: Any

            def init(self, position, velocity, objective):
                return hb.PhaseState(position, velocity)

            def vector_field(self, t, state, objective):
                friction = self.damping / (1 + t) * state.velocity
                return hb.PhaseState(state.velocity, -friction - objective.gradient(state.position))

        assert_allclose(measured("runge_kutta4", Cooling(3.0), LOSSES["bowl"], 20)[:2], 4, atol=0.1)
        assert_allclose(measured("explicit_euler", Cooling(3.0), LOSSES["bowl"], 400)[:2], 1, atol=0.1)

    def test_no_damping(self):
        still = hb.HeavyBallFlow(2.0, 0.0)
        for name, scheme in hb.SCHEMES.items():
            # Without friction the rules are one and the same: Störmer's, which is of order 2.
            order = 2 if name in ("semi_implicit_euler", "implicit_friction", "exponential") else scheme.order
            if np.isfinite(order):
                assert_allclose(measured(name, still, LOSSES["bowl"], {1: 800, 2: 200, 4: 20}[order])[:2], order,
                                atol=0.1)  # fmt: skip


class TestDeclarations:
    @pytest.mark.parametrize("name", ALL)
    def test_is_complete(self, name):
        scheme = ALL[name]
        assert scheme.name == name
        assert scheme.order > 0
        assert scheme.gradients_per_step >= 1
        assert scheme.requires <= {"hessian", "quadratic"}
        assert isinstance(hb.discretize(FLOW, 0.1, name), scheme)
        assert hb.discretize(FLOW, 0.1, scheme) == hb.discretize(FLOW, 0.1, name)

    @pytest.mark.parametrize("name", ["explicit_euler", "runge_kutta4", *TWO_POINT, "dissipative_leapfrog"])
    def test_gradients_per_step(self, name):
        asked = []
        loss = hb.Objective(BOWL.value, lambda x: asked.append(1) or BOWL.gradient(x), dim=2)
        method = hb.discretize(FLOW, 0.1, name)
        state = method.init(START, VELOCITY, loss)
        asked.clear()
        method.step(0, state, loss)
        assert len(asked) == method.gradients_per_step

    def test_tables_are_read_only(self):
        for table in (hb.SCHEMES, hb.C2D_SCHEMES):
            with pytest.raises(TypeError):
                table["mine"] = None


def steps_of(name, flow, dt, loss, count=30):
    return hb.iterate(hb.discretize(flow, dt, name), loss, START, count, velocity=VELOCITY)


class TestIdentities:
    m, c, h = 2.0, 1.5, 0.2

    def loop(self, advance, x, v, count=30):
        points = [(x, v)]
        for _ in range(count):
            points.append(advance(*points[-1]))
        return np.array([p[0] for p in points]), np.array([p[1] for p in points])

    def test_heavy_ball_is_semi_implicit_euler(self):
        """From the velocity half a step before the start, v₀ + (h/2m)(γv₀ + ∇f): then a kick and a drift."""
        m, c, h = self.m, self.c, self.h

        def advance(x, v):
            v = v - h / m * (c * v + BOWL.gradient(x))
            return x + h * v, v

        before = VELOCITY + h / (2 * m) * (c * VELOCITY + BOWL.gradient(START))
        x, v = self.loop(advance, START, before)
        run = steps_of("semi_implicit_euler", FLOW, h, BOWL)
        assert_allclose(run.position, x, rtol=0, atol=2e-15)
        bare = hb.iterate(hb.HeavyBall(h**2 / m, 1 - c * h / m), BOWL, START, 30, velocity=h * before)
        assert_allclose(run.position, bare.position, rtol=0, atol=2e-15)
        assert_allclose(bare.velocity / h, v, rtol=0, atol=1e-14)

    def test_central_is_velocity_verlet_with_friction(self):
        """Brünger, Brooks, Karplus 1984: half a kick with the old friction, drift, half a kick with the new one."""
        m, c, h = self.m, self.c, self.h

        def advance(x, v):
            half = v - h / (2 * m) * (c * v + BOWL.gradient(x))
            x = x + h * half
            return x, (half - h / (2 * m) * BOWL.gradient(x)) / (1 + c * h / (2 * m))

        x, v = self.loop(advance, START, VELOCITY)
        run = steps_of("central", FLOW, h, BOWL)
        assert_allclose(run.position, x, rtol=0, atol=1e-14)
        assert_allclose(run.velocity, v, rtol=0, atol=5e-14)

    def test_dissipative_leapfrog_without_friction_is_leapfrog(self):
        m, h = self.m, self.h

        def advance(x, v):
            x = x + h / 2 * v
            v = v - h / m * BOWL.gradient(x)
            return x + h / 2 * v, v

        x, v = self.loop(advance, START, VELOCITY)
        run = steps_of("dissipative_leapfrog", hb.HeavyBallFlow(m, 0.0), h, BOWL)
        assert_allclose(run.position, x, rtol=0, atol=1e-14)
        assert_allclose(run.velocity, v, rtol=0, atol=1e-14)

    def test_implicit_midpoint_is_the_bilinear_transform(self):
        m, c, h = self.m, self.c, self.h
        eye, zero = np.eye(2), np.zeros((2, 2))
        A = np.block([[zero, eye], [-QUADRATIC.matrix / m, -c / m * eye]])
        shift = np.concatenate([QUADRATIC.minimizer, np.zeros(2)])
        z = [np.concatenate([START, VELOCITY])]
        for _ in range(30):
            left, right = np.eye(4) - h / 2 * A, np.eye(4) + h / 2 * A
            z.append(shift + np.linalg.solve(left, right @ (z[-1] - shift)))
        for name in ("implicit_midpoint", "c2d_tustin"):
            run = steps_of(name, FLOW, h, QUADRATIC)
            assert_allclose(run.position, np.array(z)[:, :2], rtol=0, atol=1e-13)
            assert_allclose(run.velocity, np.array(z)[:, 2:], rtol=0, atol=1e-13)

    def test_implicit_midpoint_solves_its_equation(self):
        """z₊ - z = hF((z + z₊)/2) on a loss that is no quadratic, at a coarse dt."""
        method = hb.discretize(FLOW, 0.8, "implicit_midpoint")
        old = method.init(START, VELOCITY, BOWL)
        new = method.step(0, old, BOWL)
        middle = hb.PhaseState(*((a + b) / 2 for a, b in zip(old, new, strict=True)))
        slope = FLOW.vector_field(0, middle, BOWL)
        for a, b, f in zip(old, new, slope, strict=True):
            assert_allclose(b - a, 0.8 * f, rtol=1e-14, atol=1e-15)

    @pytest.mark.parametrize("pair", [
        ("explicit_euler", "c2d_euler"), ("modal_exact", "c2d_zoh"), ("modal_exact", "c2d_matched"),
    ], ids="-".join)  # fmt: skip
    @pytest.mark.parametrize("loss", [QUADRATIC, hb.Quadratic([1.0, -0.3], linear=[1.0, 0.0])], ids=["bowl", "saddle"])
    def test_same_steps(self, pair, loss):
        one, other = (steps_of(name, FLOW, self.h, loss) for name in pair)
        assert_allclose(one.position, other.position, rtol=1e-12, atol=1e-13)
        assert_allclose(one.velocity, other.velocity, rtol=1e-12, atol=1e-13)

    def test_explicit_euler_of_the_gradient_flow_is_gradient_descent(self):
        method = hb.discretize(hb.GradientFlow(), 0.1, "explicit_euler")
        assert method.method == hb.GradientDescent(0.1)
        one, other = (hb.iterate(rule, BOWL, START, 20) for rule in (method, hb.GradientDescent(0.1)))
        assert_array_equal(one.position, other.position)
        assert_array_equal(one.velocity, -BOWL.gradient(one.position))
        assert hb.discretize(FLOW, 0.1, "explicit_euler").method is None

    def test_runge_kutta_is_the_fourth_taylor_polynomial(self):
        modes = hb.analyze_modes(hb.discretize(FLOW, 0.4, "runge_kutta4"), [3.0])
        s = 0.4 * hb.analyze_modes(FLOW, [3.0]).poles
        wanted = 1 + s + s**2 / 2 + s**3 / 6 + s**4 / 24
        assert_allclose(np.sort_complex(modes.poles), np.sort_complex(wanted), atol=1e-14)

    @pytest.mark.parametrize("name", TWO_POINT)
    def test_bare_method_is_that_of_the_rule(self, name):
        scheme = hb.SCHEMES[name]
        physical = hb.Physical(self.m, self.c, self.h, scheme.rule, look_ahead=scheme.look_ahead)
        method = hb.discretize(FLOW, self.h, name)
        assert method.method == physical.method()
        start = method.init(START, VELOCITY, BOWL)
        bare = hb.iterate(method.method, BOWL, START, 20, velocity=start.velocity)
        assert_array_equal(steps_of(name, FLOW, self.h, BOWL, 20).position, bare.position)
        assert hb.to_physical(method.method, mass=self.m, rule=scheme.rule).order == method.order
        assert_allclose(hb.to_physical(method.method, mass=self.m, rule=scheme.rule).dt, self.h, rtol=1e-14)

    @pytest.mark.parametrize("name", ["central", "nesterov"])
    def test_start_is_that_of_physical(self, name):
        physical = hb.Physical(self.m, self.c, self.h)
        wanted = physical.start_displacement(VELOCITY, BOWL.gradient(START))
        found = hb.discretize(FLOW, self.h, name).init(START, VELOCITY, BOWL)
        assert_allclose(found.velocity, wanted, rtol=1e-15)

    def test_start_of_the_others_is_that_of_physical_to_third_order(self):
        for rule, name in (("explicit", "semi_implicit_euler"), ("implicit", "implicit_friction"),
                           ("exponential", "exponential")):  # fmt: skip
            gap = []
            for dt in (1e-3, 5e-4):
                wanted = hb.Physical(self.m, self.c, dt, rule).start_displacement(VELOCITY, BOWL.gradient(START))
                gap.append(np.abs(hb.discretize(FLOW, dt, name).init(START, VELOCITY, BOWL).velocity - wanted).max())
            assert_allclose(np.log2(gap[0] / gap[1]), 3, atol=0.1)


def jacobian(method, loss, state, step=1e-5):
    """Return the Jacobian of one step of a state of two positions and two velocities, by central differences."""
    z = np.concatenate(state)
    ends = z + step * np.concatenate([np.eye(4), -np.eye(4)])
    after = np.concatenate(method.step(0, hb.PhaseState(ends[:, :2], ends[:, 2:]), loss), axis=-1)
    return ((after[:4] - after[4:]) / (2 * step)).T


class TestPhaseVolume:
    def test_dissipative_leapfrog_is_conformally_symplectic(self):
        for dt in (0.05, 0.5):
            method = hb.discretize(FLOW, dt, "dissipative_leapfrog")
            J = jacobian(method, BOWL, method.init(START, VELOCITY, BOWL))
            assert_allclose(np.linalg.det(J), np.exp(-2 * FLOW.damping * dt / FLOW.mass), rtol=1e-8)
            skew = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
            assert_allclose(J.T @ skew @ J, np.exp(-FLOW.damping * dt / FLOW.mass) * skew, atol=1e-8)

    @pytest.mark.parametrize("name", [name for name in TWO_POINT if name != "nesterov"])
    def test_heavy_balls(self, name):
        for dt in (0.05, 0.5):
            method = hb.discretize(FLOW, dt, name)
            found = np.linalg.det(jacobian(method, BOWL, method.init(START, VELOCITY, BOWL)))
            assert_allclose(found, method.method.momentum**2, rtol=1e-8)
        exact = name == "exponential"
        assert (abs(found - np.exp(-2 * FLOW.damping * 0.5 / FLOW.mass)) < 1e-8) == exact

    def test_explicit_euler_is_unstable_where_the_heavy_ball_is_not(self):
        """math: stable only for hλ < γ while the poles are complex, that is q < 1 - β."""
        dt = 0.3
        bare = hb.discretize(FLOW, dt, "semi_implicit_euler").method
        edge = (1 - bare.momentum) / bare.lr
        for factor, stable in ((0.999, True), (1.001, False)):
            assert hb.analyze_modes(hb.discretize(FLOW, dt, "explicit_euler"), factor * edge).stable[0] == stable
            assert hb.analyze_modes(bare, factor * edge).stable[0]


numbers = st.floats(-3, 3)
fields = st.tuples(st.floats(0.1, 5), st.floats(0, 5), st.floats(0.01, 0.3))


class TestStart:
    @pytest.mark.parametrize("name", ALL)
    @given(values=st.lists(fields, min_size=1, max_size=3), x=numbers, v=numbers)
    def test_velocity_inverts_init(self, name, values, x, v):
        mass, damping, dt = np.array(values).T
        if name == "semi_implicit_euler":
            dt = np.minimum(dt, mass / np.maximum(damping, 1e-3))
        loss = QUADRATIC if name in MODAL else BOWL
        position, velocity = np.array([x, 0.5]), np.array([v, -1.0])
        run = hb.iterate(hb.discretize(hb.HeavyBallFlow(mass, damping), dt, name), loss, position, 0, velocity=velocity)
        wanted = np.broadcast_to(velocity, (len(dt), 2))
        pull = np.abs(loss.gradient(position)).max() * dt / mass  # the kick of one step is added and taken off again
        assert np.all(np.abs(run.velocity[:, 0] - wanted) <= 1e-14 * (1 + np.abs(velocity).max() + pull[:, None]))
        energy = loss.value(position) + 0.5 * mass * np.sum(velocity**2)
        assert_allclose(run.energy[:, 0], energy, rtol=1e-12)

    @pytest.mark.parametrize("name", hb.SCHEMES)
    def test_a_run_goes_on_from_its_state(self, name):
        loss = QUADRATIC if name in MODAL else BOWL
        method = hb.discretize(hb.HeavyBallFlow(2.0, np.array([0.0, 1.5])), 0.1, name)
        whole = hb.iterate(method, loss, START, 12, velocity=VELOCITY)
        first = hb.iterate(method, loss, START, 5, velocity=VELOCITY)
        rest = hb.iterate(method, loss, first.state, 7, first_step=5)
        for field in ("position", "velocity"):
            assert_array_equal(getattr(rest, field), getattr(whole, field)[:, 5:])
        assert_array_equal(rest.energy, whole.energy[:, 5:])

    def test_no_momentum_is_no_pole(self):
        """At γh = 2m the central rule is gradient descent from the start on, at γh = m the explicit one."""
        for name, dt in (("central", 2.0), ("nesterov", 2.0), ("semi_implicit_euler", 1.0)):
            method = hb.discretize(hb.HeavyBallFlow(1.0, 1.0), dt, name)
            assert method.method.momentum == 0
            run = hb.iterate(method, hb.Quadratic([0.1]), [1.0], 1, velocity=[0.7])
            assert_allclose(run.velocity[0], [0.7], rtol=1e-15)
            assert_allclose(run.position[1], 1 - method.method.lr * 0.1, rtol=1e-15)

    def test_huge_damping(self):
        """x' = -∇f/γ = 0 remains; where friction and kick are split, gradient descent of its own remains."""
        flow, h = hb.HeavyBallFlow(1.0, 1e8), 0.1
        for name, lr in (("implicit_friction", 0), ("implicit_midpoint", 0), ("modal_exact", 0), ("c2d_matched", 0),
                         ("exponential", h**2), ("dissipative_leapfrog", h**2 / 2)):  # fmt: skip
            run = hb.iterate(hb.discretize(flow, h, name), hb.Quadratic([1.0]), [1.0], 10)
            assert_allclose(run.position[-1], [(1 - lr) ** 10], atol=1e-6)


class Orbit(NamedTuple):
    position: Any
    momentum: Any


@dataclass(frozen=True)
class Hamiltonian:
    """x' = p/m, p' = -∇f: a flow whose state holds no velocity."""

    mass: Any

    def init(self, position, velocity, objective):
        return Orbit(position, self.mass * velocity)

    def vector_field(self, t, state, objective):
        return Orbit(state.momentum / self.mass, -objective.gradient(state.position))

    def kinetic_energy(self, state):
        return np.sum(state.momentum**2, axis=-1, keepdims=True) / (2 * self.mass)


class TestOtherFlows:
    @pytest.mark.parametrize("name", ["explicit_euler", "runge_kutta4", "modal_exact", "c2d_tustin"])
    def test_a_state_of_its_own(self, name):
        one = steps_of(name, Hamiltonian(2.0), 0.1, QUADRATIC)
        other = steps_of(name, hb.HeavyBallFlow(2.0, 0.0), 0.1, QUADRATIC)
        for field in ("position", "velocity", "energy"):
            assert_allclose(getattr(one, field), getattr(other, field), rtol=1e-12, atol=1e-13)

    def test_a_velocity_that_the_state_does_not_tell(self):
        @dataclass(frozen=True)
        class Hurried:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def vector_field(self, t, state, objective):
                return hb.PositionState(-(1 + t) * objective.gradient(state.position))

        run = steps_of("runge_kutta4", Hurried(), 0.1, QUADRATIC)
        assert np.isfinite(run.position).all()
        assert np.isnan(run.velocity[1:]).all()

    def test_a_hyperparameter_named_velocity(self):
        @dataclass(frozen=True)
        class Named:
            velocity: Any

            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                return hb.PositionState(state.position - self.velocity * objective.gradient(state.position))

        run = hb.iterate(Named(0.1), QUADRATIC, START, 3)
        assert_allclose(run.velocity[1:], np.diff(run.position, axis=0), rtol=1e-14, atol=1e-15)


class TestBatches:
    @pytest.mark.parametrize("name", ALL)
    @given(values=st.lists(fields, min_size=2, max_size=3))
    def test_an_element_is_the_element_of_the_batch(self, name, values):
        mass, damping, dt = np.array(values).T
        if name == "semi_implicit_euler":
            dt = np.minimum(dt, mass / np.maximum(damping, 1e-3))
        loss = QUADRATIC if name in MODAL else BOWL
        run = steps_of(name, hb.HeavyBallFlow(mass, damping), dt, loss, 4)
        for i in range(len(dt)):
            flow = hb.HeavyBallFlow(float(mass[i]), float(damping[i]))
            alone = steps_of(name, flow, float(dt[i]), loss, 4)
            for field in ("position", "velocity", "energy"):
                assert_allclose(getattr(run, field)[i], getattr(alone, field), rtol=1e-12, atol=1e-12)
            assert run.status[i] == alone.status

    @pytest.mark.parametrize("name", ALL)
    def test_a_grid(self, name):
        """Different axes of dt and of the flow span a grid; modes are one more axis, duplicates and all."""
        damping, dt = np.array([0.5, 1.0, 2.0]), np.array([[0.1], [0.2]])
        bends = np.array([1.0, 4.0, 1.0, 0.0, -1.0])
        method = hb.discretize(hb.HeavyBallFlow(1.0, damping), dt, name)
        run, modes = steps_of(name, method.flow, dt, QUADRATIC, 5), hb.analyze_modes(method, bends)
        assert run.position.shape == (2, 3, 6, 2)
        assert modes.poles.shape == (2, 3, 5, 2)
        for i, j in np.ndindex(2, 3):
            single = hb.discretize(hb.HeavyBallFlow(1.0, damping[j]), dt[i, 0], name)
            assert_allclose(modes.poles[i, j], hb.analyze_modes(single, bends).poles, rtol=1e-12, atol=1e-12)
            alone = steps_of(name, single.flow, single.dt, QUADRATIC, 5)
            assert_allclose(run.position[i, j], alone.position, rtol=1e-12)
        assert_array_equal(modes.damping[..., 0], modes.damping[..., 2])

    @pytest.mark.parametrize("name", ALL)
    def test_copies(self, name):
        method = hb.discretize(hb.HeavyBallFlow(1.0, np.array([0.5, 1.0])), np.array([0.1, 0.2]), name)
        loss = QUADRATIC if name in MODAL else BOWL
        wanted = hb.iterate(method, loss, START, 3)
        copy = pickle.loads(pickle.dumps(method))
        assert copy == method
        assert hash(copy) == hash(method)
        assert_array_equal(hb.iterate(copy, loss, START, 3).position, wanted.position)
        assert replace(method, dt=0.1) != method
        assert method != hb.discretize(method.flow, method.dt, "central" if name != "central" else "nesterov")
        with pytest.raises(ValueError, match="read-only"):
            copy.dt[0] = 1.0

    def test_what_was_computed_is_not_pickled(self):
        method = hb.discretize(FLOW, 0.1, "modal_exact")
        before = pickle.dumps(method)
        hb.iterate(method, QUADRATIC, START, 1)
        method.init(START, VELOCITY, QUADRATIC)
        assert pickle.dumps(method) == before

    def test_one_method_on_two_losses(self):
        method = hb.discretize(FLOW, 0.1, "modal_exact")
        for loss in (QUADRATIC, hb.Quadratic([5.0, 0.1]), QUADRATIC):
            state = method.init(START, VELOCITY, loss)
            again = hb.discretize(FLOW, 0.1, "modal_exact")
            for one, other in zip(method.step(0, state, loss), again.step(0, state, loss), strict=True):
                assert_array_equal(one, other)


class Spring:
    """λx²/2 with symbols, with the implicit step that theory needs."""

    dim = 1
    bend = sympy.Symbol("lambda")

    def gradient(self, position):
        return self.bend * position

    def proximal_point(self, position, weight):
        return position / (1 + weight * self.bend)


class TestSymbols:
    m, c, h = sympy.symbols("m gamma h", positive=True)
    x, v = sympy.symbols("x v")
    values = {m: 2.0, c: 1.5, h: 0.2, Spring.bend: 3.0, x: 0.7, v: -0.4}  # noqa: RUF012

    @pytest.mark.parametrize("name", [name for name in hb.SCHEMES if name not in MODAL])
    def test_step_and_start(self, name):
        symbolic = hb.discretize(hb.HeavyBallFlow(self.m, self.c), self.h, name)
        loss = Spring()
        state = symbolic.init(self.x, self.v, loss)
        assert sympy.simplify(symbolic.velocity(state, loss) - self.v) == 0
        new = symbolic.step(sympy.Symbol("k"), state, loss)
        found = [float(sympy.sympify(part).subs(self.values)) for part in (*new, symbolic.velocity(new, loss))]
        run = hb.iterate(hb.discretize(hb.HeavyBallFlow(2.0, 1.5), 0.2, name), hb.Quadratic([3.0]), [0.7], 1,
                         velocity=[-0.4])  # fmt: skip
        assert_allclose(found, [*np.ravel(run.state), run.velocity[1, 0]], rtol=1e-13)

    @pytest.mark.parametrize("name", [name for name in hb.SCHEMES if name not in MODAL])
    def test_arrays_of_symbols(self, name):
        symbolic = hb.discretize(hb.HeavyBallFlow(self.m, self.c), self.h, name)
        x, v = (np.array(sympy.symbols(f"{letter}:2"), dtype=object) for letter in "xv")
        new = symbolic.step(0, symbolic.init(x, v, Spring()), Spring())
        assert new.position.shape == (2,)
        assert x[0] in new.position[0].free_symbols

    @pytest.mark.parametrize("name", MODAL)
    def test_modes_need_numbers(self, name):
        with pytest.raises(TypeError, match=f"`dt` must be a number for the scheme {name}, no formula. Received h"):
            hb.discretize(FLOW, self.h, name)
        with pytest.raises(TypeError, match="`mass` must be a number to be run. Received the symbol m"):
            hb.iterate(hb.discretize(hb.HeavyBallFlow(self.m, 1.0), 0.1, name), QUADRATIC, START, 1)

    def test_characteristic_polynomial_of_the_midpoint_rule(self):
        method = hb.discretize(hb.HeavyBallFlow(self.m, self.c), self.h, "implicit_midpoint")
        new = method.step(0, hb.PhaseState(self.x, self.v), Spring())
        matrix = sympy.Matrix([[sympy.diff(part, old) for old in (self.x, self.v)] for part in new])
        z = sympy.Symbol("z")
        s = 2 / self.h * (z - 1) / (z + 1)
        flow = (self.m * s**2 + self.c * s + Spring.bend) * (z + 1) ** 2
        ratio = sympy.simplify(flow / matrix.charpoly(z).as_expr())
        assert z not in ratio.free_symbols


class TestProbe:
    def test_implicit_midpoint_is_asked_where_its_step_ends(self):
        damping, dt = np.array([0.0, 0.5, 3.0]), 0.3
        found = hb.state_matrices(hb.discretize(hb.HeavyBallFlow(2.0, damping), dt, "implicit_midpoint"))
        weight = dt**2 / (4 * 2.0 * (1 + damping * dt / 4))
        assert_allclose(found.D[:, 0, 0], -weight, rtol=1e-14)
        assert_allclose(found.C[:, 0], np.stack([np.ones(3), dt / 2 / (1 + damping * dt / 4)], -1), rtol=1e-14)

    @pytest.mark.parametrize("bend", [-1.0, 0.0, 0.5, 40.0, 1e6])
    def test_poles_are_the_bilinear_transform(self, bend):
        method = hb.discretize(FLOW, 0.3, "implicit_midpoint")
        s = 0.3 * hb.analyze_modes(FLOW, bend).poles[0]
        wanted = np.sort_complex((1 + s / 2) / (1 - s / 2))
        assert_allclose(np.sort_complex(hb.analyze_modes(method, bend).poles[0]), wanted, atol=1e-12)
        assert_allclose(np.sort_complex(hb.closed_loop(method, bend).poles()), wanted, atol=1e-9)
        sampled = hb.discretize(FLOW, 0.3, "c2d_tustin")
        assert_allclose(np.sort_complex(hb.analyze_modes(sampled, bend).poles[0]), wanted, atol=1e-12)

    def test_a_step_without_solution(self):
        """1 + wλ vanishes: s = 1 is a pole of the flow at λ = -2, and h = 2 sends it to infinity."""
        method = hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 2.0, "implicit_midpoint")
        with pytest.raises(ValueError, match=r"the implicit step has a solution. Received -2.0 at index \(1,\)"):
            hb.analyze_modes(method, [1.0, -2.0])
        run = hb.iterate(method, hb.Quadratic([-2.0]), [1.0], 3)
        assert run.status == hb.Status.DIVERGED

    @pytest.mark.parametrize("name", [name for name in hb.SCHEMES if name not in MODAL])
    def test_poles_follow_the_run(self, name):
        """x_{k+2} - (tr)x_{k+1} + (det)x_k = 0 for the poles of every scheme of order two."""
        method = hb.discretize(FLOW, 0.3, name)
        poles = hb.analyze_modes(method, 3.0).poles[0]
        x = hb.iterate(method, hb.Quadratic([3.0]), [1.0], 10, velocity=[0.5]).position[:, 0]
        assert_allclose(x[2:] - poles.sum().real * x[1:-1] + poles.prod().real * x[:-2], 0, atol=1e-14)


@dataclass(frozen=True)
class Backward:
    """Implicit Euler, a scheme of a user's own."""

    flow: Any
    dt: Any
    order = 1
    gradients_per_step = 1
    requires = frozenset({"hessian"})

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        drag = 1 + self.dt * self.flow.damping / self.flow.mass
        coasting = self.dt * state.velocity / drag
        moved = coasting + hb.proximal_step(objective, state.position + coasting, self.dt**2 / (self.flow.mass * drag))
        return hb.PhaseState(state.position + moved, moved / self.dt)


class TestUsersScheme:
    def test_is_backward_differences(self):
        one, other = (steps_of(name, FLOW, 0.2, QUADRATIC) for name in (Backward, "c2d_backward_diff"))
        assert_allclose(one.position, other.position, rtol=0, atol=1e-13)
        assert_allclose(one.velocity, other.velocity, rtol=0, atol=1e-13)
        for bend in (3.0, -1.0):
            mine, theirs = (hb.discretize(FLOW, 0.2, scheme) for scheme in (Backward, "c2d_backward_diff"))
            assert_allclose(hb.analyze_modes(mine, bend).poles, hb.analyze_modes(theirs, bend).poles, atol=1e-13)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_order(self, loss):
        assert_allclose(measured(Backward, FLOW, LOSSES[loss], LOSSES[loss][4][1])[:2], 1, atol=0.1)

    def test_lists_become_batch_axes(self):
        method = hb.discretize(FLOW, [0.1, 0.2], Backward)
        assert isinstance(method, Backward)
        assert hb.iterate(method, BOWL, START, 2).position.shape == (2, 3, 2)


class TestBadInput:
    @pytest.mark.parametrize("scheme", [*ALL, Backward])
    @pytest.mark.parametrize(("dt", "message"), [
        (0.0, r"`dt` must be > 0. Received 0.0"), (-0.1, r"`dt` must be > 0. Received -0.1"),
        (np.nan, "`dt` must be finite. Received nan"), (np.inf, "`dt` must be finite. Received inf"),
        ([0.1, -0.2], r"`dt` must be > 0. Received -0.2 at index \(1,\)"),
    ])  # fmt: skip
    def test_dt(self, scheme, dt, message):
        with pytest.raises(ValueError, match=message):
            hb.discretize(FLOW, dt, scheme)

    @pytest.mark.parametrize("scheme", [*ALL, Backward])
    def test_no_flow(self, scheme):
        with pytest.raises(TypeError, match=r"`flow` must be an instance. Received the class HeavyBallFlow: write "):
            hb.discretize(hb.HeavyBallFlow, 0.1, scheme)
        with pytest.raises(TypeError, match="`flow` must be a flow, in continuous time. Received the method HeavyBall"):
            hb.discretize(hb.HeavyBall(0.1, 0.9), 0.1, scheme)
        with pytest.raises(TypeError, match="a flow"):
            hb.discretize(None, 0.1, scheme)

    @pytest.mark.parametrize("name", [*TWO_POINT, "dissipative_leapfrog", "implicit_midpoint"])
    def test_a_flow_without_mass(self, name):
        with pytest.raises(TypeError, match=f"must be a HeavyBallFlow, with mass and damping, for the scheme {name}. "
                           r"Received GradientFlow\(\). explicit_euler and runge_kutta4 take every"):  # fmt: skip
            hb.discretize(hb.GradientFlow(), 0.1, name)

    def test_explicit_friction(self):
        with pytest.raises(ValueError, match=r"`dt` must be <= mass/damping = 1.33333 under explicit friction. "
                           r"Received 1.4. Beyond it the momentum 1 - damping·dt/mass is negative"):  # fmt: skip
            hb.discretize(FLOW, 1.4, "semi_implicit_euler")
        damping = np.array([0.0, 1.0, 10.0])
        with pytest.raises(ValueError, match=r"mass/damping = 1 under explicit friction. Received 2.0 at index \(1,\)"):
            hb.discretize(hb.HeavyBallFlow(1.0, damping), np.array([9.0, 2.0, 0.1]), "semi_implicit_euler")
        grid = hb.SCHEMES["semi_implicit_euler"].largest_dt(hb.HeavyBallFlow(1.0, damping))
        assert_array_equal(grid, [np.inf, 1.0, 0.1])
        assert abs(hb.discretize(hb.HeavyBallFlow(0.3, 0.7), 0.3 / 0.7, "semi_implicit_euler").method.momentum) < 1e-15
        assert hb.SCHEMES["central"].largest_dt(FLOW) == np.inf

    @pytest.mark.parametrize("name", [*TWO_POINT, "implicit_midpoint"])
    def test_negative_damping_out_of_reach(self, name):
        with pytest.raises(ValueError, match="`damping` must be > -2·mass/dt. Received -2.0. A smaller dt"):
            hb.discretize(hb.HeavyBallFlow(1.0, -2.0), 1.0, name)
        assert hb.discretize(hb.HeavyBallFlow(1.0, -2.0), 0.1, name)

    def test_implicit_friction_reaches_less_far(self):
        with pytest.raises(ValueError, match="-1·mass/dt under the implicit rule. Received -1.5"):
            hb.discretize(hb.HeavyBallFlow(1.0, -1.5), 1.0, "implicit_friction")

    @pytest.mark.parametrize("name", ["eulr", 3, None, hb.SCHEMES["central"](FLOW, 0.1)], ids=repr)
    def test_unknown_scheme(self, name):
        with pytest.raises(ValueError, match=r"`scheme` must be one of explicit_euler, .*c2d_zoh.* your own. Received"):
            hb.discretize(FLOW, 0.1, name)

    def test_types_that_are_no_schemes(self):
        @dataclass(frozen=True)
        class Flowing:
            flow: Any
            dt: Any

            def init(self, position, velocity, objective):
                return hb.PhaseState(position, velocity)

            def vector_field(self, t, state, objective):
                return state

        with pytest.raises(TypeError, match="must make a method of a flow. Received .*which made the flow .*Flowing"):
            hb.discretize(FLOW, 0.1, Flowing)
        with pytest.raises(TypeError, match="with the fields flow and dt. Received HeavyBall without dt and flow"):
            hb.discretize(FLOW, 0.1, hb.HeavyBall)
        with pytest.raises(TypeError, match="dataclass with the fields flow and dt. Received int without"):
            hb.discretize(FLOW, 0.1, int)

    def test_batches_that_do_not_broadcast(self):
        with pytest.raises(ValueError, match=r"Received `damping` \(3,\) and `dt` \(2,\)"):
            hb.discretize(hb.HeavyBallFlow(1.0, np.ones(3)), np.array([0.1, 0.2]), "central")

    def test_midpoint_without_hessian(self):
        loss = hb.Objective(BOWL.value, BOWL.gradient, dim=2)
        with pytest.raises(TypeError, match="`objective` must have an analytic Hessian for an implicit step"):
            hb.iterate(hb.discretize(FLOW, 0.1, "implicit_midpoint"), loss, START, 0)
        given = hb.Objective(BOWL.value, BOWL.gradient, BOWL.hessian, dim=2)
        one, other = (steps_of("implicit_midpoint", FLOW, 0.3, f) for f in (given, BOWL))
        assert_array_equal(one.position, other.position)


@pytest.mark.parametrize("use", [
    lambda kind: hb.discretize(hb.HeavyBallFlow(1.0, 1.0), 0.1, kind),
    lambda kind: hb.pole_map(kind, hb.HeavyBallFlow(1.0, 1.0), 0.1, 1.0),
    hb.stability_region,
    lambda kind: hb.compare(hb.HeavyBallFlow(1.0, 1.0), hb.Quadratic([1.0]), [1.0], schemes=[kind], dts=[0.2, 0.1],
                            duration=1.0),
])  # fmt: skip
@pytest.mark.parametrize("kind", [hb.HeavyBall, int])
def test_types_that_are_no_schemes_are_refused_everywhere(use, kind):
    with pytest.raises(TypeError, match=f"dataclass with the fields flow and dt. Received {kind.__name__} without"):
        use(kind)


@pytest.mark.parametrize("wrong", [None, 3.0, hb.Quadratic([1.0])])
def test_what_is_no_flow_is_refused_by_its_name(wrong):
    with pytest.raises(TypeError, match="`flow` must offer init and either step"):
        hb.discretize(wrong, 0.1, "central")


def test_exact_numbers_are_checked_like_others():
    flow = hb.HeavyBallFlow(1.0, 1.0)
    with pytest.raises(ValueError, match="`dt` must be > 0. Received -0.5"):
        hb.discretize(flow, sympy.Rational(-1, 2), "central")
    assert hb.discretize(flow, sympy.Rational(1, 2), "central").dt == sympy.Rational(1, 2)


def test_predicted_limits_reach_where_friction_underflows():
    """The probe meets exp(-γh/2m) below the smallest normal number: that is no reason to call a rule nonlinear."""
    found = hb.compare(hb.HeavyBallFlow(1.0, 1.0), hb.Quadratic([1.0973154362416107]), [1.0],
                       schemes=["dissipative_leapfrog"], dts=[0.2, 0.1], duration=1.0)  # fmt: skip
    assert_allclose(found.predicted_stable_dt, 2 / np.sqrt(1.0973154362416107), rtol=1e-5)
