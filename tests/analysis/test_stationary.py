"""Stationary covariances: closed forms, SciPy's Lyapunov solvers, and what is said of modes that have none."""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import block_diag, solve_continuous_lyapunov, solve_discrete_lyapunov
from user_rules import Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.langevin import LangevinFlow
from heavyball_dynamics.analysis._lyapunov import covariance_solution
from heavyball_dynamics.analysis._noisy_loops import noisy_loop
from heavyball_dynamics.analysis.stationary import cross_covariance, stationary_covariance

momenta = st.floats(0.0, 0.999)
shares = st.floats(1e-6, 0.999)


class Stale(NamedTuple):
    position: Any
    past: tuple[Any, ...]


@dataclass(frozen=True)
class StaleDescent:
    """Gradient descent with gradients as old as the history is long."""

    lr: Any
    delay: int

    def init(self, position, velocity, objective):
        return Stale(position, (position,) * self.delay)

    def step(self, k, state, objective):
        return Stale(state.position - self.lr * objective.gradient(state.past[-1]), (state.position, *state.past[:-1]))


class TwoPoints(NamedTuple):
    position: Any
    before: Any


@dataclass(frozen=True)
class TwoPointBall:
    """The heavy ball whose state is the last two positions."""

    lr: Any
    momentum: Any

    def init(self, position, velocity, objective):
        return TwoPoints(position, position - velocity)

    def step(self, k, state, objective):
        x, before = state
        return TwoPoints(x + self.momentum * (x - before) - self.lr * objective.gradient(x), x)


class TestClosedForms:
    @settings(max_examples=40)
    @given(momenta, shares, st.floats(0.01, 10.0), st.floats(0.01, 10.0))
    def test_heavy_ball(self, beta, share, lr, noise):
        q = share * 2 * (1 + beta)
        P = stationary_covariance(hb.HeavyBall(lr, beta), q / lr, noise)[0]
        # Both sides of a quotient lose digits where q is all but at its limit, or β at one.
        rtol = 1e-12 + 1e-15 / ((1 - share) * (1 - beta))
        assert_allclose(P[0, 0], lr**2 * noise * (1 + beta) / (q * (1 - beta) * (2 * (1 + beta) - q)), rtol=rtol)
        assert_allclose(P[1, 1], 2 * lr**2 * noise / ((1 - beta) * (2 * (1 + beta) - q)), rtol=rtol)
        assert_allclose(P[0, 1], P[1, 1] / 2, rtol=10 * rtol)  # x and x - V have equal variances

    @settings(max_examples=40)
    @given(momenta, shares, st.floats(0.01, 10.0))
    def test_nesterov(self, beta, share, lr):
        q = share * 2 * (1 + beta) / (1 + 2 * beta)
        P = stationary_covariance(hb.Nesterov(lr, beta), q / lr)[0]
        by_hand = lr**2 * (1 + beta * (1 - q)) / (q * (1 - beta * (1 - q)) * (2 * (1 + beta) - (1 + 2 * beta) * q))
        assert_allclose(P[0, 0], by_hand, rtol=1e-12 + 1e-14 / (1 - share))

    @settings(max_examples=20)
    @given(shares, st.floats(0.01, 10.0))
    def test_gradient_descent(self, share, lr):
        q = 2 * share
        P = stationary_covariance(hb.GradientDescent(lr), q / lr)
        assert_allclose(P, lr**2 / (q * (2 - q)), rtol=1e-12 + 1e-15 / (1 - share))

    @settings(max_examples=30)
    @given(st.floats(0.01, 100.0), st.floats(0.01, 100.0), st.floats(0.01, 100.0), st.floats(0.01, 10.0))
    def test_flow(self, mass, damping, curvature, noise):
        P = stationary_covariance(hb.HeavyBallFlow(mass, damping), curvature, noise)[0]
        assert_allclose(np.diag(P), [noise / (2 * damping * curvature), noise / (2 * mass * damping)], rtol=1e-12)
        assert abs(P[0, 1]) <= 1e-12 * np.sqrt(P[0, 0] * P[1, 1])

    @pytest.mark.parametrize("temperature", [0.0, 0.3, 2.0])
    def test_equipartition(self, temperature):
        flow = LangevinFlow(mass=np.array([0.5, 3.0]), damping=0.7, temperature=temperature)
        curvature = np.array([0.1, 1.0, 20.0])
        P = stationary_covariance(flow, curvature, flow.noise)
        assert_allclose(P[..., 0, 0], np.broadcast_to(temperature / curvature, (2, 3)), rtol=1e-12)
        assert_allclose(P[..., 1, 1], temperature / np.array([[0.5] * 3, [3.0] * 3]), rtol=1e-12)

    def test_gradient_flow(self):
        assert_allclose(stationary_covariance(hb.GradientFlow(), [0.5, 2.0], 3.0)[:, 0, 0], [3.0, 0.75], rtol=1e-13)

    def test_a_flow_that_asks_for_hessians(self):
        """ẍ + (2√μ + √s λ)ẋ + (1 + √(μs))λx = 0: noise comes in by the gradient alone."""
        mu, s, curvature = 0.5, 0.04, np.array([0.5, 3.0])
        flow = hb.HighResolutionFlow(lr=s, strong_convexity=mu, kind="nesterov")
        gain = 1 + np.sqrt(mu * s)
        damping = 2 * np.sqrt(mu) + np.sqrt(s) * curvature
        P = stationary_covariance(flow, curvature, 2.0)
        assert_allclose(P[:, 0, 0], gain**2 * 2.0 / (2 * damping * gain * curvature), rtol=1e-12)


