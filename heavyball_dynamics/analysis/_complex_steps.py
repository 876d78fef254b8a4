"""What a rule returns on complex numbers, from whose imaginary parts derivatives are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def on_complex_numbers(call: Callable[[], T]) -> T | None:
    """Return what a call of a rule on complex numbers returns, or None where the rule does not take them.

    It then rounds or stores real numbers, or asks for more than it is answered.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            return call()
    except (TypeError, AttributeError, IndexError, np.exceptions.ComplexWarning):
        return None
