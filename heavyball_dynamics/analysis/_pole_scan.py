"""Where along a line of loops stability is lost first, told by poles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis._loop_gain import LoopResponse, opened

Margin = Callable[[FloatArray, FloatArray], FloatArray]  # of places (k,) and elements (k,), positive while it decays

_SHARES = np.linspace(0.0, 1.0, 385)
_ROUNDING = 1e-11  # a pole has to be this far outside to tell against the crossings of the loci
_INSIDE = 1 - 1e-9


def first_change(margin: Margin, who: IntArray, places: FloatArray) -> FloatArray:
    """Return where along `places`, which begin with one that decays, the margin is lost first.

    Ranges of loss that fit between two places are looked for where the margin has a minimum.

    Parameters
    ----------
    margin : callable
    who : array of int (k,)
        Elements to look at.
    places : array (place,)
        Increasing or decreasing.

    Returns
    -------
    array (k,)
        Infinite, with the sign of the direction, where it is not lost.
    """
    table = np.stack([margin(np.full(len(who), place), who.astype(float)) for place in places])
    table = np.where(np.isnan(table), -np.inf, table)
    lost = table <= 0
    before = np.where(lost.any(axis=0), np.argmax(lost, axis=0), len(places))
    edge = np.full(len(who), np.sign(places[-1] - places[0]) * np.inf)
    some = np.flatnonzero(before < len(places))
    after = before[some]
    low, high = np.full(len(who), np.nan), np.full(len(who), np.nan)
    low[some], high[some] = places[after - 1], places[after]
    at, column = np.nonzero((table[1:-1] < table[:-2]) & (table[1:-1] <= table[2:]))
    hidden = at + 2 < before[column]  # all three decay
    at, column = at[hidden], column[hidden]
    if column.size:
        bracket = places[at], places[at + 1], places[at + 2]
        bottom = elementwise.find_minimum(margin, bracket, args=(who[column].astype(float),))
        for i in np.flatnonzero(bottom.f_x <= 0)[::-1]:  # the first one is written last
            low[column[i]], high[column[i]] = places[at[i]], bottom.x[i]
    some = np.flatnonzero(np.isfinite(low))
    if some.size:
        edge[some] = elementwise.find_root(margin, (low[some], high[some]), args=(who[some].astype(float),)).x
    return edge


def gains_by_poles(
    response: LoopResponse, interval: FloatArray, reach: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Narrow intervals of factors to those that poles confirm, for loops whose loci are not easily told apart.

    Parameters
    ----------
    response : LoopResponse
        Stable loops.
    interval : array (element, 2)
        Factors below and above one between which the loops are thought to decay.
    reach : array (element, 2)
        The smallest and the largest distance of a factor from one at which a pole may reach the boundary.

    Returns
    -------
    tuple of arrays
        The intervals, and ω at upper ends that are new, NaN at others.
    """
    loops = opened(response)
    interval, frequency = interval.copy(), np.full(len(interval), np.nan)
    everyone = np.arange(len(interval))
    for side, sign in ((0, -1.0), (1, 1.0)):
        far = np.minimum(np.abs(interval[:, side] - 1) * _INSIDE, reach[:, 1])
        near = np.minimum(reach[:, 0], 0.5 * far)

        def factor(share: FloatArray, index: IntArray, near: Any = near, far: Any = far, sign: float = sign) -> Any:
            return 1 + sign * near[index] * (far[index] / near[index]) ** share

        def margin(share: FloatArray, index: FloatArray, factor: Any = factor) -> FloatArray:
            who = index.astype(int)
            return _ROUNDING - _outermost(loops, factor(share, who), who)[0]

        share = first_change(margin, everyone, _SHARES)
        new = np.flatnonzero(np.isfinite(share))
        if new.size:
            interval[new, side] = factor(share[new], new)
            if side == 1:
                frequency[new] = _outermost(loops, interval[new, side], new)[1]
    return interval, frequency


def _outermost(loops: LoopResponse, factor: FloatArray, index: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return how far outside the boundary the outermost pole is, NaN for a pole at infinity, and its ω."""
    c = factor[:, None, None]
    identity = np.eye(loops.through.shape[-1])
    with np.errstate(all="ignore"):
        straight = identity - c * loops.through[index]
        good = np.abs(np.linalg.det(straight)) > 0
        feedback = c * np.linalg.inv(np.where(good[:, None, None], straight, identity))
        moving = loops.moving[index] + loops.inputs[index] @ feedback @ loops.outputs[index]
        good &= np.isfinite(moving).all(axis=(-2, -1))
    sigma: ComplexArray = np.linalg.eigvals(np.where(good[:, None, None], moving, 0.0)).astype(complex)
    size = 2 * sigma.real + np.abs(sigma) ** 2 if loops.discrete else sigma.real
    top = np.argmax(size, axis=-1)[:, None]
    excess, pole = (np.take_along_axis(part, top, axis=-1)[:, 0] for part in (size, sigma))
    omega = np.abs(np.angle(1 + pole)) if loops.discrete else np.abs(pole.imag)
    return np.where(good, excess, np.nan), omega
