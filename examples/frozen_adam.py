"""Adam drives its preconditioned curvature up to the edge of stability, 2(1+β₁)/(1-β₁), and stays there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import heavyball_dynamics as hb

STEPS = 3000
METHODS = {
    "Adam, $β_1$ = 0.9": hb.Adam(lr=0.005, beta1=0.9, beta2=0.99),
    "Adam, $β_1$ = 0.5": hb.Adam(lr=0.005, beta1=0.5, beta2=0.99),
    "RMSProp": hb.RMSProp(lr=0.005, alpha=0.99),
}


def main(folder: Path | None = None) -> None:
    """Run adaptive methods on a linear network and freeze their preconditioners along the way."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4)) * [3.0, 2.0, 1.0, 0.5]
    targets = np.tanh(features @ rng.normal(size=(4, 2))) + 0.1 * rng.normal(size=(60, 2))
    loss = hb.LinearNetwork(features, targets, hidden=2)
    start = 0.3 * rng.normal(size=loss.dim)
    at = np.unique(np.linspace(0, STEPS, 151).round())
    figure, axes = plt.subplots(1, len(METHODS), figsize=(12.6, 4.2), layout="constrained", sharey=True)
    print("method              edge   preconditioned sharpness / edge: after 100 steps, mean of the last third")
    for ax, (name, method) in zip(axes, METHODS.items(), strict=True):
        found = hb.frozen_preconditioner(method, loss, start, STEPS, at=at)
        late = found.ratio[found.time >= 2 * STEPS / 3].mean()
        print(f"{name:18s}  {found.threshold[-1]:4.1f}   {found.ratio[found.time == 100][0]:.3f}, {late:.3f}")
        hb.figures.plot_frozen_preconditioner(found, ax=ax)
        ax.set_title(name, fontsize="medium")
        ax.label_outer()
    axes[0].set_ylim(1e-4, 200)
    for path in hb.figures.save(figure, folder / "frozen_adam"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
