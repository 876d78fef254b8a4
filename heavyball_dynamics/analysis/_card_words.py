"""What a robustness card says, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics.analysis.damping_class import DampingClass

if TYPE_CHECKING:
    from heavyball_dynamics.analysis.robustness_cards import Robustness

_HEAD = ["curvature", "class", "gain from", "to", "phase (rad)", "disk", "delay", "H∞", "H2", "growth", "from rest",
         "Kreiss"]  # fmt: skip

_CLOSE = 1e-3  # numbers this close to one are told by what is missing
_NEAR = 1e-14  # and closer ones are one


def card(found: Robustness) -> str:
    """Return one card for each mode."""
    return "\n\n".join(_card(found, index) for index in np.ndindex(found.stable.shape))


def _card(found: Robustness, index: tuple[int, ...]) -> str:
    unit = "step" if found.discrete else "time"
    place = f" {list(index)}" if found.stable.size > 1 else ""
    rate = float(found.spectral_radius[index])
    label = DampingClass(int(found.damping[index])).label
    how = f"by a factor {_number(rate, 6)} per step" if found.discrete else f"at {rate:.6g} per unit time"
    fate = f"decays {how}" if found.stable[index] else f"grows {how}" if label == "divergent" else "does not decay"
    lines = [f"{found.algorithm} at curvature {found.curvature[index]:.6g}{place}: {label}, {fate}"]
    if found.stable[index]:
        lines += [_gain(found, index), *_loop(found, index, unit), *_errors(found, index, unit)]
    else:
        lines.append("  margins          none: the mode does not decay as it is")
        lines.append("  H∞ and H2 gain   infinite: errors of the gradient add up")
    lines += _growth(found, index, unit)
    return "\n".join(lines)


def _gain(found: Robustness, index: tuple[int, ...]) -> str:
    low, high = found.gain_margin[index]
    span = f"  gain margin      {_number(low)} to {_number(high)}"
    if np.isinf(high):
        told = f"{span}: no larger curvature makes it diverge"
    else:
        told = f"{span}: diverges once the curvature is {_number(high)} times as large"
        omega = found.gain_frequency[index]
        if found.discrete and abs(omega - np.pi) < 1e-9:
            told += ", flipping sign every step"
        elif omega == 0:
            told += ", drifting away without a swing"
        elif np.isfinite(omega):
            told += f", at {omega:.4g} rad/{'step' if found.discrete else 'time'}"
    if low > 0:
        told += f"; also below {_number(low)}"
    return told


def _loop(found: Robustness, index: tuple[int, ...], unit: str) -> list[str]:
    if np.isnan(found.disk_margin[index]):
        return ["  other margins    none: the rule asks for Hessians, its loop does not open at the gradient"]
    phase, alpha = float(found.phase_margin[index]), float(found.disk_margin[index])
    turn = f"{phase:.4g} rad ({np.degrees(phase):.3g}°) at {found.phase_frequency[index]:.4g} rad/{unit}"
    modulus = float(found.modulus_margin[index])
    return [
        f"  phase margin     {turn if np.isfinite(phase) else 'any phase'}",
        (
            f"  disk margin      {alpha:.4g}: {_factors(alpha)}, or any phase up to "
            f"{np.degrees(found.disk_phase[index]):.4g}°, and some of both"
        ),
        (
            f"  modulus margin   {modulus:.4g}: the worst error of the loop gain comes out {1 / modulus:.4g} times as "
            "large"
        ),
        _delay(found, index),
    ]


def _delay(found: Robustness, index: tuple[int, ...]) -> str:
    delay = float(found.delay_margin[index])
    if np.isinf(delay):
        return "  delay margin     any delay"
    if not found.discrete:
        return f"  delay margin     {delay:.4g} units of time that gradients may be stale"
    whole = float(found.delay_steps[index])
    if whole == 0:
        allowed = "gradients must be fresh"
    else:
        allowed = f"gradients may be {whole:.0f} step{'' if whole == 1 else 's'} stale"
    if whole > delay:
        allowed += ", whole steps only"
    return f"  delay margin     {delay:.4g} steps: {allowed}"


def _errors(found: Robustness, index: tuple[int, ...], unit: str) -> list[str]:
    if np.isnan(found.h2[index]):
        return []
    omega = float(found.hinf_frequency[index])
    where = "constant" if omega == 0 else f"at {omega:.4g} rad/{unit}"
    return [
        f"  H∞ gain          {found.hinf[index]:.4g} {where}: position per persistent gradient error",
        f"  H2 gain          {found.h2[index]:.4g}: standard deviation of the position per unit of gradient noise",
    ]


def _growth(found: Robustness, index: tuple[int, ...], unit: str) -> list[str]:
    peak, rest = float(found.peak_growth[index]), float(found.position_growth[index])
    at = "step" if unit == "step" else "time"
    if np.isinf(peak):
        state = "without end"
    elif peak == 1:
        state = "none"
    else:
        state = f"{peak:.4g} at {at} {found.peak_time[index]:.4g}, Kreiss constant {found.kreiss[index]:.4g}"
    start = f"the position reaches {rest:.4g} times its start at {at} {found.position_time[index]:.4g}"
    if np.isinf(rest):
        start = "the position grows without end"
    elif rest == 1:
        start = "the position never exceeds its start"
    vectors = "defective: one eigenvector for a double pole, polynomial times geometric decay"
    if not found.defective[index]:
        vectors = f"condition number {found.eigenvector_condition[index]:.4g}"
    return [f"  growth of state  {state}", f"  from rest        {start}", f"  eigenvectors     {vectors}"]


def _factors(alpha: float) -> str:
    if alpha > 2 - _NEAR:
        return "any positive factor"
    low, high = -2 * alpha / (2 + alpha), 2 * alpha / (2 - alpha)
    return f"any factor {_number(1 + low, off=low)} to {_number(1 + high, off=high)}"


def _number(value: float, digits: int = 4, *, off: float | None = None) -> str:
    """Return a number, as 1 - 1e-09 where digits would hide by how much it is `off` one."""
    if np.isinf(value):
        return "infinity"
    away = value - 1 if off is None else off
    if _NEAR < abs(away) < _CLOSE:
        return f"1 {'-' if away < 0 else '+'} {abs(away):.3g}"
    return f"{value:.{digits}g}"


def table(found: Robustness) -> str:
    """Return one line for each mode."""
    columns: list[Any] = [found.curvature, found.damping, found.gain_margin[..., 0], found.gain_margin[..., 1],
                          found.phase_margin, found.disk_margin, found.delay_margin, found.hinf, found.h2,
                          found.peak_growth, found.position_growth, found.kreiss]  # fmt: skip
    rows = [_HEAD]
    for values in zip(*(column.ravel() for column in columns), strict=True):
        cells = ["-" if np.isnan(value) else "inf" if np.isinf(value) else _number(value) for value in values]
        cells[1] = DampingClass(int(values[1])).label
        rows.append(cells)
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
