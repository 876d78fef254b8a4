"""One mode in its phase plane: the flow, and the iterates of the method beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.modes import Modes, analyze_modes
from heavyball_dynamics.correspondence.physical import Physical
from heavyball_dynamics.correspondence.reading import to_physical
from heavyball_dynamics.objectives.quadratic import Quadratic
from heavyball_dynamics.simulation.integration import integrate
from heavyball_dynamics.simulation.iteration import iterate
from heavyball_dynamics.studies.portrait import PhasePortrait, phase_portrait

_LONGEST = 20_000
_MARKS = 60  # iterates drawn, at the most
_TURNS = 6  # rounds of a spiral, at the most


@dataclass(frozen=True)
class ModePortrait(Drawable):
    """A mode of curvature λ from position 1: phase portrait of the flow, its orbit, and the method's iterates.

    Attributes
    ----------
    curvature : float
    damping, flow_damping : int
        Class under the method and under the flow, as integers of `DampingClass`.
    portrait : PhasePortrait
        Of the flow on ½λx².
    orbit : array (time, 2)
        The flow from the matched start.
    iterates : array (point, 2)
        Positions x_k and central differences (x_{k+1} - x_{k-1})/2h, which are the velocities at the same times.
    stride : int
        Steps between the iterates kept.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.mode_portrait(hb.HeavyBall(lr=0.1, momentum=0.81), curvature=1.0)
    >>> print(found)
    curvature 1: the iteration is underdamped, its flow underdamped
    """

    curvature: float
    damping: int
    flow_damping: int
    portrait: PhasePortrait
    orbit: FloatArray
    iterates: FloatArray
    stride: int

    def summary(self) -> str:
        """Return the classes of the mode in words."""
        own, flow = (DampingClass(which).label for which in (self.damping, self.flow_damping))
        return f"curvature {self.curvature:.6g}: the iteration is {own}, its flow {flow}"

    def __str__(self) -> str:
        return self.summary()


def mode_portrait(method: Any, curvature: float, *, physical: Physical | None = None) -> ModePortrait:
    """Return one mode of a method in the phase plane of its flow.

    Parameters
    ----------
    method : HeavyBall or Nesterov
        With scalar hyperparameters.
    curvature : float
        Eigenvalue of the Hessian.
    physical : Physical, optional
        The physical reading; that of `to_physical` by default.

    Returns
    -------
    ModePortrait

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.mode_portrait(hb.HeavyBall(lr=1.0, momentum=0.25), curvature=2.4)
    >>> hb.DampingClass(found.damping).label, hb.DampingClass(found.flow_damping).label
    ('alternating', 'underdamped')
    """
    reading = physical if physical is not None else to_physical(method)
    loss = Quadratic([curvature])
    modes, flow_modes = analyze_modes(method, [curvature]), analyze_modes(reading.flow, [curvature])
    steps = _steps(modes)
    dt = float(reading.dt)
    run = iterate(method, loss, [1.0], steps + 1)
    x = run.position[:, 0]
    moving = (x[2:] - x[:-2]) / (2 * dt)
    # The empty buffer V_0 = 0 means x_{-1} = x_0.
    iterates = np.column_stack([x[:-1], np.append((x[1] - x[0]) / (2 * dt), moving)])
    stride = max(1, len(iterates) // _MARKS)
    released = reading.start_velocity(loss.gradient([1.0]))
    length = min(steps * dt, _turns(flow_modes.poles[0, 0].imag))
    # Long and strongly damped, where momentum is negative or the mode is slow: for an implicit solver.
    orbit = integrate(reading.flow, loss, [1.0], released, times=np.linspace(0.0, length, 2001), method="LSODA")
    path = np.column_stack([orbit.position[:, 0], orbit.velocity[:, 0]])
    limits = _limits(iterates, path, float(flow_modes.log_rate[0]) > 0)
    return ModePortrait(
        curvature=float(curvature),
        damping=int(modes.damping[0]),
        flow_damping=int(flow_modes.damping[0]),
        portrait=phase_portrait(reading.flow, loss, limits=limits),
        orbit=path,
        iterates=iterates[::stride],
        stride=stride,
    )


def _steps(modes: Modes) -> int:
    """Return steps enough to see the mode die to a fiftieth or grow thirtyfold, but no more than a few turns."""
    exponent = float(modes.log_rate[0])
    if not modes.stable[0]:
        return int(np.clip(np.ceil(np.log(30) / exponent), 3, 60)) if exponent > 0 else 40
    dying = np.log(0.02) / exponent if np.isfinite(exponent) else 0.0
    turning = _turns(float(np.angle(modes.poles[0, 0])))
    return int(np.clip(np.ceil(min(dying, turning)), 12, _LONGEST))


def _turns(frequency: float) -> float:
    """Return the steps or the time of a few turns; without end where nothing turns."""
    return _TURNS * 2 * np.pi / abs(frequency) if frequency else np.inf


def _limits(iterates: FloatArray, path: FloatArray, growing: bool) -> tuple[tuple[float, float], ...]:  # noqa: FBT001
    """Return a window around everything that is drawn; a flow that grows without end is cut off at the iterates."""
    shown = iterates if growing else np.concatenate([iterates, path])
    size = 1.15 * np.nanmax(np.abs(np.where(np.isfinite(shown), shown, np.nan)), axis=0)
    size = np.where(size > 0, size, 1.0)
    return tuple((-float(s), float(s)) for s in size)
