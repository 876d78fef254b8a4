"""SciPy's solvers, made to end with status "failed", and all results so far, where they would raise or never end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import BDF, DOP853, LSODA, RK23, RK45, OdeSolver, Radau

# What the linear algebra of implicit solvers says where the Jacobian is not finite.
_SINGULAR = re.compile("singular|infs or NaNs")
# Steps that a solver may make without the time changing.
_PATIENCE = 100


class _Careful(OdeSolver):
    """Mixin for solvers that meet singularities, and bounds inside their steps.

    With `fresh_jacobian` Radau and BDF take a new Jacobian in every step. They keep one as long as Newton's method
    seems to converge, as it does, to where it started, with a Jacobian that is too large by powers of ten.
    """

    _stalled = 0
    _inside: Any = None

    def __init__(self, *arguments: Any, first_dip: Callable[[Any, float, float], float | None] | None = None,
                 fresh_jacobian: bool = False, **options: Any) -> None:  # fmt: skip
        super().__init__(*arguments, **options)
        self._first_dip, self._fresh_jacobian = first_dip, fresh_jacobian

    def _renew_jacobian(self) -> None:
        """Forget the Jacobian of the last step, where there is one to forget."""

    def dense_output(self) -> Any:
        """Return the curve of the last step, the whole of it where the step was cut short."""
        return super().dense_output() if self._inside is None else self._inside

    def _cut_at_dip(self) -> None:
        """End the step where a bound is met inside it: solve_ivp looks at the ends of steps only."""
        before: Any = self.t_old
        if self._first_dip is None or self.status == "failed" or before is None or before == self.t:
            return
        curve = super().dense_output()
        time = self._first_dip(curve, before, self.t)
        if time is not None:
            self.t, self.y, self.status, self._inside = time, curve(time), "running", curve

    def step(self) -> str | None:
        """Make one step; fail where the state is not finite afterwards, or the time has stood still for long."""
        before: Any = self.t
        try:
            if self._fresh_jacobian and self.status == "running":
                self._renew_jacobian()
            message = super().step()
        except (RuntimeError, ValueError) as error:
            if not _SINGULAR.search(str(error)):
                raise
            self.status, message = "failed", str(error)
        self._stalled = self._stalled + 1 if self.t == before else 0
        if self._stalled == _PATIENCE or not np.isfinite(self.y).all():
            # LSODA goes on so at a singularity.
            self.status, message = "failed", "The solver does not get on."
        self._cut_at_dip()
        return message


class _RK23(_Careful, RK23):
    pass


class _RK45(_Careful, RK45):
    pass


class _DOP853(_Careful, DOP853):
    pass


class _Radau(_Careful, Radau):
    def _renew_jacobian(self) -> None:
        jac: Any = getattr(self, "jac", None)
        if jac is not None:
            self.J, self.current_jac = jac(self.t, self.y, self.f), True
            self.LU_real, self.LU_complex = None, None  # type: ignore[assignment]


class _BDF(_Careful, BDF):
    def _renew_jacobian(self) -> None:
        jac: Any = getattr(self, "jac", None)
        if jac is not None:
            self.J, self.LU = jac(self.t, self.y), None


class _LSODA(_Careful, LSODA):
    pass


SOLVERS: dict[str, type[OdeSolver]] = {
    "RK23": _RK23, "RK45": _RK45, "DOP853": _DOP853, "Radau": _Radau, "BDF": _BDF, "LSODA": _LSODA,
}  # fmt: skip
