"""The dampened heavy ball against a literal loop of its definition."""

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import DampenedHeavyBall, HeavyBall
from heavyball_dynamics._batching import append_axes
from heavyball_dynamics._probe import probe
from heavyball_dynamics._protocols import is_flow


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


def run(method, position, velocity, steps, objective):
    state = method.init(position, velocity, objective)
    points = [state.position]
    for k in range(steps):
        state = method.step(k, state, objective)
        points.append(state.position)
    return np.stack(points, axis=-2)


def literal(lr, momentum, dampening, position, buffer, steps):
    """torch's own words: the first buffer is the gradient itself."""
    points = [position]
    for _ in range(steps):
        gradient = Valley().gradient(position)
        if momentum == 0:
            buffer = gradient
        elif buffer is None:
            buffer = gradient.copy()
        else:
            buffer = momentum * buffer + (1 - dampening) * gradient
        position = position - lr * buffer
        points.append(position)
    return np.array(points)


@pytest.mark.parametrize("momentum", [0.0, 0.4, 0.9, -0.3])
@pytest.mark.parametrize("dampening", [0.25, 1.0, -0.5, 1.02])
@pytest.mark.parametrize("buffer", [None, np.array([0.3, -1.1])])
def test_follows_the_definition(momentum, dampening, buffer):
    lr = 0.03
    method = DampenedHeavyBall(lr, momentum, dampening)
    velocity = np.zeros(2) if buffer is None else -lr * buffer
    points = run(method, START, velocity, 30, Valley())
    assert_allclose(points, literal(lr, momentum, dampening, START, buffer, 30), rtol=1e-13, atol=1e-13)


def test_batch_elements_decide_for_themselves():
    """Fresh and resumed starts, with and without momentum, in one batch."""
    method = DampenedHeavyBall(0.03, np.array([0.0, 0.5, 0.9, 0.9]), np.array([0.5, 0.0, 0.3, 0.3]))
    velocity = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.1]])
    together = run(append_axes(method, 1), np.broadcast_to(START, (4, 2)), velocity, 10, Valley())
    for i in range(4):
        single = DampenedHeavyBall(0.03, method.momentum[i], method.dampening[i])
        assert_allclose(together[i], run(single, START, velocity[i], 10, Valley()), rtol=1e-14)


def test_a_fresh_start_in_some_coordinates_only_is_a_resumed_one():
    velocity = np.array([0.0, 0.1])
    state = DampenedHeavyBall(0.1, 0.9, 0.5).init(START, velocity, Valley())
    assert_array_equal(state.velocity, velocity)


def test_the_first_step_sees_the_gradient_of_step_zero():
    class Noisy(Valley):
        def __init__(self, shift=100.0):
            self.shift = shift

        def at(self, k):
            return Noisy(float(k))

        def gradient(self, p):
            return super().gradient(p) + self.shift

    objective = Noisy()
    method = DampenedHeavyBall(0.1, 0.9, 0.5)
    state = method.step(0, method.init(START, np.zeros(2), objective), objective.at(0))
    assert_allclose(state.velocity, -0.1 * Valley().gradient(START), rtol=1e-14)


def test_is_linear_and_constant_in_time_with_the_effective_learning_rate():
    momentum = np.array([0.0, 0.5, 0.9])
    method = DampenedHeavyBall(0.2, momentum, 0.25)
    assert_array_equal(method.effective_lr, 0.2 * np.array([1.0, 0.75, 0.75]))
    ours, plain = probe(method), probe(HeavyBall(method.effective_lr, momentum))
    for name in "ABCD":
        assert_array_equal(getattr(ours, name), getattr(plain, name))
    assert not is_flow(method)


def test_kinetic_energy_is_that_of_the_effective_method():
    state = HeavyBall(0.1, 0.5).init(START, np.array([0.3, 0.4]), Valley())
    assert_allclose(DampenedHeavyBall(0.1, 0.5, 0.5).kinetic_energy(state), [0.5 * 0.25 / (2 * 0.05)])


def test_symbols_pass():
    lr, momentum, dampening, x, g = sympy.symbols("lr beta d x g")

    class Given:
        dim = 1

        def at(self, k):
            return self

        def gradient(self, position):
            return g

    method = DampenedHeavyBall(lr, momentum, dampening)
    first = method.step(0, method.init(x, sympy.Integer(0), Given()), Given())
    assert sympy.simplify(first.position - (x - lr * g)) == 0
    assert method.init(x, sympy.Symbol("v"), Given()).velocity == sympy.Symbol("v")


def test_equality_and_errors():
    assert DampenedHeavyBall(0.1, [0.5, 0.9], 0.5) == DampenedHeavyBall(0.1, [0.5, 0.9], 0.5)
    assert DampenedHeavyBall(0.1, 0.5, 0.5) != HeavyBall(0.1, 0.5)
    with pytest.raises(ValueError, match=r"`lr` must be >= 0. Received -0.1"):
        DampenedHeavyBall(-0.1, 0.9, 0.5)
    with pytest.raises(ValueError, match=r"`dampening` must be finite. Received nan at index \(1,\)"):
        DampenedHeavyBall(0.1, 0.9, [0.0, np.nan])
    with pytest.raises(TypeError, match=r"`dampening` .* callable"):
        DampenedHeavyBall(0.1, 0.9, lambda k: 0.5)
