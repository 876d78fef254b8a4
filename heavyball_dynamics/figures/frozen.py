"""Frozen modes over time: how fast each mode decays at each moment, in the colour of its class then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis.frozen import FrozenModes
from heavyball_dynamics.figures.style import SMALL, axes_for, below, class_colour, class_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_frozen_modes(found: FrozenModes, *, ax: Axes | None = None) -> Axes:
    """Draw the decay of each mode against time, coloured by damping class.

    Decay is -log|z| per step, for flows -Re s per unit time, of the slowest frozen pole. Its axis is logarithmic unless
    a mode grows: it is then below zero. Diamonds mark where a mode turns underdamped.

    Parameters
    ----------
    found : FrozenModes
        What `hb.frozen_modes` returned, without batch axes.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the result is a batch.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.frozen_modes(hb.NesterovFlow(), [0.25, 4.0], np.geomspace(0.1, 10, 60))
    >>> hb.figures.plot_frozen_modes(found).get_xlabel()
    'time $t$'
    """
    from matplotlib.collections import LineCollection

    if found.rate.ndim != 2:
        raise ValueError(f"`found` must hold one rule. Received a batch of shape {found.rate.shape[:-2]}.")
    ax = axes_for(ax, 5.4, 3.6)
    with np.errstate(divide="ignore"):
        decay = -np.log(found.rate) if found.discrete else -found.rate
    grows = bool(np.any(decay < 0))
    shown = np.where(np.isfinite(decay) & (grows | (decay > 0)), decay, np.nan)
    if grows:
        ax.axhline(0, color="0.4", linewidth=0.8, linestyle="--", zorder=1)
    bends = np.broadcast_to(found.curvature, shown.shape[1:])
    for j, bend in enumerate(bends):
        points = np.column_stack([found.time, shown[:, j]])
        pieces = np.stack([points[:-1], points[1:]], axis=1)
        colours = [class_colour(int(c)) for c in found.damping[1:, j]]
        ax.add_collection(LineCollection(list(pieces), colors=colours, linewidths=1.8, zorder=2))
        there = np.flatnonzero(np.isfinite(shown[:, j]))
        if there.size:
            ax.annotate(rf"$\lambda$ = {bend:.3g}", points[there[0]], xytext=(6, -9), textcoords="offset points",
                        fontsize=SMALL, annotation_clip=False)  # fmt: skip
    _mark_turns(ax, found, shown)
    spread = found.time[0] > 0 and found.time[-1] > 30 * found.time[0]
    ax.set_xscale("log" if spread else "linear")
    ax.set_yscale("linear" if grows else "log")
    ax.margins(y=0.1)  # room for the labels below the curves
    ax.autoscale_view()
    label = "step $k$" if found.discrete else "time $t$"
    ax.set(xlabel=label, ylabel=r"decay $-\log|z|$ per step" if found.discrete else r"decay $-\mathrm{Re}\,s$")
    class_legend(ax, found.damping, patches=True, **below(ax))
    return ax


def _mark_turns(ax: Axes, found: FrozenModes, shown: FloatArray) -> None:
    style: dict[str, Any] = {"marker": "D", "markersize": 4, "color": "black", "linestyle": "", "zorder": 4}
    for j, turn in enumerate(found.turns_underdamped):
        if found.time[0] < turn < np.inf:
            ax.plot(turn, np.interp(turn, found.time, shown[:, j]), label="_turn", **style)
