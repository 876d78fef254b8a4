"""What minimises: flows in continuous time, methods in discrete time. None of them knows a loss."""

from heavyball_dynamics.algorithms.adam import Adam, AdamW, NAdam
from heavyball_dynamics.algorithms.adam_flows import AdamFlow, AdamWFlow, SignFlow
from heavyball_dynamics.algorithms.adaptive import AdaDelta, AdaGrad, RMSProp
from heavyball_dynamics.algorithms.adaptive_flows import AdaDeltaFlow, AdaGradFlow, RMSPropFlow, SquareAverageState
from heavyball_dynamics.algorithms.adaptive_states import (
    AdaDeltaState,
    AdaGradState,
    AdamState,
    AMSGradState,
    CenteredRMSPropState,
    NAdamState,
    RMSPropState,
)
from heavyball_dynamics.algorithms.aggregated import AggregatedMomentum, AggregatedState
from heavyball_dynamics.algorithms.dampened import DampenedHeavyBall
from heavyball_dynamics.algorithms.delayed import Delayed, DelayedState, implicit_momentum
from heavyball_dynamics.algorithms.flows import GradientFlow, HeavyBallFlow
from heavyball_dynamics.algorithms.friction import PowerFriction
from heavyball_dynamics.algorithms.friction_method import FrictionMethod
from heavyball_dynamics.algorithms.high_resolution import HighResolutionFlow
from heavyball_dynamics.algorithms.langevin import LangevinBAOAB, LangevinFlow
from heavyball_dynamics.algorithms.look_ahead import BufferState, LookAheadNesterov
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.algorithms.nesterov_flow import NesterovFlow
from heavyball_dynamics.algorithms.optimized_gradient import DescentState, OptimizedGradient
from heavyball_dynamics.algorithms.quasi_hyperbolic import (
    AverageState,
    ControllerState,
    PIDMomentum,
    QuasiHyperbolicMomentum,
)
from heavyball_dynamics.algorithms.restarted_flow import RestartedFlowState, RestartedNesterovFlow
from heavyball_dynamics.algorithms.restarts import RestartedNesterov, RestartState
from heavyball_dynamics.algorithms.robust_momentum import RobustMomentum
from heavyball_dynamics.algorithms.states import PhaseState, PositionState
from heavyball_dynamics.algorithms.triple_momentum import TripleMomentum

__all__ = [
    "AMSGradState", "AdaDelta", "AdaDeltaFlow", "AdaDeltaState", "AdaGrad", "AdaGradFlow", "AdaGradState", "Adam",
    "AdamFlow", "AdamState", "AdamW", "AdamWFlow", "AggregatedMomentum", "AggregatedState", "AverageState",
    "BufferState", "CenteredRMSPropState", "ControllerState", "DampenedHeavyBall", "Delayed", "DelayedState",
    "DescentState", "FrictionMethod", "GradientDescent", "GradientFlow", "HeavyBall", "HeavyBallFlow",
    "HighResolutionFlow", "LangevinBAOAB", "LangevinFlow", "LookAheadNesterov", "NAdam", "NAdamState", "Nesterov",
    "NesterovFlow", "OptimizedGradient", "PIDMomentum", "PhaseState", "PositionState", "PowerFriction",
    "QuasiHyperbolicMomentum", "RMSProp", "RMSPropFlow", "RMSPropState", "RestartState", "RestartedFlowState",
    "RestartedNesterov", "RestartedNesterovFlow", "RobustMomentum", "SignFlow", "SquareAverageState", "TripleMomentum",
    "implicit_momentum",
]  # fmt: skip
