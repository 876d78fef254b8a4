"""`root_locus` against control.root_locus_map for the same 10,000 gains."""

from __future__ import annotations

import time

import control
import numpy as np

import heavyball_dynamics as hb

LR, MOMENTUM = 0.1, 0.9
CURVATURES = np.linspace(0.0, 40.0, 10_000)


def ours():
    return hb.root_locus(hb.HeavyBall(lr=LR, momentum=MOMENTUM), "curvature", CURVATURES)


def theirs():
    loop = control.tf([LR, 0.0], [1.0, -(1 + MOMENTUM), MOMENTUM], 1)
    return control.root_locus_map(loop, gains=CURVATURES).loci


def best_of(function, repetitions):
    best = np.inf
    for _ in range(repetitions):
        begun = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - begun)
    return best, result


def main() -> None:
    ours()
    control.root_locus_map(control.tf([1.0], [1.0, 1.0]), gains=[1.0])
    fast, locus = best_of(ours, 20)
    slow, loci = best_of(theirs, 3)
    # The two order their branches differently: compare the poles of each value as a set.
    asked = np.searchsorted(locus.values, CURVATURES)
    polynomial = np.max([
        np.abs(p**2 - (1 + MOMENTUM - LR * CURVATURES) * p + MOMENTUM) for p in locus.poles[asked].T
    ])  # fmt: skip
    theirs_too = np.max([np.abs(p**2 - (1 + MOMENTUM - LR * CURVATURES) * p + MOMENTUM) for p in loci.T])
    print(f"{'':38s} {'residual of the polynomial':>26}")
    print(f"{'values':>7} {'control [s]':>12} {'ours [s]':>9} {'ratio':>7} {'control':>12} {'ours':>13}")
    print(f"{len(CURVATURES):7d} {slow:12.3f} {fast:9.4f} {slow / fast:6.0f}x {theirs_too:12.1e} {polynomial:13.1e}")
    print(f"break-away points {locus.breakaway}, stability limit {locus.stability_limit}")


if __name__ == "__main__":
    main()