class TestAnyRule:
    """SciPy's solvers on closed loops made here from the open ones."""

    @pytest.mark.parametrize(
        "rule", [TwoMomenta(0.1, 0.5, 0.9), Extragradient(0.2, 0.8), StaleDescent(0.05, 4), hb.Nesterov(0.2, 0.9)]
    )
    def test_methods(self, rule):
        curvature = np.array([0.3, 1.0, 2.5])
        found = hb.state_matrices(rule)
        P = stationary_covariance(rule, curvature, [1.0, 2.0, 0.5], iterate_noise=0.1)
        for mode, (size, noise) in enumerate(zip(curvature, [1.0, 2.0, 0.5], strict=True)):
            inputs = found.D.shape[-1]
            through = np.linalg.inv(np.eye(inputs) - size * found.D)
            M = found.A + size * found.B @ through @ found.C
            b = found.B @ through @ np.ones(inputs)
            source = noise * np.outer(b, b)
            source[0, 0] += 0.1
            assert_allclose(P[mode], solve_discrete_lyapunov(M, source), rtol=1e-11, atol=1e-14)

    def test_a_flow_of_three_states(self):
        flow, curvature = Maxwell(mass=1.0, stiffness=0.8, delay=0.5), np.array([0.5, 4.0])
        found = hb.state_matrices(flow)
        P = stationary_covariance(flow, curvature, 0.3)
        for mode, size in enumerate(curvature):
            M = found.A + size * found.B @ found.C
            assert_allclose(P[mode], solve_continuous_lyapunov(M, -0.3 * found.B @ found.B.T), rtol=1e-11, atol=1e-14)

    def test_a_hundred_states(self):
        rule, curvature = StaleDescent(1.0, 100), np.array([0.002, 0.01])
        P = stationary_covariance(rule, curvature)
        found = hb.state_matrices(rule)
        assert P.shape == (2, 101, 101)
        for mode, size in enumerate(curvature):
            M = found.A + size * found.B @ found.C
            assert_allclose(P[mode], solve_discrete_lyapunov(M, found.B @ found.B.T), rtol=1e-9)
            # Of a stationary history all entries have one variance.
            assert_allclose(np.diag(P[mode]), P[mode, 0, 0], rtol=1e-10)

    @settings(max_examples=15)
    @given(st.integers(1, 9), st.integers(0, 2**32), st.booleans())
    def test_solver(self, order, seed, discrete):
        """Small orders by one linear system, large ones by doubling or by Sylvester's equation."""
        rng = np.random.default_rng(seed)
        M = rng.normal(size=(2, order, order))
        N = rng.normal(size=(2, order, order))
        size = np.abs(np.linalg.eigvals(M)).max(axis=-1)[:, None, None]
        step = 0.95 * M / size - np.eye(order) if discrete else M - 1.1 * size * np.eye(order)
        found = covariance_solution(step, step, N, discrete=discrete)
        for S, source, X in zip(step, N, found, strict=True):
            by_scipy = (solve_discrete_lyapunov(np.eye(order) + S, source) if discrete
                        else solve_continuous_lyapunov(S, -source))  # fmt: skip
            assert_allclose(X, by_scipy, rtol=1e-8, atol=1e-9 * np.abs(by_scipy).max())

    def test_schemes_have_noise_too(self):
        """Of an implicit rule the noise is that of the implicit gradient: implicit Euler x₊ = (x - hξ)/(1 + hλ)."""
        flow, dt, curvature = hb.HeavyBallFlow(1.0, 0.8), 0.3, np.array([0.5, 2.0])
        for name in ("implicit_midpoint", "runge_kutta4", "dissipative_leapfrog"):
            scheme = hb.discretize(flow, dt, name)
            loop = noisy_loop(scheme, curvature)
            state = np.array([0.7, -0.2])
            for mode, size in enumerate(curvature):
                noisy = hb.Quadratic([size], [0.4])  # an error of 0.4 in every gradient
                new = scheme.step(0, hb.PhaseState(state[:1], state[1:]), noisy)
                expected = loop.matrix[mode] @ state + 0.4 * loop.drive[mode]
                assert_allclose([new.position[0], new.velocity[0]], expected, rtol=1e-9)

    def test_discretized_flows_end_as_the_flow(self):
        """With noise of variance S²/h a step: to the order of the scheme, and implicit midpoint exactly."""
        flow, curvature = hb.HeavyBallFlow(1.5, 0.8), np.array([0.5, 2.0])
        limit = 1 / (2 * 0.8 * curvature)
        for name in ("semi_implicit_euler", "exponential", "central", "runge_kutta4", "modal_exact", "explicit_euler"):
            away = []
            for dt in (0.02, 0.01):
                P = stationary_covariance(hb.discretize(flow, dt, name), curvature, 1 / dt)
                away.append(np.abs(P[:, 0, 0] - limit).max())
            assert away[1] < 0.6 * away[0] < 0.1, name
        for dt in (0.1, 1.0, 10.0):
            P = stationary_covariance(hb.discretize(flow, dt, "implicit_midpoint"), curvature, 1 / dt)
            assert_allclose(P[:, 0, 0], limit, rtol=1e-9)
            assert_allclose(P[:, 1, 1], 1 / (2 * 1.5 * 0.8), rtol=1e-9)
        exact, held = (
            stationary_covariance(hb.discretize(flow, 0.7, name), curvature) for name in ("modal_exact", "c2d_zoh")
        )
        assert_allclose(exact, held, rtol=1e-9)


