"""Dialects under schedules, against literal loops of the frameworks' own update rules and against torch itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import heavyball_dynamics as hb

LOSS = hb.rosenbrock()
START = np.array([-0.6, 0.8])
STEPS = 40
RATES = 1e-3 * (1 + np.sin(np.arange(STEPS)) / 2)
MOMENTA = 0.9 - 0.5 * np.cos(0.7 * np.arange(STEPS)) ** 2
CONSTANT = np.ones(STEPS)


def literal(dialect, rates, momenta, *, nesterov, dampening=0.0):
    """Positions that the framework stores: keras and goodfellow with lr inside, torch and ema with lr outside."""
    x, buffer, path = START.copy(), np.zeros(2), [START]
    for k, (a, b) in enumerate(zip(rates, momenta, strict=True)):
        if dialect == "goodfellow":
            buffer = b * buffer - a * LOSS.gradient(x + b * buffer if nesterov else x)
            x = x + buffer
        elif dialect == "keras":
            g = LOSS.gradient(x)
            buffer = b * buffer - a * g
            x = x + (b * buffer - a * g if nesterov else buffer)
        else:
            g = LOSS.gradient(x) * (1 - b if dialect == "ema" else 1)
            buffer = g.copy() if k == 0 and dialect == "torch" else b * buffer + (1 - dampening) * g
            x = x - a * (g + b * buffer if nesterov else buffer)
        path.append(x)
    return np.array(path)


def stored(method, run):
    """What the framework would hold along our run."""
    return method.look_ahead(run) if isinstance(method, hb.Nesterov) else run.position


@pytest.mark.parametrize("nesterov", [False, True], ids=["plain", "nesterov"])
@pytest.mark.parametrize(("rates", "momenta"), [
    (RATES, 0.9 * CONSTANT), (1e-3 * CONSTANT, MOMENTA), (RATES, MOMENTA),
], ids=["lr", "momentum", "both"])  # fmt: skip
@pytest.mark.parametrize("dialect", hb.DIALECTS)
def test_iterates_are_the_frameworks(dialect, rates, momenta, nesterov):
    lr = rates[0] if np.ptp(rates) == 0 else hb.Schedule(rates)
    momentum = momenta[0] if np.ptp(momenta) == 0 else hb.Schedule(momenta)
    method = hb.from_dialect(dialect, lr=lr, momentum=momentum, nesterov=nesterov)
    path = hb.iterate(method, LOSS, START, STEPS)
    expected = literal(dialect, rates, momenta, nesterov=nesterov)
    if dialect == "goodfellow":
        assert_allclose(path.position, expected, rtol=1e-11)
    else:
        assert_allclose(stored(method, path), expected, rtol=1e-11)


def test_constant_and_varying_rates_differ_between_inside_and_outside():
    """The two forms agree only while the learning rate is constant."""
    inside, outside = (
        hb.iterate(hb.from_dialect(name, lr=hb.Schedule(RATES), momentum=0.9), LOSS, START, STEPS).position
        for name in ("keras", "torch")
    )
    assert np.max(np.abs(inside - outside)) > 1e-2
    constant = [hb.from_dialect(name, lr=hb.Schedule([1e-3]), momentum=0.9) for name in ("keras", "torch")]
    runs = [hb.iterate(method, LOSS, START, STEPS).position for method in constant]
    assert_allclose(runs[0], runs[1], rtol=1e-13)


def test_dampening_under_a_schedule():
    method = hb.from_dialect("torch", lr=hb.Schedule(RATES), momentum=0.9, dampening=0.3)
    expected = literal("torch", RATES, 0.9 * CONSTANT, nesterov=False, dampening=0.3)
    assert_allclose(hb.iterate(method, LOSS, START, STEPS).position, expected, rtol=1e-11)


@pytest.mark.parametrize("nesterov", [False, True])
def test_torch_under_a_scheduler(nesterov):
    """torch.optim.SGD with an lr and a momentum that change every step, as OneCycleLR does."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=RATES[0], momentum=MOMENTA[0], nesterov=nesterov)
    path = [START]
    for a, b in zip(RATES, MOMENTA, strict=True):
        optimizer.param_groups[0].update(lr=float(a), momentum=float(b))
        x.grad = torch.from_numpy(np.array(LOSS.gradient(x.detach().numpy())))
        optimizer.step()
        path.append(x.detach().numpy().copy())
    method = hb.from_dialect("torch", lr=hb.Schedule(RATES), momentum=hb.Schedule(MOMENTA), nesterov=nesterov)
    assert_allclose(hb.iterate(method, LOSS, START, STEPS).position, path, rtol=1e-11)


