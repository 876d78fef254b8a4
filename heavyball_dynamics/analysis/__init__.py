"""What can be known without running: linear systems, modes, loci, tuning."""

from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.linear import StateMatrices, closed_loop, linearize, state_matrices
from heavyball_dynamics.analysis.loci import RootLocus, root_locus
from heavyball_dynamics.analysis.maps import StabilityMap, stability_map
from heavyball_dynamics.analysis.modes import Modes, analyze_modes, classify_poles
from heavyball_dynamics.analysis.tuning import stability_limit, tune

__all__ = [
    "DampingClass", "Modes", "RootLocus", "StabilityMap", "StateMatrices", "analyze_modes", "classify_poles",
    "closed_loop", "linearize", "root_locus", "stability_limit", "stability_map", "state_matrices", "tune",
]  # fmt: skip
