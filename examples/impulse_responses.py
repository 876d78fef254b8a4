"""What momentum methods make of past gradients: the weight of each, by probing the rules."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb

# Linear rules of one and the same long-run displacement per unit gradient, 1.
LINEAR = {
    "gradient descent": hb.GradientDescent(1.0),
    "heavy ball, 0.9": hb.HeavyBall(0.1, 0.9),
    "Nesterov from its look-ahead": hb.QuasiHyperbolicMomentum(1.0, 0.9, 0.9),
    "quasi-hyperbolic, discount 0.7": hb.QuasiHyperbolicMomentum(1.0, 0.9, 0.7),
    "aggregated, 0 / 0.9 / 0.99": hb.AggregatedMomentum(3 / 111, (0.0, 0.9, 0.99)),
    "PID, derivative 5": hb.PIDMomentum(0.1, 0.9, 5.0),
}
ADAPTIVE = {
    "Adam, betas 0.9 and 0.99": hb.Adam(1.0, 0.9, 0.99),
    "RMSProp, alpha 0.9": hb.RMSProp(1.0, 0.9),
    "AdaGrad": hb.AdaGrad(1.0),
}


def main(folder: Path | None = None) -> None:
    """Draw the weights of linear and of adaptive rules and print their sums."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    linear = {name: hb.impulse_response(method, steps=31) for name, method in LINEAR.items()}
    # A rule that is not linear has weights around a gradient: here after 60 steps of gradient 1.
    adaptive = {name: hb.impulse_response(rule, steps=60, around=1.0) for name, rule in ADAPTIVE.items()}
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.8), layout="constrained")
    hb.figures.plot_impulse_response(linear, ax=axes[0])
    axes[0].set(title="linear rules")
    # The zeros of gradient descent have no place on this axis.
    axes[0].set_yscale("log", nonpositive="mask")
    axes[0].set_ylim(1.5e-3, 1.6)
    hb.figures.plot_impulse_response(adaptive, ax=axes[1])
    axes[1].set_title("adaptive rules, around a constant gradient")
    axes[1].set_yscale("symlog", linthresh=0.02)
    axes[1].set_ylim(-0.3, 2.0)
    for name, found in {**linear, **adaptive}.items():
        print(name)
        print(found.summary())
    for path in hb.figures.save(figure, folder / "impulse_responses"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
