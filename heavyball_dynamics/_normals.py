"""Normal random numbers at random access: by seed, what they are for, step and element, and by nothing else."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from scipy.special import ndtri

from heavyball_dynamics._types import FloatArray


class Purpose(IntEnum):
    """What random numbers are for: equal seeds give each purpose numbers of its own."""

    GRADIENT = 1
    HEAT = 2
    PATH = 3


def normals(seed: int, k: int, elements: int, size: int, purpose: Purpose, depth: int = 0) -> FloatArray:
    """Return independent standard normal numbers of one step, (element, size).

    Element i has the same numbers whatever the number of elements: the random integers of 64 bits that stand from the
    place i·size on in the stream ``PCG64(SeedSequence(seed, spawn_key=(k, purpose, depth)))``, which NumPy keeps the
    same in all versions. Their upper 52 bits are put through the inverse of the normal distribution function.

    The depth tells apart noise of one purpose inside other noise of it. Minibatches have the streams with the key
    (epoch,), so that theirs are others too.
    """
    stream = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(k, int(purpose), depth)))
    raw = stream.random_raw(elements * size) >> np.uint64(12)
    numbers: FloatArray = ndtri((raw + 0.5) * 2.0**-52)
    return numbers.reshape(elements, size)


def square_root(covariance: FloatArray) -> FloatArray:
    """Return F with F Fᵀ = covariance for positive semidefinite matrices (*batch, n, n), also nearly singular ones.

    Rows and columns are scaled to correlations first: variances of very different sizes keep their digits.
    """
    scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    weight = np.where(scale > 0, scale, 1.0)
    correlation = covariance / (weight[..., :, None] * weight[..., None, :])
    values, vectors = np.linalg.eigh(0.5 * (correlation + np.swapaxes(correlation, -1, -2)))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return np.asarray(scale[..., :, None] * root)
