"""The roots of a(z)z^d + λb(z) followed along λ, all at once.

The degree of a and b is that of the rule without its delay: values and slopes cost the same for every d, and no
companion matrix, whose eigenvalues near zero are ill-conditioned, is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import polynomial
from scipy.optimize import linear_sum_assignment

from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis.linear import StateMatrices

_EPS = float(np.finfo(np.float64).eps)
_JUMP = 0.03  # how far a root may move from one value to the next
_STEP = 0.3  # how far λ may: this much in its logarithm
_GONE = 1e-12  # coefficients this small beside the largest one are rounding
_ROUNDS = 200


@dataclass(frozen=True)
class DelayedPolynomial:
    """The polynomial a(z)z^d + λb(z), coefficients from the constant term up, those of a in powers of z - 1.

    ``zeros`` roots at z = 0, common to both parts for every λ, have been taken out of b and of d.
    """

    a: FloatArray
    b: FloatArray
    delay: int
    zeros: int
    open_poles: ComplexArray

    @staticmethod
    def of(matrices: StateMatrices, delay: int) -> DelayedPolynomial:
        """Return the characteristic polynomial of a rule that asks for one gradient, with a delay in its loop."""
        increment = matrices.A - np.eye(len(matrices.A))
        a, b = _transfer(increment, matrices.B, matrices.C)
        b = _at_zero(b)
        b = np.where(np.abs(b) <= _GONE * np.abs(b).max(), 0.0, b)
        zeros = min(delay, int(np.argmax(b != 0)))
        b = np.trim_zeros(b[zeros:], "b")
        return DelayedPolynomial(a, b, delay - zeros, zeros, 1 + np.linalg.eigvals(increment).astype(complex))

    @property
    def degree(self) -> int:
        """Number of roots that are followed."""
        return len(self.a) - 1 + self.delay

    def newton(self, z: ComplexArray, gain: float) -> tuple[ComplexArray, FloatArray, ComplexArray]:
        """Return p/p', |p| in units of what rounding makes of zero, and dz/dlog λ at points z."""
        d, shifted = self.delay, z - 1
        a, b = polynomial.polyval(shifted, self.a), gain * polynomial.polyval(z, self.b)
        slope_a = polynomial.polyval(shifted, polynomial.polyder(self.a))
        slope_b = gain * polynomial.polyval(z, polynomial.polyder(self.b))
        power = z ** max(d - 1, 0)
        whole = power * z if d else power
        value = a * whole + b
        slope = slope_a * whole + (d * a * power if d else 0) + slope_b
        size = polynomial.polyval(np.abs(shifted), np.abs(self.a)) * np.abs(whole)
        size += gain * polynomial.polyval(np.abs(z), np.abs(self.b))
        slope = np.where(slope == 0, 1e-300, slope)
        error = np.asarray(np.abs(value) / ((8 + d) * _EPS * size + 1e-300))
        return np.asarray(value / slope), error, np.asarray(-b / slope)

    def roots(self, guess: ComplexArray, gain: float) -> ComplexArray:
        """Return all roots, by simultaneous iteration from guesses."""
        z = guess.copy()
        for _ in range(_ROUNDS):
            step, error, _ = self.newton(z, gain)
            away = z[:, None] - z[None, :]
            away[np.diag_indices(len(z))] = np.inf
            away[away == 0] = _EPS
            step = step / (1 - step * np.sum(1 / away, axis=1))
            # Far outside all roots powers would overflow.
            step *= np.minimum(1.0, 0.25 * (1 + np.abs(z)) / np.maximum(np.abs(step), 1e-300))
            open_ = (error > 1) & (np.abs(step) > 2 * _EPS * np.abs(z))
            if not open_.any():
                break
            z = np.where(open_, z - step, z)
        return _without_rounding(z)

    def _polished(self, guess: ComplexArray, gain: float) -> ComplexArray | None:
        """Return the roots that Newton's method finds, or None where it does not settle."""
        z = guess
        for _ in range(8):
            with np.errstate(all="ignore"):  # one that runs away is noticed below
                step, error, _ = self.newton(z, gain)
            if not np.all(np.isfinite(step)):
                return None
            open_ = (error > 1) & (np.abs(step) > 2 * _EPS * np.abs(z))
            if not open_.any():
                return _without_rounding(z)
            z = np.where(open_, z - step, z)
        return None

    def small_roots(self, gain: float) -> ComplexArray:
        """Return the roots for a small λ: near zero the d-th roots of -λb(0)/a(0), the others near those of a.

        The first ones come first, in the order of their angles.
        """
        around = self.open_poles[np.argsort(-np.abs(self.open_poles))]
        at_zero = int(np.sum(np.abs(around) <= _GONE))
        number = self.delay + at_zero
        if self.b[0] == 0 or number == 0:
            full = polynomial.polyadd(np.concatenate([np.zeros(self.delay), _at_zero(self.a)]), gain * self.b)
            guess = polynomial.polyroots(full).astype(complex)
            return self.roots(guess + 1e-9j * np.arange(len(guess)), gain)
        around = nonzero = around[: len(around) - at_zero]
        ratio = -gain * self.b[0] / np.prod(-around).real
        while len(around) and abs(ratio) ** (1 / number) >= 0.98 * abs(around[-1]):
            # The roots from zero have overtaken this pole already: it is one of them.
            around, number = around[:-1], number + 1
            ratio = -gain * self.b[0] / np.prod(-around).real
        turns = 2j * np.pi * np.arange(number)
        cluster = np.exp((np.log(complex(ratio)) + turns) / number)
        for _ in range(30):
            rest = np.prod(cluster[:, None] - nonzero, axis=1) / cluster ** (len(nonzero) - len(around))
            now = -gain * polynomial.polyval(cluster, self.b) / rest
            cluster = np.exp((np.log(complex(ratio)) + np.log(now / ratio) + turns) / number)
        guess = np.concatenate([cluster, around])
        found = self._polished(guess, gain)
        if found is not None and np.all(np.abs(found - guess) < 0.3 * _nearest(guess)):
            return found
        # Apart from each other and from the real axis, where they could not part.
        return self.roots(guess * (1 + 1e-6j * (1 + np.arange(len(guess)) % 7)), gain)

    def follow(self, roots: ComplexArray, old: float, new: float) -> tuple[ComplexArray, bool]:
        """Return the roots at log λ = new in the order of those at `old`, and whether none moves too far."""
        speed = self.newton(roots, float(np.exp(old)))[2] * (new - old)
        size = np.abs(speed)
        guess = roots + speed * np.minimum(1.0, _JUMP / np.maximum(size, 1e-300))
        nearest = _nearest(guess)
        target = float(np.exp(new))
        found = self._polished(guess, target)
        # Disjoint surroundings: no two have gone to the same root.
        if found is not None and np.all(np.abs(found - guess) < 0.3 * nearest):
            return found, bool(np.abs(found - roots).max(initial=0.0) <= _JUMP)
        # Two that may meet start from a place where they can turn: off the real axis and off its normal.
        turn = np.where(np.arange(len(guess)) < _neighbour(guess), 1, -1) * (0.2 + 0.3j)
        found = self.roots(guess + np.where(nearest < 3 * _JUMP, nearest, 0.0) * turn, target)
        if np.any(np.abs(found - guess) > 0.3 * nearest):
            found = found[linear_sum_assignment(np.abs(guess[:, None] - found[None, :]))[1]]
        return found, bool(np.abs(found - roots).max(initial=0.0) <= _JUMP)

    def track(self, roots: ComplexArray, stops: FloatArray) -> tuple[FloatArray, ComplexArray]:
        """Return log λ, and the roots (value, root), from the first stop through all the others to the last.

        Between stops there are as many values as it takes.
        """
        times, rows = [float(stops[0])], [roots]
        step = _STEP
        for stop in stops[1:]:
            while times[-1] < stop:
                speed = float(np.abs(self.newton(rows[-1], float(np.exp(times[-1])))[2]).max(initial=0.0))
                step = max(min(2 * step, _STEP, 0.7 * _JUMP / max(speed, 1e-300)), 1e-9)
                while True:
                    time = min(times[-1] + step, float(stop))
                    if stop - time < 1e-3 * step:
                        time = float(stop)
                    found, near = self.follow(rows[-1], times[-1], time)
                    if near or step <= 1e-11:
                        break
                    step *= 0.5
                times.append(time)
                rows.append(found)
        return np.array(times), np.stack(rows)

    def breakaways(self) -> tuple[FloatArray, ComplexArray]:
        """Return the positive λ at which two roots meet, increasing, and where they do.

        λ = -a z^d/b is stationary there: a'bz + dab - ab'z = 0, of a degree that does not depend on d.
        """
        a = _at_zero(self.a)
        b, slope_a, slope_b = self.b, polynomial.polyder(a), polynomial.polyder(self.b)
        z = np.array([0.0, 1.0]) if self.delay else np.array([1.0])
        stationary = polynomial.polyadd(
            polynomial.polymul(z, polynomial.polysub(polynomial.polymul(slope_a, b), polynomial.polymul(a, slope_b))),
            self.delay * polynomial.polymul(a, b),
        )
        points = polynomial.polyroots(np.trim_zeros(stationary, "b")).astype(complex)
        with np.errstate(all="ignore"):
            gains = -polynomial.polyval(points - 1, self.a) * points**self.delay / polynomial.polyval(points, b)
        good = np.isfinite(gains) & (np.abs(gains.imag) <= 1e-9 * np.abs(gains)) & (gains.real > 0)
        good &= (np.abs(points) > _GONE) | (self.delay == 0)  # with a delay that is where the locus begins
        # Where poles of the open loop coincide they meet at λ = 0.
        good &= (np.abs(points[:, None] - self.open_poles).min(axis=1, initial=1.0) > 1e-9)
        order = np.argsort(gains[good].real)
        return np.asarray(gains[good].real[order]), points[good][order]


