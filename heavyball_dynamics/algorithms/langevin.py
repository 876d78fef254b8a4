"""A ball in a bath of heat: Langevin's flow, and the splitting that samples it step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import finite, non_negative, positive
from heavyball_dynamics.algorithms.states import PhaseState
from heavyball_dynamics.objectives.thermostat import Thermostat


@dataclass(frozen=True, eq=False)
class LangevinFlow(Record):
    r"""A ball with mass and friction, kicked by the heat that the friction makes.

    .. math:: m\,dv = -\gamma v\,dt - \nabla f(x)\,dt + \sqrt{2\gamma T}\,dW, \qquad dx = v\,dt

    As a flow it is its drift, what is left at temperature zero: `integrate` runs that, and modes, loci and portraits
    are those of the drift. The heat comes in as white noise of intensity `noise` = 2γT in the gradient:
    ``hb.stationary_covariance(flow, curvature, noise=flow.noise)``; `hb.sample_flow` draws its paths on quadratics
    exactly; `method` runs it on any loss.

    In the end positions and velocities have Gibbs' distribution, of density exp(-(f(x) + ½m|v|²)/T) up to a factor.

    Parameters
    ----------
    mass : float or array (*batch,)
        Mass m > 0.
    damping : float or array (*batch,)
        Damping γ.
    temperature : float or array (*batch,)
        Temperature T >= 0, in units of the loss.

    Raises
    ------
    ValueError
        If the mass is not positive, the temperature is negative, a value is not finite, or batch axes do not broadcast.

    References
    ----------
    Leimkuhler, Matthews, "Molecular Dynamics", Springer 2015, chapter 6; Risken, "The Fokker-Planck equation", 1989,
    chapter 10.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> flow = hb.LangevinFlow(mass=2.0, damping=0.5, temperature=3.0)
    >>> hb.stationary_covariance(flow, [6.0], noise=flow.noise)[0].round(12) + 0.0      # T/λ and T/m
    array([[0.5, 0. ],
           [0. , 1.5]])
    """

    mass: Hyperparameter = 1.0
    damping: Hyperparameter = 1.0
    temperature: Hyperparameter = 1.0

    def __post_init__(self) -> None:
        self._set(
            mass=positive("mass", self.mass), damping=finite("damping", self.damping),
            temperature=non_negative("temperature", self.temperature),
        )  # fmt: skip
        batch_shape(self)

    @property
    def noise(self) -> Any:
        """Intensity S² = 2γT of the white noise in the gradient, (*batch,)."""
        return 2 * self.damping * self.temperature

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with velocity dx/dt."""
        return PhaseState(position, velocity)

    def vector_field(self, t: float, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Return velocity and acceleration, without kicks."""
        force = -self.damping * state.velocity - objective.gradient(state.position)
        return PhaseState(state.velocity, force / self.mass)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return ½m|v|², in units of the loss, (*batch, 1)."""
        return 0.5 * self.mass * np.sum(state.velocity**2, axis=-1, keepdims=True)

    def dissipation(self, state: PhaseState) -> Any:
        """Return the energy lost to friction per unit time, γ|v|², (*batch, 1)."""
        return self.damping * np.sum(state.velocity**2, axis=-1, keepdims=True)

    def method(self, dt: Hyperparameter) -> LangevinBAOAB:
        """Return the rule that runs the flow in steps of `dt`; its heat comes from `thermostat`."""
        return LangevinBAOAB(self.mass, self.damping, dt)

    def thermostat(self, objective: ObjectiveLike, seed: int = 0) -> Thermostat:
        """Return the loss in a bath of the flow's temperature."""
        return Thermostat(objective, self.temperature, seed)


@dataclass(frozen=True, eq=False)
class LangevinBAOAB(Record):
    r"""Langevin's flow by splitting: half a push, half a drift, friction and heat, half a drift, half a push.

    .. math::
        v &\leftarrow v - \tfrac{h}{2m}\nabla f(x), \quad x \leftarrow x + \tfrac h2 v, \quad
        v \leftarrow e^{-\gamma h/m} v + \sqrt{(1 - e^{-2\gamma h/m})\,T/m}\;\xi, \\
        x &\leftarrow x + \tfrac h2 v, \quad v \leftarrow v - \tfrac{h}{2m}\nabla f(x)

    The heat is the objective's: ``hb.iterate(rule, hb.Thermostat(loss, temperature, seed), …)``. On a loss without a
    thermostat, and for every analysis, T is zero and the rule a damped leapfrog of second order.

    Its state holds dx/dt, and its start takes dx/dt, as discretized flows do.

    Parameters
    ----------
    mass, damping, dt : float or array (*batch,)
        Mass m > 0, damping γ >= 0 and time step h > 0. Stable for h²λ < 4m.

    Raises
    ------
    ValueError
        If a value is not finite or has the wrong sign, or batch axes do not broadcast.

    Notes
    -----
    On quadratics positions have their exact distribution in the end, at every stable step: variance T/λ. The error is
    all in the velocities, T/m·(1 - h²λ/4m).

    No well-kept SDE library fits here: those there are need JAX or torch, or have not been released since 2022.

    References
    ----------
    Leimkuhler, Matthews, "Rational construction of stochastic numerical methods for molecular sampling", Applied
    Mathematics Research eXpress 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> rule = hb.LangevinBAOAB(mass=1.0, damping=1.0, dt=1.0)
    >>> bath = hb.Thermostat(hb.Quadratic([1.0]), temperature=4.0, seed=1)
    >>> run = hb.iterate(rule, bath, np.zeros((5000, 1)), steps=60)
    >>> run.position[:, -1].var().round(), run.velocity[:, -1].var().round()
    (np.float64(4.0), np.float64(3.0))
    """

    mass: Hyperparameter
    damping: Hyperparameter
    dt: Hyperparameter

    def __post_init__(self) -> None:
        self._set(
            mass=positive("mass", self.mass), damping=non_negative("damping", self.damping),
            dt=positive("dt", self.dt),
        )  # fmt: skip
        batch_shape(self)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with velocity dx/dt."""
        return PhaseState(position, velocity)

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Take one step of length dt."""
        xp = namespace(self.mass, self.damping, self.dt)
        half = 0.5 * self.dt
        v = state.velocity - half / self.mass * objective.gradient(state.position)
        x = state.position + half * v
        kick = getattr(objective, "kick", None)
        v = xp.exp(-self.damping * self.dt / self.mass) * v
        if kick is not None:
            warm = (1 - xp.exp(-2 * self.damping * self.dt / self.mass)) / self.mass
            v = v + xp.sqrt(warm) * kick(np.shape(x)[:-1])
        x = x + half * v
        return PhaseState(x, v - half / self.mass * objective.gradient(x))

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return ½m|v|², in units of the loss, (*batch, 1)."""
        return 0.5 * self.mass * np.sum(state.velocity**2, axis=-1, keepdims=True)
