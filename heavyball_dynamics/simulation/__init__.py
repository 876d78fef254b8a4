"""Runs: flows through solve_ivp, methods step by step, whole batches at once."""

from heavyball_dynamics.simulation.flow_sampling import sample_flow
from heavyball_dynamics.simulation.integration import integrate
from heavyball_dynamics.simulation.iteration import iterate
from heavyball_dynamics.simulation.trajectory import Status, Trajectory

__all__ = ["Status", "Trajectory", "integrate", "iterate", "sample_flow"]
