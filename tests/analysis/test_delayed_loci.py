"""Loci with stale gradients: continuity, residuals at high precision, closed forms, other ways to the same poles."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment
from user_rules import Averaged, Extragradient, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.delayed import Delayed
from heavyball_dynamics.analysis.delayed_loci import delayed_locus
from heavyball_dynamics.analysis.delays import delay_limits

METHODS = [hb.GradientDescent(1.0), hb.HeavyBall(1.0, 0.9), hb.Nesterov(1.0, 0.9), hb.HeavyBall(1.0, 0.3)]
NAMES = ["descent", "heavy ball", "nesterov", "little momentum"]


def coefficients(method, delay):
    """a(z)z^d and b(z), the highest power first."""
    beta = getattr(method, "momentum", None)
    if beta is None:
        return np.r_[1.0, -1.0, np.zeros(delay)], np.r_[np.zeros(delay + 1), 1.0]
    lead = beta if isinstance(method, hb.Nesterov) else 0.0
    tail = [method.lr * (1 + lead), -method.lr * lead]
    return np.r_[1.0, -(1 + beta), beta, np.zeros(delay)], np.r_[np.zeros(delay + 1), tail]


def distance(one, two):
    away = np.abs(np.asarray(one)[:, None] - np.asarray(two)[None, :])
    row, column = linear_sum_assignment(away)
    return away[row, column].max()


class TestHundredSteps:
    @pytest.mark.parametrize("method", METHODS, ids=NAMES)
    def test_no_branch_jumps(self, method):
        locus = delayed_locus(method, 100)
        assert locus.values[0] <= 1e-12
        limit = delay_limits(method, [100], parameter="curvature").limit[0]
        assert locus.values[-1] > 1.2 * limit
        assert np.abs(np.diff(locus.poles, axis=0)).max() <= 0.05
        assert np.all(np.diff(locus.values) > 0)
        assert locus.poles.shape[1] == 101 + hasattr(method, "momentum")
        assert_allclose(locus.stability_limit, [limit], rtol=1e-12)
        assert_allclose(np.abs(locus.stability_limit_poles).max(), 1, atol=1e-11)
        assert locus.stability_limit[0] in locus.values

    @pytest.mark.parametrize("method", METHODS[:3], ids=NAMES[:3])
    def test_roots_at_high_precision(self, method):
        """A step of Newton's method with 40 digits tells how far the nearest root is; the sum, that none is missing."""
        locus = delayed_locus(method, 100)
        a, b = coefficients(method, 100)
        met = np.searchsorted(locus.values, locus.breakaway)
        with mpmath.workdps(40):
            for i in (0, len(locus.values) // 2, int(met[0]) - 1, int(met[0]) + 1, len(locus.values) - 1):
                gain = mpmath.mpf(float(locus.values[i]))
                p = [mpmath.mpf(float(x)) + gain * mpmath.mpf(float(y)) for x, y in zip(a, b, strict=True)]
                for z in locus.poles[i]:
                    value, slope = mpmath.polyval(p, mpmath.mpc(complex(z)), derivative=True)
                    assert abs(value / slope) < 1e-10
                assert_allclose(locus.poles[i].sum(), -a[1], atol=1e-11)
                gaps = np.abs(locus.poles[i][:, None] - locus.poles[i]) + np.eye(len(a) - 1)
                assert gaps.min() > 1e-9

    def test_gradient_descent_in_closed_form(self):
        locus = delayed_locus(hb.GradientDescent(0.5), 100)
        assert_allclose(locus.stability_limit, 4 * np.sin(np.pi / 402), rtol=1e-12)
        assert_allclose(locus.breakaway, 2 * np.exp(100 * np.log(100) - 101 * np.log(101)), rtol=1e-10)
        row = int(np.searchsorted(locus.values, locus.breakaway[0]))
        assert_allclose(np.sort(np.abs(locus.poles[row] - 100 / 101))[:2], 0, atol=1e-12)

    def test_departure_like_the_hundredth_root(self):
        values = np.array([1e-12, 1e-9, 1e-6])
        poles = delayed_locus(hb.GradientDescent(1.0), 100, values).poles
        inner = np.sort(np.abs(poles), axis=1)[:, :-1]
        assert_allclose(inner, np.broadcast_to(values[:, None] ** 0.01, inner.shape), rtol=0.03)
        assert 0.75 < inner[0].min() < inner[0].max() < 0.78


def test_extended_precision_roots():
    locus = delayed_locus(hb.Nesterov(1.0, 0.7), 20, [0.003, 0.02, 0.4])
    a, b = coefficients(hb.Nesterov(1.0, 0.7), 20)
    with mpmath.workdps(30):
        for value, poles in zip(locus.values, locus.poles, strict=True):
            gain = mpmath.mpf(float(value))
            p = [mpmath.mpf(float(x)) + gain * mpmath.mpf(float(y)) for x, y in zip(a, b, strict=True)]
            exact = [complex(z) for z in mpmath.polyroots(p, maxsteps=300, extraprec=200)]
            assert distance(poles, exact) < 1e-12


@pytest.mark.parametrize("delay", [0, 1, 2, 9])
@pytest.mark.parametrize("method", [
    *METHODS, hb.QuasiHyperbolicMomentum(0.7, 0.8, 0.6), Averaged(0.3, 0.7), TwoMomenta(0.1, 0.2, 0.9),
    hb.HeavyBall(0.1, -0.3), hb.HeavyBall(0.1, 1.0), hb.PIDMomentum(0.1, 0.8, 0.3), hb.HeavyBall(0.1, 0.0),
], ids=lambda m: f"{type(m).__name__}")  # fmt: skip
def test_the_poles_of_the_delayed_rule(method, delay):
    locus = delayed_locus(method, delay)
    assert np.abs(np.diff(locus.poles, axis=0)).max() <= 0.05
    loops = hb.state_matrices(Delayed(method, delay))
    for i in np.linspace(0, len(locus.values) - 1, 9).astype(int):
        poles = np.linalg.eigvals(loops.loop(locus.values[i : i + 1])[0])
        near = np.any(np.abs(locus.values[i] - locus.breakaway) < 1e-6 * locus.values[i])
        # Eigenvalues of a small loop gain depend on its (d+1)-th root, double ones on its square root.
        assert distance(poles, locus.poles[i]) < (1e-5 if near or locus.values[i] < 1e-6 else 1e-7)


@pytest.mark.parametrize("delay", [1, 2, 5])
@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_events_of_the_general_locus(method, delay):
    ours = delayed_locus(method, delay)
    general = hb.root_locus(Delayed(method, delay), values=np.linspace(0, ours.values[-1], 50))
    assert_allclose(ours.stability_limit, general.stability_limit, rtol=1e-9)
    assert ours.breakaway.size
    for value in ours.breakaway:
        poles = hb.analyze_modes(Delayed(method, delay), [value]).poles[0]
        gaps = np.abs(poles[:, None] - poles) + np.eye(len(poles))
        assert gaps.min() < 1e-5
    assert ours.breakaway_poles.shape == (len(ours.breakaway), ours.poles.shape[1])


def test_given_values_continue_the_same_branches():
    whole = delayed_locus(hb.HeavyBall(1.0, 0.9), 30)
    few = whole.values[[3, 40, 70, -1]]
    found = delayed_locus(hb.HeavyBall(1.0, 0.9), 30, [0.0, *few])
    assert_array_equal(found.values, [0.0, *few])
    # The start differs, not the order of the branches.
    assert_allclose(found.poles[1:], whole.poles[[3, 40, 70, -1]], atol=1e-9)
    assert_allclose(np.sort(np.abs(found.poles[0]))[-3:], [0, 0.9, 1], atol=1e-12)


def test_unstable_from_the_start():
    assert delayed_locus(hb.HeavyBall(1.0, 1.0), 3).stability_limit.size == 0
    late = delayed_locus(hb.Nesterov(1.0, 1.05), 0, np.linspace(0.001, 2, 50))
    assert_allclose(late.stability_limit, [0.05 / 1.05, 2 * 2.05 / 3.1], rtol=1e-9)


def test_bad_input():
    method = hb.GradientDescent(1.0)
    with pytest.raises(ValueError, match=r"`delay` must be a whole number >= 0. Received -1"):
        delayed_locus(method, -1)
    with pytest.raises(TypeError, match="`delay` must be a whole number"):
        delayed_locus(method, 2.5)
    with pytest.raises(TypeError, match="`method` must be a method, in discrete time"):
        delayed_locus(hb.GradientFlow(), 2)
    with pytest.raises(ValueError, match="scalar hyperparameters"):
        delayed_locus(hb.GradientDescent([0.1, 0.2]), 2)
    with pytest.raises(ValueError, match="one gradient a step"):
        delayed_locus(Extragradient(0.1, 0.5), 2)
    with pytest.raises(ValueError, match="RMSProp is not linear"):
        delayed_locus(hb.RMSProp(0.1), 2)
    with pytest.raises(ValueError, match=r"`values` must be >= 0. Received -1.0 at index \(0,\)"):
        delayed_locus(method, 2, [-1.0, 1.0])
    with pytest.raises(ValueError, match="increasing numbers"):
        delayed_locus(method, 2, [1.0, 0.5])
    with pytest.raises(ValueError, match="react to its gradient"):
        delayed_locus(hb.GradientDescent(0.0), 2)
