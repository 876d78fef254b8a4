"""Weights of past gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics.analysis.impulse_responses import ImpulseResponse
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = ("o", "s", "^", "D", "v", "P")
_MARKED = 40  # weights that still get a marker each


def plot_impulse_response(
    found: ImpulseResponse | Mapping[str, ImpulseResponse], *, cumulative: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw the weights of past gradients against their age, the newest on the left.

    Parameters
    ----------
    found : ImpulseResponse, or a mapping of labels to them
        What `hb.impulse_response` returned; each batch element is a curve.
    cumulative : bool
        Draw how far the position has moved by now instead.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_impulse_response(
    ...     {"heavy ball": hb.impulse_response(hb.HeavyBall(0.1, 0.9), steps=20)})
    >>> ax.get_legend().get_texts()[0].get_text()
    'heavy ball: sum 1, memory 10 steps'
    """
    ax = axes_for(ax, 4.8, 3.6)
    number = 0
    for label, response in _named(found).items():
        table = response.cumulative if cumulative else response.weights
        for index in np.ndindex(response.total.shape):
            told = _told(f"{label}{list(index) if index else ''}".strip(), response, index)
            _curve(ax, table[index], number, told)
            number += 1
    ax.axhline(0.0, color="0.6", linewidth=0.6, zorder=0)
    ax.set(xlabel="age $j$ of the gradient (steps)",
           ylabel="position's response $c_j$" if cumulative else "weight $w_j$ in the displacement")  # fmt: skip
    ax.margins(x=0.02)
    ax.legend(fontsize=SMALL, **below(ax, columns=1))
    return ax


def _named(found: ImpulseResponse | Mapping[str, ImpulseResponse]) -> Mapping[str, ImpulseResponse]:
    return {"": found} if isinstance(found, ImpulseResponse) else found


def _told(label: str, response: ImpulseResponse, index: tuple[int, ...]) -> str:
    total, memory = float(response.total[index]), float(response.effective_memory[index])
    known = f"sum {_number(total)}"
    if np.isfinite(memory):
        known += f", memory {_number(memory)} {'step' if memory == 1 else 'steps'}"
    return f"{label}: {known}" if label else known


def _number(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.3g}"


def _curve(ax: Axes, values: Any, number: int, label: str) -> None:
    colour = LINES[number % len(LINES)]
    age = np.arange(len(values))
    marker = _MARKS[number % len(_MARKS)] if len(values) <= _MARKED else None
    ax.plot(age, values, color=colour, linewidth=1.1, marker=marker, markersize=3.2, label=label)
