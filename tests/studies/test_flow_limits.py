"""Every row of the table of limits: the declared order is the measured one."""

import dataclasses
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.adam_flows import AdamFlow
from heavyball_dynamics.algorithms.adaptive_flows import RMSPropFlow
from heavyball_dynamics.algorithms.nesterov_flow import NesterovFlow
from heavyball_dynamics.correspondence.flow_limits import FLOW_LIMITS, flow_limits_table
from heavyball_dynamics.studies.flow_limits import approach_flow

_RNG = np.random.default_rng(3)
LOSSES = {
    "quartic": (hb.from_sympy("x**2/2 + x**4/10 + y**2 + y**3/20 + x*y/3", "x y"), [2.0, 1.7]),
    "logistic": (
        hb.LogisticRegression(_RNG.normal(size=(30, 3)), (_RNG.random(30) < 0.5).astype(float), l2=0.3),
        [2.0, -1.5, 2.5],
    ),
    "log cosh": (hb.from_sympy("log(cosh(x - 2*y)) + (x**2 + y**2)/4 + sin(x)/5", "x y"), [2.5, -1.5]),
}
# The coarsest step and the duration, where they are not 0.02 and 1: so short that every gradient keeps its sign, so
# fine that the next order does not count.
_HOW = {
    "heavy_ball_fixed": (2e-4, 0.5), "nesterov_fixed": (2e-4, 0.5), "nadam": (1e-2, 1.0), "adam_fixed": (5e-3, 1.0),
    "rmsprop_fixed": (5e-3, 1.0), "rmsprop": (1e-3, 0.6), "adagrad": (2e-2, 0.4), "adadelta": (1e-2, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FLOW_LIMITS)
def test_order(name, loss):
    row, (objective, start) = FLOW_LIMITS[name], LOSSES[loss]
    coarsest, duration = _HOW.get(name, (0.02, 1.0))
    steps = coarsest / np.array([1, 2, 4])
    found = approach_flow(name, objective, start, steps if row.step == "lr" else steps**2, duration)
    assert_allclose(found.step, steps)
    assert_allclose(found.order, row.order, atol=0.08)
    assert np.all(np.diff(found.error) < 0)
    assert found.error.max() < 0.15
    assert found.reference_error < 1e-2 * found.error.min()


def test_wrong_limits_are_seen():
    """Other flows, and other times, are not approached."""
    objective, start = LOSSES["quartic"]
    rates = 0.02 / np.array([1, 2, 4])
    for name, wrong in (
        ("adam", {"flow": AdamFlow(2.0, 0.6)}),
        ("heavy_ball", {"flow": FLOW_LIMITS["heavy_ball_ema"].flow}),
        ("nesterov_growing", {"flow": NesterovFlow(3.3)}),
        ("gradient_descent", {"time": lambda k, lr: 1.1 * k * lr}),
    ):
        row = dataclasses.replace(FLOW_LIMITS[name], **wrong)
        assert approach_flow(row, objective, start, rates if row.step == "lr" else rates**2, 1.0).order < 0.7


def test_rmsprop_from_zero_is_of_order_one_under_a_large_eps():
    """The order 1/2 is that of ε → 0: far above √(lr·b)|g| it makes the start smooth."""
    flow = RMSPropFlow(0.1, eps=3.0, from_zero=True)
    row = dataclasses.replace(FLOW_LIMITS["rmsprop"], flow=flow, method=flow.method)
    for objective, start in LOSSES.values():
        assert approach_flow(row, objective, start, [4e-3, 2e-3, 1e-3], 1.0).order > 0.9


def test_rmsprop_from_zero_lags_by_the_zeta_function():
    """On a slope, ε → 0: Σ 1/√j = 2√k + ζ(½) + …, so it ends √(lr/b)|ζ(½)| behind the flow."""
    slope, lr = hb.Quadratic([0.0], linear=[-2.0]), np.array([4e-5, 1e-5])
    flow = RMSPropFlow(0.5, eps=0.0, from_zero=True)
    row = dataclasses.replace(FLOW_LIMITS["rmsprop"], flow=flow, method=flow.method)
    assert_allclose(approach_flow(row, slope, [0.0], lr, 0.2).error, 1.4603545 * np.sqrt(lr / 0.5), rtol=0.02)
    found = approach_flow("adagrad", slope, [0.0], [0.02, 0.01], 1.0)
    assert_allclose(found.error, 1.4603545 * found.lr, rtol=0.02)


def test_batch_of_starts():
    objective, start = LOSSES["quartic"]
    starts = np.array([start, [1.0, -1.0], [-2.0, 1.5]])
    for name, lrs in (("adam", [0.02, 0.01]), ("rmsprop_warm", [0.02, 0.01]), ("nesterov_growing", [4e-4, 1e-4])):
        many = approach_flow(name, objective, starts, lrs, 0.5)
        assert many.error.shape == (3, 2)
        assert many.order.shape == (3,)
        for i in range(3):
            one = approach_flow(name, objective, starts[i], lrs, 0.5)
            assert_allclose(many.error[i], one.error, rtol=1e-3)


def test_result():
    objective, start = LOSSES["quartic"]
    found = approach_flow(FLOW_LIMITS["nesterov_growing"], objective, start, [4e-4, 1e-4], 0.5)
    assert_allclose(found.step, [0.02, 0.01])
    assert found.steps.tolist() == [25, 50]
    assert found.order.shape == ()
    text = str(found)
    assert text == found.summary()
    assert "in sqrt(lr) measured, 1 declared" in text
    assert len(text.splitlines()) == 5
    again = pickle.loads(pickle.dumps(found))
    assert_allclose(again.error, found.error)


def test_a_method_that_diverges_has_no_order():
    objective, start = LOSSES["quartic"]
    found = approach_flow("gradient_descent", objective, start, [4.0, 0.1], 80.0)
    assert np.isinf(found.error[0])
    assert np.isfinite(found.error[1])
    assert np.isnan(found.order)


def test_table():
    assert len(FLOW_LIMITS) >= 15
    with pytest.raises(TypeError):
        FLOW_LIMITS["mine"] = FLOW_LIMITS["adam"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        FLOW_LIMITS["adam"].order = 2.0
    for name, row in FLOW_LIMITS.items():
        assert row.name == name
        assert hasattr(row.flow, "vector_field")
        assert hasattr(row.method(0.01), "step")
        times = np.array([float(row.time(k, 0.01)) for k in range(4)])
        assert times[0] == 0
        assert np.all(np.diff(times) > 0)


def test_documentation_is_the_table(root):
    written = (root / "docs" / "flow_limits.md").read_text(encoding="utf-8")
    assert written == flow_limits_table(), "write hb.flow_limits_table() to docs/flow_limits.md"
    lines = [line for line in written.splitlines() if line.startswith("|")]
    assert len(lines) == len(FLOW_LIMITS) + 2
    assert {line.count("|") for line in lines} == {9}


@pytest.mark.parametrize("name", ["gradient_descent", "nesterov"])
def test_blown_up_is_diverged(name):
    """Still finite after a few steps, but farther off by powers of ten: no order is made of that."""
    found = approach_flow(name, hb.rosenbrock(), [-1.0, 1.5], [0.1, 0.05], 2.0)
    assert np.isinf(found.error).all()
    assert np.isnan(found.order)
    assert "inf" in str(found)


@pytest.mark.parametrize("name", FLOW_LIMITS)
def test_rows_pickle(name):
    row = FLOW_LIMITS[name]
    again = pickle.loads(pickle.dumps(row))
    assert again.method(0.01) == row.method(0.01)
    assert again.time(3, 0.01) == row.time(3, 0.01)
    assert again.flow == row.flow



def test_errors():
    objective, start = LOSSES["quartic"]

    def measure(limit="adam", lrs=(0.02, 0.01), duration=1.0, objective=objective):
        return approach_flow(limit, objective, start, lrs, duration)

    with pytest.raises(ValueError, match="`limit` must be one of 'gradient_descent'.*Received 'adamax'"):
        measure("adamax")
    with pytest.raises(TypeError, match="`limit` must be a FlowLimit or the name of one"):
        measure(hb.Adam())
    with pytest.raises(ValueError, match="`lrs` must be two or more different learning rates"):
        measure(lrs=[0.1, 0.1])
    with pytest.raises(ValueError, match=r"`lrs` must be > 0. Received -0.1 at index \(1,\)"):
        measure(lrs=[0.1, -0.1])
    with pytest.raises(ValueError, match="`duration` must be > 0"):
        measure(duration=0.0)
    with pytest.raises(ValueError, match="`duration` must hold a step at every learning rate. Received 0.015"):
        measure(duration=0.015)
    with pytest.raises(ValueError, match="`duration` must not hold more than 1,000,000 steps"):
        measure(lrs=[1e-2, 1e-9])
    with pytest.raises(TypeError, match="`objective` must offer"):
        measure(objective=np.sin)
    with pytest.raises(ValueError, match="`step` must be one of 'lr', 'sqrt"):
        dataclasses.replace(FLOW_LIMITS["adam"], step="lr**2")
