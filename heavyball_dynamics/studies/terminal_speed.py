"""The speed that a rule reaches on a constant slope, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count, one_number, real_array, require
from heavyball_dynamics.analysis._response_derivatives import Slope
from heavyball_dynamics.analysis.impulse_responses import impulse_response
from heavyball_dynamics.simulation.iteration import iterate
from heavyball_dynamics.simulation.trajectory import Trajectory
from heavyball_dynamics.studies.measurements import first_time, lengths

_STEPS = 4000  # of rules whose time to settle is not known beforehand
_LONGEST = 10_000
_ROUNDING = 1e-12  # a share that is met exactly is met
_SETTLED = 1e-6  # a speed that changes less over the second half of a run is taken for its limit


@dataclass(frozen=True)
class TerminalVelocity(Drawable):
    """A run on a constant slope: displacements, what they tend to, and when they are nearly there.

    Attributes
    ----------
    gradient : array (*batch,)
        The slope.
    velocity : array (*batch, step)
        Displacements V_1, V_2, … of the steps, run from rest; negative on a positive slope.
    limit : array (*batch,)
        What they tend to: in closed form, from the sum of the rule's weights, where the rule is linear and does not
        vary in time (infinite where there is none); otherwise the last displacement, NaN if it still changes.
    speed_up : array (*batch,)
        |limit| over that of gradient descent with the same learning rate, η|g|. NaN for rules without an ``lr``; of
        adaptive rules, whose learning rates are lengths, it depends on the slope.
    steps_to_share : array (*batch,)
        The number of the first step from which on the displacement has at least `share` of the limit, V_1 being that
        of step 1; infinite where that is not so at the end of the run.
    share : float

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.terminal_velocity(hb.HeavyBall(lr=0.1, momentum=0.9)).summary())
    slope 1: displacement -1 per step, 10 times that of gradient descent, 95 % of it from step 29
    """

    gradient: FloatArray
    velocity: FloatArray
    limit: FloatArray
    speed_up: FloatArray
    steps_to_share: FloatArray
    share: float

    def summary(self) -> str:
        """Return a line for each batch element."""
        lines = []
        for index in np.ndindex(self.limit.shape):
            when = self.steps_to_share[index]
            reached = f"from step {when:.0f}" if np.isfinite(when) else "not within the run"
            if np.isnan(self.limit[index]):
                lines.append(f"slope {self.gradient[index]:.6g}: the displacement has not settled")
                continue
            lines.append(
                f"slope {self.gradient[index]:.6g}: displacement {self.limit[index]:.6g} per step, "
                f"{self.speed_up[index]:.6g} times that of gradient descent, {100 * self.share:g} % of it {reached}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def terminal_velocity(
    method: Method, gradient: ArrayLike = 1.0, steps: int | None = None, *, share: float = 0.95
) -> TerminalVelocity:
    r"""Run a rule from rest on a constant slope and measure the displacement that its steps tend to.

    .. math:: V_k = -\eta g\,\frac{1 - \beta^k}{1 - \beta} \quad\text{(heavy ball)}, \qquad
              |V_k| \ge s\,|V_\infty| \iff k \ge \frac{\ln(1-s)}{\ln\beta}

    Parameters
    ----------
    method : Method
        Any rule, its hyperparameters scalars or arrays (*batch,).
    gradient : float or array (*batch,)
        The slope g, not zero.
    steps : int, optional
        Length of the run. By default long enough for a linear rule to reach the share, at least 10 and at most 10,000
        steps, and 4,000 for other rules.
    share : float
        The share s of the limit that counts as reached, between 0 and 1.

    Returns
    -------
    TerminalVelocity
        Arrays (*batch, step) and (*batch,).

    Raises
    ------
    ValueError
        If the slope is zero, the share is not between 0 and 1, or a value is not finite.
    TypeError
        If the method is none or steps is no whole number.

    References
    ----------
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, eq. (8.17): "2, 10, or 100 times the maximum speed".

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.terminal_velocity(hb.HeavyBall(lr=0.1, momentum=np.array([0.5, 0.9, 0.99])))
    >>> found.speed_up.round(9), found.steps_to_share
    (array([  2.,  10., 100.]), array([  5.,  29., 299.]))
    """
    require_method("method", method)
    slope = real_array("gradient", gradient)
    require("gradient", slope, slope != 0, "other than 0: on level ground nothing rolls")
    part = one_number("share", share)
    require("share", part, (part > 0) & (part < 1), "between 0 and 1")
    batch = batch_shape(at_step(method, 0), slope.shape)
    slope = np.broadcast_to(slope, batch).copy()
    total = _total(method)
    number = _steps(method, total, float(part)) if steps is None else count("steps", steps, 1)
    run = iterate(method, Slope(slope[..., None]), np.zeros((*batch, 1)), number)
    velocity = np.diff(run.position[..., 0], axis=-1)
    limit = _last(velocity) if total is None else np.broadcast_to(-total * slope, batch)
    lr = at_step(method, number - 1).lr if hasattr(method, "lr") else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        speed_up = np.abs(limit) / np.abs(np.asarray(lr, dtype=np.float64) * slope)
        near = velocity / limit[..., None] >= part * (1 - _ROUNDING)
    when = first_time(np.arange(1.0, number + 1), near & np.isfinite(limit[..., None]), stay=True)
    return TerminalVelocity(slope, velocity, np.array(limit), speed_up, when, float(part))


def steps_to_share(trajectory: Trajectory, share: float = 0.95, *, limit: ArrayLike | None = None) -> FloatArray:
    """Return the first saved time from which on a run has at least a share of its final speed.

    Parameters
    ----------
    trajectory : Trajectory
        A run, or a batch of them; its speed is |velocity|.
    share : float
        The share, between 0 and 1.
    limit : float or array (*batch,), optional
        The final speed; by default that of the last point.

    Returns
    -------
    array (*batch,)
        Steps of methods, times of flows; infinite where it is not so at the end.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1 or the limit is not positive.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> slope = hb.Quadratic([0.0], linear=[1.0])
    >>> run = hb.iterate(hb.HeavyBall(lr=0.1, momentum=0.9), slope, [0.0], steps=500)
    >>> float(hb.steps_to_share(run))
    29.0
    """
    part = one_number("share", share)
    require("share", part, (part > 0) & (part < 1), "between 0 and 1")
    speed = lengths(trajectory.velocity)
    if limit is None:
        final = speed[..., -1]
    else:
        final = real_array("limit", limit)
        require("limit", final, final > 0, "> 0, a speed")
    with np.errstate(over="ignore", invalid="ignore"):
        return first_time(trajectory.time, speed >= part * (1 - _ROUNDING) * final[..., None], stay=True)


def _total(method: Method) -> FloatArray | None:
    """Return the sum of the weights of a linear rule that does not vary in time, or None."""
    try:
        found = impulse_response(method, 1)
    except (NotLinearError, ValueError):
        return None
    return found.total if found.k is None else None


def _steps(method: Method, total: FloatArray | None, share: float) -> int:
    """Return the number of steps until all weights still to come are too small for the share."""
    if total is None:
        return min(_STEPS, getattr(method, "steps", _STEPS))
    number = 10
    while number < _LONGEST:
        reached = impulse_response(method, number).cumulative[..., -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = np.abs(1 - reached / total)
        if np.all((rest < 0.5 * (1 - share)) | ~np.isfinite(total) | (total == 0)):
            break
        number *= 2
    return min(number, _LONGEST)


def _last(velocity: FloatArray) -> FloatArray:
    """Return the last displacement where the second half of the run hardly differs from it."""
    last = velocity[..., -1]
    half = velocity[..., velocity.shape[-1] // 2 :]
    with np.errstate(invalid="ignore"):
        settled = np.abs(half - last[..., None]).max(axis=-1) <= _SETTLED * np.abs(last)
    return np.where(settled & (last != 0), last, np.nan)
