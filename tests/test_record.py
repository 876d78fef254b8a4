"""Frozen dataclasses that hold arrays."""

import copy
import pickle

import numpy as np
import pytest

import heavyball_dynamics as hb

RECORDS = [
    hb.HeavyBall(np.array([0.1, 0.2]), 0.9), hb.HeavyBallFlow(1.0, np.array([0.1, 0.2])),
    hb.Physical(1.0, np.array([0.1, 0.2]), 0.5), hb.Quadratic([1.0, 2.0]),
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("again", [copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_copies_and_pickles_are_equal_and_read_only(record, again):
    twin = again(record)
    assert twin == record
    assert hash(twin) == hash(record)
    arrays = [value for value in vars(twin).values() if isinstance(value, np.ndarray)]
    assert arrays
    assert not any(array.flags.writeable for array in arrays)
