"""Linear methods beyond the heavy ball: each against its paper's own words, and the published equivalences."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.aggregated import AggregatedMomentum
from heavyball_dynamics.algorithms.optimized_gradient import OptimizedGradient
from heavyball_dynamics.algorithms.quasi_hyperbolic import PIDMomentum, QuasiHyperbolicMomentum
from heavyball_dynamics.algorithms.robust_momentum import RobustMomentum
from heavyball_dynamics.algorithms.triple_momentum import TripleMomentum

START = np.array([1.2, -0.7])
PUSH = np.array([0.03, -0.11])
# Where transfer functions are compared: inside, on and outside the unit circle, off the real axis.
PLACES = np.array([0.3 + 0.4j, -0.8 + 0.1j, 1j, 1.5 - 0.7j, -2.0 + 1j])


def gradient(p):
    """Of ½x² + 2y² + ¼x²y² - cos(x + y), whose curvature changes."""
    x, y = p[..., 0], p[..., 1]
    bend = np.sin(x + y)
    return np.stack([x + 0.5 * x * y**2 + bend, 4 * y + 0.5 * x**2 * y + bend], axis=-1)


def value(p):
    x, y = p[..., 0], p[..., 1]
    return 0.5 * x**2 + 2 * y**2 + 0.25 * x**2 * y**2 - np.cos(x + y)


VALLEY = hb.Objective(value, gradient, dim=2)


def transfer(method, **frozen):
    """From the gradient received to the point where it is asked, at a few places."""
    m = hb.state_matrices(method, **frozen)
    order = len(m.A)
    return np.array([(m.C @ np.linalg.solve(z * np.eye(order) - m.A, m.B) + m.D)[0, 0] for z in PLACES])


def positions(method, start=START, push=None, steps=50):
    return hb.iterate(method, VALLEY, start, steps, velocity=push).position


def loop(step, memory, start=START, steps=50):
    """A literal loop: `step` takes position, gradient and memory."""
    position, points = start, [start]
    for _ in range(steps):
        position, memory = step(position, gradient(position), memory)
        points.append(position)
    return np.array(points)


def same(one, other):
    assert_allclose(one, other, rtol=1e-12, atol=1e-12)


class TestPapers:
    """Literal loops of the definitions."""

    @pytest.mark.parametrize("memory", [np.zeros(2), np.array([0.4, -0.2])])
    def test_quasi_hyperbolic(self, memory):
        lr, beta, nu = 0.13, 0.8, 0.7

        def step(theta, g, average):
            average = beta * average + (1 - beta) * g
            return theta - lr * ((1 - nu) * g + nu * average), average

        same(positions(QuasiHyperbolicMomentum(lr, beta, nu), push=-lr * memory), loop(step, memory))

    def test_pid_with_its_two_buffers(self):
        r, alpha, gain = 0.04, 0.8, 0.2

        def step(theta, g, memory):
            integral, derivative, before = memory
            integral = alpha * integral - r * g
            derivative = alpha * derivative + (1 - alpha) * (g - before)
            return theta + integral - gain * derivative, (integral, derivative, g)

        wanted = loop(step, (PUSH, np.zeros(2), np.zeros(2)))
        same(positions(PIDMomentum(r, alpha, gain), push=PUSH), wanted)

    def test_proportional_term_of_pid_is_nothing_new(self):
        r, p, alpha, gain = 0.04, 0.05, 0.8, 0.2

        def step(theta, g, memory):
            integral, derivative, before = memory
            integral = alpha * integral + g
            derivative = alpha * derivative + (1 - alpha) * (g - before)
            return theta - p * g - r * integral - gain * derivative, (integral, derivative, g)

        wanted = loop(step, (np.zeros(2),) * 3)
        same(positions(PIDMomentum(r + p * (1 - alpha), alpha, gain + p * alpha / (1 - alpha))), wanted)

    def test_aggregated(self):
        lr, betas = 0.06, (0.0, 0.9, 0.99)

        def step(theta, g, memory):
            memory = [b * v - g for b, v in zip(betas, memory, strict=True)]
            return theta + lr / 3 * sum(memory), memory

        same(positions(AggregatedMomentum(lr, betas)), loop(step, [np.zeros(2)] * 3))

    def test_triple_momentum(self):
        method = TripleMomentum(lr=0.11, momentum=0.6, query_lead=0.3, output_lead=0.9)
        before, now, outputs, queries = START - PUSH, START, [], []
        for _ in range(51):
            query = 1.3 * now - 0.3 * before
            queries.append(query)
            outputs.append(1.9 * now - 0.9 * before)
            before, now = now, 1.6 * now - 0.6 * before - 0.11 * gradient(query)
        run = hb.iterate(method, VALLEY, START, 50, velocity=PUSH)
        same(method.look_ahead(run), queries)
        same(method.output(run), outputs)


BALL = hb.HeavyBall(lr=0.05, momentum=0.8)
NESTEROV = hb.Nesterov(lr=0.05, momentum=0.8)


class TestKnownEnds:
    def test_quasi_hyperbolic(self):
        assert_allclose(transfer(QuasiHyperbolicMomentum(0.25, 0.8, 1.0)), transfer(BALL), rtol=1e-13)
        assert_allclose(transfer(QuasiHyperbolicMomentum(0.25, 0.8, 0.8)), transfer(NESTEROV), rtol=1e-13)
        plain = hb.GradientDescent(0.25)
        assert_allclose(transfer(QuasiHyperbolicMomentum(0.25, 0.8, 0.0)), transfer(plain), rtol=1e-13)
        same(positions(QuasiHyperbolicMomentum(0.25, 0.8, 1.0), push=PUSH), positions(BALL, push=PUSH))
        ema = hb.from_dialect("ema", lr=0.25, momentum=0.8)
        same(positions(QuasiHyperbolicMomentum(0.25, 0.8, 1.0)), positions(ema))
        same(positions(QuasiHyperbolicMomentum(0.25, 0.8, 0.0), push=PUSH), positions(plain))

    def test_a_short_memory_is_gradient_descent(self):
        same(positions(QuasiHyperbolicMomentum(0.25, 0.0, 0.6)), positions(hb.GradientDescent(0.25)))

    @pytest.mark.parametrize("method", [
        QuasiHyperbolicMomentum(0.25, 0.8, 0.8), PIDMomentum(0.05, 0.8, 0.2),
        AggregatedMomentum(0.05, (0.0, 0.8), (1.0, 0.8)),
    ], ids=lambda m: type(m).__name__)  # fmt: skip
    def test_nesterov_from_its_look_ahead_points(self, method):
        """QHM: Ma and Yarats, section 4.1. AggMo: Lucas et al., section 4, rates 2γ and 2βγ with K = 2."""
        assert_allclose(transfer(method), transfer(NESTEROV), rtol=1e-12)
        run = hb.iterate(NESTEROV, VALLEY, START, 50)
        same(positions(method), NESTEROV.look_ahead(run))

    def test_nesterov_on_the_move(self):
        run = hb.iterate(NESTEROV, VALLEY, START, 50, velocity=PUSH)
        ahead = START + 0.8 * PUSH
        same(positions(QuasiHyperbolicMomentum(0.25, 0.8, 0.8), ahead, PUSH), NESTEROV.look_ahead(run))
        same(positions(AggregatedMomentum(0.05, (0.0, 0.8), (1.0, 0.8)), ahead, PUSH), NESTEROV.look_ahead(run))

    def test_heavy_ball(self):
        for method in (PIDMomentum(0.05, 0.8, 0.0), AggregatedMomentum(0.05, (0.8,)), TripleMomentum(0.05, 0.8)):
            assert_allclose(transfer(method), transfer(BALL), rtol=1e-13)
            same(positions(method, push=PUSH), positions(BALL, push=PUSH))
        # Memories of one length are one memory.
        same(positions(AggregatedMomentum(0.05, (0.8, 0.8, 0.8)), push=PUSH), positions(BALL, push=PUSH))

    def test_triple_momentum_holds_nesterov(self):
        method = TripleMomentum(0.05, 0.8, query_lead=0.8)
        same(positions(method, push=PUSH), positions(NESTEROV, push=PUSH))
        run = hb.iterate(NESTEROV, VALLEY, START, 50, velocity=PUSH)
        same(method.look_ahead(run), NESTEROV.look_ahead(run))
        state = hb.PhaseState(START, PUSH)
        assert_array_equal(method.kinetic_energy(state), NESTEROV.kinetic_energy(state))


class TestQuasiHyperbolicRecovers:
    """Ma and Yarats 2019, table 1 and appendix C: other methods with other numbers, run against the methods."""

    @pytest.mark.parametrize("method", [
        TripleMomentum.for_class(0.4, 7.5), TripleMomentum.optimized_gradient(0.4, 7.5),
        RobustMomentum(0.4, 7.5, 0.8), RobustMomentum(0.4, 7.5, 0.9), TripleMomentum(0.1, 0.7, 1.3),
        TripleMomentum(0.1, -0.4, 0.2), NESTEROV, BALL,
    ], ids=repr)  # fmt: skip
    def test_two_point_forms(self, method):
        lead = {hb.Nesterov: 0.8, hb.HeavyBall: 0.0}.get(type(method))
        lead = method.query_lead if lead is None else lead
        other = QuasiHyperbolicMomentum.from_two_point(method.lr, method.momentum, lead)
        assert_allclose(transfer(other), transfer(method), rtol=1e-12)
        run = hb.iterate(method, VALLEY, START, 50, velocity=PUSH)
        same(positions(other, START + lead * PUSH, PUSH), run.position + lead * run.velocity)

    def test_printed_numbers_of_robust_momentum(self):
        """With κ and ρ as the appendix writes them."""
        strong, smooth, rho = 0.4, 7.5, 0.85
        kappa = smooth / strong
        alpha = kappa * (1 - rho) ** 2 * (1 + rho) / smooth
        b1 = kappa * rho**3 / (kappa - 1)
        b2 = rho**3 / ((kappa - 1) * (1 - rho) ** 2 * (1 + rho))
        method = RobustMomentum(strong, smooth, rho)
        assert_allclose([method.lr, method.momentum, method.query_lead], [alpha, b1, b2], rtol=1e-13)
        found = QuasiHyperbolicMomentum.from_two_point(alpha, b1, b2)
        assert_allclose([found.lr, found.discount], [alpha / (1 - b1), 1 - (1 - b1) / b1 * b2], rtol=1e-13)
        assert_allclose(transfer(found), transfer(method), rtol=1e-12)

    def test_recht_pid(self):
        """θ_{t+1} = θ_0 - k_P∇ - k_I Σ∇ - k_D e with e an average of changes: α = k_I, ν = k_P²/(k_I k_D), …"""
        gains = p, i, d = -0.9, 0.25, 3.6
        alpha, nu, beta = i, p**2 / (i * d), d / (d - p)

        def step(theta, g, memory):
            total, change, before = memory
            total, change = total + g, beta * change + (1 - beta) * (g - before)
            return START - p * g - i * total - d * change, (total, change, g)

        wanted = loop(step, (np.zeros(2),) * 3)
        same(positions(QuasiHyperbolicMomentum(alpha, beta, nu)), wanted)
        # Read the other way: the controller's proportional gain is negative wherever momentum helps.
        back = (-alpha * nu * beta / (1 - beta), alpha, alpha * nu * beta**2 / (1 - beta) ** 2)
        assert_allclose(back, gains, rtol=1e-12)

    def test_pid_optimizer(self):
        lr, beta, d = 0.04, 0.8, 0.3
        other = QuasiHyperbolicMomentum.from_two_point(lr, beta, d * (1 - beta) / lr)
        assert_allclose(transfer(PIDMomentum(lr, beta, d)), transfer(other), rtol=1e-12)
        same(positions(PIDMomentum(lr, beta, d)), positions(other))
        # Its third state only remembers the gradient: a pole at zero.
        assert_allclose(np.sort(np.abs(hb.analyze_modes(PIDMomentum(lr, beta, d), [3.0]).poles[0])),
                        np.append(0, np.sort(np.abs(hb.analyze_modes(other, [3.0]).poles[0]))), atol=1e-9)  # fmt: skip

    def accsgd(self, delta, kappa, xi, eps):
        """Kidambi et al. 2018, algorithm 3."""
        alpha = 1 - eps**2 * xi / kappa

        def step(w, g, far):
            far = alpha * far + (1 - alpha) * (w - kappa * delta / eps * g)
            return (eps * (w - delta * g) + (1 - alpha) * far) / (eps + 1 - alpha), far

        return loop(step, START)

    @pytest.mark.parametrize(("kappa", "xi", "eps"), [(1000.0, 10.0, 0.7), (30.0, 5.0, 0.9), (4.0, 2.0, 0.3)])
    def test_accsgd(self, kappa, xi, eps):
        delta = 0.04
        alpha = delta * eps * (1 + xi) / (1 + eps)
        nu = (eps * xi - 1) / (eps * (1 + xi))
        beta = (kappa - eps**2 * xi) / (kappa + eps * xi)
        same(positions(QuasiHyperbolicMomentum(alpha, beta, nu)), self.accsgd(delta, kappa, xi, eps))

    def test_accsgd_does_not_hold_nesterov(self, rng):
        """Kidambi et al. say it does; ν = β has no solution with ξ <= √κ and ε < 1."""
        kappa = rng.uniform(1, 1e4, 10000)
        xi, eps = np.sqrt(kappa) * rng.uniform(0, 1, kappa.shape), rng.uniform(1e-3, 1, kappa.shape)
        beta = (kappa - eps**2 * xi) / (kappa + eps * xi)
        assert (beta > (eps * xi - 1) / (eps * (1 + xi))).all()

    def test_two_equal_memories_with_a_plain_gradient(self):
        """AggMo (0, β) with the paper's equal weights is quasi-hyperbolic, and Nesterov's only as β → 1."""
        beta, lr = 0.8, 0.07
        other = QuasiHyperbolicMomentum(lr * (2 - beta) / (2 * (1 - beta)), beta, 1 / (2 - beta))
        assert_allclose(transfer(AggregatedMomentum(lr, (0.0, beta))), transfer(other), rtol=1e-12)
        same(positions(AggregatedMomentum(lr, (0.0, beta))), positions(other))
        gaps = []
        for near in (0.8, 0.98, 0.998):
            wanted = transfer(hb.Nesterov(lr, near))
            found = transfer(AggregatedMomentum(2 * lr, (0.0, near)))
            gaps.append(np.abs(found / wanted - 1).max())
        assert gaps[0] > 0.05
        assert_allclose(gaps[1] / gaps[2], 10, rtol=0.1)

    def test_is_not_the_heavy_ball_with_a_smaller_momentum(self):
        """Ma and Yarats, section 3: momentum νβ is another method."""
        assert not np.allclose(transfer(QuasiHyperbolicMomentum(0.25, 0.8, 0.5)),
                               transfer(QuasiHyperbolicMomentum(0.25, 0.4, 1.0)), rtol=0.01)  # fmt: skip


RULES: list[tuple[Any, str]] = [
    (QuasiHyperbolicMomentum(0.2, 0.8, 0.7), "lr"), (QuasiHyperbolicMomentum(0.2, 0.8, 0.7), "discount"),
    (PIDMomentum(0.05, 0.8, 0.1), "derivative"), (AggregatedMomentum(0.05, (0.0, 0.9, 0.99)), "lr"),
    (TripleMomentum(0.1, 0.7, 0.4, 1.0), "query_lead"), (RobustMomentum(0.3, 7.5, 0.9), "smoothness"),
    (OptimizedGradient(0.12, 30), "lr"),
]  # fmt: skip
ids = [f"{type(rule).__name__}-{name}" for rule, name in RULES]


def freeze(rule):
    return {"k": 7} if isinstance(rule, OptimizedGradient) else {}


@pytest.mark.parametrize(("rule", "name"), RULES, ids=ids)
class TestEveryRule:
    @given(factors=st.lists(st.floats(0.8, 1.1), min_size=1, max_size=4), data=st.data())
    def test_batch_axes(self, rule, name, factors, data):
        settings = getattr(rule, name) * np.array(factors)
        many = replace(rule, **{name: settings})
        start = np.array(data.draw(st.lists(st.floats(-2, 2), min_size=2, max_size=2)))
        run = hb.iterate(many, VALLEY, start, 20, velocity=PUSH)
        modes = hb.analyze_modes(many, [0.3, 2.0], **freeze(rule))
        for i, setting in enumerate(settings):
            alone = replace(rule, **{name: float(setting)})
            lone = hb.iterate(alone, VALLEY, start, 20, velocity=PUSH)
            assert_allclose(run.position[i], lone.position, rtol=1e-13, atol=1e-14)
            single = hb.analyze_modes(alone, [0.3, 2.0], **freeze(rule))
            assert_allclose(modes.rate[i], single.rate, rtol=1e-9)
            assert_array_equal(modes.damping[i], single.damping)

    def test_grids(self, rule, name):
        settings = getattr(rule, name) * np.array([0.9, 1.0, 1.05])[:, None]
        run = hb.iterate(replace(rule, **{name: settings}), VALLEY, np.tile(START, (2, 1)) * [[1.0], [0.5]], 5)
        assert run.position.shape == (3, 2, 6, 2)

    def test_runs_obey_the_characteristic_polynomial(self, rule, name):
        """Cayley and Hamilton: from every start the positions on a spring obey the recurrence of the poles."""
        if isinstance(rule, OptimizedGradient):
            one = hb.iterate(rule, hb.Quadratic([2.5]), [1.0], 9)
            matrices = hb.state_matrices(rule, k=8)
            before = np.array([one.position[8, 0], one.position[7, 0] * (1 - 2.5 * rule.lr)])
            moved = matrices.loop(np.array([2.5]))[0] @ before
            assert_allclose(moved, np.ravel(one.state), rtol=1e-12)
            return
        recurrence = np.real(np.poly(hb.analyze_modes(rule, [2.5]).poles[0]))
        x = hb.iterate(rule, hb.Quadratic([2.5]), [1.0], 60, velocity=[0.3]).position[:, 0]
        assert_allclose(np.convolve(x, recurrence, mode="valid")[1:], 0, atol=1e-9)

    def test_pickles_compares_and_hashes(self, rule, name):
        many = replace(rule, **{name: getattr(rule, name) * np.array([0.9, 1.0])})
        for one in (rule, many):
            for twin in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
                assert twin == one
                assert hash(twin) == hash(one)
        assert many != rule
        with pytest.raises(ValueError, match="read-only"):
            getattr(many, name)[0] = 3.0

    def test_resumes(self, rule, name):
        first = hb.iterate(rule, VALLEY, START, 12)
        second = hb.iterate(rule, VALLEY, first.state, 10, first_step=12)
        assert_allclose(second.position[-1], hb.iterate(rule, VALLEY, START, 22).position[-1], rtol=1e-14)

    def test_rejects_schedules_and_nan(self, rule, name):
        if name not in ("lr", "momentum"):
            with pytest.raises(TypeError, match=rf"`{name}` .* callable"):
                replace(rule, **{name: lambda k: 0.1})
        with pytest.raises(ValueError, match=rf"`{name}` must be finite. Received nan at index \(1,\)"):
            replace(rule, **{name: [getattr(rule, name), np.nan]})


class TestSymbols:
    lr, beta, nu, bend, z = sympy.symbols("eta beta nu lambda z", positive=True)

    def assert_is(self, method, wanted, **frozen):
        found = hb.characteristic_polynomial(method, curvature=self.bend, **frozen).as_expr()
        assert sympy.simplify(found.subs(sympy.Symbol("z"), self.z) - wanted) == 0

    def test_quasi_hyperbolic(self):
        q, b, n, z = self.lr * self.bend, self.beta, self.nu, self.z
        wanted = z**2 - (1 + b - q * (1 - n * b)) * z + b * (1 - q * (1 - n))
        self.assert_is(QuasiHyperbolicMomentum(self.lr, b, n), wanted)

    def test_controller(self):
        q, b, z = self.lr * self.bend, self.beta, self.z
        d = self.nu * self.bend * (1 - b)
        self.assert_is(PIDMomentum(self.lr, b, self.nu), z * (z**2 - (1 + b - q - d) * z + b - d))

    def test_aggregated(self):
        q, b, n, z = self.lr * self.bend, self.beta, self.nu, self.z
        memories = (z - b) * (z - n)
        self.assert_is(AggregatedMomentum(self.lr, (b, n)), (z - 1) * memories + q * z * ((z - b) + (z - n)) / 2)

    def test_two_point(self):
        q, b, g, z = self.lr * self.bend, self.beta, self.nu, self.z
        self.assert_is(TripleMomentum(self.lr, b, g), z**2 - (1 + b - q * (1 + g)) * z + b - q * g)

    def test_robust(self):
        low, high, rate = sympy.symbols("mu L rho", positive=True)
        method = RobustMomentum(low, high, rate)
        found = hb.characteristic_polynomial(method, curvature=low)
        assert sympy.simplify(found.as_expr().subs(sympy.Symbol("z"), rate)) == 0
        assert sympy.simplify(found.all_coeffs()[-1] - rate**3) == 0

    def test_optimized_gradient(self):
        q, z = self.lr * self.bend, self.z
        now, after = (sympy.Float(t, 17) for t in OptimizedGradient(0.1, 9).factors[3:5])
        a, b = (now - 1) / after, now / after
        found = hb.characteristic_polynomial(OptimizedGradient(self.lr, 9), curvature=self.bend, k=3).as_expr()
        wanted = z**2 - (1 + a - q * (1 + a + b)) * z + a * (1 - q)
        numbers = {self.lr: 0.3, self.bend: 1.7, self.z: 0.45}
        found = found.subs(sympy.Symbol("z"), self.z)
        assert_allclose(float(found.subs(numbers)), float(wanted.subs(numbers)), rtol=1e-12)

    def test_numbers_are_needed_to_run(self):
        with pytest.raises(TypeError, match="`lr` must be a number to be run"):
            hb.iterate(QuasiHyperbolicMomentum(self.lr, 0.5, 0.5), VALLEY, START, 1)


def test_stability_limits():
    """Where a pole meets -1."""
    b, n, g, bend = 0.8, 0.7, 0.3, np.array([0.5, 3.0])
    found = hb.stability_limit(QuasiHyperbolicMomentum(0.1, b, n), bend)
    assert_allclose(found, 2 * (1 + b) / (1 + b - 2 * n * b) / bend, rtol=1e-10)
    assert_allclose(hb.stability_limit(TripleMomentum(0.1, b, g), bend), 2 * (1 + b) / (1 + 2 * g) / bend, rtol=1e-10)
    pair = AggregatedMomentum(0.1, (b, n))
    assert_allclose(hb.stability_limit(pair, bend), 2 * (1 + b) * (1 + n) / (1 + (b + n) / 2) / bend, rtol=1e-10)


def test_controller_damps():
    """The derivative's purpose: less overshoot than the heavy ball of the same gains."""
    plain = hb.analyze_modes(PIDMomentum(0.05, 0.9, 0.0), [1.0])
    damped = hb.analyze_modes(PIDMomentum(0.05, 0.9, 1.0), [1.0])
    assert damped.damping_ratio[0] > plain.damping_ratio[0]


