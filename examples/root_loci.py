"""Root loci: in the curvature in both planes, in the momentum, and in the mass."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Draw four loci of one setting and print their break-away points and limits."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    method = hb.HeavyBall(lr=0.02, momentum=0.9)
    flow = hb.to_physical(method).flow
    curvature = np.array([120.0, 30.0, 6.0, 1.0, 0.05])
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 8.6), layout="constrained")
    loci = [
        (hb.root_locus(method), hb.analyze_modes(method, curvature)),
        (hb.root_locus(flow, values=np.linspace(0.0, 7.0, 400)), hb.analyze_modes(flow, curvature[2:])),
        (hb.root_locus(method, "momentum", curvature=6.0), hb.analyze_modes(method, [6.0])),
        (hb.root_locus(flow, "mass", curvature=1.0), hb.analyze_modes(flow, [1.0])),
    ]
    notes = ("heavy ball", "its flow", r"heavy ball, $\lambda = 6$", r"its flow, $\lambda = 1$")
    for ax, (locus, modes), note in zip(axes.flat, loci, notes, strict=True):
        hb.figures.plot_root_locus(locus, modes=modes, ax=ax)
        ax.set_title(f"{ax.get_title()}: {note}", fontsize="medium")
        print(locus.summary())
    for path in hb.figures.save(figure, folder / "root_loci"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
