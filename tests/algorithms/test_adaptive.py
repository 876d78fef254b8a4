"""Adaptive methods against torch.optim, and the contract that all of them keep."""

import dataclasses
import pickle

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import PositionState, Quadratic, Status, analyze_modes, iterate, rosenbrock, state_matrices
from heavyball_dynamics._batching import leaves
from heavyball_dynamics.algorithms.adam import Adam, AdamW, NAdam
from heavyball_dynamics.algorithms.adaptive import AdaDelta, AdaGrad, RMSProp

IN_TORCH = {RMSProp: "RMSprop", AdaGrad: "Adagrad", AdaDelta: "Adadelta", Adam: "Adam", AdamW: "AdamW", NAdam: "NAdam"}
LOSSES = {"rosenbrock": rosenbrock(), "quadratic": Quadratic([[3.0, 1.0], [1.0, 20.0]], [0.3, -0.2])}
STARTS = np.array([[-1.2, 1.0], [2.0, -1.5], [0.3, 0.4], [-0.7, 2.1], [1e3, -2e3]])
STEPS = 50

SETTINGS = [
    *((RMSProp, {"lr": 0.02, "centered": c, "momentum": m, "weight_decay": w, "alpha": a, "eps": e})
      for c in (False, True) for m in (0.0, 0.9) for w in (0.0, 0.1) for a, e in ((0.99, 1e-8), (0.9, 0.3))),
    *((AdaGrad, {"lr": 0.1, "lr_decay": d, "initial_accumulator_value": g, "weight_decay": w, "eps": e})
      for d in (0.0, 0.3) for g in (0.0, 2.0) for w in (0.0, 0.1) for e in (1e-10, 0.3)),
    *((AdaDelta, {"lr": lr, "rho": rho, "weight_decay": w, "eps": e})
      for lr, rho, e in ((1.0, 0.9, 1e-6), (0.5, 0.7, 1e-3), (0.1, 0.99, 0.1)) for w in (0.0, 0.1)),
    *((kind, {"lr": lr, "beta1": b1, "beta2": b2, "weight_decay": w, "amsgrad": a, "eps": e})
      for kind in (Adam, AdamW) for a in (False, True) for w in (0.0, 0.1)
      for lr, b1, b2, e in ((0.05, 0.9, 0.999, 1e-8), (0.1, 0.5, 0.8, 0.1), (0.01, 0.0, 0.9, 1e-8))),
    *((NAdam, {"lr": lr, "beta1": b1, "beta2": b2, "weight_decay": w, "decoupled_weight_decay": d, "momentum_decay": p})
      for d in (False, True) for w in (0.0, 0.1) for p in (0.0, 4e-3, 2.0)
      for lr, b1, b2 in ((0.05, 0.9, 0.999), (0.02, 0.7, 0.98))),
]  # fmt: skip
# One of each kind that keeps another state, with none of the numbers at its default.
TYPICAL = [
    RMSProp(0.02, 0.9, 1e-3, 0.1, 0.8), RMSProp(0.02, 0.9, 1e-3, 0.1, 0.8, centered=True),
    AdaGrad(0.1, 0.3, 0.1, 0.5, 1e-3), AdaDelta(2.0, 0.8, 1e-4, 0.1),
    Adam(0.05, 0.8, 0.95, 1e-3, 0.1), Adam(0.05, 0.8, 0.95, 1e-3, 0.1, amsgrad=True),
    AdamW(0.05, 0.8, 0.95, 1e-3, 0.1), AdamW(0.05, 0.8, 0.95, 1e-3, 0.1, amsgrad=True),
    NAdam(0.05, 0.8, 0.95, 1e-3, 0.1, 0.2), NAdam(0.05, 0.8, 0.95, 1e-3, 0.1, 0.2, decoupled_weight_decay=True),
]  # fmt: skip


def named(method):
    flags = [f.name for f in dataclasses.fields(method) if getattr(method, f.name) is True]
    return "-".join([type(method).__name__, *flags])


def numbers(method):
    """Fields that may be arrays."""
    return [f.name for f in dataclasses.fields(method) if not isinstance(f.default, bool)]


