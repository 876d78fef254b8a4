"""From one time to the other: spellings of (lr, momentum), and the mass, damping and time step behind them."""

from heavyball_dynamics.correspondence.buffers import from_buffer, to_buffer
from heavyball_dynamics.correspondence.dialects import DIALECTS, from_dialect, to_dialect
from heavyball_dynamics.correspondence.flow_limits import FLOW_LIMITS, FlowLimit, flow_limits_table
from heavyball_dynamics.correspondence.modal import C2D_SCHEMES
from heavyball_dynamics.correspondence.physical import Physical
from heavyball_dynamics.correspondence.reading import to_physical
from heavyball_dynamics.correspondence.rules import RULES
from heavyball_dynamics.correspondence.schemes import SCHEMES, discretize
from heavyball_dynamics.correspondence.torch_optimizer import from_torch

__all__ = [
    "C2D_SCHEMES", "DIALECTS", "FLOW_LIMITS", "RULES", "SCHEMES", "FlowLimit", "Physical", "discretize",
    "flow_limits_table", "from_buffer", "from_dialect", "from_torch", "to_buffer", "to_dialect", "to_physical",
]  # fmt: skip
