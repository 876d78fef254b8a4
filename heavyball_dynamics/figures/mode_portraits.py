"""One mode in its phase plane, flow against iterates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heavyball_dynamics.figures.portrait import plot_phase_portrait
from heavyball_dynamics.figures.style import SMALL
from heavyball_dynamics.studies.mode_portraits import ModePortrait

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_mode_portrait(found: ModePortrait, *, ax: Axes | None = None) -> Axes:
    """Draw the flow's orbits of one mode and the iterates of the method on top.

    Parameters
    ----------
    found : ModePortrait
        What `hb.mode_portrait` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_mode_portrait(hb.mode_portrait(hb.HeavyBall(lr=0.1, momentum=0.81), 1.0))
    >>> ax.get_xlabel()
    'position $x$'
    """
    label = "iterates" if found.stride == 1 else f"iterates, each {found.stride}th"
    ax = plot_phase_portrait(found.portrait, iterates=(found.iterates, label), joined=found.stride == 1, ax=ax)
    ax.plot(*found.orbit.T, color="0.15", linewidth=1.2, label="flow, same start", zorder=3.5)
    ax.legend(loc="upper right", fontsize=SMALL, framealpha=0.9)
    return ax
