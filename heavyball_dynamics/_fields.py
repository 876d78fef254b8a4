"""Numeric fields of a rule, also those of the method that it wraps."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from numbers import Real
from typing import Any

import numpy as np


def numeric_fields(rule: Any) -> list[str]:
    """Return the names of fields that hold numbers: the rule's own, then those of its field ``method``."""
    values = {f.name: getattr(rule, f.name) for f in fields(rule)} if is_dataclass(rule) else {}
    own = [name for name, v in values.items() if not isinstance(v, bool) and isinstance(v, (Real, np.ndarray))]
    inner = numeric_fields(values["method"]) if is_dataclass(values.get("method")) else []
    return own + [name for name in inner if name not in own]


def holder(rule: Any, name: str) -> Any:
    """Return the rule that has a field of that name: itself or one that it wraps, None where there is none."""
    if not is_dataclass(rule) or isinstance(rule, type):
        return None
    if name in {f.name for f in fields(rule)}:
        return rule
    return holder(getattr(rule, "method", None), name)


def with_field(rule: Any, name: str, value: Any) -> Any:
    """Return the rule with another value of a field, its own or one of the method that it wraps."""
    if name in {f.name for f in fields(rule)}:
        return replace(rule, **{name: value})
    return replace(rule, method=with_field(rule.method, name, value))
