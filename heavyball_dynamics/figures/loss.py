"""Losses along runs, beside their predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below
from heavyball_dynamics.studies.loss_curves import LossCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TINY, _HUGE = 1e-200, 1e100  # beyond these the margins of a logarithmic axis overflow


def plot_loss(curves: LossCurves, *, ax: Axes | None = None) -> Axes:
    """Draw the loss above its minimum against steps; dashed lines are predicted from the poles.

    Parameters
    ----------
    curves : LossCurves
        What `hb.loss_curves` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> runs = {"descent": hb.GradientDescent(0.1), "heavy ball": hb.HeavyBall(0.1, 0.5)}
    >>> ax = hb.figures.plot_loss(hb.loss_curves(runs, hb.Quadratic([1.0, 5.0]), [1.0, 1.0], steps=60))
    >>> ax.get_yscale(), len(ax.get_legend().get_texts())
    ('log', 2)
    """
    ax = axes_for(ax)
    for i, label in enumerate(curves.labels):
        colour = LINES[i % len(LINES)]
        told = f"{label}: {_rate(float(curves.measured[i]))} (predicted {_rate(float(curves.predicted[i]))})"
        # Curves that coincide stay visible: the first ones are drawn wider.
        width = 1.2 + 0.6 * (len(curves.labels) - 1 - i)
        ax.plot(curves.steps, _positive(curves.excess[i]), color=colour, linewidth=width, alpha=0.6, label=told)
        ax.plot(curves.steps, _positive(curves.reference[i]), color="black", linewidth=0.7, linestyle=(0, (4, 4)),
                label="_predicted", zorder=3)  # fmt: skip
    ax.set(yscale="log", xlabel="step $k$", ylabel="loss above the minimum $f - f^*$")
    ax.margins(x=0.01)
    ax.locator_params(axis="x", nbins=5)
    _cut(ax, curves)
    ax.legend(title="factor of the loss per step (dashed: predicted)", title_fontsize=SMALL, fontsize=SMALL,
              **below(ax, columns=1))  # fmt: skip
    return ax


def _positive(values: FloatArray) -> FloatArray:
    return np.where((values > _TINY) & (values < _HUGE), values, np.nan)


def _cut(ax: Axes, curves: LossCurves) -> None:
    """Keep a curve that explodes from squeezing the others into a line."""
    shown = np.concatenate([_positive(curves.excess), _positive(curves.reference)])
    start = np.nanmax(_positive(curves.excess[:, 0])) if np.isfinite(_positive(curves.excess[:, 0])).any() else 1.0
    if not np.isfinite(shown).any():
        return
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    low = max(low, 1e-18 * float(start))
    ax.set_ylim(0.5 * low, 3 * min(high, 1e8 * float(start)))


def _rate(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    # Digits enough to see how far a slow rate is from 1.
    return f"{value:.4g}" if abs(1 - value) > 1e-3 else f"1 {'−' if value < 1 else '+'} {abs(1 - value):.2g}"
