"""Momentum on minibatches of real data: two hundred runs at once, and the floor where their noise stops them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import heavyball_dynamics as hb

DATA = Path(__file__).parent / "data" / "longley.csv"
BATCH_SIZE, SEEDS = 4, 200
MOMENTA = np.array([0.0, 0.9])[:, None]  # against a batch of runs
# Equal learning rates divided by 1 - momentum move the mean equally fast.
EFFECTIVE_LR = 0.16
COLOURS = ("#e76300", "#3f90da")
BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2, "frameon": False, "fontsize": 7.5}


def longley() -> hb.LeastSquares:
    """Return least squares of employment on six features, every column with mean 0 and standard deviation 1."""
    table = np.genfromtxt(DATA, delimiter=",", skip_header=1)
    scaled = (table - table.mean(axis=0)) / table.std(axis=0)
    return hb.LeastSquares(scaled[:, 1:], scaled[:, 0])


def main(folder: Path | None = None) -> None:
    """Print and draw how the loss falls with and without momentum, and its floor over the learning rate."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    loss = longley()
    noisy = loss.minibatch(BATCH_SIZE, seed=1)
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.0), layout="constrained")
    draw_fall(axes[0], loss, noisy)
    draw_floors(axes[1], loss, noisy)
    for path in hb.figures.save(figure, folder / "minibatch_momentum"):
        print(path)
    plt.close(figure)


def draw_fall(ax: Axes, loss: hb.LeastSquares, noisy: Any) -> None:
    """Run all seeds under both momenta in one call, and draw medians and bands over them."""
    every = noisy.steps_per_epoch
    method = hb.HeavyBall(EFFECTIVE_LR * (1 - MOMENTA), MOMENTA)
    run = hb.iterate(method, noisy, np.zeros((SEEDS, loss.dim)), 1500 * every, save_every=every)
    excess = run.value - loss.value(loss.minimizer)
    # A logarithmic axis shows some of the epochs only.
    epochs = np.unique(np.geomspace(1, len(run.time) - 1, 100).astype(int))
    print(f"{SEEDS} seeds, minibatches of {BATCH_SIZE} of {len(loss.targets)} rows, lr/(1-momentum) = {EFFECTIVE_LR}")
    for beta, colour, each in zip(MOMENTA[:, 0], COLOURS, excess, strict=True):
        low, median, high = np.quantile(each, [0.05, 0.5, 0.95], axis=0)
        ax.fill_between(epochs, low[epochs], high[epochs], color=colour, alpha=0.25, linewidth=0)
        ax.plot(epochs, median[epochs], color=colour, linewidth=1.2, label=f"$\\beta$ = {beta:g}")
        print(f"momentum {beta:g}: median loss above the minimum {median[1]:.2e} after 1 epoch, {median[100]:.2e} "
              f"after 100, {median[-1]:.2e} after {epochs[-1]}; of nine runs in ten {low[-1]:.2e} to {high[-1]:.2e}")
    ax.set(xscale="log", yscale="log", xlabel="epochs", ylabel="loss above the minimum $f - f^*$")
    ax.set_title(f"Median and 90 % of runs, $\\eta/(1-\\beta)$ = {EFFECTIVE_LR}", fontsize="medium")
    ax.margins(x=0)
    ax.legend(**BELOW)


def draw_floors(ax: Axes, loss: hb.LeastSquares, noisy: Any) -> None:
    """Start at the minimum and draw how high the noise lifts the loss."""
    effective = EFFECTIVE_LR / 2.0 ** np.arange(6)
    method = hb.HeavyBall((effective * (1 - MOMENTA))[..., None], MOMENTA[..., None])
    start = np.broadcast_to(loss.minimizer, (SEEDS // 4, loss.dim))
    kinds = {"reshuffled every epoch": (noisy, "o-"), "independent": (hb.IndependentMinibatch(noisy), "s:")}
    for kind, (objective, style) in kinds.items():
        run = hb.iterate(method, objective, start, 1200)
        floor = np.mean(run.value[..., 600:] - loss.value(loss.minimizer), axis=(-2, -1))
        for beta, colour, each in zip(MOMENTA[:, 0], COLOURS, floor, strict=True):
            ax.plot(effective, each, style, color=colour, markersize=4, linewidth=1.0,
                    label=f"$\\beta$ = {beta:g}, {kind}")  # fmt: skip
            power = np.log2(each[0] / each[-1]) / 5
            print(f"momentum {beta:g}, {kind}: floor {each[0]:.2e}, falls with lr to the power {power:.2f}")
    ax.set(xscale="log", yscale="log", xlabel=r"$\eta/(1-\beta)$", ylabel="mean of $f - f^*$")
    ax.set_title("Floor of the noise", fontsize="medium")
    ax.legend(**BELOW)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
