"""Root loci in any parameter of an algorithm, with exact break-away points and stability limits."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._fields import holder, numeric_fields, with_field
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, BoolArray, ComplexArray, FloatArray
from heavyball_dynamics._validation import one_of, real_array
from heavyball_dynamics.analysis._branches import branches, sorted_poles
from heavyball_dynamics.analysis._crossings import crossings, distinct, meetings
from heavyball_dynamics.analysis._pairs import Pairs
from heavyball_dynamics.analysis._spectra import Spectra
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices
from heavyball_dynamics.analysis.tuning import stability_limit

_GRID = 400
_FLOW_RANGE = 10.0  # a flow's default curvatures reach this many times its critical one


@dataclass(frozen=True)
class RootLocus(Drawable):
    """Poles of one mode while one parameter varies.

    Attributes
    ----------
    parameter : str
        What varies.
    values : array (value,)
        Its values, increasing.
    poles : array (value, branch)
        Poles z (flows: s); each column is continuous.
    breakaway : array (n,)
        Values inside the range at which branches meet.
    breakaway_poles : array (n, branch)
    stability_limit : array (m,)
        Values inside the range at which a branch crosses the stability boundary; an end at curvature 0 or lr 0 is
        left out.
    stability_limit_poles : array (m, branch)
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> locus = hb.root_locus(hb.HeavyBall(lr=1.0, momentum=0.25))
    >>> locus.breakaway.round(10), locus.stability_limit.round(10)
    (array([0.25, 2.25]), array([2.5]))
    """

    parameter: str
    values: FloatArray
    poles: ComplexArray
    breakaway: FloatArray
    breakaway_poles: ComplexArray
    stability_limit: FloatArray
    stability_limit_poles: ComplexArray
    discrete: bool

    def summary(self) -> str:
        """Return the range, the break-away points and the stability limits in words."""
        told = {"break-away at": self.breakaway, "stability limit at": self.stability_limit}
        low, high = self.values[[0, -1]]
        lines = [f"{self.poles.shape[1]} branches for {self.parameter} from {low:.6g} to {high:.6g}"]
        for name, found in told.items():
            listed = ", ".join(f"{value:.10g}" for value in found)
            lines.append(f"{name} {listed or 'no value inside'}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def root_locus(
    algorithm: Algorithm, parameter: str = "curvature", values: ArrayLike | None = None, *,
    curvature: float | None = None, k: int | None = None, t: float | None = None,
) -> RootLocus:
    r"""Return the poles of one mode as one parameter varies.

    In the curvature (and in lr) this is the ordinary gain locus of the loop gain, qz/((z-1)(z-β)) for the heavy ball
    and λ/(s(ms+γ)) for its flow; the other fields of an algorithm need not enter like a gain.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule with scalar hyperparameters.
    parameter : str
        "curvature", or the name of any numeric field of the algorithm: lr, momentum, mass, damping, …
    values : array (value,), optional
        Values of the parameter, in increasing order. By default curvature and lr run from 0 to a little beyond the
        stability limit (curvature of a flow: to ten times the critical one), momentum from 0 to 1, and other fields
        from a hundredth to a hundred times their present value; break-away points and limits are then among the values.
    curvature : float, optional
        The mode's curvature λ; needed (and allowed) only if `parameter` is a field of the algorithm.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    RootLocus
        Break-away points and stability limits are solved for, not sampled.

    Raises
    ------
    ValueError
        If the parameter is no numeric field, values do not increase, the curvature is missing or superfluous, or the
        algorithm holds arrays.

    References
    ----------
    Evans, "Control system synthesis by root locus method", 1950. In a parameter other than the gain: python-control
    issue 43.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> locus = hb.root_locus(hb.HeavyBall(lr=0.25, momentum=0.5), "momentum", curvature=1.0)
    >>> locus.breakaway.round(10)
    array([0.25])
    """
    family = _Family.of(algorithm, parameter, curvature, k, t)
    grid = _default_values(family) if values is None else _increasing(values)
    sample = grid if len(grid) <= _GRID else grid[[0, -1]]
    fine = np.unique(np.concatenate([sample, np.linspace(grid[0], grid[-1], _GRID), _toward_zero(grid)]))
    # At an end where the gain vanishes a pole sits at z = 1, which is no limit.
    flat = (fine == 0) & (fine == fine[[0, -1]][:, None]).any(axis=0) & (parameter in ("curvature", "lr"))
    breakaway = _breakaway(family, fine, flat)
    limits = _limits(family, fine, flat)
    if values is None:
        grid = np.unique(np.concatenate([grid, breakaway, limits]))
    spectrum = family.spectrum(grid)
    return RootLocus(
        parameter=parameter,
        values=grid,
        poles=branches(spectrum, grid),
        breakaway=breakaway,
        breakaway_poles=sorted_poles(family.spectrum(breakaway)),
        stability_limit=limits,
        stability_limit_poles=sorted_poles(family.spectrum(limits)),
        discrete=spectrum.discrete,
    )


@dataclass(frozen=True)
class _Family:
    """The closed loops of one mode, indexed by the value of one parameter."""

    algorithm: Algorithm
    parameter: str
    curvature: float
    k: int | None
    t: float | None
    fixed: StateMatrices | None  # for the curvature: the open loop does not change

    @staticmethod
    def of(algorithm: Algorithm, parameter: str, curvature: float | None, k: int | None, t: float | None) -> _Family:
        is_flow(algorithm)
        algorithm = algorithm if k is None else at_step(algorithm, k)
        numeric = numeric_fields(algorithm)
        one_of("parameter", parameter, ["curvature", *numeric])
        if batch_shape(algorithm) != ():
            raise ValueError(
                f"`algorithm` must have scalar hyperparameters: the locus is its batch. Received {algorithm!r}."
            )
        if parameter == "curvature":
            if curvature is not None:
                raise ValueError(f"`curvature` varies along this locus and must be left out. Received {curvature!r}: "
                                 "pass the range as `values`.")  # fmt: skip
            return _Family(algorithm, parameter, np.nan, k, t, state_matrices(algorithm, k=k, t=t))
        if curvature is None:
            raise ValueError(f"`curvature` must be given for a locus in {parameter!r}: poles belong to one mode.")
        mode = real_array("curvature", curvature)
        if mode.ndim:
            raise ValueError(f"`curvature` must be one number: poles belong to one mode. Received shape {mode.shape}.")
        return _Family(algorithm, parameter, float(mode), k, t, None)

    def spectrum(self, values: FloatArray) -> Pairs | Spectra:
        """Return the closed loops for values (value,): arrays (value,), poles (value, order)."""
        if self.fixed is not None:
            return self.fixed.spectrum(values, 0.0)
        varied = with_field(cast("Any", self.algorithm), self.parameter, values)
        with np.errstate(all="ignore"):
            matrices = state_matrices(varied, k=self.k, t=self.t)
        # A parameter that the matrices do not depend on leaves them without its axis.
        A, B, C, D = (
            np.broadcast_to(M, (len(values), *M.shape[-2:])) for M in (matrices.A, matrices.B, matrices.C, matrices.D)
        )
        whole = StateMatrices(A, B, C, D, matrices.discrete).spectrum(np.full((len(values), 1), self.curvature), 0.0)
        return _drop_mode_axis(whole)

    @property
    def discrete(self) -> bool:
        """True for methods."""
        return not is_flow(self.algorithm)


def _drop_mode_axis(spectrum: Pairs | Spectra) -> Pairs | Spectra:
    arrays = {f.name: getattr(spectrum, f.name) for f in fields(spectrum)}
    changed: dict[str, Any] = {name: value[:, 0] for name, value in arrays.items() if isinstance(value, np.ndarray)}
    return replace(spectrum, **changed)


def _increasing(values: ArrayLike) -> FloatArray:
    grid = real_array("values", values)
    if grid.ndim != 1 or len(grid) < 2 or not np.all(np.diff(grid) > 0):
        raise ValueError(
            f"`values` must be a one-dimensional array of at least two increasing numbers. Received shape {grid.shape}"
            + (" in another order: sort them." if grid.ndim == 1 and len(grid) > 1 else ".")
        )
    return grid


def _toward_zero(grid: FloatArray) -> FloatArray:
    """Return a geometric grid at the small end: slow modes leave the real axis at tiny curvatures."""
    low, high = max(grid[0], 1e-14 * grid[-1]), grid[-1]
    if not 0 < low < high or grid[0] < 0:
        return np.empty(0)
    return np.clip(np.geomspace(low, high, _GRID), grid[0], grid[-1])


def _default_values(family: _Family) -> FloatArray:
    name = family.parameter
    if name == "curvature":
        return np.linspace(0.0, _largest_curvature(family), _GRID)
    if name == "momentum":
        return np.linspace(0.0, 1.0, _GRID)
    if name == "lr" and family.curvature > 0:
        limit = float(stability_limit(cast("Any", family.algorithm), family.curvature, k=family.k))
        if 0 < limit < np.inf:
            return np.linspace(0.0, 1.1 * limit, _GRID)
    present = float(getattr(holder(family.algorithm, name), name))
    return np.linspace(0.0, 1.0, _GRID) if present == 0 else np.sort(present * np.geomspace(1e-2, 1e2, _GRID))


def _largest_curvature(family: _Family) -> float:
    """Return a curvature a little beyond the last event of the locus: a limit, or ten times a flow's break-away."""
    grid = np.geomspace(1e-12, 1e12, 2401)
    none = np.arange(len(grid)) == 0
    limits = _limits(family, grid, none)
    if limits.size:
        return 1.1 * float(limits.max())
    meeting = _breakaway(family, grid, none)
    return _FLOW_RANGE * float(meeting.max()) if meeting.size else _FLOW_RANGE


def _breakaway(family: _Family, grid: FloatArray, skip: BoolArray) -> FloatArray:
    """Return the values where the discriminant of the characteristic polynomial vanishes."""
    if family.spectrum(grid[:2]).order == 1:
        return np.empty(0)

    def discriminant(values: FloatArray) -> FloatArray:
        return family.spectrum(values).discriminant

    return distinct(np.concatenate([crossings(discriminant, grid, skip), meetings(discriminant, grid)]))


def _limits(family: _Family, grid: FloatArray, skip: BoolArray) -> FloatArray:
    """Return the values where a condition of stability changes sign while the others hold."""
    size = np.abs(np.stack(family.spectrum(grid).conditions))
    found = []
    for i in range(len(size)):
        at = crossings(lambda values, i=i: family.spectrum(values).conditions[i], grid, skip)  # type: ignore[misc]
        if at.size:
            cell = np.clip(np.searchsorted(grid, at), 1, len(grid) - 1)
            rounding = 1e-9 * np.maximum(size[:, cell - 1], size[:, cell])
            holds = np.stack(family.spectrum(at).conditions) >= -rounding
            found.append(at[np.all(np.delete(holds, i, axis=0), axis=0)])
    return distinct(np.concatenate(found)) if found else np.empty(0)
