"""SciPy's solvers, made to end with status "failed", and all results so far, where they would raise or never end."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from scipy.integrate import BDF, DOP853, LSODA, RK23, RK45, OdeSolver, Radau

# What the linear algebra of implicit solvers says where the Jacobian is not finite.
_SINGULAR = re.compile("singular|infs or NaNs")
# Steps that a solver may make without the time changing.
_PATIENCE = 100


class _Careful(OdeSolver):
    """Mixin for solvers that meet singularities."""

    _stalled = 0

    def step(self) -> str | None:
        """Make one step; fail where the state is not finite afterwards, or the time has stood still for long."""
        before: Any = self.t
        try:
            message = super().step()
        except (RuntimeError, ValueError) as error:
            if not _SINGULAR.search(str(error)):
                raise
            self.status, message = "failed", str(error)
        self._stalled = self._stalled + 1 if self.t == before else 0
        if self._stalled == _PATIENCE or not np.isfinite(self.y).all():
            # LSODA goes on so at a singularity.
            self.status, message = "failed", "The solver does not get on."
        return message


class _RK23(_Careful, RK23):
    pass


class _RK45(_Careful, RK45):
    pass


class _DOP853(_Careful, DOP853):
    pass


class _Radau(_Careful, Radau):
    pass


class _BDF(_Careful, BDF):
    pass


class _LSODA(_Careful, LSODA):
    pass


SOLVERS: dict[str, type[OdeSolver]] = {
    "RK23": _RK23, "RK45": _RK45, "DOP853": _DOP853, "Radau": _Radau, "BDF": _BDF, "LSODA": _LSODA,
}  # fmt: skip
