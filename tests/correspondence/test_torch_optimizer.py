"""Hyperparameters and iterates against torch itself."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from heavyball_dynamics import (
    AdaDelta,
    AdaGrad,
    Adam,
    AdamW,
    DampenedHeavyBall,
    HeavyBall,
    NAdam,
    Nesterov,
    RMSProp,
    from_buffer,
    from_torch,
    iterate,
)


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


class SGD(SimpleNamespace):
    """Stands for torch.optim.SGD where torch is not needed."""


def group(**changes):
    return {"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": False, "weight_decay": 0, "maximize": False,
            **changes}


def torch_loss(p):
    x, y = p[0], p[1]
    return 0.5 * x**2 + 2 * y**2 + 0.25 * x**2 * y**2 - (x + y).cos()


def torch_run(torch, steps, start, buffer=None, **settings):
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], **settings)
    if buffer is not None:
        optimizer.state[parameter]["momentum_buffer"] = torch.tensor(buffer, dtype=torch.float64)
    points = [parameter.detach().numpy().copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        torch_loss(parameter).backward()
        optimizer.step()
        points.append(parameter.detach().numpy().copy())
    stored = optimizer.state[parameter].get("momentum_buffer")
    return optimizer, np.array(points), None if stored is None else stored.numpy()


def our_run(method, position, velocity, steps=STEPS, weight_decay=0.0):
    class Decayed(Valley):
        def gradient(self, p):
            return super().gradient(p) + weight_decay * p

    state = method.init(position, velocity, Decayed())
    states = [state]
    for k in range(steps):
        state = method.step(k, state, Decayed())
        states.append(state)
    return SimpleNamespace(
        position=np.array([s.position for s in states]), velocity=np.array([s.velocity for s in states])
    )


COMBINATIONS = [
    *({"momentum": m, "dampening": d, "nesterov": False} for m in (0.0, 0.5, 0.9, 0.99) for d in (0.0, 0.3, 1.0)),
    *({"momentum": m, "dampening": 0.0, "nesterov": True} for m in (0.5, 0.9, 0.99)),
]


@pytest.mark.parametrize("settings", COMBINATIONS, ids=str)
@pytest.mark.parametrize("buffer", [None, [0.4, -0.9]], ids=["fresh", "resumed"])
def test_reproduces_the_iterates_of_torch(settings, buffer):
    torch = pytest.importorskip("torch")
    lr, momentum = 0.04, settings["momentum"]
    optimizer, points, _ = torch_run(torch, STEPS, START, buffer, lr=lr, **settings)
    method = from_torch(optimizer)
    velocity = np.zeros(2) if buffer is None else from_buffer("torch", buffer, lr=lr)
    if settings["nesterov"]:
        trajectory = our_run(method, START - momentum * velocity, velocity)
        ours = method.look_ahead(trajectory)
    else:
        ours = our_run(method, START, velocity).position
    # The first step is exact where rounding allows it, the rest to the rounding that thirty steps gather.
    assert_allclose(ours[1], points[1], rtol=1e-15, atol=1e-15)
    assert_allclose(ours, points, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("settings", [s for s in COMBINATIONS if s["momentum"] > 0], ids=str)
def test_goes_on_where_torch_stopped(settings):
    torch = pytest.importorskip("torch")
    lr, momentum, stop = 0.04, settings["momentum"], 12
    _, head, buffer = torch_run(torch, stop, START, lr=lr, **settings)
    optimizer, whole, _ = torch_run(torch, STEPS, START, lr=lr, **settings)
    method, velocity = from_torch(optimizer), from_buffer("torch", buffer, lr=lr)
    start = head[-1] - momentum * velocity if settings["nesterov"] else head[-1]
    trajectory = our_run(method, start, velocity, STEPS - stop)
    ours = method.look_ahead(trajectory) if settings["nesterov"] else trajectory.position
    assert_allclose(ours, whole[stop:], rtol=1e-13, atol=1e-13)


def test_weight_decay_belongs_to_the_loss():
    torch = pytest.importorskip("torch")
    optimizer, points, _ = torch_run(torch, STEPS, START, lr=0.04, momentum=0.9, weight_decay=0.3)
    with pytest.warns(UserWarning, match="weight_decay=0.3 in parameter group 0 belongs to the loss") as caught:
        method = from_torch(optimizer)
    assert caught[0].filename == __file__
    assert_allclose(our_run(method, START, np.zeros(2), weight_decay=0.3).position, points, rtol=1e-13, atol=1e-13)


def test_reads_real_optimizers():
    torch = pytest.importorskip("torch")
    one, two = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    assert from_torch(torch.optim.SGD([one], lr=torch.tensor(0.5), momentum=0.5)) == HeavyBall(0.5, 0.5)
    assert from_torch(torch.optim.SGD([one], lr=0.5)) == HeavyBall(0.5, 0.0)
    several = torch.optim.SGD(
        [{"params": [one], "lr": 0.25}, {"params": [two], "momentum": 0.5, "dampening": 0.1}], lr=0.5, momentum=0.9
    )
    assert from_torch(several) == [HeavyBall(0.25, 0.9), DampenedHeavyBall(0.5, 0.5, 0.1)]
    for name in ("Adamax", "RAdam", "ASGD", "Rprop", "LBFGS", "SparseAdam"):
        with pytest.raises(TypeError, match=rf"must be one of torch.optim's SGD, .*, NAdam. Received a {name}, which"):
            from_torch(getattr(torch.optim, name)([one]))
    with pytest.raises(ValueError, match="maximize=True in parameter group 0. Negate the objective"):
        from_torch(torch.optim.SGD([one], lr=0.1, maximize=True))


def test_needs_no_torch():
    class Scheduled(SGD):
        """A subclass with the same step."""

    assert from_torch(SGD(param_groups=[group(nesterov=True)])) == Nesterov(0.1, 0.9)
    assert from_torch(Scheduled(param_groups=[group(), group(lr=0.2)])) == [HeavyBall(0.1, 0.9), HeavyBall(0.2, 0.9)]


def test_errors_say_what_was_received():
    with pytest.raises(TypeError, match="Received a dict without param_groups"):
        from_torch({})
    with pytest.raises(TypeError, match="Received a SGD without nesterov in group 1"):
        from_torch(SGD(param_groups=[group(), {"lr": 0.1, "momentum": 0.9, "dampening": 0.0}]))
    with pytest.raises(TypeError, match="Received a SimpleNamespace"):
        from_torch(SimpleNamespace(param_groups=[group()]))
    with pytest.warns(UserWarning, match="parameter group 1"):
        from_torch(SGD(param_groups=[group(), group(weight_decay=0.1)]))


# Settings away from the defaults, and what they are here.
ADAPTIVE = [
    ("RMSprop", {"lr": 0.03, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.2, "momentum": 0.6},
     RMSProp(0.03, 0.8, 1e-3, 0.2, 0.6)),
    ("RMSprop", {"lr": 0.02, "alpha": 0.7, "eps": 1e-2, "momentum": 0.4, "centered": True},
     RMSProp(0.02, 0.7, 1e-2, 0.0, 0.4, centered=True)),
    ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.2, "initial_accumulator_value": 0.5, "eps": 1e-3},
     AdaGrad(0.3, 0.1, 0.2, 0.5, 1e-3)),
    ("Adadelta", {"lr": 0.7, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.2}, AdaDelta(0.7, 0.8, 1e-3, 0.2)),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}, Adam(0.05, 0.8, 0.95, 1e-3, 0.2)),
    ("Adam", {"lr": 0.3, "betas": (0.5, 0.7), "eps": 1e-3, "weight_decay": 0.2, "amsgrad": True},
     Adam(0.3, 0.5, 0.7, 1e-3, 0.2, amsgrad=True)),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}, AdamW(0.05, 0.8, 0.95, 1e-3, 0.2)),
    ("AdamW", {"lr": 0.3, "betas": (0.5, 0.7), "weight_decay": 0.3, "amsgrad": True},
     AdamW(0.3, 0.5, 0.7, 1e-8, 0.3, amsgrad=True)),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2, "momentum_decay": 0.02},
     NAdam(0.05, 0.8, 0.95, 1e-3, 0.2, 0.02)),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.2, "decoupled_weight_decay": True},
     NAdam(0.05, 0.8, 0.95, 1e-8, 0.2, decoupled_weight_decay=True)),
]  # fmt: skip
adaptive = pytest.mark.parametrize(
    ("kind", "settings", "expected"), ADAPTIVE, ids=[f"{kind}-{i}" for i, (kind, _, _) in enumerate(ADAPTIVE)]
)


@pytest.fixture
def double():
    """torch in double precision everywhere: NAdam keeps the product of its momenta in the default precision."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@adaptive
