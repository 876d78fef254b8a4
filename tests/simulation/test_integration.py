"""integrate against exact solutions, identities of the energy and of phase volume, and its own solo runs."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j1

import heavyball_dynamics as hb

DOUBLE_WELL = hb.double_well()
SOLVERS = ["RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA"]


def damped(t, mass, damping, curvature, x, v):
    """Return the exact position of m x'' + γ x' + λ x = 0."""
    a, squared = damping / (2 * mass), curvature / mass - (damping / (2 * mass)) ** 2
    if squared > 0:
        w = np.sqrt(squared)
        return np.exp(-a * t) * (x * np.cos(w * t) + (v + a * x) / w * np.sin(w * t))
    if squared == 0:
        return np.exp(-a * t) * (x + (v + a * x) * t)
    w = np.sqrt(-squared)
    return np.exp(-a * t) * (x * np.cosh(w * t) + (v + a * x) / w * np.sinh(w * t))


@pytest.mark.parametrize("solver", SOLVERS)
def test_damped_quadratics_in_all_three_regimes(solver):
    mass, curvatures = 2.0, np.array([4.0, 0.5])
    damping = np.array([0.5, 2.0 * np.sqrt(8.0), 12.0])  # 4.0 under, critically and overdamped
    run = hb.integrate(
        hb.HeavyBallFlow(mass, damping), hb.Quadratic(curvatures), [1.0, -0.5], [0.3, 0.7], duration=8.0,
        method=solver, rtol=1e-6, atol=1e-9,
    )  # fmt: skip
    for i, gamma in enumerate(damping):
        for j, (x, v) in enumerate([(1.0, 0.3), (-0.5, 0.7)]):
            exact = damped(run.time, mass, gamma, curvatures[j], x, v)
            np.testing.assert_allclose(run.position[i, :, j], exact, atol=1e-4 if solver == "BDF" else 2e-5)
    slope = np.gradient(run.position, run.time, axis=1)
    np.testing.assert_allclose(run.velocity[:, 1:-1], slope[:, 1:-1], atol=0.02)


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradient_flow_decays_exponentially(solver):
    curvatures = np.array([3.0, 0.2])
    run = hb.integrate(hb.GradientFlow(), hb.Quadratic(curvatures), [1.0, -2.0], duration=3.0, method=solver, rtol=1e-6)
    exact = np.array([1.0, -2.0]) * np.exp(-np.outer(run.time, curvatures))
    np.testing.assert_allclose(run.position, exact, atol=1e-4 if solver == "BDF" else 2e-5)
    np.testing.assert_allclose(run.velocity, -curvatures * run.position, rtol=1e-13)
    np.testing.assert_allclose(run.dissipation, np.sum(run.velocity**2, -1), rtol=1e-13)
    np.testing.assert_array_equal(run.energy, run.value)
    np.testing.assert_allclose(run.gradient_norm, np.linalg.norm(run.velocity, axis=-1), rtol=1e-14)


def test_errors_fall_with_the_tolerance():
    errors = []
    for rtol in (1e-4, 1e-7, 1e-10):
        run = hb.integrate(hb.HeavyBallFlow(2.0, 0.5), hb.Quadratic([4.0]), [1.0], duration=10.0, rtol=rtol, atol=rtol)
        errors.append(np.abs(run.position[:, 0] - damped(run.time, 2.0, 0.5, 4.0, 1.0, 0.0)).max())
    assert errors[0] > 100 * errors[1] > 1e4 * errors[2]
    assert errors[2] < 1e-9


