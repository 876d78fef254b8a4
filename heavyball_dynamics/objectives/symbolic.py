"""Losses written as one SymPy expression, from which value, gradient and Hessian follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics.objectives.base import ObjectiveBase, Window, checked_minimizer, checked_window

if TYPE_CHECKING:
    import sympy

Compiled = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class SymbolicObjective(ObjectiveBase):
    """A loss given by a SymPy expression; made by `from_sympy`.

    Value, gradient and Hessian are derived from the expression and compiled with common subexpressions when first
    called. It compares and pickles by its expression.

    Parameters
    ----------
    expression : sympy.Expr
        The loss, a scalar.
    symbols : tuple of sympy.Symbol
        Its coordinates, in order.
    minimizer : array (dim,), optional
        A point where the gradient vanishes.
    window : sequence of (low, high), optional
        A sensible range to draw, one pair per coordinate.

    Raises
    ------
    TypeError, ValueError
        As `from_sympy` does.
    """

    expression: sympy.Expr
    symbols: tuple[sympy.Symbol, ...]
    minimizer: FloatArray | None = None
    window: Window | None = None
    dim: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        symbols = tuple(self.symbols)
        _check_symbols(symbols)
        _check_expression(self.expression, symbols)
        self._set(symbols=symbols, dim=len(symbols))
        self._set(minimizer=checked_minimizer(self, self.minimizer), window=checked_window(self, self.window))

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the loss, (*batch,)."""
        x = self._positions(position)
        out = np.empty_like(x[..., 0])
        out[...] = self._compiled_value(*[x[..., i] for i in range(self.dim)])[0]
        return out

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, dim), in the memory order of the positions."""
        x = self._positions(position)
        out = np.empty_like(x)
        for i, entry in enumerate(self._compiled_gradient(*[x[..., i] for i in range(self.dim)])):
            out[..., i] = entry
        return out

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the Hessian, (*batch, dim, dim)."""
        x = self._positions(position)
        out = np.empty((*x.shape, self.dim))
        entries = self._compiled_hessian(*[x[..., i] for i in range(self.dim)])
        for (i, j), entry in zip(self._upper_triangle, entries, strict=True):
            out[..., i, j] = out[..., j, i] = entry
        return out

    @property
    def _upper_triangle(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(self.dim) for j in range(i, self.dim)]

    @cached_property
    def _real(self) -> tuple[tuple[sympy.Dummy, ...], sympy.Expr]:
        """Coordinates and loss in real symbols: SymPy's own are complex, and |x| then has no derivative."""
        import sympy

        reals = tuple(sympy.Dummy(symbol.name, real=True) for symbol in self.symbols)
        return reals, self.expression.xreplace(dict(zip(self.symbols, reals, strict=True))).doit()

    @cached_property
    def _slopes(self) -> list[sympy.Expr]:
        reals, loss = self._real
        return [_almost_everywhere(loss.diff(symbol)) for symbol in reals]

    @cached_property
    def _compiled_value(self) -> Compiled:
        reals, loss = self._real
        return _compile(reals, [loss])

    @cached_property
    def _compiled_gradient(self) -> Compiled:
        return _compile(self._real[0], self._slopes)

    @cached_property
    def _compiled_hessian(self) -> Compiled:
        reals = self._real[0]
        return _compile(reals, [_almost_everywhere(self._slopes[i].diff(reals[j])) for i, j in self._upper_triangle])


