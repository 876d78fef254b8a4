"""The hyperparameters with which a method is fastest on one loss from one start, by nested grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import ObjectiveLike, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.algorithms.adaptive import AdaDelta
from heavyball_dynamics.simulation.iteration import iterate

_RANGES = {
    "lr": (1e-6, 1e3), "momentum": (0.0, 0.999), "beta1": (0.0, 0.999), "beta2": (0.5, 0.9999),
    "alpha": (0.5, 0.9999), "rho": (0.5, 0.9999), "query_lead": (0.0, 1.0), "discount": (0.0, 1.0),
}  # fmt: skip
# AdaDelta's ε sets the size of its first steps.
_OF_TYPES: dict[type[Any], dict[str, tuple[float, float]]] = {AdaDelta: {"eps": (1e-10, 1.0)}}
_LOGARITHMIC = {"lr", "eps"}
_SHARES = {"momentum", "beta1", "beta2", "alpha", "rho"}  # spaced evenly in log(1-β)
_GRIDS = {1: (217,), 2: (73, 12), 3: (49, 9, 6)}  # settings along each field, the learning rate first
_FINER = 7  # settings along each field in a finer grid
_ROUNDS = 4  # of finer grids, each a third as wide
_CENTRES = 3  # settings around which they are laid
_LEFT = 1e4  # what a run that rose above the ceiling adds to its score
_NUMBERS = 3e6  # steps times settings of one batch


@dataclass(frozen=True)
class Settings:
    """What is searched over for one method.

    Attributes
    ----------
    method : type or Method
    bounds : dict of str to (low, high)
        In the order of the grids, the learning rate first.
    """

    method: Any
    bounds: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, label: str, method: Any, ranges: Mapping[str, Any] | None) -> Settings:
        """Return the fields of a type or an instance that are searched over, or say why there are none."""
        kind = method if isinstance(method, type) else type(method)
        if not is_dataclass(kind) or not hasattr(kind, "step"):
            raise TypeError(f"`methods[{label!r}]` must be a dataclass of a method, or one of its instances. "
                            f"Received {method!r}.")  # fmt: skip
        if not isinstance(method, type):
            require_method(f"methods[{label!r}]", method)
            if batch_shape(at_step(method, 0)):
                raise ValueError(f"`methods[{label!r}]` must have scalar hyperparameters: the settings that are tried "
                                 f"are the batch. Received {method!r}.")  # fmt: skip
        own = {f.name: f for f in fields(kind) if f.init}
        usual = {**_RANGES, **_OF_TYPES.get(kind, {}), **{name: _bounds(name, b) for name, b in (ranges or {}).items()}}
        bounds = {name: b for name, b in usual.items() if name in own}
        if isinstance(method, type):
            missing = [name for name, f in own.items() if name not in bounds and f.default is MISSING]
            if missing:
                raise TypeError(
                    f"`methods[{label!r}]` must be an instance where a field has no default: {kind.__name__} needs "
                    f"{missing[0]!r}. Or give bounds for it in `ranges`."
                )
        return cls(method, bounds)

    def made(self, values: Mapping[str, Any]) -> Any:
        """Return the method with these values."""
        if isinstance(self.method, type):
            return self.method(**values)
        return replace(self.method, **values) if values else self.method

    def values(self, grid: FloatArray) -> dict[str, Any]:
        """Return the values of the fields at points (setting, field) of evenly spaced coordinates."""
        return {name: _from_even(name, grid[..., i]) for i, name in enumerate(self.bounds)}

    @property
    def box(self) -> FloatArray:
        """Bounds of the evenly spaced coordinates, (field, 2)."""
        return np.array([[_to_even(name, low), _to_even(name, high)] for name, (low, high) in self.bounds.items()])


def _bounds(name: str, pair: Any) -> tuple[float, float]:
    array = real_array(f"ranges[{name!r}]", pair)
    if array.shape != (2,) or not array[0] < array[1]:
        raise ValueError(f"`ranges[{name!r}]` must be bounds (low, high) with low < high. Received {pair!r}.")
    if name in _LOGARITHMIC:
        require(f"ranges[{name!r}]", array, array > 0, "> 0", "It is searched on a logarithmic scale.")
    if name in _SHARES:
        require(f"ranges[{name!r}]", array, array < 1, "< 1")
    return float(array[0]), float(array[1])


def _to_even(name: str, value: float) -> float:
    if name in _LOGARITHMIC:
        return float(np.log(value))
    return float(-np.log1p(-value)) if name in _SHARES else value


def _from_even(name: str, value: FloatArray) -> FloatArray:
    if name in _LOGARITHMIC:
        return np.asarray(np.exp(value))
    return np.asarray(-np.expm1(-value)) if name in _SHARES else value


@dataclass(frozen=True)
class Course:
    """What is raced on: the loss, the start, the steps; excesses are counted from `lowest`, in units of the first.

    Runs are followed for half as many steps again: settings that merely pass through the minimum at the last moment
    have not arrived.
    """

    objective: ObjectiveLike
    start: FloatArray
    steps: int
    lowest: float
    tolerance: float
    ceiling: float

    @property
    def followed(self) -> int:
        """Number of steps that are made."""
        return followed(self.steps)

    def shares(self, value: FloatArray) -> FloatArray:
        """Return losses (*batch, step) above the lowest as shares of what they begin with."""
        return np.asarray((value - self.lowest) / (float(self.objective.value(self.start)) - self.lowest))

    def scores(self, method: Any) -> FloatArray:
        """Return what is least for the best run, (*batch,): steps needed, or more than all steps by what is missing."""
        shares = self.shares(iterate(method, self.objective, self.start, self.followed).value)
        score = needed_steps(shares, self.tolerance, self.steps, far=True)
        # Also NaN is above the ceiling.
        return np.where(np.all(shares <= self.ceiling, axis=-1), score, score + _LEFT)


def best_settings(settings: Settings, course: Course) -> tuple[Any, int]:
    """Return the method at its best, with scalar hyperparameters, and how many settings were tried."""
    if not settings.bounds:
        return settings.made({}), 0
    box = settings.box

    def scores(grid: FloatArray) -> FloatArray:
        parts = np.array_split(grid, max(1, int(np.ceil(len(grid) * (course.followed + 1) / _NUMBERS))))
        return np.concatenate([course.scores(settings.made(settings.values(part))) for part in parts])

    numbers = _GRIDS.get(len(box), (25, *(5,) * (len(box) - 1)))
    grid = _mesh([np.linspace(low, high, n) for (low, high), n in zip(box, numbers, strict=True)])
    score = scores(grid)
    width = (box[:, 1] - box[:, 0]) / np.array([n - 1 for n in numbers])
    for _ in range(_ROUNDS):
        best = np.argsort(score, kind="stable")[:_CENTRES]
        offsets = _mesh([np.linspace(-w, w, _FINER) for w in width])
        finer = np.clip((grid[best][:, None] + offsets).reshape(-1, len(box)), box[:, 0], box[:, 1])
        grid, score = np.concatenate([grid, finer]), np.concatenate([score, scores(finer)])
        width = width / 3
    chosen = settings.values(grid[np.argmin(score)])
    return settings.made({name: float(value) for name, value in chosen.items()}), len(grid)


def _mesh(axes: list[FloatArray]) -> FloatArray:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def followed(steps: int) -> int:
    """Return for how many steps a race of `steps` is followed."""
    return steps + (steps + 1) // 2


def needed_steps(share: FloatArray, tolerance: float, steps: int, *, far: bool = False) -> FloatArray:
    """Return from which step on shares (*batch, step) of the first excess stay within the tolerance, to a fraction.

    Infinite where that is later than `steps`; with `far`, more than all steps by the powers of ten missing afterwards.
    """
    last = share.shape[-1] - 1
    outside = ~(share <= tolerance)  # also where it is NaN
    before = last - np.argmax(outside[..., ::-1], axis=-1)
    tiny = np.finfo(np.float64).tiny
    # The crossing lies between the last point outside and the next one, where logarithms run straight.
    ends = (np.take_along_axis(share, np.minimum(i, last)[..., None], axis=-1)[..., 0] for i in (before, before + 1))
    with np.errstate(all="ignore"):
        high, low = (np.log(np.maximum(end, tiny)) for end in ends)
        part = (high - np.log(tolerance)) / (high - low)
        missing = np.log10(np.max(share[..., steps:], axis=-1) / tolerance)
    finish = before + np.where(np.isfinite(part), np.clip(part, 0.0, 1.0), 1.0)
    finish = np.where(outside.any(axis=-1), finish, 0.0)
    arrives = ~outside[..., -1] & (finish <= steps)
    if not far:
        return np.where(arrives, finish, np.inf)
    return np.where(arrives, finish, last + 1 + np.where(np.isfinite(missing), missing, 1e3))
