"""Rules and schemes as a user would write them, for the tests of several rooms."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

import heavyball_dynamics as hb


class Two(NamedTuple):
    position: Any
    average: Any


class Three(NamedTuple):
    position: Any
    fast: Any
    slow: Any


@dataclass(frozen=True)
class Averaged:
    """Momentum as an average of gradients, which lags one step."""

    lr: Any
    keep: Any

    def init(self, position, velocity, objective):
        return Two(position, -velocity / self.lr)

    def step(self, k, state, objective):
        average = self.keep * state.average + (1 - self.keep) * objective.gradient(state.position)
        return Two(state.position - self.lr * average, average)


@dataclass(frozen=True)
class TwoMomenta:
    """Two velocities, averaged: AggMo (Lucas, Sun, Zemel, Grosse, ICLR 2019)."""

    lr: Any
    quick: Any
    long: Any

    def init(self, position, velocity, objective):
        return Three(position, velocity, velocity)

    def step(self, k, state, objective):
        push = self.lr * objective.gradient(state.position)
        fast, slow = self.quick * state.fast - push, self.long * state.slow - push
        return Three(state.position + 0.5 * (fast + slow), fast, slow)


@dataclass(frozen=True)
class Maxwell:
    """A ball held back by a dashpot through a spring: x' = v, m v' = -∇f - p, p' = stiffness·v - p/delay."""

    mass: Any
    stiffness: Any
    delay: Any

    def init(self, position, velocity, objective):
        return Three(position, velocity, 0 * position)

    def vector_field(self, t, state, objective):
        force = -objective.gradient(state.position) - state.slow
        return Three(state.fast, force / self.mass, self.stiffness * state.fast - state.slow / self.delay)


@dataclass(frozen=True)
class Extragradient:
    """Two gradients a step."""

    lr: Any
    momentum: Any

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        half = state.position - self.lr * objective.gradient(state.position)
        velocity = self.momentum * state.velocity - self.lr * objective.gradient(half)
        return hb.PhaseState(state.position + velocity, velocity)


@dataclass(frozen=True)
class Clipped:
    """A scheme, semi-implicit Euler with the gradient clipped to norm 3: not linear, so without poles."""

    flow: Any
    dt: Any
    order: ClassVar[float] = 1

    def init(self, position, velocity, objective):
        return hb.PhaseState(position, velocity)

    def step(self, k, state, objective):
        gradient = objective.gradient(state.position)
        size = np.sqrt(np.sum(gradient**2, axis=-1, keepdims=True))
        force = -gradient / np.maximum(1.0, size / 3.0) - self.flow.damping * state.velocity
        velocity = state.velocity + self.dt / self.flow.mass * force
        return hb.PhaseState(state.position + self.dt * velocity, velocity)


class Lagged(NamedTuple):
    position: Any
    velocity: Any
    force: Any


@dataclass(frozen=True)
class LaggedFlow:
    """A ball whose force follows the gradient with a lag: x'' = p - damping x', lag p' = -∇f - p.

    On the boundary of stability at λ = γ(1+τγ)/τ with ω² = γ/τ.
    """

    damping: Any
    lag: Any

    def init(self, position, velocity, objective):
        return Lagged(position, velocity, -objective.gradient(position))

    def vector_field(self, t, state, objective):
        force = (-objective.gradient(state.position) - state.force) / self.lag
        return Lagged(state.velocity, state.force - self.damping * state.velocity, force)
