"""The poles of a mode as gradients grow stale: one set for each whole number of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, ComplexArray, FloatArray, IntArray
from heavyball_dynamics._validation import count, one_number
from heavyball_dynamics.algorithms.delayed import Delayed
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.modes import analyze_modes


@dataclass(frozen=True)
class DelayPoles(Drawable):
    """Where the poles of one mode are for each delay of the gradients.

    Attributes
    ----------
    delays : array (delay,)
        Whole steps.
    curvature : float
        Curvature λ of the mode.
    poles : array (delay, pole)
        Poles z, the dominant one first; every step of delay adds as many as the rule asks for gradients. NaN where
        there are no more.
    rate : array (delay,)
        Factor per step, max|z|.
    damping : array (delay,)
        Class of the mode as an integer of `DampingClass`.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.delay_poles(hb.GradientDescent(1.0), [0, 1, 2, 3], 0.5))
    delay 0: overdamped, rate 0.5, 1 pole
    delay 1: underdamped, rate 0.707107, 2 poles
    delay 2: underdamped, rate 0.940556, 3 poles
    delay 3: divergent, rate 1.02425, 4 poles
    """

    delays: IntArray
    curvature: float
    poles: ComplexArray
    rate: FloatArray
    damping: IntArray

    def summary(self) -> str:
        """Return a line for each delay."""
        number = np.isfinite(self.poles).sum(axis=-1)
        return "\n".join(
            f"delay {d}: {DampingClass(int(c)).label}, rate {r:.6g}, {n} {'pole' if n == 1 else 'poles'}"
            for d, c, r, n in zip(self.delays, self.damping, self.rate, number, strict=True)
        )

    def __str__(self) -> str:
        return self.summary()


def delay_poles(method: Method, delays: ArrayLike, curvature: float, *, k: int | None = None) -> DelayPoles:
    r"""Return the poles of a mode for several delays of the gradients, the locus in the delay.

    Those of `Delayed`; for gradient descent the roots of

    .. math:: z^{d+1} - z^d + \eta\lambda = 0, \qquad\text{all on the curve } |z|^d\,|z - 1| = \eta\lambda

    Of long delays most poles gather just inside or outside of the unit circle, each a wave of stale gradients.

    Parameters
    ----------
    method : Method
        Any linear rule with scalar hyperparameters, without its delay.
    delays : array (delay,) of whole numbers
        Steps by which gradients are late.
    curvature : float
        Eigenvalue λ of the Hessian.
    k : int, optional
        Step at which a rule that varies in time is frozen.

    Returns
    -------
    DelayPoles

    Raises
    ------
    ValueError
        If a delay is negative, the rule is not linear or varies in time and no k is given, or it holds arrays.
    TypeError
        If the method is a flow, or a delay is no whole number.

    See Also
    --------
    delay_limits : The largest stable learning rate for each delay.
    delayed_locus : The locus in the curvature for one delay.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.delay_poles(hb.HeavyBall(lr=0.1, momentum=0.5), [0, 4], 1.0)
    >>> found.poles.shape, found.rate.round(6)
    ((2, 6), array([0.707107, 0.948904]))
    """
    require_method("method", method)
    late = [count(f"delays[{i}]", d, 0) for i, d in enumerate(np.atleast_1d(np.asarray(delays)).tolist())]
    if not late:
        raise ValueError("`delays` must hold one delay or more. Received none.")
    bend = float(one_number("curvature", curvature))
    rule = method if k is None else at_step(method, k)
    if batch_shape(rule):
        raise ValueError(f"`method` must have scalar hyperparameters: the delays are its batch. Received {method!r}.")
    found = [analyze_modes(Delayed(rule, d), [bend], k=k) for d in late]
    poles = np.full((len(late), max(modes.order for modes in found)), np.nan, dtype=complex)
    for row, modes in zip(poles, found, strict=True):
        row[: modes.order] = modes.poles[0]
    return DelayPoles(
        np.array(late), bend, poles, np.array([modes.rate[0] for modes in found]),
        np.array([modes.damping[0] for modes in found]),
    )  # fmt: skip
