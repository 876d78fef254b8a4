"""Phase portraits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import real_array
from heavyball_dynamics.figures.style import SMALL, axes_for, below, class_colour
from heavyball_dynamics.studies.portrait import PhasePortrait

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STABLE, _UNSTABLE, _ORBIT, _ITERATES = "#832db6", "#e76300", "#7fa8cc", "#1b1b1b"


def plot_phase_portrait(
    portrait: PhasePortrait, *, iterates: tuple[ArrayLike, str] | None = None, ax: Axes | None = None,
    joined: bool = True, legend: bool = True,
) -> Axes:
    """Draw a phase portrait: arrows, orbits, nullclines, separatrices and equilibria, and iterates on top.

    Parameters
    ----------
    portrait : PhasePortrait
        What `hb.phase_portrait` returned.
    iterates : (array (n, 2), str), optional
        Points of a discrete method in the same plane, and their name.
    ax : Axes, optional
        Where to draw; a new figure by default.
    joined : bool
        Whether thin lines join the iterates; of little use where only each n-th is given and they turn fast.
    legend : bool
        Whether to add one.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_phase_portrait(hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.5), hb.Quadratic([1.0])))
    >>> ax.get_xlabel()
    'position $x$'
    """
    ax = axes_for(ax)
    _arrows(ax, portrait)
    for component in (0, 1):
        field = portrait.fine_field[..., component]
        if np.nanmin(field) < 0 < np.nanmax(field):
            ax.contour(portrait.fine_x, portrait.fine_y, field, levels=[0.0], colors="0.45", linewidths=0.8,
                       linestyles="dashed" if component else "dotted", zorder=1.5)  # fmt: skip
    for orbit in portrait.orbits:
        ax.plot(*orbit.T, color=_ORBIT, linewidth=0.6, zorder=2, label="_orbit")
    for branches, colour, name, width in (
        (portrait.stable_separatrices, _STABLE, "stable separatrix", 2.2),
        (portrait.unstable_separatrices, _UNSTABLE, "unstable separatrix", 1.1),
    ):
        for i, branch in enumerate(branches):
            ax.plot(*branch.T, color=colour, linewidth=width, zorder=3, label=f"_{name}" if i else name)
    _equilibria(ax, portrait)
    if iterates is not None:
        points, name = _iterates(iterates)
        ax.plot(*points.T, color=_ITERATES, linewidth=0.5, linestyle="-" if joined else "", marker="o", markersize=2.8,
                label=name, zorder=4)  # fmt: skip
    (left, right), (bottom, top) = portrait.limits
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel=portrait.labels[0], ylabel=portrait.labels[1])
    if legend:
        ax.legend(fontsize=SMALL, **below(ax, columns=2))
    return ax


def _iterates(given: tuple[ArrayLike, str]) -> tuple[FloatArray, str]:
    points, name = given
    array = real_array("iterates", points, finite=False)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"`iterates` must be (points, name), points of shape (n, 2). Received shape {array.shape}.")
    return array, name


def _arrows(ax: Axes, portrait: PhasePortrait) -> None:
    """Draw directions alone: lengths would make slow regions, where the interest lies, invisible."""
    size = portrait.limits[:, 1] - portrait.limits[:, 0]
    slope = portrait.field / size
    length = np.linalg.norm(slope, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(length > 0, slope / length, np.nan)
    # Directions as they look in a square window.
    ax.quiver(portrait.x, portrait.y, unit[..., 0], unit[..., 1], color="0.78", pivot="mid", angles="uv",
              scale=1.4 * len(portrait.x), width=0.0022, headwidth=4.5, zorder=1)  # fmt: skip


def _equilibria(ax: Axes, portrait: PhasePortrait) -> None:
    """Mark equilibria in the colour of their class: filled, but empty if unstable; a cross for saddles."""
    named: set[str] = set()
    for point, kind, damping in zip(portrait.equilibria, portrait.kind, portrait.damping, strict=True):
        colour = class_colour(int(damping))
        empty = kind.startswith("unstable")
        ax.plot(
            *point, linestyle="", marker={"saddle": "X", "centre": "p"}.get(kind, "o"), markersize=7, zorder=5,
            markerfacecolor="white" if empty else colour, markeredgecolor=colour if empty else "black",
            markeredgewidth=1.4 if empty else 0.7, label=f"_{kind}" if kind in named else kind,
        )  # fmt: skip
        named.add(kind)
