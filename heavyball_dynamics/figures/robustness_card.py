"""The robustness card as a picture: for each mode, what it bears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics.analysis.robustness_cards import Robustness
from heavyball_dynamics.figures.style import SMALL, axes_for, below, class_colour, class_legend, class_marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_REACH = 1.2  # decades that the axis shows on either side at least
_COLUMNS = ("phase\nmargin", "delay\n({})", "H∞\ngain", "H2\ngain", "growth\nof state", "growth\nfrom rest")
_START, _WIDTH = 34.0, 53.0  # points from the axes to the first column of numbers, and from one to the next


def plot_robustness(found: Robustness, *, ax: Axes | None = None) -> Axes:
    """Draw the factors on the curvature that each mode bears, with the other numbers of the card in columns.

    Parameters
    ----------
    found : Robustness
        What `hb.robustness` returned; each mode of each batch element is a row, up to about twenty are legible.
    ax : Axes, optional
        Where to draw; a new figure by default. The columns of numbers are written right of the axes, 4.5 inches wide.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_robustness(hb.robustness(hb.HeavyBall(lr=0.1, momentum=0.9), [0.1, 1.0, 10.0]))
    >>> ax.get_xlabel()
    'factor on the curvature'
    """
    modes = list(np.ndindex(found.stable.shape))
    ax = axes_for(ax, 9.6, 1.7 + 0.34 * len(modes))
    low, high = _limits(found)
    for row, index in enumerate(modes):
        _interval(ax, found, index, row, low, high)
    ax.axvline(1.0, color="black", linewidth=0.8, zorder=2)
    ax.set_xscale("log")
    ax.set(xlim=(low, high), ylim=(len(modes) - 0.4, -0.6), xlabel="factor on the curvature")
    ax.set_yticks(range(len(modes)), [_name(found, index) for index in modes])
    ax.tick_params(axis="y", length=0, pad=8)
    ax.set_ylabel("curvature" if found.curvature.ndim == 1 else "curvature, [batch and mode]")
    ax.spines[["top", "right", "left"]].set_visible(False)
    _columns(ax, found, modes)
    _legend(ax, found)
    return ax


def _limits(found: Robustness) -> tuple[float, float]:
    """Return the ends of the axis: all finite margins inside, one told to be beyond is an arrow."""
    ends = np.concatenate([found.gain_margin.ravel(), found.disk_gain.ravel()])
    decades = np.log10(ends[np.isfinite(ends) & (ends > 0)])
    top = max(_REACH, min(float(decades.max(initial=0.0)) + 0.25, 6.0))
    bottom = max(_REACH, min(0.25 - float(decades.min(initial=0.0)), 3.0))
    return 10**-bottom, 10**top


def _name(found: Robustness, index: tuple[int, ...]) -> str:
    name = f"{found.curvature[index]:.4g}"
    return name if len(index) == 1 else f"{name} {list(index)}"


def _interval(ax: Axes, found: Robustness, index: tuple[int, ...], row: int, low: float, high: float) -> None:
    damping = int(found.damping[index])
    marker = class_marker(damping)
    if not found.stable[index]:
        ax.plot([1.0], [row], marker=marker, color=class_colour(damping), markersize=7, zorder=5,
                markeredgecolor="black", markeredgewidth=0.6)  # fmt: skip
        ax.annotate("does not decay", (1.0, row), textcoords="offset points", xytext=(9, 0), va="center",
                    fontsize=SMALL, color="0.3")  # fmt: skip
        return
    down, up = found.gain_margin[index]
    left, right = max(float(down), low), min(float(up), high)
    ax.plot([left, right], [row, row], color="#717581", linewidth=2.2, solid_capstyle="butt", zorder=3)
    for value, end, sign in ((down, left, "<"), (up, right, ">")):
        inside = low < value < high
        ax.plot([end], [row], marker="|" if inside else sign, markersize=9 if inside else 5, color="#717581",
                markeredgewidth=2.0 if inside else 0.5, zorder=4, clip_on=False)  # fmt: skip
    if np.isfinite(up):
        near_end = np.log(right / low) > 0.82 * np.log(high / low)
        ax.annotate(f"{up:.4g}", (right, row), textcoords="offset points", xytext=(-5 if near_end else 6, 4.5),
                    ha="right" if near_end else "left", fontsize=SMALL, color="0.2")  # fmt: skip
    disk = found.disk_gain[index]
    if np.isfinite(found.disk_margin[index]):
        ends = np.clip(disk, low, high)
        ax.plot(ends, [row, row], color="#ffa90e", linewidth=6.5, alpha=0.75, solid_capstyle="butt", zorder=2.5)
    ax.plot([1.0], [row], marker=marker, color=class_colour(damping), markersize=7, zorder=5,
            markeredgecolor="black", markeredgewidth=0.6)  # fmt: skip


def _columns(ax: Axes, found: Robustness, modes: list[tuple[int, ...]]) -> None:
    """Write the other numbers right of the axes, in the rows of their modes."""
    from matplotlib.transforms import offset_copy

    figure = ax.get_figure(root=True)
    unit = "steps" if found.discrete else "time"
    for number, head in enumerate(_COLUMNS):
        # In points from the axes, so that layouts that shrink the axes find room for them.
        place = offset_copy(ax.get_yaxis_transform(), figure, x=_START + _WIDTH * number, units="points")
        ax.text(1.0, -0.62, head.format(unit), transform=place, fontsize=SMALL, ha="center", va="bottom",
                fontweight="bold")  # fmt: skip
        for row, index in enumerate(modes):
            cell = _cells(found, index)[number]
            ax.text(1.0, row, cell, transform=place, fontsize=SMALL, ha="center", va="center")


def _cells(found: Robustness, index: tuple[int, ...]) -> list[str]:
    phase = float(found.phase_margin[index])
    turn = "–" if np.isnan(phase) else "any" if np.isinf(phase) else f"{np.degrees(phase):.3g}°"
    columns: list[Any] = [found.delay_margin, found.hinf, found.h2, found.peak_growth, found.position_growth]
    return [turn, *(_cell(float(column[index])) for column in columns)]


def _cell(value: float) -> str:
    return "–" if np.isnan(value) else "∞" if np.isinf(value) else f"{value:.3g}"


def _legend(ax: Axes, found: Robustness) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color="#717581", linewidth=2.2, label="decays"),
        Patch(facecolor="#ffa90e", alpha=0.75, label="and with some phase (disk margin)"),
    ]
    class_legend(ax, found.damping, handles=handles, **below(ax, columns=3))
