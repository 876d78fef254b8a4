"""Root loci in every parameter: break-away points and limits against closed forms, branches that are continuous."""

import pickle
from dataclasses import dataclass
from typing import Any, NamedTuple

import control
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import (
    GradientDescent,
    GradientFlow,
    HeavyBall,
    HeavyBallFlow,
    Nesterov,
    PositionState,
    analyze_modes,
    linearize,
    root_locus,
)  # fmt: skip

MOMENTA = [1e-6, 1e-4, 0.01, 0.25, 0.9, 0.99, 0.9999, 0.999999]


def heavy_ball_edges(beta):
    root = np.sqrt(beta)
    return np.array([((1 - beta) / (1 + root)) ** 2, (1 + root) ** 2])


def assert_events(locus, breakaway, limit):
    assert_allclose(locus.breakaway, breakaway, rtol=1e-10, atol=1e-15)
    assert_allclose(locus.stability_limit, limit, rtol=1e-10, atol=1e-15)
    assert locus.breakaway_poles.shape == (len(locus.breakaway), locus.poles.shape[1])
    assert locus.stability_limit_poles.shape == (len(locus.stability_limit), locus.poles.shape[1])
    if locus.discrete:
        on_circle = np.abs(np.abs(locus.stability_limit_poles) - 1).min(axis=-1, initial=1.0)
    else:
        on_circle = np.abs(locus.stability_limit_poles.real).min(axis=-1, initial=1.0)
    # A double pole on the boundary is known to √eps.
    assert_allclose(on_circle, 0, atol=1e-7)


class TestCurvatureAndLearningRate:
    @pytest.mark.parametrize("beta", MOMENTA)
    @pytest.mark.parametrize("values", [None, [0.0, 5.0], [0.0, 900.0]])
    def test_heavy_ball(self, beta, values):
        edges, limit = heavy_ball_edges(beta), [2 * (1 + beta)]
        assert_events(root_locus(HeavyBall(1.0, beta), values=values), edges, limit)
        scaled = root_locus(HeavyBall(0.3, beta), "lr", values, curvature=7.0)
        assert_events(scaled, edges / 7.0, np.array(limit) / 7.0)

    @pytest.mark.parametrize("beta", [1e-4, 0.01, 0.25, 0.9, 0.99, 0.9999])
    def test_nesterov(self, beta):
        edges, limit = [((1 - beta) / (1 + beta)) ** 2, 1.0], [2 * (1 + beta) / (1 + 2 * beta)]
        assert_events(root_locus(Nesterov(1.0, beta)), edges, limit)
        assert_events(root_locus(Nesterov(0.3, beta), "lr", curvature=7.0), np.array(edges) / 7, np.array(limit) / 7)

    @pytest.mark.parametrize("kind", [HeavyBall, Nesterov])
    def test_momentum_zero_touches(self, kind):
        """Poles 1 - q and 0 meet at q = 1 and pass."""
        for values in (None, np.linspace(0, 3, 77), [0.0, 2.5]):
            assert_events(root_locus(kind(1.0, 0.0), values=values), [1.0], [2.0])

    @pytest.mark.parametrize("beta", [-0.3, -0.05])
    def test_negative_momentum_never_meets(self, beta):
        assert_events(root_locus(HeavyBall(1.0, beta)), [], [2 * (1 + beta)])

    def test_without_friction(self):
        assert_events(root_locus(HeavyBall(1.0, 1.0)), [4.0], [4.0])

    def test_momentum_above_one(self):
        beta = 1.2
        assert_events(root_locus(HeavyBall(1.0, beta)), heavy_ball_edges(beta), [])
        limits = [(beta - 1) / beta, 2 * (1 + beta) / (1 + 2 * beta)]
        assert_events(root_locus(Nesterov(1.0, beta)), [((1 - beta) / (1 + beta)) ** 2, 1.0], limits)

    def test_first_order(self):
        assert_events(root_locus(GradientDescent(0.5)), [], [4.0])
        assert_events(root_locus(GradientFlow()), [], [])
        assert root_locus(GradientDescent(0.5)).poles.shape[1] == 1

    @given(mass=st.floats(0.01, 100), damping=st.floats(0.01, 100))
    def test_flow(self, mass, damping):
        locus = root_locus(HeavyBallFlow(mass, damping))
        assert_events(locus, [damping**2 / (4 * mass)], [])
        assert_allclose(locus.values[-1], 10 * damping**2 / (4 * mass))

    def test_zero_inside_the_range_is_a_limit(self):
        """At an end the pole at z = 1 is only where the locus starts; inside, it is where stability begins."""
        assert_events(root_locus(HeavyBall(1.0, 0.25), values=np.linspace(-1, 2, 31)), [0.25], [0.0])
        assert_events(root_locus(HeavyBallFlow(1.0, 2.0), values=np.linspace(-1, 2, 31)), [1.0], [0.0])
        assert_events(root_locus(HeavyBallFlow(1.0, 2.0), values=np.linspace(0, 2, 31)), [1.0], [])

    def test_range_elsewhere(self):
        assert_events(root_locus(HeavyBall(1.0, 0.25), values=[2.0, 2.4]), [2.25], [])
        assert_events(root_locus(HeavyBall(1.0, 0.25), values=[0.3, 2.0]), [], [])

    def test_the_two_parameters_are_one_gain(self):
        values = np.linspace(0, 4, 50)
        one = root_locus(HeavyBall(1.0, 0.5), values=values)
        other = root_locus(HeavyBall(123.0, 0.5), "lr", values, curvature=1.0)
        assert_allclose(one.poles, other.poles, atol=1e-14)


