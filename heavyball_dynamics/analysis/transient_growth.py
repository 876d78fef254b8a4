"""How far a stable loop carries a state away before it brings it back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import expm
from scipy.optimize import elementwise

from heavyball_dynamics._types import BoolArray, FloatArray, IntArray
from heavyball_dynamics.analysis._matrix_sizes import norm_bounds, spectral_norms

_DENSE = 4096  # steps that are all looked at
_DOUBLINGS = 50
_RATIO = 1.05  # between the steps looked at after those
_FINE = 0.02  # step in which a flow is looked at, over the modulus of its fastest pole


class TransientGrowth(NamedTuple):
    r"""Largest growths, every array (element,).

    Attributes
    ----------
    state, state_time
        :math:`\max_k\|M^k\|_2` (flows :math:`\max_t\|e^{Mt}\|_2`) and where it is attained.
    position, position_time
        The largest |position| from position 1 at rest, and where it is attained.
    """

    state: FloatArray
    state_time: FloatArray
    position: FloatArray
    position_time: FloatArray


class _Best:
    """The largest norms met so far."""

    def __init__(self, start: FloatArray) -> None:
        elements = len(start)
        self.state, self.state_k = np.ones(elements), np.zeros(elements)
        self.position, self.position_k = np.abs(start[:, 0]), np.zeros(elements)
        self.start = start

    def look(self, who: IntArray, k: Any, power: FloatArray) -> None:
        norm = self._norms(who, power)
        reached = np.abs(np.einsum("ej,ej->e", power[:, 0, :], self.start[who]))
        k = np.broadcast_to(k, norm.shape)
        # Growth by rounding alone is none.
        more = norm > self.state[who] * (1 + 4 * np.finfo(float).eps)
        self.state[who[more]], self.state_k[who[more]] = norm[more], k[more]
        more = reached > self.position[who] * (1 + 4 * np.finfo(float).eps)
        self.position[who[more]], self.position_k[who[more]] = reached[more], k[more]


    def _norms(self, who: IntArray, power: FloatArray) -> FloatArray:
        if power.shape[-1] <= 2:
            return spectral_norms(power)
        # Singular values only where there may be a new record.
        norm = np.zeros(len(who))
        open_ = np.flatnonzero(norm_bounds(power) > self.state[who])
        if open_.size:
            norm[open_] = spectral_norms(power[open_])
        return norm


def transient_growth(
    moving: FloatArray, start: FloatArray, unstable: BoolArray, *, discrete: bool
) -> TransientGrowth:
    r"""Return the largest growth of any state, and of the position from rest.

    All of the first 4096 steps are looked at, as far as growth is possible: from the first j with
    :math:`\|M^j\| \le 1` on there is none beyond what was met before. Later steps are sampled 5 % apart and refined. A
    flow is sampled in steps of 1/50 of its fastest time constant and refined.

    Parameters
    ----------
    moving : array (element, state, state)
        What a step adds (a flow's matrix).
    start : array (element, state)
        The state at position 1 at rest.
    unstable : array (element,)
        Where growth is known to be endless.
    discrete : bool
        True for methods.

    Returns
    -------
    TransientGrowth
        Infinite where it is endless, the time then infinite too.
    """
    order = moving.shape[-1]
    best = _Best(start)
    quantum = np.ones(len(moving))
    step = moving + np.eye(order)
    if not discrete:
        fastest = np.abs(np.linalg.eigvals(moving)).max(axis=-1, initial=0.0)
        quantum = _FINE / np.where(fastest > 0, fastest, 1.0)
        step = expm(moving * quantum[:, None, None])
    endless = unstable.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        powers, horizon, bounded = _doublings(step, start, ~endless)
        endless |= ~bounded
        _dense(step, best, np.where(endless, 0.0, horizon))
        _sparse(powers, best, np.where(endless, 0.0, horizon))
    if not discrete:
        _refine(moving, best, quantum, ~endless)
    lost = np.where(endless, np.inf, 0.0)
    return TransientGrowth(best.state + lost, best.state_k * quantum + lost,
                           best.position + lost, best.position_k * quantum + lost)  # fmt: skip


def _doublings(
    step: FloatArray, start: FloatArray, wanted: BoolArray
) -> tuple[list[FloatArray], FloatArray, BoolArray]:
    """Return the powers 1, 2, 4, …, the step from which nothing can exceed what came before, and whether it is finite.

    Loops on the boundary of stability need not come back: they are followed to the end, and are bounded if the last
    doubling added nothing.
    """
    powers = [step]
    horizon = np.where(wanted, 2.0**_DOUBLINGS, 0.0)
    reach = np.maximum(1.0, np.linalg.norm(start, axis=-1) / np.abs(start[:, 0]))
    bound = np.ones(len(step))
    norm = spectral_norms(step)
    for j in range(_DOUBLINGS):
        # Every power below 2^j is a product of those met so far.
        back = (norm <= 1.0 / (bound * reach)) | ((norm <= 1.0) & (bound * reach <= 1.0))
        horizon = np.where(back & (horizon > 2.0**j), 2.0**j, horizon)
        if np.all(horizon <= 2.0**j):
            break
        bound = np.minimum(bound * np.maximum(norm, 1.0), 1e300)
        powers.append(np.where((horizon > 2.0**j)[:, None, None], powers[-1] @ powers[-1], powers[-1]))
        before, norm = norm, spectral_norms(powers[-1])
    else:
        return powers, horizon, ~((horizon >= 2.0**_DOUBLINGS) & ~(norm < 1.5 * before))
    return powers, horizon, np.ones(len(step), dtype=bool)


def _dense(step: FloatArray, best: _Best, horizon: FloatArray) -> None:
    last = np.minimum(horizon, _DENSE)
    power = step.copy()
    k = 1
    who = np.flatnonzero(last >= 1)
    power = power[who]
    while who.size:
        best.look(who, float(k), power)
        k += 1
        going = last[who] >= k
        if not going.all():
            who, power = who[going], power[going]
        power = step[who] @ power


def _power(powers: list[FloatArray], who: IntArray, k: FloatArray) -> FloatArray:
    """Return the k-th powers of elements `who` from their repeated squares."""
    result = np.broadcast_to(np.eye(powers[0].shape[-1]), powers[0][who].shape)
    left = k.astype(np.int64)
    for square in powers:
        odd = (left & 1).astype(bool)
        result = np.where(odd[:, None, None], square[who] @ result, result)
        left = left >> 1
        if not left.any():
            break
    return np.asarray(result)


def _sparse(powers: list[FloatArray], best: _Best, horizon: FloatArray) -> None:
    who = np.flatnonzero(horizon > _DENSE)
    k = float(_DENSE)
    far = who
    while far.size:
        k = np.floor(k * _RATIO)
        best.look(far, k, _power(powers, far, np.full(len(far), k)))
        far = far[horizon[far] > k]
    for name in ("state_k", "position_k"):
        width = np.full(len(who), _RATIO - 1)
        for _ in range(12):
            # Every round looks at nine steps around the best so far.
            centre = getattr(best, name)[who]
            for offset in np.linspace(-1.0, 1.0, 9):
                near = np.clip(np.round(centre * (1 + offset * width)), 0, horizon[who])
                best.look(who, near, _power(powers, who, near))
            width = width / 4


def _refine(moving: FloatArray, best: _Best, quantum: FloatArray, wanted: BoolArray) -> None:
    """Solve for the maxima of flows between the samples."""

    def norm(t: FloatArray, index: FloatArray) -> FloatArray:
        return np.asarray(-spectral_norms(expm(moving[index.astype(int)] * t[:, None, None])))

    def position(t: FloatArray, index: FloatArray) -> FloatArray:
        who = index.astype(int)
        there = expm(moving[who] * t[:, None, None])[:, 0, :]
        return np.asarray(-np.abs(np.einsum("ej,ej->e", there, best.start[who])))

    for function, name in ((norm, "state"), (position, "position")):
        k, value = getattr(best, f"{name}_k"), getattr(best, name)
        inner = np.flatnonzero(wanted & (k >= 1))
        if not inner.size:
            continue
        width = np.where(k[inner] > _DENSE, 1e-5 * k[inner], 1.0)
        bracket = tuple((k[inner] + shift * width) * quantum[inner] for shift in (-1.0, 0.0, 1.0))
        peak = elementwise.find_minimum(function, bracket, args=(inner.astype(float),))
        better = -peak.f_x >= value[inner]
        value[inner[better]] = -peak.f_x[better]
        k[inner[better]] = peak.x[better] / quantum[inner[better]]
