"""Covariances as ellipses in the plane of position and velocity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._types import ArrayLike
from heavyball_dynamics._validation import real_array
from heavyball_dynamics.figures.style import LINES, SMALL, axes_for, below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 1.5, 1, 1.5)))


def plot_covariance(
    covariance: ArrayLike, *, labels: Sequence[str] | None = None, deviations: Sequence[float] = (1.0, 2.0),
    centre: ArrayLike = (0.0, 0.0), components: tuple[int, int] = (0, 1), points: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw covariance matrices as ellipses, one curve for each number of standard deviations.

    Parameters
    ----------
    covariance : array (*batch, state, state)
        For example what `hb.stationary_covariance` returned. Matrices that are not finite are left out.
    labels : sequence of str, optional
        Names of the matrices, in the order of the flattened batch.
    deviations : sequence of float
        Mahalanobis distances r of the curves; of a normal distribution 1 - exp(-r²/2) lies inside.
    centre : array (2,) or (*batch, 2)
        Mean.
    components : (int, int)
        Which two parts of the state span the plane: position and velocity by default.
    points : array (*, 2), optional
        Samples to scatter beneath.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the matrices are not square, or too small for the components.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.stationary_covariance(hb.HeavyBall(0.1, 0.9), [0.5, 2.0])
    >>> hb.figures.plot_covariance(found, labels=["flat", "steep"]).get_xlabel()
    'position'
    """
    matrices = real_array("covariance", covariance, finite=False)
    i, j = components
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2] or matrices.shape[-1] <= max(i, j):
        raise ValueError(
            f"`covariance` must have shape (*batch, state, state) with more than {max(i, j)} parts of the state. "
            f"Received shape {matrices.shape}."
        )
    plane = matrices[..., [[i, i], [j, j]], [[i, j], [i, j]]]
    middles = np.broadcast_to(real_array("centre", centre), plane.shape[:-1]).reshape(-1, 2)
    ax = axes_for(ax, 4.4, 3.8)
    if points is not None:
        cloud = np.asarray(points, dtype=float).reshape(-1, 2)
        ax.scatter(cloud[:, 0], cloud[:, 1], s=3, color="0.65", linewidths=0, zorder=1, label="samples",
                   rasterized=True)  # fmt: skip
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    number = 0
    for n, (matrix, middle) in enumerate(zip(plane.reshape(-1, 2, 2), middles, strict=True)):
        if not np.isfinite(matrix).all():
            continue
        values, vectors = np.linalg.eigh(matrix)
        shape = (vectors * np.sqrt(np.maximum(values, 0.0))) @ circle
        colour, dashes = LINES[number % len(LINES)], _DASHES[number % len(_DASHES)]
        for m, radius in enumerate(deviations):
            name = labels[n] if labels is not None and n < len(labels) else f"[{n}]"
            ax.plot(middle[0] + radius * shape[0], middle[1] + radius * shape[1], color=colour, linestyle=dashes,
                    linewidth=1.5 if m == 0 else 0.8, label=name if m == 0 else f"_{name}", zorder=4)  # fmt: skip
        number += 1
    names = {0: "position", 1: "velocity"}
    ax.set(xlabel=names.get(i, f"state {i}"), ylabel=names.get(j, f"state {j}"))
    ax.axhline(0.0, color="0.8", linewidth=0.6, zorder=0)
    ax.axvline(0.0, color="0.8", linewidth=0.6, zorder=0)
    if number > 1 or labels is not None or points is not None:
        ax.legend(fontsize=SMALL, **below(ax, 2))
    return ax
