"""What is minimised: losses that know no algorithm. All of them are batched over every axis but the last."""

from heavyball_dynamics.objectives.base import Eigenmodes, ObjectiveBase
from heavyball_dynamics.objectives.callables import Objective
from heavyball_dynamics.objectives.chains import SaddleChain, TiltedWashboard
from heavyball_dynamics.objectives.counterexamples import LessardCounterexample, nesterov_worst
from heavyball_dynamics.objectives.data_fits import LeastSquares, LogisticRegression
from heavyball_dynamics.objectives.graphs import GraphColoring, PathColoring
from heavyball_dynamics.objectives.landscapes import (
    LANDSCAPES,
    beale,
    canyon,
    double_well,
    himmelblau,
    rosenbrock,
    saddle,
    styblinski_tang,
)
from heavyball_dynamics.objectives.minibatch import Minibatch
from heavyball_dynamics.objectives.minibatch_sample import MinibatchSample
from heavyball_dynamics.objectives.networks import LinearNetwork
from heavyball_dynamics.objectives.noisy import IndependentMinibatch, NoisyGradient, NoisyGradientSample
from heavyball_dynamics.objectives.polygon_well import PolygonWell
from heavyball_dynamics.objectives.quadratic import Quadratic
from heavyball_dynamics.objectives.symbolic import SymbolicObjective, from_sympy
from heavyball_dynamics.objectives.thermostat import Thermostat, ThermostatSample

__all__ = [
    "LANDSCAPES", "Eigenmodes", "GraphColoring", "IndependentMinibatch", "LeastSquares", "LessardCounterexample",
    "LinearNetwork", "LogisticRegression", "Minibatch", "MinibatchSample", "NoisyGradient", "NoisyGradientSample",
    "Objective", "ObjectiveBase", "PathColoring", "PolygonWell", "Quadratic", "SaddleChain", "SymbolicObjective",
    "Thermostat", "ThermostatSample", "TiltedWashboard", "beale", "canyon", "double_well", "from_sympy", "himmelblau",
    "nesterov_worst", "rosenbrock", "saddle", "styblinski_tang",
]  # fmt: skip
