"""Friction laws side by side: coasting on the flat, and swinging down a bowl to a stop."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

LAWS = {"dry, p = 0": 0.0, "p = 1/2": 0.5, "viscous, p = 1": 1.0, "p = 3/2": 1.5, "turbulent, p = 2": 2.0}
COEFFICIENT = 0.25


def flow(power: float) -> hb.HeavyBallFlow:
    """Return a ball under that friction alone."""
    return hb.HeavyBallFlow(mass=1.0, damping=0.0, friction=hb.PowerFriction(COEFFICIENT, power))


def main(folder: Path | None = None) -> None:
    """Draw both motions under every law, and print where and when they end."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, (flat, bowl) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    level, parabola = hb.Quadratic([0.0]), hb.Quadratic([1.0])
    print("law                 coasts, by t = 20    in the bowl, at t = 40")
    for name, power in LAWS.items():
        coasting = hb.integrate(flow(power), level, [0.0], [1.0], times=np.linspace(0, 20, 401))
        swinging = hb.integrate(flow(power), parabola, [2.1], times=np.linspace(0, 40, 801))
        hb.figures.plot_trajectory(coasting, labels=[name], ax=flat)
        hb.figures.plot_trajectory(swinging, labels=[name], ax=bowl)
        stopped = ["stands" if run.velocity[-1, 0] == 0 else "moves" for run in (coasting, swinging)]
        ends = [run.position[-1, 0] for run in (coasting, swinging)]
        print(f"{name:18}  {ends[0]:8.4f}, {stopped[0]:6}    {ends[1]:10.4f}, {stopped[1]}")
    flat.set(title="on the flat, from speed 1", ylim=(0, 8))
    bowl.axhspan(-COEFFICIENT, COEFFICIENT, color="0.9", zorder=0)
    bowl.annotate("dry friction holds here", (31, COEFFICIENT), xytext=(31, 0.8), ha="center", fontsize=7.5,
                  arrowprops={"arrowstyle": "-", "linewidth": 0.6})  # fmt: skip
    bowl.set(title="in the bowl x²/2, from rest")
    bowl.get_legend().remove()
    for path in hb.figures.save(figure, folder / "friction_laws"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
