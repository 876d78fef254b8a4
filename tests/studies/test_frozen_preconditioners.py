"""Preconditioned modes along runs, against the Hessian written out and the measured growth of what is held."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb

BENT = np.array([[10.0, 6.0], [6.0, 4.0]])
LOSS = hb.Quadratic(BENT)


def test_curvatures_of_adam_are_those_of_its_preconditioner():
    method = hb.Adam(0.01, 0.9, 0.95, weight_decay=0.2)
    found = hb.frozen_preconditioner(method, LOSS, [1.0, 2.0], 40, at=[0, 3, 40])
    for i, k in enumerate([0, 3, 40]):
        run = hb.iterate(method, LOSS, [1.0, 2.0], k + 1)
        assert_array_equal(found.position[i], run.position[k])
        P = np.sqrt(run.state.square_average / (1 - 0.95 ** (k + 1))) + 1e-8
        sharp = np.linalg.eigvals((BENT + 0.2 * np.eye(2)) / P[:, None])
        # The threshold of arXiv:2207.14484 is for λ(P⁻¹H); the bias correction of the average is put into the rate.
        assert_allclose(found.curvature[i], np.sort(0.01 * sharp / (1 - 0.9 ** (k + 1))), rtol=1e-10)
    assert_allclose(found.threshold, 38.0, rtol=1e-10)
    assert_allclose(found.ratio, found.curvature[:, -1] / 38.0, rtol=1e-10)
    assert_allclose(found.value, LOSS.value(found.position))


def test_poles_are_those_of_momentum_on_these_curvatures():
    found = hb.frozen_preconditioner(hb.RMSProp(0.02, momentum=0.7), LOSS, [1.0, 2.0], 30)
    modes = hb.analyze_modes(hb.HeavyBall(0.3, 0.7), found.curvature)  # of learning rate 0.3/(1-0.7) = 1
    assert_allclose(found.poles, modes.poles, rtol=1e-9)
    assert_array_equal(found.damping, modes.damping)
    assert_allclose(found.rate, modes.rate, rtol=1e-9)
    assert found.time[-1] == 30
    assert len(found.time) == 31


@pytest.mark.parametrize("scale", [0.7, 1.05])
def test_a_run_with_the_preconditioner_held_grows_as_its_poles_say(scale):
    """RMSProp at α = 1 keeps its average for good: its growth is the largest frozen pole."""
    k, beta = 60, 0.6
    before = hb.iterate(hb.RMSProp(0.02, 0.97, momentum=beta), LOSS, [1.0, 2.0], k).state
    known = hb.frozen_preconditioner(hb.RMSProp(1.0, 0.97, momentum=beta), LOSS, before, 0)
    lr = scale / known.ratio[0]
    found = hb.frozen_preconditioner(hb.RMSProp(lr, 0.97, momentum=beta), LOSS, before, 0)
    assert_allclose(found.ratio, scale, rtol=1e-9)
    after = hb.iterate(hb.RMSProp(lr, 0.97, momentum=beta), LOSS, before, 1).state
    steps = 400
    run = hb.iterate(hb.RMSProp(lr, 1.0, momentum=beta), LOSS, after, 2 * steps)
    # Swings have zeros, their energy over a stretch has none.
    sizes = np.linalg.norm(run.position, axis=-1)
    grown = np.sqrt(np.sum(sizes[-100:] ** 2) / np.sum(sizes[-100 - steps:-steps] ** 2))
    assert_allclose(grown ** (1 / steps), found.rate.max(), rtol=2e-3)
    assert (grown > 1) == (scale > 1)


@pytest.mark.parametrize(("method", "edge"), [
    (hb.Adam(0.005, 0.9, 0.99), 38.0), (hb.Adam(0.005, 0.5, 0.99), 6.0), (hb.RMSProp(0.005), 2.0),
])  # fmt: skip
def test_adaptive_methods_run_at_the_edge(method, edge):
    """The preconditioned sharpness climbs by orders of magnitude and stays at the edge."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)) * [3.0, 2.0, 1.0, 0.5]
    loss = hb.LinearNetwork(features, np.tanh(features @ rng.normal(size=(4, 2))), hidden=2)
    found = hb.frozen_preconditioner(method, loss, 0.3 * rng.normal(size=loss.dim), 3000, at=range(100, 3001, 20))
    assert_allclose(found.threshold, edge, rtol=1e-9, atol=2e-3 * edge)
    late = found.ratio[found.time >= 2000]
    assert found.ratio[0] < 0.5
    assert 0.8 < late.mean() < 1.05
    assert late.max() < 1.5


