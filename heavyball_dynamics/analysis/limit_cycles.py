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
from heavyball_dynamics.analysis._odd_gradients import derivative, require_odd
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices
from heavyball_dynamics.analysis.margins import real_crossings

_PRECISION = 1e-10
_NUMBER = 257  # amplitudes looked at
_NUDGE = 1e-3
_FLAT = 1e-9  # curvatures this close, relatively, are the same


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
        If an amplitude is not positive, the gradient not odd, or what it returns not of the shape of the positions.
    TypeError
        If the gradient is neither a function nor an objective, or a function that does not take arrays.

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
    slope = derivative(gradient)
    if not size.size:
        return size
    require_odd(slope, float(size.max()))
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
    continuum : bool
        Whether the loss has a curvature of the boundary for a whole range of amplitudes, as a quadratic at the limit of
        stability: there every oscillation keeps itself up, and none of them is listed.

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
    continuum: bool = False

    def summary(self) -> str:
        """Return one line for each cycle."""
        unit = "steps" if self.discrete else "units of time"
        lines = [
            f"amplitude {a:.6g}, period {p:.6g} {unit}, {'attracts' if s else 'repels'}"
            for a, p, s in zip(self.amplitude, self.period, self.stable, strict=True)
        ]
        if self.continuum:
            lines.append("a continuum: over a range of amplitudes the curvature is that of the limit of stability")
        return "\n".join(lines) or "no cycle foretold"

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
    ends = real_array("amplitudes", amplitudes)
    if ends.shape != (2,) or not 0 < ends[0] < ends[1]:
        raise ValueError(f"`amplitudes` must be two numbers, 0 < low < high. Received {amplitudes!r}.")
    low, high = float(ends[0]), float(ends[1])
    slope = derivative(gradient)
    require_odd(slope, high)
    matrices = state_matrices(algorithm, k=k, t=t)
    _require_single(algorithm, matrices)
    grid = np.geomspace(low, high, _NUMBER)
    cycles: list[tuple[float, float, float, bool, bool]] = []
    continuum = False
    for bend, omega in _boundary(matrices):
        exact = matrices.discrete and omega == np.pi

        def curvature(amplitude: FloatArray, *, exact: bool = exact) -> FloatArray:
            size = np.asarray(amplitude)
            return np.asarray(slope(size) / size) if exact else _first_harmonic(slope, size)

        sizes, flat = _solve(curvature, bend, grid)
        continuum |= flat
        for size in sizes:
            around = curvature(size * np.array([1 - _NUDGE, 1 + _NUDGE]))
            inside, outside = _decays(matrices, around)
            cycles.append((size, omega, bend, bool(outside and not inside), exact))
    cycles.sort()
    columns = [np.array(column) for column in zip(*cycles, strict=True)] or [np.empty(0)] * 5
    amplitude, frequency, found, stable, known = columns
    return LimitCycles(amplitude, frequency, 2 * np.pi / frequency, found, stable.astype(bool), known.astype(bool),
                       matrices.discrete, continuum)  # fmt: skip


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


def _solve(
    curvature: Callable[[FloatArray], FloatArray], level: float, grid: FloatArray
) -> tuple[list[float], bool]:
    """Return the amplitudes at which the loss has that curvature, and whether it has it for a range of them."""
    values = curvature(grid) - level
    same = np.abs(values) <= _FLAT * level
    flat = np.zeros_like(same)
    flat[:-1] |= same[:-1] & same[1:]
    flat[1:] |= flat[:-1]
    values[flat] = np.nan  # no sign changes there
    change = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    found = list(grid[values == 0])
    if change.size:
        ends = grid[change], grid[change + 1]
        found += list(elementwise.find_root(lambda a: curvature(a) - level, ends).x)
    return [float(a) for a in found], bool(flat.any())


def _decays(matrices: StateMatrices, curvature: FloatArray) -> BoolArray:
    return np.asarray(np.min(matrices.spectrum(curvature, 0.0).conditions, axis=0) > 0)
