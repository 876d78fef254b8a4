"""Dialects against literal loops of the frameworks' own update rules."""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from heavyball_dynamics import (
    DIALECTS,
    DampenedHeavyBall,
    GradientDescent,
    HeavyBall,
    HeavyBallFlow,
    Nesterov,
    from_buffer,
    from_dialect,
    to_buffer,
    to_dialect,
)
from heavyball_dynamics._batching import append_axes


class Valley:
    """A loss in two coordinates whose curvature changes: ½x² + 2y² + ¼x²y² - cos(x + y)."""

    dim = 2

    def at(self, k):
        return self

    def value(self, p):
        x, y = p[..., 0], p[..., 1]
        return 0.5 * x**2 + 2 * y**2 + 0.25 * x**2 * y**2 - np.cos(x + y)

    def gradient(self, p):
        x, y = p[..., 0], p[..., 1]
        bend = np.sin(x + y)
        return np.stack([x + 0.5 * x * y**2 + bend, 4 * y + 0.5 * x**2 * y + bend], axis=-1)

START = np.array([1.2, -0.7])
STEPS = 30


def run(method, position, velocity=None):
    state = method.init(position, np.zeros_like(position) if velocity is None else velocity, Valley())
    states = [state]
    for k in range(STEPS):
        state = method.step(k, state, Valley())
        states.append(state)
    return SimpleNamespace(
        position=np.stack([s.position for s in states], axis=-2),
        velocity=np.stack([s.velocity for s in states], axis=-2),
    )


def torch_rule(w, v, g, lr, beta, nesterov):
    v = beta * v + g
    return (w - lr * (g + beta * v) if nesterov else w - lr * v), v


def keras_rule(w, v, g, lr, beta, nesterov):
    v = beta * v - lr * g
    return (w + beta * v - lr * g if nesterov else w + v), v


def ema_rule(w, v, g, lr, beta, nesterov):
    v = beta * v + (1 - beta) * g
    return (w - lr * (beta * v + (1 - beta) * g) if nesterov else w - lr * v), v


def goodfellow_rule(w, v, g, lr, beta, nesterov):
    v = beta * v - lr * g
    return w + v, v


RULES = {"torch": torch_rule, "keras": keras_rule, "ema": ema_rule, "goodfellow": goodfellow_rule}


def literal(dialect, w, v, lr, beta, nesterov):
    points, buffers = [w], [v]
    for _ in range(STEPS):
        asked = w + beta * v if dialect == "goodfellow" and nesterov else w
        w, v = RULES[dialect](w, v, Valley().gradient(asked), lr, beta, nesterov)
        points.append(w)
        buffers.append(v)
    return np.array(points), np.array(buffers)


def test_every_dialect_is_tested():
    assert set(DIALECTS) == set(RULES)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
@pytest.mark.parametrize("buffer", [[0.0, 0.0], [0.3, -0.2]])
def test_iterates_and_buffers_are_the_dialects_own(dialect, nesterov, momentum, buffer):
    lr = 0.04
    method = from_dialect(dialect, lr=lr, momentum=momentum, nesterov=nesterov)
    shifted = nesterov and DIALECTS[dialect].stores_look_ahead
    velocity = from_buffer(dialect, buffer, lr=lr)
    start = START - momentum * velocity if shifted else START
    trajectory = run(method, start, velocity)
    points, buffers = literal(dialect, START, np.array(buffer), lr, momentum, nesterov)
    stored = method.look_ahead(trajectory) if shifted else trajectory.position
    assert_allclose(stored, points, rtol=1e-13, atol=1e-14)
    assert_allclose(to_buffer(dialect, trajectory.velocity, lr=lr), buffers, rtol=1e-12, atol=1e-13)


def test_without_momentum_every_dialect_is_gradient_descent():
    points = run(from_dialect("torch", lr=0.04, momentum=0.0), START).position
    for dialect in DIALECTS:
        assert from_dialect(dialect, lr=0.04, momentum=0.0) == HeavyBall(0.04, 0.0)
    w = START
    for point in points:
        assert_allclose(point, w, rtol=1e-14)
        w = w - 0.04 * Valley().gradient(w)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("nesterov", [False, True])
def test_batches_of_hyperparameters(dialect, nesterov):
    lr, momentum = np.array([0.01, 0.02, 0.05]), np.array([0.3, 0.9, 0.99])
    batch = from_dialect(dialect, lr=lr, momentum=momentum, nesterov=nesterov)
    together = run(append_axes(batch, 1), np.broadcast_to(START, (3, 2)))
    for i in range(3):
        single = from_dialect(dialect, lr=lr[i], momentum=momentum[i], nesterov=nesterov)
        alone = run(single, START)
        assert_allclose(together.position[i], alone.position, rtol=1e-13)
        if nesterov:
            assert_allclose(batch.look_ahead(together)[i], single.look_ahead(alone), rtol=1e-13)


learning_rates = st.floats(1e-8, 1e3)
momenta = st.floats(0.001, 0.99999)


def batches(elements):
    return elements | arrays(np.float64, (3,), elements=elements)


@given(dialect=st.sampled_from(sorted(DIALECTS)), lr=batches(learning_rates), momentum=batches(momenta),
       nesterov=st.booleans())
