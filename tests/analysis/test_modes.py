"""Modes: poles by three roads, classes by what the iterates do, batches, and systems from python-control."""

import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import control
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import (
    DampingClass,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    HeavyBallFlow,
    Nesterov,
    Quadratic,
    analyze_modes,
    classify_poles,
    closed_loop,
    iterate,
)  # fmt: skip

finite_lr = st.floats(1e-3, 5)
any_momentum = st.one_of(st.floats(-1.5, 1.5), st.sampled_from([0.0, 1.0, -1.0, 2.0]))
any_curvature = st.floats(-5, 5)
QUANTITIES = ("damping", "damping_ratio", "natural_frequency", "rate", "log_rate", "half_life", "stable")


def polynomial(algorithm, curvature):
    """Characteristic polynomials as the theory prints them, highest power first."""
    if isinstance(algorithm, GradientFlow):
        return [1, curvature]
    if isinstance(algorithm, HeavyBallFlow):
        return [algorithm.mass, algorithm.damping, curvature]
    q = algorithm.lr * curvature
    if isinstance(algorithm, GradientDescent):
        return [1, q - 1]
    beta = algorithm.momentum
    if isinstance(algorithm, HeavyBall):
        return [1, -(1 + beta - q), beta]
    return [1, -(1 + beta) * (1 - q), beta * (1 - q)]


def assert_roots_of(coefficients, poles):
    """Every pole nearly annihilates the polynomial, and sum and product agree: good at double roots too."""
    monic = np.array(coefficients, dtype=float) / coefficients[0]
    size = np.abs(monic).max()
    assert_allclose(np.poly(poles), monic, atol=1e-13 * size, rtol=1e-13)


def assert_same_poles(one, other, atol=1e-7):
    """As sets; a double root is known to √eps only from eigenvalues."""
    one, other = np.ravel(one), np.ravel(other)
    assert one.size == other.size
    scale = 1 + np.abs(other).max()
    gaps = np.abs(one[:, None] - other[None, :])
    assert gaps.min(axis=0).max() <= atol * scale
    assert gaps.min(axis=1).max() <= atol * scale


def check_three_oracles(algorithm, curvature):
    modes = analyze_modes(algorithm, [curvature])
    assert_roots_of(polynomial(algorithm, curvature), modes.poles[0])
    assert_same_poles(modes.poles[0], np.roots(polynomial(algorithm, curvature)))
    assert_same_poles(modes.poles[0], closed_loop(algorithm, curvature).poles())


@given(lr=finite_lr, momentum=any_momentum, curvature=any_curvature, kind=st.sampled_from([HeavyBall, Nesterov]))
def test_poles_of_momentum_methods(lr, momentum, curvature, kind):
    check_three_oracles(kind(lr, momentum), curvature)


@given(lr=finite_lr, curvature=any_curvature)
def test_poles_of_gradient_descent(lr, curvature):
    check_three_oracles(GradientDescent(lr), curvature)


@given(mass=st.floats(0.01, 100), damping=st.floats(-10, 10), curvature=any_curvature)
def test_poles_of_the_flow(mass, damping, curvature):
    check_three_oracles(HeavyBallFlow(mass, damping), curvature)


@given(curvature=any_curvature)
def test_poles_of_gradient_flow(curvature):
    check_three_oracles(GradientFlow(), curvature)


