"""The six figures of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.figures.loss import plot_loss
from heavyball_dynamics.figures.mode_portraits import plot_mode_portrait
from heavyball_dynamics.figures.root_locus import plot_root_locus
from heavyball_dynamics.figures.stability_map import plot_stability_map
from heavyball_dynamics.studies.report_result import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTIONS = {
    "root_locus_z": "Poles of the iteration in the z-plane as the curvature grows from 0; each mode of this loss is "
    "marked. Inside the unit circle a mode decays, on the negative axis it alternates.",
    "root_locus_s": "Poles of the flow in the s-plane as the curvature grows from 0, with the modes of this loss.",
    "damping_map": "The class of every setting: learning rate times curvature against momentum. The modes of this loss "
    "lie on one horizontal line; a larger learning rate shifts them to the right.",
    "phase_stiffest": "The stiffest mode in its phase plane: orbits of the flow, and the iterates from position 1.",
    "phase_slowest": "The slowest mode in its phase plane: orbits of the flow, and the iterates from position 1.",
    "loss": "Loss above the minimum along the damped ODE and along three methods with the same hyperparameters. "
    "Dashed: predicted from the poles.",
}


def draw_report(report: Report) -> dict[str, Figure]:
    """Return the figures of a report by name.

    Parameters
    ----------
    report : Report
        What `hb.report` returned.

    Returns
    -------
    dict of str to Figure
        ``root_locus_z``, ``root_locus_s``, ``damping_map``, ``phase_stiffest``, ``phase_slowest`` and ``loss``; they
        are not registered with pyplot, so nothing needs to be closed.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> sorted(hb.figures.draw_report(hb.report(hb.HeavyBall(lr=0.02, momentum=0.9), [1.0, 10.0])))
    ['damping_map', 'loss', 'phase_slowest', 'phase_stiffest', 'root_locus_s', 'root_locus_z']
    """
    figures: dict[str, Figure] = {}

    def axes(name: str, width: float = 4.2, height: float = 3.4) -> Axes:
        from matplotlib.figure import Figure

        figures[name] = Figure(figsize=(width, height), layout="constrained")
        return figures[name].add_subplot()

    plot_root_locus(report.locus, modes=report.modes, ax=axes("root_locus_z", height=3.9))
    plot_root_locus(report.flow_locus, modes=report.flow_modes, ax=axes("root_locus_s", height=3.9))
    product = report.method.lr * report.curvature
    shown = product > 0
    plot_stability_map(
        report.map, product=product[shown], momentum=np.full(int(shown.sum()), report.method.momentum),
        ax=axes("damping_map"),
    )  # fmt: skip
    for name, which, found in zip(
        ("phase_stiffest", "phase_slowest"), ("Stiffest", "Slowest"), report.portraits, strict=True
    ):
        ax = plot_mode_portrait(found, ax=axes(name))
        label = DampingClass(found.damping).label
        ax.set_title(f"{which} mode, $\\lambda$ = {found.curvature:.4g}: {label}", fontsize="medium")
    plot_loss(report.curves, ax=axes("loss"))
    return figures