class TestOtherParameters:
    @given(q=st.floats(1e-6, 3.99))
    def test_momentum_of_the_heavy_ball(self, q):
        """Double roots at β = (1 ± √q)²; p(-1) = 0 at β = q/2 - 1, det = 1 at β = 1."""
        locus = root_locus(HeavyBall(1.0, 0.5), "momentum", np.linspace(-2, 9.5, 64), curvature=q)
        root = np.sqrt(q)
        assert_allclose(locus.breakaway, [(1 - root) ** 2, (1 + root) ** 2], rtol=1e-9, atol=1e-10)
        assert_allclose(locus.stability_limit, [q / 2 - 1, 1.0], rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("q", [1e-6, 0.01, 0.25, 0.9])
    def test_momentum_of_nesterov(self, q):
        root = np.sqrt(q)
        locus = root_locus(Nesterov(1.0, 0.5), "momentum", np.linspace(0, 1.5, 64), curvature=q)
        wanted = [v for v in ((1 - root) / (1 + root), (1 + root) / (1 - root)) if v < 1.5]
        assert_events(locus, wanted, [1 / (1 - q)] if q < 1 / 3 else [])

    def test_too_stiff_for_any_momentum(self):
        """At q = 5 the loop diverges for every β: |β| < 1 needs q < 4."""
        locus = root_locus(HeavyBall(1.0, 0.5), "momentum", [-2.0, 3.0], curvature=5.0)
        assert_events(locus, [(np.sqrt(5) - 1) ** 2], [])

    def test_corner_is_reported_once(self):
        """At β = 1, q = 4 two conditions of stability end together; Nesterov's corner is β = -1/3, q = 4."""
        assert_events(root_locus(HeavyBall(1.0, 0.5), "momentum", [-2.0, 8.0], curvature=4.0), [1.0], [1.0])
        found = root_locus(Nesterov(1.0, 0.5), "momentum", [-2.0, 8.0], curvature=4.0)
        assert_allclose(found.stability_limit, [-1 / 3], rtol=1e-10)

    def test_default_momentum(self):
        locus = root_locus(HeavyBall(0.25, 0.5), "momentum", curvature=1.0)
        assert_array_equal(locus.values[[0, -1]], [0.0, 1.0])
        assert_events(locus, [0.25], [1.0])

    @pytest.mark.parametrize(("mass", "damping", "curvature"), [(2.0, 1.0, 3.0), (2.0, 5.0, 3.0), (0.1, 30.0, 900.0)])
    def test_mass_and_damping(self, mass, damping, curvature):
        flow = HeavyBallFlow(mass, damping)
        critical = damping**2 / (4 * curvature)
        assert_events(root_locus(flow, "mass", curvature=curvature), [critical], [])
        assert_allclose(root_locus(flow, "mass", curvature=curvature).values[[0, -1]], [mass / 100, mass * 100])
        edge = 2 * np.sqrt(mass * curvature)
        across = root_locus(flow, "damping", np.linspace(-2 * edge, 3 * edge, 40), curvature=curvature)
        assert_allclose(across.breakaway, [-edge, edge], rtol=1e-10)
        assert_allclose(across.stability_limit, [0.0], atol=1e-12 * edge)

    @pytest.mark.parametrize("curvature", [-1e-10, -1.0])
    def test_no_limit_where_another_condition_fails(self, curvature):
        """On a saddle damping of any sign leaves a growing root, however small it is."""
        assert_events(root_locus(HeavyBallFlow(2.0, 1.0), "damping", [-3.0, 4.0], curvature=curvature), [], [])


class Three(NamedTuple):
    position: Any
    velocity: Any
    memory: Any


@dataclass(frozen=True)
class WithFilter:
    """Heavy ball that also keeps an average of its positions, which acts back on nothing: poles β's and `decay`."""

    lr: Any
    momentum: Any
    decay: Any

    def init(self, position, velocity, objective):
        return Three(position, velocity, position)

    def step(self, k, state, objective):
        velocity = self.momentum * state.velocity - self.lr * objective.gradient(state.position)
        return Three(state.position + velocity, velocity, self.decay * state.memory + state.position)


@dataclass(frozen=True)
class Damped:
    """A field that is named by no method of the package, entering squared."""

    lr: Any
    friction: Any

    def init(self, position, velocity, objective):
        return Three(position, velocity, velocity)[:2]

    def step(self, k, state, objective):
        velocity = (1 - self.friction**2) * state[1] - self.lr * objective.gradient(state[0])
        return (state[0] + velocity, velocity)


class TestUserRules:
    def test_decoupled_pole_is_met_and_passed(self):
        """β = ¼ and a filter at 0.7: the larger root is 0.7 at q = (0.7² - 1.25·0.7 + 0.25)/(-0.7)."""
        locus = root_locus(WithFilter(1.0, 0.25, 0.7), values=np.linspace(0, 2.75, 300))
        meeting = -(0.7**2 - 1.25 * 0.7 + 0.25) / 0.7
        assert_events(locus, [meeting, 0.25, 2.25], [2.5])

    def test_branches_pass_through_each_other(self):
        """The filter's branch stays where it is while another one passes through it."""
        for number in (50, 400, 3000):
            locus = root_locus(WithFilter(1.0, 0.25, 0.7), values=np.linspace(0.05, 0.24, number))
            constant = np.abs(locus.poles - 0.7).max(axis=0)
            assert np.sum(constant < 1e-9) == 1

    def test_field_of_a_rule(self):
        """1 - f² = β: break-away at β = (1 - √q)²."""
        locus = root_locus(Damped(0.25, 0.5), "friction", np.linspace(0, 1.5, 40), curvature=1.0)
        assert_events(locus, [np.sqrt(0.75)], [np.sqrt(2 - 0.125)])

    def test_field_that_does_not_matter(self):
        @dataclass(frozen=True)
        class Labelled:
            lr: Any
            label: Any = 1.0

            def init(self, position, velocity, objective):
                return PositionState(position)

            def step(self, k, state, objective):
                return PositionState(state.position - self.lr * objective.gradient(state.position))

        locus = root_locus(Labelled(0.5), "label", [0.0, 1.0, 2.0], curvature=1.0)
        assert_array_equal(locus.poles, [[0.5]] * 3)
        # NumPy's own numbers are numbers.
        for one in (np.float32(0.5), np.int64(1)):
            assert_allclose(root_locus(Labelled(one), "lr", curvature=2.0).stability_limit, [1.0])

    def test_frozen_in_time(self):
        @dataclass(frozen=True)
        class Slowing:
            lr: Any

            def init(self, position, velocity, objective):
                return PositionState(position)

            def step(self, k, state, objective):
                return PositionState(state.position - self.lr / (k + 1) * objective.gradient(state.position))

        assert_allclose(root_locus(Slowing(1.0), "lr", curvature=2.0, k=3).stability_limit, [4.0])
        with pytest.raises(ValueError, match="varies in time"):
            root_locus(Slowing(1.0))


@pytest.mark.parametrize("algorithm", [
    HeavyBall(1.0, 0.5), Nesterov(1.0, 0.5), HeavyBallFlow(), WithFilter(1.0, 0.25, 0.7), HeavyBall(1.0, 0.0),
])  # fmt: skip
def test_branches_are_continuous(algorithm):
    """The largest jump shrinks with the grid: near a break-away like its square root."""
    jumps = []
    for number in (500, 2000, 8000):
        locus = root_locus(algorithm, values=np.linspace(0, 3, number))
        jumps.append(np.abs(np.diff(locus.poles, axis=0)).max())
    assert jumps[1] < 0.6 * jumps[0]
    assert jumps[2] < 0.6 * jumps[1]
    assert jumps[2] < 0.05


@pytest.mark.parametrize("algorithm", [HeavyBall(1.0, 0.5), Nesterov(1.0, 0.5), HeavyBallFlow(2.0, 1.0)])
def test_against_python_control(algorithm):
    gains = np.linspace(0.01, 4, 40)
    theirs = control.root_locus_map(-control.tf(linearize(algorithm)), gains=gains).loci
    for one, other in zip(theirs, root_locus(algorithm, values=gains).poles, strict=True):
        assert_allclose(np.poly(one), np.poly(other), atol=1e-10)


@pytest.mark.parametrize("algorithm", [HeavyBall(1.0, 0.5), WithFilter(1.0, 0.25, 0.7)])
def test_ten_thousand_values(algorithm):
    values = np.linspace(0, 4, 10_000)
    locus = root_locus(algorithm, values=values)
    assert_array_equal(locus.values, values)
    poles = analyze_modes(algorithm, values).poles
    assert_allclose(np.sort(locus.poles.real), np.sort(poles.real), atol=1e-12)


def test_events_are_among_the_default_values():
    for locus in (root_locus(HeavyBall(1.0, 0.25)), root_locus(HeavyBall(1.0, 0.25), "lr", curvature=3.0)):
        assert np.isin(locus.breakaway, locus.values).all()
        assert np.isin(locus.stability_limit, locus.values).all()
        assert_allclose(locus.values[-1], 1.1 * locus.stability_limit[-1])
        assert (np.diff(locus.values) > 0).all()
        assert_allclose(locus.breakaway_poles, [[0.5, 0.5], [-0.5, -0.5]], atol=1e-6)


def test_pickles_as_plain_arrays():
    locus = root_locus(HeavyBall(1.0, 0.25))
    copy = pickle.loads(pickle.dumps(locus))
    for name in ("values", "poles", "breakaway", "breakaway_poles", "stability_limit", "stability_limit_poles"):
        assert type(getattr(locus, name)) is np.ndarray
        assert_array_equal(getattr(copy, name), getattr(locus, name))


def test_summary():
    text = str(root_locus(HeavyBall(1.0, 0.25)))
    assert "2 branches for curvature from 0 to 2.75" in text
    assert "break-away at 0.25, 2.25" in text
    assert "stability limit at 2.5" in text
    assert "break-away at no value inside" in root_locus(GradientDescent(1.0)).summary()


class TestErrors:
    @pytest.mark.parametrize(("keywords", "message"), [
        ({"values": [1.0, 0.0]}, "increasing numbers.*in another order: sort them"),
        ({"values": [1.0, 1.0]}, "increasing numbers"),
        ({"values": [1.0]}, r"at least two increasing numbers. Received shape \(1,\)\."),
        ({"values": [[1.0, 2.0]]}, r"Received shape \(1, 2\)"),
        ({"values": [0.0, np.nan]}, r"`values` must be finite. Received nan at index \(1,\)"),
        ({"parameter": "lr"}, "`curvature` must be given for a locus in 'lr'"),
        ({"parameter": "mass", "curvature": 1.0}, "`parameter` must be one of 'curvature', 'lr', 'momentum'"),
        ({"curvature": 1.0}, "`curvature` varies along this locus and must be left out. Received 1.0"),
        ({"parameter": "lr", "curvature": [1.0, 2.0]}, r"`curvature` must be one number.*\(2,\)"),
        ({"parameter": "lr", "curvature": np.inf}, "`curvature` must be finite"),
        ({"parameter": "lr", "values": [-1.0, 1.0], "curvature": 1.0}, "`lr` must be >= 0. Received -1.0"),
    ])  # fmt: skip
    def test_of_arguments(self, keywords, message):
        with pytest.raises(ValueError, match=message):
            root_locus(HeavyBall(0.1, 0.5), **keywords)

    def test_batches(self):
        with pytest.raises(ValueError, match="must have scalar hyperparameters: the locus is its batch"):
            root_locus(HeavyBall(np.array([0.1, 0.2]), 0.5))
