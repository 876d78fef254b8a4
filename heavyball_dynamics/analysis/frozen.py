"""Frozen poles: the modes of a rule that varies in time, as they would be if it stopped varying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape, map_arrays
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, ComplexArray, FloatArray, IntArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.modes import Modes, analyze_modes

_HALVINGS = 60  # of an interval of time: down to rounding


@dataclass(frozen=True)
class FrozenModes(Drawable):
    """The modes of a rule at several times, each as if the rule stayed as it is then.

    Attributes
    ----------
    time : array (time,)
        Steps k of methods, times t of flows.
    curvature : array (*batch, mode)
        The curvatures asked for.
    poles : array (*batch, time, mode, order)
        Frozen poles, the dominant one first.
    damping : array (*batch, time, mode)
        Class of each mode as an integer of `DampingClass`.
    damping_ratio, natural_frequency, rate : array (*batch, time, mode)
        As those of `Modes`.
    turns_underdamped : array (*batch, mode)
        The first time at which a mode is underdamped and was not before: between two of the times asked for it is
        found to `rtol` for flows, to the step for methods. The first of the times where it begins so; infinite where
        it never is at those times.
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.frozen_modes(hb.Nesterov(0.1, hb.AcceleratedMomentum()), [0.1, 1.0], range(200))
    >>> found.turns_underdamped
    array([15.,  5.])
    """

    time: FloatArray
    curvature: FloatArray
    poles: ComplexArray
    damping: IntArray
    damping_ratio: FloatArray
    natural_frequency: FloatArray
    rate: FloatArray
    turns_underdamped: FloatArray
    discrete: bool

    @property
    def accumulated(self) -> FloatArray:
        """Factor by which frozen rates alone would shrink each mode since the first time, (*batch, time, mode).

        Between the times the rates are interpolated by their logarithms. What a mode really does also depends on how
        fast the rule varies.
        """
        with np.errstate(divide="ignore"):
            exponent = np.log(self.rate) if self.discrete else self.rate
        steps = np.diff(self.time)[:, None] * 0.5 * (exponent[..., 1:, :] + exponent[..., :-1, :])
        start = np.zeros_like(exponent[..., :1, :])
        return np.asarray(np.exp(np.concatenate([start, np.cumsum(steps, axis=-2)], axis=-2)))

    def summary(self) -> str:
        """Return one line for each mode of each batch element: its classes in the order of time."""
        unit = "k" if self.discrete else "t"
        lines = []
        modes = self.damping.shape[-1]
        classes = np.moveaxis(self.damping, -2, -1).reshape(-1, len(self.time))
        curvature = np.broadcast_to(self.curvature, (*self.damping.shape[:-2], modes)).ravel()
        for bend, row in zip(curvature, classes, strict=True):
            changes = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
            words = [f"{DampingClass(int(row[i])).label} from {unit}={self.time[i]:g}" for i in changes]
            lines.append(f"curvature {bend:g}: " + ", ".join(words))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def frozen_modes(
    algorithm: Algorithm, curvature: ArrayLike, times: ArrayLike | Sequence[int], *, rtol: float = 1e-9
) -> FrozenModes:
    r"""Classify every mode at several times of a rule that varies in time.

    At each time the rule is frozen and its loop closed by the curvature, as `analyze_modes` does with ``k=`` or ``t=``.
    Frozen poles tell the class of the moment; a rule with frozen poles inside the unit circle need not be stable, nor
    the other way round, unless it varies slowly.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule: with schedules, with a time of its own, or constant.
    curvature : float or array (mode,) or (*batch, mode)
        Eigenvalues λ of the Hessian, in units of loss / position².
    times : array (time,)
        Increasing steps k of a method, or times t of a flow.
    rtol : float
        See `analyze_modes`.

    Returns
    -------
    FrozenModes

    Raises
    ------
    ValueError
        If the rule is not linear, the times do not increase or are no whole steps of a method, or shapes do not
        broadcast.

    References
    ----------
    Desoer, "Slowly varying discrete system x_{i+1} = A_i x_i", Electronics Letters 6, 1970. Su, Boyd, Candès, J. Mach.
    Learn. Res. 17, 2016, section 3.2: the flow turns underdamped at t = r/(2√λ).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.frozen_modes(hb.NesterovFlow(), [0.25, 4.0], [0.5, 1.0, 2.0, 4.0]))
    curvature 0.25: overdamped from t=0.5, underdamped from t=4
    curvature 4: overdamped from t=0.5, underdamped from t=1
    >>> hb.frozen_modes(hb.NesterovFlow(), [0.25, 4.0], [0.5, 1.0, 2.0, 4.0]).turns_underdamped.round(12)
    array([3.  , 0.75])
    """
    discrete = not is_flow(algorithm)
    moments = _moments(times, whole=discrete)
    value = np.atleast_1d(real_array("curvature", curvature))
    try:
        found = [_modes_at(algorithm, value, moment, rtol, discrete=discrete) for moment in moments]
    except NotLinearError as error:
        if discrete or moments[0] != 0:
            raise
        raise NotLinearError(f"{error} At t = 0 it may have no poles yet: begin the `times` above 0.") from None
    shape = np.broadcast_shapes(*(modes.damping.shape for modes in found))

    def stacked(name: str, extra: tuple[int, ...] = ()) -> Any:
        rows = [np.broadcast_to(getattr(modes, name), (*shape, *extra)) for modes in found]
        return np.stack(rows, axis=len(shape) - 1)

    damping = stacked("damping")
    return FrozenModes(
        time=moments, curvature=value, poles=stacked("poles", (found[0].order,)), damping=damping,
        damping_ratio=stacked("damping_ratio"), natural_frequency=stacked("natural_frequency"), rate=stacked("rate"),
        turns_underdamped=_turns(algorithm, np.broadcast_to(value, shape), moments, damping, rtol, discrete=discrete),
        discrete=discrete,
    )  # fmt: skip


def _moments(times: Any, *, whole: bool) -> FloatArray:
    moments = real_array("times", list(times) if isinstance(times, range) else times)
    if moments.ndim != 1 or not len(moments):
        raise ValueError(f"`times` must be a one-dimensional array of times. Received shape {moments.shape}.")
    require("times", moments, np.append(True, np.diff(moments) > 0), "strictly increasing")
    if whole:
        require("times", moments, (moments >= 0) & (moments == np.round(moments)), "whole steps >= 0 of a method")
    return moments


def _modes_at(algorithm: Algorithm, curvature: FloatArray, moment: float, rtol: float, *, discrete: bool) -> Modes:
    if discrete:
        return analyze_modes(algorithm, curvature, rtol=rtol, k=int(moment))
    return analyze_modes(algorithm, curvature, rtol=rtol, t=float(moment))


def _turns(
    algorithm: Algorithm, curvature: FloatArray, times: FloatArray, damping: IntArray, rtol: float, *, discrete: bool
) -> FloatArray:
    """Return when modes turn underdamped, (*batch, mode), looking between the times too."""
    swings = np.moveaxis(damping == DampingClass.UNDERDAMPED, -2, -1)
    first = np.argmax(swings, axis=-1)
    turn = np.where(swings.any(axis=-1), times[first], np.inf)
    for index in np.argwhere(np.isfinite(turn) & (first > 0)):
        where = tuple(int(i) for i in index)
        low, high = times[first[where] - 1], times[first[where]]
        for _ in range(_HALVINGS):
            middle = np.floor((low + high) / 2) if discrete else (low + high) / 2
            if not low < middle < high:
                break
            alone = _element(algorithm, where[:-1], middle)
            mode = _modes_at(alone, curvature[where][None], middle, rtol, discrete=discrete)
            if int(mode.damping[0]) == DampingClass.UNDERDAMPED:
                high = middle
            else:
                low = middle
        turn[where] = high
    return turn


def _element(algorithm: Algorithm, where: tuple[int, ...], moment: float) -> Algorithm:
    """Return one element of a batch of rules, frozen where schedules are what varies."""
    rule = at_step(algorithm, int(moment)) if not is_flow(algorithm) else algorithm
    batch = batch_shape(rule)
    # The batch of the curvatures may have more axes in front than that of the rule, and other lengths than one.
    own = tuple(i if n > 1 else 0 for i, n in zip(where[len(where) - len(batch) :], batch, strict=True))
    return map_arrays(rule, lambda array: np.broadcast_to(array, batch)[own])
