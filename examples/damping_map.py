"""The class of every setting of heavy ball and Nesterov, with the modes of one loss."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Draw both maps side by side and print the classes of the loss's modes."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    lr, momentum = 0.02, 0.9
    curvature = np.array([0.05, 0.4, 4.0, 40.0, 120.0])
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
    for ax, method in zip(axes, (hb.HeavyBall, hb.Nesterov), strict=True):
        found = hb.stability_map(method, product=np.geomspace(1e-4, 6.0, 500))
        labels = [rf"$\lambda = {value:g}$" for value in curvature]
        hb.figures.plot_stability_map(found, product=lr * curvature, momentum=momentum, labels=labels, ax=ax)
        print(f"{method.__name__}(lr={lr}, momentum={momentum})")
        print(hb.analyze_modes(method(lr, momentum), curvature).summary())
    for path in hb.figures.save(figure, folder / "damping_map"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
