"""Methods: what minimises in discrete time.

All of them are instances of the canonical two-point form

    x_{k+1} = x_k + β(x_k - x_{k-1}) - η ∇f(y_k),

with V_k = x_k - x_{k-1} as the velocity. Other spellings of the same rules are translated by `from_dialect`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import ObjectiveLike
from heavyball_dynamics._record import Record
from heavyball_dynamics._schedule import along, has_schedules, scheduled
from heavyball_dynamics._types import FloatArray, Hyperparameter
from heavyball_dynamics._validation import finite, non_negative
from heavyball_dynamics.algorithms.states import PhaseState, PositionState


@dataclass(frozen=True, eq=False)
class GradientDescent(Record):
    r"""Gradient descent.

    .. math:: x_{k+1} = x_k - \eta\nabla f(x_k)

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Learning rate η >= 0, in units of position² / loss.

    Raises
    ------
    ValueError
        If lr is negative or not finite.

    References
    ----------
    Cauchy 1847; on quadratics stable for 0 < ηλ < 2.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.iterate(hb.GradientDescent(0.5), hb.Quadratic([1.0]), [1.0], steps=3).position[:, 0]
    array([1.   , 0.5  , 0.25 , 0.125])
    """

    lr: Hyperparameter

    def __post_init__(self) -> None:
        self._set(lr=scheduled(non_negative, "lr", self.lr))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Start at `position`; gradient descent has no memory, so `velocity` is not used."""
        return PositionState(position)

    def step(self, k: int, state: PositionState, objective: ObjectiveLike) -> PositionState:  # noqa: ARG002
        """Move against the gradient."""
        return PositionState(state.position - self.lr * objective.gradient(state.position))


@dataclass(frozen=True, eq=False)
class HeavyBall(Record):
    r"""Polyak's heavy ball, in the canonical two-point form.

    .. math:: V_{k+1} = \beta V_k - \eta\nabla f(x_k), \qquad x_{k+1} = x_k + V_{k+1}

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Canonical learning rate η >= 0, in units of position² / loss.
    momentum : float, array (*batch,) or schedule
        Momentum β. Values of 1 and more are let through, since loci cross them.

    Raises
    ------
    ValueError
        If lr is negative or a value is not finite.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, eq. (9).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.HeavyBall(lr=0.5, momentum=0.5), hb.Quadratic([1.0]), [1.0], steps=3)
    >>> run.position[:, 0]
    array([ 1.  ,  0.5 ,  0.  , -0.25])
    """

    lr: Hyperparameter
    momentum: Hyperparameter

    def __post_init__(self) -> None:
        self._set(lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with V_0 = `velocity`, the displacement of one step."""
        return PhaseState(position, velocity)

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Keep a share of the last displacement and add the gradient's."""
        velocity = self.momentum * state.velocity - self.lr * objective.gradient(state.position)
        return PhaseState(state.position + velocity, velocity)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return β|V|²/(2η), in units of the loss, (*batch, 1).

        Added to the loss it never increases if η <= 2(1-β)/L (for 0 <= β < 1).
        """
        return _kinetic_energy(self.lr, self.momentum, state)

    def shadow_energy(self, state: PhaseState, objective: ObjectiveLike) -> Any:
        r"""Return an energy that the method itself keeps account of, in units of the loss, (*batch, 1).

        .. math:: S = f(x) + \frac{|V|^2}{2\eta} - \tfrac12\nabla f(x)\cdot V

        On a quadratic S_k - S_{k+1} is exactly `shadow_loss`, for every learning rate and momentum; for β = 1 S is
        kept. Elsewhere the two differ by the third order in V.

        References
        ----------
        Hairer, Lubich, Wanner, "Geometric Numerical Integration", 2006, section IX.3: the modified Hamiltonian of
        symplectic Euler.
        """
        slope = np.sum(objective.gradient(state.position) * state.velocity, axis=-1, keepdims=True)
        square = np.sum(state.velocity**2, axis=-1, keepdims=True)
        return np.asarray(objective.value(state.position))[..., None] + square / (2 * self.lr) - slope / 2

    def shadow_loss(self, before: PhaseState, after: PhaseState) -> Any:
        """Return what friction takes from the shadow energy in a step, (1-β)V·(V + V⁺)/(2η), (*batch, 1)."""
        work = np.sum(before.velocity * (before.velocity + after.velocity), axis=-1, keepdims=True)
        return (1 - self.momentum) * work / (2 * self.lr)


@dataclass(frozen=True, eq=False)
class Nesterov(Record):
    r"""Nesterov's method with constant momentum; the position is x, not the look-ahead y.

    .. math:: y_k = x_k + \beta V_k, \qquad V_{k+1} = \beta V_k - \eta\nabla f(y_k), \qquad x_{k+1} = x_k + V_{k+1}

    Parameters
    ----------
    lr : float, array (*batch,) or schedule
        Canonical learning rate η >= 0, in units of position² / loss.
    momentum : float, array (*batch,) or schedule
        Momentum β. Values of 1 and more are let through, since loci cross them.

    Raises
    ------
    ValueError
        If lr is negative or a value is not finite.

    References
    ----------
    Nesterov, "Introductory Lectures on Convex Optimization", 2004, scheme (2.2.11).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.Nesterov(lr=0.5, momentum=0.5)
    >>> run = hb.iterate(method, hb.Quadratic([1.0]), [1.0], steps=2)
    >>> run.position[:, 0]
    array([1.   , 0.5  , 0.125])
    >>> method.look_ahead(run)[:, 0]
    array([ 1.    ,  0.25  , -0.0625])
    """

    lr: Hyperparameter
    momentum: Hyperparameter

    def __post_init__(self) -> None:
        self._set(lr=scheduled(non_negative, "lr", self.lr), momentum=scheduled(finite, "momentum", self.momentum))

    def init(self, position: Any, velocity: Any, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Start at `position` with V_0 = `velocity`, the displacement of one step."""
        return PhaseState(position, velocity)

    def step(self, k: int, state: PhaseState, objective: ObjectiveLike) -> PhaseState:  # noqa: ARG002
        """Ask for the gradient where the momentum alone would lead."""
        coasting = self.momentum * state.velocity
        velocity = coasting - self.lr * objective.gradient(state.position + coasting)
        return PhaseState(state.position + velocity, velocity)

    def kinetic_energy(self, state: PhaseState) -> Any:
        """Return β|V|²/(2η), in units of the loss, (*batch, 1)."""
        return _kinetic_energy(self.lr, self.momentum, state)

    def look_ahead(self, trajectory: Any) -> FloatArray:
        """Return y_k = x_k + βV_k along a run, the points that torch and Keras store under nesterov=True.

        Parameters
        ----------
        trajectory : Trajectory
            What `iterate` returned for this method.

        Returns
        -------
        array (*batch, time, dim)
        """
        steps = trajectory.time if has_schedules(self) else ()
        momentum = along("momentum", self.momentum, steps)[..., None]
        return np.asarray(trajectory.position + momentum * trajectory.velocity, dtype=np.float64)


def _kinetic_energy(lr: Any, momentum: Any, state: PhaseState) -> Any:
    weighted = momentum * np.sum(state.velocity**2, axis=-1, keepdims=True)
    # At lr = 0 only a ball at rest, or one without momentum, has a finite energy.
    return np.where(weighted == 0, 0.0, weighted / np.where(weighted == 0, 1.0, 2 * lr))
