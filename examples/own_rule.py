"""An update rule of one's own, with three states, through everything the package does; nothing is registered."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb


class TwoBuffers(NamedTuple):
    """Position, a fast buffer and a slow one."""

    position: Any
    fast: Any
    slow: Any


@dataclass(frozen=True)
class Aggregated:
    """Two momentum buffers, averaged (Lucas, Sun, Zemel and Grosse, "Aggregated momentum", 2019, eq. (3))."""

    lr: float
    fast: float
    slow: float

    def init(self, position: Any, velocity: Any, objective: Any) -> TwoBuffers:  # noqa: ARG002
        """Start with both buffers moving at `velocity`."""
        return TwoBuffers(position, velocity, velocity)

    def step(self, k: int, state: TwoBuffers, objective: Any) -> TwoBuffers:  # noqa: ARG002
        """Feed the gradient to both buffers and move by their mean."""
        pull = self.lr * objective.gradient(state.position)
        fast, slow = self.fast * state.fast - pull, self.slow * state.slow - pull
        return TwoBuffers(state.position + 0.5 * (fast + slow), fast, slow)


def main(folder: Path | None = None) -> None:
    """Run, linearize and draw the rule."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    rule = Aggregated(lr=0.008, fast=0.0, slow=0.95)
    loss = hb.canyon()
    modes = hb.analyze_modes(rule, loss.spectrum)
    print(modes.summary())
    locus = hb.root_locus(rule, values=np.linspace(0.0, 280.0, 800))
    print(locus.summary())
    run = hb.iterate(rule, loss, [0.5, 10.0], steps=200)
    print(run.summary())
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained")
    hb.figures.plot_root_locus(locus, modes=modes, ax=axes[0])
    window = ((-0.7, 0.7), (-9.0, 11.0))
    hb.figures.plot_trajectory(run, contours=hb.contours(loss, window), labels=["aggregated momentum"], ax=axes[1])
    for path in hb.figures.save(figure, folder / "own_rule"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
