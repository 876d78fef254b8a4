"""Second-order modes: classes from coefficients against the table of the theory, numbers against 50 digits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import DampingClass, GradientDescent, HeavyBall, HeavyBallFlow, Nesterov, analyze_modes

MOMENTA = np.concatenate(
    [[0.01, 0.25, 0.5, 0.81, 0.9, 0.99, 0.9999], np.linspace(0.01, 0.99, 400), 1 - np.geomspace(1e-4, 0.5)]
)
EPS = 1e-6


def lower_edge(momentum):
    """(1 - √β)², written without cancellation."""
    return ((1 - momentum) / (1 + np.sqrt(momentum))) ** 2


def upper_edge(momentum):
    return (1 + np.sqrt(momentum)) ** 2


def classes(algorithm, curvature):
    return analyze_modes(algorithm, curvature).damping


def everywhere(found, expected):
    assert_array_equal(found, np.full_like(found, int(expected)))


def heavy_ball_at(product, lr=1.0):
    """One mode for each momentum, at q = product."""
    return classes(HeavyBall(lr, MOMENTA), (product / lr)[:, None])[:, 0]


@pytest.mark.parametrize("lr", [1.0, 0.3, 1e-3, 7.0])
class TestTableOfTheHeavyBall:
    """Every row of the table, on the critical curves and a relative 1e-6 away from them."""

    def test_lower_edge(self, lr):
        edge = lower_edge(MOMENTA)
        everywhere(heavy_ball_at(edge, lr), DampingClass.CRITICAL)
        everywhere(heavy_ball_at(edge * (1 - EPS), lr), DampingClass.OVERDAMPED)
        everywhere(heavy_ball_at(edge * (1 + EPS), lr), DampingClass.UNDERDAMPED)

    def test_upper_edge(self, lr):
        edge = upper_edge(MOMENTA)
        everywhere(heavy_ball_at(edge, lr), DampingClass.ALTERNATING)
        everywhere(heavy_ball_at(edge * (1 - EPS), lr), DampingClass.UNDERDAMPED)
        # At β = 0.9999 the stability limit is a relative 6e-10 above the edge.
        inside = edge * (1 + EPS) < 2 * (1 + MOMENTA)
        everywhere(heavy_ball_at(edge * (1 + EPS), lr)[inside], DampingClass.ALTERNATING)

    def test_stability_limit(self, lr):
        edge = 2 * (1 + MOMENTA)
        everywhere(heavy_ball_at(edge, lr), DampingClass.MARGINAL)
        everywhere(heavy_ball_at(edge * (1 + EPS), lr), DampingClass.DIVERGENT)
        inside = edge * (1 - EPS) > upper_edge(MOMENTA)
        everywhere(heavy_ball_at(edge * (1 - EPS), lr)[inside], DampingClass.ALTERNATING)

    def test_flat_and_downhill(self, lr):
        everywhere(heavy_ball_at(0 * MOMENTA, lr), DampingClass.MARGINAL)
        for q in (-1e-12, -1e-3, -1.0, -50.0):
            everywhere(heavy_ball_at(np.full_like(MOMENTA, q), lr), DampingClass.DIVERGENT)


def test_inside_the_regions(rng):
    share = rng.uniform(0.01, 0.99, size=MOMENTA.size)
    low, high, limit = lower_edge(MOMENTA), upper_edge(MOMENTA), 2 * (1 + MOMENTA)
    everywhere(heavy_ball_at(share * low), DampingClass.OVERDAMPED)
    everywhere(heavy_ball_at(low + share * (high - low)), DampingClass.UNDERDAMPED)
    everywhere(heavy_ball_at(high + share * (limit - high)), DampingClass.ALTERNATING)
    everywhere(heavy_ball_at(limit * (1 + share)), DampingClass.DIVERGENT)


def test_two_hundred_thousand_critical_heavy_balls(rng):
    momentum = 1 - 10 ** rng.uniform(-4, -0.01, size=200_000)
    lr = 10 ** rng.uniform(-4, 2, size=momentum.size)
    found = classes(HeavyBall(lr, momentum), (lower_edge(momentum) / lr)[:, None])
    everywhere(found, DampingClass.CRITICAL)


def test_two_hundred_thousand_critical_flows(rng):
    mass, curvature = 10 ** rng.uniform(-4, 4, size=(2, 200_000))
    damping = 2 * np.sqrt(mass * curvature)
    for factor, expected in [
        (1.0, DampingClass.CRITICAL), (1 + EPS, DampingClass.OVERDAMPED), (1 - EPS, DampingClass.UNDERDAMPED),
        (0.0, DampingClass.UNDAMPED), (-1.0, DampingClass.DIVERGENT),
    ]:  # fmt: skip
        everywhere(classes(HeavyBallFlow(mass, factor * damping), curvature[:, None]), expected)


class TestNesterov:
    def test_critical_and_limit(self):
        critical = ((1 - MOMENTA) / (1 + MOMENTA)) ** 2
        limit = 2 * (1 + MOMENTA) / (1 + 2 * MOMENTA)
        for q, expected in [
            (critical, DampingClass.CRITICAL), (critical * (1 - EPS), DampingClass.OVERDAMPED),
            (critical * (1 + EPS), DampingClass.UNDERDAMPED), (0.5 * (critical + 1), DampingClass.UNDERDAMPED),
            (np.ones_like(MOMENTA), DampingClass.CRITICAL), (np.full_like(MOMENTA, 1 + EPS), DampingClass.ALTERNATING),
            (0.5 * (1 + limit), DampingClass.ALTERNATING), (limit * (1 - EPS), DampingClass.ALTERNATING),
            (limit, DampingClass.MARGINAL), (limit * (1 + EPS), DampingClass.DIVERGENT),
            (0 * MOMENTA, DampingClass.MARGINAL), (-critical, DampingClass.DIVERGENT),
        ]:  # fmt: skip
            everywhere(classes(Nesterov(1.0, MOMENTA), q[:, None]), expected)

    def test_dead_beat(self):
        modes = analyze_modes(Nesterov(1.0, 0.7), [1.0])
        assert_array_equal(modes.poles, [[0.0, 0.0]])
        assert_array_equal([modes.rate[0], modes.half_life[0], modes.natural_frequency[0]], [0.0, 0.0, np.inf])

    def test_momentum_above_one_is_tamed_by_stiff_curvature_only(self):
        beta = 1.05
        inside, limit = (beta - 1) / beta, 2 * (1 + beta) / (1 + 2 * beta)
        found = classes(Nesterov(1.0, beta), [0.9 * inside, 1.1 * inside, 0.99 * limit, 1.01 * limit])
        assert [DampingClass(c).name for c in found] == ["DIVERGENT", "UNDERDAMPED", "ALTERNATING", "DIVERGENT"]


class TestEdgesOfMomentum:
    def test_without_friction(self):
        for q in (1e-9, 0.3, 2.0, 3.999):
            modes = analyze_modes(HeavyBall(1.0, 1.0), [q])
            everywhere(modes.damping, DampingClass.UNDAMPED)
            assert_array_equal([modes.rate[0], modes.damping_ratio[0]], [1.0, 0.0])
            assert not modes.stable[0]
            assert np.isinf(modes.half_life[0])
            # cos φ = 1 - q/2; written with the sine of the half angle, which keeps its digits for small q.
            assert_allclose(modes.natural_frequency[0], 2 * np.arcsin(np.sqrt(q) / 2), rtol=1e-12)

    def test_above_one_diverges(self):
        everywhere(classes(HeavyBall(1.0, np.array([1 + 1e-9, 1.1, 30.0])), [1e-3, 1.0, 3.0]), DampingClass.DIVERGENT)

    def test_at_minus_one_and_below(self):
        everywhere(classes(HeavyBall(1.0, -1.0), [0.5]), DampingClass.DIVERGENT)
        everywhere(classes(HeavyBall(1.0, -1.5), [0.5]), DampingClass.DIVERGENT)

    def test_negative_momentum(self):
        """The poles have opposite signs; the larger one decides, and it changes at q = 1 + β."""
        beta = -0.4
        found = classes(HeavyBall(1.0, beta), [0.1, 0.59, 0.6, 0.61, 1.19, 1.2, 1.21])
        names = ["OVERDAMPED"] * 2 + ["ALTERNATING"] * 3 + ["MARGINAL", "DIVERGENT"]
        assert [DampingClass(c).name for c in found] == names
        # A partner of negative sign is gone after its first flips: as an oscillator the mode is of first order.
        assert np.isposinf(analyze_modes(HeavyBall(1.0, beta), [0.1]).damping_ratio[0])

    @pytest.mark.parametrize("rtol", [0.0, 1e-9, 1e-3])
    def test_momentum_zero_is_gradient_descent(self, rtol):
        q = np.array([-1, 0, 1e-9, 0.5, 1 - 1e-5, 1 - 1e-8, 1 - 1e-11, 1, 1 + 1e-11, 1 + 1e-8, 1 + 1e-5, 1.9, 2, 2.1])
        descent = analyze_modes(GradientDescent(1.0), q, rtol=rtol)
        for method in (HeavyBall(1.0, 0.0), Nesterov(1.0, 0.0)):
            modes = analyze_modes(method, q, rtol=rtol)
            for name in ("damping", "stable"):
                assert_array_equal(getattr(modes, name), getattr(descent, name))
            for name in ("rate", "log_rate", "half_life", "damping_ratio", "natural_frequency"):
                # A pole near z = 0 is 1 - q, with the rounding of the 1.
                assert_allclose(getattr(modes, name), getattr(descent, name), rtol=1e-14,
                                atol=1e-15)  # fmt: skip
            assert_allclose(modes.poles[:, 0], descent.poles[:, 0], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("momentum", [0.01, 0.2, 0.9, 0.999])
@pytest.mark.parametrize("rtol", [1e-9, 1e-5, 1e-2])
def test_rtol_is_a_bound_on_the_damping_ratio(momentum, rtol):
    """A mode is critical exactly if its damping ratio is within rtol of one (to leading order in rtol)."""
    edge = lower_edge(momentum)
    q = edge * (1 + np.linspace(-40, 40, 4001) * rtol / np.sqrt(momentum) ** 0.5)
    q = q[q > 0]
    modes = analyze_modes(HeavyBall(1.0, momentum), q, rtol=rtol)
    ratio = analyze_modes(HeavyBall(1.0, momentum), q, rtol=0.0).damping_ratio
    called = modes.damping == DampingClass.CRITICAL
    distance = np.abs(ratio - 1)
    margin = 1e-6 / rtol * 1e-9 + 2 * rtol + 0.01
    assert called[distance < rtol * (1 - margin)].all()
    assert not called[distance > rtol * (1 + margin)].any()
    assert called.any()
    assert not called.all()


def test_rtol_of_flows():
    flow = HeavyBallFlow(1.0, 2 * (1 + 0.5e-3))
    assert analyze_modes(flow, [1.0], rtol=1e-3).damping[0] == DampingClass.CRITICAL
    assert analyze_modes(flow, [1.0], rtol=1e-4).damping[0] == DampingClass.OVERDAMPED


def exact(beta, q, nesterov):
    """Poles, s = log z, damping ratio and natural frequency at 50 digits, from the characteristic polynomial."""
    beta, q = mpmath.mpf(float(beta)), mpmath.mpf(float(q))
    total = (1 + beta) * (1 - q) if nesterov else 1 + beta - q
    product = beta * (1 - q) if nesterov else beta
    root = mpmath.sqrt(mpmath.mpc(total**2 - 4 * product))
    z = sorted([(total + root) / 2, (total - root) / 2], key=lambda p: -abs(p))
    s = [mpmath.log(p) for p in z]
    frequency = mpmath.sqrt(mpmath.re(s[0] * s[1]))
    return z, -mpmath.re(s[0] + s[1]) / (2 * frequency), frequency


@pytest.mark.parametrize("method", [HeavyBall, Nesterov])
@pytest.mark.parametrize("momentum", [0.05, 0.5, 0.9, 0.9999, 1 - 1e-6, 1 - 1e-8])
def test_numbers_to_fifty_digits(method, momentum):
    nesterov = method is Nesterov
    edge = ((1 - momentum) / (1 + (momentum if nesterov else np.sqrt(momentum)))) ** 2
    q = np.concatenate([edge * np.array([1e-12, 1e-6, 0.01, 0.5, 0.9, 1.1, 2.0, 30.0]), [1e-3, 0.1, 0.5]])
    q = q[q < 1]
    modes = analyze_modes(method(1.0, momentum), q)
    with mpmath.workdps(50):
        for i, value in enumerate(q):
            z, ratio, frequency = exact(momentum, value, nesterov)
            log_rate = mpmath.log(abs(z[0]))
            wanted = {
                "damping_ratio": ratio, "natural_frequency": frequency, "rate": abs(z[0]), "log_rate": log_rate,
                "half_life": -mpmath.log(2) / log_rate,
            }  # fmt: skip
            for name, number in wanted.items():
                assert_allclose(getattr(modes, name)[i], float(number), rtol=2e-12, err_msg=f"{name} at q = {value}")
            assert_allclose(modes.time_to(1e-6)[i], float(mpmath.log(mpmath.mpf("1e-6")) / log_rate), rtol=2e-12)
            slow = float(mpmath.re(z[0] - 1))
            assert_allclose(modes.poles[i, 0].real - 1, slow, rtol=1e-12, atol=2.3e-16)


@pytest.mark.parametrize(("mass", "damping"), [(1.0, 2.0), (3.0, 1e-6), (0.02, 50.0), (1e6, 1.0)])
def test_flow_numbers_to_fifty_digits(mass, damping):
    curvature = damping**2 / (4 * mass) * np.array([1e-14, 1e-6, 0.1, 0.9, 1.1, 10.0, 1e8])
    modes = analyze_modes(HeavyBallFlow(mass, damping), curvature)
    with mpmath.workdps(50):
        m, c = mpmath.mpf(mass), mpmath.mpf(damping)
        for i, value in enumerate(curvature):
            k = mpmath.mpf(float(value))
            root = mpmath.sqrt(mpmath.mpc(c**2 - 4 * m * k))
            slow = mpmath.re((-c + root) / (2 * m))
            wanted = {
                "damping_ratio": c / (2 * mpmath.sqrt(m * k)), "natural_frequency": mpmath.sqrt(k / m), "rate": slow,
                "log_rate": slow, "half_life": -mpmath.log(2) / slow,
            }  # fmt: skip
            for name, number in wanted.items():
                assert_allclose(getattr(modes, name)[i], float(number), rtol=1e-12, err_msg=name)


@given(momentum=st.floats(0.02, 0.999), share=st.floats(0.01, 0.99))
def test_damping_ratio_of_the_closed_formula(momentum, share):
    """ζ = -½ ln β / √(φ² + ¼ ln² β) with cos φ = (1 + β - q)/(2√β)."""
    low, high = lower_edge(momentum), upper_edge(momentum)
    q = low + share * (high - low)
    angle = np.arccos((1 + momentum - q) / (2 * np.sqrt(momentum)))
    half = -0.5 * np.log(momentum)
    modes = analyze_modes(HeavyBall(1.0, momentum), [q])
    assert_allclose(modes.damping_ratio[0], half / np.hypot(angle, half), rtol=1e-9)
    assert_allclose(modes.rate[0], np.sqrt(momentum), rtol=1e-14)


def test_ratio_is_nan_where_there_is_no_oscillator():
    modes = analyze_modes(HeavyBall(1.0, 0.25), [-1.0, 0.0, 2.3, 2.5, 3.0])
    assert np.isnan(modes.damping_ratio).all()
    assert np.isnan(modes.natural_frequency).all()
    assert_array_equal(modes.stable, [False, False, True, False, False])
    assert_array_equal(np.isinf(modes.half_life), ~modes.stable)


@given(
    momentum=st.floats(-0.999, 0.999), lr=st.floats(1e-3, 10), curvature=st.floats(-5, 20),
    kind=st.sampled_from([HeavyBall, Nesterov]),
)  # fmt: skip
def test_stable_means_inside_the_unit_circle(momentum, lr, curvature, kind):
    modes = analyze_modes(kind(lr, momentum), [curvature])
    radius = np.abs(modes.poles[0]).max()
    assert_allclose(modes.rate[0], radius, rtol=1e-6, atol=1e-9)
    if abs(radius - 1) > 1e-9:
        assert bool(modes.stable[0]) == (radius < 1)


@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1.0, 1e15, 1e20, 1e100])
def test_classes_of_a_flow_do_not_depend_on_the_unit_of_time(scale):
    """In time c·t the damping is c times, the curvature c² times as large; damping ratios stay."""
    curvature = scale**2 * np.array([1.0, 0.25, 0.2, 1e12, -1.0, 0.0])
    modes = analyze_modes(HeavyBallFlow(1.0, scale), curvature)
    D = DampingClass
    wanted = [D.UNDERDAMPED, D.CRITICAL, D.OVERDAMPED, D.UNDERDAMPED, D.DIVERGENT, D.MARGINAL]
    assert_array_equal(modes.damping, wanted)
    assert_allclose(modes.damping_ratio[:4], [0.5, 1.0, 0.5 / np.sqrt(0.2), 0.5e-6], rtol=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", [HeavyBall(1.0, 0.9), Nesterov(1.0, 0.9)])
def test_huge_curvatures_diverge_without_a_warning(method):
    modes = analyze_modes(method, [1e200, -1e200])
    assert_array_equal(modes.damping, DampingClass.DIVERGENT)
    assert_allclose(modes.rate, analyze_modes(method, [1e150, -1e150]).rate * 1e50)
    assert np.all(np.isposinf(modes.half_life))
    assert "divergent" in modes.summary()
