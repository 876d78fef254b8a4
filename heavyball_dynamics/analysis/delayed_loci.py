"""Root loci of rules with stale gradients."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, ComplexArray, FloatArray
from heavyball_dynamics._validation import count, require
from heavyball_dynamics.analysis._delay_loop import Loop, begins_stable, first_crossings
from heavyball_dynamics.analysis._delay_tracking import DelayedPolynomial
from heavyball_dynamics.analysis.linear import state_matrices
from heavyball_dynamics.analysis.loci import RootLocus, _increasing

_SMALLEST = 1e-12  # q at which a locus begins
_BEYOND = 1.5  # where it ends, in units of the stability limit


def delayed_locus(method: Method, delay: int, values: ArrayLike | None = None, *, k: int | None = None) -> RootLocus:
    r"""Return the poles of a mode as its curvature grows, for a method whose gradients are late.

    The poles are the roots of

    .. math:: a(z)z^d + \lambda b(z) = 0

    where b/a is the loop gain of the method. From λ = 0 they depart like

    .. math:: z \approx \left(-\lambda\frac{b(0)}{a(0)}\right)^{1/d}

    in all directions at once, and so fast that at q = ηλ = 10⁻¹² and a delay of 100 they are at |z| = 0.76 already. In
    log λ they are slow again, |dz| = |z| dlogλ/d, until poles meet; that is how λ is sampled.

    Parameters
    ----------
    method : Method
        Any linear rule with scalar hyperparameters that asks for one gradient a step, without its delay.
    delay : int
        Staleness d >= 0 in whole steps.
    values : array (value,), optional
        Curvatures >= 0 in increasing order. By default from q = 10⁻¹² to 1.5 times the stability limit, so close that
        no branch moves by more than 0.03 from one value to the next, break-away points and the limit among them.
        Branches are followed from 10⁻¹² on and between given values too.
    k : int, optional
        Step at which a rule that varies in time is frozen.

    Returns
    -------
    RootLocus
        In the curvature, with as many branches as the delayed rule has states.

    Raises
    ------
    TypeError, ValueError
        If the method is a flow, not linear, holds arrays or asks for several gradients; if the delay is negative or no
        whole number, or values are negative or do not increase. `root_locus` of ``Delayed(method, delay)`` takes
        several gradients and other parameters, for delays that are short.

    References
    ----------
    Aberth, "Iteration methods for finding all zeros of a polynomial simultaneously", Math. Comp. 27, 1973.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> locus = hb.delayed_locus(hb.GradientDescent(1.0), 100)
    >>> locus.poles.shape[1], bool(np.abs(np.diff(locus.poles, axis=0)).max() <= 0.03)
    (101, True)
    >>> bool(np.isclose(locus.stability_limit[0], 2 * np.sin(np.pi / 402), rtol=1e-12))
    True
    """
    require_method("method", method)
    late = count("delay", delay, 0)
    rule = method if k is None else at_step(method, k)
    if batch_shape(rule) != ():
        raise ValueError(f"`method` must have scalar hyperparameters: the locus is its batch. Received {method!r}.")
    matrices = state_matrices(rule, k=k)
    if matrices.B.shape[-1] != 1 or np.any(matrices.D):
        raise ValueError(
            "`method` must ask for one gradient a step, at a point that it knows. "
            f"Received {method!r}. hb.root_locus(hb.Delayed(method, delay)) takes several gradients."
        )
    if not np.any(matrices.B) or not np.any(matrices.C):
        raise ValueError(f"`method` must react to its gradient for a locus. Received {method!r}.")
    shape = DelayedPolynomial.of(matrices, late)
    # q = ηλ is what the curvature makes of a gradient where the method asks next.
    scale = abs(float((matrices.C @ matrices.B)[0, 0])) or 1.0
    meetings, points = shape.breakaways()
    loop, step = Loop.of(matrices), np.array([float(late)])
    crossing = first_crossings(loop, step)[0]
    first, stable = float(crossing[0, 0]), bool(begins_stable(loop, step, crossing)[0, 0])
    if values is None:
        top = _BEYOND * first if np.isfinite(first) and first > 0 else _BEYOND * max(4 / scale, *meetings, 0.0)
        chosen = np.array([_SMALLEST / scale, top])
    else:
        chosen = _increasing(values)
        require("values", chosen, chosen >= 0, ">= 0", "A saddle's curvatures have no place in a locus of limits.")
    inside = (meetings > chosen[0]) & (meetings < chosen[-1])
    meetings, points = meetings[inside], points[inside]
    known = first if stable else np.inf
    return _locus(shape, chosen, scale, (meetings, points), known, given=values is not None)


def _locus(
    shape: DelayedPolynomial, chosen: FloatArray, scale: float, met: tuple[FloatArray, ComplexArray], first: float,
    *, given: bool,
) -> RootLocus:
    meetings, points = met
    own = np.array([first]) if chosen[0] < first < chosen[-1] else np.empty(0)
    start = min(_SMALLEST / scale, *(1e-3 * chosen[chosen > 0]), *(1e-3 * meetings))
    positive = chosen[chosen > 0]
    stops = np.unique(np.concatenate([np.log(part) for part in ([start], positive, meetings, own)]))
    log, roots = shape.track(shape.small_roots(start), stops)
    for meeting, point in zip(meetings, points, strict=True):
        row = int(np.searchsorted(log, np.log(meeting)))
        roots[row, np.argsort(np.abs(roots[row] - point))[:2]] = point  # known to the root of the rounding otherwise
    limits = _limits(shape, log, roots, own, chosen)
    at_limits = np.array([_near(shape, log, roots, value) for value in limits]).reshape(-1, shape.degree)
    at = np.searchsorted(log, np.log(meetings))
    at_meetings = roots[at]
    if given:
        poles = np.stack([_at_zero_gain(shape, roots[0])] * int(chosen[0] == 0) + list(roots[np.searchsorted(
            log, np.log(positive))]))  # fmt: skip
        grid = chosen
    else:
        keep = log >= np.log(chosen[0])
        grid, poles = np.exp(log[keep]), roots[keep]
        for exact in (chosen, meetings, own):
            grid[np.searchsorted(log[keep], np.log(exact))] = exact
    return RootLocus(
        parameter="curvature", values=grid, poles=_with_zeros(shape, poles), breakaway=meetings,
        breakaway_poles=_ordered(_with_zeros(shape, at_meetings)), stability_limit=limits,
        stability_limit_poles=_ordered(_with_zeros(shape, at_limits)), discrete=True,
    )  # fmt: skip


def _limits(
    shape: DelayedPolynomial, log: FloatArray, roots: ComplexArray, own: FloatArray, chosen: FloatArray
) -> FloatArray:
    """Return where all poles come inside the circle or the first one leaves it; one such value is known."""
    size = np.abs(roots).max(axis=1) - 1
    known = np.log(own)
    found = list(own)
    for i in np.flatnonzero((size[:-1] < 0) != (size[1:] < 0)):
        if np.any((known >= log[i] - 1e-9) & (known <= log[i + 1] + 1e-9)):
            continue

        def excess(time: float, i: int = int(i)) -> float:
            return float(np.abs(shape.roots(roots[i] * (1 + 1e-7j), float(np.exp(time)))).max()) - 1

        if excess(log[i]) * excess(log[i + 1]) < 0:
            found.append(np.exp(brentq(excess, log[i], log[i + 1], xtol=1e-14)))
    result = np.sort(np.array(found))
    return np.asarray(result[(result > chosen[0]) & (result < chosen[-1])])


def _near(shape: DelayedPolynomial, log: FloatArray, roots: ComplexArray, value: float) -> ComplexArray:
    """Return the roots at a value between those that were followed."""
    row = int(np.argmin(np.abs(log - np.log(value))))
    return shape.roots(roots[row], value)


def _at_zero_gain(shape: DelayedPolynomial, first: ComplexArray) -> ComplexArray:
    """Return the roots at λ = 0 in the order of those at a small λ."""
    result = np.zeros(shape.degree, dtype=complex)
    away = shape.open_poles[np.abs(shape.open_poles) > 1e-12]
    for pole in away:
        free = np.flatnonzero(result == 0)
        result[free[np.argmin(np.abs(first[free] - pole))]] = pole
    return result


def _with_zeros(shape: DelayedPolynomial, roots: ComplexArray) -> ComplexArray:
    return np.concatenate([roots, np.zeros((len(roots), shape.zeros), dtype=complex)], axis=1)


def _ordered(poles: ComplexArray) -> ComplexArray:
    """Return poles with real parts descending, the upper one of a conjugate pair first."""
    return np.take_along_axis(poles, np.lexsort((-poles.imag, -poles.real), axis=-1), axis=-1)
