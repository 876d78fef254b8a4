"""Hyperparameters read from a live torch optimizer, without importing torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from heavyball_dynamics._protocols import Method
from heavyball_dynamics.algorithms.adam import Adam, AdamW, NAdam
from heavyball_dynamics.algorithms.adaptive import AdaDelta, AdaGrad, RMSProp
from heavyball_dynamics.correspondence.dialects import from_dialect

_Group = Mapping[str, Any]


def from_torch(optimizer: Any) -> Method | list[Method]:
    """Return the method that a torch optimizer is, one for each parameter group.

    ============================= ==============================================
    torch.optim                   here
    ============================= ==============================================
    SGD                           `HeavyBall`, `Nesterov` or `DampenedHeavyBall`
    RMSprop, Adagrad, Adadelta    `RMSProp`, `AdaGrad`, `AdaDelta`
    Adam, AdamW, NAdam            `Adam`, `AdamW`, `NAdam`
    ============================= ==============================================

    Its `param_groups` are read as they stand: under a scheduler that is the learning rate of this moment. The buffers
    are not read; `from_buffer` translates those of SGD. The flags foreach, fused, capturable and differentiable change
    no numbers and are ignored.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        One of these, or a subclass of one.

    Returns
    -------
    Method or list of Method
        A method if there is one parameter group, a list if there are several. An SGD without momentum is
        ``HeavyBall(lr, 0.0)``, so that every group has the same fields. ``Adam(decoupled_weight_decay=True)`` is an
        `AdamW`.

    Raises
    ------
    TypeError
        If it is none of these, or a group lacks one of their hyperparameters.
    ValueError
        If it maximizes, or a hyperparameter is out of range.

    Warns
    -----
    UserWarning
        If a group of an SGD has a weight decay, which is a part of the loss and not of the linear method. The adaptive
        methods keep theirs.

    Notes
    -----
    NAdam in torch keeps the product of its momenta in the default precision: only under
    ``torch.set_default_dtype(torch.float64)`` do its iterates agree to more than seven digits.

    References
    ----------
    torch.optim, documentation.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import heavyball_dynamics as hb
    >>> class SGD(SimpleNamespace):
    ...     '''Stands for torch.optim.SGD.'''
    >>> hb.from_torch(SGD(param_groups=[{"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": True}]))
    Nesterov(lr=0.1, momentum=0.9)
    >>> class Adadelta(SimpleNamespace):
    ...     '''Stands for torch.optim.Adadelta.'''
    >>> hb.from_torch(Adadelta(param_groups=[{"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0}]))
    AdaDelta(lr=1.0, rho=0.9, eps=1e-06, weight_decay=0.0)
    """
    kind = type(optimizer).__name__
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        raise TypeError(f"`optimizer` must be an optimizer of torch. Received a {kind} without param_groups.")
    # The nearest ancestor decides: in newer versions of torch AdamW is a subclass of Adam.
    name = next((ancestor.__name__ for ancestor in type(optimizer).__mro__ if ancestor.__name__ in _READERS), None)
    if name is None:
        raise TypeError(
            f"`optimizer` must be one of torch.optim's {', '.join(_READERS)}. Received a {kind}, which has no "
            "counterpart here. A rule of your own takes a few lines: see hb.Method."
        )
    if name == "SGD":
        for index, group in enumerate(groups):
            _warn_of_weight_decay(index, group)
    methods = [_from_group(index, group, kind, name) for index, group in enumerate(groups)]
    return methods[0] if len(methods) == 1 else methods


def _warn_of_weight_decay(index: int, group: _Group) -> None:
    weight_decay = float(group.get("weight_decay", 0.0))
    if weight_decay != 0:
        warnings.warn(
            f"weight_decay={weight_decay!r} in parameter group {index} belongs to the loss, not to the method: add "
            "weight_decay/2·|w|² to the objective, which raises every curvature by weight_decay.",
            UserWarning, stacklevel=3,
        )  # fmt: skip


def _from_group(index: int, group: _Group, kind: str, name: str) -> Method:
    reader = _READERS[name]
    missing = [key for key in reader.keys if key not in group]
    if missing:
        raise TypeError(
            f"`optimizer` must have {', '.join(reader.keys)} in each parameter group, as torch.optim.{name} does. "
            f"Received a {kind} without {', '.join(missing)} in group {index}."
        )
    if group.get("maximize", False):
        raise ValueError(
            f"`optimizer` must minimise. Received maximize=True in parameter group {index}. "
            "Negate the objective instead."
        )
    return reader.read(group)


class _Reader(NamedTuple):
    """The keys that a parameter group of this kind has, and the method that they mean."""

    keys: tuple[str, ...]
    read: Callable[[_Group], Method]


def _numbers(group: _Group, *names: str) -> dict[str, float]:
    # Each of them may be a tensor with one element.
    return {name: float(group[name]) for name in names}


def _sgd(group: _Group) -> Method:
    numbers = _numbers(group, "lr", "momentum", "dampening")
    return from_dialect("torch", nesterov=bool(group["nesterov"]), **numbers)


def _rmsprop(group: _Group) -> Method:
    numbers = _numbers(group, "lr", "alpha", "eps", "weight_decay", "momentum")
    return RMSProp(**numbers, centered=bool(group["centered"]))


def _adagrad(group: _Group) -> Method:
    return AdaGrad(**_numbers(group, *_ADAGRAD))


def _adadelta(group: _Group) -> Method:
    return AdaDelta(**_numbers(group, *_ADADELTA))


def _moments(group: _Group) -> dict[str, float]:
    beta1, beta2 = (float(beta) for beta in group["betas"])
    return {**_numbers(group, "lr", "eps", "weight_decay"), "beta1": beta1, "beta2": beta2}


def _adam(group: _Group) -> Method:
    kind = AdamW if group.get("decoupled_weight_decay", False) else Adam
    return kind(**_moments(group), amsgrad=bool(group["amsgrad"]))


def _adamw(group: _Group) -> Method:
    # Older versions of torch have no such flag.
    return _adam({**group, "decoupled_weight_decay": group.get("decoupled_weight_decay", True)})


def _nadam(group: _Group) -> Method:
    return NAdam(
        **_moments(group), **_numbers(group, "momentum_decay"),
        decoupled_weight_decay=bool(group.get("decoupled_weight_decay", False)),
    )  # fmt: skip


_MOMENTS = ("lr", "betas", "eps", "weight_decay")
_ADAGRAD = ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value")
_ADADELTA = ("lr", "rho", "eps", "weight_decay")
_READERS: Mapping[str, _Reader] = MappingProxyType({
    "SGD": _Reader(("lr", "momentum", "dampening", "nesterov"), _sgd),
    "RMSprop": _Reader(("lr", "alpha", "eps", "weight_decay", "momentum", "centered"), _rmsprop),
    "Adagrad": _Reader(_ADAGRAD, _adagrad),
    "Adadelta": _Reader(_ADADELTA, _adadelta),
    "Adam": _Reader((*_MOMENTS, "amsgrad"), _adam),
    "AdamW": _Reader((*_MOMENTS, "amsgrad"), _adamw),
    "NAdam": _Reader((*_MOMENTS, "momentum_decay"), _nadam),
})  # fmt: skip
