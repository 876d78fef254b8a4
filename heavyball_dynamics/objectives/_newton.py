"""The minimum of a logistic loss, or the reason why it has none."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.objectives.base import ObjectiveBase

_POLISHING_STEPS = 20
# A margin within this of zero, relative to its terms, is one of zero.
_ROUNDING = 1e-12
_SEPARABLE = (
    "`minimizer` does not exist: the classes are separable, so that without a ridge the loss falls for ever as the "
    "weights grow. Give `l2` > 0."
)


def minimize_logistic(loss: ObjectiveBase, signed_rows: FloatArray, ridge: float) -> FloatArray:
    """Return the minimizer of a logistic loss, (dim,).

    A trust region finds it and Newton steps polish it until the gradient stops shrinking, both in coordinates c in
    which the Hessian at the origin, X'X/(4N) + l2, is the identity: units and collinearity of the features then do not
    matter.

    Parameters
    ----------
    loss
        The objective.
    signed_rows : array (row, dim)
        Features times labels of ±1.
    ridge : float
        The l2 of the objective.

    Raises
    ------
    ValueError
        If the loss has no finite minimizer.
    """
    from scipy.optimize import minimize

    if ridge == 0 and _are_separable(signed_rows):
        raise ValueError(_SEPARABLE)
    _, singular, right = np.linalg.svd(signed_rows, full_matrices=False)
    kept = singular > max(signed_rows.shape) * np.finfo(np.float64).eps * np.max(singular)
    if not np.any(kept):
        return np.zeros(loss.dim)
    # Directions without data do not move from the origin: there the loss is constant, or the ridge alone acts.
    basis = right[kept].T / np.sqrt(singular[kept] ** 2 / (4 * len(signed_rows)) + ridge)

    def slope(c: FloatArray) -> FloatArray:
        return np.asarray(basis.T @ loss.gradient(basis @ c), dtype=np.float64)

    def curvature(c: FloatArray) -> FloatArray:
        return np.asarray(basis.T @ loss.hessian(basis @ c) @ basis, dtype=np.float64)

    found = minimize(  # type: ignore[call-overload]
        lambda c: float(loss.value(basis @ c)), np.zeros(basis.shape[1]), method="trust-exact", jac=slope,
        hess=curvature, options={"gtol": 1e-7, "max_trust_radius": 1e6},
    )  # fmt: skip
    best = np.asarray(found.x, dtype=np.float64)
    gradient = slope(best)
    for _ in range(_POLISHING_STEPS):
        candidate = best - np.linalg.solve(curvature(best), gradient)
        improved = slope(candidate)
        if not np.linalg.norm(improved) < np.linalg.norm(gradient):
            break
        best, gradient = candidate, improved
    minimizer = np.asarray(basis @ best, dtype=np.float64)
    if ridge == 0 and np.min(signed_rows @ minimizer) > 0:
        raise ValueError(_SEPARABLE)
    return minimizer


def _are_separable(signed_rows: FloatArray) -> bool:
    """Tell whether some w decides at least one sample and none of them wrongly.

    The largest sum of margins y x·w, each between 0 and 1, is a linear program whose answer is 0 for overlapping
    classes and at least 1 for separable ones (Albert and Anderson, "On the existence of maximum likelihood estimates in
    logistic regression models", Biometrika 71, 1984, theorems 1 and 2).
    """
    from scipy.optimize import linprog

    size = np.max(np.abs(signed_rows), axis=0)
    rows = signed_rows / np.where(size == 0, 1.0, size)
    constraints = np.vstack([rows, -rows])
    bounds = np.concatenate([np.ones(len(rows)), np.zeros(len(rows))])
    program = linprog(-rows.sum(axis=0), A_ub=constraints, b_ub=bounds, bounds=(None, None), method="highs")
    if program.x is None or program.fun is None or program.fun > -0.5:
        return False
    # The solver lets constraints slip by 1e-7, which would take a slight overlap for none.
    terms = np.abs(rows) @ np.abs(program.x)
    return bool(np.all(rows @ program.x >= -_ROUNDING * terms))
