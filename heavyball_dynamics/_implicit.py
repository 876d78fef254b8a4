"""Implicit steps: backward along the gradient, from the point where the step ends.

The one nonlinear equation of every implicit rule is d + w ∇f(p + d) = 0. It is solved by Newton's method with the
Hessian of the loss (LAPACK solves the linear systems of a whole batch), and by MINPACK where that does not converge.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._types import BoolArray, FloatArray

_ITERATIONS = 60
_HALVINGS = 20
_QUADRATIC = 1e-8  # after a Newton step this small, relatively, the next one would be lost in rounding
_ROUNDING = float(np.finfo(np.float64).eps)


def proximal_step(objective: ObjectiveLike, position: Any, weight: Any) -> Any:
    r"""Return the step d that goes down the gradient found at its end.

    .. math:: d = -w\nabla f(p + d), \qquad p + d = \operatorname{prox}_{wf}(p) \text{ for convex } f

    A rule that is implicit in the gradient calls it in the place of ``objective.gradient``; it then runs, linearizes
    and is derived like every other rule. On an affine gradient, as a probe has it, it is one exact linear solve.

    Parameters
    ----------
    objective : objective
        The loss, with an analytic Hessian. If it offers ``proximal_step(position, weight)``, which returns d, or
        ``proximal_point(position, weight)``, which returns p + d, that is asked instead.
    position : array (*batch, dim)
        The point p.
    weight : float or array (*batch, 1)
        The weight w, in units of position² / loss.

    Returns
    -------
    array (*batch, dim)
        The step; NaN where no solution was found.

    Raises
    ------
    TypeError
        If the objective has no analytic Hessian.

    References
    ----------
    Parikh and Boyd, "Proximal algorithms", 2014, section 1.1; Moré, Garbow, Hillstrom, "User guide for MINPACK-1",
    1980 (hybrj), through `scipy.optimize.root`.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> hb.proximal_step(hb.Quadratic([1.0]), np.array([3.0]), 0.5)
    array([-1.])
    >>> p = np.array([[2.0], [10.0]])
    >>> x = p + hb.proximal_step(hb.from_sympy("x**4/4", "x"), p, 1.0)
    >>> (x + x**3).round(12)
    array([[ 2.],
           [10.]])
    """
    exactly = getattr(objective, "proximal_step", None)
    if exactly is not None:
        return exactly(position, weight)  # a small step would be lost in the difference of two points
    own = getattr(objective, "proximal_point", None)
    if own is not None:
        return own(position, weight) - position
    require_hessian(objective)
    p, w = np.asarray(position, dtype=np.float64), np.asarray(weight, dtype=np.float64)
    if w.ndim and w.shape[-1] != 1:
        raise ValueError(
            f"`weight` must be a number or have shape (*batch, 1). Received shape {w.shape}: write w[:, None]."
        )
    batch = np.broadcast_shapes(p.shape[:-1], w.shape[:-1])
    p, w = np.broadcast_to(p, (*batch, p.shape[-1])), np.broadcast_to(w, (*batch, 1))
    if getattr(objective, "constant_hessian", False):
        return _newton_step(objective, p, w, w * objective.gradient(p))
    return _solve(objective, p, w)


def require_hessian(objective: ObjectiveLike) -> None:
    """Raise TypeError unless the objective has an analytic Hessian."""
    if not getattr(objective, "exact_hessian", hasattr(objective, "hessian")):
        raise TypeError(
            f"`objective` must have an analytic Hessian for an implicit step. Received {objective!r}. "
            "Give hb.Objective a hessian=, or write the loss with hb.from_sympy."
        )


def _newton_step(objective: ObjectiveLike, x: FloatArray, w: FloatArray, residual: FloatArray) -> FloatArray:
    matrix = np.eye(x.shape[-1]) + w[..., None] * objective.hessian(x)
    try:
        return -np.linalg.solve(matrix, residual[..., None])[..., 0]
    except np.linalg.LinAlgError:
        # One singular matrix would take the whole batch with it; its element is left to MINPACK.
        regular = np.abs(np.linalg.det(matrix)) > 0
        safe = np.where(regular[..., None, None], matrix, np.eye(x.shape[-1]))
        return np.where(regular[..., None], -np.linalg.solve(safe, residual[..., None])[..., 0], np.nan)


def _size(vector: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vector, vector)))


def _solve(objective: ObjectiveLike, p: FloatArray, w: FloatArray) -> FloatArray:
    """Newton's method for the whole batch; damped for what is left of it, and MINPACK for the rest."""
    possible = np.asarray(np.isfinite(p).all(axis=-1))
    d = np.where(possible[..., None], 0.0 * p, np.nan)
    d, converged = _newton(objective, p, w, d, possible, halvings=0)
    left = possible & ~converged
    if left.any():
        d, again = _newton(objective, p, w, np.where(left[..., None], 0.0, d), left, halvings=_HALVINGS)
        by_element = getattr(objective, "by_element", False)
        for index in map(tuple, np.argwhere(left & ~again)):
            alone = _Element(objective, p.shape[:-1], index) if by_element else objective
            d[index] = _minpack(alone, p[index], w[index])
    return d


