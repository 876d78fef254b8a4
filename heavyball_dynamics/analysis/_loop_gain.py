"""The closed loop as a gradient error sees it: frequency responses of whole batches, and a grid that misses no feature.

A closed loop x⁺ = Mx + Be is kept as what a step adds, S = M - 1 (of a flow its matrix), so that slow modes keep their
digits. Frequencies are given as ν on the positive half line, s = iν for flows and z = (1 + iν)/(1 - iν) for methods, so
that ω = 2 atan ν per step and ν = ∞ is the alternation z = -1: both times are then one.

Of the complementary sensitivity T = L/(1 + L) all margins of the loop L can be read: a complex factor c on the
curvature puts a pole on the boundary of stability exactly where c = -1/L = 1 - 1/T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._types import ComplexArray, FloatArray, IntArray
from heavyball_dynamics.analysis.linear import StateMatrices

_ROOT_TWO: Any = 2**0.5
_AT_ONCE = 2_000_000  # complex numbers in a stack of matrices
_NUMBER = 97  # points of the logarithmic grid
_MANY = 24  # poles
_BEYOND = 1e4  # how far below the slowest and above the fastest pole the grid reaches


@dataclass(frozen=True)
class LoopResponse:
    """Stable closed loops of many elements, flattened.

    ``moving`` (element, state, state), ``inputs`` (element, state, channel), ``outputs`` (element, channel, state),
    ``through`` (element, channel, channel).
    """

    moving: FloatArray
    inputs: FloatArray
    outputs: FloatArray
    through: FloatArray
    discrete: bool

    @property
    def single(self) -> bool:
        """Whether there is one channel."""
        return int(self.through.shape[-1]) == 1

    def omega(self, nu: FloatArray) -> FloatArray:
        """Return the angular frequency per step or unit time."""
        return np.asarray(2 * np.arctan(nu) if self.discrete else nu)

    def matrix_at(self, nu: FloatArray, index: IntArray) -> ComplexArray:
        """Return the responses of elements `index` (k,) at ν (k, point), as (k, point, channel, channel)."""
        order = self.moving.shape[-1]
        points, channels = nu.shape[-1], self.through.shape[-1]
        found = np.empty((*nu.shape, channels, channels), dtype=complex)
        rows = max(1, _AT_ONCE // max(1, points * order * order))
        for start in range(0, len(index), rows):
            part = slice(start, start + rows)
            found[part] = self._some(nu[part], index[part], order)
        return found

    def _some(self, nu: FloatArray, index: IntArray, order: int) -> ComplexArray:
        endless = np.isinf(nu) & (not self.discrete)  # there nothing but the direct way is left
        sigma = self.sigma(np.where(endless, 0.0, nu))
        resolvent = sigma[..., None, None] * np.eye(order) - self.moving[index][:, None]
        state = solve_small(resolvent, self.inputs[index][:, None])
        back = np.where(endless[..., None, None], 0.0, self.outputs[index][:, None] @ state)
        return np.asarray(back + self.through[index][:, None])

    def sigma(self, nu: FloatArray) -> ComplexArray:
        """Return z - 1 (flows: s)."""
        sigma = np.zeros(np.shape(nu), dtype=complex)
        if not self.discrete:
            sigma.imag = nu
            return sigma
        with np.errstate(divide="ignore", over="ignore"):
            # 2iν/(1 - iν), which is -2 at infinity.
            sigma.real, sigma.imag = -2 / (1 + 1 / nu**2), 2 / (nu + 1 / nu)
        return sigma

    def loci(self, nu: FloatArray, index: IntArray) -> ComplexArray:
        """Return T, for rules with several gradients the characteristic loci, (k, point, channel)."""
        # What comes back is minus T: the loop is closed by u = λy + e.
        back = self.matrix_at(nu, index)
        return np.asarray(-back[..., 0] if self.single else -np.linalg.eigvals(back))

    def size(self, nu: FloatArray, index: IntArray) -> FloatArray:
        """Return the modulus of a single response, (k, point)."""
        return np.abs(self.matrix_at(nu, index)[..., 0, 0])

    def half_plane(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return the same loops as A, B, C, D in continuous time, their frequency being ν."""
        if not self.discrete:
            return self.moving, self.inputs, self.outputs, self.through
        identity = np.eye(self.moving.shape[-1])
        onto = self.moving + 2 * identity
        inner = np.linalg.solve(onto, self.inputs)
        outer = np.swapaxes(np.linalg.solve(np.swapaxes(onto, -1, -2), np.swapaxes(self.outputs, -1, -2)), -1, -2)
        A: Any = np.linalg.solve(onto, self.moving)
        return A, _ROOT_TWO * inner, _ROOT_TWO * outer, self.through - self.outputs @ inner


