"""Questions that take simulation and analysis together: reports, loss curves, phase portraits."""

from heavyball_dynamics.studies.bifurcations import Bifurcation, Change, bifurcation_diagram
from heavyball_dynamics.studies.certified_maps import CertifiedMap, certified_map
from heavyball_dynamics.studies.comparison import Comparison
from heavyball_dynamics.studies.contours import Contours, contours
from heavyball_dynamics.studies.flow_limits import FlowApproach, approach_flow
from heavyball_dynamics.studies.frozen_preconditioners import FrozenPreconditioner, frozen_preconditioner
from heavyball_dynamics.studies.loss_curves import LossCurves, loss_curves
from heavyball_dynamics.studies.measurements import arrival, direction_coherence, first_below, peak_growth
from heavyball_dynamics.studies.mode_portraits import ModePortrait, mode_portrait
from heavyball_dynamics.studies.mode_report import report
from heavyball_dynamics.studies.noise_floors import NoiseFloor, noise_floor
from heavyball_dynamics.studies.portrait import PhasePortrait, phase_portrait
from heavyball_dynamics.studies.races import Race, race
from heavyball_dynamics.studies.rate_fits import RateFit, fit_rate
from heavyball_dynamics.studies.report_result import Report
from heavyball_dynamics.studies.saddle_crossings import SaddleCrossings, saddles_crossed
from heavyball_dynamics.studies.scheme_comparison import compare
from heavyball_dynamics.studies.structure_audit import Audit, audit
from heavyball_dynamics.studies.terminal_speed import TerminalVelocity, steps_to_share, terminal_velocity

__all__ = [
    "Audit", "Bifurcation", "CertifiedMap", "Change", "Comparison", "Contours", "FlowApproach", "FrozenPreconditioner",
    "LossCurves", "ModePortrait", "NoiseFloor", "PhasePortrait", "Race", "RateFit", "Report", "SaddleCrossings",
    "TerminalVelocity", "approach_flow", "arrival", "audit", "bifurcation_diagram", "certified_map", "compare",
    "contours", "direction_coherence", "first_below", "fit_rate", "frozen_preconditioner", "loss_curves",
    "mode_portrait", "noise_floor", "peak_growth", "phase_portrait", "race", "report", "saddles_crossed",
    "steps_to_share", "terminal_velocity",
]  # fmt: skip
