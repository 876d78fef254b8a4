"""A race of all methods on two landscapes, each with the hyperparameters that are best for it there."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Race in the canyon and in Rosenbrock's valley; print the rankings and draw paths and losses."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    cases = [
        ("Canyon", hb.canyon(), [0.5, 10.0], 120),
        ("Rosenbrock", hb.rosenbrock(), [-1.2, 1.0], 300),
    ]
    figure, axes = plt.subplots(2, 2, figsize=(11.0, 8.0), layout="constrained")
    for (left, right), (name, loss, start, steps) in zip(axes, cases, strict=True):
        found = hb.race(None, loss, start, steps)
        print(f"{name}: {found}")
        hb.figures.plot_race_paths(found, ax=left)
        hb.figures.plot_race(found, ax=right)
        left.set_title(f"{name}, {left.get_title()}", fontsize="medium")
    for path in hb.figures.save(figure, folder / "race_of_methods"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
