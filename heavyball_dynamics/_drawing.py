"""The way from a result to its figure, without results knowing about figures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Drawable:
    """Base of results that have a figure of their own."""

    def plot(self, ax: Axes | None = None, **keywords: Any) -> Axes:
        """Draw the result into `ax`, or into a new figure, and return the Axes.

        Keywords are those of the function in ``hb.figures`` that draws results of this type.
        """
        # The package loads its figures when they are first asked for; results stay below them in the house.
        package: Any = sys.modules["heavyball_dynamics"]
        axes: Axes = package.figures.plot(self, ax=ax, **keywords)
        return axes
