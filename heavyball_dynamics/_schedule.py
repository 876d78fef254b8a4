"""Schedules: hyperparameters that vary with the step, and the rule as it stands at one step.

A rule never sees a schedule. Whoever calls it (a run, a probe) first puts the number of the step in its place, so that
a rule is written once for constant and for varying hyperparameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from heavyball_dynamics._record import Record
from heavyball_dynamics._types import FloatArray, Hyperparameter
from heavyball_dynamics._validation import count, real_array

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Schedule(Record):
    """A hyperparameter that varies with the step k, in the place of a number.

    Learning rates and momenta of methods take one. A bare callable given there is wrapped; a bare array is no schedule
    but a batch axis. `at_step` puts numbers in the place of schedules.

    Parameters
    ----------
    values : array (step,) or (*batch, step), or callable
        The values at k = 0, 1, 2, …, the last one from then on; or a function of k that returns a number, or an array
        (*batch,).

    Raises
    ------
    ValueError
        If there is no value, or one is not finite. Values of a callable are checked when their step comes.
    TypeError
        If the values are no real numbers.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> warm_up = hb.Schedule([0.25, 0.5, 1.0])
    >>> warm_up(0), warm_up(100)
    (0.25, 1.0)
    >>> decaying = hb.GradientDescent(lr=lambda k: 1 / (k + 2))
    >>> hb.iterate(decaying, hb.Quadratic([1.0]), [1.0], steps=3).position[:, 0]
    array([1.        , 0.5       , 0.33333333, 0.25      ])
    """

    values: Callable[[Any], Any] | FloatArray

    def __post_init__(self) -> None:
        if callable(self.values):
            return
        table = real_array("values", self.values)
        if table.ndim == 0 or table.shape[-1] == 0:
            raise ValueError(
                "`values` must have one value or more along the last axis, the steps. "
                f"Received shape {table.shape}. A constant needs no schedule."
            )
        table.flags.writeable = False
        self._set(values=table)

    def __call__(self, k: Any) -> Any:
        """Return the value at step k: a number, or an array (*batch,)."""
        if not (k >= 0 and (k == np.inf or k == int(k))):
            raise ValueError(f"`k` must be a whole step >= 0. Received {k!r}.")
        if callable(self.values):
            return self.values(k)
        value = self.values[..., int(min(k, self.values.shape[-1] - 1))]
        return float(value) if value.ndim == 0 else value


@dataclass(frozen=True)
class GrowingMomentum:
    r"""Momentum that grows from ½ towards 1 in steps, a callable for momentum fields.

    .. math:: \beta_k = \min(1 - \tfrac12\,(\lfloor k/n\rfloor + 1)^{-1},\ \beta_{\max})

    It begins small and is raised later, as Goodfellow, Bengio and Courville recommend: .5 at first, .9 after 4n steps,
    .99 after 49n.

    Parameters
    ----------
    largest : float
        Its bound, 0 <= largest < 1.
    interval : int
        Steps n between two rises.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013,
    eq. (5) with n = 250. Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 8.3.2.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> growing = hb.GrowingMomentum(largest=0.9, interval=10)
    >>> [growing(k) for k in (0, 9, 10, 39, 40, 1000)]
    [0.5, 0.5, 0.75, 0.875, 0.9, 0.9]
    """

    largest: float = 0.99
    interval: int = 250

    def __post_init__(self) -> None:
        bound = real_array("largest", self.largest)
        if bound.ndim or not 0 <= bound < 1:
            raise ValueError(f"`largest` must be one number >= 0 and < 1. Received {self.largest!r}.")
        count("interval", self.interval, 1)

    def __call__(self, k: Any) -> float:
        """Return the momentum of step k."""
        return float(self.largest if k == np.inf else min(1 - 0.5 / (k // self.interval + 1), self.largest))


@dataclass(frozen=True)
class AcceleratedMomentum:
    r"""Nesterov's momentum for convex losses, a callable for momentum fields.

    .. math:: \beta_k = \frac{k - 1}{k + r - 1} \quad (k \ge 1), \qquad \beta_0 = 0

    `Nesterov` with it has f(x_k) - f* <= (r-1)²|x_0 - x*|²/(2η(k+r-2)²) on convex losses, for η <= 1/L and r >= 3, and
    tends to `NesterovFlow` at t = k√η.

    Parameters
    ----------
    r : float
        Friction r > 0 of the flow's damping r/t.

    Raises
    ------
    ValueError
        If r is not positive.

    References
    ----------
    Su, Boyd, Candès, "A differential equation for modeling Nesterov's accelerated gradient method", J. Mach. Learn.
    Res. 17, 2016, eq. (1) and theorem 6.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> [hb.AcceleratedMomentum()(k) for k in (0, 1, 2, 4, 28)]
    [0.0, 0.0, 0.25, 0.5, 0.9]
    """

    r: float = 3.0

    def __post_init__(self) -> None:
        friction = real_array("r", self.r)
        if friction.ndim or not friction > 0:
            raise ValueError(f"`r` must be one number > 0. Received {self.r!r}.")

    def __call__(self, k: Any) -> float:
        """Return the momentum of step k."""
        if k <= 1:
            return 0.0
        return 1.0 if k == np.inf else float((k - 1) / (k + self.r - 1))


def scheduled(check: Callable[[str, Any], Hyperparameter], name: str, value: Any) -> Any:
    """Return a schedule as it is, a callable as a schedule, and anything else as `check` returns it."""
    if isinstance(value, Schedule):
        return value
    return Schedule(value) if callable(value) else check(name, value)


def has_schedules(algorithm: object) -> bool:
    """Tell whether a hyperparameter, also one of a nested record, is a schedule."""
    if not is_dataclass(algorithm) or isinstance(algorithm, type):
        return False
    values = (getattr(algorithm, field.name) for field in fields(algorithm))
    return any(isinstance(value, Schedule) or has_schedules(value) for value in values)


def unresolved(algorithm: object) -> list[str]:
    """Return the names of what may have been meant as schedules and is not treated as such."""
    values = getattr(algorithm, "__dict__", {})
    known = is_dataclass(algorithm)
    return [name for name, v in values.items() if callable(v) and not (known and isinstance(v, Schedule))]


def at_step(method: T, k: Any) -> T:
    """Return the method of step k: its schedules replaced by their values there.

    Parameters
    ----------
    method : Method
        Any dataclass; what is no `Schedule` stays as it is.
    k : int
        The step.

    Returns
    -------
    Method
        The same object if it holds no schedule.

    Raises
    ------
    ValueError
        If a schedule's value is not finite or out of the hyperparameter's range.
    TypeError
        If it is no real number.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.HeavyBall(lr=0.1, momentum=lambda k: 1 - 1 / (k + 1))
    >>> hb.at_step(method, 9)
    HeavyBall(lr=0.1, momentum=0.9)
    """
    if not has_schedules(method):
        return method
    changed: dict[str, Any] = {}
    for field in fields(method):  # type: ignore[arg-type]
        value = getattr(method, field.name)
        if isinstance(value, Schedule):
            changed[field.name] = _value(field.name, value, k)
        elif has_schedules(value):
            changed[field.name] = at_step(value, k)
    try:
        return replace(method, **changed)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error} That is what its schedule gives at step {k}.") from None


def combined(function: Callable[..., Any], *parts: Any) -> Any:
    """Return function(*parts), as a schedule if one of the parts is one."""
    if not any(isinstance(part, Schedule) for part in parts):
        return function(*parts)
    return Schedule(Combination(function, parts))


@dataclass(frozen=True)
class Combination:
    """A schedule made of others: function(*parts) at every step."""

    function: Callable[..., Any]
    parts: tuple[Any, ...]

    def __call__(self, k: Any) -> Any:
        """Return the value at step k."""
        return self.function(*(value_at(part, k) for part in self.parts))


def value_at(value: Any, k: Any) -> Any:
    """Return the value at step k of a schedule, and anything else as it is."""
    return value(k) if isinstance(value, Schedule) else value


def along(name: str, value: Any, steps: Any) -> FloatArray:
    """Return a hyperparameter at several steps, (*batch, step); a constant has one of them, to broadcast."""
    if not isinstance(value, Schedule):
        return np.asarray(value, dtype=np.float64)[..., None]
    return np.stack(np.broadcast_arrays(*(_value(name, value, k) for k in steps)), axis=-1)


def _value(name: str, schedule: Schedule, k: Any) -> FloatArray:
    try:
        return real_array(name, schedule(k))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error} That is what its schedule gives at step {k}.") from None
