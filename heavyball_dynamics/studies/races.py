"""Races: many methods on one loss, each with the hyperparameters that are best for it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import ObjectiveLike, require_objective
from heavyball_dynamics._types import ArrayLike, FloatArray, IntArray
from heavyball_dynamics._validation import count, one_number, points, require
from heavyball_dynamics.algorithms.adam import Adam, NAdam
from heavyball_dynamics.algorithms.adaptive import AdaDelta, AdaGrad, RMSProp
from heavyball_dynamics.algorithms.aggregated import AggregatedMomentum
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.algorithms.optimized_gradient import OptimizedGradient
from heavyball_dynamics.algorithms.quasi_hyperbolic import QuasiHyperbolicMomentum
from heavyball_dynamics.algorithms.triple_momentum import TripleMomentum
from heavyball_dynamics.simulation.iteration import iterate
from heavyball_dynamics.studies._best_settings import Course, Settings, best_settings, followed, needed_steps
from heavyball_dynamics.studies.contours import Contours, contours

_SHOWN = 6  # the fastest, whose paths the window of the level lines holds


@dataclass(frozen=True)
class Race(Drawable):
    """Runs of many methods on one loss from one start, each at its own best there.

    Attributes
    ----------
    labels : tuple of str
        One name a method.
    methods : tuple of Method
        With the hyperparameters that were found best.
    searched : tuple of tuples of str
        The fields of each that were searched over; none where a method ran as it was given.
    tried : array (method,), int
        How many settings of each were tried.
    tolerance : float
        The share of the excess at the start that has to be reached.
    steps_needed : array (method,)
        First step from which the excess stays within the tolerance, infinite where it does not; watched for half as
        many steps again. What the settings were chosen by.
    position : array (method, step, dim)
    value : array (method, step)
        The loss along each run.
    excess : array (method, step)
        The loss above its lowest value.
    contours : Contours or None
        Level lines around the paths of the fastest six, of a loss with two coordinates.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.race([hb.GradientDescent, hb.HeavyBall], hb.Quadratic([1.0, 9.0]), [1.0, 1.0], steps=60))
    each at its own best of the settings tried, by the steps until the loss is 1e-06 of its excess at the start
    method              steps     last excess  settings
    heavy ball             11        ...  lr=0.244, momentum=0.2835  (1464 tried)
    gradient descent       27        ...  lr=0.1937  (301 tried)
    """

    labels: tuple[str, ...]
    methods: tuple[Any, ...]
    searched: tuple[tuple[str, ...], ...]
    tried: IntArray
    tolerance: float
    steps_needed: FloatArray
    position: FloatArray
    value: FloatArray
    excess: FloatArray
    contours: Contours | None

    @property
    def ranking(self) -> IntArray:
        """The methods, the fastest first; those that do not arrive by how far they got."""
        return _order(self.steps_needed, self.excess[:, -1])

    def settings(self, index: int) -> str:
        """Return the hyperparameters that were searched for one of the methods, in words."""
        method = self.methods[index]
        return ", ".join(f"{name}={getattr(method, name):.4g}" for name in self.searched[index]) or "as given"

    def summary(self) -> str:
        """Return the ranking as a table."""
        width = max(len(label) for label in ("method", *self.labels))
        reached = f"{self.tolerance:g} of its excess at the start"
        lines = [
            f"each at its own best of the settings tried, by the steps until the loss is {reached}",
            f"{'method'.ljust(width)}  {'steps':>7}  {'last excess':>14}  settings",
        ]
        for i in self.ranking:
            steps = f"{self.steps_needed[i]:.0f}" if np.isfinite(self.steps_needed[i]) else "-"
            last = f"{self.excess[i, -1]:.3g}" if np.isfinite(self.excess[i, -1]) else "diverged"
            tried = f"  ({self.tried[i]} tried)" if self.searched[i] else ""
            lines.append(f"{self.labels[i].ljust(width)}  {steps:>7}  {last:>14}  {self.settings(int(i))}{tried}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def _order(needed: FloatArray, last: FloatArray) -> IntArray:
    return np.lexsort((np.where(np.isfinite(last), last, np.inf), needed))


def _family(steps: int) -> dict[str, Any]:
    """Return the methods that race by default."""
    return {
        "gradient descent": GradientDescent,
        "heavy ball": HeavyBall,
        "Nesterov": Nesterov,
        "triple momentum": TripleMomentum,
        "quasi-hyperbolic": QuasiHyperbolicMomentum,
        "aggregated": AggregatedMomentum.spaced(1.0),
        "optimized gradient": OptimizedGradient(1.0, followed(steps)),
        "RMSProp": RMSProp,
        "AdaGrad": AdaGrad,
        "AdaDelta": AdaDelta,
        "Adam": Adam,
        "NAdam": NAdam,
    }


def race(
    methods: Mapping[str, Any] | Sequence[Any] | None, objective: ObjectiveLike, position: ArrayLike, steps: int, *,
    tolerance: float = 1e-6, ceiling: float = 10.0, lowest: float | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Race:  # fmt: skip
    """Run methods on one loss from one start, each with the hyperparameters that are best for it there.

    A learning rate that suits one method is wrong for another, so each is given its own: a grid of settings, all of
    them one batch, and finer grids around the best three of them. Best is what first gets within the tolerance and
    stays there; among those that do not, what stays lowest after the last step.

    Parameters
    ----------
    methods : mapping of str to type or Method, sequence of them, or None
        Types or instances; an instance keeps the fields that are not searched. None for the family that comes with the
        package.
    objective : objective
        The loss.
    position : array (dim,)
        Start of all.
    steps : int
        Length of the race.
    tolerance : float
        Share of the excess at the start at which a method has arrived, between 0 and 1.
    ceiling : float
        A run may not rise above this many times the excess at the start, at least 1. Methods that divide by the size of
        gradients could otherwise leap far away first, from where one more step of their own fixed length leads back.
    lowest : float, optional
        The lowest value of the loss; that at the objective's minimizer by default.
    ranges : mapping of str to (low, high), optional
        Bounds of fields to search over instead of the default ones: ``lr`` from 1e-6 to 1e3, ``momentum`` and
        ``beta1`` from 0 to .999, ``beta2``, ``alpha`` and ``rho`` from .5 to .9999, ``query_lead`` and ``discount``
        from 0 to 1, and AdaDelta's ``eps`` from 1e-10 to 1. Further fields named here are searched too.

    Returns
    -------
    Race

    Raises
    ------
    ValueError
        If there is no method, the lowest value is not known, the start is there already, bounds are reversed or those
        of a field that no method has, or a method has batch axes.
    TypeError
        If one of the methods is none, or has a field without value.

    Notes
    -----
    Fair is the tuning, not the information: the best settings are known only after the race. Settings are best for
    this loss, this start and this tolerance, and a run may owe its place to a lucky turn. Where the long directions of
    a loss lie along the axes, as in the canyon, methods that scale each coordinate by itself have an advantage that
    they lose when the loss is rotated.

    References
    ----------
    Sivaprasad, Mai, Vogels, Jaggi, Fleuret, "Optimizer benchmarking needs to account for hyperparameter tuning", ICML
    2020; Choi et al., "On empirical comparisons of optimizers for deep learning", arXiv:1910.05446.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.race({"plain": hb.GradientDescent, "ball": hb.HeavyBall}, hb.canyon(), [0.5, 10.0], steps=150)
    >>> [found.labels[i] for i in found.ranking]
    ['ball', 'plain']
    """
    require_objective(objective)
    number = count("steps", steps, 1)
    share = one_number("tolerance", tolerance)
    require("tolerance", share, (share > 0) & (share < 1), "between 0 and 1")
    top = one_number("ceiling", ceiling)
    require("ceiling", top, top >= 1, ">= 1")
    start = points("position", position, objective.dim)
    if start.ndim != 1:
        raise ValueError(f"`position` must be one point, of shape ({objective.dim},). Received shape {start.shape}.")
    bottom = _lowest(objective, lowest)
    begun = float(objective.value(start)) - bottom
    if not 0 < begun < np.inf:
        raise ValueError(f"`position` must be one where the loss is above its lowest value, {bottom:g}. "
                         f"Received {start.tolist()}, {begun:g} above it.")  # fmt: skip
    entries = _entries(methods, number)
    fields = [Settings.of(label, entry, ranges) for label, entry in entries.items()]
    course = Course(objective, start, number, bottom, float(share), float(top))
    for name in ranges or {}:
        if not any(name in each.bounds for each in fields):
            raise ValueError(f"`ranges` must name fields of the methods. Received {name!r}, which none of "
                             f"{', '.join(entries)} has.")  # fmt: skip
    found = [best_settings(each, course) for each in fields]
    runs = [iterate(method, objective, start, course.followed) for method, _ in found]
    shares = course.shares(np.stack([run.value for run in runs]))
    needed = np.ceil(needed_steps(shares, float(share), number))
    value = np.stack([run.value[: number + 1] for run in runs])
    position_along = np.stack([run.position[: number + 1] for run in runs])
    seen = position_along[_order(needed, value[:, -1])[:_SHOWN]]
    return Race(
        labels=tuple(entries),
        methods=tuple(method for method, _ in found),
        searched=tuple(tuple(each.bounds) for each in fields),
        tried=np.array([tried for _, tried in found]),
        tolerance=float(share),
        steps_needed=needed,
        position=position_along,
        value=value,
        excess=value - bottom,
        contours=_around(objective, seen) if objective.dim == 2 else None,
    )


def _lowest(objective: Any, lowest: float | None) -> float:
    if lowest is not None:
        return float(one_number("lowest", lowest))
    minimizer = getattr(objective, "minimizer", None)
    if minimizer is None:
        raise ValueError("`lowest` must be given for a loss that knows no minimizer: progress is measured from there. "
                         "Received None.")  # fmt: skip
    return float(objective.value(minimizer))


def _entries(methods: Any, steps: int) -> dict[str, Any]:
    """Return labels with types or instances."""
    if methods is None:
        return _family(steps)
    if isinstance(methods, Mapping):
        entries = {str(label): method for label, method in methods.items()}
    elif isinstance(methods, Sequence) and not isinstance(methods, str):
        known = {kind if isinstance(kind, type) else type(kind): label for label, kind in _family(1).items()}
        entries = {}
        for method in methods:
            kind = method if isinstance(method, type) else type(method)
            label = known.get(kind, kind.__name__)
            if label in entries:
                raise ValueError(f"`methods` must have different names. Received two of {kind.__name__}: name them in "
                                 "a mapping.")  # fmt: skip
            entries[label] = method
    else:
        raise TypeError(f"`methods` must be a mapping or a sequence of methods, or None. Received {methods!r}.")
    if not entries:
        raise ValueError("`methods` must name at least one method. Received none.")
    return entries


def _around(objective: ObjectiveLike, paths: FloatArray) -> Contours:
    """Return level lines in a window that holds the minimum and these paths."""
    everywhere = paths.reshape(-1, 2)
    seen = everywhere[np.isfinite(everywhere).all(axis=-1)]
    minimizer = getattr(objective, "minimizer", None)
    if minimizer is not None:
        seen = np.append(seen, [minimizer], axis=0)
    low, high = seen.min(axis=0), seen.max(axis=0)
    room = np.maximum(0.06 * (high - low), 0.04 * np.max(high - low))
    return contours(objective, np.stack([low - room, high + room], axis=-1))
