"""`integrate` on a batch of trajectories against a loop over solve_ivp with a right-hand side written by hand.

A ball with mass and friction rolls on Rosenbrock's valley, from random starts, for 20 units of time, saved 201 times.
Both sides use DOP853 with the same tolerances. ``--quick`` loops over a tenth of the trajectories and scales its time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.integrate import solve_ivp

import heavyball_dynamics as hb

RTOL, ATOL = 1e-8, 1e-10
DAMPING = 1.0
TIMES = np.linspace(0.0, 20.0, 201)


def by_hand(_, state):
    x, y, vx, vy = state
    slope = y - x * x
    return [vx, vy, 2 * (1 - x) + 400 * x * slope - DAMPING * vx, -200 * slope - DAMPING * vy]


def loop(starts, rtol=RTOL, atol=ATOL):
    """Return positions (trajectory, time, 2)."""
    runs = [
        solve_ivp(by_hand, (0.0, TIMES[-1]), [x, y, 0.0, 0.0], method="DOP853", t_eval=TIMES, rtol=rtol, atol=atol)
        for x, y in starts
    ]
    return np.stack([run.y[:2].T for run in runs])


def batch(starts, rtol=RTOL, atol=ATOL):
    """Return positions (trajectory, time, 2)."""
    flow = hb.HeavyBallFlow(mass=1.0, damping=DAMPING)
    return hb.integrate(flow, hb.rosenbrock(), starts, times=TIMES, rtol=rtol, atol=atol).position


def timed(function, *arguments, repetitions=1):
    """Return the best time and the last result."""
    best = np.inf
    for _ in range(repetitions):
        begun = time.perf_counter()
        result = function(*arguments)
        best = min(best, time.perf_counter() - begun)
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="loop over a tenth of the trajectories")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(0)
    batch(rng.uniform(-1.5, 1.5, (2, 2)))
    loop(rng.uniform(-1.5, 1.5, (2, 2)))
    print(f"{'':44s} {'largest and median error':>40}")
    print(f"{'trajectories':>12} {'loop [s]':>10} {'batch [s]':>10} {'ratio':>7} {'loop':>20} {'batch':>20}")
    for number in (400, 1000):
        starts = rng.uniform(-1.5, 1.5, (number, 2))
        some = starts[:: 10 if quick else 1]
        fast, ours = timed(batch, starts, repetitions=5)
        slow, theirs = timed(loop, some)
        slow *= number / len(some)
        # What is measured against: one by one, so that nothing of the batch is in it.
        checked = some[:: 1 if quick else 10]
        exact = loop(checked, rtol=1e-12, atol=1e-14)
        errors = [np.abs(run - exact).max(axis=(1, 2)) for run in (theirs[:: 1 if quick else 10], ours[::10])]
        columns = " ".join(f"{error.max():11.1e} {np.median(error):8.1e}" for error in errors)
        print(f"{number:12d} {slow:10.2f} {fast:10.3f} {slow / fast:6.0f}x {columns}")


if __name__ == "__main__":
    main()