def test_reproduces_the_iterates_of_adaptive_optimizers(double, kind, settings, expected):
    parameter = double.nn.Parameter(double.tensor(START))
    optimizer = getattr(double.optim, kind)([parameter], **settings)
    points = [START]
    for _ in range(20):
        optimizer.zero_grad()
        torch_loss(parameter).backward()
        optimizer.step()
        points.append(parameter.detach().numpy().copy())
    method = from_torch(optimizer)
    assert method == expected
    assert_allclose(iterate(method, Valley(), START, 20).position, points, rtol=1e-12, atol=1e-12)
    assert np.ptp(points, axis=0).min() > 0.03, "it must have moved for this to mean anything"


@pytest.mark.parametrize("kind", ["RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "NAdam"])
def test_defaults_and_tensors_are_read(kind):
    torch = pytest.importorskip("torch")
    here = {"RMSprop": RMSProp, "Adagrad": AdaGrad, "Adadelta": AdaDelta, "Adam": Adam, "AdamW": AdamW, "NAdam": NAdam}
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = getattr(torch.optim, kind)([parameter])
    assert from_torch(optimizer) == here[kind]()
    optimizer.param_groups[0]["lr"] = torch.tensor(0.125)
    optimizer.param_groups[0].update(foreach=True, capturable=True, differentiable=True, fused=True)
    assert from_torch(optimizer) == here[kind](lr=0.125)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5})
    assert from_torch(optimizer) == [here[kind](lr=0.125), here[kind](lr=0.5)]
    optimizer.param_groups[1]["maximize"] = True
    with pytest.raises(ValueError, match="maximize=True in parameter group 1. Negate the objective"):
        from_torch(optimizer)


