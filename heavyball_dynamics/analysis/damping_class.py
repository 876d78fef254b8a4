"""The classes that a mode of a loss can belong to."""

from __future__ import annotations

from enum import IntEnum


class DampingClass(IntEnum):
    """What a mode does, decided by its dominant pole or pair of poles.

    Ordered from the worst to the fastest decay without oscillation, with ALTERNATING apart at the end: it has no
    counterpart in continuous time.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> modes = hb.analyze_modes(hb.HeavyBall(lr=1.0, momentum=0.25), [0.1, 0.25, 1.0, 2.4])
    >>> [hb.DampingClass(c).label for c in modes.damping]
    ['overdamped', 'critically damped', 'underdamped', 'alternating']
    """

    DIVERGENT = 0  # a pole outside the unit circle, or in the right half-plane
    MARGINAL = 1  # a pole at z = 1 or z = -1, or at s = 0: neither decays nor grows exponentially
    UNDAMPED = 2  # a complex pair on the stability boundary: oscillates for ever
    UNDERDAMPED = 3  # a complex pair: oscillates and decays
    CRITICAL = 4  # a double positive real pole: the fastest decay without oscillation
    OVERDAMPED = 5  # a positive real pole: creeps
    ALTERNATING = 6  # a negative real pole: the sign flips at each step, as no oscillator's does

    @property
    def label(self) -> str:
        """The class in words, for tables and figures."""
        return "critically damped" if self is DampingClass.CRITICAL else self.name.lower()
