"""Algorithms as linear systems: transfer functions by hand, and what python-control does with them."""

import pickle
from dataclasses import dataclass
from typing import Any

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
    Quadratic,
    StateMatrices,
    analyze_modes,
    closed_loop,
    iterate,
    linearize,
    state_matrices,
)  # fmt: skip

Z = np.exp(1j * np.linspace(0.05, 3.1, 40))
S = 1j * np.geomspace(0.01, 100, 40)


@given(lr=st.floats(1e-3, 5), momentum=st.floats(-1.5, 1.5))
def test_loop_gain_of_the_heavy_ball(lr, momentum):
    """Gradient in, query out, sign reversed: η z/((z-1)(z-β))."""
    z = 1.7 * Z
    assert_allclose(-linearize(HeavyBall(lr, momentum))(z), lr * z / ((z - 1) * (z - momentum)), rtol=1e-9)


@given(lr=st.floats(1e-3, 5), momentum=st.floats(-1.5, 1.5))
def test_loop_gain_of_nesterov(lr, momentum):
    z = 1.7 * Z
    wanted = lr * z * ((1 + momentum) * z - momentum) / ((z - 1) * (z - momentum)) / z
    assert_allclose(-linearize(Nesterov(lr, momentum))(z), wanted, rtol=1e-9)


@given(mass=st.floats(0.1, 10), damping=st.floats(0.1, 10))
def test_loop_gain_of_the_flow(mass, damping):
    assert_allclose(-linearize(HeavyBallFlow(mass, damping))(S), 1 / (S * (mass * S + damping)), rtol=1e-9)


def test_first_order_loop_gains():
    assert_allclose(-linearize(GradientDescent(0.3))(1.7 * Z), 0.3 / (1.7 * Z - 1), rtol=1e-12)
    assert_allclose(-linearize(GradientFlow())(S), 1 / S, rtol=1e-12)


@pytest.mark.parametrize(("algorithm", "dt", "states"), [
    (HeavyBall(0.1, 0.9), 1, 2), (HeavyBall(0.1, 0.0), 1, 2), (Nesterov(0.1, 0.9), 1, 2), (GradientDescent(0.1), 1, 1),
    (HeavyBallFlow(2.0, 0.5), 0, 2), (HeavyBallFlow(2.0, 0.0), 0, 2), (GradientFlow(), 0, 1),
])  # fmt: skip
def test_systems_keep_their_states(algorithm, dt, states):
    for system in (linearize(algorithm), closed_loop(algorithm, 2.0), closed_loop(algorithm, 0.0)):
        assert isinstance(system, control.StateSpace)
        assert (system.dt, system.nstates, system.ninputs, system.noutputs) == (dt, states, 1, 1)
    assert linearize(algorithm).input_labels == ["gradient[0]"]
    assert linearize(algorithm).output_labels == ["query[0]"]


