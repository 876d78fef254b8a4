"""Step and impulse responses of the signals of a rule, and the signals as python-control systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm

from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count, one_of, real_array, require
from heavyball_dynamics.analysis._rule_signals import signal_path
from heavyball_dynamics.analysis._signal_paths import SignalPath
from heavyball_dynamics.analysis.linear import curvatures

if TYPE_CHECKING:
    import control


@dataclass(frozen=True)
class TimeResponse:
    """How an output of a rule that has been at rest answers to a force that sets in.

    Attributes
    ----------
    time : array (time,)
        Steps 0, 1, … or times.
    response : array (*batch, time) or (*batch, time, mode)
        The output; the last axis is there if curvatures were given.
    output : str
        What answers.
    force : {"step", "impulse"}
        A force of one from time 0 on, or at time 0 only.
    curvature : array (*batch, mode) or None
        The curvatures that close the loop.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.time_response(hb.from_dialect("ema", lr=1.0, momentum=0.5), 4)
    >>> found.response
    array([0.5   , 0.75  , 0.875 , 0.9375])
    >>> print(found)
    displacement under a step of force: from 0.5, between 0.5 and 0.9375, 0.9375 at 3
    """

    time: FloatArray
    response: FloatArray
    output: str
    force: str
    curvature: FloatArray | None

    def summary(self) -> str:
        """Return one line for each mode of each batch element."""
        table = self.response if self.curvature is None else np.moveaxis(self.response, -2, -1)
        lines = []
        for index in np.ndindex(table.shape[:-1]):
            own = index if self.curvature is None else index[:-1]
            where = f"{list(own)} " if own else ""
            if self.curvature is not None:
                where += f"curvature {np.broadcast_to(self.curvature, table.shape[:-1])[index]:g}, "
            values = table[index]
            lines.append(f"{where}{self.output} under a{'n' * (self.force == 'impulse')} {self.force} of force: from "
                         f"{values[0]:.6g}, between {values.min():.6g} and {values.max():.6g}, {values[-1]:.6g} at "
                         f"{self.time[-1]:g}")  # fmt: skip
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def time_response(
    algorithm: Algorithm, times: int | ArrayLike, *, force: str = "step", curvature: ArrayLike | None = None,
    output: str = "displacement", k: int | None = None, t: float | None = None,
) -> TimeResponse:
    r"""Return the step or impulse response from the force on a rule to what it does.

    .. math:: y_0 = d f_0, \qquad y_k = d f_k + \sum_{j=1}^{k} c\,A^{j-1}b\,f_{k-j}

    and for flows the integral, by matrix exponentials. The force is minus the gradient, with a curvature minus an error
    of the gradient. With ``output="position"`` and a curvature the step response ends at 1/λ.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    times : int, or array (time,)
        The number of steps of a method, counted from 0; of a flow the times >= 0.
    force : {"step", "impulse"}
        One from time 0 on, or at time 0 only; of a flow the impulse has the integral one.
    curvature : float or array (mode,) or (*batch, mode), optional
        Eigenvalues λ of the Hessian that close the loop.
    output : str
        As of `frequency_response`.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    TimeResponse
        An impulse that passes straight through a flow is left out.

    Raises
    ------
    ValueError
        If the rule is not linear or varies in time, or an argument is out of range.
    TypeError
        If the number of steps is no whole number.

    References
    ----------
    Åström and Murray, "Feedback systems", 2nd ed. 2021, section 6.3.

    Examples
    --------
    The sum of the heavy ball and the force that it holds against a spring:

    >>> import heavyball_dynamics as hb
    >>> hb.time_response(hb.HeavyBall(lr=1.0, momentum=0.5), 4, force="impulse").response
    array([1.   , 0.5  , 0.25 , 0.125])
    >>> spring = hb.time_response(hb.HeavyBallFlow(1.0, 1.0), [0.0, 1.0, 60.0], curvature=4.0, output="position")
    >>> spring.response[:, 0].round(6)
    array([0.      , 0.267661, 0.25    ])
    """
    one_of("force", force, ("step", "impulse"))
    path = signal_path(algorithm, curvature, output, k=k, t=t)
    if path.discrete:
        moments = np.arange(count("times", times, 1), dtype=float)
        found = _stepped(path, len(moments), impulse=force == "impulse")
    else:
        moments = np.atleast_1d(real_array("times", times))
        if moments.ndim != 1:
            raise ValueError(f"`times` must be a one-dimensional array of times. Received shape {moments.shape}.")
        require("times", moments, moments >= 0, ">= 0")
        found = _flowing(path, moments, impulse=force == "impulse")
    value = None if curvature is None else curvatures(curvature)
    return TimeResponse(moments, found if value is None else np.moveaxis(found, -1, -2), output, force, value)


def _stepped(path: SignalPath, number: int, *, impulse: bool) -> FloatArray:
    found = np.empty((*path.d.shape, number))
    state = np.zeros_like(path.b)
    for j in range(number):
        force = 1.0 if j == 0 or not impulse else 0.0
        found[..., j] = np.einsum("...i,...i->...", path.c, state) + path.d * force
        state = state + np.einsum("...ij,...j->...i", path.moving, state) + path.b * force
    return found


def _flowing(path: SignalPath, moments: FloatArray, *, impulse: bool) -> FloatArray:
    order = path.b.shape[-1]
    both = np.zeros((*path.d.shape, order + 1, order + 1))
    both[..., :order, :order], both[..., :order, order] = path.moving, path.b
    found = np.empty((*path.d.shape, len(moments)))
    for j, moment in enumerate(moments):
        grown = expm(moment * both)
        if impulse:
            state = np.einsum("...ij,...j->...i", grown[..., :order, :order], path.b)
            found[..., j] = np.einsum("...i,...i->...", path.c, state)
        else:
            found[..., j] = np.einsum("...i,...i->...", path.c, grown[..., :order, order]) + path.d
    return found


def signal_system(
    algorithm: Algorithm, *, curvature: float | None = None, output: str = "displacement", k: int | None = None,
    t: float | None = None,
) -> control.StateSpace:
    """Return the path from the force on a rule to an output as a python-control system.

    ``control.bode_plot``, ``control.nyquist_plot``, ``control.step_response`` and all else that python-control knows
    then apply to it; `frequency_response` and `time_response` are the same path for whole batches.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule with scalar hyperparameters.
    curvature : float, optional
        Eigenvalue λ of the Hessian that closes the loop.
    output : str
        As of `frequency_response`. With "loop" the system is the loop gain for ``control.nyquist_plot``.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    control.StateSpace
        Discrete with dt=1 for methods, continuous for flows; input "force", output as named.

    Raises
    ------
    ValueError
        If the rule is not linear, varies in time, holds arrays, or the curvature is not one number.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> system = hb.signal_system(hb.HeavyBall(lr=0.5, momentum=0.5), curvature=0.25, output="position")
    >>> system.dcgain().round(12), system.input_labels, system.output_labels
    (np.float64(4.0), ['force'], ['position'])
    """
    import control

    if curvature is not None and np.ndim(curvature):
        raise ValueError(f"`curvature` must be one number: a python-control system is one mode. Received shape "
                         f"{np.shape(curvature)}; hb.frequency_response takes arrays.")  # fmt: skip
    path = signal_path(algorithm, curvature, output, k=k, t=t)
    if path.flat().d.size != 1 or path.d.ndim > (curvature is not None):
        raise ValueError(
            "python-control has no batches: `algorithm` must have scalar hyperparameters. Received "
            f"{algorithm!r} with array-valued ones; hb.frequency_response and hb.time_response take them."
        )
    one = path.flat()
    order = one.b.shape[-1]
    A = one.moving[0] + (np.eye(order) if one.discrete else 0.0)
    # Otherwise python-control drops states that it believes unused, and with them poles.
    return control.ss(A, one.b[0][:, None], one.c[0][None], one.d[0], 1 if one.discrete else 0, inputs=["force"],
                      outputs=[output], remove_useless_states=False)  # fmt: skip
