"""Nesterov's method with growing momentum, frozen step by step: each mode creeps first and swings later."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

CURVATURES = [0.001, 0.01, 0.1, 1.0]


def main(folder: Path | None = None) -> None:
    """Draw the frozen modes of Nesterov's method, and of its flow, and print when they turn underdamped."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    method = hb.Nesterov(lr=0.1, momentum=hb.AcceleratedMomentum())
    steps = np.unique(np.geomspace(1, 1000, 200).round())
    found = hb.frozen_modes(method, CURVATURES, steps)
    flow = hb.frozen_modes(hb.NesterovFlow(), CURVATURES, np.geomspace(1, 1000, 800) * np.sqrt(method.lr))
    print("curvature   turns underdamped at step   flow, 3/(2 sqrt(lr * curvature))")
    for bend, k, t in zip(CURVATURES, found.turns_underdamped, flow.turns_underdamped, strict=True):
        print(f"{bend:9g}   {k:24.0f}   {t / np.sqrt(method.lr):30.2f}")
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 3.8), layout="constrained")
    for ax, result, title in zip(axes, (found, flow), ("Nesterov, momentum (k-1)/(k+2)", "its flow"), strict=True):
        hb.figures.plot_frozen_modes(result, ax=ax)
        ax.set_title(title, fontsize=9)
    for path in hb.figures.save(figure, folder / "frozen_poles"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
