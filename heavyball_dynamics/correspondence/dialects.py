"""Dialects: how frameworks and textbooks spell learning rate and momentum.

They are translated once, at the boundary, into the canonical two-point form

    x_{k+1} = x_k + β(x_k - x_{k-1}) - η ∇f(y_k).

A dialect keeps its learning rate inside the buffer or outside of it. The two agree only while the learning rate is
constant; under a schedule α_k the outside form is the canonical one with the momentum β_k α_k/α_{k-1}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._schedule import Schedule, combined
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, hyperparameter, is_symbolic, one_of, require
from heavyball_dynamics.algorithms.dampened import DampenedHeavyBall
from heavyball_dynamics.algorithms.look_ahead import LookAheadNesterov
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.correspondence._scheduled import averages, carried, skipping, uncarried


@dataclass(frozen=True)
class Dialect:
    """How one tradition writes the heavy ball.

    Attributes
    ----------
    update : str
        The update rule in the tradition's own words: v its buffer, g the gradient, a its learning rate.
    averaging : bool
        Whether the buffer is an average of gradients, weighted by 1-β. The canonical learning rate is then a(1-β).
    outside : bool
        Whether the learning rate multiplies the buffer, v = -V/a, instead of sitting in it, v = V.
    stores_look_ahead : bool
        Whether the parameters under ``nesterov=True`` are the look-ahead point y instead of x.
    dampening : bool
        Whether it knows torch's `dampening` d.
    """

    update: str
    averaging: bool
    outside: bool
    stores_look_ahead: bool
    dampening: bool = False


DIALECTS: Mapping[str, Dialect] = MappingProxyType({
    "torch": Dialect("v ← βv + (1-d)g, θ ← θ - av", averaging=False, outside=True, stores_look_ahead=True,
                     dampening=True),
    "keras": Dialect("v ← βv - ag, θ ← θ + v", averaging=False, outside=False, stores_look_ahead=True),
    "ema": Dialect("v ← βv + (1-β)g, θ ← θ - av", averaging=True, outside=True, stores_look_ahead=True),
    "goodfellow": Dialect("v ← βv - ag, θ ← θ + v", averaging=False, outside=False, stores_look_ahead=False),
})  # fmt: skip


def from_dialect(
    dialect: str, *, lr: Hyperparameter, momentum: Hyperparameter, nesterov: bool = False,
    dampening: Hyperparameter = 0.0,
) -> Method:
    r"""Return the canonical method behind a framework's hyperparameters.

    .. math:: \eta = a \quad\text{(torch, keras, goodfellow)}, \qquad \eta = a(1-\beta) \quad\text{(ema)}

    Started with an empty buffer at the same point it reproduces the framework's iterates to rounding. Under
    ``nesterov=True`` torch, keras and ema store the look-ahead points y_k, which `Nesterov.look_ahead` computes from a
    run; goodfellow stores x_k. A buffer that is not empty is translated by `from_buffer`.

    Schedules are translated exactly. A learning rate outside of the buffer (torch, ema) then changes the momentum,

    .. math:: \beta_k\,\frac{\alpha_k}{\alpha_{k-1}} \quad (k \ge 1).

    At momentum 0 torch makes no buffer; the first gradient after that fills it, so that the momentum of that step
    counts as 0 too.
    Under ``nesterov=True`` there is no such form where the momentum varies, outside also where the learning rate does:
    the result is then a `LookAheadNesterov`, whose position is the y_k that the framework stores.

    Parameters
    ----------
    dialect : {"torch", "keras", "ema", "goodfellow"}
        Whose hyperparameters these are; `DIALECTS` holds the update rules.
    lr : float, array (*batch,) or schedule
        The dialect's learning rate a >= 0; outside of the buffer a schedule must not rise from 0.
    momentum : float, array (*batch,) or schedule
        Momentum β.
    nesterov : bool
        Whether the gradient is taken at the look-ahead point.
    dampening : float or array (*batch,)
        torch's dampening d, which spares the first gradient and is ignored where the momentum is zero.

    Returns
    -------
    HeavyBall, Nesterov, DampenedHeavyBall or LookAheadNesterov
        With hyperparameters of shape (*batch,), or schedules.

    Raises
    ------
    ValueError
        If the dialect is unknown, a value is out of range, or the dialect does not know the combination.
    TypeError
        If the dampening is a schedule.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", 2013,
    eqs. (1)-(4); Goodfellow, Bengio, Courville, "Deep Learning", 2016, algorithms 8.2 and 8.3; torch.optim.SGD and
    keras.optimizers.SGD, documentation.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.from_dialect("torch", lr=0.1, momentum=0.5)
    HeavyBall(lr=0.1, momentum=0.5)
    >>> hb.from_dialect("ema", lr=0.1, momentum=0.5, nesterov=True)
    Nesterov(lr=0.05, momentum=0.5)

    Halving the learning rate halves the momentum of that step:

    >>> method = hb.from_dialect("torch", lr=hb.Schedule([0.2, 0.1]), momentum=0.8)
    >>> [float(hb.at_step(method, k).momentum) for k in range(3)]
    [0.8, 0.4, 0.8]
    """
    one_of("dialect", dialect, DIALECTS)
    spelling = DIALECTS[dialect]
    if not isinstance(nesterov, (bool, np.bool_)):
        raise TypeError(f"`nesterov` must be True or False. Received {nesterov!r}.")
    method = HeavyBall(lr, momentum)
    dampening = finite("dampening", dampening)
    dampened = bool(np.any(dampening != 0))
    if dampened and not spelling.dampening:
        raise ValueError(
            f"`dampening` must be 0 in the {dialect} dialect, which has none. Received {dampening!r}. Did you mean "
            "dialect 'torch'?"
        )
    if nesterov and dialect == "torch":
        _require_torch_nesterov(method.momentum, dampening)
    if nesterov and not _is_two_point(spelling, method.lr, method.momentum):
        return LookAheadNesterov(method.lr, method.momentum, spelling.averaging, spelling.outside)
    before = method
    if spelling.averaging:
        method = _without_average(method)
    if nesterov:
        return Nesterov(method.lr, method.momentum)
    if spelling.outside:
        kept = skipping(before.momentum) if dialect == "torch" else before.momentum
        method = HeavyBall(method.lr, carried(before.lr, kept))
    if dampened and (isinstance(method.momentum, Schedule) or np.any(method.momentum != 0)):
        return DampenedHeavyBall(method.lr, method.momentum, dampening)
    return method


def to_dialect(method: Method, dialect: str) -> dict[str, Any]:
    r"""Return a method's hyperparameters as a framework spells them, the inverse of `from_dialect`.

    .. math:: a = \eta \quad\text{(torch, keras, goodfellow)}, \qquad a = \eta/(1-\beta) \quad\text{(ema)}

    Parameters
    ----------
    method : HeavyBall, Nesterov, DampenedHeavyBall, GradientDescent or LookAheadNesterov
        Gradient descent is spelled as a heavy ball without momentum.
    dialect : {"torch", "keras", "ema", "goodfellow"}
        The spelling wanted.

    Returns
    -------
    dict
        ``lr``, ``momentum``, ``nesterov`` and ``dampening``: keyword arguments of `from_dialect`.

    Raises
    ------
    ValueError
        If the dialect is unknown or cannot spell the method: ema at momentum >= 1, dampening outside torch, torch's
        nesterov without momentum, look-ahead points under a schedule that only another dialect has.
    TypeError
        If the method has no learning rate and momentum.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.to_dialect(hb.HeavyBall(lr=0.05, momentum=0.5), "ema")
    {'lr': 0.1, 'momentum': 0.5, 'nesterov': False, 'dampening': 0.0}
    """
    one_of("dialect", dialect, DIALECTS)
    spelling = DIALECTS[dialect]
    dampening: Hyperparameter = 0.0
    if isinstance(method, LookAheadNesterov):
        return _spelled_look_ahead(method, dialect)
    if isinstance(method, GradientDescent):
        lr, momentum = method.lr, 0.0
    elif isinstance(method, (HeavyBall, Nesterov, DampenedHeavyBall)):
        lr, momentum = method.lr, method.momentum
    else:
        raise TypeError(
            "`method` must be a HeavyBall, Nesterov, DampenedHeavyBall or GradientDescent: no other rule is spelled "
            f"with lr and momentum. Received {method!r}."
        )
    nesterov = isinstance(method, Nesterov)
    if isinstance(method, DampenedHeavyBall):
        if not spelling.dampening:
            raise ValueError(
                f"`method` must have no dampening in the {dialect} dialect. Received {method!r}. "
                "HeavyBall(method.effective_lr, method.momentum) differs from it in the first step only."
            )
        dampening = method.dampening
    if nesterov and dialect == "torch":
        _require_torch_nesterov(momentum, dampening)
    if nesterov and not _is_two_point(spelling, lr, momentum):
        raise ValueError(
            f"`method` must have a constant momentum{' and lr' * spelling.outside} in the {dialect} dialect, which "
            f"stores look-ahead points. Received {method!r}. The goodfellow dialect spells it under every schedule."
        )
    if isinstance(lr, Schedule) or isinstance(momentum, Schedule):
        lr, momentum = _spelled_schedules(spelling, lr, momentum)
    elif spelling.averaging:
        hyperparameter(
            "momentum", momentum, rule="< 1 in the ema dialect, whose steps vanish like 1 - momentum",
            check=lambda x: x < 1,
        )  # fmt: skip
        batch_shape(method)
        lr = lr / (1 - momentum)
    return {"lr": lr, "momentum": momentum, "nesterov": nesterov, "dampening": dampening}


def _spelled_schedules(spelling: Dialect, lr: Any, momentum: Any) -> tuple[Any, Any]:
    if spelling.averaging:
        return averages(lr, momentum)
    return lr, uncarried(lr, momentum) if spelling.outside else momentum


def _spelled_look_ahead(method: LookAheadNesterov, dialect: str) -> dict[str, Any]:
    spelling = DIALECTS[dialect]
    if not spelling.stores_look_ahead or (method.averaging, method.outside) != (spelling.averaging, spelling.outside):
        raise ValueError(
            f"`method` must keep its buffer as the {dialect} dialect does. Received {method!r}: under a schedule these "
            "are other iterates. Spell it in the dialect that it came from."
        )
    return {"lr": method.lr, "momentum": method.momentum, "nesterov": True, "dampening": 0.0}


def _without_average(method: HeavyBall) -> HeavyBall:
    """Move the average's weight 1-β into the learning rate."""
    if not isinstance(method.momentum, Schedule):
        hyperparameter("momentum", method.momentum, rule="<= 1 in the ema dialect, which averages gradients with "
                       "weight 1 - momentum", check=lambda x: x <= 1)  # fmt: skip
    batch_shape(method)
    return HeavyBall(combined(_averaged, method.lr, method.momentum), method.momentum)


def _averaged(lr: Any, momentum: Any) -> Any:
    return lr * (1 - momentum)


def _is_two_point(spelling: Dialect, lr: Any, momentum: Any) -> bool:
    """Tell whether the look-ahead points of a dialect are those of `Nesterov` with some lr and momentum."""
    varying = isinstance(momentum, Schedule) or (spelling.outside and isinstance(lr, Schedule))
    return not (varying and spelling.stores_look_ahead)


def _require_torch_nesterov(momentum: Hyperparameter, dampening: Hyperparameter) -> None:
    """Refuse what torch.optim.SGD refuses under nesterov=True."""
    if not is_symbolic(momentum) and not isinstance(momentum, Schedule):
        value = np.asarray(momentum)
        require("momentum", value, value > 0, "> 0 under torch's nesterov=True", "Without momentum use nesterov=False.")
    if is_symbolic(dampening):
        raise ValueError(f"`dampening` must be 0 under torch's nesterov=True. Received {dampening!r}.")
    value = np.asarray(dampening)
    require("dampening", value, value == 0, "0 under torch's nesterov=True")
