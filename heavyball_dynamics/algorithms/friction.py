"""Friction laws: forces against the motion that grow with some power of the speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import FloatArray, Hyperparameter
from heavyball_dynamics._validation import is_symbolic, non_negative

_MANY = 200  # Newton steps; a dozen do, but for powers close to 0 or very large
_DRY = 1e-20  # powers below it are 0: no speed in the range of numbers tells them apart
_SMALL = 1e-3  # what rounding can have done to a root


@dataclass(frozen=True, eq=False)
class PowerFriction(Record):
    r"""Isotropic friction that grows with a power of the speed.

    .. math:: F(v) = -a|v|^{p-1}v

    ===== ========= =============================================================================
    power name      a body of mass m that moves freely, without force
    ===== ========= =============================================================================
    0     dry       stops after the time mv₀/a; at rest it holds against every force up to a
    < 1             stops after a finite time
    1     viscous   never stops, and coasts as far as mv₀/a
    < 2             never stops from 1 on, and coasts a finite distance
    2     turbulent v = v₀/(1 + av₀t/m), x = (m/a) ln(1 + av₀t/m): no end of the distance either
    ===== ========= =============================================================================

    Parameters
    ----------
    coefficient : float or array (*batch,)
        Coefficient a >= 0, the force at speed 1, in units of force · (time / position)^p.
    power : float or array (*batch,)
        Power p >= 0 of the speed.

    Raises
    ------
    ValueError
        If a value is negative or not finite, or batch axes do not broadcast.
    TypeError
        If a value is no number.

    References
    ----------
    Coulomb, "Théorie des machines simples", 1785, for p = 0; Goodfellow, Bengio, Courville, "Deep Learning", 2016,
    section 8.3.2, on why momentum is given viscous friction and neither the dry nor the turbulent one.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.PowerFriction(coefficient=2.0, power=2.0).force([3.0, 4.0])
    array([-30., -40.])
    >>> hb.PowerFriction(coefficient=2.0, power=0.0).force([[3.0, 4.0], [0.0, 0.0]])
    array([[-1.2, -1.6],
           [ 0. ,  0. ]])
    """

    coefficient: Hyperparameter
    power: Hyperparameter

    def __post_init__(self) -> None:
        self._set(coefficient=non_negative("coefficient", self.coefficient), power=non_negative("power", self.power))
        batch_shape(self)

    @property
    def sticks(self) -> bool:
        """Whether a body, or one of a batch, may come to rest in finite time: power below 1, and some friction."""
        if is_symbolic(self.coefficient) or is_symbolic(self.power):
            return False
        return bool(np.any((np.asarray(self.power) < 1) & (np.asarray(self.coefficient) > 0)))

    def force(self, velocity: Any) -> Any:
        """Return the force -a|v|^(p-1)v on a body that moves; zero at rest, under every power.

        Parameters
        ----------
        velocity : array (*batch, dim), or a SymPy expression

        Returns
        -------
        array (*batch, dim)
        """
        if not is_symbolic(velocity):
            velocity = np.asarray(velocity)
        if _is_formula(velocity, self.power):
            factor = 1 if self.power == 1 else speed_of(velocity) ** (self.power - 1)
            return -self.coefficient * factor * velocity
        speed = speed_of(velocity)
        # The direction first: |v|^(p-1) alone overflows as the speed goes to zero.
        direction = velocity / np.where(speed == 0, 1.0, speed)
        with np.errstate(over="ignore", under="ignore"):
            return 0.0 - self.coefficient * speed**self.power * direction

    def reaction(self, velocity: Any, pull: Any) -> Any:
        """Return the force on a body that moves or is at rest, while another force pulls at it.

        Dry friction (power 0) holds a body at rest against the pull, with as much force as that takes, at most a.

        Parameters
        ----------
        velocity, pull : array (*batch, dim)

        Returns
        -------
        array (*batch, dim)
        """
        moving = self.force(velocity)
        if _is_formula(velocity, self.power) or not np.any(np.asarray(self.power) == 0):
            return moving
        size = speed_of(np.asarray(pull))
        held = -pull * np.minimum(1.0, self.coefficient / np.where(size == 0, 1.0, size))
        return np.where((np.asarray(self.power) == 0) & (speed_of(np.asarray(velocity)) == 0), held, moving)

    def dissipation(self, velocity: Any) -> Any:
        """Return the energy lost per unit time, a|v|^(p+1).

        Parameters
        ----------
        velocity : array (*batch, dim)

        Returns
        -------
        array (*batch, 1)
        """
        return self.coefficient * speed_of(velocity if is_symbolic(velocity) else np.asarray(velocity)) ** (
            self.power + 1
        )

    def proximal(self, velocity: Any, weight: Any) -> Any:
        r"""Return what implicit friction leaves of a velocity.

        .. math:: v + w\,a|v|^{p-1}v = g

        It is the proximal map of w a|v|^{p+1}/(p+1) at g: the soft threshold of the norm for p = 0, a factor for
        p = 1, the root of a quadratic for p = 2, and to machine precision the root of a scalar equation otherwise.

        Parameters
        ----------
        velocity : array (*batch, dim)
            The velocity g without friction.
        weight : float or array (*batch, 1)
            The weight w >= 0: time step over mass.

        Returns
        -------
        array (*batch, dim)
            Parallel to g and never longer.

        Examples
        --------
        >>> import heavyball_dynamics as hb
        >>> hb.PowerFriction(coefficient=1.0, power=0.0).proximal([3.0, 4.0], weight=2.0)
        array([1.8, 2.4])
        >>> float(hb.PowerFriction(coefficient=1.0, power=2.0).proximal([6.0], weight=1.0)[0])
        2.0
        """
        if not is_symbolic(velocity):
            velocity = np.asarray(velocity)
        pull = weight * self.coefficient
        if _is_formula(velocity, self.power) or is_symbolic(pull):
            return self._symbolic_factor(velocity, pull) * velocity
        if np.ndim(self.power) == 0 and self.power == 1:
            return velocity / (1.0 + np.asarray(pull))
        return self.share(speed_of(velocity), weight) * velocity

    def share(self, speed: Any, weight: Any) -> FloatArray:
        """Return the part of a speed that `proximal` leaves, r/g for the r >= 0 with r + w·a·r^p = g.

        Parameters
        ----------
        speed : array (*batch, 1)
            The speed g without friction.
        weight : float or array (*batch, 1)
            The weight w >= 0.

        Returns
        -------
        array (*batch, 1)
        """
        with np.errstate(all="ignore"):
            return _shrink(*np.broadcast_arrays(speed, weight * self.coefficient, self.power))

    def _symbolic_factor(self, velocity: Any, pull: Any) -> Any:
        xp = namespace(velocity, pull, self.power)
        if self.power == 0:
            speed = speed_of(velocity)
            return xp.where(xp.greater(speed, pull), 1 - pull / speed, 0)
        if self.power == 1:
            return 1 / (1 + pull)
        if self.power == 2:
            return 2 / (1 + xp.sqrt(1 + 4 * pull * speed_of(velocity)))
        raise NotImplementedError(
            f"`power` must be 0, 1 or 2 where implicit friction is written as a formula. Received {self.power}."
        )


def speed_of(velocity: Any) -> Any:
    """Return the norm over the last axis, kept as an axis of length one; of a SymPy scalar its absolute value."""
    xp = namespace(velocity)
    if not np.ndim(velocity) or velocity.shape[-1] == 1:
        return xp.abs(velocity)
    if velocity.dtype == object:
        return xp.sqrt(np.sum(velocity**2, axis=-1, keepdims=True))
    # Squares of what is tiny or huge leave the range of numbers.
    largest = np.max(np.abs(velocity), axis=-1, keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return scale * np.sqrt(np.sum((velocity / scale) ** 2, axis=-1, keepdims=True))


def _is_formula(velocity: Any, power: Any) -> bool:
    objects = np.ndim(velocity) > 0 and np.asarray(velocity).dtype.kind == "O"
    return objects or is_symbolic(velocity) or is_symbolic(power)


def _shrink(size: FloatArray, pull: FloatArray, power: FloatArray) -> FloatArray:
    """Return r/g for the r >= 0 with r + c·r^p = g; arrays of one shape."""
    factor = np.where(np.isfinite(size), 1.0, np.nan)
    acts = (size > 0) & (pull > 0) & np.isfinite(size)
    g, c, p = size[acts], pull[acts], power[acts]
    found = np.empty_like(g)
    dry, linear, square = p < _DRY, p == 1, p == 2
    found[dry] = np.maximum(1 - c[dry] / g[dry], 0.0)
    found[linear] = 1 / (1 + c[linear])
    # 2/(1 + √(1 + 4k)), which neither cancels for small k nor overflows for large ones.
    found[square] = 2 / (1 + np.hypot(1.0, 2 * np.sqrt(c[square]) * np.sqrt(g[square])))
    other = ~(dry | linear | square)
    if other.any():
        found[other] = _root(g[other], c[other], p[other])
    factor[acts] = found
    return factor


def _root(g: FloatArray, c: FloatArray, p: FloatArray) -> FloatArray:
    """Return y = r/g, where y + k·y^p = 1 with k = c·g^(p-1), for powers that are neither 0, 1 nor 2.

    With y = e^u both terms are exponentials, whose sum is convex: Newton's method comes down to the root from the
    point where the larger term alone is 1.
    """
    log_k = np.log(c) + (p - 1) * np.log(g)
    u = np.minimum(0.0, -log_k / p)
    for _ in range(_MANY):
        one, other = np.exp(u), np.exp(log_k + p * u)
        step = (one + other - 1) / (one + p * other)
        u = u - step
        if not np.any(np.abs(step) > 1e-15 * np.maximum(1.0, np.abs(u))):
            break
    y = np.exp(u)
    # Large logarithms have lost digits: one step on the equation itself brings them back.
    friction = c * (g * y) ** p / g
    step = (y + friction - 1) / (y + p * friction)
    return np.asarray(np.clip(np.where(np.abs(step) < _SMALL, y * (1 - step), y), 0.0, 1.0))
