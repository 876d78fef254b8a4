"""The figure that belongs to a result."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from heavyball_dynamics.analysis.bias_variances import BiasVariance
from heavyball_dynamics.analysis.delays import DelayLimits
from heavyball_dynamics.analysis.expected_losses import ExpectedLoss
from heavyball_dynamics.analysis.frequency_responses import FrequencyResponse
from heavyball_dynamics.analysis.frozen import FrozenModes
from heavyball_dynamics.analysis.impulse_responses import ImpulseResponse
from heavyball_dynamics.analysis.loci import RootLocus
from heavyball_dynamics.analysis.maps import StabilityMap
from heavyball_dynamics.analysis.modes import Modes
from heavyball_dynamics.analysis.nyquist_curves import NyquistCurve
from heavyball_dynamics.analysis.pole_maps import PoleMap
from heavyball_dynamics.analysis.poles_by_delay import DelayPoles
from heavyball_dynamics.analysis.robustness_cards import Robustness
from heavyball_dynamics.analysis.stability_regions import StabilityRegion
from heavyball_dynamics.analysis.tradeoffs import RateNoiseTradeoff
from heavyball_dynamics.figures.audit import plot_audit
from heavyball_dynamics.figures.bias_variance import plot_bias_variance
from heavyball_dynamics.figures.bifurcation import plot_bifurcation
from heavyball_dynamics.figures.bode import plot_bode
from heavyball_dynamics.figures.certified_map import plot_certified_map
from heavyball_dynamics.figures.comparison import plot_comparison
from heavyball_dynamics.figures.delay import plot_delay_limits
from heavyball_dynamics.figures.frozen import plot_frozen_modes
from heavyball_dynamics.figures.impulse_response import plot_impulse_response
from heavyball_dynamics.figures.loss import plot_loss
from heavyball_dynamics.figures.mode_portraits import plot_mode_portrait
from heavyball_dynamics.figures.noise import plot_expected_loss
from heavyball_dynamics.figures.nyquist import plot_nyquist
from heavyball_dynamics.figures.pole_map import plot_pole_map
from heavyball_dynamics.figures.poles_by_delay import plot_delay_poles
from heavyball_dynamics.figures.portrait import plot_phase_portrait
from heavyball_dynamics.figures.preconditioner import plot_frozen_preconditioner
from heavyball_dynamics.figures.race import plot_race
from heavyball_dynamics.figures.robustness_card import plot_robustness
from heavyball_dynamics.figures.root_locus import plot_modes, plot_root_locus
from heavyball_dynamics.figures.saddle_crossing import plot_saddle_crossing
from heavyball_dynamics.figures.stability_map import plot_stability_map
from heavyball_dynamics.figures.stability_region import plot_stability_region
from heavyball_dynamics.figures.terminal_speed import plot_terminal_velocity
from heavyball_dynamics.figures.tradeoff import plot_tradeoff
from heavyball_dynamics.figures.trajectory import plot_contours, plot_trajectory
from heavyball_dynamics.simulation.trajectory import Trajectory
from heavyball_dynamics.studies.bifurcations import Bifurcation
from heavyball_dynamics.studies.certified_maps import CertifiedMap
from heavyball_dynamics.studies.comparison import Comparison
from heavyball_dynamics.studies.contours import Contours
from heavyball_dynamics.studies.frozen_preconditioners import FrozenPreconditioner
from heavyball_dynamics.studies.loss_curves import LossCurves
from heavyball_dynamics.studies.mode_portraits import ModePortrait
from heavyball_dynamics.studies.portrait import PhasePortrait
from heavyball_dynamics.studies.races import Race
from heavyball_dynamics.studies.saddle_crossings import SaddleCrossings
from heavyball_dynamics.studies.structure_audit import Audit
from heavyball_dynamics.studies.terminal_speed import TerminalVelocity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@singledispatch
def plot(result: Any, ax: Axes | None = None, **keywords: Any) -> Axes:  # noqa: ARG001
    """Draw a result with the function that belongs to its type.

    Parameters
    ----------
    result : Modes, RootLocus, Trajectory, Comparison, or any other result that has a figure
        What to draw; ``result.plot()`` does the same.
    ax : Axes, optional
        Where to draw; a new figure by default.
    **keywords
        Those of the function.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        If there is no figure for results of that type. ``plot.register`` adds one.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.figures.plot(hb.root_locus(hb.HeavyBall(lr=1.0, momentum=0.5))).get_ylabel()
    'Im $z$'
    """
    known = ", ".join(sorted(kind.__name__ for kind in plot.registry if kind is not object))
    raise TypeError(f"`result` must be one of {known}. Received {type(result).__name__}.")


_FIGURES: dict[type[Any], Any] = {
    Audit: plot_audit,
    BiasVariance: plot_bias_variance,
    Bifurcation: plot_bifurcation,
    CertifiedMap: plot_certified_map,
    Comparison: plot_comparison,
    Contours: plot_contours,
    DelayLimits: plot_delay_limits,
    DelayPoles: plot_delay_poles,
    ExpectedLoss: plot_expected_loss,
    FrequencyResponse: plot_bode,
    FrozenModes: plot_frozen_modes,
    FrozenPreconditioner: plot_frozen_preconditioner,
    ImpulseResponse: plot_impulse_response,
    LossCurves: plot_loss,
    ModePortrait: plot_mode_portrait,
    Modes: plot_modes,
    NyquistCurve: plot_nyquist,
    PhasePortrait: plot_phase_portrait,
    PoleMap: plot_pole_map,
    Race: plot_race,
    RateNoiseTradeoff: plot_tradeoff,
    Robustness: plot_robustness,
    RootLocus: plot_root_locus,
    SaddleCrossings: plot_saddle_crossing,
    StabilityMap: plot_stability_map,
    StabilityRegion: plot_stability_region,
    TerminalVelocity: plot_terminal_velocity,
    Trajectory: plot_trajectory,
}


def _taking_axes(function: Any) -> Any:
    def draw(result: Any, ax: Axes | None = None, **keywords: Any) -> Axes:
        axes: Axes = function(result, ax=ax, **keywords)
        return axes

    return draw


for _kind, _function in _FIGURES.items():
    plot.register(_kind, _taking_axes(_function))
