"""Cycles on polygons: the angle against the conditions for interpolation, and runs that go round."""

from __future__ import annotations

from math import gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from user_rules import Averaged, Extragradient, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.polygon_cycles import polygon_cycle, polygon_periods

LOW, HIGH = 1.0, 25.0


def gain(lr, momentum, turn):
    z = np.exp(1j * turn)
    return (1 + momentum - z - momentum / z) / lr


def interpolates(c, period, winding):
    """Taylor, Hendrickx, Glineur 2017, theorem 4, for all pairs of points, with equal values of the loss."""
    x = np.exp(2j * np.pi * winding * np.arange(period) / period)
    g = c * x
    dot = lambda a, b: np.real(np.conj(a) * b)  # noqa: E731
    worst = -np.inf
    for i in range(period):
        for j in set(range(period)) - {i}:
            dx, dg = x[i] - x[j], g[i] - g[j]
            bound = dot(dg, dg) / HIGH + LOW * dot(dx, dx) - 2 * LOW / HIGH * dot(dg, dx)
            worst = max(worst, dot(g[j], dx) + bound / (2 * (1 - LOW / HIGH)))
    return worst


@given(st.floats(0.002, 0.16), st.floats(0, 0.99), st.integers(2, 9), st.integers(1, 4))
def test_the_angle_is_interpolation(lr, momentum, period, winding):
    if winding >= period or gcd(winding, period) > 1:
        return
    found = polygon_cycle(hb.HeavyBall(lr, momentum), LOW, HIGH, period, winding=winding)
    c = gain(lr, momentum, 2 * np.pi * winding / period)
    assert_allclose(found.gain, c, rtol=1e-9, atol=1e-9)
    worst = interpolates(c, period, winding)
    if abs(worst) > 1e-7 * (1 + abs(c) ** 2):
        assert found.exists == (worst <= 0)


@pytest.mark.parametrize(
    ("method", "period", "winding"),
    [(hb.HeavyBall(1 / 9, 4 / 9), 3, 1), (hb.HeavyBall(0.05, 0.9), 6, 1), (hb.HeavyBall(0.11, 0.2), 2, 1),
     (TwoMomenta(0.1, 0.5, 0.9), 4, 1), (Averaged(0.5, 0.9), 6, 1)], ids=repr,
)  # fmt: skip
def test_runs_go_round(method, period, winding):
    found = polygon_cycle(method, LOW, HIGH, period, winding=winding)
    assert found.exists, str(found)
    run = hb.iterate(method, found.loss, found.states, 2 * period)
    for k in range(2 * period + 1):
        assert_allclose(run.position[:, k], np.roll(found.states.position, -k, axis=0), atol=1e-9)
    assert_allclose(found.loss.gradient(found.points)[0] @ [1, 1j], found.gain, rtol=1e-12)


def test_what_attracts_is_found_by_runs_and_by_newton():
    method = hb.HeavyBall(1 / 9, 4 / 9)
    found = polygon_cycle(method, LOW, HIGH, 3)
    assert found.attracts
    near = found.points[0] + [0.05, -0.03]
    run = hb.iterate(method, found.loss, near, 300, velocity=found.points[0] - found.points[-1])
    assert_allclose(run.position[-1], found.points[300 % 3], atol=1e-9)
    assert "it cycles with period 3 on a loss with curvatures in [1, 25]" in str(found)


def test_no_polygon_where_there_is_a_certificate():
    found = polygon_cycle(hb.HeavyBall(0.04, 0.1), LOW, HIGH, 3)
    assert not found.exists
    assert found.loss is None
    assert found.states is None
    assert "no polygon of period 3" in str(found)


def all_shapes(lr, momentum, period):
    """Whether any cycle of a period exists: averaged over shifts its Gram matrix mixes polygons, a linear program."""
    windings, shifts = np.arange(1, period // 2 + 1), np.arange(1, period)
    turn = 2 * np.pi * windings / period
    c, angle = gain(lr, momentum, turn), np.outer(shifts, turn)
    spread = 2 * (1 - np.cos(angle))
    bound = np.abs(c) ** 2 / HIGH + LOW - 2 * LOW / HIGH * c.real
    rows = -c.real * spread / 2 + c.imag * np.sin(angle) + spread / 2 * bound / (1 - LOW / HIGH)
    rows = rows / np.abs(rows).max(axis=0)
    A = np.hstack([rows, -np.ones((len(shifts), 1))])
    goal, total = np.append(np.zeros(len(windings)), 1), np.append(np.ones(len(windings)), 0)
    free = [(0, None)] * len(windings) + [(None, None)]
    return linprog(goal, A, np.zeros(len(shifts)), total[None], [1.0], bounds=free).fun < -1e-9


def test_no_other_shapes_where_no_polygon_exists(rng):
    momentum = rng.uniform(0, 0.99, 60)
    lr = rng.uniform(0.3, 1, 60) * 2 * (1 + momentum) / HIGH
    period, _ = polygon_periods(hb.HeavyBall(lr, momentum), LOW, HIGH, 12)
    assert 10 < np.sum(period > 0) < 55
    for i in np.flatnonzero(period == 0):
        assert not any(all_shapes(lr[i], momentum[i], steps) for steps in range(2, 13))
    for i in np.flatnonzero(period > 0):
        assert all_shapes(lr[i], momentum[i], period[i])


def test_batch_is_its_elements():
    lr, momentum = np.array([0.0, 0.05, 1 / 9]), np.array([[0.1], [0.9]])
    period, winding = polygon_periods(hb.HeavyBall(lr, momentum), LOW, HIGH, 9)
    for i, j in np.ndindex(2, 3):
        alone = polygon_periods(hb.HeavyBall(lr[j], momentum[i, 0]), LOW, HIGH, 9)
        assert (period[i, j], winding[i, j]) == alone
        if period[i, j]:
            steps, turns = int(period[i, j]), int(winding[i, j])
            assert polygon_cycle(hb.HeavyBall(lr[j], momentum[i, 0]), LOW, HIGH, steps, winding=turns).exists


def test_errors():
    method = hb.HeavyBall(0.1, 0.5)
    with pytest.raises(ValueError, match="`smoothness` must be > strong_convexity"):
        polygon_cycle(method, 1.0, 1.0, 3)
    with pytest.raises(ValueError, match="`period` must be a whole number >= 2"):
        polygon_cycle(method, 1.0, 2.0, 1)
    with pytest.raises(ValueError, match="share no divisor with it. Received 2 for the period 4"):
        polygon_cycle(method, 1.0, 2.0, 4, winding=2)
    with pytest.raises(ValueError, match="must have scalar hyperparameters"):
        polygon_cycle(hb.HeavyBall([0.1, 0.2], 0.5), 1.0, 2.0, 3)
    with pytest.raises(ValueError, match="one gradient a step"):
        polygon_cycle(Extragradient(0.1, 0.5), 1.0, 2.0, 3)
    with pytest.raises(TypeError, match="must be a method"):
        polygon_cycle(hb.GradientFlow(), 1.0, 2.0, 3)
