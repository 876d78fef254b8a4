"""What is minimised: losses that know no algorithm. All of them are batched over every axis but the last."""

from heavyball_dynamics.objectives.base import Eigenmodes, ObjectiveBase
from heavyball_dynamics.objectives.callables import Objective
from heavyball_dynamics.objectives.data_fits import LeastSquares, LogisticRegression
from heavyball_dynamics.objectives.landscapes import LANDSCAPES, beale, canyon, double_well, rosenbrock, saddle
from heavyball_dynamics.objectives.quadratic import Quadratic
from heavyball_dynamics.objectives.symbolic import SymbolicObjective, from_sympy

__all__ = [
    "LANDSCAPES", "Eigenmodes", "LeastSquares", "LogisticRegression", "Objective", "ObjectiveBase", "Quadratic",
    "SymbolicObjective", "beale", "canyon", "double_well", "from_sympy", "rosenbrock", "saddle",
]  # fmt: skip
