"""Triple momentum: the two-point form whose look-ahead is a parameter of its own.

Its best numbers for a class of losses are known. The class is given by the largest curvature, the smoothness L, and by
the smallest one, the strong convexity μ: losses with μ|x - y|² <= (∇f(x) - ∇f(y))·(x - y) <= L|x - y|².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._schedule import scheduled
from heavyball_dynamics._types import FloatArray, Hyperparameter
from heavyball_dynamics._validation import finite, is_symbolic, non_negative, positive, require
from heavyball_dynamics.algorithms._query_ahead import QueryAhead


@dataclass(frozen=True, eq=False)
class TripleMomentum(QueryAhead):
    r"""Triple momentum: a two-point form that looks ahead by another momentum than its own.

    .. math::
        y_k = x_k + \gamma V_k, \qquad V_{k+1} = \beta V_k - \eta\nabla f(y_k), \qquad x_{k+1} = x_k + V_{k+1}, \qquad
        \text{output } x_k + \delta V_k

    γ = 0 is the heavy ball, γ = β Nesterov's method. `for_class` gives the published numbers, with which the output
    comes closer by 1 - 1/√κ a step on every loss of the class, κ = L/μ.

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Canonical learning rate η >= 0, in units of position² / loss.
    momentum : float, array (*batch,) or schedule
        Momentum β. Values of 1 and more are let through, since loci cross them.
    query_lead : float or array (*batch,)
        γ: how many displacements ahead of x the gradient is asked for.
    output_lead : float or array (*batch,)
        δ: how many displacements ahead of x the result is read. It has no part in the steps.

    Raises
    ------
    ValueError
        If lr is negative or a value is not finite.

    Notes
    -----
    The position is the paper's ξ; `look_ahead` and `output` compute the paper's y and x along a run.

    References
    ----------
    Van Scoy, Freeman, Lynch, "The fastest known globally convergent first-order method for minimizing strongly convex
    functions", IEEE Control Systems Letters 2, 2018, theorem 1.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.TripleMomentum.for_class(1.0, 100.0)
    >>> round(method.lr, 6), round(method.momentum, 6)
    (0.019, 0.736364)
    >>> float(hb.analyze_modes(method, [1.0, 10.0, 100.0]).rate.max().round(6))
    0.9
    """

    lr: Hyperparameter
    momentum: Hyperparameter
    query_lead: Hyperparameter = 0.0
    output_lead: Hyperparameter = 0.0

    def __post_init__(self) -> None:
        self._set(
            lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum),
            query_lead=finite("query_lead", self.query_lead), output_lead=finite("output_lead", self.output_lead),
        )  # fmt: skip

    @classmethod
    def for_class(cls, strong_convexity: Hyperparameter, smoothness: Hyperparameter) -> TripleMomentum:
        r"""Return the method with the published optimal numbers.

        .. math::
            \rho = 1 - \frac1{\sqrt\kappa}, \qquad \eta = \frac{1+\rho}L, \qquad \beta = \frac{\rho^2}{2-\rho}, \qquad
            \gamma = \frac{\rho^2}{(1+\rho)(2-\rho)}, \qquad \delta = \frac{\rho^2}{1-\rho^2}

        From rest f(output) - f* <= ½Lκρ²ᵏ|x_0 - x*|² after k steps.

        Parameters
        ----------
        strong_convexity, smoothness : float or array (*batch,)
            Smallest and largest curvature, 0 < μ <= L, in units of loss / position².

        Returns
        -------
        TripleMomentum

        Raises
        ------
        ValueError
            If the two are not positive and in order.

        References
        ----------
        Van Scoy, Freeman, Lynch 2018, theorem 1. The method optimal for a given number of steps tends to it: Taylor and
        Drori, "An optimal gradient method for smooth strongly convex minimization", Math. Program. 199, 2023.

        Examples
        --------
        >>> import heavyball_dynamics as hb
        >>> hb.TripleMomentum.for_class(1.0, 4.0).lr
        0.375
        """
        low, high = _ordered(strong_convexity, smoothness, strict=False)
        rate = 1 - namespace(low, high).sqrt(low / high)
        room = (1 + rate) * (1 - rate)
        lead = rate**2 / ((1 + rate) * (2 - rate))
        return cls((1 + rate) / high, rate**2 / (2 - rate), lead, rate**2 / room)

    @classmethod
    def optimized_gradient(cls, strong_convexity: Hyperparameter, smoothness: Hyperparameter) -> TripleMomentum:
        r"""Return the optimized gradient method for strongly convex losses, whose coefficients are constant.

        .. math::
            x_{k+1} = y_k - \frac1L\nabla f(y_k), \qquad
            y_{k+1} = x_{k+1} + \frac{(x_{k+1} - x_k) + (x_{k+1} - y_k)}{1 + 2c}, \qquad
            c = \frac{\sqrt{8\kappa+1} + 3}{2(\kappa-1)}

        Here y are the query points and x the output. The loss is guaranteed to fall by 1/(1+c) a step, about 1 - √2/√κ:
        between Nesterov's 1 - 1/√κ and the 1 - 2/√κ of `for_class`.

        Parameters
        ----------
        strong_convexity, smoothness : float or array (*batch,)
            Smallest and largest curvature, 0 < μ < L.

        Returns
        -------
        TripleMomentum

        Raises
        ------
        ValueError
            If the two are not positive and in order.

        References
        ----------
        Park, Park, Ryu, "Factor-√2 acceleration of accelerated gradient methods", arXiv:2102.07366, the method SC-OGM.

        Examples
        --------
        >>> import heavyball_dynamics as hb
        >>> method = hb.TripleMomentum.optimized_gradient(1.0, 100.0)
        >>> round(method.momentum, 6), round(method.query_lead, 6)
        (0.759774, 0.431745)
        """
        low, high = _ordered(strong_convexity, smoothness, strict=True)
        gain = (namespace(low, high).sqrt(8 * high / low + 1) + 3) / (2 * (high / low - 1))
        share = 1 / (1 + 2 * gain)
        return cls((1 + share) / high, share, share / (1 + share), -share / (1 + share))

    def look_ahead(self, trajectory: Any) -> FloatArray:
        """Return the query points x_k + γV_k along a run of this method, (*batch, time, dim)."""
        lead = append_axes(self, 2).query_lead
        return np.asarray(trajectory.position + lead * trajectory.velocity, dtype=np.float64)

    def output(self, trajectory: Any) -> FloatArray:
        """Return the outputs x_k + δV_k along a run of this method, (*batch, time, dim)."""
        lead = append_axes(self, 2).output_lead
        return np.asarray(trajectory.position + lead * trajectory.velocity, dtype=np.float64)


def _ordered(
    strong_convexity: Hyperparameter, smoothness: Hyperparameter, *, strict: bool
) -> tuple[Hyperparameter, Hyperparameter]:
    """Return the smallest and the largest curvature of a class."""
    low, high = positive("strong_convexity", strong_convexity), positive("smoothness", smoothness)
    if is_symbolic(low) or is_symbolic(high):
        return low, high
    try:
        below, above = np.broadcast_arrays(low, high)
    except ValueError:
        raise ValueError("`strong_convexity` and `smoothness` must broadcast against each other. Received shapes "
                         f"{np.shape(low)} and {np.shape(high)}.") from None  # fmt: skip
    require("strong_convexity", below, below <= above, "at most smoothness", "Are the two exchanged?")
    if strict:
        require("strong_convexity", below, below < above, "< smoothness",
                "Where all curvatures are equal, hb.GradientDescent(1/smoothness) needs one step.")  # fmt: skip
    return low, high
