"""Closed loops together with the column by which an error of the gradient enters them."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._noisy_springs import spring_drive
from heavyball_dynamics._probe import HessianAskedError
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._schedule import at_step, has_schedules
from heavyball_dynamics._springs import spring_loops
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray
from heavyball_dynamics.analysis._linear_steps import Steps, each_step
from heavyball_dynamics.analysis._lyapunov import covariance_solution
from heavyball_dynamics.analysis.linear import StateMatrices, curvatures, require_broadcast, state_matrices
from heavyball_dynamics.analysis.modes import analyze_modes

_LISTED = 3  # unstable modes that a message names


class NoisyLoop(NamedTuple):
    """What a step adds to a state, or its time derivative, with and from an error of one in the gradient.

    ``increment`` (*batch, mode, state, state), ``drive`` (*batch, mode, state).
    """

    increment: FloatArray
    drive: FloatArray
    discrete: bool

    @property
    def matrix(self) -> FloatArray:
        """The matrix of a step (of a flow: of the time derivative)."""
        return self.increment + np.eye(self.increment.shape[-1]) if self.discrete else self.increment


def noisy_loop(
    algorithm: Algorithm, modes: FloatArray, *, k: int | None = None, t: float | None = None
) -> NoisyLoop:
    """Return the closed loops of a linear rule for curvatures (*batch, mode).

    All gradients of one step are off by the same error. Rules that ask for Hessians are taken in closed loop.
    """
    time = t if is_flow(algorithm) else k
    ready = algorithm if time is None else at_step(algorithm, time)
    require_broadcast(batch_shape(ready), modes.shape)
    if "quadratic" not in getattr(algorithm, "requires", ()):
        try:
            return _from_open_loop(state_matrices(algorithm, k=k, t=t), modes)
        except HessianAskedError:
            pass  # it has no open loop, but a closed one
    drive = spring_drive(algorithm, modes, time)
    return NoisyLoop(spring_loops(algorithm, modes, time), drive, not is_flow(algorithm))


def _from_open_loop(found: StateMatrices, modes: FloatArray) -> NoisyLoop:
    if found.B.shape[-1] == 0:
        raise ValueError("`algorithm` must ask for a gradient, where the noise enters. Received one that asks none.")
    increment = found.closed_increment(modes)
    return NoisyLoop(increment, np.broadcast_to(found.error_drive(modes), increment.shape[:-1]), found.discrete)


def noisy_steps(method: Algorithm, modes: FloatArray) -> Steps[NoisyLoop]:
    """Return the closed loops of a method at any step."""
    return each_step(lambda k: noisy_loop(method, modes, k=k), kept=2)


def require_constant(name: str, method: Algorithm, modes: FloatArray) -> None:
    """Raise ValueError if a method varies in time, where nothing says at which step to take it."""
    if not noisy_steps(method, modes).constant:
        remedy = "Freeze its schedules at a step: hb.at_step(method, k)." if has_schedules(method) else (
            "It reads k itself: give a rule that does not.")  # fmt: skip
        raise ValueError(
            f"`{name}` must not vary in time, to have noise that is stationary. Received {method!r}. {remedy}"
        )


class Stationary(NamedTuple):
    """Stationary covariances (*batch, mode, state, state), NaN where a mode is not stable."""

    covariance: FloatArray
    stable: BoolArray
    rate: FloatArray
    curvature: FloatArray
    discrete: bool


def stationary_modes(
    algorithm: Algorithm, curvature: ArrayLike, variance: FloatArray, iterate_variance: FloatArray, *,
    k: int | None = None, t: float | None = None,
) -> Stationary:  # fmt: skip
    """Solve for the covariances of modes that do not know of each other; the variances broadcast to (*batch, mode)."""
    modes = curvatures(curvature)
    loop = noisy_loop(algorithm, modes, k=k, t=t)
    found = analyze_modes(algorithm, modes, k=k, t=t)
    shape = loop.drive.shape[:-1]
    stable = np.broadcast_to(found.stable, shape)
    source = np.asarray(variance)[..., None, None] * loop.drive[..., :, None] * loop.drive[..., None, :]
    source = np.broadcast_to(source, loop.increment.shape).copy()
    source[..., 0, 0] += iterate_variance
    # What is not stable is solved for a loop that is, and struck out.
    increment = np.where(stable[..., None, None], loop.increment, -np.eye(loop.increment.shape[-1]))
    covariance = covariance_solution(increment, increment, source, discrete=loop.discrete)
    covariance = 0.5 * (covariance + np.swapaxes(covariance, -1, -2))
    covariance[~stable] = np.nan
    rate = np.broadcast_to(found.rate, shape)
    return Stationary(covariance, stable, rate, np.broadcast_to(modes, shape), loop.discrete)


def report_unstable(found: Stationary) -> None:
    """Say which modes have no stationary value: an error where none has one, a warning where some have."""
    if found.stable.all():
        return
    places = np.argwhere(~found.stable)
    said = []
    for place in places[:_LISTED]:
        at = tuple(int(i) for i in place)
        rate = found.rate[at]
        by = f"a spectral radius of 1 {'-' if rate < 1 else '+'} {abs(rate - 1):.3g}" if found.discrete else (
            f"an exponent of {rate:+.3g}, which must be < 0")  # fmt: skip
        where = f"mode {at[-1]}" + (f" of batch element {at[:-1] if len(at) > 2 else at[0]}" if len(at) > 1 else "")
        said.append(f"{where} (curvature {found.curvature[at]:.6g}) has {by}")
    more = len(places) - len(said)
    sentence = (
        "A stationary covariance needs modes that decay: " + "; ".join(said)
        + (f"; and so on for {more} more" if more > 0 else "") + "."
    )  # fmt: skip
    if not found.stable.any():
        raise ValueError(f"{sentence} Lower the learning rate, or leave flat directions out.")
    warnings.warn(f"{sentence} Their entries are NaN; the others are answered.", UserWarning, stacklevel=3)
