"""Poles in the z-plane, in the colour of the delay that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics.analysis.poles_by_delay import DelayPoles
from heavyball_dynamics.figures.style import SMALL, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_delay_poles(found: DelayPoles, *, ax: Axes | None = None) -> Axes:
    """Draw the poles of every delay in the z-plane; the dominant ones are large, those beyond the unit circle grow.

    Parameters
    ----------
    found : DelayPoles
        What `hb.delay_poles` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.figures.plot_delay_poles(hb.delay_poles(hb.GradientDescent(0.1), range(12), 1.0)).get_xlabel()
    'Re $z$'
    """
    from matplotlib.patches import Circle

    ax = axes_for(ax, 4.8, 4.0)
    ax.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor="0.4", linewidth=1.0, zorder=1))
    ax.axhline(0, color="0.85", linewidth=0.6, zorder=0)
    ax.axvline(0, color="0.85", linewidth=0.6, zorder=0)
    late = np.broadcast_to(found.delays[:, None], found.poles.shape)
    there = np.isfinite(found.poles)
    # The dominant pole and its conjugate.
    size = np.abs(found.poles)
    leading = there & (size >= found.rate[:, None] * (1 - 1e-9))
    span: dict[str, Any] = {
        "cmap": "viridis", "vmin": float(found.delays.min()), "vmax": float(max(found.delays.max(), 1)),
    }  # fmt: skip
    for shown, area, edge in ((there & ~leading, 9.0, "none"), (leading, 22.0, "black")):
        marks = ax.scatter(found.poles.real[shown], found.poles.imag[shown], s=area, c=late[shown], edgecolors=edge,
                           linewidths=0.3, zorder=3, **span)  # fmt: skip
    bar = ax.get_figure(root=True).colorbar(marks, ax=ax, shrink=0.85)  # type: ignore[union-attr]
    bar.set_label("delay $d$ (steps)")
    reach = 1.08 * max(1.0, float(np.nanmax(size)))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="Re $z$", ylabel="Im $z$")
    ax.set_aspect("equal")
    ax.annotate(rf"$\lambda$ = {found.curvature:.3g}", (0.02, 0.98), xycoords="axes fraction", va="top", fontsize=SMALL)
    return ax
