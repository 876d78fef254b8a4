"""A well with a polygon for its floor: on it methods go round for ever, if they do so on any polygon at all."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count, one_number, require
from heavyball_dynamics.objectives.base import ObjectiveBase, Window, read_only


@dataclass(frozen=True, eq=False)
class PolygonWell(ObjectiveBase):
    r"""A strongly convex and smooth loss of two coordinates, the distance from a regular polygon.

    .. math:: f(x) = \frac\mu2 |x|^2 + \frac{L-\mu}2 \operatorname{dist}(x, P)^2, \qquad
              \nabla f(x) = \mu x + (L - \mu)\bigl(x - \operatorname{proj}_P x\bigr)

    The curvature is μ above the polygon P; outside it is L straight away from an edge and μ along it, and L in all
    directions where a corner is the nearest point.

    Parameters
    ----------
    strong_convexity, smoothness : float
        Smallest and largest curvature, 0 < μ <= L, in units of loss / position².
    corners : int
        Number of corners K >= 2; two make a straight line.
    radius : float
        Distance of the corners from the origin, >= 0.
    angle : float
        Direction of the first corner, in radians.

    Raises
    ------
    TypeError, ValueError
        If a number is none, or out of its range.

    References
    ----------
    Goujaud, Taylor, Dieuleveut, "Provable non-accelerations of the heavy-ball method", Math. Program. 2025,
    arXiv:2307.11291: the loss on which the heavy ball goes round.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> loss = hb.PolygonWell(1.0, 10.0, corners=4)
    >>> loss.gradient([[0.25, 0.0], [2.0, 0.0]])
    array([[ 0.25,  0.  ],
           [11.  ,  0.  ]])
    """

    strong_convexity: float
    smoothness: float
    corners: int
    radius: float = 1.0
    angle: float = 0.0
    dim: int = field(init=False, repr=False, compare=False, default=2)

    def __post_init__(self) -> None:
        low, high = one_number("strong_convexity", self.strong_convexity), one_number("smoothness", self.smoothness)
        require("strong_convexity", low, low > 0, "> 0")
        require("smoothness", high, high >= low, ">= strong_convexity")
        radius, angle = one_number("radius", self.radius), one_number("angle", self.angle)
        require("radius", radius, radius >= 0, ">= 0")
        self._set(
            strong_convexity=float(low), smoothness=float(high), corners=count("corners", self.corners, 2),
            radius=float(radius), angle=float(angle),
        )  # fmt: skip

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the loss, (*batch,)."""
        x = self._positions(position)
        away = x - self.nearest(x)
        stiff = self.smoothness - self.strong_convexity
        return np.asarray(0.5 * self.strong_convexity * np.sum(x**2, -1) + 0.5 * stiff * np.sum(away**2, -1))

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, 2)."""
        x = self._positions(position)
        return self.smoothness * x - (self.smoothness - self.strong_convexity) * self.nearest(x)

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the Hessian, on the lines where it jumps that of one side, (*batch, 2, 2)."""
        x = self._positions(position)
        outward, along, edge, half, height = self._at_edge(x)
        inside = (outward < height)[..., None, None]
        beside = (np.abs(along) < half)[..., None, None]
        straight = np.where(inside, np.eye(2), edge[..., :, None] * edge[..., None, :])
        held = np.where(beside, straight, 0.0)  # the Jacobian of the nearest point
        return self.smoothness * np.eye(2) - (self.smoothness - self.strong_convexity) * held

    def nearest(self, position: ArrayLike, /) -> FloatArray:
        """Return the nearest point of the polygon, (*batch, 2)."""
        outward, along, edge, half, height = self._at_edge(self._positions(position))
        normal = np.stack([edge[..., 1], -edge[..., 0]], axis=-1)
        near = np.minimum(outward, height)[..., None] * normal
        return np.asarray(near + np.clip(along, -half, half)[..., None] * edge)

    @property
    def vertices(self) -> FloatArray:
        """The corners of the polygon, (corners, 2)."""
        turn = self.angle + 2 * np.pi * np.arange(self.corners) / self.corners
        return read_only(self.radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1))

    @property
    def minimizer(self) -> FloatArray:
        """The origin, (2,)."""
        return read_only(np.zeros(2))

    @property
    def window(self) -> Window:
        """The polygon, and as much again around it."""
        reach = 2.0 * self.radius if self.radius > 0 else 1.0
        return ((-reach, reach), (-reach, reach))

    def _at_edge(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float, float]:
        """Return where a point is relative to the edge that it looks at from the origin.

        The distances outward and along, the direction of the edge, half its length and its distance from the origin.
        By symmetry the nearest point of the polygon is on the same side.
        """
        step = 2 * np.pi / self.corners
        turn = np.arctan2(x[..., 1], x[..., 0]) - self.angle
        middle = self.angle + (np.floor(turn / step) + 0.5) * step
        edge = np.stack([-np.sin(middle), np.cos(middle)], axis=-1)
        outward, along = np.cos(middle) * x[..., 0] + np.sin(middle) * x[..., 1], np.sum(edge * x, axis=-1)
        return outward, along, edge, self.radius * np.sin(step / 2), self.radius * np.cos(step / 2)