class _Element:
    """One element of a batch of losses that differ by their place in the batch, as a loss of single positions."""

    def __init__(self, objective: ObjectiveLike, batch: tuple[int, ...], index: tuple[int, ...]) -> None:
        self._objective, self._batch, self._index = objective, batch, index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def _of(self, function: Any, position: FloatArray) -> Any:
        return function(np.broadcast_to(position, (*self._batch, len(position))))[self._index]

    def value(self, position: FloatArray) -> Any:
        return self._of(self._objective.value, position)

    def gradient(self, position: FloatArray) -> Any:
        return self._of(self._objective.gradient, position)

    def hessian(self, position: FloatArray) -> Any:
        return self._of(self._objective.hessian, position)


def _newton(
    objective: ObjectiveLike, p: FloatArray, w: FloatArray, d: FloatArray, going: BoolArray, *, halvings: int
) -> tuple[FloatArray, BoolArray]:
    """Return the steps and which of them converged; an element that has done so stays where it is."""
    residual = d + w * objective.gradient(p + d)
    converged = np.zeros(p.shape[:-1], dtype=bool)
    found = d
    for _ in range(_ITERATIONS):
        step = _newton_step(objective, p + d, w, residual)
        small = _size(step) <= _QUADRATIC * _size(d + step) + _ROUNDING * _size(p)
        converged |= going & small
        # What has converged is asked at the same point again, at which a counting loss asks for nothing new.
        found = np.where((going & small)[..., None], d + step, found)
        going = np.asarray(going & ~small & np.isfinite(step).all(axis=-1))
        if not going.any():
            break
        step = np.where(going[..., None], step, 0.0)
        before = residual
        residual = d + step + w * objective.gradient(p + d + step)
        for _ in range(halvings):
            worse = going & ~(_size(residual) <= _size(before))
            if not worse.any():
                break
            step = np.where(worse[..., None], step / 2, step)
            residual = d + step + w * objective.gradient(p + d + step)
        d = d + step
        going = np.asarray(going & np.isfinite(residual).all(axis=-1))
    return np.where(converged[..., None], found, d), converged


def _minpack(objective: ObjectiveLike, p: FloatArray, w: FloatArray) -> FloatArray:
    """Solve for one element, from where Newton's method begins, and from the minimum of f(p + d) + |d|²/2w."""
    from scipy.optimize import root

    for start in (_origin, _lowest):
        found = root(  # type: ignore[call-overload]
            lambda d: d + w * objective.gradient(p + d), start(objective, p, w), method="hybr", tol=1e-14,
            jac=lambda d: np.eye(len(p)) + w * objective.hessian(p + d),
        )  # fmt: skip
        gap = _size(found.x + w * objective.gradient(p + found.x))
        # What rounding of p + d does to the gradient cannot be solved away: it counts where w∇²f is large.
        blurred = 4 * _ROUNDING * _size(p) * (w * np.linalg.norm(objective.hessian(p + found.x)))
        if gap <= 1e-10 * (_size(found.x) + _ROUNDING * _size(p)) + np.abs(blurred):
            return np.asarray(found.x, dtype=np.float64)
    return np.full_like(p, np.nan)


def _origin(objective: ObjectiveLike, p: FloatArray, w: FloatArray) -> FloatArray:  # noqa: ARG001
    return np.zeros_like(p)


def _lowest(objective: ObjectiveLike, p: FloatArray, w: FloatArray) -> FloatArray:
    """Return about the minimum of f(p + d) + |d|²/2w, which solves the equation where there is one; zero for w <= 0."""
    from scipy.optimize import minimize

    weight = float(w[0])
    if weight <= 0:
        return np.zeros_like(p)
    try:
        found = minimize(  # type: ignore[call-overload]
            lambda d: float(objective.value(p + d)) + float(d @ d) / (2 * weight), np.zeros_like(p),
            method="trust-exact", jac=lambda d: objective.gradient(p + d) + d / weight,
            hess=lambda d: objective.hessian(p + d) + np.eye(len(p)) / weight,
        )  # fmt: skip
    except ValueError:
        return np.zeros_like(p)  # it fell out of the finite numbers: there is no minimum
    return np.asarray(found.x if np.all(np.isfinite(found.x)) else np.zeros_like(p), dtype=np.float64)
