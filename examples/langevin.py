"""A ball in a bath of heat: exact samples, equipartition over the time step, and a double well when warm and cold."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import heavyball_dynamics as hb

FLOW = hb.LangevinFlow(mass=1.0, damping=0.5, temperature=2.0)
CURVATURE, SAMPLES = 4.0, 4000


def main(folder: Path | None = None) -> None:
    """Draw ellipses, equipartition and densities, and print how far the measured ones are off."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(13.0, 4.4), layout="constrained")
    draw_spreading(axes[0])
    draw_equipartition(axes[1])
    draw_double_well(axes[2])
    for path in hb.figures.save(figure, folder / "langevin"):
        print(path)
    plt.close(figure)


def draw_spreading(ax: Axes) -> None:
    """Let a cloud spread from one point and draw its ellipses, up to the exact stationary one."""
    times = np.array([0.0, 0.3, 0.8, 1.6, 40.0])
    start = np.full((SAMPLES, 1), 3.0)
    run = hb.sample_flow(FLOW, hb.Quadratic([CURVATURE]), start, times=times, seed=1)
    states = np.stack([run.position[..., 0], run.velocity[..., 0]], axis=-1)
    matrices = [np.cov(states[:, i].T) for i in range(1, len(times))]
    exact = hb.stationary_covariance(FLOW, [CURVATURE], noise=FLOW.noise)[0]
    centres = np.vstack([states[:, 1:].mean(axis=0), np.zeros((1, 2))])
    labels = [*(f"sampled, t = {t:g}" for t in times[1:]), "exact, in the end"]
    hb.figures.plot_covariance([*matrices, exact], labels=labels, centre=centres, deviations=(2.0,),
                               points=states[:, -1], ax=ax)  # fmt: skip
    ax.set_title("Two standard deviations", fontsize="medium")
    kinetic, potential = 0.5 * run.velocity[:, -1, 0] ** 2, run.value[:, -1]
    for name, energy in (("kinetic", kinetic), ("potential", potential)):
        error = energy.std(ddof=1) / np.sqrt(SAMPLES)
        print(f"exact samples: mean {name} energy {energy.mean():.3f} ± {error:.3f}, T/2 = {FLOW.temperature / 2:g}")


def draw_equipartition(ax: Axes) -> None:
    """Measure both energies over the time step of the splitting: positions stay right, velocities do not."""
    steps = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
    bath = FLOW.thermostat(hb.Quadratic([CURVATURE]), seed=2)
    run = hb.iterate(FLOW.method(steps[:, None]), bath, np.zeros((len(steps), SAMPLES, 1)), 400, save_every=400)
    energies = {"potential": run.value[..., -1], "kinetic": run.energy[..., -1] - run.value[..., -1]}
    exact = {"potential": np.ones_like(steps), "kinetic": 1 - steps**2 * CURVATURE / 4}
    for (name, energy), colour, marker in zip(energies.items(), ("#3f90da", "#e76300"), ("o", "s"), strict=True):
        mean, error = energy.mean(axis=-1), energy.std(axis=-1, ddof=1) / np.sqrt(SAMPLES)
        ax.plot(steps, exact[name] * FLOW.temperature / 2, color=colour, linewidth=1.0)
        ax.errorbar(steps, mean, 2 * error, color=colour, marker=marker, linestyle="", markersize=4, label=name)
        off = np.abs(mean - exact[name] * FLOW.temperature / 2) / error
        print(f"splitting, {name} energy: off by {off.max():.1f} standard errors at most from theory")
    ax.set(xlabel="time step $h$", ylabel="mean energy")
    ax.set_title("Equipartition over the step", fontsize="medium")
    ax.legend(fontsize=7.5, loc="lower left")


def draw_double_well(ax: Axes) -> None:
    """Draw histograms in a double well against Gibbs' density."""
    well = hb.double_well()
    grid = np.linspace(-2.2, 2.2, 401)
    line = np.zeros((len(grid), well.dim))
    line[:, 0] = grid
    temperatures = np.array([0.05, 0.15, 0.5])
    flow = hb.LangevinFlow(mass=1.0, damping=0.5, temperature=temperatures[:, None])
    start = np.zeros((len(temperatures), SAMPLES, well.dim))
    run = hb.iterate(flow.method(0.2), flow.thermostat(well, seed=3), start, 600, save_every=600)
    for temperature, sample, colour in zip(temperatures, run.position[:, :, -1, 0], ("#1b1b1b", "#e76300", "#3f90da"),
                                           strict=True):  # fmt: skip
        weight = np.exp(-(well.value(line) - well.value(line).min()) / temperature)
        density = weight / np.trapezoid(weight, grid)
        ax.hist(sample, bins=60, range=(-2.2, 2.2), density=True, color=colour, alpha=0.25)
        ax.plot(grid, density, color=colour, linewidth=1.3, label=f"T = {temperature:g}")
        print(f"double well at T = {temperature:g}: mean square position {np.mean(sample**2):.3f}, by Gibbs "
              f"{np.trapezoid(density * grid**2, grid):.3f}")  # fmt: skip
    ax.set(xlabel="$x_1$", ylabel="density")
    ax.set_title("Double well: samples and Gibbs' density", fontsize="medium")
    ax.legend(fontsize=7.5)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
