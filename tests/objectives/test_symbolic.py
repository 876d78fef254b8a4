"""Losses from SymPy expressions, against SymPy's own evaluation."""

import pickle

import numpy as np
import pytest
import sympy

from heavyball_dynamics.objectives import SymbolicObjective, from_sympy

x, y, z = sympy.symbols("x y z")

EXPRESSIONS = [
    x**4 / 4 - x**2 / 2 + x * y**2 + z,
    sympy.exp(x * y) * sympy.sin(z) + sympy.log(1 + x**2 + z**2),
    sympy.sqrt(1 + (x - y) ** 2) + sympy.tanh(x * z) + sympy.erf(y),
    sympy.Integer(3),
    2 * x - y,
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_against_exact_evaluation(expression):
    loss = from_sympy(expression, (x, y, z))
    positions = np.random.default_rng(0).uniform(-1, 1, size=(4, 3))
    symbols = (x, y, z)
    for position, value, gradient, hessian in zip(
        positions, loss.value(positions), loss.gradient(positions), loss.hessian(positions), strict=True
    ):
        at = {s: sympy.Float(float(p), 40) for s, p in zip(symbols, position, strict=True)}
        assert value == pytest.approx(float(expression.subs(at).evalf(40)), rel=1e-13, abs=1e-14)
        for i, one in enumerate(symbols):
            assert gradient[i] == pytest.approx(float(expression.diff(one).subs(at)), rel=1e-13, abs=1e-13)
            for j, other in enumerate(symbols):
                assert hessian[i, j] == pytest.approx(float(expression.diff(one, other).subs(at)), rel=1e-12, abs=1e-13)


def test_constants_broadcast():
    loss = from_sympy("2*x - 3", "x y")
    positions = np.zeros((2, 3, 2))
    assert np.array_equal(loss.gradient(positions), np.broadcast_to([2.0, 0.0], (2, 3, 2)))
    assert np.array_equal(loss.hessian(positions), np.zeros((2, 3, 2, 2)))
    assert from_sympy(3, "x").value(np.zeros((4, 1))).tolist() == [3.0] * 4
    assert from_sympy("0", "x").value([1.0]).shape == ()


def test_gradients_keep_the_memory_order_of_positions():
    loss = from_sympy("x**2*y", "x y")
    assert loss.gradient(np.ones((50, 2), order="F")).flags.f_contiguous
    assert loss.gradient(np.ones((50, 2))).flags.c_contiguous


def test_the_order_of_symbols_is_that_of_coordinates():
    assert from_sympy("x + 2*y", "y x").gradient([0.0, 0.0]).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("symbols", ["x y", "x, y", (x, y), [x, y]])
def test_symbols_may_be_named(symbols):
    assert from_sympy(x * y, symbols) == from_sympy("x*y", (x, y))


def test_names_stand_for_the_symbols_of_the_expression():
    positive = sympy.Symbol("x", positive=True)
    loss = from_sympy(sympy.sqrt(positive**2), "x")
    assert loss.symbols == (positive,)
    assert from_sympy("x1**2 + x2*x3", "x1:4").dim == 3
    assert from_sympy(sympy.Symbol("q") ** 2, sympy.Symbol("q")).dim == 1
    # Names that SymPy knows as something else are coordinates here.
    assert from_sympy("S**2 + N*E + I", "S N E I").gradient([1.0, 2.0, 3.0, 4.0]).tolist() == [2.0, 3.0, 2.0, 1.0]


def test_names_that_are_no_identifiers():
    theta = sympy.symbols(r"\theta_1 \theta_2")
    assert from_sympy(theta[0] ** 2 * theta[1], theta).gradient([3.0, 2.0]).tolist() == [12.0, 9.0]
    # Names like those of common subexpressions do not collide with them.
    x0, x1 = sympy.symbols("x0 x1")
    loss = from_sympy((x0 + x1) ** 2 + sympy.sin(x0 + x1), (x0, x1))
    assert loss.value([0.25, 0.5]) == pytest.approx(0.5625 + np.sin(0.75), rel=1e-15)


def test_kinks_are_differentiated_as_of_real_coordinates():
    loss = from_sympy(sympy.Abs(x) + sympy.Max(y, 0) ** 2, (x, y))
    at = np.array([[2.0, 3.0], [-2.0, -3.0]])
    assert loss.gradient(at).tolist() == [[1.0, 6.0], [-1.0, 0.0]]
    assert loss.hessian(at).tolist() == [[[0.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]]
    assert loss.value(at).tolist() == [11.0, 2.0]
    three = from_sympy(sympy.Min(x, y, 1 - x), (x, y))
    assert three.value([[0.0, 2.0], [0.5, -1.0], [3.0, 0.0]]).tolist() == [0.0, -1.0, -2.0]
    pieces = from_sympy(sympy.Piecewise((x**2, x < 1), (2 * x - 1, True)), x)
    assert pieces.gradient([[0.5], [3.0]]).tolist() == [[1.0], [2.0]]


def test_unevaluated_parts_are_evaluated():
    k = sympy.Symbol("k")
    loss = from_sympy(sympy.Integral(k, (k, 0, x)) + sympy.Sum(k * x, (k, 1, 3)), x)
    assert loss.value([[2.0], [4.0]]).tolist() == [14.0, 32.0]
    assert loss.gradient([2.0]).tolist() == [8.0]


def test_pickles_by_its_expression():
    loss = from_sympy("(x - 1)**2*exp(y)", "x y", minimizer=[1.0, 0.0])
    fresh = pickle.dumps(loss)
    expected = loss.hessian([0.3, 0.4]), loss.gradient([0.3, 0.4]), loss.value([0.3, 0.4])
    assert pickle.dumps(loss) == fresh  # nothing compiled goes along
    copy = pickle.loads(fresh)
    assert copy == loss
    assert "_compiled_hessian" not in vars(copy)
    again = copy.hessian([0.3, 0.4]), copy.gradient([0.3, 0.4]), copy.value([0.3, 0.4])
    assert all(np.array_equal(one, other) for one, other in zip(again, expected, strict=True))


def test_equality_is_that_of_expressions():
    assert from_sympy(x**2 + y, (x, y)) == from_sympy(y + x**2, (x, y))
    assert from_sympy(x**2 + y, (x, y)) != from_sympy(x**2 + y, (y, x))
    assert from_sympy(x**2, x) != from_sympy(x**2, x, minimizer=[0.0])


def test_hessian_products_use_the_hessian():
    loss = from_sympy("x**3*y", "x y")
    assert loss.hessian_product([1.0, 2.0], [1.0, 1.0]).tolist() == [15.0, 3.0]
    assert loss.exact_hessian


def test_minimizer_and_window():
    loss = from_sympy("(x - 1)**2 + 5*(y + 2)**2", "x y", minimizer=[1, -2], window=[(0, 2), (-3, -1)])
    assert loss.spectrum.tolist() == [2.0, 10.0]
    assert loss.window == ((0.0, 2.0), (-3.0, -1.0))
    with pytest.raises(ValueError, match=r"gradient vanishes. Received \[1.0, 0.0\], where its norm is 20"):
        from_sympy("(x - 1)**2 + 5*(y + 2)**2", "x y", minimizer=[1, 0])
    with pytest.raises(ValueError, match=r"`minimizer` must have shape \(\*batch, 2\)"):
        from_sympy("x*y", "x y", minimizer=[0.0])
    # Rounding in steep losses is no error.
    steep = from_sympy("1e12*(x - 1/3)**2", "x", minimizer=[0.333333333333])
    assert steep.minimizer[0] == 0.333333333333


def test_unlisted_symbols_are_named():
    with pytest.raises(ValueError, match=r"listed symbols only \(x\). Received one with y, z as well"):
        from_sympy(x * y + z, x)


def test_an_imaginary_unit_is_refused():
    for complex_loss in (sympy.I * x, sympy.log(-2) * x, "x + I"):
        with pytest.raises(ValueError, match="`expression` must be real and finite"):
            from_sympy(complex_loss, "x")
    with pytest.raises(ValueError, match="real and finite"):
        from_sympy(x + sympy.oo, x)


def test_what_is_no_scalar_is_refused():
    with pytest.raises(ValueError, match=r"`expression` must be scalar, one loss.*of shape \(2, 1\)"):
        from_sympy(sympy.Matrix([x, y]), (x, y))
    with pytest.raises(ValueError, match="must be scalar"):
        from_sympy(sympy.Array([x, y]), (x, y))
    with pytest.raises(TypeError, match="`expression` must be a SymPy expression"):
        from_sympy((x, y), (x, y))
    with pytest.raises(TypeError, match="`expression` must be a SymPy expression"):
        from_sympy(x > 1, x)
    with pytest.raises(TypeError, match="`expression` must be a SymPy expression"):
        from_sympy("x, y", "x y")
    with pytest.raises(TypeError, match="`expression` must be a SymPy expression.*of type function"):
        from_sympy(lambda x: x, "x")


def test_strings_that_are_no_formula():
    with pytest.raises(ValueError, match=r"`expression` must be a formula that SymPy can read. Received 'x \+\* y'"):
        from_sympy("x +* y", "x y")


def test_undefined_functions_are_named():
    with pytest.raises(ValueError, match=r"known functions. Received one with g\(x\)"):
        from_sympy("g(x)**2", "x")


def test_bad_symbols():
    with pytest.raises(ValueError, match="`symbols` must be distinct. Received x twice, at index 2 again"):
        from_sympy(x + y, (x, y, x))
    with pytest.raises(ValueError, match="`symbols` must be distinct"):
        from_sympy("x", "x x")
    with pytest.raises(TypeError, match=r"`symbols` must hold SymPy symbols. Received 'y' of type str at index 1"):
        from_sympy("x", (x, "y"))
    with pytest.raises(TypeError, match="`symbols` must hold SymPy symbols"):
        from_sympy(x + 1, (x + 1,))
    with pytest.raises(ValueError, match="at least one coordinate"):
        from_sympy("1", ())


def test_the_class_checks_as_the_function_does():
    with pytest.raises(ValueError, match="listed symbols only"):
        SymbolicObjective(x * y, (x,))
    assert SymbolicObjective(x * y, [x, y]).symbols == (x, y)
