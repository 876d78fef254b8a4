"""Stale gradients: what learning rate a delay leaves, where its poles go, and the momentum of random delays."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

MOMENTA = np.array([0.0, 0.5, 0.9, 0.99])
DELAYS = [0, 1, 2, 3, 5, 8, 15, 30, 60, 100]
LR, WORKERS, STEPS, RUNS = 0.5, 8, 60, 2000


def asynchronous_runs(rng: np.random.Generator) -> np.ndarray:
    """Run gradient descent on x²/2 with geometric staleness: positions (run, step)."""
    path = np.ones((RUNS, STEPS + 1))
    for k in range(STEPS):
        stale = np.maximum(k - (rng.geometric(1 / WORKERS, RUNS) - 1), 0)
        path[:, k + 1] = path[:, k] - LR * path[np.arange(RUNS), stale]
    return path


def main(folder: Path | None = None) -> None:
    """Draw limits, a locus and the mean of asynchronous runs, and print the numbers."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, grid = plt.subplots(2, 2, figsize=(10.4, 9.0), layout="constrained")
    axes = grid.ravel()

    found = hb.delay_limits(hb.HeavyBall(1.0, MOMENTA), DELAYS)
    hb.figures.plot_delay_limits(found, ax=axes[0])
    axes[0].set_title("Heavy ball: stability against delay", fontsize="medium")
    print(found)

    method = hb.HeavyBall(lr=1.0, momentum=0.5)
    locus = hb.delayed_locus(method, 10)
    hb.figures.plot_root_locus(locus, ax=axes[1])
    for label in axes[1].texts:
        label.set_zorder(4)  # above the branches
    axes[1].set_title("Momentum 0.5, gradients 10 steps late", fontsize="medium")
    print(locus)
    print(hb.largest_delay(hb.HeavyBall(0.01, 0.5), [0.1, 1.0]))

    stale = hb.delay_poles(hb.HeavyBall(lr=0.05, momentum=0.5), range(31), 1.0)
    hb.figures.plot_delay_poles(stale, ax=axes[2])
    axes[2].set_title("Momentum 0.5, lr 0.05: poles as the delay grows", fontsize="medium")
    print(f"at lr 0.05 the mode is lost at a delay of {stale.delays[stale.rate >= 1][0]} steps")

    path = asynchronous_runs(np.random.default_rng(0))
    implicit = hb.implicit_momentum(LR, WORKERS)
    ball = hb.iterate(implicit, hb.Quadratic([1.0]), [1.0], STEPS, velocity=[-LR])
    mean, error = path.mean(axis=0), path.std(axis=0) / np.sqrt(RUNS)
    steps = np.arange(STEPS + 1)
    axes[3].plot(steps, path[:20].T, color="0.85", linewidth=0.7, zorder=1)
    axes[3].fill_between(steps, mean - 3 * error, mean + 3 * error, color="#e76300", alpha=0.35, linewidth=0, zorder=2)
    axes[3].plot(steps, mean, color="#e76300", linewidth=1.4, label=f"mean of {RUNS} runs, ±3 errors", zorder=3)
    axes[3].plot(steps, ball.position[:, 0], color="#1b1b1b", linestyle="--", linewidth=1.2, zorder=4,
                 label=f"heavy ball, momentum {implicit.momentum:g}")  # fmt: skip
    axes[3].set(xlabel="step $k$", ylabel="position", title=f"{WORKERS} asynchronous workers, no momentum")
    axes[3].title.set_fontsize("medium")
    axes[3].set_ylim(-2.2, 2.2)
    axes[3].legend(fontsize=8, loc="upper right")
    away = np.abs(mean - ball.position[:, 0])[2:] / error[2:]
    print(f"{WORKERS} workers: momentum {implicit.momentum:g}, the mean is off by {away.max():.1f} errors at most")

    for path_ in hb.figures.save(figure, folder / "stale_gradients"):
        print(path_)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
