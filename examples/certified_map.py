"""What can be promised of the heavy ball and of Nesterov's method on all losses with curvatures from 1 to 25."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

LOW, HIGH = 1.0, 25.0


def main(folder: Path | None = None) -> None:
    """Draw the three layers for both methods, and print what is proved of their usual tunings."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, method in (
        ("gradient descent", hb.tune(hb.GradientDescent, LOW, HIGH)),
        ("Nesterov", hb.tune(hb.Nesterov, LOW, HIGH, variant="standard")),
        ("triple momentum", hb.TripleMomentum.for_class(LOW, HIGH)),
        ("heavy ball", hb.tune(hb.HeavyBall, LOW, HIGH)),
    ):
        print(f"{name}: {hb.certify(method, LOW, HIGH)}")
    tuned = hb.tune(hb.HeavyBall, LOW, HIGH)
    print(f"heavy ball: {hb.polygon_cycle(tuned, LOW, HIGH, period=3)}")
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
    momenta = np.linspace(0.0, 0.99, 48)
    ranges = (hb.HeavyBall, np.linspace(0.002, 0.17, 64)), (hb.Nesterov, np.linspace(0.002, 0.1, 36))
    for ax, (method_type, lrs) in zip(axes, ranges, strict=True):
        found = hb.certified_map(method_type, lrs, momenta, LOW, HIGH)
        print(found)
        found.plot(ax=ax)
    axes[0].plot(tuned.lr, tuned.momentum, marker="*", markersize=11, color="white", markeredgecolor="black", zorder=7)
    axes[0].annotate("tuned for\nquadratics", (tuned.lr, tuned.momentum), xytext=(9, -18), textcoords="offset points",
                     fontsize=7.5, zorder=7,
                     bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8})  # fmt: skip
    for path in hb.figures.save(figure, folder / "certified_map"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
