"""What all figures share: one colour and one marker per damping class, legends, files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import IntArray
from heavyball_dynamics.analysis.damping_class import DampingClass

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Seven of the ten hues of Petroff, "Accessible color sequences for data visualization", 2021: a choice whose closest
# two are farthest apart, in CIE L*a*b*, under the worst of full colour vision, deuteranopia and protanopia.
COLOURS = {
    DampingClass.DIVERGENT: "#bd1f01",
    DampingClass.MARGINAL: "#717581",
    DampingClass.UNDAMPED: "#92dadd",
    DampingClass.UNDERDAMPED: "#3f90da",
    DampingClass.CRITICAL: "#a96b59",
    DampingClass.OVERDAMPED: "#ffa90e",
    DampingClass.ALTERNATING: "#b9ac70",
}
MARKERS = {
    DampingClass.DIVERGENT: "X",
    DampingClass.MARGINAL: "s",
    DampingClass.UNDAMPED: "p",
    DampingClass.UNDERDAMPED: "o",
    DampingClass.CRITICAL: "D",
    DampingClass.OVERDAMPED: "^",
    DampingClass.ALTERNATING: "v",
}
# Curves that stand for no class: dark lines of different dashes tell them apart without any colour.
LINES = ("#1b1b1b", "#e76300", "#832db6", "#3f90da", "#717581", "#a96b59")
SMALL = 7.5  # points, of legends and labels inside the axes


def class_colour(damping: int) -> str:
    """Return the colour of a class.

    Parameters
    ----------
    damping : int
        A class as an integer of `DampingClass`.

    Returns
    -------
    str

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.figures.class_colour(hb.DampingClass.UNDERDAMPED)
    '#3f90da'
    """
    return COLOURS[DampingClass(int(damping))]


def class_marker(damping: int) -> str:
    """Return the marker of a class.

    Parameters
    ----------
    damping : int
        A class as an integer of `DampingClass`.

    Returns
    -------
    str

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.figures.class_marker(hb.DampingClass.DIVERGENT)
    'X'
    """
    return MARKERS[DampingClass(int(damping))]


def class_legend(ax: Axes, damping: IntArray | Iterable[int], *, patches: bool = False, **keywords: Any) -> Legend:
    """Add a legend of the classes that occur, in the order of `DampingClass`.

    Parameters
    ----------
    ax : Axes
        Where to put it.
    damping : array of int
        The classes drawn.
    patches : bool
        Show areas instead of markers.
    **keywords
        Passed on to ``ax.legend``; ``handles`` are put after the classes.

    Returns
    -------
    Legend

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot(hb.stability_map())
    >>> [text.get_text() for text in hb.figures.class_legend(ax, [5, 3, 3]).get_texts()]
    ['underdamped', 'overdamped']
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for which in sorted({DampingClass(int(c)) for c in np.ravel(np.asarray(damping))}):
        if patches:
            handles.append(Patch(facecolor=COLOURS[which], label=which.label))
        else:
            handles.append(
                Line2D([], [], linestyle="", marker=MARKERS[which], markerfacecolor=COLOURS[which],
                       markeredgecolor="black", markeredgewidth=0.6, markersize=6, label=which.label)
            )  # fmt: skip
    handles += keywords.pop("handles", [])
    return ax.legend(handles=handles, **{"fontsize": SMALL, "framealpha": 0.9, **keywords})


def below(ax: Axes, columns: int = 3) -> dict[str, Any]:
    """Return the keywords of a legend below the axes and their label, where it covers nothing."""
    from matplotlib.transforms import offset_copy

    place = offset_copy(ax.transAxes, ax.get_figure(root=True), y=-36.0, units="points")
    return {
        "loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": place, "ncols": columns,
        "frameon": False, "borderaxespad": 0.0, "columnspacing": 1.2, "handletextpad": 0.4,
    }  # fmt: skip


def axes_for(ax: Axes | None, width: float = 4.2, height: float = 3.4) -> Axes:
    """Return the axes given, or those of a new figure of that size in inches."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    _, new = plt.subplots(figsize=(width, height), layout="constrained")
    return new


def draw_marks(ax: Axes, x: Any, y: Any, damping: Any, *, size: float = 34.0, zorder: float = 5.0) -> None:
    """Scatter points in the colours and markers of their classes, one collection a class."""
    horizontal, vertical, which = np.broadcast_arrays(np.asarray(x), np.asarray(y), np.asarray(damping))
    for each in np.unique(which):
        here = which == each
        ax.scatter(
            horizontal[here], vertical[here], s=size, c=class_colour(int(each)), marker=class_marker(int(each)),
            edgecolors="black", linewidths=0.6, zorder=zorder, label=f"_{DampingClass(int(each)).label}",
        )  # fmt: skip


def save(
    figure: Figure, path: str | Path, formats: Sequence[str] = ("png", "pdf"), dpi: float = 200,
) -> list[Path]:
    """Write a figure, one file a format; text stays text in PDF (TrueType) and SVG.

    Parameters
    ----------
    figure : Figure
        What to write.
    path : str or Path
        Without a suffix.
    formats : sequence of str
        Any that matplotlib writes.
    dpi : float
        Dots per inch of what is not a vector.

    Returns
    -------
    list of Path
        The files written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot(hb.root_locus(hb.HeavyBall(1.0, 0.5)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in hb.figures.save(ax.figure, pathlib.Path(folder) / "locus")]
    ['locus.png', 'locus.pdf']
    """
    import matplotlib as mpl

    base = Path(path)
    files = [base.with_name(f"{base.name}.{suffix}") for suffix in formats]
    with mpl.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}):
        for file in files:
            figure.savefig(file, dpi=dpi, bbox_inches="tight")
    return files
