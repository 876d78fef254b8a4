"""The speed that momentum reaches on a constant slope, as a multiple of gradient descent's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Run momentum 0.5, 0.9 and 0.99 down a slope, draw the displacements and print their limits."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    momentum = np.array([0.99, 0.9, 0.5, 0.0])
    found = hb.terminal_velocity(hb.HeavyBall(lr=0.01, momentum=momentum), gradient=3.0, steps=1000)
    figure, ax = plt.subplots(figsize=(5.4, 3.8), layout="constrained")
    labels = [rf"$\beta = {beta:g}$" if beta else "gradient descent" for beta in momentum]
    hb.figures.plot_terminal_velocity(found, labels=labels, ax=ax)
    print(found.summary())
    for path in hb.figures.save(figure, folder / "terminal_velocity"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
