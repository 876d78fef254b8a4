"""Bifurcation diagrams."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics._validation import count
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below
from heavyball_dynamics.studies.bifurcations import Bifurcation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 0.045  # the share of the axis that a range needs for a label of its own
_NAMES = {"lr": r"learning rate $\eta$", "momentum": r"momentum $\beta$"}


def plot_bifurcation(found: Bifurcation, *, coordinate: int | None = 0, ax: Axes | None = None) -> Axes:
    """Draw where runs end against the parameter, with the periods above and the linear stability limit dashed.

    Where runs diverge the background is grey. Several starts have a colour each.

    Parameters
    ----------
    found : Bifurcation
        What `hb.bifurcation_diagram` returned.
    coordinate : int or None
        Which coordinate is drawn, counted from 0; None for the loss.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no such coordinate.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> method, lrs = hb.HeavyBall(1.0, 0.5), np.linspace(1.3, 1.7, 41)
    >>> ax = hb.figures.plot_bifurcation(hb.bifurcation_diagram(method, hb.double_well(), [1.1, 0.1], lrs))
    >>> [text.get_text() for text in ax.texts]
    ['1', '2', 'period']
    """
    dim = found.points.shape[-1]
    if coordinate is not None and count("coordinate", coordinate, 0) >= dim:
        raise ValueError(f"`coordinate` must be below {dim}, the number of coordinates. Received {coordinate}.")
    ax = axes_for(ax, 5.6, 3.6)
    data = found.losses if coordinate is None else found.points[..., coordinate]
    runs = data.reshape(-1, *data.shape[-2:])
    for i, run in enumerate(runs):
        finite = np.isfinite(run)
        across = np.broadcast_to(found.values[:, None], run.shape)[finite]
        ax.plot(across, run[finite], linestyle="", marker=".", markersize=2.0, markeredgewidth=0, alpha=0.6,
                color=LINES[i % len(LINES)], rasterized=True, label=f"_start {i + 1}", gid="run")  # fmt: skip
    name = _NAMES.get(found.parameter, found.parameter)
    ax.set(xlabel=name, ylabel="loss $f$" if coordinate is None else f"position $x_{coordinate + 1}$"
           if dim > 1 else "position $x$")  # fmt: skip
    edges = _edges(found.values)
    ax.set_xlim(edges[0], edges[-1])
    ax.margins(y=0.08)
    first = found.period.reshape(-1, len(found.values))
    _shade(ax, edges, np.all(first < 0, axis=0))
    if found.stability_limit is not None and edges[0] < found.stability_limit < edges[-1]:
        ax.axvline(found.stability_limit, color="#bd1f01", linestyle=(0, (5, 3)), linewidth=1.0, zorder=1,
                   label="linear stability limit")  # fmt: skip
    if len(runs) == 1:
        _label_periods(ax, edges, first[0])
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=SMALL, **below(ax, columns=2))
    return ax


def _edges(values: FloatArray) -> FloatArray:
    """Return the borders half way between values, (value + 1,)."""
    if len(values) == 1:
        half = 0.5 * (abs(float(values[0])) or 1.0)
        return np.array([values[0] - half, values[0] + half])
    middle = 0.5 * (values[1:] + values[:-1])
    return np.asarray(np.concatenate([[values[0]], middle, [values[-1]]]))


def _ranges(marks: Any) -> list[tuple[int, int]]:
    """Return where equal neighbours begin and end."""
    breaks = np.flatnonzero(np.diff(marks)) + 1
    bounds = [0, *breaks.tolist(), len(marks)]
    return list(pairwise(bounds))


def _shade(ax: Axes, edges: FloatArray, diverged: Any) -> None:
    label = "diverges"
    for begin, end in _ranges(diverged):
        if diverged[begin]:
            ax.axvspan(edges[begin], edges[end], color="#717581", alpha=0.18, linewidth=0, zorder=0, label=label)
            label = "_diverges"


def _label_periods(ax: Axes, edges: FloatArray, period: Any) -> None:
    """Write the period above each range that is wide enough."""
    whole = edges[-1] - edges[0]
    place = ax.get_xaxis_transform()
    for begin, end in _ranges(period):
        low, high = edges[begin], edges[end]
        if period[begin] < 1 or high - low < _WIDE * whole:
            continue
        ax.text(0.5 * (low + high), 1.02, str(int(period[begin])), transform=place, ha="center", va="bottom",
                fontsize=SMALL)  # fmt: skip
        for edge in (low, high):
            if edges[0] < edge < edges[-1]:
                ax.plot([edge, edge], [1.0, 1.05], transform=place, color="black", linewidth=0.6, clip_on=False)
    if np.any(period > 0):
        ax.annotate("period", (0.0, 1.02), xycoords="axes fraction", xytext=(-4, 0), textcoords="offset points",
                    ha="right", va="bottom", fontsize=SMALL)  # fmt: skip
