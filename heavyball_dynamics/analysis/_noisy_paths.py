"""Means and covariances of a noisy method along the eigenvectors of a quadratic, step by step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heavyball_dynamics._batching import batch_shape, map_arrays
from heavyball_dynamics._covariances import full_matrix
from heavyball_dynamics._noisy_springs import spring_start
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis._noisy_loops import noisy_steps


class NoiseAlong:
    """Noise of a covariance (dim,) or (*batch, dim, dim) along directions: variances, and whether they are all."""

    def __init__(self, noise: FloatArray, directions: FloatArray) -> None:
        self.matrix = np.asarray(directions.T @ full_matrix(noise) @ directions)
        isotropic = noise.ndim == 1 and bool(np.all(noise == noise[0]))
        self.variance = noise if isotropic else np.maximum(np.diagonal(self.matrix, axis1=-2, axis2=-1), 0.0)
        aside = self.matrix - np.eye(len(directions)) * self.matrix
        # Rounding of the rotation correlates nothing.
        largest = np.max(np.abs(self.matrix), initial=0.0)
        self.coupled = not isotropic and bool(np.any(np.abs(aside) > 1e-14 * largest))


class NoisyRun:
    """A method on the modes of a quadratic, and the noise of its gradients and of its iterates along them."""

    def __init__(
        self, method: Method, curvature: FloatArray, directions: FloatArray, noise: FloatArray,
        iterate_noise: FloatArray,
    ) -> None:  # fmt: skip
        self.method, self.curvature, self.directions = method, np.asarray(curvature), np.asarray(directions)
        self.gradient, self.iterate = (NoiseAlong(each, self.directions) for each in (noise, iterate_noise))
        self._coupled = self.gradient.coupled or self.iterate.coupled
        self.steps = noisy_steps(method, self.curvature)

    def broadcast(self, start: FloatArray, push: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return start and velocity with all batch axes."""
        shape = batch_shape(
            at_step(self.method, 0), start.shape[:-1], push.shape[:-1], self.gradient.variance.shape[:-1],
            self.iterate.variance.shape[:-1],
        )  # fmt: skip
        full = (*shape, len(self.curvature))
        return np.broadcast_to(start, full), np.broadcast_to(push, full)

    def sources(self, drive: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return what gradient noise adds to the covariances within modes, and between them if noise couples them."""
        own = self.gradient.variance[..., None, None] * drive[..., :, None] * drive[..., None, :]
        if not self._coupled:
            return own, None
        matrix = self.gradient.matrix[..., None, None]
        return own, matrix * drive[..., :, None, :, None] * drive[..., None, :, None, :]


class NoisyPath(NamedTuple):
    """Means (*batch, step, mode), variances, and covariances between modes, all along the eigenvectors."""

    mean: FloatArray
    variance: FloatArray
    cross: FloatArray | None


def follow(run: NoisyRun, start: FloatArray, push: FloatArray, number: int) -> NoisyPath:
    """Return what becomes of a start and a velocity (*batch, mode) in so many steps."""
    batch, modes = start.shape[:-1], len(run.curvature)
    spread = map_arrays(at_step(run.method, 0), lambda array: np.broadcast_to(array, batch))
    state, error = spring_start(spread, np.broadcast_to(run.curvature, (*batch, modes)), start, push)
    # The first step sees the sample that the start was prepared with.
    own, cross = run.sources(error)
    mean, variance = np.empty((2, *batch, number + 1, modes))
    between = None if cross is None else np.empty((*batch, number + 1, modes, modes))
    for k in range(number + 1):
        mean[..., k, :], variance[..., k, :] = state[..., 0], own[..., 0, 0]
        if between is not None and cross is not None:
            between[..., k, :, :] = cross[..., 0, 0]
        if k == number:
            break
        loop = run.steps.at(k)
        M, drive = loop.matrix, loop.drive
        if k == 0:
            drive = drive + np.einsum("...ij,...j->...i", M, error)
            own, cross = np.zeros_like(own), None if cross is None else np.zeros_like(cross)
        state = np.einsum("...ij,...j->...i", M, state)
        within, across = run.sources(drive)
        own = M @ own @ np.swapaxes(M, -1, -2) + within
        own[..., 0, 0] += run.iterate.variance
        if cross is not None and across is not None:
            cross = M[..., :, None, :, :] @ cross @ np.swapaxes(M, -1, -2)[..., None, :, :, :] + across
            cross[..., 0, 0] += run.iterate.matrix
    return NoisyPath(mean, variance, between)
