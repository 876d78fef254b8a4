"""How slow the slowest mode of a spectrum is."""

from __future__ import annotations

from typing import Any

import numpy as np

from heavyball_dynamics._batching import batch_shape, map_arrays
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.analysis.linear import loop_spectrum

UNSTABLE = 1e6  # stands for a rate that is no number
_FINE = 1001  # curvatures examined before zooming in


def rates_of(method: Any, curvatures: FloatArray) -> FloatArray:
    """Return spectral radii, (*batch, mode)."""
    with np.errstate(all="ignore"):
        rate = loop_spectrum(method, curvatures, 0.0).rate
    return np.where(np.isfinite(rate), rate, UNSTABLE)


def require_steady(name: str, method: Any) -> None:
    """Raise ValueError unless the method has poles, the same at every step; NotLinearError where it has none.

    What it is asked with is a mode that no method refuses.
    """
    mode = np.ones(1)
    try:
        loop_spectrum(method, mode, 0.0)
    except NotLinearError:
        raise
    except ValueError:
        loop_spectrum(method, mode, 0.0, k=0)  # a rule that varies may have no poles either; other errors come again
        raise ValueError(
            f"`{name}` must be a rule whose steps are all alike, for a rate over many of them. "
            f"{type(method).__name__} varies in time. Received {method!r}: where schedules are the reason, "
            "hb.at_step(method, k) puts the numbers of a step in their place."
        ) from None


def worst_rate(method: Method, smallest: ArrayLike, largest: ArrayLike) -> Any:
    r"""Return the slowest rate of a method over an interval of curvatures.

    .. math:: \rho = \max_{\mu \le \lambda \le L} \max_i |z_i(\lambda)|

    Parameters
    ----------
    method : Method
        Any linear rule, scalar or batched.
    smallest, largest : float or array (*batch,)
        Ends of the interval, 0 < smallest <= largest, in units of loss / position².

    Returns
    -------
    float or array (*batch,)
        Factor per step, asymptotically. Above 1 the method diverges somewhere in the interval.

    Raises
    ------
    ValueError
        If the ends are not in order, shapes do not fit, or the rule is not linear or varies in time.
    TypeError
        If `method` is no method.

    References
    ----------
    Lessard, Recht, Packard, SIAM J. Optim. 26, 2016, section 2.2.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> round(hb.worst_rate(hb.tune(hb.GradientDescent, 1.0, 9.0), 1.0, 9.0), 12)
    0.8
    """
    require_method("method", method)
    require_steady("method", method)
    low, high = interval(smallest, largest)
    shape = np.broadcast_shapes(batch_shape(method, low.shape), low.shape)
    spread: Any = map_arrays(method, lambda array: np.broadcast_to(array, shape).copy())
    low, high = (np.broadcast_to(end, shape)[..., None] for end in (low, high))
    share = np.linspace(0.0, 1.0, _FINE)
    grid = low * (high / low) ** share
    grid[..., -1] = high[..., 0]
    rates = rates_of(spread, grid)
    for _ in range(3):  # zoom in on the largest
        top = np.argmax(rates, axis=-1)[..., None]
        left = np.take_along_axis(grid, np.maximum(top - 1, 0), axis=-1)
        right = np.take_along_axis(grid, np.minimum(top + 1, grid.shape[-1] - 1), axis=-1)
        best = np.take_along_axis(grid, top, axis=-1)
        grid = np.concatenate([left + (right - left) * np.linspace(0.0, 1.0, 65), best], axis=-1)
        rates = rates_of(spread, grid)
    result = rates.max(axis=-1)
    return float(result) if result.ndim == 0 else result


def interval(smallest: ArrayLike, largest: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the ends of a spectrum, broadcast against each other, or say what is wrong with them."""
    low, high = real_array("smallest", smallest), real_array("largest", largest)
    require("smallest", low, low > 0, "> 0", "A flat or negative direction has no optimal rate.")
    try:
        low, high = np.broadcast_arrays(low, high)
    except ValueError:
        raise ValueError(
            "`smallest` and `largest` must have shapes that broadcast against each other. "
            f"Received {low.shape} and {high.shape}."
        ) from None
    require("largest", high, high >= low, ">= smallest")
    return low, high
