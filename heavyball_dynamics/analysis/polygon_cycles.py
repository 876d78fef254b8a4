"""Cycles on regular polygons: losses, made for a method, on which it goes round for ever."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from heavyball_dynamics._batching import leaves, rebuild
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray, State
from heavyball_dynamics._validation import count, one_number, require, require_numbers
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices
from heavyball_dynamics.objectives.polygon_well import PolygonWell


@dataclass(frozen=True)
class PolygonCycle:
    """Whether a method goes round a regular polygon on some loss of a class, and that loss.

    Attributes
    ----------
    exists : bool
    period, winding : int
        Steps of a round, and how often it goes round the origin.
    gain : complex
        c: the gradients are the query points, turned and stretched by it.
    angle, limit : float
        What must not be larger than what, in radians.
    attracts : bool
        Whether runs that start near the cycle tend to it.
    points : array (period, 2)
        Query points, on the unit circle.
    states : NamedTuple, or None
        The whole states, with leaves (period, 2): a batch from which `iterate` goes on.
    loss : PolygonWell, or None
        The loss; None where there is no cycle.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.polygon_cycle(hb.HeavyBall(lr=1 / 9, momentum=4 / 9), 1.0, 25.0, period=3))
    it cycles with period 3 on a loss with curvatures in [1, 25]: angle 0.89687 of at most 1.0472; the cycle attracts
    """

    exists: bool
    period: int
    winding: int
    gain: complex
    angle: float
    limit: float
    attracts: bool
    points: FloatArray
    states: State | None
    loss: PolygonWell | None
    strong_convexity: float
    smoothness: float

    def summary(self) -> str:
        """Return whether there is a cycle, in a line."""
        where = f"curvatures in [{self.strong_convexity:g}, {self.smoothness:g}]"
        turns = f", going round {self.winding} times" if self.winding > 1 else ""
        if not self.exists:
            return (f"no polygon of period {self.period}{turns} on any loss with {where}: angle {self.angle:.5g} of at "
                    f"most {self.limit:.5g}")  # fmt: skip
        return (f"it cycles with period {self.period}{turns} on a loss with {where}: angle {abs(self.angle):.5g} of at "
                f"most {self.limit:.5g}; the cycle {'attracts' if self.attracts else 'does not attract'}")  # fmt: skip

    def __str__(self) -> str:
        return self.summary()


def polygon_cycle(
    method: Method, strong_convexity: float, smoothness: float, period: int, *, winding: int = 1
) -> PolygonCycle:
    r"""Tell whether a method can go round a regular polygon on a strongly convex, smooth loss, and on which.

    Let G be the method's transfer function from gradient to query point. It goes round the points
    :math:`z^k`, :math:`z = e^{2\pi i p/K}`, with the gradients :math:`c z^k`, c = 1/G(z). A loss with these gradients
    exists if and only if

    .. math:: \Bigl|\arg\frac{c - \mu}{L - c}\Bigr| \le \frac\pi K

    that is if c is in the lens between two arcs through μ and L. It is then `hb.PolygonWell`.

    Parameters
    ----------
    method : Method
        Any linear rule with scalar hyperparameters and one gradient a step.
    strong_convexity, smoothness : float
        Bounds on the curvature, 0 < μ < L, in units of loss / position².
    period : int
        Steps of a round K >= 2.
    winding : int
        Turns of a round p, 1 <= p < K, without a common divisor with K.

    Returns
    -------
    PolygonCycle

    Raises
    ------
    ValueError
        If a number is out of its range, or the rule is not linear, batched, or asks for several gradients.
    TypeError
        If `method` is no method.

    Notes
    -----
    The values of the loss at the points may be taken equal, by averaging over the rotations of the polygon, and the
    conditions for interpolation (Taylor, Hendrickx, Glineur, Math. Program. 161, 2017, theorem 4) become the angle: the
    point is the corner plus what it is pushed outward, and must lie in the corner's normal cone, of half-angle π/K.
    Cycles of other shapes are not excluded by the angle.

    References
    ----------
    Goujaud, Taylor, Dieuleveut, "Provable non-accelerations of the heavy-ball method", Math. Program. 2025,
    arXiv:2307.11291, where the heavy ball is worked out.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> method = hb.HeavyBall(lr=1 / 9, momentum=4 / 9)
    >>> found = hb.polygon_cycle(method, 1.0, 25.0, period=3)
    >>> run = hb.iterate(method, found.loss, found.states, steps=300)
    >>> bool(np.allclose(run.position[:, -1], found.points))
    True
    """
    require_method("method", method)
    require_numbers(method)
    low, high = one_number("strong_convexity", strong_convexity), one_number("smoothness", smoothness)
    require("strong_convexity", low, low > 0, "> 0")
    require("smoothness", high, high > low, "> strong_convexity")
    steps, turns = count("period", period, 2), count("winding", winding, 1)
    if turns >= steps or gcd(turns, steps) > 1:
        raise ValueError(f"`winding` must be below the period and share no divisor with it. Received {turns} for the "
                         f"period {steps}.")  # fmt: skip
    matrices = one_gradient(method)
    if matrices.A.ndim > 2:
        raise ValueError(f"`method` must have scalar hyperparameters. Received {method!r}.")
    bottom, top = float(low), float(high)
    solved = response(matrices, 2 * np.pi * turns / steps)
    gain = complex(solved[-1])
    angle, limit = float(corner_angle(solved[-1], bottom, top)), np.pi / steps
    exists = bool(abs(angle) <= limit)
    around = np.exp(2j * np.pi * turns * np.arange(steps) / steps)
    loss = states = None
    attracts = False
    if exists:
        corner = (top - gain) / (top - bottom)
        loss = PolygonWell(bottom, top, steps, abs(corner), float(np.angle(corner)))
        template = method.init(np.zeros(2), np.zeros(2), loss)
        parts = [_plane(value * around) for value in solved[: len(leaves(template))]]
        states = rebuild(template, list(parts))
        radius = np.abs(np.linalg.eigvals(matrices.loop(np.array([top])))).max()
        attracts = bool(abs(angle) < limit and radius < 1)
    return PolygonCycle(exists, steps, turns, gain, angle, limit, attracts, _plane(around), states, loss, bottom, top)


def _plane(values: ComplexArray) -> FloatArray:
    return np.stack([values.real, values.imag], axis=-1)


def one_gradient(method: Any) -> StateMatrices:
    """Return the matrices of a rule that asks for one gradient a step, or say that it does not."""
    matrices = state_matrices(method)
    if matrices.B.shape[-1] != 1:
        raise ValueError(f"`method` must ask for one gradient a step. Received {method!r}, which asks for "
                         f"{matrices.B.shape[-1]}.")  # fmt: skip
    return matrices


def response(matrices: StateMatrices, turn: float) -> ComplexArray:
    """Return the state (first) and the gradient (last) that keep the query point going round, (*batch, state + 1).

    The bordered system also has an answer where the rule itself has a pole. NaN where nothing moves the query point.
    """
    size = matrices.A.shape[-1]
    z = np.exp(1j * turn) * np.eye(size)
    system = np.block([[z - matrices.A, -matrices.B], [matrices.C, matrices.D]]).astype(np.complex128)
    scale = np.abs(system).max(axis=(-2, -1), initial=1.0)
    dead = np.abs(np.linalg.det(system / scale[..., None, None])) < 1e-280
    system = np.where(dead[..., None, None], np.eye(size + 1), system)
    answer = np.linalg.solve(system, np.eye(size + 1)[:, -1:])[..., 0]
    return np.asarray(np.where(dead[..., None], np.nan, answer))


def corner_angle(gain: ComplexArray, low: float, high: float) -> FloatArray:
    """Return arg((c - μ)/(L - c)), (*batch,)."""
    return np.asarray(np.angle((gain - low) * np.conj(high - gain)))


def polygon_periods(method: Any, low: float, high: float, longest: int) -> tuple[IntArray, IntArray]:
    """Return the shortest period of a polygon that exists, 0 where none does, and its winding, (*batch,)."""
    matrices = one_gradient(method)
    shape = matrices.A.shape[:-2]
    periods = windings = np.zeros(shape, dtype=np.int64)
    for steps in range(2, longest + 1):
        for turns in (p for p in range(1, steps // 2 + 1) if gcd(p, steps) == 1):
            angle = corner_angle(response(matrices, 2 * np.pi * turns / steps)[..., -1], low, high)
            new = (periods == 0) & (np.abs(angle) <= np.pi / steps)
            periods, windings = np.where(new, steps, periods), np.where(new, turns, windings)
    return periods, windings


