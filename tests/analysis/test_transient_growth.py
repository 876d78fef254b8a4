"""Growth before decay: brute force, the bounds of Kreiss's theorem, closed forms of defective modes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.optimize import minimize
from user_rules import Averaged, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis._matrix_sizes import eigenvector_conditions, spectral_norms
from heavyball_dynamics.analysis.kreiss import kreiss_constants
from heavyball_dynamics.analysis.robustness_cards import robustness
from heavyball_dynamics.analysis.transient_growth import transient_growth


def powers(M, steps):
    all_ = np.empty((steps + 1, *M.shape))
    all_[0] = np.eye(len(M))
    for k in range(steps):
        all_[k + 1] = M @ all_[k]
    return np.linalg.norm(all_, 2, axis=(-2, -1))


def rest(elements, order):
    return np.eye(1, order).repeat(elements, axis=0)


@given(st.integers(1, 4), st.integers(0, 10_000), st.floats(0.1, 0.995))
@settings(max_examples=40, deadline=None)
def test_peaks_by_brute_force(order, seed, radius):
    M = np.random.default_rng(seed).normal(size=(order, order))
    M *= radius / np.abs(np.linalg.eigvals(M)).max()
    found = transient_growth(M[None] - np.eye(order), rest(1, order), np.zeros(1, bool), discrete=True)
    sizes = powers(M, 4000)
    assert_allclose(found.state[0], sizes.max(), rtol=1e-12)
    assert_allclose(sizes[int(found.state_time[0])], sizes.max(), rtol=1e-12)
    kreiss = kreiss_constants(M[None] - np.eye(order), np.ones(1, bool), discrete=True)[0]
    assert kreiss * (1 + 1e-12) >= 1
    assert kreiss <= sizes.max() * (1 + 1e-9)
    assert sizes.max() <= np.e * order * kreiss


@given(st.integers(2, 4), st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_kreiss_constant_by_another_search(order, seed):
    M = np.random.default_rng(seed).normal(size=(order, order))
    M *= 0.97 / np.abs(np.linalg.eigvals(M)).max()
    found = kreiss_constants(M[None] - np.eye(order), np.ones(1, bool), discrete=True)[0]

    def value(place):
        away = np.exp(place[0])
        z = (1 + away) * np.exp(1j * place[1])
        return -away / np.linalg.svd(z * np.eye(order) - M, compute_uv=False)[-1]

    a, b = np.meshgrid(np.linspace(-7, 4, 40), np.linspace(0, np.pi, 41))
    start = min(zip(a.ravel(), b.ravel(), strict=True), key=value)
    best = minimize(value, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert found >= -best.fun * (1 - 1e-6)


def test_tuned_heavy_ball_grows_in_its_stiff_mode():
    """x₀(-ρ)ᵏ(1 + (1+ρ)k): the peak is 3.7 at κ = 100, grows with κ, and the flat end mode never grows."""
    for kappa, peak in ((25.0, None), (100.0, 3.7), (1e4, None)):
        rho = (np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)
        k = np.arange(1000)
        expected = rho**k * (1 + (1 + rho) * k)
        found = robustness(hb.tune(hb.HeavyBall, 1.0, kappa), [1.0, kappa])
        assert_allclose(found.position_growth, [1.0, expected.max()], rtol=1e-9)
        assert found.position_time[1] == np.argmax(expected)
        assert_array_equal(found.defective, [True, True])
        assert_allclose(found.spectral_radius, rho, rtol=3e-8)  # of a double pole half the digits
        assert_allclose(found.gain_margin[1, 1], (kappa + 1) / kappa, rtol=1e-12)
        if peak:
            assert_allclose(found.position_growth[1], peak, atol=0.05)


def test_growth_of_runs():
    """The peak of positions is what runs from rest show."""
    method = hb.tune(hb.HeavyBall, 1.0, 100.0)
    run = hb.iterate(method, hb.Quadratic([100.0]), [1.0], 60)
    found = robustness(method, 100.0)
    assert_allclose(np.abs(run.position).max(), found.position_growth[0], rtol=1e-12)
    for rule, bend in ((Averaged(0.5, 0.9), 3.0), (TwoMomenta(0.3, 0.5, 0.9), 10.0), (hb.Nesterov(0.1, 0.99), 12.0)):
        run = hb.iterate(rule, hb.Quadratic([bend]), [1.0], 400)
        assert_allclose(np.abs(run.position).max(), robustness(rule, bend).position_growth[0], rtol=1e-9)


FLOWS = [(hb.HeavyBallFlow(1.0, 0.5), 0.01), (hb.HeavyBallFlow(1.0, 0.5), 100.0), (hb.HeavyBallFlow(3.0, 7.0), 4.0),
         (Maxwell(1.0, 5.0, 0.5), 9.0)]  # fmt: skip


@pytest.mark.parametrize(("rule", "bend"), FLOWS)
def test_peaks_of_flows(rule, bend):
    found = robustness(rule, bend)
    m = hb.state_matrices(rule)
    M = m.A + bend * m.B @ m.C
    times = np.linspace(0, 40 / np.sqrt(bend), 8001)
    sizes = np.linalg.norm(expm(M * times[:, None, None]), 2, axis=(-2, -1))
    assert_allclose(found.peak_growth[0], sizes.max(), rtol=1e-5)  # of a grid
    assert found.peak_growth[0] >= sizes.max() * (1 - 1e-12)
    assert_allclose(np.linalg.norm(expm(M * found.peak_time[0]), 2), found.peak_growth[0], rtol=1e-12)
    assert found.kreiss[0] <= found.peak_growth[0] * (1 + 1e-9) <= np.e * len(M) * found.kreiss[0] * (1 + 1e-9)


def test_energy_norm_never_grows():
    """With λ = m = 1 the state's norm is the energy: neither damping nor rotation lets it grow."""
    found = robustness(hb.HeavyBallFlow(1.0, [0.1, 1.0, 5.0]), [[1.0]])
    assert_allclose(found.peak_growth, 1.0)
    assert_allclose(found.kreiss, 1.0, rtol=1e-9)


