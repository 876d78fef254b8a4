"""The search for the smallest certified rate: one small semidefinite program a rate, solved by Clarabel.

Two changes of variables keep the numbers within reach of double precision near the smallest rate, where P is unbounded
in some directions. The gradient is u = μy + w, so that the block of P alone is a Lyapunov inequality of the loop at the
curvature μ, in the basis of its Schur form; and states are measured by the P found last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import schur
from scipy.sparse import csc_matrix

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis._certificate_check import Candidate, Loop, proven

_TOP = 1 - 1e-9  # the largest rate that is tried
_FIRST = (1 / 16, 1 / 4, 1 / 2)  # the next ones, as shares of the way from 1 to the rate on quadratics
_SOLVED = 1e-10  # the solver's tolerance
_ROUNDS = 6  # of bisection, each in the scales that the one before has found


def solver() -> Any:
    """Return the module clarabel, or say how to install it."""
    try:
        import clarabel
    except ImportError:
        raise ImportError(
            'hb.certify needs the package clarabel: pip install "heavyball_dynamics[certify]"'
        ) from None
    return clarabel


class Shifted(NamedTuple):
    """The loop with its filters in the variables w = u/L - my, m = μ/L: z⁺ = Az + Bw, y = Cz + Dw, ζ = Hz.

    States are z = basis⁻¹ (x, ζ), with ζ⁺ = u/L - y.
    """

    A: FloatArray
    B: FloatArray
    C: FloatArray
    D: FloatArray
    H: FloatArray
    share: float
    basis: FloatArray


def shifted(loop: Loop, *, memory: bool) -> Shifted:
    """Return a loop closed by its smallest curvature, in the basis of its Schur form."""
    m, (states, gradients) = loop.low / loop.high, loop.B.shape
    B, D = loop.B * loop.high, loop.D * loop.high
    through = np.linalg.inv(np.eye(gradients) - m * D)
    C, D = through @ loop.C, through @ D
    A, B = loop.A + m * B @ C, B @ (np.eye(gradients) + m * D)
    filters = gradients if memory else 0
    A = np.block([[A, np.zeros((states, filters))], [-(1 - m) * C[:filters], np.zeros((filters, filters))]])
    B = np.vstack([B, (np.eye(gradients) - (1 - m) * D)[:filters]])
    triangular, basis = schur(A)
    C = np.hstack([C, np.zeros((gradients, filters))]) @ basis
    return Shifted(triangular, basis.T @ B, C, D, basis[states:], m, basis)


def smallest_rate(loop: Loop, lower: float, tolerance: float, *, memory: bool) -> Candidate | None:
    """Return the smallest rate that is proved, to `tolerance`, given one below which none can be.

    Parameters
    ----------
    loop : Loop
    lower : float
        The rate on quadratics.
    tolerance : float
    memory : bool
        Whether gradients of consecutive steps are compared, by filters, or each one taken for itself.
    """
    system = shifted(loop, memory=memory)
    scale = np.eye(len(system.A))
    best = None
    for rate in (_TOP, *(1 - (1 - lower) * np.array(_FIRST))):
        best, scale = attempt(loop, system, scale, rate)
        if best is not None:
            break
    if best is None:
        return None
    for _ in range(_ROUNDS):
        start, low = best.rate, min(lower, best.rate)
        while best.rate - low > tolerance:
            middle = 0.5 * (low + best.rate)
            found, scale = attempt(loop, system, scale, middle)
            low, best = (middle, best) if found is None else (low, found)
        if best.rate - lower <= tolerance or start - best.rate <= 2 * tolerance:
            break
    return best


def attempt(loop: Loop, system: Shifted, before: FloatArray, rate: float) -> tuple[Candidate | None, FloatArray]:
    """Return what proves a rate, or None, and the scales of the states for the next attempt."""
    P, weights = _solve(system, before, rate)
    scale = before
    try:
        triangle = np.linalg.cholesky(P)
        states = len(loop.A)
        root = triangle.T @ np.linalg.inv(system.basis @ scale)
        root[:, states:] /= loop.high  # filters in the units of a gradient
        norm = np.linalg.norm(root, 2)
        scale = scale @ np.linalg.inv(triangle).T
    except np.linalg.LinAlgError:
        return None, before
    found = Candidate(float(rate), root / norm, weights / (norm * loop.high) ** 2)
    if proven(loop, found) is None:
        return None, before
    return found, scale / np.abs(scale).max()


def _solve(system: Shifted, scale: FloatArray, rate: float) -> tuple[FloatArray, FloatArray]:
    r"""Return P and multipliers (gradient, constraint) with the largest margin t.

    .. math:: P \succeq tI, \qquad M(P, \lambda) \preceq -tI, \qquad \lambda \ge 0,
              \mathrm{tr} P + \sum_i \lambda_i = 1
    """
    clarabel = solver()
    weighed, flows, constraints = _blocks(system, scale, rate)
    sizes = np.sqrt(np.sum(constraints**2, axis=(-2, -1)))
    constraints = constraints / sizes[:, None, None]
    unknown, multipliers = len(weighed), len(constraints)
    traces = np.trace(weighed, axis1=1, axis2=2)
    rows = [
        np.concatenate([traces, np.ones(multipliers), [0.0]])[None],
        np.hstack([np.zeros((multipliers, unknown)), -np.eye(multipliers), np.zeros((multipliers, 1))]),
        _triangles([*-weighed, *np.zeros((multipliers, *weighed.shape[1:])), np.eye(weighed.shape[-1])]),
        _triangles([*flows, *constraints, np.eye(flows.shape[-1])]),
    ]
    matrix = np.concatenate(rows)
    right, goal = np.zeros(len(matrix)), np.zeros(matrix.shape[1])
    right[0], goal[-1] = 1.0, -1.0
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(multipliers)]
    cones += [clarabel.PSDTriangleConeT(weighed.shape[-1]), clarabel.PSDTriangleConeT(flows.shape[-1])]
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = _SOLVED
    nothing = csc_matrix((len(goal), len(goal)))
    answer = np.array(clarabel.DefaultSolver(nothing, goal, csc_matrix(matrix), right, cones, settings).solve().x)
    P = np.tensordot(answer[:unknown], weighed, axes=1)
    weights = np.maximum(answer[unknown:-1], 0.0) / sizes
    return P, weights.reshape(system.B.shape[1], -1)


def _blocks(system: Shifted, scale: FloatArray, rate: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a basis of the symmetric matrices, what each adds to the inequality, and what each constraint does."""
    size, gradients = system.B.shape
    inverse = np.linalg.inv(scale)
    after = np.hstack([inverse @ system.A @ scale, inverse @ system.B])
    now = np.eye(size, size + gradients)
    query = np.hstack([system.C @ scale, system.D])
    excess = np.eye(size + gradients)[size:]
    past = np.hstack([system.H @ scale, np.zeros((len(system.H), gradients))])
    constraints = []
    for j in range(gradients):
        side = (1 - system.share) * query[j] - excess[j]
        sides = [side, side + rate**2 * past[j]] if len(past) else [side]
        constraints += [np.outer(each, excess[j]) + np.outer(excess[j], each) for each in sides]
    first, second = np.triu_indices(size)
    weighed = np.zeros((len(first), size, size))
    which = np.arange(len(first))
    weighed[which, first, second] = weighed[which, second, first] = 1.0
    return weighed, after.T @ weighed @ after - rate**2 * now.T @ weighed @ now, np.array(constraints)


def _triangles(matrices: list[FloatArray]) -> FloatArray:
    """Return symmetric matrices as columns: their upper triangles, column by column, isometrically."""
    stacked = np.array(matrices)
    column, row = np.tril_indices(stacked.shape[-1])
    return np.asarray((stacked[:, row, column] * np.where(row == column, 1.0, np.sqrt(2.0))).T)