def from_sympy(
    expression: sympy.Expr | str, symbols: Sequence[sympy.Symbol] | sympy.Symbol | str, *,
    minimizer: ArrayLike | None = None, window: Sequence[Sequence[float]] | None = None,
) -> SymbolicObjective:  # fmt: skip
    """Make a loss from a SymPy expression.

    Parameters
    ----------
    expression : sympy.Expr or str
        The loss. A string is parsed by `sympy.sympify`, which evaluates it as code: pass none from strangers.
    symbols : sequence of sympy.Symbol, or str
        The coordinates in order, as symbols or by name, as in ``"x y"`` or ``"x1:4"`` (`sympy.symbols`).
    minimizer : array (dim,), optional
        A point where the gradient vanishes (checked), at which the loss may be linearized.
    window : sequence of (low, high), optional
        A sensible range to draw, one pair per coordinate.

    Returns
    -------
    SymbolicObjective

    Raises
    ------
    TypeError
        If the expression is not one, or a symbol is none.
    ValueError
        If the expression is not scalar or not real, has symbols that are not listed or functions that are not defined;
        if a symbol is listed twice; if the gradient does not vanish at the minimizer.

    Notes
    -----
    Coordinates are taken as real. At kinks the derivatives are those of one side or zero, as SymPy has them; the delta
    functions of second derivatives count as zero.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.from_sympy("x**4/4 - x**2/2 + x*y**2", "x y")
    >>> loss.gradient([1.0, 2.0])
    array([4., 4.])
    >>> loss.hessian([1.0, 2.0])
    array([[2., 4.],
           [4., 2.]])
    """
    import sympy

    known = {symbol.name: symbol for symbol in getattr(expression, "free_symbols", ())}
    if isinstance(symbols, str):
        # A name stands for the expression's own symbol, whatever was assumed of it.
        listed = tuple(known.get(symbol.name, symbol) for symbol in sympy.symbols(symbols, seq=True))
    else:
        listed = tuple(symbols) if isinstance(symbols, Iterable) else (symbols,)
    if isinstance(expression, str):
        _check_symbols(listed)
        try:
            expression = sympy.sympify(expression, locals={symbol.name: symbol for symbol in listed})
        except (sympy.SympifyError, SyntaxError, TypeError, AttributeError) as error:
            raise ValueError(
                f"`expression` must be a formula that SymPy can read. Received {expression!r}: {error}"
            ) from None
    elif isinstance(expression, (int, float)):
        expression = sympy.sympify(expression)
    return SymbolicObjective(expression, listed, minimizer, window)  # type: ignore[arg-type]


def _check_symbols(symbols: tuple[Any, ...]) -> None:
    if not symbols:
        raise ValueError("`symbols` must list at least one coordinate. Received none.")
    for index, symbol in enumerate(symbols):
        if not getattr(symbol, "is_Symbol", False):
            raise TypeError(
                f"`symbols` must hold SymPy symbols. Received {symbol!r} of type {type(symbol).__name__} at index "
                f"{index}. Names may be given as one string, 'x y'."
            )
        if symbol in symbols[:index]:
            raise ValueError(f"`symbols` must be distinct. Received {symbol} twice, at index {index} again.")


def _check_expression(expression: Any, symbols: tuple[Any, ...]) -> None:
    import sympy
    from sympy.core.function import AppliedUndef

    shape = getattr(expression, "shape", ())
    if shape != ():
        kind = type(expression).__name__
        raise ValueError(f"`expression` must be scalar, one loss. Received a {kind} of shape {shape}.")
    if not isinstance(expression, sympy.Expr):
        raise TypeError(
            f"`expression` must be a SymPy expression, one loss. Received {expression!r} of type "
            f"{type(expression).__name__}."
        )
    names = ", ".join(str(symbol) for symbol in symbols)
    unlisted = sorted(str(symbol) for symbol in expression.free_symbols - set(symbols))
    if unlisted:
        raise ValueError(
            f"`expression` must depend on the listed symbols only ({names}). Received one with {', '.join(unlisted)} "
            "as well. Put numbers in with expression.subs(...), or list them as coordinates."
        )
    unknown = sorted(str(function) for function in expression.atoms(AppliedUndef))
    if unknown:
        raise ValueError(f"`expression` must be built of known functions. Received one with {', '.join(unknown)}.")
    if expression.has(sympy.I, sympy.zoo, sympy.oo, -sympy.oo, sympy.nan):
        raise ValueError(
            f"`expression` must be real and finite. Received {expression}. Rewrite it without the imaginary unit, as "
            "with expression.rewrite(sympy.cos)."
        )


def _almost_everywhere(derivative: sympy.Expr) -> sympy.Expr:
    import sympy

    return derivative.replace(sympy.DiracDelta, lambda *_: sympy.Integer(0))


def _compile(symbols: tuple[sympy.Symbol, ...], expressions: list[sympy.Expr]) -> Compiled:
    import sympy

    # SymPy 1.13 prints Max and Min as a reduction that does not broadcast constants.
    written = [expression.replace(_is_extremum, _as_pieces) for expression in expressions]
    compiled: Compiled = sympy.lambdify(symbols, written, modules=["scipy", "numpy"], cse=True)
    return compiled


def _is_extremum(expression: sympy.Basic) -> bool:
    import sympy

    return isinstance(expression, (sympy.Max, sympy.Min))


def _as_pieces(extremum: sympy.Expr) -> sympy.Expr:
    import sympy

    return extremum.rewrite(sympy.Piecewise)
