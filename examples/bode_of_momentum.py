"""Momentum as a low-pass filter of the gradient, in the variables of four traditions and closed on curvatures."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb

LR, MOMENTUM = 0.05, 0.9
CURVATURES = [0.02, 1.0, 30.0]


def main(folder: Path | None = None) -> None:
    """Draw the filters and print cut-off and averaging window of each."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    dialects = {
        "torch, sum of gradients": hb.dialect_response("torch", lr=LR, momentum=MOMENTUM),
        "ema, average of gradients": hb.dialect_response("ema", lr=LR, momentum=MOMENTUM),
        "keras, displacement": hb.dialect_response("keras", lr=LR, momentum=MOMENTUM),
        "goodfellow, displacement": hb.dialect_response("goodfellow", lr=LR, momentum=MOMENTUM),
    }
    updates = {
        "heavy ball": hb.dialect_response("torch", lr=LR, momentum=MOMENTUM, output="update"),
        "Nesterov": hb.dialect_response("torch", lr=LR, momentum=MOMENTUM, nesterov=True, output="update"),
    }
    method = hb.HeavyBall(LR, MOMENTUM)
    closed = {"": hb.frequency_response(method, curvature=CURVATURES, output="position")}
    for name, found in {**dialects, **updates, "on a loss": closed[""]}.items():
        print(f"{name}\n{found.summary()}")
    figure, axes = plt.subplots(2, 3, figsize=(11.6, 6.2), layout="constrained", sharex="col", height_ratios=(3, 2))
    panels = [(dialects, "the momentum buffer in four dialects"), (updates, "the update of the stored parameters"),
              (closed, "position under an error of the gradient")]  # fmt: skip
    for column, (responses, title) in zip(axes.T, panels, strict=True):
        hb.figures.plot_bode(responses, ax=column[0], phase_ax=column[1])
        column[0].set_title(title, fontsize="medium")
    for path in hb.figures.save(figure, folder / "bode_of_momentum"):
        print(path)
    plt.close(figure)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
