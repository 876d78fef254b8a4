"""Where runs end as the learning rate grows: momentum beyond its limit, and Adam on a parabola."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb


def main(folder: Path | None = None) -> None:
    """Draw three diagrams, and print cycles that Newton's method finds."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(14.4, 4.0), layout="constrained")

    # The heavy ball in a double well: beyond the limit it does not diverge, it goes to and fro, and then into chaos.
    ball = hb.HeavyBall(lr=1.0, momentum=0.5)
    found = hb.bifurcation_diagram(ball, hb.double_well(), [1.1, 0.1], np.linspace(1.4, 1.8, 801), warmup=4000)
    print("Heavy ball in a double well:", found, sep="\n")
    hb.figures.plot_bifurcation(found, ax=axes[0])
    axes[0].set_title("Heavy ball in a double well, β = .5", fontsize="medium", pad=20)

    # The tuned heavy ball on the counter-example: with one learning rate, by the start, at rest or on a cycle.
    loss, tuned = hb.LessardCounterexample(), hb.tune(hb.HeavyBall, 1.0, 25.0)
    found = hb.bifurcation_diagram(tuned, loss, [[3.3], [0.5]], np.linspace(0.1, 0.1152, 401))
    hb.figures.plot_bifurcation(found, ax=axes[1])
    axes[1].axvline(tuned.lr, color="black", linewidth=0.8, linestyle=":")
    axes[1].annotate("tuned", (tuned.lr, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8)
    title = "Heavy ball on the counter-example, β = 4/9:\nstarts 3.3 (black) and 0.5"
    axes[1].set_title(title, fontsize="medium", pad=14)
    print("Tuned heavy ball on the counter-example:", hb.find_cycle(tuned, loss, [3.3], period=3), sep="\n")

    # Adam on a parabola: x = ±(ημ/2 - ε/λ) with μ = (1-β₁)/(1+β₁), from where that is positive.
    eps, beta1 = 0.1, 0.5
    adam = hb.Adam(lr=0.1, beta1=beta1, beta2=0.9, eps=eps)
    lrs = np.linspace(0.4, 1.0, 801)
    found = hb.bifurcation_diagram(adam, hb.Quadratic([1.0]), [0.1], lrs, warmup=4000)
    hb.figures.plot_bifurcation(found, ax=axes[2])
    size = np.maximum(lrs * (1 - beta1) / (1 + beta1) / 2 - eps, 0.0)
    for sign, label in ((1, "cycle of period 2, exactly"), (-1, "_below")):
        axes[2].plot(lrs, sign * size, color="#e76300", linewidth=1.0, linestyle="--", label=label)
    axes[2].legend(fontsize=7.5, loc="lower left")
    axes[2].set_title("Adam on a parabola, β₁ = .5, β₂ = .9, ε = .1", fontsize="medium", pad=20)
    for lr in (0.65, 0.8):
        method = replace(adam, lr=lr)
        print(f"Adam at lr = {lr}:", hb.find_cycle(method, hb.Quadratic([1.0]), [0.05], 2, k=math.inf), sep="\n")

    for path in hb.figures.save(figure, folder / "bifurcation_diagram"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
