"""Buffers and displacements."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import DIALECTS, from_buffer, to_buffer

VELOCITY = np.array([[0.5, -1.0], [2.0, 0.0]])


def test_the_table():
    """keras and goodfellow store V itself; torch and ema store what θ is decremented by a times."""
    for dialect in ("keras", "goodfellow"):
        assert_array_equal(to_buffer(dialect, VELOCITY, lr=0.25), VELOCITY)
    for dialect in ("torch", "ema"):
        assert_array_equal(to_buffer(dialect, VELOCITY, lr=0.25), -4 * VELOCITY)


@given(dialect=st.sampled_from(sorted(DIALECTS)), lr=st.floats(1e-9, 1e3))
@settings(deadline=None, max_examples=30)
def test_round_trip(dialect, lr):
    assert_allclose(from_buffer(dialect, to_buffer(dialect, VELOCITY, lr=lr), lr=lr), VELOCITY, rtol=1e-15)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_batches(dialect):
    lr = np.array([0.1, 0.5])
    together = to_buffer(dialect, VELOCITY, lr=lr)
    back = from_buffer(dialect, VELOCITY, lr=lr)
    for i in range(2):
        assert_array_equal(together[i], to_buffer(dialect, VELOCITY[i], lr=lr[i]))
        assert_array_equal(back[i], from_buffer(dialect, VELOCITY[i], lr=lr[i]))


def test_symbols_pass():
    lr, velocity = sympy.symbols("lr V")
    assert to_buffer("torch", velocity, lr=lr) == -velocity / lr
    assert from_buffer("torch", velocity, lr=lr) == -velocity * lr


def test_a_zero_learning_rate_is_refused_where_it_divides():
    for dialect in ("torch", "ema"):
        with pytest.raises(ValueError, match=rf"`lr` must be > 0. Received 0.0 at index \(1,\). In the {dialect}"):
            to_buffer(dialect, VELOCITY, lr=[0.1, 0.0])
        with pytest.raises(ValueError, match="`lr` must be > 0"):
            from_buffer(dialect, VELOCITY, lr=0.0)
    assert_array_equal(to_buffer("keras", VELOCITY, lr=0.0), VELOCITY)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"`dialect` must be one of .* Received 'jax'"):
        to_buffer("jax", VELOCITY, lr=0.1)
    with pytest.raises(ValueError, match="`velocity` must be finite"):
        to_buffer("torch", [np.inf, 0.0], lr=0.1)
    with pytest.raises(ValueError, match="`buffer` must be finite"):
        from_buffer("torch", [np.inf, 0.0], lr=0.1)
    with pytest.raises(ValueError, match="`lr` must be >= 0"):
        to_buffer("keras", VELOCITY, lr=-1.0)