schedules = st.lists(st.floats(1e-3, 1.0), min_size=2, max_size=6)


@settings(deadline=None, max_examples=40)
@given(schedules, schedules, st.sampled_from(sorted(hb.DIALECTS)))
def test_round_trip_of_schedules(rates, momenta, dialect):
    momenta = [0.95 * m for m in momenta]
    spelled = {"lr": hb.Schedule(rates), "momentum": hb.Schedule(momenta)}
    back = hb.to_dialect(hb.from_dialect(dialect, **spelled), dialect)
    for k in range(8):
        for name, values in spelled.items():
            # The subtraction 1 - η/α of the average loses what is small beside 1.
            assert_allclose(back[name](k), values(k), rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=20)
@given(schedules, st.sampled_from(sorted(hb.DIALECTS)))
def test_every_canonical_schedule_has_a_spelling(rates, dialect):
    method = hb.HeavyBall(hb.Schedule(rates), 0.5)
    again = hb.from_dialect(dialect, **{k: v for k, v in hb.to_dialect(method, dialect).items() if k != "dampening"})
    for k in range(8):
        before, after = hb.at_step(method, k), hb.at_step(again, k)
        assert_allclose([after.lr, after.momentum], [before.lr, before.momentum], rtol=1e-9)


def test_look_ahead_points_go_back_to_their_own_dialect_only():
    arguments = {"lr": hb.Schedule(RATES), "momentum": 0.9, "nesterov": True}
    method = hb.from_dialect("torch", **arguments)
    assert isinstance(method, hb.LookAheadNesterov)
    assert hb.to_dialect(method, "torch") == {**arguments, "dampening": 0.0}
    with pytest.raises(ValueError, match="must keep its buffer as the keras dialect does"):
        hb.to_dialect(method, "keras")
    accelerated = hb.Nesterov(0.1, hb.AcceleratedMomentum())
    assert hb.to_dialect(accelerated, "goodfellow")["momentum"] == accelerated.momentum
    with pytest.raises(ValueError, match="must have a constant momentum and lr in the torch dialect"):
        hb.to_dialect(accelerated, "torch")
    with pytest.raises(ValueError, match="must have a constant momentum in the keras dialect"):
        hb.to_dialect(accelerated, "keras")


def sgd_of_torch(torch, rates, momenta, *, nesterov=False, dampening=0.0):
    x = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.1, momentum=0.5, nesterov=nesterov, dampening=dampening)
    path = [START]
    for a, b in zip(rates, momenta, strict=True):
        optimizer.param_groups[0].update(lr=float(a), momentum=float(b))
        x.grad = torch.from_numpy(np.array(LOSS.gradient(x.detach().numpy())))
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return np.array(path)


@pytest.mark.parametrize(("nesterov", "dampening"), [(False, 0.0), (False, 0.3), (True, 0.0)])
def test_torch_makes_no_buffer_at_momentum_zero(nesterov, dampening):
    """The first gradient under a momentum fills torch's buffer whole, however late it comes."""
    torch = pytest.importorskip("torch")
    momenta = [hb.AcceleratedMomentum()(k) for k in range(STEPS)]
    assert momenta[:2] == [0, 0]
    expected = sgd_of_torch(torch, RATES, momenta, nesterov=nesterov, dampening=dampening)
    method = hb.from_dialect(
        "torch", lr=hb.Schedule(RATES), momentum=hb.AcceleratedMomentum(), nesterov=nesterov, dampening=dampening
    )
    assert_allclose(hb.iterate(method, LOSS, START, STEPS).position, expected, rtol=1e-11)


