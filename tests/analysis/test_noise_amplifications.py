"""Noise amplification at the optimal tunings: Mohammadi, Razaviyayn, Jovanović 2021."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from user_rules import TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.noise_amplifications import noise_amplification


def tuned(kind, kappa):
    return hb.tune(kind, 1.0, kappa)


@settings(max_examples=20)
@given(st.floats(1.5, 1e4), st.floats(0.0, 1.0))
def test_heavy_ball_over_gradient_descent_is_the_same_for_every_mode(kappa, share):
    """The paper's noise has one variance in the two-point form, that of the gradient then is 1/lr²."""
    curvature = [kappa**share]
    ball, descent = tuned(hb.HeavyBall, kappa), tuned(hb.GradientDescent, kappa)
    one, other = (noise_amplification(each, curvature, 1 / each.lr**2) for each in (ball, descent))
    assert_allclose(one / other, (np.sqrt(kappa) + 1) ** 4 / (8 * np.sqrt(kappa) * (kappa + 1)), rtol=1e-9)
    ratio = noise_amplification(ball, curvature) / noise_amplification(descent, curvature)
    assert_allclose(ratio, (kappa + 1) / (2 * np.sqrt(kappa)), rtol=1e-9)


def test_accelerated_methods_amplify_by_the_square_root_of_the_condition():
    kappas = 10.0 ** np.arange(3, 7)
    for kind in (hb.HeavyBall, hb.Nesterov):
        ratio = []
        for kappa in kappas:
            # In the paper's normalization, on all of the spectrum that counts: the modes next to μ.
            pair = (tuned(kind, kappa), tuned(hb.GradientDescent, kappa))
            one, other = (noise_amplification(each, [1.0, kappa / 2], 1 / each.lr**2) for each in pair)
            ratio.append(one / other)
        slope = np.diff(np.log(ratio)) / np.diff(np.log(kappas))
        assert_allclose(slope[-1], 0.5, atol=0.02)
    # Of the heavy ball it is √κ/8.
    heavy = (np.sqrt(kappas) + 1) ** 4 / (8 * np.sqrt(kappas) * (kappas + 1))
    assert_allclose(heavy[-1], np.sqrt(kappas[-1]) / 8, rtol=1e-2)


def test_by_hand():
    spectrum, method = np.array([1.0, 3.0, 8.0]), tuned(hb.Nesterov, 8.0)
    q, beta, lr = method.lr * spectrum, method.momentum, method.lr
    by_hand = lr**2 * (1 + beta * (1 - q)) / (q * (1 - beta * (1 - q)) * (2 * (1 + beta) - (1 + 2 * beta) * q))
    assert_allclose(noise_amplification(method, spectrum, [1.0, 2.0, 3.0]), by_hand @ [1.0, 2.0, 3.0], rtol=1e-12)
    # Where the smallest eigenvalue occurs more often the rest matters less.
    assert_allclose(noise_amplification(method, [1.0, 1.0]), 2 * by_hand[0], rtol=1e-12)


def test_batches_flows_and_modes_that_are_not_stable():
    total = noise_amplification(hb.HeavyBall(np.array([0.1, 10.0]), 0.5), [1.0, 2.0])
    assert np.isfinite(total[0])
    assert total[1] == np.inf
    assert_allclose(total[0], noise_amplification(hb.HeavyBall(0.1, 0.5), [1.0, 2.0]), rtol=1e-13)
    flow = hb.HeavyBallFlow(1.0, 0.5)
    assert_allclose(noise_amplification(flow, [1.0, 4.0], 2.0), 2.0 / (2 * 0.5) * (1 + 1 / 4), rtol=1e-12)
    assert noise_amplification(TwoMomenta(0.1, 0.5, 0.9), [1.0]) > 0
    assert_allclose(noise_amplification(hb.GradientDescent(0.5), [1.0], 0.0, iterate_noise=3.0), 4.0, rtol=1e-13)
    with pytest.raises(ValueError, match="`noise`"):
        noise_amplification(flow, [1.0, 4.0], -1.0)
