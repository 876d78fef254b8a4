"""Poles for each delay against the roots of hand-written polynomials."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Extragradient, TwoMomenta

import heavyball_dynamics as hb


def near(found, expected):
    """Largest distance of a pole from the nearest root, both ways."""
    apart = np.abs(found[:, None] - expected)
    return max(apart.min(axis=0).max(), apart.min(axis=1).max())


def test_gradient_descent():
    """z^{d+1} - z^d + q: all roots on |z|^d |z - 1| = q."""
    q, delays = 0.3, [0, 1, 2, 5, 20, 60]
    found = hb.delay_poles(hb.GradientDescent(0.1), delays, 3.0)
    assert found.poles.shape == (6, 61)
    for row, d in zip(found.poles, delays, strict=True):
        own = row[np.isfinite(row)]
        assert len(own) == d + 1
        polynomial = np.zeros(d + 2)
        polynomial[0] += 1
        polynomial[1] -= 1
        polynomial[-1] += q
        assert near(own, np.roots(polynomial)) < 1e-9
        assert_allclose(np.abs(own) ** d * np.abs(own - 1), q, rtol=1e-6)
    limits = 2 * np.sin(np.pi / (4 * np.array(delays) + 2))
    assert_array_equal(found.rate < 1, q < limits)
    assert_array_equal(found.damping == hb.DampingClass.DIVERGENT, q > limits)


def test_heavy_ball():
    """z^d (z - 1)(z - β) + q z."""
    found = hb.delay_poles(hb.HeavyBall(0.05, 0.9), [0, 3, 11], 2.0)
    for row, d in zip(found.poles, (0, 3, 11), strict=True):
        own = row[np.isfinite(row)]
        loop = np.polymul(np.eye(d + 1)[0], [1, -1.9, 0.9])
        roots = np.roots(np.polyadd(loop, [0.1, 0]))
        assert near(own, roots) < 1e-7


@pytest.mark.parametrize("rule", [TwoMomenta(0.1, 0.5, 0.9), Extragradient(0.2, 0.8)])
def test_rules_of_ones_own(rule):
    found = hb.delay_poles(rule, range(4), 1.0)
    for row, d in zip(found.poles, range(4), strict=True):
        modes = hb.analyze_modes(hb.Delayed(rule, d), [1.0])
        assert_array_equal(row[: modes.order], modes.poles[0])
    # The delay at which it is lost is the one that the margin says.
    lost = found.delays[found.rate >= 1]
    assert not lost.size or lost[0] == hb.largest_delay(rule, [1.0]).whole[0] + 1


def test_schedules_and_bad_input():
    varying = hb.HeavyBall(lambda k: 0.1 / (k + 1), 0.5)
    frozen = hb.delay_poles(hb.at_step(varying, 4), [0, 2], 1.0)
    assert_array_equal(hb.delay_poles(varying, [0, 2], 1.0, k=4).poles, frozen.poles)
    for delays, error in (([-1], ValueError), ([1.5], TypeError), ([], ValueError)):
        with pytest.raises(error, match="`delays"):
            hb.delay_poles(hb.GradientDescent(0.1), delays, 1.0)
    with pytest.raises(ValueError, match="`method` must have scalar hyperparameters"):
        hb.delay_poles(hb.GradientDescent([0.1, 0.2]), [1], 1.0)
    with pytest.raises(ValueError, match="varies in time"):
        hb.delay_poles(varying, [1], 1.0)
    with pytest.raises(TypeError, match="`method` must be a method"):
        hb.delay_poles(hb.GradientFlow(), [1], 1.0)


def test_figure_shows_every_pole():
    found = hb.delay_poles(hb.GradientDescent(0.1), range(10), 3.0)
    ax = found.plot()
    drawn = np.concatenate([marks.get_offsets() for marks in ax.collections])
    assert len(drawn) == np.isfinite(found.poles).sum()
    assert ax.get_aspect() == 1
