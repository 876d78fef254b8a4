"""Whether a flow goes in phases."""

from __future__ import annotations

from typing import Any


def is_hybrid(flow: Any) -> bool:
    """Tell whether a flow, or one of a batch, goes in phases, as the notes of `integrate` have it."""
    return bool(getattr(flow, "is_hybrid", hasattr(flow, "phase")))
