"""Displacements per step on a constant slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics.figures.style import LINES, SMALL, axes_for
from heavyball_dynamics.studies.terminal_speed import TerminalVelocity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_terminal_velocity(
    found: TerminalVelocity, *, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the displacement of each step over that of gradient descent, its limit, and when its share is reached.

    Parameters
    ----------
    found : TerminalVelocity
        What `hb.terminal_velocity` returned; each batch element is a curve.
    labels : sequence of str, optional
        One name a curve.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there are not as many labels as curves.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.terminal_velocity(hb.HeavyBall(lr=0.1, momentum=np.array([0.5, 0.9])))
    >>> ax = hb.figures.plot_terminal_velocity(found, labels=["0.5", "0.9"])
    >>> ax.get_xscale(), [text.get_text() for text in ax.get_legend().get_texts()][0]
    ('log', '0.5: limit 2, 95 % from step 5')
    """
    shape = found.limit.shape
    if labels is not None and len(labels) != found.limit.size:
        raise ValueError(f"`labels` must have one name for each of {found.limit.size} curves. Received {len(labels)}.")
    ax = axes_for(ax, 4.8, 3.6)
    relative = bool(np.all(~np.isnan(found.speed_up)))
    step = np.arange(1, found.velocity.shape[-1] + 1)
    for number, index in enumerate(np.ndindex(shape)):
        colour = LINES[number % len(LINES)]
        limit, when = float(np.abs(found.limit[index])), float(found.steps_to_share[index])
        top = float(found.speed_up[index]) if relative else limit
        # One unit is the displacement of gradient descent with the same learning rate.
        unit = limit / top if relative and np.isfinite(limit) and top > 0 else 1.0
        speed = np.abs(found.velocity[index]) / unit
        name = f"{labels[number]}: " if labels is not None else ""
        told = "no limit" if np.isnan(top) else f"limit {top:.4g}"
        reached = f", {100 * found.share:g} % from step {when:.0f}" if np.isfinite(when) else ""
        ax.plot(step, speed, color=colour, linewidth=1.4, label=f"{name}{told}{reached}")
        if np.isfinite(top):
            ax.axhline(top, color=colour, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        if np.isfinite(when):
            ax.plot([when], [speed[int(when) - 1]], color=colour, marker="o", markersize=5, markeredgecolor="black",
                    markeredgewidth=0.6, linestyle="", zorder=4)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="step $k$",
           ylabel=r"displacement $|V_k|\,/\,\eta|g|$" if relative else "displacement $|V_k|$")  # fmt: skip
    ax.margins(x=0.02)
    ax.legend(fontsize=SMALL, loc="upper left", framealpha=0.9)
    low, high = ax.get_ylim()
    # Room for the legend above the lowest curves, where nothing is drawn.
    ax.set_ylim(low, high * (high / low) ** (0.075 * found.limit.size))
    return ax
