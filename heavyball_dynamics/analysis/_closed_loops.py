"""Everything that closed loops of a rule are asked for, flattened: matrices, classes, the state at rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, map_arrays
from heavyball_dynamics._probe import HessianAskedError, UnsetTime, frozen
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._springs import Springs, spring_loops
from heavyball_dynamics._types import BoolArray, FloatArray
from heavyball_dynamics.analysis._matrix_sizes import are_defective, eigenvector_conditions
from heavyball_dynamics.analysis._pairs import ROUNDING, Pairs
from heavyball_dynamics.analysis._pole_scan import first_change
from heavyball_dynamics.analysis._spectra import Spectra
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.linear import StateMatrices, loop_spectrum, require_broadcast, state_matrices
from heavyball_dynamics.analysis.modes import Modes

_RTOL = 1e-9
_FACTORS = np.append(1.0, 1 + np.geomspace(1e-6, 1e6, 385))  # looked at where a loop cannot be opened


@dataclass(frozen=True)
class ClosedLoops:
    """Loops of the common batch ``shape`` (*batch, mode); ``matrices`` is None where a rule has no open loop.

    ``curvature`` (element,), ``moving`` (element, state, state), ``start`` (element, state): position 1 at rest.
    """

    algorithm: Algorithm
    matrices: StateMatrices | None
    curvature: FloatArray
    moving: FloatArray
    start: FloatArray
    modes: Modes
    spectrum: Pairs | Spectra
    shape: tuple[int, ...]
    k: int | None
    t: float | None

    @property
    def value(self) -> FloatArray:
        """The curvatures as they were given, (*batch, mode)."""
        return np.broadcast_to(self.curvature.reshape(self.shape), self.shape)

    @property
    def stable(self) -> BoolArray:
        """Whether each loop decays, strictly, (element,)."""
        return self.modes.stable.ravel()

    @property
    def divergent(self) -> BoolArray:
        """Whether each grows exponentially, (element,)."""
        return np.asarray(self.modes.damping == DampingClass.DIVERGENT).ravel()

    def vectors(self) -> tuple[BoolArray, FloatArray]:
        """Return whether the matrices are defective, and κ₂ of their eigenvectors, (element,)."""
        spectrum = self.spectrum
        double = np.zeros(self.shape, dtype=bool)
        if isinstance(spectrum, Pairs):
            double = (spectrum.damping == DampingClass.CRITICAL) | (spectrum.discriminant == 0)
            if spectrum.discrete:
                # A double negative pole, told as its class is.
                noise = ROUNDING * (4 + 2 * np.abs(spectrum.trace) + np.abs(spectrum.determinant))
                edge = _RTOL * 8 * np.abs(spectrum.at_minus_one) + 2 * noise
                double = double | ((spectrum.trace < -2) & (np.abs(spectrum.discriminant) <= edge))
                double = double | (spectrum.rate <= _RTOL)
        defective = are_defective(self.moving, np.asarray(double).ravel())
        apart = np.asarray(spectrum.discriminant).ravel() if spectrum.order == 2 else np.empty(0)
        return defective, eigenvector_conditions(self.moving, apart, defective)

    def gain_by_search(self) -> FloatArray:
        """Return the intervals of factors (element, 2) within which the loops stay stable, from their poles alone."""
        spread = map_arrays(self.algorithm, lambda array: np.broadcast_to(array[..., None], self.shape).ravel())

        def margin(logarithm: FloatArray, index: FloatArray) -> FloatArray:
            who = index.astype(int)
            some: Any = map_arrays(spread, lambda array: array[who])
            bend = (self.curvature[who] * np.exp(logarithm))[:, None]
            with np.errstate(all="ignore"):
                conditions = loop_spectrum(some, bend, 0.0, k=self.k, t=self.t).conditions
            return np.asarray(np.min(conditions, axis=0)[..., 0])

        found = np.full((len(self.curvature), 2), np.nan)
        who = np.flatnonzero(self.stable)
        if who.size:
            found[who, 1] = np.exp(first_change(margin, who, np.log(_FACTORS)))
            found[who, 0] = np.exp(first_change(margin, who, -np.log(_FACTORS)))
        return found


def closed_loops(
    algorithm: Algorithm, curvature: FloatArray, *, k: int | None = None, t: float | None = None
) -> ClosedLoops:
    """Close the loop of a rule by curvatures (*batch, mode), also of one that asks for Hessians."""
    spectrum = loop_spectrum(algorithm, curvature, _RTOL, k=k, t=t)
    time: Any = t if is_flow(algorithm) else k
    now = UnsetTime() if time is None else time
    rule = frozen(algorithm, now)
    require_broadcast(batch_shape(rule), curvature.shape)
    shape = np.broadcast_shapes((*batch_shape(rule), 1), curvature.shape)
    matrices = _opened(algorithm, k, t)
    moving = spring_loops(algorithm, curvature, time) if matrices is None else matrices.closed_increment(curvature)
    order = moving.shape[-1]
    moving = np.broadcast_to(moving, (*shape, order, order)).reshape(-1, order, order)
    # Position 1 and no velocity, as the rule itself begins.
    one = np.ones((1, 1))
    state = append_axes(rule, 2).init(one, 0 * one, Springs(curvature[..., None]))
    start = np.stack([np.broadcast_to(np.asarray(leaf, dtype=float)[..., 0], shape) for leaf in leaves(state)], axis=-1)
    return ClosedLoops(rule, matrices, np.broadcast_to(curvature, shape).ravel(), moving,
                       start.reshape(-1, order), Modes(curvature, spectrum), spectrum, shape, k, t)  # fmt: skip


def _opened(algorithm: Algorithm, k: int | None, t: float | None) -> StateMatrices | None:
    if "quadratic" in getattr(algorithm, "requires", ()):
        return None
    try:
        found = state_matrices(algorithm, k=k, t=t)
    except HessianAskedError:
        return None
    if found.B.shape[-1] == 0:
        raise ValueError(f"`algorithm` must ask for a gradient, the input of its loop. Received {algorithm!r}.")
    return found
