"""Expected loss of noisy runs: a transient, then a floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis.expected_losses import ExpectedLoss
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below
from heavyball_dynamics.simulation.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_LARGEST = 1e100  # matplotlib's margins of a logarithmic axis overflow at the largest numbers


def _shown(values: FloatArray, lowest: float = 0.0) -> FloatArray:
    """Return values with NaN for what a logarithmic axis cannot show."""
    return np.where((values > lowest) & (values < _LARGEST), values, np.nan)


def plot_expected_loss(
    found: ExpectedLoss, *, runs: Trajectory | None = None, index: int | tuple[int, ...] | None = None,
    parts: bool = True, label: str = "", colour: str = LINES[3], ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw the expected loss above the minimum over the steps, its two parts, its floor and the change of phase.

    Parameters
    ----------
    found : ExpectedLoss
        What `hb.expected_loss` returned.
    runs : Trajectory, optional
        Simulated runs of the same method, (run, step): the band then holds nine of ten of them. Without runs it is the
        mean plus and minus a standard deviation, cut off where it would fall below a hundredth of the mean.
    index : int or tuple of int, optional
        Which element of a batch; the first one by default.
    parts : bool
        Whether to draw the deterministic and the stochastic part.
    label : str
        Name of the curve in the legend.
    colour : str
        Of the curve and its band.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.expected_loss(hb.HeavyBall(0.05, 0.5), hb.Quadratic([0.1, 1.0]), [3.0, 1.0], steps=400, noise=0.1)
    >>> hb.figures.plot_expected_loss(found).get_xlabel()
    'step $k$'
    """
    ax = axes_for(ax, 5.0, 3.6)
    at = (0,) * found.floor.ndim if index is None else index
    excess, floor, change = _shown(found.excess[at]), float(found.floor[at]), float(found.phase_change[at])
    steps = np.arange(len(excess))
    if runs is None:
        wide = _shown(found.standard_deviation[at], lowest=-1.0)
        low, high = np.maximum(excess - wide, 0.01 * excess), excess + wide
        name = "± standard deviation"
    else:
        low, high = np.nanquantile(runs.value.reshape(-1, len(runs.time)) - found.optimum, [0.05, 0.95], axis=0)
        name = "nine of ten runs"
    band = steps if runs is None else runs.time - runs.time[0]
    prefix = f"{label}: " if label else ""
    ax.fill_between(band, low, high, color=colour, alpha=0.22, linewidth=0, label=prefix + name)
    ax.plot(steps, excess, color=colour, linewidth=1.5, label=prefix + "expected loss")
    if parts:
        for part, dashes, what in (
            (found.deterministic[at], (0, (5, 2)), "start (deterministic)"),
            (found.stochastic[at], (0, (1, 1.2)), "noise (stochastic)"),
        ):
            ax.plot(steps, _shown(part), color=LINES[0], linewidth=1.0, linestyle=dashes, label=prefix + what)
    top = float(np.nanmax(high))
    if np.isfinite(floor) and floor > 0:
        ax.axhline(floor, color=colour, linewidth=0.8, linestyle=(0, (4, 2, 1, 2)), label=f"{prefix}floor {floor:.3g}")
        ax.set_ylim(0.03 * floor, 3.0 * top)
    if np.isfinite(change):
        ax.plot([change], [excess[int(change)]], marker="D", markersize=5, color=colour, markeredgecolor="black",
                linestyle="", zorder=6, label=f"{prefix}twice the floor: step {change:.0f}")  # fmt: skip
    ax.set(yscale="log", xlabel="step $k$", ylabel=r"$\mathbb{E}f(x_k) - f^*$")
    ax.margins(x=0.01)
    ax.legend(fontsize=SMALL, **below(ax, 2))
    return ax
