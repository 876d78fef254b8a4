"""What is often said of momentum, reproduced or refuted by running the rule. Each test is named by its claim."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import LinearOperator, cg

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.bias_variances import bias_variance
from heavyball_dynamics.analysis.impulse_responses import impulse_response
from heavyball_dynamics.studies.measurements import arrival, direction_coherence, first_below, peak_growth
from heavyball_dynamics.studies.rate_fits import fit_rate
from heavyball_dynamics.studies.saddle_crossings import saddles_crossed
from heavyball_dynamics.studies.terminal_speed import terminal_velocity

PARABOLA = hb.Quadratic([1.0])
BETAS = np.array([0.5, 0.9, 0.99])


def run_of(method, objective, start, steps, **keywords):
    return hb.iterate(method, objective, np.asarray(start, dtype=float), steps, **keywords)


def factor(method, curvature, steps=400, start=1.0):
    """Factor per step of one mode, measured on a run."""
    run = run_of(method, hb.Quadratic([curvature]), [start], steps)
    return float(fit_rate(run, minimizer=[0.0]).factor)


class TestTerminalVelocity:
    def test_momentum_of_half_nine_tenths_99_hundredths_moves_2_10_100_times_as_fast_as_gradient_descent(self):
        slope = hb.Quadratic([0.0], linear=[3.0])
        ball = run_of(hb.HeavyBall(0.01, BETAS), slope, [0.0], 2500)
        plain = run_of(hb.GradientDescent(0.01), slope, [0.0], 1)
        assert_allclose(np.diff(ball.position[..., -2:, 0]).ravel() / plain.position[1, 0], [2, 10, 100], rtol=1e-9)

    def test_95_percent_of_it_are_reached_after_log_005_over_log_beta_steps(self):
        """Counting the first step as one: 5, 29 and 299 steps."""
        found = terminal_velocity(hb.HeavyBall(0.01, BETAS), 3.0)
        assert_array_equal(found.steps_to_share, np.ceil(np.log(0.05) / np.log(BETAS)))
        k = np.arange(1, found.velocity.shape[-1] + 1)
        assert_allclose(found.velocity, -0.03 * (1 - BETAS[:, None] ** k) / (1 - BETAS[:, None]), rtol=1e-11)

    def test_momentum_is_a_moving_average_of_gradients(self):
        """True of the average, whose weights add to one; the sum adds to 1/(1-β), and is none."""
        averaged = impulse_response(hb.from_dialect("ema", lr=1.0, momentum=BETAS), 60)
        added = impulse_response(hb.from_dialect("torch", lr=1.0, momentum=BETAS), 60)
        assert_allclose(averaged.total, 1.0, rtol=1e-9)
        assert_allclose(averaged.weights.sum(axis=-1), 1 - BETAS**60, rtol=1e-11)
        assert_allclose(added.total, 1 / (1 - BETAS), rtol=1e-9)
        assert_allclose(added.effective_memory, averaged.effective_memory, rtol=1e-9)


class TestSpellings:
    @pytest.mark.parametrize("alpha", [1e-2, 1e-5])
    def test_nesterov_looks_ahead_to_theta_minus_beta_v(self, alpha):
        """A misprint where v is decremented α times: it diverges for λ > 1 + 1/β however small α is."""

        @dataclass(frozen=True)
        class Look:
            lr: Any
            momentum: Any
            ahead: Any

            def init(self, position, velocity, objective):
                return hb.PhaseState(position, 0 * position)

            def step(self, k, state, objective):
                buffer = state.velocity
                query = state.position - self.ahead * self.momentum * buffer
                buffer = self.momentum * buffer + objective.gradient(query)
                return hb.PhaseState(state.position - self.lr * buffer, buffer)

        beta = 0.8
        edge = 1 + 1 / beta
        for curvature, fine in ((0.9 * edge, True), (1.1 * edge, False)):
            loss = hb.Quadratic([curvature])
            wrong = run_of(Look(alpha, beta, 1.0), loss, [1.0], 20000)
            assert bool(wrong.success) == fine
            right = run_of(Look(alpha, beta, alpha), loss, [1.0], 200)
            assert_allclose(right.position, run_of(hb.Nesterov(alpha, beta), loss, [1.0], 200).position, rtol=1e-10)

    def test_momentum_with_beta_one_minus_c_eta_is_the_damped_oscillator_in_time_k_eta(self):
        """True of θ ← θ + ηv, v ← βv - ηg; the usual form at that time is somewhere else, the average has c∇f."""
        c, time = 1.5, 2.0
        exact = hb.integrate(hb.HeavyBallFlow(damping=c), PARABOLA, [1.0], times=[0, time]).position[-1, 0]
        average = hb.integrate(hb.HeavyBallFlow(1 / c, 1.0), PARABOLA, [1.0], times=[0, time]).position[-1, 0]
        errors = {"squared": [], "usual": [], "average": []}
        for eta in (1e-2, 1e-3):
            steps = round(time / eta)
            beta = 1 - c * eta
            ends = {
                "squared": (hb.HeavyBall(eta**2, beta), exact), "usual": (hb.HeavyBall(eta, beta), exact),
                "average": (hb.from_dialect("ema", lr=eta, momentum=beta), average),
            }  # fmt: skip
            for name, (method, wanted) in ends.items():
                errors[name].append(abs(run_of(method, PARABOLA, [1.0], steps).position[-1, 0] - wanted))
        for name in ("squared", "average"):
            assert_allclose(errors[name][0] / errors[name][1], 10, rtol=0.1)
        assert min(errors["usual"]) > 0.05  # it has turned through many radians, and through more the smaller η is

    def test_with_beta_fixed_small_steps_follow_gradient_flow_sped_up(self):
        beta, time = 0.8, 1.0
        exact = np.exp(-time / (1 - beta))
        errors = [
            abs(run_of(hb.HeavyBall(eta, beta), PARABOLA, [1.0], round(time / eta)).position[-1, 0] - exact)
            for eta in (1e-3, 1e-4)
        ]
        assert_allclose(errors[0] / errors[1], 10, rtol=0.15)

    def test_the_heavy_ball_is_eulers_method(self):
        """It is semi-implicit Euler to the last bit; explicit Euler is stable for q < 1 - β only."""
        q, beta = 0.3, 0.8
        h = q**0.5
        flow = hb.HeavyBallFlow(1.0, (1 - beta) / h)
        explicit, semi = (hb.discretize(flow, h, name) for name in ("explicit_euler", "semi_implicit_euler"))
        assert_allclose([semi.method.lr, semi.method.momentum], [q, beta], rtol=1e-14)
        assert abs(run_of(semi, PARABOLA, [1.0], 300).position[-1, 0]) < 1e-8
        assert abs(run_of(explicit, PARABOLA, [1.0], 300).position[-1, 0]) > 1e3
        slow = hb.discretize(hb.HeavyBallFlow(1.0, (1 - beta) / 0.15**0.5), 0.15**0.5, "explicit_euler")
        assert abs(run_of(slow, PARABOLA, [1.0], 300).position[-1, 0]) < 1e-2

    def test_powers_of_the_iteration_are_sigma1_R1_minus_sigma2_R2(self):
        """A misprint: the indices are crossed."""
        eta, lam, beta, k = 0.3, 2.0, 0.7, 9
        R = np.array([[beta, lam], [-eta * beta, 1 - eta * lam]])
        one, two = np.linalg.eigvals(R)
        R1, R2 = ((R - s * np.eye(2)) / (one - two) for s in (one, two))
        run = run_of(hb.HeavyBall(eta, beta), hb.Quadratic([lam]), [1.0], k)
        start = np.array([0.0, 1.0])  # the buffer y with x ← x - ηy, and x
        right, wrong = ((one**k * a - two**k * b) @ start for a, b in ((R2, R1), (R1, R2)))
        assert_allclose(right[1].real, run.position[-1, 0], rtol=1e-12)
        assert abs(wrong[1] - run.position[-1, 0]) > 0.05


class TestOscillation:
    def test_momentum_damps_the_oscillation_along_the_steep_direction(self):
        """False at a fixed learning rate: a complex mode decays like √β, so it helps only if √β < |1 - q|."""
        assert_allclose(factor(hb.GradientDescent(0.5), 1.0), 0.5, rtol=1e-9)
        assert_allclose(factor(hb.HeavyBall(0.5, 0.9), 1.0), 0.9**0.5, rtol=0.01)
        assert_allclose(factor(hb.GradientDescent(1.95), 1.0), 0.95, rtol=1e-9)
        assert_allclose(factor(hb.HeavyBall(1.95, 0.5), 1.0), 0.5**0.5, rtol=0.02)
        # On the canyon itself, at a learning rate where gradient descent overshoots mildly:
        canyon, lr = hb.canyon(), 0.012
        steep = {beta: run_of(hb.HeavyBall(lr, beta), canyon, [0.5, 10.0], 60).position[:, 0] for beta in (0.0, 0.9)}
        assert np.abs(steep[0.0][40:]).max() < 1e-20
        assert np.abs(steep[0.9][40:]).max() > 1e-3

    def test_a_momentum_method_is_an_oscillator_with_another_time(self):
        """Not above q = (1+√β)²: there the position changes its sign at every step, without being complex."""
        beta = 0.5
        q = 0.5 * ((1 + beta**0.5) ** 2 + 2 * (1 + beta))
        run = run_of(hb.HeavyBall(q, beta), PARABOLA, [1.0], 100)
        signs = np.sign(run.position[2:, 0])
        assert np.all(signs[1:] == -signs[:-1])
        assert hb.analyze_modes(hb.HeavyBall(q, beta), 1.0).damping[0] == hb.DampingClass.ALTERNATING

    def test_nesterov_is_stable_wherever_gradient_descent_is(self):
        """False: its limit falls towards 2/3 of gradient descent's."""
        assert run_of(hb.GradientDescent(1.4), PARABOLA, [1.0], 4000).value[-1] < 1e-30
        assert not run_of(hb.Nesterov(1.4, 0.99), PARABOLA, [1.0], 20000, save_every=100).success
        edge = 2 * 1.99 / 2.98
        assert run_of(hb.Nesterov(0.99 * edge, 0.99), PARABOLA, [1.0], 20000, save_every=100).value[-1] < 1e-20
        assert not run_of(hb.Nesterov(1.01 * edge, 0.99), PARABOLA, [1.0], 50000, save_every=100).success