class TestPythonControl:
    """Its own functions on our systems, against closed forms and against runs."""

    @given(lr=st.floats(0.01, 2), momentum=st.floats(0, 1.2), curvature=st.floats(-1, 5),
           kind=st.sampled_from([HeavyBall, Nesterov]))  # fmt: skip
    def test_feedback_closes_the_loop(self, lr, momentum, curvature, kind):
        """u = λy + e is positive feedback with gain λ."""
        method = kind(lr, momentum)
        loop = control.feedback(linearize(method), control.ss([], [], [], [[curvature]], 1), sign=1)
        assert_allclose(np.poly(loop.poles()), np.poly(closed_loop(method, curvature).poles()), atol=1e-12)
        assert_allclose(np.poly(loop.poles()), np.poly(analyze_modes(method, [curvature]).poles[0]), atol=1e-12)

    def test_closed_loop_transfer(self):
        """From the gradient's error to the query: G/(1 - λG)."""
        for algorithm, point in [(HeavyBall(0.1, 0.9), 1.7 * Z), (Nesterov(0.1, 0.5), 1.7 * Z), (HeavyBallFlow(), S)]:
            G = linearize(algorithm)(point)
            assert_allclose(closed_loop(algorithm, 3.0)(point), G / (1 - 3.0 * G), rtol=1e-9)

    def test_root_locus_map(self):
        gains = np.linspace(0.01, 4, 30)
        for method in (HeavyBall(0.7, 0.6), Nesterov(0.7, 0.6), HeavyBallFlow(2.0, 1.0)):
            loci = control.root_locus_map(-control.tf(linearize(method)), gains=gains).loci
            ours = analyze_modes(method, gains).poles
            for theirs, mine in zip(loci, ours, strict=True):
                assert_allclose(np.poly(theirs), np.poly(mine), atol=1e-10)

    def test_frequency_response(self):
        omega = np.linspace(0.05, 3, 50)
        response = control.frequency_response(closed_loop(HeavyBall(0.1, 0.9), 2.0), omega)
        z = np.exp(1j * omega)
        wanted = -0.1 * z / (z**2 - (1.9 - 0.2) * z + 0.9)
        assert_allclose(response.complex, wanted, rtol=1e-9)

    def test_dc_gain(self):
        """A constant error e of the gradient moves the resting point to -e/λ."""
        for algorithm in (HeavyBall(0.1, 0.9), Nesterov(0.1, 0.9), GradientDescent(0.1), HeavyBallFlow(2.0, 1.0)):
            assert_allclose(control.dcgain(closed_loop(algorithm, 4.0)), -0.25, rtol=1e-9)

    def test_forced_response_is_a_run_on_a_tilted_loss(self):
        error, curvature = 0.7, 2.0
        method = Nesterov(0.1, 0.8)
        time = np.arange(60)
        system = closed_loop(method, curvature)
        theirs = control.forced_response(system, time, np.full(60, error), initial_state=[1.0, 0.0])
        run = iterate(method, Quadratic([curvature], [error]), [1.0], 59)
        assert_allclose(theirs.outputs, method.look_ahead(run)[:, 0], rtol=1e-9, atol=1e-12)

    def test_initial_response_of_the_flow(self):
        time = np.linspace(0, 20, 101)
        found = control.initial_response(closed_loop(HeavyBallFlow(2.0, 0.4), 3.0), time, initial_state=[1.0, 0.0])
        decay, frequency = 0.1, np.sqrt(1.5 - 0.01)
        wanted = np.exp(-decay * time) * (np.cos(frequency * time) + decay / frequency * np.sin(frequency * time))
        assert_allclose(found.outputs, wanted, atol=1e-10)

    def test_sampling_the_flow(self):
        sampled = control.sample_system(closed_loop(HeavyBallFlow(2.0, 0.4), 3.0), 0.1)
        poles = analyze_modes(HeavyBallFlow(2.0, 0.4), [3.0]).poles[0]
        assert_allclose(np.poly(sampled.poles()), np.poly(np.exp(0.1 * poles)), atol=1e-12)

    def test_stationary_variance(self):
        """Noise on the gradient: η²σ²(1+β)/(q(1-β)(2(1+β)-q)) by control's Lyapunov equation."""
        lr, beta, curvature = 0.3, 0.7, 1.5
        q = lr * curvature
        system = closed_loop(HeavyBall(lr, beta), curvature)
        X = control.dlyap(system.A, system.B @ system.B.T, method="scipy")
        assert_allclose(X[0, 0], lr**2 * (1 + beta) / (q * (1 - beta) * (2 * (1 + beta) - q)), rtol=1e-10)


@dataclass(frozen=True)
class ExtraGradient:
    """x⁺ = x - η∇f(x - η∇f(x)) (Korpelevich 1976)."""

    lr: Any

    def init(self, position, velocity, objective):
        return PositionState(position)

    def step(self, k, state, objective):
        half = state.position - self.lr * objective.gradient(state.position)
        return PositionState(state.position - self.lr * objective.gradient(half))


class TestTwoGradients:
    def test_open_loop(self):
        found = state_matrices(ExtraGradient(0.2))
        assert_array_equal(found.A, [[1.0]])
        assert_array_equal(found.B, [[0.0, -0.2]])
        assert_array_equal(found.C, [[1.0], [1.0]])
        assert_array_equal(found.D, [[0.0, 0.0], [-0.2, 0.0]])
        system = linearize(ExtraGradient(0.2))
        assert (system.ninputs, system.noutputs) == (2, 2)

    @given(lr=st.floats(0.01, 3), curvature=st.floats(-2, 3))
    def test_pole(self, lr, curvature):
        q = lr * curvature
        wanted = 1 - q + q**2
        assert_allclose(analyze_modes(ExtraGradient(lr), [curvature]).poles, [[wanted]], rtol=1e-12)
        assert_allclose(closed_loop(ExtraGradient(lr), curvature).poles(), [wanted], rtol=1e-12)

    def test_closed_loop_transfer(self):
        """(1 - λG)⁻¹G with matrices, feedthrough and all."""
        G, T, z = linearize(ExtraGradient(0.2)), closed_loop(ExtraGradient(0.2), 3.0), 1.3 + 0.4j
        assert_allclose(T(z), np.linalg.solve(np.eye(2) - 3.0 * G(z), G(z)), rtol=1e-10)

    def test_batches(self):
        lr, curvature = np.array([0.1, 0.5, 2.0])[:, None], np.array([0.5, 1.0, 2.0, 3.0])
        q = lr * curvature
        assert_allclose(analyze_modes(ExtraGradient(lr[:, 0]), curvature).poles[..., 0], 1 - q + q**2, rtol=1e-12)


