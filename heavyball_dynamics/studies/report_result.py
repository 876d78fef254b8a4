"""What a report holds, and how it is told: as a table, as text, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._types import BoolArray, FloatArray
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.loci import RootLocus
from heavyball_dynamics.analysis.maps import StabilityMap
from heavyball_dynamics.analysis.modes import Modes, analyze_modes
from heavyball_dynamics.correspondence.physical import Physical
from heavyball_dynamics.studies import _words
from heavyball_dynamics.studies.loss_curves import LossCurves
from heavyball_dynamics.studies.mode_portraits import ModePortrait

TOLERANCE = 1e-6  # the shrinkage that `steps_to_tolerance` counts to


@dataclass(frozen=True)
class Report:
    """A method on a loss, read as a damped oscillator, mode by mode; the stiffest mode comes first.

    Attributes
    ----------
    title : str
        What the loss is.
    method : HeavyBall or Nesterov
        In canonical terms; `settings` are the user's own.
    settings : dict
        ``dialect``, ``lr``, ``momentum``, ``nesterov``, ``dampening``.
    physical : Physical
        Mass, damping and time step under the chosen rule.
    directions : array (dim, mode)
        Eigenvectors of the Hessian in columns.
    coordinates : tuple of str
        Names of the coordinates, for the directions.
    modes, flow_modes : Modes
        Classes under the method (per step) and under the flow (per unit time).
    limit : array (mode,)
        Largest stable lr of each mode; its distance is ``limit / lr``.
    disagreements : tuple of str
        Where the flow and the iteration disagree, in words.
    verdict : str
        The bottleneck and what the best tuning would gain, in one sentence.
    tuned : Method or None
        The optimal method for this spectrum; None where there is none.
    locus, flow_locus : RootLocus
        Over the curvature.
    map : StabilityMap
    portraits : tuple of ModePortrait
        The stiffest and the slowest mode.
    curves : LossCurves
        Loss along the flow, gradient descent, heavy ball and Nesterov with the same hyperparameters.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> report = hb.report(hb.HeavyBall(lr=0.02, momentum=0.9), [1.0, 100.0])
    >>> print(report.verdict)
    The bottleneck is mode 2 (curvature 1): it is underdamped and shrinks by 0.9487 per step, 262 steps to 1e-6; ...
    """

    title: str
    method: Any
    settings: dict[str, Any]
    physical: Physical
    directions: FloatArray
    coordinates: tuple[str, ...]
    modes: Modes
    flow_modes: Modes
    limit: FloatArray
    disagreements: tuple[str, ...]
    verdict: str
    tuned: Any
    locus: RootLocus
    flow_locus: RootLocus
    map: StabilityMap
    portraits: tuple[ModePortrait, ModePortrait]
    curves: LossCurves

    @property
    def curvature(self) -> FloatArray:
        """Curvature of each mode, descending, (mode,)."""
        assert self.modes.curvature is not None  # noqa: S101
        return self.modes.curvature

    @property
    def diverges(self) -> bool:
        """Whether any mode diverges."""
        return bool(np.any(self.modes.damping == DampingClass.DIVERGENT))

    @property
    def flow_rate(self) -> FloatArray:
        """Factor per step of the flow, exp(rate·dt), (mode,)."""
        with np.errstate(over="ignore"):  # down a steep saddle
            return np.asarray(np.exp(self.flow_modes.rate * self.physical.dt))

    def columns(self) -> dict[str, Any]:
        """Return the table: one array or list (mode,) a column."""
        modes = self.modes
        return {
            "curvature": self.curvature,
            "lr_times_curvature": self.method.lr * self.curvature,
            "flow_class": [DampingClass(int(c)).label for c in self.flow_modes.damping],
            "method_class": [DampingClass(int(c)).label for c in modes.damping],
            "damping_ratio": modes.damping_ratio,
            "natural_frequency": modes.natural_frequency,
            "rate": modes.rate,
            "half_life": modes.half_life,
            "steps_to_tolerance": modes.time_to(TOLERANCE),
            "distance_to_limit": self.limit / self.method.lr,
            "flow_damping_ratio": self.flow_modes.damping_ratio,
            "flow_rate": self.flow_rate,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the figures as plain numbers, strings and lists; None stands for what is not finite."""
        optimum = None
        if self.tuned is not None:
            rate = worst_rate(self.tuned, self.curvature)
            optimum = {
                "method": type(self.tuned).__name__, "lr": self.tuned.lr, "momentum": self.tuned.momentum, "rate": rate,
                "steps_to_tolerance": float(np.log(TOLERANCE) / np.log(rate)) if rate > 0 else 0.0,
            }  # fmt: skip
        columns, curves = self.columns(), self.curves
        named = zip(curves.labels, curves.measured, curves.predicted, curves.asymptotic, strict=True)
        result = {
            "title": self.title,
            "method": type(self.method).__name__,
            "lr": self.method.lr,
            "momentum": self.method.momentum,
            "settings": self.settings,
            "physical": {
                "rule": self.physical.rule, "mass": self.physical.mass, "damping": self.physical.damping,
                "dt": self.physical.dt, "order": self.physical.order, "look_ahead": self.physical.look_ahead,
                "hessian_damping": self.physical.hessian_damping,
            },
            "tolerance": TOLERANCE,
            "diverges": self.diverges,
            "verdict": self.verdict,
            "disagreements": list(self.disagreements),
            "modes": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
            "directions": {"coordinates": list(self.coordinates), "vectors": self.directions.T.tolist()},
            "optimum": optimum,
            "loss_per_step": {
                label: {"measured": m, "predicted": p, "asymptotic": a} for label, m, p, a in named
            },
        }  # fmt: skip
        told: dict[str, Any] = plain(result)
        return told

    def summary(self) -> str:
        """Return the report as text: settings, table, disagreements and verdict."""
        return _words.text(self)

    def __str__(self) -> str:
        return self.summary()


def worst_rate(method: Any, bend: FloatArray) -> float:
    """Return the largest factor per step over all modes but flat ones."""
    return float(analyze_modes(method, bend[curved(bend)]).rate.max())


def curved(bend: FloatArray) -> BoolArray:
    """Tell the curvatures that are not zero to rounding."""
    return np.asarray(np.abs(bend) > len(bend) * np.finfo(np.float64).eps * np.abs(bend).max(initial=0.0))


def plain(value: Any) -> Any:
    """Return nested dictionaries and lists of what JSON knows; None stands for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(inner) for inner in value]
    if isinstance(value, (np.bool_, bool)):
        return bool(value)
    if isinstance(value, (np.floating, float)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