class TestTuning:
    KAPPA = 100.0
    CURVATURES = np.geomspace(1.0, 100.0, 9)

    def test_tuned_momentum_needs_the_square_root_of_the_condition_number(self):
        loss = hb.Quadratic(self.CURVATURES)
        wanted = {hb.GradientDescent: (self.KAPPA - 1) / (self.KAPPA + 1), hb.HeavyBall: 9 / 11}
        for kind, rate in wanted.items():
            method = hb.tune(kind, 1.0, self.KAPPA)
            run = run_of(method, loss, np.ones(9), 1400 if kind is hb.GradientDescent else 130)
            fit = fit_rate(run, minimizer=np.zeros(9), algorithm=method, curvature=self.CURVATURES)
            assert_allclose(np.exp(fit.predicted), rate, rtol=1e-6)
            assert fit.agrees

    def test_the_tuned_heavy_ball_comes_closer_at_every_step(self):
        """False: its stiff mode first grows 3.7 times, since the pole is double."""
        method = hb.tune(hb.HeavyBall, 1.0, self.KAPPA)
        stiff = run_of(method, hb.Quadratic([1.0, self.KAPPA]), [0.0, 1.0], 60)
        assert_allclose(peak_growth(stiff), 3.7, atol=0.01)
        slow = run_of(method, hb.Quadratic([1.0, self.KAPPA]), [1.0, 0.0], 60)
        k, rho = np.arange(61), 9 / 11
        assert_allclose(slow.position[:, 0], rho**k * (1 + (1 - rho) * k), rtol=1e-9, atol=1e-9)

    def test_the_tuned_heavy_ball_is_far_from_divergence(self):
        """False: it sits at κ/(κ+1) of the limit."""
        method = hb.tune(hb.HeavyBall, 1.0, self.KAPPA)
        limit = method.lr * (self.KAPPA + 1) / self.KAPPA
        loss = hb.Quadratic([1.0, self.KAPPA])
        assert run_of(hb.HeavyBall(0.999 * limit, method.momentum), loss, [1.0, 1.0], 30_000, save_every=500).success
        assert not run_of(hb.HeavyBall(1.005 * limit, method.momentum), loss, [1, 1], 30_000, save_every=500).success

    def test_given_a_learning_rate_the_best_momentum_is_the_largest_of_one_minus_root_q_squared(self):
        lr = 0.3
        curvature = np.array([0.05, 0.4, 2.0])
        best = ((1 - np.sqrt(lr * curvature)) ** 2).max()
        momentum = best + np.array([-0.04, -0.02, 0.0, 0.02, 0.04])
        run = run_of(hb.HeavyBall(lr, momentum), hb.Quadratic(curvature), np.ones(3), 300)
        assert np.argmin(np.linalg.norm(run.position[:, -1], axis=-1)) == 2

    def test_the_tuned_heavy_ball_converges_on_every_strongly_convex_loss(self):
        """False: Lessard, Recht and Packard 2016, section 4.6."""
        loss = hb.LessardCounterexample()
        method = hb.tune(hb.HeavyBall, loss.strong_convexity, loss.smoothness)
        run = run_of(method, loss, [3.3], 3000)
        cycle = loss.cycle
        assert np.abs(run.position[-3:, 0, None] - cycle).min(axis=1).max() < 1e-9
        assert run.value[-3:].min() > 1
        plain = run_of(hb.GradientDescent(2 / 26), loss, [3.3], 1000)
        assert plain.value[-1] < 1e-12

    def test_gradient_descent_zigzags_down_a_canyon_and_momentum_does_not_have_to(self):
        canyon, start = hb.canyon(), [0.5, 10.0]
        zigzag = run_of(hb.GradientDescent(2 / 101), canyon, start, 60).position[:, 0]
        assert np.all(zigzag[1:] * zigzag[:-1] < 0)
        steps = {}
        for kind in (hb.GradientDescent, hb.HeavyBall):
            run = run_of(hb.tune(kind, 1.0, 100.0), canyon, start, 2000)
            steps[kind] = first_below(run, 1e-8, stay=True)
        assert steps[hb.GradientDescent] > 6 * steps[hb.HeavyBall]


