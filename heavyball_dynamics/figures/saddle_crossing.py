"""Saddles crossed over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below
from heavyball_dynamics.studies.saddle_crossings import SaddleCrossings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_saddle_crossing(
    found: SaddleCrossings | Mapping[str, SaddleCrossings], *, ax: Axes | None = None
) -> Axes:
    """Draw how many saddles a run has crossed by when.

    Parameters
    ----------
    found : SaddleCrossings, or a mapping of labels to them
        What `hb.saddles_crossed` returned; each batch element is a staircase.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> chain = hb.SaddleChain(3)
    >>> run = hb.iterate(hb.HeavyBall(0.1, 0.9), chain, chain.start, steps=150)
    >>> ax = hb.figures.plot_saddle_crossing({"momentum": hb.saddles_crossed(run, chain)})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['momentum: 3 crossed']
    """
    from matplotlib.ticker import MaxNLocator

    ax = axes_for(ax, 4.6, 3.4)
    curves = {"": found} if isinstance(found, SaddleCrossings) else found
    drawn, most = 0, 1
    for label, each in curves.items():
        for index in np.ndindex(each.number.shape):
            colour = LINES[drawn % len(LINES)]
            when = np.sort(each.time[index][each.crossed[index]])
            count = int(each.number[index])
            name = f"{label}{list(index) if index else ''}".strip()
            told = f"{count} crossed"
            # Stairs that coincide stay visible: later ones are thinner.
            width = max(2.2 - 0.35 * drawn, 0.8)
            ax.step([0.0, *when, each.end], [*range(count + 1), count], where="post", color=colour, linewidth=width,
                    label=f"{name}: {told}" if name else told)  # fmt: skip
            ax.plot(when, np.arange(1, count + 1), linestyle="", marker="o", markersize=3.5, color=colour)
            drawn, most = drawn + 1, max(most, count)
    ax.set(xlabel="step or time", ylabel="saddles crossed", ylim=(-0.04 * most, 1.06 * most))
    ax.margins(x=0.01)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=SMALL, **below(ax, columns=2))
    return ax
