"""What a rule does to the gradient signal: momentum as a low-pass filter, in the open and closed on a curvature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._schedule import Schedule
from heavyball_dynamics._types import ArrayLike, ComplexArray, FloatArray, Hyperparameter
from heavyball_dynamics._validation import one_of, positive, real_array
from heavyball_dynamics.analysis._rule_signals import signal_path
from heavyball_dynamics.analysis._signal_paths import SignalPath
from heavyball_dynamics.analysis.linear import curvatures
from heavyball_dynamics.correspondence.dialects import DIALECTS, from_dialect

_NUMBER = 400  # frequencies where none are asked for
_LOWEST = 1e-2  # the first of them where a batch is empty
_FEW = 16  # batch elements whose poles still get frequencies of their own


@dataclass(frozen=True)
class FrequencyResponse(Drawable):
    r"""How strongly, and how late, an output of a rule follows a force that swings.

    .. math:: f_k = e^{i\omega k} \;\to\; H(e^{i\omega})\,e^{i\omega k}, \qquad f = -\nabla f(x)

    Attributes
    ----------
    frequency : array (frequency,)
        ω in radians per step, of flows per unit time.
    response : complex array (*batch, frequency) or (*batch, frequency, mode)
        H; the last axis is there if curvatures were given. Infinite with a NaN phase exactly in a pole.
    dc_gain : array (*batch,) or (*batch, mode)
        H at ω = 0, what a constant force leads to; infinite where a pole sits there.
    cutoff : array (*batch,) or (*batch, mode)
        The lowest ω at which |H| has fallen to 1/√2 of its size at ω = 0, by root finding. NaN where it never falls so
        far, where H is 0 or infinite at ω = 0 (the open position integrates: nothing to be 3 dB below), or where the
        path is not stable.
    averaging_window : array (*batch,) or (*batch, mode)
        :math:`(\sum h_j)^2/\sum h_j^2` of the impulse response h (for flows integrals): the length of the plain mean
        that would let as much white noise through, π over the equivalent noise bandwidth. (1+β)/(1-β) steps of the
        heavy ball's displacement. NaN where the path is not stable or h cancels.
    mean_age : array (*batch,) or (*batch, mode)
        :math:`\sum j\,h_j/\sum h_j`, the delay of slow signals, the newest gradient counting zero: β/(1-β) steps. NaN
        where the window is.
    output : str
        What follows the force.
    curvature : array (*batch, mode) or None
        The curvatures that close the loop; None in the open.
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.frequency_response(hb.from_dialect("ema", lr=1.0, momentum=0.9)).summary())
    displacement: gain 1 at rest, cut-off 0.105458 rad/step, averaging window 19 steps, mean age 9 steps
    """

    frequency: FloatArray
    response: ComplexArray
    dc_gain: FloatArray
    cutoff: FloatArray
    averaging_window: FloatArray
    mean_age: FloatArray
    output: str
    curvature: FloatArray | None
    discrete: bool

    @property
    def magnitude(self) -> FloatArray:
        """|H|, of the shape of the response."""
        return np.abs(self.response)

    @property
    def decibels(self) -> FloatArray:
        """20 log₁₀|H|, of the shape of the response; -inf in a zero."""
        with np.errstate(divide="ignore"):
            return np.asarray(20 * np.log10(self.magnitude))

    @property
    def phase(self) -> FloatArray:
        """Argument of H in radians, without jumps of 2π along the frequencies, of the shape of the response."""
        axis = -1 if self.curvature is None else -2
        angle = np.angle(self.response)
        known = np.isfinite(angle)
        jump = np.diff(angle, axis=axis)
        turns = np.where(np.isfinite(jump), np.round(jump / (2 * np.pi)), 0.0)
        before = np.zeros_like(np.take(angle, [0], axis=axis))
        return np.where(known, angle - 2 * np.pi * np.concatenate([before, turns.cumsum(axis=axis)], axis=axis), np.nan)

    def summary(self) -> str:
        """Return one line for each mode of each batch element."""
        unit, per = ("steps", "rad/step") if self.discrete else ("time units", "rad/time")
        lines = []
        bends = None if self.curvature is None else np.broadcast_to(self.curvature, self.dc_gain.shape)
        for index in np.ndindex(self.dc_gain.shape):
            where = f"{list(index[:-1]) if bends is not None else list(index)} ".replace("[] ", "")
            where += f"curvature {bends[index]:g}, " if bends is not None else ""
            cutoff, window, age = (each[index] for each in (self.cutoff, self.averaging_window, self.mean_age))
            told = f"cut-off {cutoff:.6g} {per}" if np.isfinite(cutoff) else "no cut-off"
            if np.isfinite(window):
                told += f", averaging window {window:.6g} {unit}, mean age {age:.6g} {unit}"
            lines.append(f"{where}{self.output}: gain {self.dc_gain[index]:.6g} at rest, {told}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def frequency_response(
    algorithm: Algorithm, frequency: ArrayLike | None = None, *, curvature: ArrayLike | None = None,
    output: str = "displacement", k: int | None = None, t: float | None = None,
) -> FrequencyResponse:
    r"""Return what a rule makes of a force that swings, in the open or closed on a curvature.

    The force is minus the gradient; where a rule asks for several gradients in a step, all swing together. In the open
    it is given. With a curvature λ the gradient is λ times the query point minus the force: an error of the gradient.

    .. math:: H(z) = c\,(z - A)^{-1}b + d, \quad z = e^{i\omega} \qquad (\text{flows: } s = i\omega)

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    frequency : array (frequency,), optional
        ω in radians per step or unit time. By default 400 from far below the slowest pole of the batch to π, of flows
        to far above the fastest one, and some beside each pole.
    curvature : float or array (mode,) or (*batch, mode), optional
        Eigenvalues λ of the Hessian that close the loop.
    output : str
        "displacement" x_{k+1} - x_k, of flows dx/dt; "position" x_k; "query", the point where the (first) gradient of a
        step is asked for; "query_displacement", its displacement, which shows the lead of Nesterov's look-ahead.
        With a curvature also "sensitivity", from a gradient error to the gradient received (the first of a step), and
        "loop", the loop gain L = λ times the open query, whose curve is Nyquist's; it stays open.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    FrequencyResponse
        Also of loops that are not stable: then formal, as no swing is ever steady, and without cut-off and window.

    Raises
    ------
    ValueError
        If the rule is not linear or varies in time, the output is unknown, needs a curvature or does not exist for the
        rule, or shapes do not fit.

    Notes
    -----
    A pole within about 1e-12 of the unit circle (of flows: of the imaginary axis, beside their fastest pole) counts as
    one that does not decay: momenta of 1 - 1e-12 and more have no cut-off and no window here.

    References
    ----------
    Goh, "Why momentum really works", Distill 2017; Åström and Murray, "Feedback systems", 2nd ed. 2021, chapters 9
    and 10.

    Examples
    --------
    Momentum is a low-pass filter of the gradient; on a spring the constant force ends at f/λ:

    >>> import heavyball_dynamics as hb
    >>> hb.frequency_response(hb.HeavyBall(lr=0.5, momentum=0.5), [0.0, 3.141592653589793]).magnitude.round(12)
    array([1.        , 0.33333333])
    >>> hb.frequency_response(hb.HeavyBall(0.1, 0.9), curvature=[0.5, 4.0], output="position").dc_gain
    array([2.  , 0.25])
    """
    path = signal_path(algorithm, curvature, output, k=k, t=t)
    value = None if curvature is None else curvatures(curvature)
    return _response(path, frequency, output, value)


def _response(
    path: SignalPath, frequency: ArrayLike | None, output: str, curvature: FloatArray | None
) -> FrequencyResponse:
    omega = _default(path) if frequency is None else _frequencies(frequency)
    found = path.at(omega)
    if curvature is not None:
        found = np.moveaxis(found, -1, -2)
    window, age = path.averages
    return FrequencyResponse(omega, found, path.dc_gain, path.cutoff, window, age, output, curvature, path.discrete)


def _frequencies(frequency: ArrayLike) -> FloatArray:
    omega = np.atleast_1d(real_array("frequency", frequency))
    if omega.ndim != 1 or not len(omega):
        raise ValueError(f"`frequency` must be a one-dimensional array. Received shape {omega.shape}.")
    return omega


def _default(path: SignalPath) -> FloatArray:
    every = path.flat().grid()
    if not every.size:  # an empty batch has no poles to look beside
        return np.geomspace(_LOWEST, np.pi if path.discrete else 1 / _LOWEST, _NUMBER)
    omega = np.geomspace(max(100 * every.min(), 1e-12), every.max() / (1 if path.discrete else 100), _NUMBER)
    if len(every) <= _FEW:
        poles = path.poles[np.isfinite(path.poles)].ravel()
        beside = np.abs(np.abs(poles.imag)[:, None] + np.abs(poles.real)[:, None] * np.linspace(-3, 3, 13))
        omega = np.append(omega, beside[(beside > omega[0]) & (beside < omega[-1])])
    return np.unique(omega)


def dialect_response(
    dialect: str, frequency: ArrayLike | None = None, *, momentum: Hyperparameter, lr: Hyperparameter = 1.0,
    nesterov: bool = False, dampening: Hyperparameter = 0.0, output: str = "buffer",
) -> FrequencyResponse:
    r"""Return the frequency response of momentum in the variables of a framework.

    .. math::
        \text{torch: } \frac{z}{z-\beta}, \qquad \text{ema: } \frac{(1-\beta)z}{z-\beta}, \qquad
        \text{keras, goodfellow: } \frac{a z}{z-\beta}

    The input is what the buffer adds up: the gradient in torch and ema, minus the gradient in keras and goodfellow,
    whose buffer is a displacement. Of an average the gain at rest is 1, of a sum 1/(1-β); cut-off and averaging window
    are the same in all dialects.

    Parameters
    ----------
    dialect : {"torch", "keras", "ema", "goodfellow"}
        Whose hyperparameters and buffer.
    frequency : array (frequency,), optional
        As of `frequency_response`.
    momentum : float or array (*batch,)
        Momentum β.
    lr : float or array (*batch,)
        The dialect's own learning rate a > 0.
    nesterov : bool
        Whether the gradient is taken at the look-ahead point. The buffer does not notice; the update gains a lead where
        the framework stores the look-ahead.
    dampening : float or array (*batch,)
        torch's dampening d, which scales all gradients but the first.
    output : {"buffer", "update"}
        The momentum buffer, or the displacement of the stored parameters for a force.

    Returns
    -------
    FrequencyResponse

    Raises
    ------
    ValueError
        If the dialect or the output is unknown, a value is out of range, or the dialect lacks the combination.
    TypeError
        If a hyperparameter is a schedule.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", 2013;
    Oppenheim and Schafer, "Discrete-time signal processing", 3rd ed. 2010, section 5.2, for the filter of one pole.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> for dialect in ("torch", "keras", "ema", "goodfellow"):
    ...     print(dialect, hb.dialect_response(dialect, lr=0.5, momentum=0.75).dc_gain)
    torch 4.0
    keras 2.0
    ema 1.0
    goodfellow 2.0
    """
    one_of("output", output, ("buffer", "update"))
    for name, value in (("lr", lr), ("momentum", momentum), ("dampening", dampening)):
        if isinstance(value, Schedule) or callable(value):
            raise TypeError(f"`{name}` must be constant: a filter that varies has no frequency response. "
                            f"Received {value!r}.")  # fmt: skip
    rate = positive("lr", lr, "Without steps there is nothing to filter.")
    method = from_dialect(dialect, lr=lr, momentum=momentum, nesterov=nesterov, dampening=dampening)
    spelling = DIALECTS[dialect]
    if output == "update":
        looking = nesterov and spelling.stores_look_ahead
        return frequency_response(method, frequency, output="query_displacement" if looking else "displacement")
    path = signal_path(method, None, "displacement")
    if spelling.outside:
        share = np.asarray(rate)
        # The buffer is -V/a, and the force minus the gradient.
        path = SignalPath(path.moving, path.b, path.c / share[..., None], path.d / share, path.discrete)
    return _response(path, frequency, output, None)
