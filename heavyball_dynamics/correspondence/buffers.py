"""The momentum buffers of the dialects: what a framework stores of the last displacement."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import non_negative, one_of, positive, vector
from heavyball_dynamics.correspondence.dialects import DIALECTS


def to_buffer(dialect: str, velocity: Any, *, lr: Hyperparameter) -> Any:
    r"""Return the framework's momentum buffer for a displacement V.

    .. math:: v = V \quad\text{(keras, goodfellow)}, \qquad v = -V/a \quad\text{(torch, ema)}

    Under ``nesterov=True`` the parameters that belong to it are y = x + βV in the dialects that store the look-ahead.

    Parameters
    ----------
    dialect : {"torch", "keras", "ema", "goodfellow"}
        The framework.
    velocity : array (*batch, dim)
        Displacement of one step, V_k = x_k - x_{k-1}, in units of position.
    lr : float or array (*batch,)
        The dialect's own learning rate a (``to_dialect(method, dialect)["lr"]``), > 0 where it multiplies the buffer.

    Returns
    -------
    array (*batch, dim)

    Raises
    ------
    ValueError
        If the dialect is unknown, the learning rate is out of range, or a value is not finite.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.to_buffer("torch", [0.5, -1.0], lr=0.5)
    array([-1.,  2.])
    """
    stored, rate = _buffer_arguments("velocity", dialect, velocity, lr)
    return -stored / rate if DIALECTS[dialect].outside else stored


def from_buffer(dialect: str, buffer: Any, *, lr: Hyperparameter) -> Any:
    r"""Return the displacement V behind a framework's momentum buffer, the inverse of `to_buffer`.

    .. math:: V = v \quad\text{(keras, goodfellow)}, \qquad V = -av \quad\text{(torch, ema)}

    It is the start velocity that makes a method go on where the framework stopped. Under ``nesterov=True`` the start
    position is x = y - βV in the dialects that store the look-ahead point y; a `LookAheadNesterov` goes on from the
    state ``hb.BufferState(y, buffer)`` instead.

    Parameters
    ----------
    dialect : {"torch", "keras", "ema", "goodfellow"}
        The framework.
    buffer : array (*batch, dim)
        Its momentum buffer v.
    lr : float or array (*batch,)
        The dialect's own learning rate a of the step that made the displacement, > 0 where it multiplies the buffer:
        a method with schedules that goes on at step k takes the one of step k - 1.

    Returns
    -------
    array (*batch, dim)

    Raises
    ------
    ValueError
        If the dialect is unknown, the learning rate is out of range, or a value is not finite.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.from_buffer("torch", [-1.0, 2.0], lr=0.5)
    array([ 0.5, -1. ])
    """
    stored, rate = _buffer_arguments("buffer", dialect, buffer, lr)
    return -rate * stored if DIALECTS[dialect].outside else stored


def _buffer_arguments(name: str, dialect: str, value: Any, lr: Hyperparameter) -> tuple[Any, Hyperparameter]:
    one_of("dialect", dialect, DIALECTS)
    stored = vector(name, value)
    if DIALECTS[dialect].outside:
        rate = positive("lr", lr, f"In the {dialect} dialect the buffer is -V/lr, which lr = 0 leaves undefined.")
    else:
        rate = non_negative("lr", lr)
    return stored, rate[..., None] if np.ndim(rate) else rate
