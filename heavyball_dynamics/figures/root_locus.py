"""Root loci and poles in the z-plane and the s-plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import ComplexArray, FloatArray
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.loci import RootLocus
from heavyball_dynamics.analysis.modes import Modes
from heavyball_dynamics.figures.style import SMALL, axes_for, below, class_colour, class_legend, draw_marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREY = "0.82"
_FEW = 6  # this many modes are labelled with their curvatures
_STRETCH = 0.03
_FAR = 2.5  # poles up to this modulus are shown where they are
_CROWDED = 0.06  # poles closer than this to z = 1, in units of the picture, are crowded


def plot_root_locus(
    locus: RootLocus, *, modes: Modes | None = None, ax: Axes | None = None, zoom: bool | None = None
) -> Axes:
    """Draw a root locus, its break-away points and stability limits, and the modes of a loss on it.

    Parameters
    ----------
    locus : RootLocus
        What `hb.root_locus` returned.
    modes : Modes, optional
        Modes to mark, coloured by class; without batch axes.
    ax : Axes, optional
        Where to draw; a new figure by default.
    zoom : bool, optional
        Whether to add an enlargement around z = 1; by default where several modes are crowded there.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.HeavyBall(lr=0.1, momentum=0.8)
    >>> ax = hb.figures.plot_root_locus(hb.root_locus(method), modes=hb.analyze_modes(method, [0.1, 1.0]))
    >>> ax.get_xlabel(), ax.get_title()
    ('Re $z$', 'Root locus in the curvature')
    """
    ax = axes_for(ax, 4.2, 4.4)
    marked = np.empty((0,), dtype=complex) if modes is None else modes.poles.ravel()
    points = np.concatenate([locus.poles.ravel(), marked])
    _frame(ax, points, marked, discrete=locus.discrete)
    _draw(ax, locus, modes)
    _beyond(ax, marked)
    ax.set_title(f"Root locus in the {locus.parameter}".replace("the lr", "the learning rate"), fontsize="medium")
    _legend(ax, modes)
    if zoom or (zoom is None and _is_crowded(locus, modes)):
        _inset(ax, locus, modes)
    return ax


def plot_modes(modes: Modes, *, ax: Axes | None = None) -> Axes:
    """Draw the poles of modes in their plane, coloured by class.

    Parameters
    ----------
    modes : Modes
        What `hb.analyze_modes` or `hb.classify_poles` returned.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> ax = hb.figures.plot_modes(hb.analyze_modes(hb.HeavyBallFlow(1.0, 2.0), [0.5, 2.0]))
    >>> ax.get_ylabel()
    'Im $s$ (per unit time)'
    """
    ax = axes_for(ax, 4.2, 4.4)
    finite = modes.poles[np.isfinite(modes.poles)]
    _frame(ax, finite.ravel(), finite.ravel(), discrete=modes.discrete)
    draw_marks(ax, modes.poles.real, modes.poles.imag, modes.damping[..., None])
    if modes.curvature is not None and modes.damping.size <= _FEW:
        curvature = np.broadcast_to(modes.curvature, modes.damping.shape)
        for poles, value in zip(modes.poles.reshape(-1, modes.order), curvature.ravel(), strict=True):
            pole = poles[np.argmax(poles.imag)]
            side = -1 if pole.real > np.mean(ax.get_xlim()) else 1  # toward the middle, where there is room
            ax.annotate(rf"$\lambda = {value:.3g}$", (pole.real, pole.imag), xytext=(6 * side, 4), fontsize=SMALL,
                        textcoords="offset points", ha="right" if side < 0 else "left")  # fmt: skip
    class_legend(ax, modes.damping, **below(ax))
    return ax


def _draw(ax: Axes, locus: RootLocus, modes: Modes | None) -> None:
    """Draw the loci with python-control; its limits, grid and legend are ours, since it has none for given axes."""
    import control

    limits = ax.get_xlim(), ax.get_ylim()
    data = control.PoleZeroData(
        np.empty(0), np.empty(0), gains=locus.values, loci=_with_events(locus), dt=1 if locus.discrete else 0,
        sort_loci=False,
    )  # fmt: skip
    control.pole_zero_plot(data, ax=ax, color="0.25", show_legend=False, xlim=limits[0], ylim=limits[1])
    for line in ax.lines[-locus.poles.shape[1] :]:
        line.set(linewidth=1.3, zorder=3, label="_locus")
    _events(ax, locus)
    if modes is not None:
        draw_marks(ax, modes.poles.real, modes.poles.imag, modes.damping[..., None])


def _with_events(locus: RootLocus) -> ComplexArray:
    """Return the branches with break-away points put in, so that the corners there are not cut."""
    order = np.argsort(np.concatenate([locus.values, locus.breakaway]), kind="stable")
    rows = []
    for poles, value in zip(locus.breakaway_poles, locus.breakaway, strict=True):
        near = locus.poles[np.argmin(np.abs(locus.values - value))]
        rows.append([poles[np.argmin(np.abs(poles - branch))] for branch in near])
    extra = np.array(rows, dtype=complex).reshape(-1, locus.poles.shape[1])
    return np.concatenate([locus.poles, extra])[order]


def _events(ax: Axes, locus: RootLocus) -> None:
    meeting = [_meeting(poles) for poles in locus.breakaway_poles]
    style: dict[str, Any] = {"linestyle": "", "markerfacecolor": "white", "markeredgecolor": "black", "zorder": 4}
    if meeting:
        ax.plot(np.real(meeting), np.imag(meeting), marker="o", markersize=4, label="_break-away", **style)
    limit = [pole for poles in locus.stability_limit_poles for pole in _critical(poles, discrete=locus.discrete)]
    if limit:
        ax.plot(np.real(limit), np.imag(limit), marker="s", markersize=4.5, label="_stability limit", **style)


def _meeting(poles: ComplexArray) -> complex:
    """Return where the two closest branches meet."""
    i, j = np.triu_indices(len(poles), 1)
    closest = np.argmin(np.abs(poles[i] - poles[j]))
    return complex(0.5 * (poles[i[closest]] + poles[j[closest]]))


def _critical(poles: ComplexArray, *, discrete: bool) -> ComplexArray:
    distance = np.abs(np.abs(poles) - 1) if discrete else np.abs(poles.real)
    return poles[distance <= max(float(distance.min()) * 2, 1e-9)]


def _legend(ax: Axes, modes: Modes | None) -> None:
    events = [line for line in ax.lines if str(line.get_label()) in ("_break-away", "_stability limit")]
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=str(line.get_marker()), markersize=line.get_markersize(),
               markerfacecolor="white", markeredgecolor="black", label=str(line.get_label())[1:])
        for line in events
    ]  # fmt: skip
    if modes is not None or handles:
        class_legend(ax, np.empty(0, dtype=int) if modes is None else modes.damping, handles=handles, **below(ax))


def _beyond(ax: Axes, marked: ComplexArray) -> None:
    """Say how far the modes lie that are outside the picture: the poles of a setting that explodes may be anywhere."""
    left, right = ax.get_xlim()
    for outside, arrow, place, side in (
        (marked.real < left, r"\leftarrow", 0.02, "left"), (marked.real > right, r"\rightarrow", 0.98, "right"),
    ):  # fmt: skip
        if outside.any():
            farthest = marked.real[outside][np.argmax(np.abs(marked.real[outside]))]
            ax.annotate(
                f"${arrow}$ {outside.sum()} more, to {farthest:.3g}", (place, 0.53), xycoords="axes fraction", ha=side,
                va="bottom", fontsize=SMALL, color=class_colour(DampingClass.DIVERGENT), zorder=6,
            )  # fmt: skip


def _frame(ax: Axes, points: ComplexArray, marked: ComplexArray, *, discrete: bool) -> None:
    """Set limits, draw the stability boundary and the grid of damping ratios and frequencies, and label the axes."""
    finite = points[np.isfinite(points)]
    x, y = finite.real, finite.imag
    if discrete:
        ax.set_aspect("equal")
        low, high = max(float(x.min(initial=-1.0)), -1.35), min(float(x.max(initial=1.0)), 1.35)
        near = marked.real[np.abs(marked.real) < _FAR]
        low, high = min(low, float(near.min(initial=0.0))), max(high, float(near.max(initial=0.0)))
        top = min(float(np.abs(y).max(initial=1.0)), 1.35)
        ax.set(xlim=(low - 0.12, high + 0.12), ylim=(-top - 0.12, top + 0.12), xlabel="Re $z$", ylabel="Im $z$")
        _grid_z(ax)
    else:
        top = 1.1 * float(np.abs(y).max(initial=0.0))
        low, high = float(x.min(initial=0.0)), float(x.max(initial=0.0))
        if top > 0:
            # A pole that runs off along the real axis would squeeze what oscillates into a line.
            bent = x[y != 0]
            low, high = max(low, 3 * float(bent.min()) - top), min(high, 3 * float(bent.max(initial=0.0)) + top)
        span = max(high - low, 1e-300)
        top = top or 0.6 * span
        ax.set(xlim=(low - 0.1 * span, high + 0.12 * span), ylim=(-top, top))
        ax.set(xlabel="Re $s$ (per unit time)", ylabel="Im $s$ (per unit time)")
        ax.locator_params(axis="x", nbins=5)
        _grid_s(ax)


def _grid_z(ax: Axes) -> None:
    """Draw the unit circle, and z = exp(s) for constant damping ratio ζ and constant natural frequency."""
    angle = np.linspace(0.0, 2 * np.pi, 361)
    for ratio in (0.1, 0.2, 0.4):
        size = np.linspace(0.0, np.pi / np.sqrt(1 - ratio**2), 200)
        curve = np.exp(size * (-ratio + 1j * np.sqrt(1 - ratio**2)))
        for branch in (curve, curve.conj()):
            ax.plot(branch.real, branch.imag, color=_GREY, linewidth=0.6, zorder=1, label="_grid")
        at = curve[125].conj()  # below the axis and to the left: modes are labelled elsewhere
        ax.text(at.real, at.imag, rf"$\zeta={ratio}$", fontsize=7, color="0.45", ha="center", va="center", zorder=1.5,
                clip_on=True, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})  # fmt: skip
    ratio_angle = np.linspace(0.5 * np.pi, np.pi, 60)  # from undamped to critically damped
    for share in (0.25, 0.5, 0.75):
        curve = np.exp(np.pi * share * np.exp(1j * ratio_angle))
        for branch in (curve, curve.conj()):
            ax.plot(branch.real, branch.imag, color=_GREY, linewidth=0.6, linestyle=":", zorder=1, label="_grid")
    ax.plot(np.cos(angle), np.sin(angle), color="0.4", linewidth=0.9, zorder=2, label="_stability boundary")
    ax.axhline(0.0, color=_GREY, linewidth=0.6, zorder=1)
    ax.axvline(0.0, color=_GREY, linewidth=0.6, zorder=1)


def _grid_s(ax: Axes) -> None:
    """Draw the imaginary axis, and rays of constant damping ratio."""
    left, top = ax.get_xlim()[0], ax.get_ylim()[1]
    named: list[tuple[float, float]] = []
    for ratio in (0.1, 0.3, 0.6, 0.9):
        slope = np.sqrt(1 - ratio**2) / ratio
        x = max(left, -top / slope)
        for sign in (1, -1):
            ax.plot([0.0, x], [0.0, -sign * x * slope], color=_GREY, linewidth=0.6, zorder=1, label="_grid")
        at = (x / left, x * slope / top)
        if any(abs(at[0] - u) < 0.17 and abs(at[1] - v) < 0.15 for u, v in named):
            continue  # their names would lie on each other
        named.append(at)
        ax.text(0.9 * x, -0.9 * x * slope, rf"$\zeta={ratio}$", fontsize=7, color="0.45", ha="center", va="center",
                zorder=1.5, clip_on=True, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})  # fmt: skip
    ax.axhline(0.0, color=_GREY, linewidth=0.6, zorder=1)
    ax.axvline(0.0, color="0.4", linewidth=0.9, zorder=2, label="_stability boundary")


def _crowd(modes: Modes) -> FloatArray:
    """Return the distances from z = 1 (flows: s = 0) of the dominant poles."""
    return np.asarray(np.abs(modes.poles[..., 0] - (1 if modes.discrete else 0)).ravel())


def _is_crowded(locus: RootLocus, modes: Modes | None) -> bool:
    if modes is None or not locus.discrete:
        return False
    distance = _crowd(modes)
    return int(np.sum((distance < _CROWDED) & (modes.damping.ravel() != DampingClass.MARGINAL))) >= 2


def _inset(ax: Axes, locus: RootLocus, modes: Modes | None) -> None:
    """Enlarge the surroundings of z = 1, where slow modes crowd, in the emptiest corner of the picture."""
    centre = 1.0 if locus.discrete else 0.0
    distance = np.empty(0) if modes is None else _crowd(modes)
    near = distance[distance < 2 * _CROWDED]
    reach = 1.3 * float(near.max(initial=0.02))
    # Every stretch of a locus counts alike, however densely it was sampled; a hidden mode counts much more.
    even = np.unique(np.round(locus.poles.ravel() / _STRETCH)) * _STRETCH
    marked = np.empty(0) if modes is None else modes.poles.ravel()
    box = _emptiest(ax, np.concatenate([even, np.repeat(marked, 30)]))
    for text in list(ax.texts):
        u, v = ax.transAxes.inverted().transform(ax.transData.transform(text.get_position()))
        if -0.15 < u - box[0] < box[2] + 0.09 and -0.1 < v - box[1] < box[3] + 0.03:
            text.remove()  # half of it would show
    inset = ax.inset_axes(box, transform=ax.transAxes, zorder=6)
    inset.set(xlim=(centre - 1.7 * reach, centre + 0.5 * reach), ylim=(-1.1 * reach, 1.1 * reach))
    _draw(inset, locus, modes)
    angle = np.linspace(-np.pi / 3, np.pi / 3, 2001) if locus.discrete else np.zeros(1)
    if locus.discrete:
        inset.plot(np.cos(angle), np.sin(angle), color="0.4", linewidth=0.9, zorder=2, label="_stability boundary")
    inset.axhline(0.0, color=_GREY, linewidth=0.6, zorder=1)
    inset.locator_params(nbins=3)
    inset.tick_params(labelsize=7, pad=1.5)
    ax.indicate_inset_zoom(inset, edgecolor="0.3")


def _emptiest(ax: Axes, points: ComplexArray) -> tuple[float, float, float, float]:
    """Return the place, in fractions of the axes, for an inset that hides the fewest points."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    x, y = (points.real - left) / (right - left), (points.imag - bottom) / (top - bottom)
    size = 0.28
    best = (np.inf, np.inf)
    place = (0.1, 0.1)
    for a in np.arange(0.12, 0.95 - size, 0.05):
        for b in np.arange(0.1, 0.95 - size, 0.05):
            hidden = int(np.sum((x > a - 0.14) & (x < a + size + 0.06) & (y > b - 0.12) & (y < b + size + 0.04)))
            score = (float(hidden), float(np.hypot(a - 0.34, b - 0.6)))
            if score < best:
                best, place = score, (float(a), float(b))
    return (*place, size, size)
