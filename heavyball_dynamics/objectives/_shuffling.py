"""Orders of the rows of data, one for every epoch and every element of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Order: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

_CHUNK = 2**21  # numbers held at a time where every element of a batch has its own: 16 MB


class Orders:
    """Permutations of `rows` rows: reproducible, at random access, and those of the latest epoch kept.

    Element i sorts the rows by the integers that stand from the place i·rows on in the stream of its epoch. Random
    integers of 64 bits are never equal, for all that matters, so that no algorithm of sorting is preferred.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._seed = rows, seed
        self._kind = np.min_scalar_type(rows - 1)
        self._latest: tuple[int, Order] = (-1, np.empty((0, rows), self._kind))

    def of(self, epoch: int, elements: int) -> Order:
        """Return the orders of at least so many elements in an epoch, (element, row), read-only."""
        latest, orders = self._latest
        if latest != epoch or len(orders) < elements:
            orders = self._drawn(epoch, elements)
            self._latest = (epoch, orders)  # in one go: another thread sees both or none
        return orders

    def _drawn(self, epoch: int, elements: int) -> Order:
        stream = np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(epoch,)))
        orders = np.empty((elements, self._rows), self._kind)
        for part in chunks(elements, self._rows):
            keys = stream.random_raw((part.stop - part.start) * self._rows).reshape(-1, self._rows)
            orders[part] = np.argsort(keys, axis=-1)
        orders.flags.writeable = False
        return orders


def chunks(elements: int, size: int) -> Iterator[slice]:
    """Yield slices of the elements, of `size` numbers each, that fit into memory together."""
    step = max(1, _CHUNK // size)
    return (slice(start, min(start + step, elements)) for start in range(0, elements, step))