class TestIterateNoise:
    def test_gradient_descent(self):
        P = stationary_covariance(hb.GradientDescent(0.5), [1.0], 0.0, iterate_noise=3.0)
        assert_allclose(P[0, 0, 0], 3.0 / (1 - 0.5**2), rtol=1e-14)

    def test_in_the_two_point_form_it_is_gradient_noise(self):
        lr, beta, curvature = 0.1, 0.8, np.array([0.5, 5.0])
        P = stationary_covariance(TwoPointBall(lr, beta), curvature, 0.0, iterate_noise=0.2)
        other = stationary_covariance(hb.HeavyBall(lr, beta), curvature, 0.2 / lr**2)
        assert_allclose(P[:, 0, 0], other[:, 0, 0], rtol=1e-12)
        # A displacement that does not learn of it pulls back less noise.
        unaware = stationary_covariance(hb.HeavyBall(lr, beta), curvature, 0.0, iterate_noise=0.2)
        assert np.all(unaware[:, 0, 0] < P[:, 0, 0])

    def test_it_adds_up(self):
        rule = hb.Nesterov(0.1, 0.7)
        both = stationary_covariance(rule, [2.0], 0.5, iterate_noise=0.2)
        one, other = stationary_covariance(rule, [2.0], 0.5), stationary_covariance(rule, [2.0], 0.0, iterate_noise=0.2)
        assert_allclose(both, one + other, rtol=1e-12)


