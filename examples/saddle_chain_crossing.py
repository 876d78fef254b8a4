"""Saddles in a row: how momentum crosses them, and what the straightness of the way does not tell."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

COLOURS = {"0": "#1b1b1b", "0.5": "#e76300", "0.9": "#832db6", "0.99": "#3f90da"}


def main(folder: Path | None = None) -> None:
    """Run a chain of five saddles and the tilted washboard with several momenta."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(12.6, 4.2), layout="constrained")

    chain = hb.SaddleChain(5)
    runs = {beta: hb.iterate(hb.HeavyBall(0.02, float(beta)), chain, chain.start, steps=1500) for beta in COLOURS}
    crossings = {rf"$\beta = {beta}$": hb.saddles_crossed(run, chain) for beta, run in runs.items()}
    hb.figures.plot_saddle_crossing(crossings, ax=axes[0])
    axes[0].set(title="chain of five saddles, lr 0.02", xlabel="step $k$")

    board = hb.TiltedWashboard(amplitude=1.0, tilt=0.3)
    print("tilted washboard: momentum, saddles crossed, mean direction coherence over 50 steps")
    rolling, coherences = {}, {}
    for beta in COLOURS:
        run = hb.iterate(hb.HeavyBall(0.02, float(beta)), board, [-2.6, 1.0], steps=250)
        rolling[rf"$\beta = {beta}$"] = found = hb.saddles_crossed(run, board)
        coherences[beta] = hb.direction_coherence(run, window=50)
        print(f"{beta:>5} {int(found.number):3d} {np.nanmean(coherences[beta]):.3f}")
    hb.figures.plot_saddle_crossing(rolling, ax=axes[1])
    axes[1].set(title="tilted washboard, lr 0.02", xlabel="step $k$")
    for beta, coherence in coherences.items():
        axes[2].plot(coherence, color=COLOURS[beta], linewidth=1.3, label=rf"$\beta = {beta}$")
    axes[2].set(title="the same runs: direction coherence", xlabel="step $k$", ylabel="coherence over 50 steps",
                xlim=(0, 250), ylim=(-0.03, 1.05))  # fmt: skip
    for name, found in crossings.items():
        print(name, found.summary())
    for path in hb.figures.save(figure, folder / "saddle_chain_crossing"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