def test_torch_goes_on_with_an_old_buffer_after_momentum_zero():
    torch = pytest.importorskip("torch")
    momenta = np.where(np.arange(STEPS) % 5 == 3, 0.0, MOMENTA)
    arguments = {"lr": hb.Schedule(RATES), "momentum": hb.Schedule(momenta)}
    run = hb.iterate(hb.from_dialect("torch", nesterov=True, **arguments), LOSS, START, STEPS)
    assert_allclose(run.position, sgd_of_torch(torch, RATES, momenta, nesterov=True), rtol=1e-11)
    with pytest.raises(ValueError, match="`momentum` must not return from 0 in the torch dialect.* at step 4"):
        hb.iterate(hb.from_dialect("torch", **arguments), LOSS, START, STEPS)


@pytest.mark.parametrize("nesterov", [False, True])
def test_goes_on_from_a_buffer_in_the_middle_of_a_schedule(nesterov):
    torch = pytest.importorskip("torch")
    x = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.1, momentum=0.5, nesterov=nesterov)
    path = []
    for k in range(STEPS):
        if k == 7:
            buffer, there = optimizer.state[x]["momentum_buffer"].numpy().copy(), x.detach().numpy().copy()
        optimizer.param_groups[0].update(lr=float(RATES[k]), momentum=float(MOMENTA[k]))
        x.grad = torch.from_numpy(np.array(LOSS.gradient(x.detach().numpy())))
        optimizer.step()
        path.append(x.detach().numpy().copy())
    method = hb.from_dialect("torch", lr=hb.Schedule(RATES), momentum=hb.Schedule(MOMENTA), nesterov=nesterov)
    if nesterov:
        run = hb.iterate(method, LOSS, hb.BufferState(there, buffer), STEPS - 7, first_step=7)
    else:
        V = hb.from_buffer("torch", buffer, lr=RATES[6])
        run = hb.iterate(method, LOSS, there, STEPS - 7, velocity=V, first_step=7)
    assert_allclose(run.position[1:], path[7:], rtol=1e-11)


def test_a_warm_up_from_zero_is_refused_outside():
    """A buffer filled at lr = 0 is in no displacement; inside of the buffer there is nothing to fill."""
    warm_up = hb.Schedule([0.0, 0.1, 0.2])
    method = hb.from_dialect("torch", lr=warm_up, momentum=0.9)
    with pytest.raises(ValueError, match="`lr` must not rise from 0 .* Received 0.0 and 0.1 in the steps to 1"):
        hb.iterate(method, hb.Quadratic([1.0]), [1.0], 3)
    # A learning rate that ends at 0, and stays there, moves nothing, whatever the buffer holds.
    ending = 1e-3 * np.maximum(0.0, np.cos(np.linspace(0, np.pi, 20)))
    for dialect in ("torch", "ema"):
        method = hb.from_dialect(dialect, lr=hb.Schedule(ending), momentum=0.9)
        run = hb.iterate(method, LOSS, START, 20)
        assert_allclose(run.position, literal(dialect, ending, 0.9 * np.ones(20), nesterov=False), rtol=1e-11)
    run = hb.iterate(hb.from_dialect("keras", lr=warm_up, momentum=0.9), hb.Quadratic([1.0]), [1.0], 3)
    assert run.position[1, 0] == 1
    with pytest.raises(ValueError, match="`momentum` must be < 1 at the first step in the ema dialect"):
        hb.to_dialect(hb.HeavyBall(hb.Schedule([0.1]), 1.0), "ema")["lr"](0)


def test_batches_of_schedules():
    rates = np.stack([RATES, 0.5 * RATES[::-1]])
    method = hb.from_dialect("torch", lr=hb.Schedule(rates), momentum=np.array([0.5, 0.9]))
    run = hb.iterate(method, LOSS, START, STEPS)
    for i, momentum in enumerate((0.5, 0.9)):
        expected = literal("torch", rates[i], momentum * CONSTANT, nesterov=False)
        assert_allclose(run.position[i], expected, rtol=1e-11)
