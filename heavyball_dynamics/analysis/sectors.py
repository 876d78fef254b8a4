"""The circle criterion: stability for all losses whose gradients stay between two slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.analysis._frequency_search import completed, largest, largest_real_part, largest_size
from heavyball_dynamics.analysis._loop_gain import LoopResponse, chosen, frequency_grid, query_response
from heavyball_dynamics.analysis._matrix_sizes import spectral_norms
from heavyball_dynamics.analysis.linear import require_broadcast, state_matrices


@dataclass(frozen=True)
class CircleCriterion:
    r"""Whether a rule converges on every loss whose gradient stays in a sector; arrays are (*batch,).

    Attributes
    ----------
    smallest, largest : array
        Slopes μ and L of the sector, :math:`(g - \mu x)\cdot(Lx - g) \ge 0` for the gradient g at x from the minimum.
    gain : array
        Gain of the remaining loop around the centre of the sector, :math:`\frac{L - \mu}{2}\|G_c\|_\infty`; the
        criterion holds where it is below 1. Infinite where the rule is unstable on the centre itself.
    frequency : array
        ω where it is largest, in radians per step or unit time.
    holds : array of bool
        Whether the criterion certifies convergence. It is sufficient: where it fails, nothing is proven.
    margin : array
        1/gain, the factor by which the sector may widen about its centre.
    largest_slope : array
        The supremum of the L that are certified with the given μ; NaN where already the curvature μ is unstable, or
        where the rule asks for several gradients.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.circle_criterion(hb.tune(hb.HeavyBall, 1.0, 25.0), 1.0, 25.0))
    slopes 1 to 25: not certified, loop gain 2.4 at 1.571 rad; certified with slopes up to 8.10059
    """

    smallest: FloatArray
    largest: FloatArray
    gain: FloatArray
    frequency: FloatArray
    largest_slope: FloatArray

    @property
    def holds(self) -> BoolArray:
        """Whether convergence is certified."""
        return np.asarray(self.gain < 1)

    @property
    def margin(self) -> FloatArray:
        """Factor by which the sector may widen about its centre; 0 where the centre is unstable."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self.gain)

    def summary(self) -> str:
        """Return one line for each batch element."""
        return "\n".join(self._line(index) for index in np.ndindex(self.gain.shape))

    def _line(self, index: tuple[int, ...]) -> str:
        fate = "certified" if self.holds[index] else "not certified"
        line = f"slopes {self.smallest[index]:.6g} to {self.largest[index]:.6g}: {fate}, "
        if np.isinf(self.gain[index]):
            return line + "unstable on the quadratic of the mean slope"
        line += f"loop gain {self.gain[index]:.6g} at {self.frequency[index]:.4g} rad"
        top = float(self.largest_slope[index])
        if np.isnan(top):
            return line
        return f"{line}; certified with slopes up to {'any' if np.isinf(top) else f'{top:.6g}'}"

    def __str__(self) -> str:
        return self.summary()


def circle_criterion(
    algorithm: Algorithm, smallest: ArrayLike, largest: ArrayLike, *, k: int | None = None, t: float | None = None
) -> CircleCriterion:
    r"""Tell whether a rule converges on all losses whose gradients stay in the sector between two slopes.

    Around the centre c = (μ+L)/2 the gradient is g = cx + r(x) with |r(x)| <= (L-μ)/2·|x|. With the loop closed by c
    and G_c its response from gradient to query point, the small-gain theorem asks for

    .. math:: \frac{L - \mu}{2}\,\sup_\omega |G_c| < 1,

    which is the circle criterion. The sector holds all μ-strongly convex, L-smooth losses in any dimension, and more:
    gradients may change from step to step, if the minimum does not.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    smallest, largest : float or array (*batch,)
        Slopes μ <= L of the sector, of any sign.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    CircleCriterion

    Raises
    ------
    ValueError
        If the slopes are not in order, the rule is not linear or has no open loop, or shapes do not broadcast.

    Notes
    -----
    For the heavy-ball flow the slopes certified with μ end at (√μ + γ/√m)². For gradient descent the criterion is
    exact, L < 2/η. The heavy ball tuned for μ and L has the loop gain (κ-1)/(2√κ) and fails it from κ = 3 + 2√2 on; on
    such a loss it can indeed cycle for ever (``LessardCounterexample``). Nesterov's method in its standard form fails
    from κ = 6 + 4√2 on, although it converges on every convex loss: the sector also holds gradients of no loss at all.
    With several gradients a step the norm is that of the matrix of responses.

    References
    ----------
    Zames, "On the input-output stability of time-varying nonlinear feedback systems, part II", IEEE Trans. Automatic
    Control 11, 1966; Jury and Lee, "On the stability of a certain class of nonlinear sampled-data systems", IEEE Trans.
    Automatic Control 9, 1964, in discrete time; Lessard, Recht, Packard, SIAM J. Optim. 26, 2016, section 4.6.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.circle_criterion(hb.HeavyBallFlow(mass=1.0, damping=3.0), 4.0, 20.0))
    slopes 4 to 20: certified, loop gain 0.854017 at 2.739 rad; certified with slopes up to 25
    """
    low, high = (real_array(name, value) for name, value in (("smallest", smallest), ("largest", largest)))
    low, high = np.broadcast_arrays(low, high)
    require("largest", high, high >= low, "at least `smallest`", "Are they the other way round?")
    matrices = state_matrices(algorithm, k=k, t=t)
    if matrices.B.shape[-1] == 0:
        raise ValueError(f"`algorithm` must ask for a gradient, the input of its loop. Received {algorithm!r}.")
    require_broadcast(matrices.A.shape[:-2], (*low.shape, 1))
    shape = np.broadcast_shapes(matrices.A.shape[:-2], low.shape)
    low, high = np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy()
    centre, radius = 0.5 * (low + high)[..., None], 0.5 * (high - low).ravel()

    def stable(curvature: FloatArray) -> BoolArray:
        conditions = matrices.spectrum(curvature, 0.0).conditions
        return np.asarray(np.min(conditions, axis=0) > 0).ravel()

    gain, frequency = np.full(radius.shape, np.inf), np.full(radius.shape, np.nan)
    who = np.flatnonzero(stable(centre))
    if who.size:
        norm, frequency[who] = _norm(chosen(query_response(matrices, centre), who))
        gain[who] = radius[who] * norm
    top = np.full(radius.shape, np.nan)
    who = np.flatnonzero(stable(low[..., None]))
    if who.size and matrices.B.shape[-1] == 1:
        response = chosen(query_response(matrices, low[..., None]), who)
        part, _ = largest_real_part(response, frequency_grid(response))
        with np.errstate(divide="ignore"):
            top[who] = low.ravel()[who] + np.where(part > 0, 1 / np.maximum(part, 0.0), np.inf)
    return CircleCriterion(low, high, gain.reshape(shape), frequency.reshape(shape), top.reshape(shape))


def _norm(response: LoopResponse) -> tuple[FloatArray, FloatArray]:
    """Return the H∞ norm of responses of any number of channels, and its ω."""
    grid = frequency_grid(response)
    if response.single:
        norm, nu = largest_size(response, grid)
    else:
        grid = completed(response, grid)
        norm, nu = largest(lambda x, index: spectral_norms(response.matrix_at(x, index)), grid)
    return norm, response.omega(nu)
