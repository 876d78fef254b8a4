"""Momentum optimization as a damped oscillator.

The dynamics of m x'' + γ x' + ∇f(x) = 0 and of the methods that discretize it: simulate them, linearize them, classify
every mode of a loss, and draw what happens. Names are loaded on first use, so that ``import heavyball_dynamics`` is
cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Where each public name lives; the module is imported when the name is first asked for.
_HOME = {
    "_implicit": ["proximal_step"],
    "_namespace": ["namespace"],
    "_protocols": ["Flow", "Method"],
    "_schedule": ["AcceleratedMomentum", "GrowingMomentum", "Schedule", "at_step"],
    "objectives": [
        "LANDSCAPES", "GraphColoring", "IndependentMinibatch", "LeastSquares", "LessardCounterexample", "LinearNetwork",
        "LogisticRegression", "Minibatch", "MinibatchSample", "NoisyGradient", "NoisyGradientSample", "Objective",
        "PathColoring", "PolygonWell", "Quadratic", "SaddleChain", "Thermostat", "ThermostatSample", "TiltedWashboard",
        "beale", "canyon", "double_well", "from_sympy", "himmelblau", "nesterov_worst", "rosenbrock", "saddle",
        "styblinski_tang",
    ],
    "algorithms": [
        "AMSGradState", "AdaDelta", "AdaDeltaFlow", "AdaDeltaState", "AdaGrad", "AdaGradFlow", "AdaGradState", "Adam",
        "AdamFlow", "AdamState", "AdamW", "AdamWFlow", "AggregatedMomentum", "AggregatedState", "AverageState",
        "BufferState", "CenteredRMSPropState", "ControllerState", "DampenedHeavyBall", "Delayed", "DelayedState",
        "DescentState", "FrictionMethod", "GradientDescent", "GradientFlow", "HeavyBall", "HeavyBallFlow",
        "HighResolutionFlow", "LangevinBAOAB", "LangevinFlow", "LookAheadNesterov", "NAdam", "NAdamState", "Nesterov",
        "NesterovFlow", "OptimizedGradient", "PIDMomentum", "PhaseState", "PositionState", "PowerFriction",
        "QuasiHyperbolicMomentum", "RMSProp", "RMSPropFlow", "RMSPropState", "RestartState", "RestartedFlowState",
        "RestartedNesterov", "RestartedNesterovFlow", "RobustMomentum", "SignFlow", "SquareAverageState",
        "TripleMomentum", "implicit_momentum",
    ],
    "correspondence": [
        "C2D_SCHEMES", "DIALECTS", "FLOW_LIMITS", "RULES", "SCHEMES", "FlowLimit", "Physical", "discretize",
        "flow_limits_table", "from_buffer", "from_dialect", "from_torch", "to_buffer", "to_dialect", "to_physical",
    ],
    "simulation": ["Status", "Trajectory", "integrate", "iterate", "sample_flow"],
    "analysis": [
        "BiasVariance", "Certificate", "CircleCriterion", "Cycle", "DampingClass", "DelayLimits", "DelayMargin",
        "DelayPoles", "ExpectedLoss", "FrequencyResponse", "FrozenModes", "ImpulseResponse", "LimitCycles", "Modes",
        "ModifiedEquation", "ModifiedFlow", "NyquistCurve", "PoleMap", "PolygonCycle", "RateNoiseTradeoff",
        "Robustness", "RootLocus", "StabilityMap", "StabilityRegion", "StateMatrices", "TimeResponse", "analyze_modes",
        "bias_variance", "certify", "characteristic_polynomial", "circle_criterion", "classify_poles", "closed_loop",
        "cross_covariance", "delay_limits", "delay_poles", "delayed_locus", "describing_function", "dialect_response",
        "expected_loss", "find_cycle", "frequency_response", "frozen_modes", "impulse_response", "largest_delay",
        "linearize", "modified_flow", "noise_amplification", "nyquist", "pole_map", "polygon_cycle", "predict_cycles",
        "rate_noise_tradeoff", "robustness", "root_locus", "signal_system", "stability_conditions", "stability_limit",
        "stability_map", "stability_region", "state_matrices", "stationary_covariance", "time_response", "tune",
        "worst_rate",
    ],
    "studies": [
        "Audit", "Bifurcation", "CertifiedMap", "Change", "Comparison", "Contours", "FlowApproach",
        "FrozenPreconditioner", "LossCurves", "ModePortrait", "NoiseFloor", "PhasePortrait", "Race", "RateFit",
        "Report", "SaddleCrossings", "TerminalVelocity", "approach_flow", "arrival", "audit", "bifurcation_diagram",
        "certified_map", "compare", "contours", "direction_coherence", "first_below", "fit_rate",
        "frozen_preconditioner", "loss_curves", "mode_portrait", "noise_floor", "peak_growth", "phase_portrait", "race",
        "report", "saddles_crossed", "steps_to_share", "terminal_velocity",
    ],
}  # fmt: skip
_ORIGIN = {name: module for module, names in _HOME.items() for name in names}
_ROOMS = ["algorithms", "analysis", "correspondence", "figures", "objectives", "simulation", "studies"]

__all__ = [*sorted(_ORIGIN), "figures"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _ORIGIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ORIGIN[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
