"""Phase portraits of a ball in a double well: separatrices divide the basins, and damping decides how they wind."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Draw the double well without friction, with a little, and with much of it."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    well = hb.from_sympy("(x**2 - 1)**2/4", "x", minimizer=[1.0], window=[(-2.0, 2.0)])
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.8), layout="constrained")
    for ax, damping in zip(axes, (0.0, 0.3, 4.0), strict=True):
        portrait = hb.phase_portrait(hb.HeavyBallFlow(mass=1.0, damping=damping), well)
        hb.figures.plot_phase_portrait(portrait, ax=ax)
        ax.set_title(rf"damping $\gamma = {damping:g}$", fontsize="medium")
        print(f"damping {damping:g}:")
        print(portrait.summary())
    for path in hb.figures.save(figure, folder / "phase_portraits"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
