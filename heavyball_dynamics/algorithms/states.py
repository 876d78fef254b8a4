"""States of the rules that come with the package."""

from __future__ import annotations

from typing import Any, NamedTuple


class PositionState(NamedTuple):
    """State of a first-order rule: the position alone, (*batch, dim).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.PositionState(position=1.0)
    PositionState(position=1.0)
    """

    position: Any


class PhaseState(NamedTuple):
    """State of a second-order rule.

    ``velocity`` is dx/dt for a flow and the displacement V_k = x_k - x_{k-1} for a method, (*batch, dim).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> state = hb.PhaseState(position=[1.0], velocity=[0.5])
    >>> hb.iterate(hb.HeavyBall(lr=0.5, momentum=1.0), hb.Quadratic([0.0]), state, steps=2).state
    PhaseState(position=array([2.]), velocity=array([0.5]))
    """

    position: Any
    velocity: Any