class TestCross:
    @pytest.mark.parametrize("rule", [hb.HeavyBall(0.1, 0.8), TwoMomenta(0.1, 0.5, 0.9), hb.HeavyBallFlow(1.0, 0.4)])
    def test_against_all_modes_as_one_system(self, rule, rng):
        curvature = np.array([0.5, 1.0, 3.0])
        root = rng.normal(size=(3, 3))
        sigma = root @ root.T
        blocks = cross_covariance(rule, curvature, sigma)
        loop = noisy_loop(rule, curvature)
        M, B = block_diag(*loop.matrix), block_diag(*loop.drive[..., None])
        solve = solve_discrete_lyapunov if loop.discrete else (lambda A, N: solve_continuous_lyapunov(A, -N))
        order = loop.drive.shape[-1]
        joint = solve(M, B @ sigma @ B.T).reshape(3, order, 3, order).transpose(0, 2, 1, 3)
        assert_allclose(blocks, joint, rtol=1e-10, atol=1e-12)
        own = stationary_covariance(rule, curvature, np.diag(sigma))
        assert_allclose(np.einsum("iijk->ijk", blocks), own, rtol=1e-11, atol=1e-13)

    def test_a_hundred_states_of_two_modes(self):
        rule, curvature, sigma = StaleDescent(1.0, 30), np.array([0.01, 0.02]), np.array([[1.0, 0.5], [0.5, 2.0]])
        blocks = cross_covariance(rule, curvature, sigma)
        M = noisy_loop(rule, curvature).matrix
        b = noisy_loop(rule, curvature).drive
        residue = M[0] @ blocks[0, 1] @ M[1].T + 0.5 * np.outer(b[0], b[1]) - blocks[0, 1]
        assert np.abs(residue).max() < 1e-10 * np.abs(blocks).max()

    def test_batches(self):
        curvature, sigma = np.array([0.5, 2.0]), np.array([[1.0, -0.3], [-0.3, 0.5]])
        lrs = np.array([0.1, 0.2, 0.3])
        blocks = cross_covariance(hb.HeavyBall(lrs, 0.5), curvature, sigma)
        assert blocks.shape == (3, 2, 2, 2, 2)
        for lr, each in zip(lrs, blocks, strict=True):
            assert_allclose(each, cross_covariance(hb.HeavyBall(lr, 0.5), curvature, sigma), rtol=1e-13)

    @pytest.mark.parametrize(
        ("sigma", "message"),
        [
            ([[1.0, 0.5], [0.4, 1.0]], r"must be symmetric.* 0.5 at index \(0, 1\) and 0.4 at index \(1, 0\)"),
            ([[1.0, 2.0], [2.0, 1.0]], r"positive semidefinite.*eigenvalue -1"),
            ([1.0, 2.0], r"shape \(\*batch, 2, 2\). Received shape \(2,\)"),
            (np.ones((3, 2, 2)), r"here \(2, 2\). Received \(3, 2, 2\)"),
        ],
    )
    def test_no_covariances(self, sigma, message):
        with pytest.raises(ValueError, match=message):
            cross_covariance(hb.HeavyBall(0.1, 0.5), [1.0, 2.0], sigma)

    def test_unstable_modes_are_left_out(self):
        with pytest.warns(UserWarning, match=r"mode 1 \(curvature 50\)"):
            blocks = cross_covariance(hb.HeavyBall(0.1, 0.5), [1.0, 50.0], np.eye(2))
        assert np.isfinite(blocks[0, 0]).all()
        assert np.isnan(blocks[0, 1]).all()
        assert np.isnan(blocks[1, 1]).all()


