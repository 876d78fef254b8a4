"""What stands around a loss and passes on what it does not answer itself."""

from __future__ import annotations

from typing import Any

from heavyball_dynamics._types import ArrayLike


class Around:
    """Something around a loss that answers as the loss does wherever it does not answer itself."""

    objective: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "objective":
            raise AttributeError(name)
        return getattr(self.objective, name)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return int(self.objective.dim)

    def value(self, position: ArrayLike, /) -> Any:
        """Return the loss without noise, (*batch,)."""
        return self.objective.value(position)

    def gradient(self, position: ArrayLike, /) -> Any:
        """Return the gradient without noise, (*batch, dim)."""
        return self.objective.gradient(position)

    def hessian(self, position: ArrayLike, /) -> Any:
        """Return the Hessian, (*batch, dim, dim)."""
        return self.objective.hessian(position)

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> Any:
        """Return the Hessian times `vector`, (*batch, dim)."""
        return self.objective.hessian_product(position, vector)


def number_inside(objective: Any, kind: type) -> int:
    """Return how many of a kind there are inside: the loss itself, and all that it stands around."""
    number = 0
    while objective is not None:
        number += isinstance(objective, kind)
        objective = getattr(objective, "objective", None)
    return number
