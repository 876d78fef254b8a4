"""What can be known without running: linear systems, modes, loci, tuning, polynomials, modified equations."""

from heavyball_dynamics.analysis.bias_variances import BiasVariance, bias_variance
from heavyball_dynamics.analysis.certificates import Certificate, certify
from heavyball_dynamics.analysis.cycles import Cycle, find_cycle
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.delayed_loci import delayed_locus
from heavyball_dynamics.analysis.delays import DelayLimits, DelayMargin, delay_limits, largest_delay
from heavyball_dynamics.analysis.expected_losses import ExpectedLoss, expected_loss
from heavyball_dynamics.analysis.frequency_responses import FrequencyResponse, dialect_response, frequency_response
from heavyball_dynamics.analysis.frozen import FrozenModes, frozen_modes
from heavyball_dynamics.analysis.impulse_responses import ImpulseResponse, impulse_response
from heavyball_dynamics.analysis.limit_cycles import LimitCycles, describing_function, predict_cycles
from heavyball_dynamics.analysis.linear import StateMatrices, closed_loop, linearize, state_matrices
from heavyball_dynamics.analysis.loci import RootLocus, root_locus
from heavyball_dynamics.analysis.maps import StabilityMap, stability_map
from heavyball_dynamics.analysis.modes import Modes, analyze_modes, classify_poles
from heavyball_dynamics.analysis.modified import modified_flow
from heavyball_dynamics.analysis.modified_results import ModifiedEquation, ModifiedFlow
from heavyball_dynamics.analysis.noise_amplifications import noise_amplification
from heavyball_dynamics.analysis.nyquist_curves import NyquistCurve, nyquist
from heavyball_dynamics.analysis.pole_maps import PoleMap, pole_map
from heavyball_dynamics.analysis.poles_by_delay import DelayPoles, delay_poles
from heavyball_dynamics.analysis.polygon_cycles import PolygonCycle, polygon_cycle
from heavyball_dynamics.analysis.robustness_cards import Robustness, robustness
from heavyball_dynamics.analysis.sectors import CircleCriterion, circle_criterion
from heavyball_dynamics.analysis.stability_regions import StabilityRegion, stability_region
from heavyball_dynamics.analysis.stationary import cross_covariance, stationary_covariance
from heavyball_dynamics.analysis.symbolic import characteristic_polynomial, stability_conditions
from heavyball_dynamics.analysis.time_responses import TimeResponse, signal_system, time_response
from heavyball_dynamics.analysis.tradeoffs import RateNoiseTradeoff, rate_noise_tradeoff
from heavyball_dynamics.analysis.tuning import stability_limit, tune
from heavyball_dynamics.analysis.worst_rates import worst_rate

__all__ = [
    "BiasVariance", "Certificate", "CircleCriterion", "Cycle", "DampingClass", "DelayLimits", "DelayMargin",
    "DelayPoles", "ExpectedLoss", "FrequencyResponse", "FrozenModes", "ImpulseResponse", "LimitCycles", "Modes",
    "ModifiedEquation", "ModifiedFlow", "NyquistCurve", "PoleMap", "PolygonCycle", "RateNoiseTradeoff", "Robustness",
    "RootLocus", "StabilityMap", "StabilityRegion", "StateMatrices", "TimeResponse", "analyze_modes", "bias_variance",
    "certify", "characteristic_polynomial", "circle_criterion", "classify_poles", "closed_loop", "cross_covariance",
    "delay_limits", "delay_poles", "delayed_locus", "describing_function", "dialect_response", "expected_loss",
    "find_cycle", "frequency_response", "frozen_modes", "impulse_response", "largest_delay", "linearize",
    "modified_flow", "noise_amplification", "nyquist", "pole_map", "polygon_cycle", "predict_cycles",
    "rate_noise_tradeoff", "robustness", "root_locus", "signal_system", "stability_conditions", "stability_limit",
    "stability_map", "stability_region", "state_matrices", "stationary_covariance", "time_response", "tune",
    "worst_rate",
]  # fmt: skip
