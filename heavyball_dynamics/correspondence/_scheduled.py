"""Schedules in two dialects: what the change of a learning rate outside of the buffer does to the momentum.

Outside, the displacement is V_k = -α_{k-1}v_k. A step under α_k keeps of it

    V_{k+1} = β_k (α_k/α_{k-1}) V_k - α_k g,

so that a change of the learning rate is a change of the canonical momentum. At k = 0 the buffer is that of α_0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from heavyball_dynamics._schedule import Schedule, value_at


def carried(lr: Any, momentum: Any) -> Any:
    """Return the canonical momentum β_k α_k/α_{k-1} of a dialect with the learning rate α outside."""
    return Schedule(_Rescaled(lr, momentum, back=False)) if isinstance(lr, Schedule) else momentum


def uncarried(lr: Any, momentum: Any) -> Any:
    """Return the momentum β_k η_{k-1}/η_k of the dialect, the inverse of `carried`."""
    return Schedule(_Rescaled(lr, momentum, back=True)) if isinstance(lr, Schedule) else momentum


def averages(lr: Any, momentum: Any) -> tuple[Any, Any]:
    """Return α and β of the averaging dialect for canonical schedules η_k = α_k(1-β_k) and β_k α_k/α_{k-1}."""
    rate = _AverageRate(lr, momentum)
    return Schedule(rate), Schedule(_AverageMomentum(lr, rate))


@dataclass(frozen=True)
class _Rescaled:
    """A momentum times the learning rate of a step over that of the step before; `back` over the other."""

    lr: Any
    momentum: Any
    back: bool

    def __call__(self, k: Any) -> Any:
        momentum = value_at(self.momentum, k)
        if k == 0:
            return momentum
        now, before = self.lr(k), self.lr(k - 1)
        return _ratio(momentum, before, now, k) if self.back else _ratio(momentum, now, before, k)


@dataclass(frozen=True)
class _AverageRate:
    """α_k = η_k + β_k α_{k-1} from α_0 = η_0/(1-β_0), remembered as far as it was asked for."""

    lr: Any
    momentum: Any
    _known: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __call__(self, k: Any) -> Any:
        while len(self._known) <= k:
            now = len(self._known)
            lr, momentum = (np.asarray(value_at(part, now), dtype=np.float64) for part in (self.lr, self.momentum))
            if now == 0:
                if not np.all(momentum < 1):
                    raise ValueError(
                        "`momentum` must be < 1 at the first step in the ema dialect, whose steps vanish like 1 - "
                        f"momentum. Received {momentum}."
                    )
                self._known.append(lr / (1 - momentum))
            else:
                self._known.append(lr + momentum * self._known[now - 1])
        return self._known[k]


@dataclass(frozen=True)
class _AverageMomentum:
    lr: Any
    rate: _AverageRate

    def __call__(self, k: Any) -> Any:
        rate = self.rate(k)
        return 1 - _ratio(1.0, value_at(self.lr, k), rate, k)


@dataclass(frozen=True)
class _Skipping:
    """torch's momentum: a step with the momentum 0 leaves the buffer alone, and the first other one fills it anew."""

    momentum: Schedule
    _begun: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __call__(self, k: Any) -> Any:
        if k == np.inf:
            return self.momentum(k)
        while len(self._begun) <= k:  # whether there is a buffer before step j
            j = len(self._begun)
            self._begun.append(self._begun[-1] | (np.asarray(self.momentum(j - 1)) != 0) if j else np.zeros((), bool))
        momentum = np.asarray(self.momentum(k))
        if k == 0:
            return momentum
        stale = self._begun[k] & (momentum != 0) & (np.asarray(self.momentum(k - 1)) == 0)
        if np.any(stale):
            raise ValueError(
                "`momentum` must not return from 0 in the torch dialect: torch leaves its buffer alone while the "
                f"momentum is 0, and goes on with the old one. Received {momentum} after 0 at step {k}. "
                "hb.LookAheadNesterov does the same under nesterov=True."
            )
        return np.where(self._begun[k], momentum, 0.0)[()]


def skipping(momentum: Any) -> Any:
    """Return what torch makes of a momentum that varies."""
    return Schedule(_Skipping(momentum)) if isinstance(momentum, Schedule) else momentum


def _ratio(momentum: Any, above: Any, below: Any, k: Any) -> Any:
    """Return momentum·above/below, which is 0 where both are and nothing moves."""
    momentum, above, below = np.broadcast_arrays(momentum, above, below)
    product = momentum * above
    if np.any((below <= 0) & (product != 0)):
        raise ValueError(
            "`lr` must not rise from 0 in a dialect that keeps it outside of the buffer: what fills the buffer at lr = "
            f"0 is in no displacement. Received {below} and {above} in the steps to {k}. Begin the warm-up above 0."
        )
    return np.where(product == 0, 0.0, momentum * (above / np.where(below == 0, 1.0, below)))[()]