def _distances(z: ComplexArray) -> FloatArray:
    distance = np.abs(z[:, None] - z[None, :])
    distance[np.diag_indices(len(z))] = np.inf
    return distance


def _nearest(z: ComplexArray) -> FloatArray:
    """Return the distance of each point from its nearest neighbour."""
    return np.asarray(_distances(z).min(axis=1))


def _neighbour(z: ComplexArray) -> IntArray:
    return np.asarray(_distances(z).argmin(axis=1))


def _without_rounding(z: ComplexArray) -> ComplexArray:
    """Return roots without what rounding leaves of an imaginary part."""
    return np.where(np.abs(z.imag) <= 4 * _EPS * np.abs(z), z.real + 0j, z)


def _transfer(increment: FloatArray, B: FloatArray, C: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return det(σ - S) and -C adj(σ - S) B in powers of σ = z - 1, by the recursion of Faddeev and LeVerrier."""
    order = len(increment)
    a, b = np.zeros(order + 1), np.zeros(order)
    a[order], adjugate = 1.0, np.eye(order)
    for j in range(1, order + 1):
        b[order - j] = -(C @ adjugate @ B)[0, 0]
        moved = increment @ adjugate
        a[order - j] = -np.trace(moved) / j
        adjugate = moved + a[order - j] * np.eye(order)
    return a, b


def _at_zero(coefficients: FloatArray) -> FloatArray:
    """Return a polynomial in z - 1 as one in z."""
    result = np.zeros(1)
    for value in coefficients[::-1]:
        result = polynomial.polyadd(polynomial.polymul(result, [-1.0, 1.0]), [value])
    return np.concatenate([result, np.zeros(len(coefficients))])[: len(coefficients)]
