"""Pictures of results: every function takes a result and ``ax=None``, and returns the Axes. Nothing is shown."""

from heavyball_dynamics.figures.audit import plot_audit
from heavyball_dynamics.figures.bias_variance import plot_bias_variance
from heavyball_dynamics.figures.bifurcation import plot_bifurcation
from heavyball_dynamics.figures.bode import plot_bode
from heavyball_dynamics.figures.certified_map import plot_certified_map
from heavyball_dynamics.figures.coloring_front import plot_coloring_front
from heavyball_dynamics.figures.comparison import plot_comparison, plot_work_precision
from heavyball_dynamics.figures.covariance_ellipses import plot_covariance
from heavyball_dynamics.figures.delay import plot_delay_limits
from heavyball_dynamics.figures.dispatch import plot
from heavyball_dynamics.figures.frozen import plot_frozen_modes
from heavyball_dynamics.figures.impulse_response import plot_impulse_response
from heavyball_dynamics.figures.loss import plot_loss
from heavyball_dynamics.figures.mode_portraits import plot_mode_portrait
from heavyball_dynamics.figures.noise import plot_expected_loss
from heavyball_dynamics.figures.nyquist import plot_nyquist
from heavyball_dynamics.figures.page import render_page, write_report
from heavyball_dynamics.figures.pole_map import plot_pole_map
from heavyball_dynamics.figures.poles_by_delay import plot_delay_poles
from heavyball_dynamics.figures.portrait import plot_phase_portrait
from heavyball_dynamics.figures.preconditioner import plot_frozen_preconditioner
from heavyball_dynamics.figures.race import plot_race, plot_race_losses, plot_race_paths
from heavyball_dynamics.figures.report_figures import draw_report
from heavyball_dynamics.figures.robustness_card import plot_robustness
from heavyball_dynamics.figures.root_locus import plot_modes, plot_root_locus
from heavyball_dynamics.figures.saddle_crossing import plot_saddle_crossing
from heavyball_dynamics.figures.scheme_paths import plot_energy_decay, plot_scheme_paths
from heavyball_dynamics.figures.stability_map import plot_stability_map
from heavyball_dynamics.figures.stability_region import plot_stability_region
from heavyball_dynamics.figures.style import class_colour, class_legend, class_marker, save
from heavyball_dynamics.figures.terminal_speed import plot_terminal_velocity
from heavyball_dynamics.figures.tradeoff import plot_tradeoff
from heavyball_dynamics.figures.trajectory import plot_contours, plot_trajectory

__all__ = [
    "class_colour", "class_legend", "class_marker", "draw_report", "plot", "plot_audit", "plot_bias_variance",
    "plot_bifurcation", "plot_bode", "plot_certified_map", "plot_coloring_front", "plot_comparison", "plot_contours",
    "plot_covariance", "plot_delay_limits", "plot_delay_poles", "plot_energy_decay", "plot_expected_loss",
    "plot_frozen_modes", "plot_frozen_preconditioner", "plot_impulse_response", "plot_loss", "plot_mode_portrait",
    "plot_modes", "plot_nyquist", "plot_phase_portrait", "plot_pole_map", "plot_race", "plot_race_losses",
    "plot_race_paths", "plot_robustness", "plot_root_locus", "plot_saddle_crossing", "plot_scheme_paths",
    "plot_stability_map", "plot_stability_region", "plot_terminal_velocity", "plot_tradeoff", "plot_trajectory",
    "plot_work_precision", "render_page", "save", "write_report",
]  # fmt: skip
