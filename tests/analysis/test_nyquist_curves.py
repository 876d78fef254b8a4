"""Nyquist curves: python-control's response, the margins read from the curve itself."""

import control as ct
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged, Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.nyquist_curves import nyquist

RULES = [hb.HeavyBall(0.1, 0.5), hb.Nesterov(0.1, 0.9), Averaged(0.2, 0.7), TwoMomenta(0.1, 0.5, 0.9),
         hb.HeavyBallFlow(1.0, 0.5), Maxwell(1.0, 1.0, 2.0)]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
def test_the_loop_is_python_controls(rule):
    curve = nyquist(rule, 2.0)
    inside = slice(1, -2)
    theirs = ct.frequency_response(-2.0 * hb.linearize(rule), curve.frequency[0, inside]).complex
    assert_allclose(curve.loop[0, inside, 0], theirs, rtol=1e-6, atol=1e-9 * np.abs(theirs).min())


@pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)
def test_margins_are_seen_in_the_curve(rule):
    curve = nyquist(rule, 2.0)
    loop = curve.loop[0, :, 0]
    alpha = curve.disk_margin[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = 2 * np.abs(1 + loop) / np.abs(1 - loop)
    assert_allclose(np.nanmin(distance), alpha, rtol=5e-3)
    assert np.nanmin(distance) >= alpha * (1 - 1e-9)
    centre, radius = (part[0] for part in curve.disk)
    if alpha < 2:
        assert np.abs(loop - centre).min() >= radius * (1 - 1e-9)
        assert_allclose([centre - radius, centre + radius], [-(2 + alpha) / (2 - alpha), -(2 - alpha) / (2 + alpha)])
    if curve.discrete:
        assert_allclose(loop[-1].imag, 0, atol=1e-12)
    assert np.diff(curve.frequency[0]).min() >= 0


def test_heavy_ball_in_closed_form():
    """L = qz/((z-1)(z-β)), from -1/(gain margin) at z = -1."""
    curve = nyquist(hb.HeavyBall(0.1, 0.9), [1.0, 10.0, 50.0])
    z = np.exp(1j * curve.frequency[0])
    expected = 0.1 * z / ((z - 1) * (z - 0.9))
    # Near the pole at z = 1 the formula itself loses digits.
    away = np.abs(z - 1) > 1e-3
    assert_allclose(curve.loop[0, away, 0], expected[away], rtol=1e-9)
    assert_allclose(curve.loop[:2, -1, 0].real, -1 / curve.gain_margin[:2, 1], rtol=1e-12)
    assert not curve.stable[2]
    assert np.isnan(curve.gain_margin[2]).all()
    assert_allclose(curve.loop[2, -1, 0], -50 * 0.1 / (2 * 1.9), rtol=1e-12)
    assert "does not decay" in str(curve)


def test_characteristic_loci_are_continuous():
    curve = nyquist(Extragradient(0.1, 0.5), 5.0)
    assert curve.loop.shape[-1] == 2
    m = hb.state_matrices(Extragradient(0.1, 0.5))
    for point in (100, 300, -2):
        z = np.exp(1j * curve.frequency[0, point])
        gains = np.linalg.eigvals(-5.0 * (m.C @ np.linalg.solve(z * np.eye(2) - m.A, m.B) + m.D))
        assert_allclose(np.sort_complex(curve.loop[0, point]), np.sort_complex(gains), rtol=1e-6)
    calm = np.abs(curve.loop[0]).max(axis=-1) < 5
    assert np.abs(np.diff(curve.loop[0, calm], axis=0)).max() < 0.5


def test_batches():
    rules = hb.HeavyBall(np.array([0.1, 0.2]), 0.5)
    curve = nyquist(rules, [[1.0, 2.0], [3.0, 4.0]])
    assert curve.loop.shape[:2] == curve.stable.shape == (2, 2)
    alone = nyquist(hb.HeavyBall(0.2, 0.5), [3.0, 4.0])
    assert_allclose(curve.loop[1], alone.loop, rtol=1e-12)


def test_a_marginal_mode_leaves_the_others():
    for bends in ([1.0, 0.0, 45.0], [1.0, 30.0, 45.0]):
        curve = nyquist(hb.HeavyBall(0.1, 0.5), bends)
        alone = nyquist(hb.HeavyBall(0.1, 0.5), [1.0, 45.0])
        for name in ("loop", "frequency", "gain_margin", "phase_margin", "disk_margin"):
            assert_array_equal(getattr(curve, name)[[0, 2]], getattr(alone, name))
            assert np.isnan(getattr(curve, name)[1]).all()
        assert "does not decay, a pole is on the boundary" in str(curve)
    assert np.isnan(nyquist(hb.HeavyBallFlow(1.0, 0.5), 0.0).loop).all()


@pytest.mark.parametrize("rule", [hb.HeavyBall(np.zeros(0), 0.5), Extragradient(np.zeros(0), 0.5)],
                         ids=lambda r: type(r).__name__)  # fmt: skip
def test_empty_batches(rule):
    curve = nyquist(rule, [1.0, 2.0])
    assert curve.loop.shape[:2] == curve.stable.shape == (0, 2)
    assert curve.gain_margin.shape == (0, 2, 2)
    assert str(curve) == ""
    assert nyquist(hb.HeavyBall(0.1, 0.5), np.zeros(0)).disk_margin.shape == (0,)


def test_errors():
    with pytest.raises(ValueError, match="no loop to open"):
        nyquist(hb.discretize(hb.HeavyBallFlow(1.0, 0.5), 0.5, "modal_exact"), 1.0)
