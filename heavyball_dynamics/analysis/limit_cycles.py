"""The describing function: the curvature that a loss has for an oscillation, and the cycles that it foretells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import quad_vec
from scipy.optimize import elementwise

from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.analysis._frequency_search import completed
from heavyball_dynamics.analysis._loop_gain import curvature_response, frequency_grid
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices
from heavyball_dynamics.analysis.margins import real_crossings

_PRECISION = 1e-10
_NUMBER = 257  # amplitudes looked at
_NUDGE = 1e-3


def _derivative(gradient: Any) -> Callable[[FloatArray], FloatArray]:
    """Return f' of arrays of any shape, from an objective of one coordinate or a function."""
    if not hasattr(gradient, "gradient"):
        if not callable(gradient):
            raise TypeError(
                f"`gradient` must be a function of positions, or an objective of one coordinate. Received {gradient!r}."
            )
        return lambda x: np.asarray(gradient(x), dtype=float)
    if getattr(gradient, "dim", 1) != 1:
        raise ValueError(f"`gradient` must be of one coordinate. Received an objective of dim {gradient.dim}.")
    return lambda x: np.asarray(gradient.gradient(x[..., None]))[..., 0]


def _require_odd(slope: Callable[[FloatArray], FloatArray], largest: float) -> None:
    x = largest * np.linspace(0.0, 1.0, 101)
    up, down = slope(x), slope(-x)
    off = np.abs(up + down)
    if not np.all(off <= 1e-9 * (np.abs(up).max() + np.finfo(float).tiny)):
        worst = float(x[np.argmax(off)])
        raise ValueError(
            "`gradient` must be odd, f'(-x) = -f'(x): only then an oscillation has no offset. Received "
            f"{float(slope(np.array([worst]))[0])!r} at {worst:g} and {float(slope(np.array([-worst]))[0])!r} at "
            f"{-worst:g}. Put the centre of symmetry at 0."
        )


def describing_function(gradient: Any, amplitude: ArrayLike) -> Any:
    r"""Return the curvature that an odd gradient has for an oscillation of given amplitude.

    .. math:: N(A) = \frac{1}{\pi A}\int_0^{2\pi} f'(A\sin\theta)\sin\theta\,d\theta

    It is the ratio of the first harmonic of the gradient to the oscillation: λ on a quadratic, 3A²/4 on f' = x³.

    Parameters
    ----------
    gradient : callable or Objective
        f' of arrays, elementwise; or an objective of one coordinate. Odd.
    amplitude : float or array
        Amplitudes A > 0 in the unit of the position.

    Returns
    -------
    float or array
        N(A), of the shape of the amplitudes, in units of curvature.

    Raises
    ------
    ValueError
        If an amplitude is not positive, or the gradient not odd.
    TypeError
        If the gradient is neither a function nor an objective.

    Notes
    -----
    Integrated adaptively to about 1e-10 of the largest, kinks included. A function with memory has a describing
    function too, with an imaginary part; gradients have none.

    References
    ----------
    Gelb and Vander Velde, "Multiple-Input Describing Functions and Nonlinear System Design", 1968, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.describing_function(lambda x: x**3, [1.0, 2.0]).round(12)
    array([0.75, 3.  ])

    A gradient clipped at 1, of slope 1 inside:

    >>> round(hb.describing_function(lambda x: np.clip(x, -1.0, 1.0), 2.0), 9)
    0.608997781
    """
    size = real_array("amplitude", amplitude)
    require("amplitude", size, size > 0, "> 0")
    slope = _derivative(gradient)
    if not size.size:
        return size
    _require_odd(slope, float(size.max()))
    found = _first_harmonic(slope, size)
    return float(found) if found.ndim == 0 else found


def _first_harmonic(slope: Callable[[FloatArray], FloatArray], amplitude: FloatArray) -> FloatArray:
    def integrand(theta: float) -> FloatArray:
        return np.asarray(slope(amplitude * np.sin(theta)) * np.sin(theta) / amplitude)

    # A quarter of the period is enough for an odd function.
    quarter, _ = quad_vec(integrand, 0.0, 0.5 * np.pi, epsabs=0.0, epsrel=_PRECISION, norm="max", limit=20_000)
    return np.asarray(4 / np.pi * quarter)


@dataclass(frozen=True)
class LimitCycles:
    """Oscillations that a rule may keep up on a loss; every array is (cycle,), the smallest amplitude first.

    Attributes
    ----------
    amplitude : array
        Of the point where the gradient is asked for.
    frequency : array
        ω in radians per step or unit time; π is an alternation between two points.
    period : array
        2π/ω, in steps or time.
    curvature : array
        The curvature N(A) that the loss has for such an oscillation, at which the loop is on the boundary.
    stable : array of bool
        Whether a larger oscillation shrinks and a smaller one grows.
    exact : array of bool
        True for alternations between x and -x, which are cycles indeed; others are what the first harmonic foretells.
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> print(hb.predict_cycles(hb.HeavyBall(lr=1.0, momentum=0.5), lambda x: x + 4 * np.clip(x, -1, 1)))
    amplitude 2, period 2 steps, attracts
    """

    amplitude: FloatArray
    frequency: FloatArray
    period: FloatArray
    curvature: FloatArray
    stable: BoolArray
    exact: BoolArray
    discrete: bool

    def summary(self) -> str:
        """Return one line for each cycle."""
        if not self.amplitude.size:
            return "no cycle foretold"
        unit = "steps" if self.discrete else "units of time"
        return "\n".join(
            f"amplitude {a:.6g}, period {p:.6g} {unit}, {'attracts' if s else 'repels'}"
            for a, p, s in zip(self.amplitude, self.period, self.stable, strict=True)
        )

    def __str__(self) -> str:
        return self.summary()


