"""Characteristic polynomials and stability conditions as formulas, from rules called with SymPy symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._batching import leaves, rebuild
from heavyball_dynamics._probe import NotLinearError, TimeNeededError, UnsetTime, call, time_needed
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._schedule import at_step, has_schedules
from heavyball_dynamics.analysis._calling import POSITIVE, exact, symbolic_call, vector, with_symbols, without_floats
from heavyball_dynamics.analysis._inequalities import hurwitz_conditions, simplified

if TYPE_CHECKING:
    import sympy


class _Spring:
    """The loss ½λx², its positions scalar expressions or arrays of one."""

    dim = 1
    exact_hessian = True

    def __init__(self, curvature: Any) -> None:
        self._curvature = curvature

    def at(self, k: Any) -> _Spring:  # noqa: ARG002
        """Return itself."""
        return self

    def gradient(self, position: Any) -> Any:
        """Return λx."""
        return self._curvature * position

    def hessian(self, position: Any) -> Any:
        """Return λ."""
        return np.array([[self._curvature]], dtype=object) if isinstance(position, np.ndarray) else self._curvature

    def hessian_product(self, position: Any, direction: Any) -> Any:  # noqa: ARG002
        """Return λ times a vector."""
        return self._curvature * direction

    def proximal_point(self, position: Any, weight: Any) -> Any:
        """Return the y with y + wλy = x."""
        return position / (1 + weight * self._curvature)

    def value(self, position: Any) -> Any:  # noqa: ARG002
        """Refuse: a rule that looks at the value of the loss is not linear."""
        raise NotLinearError("it asks for the value of the loss")


def characteristic_polynomial(
    algorithm: Algorithm | type[Any], *, curvature: Any = None, k: Any = None, t: Any = None
) -> sympy.Poly:
    r"""Return the characteristic polynomial of an algorithm on a mode of curvature λ, as a formula.

    The rule itself is called with SymPy symbols as its state, on the loss ½λx².

    .. math:: p(z) = \det(z - A_\lambda), \qquad \text{for the heavy ball } z^2 - (1 + \beta - \eta\lambda)z + \beta

    Parameters
    ----------
    algorithm : Method or Flow, or its type
        Any linear rule, with symbols, numbers or both in its fields. A type stands for an instance in which every
        number is a symbol of its field's name: positive for ``lr``, ``mass``, ``dt`` and ``strong_convexity``, real for
        others; the ``flow`` of a scheme is a HeavyBallFlow of symbols.
    curvature : sympy.Expr or float, optional
        The curvature λ; by default the real symbol ``curvature``.
    k, t : int, float or sympy.Expr, optional
        Step (methods) or time (flows) at which a rule that varies in time is frozen.

    Returns
    -------
    sympy.Poly
        Monic, in ``z`` for methods and ``s`` for flows.

    Raises
    ------
    ValueError
        If the rule is not linear, varies in time and no time is given, or holds an array.
    TypeError
        If the rule cannot be called with symbols, or is given the other kind's time.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.characteristic_polynomial(hb.HeavyBall).as_expr()
    momentum + z**2 + z*(curvature*lr - momentum - 1)
    >>> hb.characteristic_polynomial(hb.HeavyBallFlow(mass=1.0, damping=2.0), curvature=5).as_expr()
    s**2 + 2*s + 5
    """
    import sympy

    rule = _formula(algorithm, k)
    flow = is_flow(rule)
    wrong = k if flow else t
    if wrong is not None:
        raise TypeError(f"A {'flow is frozen with t=, not k=' if flow else 'method is frozen with k=, not t='}. "
                        f"Received {wrong!r} for {algorithm!r}.")  # fmt: skip
    bend = sympy.Symbol("curvature", real=True) if curvature is None else sympy.sympify(curvature)
    if not isinstance(bend, sympy.Expr):
        raise TypeError(f"`curvature` must be one number or SymPy expression. Received {curvature!r}.")
    matrix = _loop(rule, _Spring(without_floats(bend)), t if flow else k)
    variable = sympy.Symbol("s" if flow else "z")
    if variable in matrix.free_symbols:
        raise ValueError(f"`algorithm` must not hold the symbol {variable}, the variable of the polynomial. "
                         f"Received {algorithm!r}.")  # fmt: skip
    coefficients = [sympy.factor(c) for c in matrix.charpoly(sympy.Dummy()).all_coeffs()]
    return sympy.Poly(coefficients, variable)


def _formula(algorithm: Any, k: Any) -> Any:
    """Return an instance of symbols and exact numbers, that of step k where schedules vary."""
    if "quadratic" in getattr(algorithm, "requires", ()):
        name = algorithm.__name__ if isinstance(algorithm, type) else type(algorithm).__name__
        raise TypeError(f"`algorithm` must be a formula. {name} works on the numbers of a quadratic: see "
                        "hb.analyze_modes.")  # fmt: skip
    if isinstance(algorithm, type):
        return with_symbols(algorithm)
    if has_schedules(algorithm):
        if k is None:
            raise time_needed(algorithm)
        algorithm = at_step(algorithm, k)
    return exact(algorithm)


def _loop(rule: Algorithm, spring: _Spring, time: Any) -> sympy.Matrix:
    """Return the matrix of the closed loop; scalars are tried first, then arrays for rules that reduce over axes."""
    try:
        return _matrix(rule, spring, time, array=False)
    except TypeError:
        return _matrix(rule, spring, time, array=True)
    except TimeNeededError:
        raise time_needed(rule) from None
    except NotLinearError as error:
        raise NotLinearError(f"{type(rule).__name__} is not linear in its state and gradient ({error}), so it has no "
                             f"characteristic polynomial. Received {rule!r}.") from None  # fmt: skip


def _matrix(rule: Algorithm, spring: Any, time: Any, *, array: bool) -> sympy.Matrix:
    import sympy

    def point(symbol: Any) -> Any:
        return np.array([symbol], dtype=object) if array else symbol

    now = UnsetTime() if time is None else time
    template = symbolic_call(rule, rule.init, *(point(sympy.Dummy(name, real=True)) for name in "xv"), spring)
    state = [sympy.Dummy(f"state{i}", real=True) for i in range(len(leaves(template)))]
    new = leaves(symbolic_call(rule, call, rule, now, rebuild(template, [point(symbol) for symbol in state]), spring))
    if len(new) != len(state):
        raise NotLinearError(f"one call returned {len(new)} of {len(state)} parts")
    parts = [vector(leaf, 1)[0] for leaf in new]
    try:
        matrix, rest = sympy.linear_eq_to_matrix(parts, state)
    except ValueError:  # NonlinearError, which SymPy keeps in a module of its solvers
        raise NotLinearError("its new state holds products or functions of the old one") from None
    if any(sympy.simplify(constant) != 0 for constant in rest):
        raise NotLinearError("it moves at rest with zero gradient")
    return matrix


def stability_conditions(
    algorithm: Algorithm | type[Any], *, curvature: Any = None, k: Any = None, t: Any = None
) -> tuple[Any, ...]:
    r"""Return the inequalities under which every pole of an algorithm decays, as formulas.

    For flows the conditions of Liénard and Chipart on p(s), for methods the same ones after z = (1+w)/(1-w), which are
    equivalent to Jury's. For the heavy ball: 0 < ηλ < 2(1 + β), β < 1.

    Parameters
    ----------
    algorithm, curvature, k, t
        As for `characteristic_polynomial`.

    Returns
    -------
    tuple of sympy relations
        Strict inequalities, together necessary and sufficient for |z| < 1 (flows: Re s < 0), where the learning rate,
        mass and time step are positive. What is positive by the assumptions on its symbols is divided out, and what
        follows from the other conditions at a glance is left out. Empty where everything is stable;
        ``(sympy.false,)`` where nothing is.

    Raises
    ------
    ValueError, TypeError
        As `characteristic_polynomial` does.

    References
    ----------
    Jury, "Theory and Application of the z-Transform Method", 1964; Liénard and Chipart, 1914, in Gantmacher, "The
    Theory of Matrices", volume 2, 1959, section XV.13.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> for condition in hb.stability_conditions(hb.HeavyBall):
    ...     print(condition)
    curvature > 0
    curvature*lr < 2*momentum + 2
    momentum < 1
    """
    rule = _formula(algorithm, k)
    polynomial = characteristic_polynomial(rule, curvature=curvature, k=k, t=t)
    coefficients = polynomial.all_coeffs()
    if polynomial.gen.name == "z":
        coefficients = _bilinear(coefficients)
    return simplified(hurwitz_conditions(coefficients), _positive_fields(rule))


def _positive_fields(rule: Any) -> list[sympy.Expr]:
    """Return learning rate, mass and time step of a rule, of its flow and of the optimizer that it is."""
    import sympy

    owners = [rule, getattr(rule, "flow", None), getattr(rule, "method", None)]
    values = [getattr(owner, name, None) for owner in owners for name in sorted(POSITIVE)]
    # What is known not to be positive (the convex kind's strong convexity is 0) can be no assumption.
    return [value for value in values if isinstance(value, sympy.Expr) and not value.is_nonpositive]


def _bilinear(coefficients: list[sympy.Expr]) -> list[sympy.Expr]:
    """Return (1-w)ⁿ p((1+w)/(1-w)): its zeros lie in the left half plane where those of p lie in the unit circle."""
    import sympy

    w = sympy.Dummy("w")
    degree = len(coefficients) - 1
    total = sum(c * sympy.Poly((1 + w) ** (degree - i), w) * sympy.Poly((1 - w) ** i, w)
                for i, c in enumerate(coefficients))  # fmt: skip
    found = sympy.Poly(total, w)
    # The leading coefficient p(-1) may vanish identically; then a pole sits at -1, and the condition reads 0 > 0.
    return [found.coeff_monomial(w**j) for j in range(degree, -1, -1)]
