"""Colour travels along a path by one node a step, whatever the method."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

NODES = 40
METHODS = {
    "gradient descent, lr 0.49": hb.GradientDescent(0.49),
    "tuned heavy ball": hb.tune(hb.HeavyBall, *hb.PathColoring(NODES).spectrum[[0, -1]]),
    "Nesterov": hb.tune(hb.Nesterov, *hb.PathColoring(NODES).spectrum[[0, -1]]),
    "Adam, lr 0.05": hb.Adam(0.05),
}


def main(folder: Path | None = None) -> None:
    """Draw four fronts and print when the last node first moves."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    loss = hb.PathColoring(NODES)
    figure, axes = plt.subplots(2, 2, figsize=(9.4, 6.6), layout="constrained", sharex=True, sharey=True)
    for ax, (name, method) in zip(axes.flat, METHODS.items(), strict=True):
        run = hb.iterate(method, loss, np.zeros(NODES), steps=160)
        front = hb.arrival(run)
        hb.figures.plot_coloring_front(run, front, largest=1.2, colorbar=ax in axes[:, 1], ax=ax)
        ax.set_title(name)
        ax.label_outer()
        if ax is not axes[0, 0]:
            ax.get_legend().remove()
        print(f"{name}: the last node moves at step {front[-1]:.0f}; loss after 160 steps {run.value[-1]:.3g}")
    for path in hb.figures.save(figure, folder / "coloring_front"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
