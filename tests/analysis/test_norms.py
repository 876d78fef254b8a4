"""H∞ and H2 gains of gradient errors: closed forms, python-control where it is right, brute force."""

import control as ct
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose
from user_rules import Averaged, Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.robustness_cards import robustness


def closed_form(momentum, q, lr=1.0):
    """H∞ norm of lr/(z² - Tz + β), T = 1 + β - q."""
    T = 1 + momentum - q

    def square(c):
        return ((1 + momentum) * c - T) ** 2 + (1 - momentum) ** 2 * (1 - c**2)

    inner = np.clip(T * (1 + momentum) / (4 * momentum), -1, 1) if momentum > 1e-100 else 1.0
    return lr / np.sqrt(min(square(1.0), square(-1.0), square(inner)))


@given(hnp.arrays(float, 20, elements=st.floats(0.0, 0.999)), hnp.arrays(float, 20, elements=st.floats(1e-4, 0.999)))
@settings(max_examples=6, deadline=None)
def test_hinf_of_the_heavy_ball(momentum, share):
    q = share * 2 * (1 + momentum)
    found = robustness(hb.HeavyBall(1.0, momentum), q[:, None])
    assert_allclose(found.hinf[:, 0], [closed_form(m, one) for m, one in zip(momentum, q, strict=True)], rtol=1e-8)


def test_discrete_hinf_where_python_control_is_wrong():
    """Near the unit circle its level set misses narrow peaks, and closer still it takes stable poles for marginal."""

    def theirs(gap, q):
        return ct.norm(hb.closed_loop(hb.HeavyBall(1.0, 1 - gap), q), "inf", tol=1e-6, print_warning=False,
                       method="scipy")  # fmt: skip

    for gap in (1e-3, 1e-4, 3e-5, 1e-5, 1e-7):
        for q in (1e-4, 0.3, 3.9):
            assert_allclose(robustness(hb.HeavyBall(1.0, 1 - gap), q).hinf[0], closed_form(1 - gap, q), rtol=1e-8)
    assert abs(theirs(3e-5, 3.9) / closed_form(1 - 3e-5, 3.9) - 1) > 1e-5
    assert np.isinf(theirs(1e-5, 0.3))
    assert_allclose(theirs(1e-3, 0.3), closed_form(0.999, 0.3), rtol=2e-6)


RULES = [
    (hb.Nesterov(0.1, 0.9), 2.0), (Averaged(0.2, 0.7), 2.0), (TwoMomenta(0.1, 0.5, 0.9), 1.0),
    (hb.TripleMomentum(0.1, 0.7, 0.4, 1.0), 3.0), (Extragradient(0.1, 0.5), 5.0), (hb.HeavyBallFlow(2.0, 0.3), 3.0),
    (Maxwell(1.0, 1.0, 2.0), 1.0), (hb.GradientFlow(), 3.0),
    (hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.5, "implicit_midpoint"), 1.0),
]  # fmt: skip


def position_system(rule, curvature):
    """One error added to all gradients, position out, written anew."""
    m = hb.state_matrices(rule)
    inner = np.linalg.inv(np.eye(len(m.D)) - curvature * m.D)
    A = m.A + curvature * m.B @ inner @ m.C
    B = m.B @ (np.eye(len(m.D)) + curvature * inner @ m.D) @ np.ones((len(m.D), 1))
    return A, B, np.eye(1, len(A))


@pytest.mark.parametrize(("rule", "curvature"), RULES, ids=lambda v: type(v).__name__)
def test_norms_by_brute_force(rule, curvature):
    A, B, C = position_system(rule, curvature)
    found = robustness(rule, curvature)
    omega = np.linspace(0, np.pi, 100_001) if found.discrete else np.append(0.0, np.geomspace(1e-3, 1e3, 100_000))
    where = np.exp(1j * omega) if found.discrete else 1j * omega
    response = np.linalg.solve(where[:, None, None] * np.eye(len(A)) - A, B)[:, 0, 0]
    assert_allclose(found.hinf[0], np.abs(response).max(), rtol=1e-6)
    assert_allclose(np.interp(found.hinf_frequency[0], omega, np.abs(response)), found.hinf[0], rtol=1e-4)
    system = ct.ss(A, B, C, 0, 1 if found.discrete else 0)
    assert_allclose(found.h2[0], ct.norm(system, 2, print_warning=False, method="scipy"), rtol=1e-9)
    if not found.discrete:
        assert_allclose(found.hinf[0], ct.norm(system, "inf", tol=1e-8, print_warning=False, method="scipy"), rtol=1e-6)


def test_h2_is_the_stationary_deviation():
    """math: gradient descent η²/(q(2-q)), heavy ball and Nesterov; flows 1/(2γλ)."""
    lr, beta, bend = 0.1, 0.8, np.array([0.01, 1.0, 9.0])
    q = lr * bend
    found = robustness(hb.HeavyBall(lr, beta), bend)
    assert_allclose(found.h2**2, lr**2 * (1 + beta) / (q * (1 - beta) * (2 * (1 + beta) - q)), rtol=1e-12)
    found = robustness(hb.Nesterov(lr, beta), bend)
    variance = lr**2 * (1 + beta * (1 - q)) / (q * (1 - beta * (1 - q)) * (2 * (1 + beta) - (1 + 2 * beta) * q))
    assert_allclose(found.h2**2, variance, rtol=1e-12)
    assert_allclose(robustness(hb.GradientDescent(lr), bend).h2 ** 2, lr**2 / (q * (2 - q)), rtol=1e-12)
    assert_allclose(robustness(hb.HeavyBallFlow(2.0, 0.3), bend).h2 ** 2, 1 / (2 * 0.3 * bend), rtol=1e-12)


def test_a_constant_error_moves_the_minimum():
    """At low frequency the gain is 1/λ, whatever the rule."""
    found = robustness(hb.GradientDescent(0.1), [0.5, 2.0])
    assert_allclose(found.hinf, [2.0, 0.5], rtol=1e-12)
    assert_allclose(found.hinf_frequency, 0.0)


def test_long_rules_use_another_solver(monkeypatch):
    wide = hb.AggregatedMomentum(0.1, tuple(np.linspace(0, 0.9, 14)))
    found = robustness(wide, 1.0)
    monkeypatch.setattr("heavyball_dynamics.analysis.norms._KRONECKER", 100)
    assert_allclose(found.h2, robustness(wide, 1.0).h2, rtol=1e-9)


def test_unstable_and_marginal_gains_are_infinite():
    found = robustness(hb.HeavyBall(1.0, 0.5), [-1.0, 0.0, 3.0, 4.0])
    assert np.isinf(found.hinf).all()
    assert np.isinf(found.h2).all()