class TestNoiseAfterTwoSteps:
    """Nesterov against the heavy ball with independent noise, by running many copies."""

    def gaps(self, q, beta, steps, rng):
        copies = 100_000
        noise = rng.normal(size=(steps, copies, 1))

        class Noisy:
            dim = 1

            def __init__(self, error=0.0):
                self.error = error

            def at(self, k):
                return Noisy(noise[k])

            def gradient(self, position):
                return q * position + self.error

            def value(self, position):
                return position[..., 0] ** 2

        ends = [hb.iterate(kind(1.0, beta), Noisy(), np.ones((copies, 1)), steps).position[:, -1, 0]
                for kind in (hb.Nesterov, hb.HeavyBall)]  # fmt: skip
        return ends[0].var() - ends[1].var(), ends[0].mean() ** 2 - ends[1].mean() ** 2

    @pytest.mark.parametrize("q", [0.3, 1.0, 1.6])
    def test_nesterov_has_less_variance_below_and_more_above_2_1_plus_beta_over_2_plus_beta(self, q, rng):
        beta = 0.9
        variance, bias = self.gaps(q, beta, 2, rng)
        assert_allclose(variance, -beta * q * (2 * (1 + beta) - (2 + beta) * q), atol=0.05)
        assert_allclose(bias, beta * q**2 * (2 - (4 + 2 * beta) * q + (2 + beta) * q**2), atol=0.05)
        assert (variance < 0) == (q < 2 * (1 + beta) / (2 + beta))

    def test_that_threshold_decides_between_the_methods(self):
        """False: at other steps and in the end the variances are equal elsewhere; bias and variance disagree."""
        beta = 0.9
        q = np.array([1.3, 1.305])  # both below the threshold 1.310
        ball, ahead = (bias_variance(kind(1.0, beta), q, 3) for kind in (hb.HeavyBall, hb.Nesterov))
        gap = ahead.variance - ball.variance
        assert np.all(gap[:, 2] < 0)
        assert np.all(gap[:, 3] > 0)
        stationary = (1 + beta) ** 2 / (1 + beta + beta**2)
        q = stationary * np.array([0.999, 1.001])
        ball, ahead = (bias_variance(kind(1.0, beta), q, 2) for kind in (hb.HeavyBall, hb.Nesterov))
        assert_array_equal(np.sign(ahead.stationary_variance - ball.stationary_variance), [-1, 1])
        low = [bias_variance(kind(1.0, beta), [0.3], 2) for kind in (hb.Nesterov, hb.HeavyBall)]
        assert low[0].variance[0, 2] < low[1].variance[0, 2]
        assert low[0].bias_squared[0, 2] > low[1].bias_squared[0, 2]

    def test_momentum_accumulates_noise_and_momentum_averages_noise(self):
        """Both true, in different normalisations."""
        added, averaged = (
            bias_variance(hb.from_dialect(name, lr=1e-4, momentum=BETAS), 1.0, 1).stationary_variance[:, 0]
            for name in ("torch", "ema")
        )
        assert_allclose(added * (1 - BETAS), added[0] * 0.5, rtol=0.01)
        assert_allclose(averaged, averaged[0], rtol=1e-3)