@settings(max_examples=6)
@given(seed=st.integers(0, 1000), solver=st.sampled_from(["RK45", "DOP853", "Radau", "LSODA"]))
def test_a_batch_is_its_elements(seed, solver):
    rng = np.random.default_rng(seed)
    damping, starts = rng.uniform(0.5, 3.0, (2, 1)), rng.uniform(-1.5, 1.5, (3, 2))
    options = {"times": np.linspace(0.0, 4.0, 9), "method": solver, "rtol": 1e-7, "atol": 1e-9}
    run = hb.integrate(hb.HeavyBallFlow(1.5, damping), DOUBLE_WELL, starts, **options)
    assert run.position.shape == (2, 3, 9, 2)
    assert run.energy.shape == run.value.shape == run.dissipation.shape == (2, 3, 9)
    for i in range(2):
        for j in range(3):
            one = hb.integrate(hb.HeavyBallFlow(1.5, damping[i, 0]), DOUBLE_WELL, starts[j], **options)
            np.testing.assert_allclose(run.position[i, j], one.position, atol=2e-4)
            np.testing.assert_allclose(run.energy[i, j], one.energy, atol=2e-4)


def test_no_trajectory_is_less_accurate_than_alone():
    """Its share of the error is bounded by the tolerances however large the batch is."""
    rng = np.random.default_rng(0)
    flow, loss, starts = hb.HeavyBallFlow(1.0, 1.0), DOUBLE_WELL, rng.uniform(-1.5, 1.5, (200, 2))
    options = {"times": np.linspace(0.0, 6.0, 7), "rtol": 1e-6, "atol": 1e-8}
    exact = hb.integrate(flow, loss, starts, times=options["times"], rtol=1e-12, atol=1e-14).position
    together = np.abs(hb.integrate(flow, loss, starts, **options).position - exact).max(axis=(1, 2))
    alone = np.array([np.abs(hb.integrate(flow, loss, x, **options).position - y).max()
                      for x, y in zip(starts[::8], exact[::8], strict=True)])  # fmt: skip
    assert together.max() <= alone.max()
    assert np.median(together[::8] / alone) < 1


def test_energy_falls_by_what_is_dissipated():
    times = np.linspace(0.0, 6.0, 3001)
    run = hb.integrate(hb.HeavyBallFlow(0.7, np.array([0.3, 2.0])), hb.rosenbrock(1.0, 4.0), [-1.0, 1.5], times=times,
                       rtol=1e-11, atol=1e-13)  # fmt: skip
    assert (np.diff(run.energy, axis=-1) <= 1e-12).all()
    kinetic = 0.35 * np.sum(run.velocity**2, -1)
    np.testing.assert_allclose(run.energy, run.value + kinetic, rtol=1e-13)
    h, d = times[1], run.dissipation
    lost = h / 3 * (d[:, 0] + 4 * d[:, 1::2].sum(-1) + 2 * d[:, 2:-1:2].sum(-1) + d[:, -1])  # Simpson
    np.testing.assert_allclose(lost, run.energy[:, 0] - run.energy[:, -1], atol=1e-7)
    slope = (run.energy[:, 2:] - run.energy[:, :-2]) / (2 * h)
    np.testing.assert_allclose(slope, -d[:, 1:-1], atol=1e-3)


def test_without_friction_energy_stays():
    run = hb.integrate(hb.HeavyBallFlow(2.0, 0.0), DOUBLE_WELL, [1.3, 0.4], [0.1, 0.0], duration=20.0, rtol=1e-11)
    np.testing.assert_allclose(run.energy, run.energy[0], rtol=1e-8)


def test_phase_volume_shrinks_exponentially():
    """The determinant of the flow map's Jacobian is e^{-nγt/m}, n = 2."""
    mass, damping, t, h = 0.8, 0.6, 1.5, 1e-4
    point = np.array([0.4, -0.6, 0.5, 0.2])
    starts = point + h * np.concatenate([np.eye(4), -np.eye(4)])
    end = hb.integrate(hb.HeavyBallFlow(mass, damping), hb.rosenbrock(1.0, 3.0), starts[:, :2], starts[:, 2:],
                       times=[0.0, t], rtol=1e-12, atol=1e-14).state  # fmt: skip
    image = np.concatenate([end.position, end.velocity], axis=-1)
    jacobian = (image[:4] - image[4:]) / (2 * h)
    assert np.linalg.det(jacobian) == pytest.approx(np.exp(-2 * damping * t / mass), rel=1e-5)


