"""Runs: paths on level lines, positions and losses against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for
from heavyball_dynamics.simulation.trajectory import Trajectory
from heavyball_dynamics.studies.contours import Contours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 6  # more paths than this are drawn alike


def plot_contours(contours: Contours, *, ax: Axes | None = None) -> Axes:
    """Draw the level lines of a loss, and its minimum as a star.

    Parameters
    ----------
    contours : Contours
        What `hb.contours` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.figures.plot_contours(hb.contours(hb.beale())).get_xlabel()
    '$x$'
    """
    ax = axes_for(ax)
    value = np.ma.masked_invalid(contours.value)
    if len(contours.levels) > 1:
        greys = [f"{grey:.3f}" for grey in np.linspace(0.5, 0.82, len(contours.levels))]  # darker towards the minimum
        ax.contour(contours.x, contours.y, value, levels=contours.levels, colors=greys, linewidths=0.7, zorder=1)
    if contours.minimizer is not None:
        ax.plot(*contours.minimizer, marker="*", markersize=9, color="#ffa90e", markeredgecolor="black",
                markeredgewidth=0.5, linestyle="", zorder=6, label="minimum")  # fmt: skip
    ax.set(xlim=contours.x[[0, -1]], ylim=contours.y[[0, -1]], xlabel=contours.labels[0], ylabel=contours.labels[1])
    return ax


def plot_trajectory(
    trajectory: Trajectory, *, contours: Contours | None = None, labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a run, or a batch of runs.

    Two coordinates: paths in the plane, with start (circle) and end (square). One: positions against time. More: the
    norm of the gradient against time.

    Parameters
    ----------
    trajectory : Trajectory
        What `hb.iterate` or `hb.integrate` returned.
    contours : Contours, optional
        Level lines to draw paths on.
    labels : sequence of str, optional
        One name a run, for the legend.
    ax : Axes, optional
        Where to draw; a new figure by default. Runs drawn into axes that hold some already get the next colours.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If labels and runs differ in number.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.HeavyBall(0.01, 0.9), hb.canyon(), [0.5, 10.0], steps=80)
    >>> lines = hb.contours(hb.canyon(), [(-1, 1), (-11, 11)])
    >>> ax = hb.figures.plot_trajectory(run, contours=lines, labels=["heavy ball"])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['minimum', 'heavy ball']
    """
    ax = axes_for(ax)
    if contours is not None:
        plot_contours(contours, ax=ax)
    dim = trajectory.position.shape[-1]
    paths = trajectory.position.reshape(-1, len(trajectory.time), dim)
    if labels is not None and len(labels) != len(paths):
        raise ValueError(f"`labels` must be one name a run, {len(paths)} here. Received {len(labels)}.")
    flow = trajectory.dissipation is not None or bool(np.any(trajectory.time % 1))
    clock = "time $t$" if flow else "step $k$"
    names = list(labels) if labels is not None else ["_run"] * len(paths)
    drawn = sum(str(line.get_gid()) == "run" for line in ax.lines)
    for i, (path, name) in enumerate(zip(paths, names, strict=True)):
        colour = LINES[(drawn + i) % len(LINES)] if len(paths) <= _MANY else LINES[0]
        if dim == 2:
            _path(ax, path, name, colour, marks=not flow and len(path) <= 120)
        elif dim == 1:
            ax.plot(trajectory.time, path[:, 0], color=colour, linewidth=1.2, label=name, gid="run")
        else:
            norm = trajectory.gradient_norm.reshape(len(paths), -1)[i]
            shown = np.where(norm > 0, norm, np.nan)
            ax.plot(trajectory.time, shown, color=colour, linewidth=1.2, label=name, gid="run")
    if dim == 2 and contours is None and not ax.get_xlabel():
        ax.set(xlabel="$x_1$", ylabel="$x_2$")
    elif dim != 2:
        ax.set(xlabel=clock, ylabel="position $x$" if dim == 1 else r"gradient norm $\|\nabla f\|$")
        ax.set_yscale("linear" if dim == 1 else "log")
    if labels is not None:
        ax.legend(fontsize=SMALL, framealpha=0.9)
    return ax


def _path(ax: Axes, path: FloatArray, name: str, colour: str, *, marks: bool) -> None:
    ax.plot(*path.T, color=colour, linewidth=1.0, label=name, zorder=3, gid="run", marker="." if marks else None,
            markersize=3)  # fmt: skip
    finite = path[np.isfinite(path).all(axis=-1)]
    if len(finite):
        ends = (("o", finite[0], "_start"), ("s", finite[-1], "_end"))
        for marker, point, label in ends:
            ax.plot(*point, marker=marker, markersize=4.5, color=colour, markeredgecolor="white", markeredgewidth=0.6,
                    linestyle="", zorder=4, label=label)  # fmt: skip
