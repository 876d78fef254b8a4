"""Frequency responses, against closed forms of the filters, against python-control, and against swings that are run."""

import control
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb

OMEGA = np.geomspace(1e-3, np.pi, 60)
OPEN = ("displacement", "position", "query", "query_displacement")
RULES = [
    hb.GradientDescent(0.3), hb.HeavyBall(0.1, 0.9), hb.Nesterov(0.1, 0.9), hb.TripleMomentum(0.1, 0.5, 0.2, 0.3),
    hb.AggregatedMomentum(0.05, (0.0, 0.9, 0.99)), TwoMomenta(0.1, 0.5, 0.9), hb.HeavyBallFlow(2.0, 0.7),
    Maxwell(1.0, 0.5, 2.0),
]  # fmt: skip


def one_pole(omega, beta):
    # 1 - 2β cos ω + β², without the cancellation at β near 1.
    return 1 / np.sqrt((1 - beta) ** 2 + 4 * beta * np.sin(omega / 2) ** 2)


@settings(deadline=None)
@given(st.floats(0.0, 0.999, allow_subnormal=False), st.floats(0.01, 10.0))
def test_the_average_is_the_filter_of_one_pole(beta, lr):
    """|H| = (1-β)/√(1 - 2β cos ω + β²), half its power at cos ω = (4β - 1 - β²)/(2β)."""
    found = hb.dialect_response("ema", OMEGA, momentum=beta, lr=lr)
    assert_allclose(found.magnitude, (1 - beta) * one_pole(OMEGA, beta), rtol=1e-11)
    assert_allclose(found.phase, -np.arctan2(beta * np.sin(OMEGA), 1 - beta * np.cos(OMEGA)), atol=1e-11)
    assert_allclose(found.dc_gain, 1.0, rtol=1e-12)
    assert_allclose(found.averaging_window, (1 + beta) / (1 - beta), rtol=1e-9)
    assert_allclose(found.mean_age, beta / (1 - beta), rtol=1e-9, atol=1e-300)
    cosine = (4 * beta - 1 - beta**2) / (2 * beta) if beta else -np.inf
    if abs(cosine) < 1 - 1e-9:
        # The arc cosine itself loses digits at small angles: 1 - cos ω = (1-β)²/(2β).
        assert_allclose(found.cutoff, 2 * np.arcsin((1 - beta) / (2 * np.sqrt(beta))), rtol=1e-9)
    elif cosine < -1:
        assert np.isnan(found.cutoff)


@pytest.mark.parametrize(("dialect", "gain"), [("torch", 10.0), ("keras", 2.0), ("ema", 1.0), ("goodfellow", 2.0)])
@pytest.mark.parametrize("nesterov", [False, True])
def test_dialects_differ_by_a_factor(dialect, gain, nesterov):
    found = hb.dialect_response(dialect, OMEGA, momentum=0.9, lr=0.2, nesterov=nesterov)
    assert_allclose(found.magnitude, gain * 0.1 * one_pole(OMEGA, 0.9), rtol=1e-12)
    assert_allclose([found.dc_gain, found.averaging_window, found.mean_age], [gain, 19.0, 9.0], rtol=1e-12)
    assert_allclose(found.cutoff, 2 * np.arcsin(0.1 / (2 * np.sqrt(0.9))), rtol=1e-12)


@pytest.mark.parametrize("dialect", ["torch", "keras", "ema", "goodfellow"])
def test_the_buffer_is_the_one_that_the_framework_keeps(dialect):
    """Run the dialect's own recursion on a swing until only the swing is left."""
    beta, a, omega = 0.8, 0.3, 0.7
    averaging, inside = dialect == "ema", dialect in ("keras", "goodfellow")
    buffer = 0.0
    for k in range(400):
        g = np.exp(1j * omega * k)
        buffer = beta * buffer + (a if inside else 1 - beta if averaging else 1) * g
    found = hb.dialect_response(dialect, [omega], momentum=beta, lr=a)
    assert_allclose(found.response, [buffer / g], rtol=1e-12)


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_nesterov_adds_a_lead(beta):
    """y_{k+1} - y_k of torch is α(g + βv) with v = zg/(z-β): ((1+β)z - β)/(z - β)."""
    heavy = hb.dialect_response("torch", OMEGA, momentum=beta, lr=0.1, output="update")
    ahead = hb.dialect_response("torch", OMEGA, momentum=beta, lr=0.1, nesterov=True, output="update")
    z = np.exp(1j * OMEGA)
    assert_allclose(ahead.response, 0.1 * ((1 + beta) * z - beta) / (z - beta), rtol=1e-12)
    assert np.all(ahead.phase[:-1] > heavy.phase[:-1])
    assert_allclose(ahead.dc_gain, heavy.dc_gain, rtol=1e-12)
    # Goodfellow stores x, which the look-ahead only reaches through the gradient.
    plain = hb.dialect_response("goodfellow", OMEGA, momentum=beta, lr=0.1, nesterov=True, output="update")
    assert_allclose(plain.response, heavy.response, rtol=1e-12)


