"""Fixtures and the hypothesis profile of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Drawing examples slows down on a busy machine: that is no failure of what is tested.
_COMMON = {"deadline": None, "max_examples": 50, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("local", **_COMMON)
# In CI the same examples every time: a failure there is a failure of the change.
settings.register_profile("reproducible", **_COMMON, derandomize=True, print_blob=True)
settings.load_profile("reproducible" if os.environ.get("CI") else "local")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def root() -> Path:
    """Root folder of the checkout."""
    return Path(__file__).resolve().parents[1]