def solve_small(matrix: ComplexArray, right: FloatArray) -> ComplexArray:
    """Solve stacks of small complex systems; orders one and two by Cramer's rule."""
    order = matrix.shape[-1]
    if order == 1:
        return np.asarray(right / matrix)
    if order > 2:
        return np.asarray(np.linalg.solve(matrix, np.broadcast_to(right, (*matrix.shape[:-1], right.shape[-1]))))
    a, b, c, d = (matrix[..., i, j, None] for i in (0, 1) for j in (0, 1))
    first, second = right[..., 0, :], right[..., 1, :]
    rows = np.stack([d * first - b * second, a * second - c * first], axis=-2)
    return np.asarray(rows / (a * d - b * c)[..., None])


def curvature_response(matrices: StateMatrices, curvature: FloatArray) -> LoopResponse:
    """Return the response from gradient errors to the gradients that they cause, flattened: the loop opened there."""
    feedback = matrices.feedback(curvature)
    identity = np.eye(matrices.D.shape[-1])
    return _flat(
        matrices.closed_increment(curvature),
        matrices.B[..., None, :, :] @ (identity + feedback @ matrices.D[..., None, :, :]),
        feedback @ matrices.C[..., None, :, :],
        feedback @ matrices.D[..., None, :, :],
        discrete=matrices.discrete,
    )


def error_response(matrices: StateMatrices, curvature: FloatArray) -> LoopResponse:
    """Return the response from one error, added to all gradients of a step, to the position."""
    return _flat(
        matrices.closed_increment(curvature), matrices.error_drive(curvature)[..., None],
        np.eye(1, matrices.A.shape[-1]), np.zeros((1, 1)), discrete=matrices.discrete,
    )  # fmt: skip


def query_response(matrices: StateMatrices, curvature: FloatArray) -> LoopResponse:
    """Return the response from errors of each gradient to the points where gradients are asked for."""
    feedback = matrices.feedback(curvature)
    identity = np.eye(matrices.D.shape[-1])
    D = matrices.D[..., None, :, :]
    onward = identity + D @ feedback
    return _flat(matrices.closed_increment(curvature), matrices.B[..., None, :, :] @ (identity + feedback @ D),
                 onward @ matrices.C[..., None, :, :], onward @ D, discrete=matrices.discrete)  # fmt: skip


def _flat(
    moving: FloatArray, inputs: FloatArray, outputs: FloatArray, through: FloatArray, *, discrete: bool
) -> LoopResponse:
    batch = np.broadcast_shapes(*(a.shape[:-2] for a in (moving, inputs, outputs, through)))

    def flat(part: FloatArray) -> FloatArray:
        return np.broadcast_to(part, (*batch, *part.shape[-2:])).reshape(math.prod(batch), *part.shape[-2:])

    return LoopResponse(flat(moving), flat(inputs), flat(outputs), flat(through), discrete)


def opened(response: LoopResponse) -> LoopResponse:
    """Return the loops of `curvature_response` opened: the response from gradients to λ times the query points, -L."""
    r = response
    identity = np.eye(r.through.shape[-1])
    back: Any = np.linalg.inv(identity + r.through)
    return LoopResponse(r.moving - r.inputs @ back @ r.outputs, r.inputs @ back, back @ r.outputs, back @ r.through,
                        r.discrete)  # fmt: skip


def chosen(response: LoopResponse, which: IntArray) -> LoopResponse:
    """Return some of the elements."""
    r = response
    return LoopResponse(r.moving[which], r.inputs[which], r.outputs[which], r.through[which], r.discrete)


def frequency_grid(response: LoopResponse) -> FloatArray:
    """Return increasing ν, (element, point): logarithmic, beyond all poles on both sides, and dense beside each."""
    poles = np.linalg.eigvals(response.half_plane()[0]).astype(complex)
    sizes = np.maximum(np.abs(poles), np.finfo(float).tiny)
    low, high = sizes.min(axis=-1, keepdims=True) / _BEYOND, sizes.max(axis=-1, keepdims=True) * _BEYOND
    spread = low * (high / low) ** np.linspace(0.0, 1.0, _NUMBER)
    if poles.shape[-1] > _MANY:
        # Of long delays most poles are alike, and their responses without features.
        return np.sort(np.concatenate([spread, np.clip(np.abs(poles.imag), low, high)], axis=-1), axis=-1)
    offsets = np.array([-4.0, -2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0, 4.0])
    shares = np.array([0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0])
    beside = [np.abs(np.abs(poles.imag) + np.abs(poles.real) * offset) for offset in offsets]
    around = [sizes * share for share in shares]
    return np.sort(np.clip(np.concatenate([spread, *beside, *around], axis=-1), low, high), axis=-1)
