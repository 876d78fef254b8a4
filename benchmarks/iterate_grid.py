"""`iterate` for 10,000 settings of (lr, momentum) in one call against a Python loop over the settings."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np

import heavyball_dynamics as hb

STEPS = 500
LR = np.geomspace(1e-5, 1e-3, 100)
MOMENTUM = np.linspace(0.0, 0.99, 100)
START = np.array([-1.2, 1.0])
SAMPLE = 100  # settings of the loop; its time is scaled


def batch(save_every=STEPS):
    method = hb.HeavyBall(lr=LR[:, None], momentum=MOMENTUM)
    return hb.iterate(method, hb.rosenbrock(), START, steps=STEPS, save_every=save_every)


def loop(settings):
    ends = []
    for lr, momentum in settings:
        x, y = START.tolist()
        vx = vy = 0.0
        for _ in range(STEPS):
            slope = y - x * x
            vx = momentum * vx - lr * (-2 * (1 - x) - 400 * x * slope)
            vy = momentum * vy - lr * 200 * slope
            x, y = x + vx, y + vy
            if abs(x) > 1e100:  # plain Python floats raise where they overflow
                x = y = np.nan
                break
        ends.append((x, y))
    return np.array(ends)


def best_of(function, *arguments, repetitions):
    best = np.inf
    for _ in range(repetitions):
        begun = time.perf_counter()
        result = function(*arguments)
        best = min(best, time.perf_counter() - begun)
    return best, result


def peak(save_every):
    tracemalloc.start()
    batch(save_every)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return megabytes


def main() -> None:
    batch()
    settings = np.stack(np.broadcast_arrays(LR[:, None], MOMENTUM), axis=-1).reshape(-1, 2)
    sampled = np.random.default_rng(0).permutation(len(settings))[:SAMPLE]
    fast, run = best_of(batch, repetitions=3)
    slow, ends = best_of(loop, settings[sampled], repetitions=3)
    slow *= len(settings) / SAMPLE
    ours = run.position[..., -1, :].reshape(-1, 2)[sampled]
    both = np.isfinite(ours).all(-1) & np.isfinite(ends).all(-1)
    apart = np.abs(ours[both] - ends[both]).max()
    print(f"{'settings':>9} {'steps':>6} {'batch [s]':>10} {'steps·settings/s':>17} {'loop [s]':>9} {'ratio':>7} "
          f"{'apart':>8} {'peak MB':>8} {'peak MB, 51 saved':>18}")  # fmt: skip
    speed = len(settings) * STEPS / fast
    print(f"{len(settings):9d} {STEPS:6d} {fast:10.3f} {speed:17.2e} {slow:9.1f} {slow / fast:6.0f}x "
          f"{apart:8.0e} {peak(STEPS):8.1f} {peak(10):18.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
