"""Speed against noise over learning rate and momentum, for gradients summed and for gradients averaged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import heavyball_dynamics as hb

SPECTRUM = np.geomspace(0.1, 10.0, 5)
MOMENTA = np.concatenate([np.linspace(0.0, 0.9, 46), 1 - np.geomspace(0.095, 0.005, 20)])
LRS = {"polyak": np.geomspace(1e-4, 0.39, 60), "ema": np.geomspace(1e-4, 30.0, 60)}


def main(folder: Path | None = None) -> None:
    """Draw both clouds of settings with their fronts, and how the noise depends on momentum alone."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(13.0, 4.2), layout="constrained")
    clouds = {kind: hb.rate_noise_tradeoff(hb.HeavyBall, SPECTRUM, LRS[kind], MOMENTA, normalization=kind)
              for kind in LRS}  # fmt: skip
    for ax, found in zip(axes, clouds.values(), strict=False):
        hb.figures.plot_tradeoff(found, bar=ax is axes[1], ax=ax)
        print(found)
    limits = [np.array([getattr(ax, f"get_{side}lim")() for ax in axes[:2]]) for side in "xy"]
    for ax in axes[:2]:
        ax.set(xlim=(limits[0].min(), limits[0].max()), ylim=(limits[1].min(), limits[1].max()))
    axes[1].get_legend().remove()
    mark_tunings(axes[0])
    draw_claims(axes[2])
    for path in hb.figures.save(figure, folder / "rate_against_noise"):
        print(path)
    plt.close(figure)


def mark_tunings(ax: Axes) -> None:
    """Mark the tunings that are optimal without noise, and print what they pay for it."""
    descent = float(hb.noise_amplification(hb.tune(hb.GradientDescent, SPECTRUM[0], SPECTRUM[-1]), SPECTRUM))
    for kind, marker in ((hb.GradientDescent, "s"), (hb.Nesterov, "^"), (hb.HeavyBall, "*")):
        method = hb.tune(kind, SPECTRUM[0], SPECTRUM[-1])
        rate = float(hb.analyze_modes(method, SPECTRUM).rate.max())
        variance = hb.stationary_covariance(method, SPECTRUM)[:, 0, 0]
        total = float(hb.noise_amplification(method, SPECTRUM))
        ax.plot([-1 / np.log(rate)], [0.5 * SPECTRUM @ variance], marker=marker, markersize=9, color="#832db6",
                markeredgecolor="white", linestyle="", zorder=6, label=f"tuned {kind.__name__}")  # fmt: skip
        print(f"tuned {kind.__name__}: rate {rate:.4f}, mean square distance {total:.3f}, {total / descent:.2f} times "
              "that of gradient descent")  # fmt: skip
    ax.legend(fontsize=7.5, loc="upper right", framealpha=0.9)


def draw_claims(ax: Axes) -> None:
    """Draw the variance of one mode over momentum at a fixed learning rate: it accumulates, and it averages."""
    beta = 1 - np.geomspace(1.0, 1e-3, 200)
    for kind, colour, dashes, says in (
        ("polyak", "#1b1b1b", "-", "summed: accumulates noise"),
        ("ema", "#e76300", (0, (5, 2)), "averaged: averages noise"),
    ):
        found = hb.rate_noise_tradeoff(hb.HeavyBall, [1.0], [0.05], beta, normalization=kind)
        ax.plot(1 / (1 - beta), found.variance[0], color=colour, linestyle=dashes, label=says)
        print(f"lr 0.05, {says}: variance {found.variance[0, 0]:.4f} without momentum, {found.variance[0, -1]:.4f} at "
              f"momentum {beta[-1]:.3f}")  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=r"$1/(1-\beta)$", ylabel="stationary variance")
    ax.set_title(r"One mode, $\lambda = 1$, lr = 0.05", fontsize="medium")
    ax.legend(fontsize=7.5)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
