"""Losses in a bath of heat, which kicks the rules that ask for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from heavyball_dynamics._normals import Purpose, normals
from heavyball_dynamics._protocols import ObjectiveLike, require_objective
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics._validation import count, real_array, require
from heavyball_dynamics.objectives._around import Around, number_inside
from heavyball_dynamics.objectives.base import read_only


@dataclass(frozen=True, eq=False)
class Thermostat(Around, Record):
    """A loss in a bath of heat: rules with friction may ask it for random kicks.

    The loss, its gradient and its Hessian are untouched. What `at` returns for step k has, besides, a method
    ``kick(batch)``: normal numbers (*batch, dim) whose variance is the temperature, which `LangevinBAOAB` asks for. On
    a loss without a thermostat such a rule runs at temperature zero.

    Parameters
    ----------
    objective : objective
        Any loss.
    temperature : float or array (*batch,)
        Temperature T >= 0, in units of the loss.
    seed : int
        Which random numbers, >= 0. They are others than those of noisy gradients or minibatches of the same seed.

    Raises
    ------
    ValueError
        If the temperature or the seed is negative; when kicks are asked for, if the temperatures do not broadcast to
        the batch axes of the positions.
    TypeError
        If the loss is none, or the seed is no whole number.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> bath = hb.Thermostat(hb.Quadratic([1.0, 4.0]), temperature=2.0, seed=3)
    >>> bath.at(0).kick((1000,)).var(axis=0).round(1)
    array([2., 2.])
    """

    objective: ObjectiveLike
    temperature: Any = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_objective(self.objective)
        heat = real_array("temperature", self.temperature)
        require("temperature", heat, heat >= 0, ">= 0")
        self._set(temperature=float(heat) if heat.ndim == 0 else read_only(heat), seed=count("seed", self.seed, 0))

    def at(self, k: int, /) -> ThermostatSample:
        """Return the loss of step k, which has kicks to give."""
        step = count("k", k, 0)
        return ThermostatSample(self.objective.at(step), self, step)

    @cached_property
    def depth(self) -> int:
        """Number of thermostats inside; the heat of each is independent of that of the others."""
        return number_inside(self.objective, Thermostat)


class ThermostatSample(Around):
    """The loss of one step, and the kicks that its heat gives.

    Attributes
    ----------
    source : Thermostat
        Where it is from.
    k : int
        The step.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> sample = hb.Thermostat(hb.Quadratic([1.0]), temperature=2.0, seed=0).at(3)
    >>> abs(round(float(np.var(sample.kick((100_000,)))), 1))
    2.0
    """

    def __init__(self, objective: ObjectiveLike, source: Thermostat, k: int) -> None:
        self.objective, self.source, self.k = objective, source, k

    def __reduce__(self) -> Any:
        return type(self), (self.objective, self.source, self.k)

    def kick(self, batch: tuple[int, ...]) -> FloatArray:
        """Return normal numbers (*batch, dim) of variance T, the same whenever they are asked for."""
        source = self.source
        try:
            heat = np.broadcast_to(source.temperature, batch)
        except ValueError:
            raise ValueError(
                f"`temperature` must be one number or broadcast to the batch axes of the positions, here {batch}. "
                f"Received shape {np.shape(source.temperature)}. Let the positions have these axes, or the "
                "temperatures axes of length one for those that positions have besides: temperature[:, None]."
            ) from None
        z = normals(source.seed, self.k, math.prod(batch), self.dim, Purpose.HEAT, source.depth)
        return np.asarray(np.sqrt(heat)[..., None] * z.reshape(*batch, self.dim))
