"""A loss that notes what it is asked."""

from __future__ import annotations

from typing import Any

from heavyball_dynamics._protocols import ObjectiveLike


class Listening:
    """The loss itself; it notes where gradients were asked for, and what they were."""

    def __init__(self, objective: ObjectiveLike) -> None:
        self._objective = objective
        self.dim = objective.dim
        self.queries: list[Any] = []
        self.gradients: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def gradient(self, position: Any) -> Any:
        """Return the gradient of the loss."""
        answer = self._objective.gradient(position)
        self.queries.append(position)
        self.gradients.append(answer)
        return answer
