"""Adaptive methods along a run: their preconditioned curvatures against the edge of stability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics.figures.style import SMALL, axes_for, below, class_colour, class_legend
from heavyball_dynamics.studies.frozen_preconditioners import FrozenPreconditioner

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_frozen_preconditioner(
    found: FrozenPreconditioner, *, ax: Axes | None = None, index: tuple[int, ...] | None = None
) -> Axes:
    """Draw the eigenvalues of the preconditioned Hessian along a run, coloured by damping class, and the threshold.

    Parameters
    ----------
    found : FrozenPreconditioner
        What `hb.frozen_preconditioner` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.
    index : tuple of int, optional
        Element of a batch; the first by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.frozen_preconditioner(hb.Adam(0.01), hb.Quadratic([1.0, 50.0]), [1.0, 1.0], steps=300)
    >>> hb.figures.plot_frozen_preconditioner(found).get_ylabel()
    'preconditioned curvature'
    """
    from matplotlib.lines import Line2D

    ax = axes_for(ax, 5.4, 3.8)
    element = (0,) * (found.ratio.ndim - 1) if index is None else index
    bends, damping = found.curvature[element], found.damping[element]
    shown = np.where(bends > 0, bends, np.nan)
    for j in range(bends.shape[-1]):
        ax.plot(found.time, shown[:, j], color="0.75", linewidth=0.7, zorder=1)
    colours = [class_colour(int(each)) for each in damping.ravel()]
    time = np.broadcast_to(found.time[:, None], shown.shape)
    ax.scatter(time.ravel(), shown.ravel(), s=9, c=colours, linewidths=0, zorder=2)
    threshold = found.threshold[element]
    ax.plot(found.time, np.where(np.isfinite(threshold), threshold, np.nan), color="black", linestyle="--",
            linewidth=1.1, zorder=3)  # fmt: skip
    ax.set(yscale="log", xlabel="step $k$", ylabel="preconditioned curvature")
    ax.margins(x=0.01)
    drawn = damping[np.isfinite(shown)]
    edge = Line2D([], [], color="black", linestyle="--", linewidth=1.1, label="edge of stability")
    class_legend(ax, drawn, patches=True, handles=[edge], fontsize=SMALL, **below(ax))
    return ax
