"""The loop gain in the complex plane, with what its margins keep free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics.analysis.nyquist_curves import NyquistCurve
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DISK = "#ffa90e"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), ":")


def plot_nyquist(curve: NyquistCurve, *, reach: float = 2.5, ax: Axes | None = None) -> Axes:
    """Draw loop gains around -1: the disk that the disk margin keeps free, and where the real axis is crossed.

    Parameters
    ----------
    curve : NyquistCurve
        What `hb.nyquist` returned; each mode is a curve, drawn for positive frequencies, faintly for negative ones.
        The disk is drawn for a single mode.
    reach : float
        How far from -1 to look.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_nyquist(hb.nyquist(hb.HeavyBall(lr=0.1, momentum=0.9), 1.0))
    >>> ax.get_xlabel()
    'Re $L$'
    """
    from matplotlib.lines import Line2D

    ax = axes_for(ax, 4.6, 5.2)
    angle = np.linspace(0.0, 2 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), color="0.55", linestyle="--", linewidth=0.9, zorder=1)
    ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0)
    handles: list[Any] = []
    modes = list(np.ndindex(curve.stable.shape))
    for number, index in enumerate(modes):
        colour, dashes = LINES[number % len(LINES)], _DASHES[number % len(_DASHES)]
        for locus in range(curve.loop.shape[-1]):
            values = curve.loop[(*index, slice(None), locus)]
            ax.plot(values.real, values.imag, color=colour, linestyle=dashes, linewidth=1.5, zorder=4)
            ax.plot(values.real, -values.imag, color=colour, linestyle=dashes, linewidth=0.7, alpha=0.35, zorder=3)
        handles.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=1.5, label=_told(curve, index)))
        low, high = curve.gain_margin[index]
        ends = [-1 / factor for factor in (low, high) if np.isfinite(factor) and factor > 0]
        ax.plot(ends, np.zeros(len(ends)), linestyle="", marker="D", markersize=5, color=colour, zorder=6,
                markeredgecolor="black", markeredgewidth=0.5)  # fmt: skip
    if len(modes) == 1 and curve.stable[modes[0]]:
        handles.append(_free_disk(ax, curve, modes[0], reach))
    ax.plot([-1.0], [0.0], linestyle="", marker="+", markersize=11, markeredgewidth=2.0, color="#bd1f01", zorder=7)
    handles += [
        Line2D([], [], linestyle="", marker="+", markersize=9, markeredgewidth=2, color="#bd1f01", label="$-1$"),
        Line2D([], [], linestyle="", marker="D", markersize=5, color="0.4", label="$-1/$gain margin"),
        Line2D([], [], color="0.55", linestyle="--", linewidth=0.9, label="$|L| = 1$"),
    ]
    ax.set_aspect("equal")
    ax.set(xlim=(-1 - reach, -1 + reach), ylim=(-reach, reach), xlabel="Re $L$", ylabel="Im $L$")
    ax.legend(handles=handles, fontsize=SMALL, **below(ax, columns=1 if len(modes) > 2 else 2))
    return ax


def _told(curve: NyquistCurve, index: tuple[int, ...]) -> str:
    factor = float(curve.gain_margin[(*index, 1)])
    label = rf"$\lambda = {curve.curvature[index]:.4g}$"
    if not curve.stable[index]:
        return f"{label}: diverges"
    bears = "any factor" if np.isinf(factor) else f"a factor {factor:.4g}"
    return f"{label}: bears {bears}, {np.degrees(curve.phase_margin[index]):.3g}°"


def _free_disk(ax: Axes, curve: NyquistCurve, index: tuple[int, ...], reach: float) -> Any:
    """Fill what the disk margin keeps free of the curve, and return its entry of the legend."""
    from matplotlib.patches import Circle, Rectangle

    centre, radius = (float(part[index]) for part in curve.disk)
    alpha = float(curve.disk_margin[index])
    style: dict[str, Any] = {
        "facecolor": _DISK, "alpha": 0.35, "edgecolor": "#8a5a00", "linewidth": 1.0, "zorder": 2,
        "label": rf"disk margin $\alpha = {alpha:.3g}$",
    }  # fmt: skip
    # Beyond some radius the arc is a straight line to the eye, and α = 2 is the left half plane itself.
    half = not np.isfinite(centre) or radius > 1e4 * reach
    patch = Rectangle((-1 - reach, -reach), reach + 1, 2 * reach, **style) if half else Circle((centre, 0), radius,
                                                                                               **style)  # fmt: skip
    ax.add_patch(patch)
    return patch
