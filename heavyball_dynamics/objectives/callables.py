"""Losses given as plain functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count
from heavyball_dynamics.objectives._differentiate import differentiate, differentiate_along
from heavyball_dynamics.objectives.base import ObjectiveBase, Window, checked_minimizer, checked_window

Function = Callable[[FloatArray], Any]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Objective(ObjectiveBase):
    """A loss given by functions of positions (*batch, dim).

    Parameters
    ----------
    value : callable
        Maps positions (*batch, dim) to losses (*batch,): write the coordinates as ``x[..., 0]``.
    gradient : callable, optional
        Maps (*batch, dim) to (*batch, dim). Without it every gradient is differenced numerically.
    hessian : callable, optional
        Maps (*batch, dim) to (*batch, dim, dim). Without it Hessians are differenced from the gradient, at the cost of
        about 11 to 27 gradients per coordinate, and products with vectors at the cost of as many gradients in all.
    dim : int
        Number of coordinates.
    minimizer : array (dim,), optional
        A point where the gradient vanishes, at which the loss may be linearized.
    window : sequence of (low, high), optional
        A sensible range to draw, one pair per coordinate.

    Raises
    ------
    TypeError
        If a function is not callable.
    ValueError
        If dim is less than one or the gradient does not vanish at the minimizer; when called, if a function returns
        another shape than it must.

    Warns
    -----
    UserWarning
        If no gradient is given.

    Notes
    -----
    Numerical derivatives are those of `scipy.differentiate`: eighth-order central differences from a step of 1/16 that
    is halved until two estimates agree. On smooth losses whose scale of length is near one, gradients are good to about
    1e-12 of their typical size, Hessians differenced twice to about 1e-10.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> loss = hb.Objective(lambda x: np.cosh(x[..., 0]), lambda x: np.sinh(x), dim=1)
    >>> loss.value([[0.0], [1.0]]).shape
    (2,)
    >>> loss.hessian([0.0]).round(9)
    array([[1.]])
    """

    value_function: Function
    gradient_function: Function | None
    hessian_function: Function | None
    dim: int
    minimizer: FloatArray | None = None
    window: Window | None = None

    def __init__(
        self, value: Function, gradient: Function | None = None, hessian: Function | None = None, *, dim: int,
        minimizer: ArrayLike | None = None, window: Sequence[Sequence[float]] | None = None,
    ) -> None:  # fmt: skip
        for name, function in (("value", value), ("gradient", gradient), ("hessian", hessian)):
            if not callable(function) and (function is not None or name == "value"):
                raise TypeError(
                    f"`{name}` must be a function of positions (*batch, dim). Received {function!r} of type "
                    f"{type(function).__name__}."
                )
        self._set(value_function=value, gradient_function=gradient, hessian_function=hessian, dim=count("dim", dim, 1))
        if gradient is None:
            warnings.warn(
                f"No `gradient` was given: each one will be differenced from about {11 * self.dim} to "
                f"{27 * self.dim} values of the loss (11 to 27 per coordinate), to some 1e-12 of its size. Give a "
                "`gradient`, or write the loss with from_sympy, to make it exact and fast.",
                UserWarning,
                stacklevel=2,
            )
        self._set(minimizer=checked_minimizer(self, minimizer), window=checked_window(self, window))

    def __repr__(self) -> str:
        given = {"gradient": self.gradient_function, "hessian": self.hessian_function, "minimizer": self.minimizer}
        optional = "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)
        return f"Objective({self.value_function!r}{optional}, dim={self.dim})"

    @property
    def exact_hessian(self) -> bool:
        """Whether a Hessian was given."""
        return self.hessian_function is not None

    def value(self, position: ArrayLike, /) -> FloatArray:
        """Return the loss, (*batch,)."""
        x = self._positions(position)
        return _checked("value", self.value_function(x), x.shape[:-1], x.shape)

    def gradient(self, position: ArrayLike, /) -> FloatArray:
        """Return the gradient, (*batch, dim), differenced from values if none was given."""
        x = self._positions(position)
        if self.gradient_function is None:
            return differentiate(self.value, x)
        return _checked("gradient", self.gradient_function(x), x.shape, x.shape)

    def hessian(self, position: ArrayLike, /) -> FloatArray:
        """Return the Hessian, (*batch, dim, dim), differenced from gradients if none was given."""
        x = self._positions(position)
        if self.hessian_function is None:
            jacobian = differentiate(self.gradient, x)
            return 0.5 * (jacobian + np.swapaxes(jacobian, -1, -2))
        return _checked("hessian", self.hessian_function(x), (*x.shape, self.dim), x.shape)

    def hessian_product(self, position: ArrayLike, vector: ArrayLike, /) -> FloatArray:
        """Return the Hessian at `position` times `vector`, (*batch, dim); a missing Hessian is not formed."""
        if self.hessian_function is not None:
            return super().hessian_product(position, vector)
        return differentiate_along(self.gradient, self._positions(position), self._positions(vector, "vector"))


def _checked(name: str, result: Any, shape: tuple[int, ...], positions: tuple[int, ...]) -> FloatArray:
    """Return what a user's function returned as a float array of the shape it must have."""
    array = np.asarray(result)
    if array.shape != shape:
        raise ValueError(
            f"`{name}` must return shape {shape} for positions of shape {positions}. Received shape {array.shape}. "
            "Every axis but the last is a batch axis: write the coordinates as x[..., 0], x[..., 1], and sum over "
            "axis=-1."
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must return real numbers. Received an array of dtype {array.dtype}.")
    return np.asarray(array, dtype=np.float64)
