"""What flows with a singular start ask of the state at t = 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._validation import is_symbolic, real_array, require

# Implicit solvers displace a state by less than this where they take differences.
_NOTHING = 1e-10


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