def test_schedules_and_minibatches_are_those_of_the_step():
    rng = np.random.default_rng(1)
    full = hb.LeastSquares(rng.normal(size=(12, 2)), rng.normal(size=12))
    loss = hb.Minibatch(full, 4, seed=3)
    method = hb.AdaGrad(hb.Schedule(np.linspace(0.1, 0.01, 20)))
    found = hb.frozen_preconditioner(method, loss, [1.0, 1.0], 10, at=[10])
    run = hb.iterate(method, loss, [1.0, 1.0], 11)
    assert_allclose(found.learning_rate[0], hb.at_step(method, 10).lr / (np.sqrt(run.state.square_sum) + 1e-10))
    root = np.sqrt(found.learning_rate[0])
    expected = np.linalg.eigvalsh(root[:, None] * full.hessian(found.position[0]) * root)
    assert_allclose(found.curvature[0], expected, rtol=1e-12)


def test_batches_and_divergence():
    method = hb.HeavyBall(np.array([0.01, 10.0, 0.05]), 0.9)
    found = hb.frozen_preconditioner(method, LOSS, [[1.0, 2.0]], 400, at=[0, 7, 400])
    assert found.poles.shape == (3, 3, 2, 2)
    assert np.isnan(found.curvature[1, 2]).all()
    assert np.isnan(found.ratio[1, 2])
    assert np.isfinite(found.curvature[1, :2]).all()
    assert "[1] k=400: the run has diverged" in found.summary()
    alone = hb.frozen_preconditioner(hb.HeavyBall(0.05, 0.9), LOSS, [1.0, 2.0], 400, at=[0, 7, 400])
    for name in ("learning_rate", "curvature", "poles", "rate", "threshold", "ratio", "value", "position"):
        assert_allclose(getattr(found, name)[2], getattr(alone, name), rtol=1e-10)
    adam = hb.frozen_preconditioner(hb.Adam([0.01, 0.02], [[0.5], [0.9]]), LOSS, [1.0, 2.0], 20, at=[20])
    alone = hb.frozen_preconditioner(hb.Adam(0.02, 0.9), LOSS, [1.0, 2.0], 20, at=[20])
    assert_allclose(adam.curvature[1, 1], alone.curvature, rtol=1e-10)
    assert_allclose(adam.threshold[..., 0], [[6.0, 6.0], [38.0, 38.0]], rtol=1e-9)


def test_a_run_that_overflows_says_so_without_warnings():
    found = hb.frozen_preconditioner(hb.HeavyBall(0.1, 0.9), hb.Quadratic([1.0, 50.0]), [1.0, 1.0], 1000, at=[5, 1000])
    assert_allclose(found.curvature[0], [1.0, 50.0])
    assert np.isnan(found.ratio[1])
    assert "k=1000: the run has diverged" in found.summary()


@pytest.mark.parametrize(("at", "message"), [
    ([5, 3], r"`at` must be strictly increasing. Received 3.0 at index \(1,\)"),
    ([0.5], "`at` must be whole steps from 0 to steps = 10. Received 0.5"),
    ([11], "`at` must be whole steps from 0 to steps = 10. Received 11.0"),
    ([[1]], r"one-dimensional array of steps. Received shape \(1, 1\)"),
])  # fmt: skip
def test_bad_steps(at, message):
    with pytest.raises(ValueError, match=message):
        hb.frozen_preconditioner(hb.Adam(), LOSS, [1.0, 1.0], 10, at=at)


def test_flows_are_refused():
    with pytest.raises(TypeError, match="`method` must be a method"):
        hb.frozen_preconditioner(hb.GradientFlow(), LOSS, [1.0, 1.0], 10)
