"""Bode's diagram: what a rule does to swings of the gradient, by frequency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis.frequency_responses import FrequencyResponse
from heavyball_dynamics.figures.style import LINES, SMALL, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))


class _Curve(NamedTuple):
    """One curve of the diagram."""

    label: str
    frequency: FloatArray
    size: FloatArray
    phase: FloatArray
    gain: float
    cutoff: float


def plot_bode(
    found: FrequencyResponse | Mapping[str, FrequencyResponse], *, ax: Axes | None = None, phase_ax: Axes | None = None
) -> Axes:
    """Draw magnitude and phase of frequency responses, each batch element and mode a curve.

    Rings mark the cut-offs, where the magnitude has fallen by 3 dB from rest; a line on the right the frequency π of
    signals that alternate from step to step, beyond which a method sees nothing.

    Parameters
    ----------
    found : FrequencyResponse, or a mapping of labels to them
        What `hb.frequency_response` or `hb.dialect_response` returned.
    ax : Axes, optional
        Where to draw the magnitude; by default a new figure with the phase below.
    phase_ax : Axes, optional
        Where to draw the phase. With `ax` alone no phase is drawn.

    Returns
    -------
    Axes
        That of the magnitude.

    Raises
    ------
    ValueError
        If `phase_ax` is given without `ax`, or responses of methods and of flows are to share axes.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = {name: hb.dialect_response(name, momentum=0.9) for name in ("torch", "ema")}
    >>> ax = hb.figures.plot_bode(found)
    >>> [text.get_text() for text in ax.get_figure().axes[1].get_legend().get_texts()]
    ['torch: cut-off 0.105', 'ema: cut-off 0.105']
    """
    if ax is None and phase_ax is not None:
        raise ValueError("`ax` must be given where `phase_ax` is: the magnitude is drawn into it.")
    named: Mapping[str, FrequencyResponse] = {"": found} if isinstance(found, FrequencyResponse) else found
    if len({each.discrete for each in named.values()}) != 1:
        raise ValueError("`found` must hold methods alone or flows alone, at least one: the frequencies of methods are "
                         "per step.")  # fmt: skip
    discrete = next(iter(named.values())).discrete
    if ax is None:
        ax, phase_ax = _two_panels()
    last = ax if phase_ax is None else phase_ax
    for number, curve in enumerate(_curves(named)):
        style = _style(number)
        ax.plot(curve.frequency, curve.size, label=curve.label, **style)
        if np.isfinite(curve.cutoff):
            ax.plot(curve.cutoff, abs(curve.gain) / np.sqrt(2), marker="o", markersize=6 + 2.5 * (number % 4),
                    markerfacecolor="none", markeredgecolor=style["color"], linestyle="", label="_cutoff")  # fmt: skip
        if phase_ax is not None:
            phase_ax.plot(curve.frequency, np.degrees(curve.phase), label=curve.label, **style)
    for each in {ax, last}:
        each.set_xscale("log")
        each.margins(x=0.0)
        if discrete:
            each.axvline(np.pi, color="0.6", linewidth=0.8, zorder=0)
    ax.set_yscale("log")
    ax.tick_params(axis="y", which="minor", labelsize=SMALL)
    ax.set_ylabel("magnitude $|H|$")
    if phase_ax is not None:
        phase_ax.set_ylabel("phase (degrees)")
        phase_ax.locator_params(axis="y", steps=[1, 1.5, 3, 4.5, 9, 10], nbins=6)
        ax.tick_params(labelbottom=False)
    last.set_xlabel(r"frequency $\omega$ (rad per step)" if discrete else r"frequency $\omega$ (rad per time)")
    last.legend(fontsize=SMALL, **below(last, columns=1))
    return ax


def _two_panels() -> tuple[Axes, Axes]:
    """Return the axes of a new figure, one above the other, on one frequency axis."""
    from matplotlib import pyplot as plt

    _, (above, beneath) = plt.subplots(
        2, 1, sharex=True, height_ratios=(3, 2), figsize=(5.0, 5.0), layout="constrained"
    )
    return above, beneath


def _style(number: int) -> dict[str, Any]:
    # Curves of one size lie on each other: the later ones are thinner and broken, so that the earlier ones show.
    return {"color": LINES[number % len(LINES)], "linestyle": _DASHES[number % len(_DASHES)],
            "linewidth": max(1.2, 3.0 - 0.6 * number)}  # fmt: skip


def _curves(named: Mapping[str, FrequencyResponse]) -> Iterator[_Curve]:
    for label, found in named.items():
        size, phase = found.magnitude, found.phase
        bends = None if found.curvature is None else np.broadcast_to(found.curvature, found.dc_gain.shape)
        if bends is not None:
            size, phase = np.moveaxis(size, -2, -1), np.moveaxis(phase, -2, -1)
        for index in np.ndindex(found.dc_gain.shape):
            own = index if bends is None else index[:-1]
            words = [label] if label else []
            words += [str(list(own))] if own else []
            words += [] if bends is None else [rf"$\lambda$ = {bends[index]:.3g}"]
            cutoff = float(found.cutoff[index])
            told = f"cut-off {cutoff:.3g}" if np.isfinite(cutoff) else "no cut-off"
            name = " ".join(words)
            yield _Curve(f"{name}: {told}" if name else told, found.frequency,
                         np.where(np.isfinite(size[index]) & (size[index] > 0), size[index], np.nan), phase[index],
                         float(found.dc_gain[index]), cutoff)  # fmt: skip
