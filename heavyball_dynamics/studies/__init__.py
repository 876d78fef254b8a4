"""Questions that take simulation and analysis together: reports, loss curves, phase portraits."""

from heavyball_dynamics.studies.contours import Contours, contours
from heavyball_dynamics.studies.loss_curves import LossCurves, loss_curves
from heavyball_dynamics.studies.mode_portraits import ModePortrait, mode_portrait
from heavyball_dynamics.studies.mode_report import report
from heavyball_dynamics.studies.portrait import PhasePortrait, phase_portrait
from heavyball_dynamics.studies.report_result import Report

__all__ = [
    "Contours", "LossCurves", "ModePortrait", "PhasePortrait", "Report", "contours", "loss_curves", "mode_portrait",
    "phase_portrait", "report",
]  # fmt: skip
