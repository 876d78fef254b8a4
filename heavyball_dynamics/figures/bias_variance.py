"""Bias and variance over the curvature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._validation import one_of
from heavyball_dynamics.analysis.bias_variances import BiasVariance
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = {
    "variance": "variance of the position", "bias_squared": "squared bias",
    "second_moment": "mean square distance", "stationary_variance": "stationary variance",
}  # fmt: skip
_DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1, 1.5)))


def plot_bias_variance(
    found: BiasVariance | Mapping[str, BiasVariance], *, show: str = "second_moment", step: int = -1,
    lr: float | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw bias², variance or their sum after one step over the curvature.

    Parameters
    ----------
    found : BiasVariance, or a mapping of labels to them
        What `hb.bias_variance` returned, with many curvatures as modes; each batch element is a curve.
    show : {"second_moment", "variance", "bias_squared", "stationary_variance"}
        What is drawn.
    step : int
        After which step; the last one by default.
    lr : float, optional
        A learning rate: the axis then holds its product with the curvature.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If there is no such quantity.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> runs = {kind.__name__: hb.bias_variance(kind(1.0, 0.9), np.linspace(0, 2, 50), steps=2)
    ...         for kind in (hb.HeavyBall, hb.Nesterov)}
    >>> hb.figures.plot_bias_variance(runs, show="variance", lr=1.0).get_ylabel()
    'variance of the position after step 2'
    """
    one_of("show", show, _SHOWN)
    ax = axes_for(ax, 4.4, 3.4)
    curves = {"": found} if isinstance(found, BiasVariance) else found
    number, after = 0, 0
    for label, each in curves.items():
        table = getattr(each, show)
        after = range(each.mean.shape[-1])[step]
        shown = table if show == "stationary_variance" else table[..., after]
        curvature = np.broadcast_to(each.curvature, shown.shape) * (1.0 if lr is None else lr)
        for index in np.ndindex(shown.shape[:-1]):
            ax.plot(curvature[index], np.where(np.isfinite(shown[index]), shown[index], np.nan),
                    color=LINES[number % len(LINES)], linestyle=_DASHES[number % len(_DASHES)], linewidth=1.4,
                    label=f"{label}{list(index) if index else ''}".strip() or "_")  # fmt: skip
            number += 1
    when = "" if show == "stationary_variance" else f" after step {after}"
    ax.set(xlabel=r"curvature $\lambda$" if lr is None else r"$q = \eta\lambda$", ylabel=_SHOWN[show] + when)
    ax.margins(x=0.01)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=SMALL, **below(ax))
    return ax
