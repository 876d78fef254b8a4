"""The search for cycles: Newton's method on the map of a whole round, plain, damped, or as MINPACK does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import root

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis._step_derivatives import StepMap, orbit

_ITERATIONS = 100
_HALVINGS = 30
_LATER = (1, 4, 16)  # rounds after which the search begins anew, once averages have filled
_SAME = 1e-6  # two states closer than this, relative to the cycle, are one
_ROUNDED = 16 * np.finfo(np.float64).eps  # what rounding may change a part of a state by in a step
_RANGE = 1e3  # how much larger or smaller than in the first orbit the parts of a state are believed to be


class CycleSearch(NamedTuple):
    """The map of which a fixed point is sought: `period` steps; `usual` are the sizes of the first orbit."""

    step: StepMap
    period: int
    tolerance: float
    usual: FloatArray

    def residual(self, flat: FloatArray) -> FloatArray:
        """Return how much a round changes a state."""
        return np.asarray(orbit(self.step.step, flat, self.period)[-1] - flat)

    def jacobian(self, flat: FloatArray) -> FloatArray:
        """Return the Jacobian of the residual: that of a round, less the identity."""
        product = np.eye(len(flat))
        for state in orbit(self.step.step, flat, self.period - 1):
            product = self.step.jacobian(state) @ product
        return product - np.eye(len(flat))

    def scale(self, flat: FloatArray) -> FloatArray:
        """Return the size of each number of a state, the same for all coordinates of a leaf.

        Sizes are held against those of the first orbit: far away, where a step is lost in rounding, everything would
        look like a fixed point, and around a fixed point at the origin nothing.
        """
        sizes = leaf_sizes(orbit(self.step.step, flat, self.period), self.step.number)
        return np.clip(sizes, self.usual / _RANGE, self.usual * _RANGE)

    def error(self, flat: FloatArray) -> float:
        """Return the largest part of the residual, relative to its leaf."""
        missed = self.residual(flat)
        if not np.all(np.isfinite(missed)):
            return np.inf
        return float(np.max(np.abs(missed) / self.scale(flat)))


def leaf_sizes(states: FloatArray, number: int) -> FloatArray:
    """Return the largest entry that each of `number` leaves has in any of the states (time, size): (size,)."""
    width = states.shape[-1] // number
    sizes = np.abs(states).reshape(len(states), number, width).max(axis=(0, 2))
    return np.repeat(sizes, width)


def candidates(search: CycleSearch) -> Iterator[FloatArray]:
    """Yield where each method ends: from the start, then from states that a run from there passes soon."""
    start = search.step.start
    for damped in (False, True):
        yield _newton(search, start, damped=damped)
    yield _levenberg_marquardt(search, start)
    later, made = start, 0
    for rounds in _LATER:
        later = orbit(search.step.step, later, (rounds - made) * search.period)[-1]
        made = rounds
        if not np.all(np.isfinite(later)):
            return
        for damped in (False, True):
            yield _newton(search, later, damped=damped)


def _direction(search: CycleSearch, flat: FloatArray) -> Callable[[FloatArray], FloatArray] | None:
    """Return what solves with the Jacobian here; where it is singular, for the shortest solution. None if it is NaN."""
    jacobian = search.jacobian(flat)
    if not np.all(np.isfinite(jacobian)):
        return None
    # In units of the leaves, which differ by orders of magnitude.
    unit = search.scale(flat)
    scaled = jacobian * unit / unit[:, None]

    def solve(missed: FloatArray) -> FloatArray:
        return np.asarray(-unit * np.linalg.lstsq(scaled, missed / unit, rcond=1e-14)[0])

    return solve


def _newton(search: CycleSearch, start: FloatArray, *, damped: bool) -> FloatArray:
    """Return where Newton's method ends."""
    flat, share = start, 1.0
    for _ in range(_ITERATIONS):
        solve = _direction(search, flat)
        if solve is None:
            break
        missed = search.residual(flat)
        move = solve(missed)
        unit = search.scale(flat)
        length = float(np.linalg.norm(move / unit))
        share = min(1.0, 2 * share) if damped else 1.0
        for _ in range(_HALVINGS):
            new = flat + share * move
            ahead = search.residual(new)
            # The natural test compares in the metric of the Jacobian, so that units and conditioning do not matter.
            if np.all(np.isfinite(ahead)) and (
                not damped or np.linalg.norm(solve(ahead) / unit) <= (1 - share / 4) * length
            ):
                break
            share /= 2
        else:
            break
        # Once below the tolerance, as long as it still gets better.
        if search.error(flat) <= search.tolerance and search.error(new) >= 0.5 * search.error(flat):
            break
        flat = new
    return flat


def _levenberg_marquardt(search: CycleSearch, start: FloatArray) -> FloatArray:
    """Return where least squares end, after Newton steps from there."""
    unit = search.usual

    def residual(x: FloatArray) -> FloatArray:
        missed = search.residual(x * unit) / unit
        return np.where(np.isfinite(missed), missed, 1e6)

    def jacobian(x: FloatArray) -> FloatArray:
        found = search.jacobian(x * unit) * unit / unit[:, None]
        return np.where(np.isfinite(found), found, 0.0)

    result = root(residual, start / unit, jac=jacobian, method="lm", options={"xtol": 1e-15, "ftol": 1e-15})
    return _newton(search, np.asarray(result.x) * unit, damped=True)


def lowest_period(search: CycleSearch, flat: FloatArray) -> tuple[int, FloatArray]:
    """Return the lowest divisor of the period after which a state is the same, and that state.

    Where there are cycles of all sizes around a fixed point, the search shrinks to it: a cycle of such a family that is
    nothing beside the first orbit stands for the fixed point.
    """
    states = orbit(search.step.step, flat, search.period)
    apart = np.abs(states - flat)
    divisors = [p for p in range(1, search.period) if search.period % p == 0]
    for p in divisors:
        if np.all(apart[p] <= _SAME * search.scale(flat)):
            return p, flat
    for p in divisors:
        if np.all(apart[p] <= _SAME * search.usual) and _in_family(search, flat):
            shrunk = search._replace(period=p)
            end = _newton(shrunk, flat, damped=False)
            if shrunk.error(end) <= search.tolerance:
                return p, end
    return search.period, flat


def _in_family(search: CycleSearch, flat: FloatArray) -> bool:
    """Tell whether cycles of other sizes are next to this one: the round has a multiplier of one."""
    residual = search.jacobian(flat)
    return bool(np.all(np.isfinite(residual)) and np.abs(np.linalg.eigvals(residual)).min() < _SAME)


def drifts(search: CycleSearch, flat: FloatArray) -> bool:
    """Tell whether a number of the state, such as a sum of squares, makes for its next value instead of coming back."""
    states = orbit(search.step.step, flat, search.period)
    missed, way = np.abs(states[-1] - flat), np.abs(np.diff(states, axis=0)).sum(axis=0)
    return bool(np.any((missed > 0.5 * way) & (missed > _ROUNDED * search.period * search.scale(flat))))
