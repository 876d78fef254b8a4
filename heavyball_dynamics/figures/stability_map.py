"""Maps of damping classes over learning rate times curvature, and momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import ArrayLike
from heavyball_dynamics._validation import one_of
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.maps import StabilityMap
from heavyball_dynamics.figures.style import COLOURS, SMALL, axes_for, below, class_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RATES = (0.5, 0.7, 0.9, 0.97, 0.99)
_AREA = 0.005  # classes with less than this share of the picture are curves, not areas


def plot_stability_map(
    found: StabilityMap, *, product: ArrayLike | None = None, momentum: ArrayLike | None = None,
    labels: Sequence[str] | None = None, ax: Axes | None = None, scale: str | None = None,
) -> Axes:
    """Draw the classes of all settings, contour lines of the rate, and the modes of a loss.

    Parameters
    ----------
    found : StabilityMap
        What `hb.stability_map` returned.
    product, momentum : array (mode,), optional
        Learning rate times curvature and momentum of modes to mark.
    labels : sequence of str, optional
        Their names.
    ax : Axes, optional
        Where to draw; a new figure by default.
    scale : str, optional
        "log" or "linear" horizontal axis; by default "log" for a map whose products grow geometrically.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the scale is neither, or labels and marks differ in number.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_stability_map(hb.stability_map(hb.Nesterov), product=[0.1, 1.0], momentum=0.9)
    >>> ax.get_title(), ax.get_xscale()
    ('Nesterov', 'linear')
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap

    positive = found.product > 0
    if scale is None:
        steps = np.diff(found.product)
        scale = "log" if positive.all() and len(steps) > 1 and steps[-1] > 3 * steps[0] else "linear"
    one_of("scale", scale, ["log", "linear"])
    ax = axes_for(ax)
    keep = positive if scale == "log" else np.ones_like(positive)
    x, y, classes = found.product[keep], found.momentum, found.damping[:, keep]
    colours = ListedColormap([COLOURS[c] for c in DampingClass])
    norm = BoundaryNorm(np.arange(len(DampingClass) + 1) - 0.5, len(DampingClass))
    ax.pcolormesh(x, y, classes, cmap=colours, norm=norm, shading="nearest", rasterized=True, alpha=0.85, linewidth=0)
    ax.set(xscale=scale, xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    ax.set(xlabel=r"learning rate $\times$ curvature $\eta\lambda$", ylabel=r"momentum $\beta$")
    ax.set_title(_title(found.method_name), fontsize="medium")
    # Where modes alternate the lines are too dense for names.
    dense = np.isin(classes, [DampingClass.ALTERNATING, DampingClass.DIVERGENT])
    for apart, named in ((dense, False), (~dense, True)):
        rate = np.ma.masked_array(found.rate[:, keep], ~apart)
        if rate.count() and rate.min() < _RATES[-1] and rate.max() > _RATES[0]:
            lines = ax.contour(x, y, rate, levels=_RATES, colors="white", linewidths=0.7)
            if named:
                ax.clabel(lines, fontsize=7, fmt="%g", inline_spacing=2)
    shares = {c: float(np.mean(classes == c)) for c in DampingClass}
    shown = [c for c in DampingClass if shares[c] > _AREA]
    slow = classes == DampingClass.OVERDAMPED
    handles = []
    if slow.any() and not slow.all():
        from matplotlib.lines import Line2D

        beyond = [DampingClass.UNDERDAMPED, DampingClass.UNDAMPED, DampingClass.CRITICAL]
        beside = np.where(np.isin(classes, beyond) | slow, slow, np.nan)
        ax.contour(x, y, beside, levels=[0.5], colors=COLOURS[DampingClass.CRITICAL], linewidths=1.8)
        handles.append(Line2D([], [], color=COLOURS[DampingClass.CRITICAL], label=DampingClass.CRITICAL.label))
    _mark(ax, product, momentum, labels)
    class_legend(ax, [c for c in shown if c is not DampingClass.CRITICAL], patches=True, handles=handles, **below(ax))
    return ax


def _mark(
    ax: Axes, product: ArrayLike | None, momentum: ArrayLike | None, labels: Sequence[str] | None
) -> None:
    if product is None or momentum is None:
        return
    x, y = (np.ravel(a) for a in np.broadcast_arrays(np.asarray(product, float), np.asarray(momentum, float)))
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    inside = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    ax.plot(x[inside], y[inside], linestyle="", marker="o", markersize=5, markerfacecolor="white",
            markeredgecolor="black", zorder=5, label="_modes", clip_on=False)  # fmt: skip
    if labels is None:
        return
    if len(labels) != len(x):
        raise ValueError(f"`labels` must be one name a mode, {len(x)} here. Received {len(labels)}.")
    rank = np.argsort(np.argsort(x))
    for name, horizontal, vertical, place, shown in zip(labels, x, y, rank, inside, strict=True):
        if not shown:
            continue
        side = -1 if place % 2 else 1  # neighbours' names do not meet
        ax.annotate(name, (horizontal, vertical), xytext=(0, -6 * side), textcoords="offset points", fontsize=SMALL,
                    ha="center", va="top" if side > 0 else "bottom", zorder=6,
                    bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6})  # fmt: skip


def _title(name: str) -> str:
    return "".join(f" {c.lower()}" if c.isupper() and i else c for i, c in enumerate(name))
