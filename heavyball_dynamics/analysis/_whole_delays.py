"""Delays in whole steps: the poles of the loop with stale gradients."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._types import BoolArray, FloatArray, IntArray
from heavyball_dynamics.analysis._loop_gain import LoopResponse, chosen, opened

LONGEST = 64  # whole delays up to this are tried one by one
_WHOLE = 1e-9  # a delay this close to a whole number of steps is that number
_INSIDE = 1 - 1e-12  # poles nearer to the circle are taken for poles on it


def whole_steps(delay: FloatArray) -> FloatArray:
    """Return the largest whole number of steps below a delay, 0 at least; infinite where the delay is.

    A delay of exactly the margin leaves a pole on the boundary.

    Parameters
    ----------
    delay : array
        Delays in steps.

    Returns
    -------
    array
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.maximum(np.ceil(delay * (1 - _WHOLE) - _WHOLE) - 1, 0.0))


def whole_delays(response: LoopResponse, delay: FloatArray) -> FloatArray:
    """Return the largest whole delays with which, and with all smaller ones, stable loops of methods decay.

    Parameters
    ----------
    response : LoopResponse
        From `curvature_response`, stable elements only.
    delay : array (element,)
        The smallest real delay that puts a pole on the boundary.

    Returns
    -------
    array (element,)
        Of loops that are not quieter than one at z = -1 at most `LONGEST`.
    """
    end = response.loci(np.full((len(delay), 1), np.inf), np.arange(len(delay)))[:, 0]
    # |L| > 1 at z = -1 is Re T > 1/2. Every step of delay turns the sign there, which no delay in between tells.
    loud = (end.real > 0.5).any(axis=-1)
    whole = np.where(loud, 0.0, whole_steps(delay))
    # Two poles may cross between one whole number and the next, one out and one back in.
    open_ = np.flatnonzero(whole < LONGEST)
    loops = opened(response)
    while open_.size:
        late = whole[open_].astype(int) + 1
        decays = np.zeros(len(open_), dtype=bool)
        for steps in np.unique(late):
            which = late == steps
            decays[which] = _decay(chosen(loops, open_[which]), int(steps))
        open_ = open_[decays]
        whole[open_] += 1
        open_ = open_[whole[open_] < LONGEST]
    return whole


def _decay(loops: LoopResponse, delay: int) -> BoolArray:
    """Tell whether loops decay with gradients that are late by whole steps."""
    elements, order = loops.moving.shape[:2]
    channels = loops.through.shape[-1]
    size = order + delay * channels
    step = np.zeros((elements, size, size))
    oldest: IntArray = np.arange(size - channels, size)
    step[:, :order, :order] = loops.moving + np.eye(order)
    step[:, :order, oldest] = loops.inputs
    newest = slice(order, order + channels)
    step[:, newest, :order] = loops.outputs
    step[:, newest, oldest] = loops.through
    step[:, order + channels :, order : size - channels] = np.eye(size - order - channels)
    return np.asarray(np.abs(np.linalg.eigvals(step)).max(axis=-1) < _INSIDE)