def test_first_order_classes():
    found = analyze_modes(GradientDescent(0.5), [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    names = ["DIVERGENT", "MARGINAL", "OVERDAMPED", "CRITICAL", "ALTERNATING", "MARGINAL", "DIVERGENT"]
    assert [DampingClass(c).name for c in found.damping] == names
    assert_allclose(found.rate, [1.5, 1, 0.5, 0, 0.5, 1, 1.5])
    assert_array_equal(found.damping_ratio[[2, 3]], [np.inf, 1.0])
    flow = analyze_modes(GradientFlow(), [-1.0, 0.0, 1e-9, 3.0])
    assert [DampingClass(c).name for c in flow.damping] == ["DIVERGENT", "MARGINAL", "OVERDAMPED", "OVERDAMPED"]
    assert_allclose(flow.half_life[2:], np.log(2) / np.array([1e-9, 3.0]), rtol=1e-14)


@pytest.mark.parametrize("q", [1e-3, 1e-12, 1 - 1e-3, 1 - 1e-12])
def test_gradient_descent_keeps_its_digits(q):
    """log(1 - q), both for slow modes and for those that are nearly gone in one step."""
    wanted = np.log1p(-q) if q < 0.5 else np.log(1 - q)
    assert_allclose(analyze_modes(GradientDescent(1.0), [q], rtol=0.0).log_rate[0], wanted, rtol=1e-13)


class TestAgainstIterates:
    """Classes and rates, told from runs that know nothing of poles."""

    STEPS = 400

    @staticmethod
    def behaviour(x):
        """Name what a run does, from its signs and its size alone."""
        size = np.abs(x)
        if not np.isfinite(x).all() or size[-20:].max() > 1e2 * size[:3].max():
            return "diverges"
        # Judge while the numbers are far above rounding.
        last = np.flatnonzero(size > 1e-200)
        x = x[: last[-1] + 1 if last.size else 0]
        flips = np.sign(x[1:]) != np.sign(x[:-1])
        tail = flips[len(flips) // 2 :]
        if tail.all():
            return "alternates"
        return "oscillates" if tail.any() else "creeps"

    @given(
        momentum=st.floats(-0.9, 0.9), q=st.floats(0.02, 3.9), kind=st.sampled_from([HeavyBall, Nesterov]),
        velocity=st.floats(-1, 1),
    )  # fmt: skip
    def test_class_is_what_a_run_does(self, momentum, q, kind, velocity):
        method = kind(q, momentum)
        modes = analyze_modes(method, [1.0])
        z = modes.poles[0]
        # Stay away from the edges, where no run of finite length could tell.
        assume(abs(modes.rate[0] - 1) > 0.05)
        assume(modes.rate[0] > 0.02)
        assume(abs(abs(z[0]) - abs(z[1])) > 0.05 if abs(z[0].imag) < 1e-12 else abs(np.angle(z[0])) > 0.1)
        assume(abs(np.angle(z[0])) < np.pi - 0.1 or abs(z[0].imag) < 1e-12)
        x = iterate(method, Quadratic([1.0]), [1.0], self.STEPS, velocity=[velocity]).position[:, 0]
        # Generic: the dominant pole takes part, x_1 - z_2 x_0 being its share.
        if abs(z[0].imag) < 1e-12:
            assume(abs(x[1] - z[1].real * x[0]) > 1e-3)
        expected = {
            DampingClass.DIVERGENT: "diverges", DampingClass.UNDERDAMPED: "oscillates",
            DampingClass.OVERDAMPED: "creeps", DampingClass.ALTERNATING: "alternates",
        }  # fmt: skip
        assert self.behaviour(x) == expected[DampingClass(modes.damping[0])]

    @pytest.mark.parametrize("q", [0.01, 0.3])
    def test_overdamped_with_poles_of_both_signs(self, q):
        """Negative momentum: the fast pole flips signs at first, the dominant one creeps."""
        method = HeavyBall(q, -0.5)
        modes = analyze_modes(method, [1.0])
        assert modes.damping[0] == DampingClass.OVERDAMPED
        assert modes.poles[0, 1].real < 0 < modes.poles[0, 0].real
        # From a start that is mostly the fast pole's: x_0 = 1, x_1 = z_2 + 0.01.
        velocity = (modes.poles[0, 1].real + 0.01 - 1 + q) / -0.5
        x = iterate(method, Quadratic([1.0]), [1.0], 200, velocity=[velocity]).position[:, 0]
        assert (np.diff(np.sign(x[:4])) != 0).all()
        assert self.behaviour(x) == "creeps"

    @given(momentum=st.floats(0.05, 0.9), q=st.floats(0.02, 3.5))
    def test_rate_is_the_slope_of_a_run(self, momentum, q):
        modes = analyze_modes(HeavyBall(q, momentum), [1.0])
        assume(0.2 < modes.rate[0] < 1.5)
        z = modes.poles[0]
        assume(abs(z[0] - z[1]) > 0.05)
        x = iterate(HeavyBall(q, momentum), Quadratic([1.0]), [1.0], 200, velocity=[0.3]).position[:, 0]
        # The envelope of a pair: x_k² - x_{k+1}x_{k-1} of a conjugate pair decays at exactly |z|² = z₁z₂.
        if abs(z[0].imag) > 1e-9:
            energy = x[1:-1] ** 2 - x[2:] * x[:-2]
            assert_allclose(energy[41] / energy[40], modes.rate[0] ** 2, rtol=1e-6)
        elif abs(x[0] * z[1].real - x[1]) > 1e-2 and abs(z[1] / z[0]) < 0.9:
            assert_allclose(abs(x[180] / x[179]), modes.rate[0], rtol=1e-5)

    @given(q=st.floats(0.05, 0.6), momentum=st.floats(0.5, 0.9))
    def test_half_life(self, q, momentum):
        modes = analyze_modes(HeavyBall(q, momentum), [1.0])
        assert_allclose(modes.rate[0] ** modes.half_life[0], 0.5, rtol=1e-12)
        assert_allclose(modes.rate[0] ** modes.time_to(1e-3)[0], 1e-3, rtol=1e-12)


@given(seed=st.integers(0, 2**31), kind=st.sampled_from([HeavyBall, Nesterov, HeavyBallFlow]))
def test_a_batch_is_its_elements(seed, kind):
    rng = np.random.default_rng(seed)
    first, second = rng.uniform(0.05, 2, size=(3, 1)), rng.uniform(-0.2, 1.2, size=4)
    curvature = np.concatenate([rng.uniform(-1, 4, size=4), [0.0]])
    batch = analyze_modes(kind(first, second), curvature)
    assert batch.poles.shape == (3, 4, 5, 2)
    for i, j in np.ndindex(3, 4):
        single = analyze_modes(kind(float(first[i, 0]), float(second[j])), curvature)
        for name in QUANTITIES:
            assert_allclose(getattr(batch, name)[i, j], getattr(single, name), rtol=4e-15, err_msg=name)
        assert_allclose(batch.poles[i, j], single.poles, rtol=4e-15)


class TestShapes:
    @pytest.mark.parametrize("algorithm", [HeavyBall(0.1, 0.5), GradientDescent(0.1), HeavyBallFlow(), GradientFlow()])
    @pytest.mark.parametrize(("curvature", "shape"), [(2.0, (1,)), ([], (0,)), ([1, 2, 3], (3,)), ([[1, 2]], (1, 2))])
    def test_of_curvature(self, algorithm, curvature, shape):
        modes = analyze_modes(algorithm, curvature)
        for name in QUANTITIES:
            assert getattr(modes, name).shape == shape
        assert modes.poles.shape == (*shape, modes.order)
        assert modes.summary().count("\n") == np.prod(shape)

    def test_of_batches(self):
        lr = np.full((2, 3), 0.1)
        assert analyze_modes(HeavyBall(lr, 0.5), np.ones(5)).damping.shape == (2, 3, 5)
        assert analyze_modes(HeavyBall(lr, 0.5), 1.0).damping.shape == (2, 3, 1)
        assert analyze_modes(HeavyBall(lr, 0.5), np.ones((2, 1, 5))).damping.shape == (2, 3, 5)
        assert analyze_modes(HeavyBall(0.1, 0.5), np.ones((2, 3, 5))).damping.shape == (2, 3, 5)

    def test_integers_are_numbers(self):
        assert_array_equal(analyze_modes(HeavyBall(1, 0), [1, 2]).poles, [[0, 0], [-1, 0]])

    def test_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"`curvature` must have shape .* \(3,\). Received shape \(2, 4\)"):
            analyze_modes(HeavyBall(np.ones(3), 0.5), np.ones((2, 4)))
        with pytest.raises(ValueError, match=r"`lr` \(3,\) and `momentum` \(2,\).*lr\[:, None\]"):
            analyze_modes(HeavyBall(np.ones(3), np.ones(2)), [1.0])

    def test_bad_values(self):
        with pytest.raises(ValueError, match=r"`curvature` must be finite. Received nan at index \(1,\)"):
            analyze_modes(HeavyBall(0.1, 0.5), [1.0, np.nan])
        with pytest.raises(TypeError, match="`curvature` must hold real numbers"):
            analyze_modes(HeavyBall(0.1, 0.5), ["stiff"])
        for rtol in (-1e-9, 1.0):
            with pytest.raises(ValueError, match=f"`rtol` must be between 0 and 1. Received {rtol}"):
                analyze_modes(HeavyBall(0.1, 0.5), [1.0], rtol=rtol)
        for tolerance in (0.0, 1.0, 2.0):
            with pytest.raises(ValueError, match=f"`tolerance` must be between 0 and 1. Received {tolerance}"):
                analyze_modes(HeavyBall(0.1, 0.5), [1.0]).time_to(tolerance)


@pytest.mark.parametrize("algorithm", [HeavyBall(0.1, 0.5), GradientDescent(0.1), HeavyBallFlow()])
def test_pickles_with_and_without_what_was_computed(algorithm):
    modes = analyze_modes(algorithm, [1.0, 2.0])
    for _ in range(2):
        copy = pickle.loads(pickle.dumps(modes))
        for name in QUANTITIES:
            assert_array_equal(getattr(copy, name), getattr(modes, name))
            assert type(getattr(modes, name)) is np.ndarray


def test_tiny_curvatures_neither_vanish_nor_go_flat():
    modes = analyze_modes(HeavyBall(1.0, 0.9), [1e-300, 1e-20])
    assert_array_equal(modes.damping, [DampingClass.OVERDAMPED] * 2)
    assert_allclose(modes.log_rate, [-1e-299, -1e-19], rtol=1e-14)


class TestClassifyPoles:
    """Systems that came from elsewhere, judged from bare poles."""

    @given(momentum=st.floats(0.05, 0.95), q=st.floats(1e-3, 5), kind=st.sampled_from([HeavyBall, Nesterov]))
    def test_methods_outside_the_band(self, momentum, q, kind):
        wanted = analyze_modes(kind(q, momentum), [1.0])
        self.compare(closed_loop(kind(q, momentum), 1.0), wanted)

    @given(mass=st.floats(0.1, 10), damping=st.floats(-1, 10), curvature=st.floats(-1, 10))
    def test_flows_outside_the_band(self, mass, damping, curvature):
        wanted = analyze_modes(HeavyBallFlow(mass, damping), [curvature])
        self.compare(closed_loop(HeavyBallFlow(mass, damping), curvature), wanted)

    @staticmethod
    def compare(system, wanted):
        first, second = wanted.poles[0]
        assume(abs(first - second) > 1e-4 * (abs(first) + abs(second)))
        assume(abs(wanted.log_rate[0]) > 1e-6)
        for pairs in (False, True):
            found = classify_poles(system, pairs=pairs)
            assert found.curvature is None
            for name in QUANTITIES:
                assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-6, atol=1e-9, err_msg=name)

    def test_double_poles_within_the_band(self, rng):
        """Three hundred critical systems: rounding splits their poles by up to √eps."""
        for _ in range(300):
            pole = 10 ** rng.uniform(-3, 3)
            modes = classify_poles(control.tf([1], [1, 2 * pole, pole**2]))
            assert modes.damping[0] == DampingClass.CRITICAL
            assert modes.damping_ratio[0] == 1.0
            assert_allclose(modes.natural_frequency[0], pole, rtol=1e-7)

    def test_transfer_function_and_state_space(self):
        transfer = control.tf([1], [1, 3, 2])
        for system in (transfer, control.ss(transfer)):
            modes = classify_poles(system)
            assert_allclose(modes.damping_ratio, 1.5 / np.sqrt(2))
            assert_allclose(modes.poles, [[-1, -2]])
            # What python-control says of the same pair.
            assert_allclose(control.damp(system, doprint=False)[1], 1.0)

    def test_pairs_of_a_fifth_order_system(self):
        """Two oscillators of known ratio and a real pole: the numbers of a control engineer."""
        slow, fast = (0.2, 1.0), (0.7, 10.0)
        system = control.tf([1], [1, 3.0])
        for ratio, frequency in (slow, fast):
            system *= control.tf([1], [1, 2 * ratio * frequency, frequency**2])
        modes = classify_poles(system, pairs=True)
        assert_allclose(modes.rate, [-0.2, -3.0, -7.0], rtol=1e-9)
        assert_allclose(modes.damping_ratio, [0.2, np.inf, 0.7], rtol=1e-9)
        assert_allclose(modes.natural_frequency, [1.0, np.inf, 10.0], rtol=1e-9)
        names = [DampingClass(c).name for c in modes.damping]
        assert names == ["UNDERDAMPED", "OVERDAMPED", "UNDERDAMPED"]
        whole = classify_poles(system)
        assert_allclose([whole.rate[0], whole.damping_ratio[0]], [-0.2, 0.2], rtol=1e-9)
        assert whole.poles.shape == (1, 5)

    def test_pairs_of_four_real_poles(self):
        system = control.tf([1], np.poly([-1.0, -2.0, -10.0, -40.0]))
        modes = classify_poles(system, pairs=True)
        assert_allclose(np.sort(modes.poles.real, axis=None), [-40, -10, -2, -1])
        assert_allclose(modes.damping_ratio, [1.5 / np.sqrt(2), 25 / 20.0], rtol=1e-9)

    def test_pairs_in_discrete_time(self):
        poles = [0.9, 0.5, 0.3j, -0.3j, -0.2]
        system = control.ss(control.tf([1], np.real(np.poly(poles)), 1))
        modes = classify_poles(system, pairs=True)
        assert_allclose(modes.rate, [0.9, 0.3, 0.2], rtol=1e-9)
        names = [DampingClass(c).name for c in modes.damping]
        assert names == ["OVERDAMPED", "UNDERDAMPED", "ALTERNATING"]

    def test_a_real_pole_that_ties_with_a_pair(self):
        """Rounding may rank the real pole between the two of the pair."""
        block = np.array([[-1.0, 0, 0], [0, -1, 2], [0, -2, -1]])
        modes = classify_poles(control.ss(block, np.ones((3, 1)), np.ones((1, 3)), 0))
        assert modes.damping[0] == DampingClass.UNDERDAMPED
        assert_allclose([modes.damping_ratio[0], modes.natural_frequency[0]], [1 / np.sqrt(5), np.sqrt(5)])

    def test_sampling_time(self):
        """A sampled system: ratio and frequency as before sampling, decay counted in steps."""
        oscillator = control.tf([4.0], [1, 2 * 0.3 * 2.0, 4.0])
        modes = classify_poles(control.sample_system(oscillator, 0.1))
        assert_allclose([modes.damping_ratio[0], modes.natural_frequency[0]], [0.3, 2.0], rtol=1e-9)
        assert_allclose([modes.rate[0], modes.half_life[0]], [np.exp(-0.06), np.log(2) / 0.06], rtol=1e-9)
        assert "rad/time" in modes.summary()
        assert_allclose(classify_poles(control.tf([1], [1, -1.0, 0.5], True)).natural_frequency,
                        classify_poles(control.tf([1], [1, -1.0, 0.5], 1)).natural_frequency)  # fmt: skip

    def test_unspecified_time_is_continuous(self):
        system = control.ss([[-1.0]], [[1.0]], [[1.0]], 0, None)
        modes = classify_poles(system)
        assert system.dt is None
        assert not modes.discrete
        assert_array_equal(modes.rate, [-1.0])

    @pytest.mark.parametrize(
        ("denominator", "dt", "name"),
        [
            ([1, 0], 0, "MARGINAL"), ([1, 0, 0], 0, "MARGINAL"), ([1, 0, 1], 0, "UNDAMPED"), ([1, -1], 0, "DIVERGENT"),
            ([1, 1, 1], 0, "UNDERDAMPED"), ([1, 1, 0], 0, "MARGINAL"), ([1, -1, 1], 0, "DIVERGENT"),
            ([1, 0], 1, "CRITICAL"), ([1, 0, 0], 1, "CRITICAL"), ([1, -1], 1, "MARGINAL"), ([1, 1], 1, "MARGINAL"),
            ([1, 0.5], 1, "ALTERNATING"), ([1, 0, -0.25], 1, "ALTERNATING"), ([1, 1, 0.25], 1, "ALTERNATING"),
            ([1, -1, 0.25], 1, "CRITICAL"), ([1, 0, 1], 1, "UNDAMPED"), ([1, 0, 0.25], 1, "UNDERDAMPED"),
            ([1, -0.3, -0.1], 1, "OVERDAMPED"), ([1, 0.3, -0.1], 1, "ALTERNATING"), ([1, -2.5, 1], 1, "DIVERGENT"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("pairs", [False, True])
    def test_each_class(self, denominator, dt, name, pairs):
        found = classify_poles(control.tf([1], denominator, dt), pairs=pairs)
        assert [DampingClass(c).name for c in found.damping] == [name]

    def test_errors(self):
        with pytest.raises(TypeError, match=r"`system` must be a python-control system .* Received \[1, 2\]"):
            classify_poles([1, 2])
        with pytest.raises(ValueError, match="at least one pole. Received a static gain"):
            classify_poles(control.tf([1], [1]))
        with pytest.raises(ValueError, match="`rtol`"):
            classify_poles(control.tf([1], [1, 1]), rtol=-1)

    def test_pickles(self):
        modes = classify_poles(control.tf([1], [1, 3, 2]))
        assert_array_equal(pickle.loads(pickle.dumps(modes)).poles, modes.poles)


class _Three(NamedTuple):
    position: Any
    fast: Any
    slow: Any


@dataclass(frozen=True)
class TwoMomenta:
    """Two velocities with a momentum each, averaged: AggMo (Lucas, Sun, Zemel, Grosse, ICLR 2019)."""

    lr: Any
    fast: Any
    slow: Any

    def init(self, position, velocity, objective):
        return _Three(position, velocity, velocity)

    def step(self, k, state, objective):
        push = self.lr * objective.gradient(state.position)
        fast, slow = self.fast * state.fast - push, self.slow * state.slow - push
        return _Three(state.position + 0.5 * (fast + slow), fast, slow)


@given(lr=st.floats(0.01, 3), fast=st.floats(0, 0.8), slow=st.floats(0, 0.99), curvature=st.floats(0.1, 2))
def test_third_order(lr, fast, slow, curvature):
    """(z-1)(z-a)(z-b) + q z(z - (a+b)/2), by hand."""
    q = lr * curvature
    wanted = np.poly([1.0, fast, slow]) + q * np.array([0, 1, -(fast + slow) / 2, 0])
    modes = analyze_modes(TwoMomenta(lr, fast, slow), [curvature])
    assert_roots_of(wanted, modes.poles[0])
    assert_allclose(modes.rate[0], np.abs(np.roots(wanted)).max(), rtol=1e-5)
    assert modes.stable[0] == (modes.rate[0] < 1 - 1e-12)


def test_third_order_with_equal_momenta_is_the_heavy_ball():
    """The two velocities agree, so all but one pole, which sits at β, are those of the heavy ball."""
    for q, beta in [(0.1, 0.9), (0.001, 0.5), (3.5, 0.8)]:
        three, two = analyze_modes(TwoMomenta(q, beta, beta), [1.0]), analyze_modes(HeavyBall(q, beta), [1.0])
        assert_same_poles(three.poles, np.append(two.poles, beta), atol=1e-12)
        assert three.damping[0] == two.damping[0]
        assert_allclose(three.rate, two.rate, rtol=1e-12)
        for name in ("damping_ratio", "natural_frequency"):
            if two.damping[0] == DampingClass.UNDERDAMPED:
                assert_allclose(getattr(three, name), getattr(two, name), rtol=1e-9)
