"""Hyperparameters read from a live torch optimizer, without importing torch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from heavyball_dynamics._protocols import Method
from heavyball_dynamics.correspondence.dialects import from_dialect

_KEYS = ("lr", "momentum", "dampening", "nesterov")


def from_torch(optimizer: Any) -> Method | list[Method]:
    """Return the canonical method of a torch.optim.SGD, one for each parameter group.

    Its `param_groups` are read as they stand: under a scheduler that is the learning rate of this moment. The buffers
    are not read; `from_buffer` translates them.

    Parameters
    ----------
    optimizer : torch.optim.SGD
        Or a subclass of it.

    Returns
    -------
    Method or list of Method
        A method if there is one parameter group, a list if there are several. Without momentum it is
        ``HeavyBall(lr, 0.0)``, so that every group has the same fields.

    Raises
    ------
    TypeError
        If it is not an SGD.
    ValueError
        If it maximizes, or a hyperparameter is out of range.

    Warns
    -----
    UserWarning
        If a group has a weight decay, which is a part of the loss and not of the method.

    References
    ----------
    torch.optim.SGD, documentation.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import heavyball_dynamics as hb
    >>> class SGD(SimpleNamespace):
    ...     '''Stands for torch.optim.SGD.'''
    >>> hb.from_torch(SGD(param_groups=[{"lr": 0.1, "momentum": 0.9, "dampening": 0, "nesterov": True}]))
    Nesterov(lr=0.1, momentum=0.9)
    """
    kind = type(optimizer).__name__
    groups = getattr(optimizer, "param_groups", None)
    if groups is None:
        raise TypeError(f"`optimizer` must be a torch.optim.SGD. Received a {kind} without param_groups.")
    if not any(ancestor.__name__ == "SGD" for ancestor in type(optimizer).__mro__):
        raise TypeError(
            f"`optimizer` must be a torch.optim.SGD (plain, with momentum, dampening or nesterov). Received a {kind}, "
            "which is no linear rule of lr and momentum."
        )
    for index, group in enumerate(groups):
        _warn_of_weight_decay(index, group)
    methods = [_from_group(index, group, kind) for index, group in enumerate(groups)]
    return methods[0] if len(methods) == 1 else methods


def _warn_of_weight_decay(index: int, group: Mapping[str, Any]) -> None:
    weight_decay = float(group.get("weight_decay", 0.0))
    if weight_decay != 0:
        warnings.warn(
            f"weight_decay={weight_decay!r} in parameter group {index} belongs to the loss, not to the method: add "
            "weight_decay/2·|w|² to the objective, which raises every curvature by weight_decay.",
            UserWarning, stacklevel=3,
        )  # fmt: skip


def _from_group(index: int, group: Mapping[str, Any], kind: str) -> Method:
    missing = [key for key in _KEYS if key not in group]
    if missing:
        raise TypeError(
            f"`optimizer` must have {', '.join(_KEYS)} in each parameter group, as torch.optim.SGD does. "
            f"Received a {kind} without {', '.join(missing)} in group {index}."
        )
    if group.get("maximize", False):
        raise ValueError(
            f"`optimizer` must minimise. Received maximize=True in parameter group {index}. "
            "Negate the objective instead."
        )
    # Each of them may be a tensor with one element.
    lr, momentum, dampening = (float(group[key]) for key in ("lr", "momentum", "dampening"))
    return from_dialect("torch", lr=lr, momentum=momentum, nesterov=bool(group["nesterov"]), dampening=dampening)