def test_at_rest_with_a_learning_rate_of_zero():
    for method in (QuasiHyperbolicMomentum(0.0, 0.5, 0.5), AggregatedMomentum([0.0, 0.1], (0.5, 0.9))):
        run = hb.iterate(method, VALLEY, START, 3, velocity=PUSH)
        assert np.all(run.success)
        assert_array_equal(run.position[(0,) * (run.position.ndim - 2)][-1], START)


def test_spaced_memories():
    assert AggregatedMomentum.spaced(0.1, 4).momenta == pytest.approx((0, 0.9, 0.99, 0.999))
    assert AggregatedMomentum.spaced(0.1, 2, ratio=0.5).momenta == (0.0, 0.5)
    with pytest.raises(ValueError, match="`ratio` must be between 0 and 1. Received 1.0"):
        AggregatedMomentum.spaced(0.1, 3, 1.0)
    with pytest.raises(ValueError, match="`number` must be a whole number >= 1"):
        AggregatedMomentum.spaced(0.1, 0)


class TestErrors:
    def test_signs(self):
        for method in (QuasiHyperbolicMomentum, PIDMomentum, TripleMomentum):
            with pytest.raises(ValueError, match=r"`lr` must be >= 0. Received -0.1"):
                method(-0.1, 0.5, 0.5)
        with pytest.raises(ValueError, match=r"`lr` must be >= 0. Received -0.1 at index \(1,\)"):
            AggregatedMomentum([0.1, -0.1], (0.5,))

    @pytest.mark.parametrize("momentum", [0.0, 1.0, 1.2, [0.5, 0.0]])
    def test_conversion_needs_a_momentum(self, momentum):
        with pytest.raises(ValueError, match="`momentum` must be < 1 and not 0. Received"):
            QuasiHyperbolicMomentum.from_two_point(0.1, momentum, 0.3)

    def test_momenta(self):
        with pytest.raises(ValueError, match=r"`momenta` must hold at least one number. Received \(\)"):
            AggregatedMomentum(0.1, ())
        with pytest.raises(TypeError, match="`momenta` must be a tuple of numbers, .* an array would be a batch axis"):
            AggregatedMomentum(0.1, np.array([0.5, 0.9]))
        with pytest.raises(TypeError, match=r"`momenta\[1\]` must be one number: tuples are never batched"):
            AggregatedMomentum(0.1, (0.5, np.array([0.8, 0.9])))
        with pytest.raises(ValueError, match=r"`momenta\[0\]` must be finite. Received nan"):
            AggregatedMomentum(0.1, (np.nan,))
        with pytest.raises(ValueError, match="`weights` must have one entry for each of the 2 momenta"):
            AggregatedMomentum(0.1, (0.5, 0.9), (1.0,))
        assert AggregatedMomentum(0.1, [0.5, 0.9]) == AggregatedMomentum(0.1, (0.5, 0.9))

    def test_batches_that_do_not_fit(self):
        with pytest.raises(ValueError, match="batch axes of PIDMomentum must broadcast"):
            hb.iterate(PIDMomentum([0.1, 0.2], [0.5, 0.6, 0.7], 0.1), VALLEY, START, 1)
