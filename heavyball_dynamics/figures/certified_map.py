"""Maps of what is proved: stable on quadratics, certified on all losses, cycling on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import BoolArray
from heavyball_dynamics.figures.stability_map import _title
from heavyball_dynamics.figures.style import SMALL, axes_for, below
from heavyball_dynamics.studies.certified_maps import CertifiedMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Light enough for labels on top; hatches tell the areas apart without any colour.
_AREAS = {
    "certified": ("#9ec5ec", "", "certified on all losses"),
    "cycling": ("#ffc966", "////", "cycles on a loss (number: period)"),
    "open": ("#ececec", "....", "open: only quadratics"),
    "divergent": ("#bd1f01", "", "diverges on a quadratic"),
}
_NAMED = 12  # periods up to here are written into the map
_LEAST = 0.004  # share of the map that an area needs to be named


def plot_certified_map(found: CertifiedMap, *, ax: Axes | None = None) -> Axes:
    r"""Draw what is known of each setting, with the limit of stability on quadratics and the periods of cycles.

    Parameters
    ----------
    found : CertifiedMap
        What `hb.certified_map` returned, with at least two learning rates and two momenta.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If an axis of the map has one value only.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.certified_map(hb.Nesterov, [0.02, 0.04], [0.0, 0.6], 1.0, 25.0)  # doctest: +SKIP
    >>> hb.figures.plot_certified_map(found).get_ylabel()  # doctest: +SKIP
    'momentum $\\beta$'
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if min(found.period.shape) < 2:
        raise ValueError(f"`found` must have at least two values on each axis. Received shape {found.period.shape}.")
    ax = axes_for(ax, 5.4, 4.2)
    x, y = found.lr, found.momentum
    masks = {"certified": found.certified, "cycling": found.cycling, "open": found.open, "divergent": ~found.stable}
    kind = np.select(list(masks.values()), range(len(masks)))
    colours = ListedColormap([area[0] for area in _AREAS.values()])
    norm = BoundaryNorm(np.arange(len(_AREAS) + 1) - 0.5, len(_AREAS))
    ax.pcolormesh(x, y, kind, cmap=colours, norm=norm, shading="nearest", rasterized=True, linewidth=0)
    handles: list[Any] = []
    for name, (colour, hatch, label) in _AREAS.items():
        if not masks[name].any():
            continue
        if hatch:
            areas = ax.contourf(x, y, masks[name].astype(float), levels=[0.5, 1.5], colors="none", hatches=[hatch])
            areas.set(edgecolor="0.45", linewidth=0.0)
        if name != "divergent":
            ax.contour(x, y, masks[name].astype(float), levels=[0.5], colors="0.35", linewidths=0.6)
        handles.append(Patch(facecolor=colour, edgecolor="0.45", hatch=hatch, linewidth=0.3, label=label))
    rates = np.minimum(found.quadratic_rate, 2.0)
    if rates.min() < 1 < rates.max():
        ax.contour(x, y, rates, levels=[1.0], colors="black", linewidths=1.8)
        handles.append(Line2D([], [], color="black", linewidth=1.8, label="limit on quadratics"))
    _name_periods(ax, found)
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), xlabel=r"learning rate $\eta$", ylabel=r"momentum $\beta$")
    low, high = found.strong_convexity, found.smoothness
    ax.set_title(rf"{_title(found.method_name)}, {low:g} $\leq$ curvature $\leq$ {high:g}", fontsize="medium")
    ax.legend(handles=handles, fontsize=SMALL, **below(ax, 2))
    return ax


def _name_periods(ax: Axes, found: CertifiedMap) -> None:
    """Write each period where its area is widest."""
    for steps in range(2, _NAMED + 1):
        area = found.cycling & (found.period == steps)
        if np.mean(area) > _LEAST:
            row, column = _middle(area)
            ax.annotate(str(steps), (found.lr[column], found.momentum[row]), ha="center", va="center", fontsize=SMALL,
                        bbox={"facecolor": "white", "edgecolor": "0.6", "linewidth": 0.4, "pad": 1.2}, zorder=6,
                        annotation_clip=True)  # fmt: skip


def _middle(area: BoolArray) -> tuple[int, int]:
    """Return the cell that is farthest from the edge of an area."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return int(row), int(column)
