"""Robust momentum: how much of the fastest guaranteed rate to give up for tolerance of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._types import FloatArray, Hyperparameter
from heavyball_dynamics._validation import finite, is_symbolic, require
from heavyball_dynamics.algorithms._query_ahead import QueryAhead
from heavyball_dynamics.algorithms.triple_momentum import TripleMomentum, _ordered


@dataclass(frozen=True, eq=False)
class RobustMomentum(QueryAhead):
    r"""Robust momentum: from triple momentum to gradient descent by one parameter, its guaranteed rate.

    .. math::
        \eta = \frac{(1-\rho)^2(1+\rho)}\mu, \qquad \beta = \frac{L\rho^3}{L-\mu}, \qquad
        \gamma = \frac{\mu\rho^3}{(L-\mu)(1-\rho)^2(1+\rho)}, \qquad
        1 - \frac1{\sqrt\kappa} \le \rho \le 1 - \frac1\kappa

    in the two-point form of `TripleMomentum`. The faster the rate, the less noise of the gradient is tolerated. At the
    slow end the query points are those of gradient descent with lr = 1/L, although momentum and look-ahead are not
    zero: a pole and a zero cancel.

    Parameters
    ----------
    strong_convexity, smoothness : float or array (*batch,)
        Smallest and largest curvature, 0 < μ < L, in units of loss / position².
    rate : float or array (*batch,)
        The rate ρ guaranteed on every loss of the class, between 1 - 1/√κ and 1 - 1/κ, κ = L/μ.

    Raises
    ------
    ValueError
        If the curvatures are not positive and in order, or the rate is outside its range.

    References
    ----------
    Cyrus, Hu, Van Scoy, Lessard, "A robust accelerated optimization algorithm for strongly convex functions", American
    Control Conference 2018, arXiv:1710.04753, theorem 1.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.RobustMomentum(strong_convexity=1.0, smoothness=100.0, rate=0.9)
    >>> round(method.lr, 6), round(method.momentum, 6)
    (0.019, 0.736364)
    >>> method = hb.RobustMomentum(strong_convexity=1.0, smoothness=100.0, rate=0.95)
    >>> float(hb.analyze_modes(method, [1.0, 10.0, 100.0]).rate.max().round(6))
    0.95
    """

    strong_convexity: Hyperparameter
    smoothness: Hyperparameter
    rate: Hyperparameter

    def __post_init__(self) -> None:
        low, high = _ordered(self.strong_convexity, self.smoothness, strict=True)
        rate = finite("rate", self.rate)
        self._set(strong_convexity=low, smoothness=high, rate=rate)
        batch_shape(self)
        if any(is_symbolic(value) for value in (low, high, rate)):
            return
        ratio, rate = np.broadcast_arrays(np.asarray(low) / np.asarray(high), rate)
        # Ends that were computed are met to rounding only.
        good = (rate >= 1 - np.sqrt(ratio) - 1e-12) & (rate <= 1 - ratio + 1e-12)
        require("rate", rate, good, "between 1 - √(strong_convexity/smoothness), triple momentum, and "
                "1 - strong_convexity/smoothness, gradient descent")  # fmt: skip

    @property
    def lr(self) -> Hyperparameter:
        """Canonical learning rate η."""
        return (1 - self.rate) ** 2 * (1 + self.rate) / self.strong_convexity

    @property
    def momentum(self) -> Hyperparameter:
        """Momentum β."""
        return self.smoothness * self.rate**3 / (self.smoothness - self.strong_convexity)

    @property
    def query_lead(self) -> Hyperparameter:
        """γ: how many displacements ahead of x the gradient is asked for."""
        return self.rate**3 / ((self.smoothness - self.strong_convexity) * self.lr)

    @property
    def two_point(self) -> TripleMomentum:
        """The same method by its coefficients, which may then be varied one by one."""
        return TripleMomentum(self.lr, self.momentum, self.query_lead)

    def look_ahead(self, trajectory: Any) -> FloatArray:
        """Return the query points x_k + γV_k along a run of this method, (*batch, time, dim)."""
        return self.two_point.look_ahead(trajectory)
