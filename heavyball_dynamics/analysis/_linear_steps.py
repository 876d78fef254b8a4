"""The steps of a method as linear maps of its state, one for all of them or one each, and sums over their powers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._types import BoolArray, FloatArray
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices

T = TypeVar("T")

_ONE = 1e-12  # an eigenvalue this close to the unit circle does not decay


class Steps(NamedTuple, Generic[T]):
    """What belongs to step k, and whether it is that of every step."""

    constant: bool
    at: Callable[[int], T]


def each_step(found: Callable[[int | None], T], kept: int | None) -> Steps[T]:
    """Return what a rule has at any step.

    Parameters
    ----------
    found
        Gives it for a step, and for None if the rule does not vary in time.
    kept
        How many steps are remembered, all of them with None.

    Raises
    ------
    NotLinearError
        If the rule is not linear.
    """
    try:
        always = found(None)
    except NotLinearError:
        raise
    except ValueError:
        found(0)  # it varies in time; anything else is complained of again
        return Steps(constant=False, at=lru_cache(maxsize=kept)(found))
    return Steps(constant=True, at=lambda _: always)


def linear_steps(method: Method) -> Steps[StateMatrices]:
    """Return the matrices of a linear rule at any step."""
    # The same steps may be asked for more than once, by whoever goes through them back and forth.
    return each_step(lambda k: state_matrices(method, k=k), kept=None)


def translation(increment: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the shift of a state by which its position moves by one and least else, and how much it is noticed.

    A rule without weight decay does not know where it is: to shift its position, and what it remembers of positions,
    changes nothing else.

    Returns
    -------
    array (*batch, state), array (*batch,)
    """
    shift = np.zeros(increment.shape[:-1])
    shift[..., 0] = 1.0
    if increment.shape[-1] > 1:
        rest = np.linalg.pinv(increment[..., 1:]) @ increment[..., :1]
        shift[..., 1:] = -rest[..., 0]
    return shift, np.abs(np.einsum("...ij,...j->...i", increment, shift)).max(axis=-1)


class Transient(NamedTuple):
    """What a step does to a state apart from carrying it along, and whether that part decays.

    ``matrix`` (*batch, state, state) has the powers of A on everything that does not move with the position.
    """

    matrix: FloatArray
    decays: BoolArray


def transient(A: FloatArray) -> Transient:
    """Take the translation out of A: with A r = r, l A = l and l r = 1 return A - r l, which has a zero in its place.

    A rule without weight decay does not know where it is: shifting its position (and what it remembers of positions) by
    r changes nothing else. That eigenvalue one is no slow mode, and sums over powers of A do not see it.
    """
    order = A.shape[-1]
    increment = A - np.eye(order)
    shift, moved = translation(increment)
    free = moved <= _ONE * (1.0 + np.abs(increment).max(axis=(-2, -1)))
    sizes = np.sort(np.abs(np.linalg.eigvals(A)), axis=-1)
    # Of a free rule the eigenvalue one is left out: the largest of the others must decay.
    largest = sizes[..., -1]
    second = sizes[..., -2] if order > 1 else np.zeros_like(largest)
    decays = np.where(free, (second < 1 - _ONE) & (largest <= 1 + 1e-7), largest < 1 - _ONE)
    bordered = np.zeros((*A.shape[:-2], order + 1, order + 1))
    bordered[..., :order, :order] = np.swapaxes(increment, -1, -2)
    bordered[..., :order, order] = bordered[..., order, :order] = shift
    usable = free & decays
    bordered = np.where(usable[..., None, None], bordered, np.eye(order + 1))
    unit = np.zeros((*A.shape[:-2], order + 1, 1))
    unit[..., order, 0] = 1.0
    left = np.linalg.solve(bordered, unit)[..., :order, 0]
    carried = shift[..., :, None] * left[..., None, :]
    return Transient(np.where(usable[..., None, None], A - carried, A), decays)