FAMILY = {
    "AdaDelta": hb.AdaDelta(), "AdaGrad": hb.AdaGrad(0.1), "Adam": hb.Adam(0.1), "AdamW": hb.AdamW(0.1),
    "AggregatedMomentum": hb.AggregatedMomentum(0.1, (0.0, 0.9, 0.99)),
    "DampenedHeavyBall": hb.DampenedHeavyBall(0.2, 0.8, 0.5), "GradientDescent": hb.GradientDescent(0.3),
    "HeavyBall": hb.HeavyBall(0.3, 0.9), "NAdam": hb.NAdam(0.1), "Nesterov": hb.Nesterov(0.2, 0.9),
    "OptimizedGradient": hb.OptimizedGradient(0.2, 45), "PIDMomentum": hb.PIDMomentum(0.1, 0.9, 0.2),
    "QuasiHyperbolicMomentum": hb.QuasiHyperbolicMomentum(0.5, 0.9, 0.7), "RMSProp": hb.RMSProp(0.1, momentum=0.5),
    "RobustMomentum": hb.RobustMomentum(0.1, 4.0, 0.9), "TripleMomentum": hb.TripleMomentum(0.1, 0.7, 0.5),
}  # fmt: skip
# What a newer method needs besides lr, momentum or their defaults is said here.
OTHERS = {
    "Delayed": lambda kind: kind(hb.HeavyBall(0.3, 0.9), 0),
    "FrictionMethod": lambda kind: kind(0.3, 0.9, hb.PowerFriction(0.1, 2.0)),
    "LangevinBAOAB": lambda kind: kind(1.0, 0.5, 0.3), "LookAheadNesterov": lambda kind: kind(0.2, 0.9),
    "RestartedNesterov": lambda kind: kind(0.2),
}
VARIANTS = {
    "Adam, amsgrad": hb.Adam(0.1, amsgrad=True), "AdamW, amsgrad": hb.AdamW(0.1, amsgrad=True),
    "NAdam, decoupled": hb.NAdam(0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "RMSProp, centred": hb.RMSProp(0.1, centered=True, weight_decay=0.1), "Adam, L2": hb.Adam(0.1, weight_decay=0.1),
    "semi-implicit Euler": hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.4, "semi_implicit_euler"),
    "central": hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.4, "central"),
    "a schedule": hb.HeavyBall(lambda k: 0.3 / (1 + k / 10), 0.9),
}  # fmt: skip


