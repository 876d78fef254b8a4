"""Restarted Nesterov: the published algorithm to the letter, and what it is for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb

RNG = np.random.default_rng(4)
FEATURES = RNG.normal(size=(60, 10)) * np.geomspace(1, 0.03, 10)
LOGISTIC = hb.LogisticRegression(FEATURES, (RNG.random(60) < 0.5).astype(float), l2=1e-3)
QUADRATIC = hb.Quadratic(np.geomspace(1e-3, 1, 20))


def algorithm_1(loss, start, s, r, k_min, steps):
    """Su, Boyd, Candès 2016, algorithm 1, with r in the place of 3."""
    x = [start, start]  # x_{-1}, x_0
    y, j, restarts = start, 1, 0
    for _ in range(steps):
        x.append(y - s * loss.gradient(y))
        y = x[-1] + (j - 1) / (j + r - 1) * (x[-1] - x[-2])
        slower = np.linalg.norm(x[-1] - x[-2]) < np.linalg.norm(x[-2] - x[-3]) if len(x) > 3 else False
        if slower and j >= k_min:
            j, restarts = 1, restarts + 1
        else:
            j += 1
    return np.array(x[1:]), restarts


@pytest.mark.parametrize(("r", "k_min"), [(3.0, 1), (3.0, 10), (5.0, 4)])
@pytest.mark.parametrize(("loss", "lr"), [(QUADRATIC, 0.9), (LOGISTIC, 0.5)], ids=["quadratic", "logistic"])
def test_is_algorithm_1(loss, lr, r, k_min):
    start = np.ones(loss.dim)
    expected, restarts = algorithm_1(loss, start, lr, r, k_min, 400)
    run = hb.iterate(hb.RestartedNesterov(lr, r, minimum=k_min), loss, start, 400)
    assert restarts >= 2
    assert_allclose(run.position, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("restart", ["speed", "gradient"])
def test_linear_convergence_without_knowing_the_strong_convexity(restart):
    """κ = 1000: the excess falls by 1e-20 and more in 2,000 steps, with √κ steps to a digit or so."""
    for kappa in (100.0, 1000.0):
        loss = hb.Quadratic(np.geomspace(1 / kappa, 1, 30))
        run = hb.iterate(hb.RestartedNesterov(1.0, restart=restart), loss, np.ones(30), int(60 * np.sqrt(kappa)))
        k = np.array([20, 40, 60]) * int(np.sqrt(kappa))
        digits = -np.diff(np.log10(run.value[k]))
        assert np.all(digits > 4)
        plain = hb.iterate(hb.Nesterov(1.0, hb.AcceleratedMomentum()), loss, np.ones(30), k[-1])
        assert run.value[-1] < 1e-6 * plain.value[-1]


@pytest.mark.parametrize("restart", ["speed", "gradient"])
def test_without_a_restart_it_is_nesterovs(restart):
    never = hb.RestartedNesterov(0.1, 4.0, minimum=10**9, restart=restart)
    plain = hb.Nesterov(0.1, hb.AcceleratedMomentum(4.0))
    runs = [hb.iterate(method, LOGISTIC, np.ones(10), 30) for method in (never, plain)]
    assert_array_equal(runs[0].position, runs[1].position)
    assert_allclose(runs[0].velocity, runs[1].velocity)


def test_gradient_scheme_restarts_when_a_step_goes_uphill():
    loss = hb.Quadratic([0.01, 1.0])
    run = hb.iterate(hb.RestartedNesterov(0.5, minimum=1, restart="gradient"), loss, [1.0, 1.0], 300)
    age, x, v = 0, np.ones(2), np.zeros(2)
    for k in range(300):
        beta = max(age - 1, 0) / (max(age, 1) + 2)
        g = loss.gradient(x + beta * v)
        v = beta * v - 0.5 * g
        x = x + v
        age = 1 if g @ v > 0 else age + 1
        assert_allclose(run.position[k + 1], x, rtol=1e-9, atol=1e-14)


def test_batch_elements_restart_alone():
    starts = RNG.normal(size=(6, 20))
    lrs = np.linspace(0.3, 1, 6)
    together = hb.iterate(hb.RestartedNesterov(lrs), QUADRATIC, starts, 200)
    for i in range(6):
        alone = hb.iterate(hb.RestartedNesterov(lrs[i]), QUADRATIC, starts[i], 200)
        assert_allclose(together.position[i], alone.position, rtol=1e-12, atol=1e-15)
        assert_allclose(together.energy[i], alone.energy, rtol=1e-12, atol=1e-15)
        assert_allclose(together.state.age[i], alone.state.age)


def test_resumes():
    method = hb.RestartedNesterov(1.0)
    part = hb.iterate(method, QUADRATIC, np.ones(20), 70)
    rest = hb.iterate(method, QUADRATIC, part.state, 130, first_step=70)
    assert_array_equal(rest.position[-1], hb.iterate(method, QUADRATIC, np.ones(20), 200).position[-1])


def test_bad_hyperparameters():
    with pytest.raises(ValueError, match="`restart` must be one of 'speed', 'gradient'. Received 'never'"):
        hb.RestartedNesterov(0.1, restart="never")
    with pytest.raises(ValueError, match="`minimum` must be a whole number >= 1. Received 0"):
        hb.RestartedNesterov(0.1, minimum=0)
    with pytest.raises(ValueError, match="`r` must be > 0. Received 0.0"):
        hb.RestartedNesterov(0.1, 0.0)
    with pytest.raises(ValueError, match="RestartedNesterov is not linear"):
        hb.state_matrices(hb.RestartedNesterov(0.1), k=0)
