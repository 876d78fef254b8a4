"""Schemes that step position and velocity: Euler, Runge-Kutta, splitting, the implicit midpoint rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heavyball_dynamics._implicit import proximal_step, require_hessian
from heavyball_dynamics._namespace import namespace
from heavyball_dynamics._protocols import Method, ObjectiveLike
from heavyball_dynamics._types import Hyperparameter, State
from heavyball_dynamics.algorithms.flows import GradientFlow
from heavyball_dynamics.algorithms.methods import GradientDescent
from heavyball_dynamics.algorithms.states import PhaseState
from heavyball_dynamics.correspondence.rules import decay_of
from heavyball_dynamics.correspondence.scheme import (
    Scheme,
    combined,
    half_a_step_limit,
    moved,
    require_half_a_step,
    require_one_phase,
    require_oscillator,
)


@dataclass(frozen=True, eq=False)
class ExplicitEuler(Scheme):
    r"""Explicit Euler, of any smooth flow: the position moves with the old velocity.

    .. math:: z_{k+1} = z_k + hF(t_k, z_k)

    On a mode of curvature λ it is stable only for h < γ/λ (while complex), never without damping.

    References
    ----------
    Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I", 1993, eq. (I.7.3).
    """

    name = "explicit_euler"
    order = 1

    def __post_init__(self) -> None:
        require_one_phase(self.name, self.flow)
        super().__post_init__()

    @property
    def method(self) -> Method | None:
        """Gradient descent, where the flow is the gradient flow."""
        return GradientDescent(self.dt) if isinstance(self.flow, GradientFlow) else None

    def step(self, k: int, state: Any, objective: ObjectiveLike) -> State:
        """Follow the vector field for a time dt."""
        return moved(state, self.flow.vector_field(k * self.dt, state, objective), self.dt)


@dataclass(frozen=True, eq=False)
class RungeKutta4(Scheme):
    r"""The classical Runge-Kutta method, of any smooth flow.

    .. math:: z_{k+1} = z_k + \frac h6(F_1 + 2F_2 + 2F_3 + F_4)

    References
    ----------
    Kutta 1901; Hairer, Nørsett, Wanner, "Solving Ordinary Differential Equations I", 1993, table II.1.2.
    """

    name = "runge_kutta4"
    order = 4
    gradients_per_step = 4

    def __post_init__(self) -> None:
        require_one_phase(self.name, self.flow)
        super().__post_init__()

    def step(self, k: int, state: Any, objective: ObjectiveLike) -> State:
        """Take four slopes."""
        dt, t, field = self.dt, k * self.dt, self.flow.vector_field
        first = field(t, state, objective)
        second = field(t + dt / 2, moved(state, first, dt / 2), objective)
        third = field(t + dt / 2, moved(state, second, dt / 2), objective)
        fourth = field(t + dt, moved(state, third, dt), objective)
        return moved(state, combined([first, second, third, fourth], lambda a, b, c, d: a + 2 * b + 2 * c + d), dt / 6)


@dataclass(frozen=True, eq=False)
class DissipativeLeapfrog(Scheme):
    r"""Strang splitting of exact friction and a drift-kick-drift leapfrog.

    .. math::
        v' = e^{-\gamma h/2m}v_k, \quad x' = x_k + \tfrac h2v', \quad v'' = v' - \tfrac hm\nabla f(x'), \quad
        x_{k+1} = x' + \tfrac h2v'', \quad v_{k+1} = e^{-\gamma h/2m}v''

    Conformally symplectic: phase volume shrinks by exactly exp(-nγh/m) in a step.

    References
    ----------
    França, Sulam, Robinson, Vidal, "Conformal symplectic and relativistic optimization", 2020, eq. (15); McLachlan and
    Quispel, "Splitting methods", 2002, section 3.
    """

    name = "dissipative_leapfrog"
    order = 2

    def __post_init__(self) -> None:
        require_oscillator(self.name, self.flow)
        super().__post_init__()

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Half of the friction, half of the drift, the kick, and the halves in reverse."""
        mass, dt = self.flow.mass, self.dt
        decay = decay_of(mass, self.flow.damping, dt)
        kept = namespace(decay).exp(-decay / 2)
        before = kept * state.velocity
        middle = state.position + dt / 2 * before
        after = before - dt / mass * objective.gradient(middle)
        return PhaseState(middle + dt / 2 * after, kept * after)


@dataclass(frozen=True, eq=False)
class ImplicitMidpoint(Scheme):
    r"""The implicit midpoint rule.

    .. math:: z_{k+1} = z_k + hF\left(\tfrac12(z_k + z_{k+1})\right)

    The velocity is eliminated: the midpoint x' solves x' + w∇f(x') = x + (h/2)v/(1 + d), with d = γh/2m and
    w = h²/(4m(1 + d)). On a quadratic it is the bilinear (Tustin) transform of the flow, stable for every dt.

    References
    ----------
    Hairer, Lubich, Wanner, "Geometric Numerical Integration", 2006, eq. (I.1.7) and section VI.4.
    """

    name = "implicit_midpoint"
    order = 2
    requires = frozenset({"hessian"})

    def __post_init__(self) -> None:
        require_oscillator(self.name, self.flow)
        super().__post_init__()
        require_half_a_step(self.flow.mass, self.flow.damping, self.dt)

    @classmethod
    def largest_dt(cls, flow: Any) -> Hyperparameter:
        """Return how far the rule reaches with negative damping; infinite otherwise."""
        return half_a_step_limit(flow)

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> State:
        """Return the state at the start, once the objective is known to have a Hessian."""
        if not hasattr(objective, "proximal_point"):
            require_hessian(objective)
        return super().init(position, velocity, objective)

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Find the mean velocity of the step."""
        mass, dt = self.flow.mass, self.dt
        drag = 1 + decay_of(mass, self.flow.damping, dt) / 2
        coasting = state.velocity / drag
        step = proximal_step(objective, state.position + dt / 2 * coasting, dt**2 / (4 * mass * drag))
        mean = coasting + 2 / dt * step
        return PhaseState(state.position + dt * mean, 2 * mean - state.velocity)