def test_times_and_duration():
    flow, loss = hb.GradientFlow(), hb.Quadratic([1.0])
    run = hb.integrate(flow, loss, [1.0], duration=2.0)
    np.testing.assert_array_equal(run.time, np.linspace(0.0, 2.0, 201))
    assert run.position.shape == (201, 1)
    times = np.array([-3.0, -2.5, 0.0, 1.0])
    run = hb.integrate(flow, loss, [1.0], times=times)
    np.testing.assert_allclose(run.position[:, 0], np.exp(-(times + 3)), rtol=1e-7)
    one = hb.integrate(flow, loss, [1.0], times=[0.0, 1e-15])
    assert one.status == 0
    assert one.position[-1, 0] == pytest.approx(1.0)
    late = hb.integrate(flow, loss, [[1.0], [2.0]], times=[1e10, 1e10 + 4e-6])
    np.testing.assert_allclose(late.position[:, 1, 0], [1.0, 2.0], rtol=1e-5)


def test_a_large_batch_is_its_chunks():
    starts = np.linspace(-1.5, 1.5, 2101)[:, None] * [1.0, 0.5]
    options = {"times": np.linspace(0.0, 1.0, 3), "rtol": 1e-6}
    flow = hb.HeavyBallFlow(1.0, np.linspace(0.5, 2.0, 2101))
    whole = hb.integrate(flow, DOUBLE_WELL, starts, **options)
    for part in (slice(0, 1000), slice(1000, 2000), slice(2000, 2101)):
        piece = hb.integrate(hb.HeavyBallFlow(1.0, flow.damping[part]), DOUBLE_WELL, starts[part], **options)
        np.testing.assert_array_equal(whole.position[part], piece.position)


