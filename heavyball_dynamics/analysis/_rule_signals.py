"""The signals of a rule as paths from the force on it: open, or closed on a curvature."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import one_of
from heavyball_dynamics.analysis._signal_paths import SignalPath
from heavyball_dynamics.analysis.linear import StateMatrices, curvatures, require_broadcast, state_matrices

OPEN = ("displacement", "position", "query", "query_displacement")
CLOSED = ("sensitivity", "loop")  # these ask for a curvature


def signal_path(
    algorithm: Algorithm, curvature: ArrayLike | None, output: str, *, k: int | None = None, t: float | None = None
) -> SignalPath:
    """Return the path from the force to an output, its batch axes (*batch,) or (*batch, mode)."""
    one_of("output", output, OPEN + CLOSED)
    matrices = state_matrices(algorithm, k=k, t=t)
    if curvature is None:
        if output in CLOSED:
            raise ValueError(f"`curvature` must be given for output {output!r}, which a loss has a part in.")
        return _open(algorithm, matrices, output)
    value = curvatures(curvature)
    require_broadcast(matrices.A.shape[:-2], value.shape)
    if output == "loop":
        return _loop(algorithm, matrices, value)
    return _closed(algorithm, matrices, value, output)


def _path(
    moving: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, *, discrete: bool
) -> SignalPath:
    order = moving.shape[-1]
    batch = np.broadcast_shapes(moving.shape[:-2], b.shape[:-1], c.shape[:-1], d.shape)
    return SignalPath(
        np.broadcast_to(moving, (*batch, order, order)), np.broadcast_to(b, (*batch, order)),
        np.broadcast_to(c, (*batch, order)), np.broadcast_to(d, batch), discrete,
    )  # fmt: skip


def _open(algorithm: Algorithm, matrices: StateMatrices, output: str) -> SignalPath:
    S, b = matrices.increment, -matrices.B.sum(axis=-1)
    query, straight = matrices.C[..., 0, :], -matrices.D[..., 0, :].sum(axis=-1)
    return _path(S, b, *_output(algorithm, S, b, query, straight, output), discrete=matrices.discrete)


def _closed(algorithm: Algorithm, matrices: StateMatrices, curvature: FloatArray, output: str) -> SignalPath:
    """Close the loop by u = λy + e for the same error e, minus the force, in all gradients of a step."""
    feedback = matrices.feedback(curvature)
    B, C, D = (each[..., None, :, :] for each in (matrices.B, matrices.C, matrices.D))
    S = matrices.increment[..., None, :, :] + B @ feedback @ C
    error = (np.eye(D.shape[-1]) + feedback @ D).sum(axis=-1)
    b = -np.einsum("...ij,...j->...i", B, error)
    if output == "sensitivity":
        return _path(S, b, -(feedback @ C)[..., 0, :], error[..., 0], discrete=matrices.discrete)
    query = (C + D @ feedback @ C)[..., 0, :]
    straight = -np.einsum("...j,...j->...", D[..., 0, :], error)
    return _path(S, b, *_output(algorithm, S, b, query, straight, output), discrete=matrices.discrete)


def _output(
    algorithm: Algorithm, S: FloatArray, b: FloatArray, query: FloatArray, straight: FloatArray, output: str
) -> tuple[FloatArray, FloatArray]:
    """Return c and d of an output that both the open and the closed loop have."""
    if output == "position":
        return np.eye(1, S.shape[-1])[0], np.zeros(())
    if output == "displacement":
        return S[..., 0, :], b[..., 0]
    if output == "query":
        return query, straight
    if np.any(straight != 0):
        raise ValueError(
            f"`output` must not be 'query_displacement' for {type(algorithm).__name__}, an implicit rule: its query "
            "point depends on the gradient there, so that the next one is not known yet. Ask for 'query'."
        )
    return np.einsum("...i,...ij->...j", query, S), np.einsum("...i,...i->...", query, b)


def _loop(algorithm: Algorithm, matrices: StateMatrices, curvature: FloatArray) -> SignalPath:
    if matrices.B.shape[-1] != 1:
        raise ValueError(
            f"`output` must not be 'loop' for {type(algorithm).__name__}, which asks for {matrices.B.shape[-1]} "
            "gradients a step: its loop gain is a matrix. Ask for 'sensitivity'."
        )
    S = matrices.increment[..., None, :, :]
    c = curvature[..., None] * matrices.C[..., None, 0, :]
    straight = -curvature * matrices.D[..., None, 0, 0]
    return _path(S, -matrices.B[..., None, :, 0], c, straight, discrete=matrices.discrete)
