"""What flows with a singular start ask of the state at t = 0, and quotients that are 0/0 there."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._validation import is_symbolic, real_array, require

# Implicit solvers displace a state by less than this where they take differences.
_NOTHING = 1e-10
# In the place of a time zero: too small to count, but not to divide by.
_NEXT_TO_ZERO = 1e-100


class SingularStartError(NotLinearError):
    """A state that no solution has at t = 0; where a rule is probed, a reason why it has no matrices there."""


def require_time(t: Any) -> None:
    """Raise ValueError where t is negative."""
    if not is_symbolic(t) and t < 0:
        raise ValueError(f"`times` must not be negative: the flow starts at 0. Received t = {float(t)!r}.")


def require_empty(name: str, value: Any, remedy: str) -> None:
    """Raise SingularStartError unless a part of the state is 0, as it must be at t = 0."""
    if is_symbolic(value) or np.asarray(value).dtype == object:
        return
    array = real_array(name, value, finite=False)
    try:
        require(name, array, np.abs(array) <= _NOTHING, "0 at t = 0", remedy)
    except ValueError as error:
        raise SingularStartError(str(error)) from None


def not_negative(value: Any) -> Any:
    """Return the value, or zero where a trial stage of a solver has left the positive numbers."""
    return namespace(value).maximum(value, 0 * value)


def root(value: Any) -> Any:
    """Return the square root, of numbers below zero zero."""
    value = not_negative(value)
    return namespace(value).sqrt(value)


def over(one: Any, other: Any) -> Any:
    """Return one/other, and zero where the other is zero."""
    xp = namespace(one, other)
    some = xp.greater(other, 0)
    return xp.where(some, one / xp.where(some, other, 1.0), 0.0)


def after_zero(tau: Any) -> Any:
    """Return τ, and next to nothing in the place of zero, where the quotients below would be 0/0."""
    require_time(tau)
    return tau if is_symbolic(tau) else max(tau, _NEXT_TO_ZERO)


def slide(gradient: Any, square: Any, rate: Any, tau: Any, eps: Any) -> Any:
    """Return dθ/dτ for t = τ² > 0, where the sum or average of squares begins to grow by rate·g²·t from zero.

    Where it is zero although time has passed, so has been the gradient, or a solver makes a trial step that has not
    seen the sum grow yet; this step is given what a constant gradient gives.
    """
    xp = namespace(gradient, square, rate, tau)
    alone = xp.sqrt(0 * gradient + rate) * xp.abs(gradient) * tau
    scale = xp.where(xp.greater(square, 0), root(square), alone) + eps
    return -2 * gradient * over(tau + 0 * scale, scale)