def test_adam_with_decoupled_weight_decay_is_adamw():
    moments = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 0.0, "weight_decay": 0.25, "amsgrad": False}
    adam, adamw = (type(name, (SimpleNamespace,), {}) for name in ("Adam", "AdamW"))
    decoupled = AdamW(0.1, 0.5, 0.75, 0.0, 0.25)
    assert from_torch(adam(param_groups=[moments])) == Adam(0.1, 0.5, 0.75, 0.0, 0.25)
    assert from_torch(adam(param_groups=[{**moments, "decoupled_weight_decay": True}])) == decoupled
    assert from_torch(adamw(param_groups=[moments])) == decoupled, "as in torch 2.3, without the flag"
    # In newer versions AdamW descends from Adam.
    assert from_torch(type("AdamW", (adam,), {})(param_groups=[moments])) == decoupled


def test_errors_name_the_adaptive_optimizer():
    adam = type("Adam", (SimpleNamespace,), {})
    message = "must have lr, betas, eps, weight_decay, amsgrad .* as torch.optim.Adam does. .*without betas, amsgrad in"
    with pytest.raises(TypeError, match=message):
        from_torch(adam(param_groups=[{"lr": 0.1, "eps": 1e-8, "weight_decay": 0.0}]))
    group = {"lr": -0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
    with pytest.raises(ValueError, match="`lr` must be >= 0. Received -0.1"):
        from_torch(adam(param_groups=[group]))