def test_dampening_scales_the_buffer():
    found = hb.dialect_response("torch", OMEGA, momentum=0.9, dampening=0.4)
    assert_allclose(found.response, 0.6 * hb.dialect_response("torch", OMEGA, momentum=0.9).response, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("curvature", [None, 0.8])
def test_python_control_agrees(rule, curvature):
    outputs = (*OPEN, *(("sensitivity", "loop") if curvature else ()))
    for output in outputs:
        system = hb.signal_system(rule, curvature=curvature, output=output)
        expected = control.frequency_response(system, OMEGA).complex
        found = hb.frequency_response(rule, OMEGA, curvature=curvature, output=output)
        response = found.response if curvature is None else found.response[:, 0]
        assert_allclose(response, expected, rtol=1e-8, atol=1e-13 * np.abs(expected).max())


def test_the_loop_gain_of_the_heavy_ball():
    """L = qz/((z-1)(z-β)), Nesterov q((1+β)z - β)/((z-1)(z-β)), flow λ/(s(ms+γ)); 1/(1+L) is the sensitivity."""
    z, q, beta = np.exp(1j * OMEGA), 0.3, 0.7
    numerators = {hb.HeavyBall: q * z, hb.Nesterov: q * ((1 + beta) * z - beta)}
    for kind, numerator in numerators.items():
        loop = hb.frequency_response(kind(0.1, beta), OMEGA, curvature=3.0, output="loop").response[:, 0]
        assert_allclose(loop, numerator / ((z - 1) * (z - beta)), rtol=1e-12)
        through = hb.frequency_response(kind(0.1, beta), OMEGA, curvature=3.0, output="sensitivity").response[:, 0]
        assert_allclose(through, 1 / (1 + loop), rtol=1e-10)
    s = 1j * OMEGA
    loop = hb.frequency_response(hb.HeavyBallFlow(2.0, 0.7), OMEGA, curvature=3.0, output="loop").response[:, 0]
    assert_allclose(loop, 3 / (s * (2 * s + 0.7)), rtol=1e-12)


@pytest.mark.parametrize("rule", [TwoMomenta(0.1, 0.5, 0.9), Extragradient(0.1, 0.8), hb.Nesterov(0.1, 0.9)],
                         ids=lambda rule: type(rule).__name__)  # fmt: skip
def test_a_swing_that_is_run(rule):
    """Drive a user's rule on a spring with an error e_k = cos ωk of all its gradients until only the swing is left."""
    omega, curvature, steps = 0.4, 2.0, 600

    class Shaken:
        dim = 1

        def __init__(self, k=0):
            self.k = k

        def at(self, k):
            return Shaken(k)

        def value(self, x):
            return 0.5 * curvature * x[..., 0] ** 2

        def gradient(self, x):
            return curvature * x - np.cos(omega * self.k)

    run = hb.iterate(rule, Shaken(), [0.0], steps)
    found = hb.frequency_response(rule, [omega], curvature=curvature, output="position").response[0, 0]
    k = np.arange(steps - 50, steps)
    assert_allclose(run.position[k, 0], (found * np.exp(1j * omega * k)).real, atol=1e-10)


def test_closed_on_springs_a_constant_force_ends_at_its_compliance():
    curvature = np.array([1e-9, 0.3, 5.0])
    for rule in (hb.HeavyBall(0.1, 0.9), hb.Nesterov(0.1, 0.5), hb.HeavyBallFlow(1.0, 2.0), TwoMomenta(0.1, 0.2, 0.5)):
        found = hb.frequency_response(rule, OMEGA, curvature=curvature, output="position")
        assert_allclose(found.dc_gain, 1 / curvature, rtol=1e-7)
        assert_array_equal(hb.frequency_response(rule, OMEGA, curvature=curvature).dc_gain, 0)


def test_the_cut_off_of_the_flow():
    """1/(mγ...): H = 1/(ms + γ) falls at γ/m; its impulse response e^{-γt/m}/m has the window 2m/γ and the age m/γ."""
    mass, damping = np.array([0.5, 2.0, 1e3]), np.array([1.0, 0.1, 1e-4])
    found = hb.frequency_response(hb.HeavyBallFlow(mass, damping), [1.0])
    assert_allclose(found.cutoff, damping / mass, rtol=1e-12)
    assert_allclose(found.dc_gain, 1 / damping, rtol=1e-12)
    assert_allclose(found.averaging_window, 2 * mass / damping, rtol=1e-10)
    assert_allclose(found.mean_age, mass / damping, rtol=1e-10)
    assert not hb.frequency_response(hb.HeavyBallFlow(1.0, 1.0), [1.0]).discrete


@pytest.mark.parametrize("rule", RULES[:6], ids=lambda rule: type(rule).__name__)
def test_cut_offs_are_the_first_of_a_fine_scan(rule):
    for curvature, output in [(None, "displacement"), (None, "query_displacement"), (0.8, "position")]:
        found = hb.frequency_response(rule, np.linspace(1e-5, np.pi, 40_000), curvature=curvature, output=output)
        size = found.magnitude.reshape(-1)
        below = size <= abs(float(found.dc_gain.squeeze())) / np.sqrt(2)
        cutoff = float(found.cutoff.squeeze())
        if not below.any():
            assert np.isnan(cutoff)
            continue
        assert abs(found.frequency[np.argmax(below)] - cutoff) < 1e-4
        at = hb.frequency_response(rule, [cutoff], curvature=curvature, output=output).magnitude.squeeze()
        assert_allclose(at, abs(float(found.dc_gain.squeeze())) / np.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize("rule", RULES[:6], ids=lambda rule: type(rule).__name__)
def test_windows_are_those_of_the_weights(rule):
    weights = hb.impulse_response(rule, steps=1)
    found = hb.frequency_response(rule, OMEGA)
    assert_allclose(found.dc_gain, weights.total, rtol=1e-9)
    assert_allclose(found.averaging_window, weights.effective_samples, rtol=1e-9)
    assert_allclose(found.mean_age + 1, weights.effective_memory, rtol=1e-9)


def test_what_integrates_has_no_cut_off():
    found = hb.frequency_response(hb.HeavyBall(0.1, 0.9), [0.0, 0.1], output="position")
    assert found.dc_gain == np.inf
    assert np.isinf(found.magnitude[0])
    assert np.isnan(found.phase[0])
    assert np.isfinite(found.phase[1])
    assert np.isnan(found.cutoff)
    assert np.isnan(found.averaging_window)
    frictionless = hb.frequency_response(hb.HeavyBall(0.1, [1.0, 0.5]), OMEGA)
    assert_allclose(frictionless.dc_gain, [np.inf, 0.2])
    assert_array_equal(np.isnan(frictionless.cutoff), [True, False])


def test_unstable_loops_have_a_formal_response_only():
    found = hb.frequency_response(hb.HeavyBall(0.1, 0.5), OMEGA, curvature=[1.0, 31.0], output="position")
    assert np.isfinite(found.response).all()
    assert_array_equal(np.isnan(found.averaging_window), [False, True])
    assert np.isnan(found.cutoff[1])


def test_momentum_next_to_one_keeps_its_digits():
    left = np.array([1e-6, 1e-9, 1e-11])
    beta = 1 - left
    left = 1 - beta  # as it is stored
    found = hb.dialect_response("ema", [1e-5], momentum=beta)
    assert_allclose(found.dc_gain, 1, rtol=1e-12)
    assert_allclose(found.cutoff, 2 * np.arcsin(left / (2 * np.sqrt(beta))), rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31))
def test_batches(seed):
    rng = np.random.default_rng(seed)
    lr, momentum = rng.uniform(0.01, 0.2, (3, 1)), rng.uniform(0, 0.95, 2)
    curvature = rng.uniform(0.1, 5.0, (3, 2, 4))
    for output in ("position", "sensitivity", "loop"):
        found = hb.frequency_response(hb.Nesterov(lr, momentum), OMEGA, curvature=curvature, output=output)
        assert found.response.shape == (3, 2, 60, 4)
        for i, j in np.ndindex(3, 2):
            alone = hb.frequency_response(hb.Nesterov(lr[i, 0], momentum[j]), OMEGA, curvature=curvature[i, j],
                                          output=output)  # fmt: skip
            for name in ("response", "dc_gain", "cutoff", "averaging_window", "mean_age", "phase"):
                assert_allclose(getattr(found, name)[i, j], getattr(alone, name), rtol=1e-12, atol=1e-14)
    free = hb.frequency_response(hb.HeavyBall(lr, momentum), OMEGA)
    assert free.response.shape == (3, 2, 60)
    alone = hb.frequency_response(hb.HeavyBall(lr[1, 0], momentum[0]), OMEGA)
    assert_allclose(free.response[1, 0], alone.response, rtol=1e-14)


@pytest.mark.parametrize("output", ["displacement", "position", "query", "sensitivity", "loop"])
def test_empty_batches(output):
    needs = output in ("sensitivity", "loop")
    found = hb.frequency_response(hb.HeavyBall(np.zeros(0), 0.5), curvature=[1.0] if needs else None, output=output)
    assert found.response.shape == (0, 400, 1) if needs else (0, 400)
    assert found.cutoff.shape == found.averaging_window.shape == ((0, 1) if needs else (0,))
    assert np.all(np.diff(found.frequency) > 0)
    none = hb.frequency_response(hb.HeavyBall(0.1, 0.5), curvature=[], output=output)
    assert none.response.shape == (400, 0)
    assert none.summary() == ""
    assert hb.frequency_response(hb.HeavyBallFlow(np.ones(0), 0.5), [0.1, 1.0]).response.shape == (0, 2)


def test_where_a_pole_counts_as_resting():
    """The limit that the notes name."""
    near = hb.frequency_response(hb.HeavyBall(1.0, 1 - 1e-11))
    assert np.isclose(near.cutoff, 1e-11, rtol=1e-5)
    assert np.isnan(hb.frequency_response(hb.HeavyBall(1.0, 1 - 1e-13)).cutoff)


def test_frozen_schedules():
    method = hb.HeavyBall(0.1, hb.GrowingMomentum(0.9, 5))
    beta = hb.at_step(method, 7).momentum
    assert_allclose(hb.frequency_response(method, OMEGA, k=7).response,
                    hb.frequency_response(hb.HeavyBall(0.1, beta), OMEGA).response)  # fmt: skip
    with pytest.raises(ValueError, match="varies in time"):
        hb.frequency_response(method, OMEGA)


def test_phase_has_no_jumps():
    found = hb.frequency_response(hb.AggregatedMomentum(0.05, (0.0, 0.9, 0.99)), curvature=[0.1, 3.0],
                                  output="position")  # fmt: skip
    assert np.abs(np.diff(found.phase, axis=0)).max() < 2.0
    assert_allclose(np.exp(1j * found.phase), found.response / found.magnitude, rtol=1e-10)
    assert_allclose(found.decibels, 20 * np.log10(found.magnitude))


def test_summaries():
    found = hb.frequency_response(hb.HeavyBall([0.1, 0.2], 0.5), OMEGA, curvature=[1.0, 2.0], output="position")
    assert str(found).splitlines()[3].startswith("[1] curvature 2, position: gain 0.5 at rest, cut-off ")
    assert "no cut-off" in hb.frequency_response(hb.GradientDescent(0.1)).summary()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: hb.frequency_response(hb.HeavyBall(0.1, 0.5), output="speed"), "`output` must be one of 'displacement'"),
    (lambda: hb.frequency_response(hb.HeavyBall(0.1, 0.5), output="loop"), "`curvature` must be given for output 'l"),
    (lambda: hb.frequency_response(Extragradient(0.1, 0.5), curvature=1.0, output="loop"), "2 gradients a step"),
    (lambda: hb.frequency_response(hb.HeavyBall(0.1, 0.5), [[1.0]]), r"one-dimensional array. Received shape \(1, 1"),
    (lambda: hb.frequency_response(hb.HeavyBall([0.1, 0.2], 0.5), curvature=[[1.0]] * 3), "batch axes of the hyperp"),
    (lambda: hb.frequency_response(hb.RMSProp()), "not linear"),
    (lambda: hb.dialect_response("caffe", momentum=0.9), "`dialect` must be one of"),
    (lambda: hb.dialect_response("torch", momentum=0.9, lr=0.0), "`lr` must be > 0"),
    (lambda: hb.dialect_response("torch", momentum=0.9, output="position"), "`output` must be one of 'buffer'"),
])  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_schedule_is_no_filter():
    with pytest.raises(TypeError, match="`lr` must be constant"):
        hb.dialect_response("torch", momentum=0.9, lr=hb.Schedule([0.1, 0.2]))
