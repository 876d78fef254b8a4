"""Cycles: states that a method comes back to after some steps, found by Newton's method, and whether they attract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._batching import batch_shape, leaves
from heavyball_dynamics._protocols import Method, ObjectiveLike, require_method, require_objective
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, ComplexArray, FloatArray, State
from heavyball_dynamics._validation import count, one_number, points, require, require_numbers
from heavyball_dynamics.analysis._cycle_search import CycleSearch, candidates, drifts, leaf_sizes, lowest_period
from heavyball_dynamics.analysis._step_derivatives import StepMap, orbit

_NEUTRAL = 1e-9  # multipliers this close to the unit circle are on it, as far as rounding tells


@dataclass(frozen=True)
class Cycle:
    r"""States that repeat after `period` steps.

    Attributes
    ----------
    points : array (period, dim)
        Positions, in the order in which they are visited, from the one nearest to the start of the search.
    states : NamedTuple
        The whole states, with leaves (period, dim): a batch from which `iterate` goes on.
    multipliers : array (leaf · dim,), complex
        Floquet multipliers, the largest first: eigenvalues of the product of the Jacobians of one round. A small
        deviation is multiplied by them a round.
    stable : bool
        Whether all multipliers are inside the unit circle by 1e-9 or more, so that everything near tends to the cycle.
    period : int
        Number of steps after which the states repeat first; 1 is a fixed point.
    asked : int
        The period that was asked for, a multiple of `period`.
    residual : float
        Largest |Φᵖ(s) - s| that is left, each part of the state relative to its size along the cycle.
    derivatives : str
        Where the Jacobians come from: "matrices" of a linear rule and the Hessian, "complex steps" through the rule and
        the Hessian, both exact, or "differences" where the rule is not analytic or asks for more than gradients.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.LessardCounterexample()
    >>> print(hb.find_cycle(hb.tune(hb.HeavyBall, 1.0, 25.0), loss, [3.3], period=3))
    cycle of period 3, stable: largest multiplier 0.2963 in modulus
    positions 2.116, 0.6465, -1.802
    """

    points: FloatArray
    states: State
    multipliers: ComplexArray
    stable: bool
    period: int
    asked: int
    residual: float
    derivatives: str

    def summary(self) -> str:
        """Return the period, the stability and the positions in a few lines."""
        largest = float(np.abs(self.multipliers).max())
        what = "fixed point (period 1)" if self.period == 1 else f"cycle of period {self.period}"
        neutral = abs(largest - 1) <= _NEUTRAL
        stability = "stable" if self.stable else "neutral" if neutral else "not stable"
        size = f"{largest:.5g}" if not 0 < abs(largest - 1) < 1e-4 else f"1 {'-+'[largest > 1]} {abs(largest - 1):.3g}"
        lines = [f"{what}, {stability}: largest multiplier {size} in modulus"]
        if self.period < self.asked:
            lines[0] += f"; period {self.asked} was asked for: try another start"
        if self.derivatives == "differences":
            lines.append("Jacobians by differences: the rule is not analytic, or asks for more than gradients")
        # What is as small as rounding leaves it is shown as zero.
        clear = np.abs(self.points) > 1e-14 * np.abs(self.points).max() + np.finfo(np.float64).tiny
        shown = [", ".join(f"{x:.4g}" for x in point) for point in np.where(clear, self.points, 0.0)[:8]]
        shown = [f"({point})" for point in shown] if self.points.shape[1] > 1 else shown
        more = ", …" if len(self.points) > 8 else ""
        lines.append(f"position{'s' if self.period > 1 else ''} {', '.join(shown)}{more}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def find_cycle(
    method: Method, objective: ObjectiveLike, position: ArrayLike | State, period: int, *, k: float | None = None,
    tolerance: float = 1e-10,
) -> Cycle:  # fmt: skip
    r"""Return a cycle of a method on a loss, stable or not, by Newton's method on the map of a whole round.

    .. math:: \Phi^p(s) - s = 0, \qquad s \leftarrow s - \big(D\Phi^p(s) - 1\big)^{-1}\big(\Phi^p(s) - s\big)

    The search starts from the state at `position` with V_0 = 0, without a run to warm up. The Jacobian of each step is
    exact: the rule's own derivatives are chained with the Hessian of the loss.

    Parameters
    ----------
    method : Method
        Any rule with scalar hyperparameters.
    objective : objective
        The loss, with a Hessian.
    position : array (dim,), or a state
        Start of the search, near one of the points of the cycle. The ``.state`` that a run has left may be taken, with
        its velocities and averages.
    period : int
        Number of steps p of a round. What is found may have a period that divides it, 1 among them.
    k : int or infinity, optional
        Step at which a rule that varies in time is frozen; ``math.inf`` for the limit of long runs, such as Adam
        without its bias corrections.
    tolerance : float
        Largest residual, relative to the size of each part of the state.

    Returns
    -------
    Cycle

    Raises
    ------
    ValueError
        If no cycle of that period is found from there, or only what drifts like a growing sum; the rule varies in time
        and no `k` is given, it cannot be differentiated there, or it has batch axes.
    TypeError
        If `method` is no method.

    Notes
    -----
    Newton's method is tried first with full steps, which follow kinks well, then damped by the natural monotonicity
    test, then the method of Levenberg and Marquardt; the first one to find the asked period wins over those that find
    a divisor of it; cycles of a family of all sizes that have shrunk below 1e-6 of the first orbit count as its fixed
    point. Only where all of them fail are they tried from states that a run from there reaches 1, 4 and 16
    rounds later. What a run tends to by itself need not be what is found: look at `stable`.

    References
    ----------
    Deuflhard, "Newton methods for nonlinear problems", 2004, sections 3.3 and 7.3; Kuznetsov, "Elements of applied
    bifurcation theory", 2004, section 10.1; Moré, Garbow, Hillstrom, MINPACK (lmder), through `scipy.optimize.root`.

    Examples
    --------
    Adam has a cycle of period 2 on every parabola; as ε tends to 0 its size is η(1-β₁)/(2(1+β₁)):

    >>> import math
    >>> import heavyball_dynamics as hb
    >>> found = hb.find_cycle(hb.Adam(lr=0.1), hb.Quadratic([1.0]), [0.01], period=2, k=math.inf)
    >>> found.period, found.points[:, 0].round(6)
    (2, array([ 0.002632, -0.002632]))
    """
    require_method("method", method)
    require_objective(objective)
    require_numbers(method)
    asked = count("period", period, 1)
    resumed = isinstance(position, tuple) and hasattr(position, "_fields")
    parts = [points("position", leaf, objective.dim) for leaf in (leaves(position) if resumed else [position])]
    start = parts[0]
    _require_step(k)
    if any(part.ndim != 1 for part in parts) or batch_shape(method if k is None else at_step(method, k)):
        raise ValueError(
            f"`position` must be one point, of shape ({objective.dim},), and the method must have scalar "
            f"hyperparameters. Received shape {start.shape} and {method!r}: call find_cycle for each."
        )
    limit = one_number("tolerance", tolerance)
    require("tolerance", limit, limit > 0, "> 0")
    step = StepMap(method, objective, start, k)
    if resumed:
        if len(parts) != step.number:
            raise ValueError(f"`position` must be a state of {type(method).__name__}, which has {step.number} parts. "
                             f"Received {position!r}.")  # fmt: skip
        step.start = np.concatenate(parts)
    first = orbit(step.step, step.start, asked)
    if not np.all(np.isfinite(first)):
        raise ValueError(f"`position` must be one from which {asked} steps stay finite. Received {start.tolist()}.")
    usual = leaf_sizes(first, step.number)
    search = CycleSearch(step, asked, float(limit), np.where(usual > 0, usual, 1.0))
    return _cycle(search, *_found(search, start))


def _found(search: CycleSearch, start: FloatArray) -> tuple[FloatArray, int]:
    """Return a state of the cycle whose lowest period comes nearest to the one asked for, and that period."""
    best, lowest, errors, drifted = None, 0, [], False
    for candidate in candidates(search):
        error = search.error(candidate)
        errors.append(error)
        if error > search.tolerance:
            continue
        found, state = lowest_period(search, candidate)
        if found > 1 and drifts(search, state):
            drifted = True
        elif found > lowest:
            best, lowest = state, found
        if best is not None and lowest == search.period:
            break
    if best is None:
        raise _not_found(search, start, min(errors, default=np.inf), drifted=drifted)
    return best, lowest


def _require_step(k: float | None) -> None:
    if k is not None and not (k == np.inf or (isinstance(k, (int, np.integer)) and k >= 0)):
        raise ValueError(f"`k` must be a whole number >= 0, or math.inf. Received {k!r}.")


def _cycle(search: CycleSearch, flat: FloatArray, period: int) -> Cycle:
    """Return the cycle through a state, beginning with the point nearest to the start."""
    round_ = search._replace(period=period)
    states = orbit(search.step.step, flat, period - 1)
    dim = len(flat) // search.step.number
    flat = states[np.argmin(np.linalg.norm(states[:, :dim] - search.step.start[:dim], axis=-1))]
    states = orbit(search.step.step, flat, period - 1)
    if search.step.derivatives == "complex steps" and not all(search.step.confirmed(state) for state in states):
        search.step.derivatives = "differences"
    product = round_.jacobian(flat) + np.eye(len(flat))
    if not np.all(np.isfinite(product)):
        where = search.step.state(flat).position.tolist()
        raise ValueError(f"`method` must be differentiable along the cycle. {search.step.rule!r} is not at {where}: is "
                         "an average of squares zero there, or eps = 0?")  # fmt: skip
    multipliers = np.linalg.eigvals(product).astype(np.complex128)
    multipliers = multipliers[np.lexsort((-multipliers.imag, -np.abs(multipliers)))]
    whole = search.step.state(states)
    return Cycle(
        points=np.array(whole.position),
        states=whole,
        multipliers=multipliers,
        stable=bool(np.all(np.abs(multipliers) < 1 - _NEUTRAL)),
        period=period,
        asked=search.period,
        residual=round_.error(flat),
        derivatives=search.step.derivatives,
    )


def _not_found(search: CycleSearch, start: FloatArray, error: float, *, drifted: bool) -> ValueError:
    left = f"the residual stays at {error:.2g}" if np.isfinite(error) else "the rule cannot be differentiated there"
    if drifted:
        left = "what comes back there drifts in a part of its state, like a sum that grows round by round"
    return ValueError(
        f"`period` must be one that exists near the start. Received {search.period}, and from {start.tolist()} no "
        f"cycle of that period, nor a fixed point, was found: {left}. Start nearer to one: hb.bifurcation_diagram "
        "shows where runs end, and a larger tolerance admits cycles known less well."
    )
