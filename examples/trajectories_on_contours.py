"""Gradient descent, heavy ball, Nesterov and the flow of the heavy ball on level lines."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Draw the canyon and Rosenbrock's valley, and print where the runs end."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
    # Loss, start, learning rate of all methods, their momentum, steps, window.
    cases = [
        ("Canyon", hb.canyon(), [0.5, 10.0], 0.012, 0.8, 60, ((-0.9, 0.9), (-6.0, 11.0))),
        ("Rosenbrock", hb.rosenbrock(), [-1.2, 1.0], 1e-3, 0.9, 300, ((-1.6, 1.6), (-0.6, 2.0))),
    ]
    for ax, (name, loss, start, lr, momentum, steps, window) in zip(axes, cases, strict=True):
        method = hb.HeavyBall(lr, momentum)
        physical = hb.to_physical(method)
        released = physical.start_velocity(loss.gradient(start))
        runs = {
            "gradient descent": hb.iterate(hb.GradientDescent(lr), loss, start, steps),
            "heavy ball": hb.iterate(method, loss, start, steps),
            "Nesterov": hb.iterate(hb.Nesterov(lr, momentum), loss, start, steps),
            "flow of the heavy ball": hb.integrate(physical.flow, loss, start, released, duration=steps * physical.dt),
        }
        hb.figures.plot_contours(hb.contours(loss, window), ax=ax)
        for label, run in runs.items():
            hb.figures.plot_trajectory(run, labels=[label], ax=ax)
            print(f"{name}, {label}: {run.summary().splitlines()[-1]}")
        ax.set_title(name, fontsize="medium")
        if ax is axes[1]:
            ax.get_legend().remove()  # the left one says it all
    for path in hb.figures.save(figure, folder / "trajectories_on_contours"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
