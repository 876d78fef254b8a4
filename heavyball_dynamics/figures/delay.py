"""The stability boundary against the staleness of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics.analysis.delays import DelayLimits
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = ("o", "s", "^", "D", "v", "P")
_MARKED = 16  # delays that still get a marker each


def plot_delay_limits(found: DelayLimits, *, reference: bool = True, ax: Axes | None = None) -> Axes:
    r"""Draw the largest stable learning rate against the delay, one curve for each element of the batch.

    Limits in lr are drawn as lr·λ, both axes logarithmic (the delay's linear up to 1, for the sake of 0). Limits of 0,
    and infinite ones, are left out.

    Parameters
    ----------
    found : DelayLimits
        What `hb.delay_limits` returned.
    reference : bool
        Add gradient descent's exact limit 2 sin(π/(4d+2)) as a line through all delays, also those between whole steps,
        and its asymptote π/(2d+1); for limits in lr only.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.delay_limits(hb.HeavyBall(1.0, np.array([0.5, 0.9])), [0, 1, 3, 10, 30, 100])
    >>> ax = hb.figures.plot_delay_limits(found)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['momentum 0.5', 'momentum 0.9', 'gradient descent', '$\\pi/(2d+1)$']
    """
    ax = axes_for(ax, 4.8, 3.9)
    scaled = found.limit * found.curvature[..., None] if found.parameter == "lr" else found.limit
    shown = np.where((scaled > 0) & np.isfinite(scaled), scaled, np.nan).reshape(-1, len(found.delays))
    order = np.argsort(found.delays)
    marked = len(order) <= _MARKED
    for i, (label, limit) in enumerate(zip(found.labels, shown, strict=True)):
        ax.plot(
            found.delays[order], limit[order], color=LINES[i % len(LINES)], linewidth=1.3, label=label or "_limit",
            marker=_MARKS[i % len(_MARKS)] if marked else None, markersize=3.6, zorder=3,
        )  # fmt: skip
    if reference and found.parameter == "lr":
        top = max(float(found.delays.max()), 1.0)
        between = np.concatenate([np.linspace(0, 1, 40), np.geomspace(1, top, 160)[1:]])
        ax.plot(between, 2 * np.sin(np.pi / (4 * between + 2)), color="0.82", linewidth=4.0, zorder=1.5,
                label="gradient descent")  # fmt: skip
        ax.plot(between, np.pi / (2 * between + 1), color="0.55", linewidth=1.0, linestyle=":", zorder=1,
                label=r"$\pi/(2d+1)$")  # fmt: skip
    ax.set_xscale("symlog", linthresh=1.0, linscale=0.4)
    ax.set_yscale("log")
    ax.set_xlim(-0.1, 1.15 * max(float(found.delays.max()), 1.0))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    what = r"learning rate $\eta\lambda$" if found.parameter == "lr" else r"curvature $\lambda$"
    ax.set(xlabel="delay $d$ of the gradients (steps)", ylabel=f"largest stable {what}")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=SMALL, **below(ax))
    return ax
