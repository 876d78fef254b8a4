"""Noise on the gradient: a transient that momentum shortens, and a floor that it lifts; both predicted on real data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

import heavyball_dynamics as hb

DATA = Path(__file__).parent / "data" / "longley.csv"
COLOURS = {0.0: "#e76300", 0.9: "#3f90da"}
LR, NOISE, SEEDS, STEPS = 0.02, 0.05, 2000, 600


def longley() -> hb.LeastSquares:
    """Return least squares of employment on six features, every column with mean 0 and standard deviation 1."""
    table = np.genfromtxt(DATA, delimiter=",", skip_header=1)
    scaled = (table - table.mean(axis=0)) / table.std(axis=0)
    return hb.LeastSquares(scaled[:, 1:], scaled[:, 0])


def main(folder: Path | None = None) -> None:
    """Print and draw exact curves against simulated ones, and predicted floors against measured ones."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(13.0, 4.6), layout="constrained")
    draw_phases(axes)
    draw_floors(axes[2])
    for path in hb.figures.save(figure, folder / "noise_floors"):
        print(path)
    plt.close(figure)


def draw_phases(axes: Any) -> None:
    """Draw the expected loss without and with momentum, and the band of simulated runs around it."""
    loss, start = hb.Quadratic([0.5, 4.0]), np.array([3.0, 1.0])
    for ax, (momentum, colour) in zip(axes, COLOURS.items(), strict=False):
        method = hb.HeavyBall(LR, momentum)
        exact = hb.expected_loss(method, loss, start, STEPS, NOISE)
        noisy = hb.NoisyGradient(loss, NOISE, seed=1)
        runs = hb.iterate(method, noisy, np.broadcast_to(start, (SEEDS, 2)), STEPS)
        hb.figures.plot_expected_loss(exact, runs=runs, colour=colour, ax=ax)
        ax.set_title(f"$\\beta$ = {momentum:g}, $\\eta$ = {LR:g}", fontsize="medium")
        error = np.abs(runs.value.mean(axis=0) - exact.loss)[1:] / (exact.standard_deviation[1:] / np.sqrt(SEEDS))
        print(f"momentum {momentum:g}: twice the floor {float(exact.floor):.2e} after {float(exact.phase_change):.0f} "
              f"steps; the mean of {SEEDS} runs is off by {error.max():.1f} standard errors at most")  # fmt: skip
    low = min(ax.get_ylim()[0] for ax in axes[:2])
    high = max(ax.get_ylim()[1] for ax in axes[:2])
    for ax in axes[:2]:
        ax.set_ylim(low, high)


def draw_floors(ax: Axes) -> None:
    """Measure the floors of minibatches on Longley's data over the learning rate, against what is predicted."""
    loss = longley()
    shuffled = loss.minibatch(4, seed=1)
    covariance = shuffled.gradient_covariance(loss.minimizer)
    kinds = {
        "normal noise": (hb.NoisyGradient(loss, covariance, seed=2), "D"),
        "independent minibatches": (hb.IndependentMinibatch(shuffled), "s"),
        "shuffled epochs": (shuffled, "o"),
    }
    effective = 0.16 / 2.0 ** np.arange(6)
    for momentum, colour in COLOURS.items():
        method = hb.HeavyBall(effective * (1 - momentum), momentum)
        for name, (objective, marker) in kinds.items():
            found = hb.noise_floor(method, objective, runs=40, steps=600, burn_in=1000)
            ax.errorbar(effective, found.measured, 2 * found.standard_error, color=colour, marker=marker, markersize=4,
                        linestyle="", linewidth=0.9)  # fmt: skip
            shown = ", ".join(f"{ratio:.2f}" for ratio in found.ratio)
            print(f"momentum {momentum:g}, {name}: measured / predicted floor {shown} for lr/(1-momentum) from "
                  f"{effective[0]:g} down to {effective[-1]:g}")  # fmt: skip
        ax.plot(effective, found.predicted, color=colour, linewidth=1.2, zorder=0)
    ax.set(xscale="log", yscale="log", xlabel=r"$\eta/(1-\beta)$", ylabel="mean of $f - f^*$")
    ax.set_title("Floors on Longley's data", fontsize="medium")
    handles = [Line2D([], [], color=colour, linewidth=1.2, label=f"predicted, $\\beta$ = {momentum:g}")
               for momentum, colour in COLOURS.items()]  # fmt: skip
    handles += [Line2D([], [], color="0.4", marker=marker, linestyle="", markersize=4, label=name)
                for name, (_, marker) in kinds.items()]  # fmt: skip
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False, fontsize=7.5)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
