"""A batch of equal flows as one system of ordinary differential equations.

The solver sees one long vector. Two orders of it are used: explicit solvers get ``(leaf, dim, trajectory)``, so that
every array operation runs over contiguous trajectories; implicit solvers get ``(trajectory, leaf, dim)``, in which the
Jacobian is block diagonal, hence sparse and banded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import bsr_array

from heavyball_dynamics._batching import leaves, rebuild, take
from heavyball_dynamics._listening import Listening
from heavyball_dynamics._probe import NotLinearError, probe
from heavyball_dynamics._protocols import Flow, ObjectiveLike
from heavyball_dynamics._types import FloatArray, IntArray, State

_EXPLICIT = ("RK23", "RK45", "DOP853")


@dataclass(frozen=True)
class Stack:
    """Trajectories of one flow on one objective, stacked; blocks are arrays (leaf, trajectory, dim)."""

    flow: Flow  # its arrays have shape (trajectory, 1)
    objective: ObjectiveLike
    template: State
    size: int
    solver: str

    # The right-hand side is called tens of thousands of times: what is the same in every call is looked up once.

    @cached_property
    def _by_trajectory(self) -> bool:
        return self.solver not in _EXPLICIT

    @cached_property
    def _leaves(self) -> int:
        return len(leaves(self.template))

    @cached_property
    def _is_flat(self) -> bool:
        return hasattr(self.template, "_fields") and not any(isinstance(part, tuple) for part in self.template)

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        if self._by_trajectory:
            return (self.size, self._leaves, self.objective.dim)
        return (self._leaves, self.objective.dim, self.size)

    def subset(self, index: IntArray) -> Stack:
        """Return the stack of some of the trajectories."""
        return Stack(take(self.flow, (self.size, 1), index), self.objective, self.template, len(index), self.solver)

    def blocks(self, vector: FloatArray) -> FloatArray:
        """View vectors (…, leaf·trajectory·dim) as (…, leaf, trajectory, dim)."""
        stacked = vector.reshape(*vector.shape[:-1], *self._shape)
        return stacked.swapaxes(-3, -2) if self._by_trajectory else stacked.swapaxes(-2, -1)

    def vector(self, blocks: FloatArray) -> FloatArray:
        """Inverse of `blocks` for one state: (leaf, trajectory, dim) to one vector."""
        vector = np.empty(blocks.size)
        self.blocks(vector)[...] = blocks
        return vector

    def state(self, blocks: FloatArray) -> State:
        """Put blocks into the flow's own tuple."""
        return type(self.template)(*blocks) if self._is_flat else rebuild(self.template, list(blocks))

    def derivative(self, t: float, vector: FloatArray) -> FloatArray:
        """Right-hand side for solve_ivp."""
        rates = self.flow.vector_field(t, self.state(self.blocks(vector)), self.objective)
        result = np.empty_like(vector)
        target = self.blocks(result)
        for i, leaf in enumerate(rates if self._is_flat else leaves(rates)):
            target[i] = leaf
        return result

    def solver_options(self, t: float) -> dict[str, Any]:
        """Return Jacobian, sparsity and bandwidths as the solver wants them."""
        if not self._by_trajectory:
            return {}
        width = self._leaves * self.objective.dim
        banded = self.solver == "LSODA"
        options: dict[str, Any] = {"lband": width - 1, "uband": width - 1} if banded and self.size > 1 else {}
        if self._has_jacobian(t):
            options["jac"] = self._jacobian
        elif not banded and self.size > 1:
            options["jac_sparsity"] = _block_diagonal(np.ones((self.size, width, width)))
        return options

    def _has_jacobian(self, t: float) -> bool:
        """Tell whether there is an analytic Jacobian: it needs a Hessian, and a rule linear in state and gradient."""
        if not getattr(self.objective, "exact_hessian", hasattr(self.objective, "hessian")):
            return False
        try:
            for moment in (t, t + 1.0):  # a flow may look linear where it starts and be none later
                probe(self.flow, moment)
        except NotLinearError:
            return False
        return True

    def _jacobian(self, t: float, vector: FloatArray) -> Any:
        blocks = self._jacobian_blocks(t, vector)
        if self.size == 1:
            return blocks[0]
        return _banded(blocks) if self.solver == "LSODA" else _block_diagonal(blocks)

    def _jacobian_blocks(self, t: float, vector: FloatArray) -> FloatArray:
        """Chain rule through the probed matrices and the Hessian at each query point: (trajectory, width, width)."""
        dim, order = self.objective.dim, self._leaves
        found = probe(self.flow, t)
        A, B, C, D = (
            # The probe kept the axis that `take` appended for the coordinates; trajectories are the batch here.
            np.broadcast_to(M.reshape(-1, *M.shape[-2:]), (self.size, *M.shape[-2:])) for M in
            (found.A, found.B, found.C, found.D)
        )  # fmt: skip
        listening = Listening(self.objective)
        self.flow.vector_field(t, self.state(self.blocks(vector)), listening)
        identity = np.eye(dim)
        result = np.einsum("nij,ab->niajb", A, identity)
        answers: list[FloatArray] = []
        for r, query in enumerate(listening.queries):
            moved = np.einsum("nj,ab->najb", C[:, r], identity)
            for s, answer in enumerate(answers):
                moved = moved + D[:, r, s, None, None, None] * answer
            hessian = np.broadcast_to(self.objective.hessian(query), (self.size, dim, dim))
            answers.append(np.einsum("nac,ncjb->najb", hessian, moved))
            result += np.einsum("ni,najb->niajb", B[:, :, r], answers[-1])
        return np.asarray(result.reshape(self.size, order * dim, order * dim))


def _block_diagonal(blocks: FloatArray) -> Any:
    number, width, _ = blocks.shape
    indices, pointers = np.arange(number), np.arange(number + 1)
    return bsr_array((blocks, indices, pointers), shape=(number * width, number * width)).tocsc()


def _banded(blocks: FloatArray) -> FloatArray:
    """Pack blocks as LSODA wants them: packed[i - j + uband, j] = jac[i, j]."""
    number, width, _ = blocks.shape
    packed = np.zeros((2 * width - 1, number, width))
    for i in range(width):
        for j in range(width):
            packed[i - j + width - 1, :, j] = blocks[:, i, j]
    return packed.reshape(2 * width - 1, number * width)


