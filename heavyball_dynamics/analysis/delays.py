"""How much staleness a rule bears: the largest learning rate for each delay, the largest delay for each mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape, map_arrays
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Algorithm, Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import one_of, real_array, require
from heavyball_dynamics.analysis._delay_loop import Loop, begins_stable, first_crossings
from heavyball_dynamics.analysis._delay_scan import by_eigenvalues, labels, require_factor, with_unit_lr
from heavyball_dynamics.analysis._loop_gain import chosen, curvature_response
from heavyball_dynamics.analysis._whole_delays import whole_steps
from heavyball_dynamics.analysis.linear import curvatures, loop_spectrum, require_broadcast, state_matrices
from heavyball_dynamics.analysis.margins import delay_margins


@dataclass(frozen=True)
class DelayLimits(Drawable):
    """The stability boundary of a method against the staleness of its gradients.

    Attributes
    ----------
    parameter : str
        "lr" or "curvature".
    delays : array (delay,)
        Whole steps.
    limit : array (*batch, delay)
        The largest value of the parameter up to which the mode decays.
    frequency : array (*batch, delay)
        Where it is lost: the pole that leaves the unit circle there is at exp(±iω), ω in radians per step; π is an
        iteration that alternates. NaN where the limit is 0 or infinite.
    curvature : array (*batch,)
        Curvature of the mode; 1 where it is what varies.
    labels : tuple of str
        What tells the elements of the batch apart, in the order of the flattened batch.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.delay_limits(hb.HeavyBall(1.0, 0.9), [0, 1, 10]).summary())
    stable up to lr = 3.8 at delay 0, 0.01139 at delay 10
    """

    parameter: str
    delays: FloatArray
    limit: FloatArray
    frequency: FloatArray
    curvature: FloatArray
    labels: tuple[str, ...]

    def summary(self) -> str:
        """Return the limits of the smallest and of the largest delay, one line for each element of the batch."""
        lines = []
        for label, limit in zip(self.labels, self.limit.reshape(-1, len(self.delays)), strict=True):
            told = ", ".join(f"{limit[i]:.5g} at delay {self.delays[i]:g}" for i in (0, -1)[: len(limit)])
            lines.append(f"{label + ': ' if label else ''}stable up to {self.parameter} = {told}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def delay_limits(
    method: Method, delays: ArrayLike, curvature: ArrayLike = 1.0, *, parameter: str = "lr", k: int | None = None
) -> DelayLimits:
    r"""Return the largest learning rate that a mode bears for each staleness of the gradients.

    A pole is on the unit circle where

    .. math:: \lambda L(e^{i\omega})\,e^{-i\omega d} = -1

    with L the loop gain of the method at unit curvature. Which ω that are, the phase alone decides; the limit is the
    smallest of their 1/|L|. Nothing grows with the delay: no matrix of order d is made.

    Parameters
    ----------
    method : Method
        Any linear rule, scalar or batched, without its delay. Its own learning rate is of no account for
        ``parameter="lr"``.
    delays : array (delay,) of whole numbers
        Steps d >= 0.
    curvature : float or array (*batch,)
        Eigenvalue λ > 0 of the Hessian. Of no account for ``parameter="curvature"``.
    parameter : str
        "lr", or "curvature": the largest curvature that the method bears as it stands, for rules that have no learning
        rate or in which it is no factor of the loop gain.
    k : int, optional
        Step at which a rule that varies in time is frozen.

    Returns
    -------
    DelayLimits
        The limits belong to the stable range that begins at zero: they are 0 where already small values grow, as they
        do for momenta of 1 and more.

    Raises
    ------
    TypeError, ValueError
        If the method is a flow, not linear, varies in time and no k is given; if a delay is negative or no whole
        number, the curvature not positive, or the learning rate is missing or no factor of the loop gain.

    Notes
    -----
    Gradient descent: 2 sin(π/(4d+2))/λ, about π/(2d+1)/λ. Heavy ball with one step of delay: (1-β)/λ, where it was
    2(1+β)/λ without. For large delays all that counts of a momentum is its gain on slow signals: both heavy ball and
    Nesterov tend to π(1-β)/(2dλ), once d exceeds 1/(1-β) by far. Rules that ask for several gradients a step are
    examined by the eigenvalues of their delayed matrices, which takes time where delays are long.

    References
    ----------
    Levin and May, "A note on difference-delay equations", Theor. Popul. Biol. 9, 1976, for gradient descent;
    Neimark, "D-subdivisions and spaces of quasi-polynomials", 1949, for the method.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> found = hb.delay_limits(hb.GradientDescent(1.0), [0, 1, 10])
    >>> found.limit.round(6)
    array([2.     , 1.     , 0.14946])
    >>> hb.delay_limits(hb.HeavyBall(1.0, np.array([0.0, 0.5, 0.9])), [0, 1]).limit.round(6)
    array([[2. , 1. ],
           [3. , 0.5],
           [3.8, 0.1]])
    """
    require_method("method", method)
    one_of("parameter", parameter, ["lr", "curvature"])
    steps = _whole_delays(delays)
    rule: Any = method if k is None else at_step(method, k)
    bend = real_array("curvature", curvature)
    require("curvature", bend, bend > 0, "> 0", "Flat and negative directions have no limit.")
    if parameter == "lr":
        rule = with_unit_lr(rule)
    else:
        bend = np.ones(())
    batch = batch_shape(rule, bend.shape)
    rule = map_arrays(rule, lambda array: np.broadcast_to(array, batch).copy())
    matrices = state_matrices(rule, k=k)
    loop = Loop.of(matrices)
    if loop.inputs == 0:
        raise ValueError(f"`method` must ask for a gradient. Received {method!r}.")
    if loop.inputs > 1:
        limit, frequency = by_eigenvalues(rule, steps, parameter, k)
    else:
        if parameter == "lr":
            require_factor(rule, loop, k)
        limit, frequency = first_crossings(loop, steps)
        limit = np.where(begins_stable(loop, steps, limit), limit, 0.0)
    frequency = np.where((limit > 0) & np.isfinite(limit), frequency, np.nan)
    rows = (*matrices.A.shape[:-2], len(steps))
    shape = (*batch, len(steps))
    spread = (np.broadcast_to(array.reshape(rows), shape).copy() for array in (limit, frequency))
    limit, frequency = spread
    mode = np.broadcast_to(bend, batch).copy()
    return DelayLimits(parameter, steps, limit / mode[..., None], frequency, mode, labels(rule, batch))


def _whole_delays(delays: ArrayLike) -> FloatArray:
    steps = np.atleast_1d(real_array("delays", delays))
    if steps.ndim != 1 or not steps.size:
        raise ValueError(f"`delays` must be a one-dimensional array of whole numbers. Received shape {steps.shape}.")
    require("delays", steps, (steps >= 0) & (steps == np.floor(steps)), "whole numbers >= 0")
    return steps


@dataclass(frozen=True)
class DelayMargin:
    """How late the gradients of each mode may be.

    Attributes
    ----------
    margin : array (*batch, mode)
        Smallest delay d, in steps (flows: in units of time), at which a loop gain with the factor e^{-iωd} puts a pole
        on the stability boundary; for methods d is any real number, and the margin at most the first whole delay that
        does not decay. 0 where the mode does not decay without delay, infinite where no delay harms.
    whole : array (*batch, mode)
        The largest whole number of steps such that the mode decays with it and with all smaller ones; -1 where it does
        not decay even with fresh gradients. For flows a margin rounded down.
    frequency : array (*batch, mode)
        Where the mode is lost, in radians per step or time; NaN where the margin is 0 or infinite.
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.largest_delay(hb.GradientDescent(0.1), [0.1, 1.0]).summary())
    delays of less than 15.2014 steps are borne by all modes
    """

    margin: FloatArray
    whole: FloatArray
    frequency: FloatArray
    discrete: bool

    def summary(self) -> str:
        """Return the smallest margin in words."""
        if not self.margin.size:
            return "no modes"
        if np.all(np.isinf(self.margin)):
            return "any delay is borne by all modes"
        unit = "steps" if self.discrete else "units of time"
        return f"delays of less than {np.min(self.margin):.6g} {unit} are borne by all modes"

    def __str__(self) -> str:
        return self.summary()


def largest_delay(
    algorithm: Algorithm, curvature: ArrayLike, *, k: int | None = None, t: float | None = None
) -> DelayMargin:
    r"""Return the delay margin of each mode.

    .. math::
        \tau = \min_{\omega:\,\lambda|L(e^{i\omega})| = 1} \frac{\pi + \arg L(e^{i\omega})}{\omega}
        \qquad(\text{flows: } L(i\omega)),

    the phase that the loop has in hand where its gain is one, over the frequency there. For gradient descent it is
    π/(2ω) - ½ with sin(ω/2) = ηλ/2; for gradient flow π/(2λ).

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, scalar or batched.
    curvature : float or array (mode,) or (*batch, mode)
        Eigenvalues of the Hessian.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    DelayMargin

    Raises
    ------
    ValueError
        If the rule is not linear, varies in time, or shapes do not fit.

    Notes
    -----
    Whole delays are tried as such, by the poles of the loop with stale gradients, from the margin rounded down on: a
    mode may bear more whole steps than its margin, as two poles may cross between one whole number and the next, one
    out and one back in. Above 64 steps the margin rounded down is what is returned.

    Where a method's loop gain exceeds one at z = -1 every step of delay turns its sign there, at no delay in between:
    there whole delays are tried from 1 on, up to 64, and one that is lost bounds the margin.

    References
    ----------
    Åström and Murray, "Feedback Systems", 2nd edition, section 10.3: phase margin and delay margin.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.largest_delay(hb.HeavyBall(lr=0.01, momentum=0.9), [0.1, 1.0])
    >>> found.whole, found.margin.round(6)
    (array([148.,  11.]), array([148.306132,  11.559077]))
    >>> hb.largest_delay(hb.GradientFlow(), 2.0).margin.round(6)
    array([0.785398])
    """
    bend = curvatures(curvature)
    require_broadcast(batch_shape(algorithm), bend.shape)
    spectrum = loop_spectrum(algorithm, bend, 0.0, k=k, t=t)
    stable = np.asarray(np.min(spectrum.conditions, axis=0)) > 0
    shape = stable.shape
    matrices = state_matrices(algorithm, k=k, t=t)
    margin, whole, frequency = np.zeros(stable.size), np.full(stable.size, -1.0), np.full(stable.size, np.nan)
    who = np.flatnonzero(stable)
    if who.size:
        response = chosen(curvature_response(matrices, np.broadcast_to(bend, shape)), who)
        margin[who], frequency[who], whole[who] = delay_margins(response)
        if not matrices.discrete:
            whole[who] = whole_steps(margin[who])
    return DelayMargin(margin.reshape(shape), whole.reshape(shape), frequency.reshape(shape), matrices.discrete)
