"""What a report says in sentences, and its table."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._types import BoolArray, FloatArray, IntArray
from heavyball_dynamics.analysis.damping_class import DampingClass
from heavyball_dynamics.analysis.modes import Modes, analyze_modes
from heavyball_dynamics.correspondence.dialects import to_dialect
from heavyball_dynamics.correspondence.physical import Physical

_TOLERANCE = 1e-6
_NOTABLE = 0.05  # a relative difference of damping ratios worth a sentence

# Column of the table: key in Report.columns(), heading, unit.
TABLE = [
    ("curvature", "curvature", ""),
    ("lr_times_curvature", "lr·curvature", ""),
    ("flow_class", "flow", "class"),
    ("method_class", "iteration", "class"),
    ("damping_ratio", "damping", "ratio"),
    ("natural_frequency", "frequency", "rad/step"),
    ("rate", "rate", "per step"),
    ("half_life", "half-life", "steps"),
    ("steps_to_tolerance", "to 1e-6", "steps"),
    ("distance_to_limit", "lr may grow", "times"),
]
_SHOWN = 24  # modes shown in the text; the middle of a longer table is left to the files


def number(value: Any) -> str:
    """Return a cell of the table."""
    if isinstance(value, str):
        return value
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    return f"{value:.4g}"


def rate(value: float) -> str:
    """Return a factor per step: those close to one differ in late digits only."""
    if 0.99 < value < 1:
        return f"1 - {1 - value:.3g}"
    return f"1 + {value - 1:.3g}" if 1 < value < 1.01 else number(value)


def rows(report: Any) -> list[list[str]]:
    """Return the cells of the table, one list a mode."""
    columns = report.columns()
    cells = [[(rate if key == "rate" else number)(value) for value in columns[key]] for key, _, _ in TABLE]
    return [[str(i + 1), *row] for i, row in enumerate(zip(*cells, strict=True))]


def direction(report: Any, mode: int) -> str:
    """Return the largest entries of a mode's eigenvector with the names of their coordinates."""
    vector = report.directions[:, mode]
    largest = [i for i in np.argsort(-np.abs(vector), kind="stable")[:3] if abs(vector[i]) > 0.1]
    terms = [f"{'-' if vector[i] < 0 else '+'} {abs(vector[i]):.2f} {report.coordinates[i]}" for i in largest]
    return " ".join(terms).removeprefix("+ ") + (" …" if len(vector) > len(largest) else "")