class TestStateMatrices:
    def test_by_hand(self):
        found = state_matrices(Nesterov(0.1, 0.9))
        assert_array_equal(found.A, [[1, 0.9], [0, 0.9]])
        assert_array_equal(found.B, [[-0.1], [-0.1]])
        assert_array_equal(found.C, [[1, 0.9]])
        assert_array_equal(found.D, [[0]])
        flow = state_matrices(HeavyBallFlow(4.0, 2.0))
        assert_array_equal(flow.A, [[0, 1], [0, -0.5]])
        assert_array_equal(flow.B, [[0], [-0.25]])
        assert (found.discrete, flow.discrete) == (True, False)

    def test_batch(self):
        lr, momentum = np.array([0.1, 0.2, 0.3])[:, None], np.array([0.5, 0.9])
        found = state_matrices(HeavyBall(lr, momentum))
        assert (found.A.shape, found.B.shape, found.C.shape) == ((3, 2, 2, 2), (3, 2, 2, 1), (3, 2, 1, 2))
        for i, j in np.ndindex(3, 2):
            single = state_matrices(HeavyBall(lr[i, 0], momentum[j]))
            for name in "ABCD":
                assert_array_equal(getattr(found, name)[i, j], getattr(single, name))

    def test_loop_has_the_modes_poles(self, rng):
        curvature = rng.uniform(0.1, 3, size=5)
        found = state_matrices(Nesterov(np.array([0.1, 1.0]), 0.8))
        eigenvalues = np.linalg.eigvals(found.loop(curvature))
        poles = analyze_modes(Nesterov(np.array([0.1, 1.0]), 0.8), curvature).poles
        assert_allclose(np.sort_complex(eigenvalues), np.sort_complex(poles), atol=1e-12)

    def test_pickles_as_plain_arrays(self):
        found = state_matrices(HeavyBall(np.array([0.1, 0.2]), 0.5))
        copy = pickle.loads(pickle.dumps(found))
        assert isinstance(copy, StateMatrices)
        for name in "ABCD":
            assert type(getattr(found, name)) is np.ndarray
            assert_array_equal(getattr(copy, name), getattr(found, name))


class TestErrors:
    def test_no_batches_in_python_control(self):
        for make in (linearize, lambda algorithm: closed_loop(algorithm, 1.0)):
            with pytest.raises(ValueError, match="must have scalar hyperparameters.*hb.analyze_modes take them"):
                make(HeavyBall(np.array([0.1, 0.2]), 0.5))

    def test_curvature_of_a_closed_loop(self):
        with pytest.raises(ValueError, match=r"`curvature` must be one number.*Received shape \(2,\)"):
            closed_loop(HeavyBall(0.1, 0.5), [1.0, 2.0])
        with pytest.raises(ValueError, match="`curvature` must be finite. Received inf"):
            closed_loop(HeavyBall(0.1, 0.5), np.inf)

    def test_no_gradient_asked_for(self):
        class Sleeper:
            def init(self, position, velocity, objective):
                return PositionState(position)

            def step(self, k, state, objective):
                return PositionState(0.5 * state.position)

        with pytest.raises(ValueError, match="`algorithm` must ask for a gradient"):
            linearize(Sleeper())
        assert_array_equal(analyze_modes(Sleeper(), [1.0, 2.0]).poles, [[0.5], [0.5]])

    def test_wrong_things(self):
        with pytest.raises(TypeError, match="instance. Received the class HeavyBall"):
            linearize(HeavyBall)
        with pytest.raises(TypeError, match="must offer init and either step"):
            linearize("heavy ball")
        with pytest.raises(TypeError, match="A method is frozen with k=, not t="):
            linearize(HeavyBall(0.1, 0.5), t=1.0)
        with pytest.raises(TypeError, match="A flow is frozen with t=, not k=. Received 3"):
            linearize(HeavyBallFlow(), k=3)