def whole_family():
    """Every method that the package exports."""
    exported = [name for name in hb.algorithms.__all__ if hasattr(getattr(hb, name), "step")]
    for name in exported:
        if name in FAMILY:
            yield name, FAMILY[name]
        elif name in OTHERS:
            yield name, OTHERS[name](getattr(hb, name))
        else:
            yield name, None
    yield from VARIANTS.items()


@pytest.mark.parametrize(("name", "method"), list(whole_family()), ids=lambda x: x if isinstance(x, str) else "")
def test_the_last_of_forty_nodes_stays_exactly_zero_for_39_steps_under_every_method(name, method):
    assert method is not None, f"{name} is missing in FAMILY or OTHERS"
    loss = hb.PathColoring(40)
    run = run_of(method, loss, np.zeros(40), 42)
    front = arrival(run)
    assert np.all(run.position[:40, -1] == 0.0)
    assert_array_equal(front, loss.arrival)
    for j, k in enumerate(front):
        assert np.all(run.position[: int(k), j] == 0.0)


class TestColouring:
    def test_one_node_a_gradient_not_a_step(self):
        """Runge-Kutta asks four times a step and gets two nodes far, an implicit step gets everywhere at once."""
        loss = hb.PathColoring(12)
        fast = hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.4, "runge_kutta4")
        front = arrival(run_of(fast, loss, np.zeros(12), 12))
        # A force turns up in the velocity of the next stage and in the position of the one after it.
        assert_array_equal(front, np.ceil(np.arange(1, 13) / 2))
        implicit = hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.4, "implicit_midpoint")
        assert_array_equal(arrival(run_of(implicit, loss, np.zeros(12), 2)), 1.0)

    @pytest.mark.parametrize("nodes", [5, 20, 40])
    def test_conjugate_gradients_need_exactly_as_many_steps_as_nodes(self, nodes):
        loss, iterates = hb.PathColoring(nodes), []
        origin = np.zeros(nodes)
        operator = LinearOperator((nodes, nodes), lambda v: loss.hessian_product(origin, v.ravel()), dtype=float)
        cg(operator, -loss.gradient(origin), maxiter=nodes, rtol=1e-15, callback=lambda w: iterates.append(w.copy()))
        assert len(iterates) == nodes
        assert all(np.all(w[k:] == 0.0) for k, w in enumerate(iterates[:-1], start=1))
        assert_allclose(iterates[-1], 1.0, atol=1e-9)

    def test_curvatures_of_the_path_are_2_minus_2_cos(self):
        """Seen by running: each eigenvector shrinks by 1 - ηλ_j a step."""
        n, lr = 7, 0.2
        loss = hb.PathColoring(n)
        j = np.arange(1, n + 1)
        theta = (2 * j - 1) * np.pi / (2 * n + 1)
        vectors = np.sin(np.outer(theta, j))  # a row each
        run = hb.iterate(hb.GradientDescent(lr), loss, 1 + vectors, 3)
        shrunk = (1 - lr * (2 - 2 * np.cos(theta)))[:, None]
        assert_allclose(run.position[:, 3] - 1, shrunk**3 * vectors, rtol=1e-9, atol=1e-14)

    def test_momentum_reaches_the_last_node_sooner(self):
        """Not the first trace of colour, which comes with step n under any method, but half of it does."""
        loss = hb.PathColoring(40)
        low, high = loss.spectrum[[0, -1]]
        half = {}
        for kind in (hb.GradientDescent, hb.HeavyBall):
            run = run_of(hb.tune(kind, low, high), loss, np.zeros(40), 3000)
            assert arrival(run)[-1] == 40
            half[kind] = arrival(run, 0.5)[-1]
        assert half[hb.GradientDescent] > 10 * half[hb.HeavyBall]


