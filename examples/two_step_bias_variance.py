"""Nesterov against the heavy ball after two noisy steps, and why its threshold says nothing of later ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

MOMENTUM = 0.9
KINDS = {"heavy ball": hb.HeavyBall, "Nesterov": hb.Nesterov}


def main(folder: Path | None = None) -> None:
    """Draw bias and variance over q after two steps and after twelve, and print where the curves of two cross."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    q = np.linspace(0.0, 1.6, 801)
    found = {name: hb.bias_variance(kind(1.0, MOMENTUM), q, steps=12) for name, kind in KINDS.items()}
    critical = 2 * (1 + MOMENTUM) / (2 + MOMENTUM)
    figure, axes = plt.subplots(2, 2, figsize=(8.6, 6.4), layout="constrained", sharex=True)
    for row, step in zip(axes, (2, 12), strict=True):
        for ax, show in zip(row, ("variance", "bias_squared"), strict=True):
            hb.figures.plot_bias_variance(found, show=show, step=step, lr=1.0, ax=ax)
            ball, ahead = (getattr(each, show)[:, step] for each in found.values())
            if step > 2:
                ax.set_yscale("log")
                ax.set_ylim(bottom=0.1 if show == "variance" else 1e-10)
            else:
                ax.get_legend().remove()
                ax.set_xlabel("")
            # At the left end, where both start, they touch.
            crossing = q[1:-1][np.diff(np.sign(ahead - ball)[1:]) != 0]
            for place in crossing:
                ax.axvline(place, color="0.6", linewidth=0.7, zorder=0)
            print(f"{show} after step {step}: the curves cross at q = {', '.join(f'{x:.3f}' for x in crossing)}")
    axes[0, 0].annotate(
        rf"$q = \frac{{2(1+\beta)}}{{2+\beta}} = {critical:.3f}$", (critical, axes[0, 0].get_ylim()[1]),
        xytext=(-4, -6), textcoords="offset points", ha="right", va="top", fontsize=8,
    )  # fmt: skip
    figure.suptitle(rf"$\beta = {MOMENTUM}$, start $x_0 = 1$ at rest, noise $\sigma = 1$, $\eta = 1$", fontsize=10)
    for path in hb.figures.save(figure, folder / "two_step_bias_variance"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
