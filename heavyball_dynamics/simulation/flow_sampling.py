"""Paths of noisy flows on quadratics, drawn from their exact distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg import expm

from heavyball_dynamics._batching import append_axes, batch_shape, leaves, rebuild
from heavyball_dynamics._noisy_springs import spring_drive
from heavyball_dynamics._normals import Purpose, normals, square_root
from heavyball_dynamics._protocols import Flow, ObjectiveLike, require_flow, require_objective
from heavyball_dynamics._springs import spring_loops
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, State
from heavyball_dynamics._validation import count, real_array, require
from heavyball_dynamics.simulation._start import starting_state
from heavyball_dynamics.simulation.integration import _observe, _times
from heavyball_dynamics.simulation.trajectory import Status, Trajectory


def sample_flow(
    flow: Flow, objective: ObjectiveLike, position: ArrayLike | State, velocity: ArrayLike | None = None, *,
    times: ArrayLike | None = None, duration: float | None = None, noise: ArrayLike | None = None, seed: int = 0,
) -> Trajectory:  # fmt: skip
    r"""Draw paths of a linear flow on a quadratic under white noise in its gradient, exactly at any times.

    .. math:: ds = Ms\,dt + S\,b\,dW, \qquad
              s(t+h) \sim N\Bigl(e^{Mh}s(t),\; S^2\!\int_0^h e^{Mu}bb^\top e^{M^\top u}\,du\Bigr)

    along every eigenvector of the Hessian. There is no time step and no error of one: the transition between two saved
    times is the exact one, however far apart they are.

    Parameters
    ----------
    flow : Flow
        Any linear flow, such as `LangevinFlow`; its hyperparameters scalars or arrays (*batch,).
    objective : Quadratic, LeastSquares, or any other whose Hessian is constant
        The loss.
    position : array (*batch, dim), or a state
        Start. Every element of the batch has noise of its own.
    velocity : array (*batch, dim), optional
        dx/dt at the start; zero by default.
    times, duration : array (time,), float
        When to look, or for how long (201 uniform times).
    noise : float or array that broadcasts to (*batch,), optional
        Intensity S² >= 0 of the noise in every coordinate of the gradient; by default the flow's own ``noise``.
    seed : int
        Which stream of random numbers, >= 0.

    Returns
    -------
    Trajectory
        ``evaluations`` is 0: nothing was integrated. An element that has left the finite numbers, or whose variance
        has, is NaN from the next saved time on: its status is DIVERGED, its ``stop_time`` that time. It does not touch
        the others.

    Raises
    ------
    ValueError
        If the loss is no quadratic, the flow is not linear or varies in time, no noise is known, or shapes do not fit.
    TypeError
        If the flow or the objective is none.

    References
    ----------
    Van Loan, "Computing integrals involving the matrix exponential", IEEE Trans. Automat. Control 23, 1978, theorem 1.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> flow = hb.LangevinFlow(mass=1.0, damping=0.5, temperature=2.0)
    >>> run = hb.sample_flow(flow, hb.Quadratic([4.0]), np.zeros((20_000, 1)), times=[0.0, 0.1, 50.0], seed=1)
    >>> run.position[:, :, 0].var(axis=0).round(1), run.velocity[:, -1, 0].var().round()     # T/λ and T/m
    (array([0. , 0. , 0.5]), np.float64(2.0))
    """
    require_flow("flow", flow)
    require_objective(objective)
    if not getattr(objective, "constant_hessian", False):
        raise ValueError(
            "`objective` must be a quadratic: one whose `constant_hessian` is true. On other losses take small steps: "
            f"hb.iterate with hb.LangevinBAOAB and hb.Thermostat. Received {objective!r}."
        )
    saved, stream = _times(times, duration), count("seed", seed, 0)
    start, batch, _ = starting_state(flow, objective, position, velocity)
    batch = np.broadcast_shapes(batch, np.shape(noise if noise is not None else getattr(flow, "noise", 0.0)))
    intensity = _intensity(flow, noise, batch)
    quadratic: Any = objective
    Q, centre = quadratic.modes.eigenvectors, np.asarray(quadratic.minimizer)
    # The state at rest in the minimum: what is not a position is zero there, remembered positions are the minimum.
    rest = leaves(append_axes(flow, 1).init(centre, np.zeros(objective.dim), objective))
    moved = [np.broadcast_to(leaf - still, (*batch, objective.dim)) @ Q
             for leaf, still in zip(leaves(start), rest, strict=True)]  # fmt: skip
    with np.errstate(all="ignore"):  # what is not stable may leave the finite numbers
        paths = _draw(flow, np.asarray(quadratic.spectrum), np.stack(moved, axis=-1), intensity, saved, stream)
        # (time, *batch, mode, state) to a list over the state of (*batch, time, dim)
        found = [np.moveaxis(paths[..., j], 0, -2) @ Q.T + np.asarray(still)[..., None, :]
                 for j, still in enumerate(rest)]  # fmt: skip
        return _trajectory(flow, objective, start, found, saved)


def _trajectory(
    flow: Flow, objective: ObjectiveLike, start: State, found: list[FloatArray], times: FloatArray
) -> Trajectory:
    """Return the run with leaves (*batch, time, dim) that may have left the finite numbers."""
    finite = np.isfinite(found).all(axis=(0, -1))
    alive: BoolArray = np.logical_and.accumulate(finite, axis=-1)
    number, completed = alive.sum(axis=-1, dtype=int), alive.all(axis=-1)
    last = np.expand_dims(np.maximum(number - 1, 0), (-2, -1))
    states = rebuild(start, [np.where(alive[..., None], leaf, np.nan) for leaf in found])
    return Trajectory(
        time=times,
        **_observe(flow, objective, states, times),
        status=np.where(completed, int(Status.COMPLETED), int(Status.DIVERGED)),
        stop_time=np.where(completed, np.nan, times[np.minimum(number, len(times) - 1)]),
        state=rebuild(start, [np.take_along_axis(leaf, last, axis=-2)[..., 0, :] for leaf in found]),
        evaluations=0,
    )


def _intensity(flow: Flow, noise: ArrayLike | None, batch: tuple[int, ...]) -> FloatArray:
    value: Any = getattr(flow, "noise", None) if noise is None else noise
    if value is None:
        raise ValueError(
            f"`noise`, the intensity of the noise in the gradient, must be given: {type(flow).__name__} has none of "
            "its own. For heat take hb.LangevinFlow."
        )
    given = real_array("noise", value)
    require("noise", given, given >= 0, ">= 0, an intensity")
    return np.broadcast_to(given, batch)


def _draw(
    flow: Flow, curvature: FloatArray, start: FloatArray, intensity: FloatArray, times: FloatArray, seed: int
) -> FloatArray:
    """Return paths (time, *batch, mode, state) along the eigenvectors."""
    batch, tail = start.shape[:-2], start.shape[-2:]
    own = (*batch_shape(flow), len(curvature))
    M = np.broadcast_to(spring_loops(flow, curvature), (*own, tail[-1], tail[-1]))
    b = spring_drive(flow, curvature)
    paths = np.empty((len(times), *start.shape))
    state = paths[0] = start
    scale = np.sqrt(intensity)[..., None, None]
    known: tuple[float, FloatArray, FloatArray] = (math.nan, M, M)
    for i, dt in enumerate(np.diff(times)):
        if not abs(dt - known[0]) <= 4 * np.spacing(abs(times[i + 1])):  # uniform times, up to rounding
            carried, spread = transition(M, b[..., :, None] * b[..., None, :], float(dt))
            # What has overflowed has no root; its paths are no numbers any more.
            fine = (np.isfinite(carried) & np.isfinite(spread)).all(axis=(-2, -1), keepdims=True)
            known = (float(dt), np.where(fine, carried, np.nan), square_root(np.where(fine, spread, 0.0)))
        z = normals(seed, i, math.prod(batch), math.prod(tail), Purpose.PATH).reshape(start.shape)
        pushed = np.einsum("...ij,...j->...i", known[2], z)
        state = paths[i + 1] = np.einsum("...ij,...j->...i", known[1], state) + scale * pushed
    return paths


def transition(M: FloatArray, source: FloatArray, dt: float) -> tuple[FloatArray, FloatArray]:
    r"""Return exp(M dt) and the integral of exp(Mu) N exp(Mu)ᵀ over u from 0 to dt, for matrices (*batch, n, n).

    Van Loan's block exponential for a step short enough, doubled as often as it takes: long steps of a stiff system
    would overflow in it.
    """
    order = M.shape[-1]
    size = float(np.max(np.abs(M).sum(axis=-1), initial=0.0)) * dt
    doublings = max(0, math.ceil(math.log2(size))) if size > 0 else 0
    block = np.zeros((*M.shape[:-2], 2 * order, 2 * order))
    block[..., :order, :order] = -M
    block[..., :order, order:] = source
    block[..., order:, order:] = np.swapaxes(M, -1, -2)
    exponential = expm(block * (dt / 2**doublings))
    carried = np.swapaxes(exponential[..., order:, order:], -1, -2)
    spread = carried @ exponential[..., :order, order:]
    for _ in range(doublings):
        spread = spread + carried @ spread @ np.swapaxes(carried, -1, -2)
        carried = carried @ carried
    return carried, 0.5 * (spread + np.swapaxes(spread, -1, -2))