class TestSaddles:
    @pytest.mark.parametrize(("q", "beta"), [(2e-5, 0.9), (1e-4, 0.8), (1e-4, 0.5)])
    def test_growth_at_a_saddle_is_one_plus_q_over_one_minus_beta_while_q_is_small(self, q, beta):
        """|q| ≪ (1-β)²: momentum multiplies the learning rate."""
        run = run_of(hb.HeavyBall(q, beta), hb.Quadratic([-1.0]), [1e-3], int(20 * (1 - beta) / q) // 8)
        root = float(fit_rate(run, "distance", minimizer=[0.0]).factor)
        assert_allclose(root - 1, q / (1 - beta), rtol=3 * q / (1 - beta) ** 2 + 1e-4)

    @pytest.mark.parametrize(("q", "beta"), [(1e-2, 0.999), (1e-4, 0.9999)])
    def test_growth_at_a_saddle_is_one_plus_root_q_above(self, q, beta):
        """|q| ≫ (1-β)²: friction does not matter any more."""
        run = run_of(hb.HeavyBall(q, beta), hb.Quadratic([-1.0]), [1e-12], int(30 / q**0.5))
        root = float(fit_rate(run, "distance", minimizer=[0.0]).factor)
        assert_allclose(root - 1, q**0.5, rtol=(1 - beta) / q**0.5 + q**0.5)

    @pytest.mark.parametrize("name", FAMILY)
    def test_momentum_helps_at_rest_on_a_saddle(self, name):
        """False: where the gradient is zero nothing moves, with or without memory."""
        chain = hb.SaddleChain(3)
        stuck = run_of(FAMILY[name], chain, np.array([1.0, 0.0, 0.0]), 40)
        if "AdamW" in name:  # its decay moves it along the first coordinate, never along the others
            assert np.all(stuck.position[..., 1:] == 0)
            return
        assert np.all(stuck.position == stuck.position[0])

    @pytest.mark.parametrize("name", FAMILY)
    def test_momentum_helps_on_the_stable_manifold_of_a_saddle(self, name):
        """False: gradients along it point to the saddle, and all rules for each coordinate alone stay on it."""
        run = run_of(FAMILY[name], hb.SaddleChain(2), [0.6, 0.0], 45)
        assert np.all(run.position[:, 1] == 0)
        assert run.position[-1, 0] != 0.6
        assert np.isinf(saddles_crossed(run, hb.SaddleChain(2)).time[1])

    def test_momentum_helps_just_beside_a_saddle(self):
        """True: the saddles of the chain are left sooner, in the same order."""
        chain = hb.SaddleChain(4)
        run = run_of(hb.HeavyBall(0.02, np.array([0.0, 0.5, 0.9])), chain, chain.start, 1200)
        found = saddles_crossed(run, chain)
        assert_array_equal(found.number, 4)
        assert np.all(np.diff(found.time, axis=-1) > 0)
        assert np.all(np.diff(found.time, axis=0) < 0)
        # While |q| ≪ (1-β)² the times are those of gradient descent over 1 - β.
        assert_allclose(found.time[1] / found.time[0], 0.5, rtol=0.06)

    def test_below_its_critical_tilt_a_washboard_has_minima_and_saddles_in_turn(self):
        for tilt in (0.0, 0.3, 0.99):
            board = hb.TiltedWashboard(tilt=tilt)
            points = board.stationary_points(-15.0, 15.0)
            assert_allclose(board.gradient(points.position), 0.0, atol=1e-12)
            assert all(one != other for one, other in pairwise(points.morse_index))
            assert set(points.morse_index) == {0, 1}
            # A slow ball rests in the minimum of its well.
            run = run_of(hb.HeavyBall(0.2, 0.1), board, [-0.3, 1.0], 4000)
            assert_allclose(run.position[-1], board.minimizer, atol=1e-6)
        with pytest.raises(ValueError, match="`tilt` must be one number smaller in size than the amplitude"):
            hb.TiltedWashboard(tilt=1.0)

    def test_a_coherent_direction_is_progress(self):
        """False by itself: the straightest way here crosses no saddle, a more winding one crosses many."""
        board = hb.TiltedWashboard(tilt=0.3)
        start, steps = [-2.6, 1.0], 250
        creeping = run_of(hb.HeavyBall(0.02, 0.0), board, start, steps)
        rolling = run_of(hb.HeavyBall(0.02, 0.99), board, start, steps)
        coherence = [np.nanmean(direction_coherence(run, 50)) for run in (creeping, rolling)]
        crossed = [int(saddles_crossed(run, board).number) for run in (creeping, rolling)]
        assert coherence[0] > 0.99 > coherence[1]
        assert crossed[0] == 0
        assert crossed[1] > 10
        # Nor does it tell of the opposite: one that swings in its well is the least coherent and crosses none either.
        swinging = run_of(hb.HeavyBall(0.02, 0.9), board, start, steps)
        assert np.nanmean(direction_coherence(swinging, 50)) < 0.5
        assert saddles_crossed(swinging, board).number == 0
