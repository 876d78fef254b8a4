"""The flow of Nesterov's method with growing momentum: friction that fades like 1/t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import is_symbolic, positive
from heavyball_dynamics.algorithms._flow_start import require_empty, require_time
from heavyball_dynamics.algorithms.states import PhaseState

# Before this time the friction is held at r over it, and pulls towards the first term of the series of the velocity.
_FIRST = 1e-8


@dataclass(frozen=True, eq=False)
class NesterovFlow(Record):
    r"""The limit of Nesterov's method with the momentum k/(k + r) as lr → 0, in the time t = k√lr.

    .. math:: \ddot x + \frac rt\dot x + \nabla f(x) = 0, \qquad \dot x(0) = 0

    At t = 0 the friction is infinite and the acceleration -∇f/(1 + r). On a quadratic of curvature λ a mode is

    .. math::
        x(t) = x_0\,\Gamma\Big(\frac{r+1}2\Big)\Big(\frac2{t\sqrt\lambda}\Big)^{\frac{r-1}2}
        J_{\frac{r-1}2}(t\sqrt\lambda)

    and for convex losses and r ≥ 3

    .. math:: f(x(t)) - f^\star \le \frac{(r-1)^2\,|x_0 - x^\star|^2}{2t^2}

    Parameters
    ----------
    r : float or array (*batch,)
        Friction times time, r > 0, without unit. The bound is proved for r >= 3.

    Raises
    ------
    ValueError
        If r is not positive or not finite; on running from t = 0 with a velocity, or from a negative time.

    Notes
    -----
    For t < 1e-8 the field is -(r/1e-8)(v + t∇f/(1+r)) - ∇f/(1+r), which differs along the solution by a share of about
    1e-16·λ/(3+r) from the equation, but stays finite for every v: implicit solvers need its derivative at t = 0.

    References
    ----------
    Su, Boyd, Candès, "A differential equation for modeling Nesterov's accelerated gradient method: theory and
    insights", J. Mach. Learn. Res. 17, 2016: eq. (3) and theorems 3 and 5.

    Examples
    --------
    A mode is overdamped first and swings from t = r/(2√λ) on:

    >>> import heavyball_dynamics as hb
    >>> flow = hb.NesterovFlow(r=3.0)
    >>> [hb.DampingClass(hb.analyze_modes(flow, [1.0], t=t).damping[0]).name for t in (1.4, 1.5, 1.6)]
    ['OVERDAMPED', 'CRITICAL', 'UNDERDAMPED']
    >>> run = hb.integrate(flow, hb.Quadratic([1.0]), [1.0], duration=10.0)
    >>> bool((run.value[1:] <= 2 / run.time[1:] ** 2).all())
    True
    """

    r: Hyperparameter = 3.0

    def __post_init__(self) -> None:
        self._set(r=positive("r", self.r, "Friction that does not fade is HeavyBallFlow's."))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with velocity dx/dt, which at t = 0 must be zero."""
        return PhaseState(position, velocity)

    def vector_field(self, t: Any, state: PhaseState, objective: ObjectiveLike) -> PhaseState:
        """Return velocity and acceleration."""
        require_time(t)
        position, velocity = state
        if not is_symbolic(t) and t == 0:
            require_empty("velocity", velocity, "With a velocity start later: times=[1.0, ...].")
        pull = objective.gradient(position)
        if is_symbolic(t) or t >= _FIRST:
            return PhaseState(velocity, -(self.r / t) * velocity - pull)
        rest = pull / (1 + self.r)
        return PhaseState(velocity, -(self.r / _FIRST) * (velocity + t * rest) - rest)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return ½|v|², in units of the loss, (*batch, 1)."""
        return 0.5 * np.sum(state.velocity**2, axis=-1, keepdims=True)