def in_torch(torch, kind, parameter, settings):
    settings = dict(settings)
    if "beta1" in settings:
        settings["betas"] = settings.pop("beta1"), settings.pop("beta2")
    return getattr(torch.optim, IN_TORCH[kind])([parameter], **settings)


@pytest.fixture
def torch():
    """torch with double precision everywhere: NAdam keeps the product of its momenta in the default precision."""
    module = pytest.importorskip("torch")
    before = module.get_default_dtype()
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(before)


def torch_run(torch, kind, settings, loss):
    """Run torch's optimizer on the gradients of our loss; every coordinate of every start is on its own there."""
    parameter = torch.nn.Parameter(torch.tensor(STARTS, dtype=torch.float64))
    optimizer = in_torch(torch, kind, parameter, settings)
    points = [STARTS]
    for _ in range(STEPS):
        parameter.grad = torch.tensor(loss.gradient(points[-1]), dtype=torch.float64)
        optimizer.step()
        points.append(parameter.detach().numpy().copy())
    return np.stack(points, axis=1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("kind", "settings"), SETTINGS, ids=[" ".join([kind.__name__, *map(str, s.values())]) for kind, s in SETTINGS]
)
def test_reproduces_the_iterates_of_torch(torch, kind, settings, loss):
    expected = torch_run(torch, kind, settings, LOSSES[loss])
    run = iterate(kind(**settings), LOSSES[loss], STARTS, STEPS)
    assert np.all(run.success)
    assert_allclose(run.position, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", IN_TORCH)
def test_defaults_are_those_of_torch(torch, kind):
    group = in_torch(torch, kind, torch.nn.Parameter(torch.zeros(1)), {}).param_groups[0]
    group["beta1"], group["beta2"] = group.get("betas", (None, None))
    method = kind()
    for field in dataclasses.fields(method):
        assert getattr(method, field.name) == group[field.name], field.name


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_runs_on_tensors(torch, method):
    class InTorch:
        def gradient(self, position):
            return position @ torch.tensor([[3.0, 1.0], [1.0, 20.0]]) + torch.tensor([0.3, -0.2])

    expected = iterate(method, LOSSES["quadratic"], STARTS, 10).position[:, -1]
    start = torch.tensor(STARTS)
    state = method.init(start, torch.zeros_like(start), InTorch())
    for k in range(10):
        state = method.step(k, state, InTorch())
    assert_allclose(state.position.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_every_batched_hyperparameter_equals_single_ones(method):
    for name in numbers(method):
        value = getattr(method, name)
        several = np.array([value, value / 2, value / 3])
        run = iterate(dataclasses.replace(method, **{name: several}), LOSSES["rosenbrock"], STARTS[:1], 20)
        for i in range(3):
            single = iterate(dataclasses.replace(method, **{name: several[i]}), LOSSES["rosenbrock"], STARTS[0], 20)
            assert_allclose(run.position[i], single.position, rtol=1e-12, atol=1e-13)


@given(
    method=st.sampled_from(TYPICAL), lr=st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=3),
    decay=st.lists(st.floats(0, 1), min_size=1, max_size=2),
)  # fmt: skip
def test_a_grid_is_all_its_elements(method, lr, decay):
    grid = dataclasses.replace(method, lr=np.array(lr)[:, None], weight_decay=np.array(decay))
    run = iterate(grid, LOSSES["quadratic"], STARTS[0], 5)
    assert run.position.shape == (len(lr), len(decay), 6, 2)
    for i, one in enumerate(lr):
        for j, other in enumerate(decay):
            single = dataclasses.replace(method, lr=one, weight_decay=other)
            assert_allclose(run.position[i, j], iterate(single, LOSSES["quadratic"], STARTS[0], 5).position, rtol=1e-12)


class Given:
    """An objective with a given gradient."""

    dim = 1

    def __init__(self, gradient):
        self._gradient = gradient

    def gradient(self, position):
        return self._gradient


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_symbols_pass_and_mean_the_same(method):
    """Two steps with symbols for everything, filled in afterwards, against two steps with numbers."""
    symbols = {name: sympy.Symbol(name, positive=True) for name in numbers(method)}
    rule = dataclasses.replace(method, **symbols)
    x, first, second = sympy.symbols("x g_0 g_1", real=True)
    state = rule.init(x, sympy.Integer(0), Given(first))
    state = rule.step(1, rule.step(0, state, Given(first)), Given(second))
    filled = {x: 0.7, first: -1.3, second: 0.4, **{symbols[name]: getattr(method, name) for name in symbols}}
    numeric = method.init(0.7, 0.0, Given(-1.3))
    numeric = method.step(1, method.step(0, numeric, Given(-1.3)), Given(0.4))
    assert type(state) is type(numeric)
    assert_allclose([float(part.subs(filled)) for part in state], np.array(numeric, dtype=float), rtol=1e-12)


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_arrays_of_symbols_pass(method):
    x = np.array(sympy.symbols("x y", real=True), dtype=object)
    gradient = np.array(sympy.symbols("g h", real=True), dtype=object)
    state = method.step(0, method.init(x, np.zeros(2), Given(gradient)), Given(gradient))
    assert state.position.shape == (2,)
    numeric = method.step(0, method.init(STARTS[0], np.zeros(2), Given(STARTS[1])), Given(STARTS[1]))
    filled = dict(zip((*x, *gradient), (*STARTS[0], *STARTS[1]), strict=True))
    assert_allclose([float(part.subs(filled)) for part in state.position], numeric.position, rtol=1e-12)


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_probing_says_that_they_are_not_linear(method):
    for study in (lambda: state_matrices(method, k=3), lambda: analyze_modes(method, [1.0], k=3)):
        with pytest.raises(ValueError, match=f"{type(method).__name__} is not linear in its state and gradient"):
            study()


def test_probing_knows_which_of_them_vary_in_time():
    for method in (Adam(), AdamW(amsgrad=True), NAdam(), AdaGrad(lr_decay=0.1), AdaGrad(lr_decay=[0.0, 0.1])):
        with pytest.raises(ValueError, match="varies in time: say at which step"):
            state_matrices(method)
    for method in (RMSProp(), RMSProp(centered=True), AdaGrad(), AdaDelta()):
        with pytest.raises(ValueError, match="is not linear"):
            state_matrices(method)


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_a_run_goes_on_from_its_state(method):
    loss = LOSSES["rosenbrock"]
    whole = iterate(method, loss, STARTS[:3], 20)
    head = iterate(method, loss, STARTS[:3], 8)
    tail = iterate(method, loss, head.state, 12, first_step=8)
    assert_array_equal(tail.position[:, -1], whole.position[:, -1])
    assert all(part.shape == (3, 2) for part in leaves(whole.state))
    with pytest.raises(ValueError, match=rf"must be a state of {type(method).__name__}"):
        iterate(method, loss, PositionState(STARTS[0]), 1)


class Broken(Quadratic):
    """A loss whose gradient is NaN beyond x = 5, and too large to be squared beyond x = 3."""

    def gradient(self, position):
        first = position[..., :1]
        return np.where(first > 5, np.nan, np.where(first > 3, 1e200, super().gradient(position)))


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_one_bad_state_is_found_and_harms_no_other(method):
    starts = np.array([[1.0, 1.0], [6.0, 1.0], [4.0, 1.0], [2.0, 1.0]])
    run = iterate(method, Broken([1.0, 2.0]), starts, 10)
    names = [Status(s).name for s in run.status]
    assert names == ["COMPLETED", "DIVERGED", "DIVERGED", "COMPLETED"]
    assert_array_equal(run.stop_time[1:3], [1.0, 1.0])
    for i in (0, 3):
        assert_array_equal(run.position[i], iterate(method, Quadratic([1.0, 2.0]), starts[i], 10).position)


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_equality_hash_and_pickle(method):
    same = dataclasses.replace(method)
    batched = dataclasses.replace(method, lr=[0.1, 0.2])
    assert same == method
    assert hash(same) == hash(method)
    assert method not in (batched, dataclasses.replace(method, lr=0.7))
    for one in (method, batched):
        copy = pickle.loads(pickle.dumps(one))
        assert copy == one
        assert hash(copy) == hash(one)
    assert not pickle.loads(pickle.dumps(batched)).lr.flags.writeable
    state = method.init(STARTS, 0 * STARTS, LOSSES["quadratic"])
    assert type(pickle.loads(pickle.dumps(state))) is type(state)
    # As functions of their numbers alone they differ from each other.
    assert sum(method == other for other in TYPICAL) == 1


VARYING = {"lr", "momentum", "beta1", "beta2"}


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_bad_hyperparameters_are_refused(method):
    kind = type(method)
    for name in numbers(method):
        if name != "momentum":
            with pytest.raises(ValueError, match=rf"`{name}` must be >= 0.*Received -0.1 at index \(1,\)"):
                kind(**{name: [0.5, -0.1]})
        with pytest.raises(ValueError, match=rf"`{name}` must be finite. Received nan"):
            kind(**{name: np.nan})
        if name not in VARYING:
            with pytest.raises(TypeError, match=rf"`{name}` .* callable"):
                kind(**{name: lambda k: 0.5})
    for name in {"alpha", "rho"} & set(numbers(method)):
        assert getattr(kind(**{name: 1.0}), name) == 1
        with pytest.raises(ValueError, match=rf"`{name}` must be >= 0 and <= 1. Received 1.1"):
            kind(**{name: 1.1})
    for name in {"beta1", "beta2"} & set(numbers(method)):
        assert getattr(kind(**{name: 0.0}), name) == 0
        with pytest.raises(ValueError, match=rf"`{name}` must be >= 0 and < 1. Received 1.0"):
            kind(**{name: 1.0})
        with pytest.raises(ValueError, match=rf"`{name}` must be >= 0 and < 1. Received 1.5"):
            kind(**{name: sympy.Rational(3, 2)})
    with pytest.raises(ValueError, match="batch axes"):
        kind(lr=np.ones(2), eps=np.ones(3))


@pytest.mark.parametrize(("kind", "name"), [
    (RMSProp, "centered"), (Adam, "amsgrad"), (AdamW, "amsgrad"), (NAdam, "decoupled_weight_decay"),
])  # fmt: skip
def test_flags_are_no_batch_axes(kind, name):
    for wrong in (1, [True, False], "yes"):
        with pytest.raises(TypeError, match=f"`{name}` must be True or False. Received"):
            kind(**{name: wrong})


SCALED = [
    RMSProp(0.05, eps=0.0, momentum=0.5), RMSProp(0.05, eps=0.0, alpha=0.5, centered=True), AdaGrad(0.3, eps=0.0),
    Adam(0.05, eps=0.0), Adam(0.05, eps=0.0, amsgrad=True), AdamW(0.05, eps=0.0), NAdam(0.05, eps=0.0),
]  # fmt: skip


@given(method=st.sampled_from(SCALED), power=st.integers(-40, 40))
def test_without_eps_the_scale_of_the_loss_does_not_matter(method, power):
    """Powers of two multiply without rounding, so that nothing at all may change."""
    scale = 2.0**power
    runs = [iterate(method, Quadratic(c * np.array([[3.0, 1.0], [1.0, 20.0]])), STARTS[:4], 30) for c in (1.0, scale)]
    assert_array_equal(runs[0].position, runs[1].position)


@pytest.mark.parametrize("method", TYPICAL, ids=named)
def test_mirror_images_have_mirrored_runs(method):
    ahead, back = (iterate(method, Quadratic([1.0, 9.0]), s * STARTS, 20).position for s in (1, -1))
    assert_array_equal(ahead, -back)


def slope(*gradient):
    return Quadratic(np.zeros(len(gradient)), gradient)


def test_rmsprop_has_the_terminal_velocity_of_the_heavy_ball():
    """Once v = g², momentum sums steps of length η: η(1 - β^k)/(1 - β)."""
    run = iterate(RMSProp(0.1, alpha=0.0, eps=0.0, momentum=0.9), slope(7.0, -0.01), [0.0, 0.0], 60)
    lengths = 0.1 * (1 - 0.9 ** np.arange(1, 61)) / 0.1
    assert_allclose(np.diff(run.position, axis=0), np.stack([-lengths, lengths], axis=1), rtol=1e-12)


def test_rmsprop_starts_with_a_displacement():
    """V_1 = βV_0 - ηg/√v, as for the heavy ball."""
    method, start, moved = RMSProp(0.1, momentum=0.9), np.array([1.0, -2.0]), np.array([0.3, -0.4])
    loss = LOSSES["quadratic"]
    runs = [iterate(method, loss, start, 1, velocity=velocity) for velocity in (moved, None)]
    assert_allclose(runs[0].position[-1] - runs[1].position[-1], 0.9 * moved, rtol=1e-14)
    with pytest.raises(ValueError, match="`velocity` must be 0 where lr is 0"):
        iterate(RMSProp(np.array([0.0, 0.1]), momentum=0.9), loss, start, 1, velocity=moved)
    assert iterate(RMSProp(0.0, momentum=0.9), loss, start, 3).success


@pytest.mark.parametrize("kind", [AdaGrad, AdaDelta, Adam, AdamW, NAdam])
def test_without_momentum_a_displacement_is_not_used(kind):
    runs = [iterate(kind(), LOSSES["quadratic"], STARTS, 3, velocity=v) for v in (None, np.ones(2))]
    assert_array_equal(runs[0].position, runs[1].position)


def test_centred_rmsprop_divides_by_the_standard_deviation():
    """The recursion of the variance against the difference v - m²."""
    alpha, gradients = 0.8, np.random.default_rng(3).normal(size=40)
    method, square, average = RMSProp(0.1, alpha, 1e-3, centered=True), 0.0, 0.0
    state = method.init(0.0, 0.0, Given(0.0))
    for k, g in enumerate(gradients):
        before, state = state, method.step(k, state, Given(g))
        square, average = alpha * square + (1 - alpha) * g**2, alpha * average + (1 - alpha) * g
        assert state.variance == pytest.approx(square - average**2, rel=1e-12)
        assert before.position - state.position == pytest.approx(
            0.1 * g / (np.sqrt(square - average**2) + 1e-3), rel=1e-11
        )


def test_centred_rmsprop_survives_a_constant_slope():
    """There the variance dies out; computed as a difference it turns negative, and the root NaN."""
    run = iterate(RMSProp(alpha=0.9, centered=True), slope(0.1, 3.3, 0.7), np.zeros(3), 1000)
    assert np.all(run.success)
    # As the deviation vanishes only ε is left.
    assert_allclose(-np.diff(run.position, axis=0)[-1], 0.01 * np.array([0.1, 3.3, 0.7]) / 1e-8, rtol=1e-6)


def test_adagrad_walks_down_a_slope_like_the_square_root_of_time():
    """Σ 1/√j from the zeta function, whatever the slope."""
    steps = 200
    run = iterate(AdaGrad(0.5, eps=0.0), slope(3.0, -0.02), [0.0, 0.0], steps)
    total = float(sympy.zeta(sympy.Rational(1, 2)) - sympy.zeta(sympy.Rational(1, 2), steps + 1))
    assert_allclose(run.position[-1], [-0.5 * total, 0.5 * total], rtol=1e-12)


def test_adagrad_starts_from_its_accumulator():
    run = iterate(AdaGrad(1.0, initial_accumulator_value=[0.0, 16.0], eps=0.0), slope(3.0), [0.0], 1)
    assert_array_equal(run.position[:, -1, 0], [-1.0, -0.6])


def test_adadelta_is_gradient_descent_where_nothing_is_averaged():
    run = iterate(AdaDelta(0.01, rho=1.0), LOSSES["quadratic"], STARTS, 20)
    point = STARTS
    for _ in range(20):
        point = point - 0.01 * LOSSES["quadratic"].gradient(point)
    assert_allclose(run.position[:, -1], point, rtol=1e-12)


def test_adadelta_without_eps_never_starts_but_goes_on():
    method, loss = AdaDelta(eps=0.0), LOSSES["quadratic"]
    assert_array_equal(iterate(method, loss, STARTS, 5).position[:, -1], STARTS)
    # Under way it has the unit of the position, so that the scale of the loss does not matter.
    moving = iterate(AdaDelta(), loss, STARTS, 5).state
    scaled = moving._replace(square_average=16 * moving.square_average)
    runs = [
        iterate(method, c, state, 20).position
        for c, state in ((loss, moving), (Quadratic([[12.0, 4.0], [4.0, 80.0]], [1.2, -0.8]), scaled))
    ]
    assert_array_equal(*runs)