def test_the_scaled_tolerance_stays_above_the_floor():
    """SciPy warns, and warnings are errors here, where rtol falls below about 2.2e-14."""
    starts = np.linspace(0.5, 1.5, 40)[:, None]
    run = hb.integrate(hb.GradientFlow(), hb.Quadratic([1.0]), starts, times=[0.0, 1.0], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(run.position[:, -1], starts * np.exp(-1.0), rtol=1e-12)


def test_max_step_holds_also_after_restarts():
    @dataclass(frozen=True)
    class Clocked:
        seen: tuple[list[float]]

        def init(self, position, velocity, objective):
            return hb.PositionState(position)

        def vector_field(self, t, state, objective):
            self.seen[0].append(t)
            return hb.PositionState(-objective.gradient(state.position))

    seen: list[float] = []
    run = hb.integrate(Clocked((seen,)), hb.Quadratic([0.1]), [[1.0], [2.0], [3.0]], times=[0.0, 20.0], max_step=0.25,
                       method="RK45", stop_when={"gradient_norm": 0.05})  # fmt: skip
    assert (run.status == hb.Status.STOPPED).all()
    moments = np.unique([t for t in seen if t <= run.stop_time.max()])
    assert len(moments) > 5 * 17.9 / 0.25
    assert np.diff(moments).max() <= 0.5 * 0.25 + 1e-12  # the widest gap between the nodes of RK45 is half a step


@dataclass(frozen=True)
class QuadraticFriction:
    """Friction -a|v|v, as in a turbulent fluid."""

    strength: Any

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        v = state.velocity
        return hb.PhaseState(v, -self.strength * abs(v) * v - objective.gradient(state.position))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_friction_that_is_not_linear(solver):
    """On flat ground v = v0/(1 + a v0 t), x = ln(1 + a v0 t)/a."""
    a = np.array([0.5, 1.0, 4.0])
    run = hb.integrate(QuadraticFriction(a), hb.Quadratic([0.0]), [0.0], [2.0], duration=3.0, method=solver, rtol=1e-6)
    grown = 1 + 2.0 * a[:, None] * run.time
    np.testing.assert_allclose(run.velocity[..., 0], 2.0 / grown, rtol=2e-4)
    np.testing.assert_allclose(run.position[..., 0], np.log(grown) / a[:, None], atol=2e-4)


@dataclass(frozen=True)
class NesterovFlow:
    """x'' + (3/t) x' + ∇f = 0."""

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def vector_field(self, t, state, objective):
        return hb.PhaseState(state.velocity, -3 / t * state.velocity - objective.gradient(state.position))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_flow_that_varies_in_time(solver):
    """On a quadratic x = 2 J1(t√λ)/(t√λ) (Su, Boyd, Candès), here begun at t = 1."""
    def exact(s):
        return 2 * j1(s) / s

    curvature, h = 4.0, 1e-5
    slope = (exact(2 * (1 + h)) - exact(2 * (1 - h))) / (2 * h)
    times = np.linspace(1.0, 8.0, 30)
    start = [[exact(2.0)]] * 2
    run = hb.integrate(NesterovFlow(), hb.Quadratic([curvature]), start, [slope], times=times, method=solver, rtol=1e-7)
    np.testing.assert_allclose(run.position[:, :, 0], [exact(2 * times)] * 2, atol=2e-5)


def test_resuming_goes_on():
    flow, loss = hb.HeavyBallFlow(1.0, np.array([0.5, 1.0])), DOUBLE_WELL
    options = {"rtol": 1e-10, "atol": 1e-12}
    long = hb.integrate(flow, loss, [1.5, 0.5], times=np.linspace(0.0, 4.0, 9), **options)
    first = hb.integrate(flow, loss, [1.5, 0.5], times=np.linspace(0.0, 2.0, 5), **options)
    rest = hb.integrate(flow, loss, first.state, times=np.linspace(2.0, 4.0, 5), **options)
    np.testing.assert_allclose(rest.position, long.position[:, 4:], atol=1e-8)
    np.testing.assert_array_equal(rest.velocity[:, 0], first.velocity[:, -1])


class Three(NamedTuple):
    position: Any
    rest: tuple[Any, Any]


@dataclass(frozen=True)
class Filtered:
    """Third order: the gradient is filtered before it pulls on the ball."""

    damping: Any

    def init(self, position, velocity, objective):
        return Three(position, (velocity, objective.gradient(position)))

    def vector_field(self, t, state, objective):
        v, g = state.rest
        return Three(v, (-self.damping * v - g, 5.0 * (objective.gradient(state.position) - g)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_nested_states(solver):
    flow, loss = Filtered(np.array([1.0, 2.0])), hb.Quadratic([1.0, 0.3])
    run = hb.integrate(flow, loss, [1.0, -1.0], duration=2.0, method=solver, rtol=1e-6)
    for i, damping in enumerate((1.0, 2.0)):
        for j, curvature in enumerate((1.0, 0.3)):
            matrix = np.array([[0.0, 1.0, 0.0], [0.0, -damping, -1.0], [5 * curvature, 0.0, -5.0]])
            poles, modes = np.linalg.eig(matrix)
            start = np.array([1.0, 0.0, curvature]) * (1 - 2 * j)
            exact = (modes[0] * np.linalg.solve(modes, start)) @ np.exp(np.outer(poles, run.time))
            np.testing.assert_allclose(run.position[i, :, j], exact.real, atol=1e-4)
    assert run.state.rest[1].shape == (2, 2)
    # Its velocity is what the rule says of dx/dt; without kinetic energy the energy is the loss.
    np.testing.assert_allclose(run.velocity[:, -1], run.state.rest[0], rtol=1e-13)
    np.testing.assert_array_equal(run.energy, run.value)
    slope = np.gradient(run.energy, run.time, axis=-1)
    np.testing.assert_allclose(slope[:, 2:-2], -run.dissipation[:, 2:-2], atol=1e-3)


def test_shapes_pickling_and_plain_arrays():
    for batch in ((), (1,), (2, 3), (0,)):
        run = hb.integrate(hb.HeavyBallFlow(), DOUBLE_WELL, np.ones((*batch, 2)), times=[0.0, 0.5, 1.0])
        assert run.position.shape == run.velocity.shape == (*batch, 3, 2)
        assert run.energy.shape == run.dissipation.shape == (*batch, 3)
        assert run.status.shape == run.stop_time.shape == run.success.shape == batch
        assert run.state.position.shape == (*batch, 2)
        again = pickle.loads(pickle.dumps(run))
        np.testing.assert_array_equal(again.position, run.position)
        for field in fields(run):
            value = getattr(run, field.name)
            assert field.name in ("state", "evaluations") or type(value) is np.ndarray
    assert "0 runs" in run.summary()


GOOD = {"flow": hb.HeavyBallFlow(), "objective": DOUBLE_WELL, "position": [1.0, 0.5], "duration": 1.0}


class Bare:
    dim = 2

    def gradient(self, position):
        return position


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"position": [1.0]}, ValueError, r"`position` must have shape \(\*batch, 2\).*Received shape \(1,\)"),
    ({"position": [[1.0, np.nan]]}, ValueError, r"`position` must be finite. Received nan at index \(0, 1\)"),
    ({"velocity": [[1.0]]}, ValueError, r"`velocity` must have shape.*\(1, 1\)"),
    ({"velocity": np.ones((3, 2)), "position": np.ones((2, 2))}, ValueError, r"must broadcast.*\(2,\) and \(3,\)"),
    ({"position": hb.PhaseState(np.ones(2), np.ones(2)), "velocity": [0.0, 0.0]}, ValueError, "`velocity` must be"),
    ({"position": hb.PositionState(np.ones(2))}, ValueError, "`position` must be a state of HeavyBallFlow, which"),
    ({"method": "Euler"}, ValueError, "`method` must be one of 'RK23'.*Received 'Euler'"),
    ({"times": [0.0, 1.0]}, ValueError, r"either `times` or `duration`. Received times=\[0.0, 1.0\], duration=1.0"),
    ({"duration": None}, ValueError, "either `times` or `duration`"),
    ({"duration": 0.0}, ValueError, "`duration` must be > 0. Received 0.0"),
    ({"duration": [1.0, 2.0]}, ValueError, r"`duration` must be one number. Received shape \(2,\)"),
    ({"duration": None, "times": [0.0, 2.0, 1.0]}, ValueError, r"`times` must be strictly inc.*1.0 at index \(2,\)"),
    ({"duration": None, "times": [0.0]}, ValueError, r"`times` must be a one-dimensional.*Received shape \(1,\)"),
    ({"duration": None, "times": [0.0, np.inf]}, ValueError, r"`times` must be finite. Received inf at index \(1,\)"),
    ({"rtol": -1e-3}, ValueError, "`rtol` must be >= 2.3e-14.*Received -0.001"),
    ({"rtol": [1e-3, 1e-3]}, ValueError, "`rtol` must be one number"),
    ({"atol": 0.0}, ValueError, "`atol` must be > 0. Received 0.0"),
    ({"max_step": -1.0}, ValueError, "`max_step` must be > 0. Received -1.0"),
    ({"max_step": np.nan}, ValueError, "`max_step` must be > 0. Received nan"),
    ({"stop_when": {"grad": 1.0}}, ValueError, "`stop_when` must be one of 'gradient_norm', 'value'. Received 'grad'"),
    ({"stop_when": 1e-3}, TypeError, "`stop_when` must be a mapping.*Received 0.001"),
    ({"stop_when": {"value": np.nan}}, ValueError, r"`stop_when\['value'\]` must be finite. Received nan"),
    ({"flow": hb.HeavyBall(0.1, 0.9)}, TypeError, "`flow` must be a flow.*HeavyBall.*use iterate"),
    ({"flow": hb.HeavyBallFlow}, TypeError, "must be an instance. Received the class HeavyBallFlow"),
    ({"objective": Bare()}, TypeError, "`objective` must offer value, gradient, dim and at.*without value, at"),
])  # fmt: skip
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        hb.integrate(**(GOOD | change))