class TestBatches:
    @settings(max_examples=20)
    @given(st.lists(st.floats(0.0, 0.95), min_size=1, max_size=4), st.floats(0.1, 2.0))
    def test_an_element_is_what_it_is_alone(self, betas, noise):
        curvature = np.array([0.2, 1.0])
        lrs = np.linspace(0.1, 1.0, 3)[:, None]
        for kind in (hb.HeavyBall, hb.Nesterov, lambda lr, beta: TwoMomenta(lr, 0.3, beta)):
            P = stationary_covariance(kind(lrs, np.array(betas)), curvature, noise)
            for i, j in np.ndindex(3, len(betas)):
                alone = stationary_covariance(kind(float(lrs[i, 0]), betas[j]), curvature, noise)
                assert_allclose(P[i, j], alone, rtol=1e-12, atol=1e-14)

    def test_frozen_in_time(self):
        flow = hb.NesterovFlow()
        P = stationary_covariance(flow, [1.0], 2.0, t=6.0)  # damping 3/6
        assert_allclose(P[0, 0, 0], 2.0 / (2 * 0.5), rtol=1e-12)
        with pytest.raises(ValueError, match="varies in time"):
            stationary_covariance(flow, [1.0])
        scheduled = hb.HeavyBall(hb.Schedule(lambda k: 1 / (k + 1)), 0.5)
        P = stationary_covariance(scheduled, [1.0], k=3)
        assert_allclose(P, stationary_covariance(hb.HeavyBall(0.25, 0.5), [1.0]), rtol=1e-13)


class TestUnstable:
    def test_one_mode_is_an_error(self):
        with pytest.raises(ValueError, match=r"mode 0 \(curvature 7\) has a spectral radius of 1 \+ 2\.25"):
            stationary_covariance(hb.HeavyBall(0.7, 0.5), 7.0)
        with pytest.raises(ValueError, match=r"mode 0 \(curvature -1\) has an exponent of \+0\.618, which must be < 0"):
            stationary_covariance(hb.HeavyBallFlow(1.0, 1.0), -1.0)

    def test_the_others_are_answered(self):
        rule, curvature = hb.HeavyBall(np.array([0.1, 1.0]), 0.5), np.array([1.0, 4.0])
        with pytest.warns(UserWarning, match=r"mode 1 of batch element 1 \(curvature 4\) has a spectral radius of 1"):
            P = stationary_covariance(rule, curvature)
        assert np.isnan(P[1, 1]).all()
        assert np.isfinite(P[0]).all()
        assert np.isfinite(P[1, 0]).all()
        assert_allclose(P[0], stationary_covariance(hb.HeavyBall(0.1, 0.5), curvature), rtol=1e-13)

    def test_flat_modes_wander_off(self):
        with pytest.warns(UserWarning, match=r"mode 0 \(curvature 0\) has a spectral radius of 1 \+ 0"):
            P = stationary_covariance(hb.HeavyBall(0.1, 0.5), [0.0, 1.0])
        assert np.isnan(P[0]).all()

    def test_many_are_counted(self):
        with pytest.raises(ValueError, match="and so on for 7 more"):
            stationary_covariance(hb.HeavyBall(np.linspace(5.0, 6.0, 5), 0.5), [1.0, 2.0])

    @pytest.mark.parametrize(
        ("noise", "message"),
        [
            (-1.0, "`noise` must be >= 0, a variance"),
            ([1.0, 2.0, 3.0], r"here \(2,\). Received shape \(3,\)"),
            (np.eye(2), "For a covariance matrix of the modes use hb.cross_covariance"),
            (np.nan, "`noise` must be finite"),
        ],
    )
    def test_no_variances(self, noise, message):
        with pytest.raises(ValueError, match=message):
            stationary_covariance(hb.HeavyBall(0.1, 0.5), [1.0, 2.0], noise)

    def test_rules_that_are_not_linear(self):
        with pytest.raises(ValueError, match="not linear"):
            stationary_covariance(hb.RMSProp(0.1), [1.0])

    def test_no_warning_without_reason(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            stationary_covariance(hb.HeavyBall(0.1, 0.0), [10.0])