def test_very_slow_modes():
    """Overdamped at 1e-14: the peak of two exponentials, found without walking millions of steps."""
    found = robustness(hb.HeavyBall(1.0, 1 - 1e-6), 1e-14)
    assert_allclose(found.peak_growth[0], 1 / (1e-6 + 2e-8), rtol=0.05)
    # M^k by its own eigenvalues at the step found, and one percent beside it.
    poles = hb.analyze_modes(hb.HeavyBall(1.0, 1 - 1e-6), [1e-14]).poles[0].real
    k = found.peak_time[0] * np.linspace(0.9, 1.1, 21)
    shape = np.exp(k * np.log(poles[0])) - np.exp(k * np.log(poles[1]))
    assert abs(np.argmax(shape) - 10) <= 1


def test_modes_on_the_boundary():
    """Flat directions keep what they got, 1/(1-β); without damping there is no end."""
    flat = robustness(hb.HeavyBall(1.0, 0.9), 0.0)
    limit = np.linalg.norm(np.array([[1, 9], [0, 0]]), 2)
    assert_allclose(flat.peak_growth, limit, rtol=1e-9)
    assert_allclose(flat.kreiss, limit, rtol=1e-6)
    assert flat.position_growth[0] == 1
    drift = robustness(hb.HeavyBall(1.0, 1.0), 0.0)
    assert np.isinf(drift.peak_growth[0])
    assert np.isinf(drift.kreiss[0])
    assert drift.defective[0]
    grows = robustness(hb.HeavyBall(1.0, 0.9), [-0.1, 5.0])
    assert np.isinf(grows.peak_growth).all()
    assert np.isinf(grows.position_growth).all()
    free = robustness(hb.HeavyBallFlow(1.0, 0.5), 0.0)
    assert_allclose(free.peak_growth, np.linalg.norm([[1, 2], [0, 0]], 2), rtol=1e-9)


@given(*[st.integers(-300, 300).map(lambda n: n / 100)] * 4)
@settings(max_examples=60, deadline=None)
def test_eigenvectors_of_order_two(a, b, c, d):
    M = np.array([[a, b], [c, d]])
    discriminant = (a - d) ** 2 + 4 * b * c
    if abs(discriminant) < 1e-3:
        return
    found = eigenvector_conditions(M[None], np.array([discriminant]), np.array([False]))[0]
    assert_allclose(found, np.linalg.cond(np.linalg.eig(M)[1]), rtol=1e-6)
    assert_allclose(spectral_norms(M), np.linalg.norm(M, 2), rtol=1e-12)
    assert_allclose(spectral_norms(M + 1j * M.T), np.linalg.norm(M + 1j * M.T, 2), rtol=1e-12)


def test_defective_is_told_from_the_coefficients():
    """Critical heavy ball, to the last digit of lr; not gradient descent, nor what is merely near."""
    beta = np.array([0.1, 0.5, 0.9, 0.999])
    low, high = (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2
    assert robustness(hb.HeavyBall(1.0, beta), np.stack([low, high], axis=-1)).defective.all()
    near = robustness(hb.HeavyBall(1.0, beta), np.stack([low * (1 + 1e-6), high * (1 - 1e-6)], axis=-1))
    assert not near.defective.any()
    assert np.all(near.eigenvector_condition > 10)
    assert np.isinf(robustness(hb.HeavyBall(1.0, 0.5), high[1]).eigenvector_condition[0])
    assert not robustness(hb.GradientDescent(1.0), [0.5, 1.0]).defective.any()
    # Order three: two equal momenta leave a mode that is seen by nobody, and no chain.
    assert not robustness(TwoMomenta(0.1, 0.9, 0.9), 1.0).defective[0]
    triple = robustness(hb.TripleMomentum.for_class(1.0, 100.0), 1.0)
    assert np.isfinite(triple.peak_growth[0])
