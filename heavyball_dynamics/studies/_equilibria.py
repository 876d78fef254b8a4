"""Equilibria of a planar flow: where they are, and of which kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.differentiate import jacobian
from scipy.optimize import root

from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis._spectra import Spectra
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.modes import analyze_modes
from heavyball_dynamics.studies._plane import Plane, sign_cells

_SAME = 1e-6  # equilibria closer than this, in half widths of the window, are one
_ROUNDING = 1e-7  # what numerical differences leave of a derivative that is zero, relative to the others
_RTOL = 1e-9
_LINE = 3  # more degenerate equilibria than this are taken as points of one line


@dataclass(frozen=True)
class Equilibria:
    """Equilibria of a planar flow; every array has one entry an equilibrium."""

    point: FloatArray  # (equilibrium, 2)
    jacobian: FloatArray  # (equilibrium, 2, 2)
    eigenvalues: ComplexArray  # (equilibrium, 2)
    damping: IntArray
    kind: tuple[str, ...]

    def directions(self, *, stable: bool) -> tuple[FloatArray, FloatArray]:
        """Return the saddles and the unit vectors of their (un)stable lines, (saddle, 2) each."""
        saddles = [i for i, kind in enumerate(self.kind) if kind == "saddle"]
        vectors = []
        for i in saddles:
            values, lines = np.linalg.eig(self.jacobian[i])
            vectors.append(lines[:, np.argmin(values.real) if stable else np.argmax(values.real)].real)
        return self.point[saddles], np.array(vectors).reshape(-1, 2)


def find_equilibria(plane: Plane, limits: FloatArray, axes: list[FloatArray], field: FloatArray) -> Equilibria:
    """Return the equilibria in the window, from the signs of the field (row, column, 2) on a grid."""
    half = 0.5 * (limits[:, 1] - limits[:, 0])
    rows, columns = sign_cells(field)
    x, y = axes
    middles = 0.5 * (x[columns] + x[columns + 1]), 0.5 * (y[rows] + y[rows + 1])
    guesses = list(np.stack(middles, axis=-1))
    known = getattr(plane.objective, "minimizer", None)
    if known is not None and plane.objective.dim == 2:
        guesses.insert(0, np.asarray(known))
    elif known is not None:
        guesses.insert(0, np.array([float(known[0]), 0.0]))
    found: list[FloatArray] = []
    for guess in guesses:
        point = _polish(plane, guess, half)
        inside = point is not None and bool(np.all(np.abs(point - limits.mean(axis=1)) <= half * (1 + _SAME)))
        if inside and all(np.max(np.abs(point - other) / half) > _SAME for other in found):  # type: ignore[operator]
            found.append(point)  # type: ignore[arg-type]
    points = np.array(found).reshape(-1, 2)
    points = points[np.lexsort((points[:, 1], points[:, 0].round(9)))]
    matrices = _jacobians(plane, points, half)
    keep = _thin_lines(points, matrices, limits.mean(axis=1))
    return _classify(plane, points[keep], matrices[keep], line=len(keep) < len(points))


def find_resting_places(plane: Plane, limits: FloatArray, axes: list[FloatArray]) -> Equilibria:
    """Return the equilibria of a flow under friction of a power below 1, from the same flow without friction.

    Both rest where the loss is stationary, and only there if the power is above 0; dry friction holds a body wherever
    the gradient is no larger than its coefficient, so that a point stands for the interval around it. Their
    eigenvalues are those without friction: with it the field has no linearization.
    """
    free = replace(plane, flow=replace(plane.flow, friction=None))  # type: ignore[type-var]
    found = find_equilibria(free, limits, axes, free.field(np.stack(np.meshgrid(*axes), axis=-1)))
    dry = plane.flow.friction.power == 0  # type: ignore[attr-defined]
    marginal = np.full_like(found.damping, int(DampingClass.MARGINAL))
    return replace(found, damping=marginal, kind=("sticking" if dry else "creeping",) * len(found.kind))


def _polish(plane: Plane, guess: FloatArray, half: FloatArray) -> FloatArray | None:
    """Return the zero of the field near `guess`, or None where the solver finds none nearby."""

    def scaled(u: FloatArray) -> FloatArray:
        return plane.field(guess + half * u) / half

    with np.errstate(all="ignore"):
        if not np.any(scaled(np.zeros(2))):
            return guess
        answer = root(scaled, np.zeros(2), tol=1e-14)
        size = np.linalg.norm(scaled(np.array([[0.05, 0.02], [-0.05, 0.02], [0.02, -0.05], [-0.02, 0.05]])), axis=-1)
        residual = float(np.linalg.norm(answer.fun))
        # Not `success`: at this tolerance rounding often keeps the solver from declaring it.
        if not (residual <= 1e-9 * np.nanmax(size) and np.linalg.norm(answer.x) < 0.5):
            return None
    point = guess + half * answer.x
    return np.where(np.abs(point) < 1e-12 * half, 0.0, point)


def _jacobians(plane: Plane, points: FloatArray, half: FloatArray) -> FloatArray:
    """Return the Jacobian of the field at each point, (equilibrium, 2, 2), by central differences."""
    if not len(points):
        return np.empty((0, 2, 2))

    def field(x: FloatArray) -> FloatArray:
        return np.moveaxis(plane.field(np.moveaxis(x, 0, -1)), -1, 0)

    found = jacobian(field, points.T, initial_step=0.05 * half[:, None], order=8)
    return np.moveaxis(np.asarray(found.df), -1, 0)


def _thin_lines(points: FloatArray, matrices: FloatArray, centre: FloatArray) -> IntArray:
    """Return the indices to keep: of the many equilibria found along a line, the one nearest to the centre."""
    size = np.linalg.norm(matrices, axis=(-2, -1)) ** 2
    flat = np.flatnonzero(np.abs(np.linalg.det(matrices)) <= _ROUNDING * size)
    if len(flat) <= _LINE:
        return np.arange(len(points))
    nearest = flat[np.argmin(np.linalg.norm(points[flat] - centre, axis=-1))]
    return np.setdiff1d(np.arange(len(points)), np.setdiff1d(flat, nearest))


def _classify(plane: Plane, points: FloatArray, matrices: FloatArray, *, line: bool) -> Equilibria:
    values = np.empty((len(points), 2), dtype=complex)
    damping = np.empty(len(points), dtype=np.int64)
    for i, (point, matrix) in enumerate(zip(points, matrices, strict=True)):
        values[i], damping[i] = _modes_of_rule(plane, point) or _modes_of_matrix(matrix)
    kind = tuple(_kind(value, int(which), line=line) for value, which in zip(values, damping, strict=True))
    return Equilibria(points, matrices, values, damping, kind)


def _modes_of_rule(plane: Plane, point: FloatArray) -> tuple[ComplexArray, int] | None:
    """Return eigenvalues and class from the rule and the curvatures: exact where differences are not."""
    if not getattr(plane.objective, "exact_hessian", False):
        return None
    curvature = np.linalg.eigvalsh(plane.objective.hessian(point[: plane.objective.dim]))
    try:
        modes = analyze_modes(plane.flow, curvature, rtol=_RTOL)
    except (ValueError, TypeError):
        return None  # the rule is not linear in state and gradient
    slowest = int(np.argmax(modes.log_rate))
    return modes.poles.reshape(2), int(modes.damping[slowest])


def _modes_of_matrix(matrix: FloatArray) -> tuple[ComplexArray, int]:
    trace, determinant = float(np.trace(matrix)), float(np.linalg.det(matrix))
    size = float(np.linalg.norm(matrix))
    # A centre or a flat direction must not turn into something else by what differences leave behind.
    trace = 0.0 if abs(trace) <= _ROUNDING * size else trace
    determinant = 0.0 if abs(determinant) <= _ROUNDING * size**2 else determinant
    gap = trace**2 - 4 * determinant
    gap = 0.0 if abs(gap) <= _ROUNDING * size**2 else gap
    half = 0.5 * np.sqrt(complex(gap))
    values = np.array([0.5 * trace + half, 0.5 * trace - half])
    spectrum = Spectra(values[None, :], discrete=False, rtol=_RTOL)
    return spectrum.poles[0], int(spectrum.damping[0])


def _kind(values: ComplexArray, damping: int, *, line: bool) -> str:
    """Name an equilibrium after its two eigenvalues and its class."""
    real = np.sort(values.real)
    spiral = np.any(values.imag != 0)
    if damping == DampingClass.UNDAMPED:
        return "centre"
    if damping == DampingClass.MARGINAL or np.any(values == 0):
        return "non-isolated" if line else "degenerate"
    if real[0] < 0 < real[1] and not spiral:
        return "saddle"
    if damping == DampingClass.CRITICAL:
        return "critical node"
    return f"{'stable' if real[1] < 0 else 'unstable'} {'focus' if spiral else 'node'}"
