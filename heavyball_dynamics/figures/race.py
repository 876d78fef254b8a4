"""Races: paths on level lines, and losses against steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics.figures.style import SMALL, axes_for
from heavyball_dynamics.figures.trajectory import plot_contours
from heavyball_dynamics.studies.races import Race

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SOLID, _DASHED, _DOTTED = "-", (0, (4, 1.5)), (0, (1, 1.2))
# The same look for the same method in every race. The ten hues are those of Petroff, "Accessible color sequences for
# data visualization", 2021; dashes tell apart what shares one.
_LOOKS: dict[str, tuple[str, Any]] = {
    "GradientDescent": ("#717581", _SOLID),
    "HeavyBall": ("#3f90da", _SOLID),
    "Nesterov": ("#ffa90e", _SOLID),
    "TripleMomentum": ("#bd1f01", _SOLID),
    "QuasiHyperbolicMomentum": ("#832db6", _SOLID),
    "AggregatedMomentum": ("#a96b59", _SOLID),
    "OptimizedGradient": ("#1b1b1b", _DASHED),
    "RMSProp": ("#e76300", _DASHED),
    "AdaGrad": ("#b9ac70", _DASHED),
    "AdaDelta": ("#92dadd", _DASHED),
    "Adam": ("#1b1b1b", _SOLID),
    "NAdam": ("#3f90da", _DASHED),
}
_OTHERS = [(colour, _DOTTED) for colour in ("#bd1f01", "#832db6", "#1b1b1b", "#e76300", "#3f90da", "#717581")]
_BELOW = 1e-4  # how far below the tolerance losses are drawn, as a share of it


def _looks(race: Race) -> list[tuple[str, Any]]:
    """Return colour and dashes of each method; of two of one type, or of an unknown type, free ones."""
    looks: list[tuple[str, Any]] = []
    free = iter(_OTHERS * (1 + len(race.labels) // len(_OTHERS)))
    for method in race.methods:
        usual = _LOOKS.get(type(method).__name__)
        looks.append(next(free) if usual is None or usual in looks else usual)
    return looks


def plot_race(race: Race, *, ax: Axes | None = None) -> Axes:
    """Draw a race: left the paths on level lines, if the loss has two coordinates, right the losses.

    Parameters
    ----------
    race : Race
        What `hb.race` returned.
    ax : Axes, optional
        Where to draw the losses alone; by default a new figure with both.

    Returns
    -------
    Axes
        Those of the losses.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> race = hb.race([hb.GradientDescent, hb.HeavyBall], hb.canyon(), [0.5, 10.0], steps=100)
    >>> ax = hb.figures.plot_race(race)
    >>> len(ax.figure.axes), [text.get_text() for text in ax.get_legend().get_texts()]
    (2, ['heavy ball, ...', 'gradient descent, -'])
    """
    if ax is not None or race.contours is None:
        return plot_race_losses(race, ax=ax)
    from matplotlib import pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.0), layout="constrained")
    plot_race_paths(race, ax=left)
    return plot_race_losses(race, ax=right)


def plot_race_paths(race: Race, *, number: int | None = 6, ax: Axes | None = None) -> Axes:
    """Draw the paths of a race on level lines, with the common start as a ring.

    Parameters
    ----------
    race : Race
        What `hb.race` returned, for a loss with two coordinates.
    number : int or None
        How many methods are drawn, the fastest ones; None for all.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the loss has not two coordinates.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> race = hb.race([hb.HeavyBall, hb.Nesterov], hb.canyon(), [0.5, 10.0], steps=100)
    >>> hb.figures.plot_race_paths(race, number=1).get_title()
    'the fastest of 2'
    """
    if race.contours is None:
        raise ValueError(f"`race` must be one on a loss with two coordinates. Received {race.position.shape[-1]}.")
    ax = plot_contours(race.contours, ax=axes_for(ax, 5.0, 4.0))
    looks = _looks(race)
    shown = race.ranking if number is None else race.ranking[:number]
    for place, i in reversed(list(enumerate(shown))):
        colour, dashes = looks[i]
        # Paths that share their first steps stay visible: the slower ones are drawn below and wider.
        ax.plot(*race.position[i].T, color=colour, linestyle=dashes, linewidth=1.1 + 0.25 * place, marker=".",
                markersize=3.5, alpha=0.9, zorder=5 - 0.1 * place, label=race.labels[i], gid="run")  # fmt: skip
    ax.plot(*race.position[0, 0], marker="o", markersize=7, markerfacecolor="white", markeredgecolor="black",
            linestyle="", zorder=7, label="start")  # fmt: skip
    if len(shown) < len(race.labels):
        word = {1: "the fastest"}.get(len(shown), f"the fastest {len(shown)}")
        ax.set_title(f"{word} of {len(race.labels)}", fontsize="medium")
    return ax


def plot_race_losses(race: Race, *, ax: Axes | None = None) -> Axes:
    """Draw the excess of the loss along the runs of a race; the legend gives the steps needed, the fastest first.

    Parameters
    ----------
    race : Race
        What `hb.race` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> race = hb.race([hb.HeavyBall], hb.Quadratic([1.0, 3.0, 9.0]), [1.0, 1.0, 1.0], steps=60)
    >>> hb.figures.plot_race_losses(race).get_yscale()
    'log'
    """
    ax = axes_for(ax, 6.2, 4.0)
    looks, start = _looks(race), race.excess[0, 0]
    floor = _BELOW * race.tolerance
    for i in race.ranking:
        share = race.excess[i] / start
        steps = race.steps_needed[i]
        told = f"{race.labels[i]}, {steps:.0f}" if np.isfinite(steps) else f"{race.labels[i]}, -"
        colour, dashes = looks[i]
        # What has fallen below the window goes on along its lower edge, out of sight.
        ax.plot(np.maximum(share, 0.1 * floor), color=colour, linestyle=dashes, linewidth=1.3, label=told, gid="run")
    arrived = race.steps_needed[np.isfinite(race.steps_needed)]
    whole = race.excess.shape[1] - 1
    end = whole if len(arrived) < len(race.labels) else min(whole, 1.3 * arrived.max() + 1)
    highest = np.nanmax(race.excess / start, initial=1.0, where=np.isfinite(race.excess))
    ax.axhline(race.tolerance, color="black", linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    ax.set(yscale="log", xlim=(0, max(end, 1)), ylim=(floor, 2 * min(highest, 1e3)), xlabel="step $k$",
           ylabel="excess of the loss, share of the start")  # fmt: skip
    ax.set_title("each at its own best settings for this loss", fontsize="medium")
    ax.legend(title=f"steps to {race.tolerance:g} of the start", title_fontsize=SMALL, fontsize=SMALL, frameon=False,
              loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, handlelength=2.4)  # fmt: skip
    return ax
