"""How much tuned momentum bears: the robustness cards of three methods on the spectrum of one loss."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import pyplot as plt

import heavyball_dynamics as hb

CURVATURES = [1.0, 4.0, 16.0, 64.0, 100.0]
METHODS = {
    "heavy_ball": hb.tune(hb.HeavyBall, 1.0, 100.0),
    "nesterov": hb.tune(hb.Nesterov, 1.0, 100.0, variant="standard"),
    "gradient_descent": hb.tune(hb.GradientDescent, 1.0, 100.0),
}


def main(folder: Path | None = None) -> None:
    """Draw and print the cards."""
    folder = Path("figures") if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, method in METHODS.items():
        found = hb.robustness(method, CURVATURES)
        print(f"{name}, tuned for curvatures from 1 to 100")
        print(found)
        ax = hb.figures.plot_robustness(found)
        ax.set_title(f"{name.replace('_', ' ')}, tuned for curvatures from 1 to 100", loc="left", fontsize=9, pad=30)
        for path in hb.figures.save(ax.figure, folder / f"robustness_card_{name}"):
            print(path)
        plt.close(ax.figure)
    # What a card says of one mode, the one nearest to divergence.
    print(hb.robustness(METHODS["heavy_ball"], 100.0))
    print(hb.circle_criterion(METHODS["heavy_ball"], 1.0, 100.0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
