"""How a colour travels along a graph, node by node and step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heavyball_dynamics._types import FloatArray
from heavyball_dynamics.figures.style import SMALL, axes_for
from heavyball_dynamics.simulation.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_coloring_front(
    trajectory: Trajectory, front: FloatArray | None = None, *, largest: float | None = None,
    colorbar: bool = True, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Draw every node at every step; nodes that have not moved at all stay white.

    Parameters
    ----------
    trajectory : Trajectory
        A single run, for example on `PathColoring`.
    front : array (dim,), optional
        Step at which each node first moves, from `hb.arrival`: drawn as a line.
    largest : float, optional
        The value at which the colours end, so that several pictures share them; by default the largest of the run.
    colorbar : bool
        Whether to add the bar of the colours.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the trajectory is a batch.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> run = hb.iterate(hb.HeavyBall(0.3, 0.8), hb.PathColoring(6), [0.0] * 6, steps=20)
    >>> hb.figures.plot_coloring_front(run, hb.arrival(run)).get_ylabel()
    'node'
    """
    from matplotlib.ticker import MaxNLocator

    if trajectory.position.ndim != 2:
        raise ValueError(
            f"`trajectory` must be a single run. Received batch axes of shape {trajectory.position.shape[:-2]}."
        )
    ax = axes_for(ax, 4.8, 3.4)
    position = trajectory.position.T
    moved = np.ma.masked_where(position == position[:, :1], position)
    top = float(np.nanmax(position)) if largest is None else largest
    nodes = np.arange(1, len(position) + 1)
    mesh = ax.pcolormesh(trajectory.time, nodes, moved, shading="nearest", cmap="viridis", vmin=0.0, vmax=top,
                         rasterized=True)  # fmt: skip
    if colorbar:
        figure: Any = ax.get_figure(root=True)
        beyond = "neither" if largest is None else "max"
        figure.colorbar(mesh, ax=ax, pad=0.02, extend=beyond).set_label("colour of the node")
    if front is not None:
        shown = np.isfinite(front)
        # Each node is a cell around its number, and it has moved from the left edge of its cell on.
        ax.step(np.repeat(front[shown], 2) - 0.5, np.repeat(nodes[shown], 2) + np.tile([-0.5, 0.5], int(shown.sum())),
                where="post", color="#bd1f01", linewidth=1.2, label="first step at which a node moves")  # fmt: skip
        ax.legend(fontsize=SMALL, loc="lower right", framealpha=0.9)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="step $k$", ylabel="node", xlim=(trajectory.time[0], trajectory.time[-1]),
           ylim=(0.5, len(nodes) + 0.5))  # fmt: skip
    return ax