def text(report: Any) -> str:
    """Return the whole report as text."""
    head = [["mode", *(title for _, title, _ in TABLE)], ["", *(unit for _, _, unit in TABLE)]]
    body = rows(report)
    if len(body) > _SHOWN:
        half = _SHOWN // 2
        gap = ["…", *["…"] * len(TABLE)]
        body = [*body[:half], gap, *body[-half:]]
    table = [*head, *body]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.insert(2, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    found = [f"  - {sentence}" for sentence in report.disagreements]
    return "\n".join([
        report.title, *setting_lines(report), "", *lines, "", "Flow against iteration:", *found, "",
        "Loss per step (measured and predicted over the same last third of the run; asymptotic: slowest mode):",
        *(f"  {line}" for line in report.curves.summary().splitlines()), "", f"Verdict: {report.verdict}",
    ])  # fmt: skip


def setting_lines(report: Any) -> list[str]:
    """Return method and physical system, one line each."""
    method, physical, settings = report.method, report.physical, report.settings
    own = ""
    if settings["dialect"] != "torch" or settings["dampening"]:
        extra = f", dampening={settings['dampening']:.6g}" if settings["dampening"] else ""
        own = f" (in the {settings['dialect']} dialect lr={settings['lr']:.6g}{extra})"
    lines = [
        f"{label(method)} with lr={method.lr:.6g}, momentum={method.momentum:.6g}{own}",
        (
            f"is the {physical.rule} discretization of m x'' + γ x' + ∇f(x) = 0 with mass m={physical.mass:.6g}, "
            f"damping γ={physical.damping:.6g}, time step h={physical.dt:.6g}"
        ),
    ]
    if physical.look_ahead:
        lines.append(f"plus the Hessian-driven damping βh ∇²f x' of the look-ahead, βh={physical.hessian_damping:.6g}")
    return lines


def label(method: Any) -> str:
    """Return a method's name in words."""
    return {"HeavyBall": "Heavy ball", "Nesterov": "Nesterov"}.get(type(method).__name__, type(method).__name__)


def _modes(index: IntArray) -> str:
    """Name modes: 'mode 1', 'modes 1, 3 to 5'."""
    runs = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    named = [
        ", ".join(f"{i + 1}" for i in run) if len(run) < 3 else f"{run[0] + 1} to {run[-1] + 1}" for run in runs
    ]
    return f"{'mode' if len(index) == 1 else 'modes'} {', '.join(named)}"


def disagreements(method: Any, modes: Modes, flow_modes: Modes, physical: Physical) -> tuple[str, ...]:
    """Say where the flow and the iteration disagree."""
    found = []
    pairs = sorted({(int(f), int(m)) for f, m in zip(flow_modes.damping, modes.damping, strict=True)})
    for flow_class, method_class in pairs:
        if flow_class == method_class:
            continue
        who = np.flatnonzero((flow_modes.damping == flow_class) & (modes.damping == method_class))
        is_one = len(who) == 1
        found.append(
            f"{_modes(who).capitalize()}: the flow calls {'it' if is_one else 'them'} "
            f"{DampingClass(flow_class).label}, the iteration is {DampingClass(method_class).label}"
            + _why(method_class, method, modes.curvature[who], physical, is_one=is_one)  # type: ignore[index]
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(flow_modes.damping_ratio / modes.damping_ratio - 1)
    same = (flow_modes.damping == modes.damping) & (off > _NOTABLE) & np.isfinite(off)
    if same.any():
        who = np.flatnonzero(same)
        worst = who[np.argmax(off[who])]
        ratio, own = number(flow_modes.damping_ratio[worst]), number(modes.damping_ratio[worst])
        found.append(
            f"{_modes(who).capitalize()}: same class, but the flow's damping ratio is off by up to {off[worst]:.0%} "
            f"({ratio} against {own} for mode {worst + 1})"
            + (": the look-ahead damps stiff modes more." if physical.look_ahead else ": the step is coarse there.")
        )
    if found:
        return tuple(found)
    gap = _gap(modes, flow_modes, physical)
    return (f"They agree on the class of every mode; rates per step differ by at most {gap}.",)


def _gap(modes: Modes, flow_modes: Modes, physical: Physical) -> str:
    with np.errstate(over="ignore"):  # down a steep saddle
        difference = float(np.max(np.abs(np.exp(flow_modes.rate * physical.dt) - modes.rate), initial=0.0))
    return f"{difference:.2g}" if np.isfinite(difference) else number(difference)


def _why(method_class: int, method: Any, curvature: FloatArray, physical: Physical, *, is_one: bool) -> str:
    if method_class == DampingClass.ALTERNATING:
        return " (its sign flips at each step, as no oscillator's does)." if is_one else (
            " (their signs flip at each step, as no oscillator's do).")  # fmt: skip
    if method_class == DampingClass.DIVERGENT and np.all(curvature > 0):
        largest = number(float(np.max(method.lr * curvature)))
        return f": a flow is stable at any curvature, the steps are too long (lr·curvature up to {largest})."
    if physical.look_ahead:
        return ": the look-ahead adds damping that grows with the curvature."
    return f": the {physical.rule} reading puts the border between the classes elsewhere."


def slowest(modes: Modes) -> int:
    """Return the mode that decays slowest, of equally slow ones that of the smallest curvature.

    Divergent and flat modes are left aside where there are others; of a saddle it is the steepest way down.
    """
    assert modes.curvature is not None  # noqa: S101
    if np.any(modes.curvature < 0):
        return int(np.argmin(modes.curvature))
    bent = modes.curvature > 0
    decaying = bent & (modes.damping != DampingClass.DIVERGENT)
    rate = np.where(decaying, modes.log_rate, -np.inf) if decaying.any() else np.where(bent, 0.0, -np.inf)
    worst = rate.max()
    equal = rate >= (worst - 1e-9 * abs(worst) if np.isfinite(worst) else worst)
    return int(np.argmin(np.where(equal, modes.curvature, np.inf)))


def verdict(method: Any, modes: Modes, limit: FloatArray, tuned: Any, dialect: str) -> str:
    """Name the bottleneck and what the optimum would gain, in one sentence."""
    curvature = modes.curvature
    assert curvature is not None  # noqa: S101
    if np.any(curvature < 0):
        worst = int(np.argmax(np.where(curvature < 0, modes.rate, -np.inf)))
        bend, factor = number(float(curvature[worst])), rate(float(modes.rate[worst]))
        return (
            f"It diverges along mode {worst + 1}, a direction of negative curvature ({bend}): the point is a saddle, "
            f"left by a factor of {factor} per step at the fastest."
        )
    bent = curvature > 0
    if not bent.any():
        return "Every direction is flat: nothing pulls, and there is nothing to tune."
    if np.any(modes.damping == DampingClass.DIVERGENT):
        return _divergent(method, modes, limit, tuned, dialect)
    which = slowest(modes)
    name = DampingClass(int(modes.damping[which])).label
    steps = float(modes.time_to(_TOLERANCE)[which])
    said = f"The bottleneck is mode {which + 1} (curvature {number(float(curvature[which]))}): it is {name} and "
    if steps < 1:
        said += "is at the minimum after one step"
    else:
        said += (f"shrinks by {rate(float(modes.rate[which]))} per step, {_steps(steps)} to 1e-6"
                 if np.isfinite(steps) else "does not decay")  # fmt: skip
    return f"{said}; {_gain(tuned, curvature, bent, steps, dialect)}{_flat(bent)}."


def _divergent(method: Any, modes: Modes, limit: FloatArray, tuned: Any, dialect: str) -> str:
    curvature = modes.curvature
    assert curvature is not None  # noqa: S101
    worst = int(np.argmax(modes.rate))
    bent = curvature > 0
    bend, factor = number(float(curvature[worst])), rate(float(modes.rate[worst]))
    said = f"It diverges: mode {worst + 1} (curvature {bend}) grows by a factor of {factor} per step"
    smallest = float(np.min(limit[bent]))
    if smallest > 0:
        share = to_dialect(type(method)(smallest, method.momentum), dialect)["lr"]
        said += f", since lr must stay below {number(float(share))} at this momentum"
    else:
        said += ", since no learning rate is stable at this momentum"
    return f"{said}; {_gain(tuned, curvature, bent, np.inf, dialect)}{_flat(bent)}."


def _gain(tuned: Any, curvature: FloatArray, bent: BoolArray, steps: float, dialect: str) -> str:
    best = analyze_modes(tuned, curvature[bent & (curvature >= _smallest(curvature))])
    fastest = float(best.rate.max())
    needed = float(best.time_to(_TOLERANCE).max())
    own = to_dialect(tuned, dialect) if tuned.momentum > 0 else {"lr": tuned.lr, "momentum": 0.0}
    said = f"the optimal lr={own['lr']:.4g} and momentum={rate(own['momentum'])} would "
    said += f"shrink every mode by {rate(fastest)} per step, {_steps(needed)} to 1e-6" if needed > 1 else (
        f"bring {'the mode' if np.count_nonzero(bent) == 1 else 'every mode'} to the minimum in one step")  # fmt: skip
    if not np.isfinite(steps):
        return said
    ratio = steps / max(needed, 1.0)  # no run is shorter than one step
    if ratio < 1.05:
        return f"{said}: these settings are optimal already"
    return f"{said}, {ratio:.3g} times fewer"


def _smallest(curvature: FloatArray) -> float:
    return float(len(curvature) * np.finfo(np.float64).eps * np.abs(curvature).max())


def _flat(bent: BoolArray) -> str:
    flat = np.flatnonzero(~bent)
    return f" ({_modes(flat)}: flat, left out)" if flat.size else ""


def _steps(steps: float) -> str:
    if steps < 1:
        return "one step"
    return f"{round(steps):,} steps" if steps < 1e7 else f"{steps:.2g} steps"

