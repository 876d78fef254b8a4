"""An update rule of one's own, with three states, through everything the package does; nothing is registered."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

START = [0.5, 10.0]
NOISE = 1.0  # variance of every coordinate of the gradient


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


def bear(rule: Aggregated, loss: hb.Quadratic) -> tuple[hb.ExpectedLoss, hb.DelayLimits]:
    """Say what the rule bears: a changed loop, noisy gradients and stale ones."""
    stiffest = loss.spectrum[-1:]
    print(hb.robustness(rule, stiffest).summary())
    spread = hb.stationary_covariance(rule, loss.spectrum, noise=NOISE)[:, 0, 0]
    print("variance of the position in the end:", np.array2string(spread, precision=4))
    expected = hb.expected_loss(rule, loss, START, steps=200, noise=NOISE)
    print(expected.summary())
    limits = hb.delay_limits(rule, [0, 1, 2, 5, 10, 20, 50, 100], stiffest[0])
    for delay, largest in zip(limits.delays[:3], limits.limit[:3], strict=True):
        stale = hb.Delayed(rule, int(delay))
        stable = bool(hb.analyze_modes(stale, loss.spectrum).stable.all())
        print(f"delay {delay:g}: stable below lr = {largest:.4g}; at lr = {rule.lr} {'' if stable else 'not '}stable")
    return expected, limits


def main(folder: Path | None = None) -> None:
    """Run, linearize, test and draw the rule."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    rule = Aggregated(lr=0.008, fast=0.0, slow=0.95)
    loss = hb.canyon()
    modes = hb.analyze_modes(rule, loss.spectrum)
    print(modes.summary())
    locus = hb.root_locus(rule, values=np.linspace(0.0, 280.0, 800))
    print(locus.summary())
    run = hb.iterate(rule, loss, START, steps=200)
    print(run.summary())
    expected, limits = bear(rule, loss)
    noisy = hb.iterate(rule, hb.NoisyGradient(loss, NOISE, seed=1), np.broadcast_to(START, (1000, 2)), steps=200)
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 8.2), layout="constrained")
    hb.figures.plot_root_locus(locus, modes=modes, ax=axes[0, 0])
    window = ((-0.7, 0.7), (-9.0, 11.0))
    contours = hb.contours(loss, window)
    hb.figures.plot_trajectory(run, contours=contours, labels=["aggregated momentum"], ax=axes[0, 1])
    hb.figures.plot_expected_loss(expected, runs=noisy, ax=axes[1, 0])
    hb.figures.plot_delay_limits(limits, ax=axes[1, 1]).set_title("Stale gradients", fontsize="medium")
    for path in hb.figures.save(figure, folder / "own_rule"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
