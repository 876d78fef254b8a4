"""Flows of the adaptive methods against closed forms, each other and their own equations in other coordinates."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.adam_flows import AdamFlow, AdamWFlow, SignFlow
from heavyball_dynamics.algorithms.adaptive_flows import AdaDeltaFlow, AdaGradFlow, RMSPropFlow

LOSS = hb.from_sympy("x**2/2 + x**4/10 + y**2 + y**3/20 + x*y/3", "x y")
START = np.array([2.0, 1.7])
SHORT = 0.4  # gradients keep their signs
SLOPE = hb.Quadratic([0.0, 0.0], linear=[-3.0, 0.5])
SLOPES = SLOPE.gradient(np.zeros(2))
TIGHT = {"rtol": 1e-12, "atol": 1e-14}

FLOWS = [
    AdamFlow(2.0, 0.5), AdamFlow(5.0, 3.0, weight_decay=0.2, amsgrad=True), AdamWFlow(2.0, 0.5, weight_decay=0.3),
    SignFlow(0.1), RMSPropFlow(), RMSPropFlow(from_zero=True), RMSPropFlow(eps=0.5, from_zero=True), AdaGradFlow(),
    AdaGradFlow(eps=0.0), AdaGradFlow(eps=0.1), AdaGradFlow(0.5), AdaDeltaFlow(1.0, 1e-2),
]  # fmt: skip
EXPLICIT = ["RK45", "DOP853"]
SMOOTH = [flow for flow in FLOWS if not getattr(flow, "amsgrad", False) and flow.eps > 0]


def ends(flow, solver="DOP853", **options):
    return hb.integrate(flow, LOSS, START, times=[0.0, SHORT / 2, SHORT], method=solver, **options)


@pytest.mark.parametrize("solver", EXPLICIT)
@pytest.mark.parametrize("flow", FLOWS, ids=repr)
def test_explicit_solvers_agree_with_a_tight_solution(flow, solver):
    assert_allclose(ends(flow, solver).position, ends(flow, **TIGHT).position, atol=1e-6)


@pytest.mark.parametrize("solver", ["Radau", "BDF", "LSODA"])
@pytest.mark.parametrize("flow", SMOOTH, ids=repr)
def test_implicit_solvers_agree_with_a_tight_solution(flow, solver):
    assert_allclose(ends(flow, solver).position, ends(flow, **TIGHT).position, atol=3e-6)


@pytest.mark.parametrize("flow", FLOWS, ids=repr)
def test_resumption(flow):
    whole = ends(flow, **TIGHT)
    first = hb.integrate(flow, LOSS, START, times=[0.0, SHORT / 2], **TIGHT)
    rest = hb.integrate(flow, LOSS, first.state, times=[SHORT / 2, SHORT], **TIGHT)
    assert_allclose(rest.position[-1], whole.position[-1], atol=1e-9)


@pytest.mark.parametrize("flow", FLOWS, ids=repr)
def test_batch_of_starts(flow):
    starts = np.array([[2.0, 1.7], [-2.0, 1.2], [3.0, -2.0]])
    run = hb.integrate(flow, LOSS, starts, times=[0.0, 0.2, SHORT], rtol=1e-9)
    for i in range(3):
        alone = hb.integrate(flow, LOSS, starts[i], times=[0.0, 0.2, SHORT], rtol=1e-9)
        assert_allclose(run.position[i], alone.position, atol=1e-7)
    assert pickle.loads(pickle.dumps(flow)) == flow


BATCHES = [
    (AdamFlow, {"gradient_rate": [1.0, 4.0], "square_rate": [[0.5], [2.0]], "weight_decay": [0.0, 0.3]}),
    (AdamWFlow, {"gradient_rate": [1.0, 4.0], "weight_decay": [[0.5], [2.0]]}),
    (RMSPropFlow, {"square_rate": [1.0, 4.0], "eps": [[0.5], [0.01]], "from_zero": True}),
    (AdaGradFlow, {"initial_accumulator_value": [0.0, 4.0], "eps": [[0.0], [0.1]]}),
    (AdaDeltaFlow, {"square_rate": [1.0, 4.0], "eps": [[0.5], [0.1]]}),
    (SignFlow, {"eps": [[0.1, 0.2], [0.3, 0.4]]}),
]


@pytest.mark.parametrize(("kind", "values"), BATCHES, ids=lambda v: getattr(v, "__name__", ""))
def test_batch_of_hyperparameters(kind, values):
    arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in values.items()}
    run = hb.integrate(kind(**arrays), LOSS, START, times=[0.0, SHORT], rtol=1e-9)
    for i, j in np.ndindex(2, 2):
        one = {
            name: float(np.broadcast_to(value, (2, 2))[i, j]) if isinstance(value, np.ndarray) else value
            for name, value in arrays.items()
        }
        alone = hb.integrate(kind(**one), LOSS, START, times=[0.0, SHORT], rtol=1e-9)
        assert_allclose(run.position[i, j], alone.position, atol=1e-7)


def test_adam_in_corrected_averages():
    """m̂' = a(g - m̂)/(1 - e^{-at}), v̂' = b(g² - v̂)/(1 - e^{-bt}): integrated from a small time, it is the same flow."""
    a, b, eps, begin = 2.0, 0.5, 1e-3, 1e-6
    flow = AdamFlow(a, b, eps)
    early = hb.integrate(flow, LOSS, START, times=[0.0, begin], **TIGHT).state

    def field(t, y):
        x, m, v = y.reshape(3, 2)
        g = LOSS.gradient(x)
        return np.concatenate([-m / (np.sqrt(v) + eps), a * (g - m) / -np.expm1(-a * t),
                               b * (g**2 - v) / -np.expm1(-b * t)])  # fmt: skip

    gradient = LOSS.gradient(START)
    assert_allclose(early.gradient_average / -np.expm1(-a * begin), gradient, rtol=1e-5)
    assert_allclose(early.square_average / -np.expm1(-b * begin), gradient**2, rtol=1e-5)
    begun = np.concatenate([early.position, early.gradient_average / -np.expm1(-a * begin),
                            early.square_average / -np.expm1(-b * begin)])  # fmt: skip
    known = solve_ivp(field, (begin, 0.9), begun, method="DOP853", rtol=1e-11, atol=1e-12).y[:2, -1]
    assert_allclose(hb.integrate(flow, LOSS, START, times=[0.0, 0.9], **TIGHT).position[-1], known, atol=1e-8)


@pytest.mark.parametrize("kind", [AdamFlow, AdamWFlow])
def test_adam_is_smooth_at_the_start(kind):
    """The field at t = 0 is its limit, -g/(|g| + ε) (with the decay), and solvers keep their order there."""
    flow = kind(2.0, 0.5, eps=0.1, weight_decay=0.3)
    run = hb.integrate(flow, LOSS, START, times=[0.0, 1e-4, 2e-4], **TIGHT)
    gradient = LOSS.gradient(START) + (0.3 * START if kind is AdamFlow else 0.0)
    decay = 0.0 if kind is AdamFlow else 0.3 * START
    assert_allclose(run.velocity[0], -gradient / (abs(gradient) + 0.1) - decay, rtol=1e-14)
    assert_allclose(run.velocity[1] - run.velocity[0], (run.velocity[2] - run.velocity[0]) / 2, rtol=1e-2)
    state = flow.init(START, np.zeros(2), LOSS)

    def field(t, y):
        return np.concatenate(list(flow.vector_field(t, type(state)(*y.reshape(3, 2)), LOSS)))

    errors = []
    for steps in (20, 40):
        h, y = 0.2 / steps, np.concatenate(list(state))
        for k in range(steps):
            t = k * h
            k1 = field(t, y)
            k2 = field(t + h / 2, y + h / 2 * k1)
            k3 = field(t + h / 2, y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + field(t + h, y + h * k3))
        errors.append(np.abs(y[:2] - hb.integrate(flow, LOSS, START, times=[0.0, 0.2], **TIGHT).position[-1]).max())
    assert np.log2(errors[0] / errors[1]) > 2.8


def test_adam_on_a_slope():
    """All averages of a constant gradient are it: the speed is |g|/(|g| + ε) for ever."""
    run = hb.integrate(AdamFlow(7.0, 0.3, eps=0.5), SLOPE, [0.0, 0.0], times=[0.0, 1.0, 4.0], **TIGHT)
    assert_allclose(run.position, -np.outer(run.time, SLOPES / (abs(SLOPES) + 0.5)), atol=1e-9)
    assert_allclose(run.state.square_average, SLOPES**2 * -np.expm1(-1.2), rtol=1e-9)


def test_amsgrad_keeps_the_largest_square():
    """Through a valley v rises, falls and rises again; the maximum follows the running supremum of v."""
    loss = hb.from_sympy("x - 3*cos(3*x)/10 - x**2/20", "x")
    flow = AdamFlow(1.0, 6.0, eps=0.5, amsgrad=True)
    times = np.linspace(0, 6, 301)
    run = hb.integrate(flow, loss, [0.5], times=times, rtol=1e-10, atol=1e-12)
    assert run.success
    parts, state = [], flow.init(np.array([0.5]), np.zeros(1), loss)
    for before, after in pairwise(times):
        state = hb.integrate(flow, loss, state, times=[before, after], rtol=1e-10, atol=1e-12).state
        parts.append([float(leaf[0]) for leaf in state])
    position, _, square, largest = np.array(parts).T
    assert_allclose(position, run.position[1:, 0], atol=1e-6)
    assert_allclose(np.maximum(largest, square), np.maximum.accumulate(square), atol=1e-3 * square.max())
    rising = np.diff(np.maximum(largest, square)) > 1e-9
    assert np.sum(np.diff(rising.astype(int)) == 1) >= 1
    plain = hb.integrate(AdamFlow(1.0, 6.0, eps=0.5), loss, [0.5], times=times)
    assert np.abs(plain.position - run.position).max() > 0.05


@pytest.mark.parametrize("b", [0.5, 3.0])
def test_rmsprop_from_zero_on_a_slope(b):
    """v = g²(1 - e^{-bt}), so the way is (2/b) artanh √(1 - e^{-bt}); the time of the run is τ = √t."""
    times = np.array([0.0, 1e-3, 0.5, 1.5])
    run = hb.integrate(RMSPropFlow(b, eps=0.0, from_zero=True), SLOPE, [0.0, 0.0], times=times, **TIGHT)
    way = 2 / b * np.arctanh(np.sqrt(-np.expm1(-b * times**2)))
    assert_allclose(run.position, -np.outer(way, np.sign(SLOPES)), atol=1e-9)
    assert_allclose(run.velocity[0], -2 * np.sign(SLOPES) / np.sqrt(b), rtol=1e-14)


@pytest.mark.parametrize("eps", [1e-3, 0.3])
def test_rmsprop_in_either_time(eps):
    """With ε > 0 the flow from v = 0 can be run in t as well; √t is the same flow, seen by another clock."""
    cold = RMSPropFlow(2.0, eps, from_zero=True)
    warm = RMSPropFlow(2.0, eps)
    state = warm.init(START, np.zeros(2), LOSS)._replace(square_average=np.zeros(2))
    plain = hb.integrate(warm, LOSS, state, times=[0.0, 0.25], rtol=1e-12, atol=1e-14)
    rooted = hb.integrate(cold, LOSS, START, times=[0.0, 0.5], rtol=1e-12, atol=1e-14)
    assert_allclose(plain.position[-1], rooted.position[-1], atol=1e-8)


def test_adagrad_in_either_time():
    """dθ/dt = -g/√Γ, dΓ/dt = g² from Γ_0 > 0, at t = τ²; from Γ_0 = 0 the limit is smooth in τ."""

    def field(t, y):
        x, total = y.reshape(2, 2)
        g = LOSS.gradient(x)
        return np.concatenate([-g / (np.sqrt(total) + 0.1), g**2])

    begun = np.concatenate([START, np.full(2, 0.5)])
    known = solve_ivp(field, (0, 0.16), begun, method="DOP853", rtol=1e-12, atol=1e-13).y[:2, -1]
    run = hb.integrate(AdaGradFlow(0.5, eps=0.1), LOSS, START, times=[0.0, 0.4], **TIGHT)
    assert_allclose(run.position[-1], known, atol=1e-10)
    small = hb.integrate(AdaGradFlow(eps=0.0), LOSS, START, times=[0.0, 1e-3, 2e-3], **TIGHT)
    assert_allclose(small.velocity[0], -2 * np.sign(LOSS.gradient(START)), rtol=1e-14)
    assert_allclose(small.velocity[2] - small.velocity[0], 2 * (small.velocity[1] - small.velocity[0]), rtol=1e-2)


def test_a_coordinate_that_feels_its_first_gradient_late():
    """Where g is 0 at first, Γ grows like a higher power of time; where it stays 0, the coordinate rests."""
    loss = hb.from_sympy("x**4/4 + (x - 1)*y/2 + z**2", "x y z")
    start, times = [1.0, 1.0, 0.0], [0.0, 1e-4, 0.2]
    for flow in (AdaGradFlow(eps=0.0), RMSPropFlow(eps=0.0, from_zero=True)):
        run = hb.integrate(flow, loss, start, times=times, **TIGHT)
        assert run.success
        rough = hb.integrate(flow, loss, start, times=times, method="RK45", rtol=1e-9, atol=1e-11)
        assert_allclose(rough.position, run.position, atol=1e-5)
        # g = -τ and Γ = τ⁴/2: the speed is 2√2 from the first moment on, where g = 0 seems to say rest.
        assert_allclose((run.position[1, 1] - 1) / 1e-4, 2 * np.sqrt(2), rtol=1e-3)
        assert np.all(run.position[:, 2] == 0)


def test_adadelta_against_its_equations():
    b, eps = 2.0, 0.05

    def field(t, y):
        x, v, u = y.reshape(3, 2)
        g = LOSS.gradient(x)
        delta = np.sqrt((u + eps) / (v + eps)) * g
        return np.concatenate([-delta, b * (g**2 - v), b * (delta**2 - u)])

    begun = np.concatenate([START, np.zeros(4)])
    known = solve_ivp(field, (0, 0.7), begun, method="DOP853", rtol=1e-12, atol=1e-13).y[:2, -1]
    run = hb.integrate(AdaDeltaFlow(b, eps), LOSS, START, times=[0.0, 0.7], **TIGHT)
    assert_allclose(run.position[-1], known, atol=1e-10)


METHODS = [
    (AdamFlow(2.0, 0.5, 0.1, 0.2), hb.Adam(0.1, 0.8, 0.95, 0.1, 0.2)),
    (AdamFlow(2.0, 0.5, 0.1, amsgrad=True), hb.Adam(0.1, 0.8, 0.95, 0.1, amsgrad=True)),
    (AdamWFlow(2.0, 0.5, 0.1, 0.2), hb.AdamW(0.1, 0.8, 0.95, 0.1, 0.2)),
    (RMSPropFlow(3.0, 0.1, 0.2), hb.RMSProp(0.1, 0.7, 0.1, 0.2)),
    (AdaGradFlow(3.0, 0.2, 0.1), hb.AdaGrad(0.1, 0.0, 0.2, 300.0, 1.0)),
    (AdaDeltaFlow(3.0, 0.1, 0.2), hb.AdaDelta(0.1, 0.7, 0.1, 0.2)),
]


@pytest.mark.parametrize(("flow", "method"), METHODS, ids=repr)
def test_method(flow, method):
    made = flow.method(0.1)
    assert type(made) is type(method)
    assert_allclose([*vars(made).values()], [*vars(method).values()], rtol=1e-12)


def test_defaults_are_those_of_the_methods():
    for flow, method in ((AdamFlow(), hb.Adam()), (AdamWFlow(), hb.AdamW()), (RMSPropFlow(), hb.RMSProp()),
                         (AdaDeltaFlow(), hb.AdaDelta())):  # fmt: skip
        assert_allclose([*vars(flow.method(method.lr)).values()], [*vars(method).values()], rtol=1e-12)


def test_symbols():
    t, x, m, v, a, b, e = sympy.symbols("t x m v a b e", positive=True)

    class Cubic:
        def gradient(self, position):
            return position**2

    flow = AdamFlow(a, b, e)
    field = flow.vector_field(t, type(flow.init(x, 0, Cubic()))(x, m, v), Cubic())
    wanted = -m / (1 - sympy.exp(-a * t)) / (sympy.sqrt(v / (1 - sympy.exp(-b * t))) + e)
    at = {t: 0.7, x: 1.3, m: 0.4, v: 0.9, a: 2.0, b: 0.5, e: 0.1}
    assert_allclose(float(field.position.subs(at)), float(wanted.subs(at)), rtol=1e-14)
    assert sympy.expand(field.square_average - b * (x**4 - v)) == 0


@pytest.mark.parametrize("flow", [AdamFlow(), AdamWFlow(amsgrad=True)], ids=repr)
@pytest.mark.parametrize("solver", ["DOP853", "Radau", "LSODA"])
def test_a_resumed_state_has_its_own_time(flow, solver):
    state = hb.integrate(flow, LOSS, START, times=[0.0, 0.1]).state
    with pytest.raises(ValueError, match=r"`gradient_average` must be 0 at t = 0.*times=\[t, ...\]"):
        hb.integrate(flow, LOSS, state, duration=1.0, method=solver)


@pytest.mark.parametrize("flow", [AdamFlow(), AdamWFlow(), RMSPropFlow(), AdaDeltaFlow(), AdaGradFlow()], ids=repr)
def test_lists_of_learning_rates_are_batches(flow):
    made = flow.method([1e-3, 1e-4])
    assert made == flow.method(np.array([1e-3, 1e-4]))
    assert_allclose(made.lr, [1e-3, 1e-4], rtol=0)



def test_errors():
    with pytest.raises(ValueError, match=r"`gradient_rate` must be > 0. Received 0.0"):
        AdamFlow(0.0)
    with pytest.raises(ValueError, match=r"`square_rate` must be > 0. Received -1.0 at index \(1,\)"):
        AdamWFlow(square_rate=np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match="`eps` must be >= 0"):
        AdamFlow(eps=-1e-8)
    with pytest.raises(TypeError, match="`amsgrad` must be True or False"):
        AdamFlow(amsgrad=1)
    with pytest.raises(TypeError, match="`from_zero` must be True or False"):
        RMSPropFlow(from_zero="yes")
    for kind in (SignFlow, AdaDeltaFlow):
        with pytest.raises(ValueError, match="`eps` must be > 0"):
            kind(eps=0.0)
    with pytest.raises(ValueError, match="`initial_accumulator_value` must be >= 0"):
        AdaGradFlow(-1.0)
    with pytest.raises(ValueError, match="must broadcast"):
        AdamFlow(np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"`lr \* gradient_rate` must be <= 1. Received 2.0"):
        AdamFlow().method(0.02)
    with pytest.raises(ValueError, match="`lr` must be > 0"):
        AdaGradFlow().method(0.0)
    for flow in (AdamFlow(), AdaGradFlow(), RMSPropFlow(from_zero=True)):
        with pytest.raises(ValueError, match="`times` must not be negative"):
            hb.integrate(flow, LOSS, START, times=[-1.0, 1.0])
        with pytest.raises(ValueError, match="not linear|varies in time"):
            hb.analyze_modes(flow, [1.0])
