"""`analyze_modes` on a grid of settings against a Python loop over numpy.roots."""

from __future__ import annotations

import time

import numpy as np

import heavyball_dynamics as hb

LR = np.geomspace(1e-3, 1.0, 100)
MOMENTUM = np.linspace(0.0, 0.99, 100)
CURVATURE = np.geomspace(0.01, 2.0, 10)


def loop():
    """Return classes and rates, (lr, momentum, mode), decided from the computed roots."""
    classes = np.empty((len(LR), len(MOMENTUM), len(CURVATURE)), dtype=int)
    rates = np.empty(classes.shape)
    for i, lr in enumerate(LR):
        for j, momentum in enumerate(MOMENTUM):
            for k, curvature in enumerate(CURVATURE):
                one, two = sorted(np.roots([1.0, -(1 + momentum - lr * curvature), momentum]), key=abs)
                rates[i, j, k] = rate = abs(two)
                if rate > 1:
                    kind = hb.DampingClass.DIVERGENT
                elif abs(one - two) <= 1e-5 * abs(one + two) / 2:
                    kind = hb.DampingClass.CRITICAL
                elif abs(two.imag) > 0:
                    kind = hb.DampingClass.UNDERDAMPED
                elif two.real < 0:
                    kind = hb.DampingClass.ALTERNATING
                else:
                    kind = hb.DampingClass.OVERDAMPED
                classes[i, j, k] = kind
    return classes, rates


def grid():
    """Return classes and rates of the same settings; the poles are computed too."""
    modes = hb.analyze_modes(hb.HeavyBall(lr=LR[:, None], momentum=MOMENTUM), CURVATURE)
    poles = modes.poles
    assert poles.shape == (100, 100, 10, 2)
    return modes.damping, modes.rate


def best_of(function, repetitions):
    best = np.inf
    for _ in range(repetitions):
        begun = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - begun)
    return best, result


def main() -> None:
    grid()
    fast, (classes, rates) = best_of(grid, 7)
    slow, (their_classes, their_rates) = best_of(loop, 1)
    same, apart, number = np.mean(classes == their_classes), np.abs(rates - their_rates).max(), LR.size * MOMENTUM.size
    print(f"{'settings':>9} {'modes':>7} {'loop [s]':>9} {'grid [s]':>9} {'ratio':>7} {'same class':>11} {'apart':>8}")
    print(f"{number:9d} {rates.size:7d} {slow:9.2f} {fast:9.4f} {slow / fast:6.0f}x {same:11.4f} {apart:8.1e}")


if __name__ == "__main__":
    main()
