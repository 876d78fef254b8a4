"""Rate against noise, and the front of settings that nothing beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics.analysis.tradeoffs import RateNoiseTradeoff
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {"polyak": "gradients summed (Polyak)", "ema": "gradients averaged (EMA)"}
_MARKED = 80  # settings on the front up to which each has a marker


def plot_tradeoff(
    found: RateNoiseTradeoff, *, show: str = "loss", bar: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw every setting as a point, steps to decay e-fold against stationary noise, and the Pareto front.

    Parameters
    ----------
    found : RateNoiseTradeoff
        What `hb.rate_noise_tradeoff` returned.
    show : {"loss", "variance"}
        What stands on the vertical axis. The front is that of rate against loss.
    bar : bool
        Whether to add a bar of the colours, which are the momentum.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If `show` is neither, or no setting is stable.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.rate_noise_tradeoff(hb.HeavyBall, [1.0, 10.0], np.geomspace(1e-3, 0.2, 20), np.linspace(0, 0.95, 20))
    >>> hb.figures.plot_tradeoff(found).get_xlabel()
    'steps per factor e of the slowest mode'
    """
    if show not in ("loss", "variance"):
        raise ValueError(f"`show` must be 'loss' or 'variance'. Received {show!r}.")
    stable = found.stable
    if not stable.any():
        raise ValueError("`found` must have a stable setting to be drawn. Received none: lower the learning rates.")
    ax = axes_for(ax, 5.0, 3.8)
    noise = getattr(found, show)
    betas = np.broadcast_to(found.momentum, noise.shape)
    # Drawn in the order of momentum, so that dense grids do not hide one end of it.
    marks = ax.scatter(found.steps[stable], noise[stable], c=betas[stable], s=7, cmap="viridis", linewidths=0, zorder=2,
                       rasterized=True)  # fmt: skip
    front = tuple(found.front.T)
    few = len(found.front) <= _MARKED
    ax.plot(found.steps[front], noise[front], color=LINES[1], linewidth=1.4, marker="o" if few else "", markersize=3.2,
            markeredgecolor="black", markeredgewidth=0.4, zorder=4, label="Pareto front")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="steps per factor e of the slowest mode",
           ylabel="stationary loss" if show == "loss" else "stationary variance",
           title=_NAMES.get(found.normalization, found.normalization))  # fmt: skip
    ax.title.set_fontsize("medium")
    if bar:
        ax.figure.colorbar(marks, ax=ax, label="momentum", pad=0.02)
    ax.legend(fontsize=SMALL, **below(ax))
    return ax
