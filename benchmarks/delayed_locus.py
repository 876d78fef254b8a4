"""`delayed_locus` with 100 steps of delay against control.root_locus_map with its default gains.

The peer takes minutes. `--limit SECONDS` stops it after that time (900 by default), and the ratio is then a lower
bound; `--skip` leaves it out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import control
import numpy as np

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.delayed_loci import delayed_locus

DELAY = 100
METHODS = {
    "gradient descent": (hb.GradientDescent(1.0), [1.0], [1.0, -1.0]),
    "heavy ball 0.9": (hb.HeavyBall(1.0, 0.9), [1.0, 0.0], [1.0, -1.9, 0.9]),
    "Nesterov 0.9": (hb.Nesterov(1.0, 0.9), [1.9, -0.9], [1.0, -1.9, 0.9]),
}


def theirs(queue: multiprocessing.Queue) -> None:
    """Time python-control on gradient descent, in a process that can be stopped."""
    _, above, below = METHODS["gradient descent"]
    loop = control.tf(above, [*below, *[0.0] * DELAY], 1)
    begun = time.perf_counter()
    found = control.root_locus_map(loop)
    queue.put((time.perf_counter() - begun, found.gains, found.loci))


def time_theirs(limit: float) -> tuple[float, np.ndarray | None, np.ndarray | None]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=theirs, args=(queue,))
    begun = time.perf_counter()
    process.start()
    try:
        return queue.get(timeout=limit)
    except Exception:  # noqa: BLE001 - queue.Empty, whatever the platform calls it
        process.terminate()
        return time.perf_counter() - begun, None, None


def jump(poles: np.ndarray) -> float:
    return float(np.abs(np.diff(poles, axis=0)).max())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--limit", type=float, default=900.0)
    options.add_argument("--skip", action="store_true")
    chosen = options.parse_args()
    print(f"delay {DELAY}: {'':16s} {'time [s]':>9} {'values':>7} {'largest jump':>13}   stability limit")
    first = np.inf
    for name, (method, _, _) in METHODS.items():
        best = np.inf
        for _ in range(5):
            begun = time.perf_counter()
            locus = delayed_locus(method, DELAY)
            best = min(best, time.perf_counter() - begun)
        first = min(first, best) if name == "gradient descent" else first
        limit = ", ".join(f"{value:.10g}" for value in locus.stability_limit)
        print(f"ours, {name:20s} {best:9.3f} {len(locus.values):7d} {jump(locus.poles):13.4f}   {limit}")
    if chosen.skip:
        return
    slow, gains, loci = time_theirs(chosen.limit)
    if loci is None:
        print(f"control, gradient descent  > {slow:7.1f}: stopped; ours is more than {slow / first:.0f} times faster")
        return
    later = gains >= 1e-12
    far = jump(loci[later])
    print(f"control, gradient descent  {slow:9.1f} {len(gains):7d} {far:13.4f}   ratio {slow / first:.0f}x")


if __name__ == "__main__":
    main()