def predict_cycles(
    algorithm: Algorithm, gradient: Any, *, amplitudes: tuple[float, float] = (1e-3, 1e3), k: int | None = None,
    t: float | None = None,
) -> LimitCycles:
    r"""Return the cycles that the describing function foretells, by harmonic balance.

    .. math:: N(A)\,\frac{L(i\omega)}{\lambda} = -1

    An oscillation keeps itself up if the loss has, for its amplitude, a curvature at which a pole of the rule is on the
    boundary of stability, at the frequency of that pole. For the alternation of a method between x and -x the balance
    is exact, with N(A) = f'(A)/A.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule with scalar hyperparameters that asks for one gradient a step.
    gradient : callable or Objective
        f' of arrays, odd; or an objective of one coordinate.
    amplitudes : (float, float)
        Between which amplitudes to look.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    LimitCycles

    Raises
    ------
    ValueError
        If the rule is not linear, holds arrays, asks for no or several gradients, the gradient is not odd, or the
        amplitudes are not in order.

    Notes
    -----
    Stability is judged by Loeb's rule: the loop with the curvature of a slightly larger amplitude must decay, of a
    slightly smaller one grow. The first harmonic is good where the rule filters the higher ones out. Cycles of odd
    period, as of ``LessardCounterexample``, are not symmetric and not among these; `find_cycle` solves for any.

    References
    ----------
    Gelb and Vander Velde 1968, chapters 3 and 9; Loeb, "Recent advances in nonlinear servo theory", Trans. ASME
    76, 1954.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.predict_cycles(hb.HeavyBall(lr=1.0, momentum=0.5), lambda x: x**3)
    >>> found.amplitude, found.stable
    (array([1.73205081]), array([False]))
    """
    low, high = (float(one) for one in real_array("amplitudes", amplitudes))
    if not 0 < low < high:
        raise ValueError(f"`amplitudes` must be two numbers, 0 < low < high. Received {amplitudes!r}.")
    slope = _derivative(gradient)
    _require_odd(slope, high)
    matrices = state_matrices(algorithm, k=k, t=t)
    _require_single(algorithm, matrices)
    grid = np.geomspace(low, high, _NUMBER)
    cycles: list[tuple[float, float, float, bool, bool]] = []
    for bend, omega in _boundary(matrices):
        exact = matrices.discrete and omega == np.pi

        def curvature(amplitude: FloatArray, *, exact: bool = exact) -> FloatArray:
            size = np.asarray(amplitude)
            return np.asarray(slope(size) / size) if exact else _first_harmonic(slope, size)

        for size in _solve(curvature, bend, grid):
            around = curvature(size * np.array([1 - _NUDGE, 1 + _NUDGE]))
            inside, outside = _decays(matrices, around)
            cycles.append((size, omega, bend, bool(outside and not inside), exact))
    cycles.sort()
    columns = [np.array(column) for column in zip(*cycles, strict=True)] or [np.empty(0)] * 5
    amplitude, frequency, found, stable, known = columns
    return LimitCycles(amplitude, frequency, 2 * np.pi / frequency, found, stable.astype(bool), known.astype(bool),
                       matrices.discrete)  # fmt: skip


def _require_single(algorithm: Algorithm, matrices: StateMatrices) -> None:
    if matrices.A.ndim > 2:
        raise ValueError(
            f"`algorithm` must have scalar hyperparameters. Received {algorithm!r} with array-valued ones."
        )
    if matrices.B.shape[-1] != 1:
        raise ValueError(
            f"`algorithm` must ask for one gradient a step. Received {algorithm!r}, which asks for "
            f"{matrices.B.shape[-1]}."
        )


def _boundary(matrices: StateMatrices) -> list[tuple[float, float]]:
    """Return all positive curvatures at which a pole is on the boundary, but for z = 1, with its ω."""
    for reference in (1.0, np.e, 0.1, 10.0):
        response = curvature_response(matrices, np.array([reference]))
        try:
            _, nu, factor = real_crossings(response, completed(response, frequency_grid(response)))
            break
        except np.linalg.LinAlgError:
            continue  # a pole happens to be on the boundary at this very curvature
    bend, omega = reference * factor[:, 0], response.omega(nu)
    kept = (bend > 0) & np.isfinite(bend) & (nu > 0)
    return [(float(b), float(w)) for b, w in zip(bend[kept], omega[kept], strict=True)]


def _solve(curvature: Callable[[FloatArray], FloatArray], level: float, grid: FloatArray) -> list[float]:
    """Return the amplitudes at which the loss has that curvature."""
    values = curvature(grid) - level
    change = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    found = list(grid[values == 0])
    if change.size:
        ends = grid[change], grid[change + 1]
        found += list(elementwise.find_root(lambda a: curvature(a) - level, ends).x)
    return [float(a) for a in found]


def _decays(matrices: StateMatrices, curvature: FloatArray) -> BoolArray:
    return np.asarray(np.min(matrices.spectrum(curvature, 0.0).conditions, axis=0) > 0)
