"""Nyquist curves of momentum: how near the loop gain comes to -1, and what the disk margin keeps free."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb

LOOPS = {
    "heavy ball, lr 0.1, momentum 0.5": (hb.HeavyBall(lr=0.1, momentum=0.5), 2.0),
    "Nesterov, lr 0.1, momentum 0.9": (hb.Nesterov(lr=0.1, momentum=0.9), 2.0),
    "heavy-ball flow, damping 1": (hb.HeavyBallFlow(mass=1.0, damping=1.0), 2.0),
}


def main(folder: Path | None = None) -> None:
    """Draw three loops, each with its disk, and print their margins."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(11.4, 4.9), layout="constrained")
    for ax, (title, (algorithm, curvature)) in zip(axes, LOOPS.items(), strict=True):
        curve = hb.nyquist(algorithm, curvature)
        hb.figures.plot_nyquist(curve, reach=2.2, ax=ax)
        ax.set_title(title, fontsize=9)
        print(title)
        print(curve)
    for path in hb.figures.save(figure, folder / "disk_margin"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