@settings(deadline=None, max_examples=60)
def test_round_trips(dialect, lr, momentum, nesterov):
    method = from_dialect(dialect, lr=lr, momentum=momentum, nesterov=nesterov)
    spelled = to_dialect(method, dialect)
    assert_allclose(spelled["lr"], np.broadcast_to(lr, np.shape(spelled["lr"])), rtol=1e-15 * 2)
    assert np.array_equal(spelled["momentum"], momentum)
    assert spelled["nesterov"] == nesterov
    again = from_dialect(dialect, **spelled)
    assert type(again) is type(method)
    assert_allclose(again.lr, method.lr, rtol=1e-15 * 2)
    assert np.array_equal(again.momentum, method.momentum)


@given(lr=learning_rates, momentum=batches(momenta), dampening=batches(st.floats(0.01, 1.0)))
@settings(deadline=None, max_examples=30)
def test_round_trip_with_dampening(lr, momentum, dampening):
    method = from_dialect("torch", lr=lr, momentum=momentum, dampening=dampening)
    assert isinstance(method, DampenedHeavyBall)
    assert from_dialect("torch", **to_dialect(method, "torch")) == method


def test_dampening_without_momentum_is_ignored():
    assert from_dialect("torch", lr=0.1, momentum=0.0, dampening=0.5) == HeavyBall(0.1, 0.0)
    mixed = from_dialect("torch", lr=0.1, momentum=[0.0, 0.5], dampening=0.5)
    assert_allclose(mixed.effective_lr, [0.1, 0.05], rtol=1e-15)


def test_gradient_descent_is_spelled_without_momentum():
    expected = {"lr": 0.1, "momentum": 0.0, "nesterov": False, "dampening": 0.0}
    for dialect in DIALECTS:
        assert to_dialect(GradientDescent(0.1), dialect) == expected


def test_symbols_pass():
    lr, momentum, dampening = sympy.symbols("lr beta d")
    method = from_dialect("ema", lr=lr, momentum=momentum, nesterov=True)
    assert method == Nesterov(lr * (1 - momentum), momentum)
    assert to_dialect(method, "ema")["lr"] == lr
    assert from_dialect("torch", lr=lr, momentum=momentum, dampening=dampening).effective_lr == lr * (1 - dampening)


@pytest.mark.parametrize(("dialect", "arguments", "error", "message"), [
    ("jax", {}, ValueError, "`dialect` must be one of 'torch', 'keras', 'ema', 'goodfellow'. Received 'jax'"),
    ("torch", {"lr": -0.1}, ValueError, "`lr` must be >= 0. Received -0.1"),
    ("keras", {"lr": [0.1, np.nan]}, ValueError, r"`lr` must be finite. Received nan at index \(1,\)"),
    ("torch", {"dampening": lambda k: 0.1}, TypeError, "`dampening` .* constant in time. Received the callable"),
    ("keras", {"lr": "fast"}, TypeError, "`lr` must hold real numbers"),
    ("keras", {"nesterov": np.array([True, False])}, TypeError, "`nesterov` must be True or False"),
    ("keras", {"dampening": 0.5}, ValueError, "`dampening` must be 0 in the keras dialect, .* Received 0.5. .*torch"),
    ("ema", {"momentum": [0.5, 1.5]}, ValueError, r"`momentum` must be <= 1 .*Received 1.5 at index \(1,\)"),
    ("ema", {"lr": [0.1, 0.2], "momentum": [0.1, 0.2, 0.3]}, ValueError, "must broadcast"),
    ("torch", {"nesterov": True, "momentum": 0.0}, ValueError, "`momentum` must be > 0 under torch's nesterov=True"),
    ("torch", {"nesterov": True, "dampening": 0.1}, ValueError, "`dampening` must be 0 under torch's nesterov=True"),
    ("torch", {"nesterov": True, "dampening": sympy.Symbol("d")}, ValueError, "`dampening` must be 0 .* Received d"),
])  # fmt: skip
def test_refusals(dialect, arguments, error, message):
    with pytest.raises(error, match=message):
        from_dialect(dialect, **{"lr": 0.1, "momentum": 0.9, **arguments})


@pytest.mark.parametrize(("method", "dialect", "error", "message"), [
    (HeavyBall(0.1, 0.9), "jax", ValueError, "`dialect` must be one of"),
    (HeavyBall(0.1, 1.0), "ema", ValueError, "`momentum` must be < 1 in the ema dialect.* Received 1.0"),
    (HeavyBall([0.1, 0.2], [0.1, 0.2, 0.3]), "ema", ValueError, "must broadcast"),
    (Nesterov(0.1, 0.0), "torch", ValueError, "`momentum` must be > 0 under torch's nesterov=True"),
    (DampenedHeavyBall(0.1, 0.9, 0.5), "keras", ValueError, "`method` must have no dampening in the keras dialect"),
    (HeavyBallFlow(1.0, 1.0), "torch", TypeError, "`method` must be a HeavyBall.*Received HeavyBallFlow"),
])  # fmt: skip
def test_what_has_no_spelling(method, dialect, error, message):
    with pytest.raises(error, match=message):
        to_dialect(method, dialect)
