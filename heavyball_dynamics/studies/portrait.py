"""Phase portraits of planar flows: field, orbits, equilibria, separatrices, nullclines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Flow, ObjectiveLike
from heavyball_dynamics._types import ArrayLike, ComplexArray, FloatArray, IntArray
from heavyball_dynamics._validation import count, points, real_array, require
from heavyball_dynamics.algorithms._phases import is_hybrid
from heavyball_dynamics.algorithms.flows import HeavyBallFlow
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.studies._equilibria import Equilibria, find_equilibria, find_resting_places
from heavyball_dynamics.studies._paths import branches, orbits, orbits_in_phases
from heavyball_dynamics.studies._plane import Plane

_FINE = 6  # cells of the fine grid in one of the coarse one
_OFFSET = 1e-6  # separatrices start this far from their saddle, in half widths of the window
_FLAT = 1e-6  # saddles with a weaker eigenvalue, relative to the other one, are drawn with straight separatrices
_LENGTH = 30.0  # and are followed for this many half widths
_PACE = 0.05  # in half widths: closer to its equilibria than this a separatrix is followed more slowly
_PERIODS = 2000.0  # orbits last at most this many of the shortest time scale
_TURNS = 5.0
_TIMES = 1200


@dataclass(frozen=True)
class PhasePortrait(Drawable):
    """A planar flow in a window.

    Attributes
    ----------
    labels : (str, str)
        Names of the two axes.
    limits : array (2, 2)
        The window, (low, high) for the horizontal and the vertical axis.
    x, y : array (column,), (row,)
        Coarse grid.
    field : array (row, column, 2)
        Vector field on the coarse grid: where arrows stand.
    fine_x, fine_y, fine_field : array (column,), (row,), (row, column, 2)
        The same on a finer grid. The zero contour of a component is the nullcline of that coordinate.
    time : array (time,)
    orbits : array (orbit, time, 2)
        NaN where an orbit is outside the window, and for good once it has gone far from it.
    equilibria : array (equilibrium, 2)
        Zeros of the field inside the window.
    eigenvalues : array (equilibrium, 2)
        Eigenvalues of the Jacobian there.
    damping : array (equilibrium,)
        Class of the dominant eigenvalue or pair, as an integer of `DampingClass`.
    kind : tuple of str
        "stable node", "stable focus", "critical node", "centre", "saddle", "unstable node", "unstable focus",
        "degenerate" (an eigenvalue is zero) or "non-isolated" (one point of a line of equilibria). A centre is one of
        the linearization. Under friction of a power below 1, where there is none: "creeping" or, for dry friction,
        "sticking", one point of an interval of rest; their eigenvalues are those without that friction.
    stable_separatrices, unstable_separatrices : array (branch, point, 2)
        Both branches of the stable and of the unstable manifold of each saddle, from the saddle outwards, NaN outside
        the window. The stable ones divide the basins.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> well = hb.from_sympy("(x**2 - 1)**2/4", "x")
    >>> portrait = hb.phase_portrait(hb.HeavyBallFlow(mass=1.0, damping=0.5), well)
    >>> print(portrait.summary())
    stable focus at (-1, 0), underdamped
    saddle at (0, 0), divergent
    stable focus at (1, 0), underdamped
    """

    labels: tuple[str, str]
    limits: FloatArray
    x: FloatArray
    y: FloatArray
    field: FloatArray
    fine_x: FloatArray
    fine_y: FloatArray
    fine_field: FloatArray
    time: FloatArray
    orbits: FloatArray
    equilibria: FloatArray
    eigenvalues: ComplexArray
    damping: IntArray
    kind: tuple[str, ...]
    stable_separatrices: FloatArray
    unstable_separatrices: FloatArray

    def summary(self) -> str:
        """Return the equilibria, one a line."""
        if not self.kind:
            return "no equilibrium in the window"
        return "\n".join(
            f"{kind} at ({point[0]:.6g}, {point[1]:.6g}), {DampingClass(int(damping)).label}"
            for kind, point, damping in zip(self.kind, self.equilibria, self.damping, strict=True)
        )

    def __str__(self) -> str:
        return self.summary()


def phase_portrait(
    flow: Flow, objective: ObjectiveLike, *, limits: ArrayLike | None = None, resolution: int = 25,
    starts: ArrayLike | None = None, duration: float | None = None, rtol: float = 1e-6,
) -> PhasePortrait:
    """Compute the phase portrait of a planar flow.

    Parameters
    ----------
    flow : Flow
        Any flow that does not depend on time, with scalar parameters.
    objective : objective
        With one coordinate for flows of second order, in the plane of position and velocity; with two for gradient
        flow.
    limits : ((low, high), (low, high)), optional
        The window. By default the objective's own, or one around its stationary points; velocities as large as a fall
        through it would give.
    resolution : int
        Arrows along each axis.
    starts : array (orbit, 2), optional
        Where orbits start. By default at the border, where the flow runs inward, and around equilibria that orbits do
        not run into.
    duration : float, optional
        How long they last; long enough to settle by default.
    rtol : float
        Relative tolerance of the orbits; separatrices are a thousand times more accurate.

    Returns
    -------
    PhasePortrait

    Raises
    ------
    ValueError
        If the system is not planar, depends on time or holds arrays, or a window is neither given nor known.
    TypeError
        If the flow or the objective is none.

    References
    ----------
    Guckenheimer and Holmes, "Nonlinear Oscillations, Dynamical Systems, and Bifurcations of Vector Fields", 1983,
    chapter 1.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> portrait = hb.phase_portrait(hb.HeavyBallFlow(mass=1.0, damping=2.0), hb.Quadratic([1.0]))
    >>> portrait.kind, portrait.orbits.shape[-1]
    (('critical node',), 2)
    """
    plane = Plane.of(flow, objective)
    number = count("resolution", resolution, 3)
    tolerance = real_array("rtol", rtol)
    require("rtol", tolerance, (tolerance >= 1e-9) & (tolerance <= 1e-2), "between 1e-9 and 0.01")
    frame = plane.limits(limits)
    x, y = (np.linspace(low, high, number) for low, high in frame)
    # An odd number of cells: equilibria at the centre of the window then lie inside a cell, not on its corner.
    fine_x, fine_y = (np.linspace(low, high, _FINE * (number - 1) + 2) for low, high in frame)
    with np.errstate(all="ignore"):
        field, fine = (plane.field(np.stack(np.meshgrid(*axes), axis=-1)) for axes in ((x, y), (fine_x, fine_y)))
        # A user's own flow may go in phases too; what is known of its equilibria is the field.
        rubbing = isinstance(flow, HeavyBallFlow) and flow.is_hybrid
        found = (
            find_resting_places(plane, frame, [fine_x, fine_y]) if rubbing
            else find_equilibria(plane, frame, [fine_x, fine_y], fine)
        )  # fmt: skip
        times = _times(found, field, frame, duration)
        begun = _starts(plane, frame, found) if starts is None else np.atleast_2d(points("starts", starts, 2))
        begun = begun.reshape(-1, 2)
        paths = (
            orbits_in_phases(plane, frame, begun, times, float(tolerance)) if is_hybrid(flow)
            else orbits(plane.field, frame, begun, times, float(tolerance))
        )  # fmt: skip
        fine_tolerance = 1e-3 * float(tolerance)
        stable, unstable = (_separatrices(plane, frame, found, stable=s, rtol=fine_tolerance) for s in (True, False))
    return PhasePortrait(
        plane.labels, frame, x, y, field, fine_x, fine_y, fine, times, paths, found.point, found.eigenvalues,
        found.damping, found.kind, stable, unstable,
    )  # fmt: skip


def _times(found: Equilibria, field: FloatArray, frame: FloatArray, duration: float | None) -> FloatArray:
    """Return times that are dense at the start, where orbits are fast, and long enough for the slowest eigenvalue."""
    if duration is None:
        size = np.abs(found.eigenvalues)[found.eigenvalues != 0]
        if size.size:
            decay = np.abs(found.eigenvalues.real)
            slowest = float(np.min(decay, where=decay > 1e-3 * size.max(), initial=size.max()))
            # A weakly damped spiral needs no more turns than the eye can follow.
            turning = np.abs(found.eigenvalues.imag)
            turns = _TURNS * 2 * np.pi / float(np.min(turning, where=turning > 0, initial=np.inf))
            longest = min(_PERIODS / float(size.max()), turns if turns > 0 else np.inf)
            length = min(max(5.0 / slowest, 4 * np.pi / float(size.min())), longest)
        else:
            speed = np.linalg.norm(field / (frame[:, 1] - frame[:, 0]), axis=-1)
            length = 4.0 / float(np.nanmedian(speed[speed > 0])) if np.any(speed > 0) else 1.0
    else:
        given = real_array("duration", duration)
        require("duration", given, given > 0, "> 0")
        length = float(given)
    even, early = np.linspace(0.0, length, _TIMES), np.geomspace(1e-4 * length, length, _TIMES // 3)
    return np.unique(np.concatenate([even, early]))


def _starts(plane: Plane, frame: FloatArray, found: Equilibria) -> FloatArray:
    """Return starts on the border where the flow runs inward, and around equilibria that orbits do not run into."""
    centre, half = frame.mean(axis=1), 0.5 * (frame[:, 1] - frame[:, 0])
    # Spirals fill the picture by themselves; nodes need more orbits.
    number = 6 if any("node" in kind for kind in found.kind) else 4
    side = np.linspace(-1.0, 1.0, number + 1)[:-1]
    # Once round the square, corners included.
    border = np.concatenate([np.stack(edge, axis=-1) for edge in (
        (side, 0 * side - 1), (0 * side + 1, side), (-side, 0 * side + 1), (0 * side - 1, -side),
    )])  # fmt: skip
    slope = plane.field(centre + half * border) / half
    outward = np.where(np.abs(border) == 1, border, 0.0)
    chosen = [centre + half * border[np.max(slope * outward, axis=-1) <= 0]]
    for point, kind in zip(found.point, found.kind, strict=True):
        if kind == "centre":
            others = np.linalg.norm((found.point - point) / half, axis=-1)
            room = min(1.0, float(np.min(others[others > 0], initial=np.inf)))
            inward = -1.0 if point[0] > centre[0] else 1.0
            chosen += [point + half * [inward * room * share, 0.0] for share in (0.25, 0.5, 0.75, 0.95)]
        elif kind.startswith("unstable"):
            angle = np.arange(8) * np.pi / 4
            chosen.append(point + 1e-2 * half * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    return np.concatenate([np.atleast_2d(part) for part in chosen])


def _separatrices(
    plane: Plane, frame: FloatArray, found: Equilibria, *, stable: bool, rtol: float
) -> FloatArray:
    """Return both branches of one manifold of each saddle, (branch, point, 2), the saddle first."""
    saddle, direction = found.directions(stable=stable)
    half = 0.5 * (frame[:, 1] - frame[:, 0])
    unit = direction / np.linalg.norm(direction / half, axis=-1, keepdims=True)
    begun = np.concatenate([saddle + _OFFSET * unit, saddle - _OFFSET * unit])
    rates = np.abs(found.eigenvalues.real)[[kind == "saddle" for kind in found.kind]]
    if np.any(rates.min(axis=-1) < _FLAT * rates.max(axis=-1)):
        # A solver would take for ever to leave so flat a saddle along its weak direction: the eigenlines have to do.
        along = np.concatenate([unit, -unit])[:, None, :] * np.linspace(0.0, 4.0, 401)[:, None]
        lines = np.concatenate([saddle, saddle])[:, None, :] + along
        return np.where((np.abs(lines - frame.mean(axis=1)) <= half).all(axis=-1, keepdims=True), lines, np.nan)
    pace = _PACE * float(np.min(rates, initial=np.inf))
    return branches(plane.field, frame, begun, backward=stable, pace=pace, length=_LENGTH, rtol=rtol)
