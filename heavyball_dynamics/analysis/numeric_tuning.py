"""The best hyperparameters of any linear rule over a spectrum, by search.

The worst rate over a spectrum is a maximum of spectral radii. At its minimum poles meet, and there it has edges as
steep as a square root, at which minimizers creep. So differential evolution only finds the right valley. The rest is
done in epigraph form: the smallest radius r for which all poles of all modes stay inside the circle |z| = r, said by

    ∏(1 - z_i/r) ≥ 0,    ∏(1 + z_i/r) ≥ 0,    ∏_{i<j}(1 - z_i z_j/r²) ≥ 0.

These are symmetric functions of the poles, hence smooth in the hyperparameters also where poles meet, and a pole can
leave the circle only where one of them vanishes: at r, at -r, or in a conjugate pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from scipy.optimize import differential_evolution, minimize

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import FloatArray
from heavyball_dynamics._validation import real_array
from heavyball_dynamics.analysis.linear import loop_spectrum
from heavyball_dynamics.analysis.worst_rates import UNSTABLE, rates_of, require_steady

_USUAL = {"lr": (1e-4, 1e4), "momentum": (0.0, 1.0 - 1e-9)}  # lr in units of 1/largest
_LOWEST = 1e-8  # what a lower bound of zero means for a learning rate, as a share of the upper one
_COARSE, _FINE = 48, 1001  # curvatures in the search, and where its result is examined
_ROUNDS = 6  # of adding the curvatures at which the rate is worst


@dataclass(frozen=True)
class Search:
    """What is searched over: names of fields with their bounds, and what the other fields hold."""

    method_type: type[Any]
    bounds: dict[str, tuple[float, float]]
    fixed: dict[str, Any]

    def method(self, point: FloatArray) -> Any:
        """Return the method at a point (field, *batch): logarithms of learning rates, other fields as they are."""
        values = {name: np.exp(x) if name == "lr" else x for name, x in zip(self.bounds, point, strict=True)}
        plain = {name: float(value) if np.ndim(value) == 0 else value for name, value in values.items()}
        return self.method_type(**plain, **self.fixed)

    @property
    def box(self) -> list[tuple[float, float]]:
        """Bounds of a point."""
        return [
            (float(np.log(max(low, _LOWEST * high))), float(np.log(high))) if name == "lr" else (low, high)
            for name, (low, high) in self.bounds.items()
        ]


def plan(
    method_type: Any, largest: float, parameters: Mapping[str, Any] | None, fixed: Mapping[str, Any] | None
) -> Search:
    """Return what is searched over: lr and momentum where the rule has them and they are not fixed, and what is named.

    Raises
    ------
    TypeError, ValueError
        If the type is no dataclass, a field does not exist, bounds are none, or a field has no value.
    """
    if not (isinstance(method_type, type) and is_dataclass(method_type)):
        raise TypeError(f"`method_type` must be a dataclass of a method, such as HeavyBall. Received {method_type!r}.")
    if not hasattr(method_type, "step"):
        raise TypeError(f"`method_type` must be a method, in discrete time. Received {method_type.__name__}.")
    own = {f.name: f for f in fields(method_type) if f.init}
    held, named = dict(fixed or {}), dict(parameters or {})
    for argument, given in (("parameters", named), ("fixed", held)):
        for name in given:
            if name not in own:
                raise ValueError(
                    f"`{argument}` must name fields of {method_type.__name__}: {', '.join(own)}. Received {name!r}."
                )
    both = sorted(set(held) & set(named))
    if both:
        raise ValueError(f"`fixed` must not hold what is searched. Received {both[0]!r} in `parameters` too.")
    bounds = {
        name: (low / largest, high / largest) if name == "lr" else (low, high)
        for name, (low, high) in _USUAL.items() if name in own and name not in held
    }  # fmt: skip
    bounds.update({name: _bounds(name, pair) for name, pair in named.items()})
    missing = [
        name for name, f in own.items()
        if name not in bounds and name not in held and f.default is MISSING and f.default_factory is MISSING
    ]  # fmt: skip
    if missing:
        raise ValueError(
            f"`parameters` must give bounds for every field of {method_type.__name__} that has no default, or `fixed` "
            f"its value. Received none for {missing[0]!r}: for example parameters={{{missing[0]!r}: (0.0, 1.0)}}."
        )
    if not bounds:
        raise ValueError(
            f"`parameters` must name at least one field of {method_type.__name__} to search over. Received none, and "
            "it has neither lr nor momentum left to search."
        )
    return Search(method_type, bounds, held)


def _bounds(name: str, pair: Any) -> tuple[float, float]:
    array = real_array(f"parameters[{name!r}]", pair)
    if array.shape != (2,) or not array[0] < array[1]:
        raise ValueError(f"`parameters[{name!r}]` must be bounds (low, high) with low < high. Received {pair!r}.")
    if name == "lr" and array[0] < 0:
        raise ValueError(f"`parameters['lr']` must have bounds >= 0. Received {pair!r}.")
    return float(array[0]), float(array[1])


def search_numerically(search: Search, spectrum: FloatArray, *, whole: bool) -> Any:
    """Return the method of least worst rate.

    Parameters
    ----------
    search : Search
    spectrum : array (mode,)
        Curvatures that count; their ends are those of the interval.
    whole : bool
        Whether everything between them counts too.

    Raises
    ------
    ValueError
        If the rule is not linear, varies in time, or has batch axes.
    """
    curvatures = _between(spectrum[0], spectrum[-1], _COARSE) if whole else spectrum

    def worst(points: Any, /) -> Any:
        """Worst rates of points (field, *batch)."""
        return np.asarray(np.max(rates_of(search.method(points), curvatures), axis=-1))

    box: Any = search.box
    _require_tunable(search)
    found = differential_evolution(
        worst, box, vectorized=True, rng=0, polish=False, updating="deferred", init="sobol", popsize=16, tol=1e-6,
        maxiter=150,
    )  # fmt: skip
    best, rate = found.x, float(found.fun)
    fine = _between(spectrum[0], spectrum[-1], _FINE) if whole else spectrum
    for _ in range(_ROUNDS):
        new = _polish(search, best, rate, curvatures)
        rates = np.array([_examined(search, point, curvatures, fine) for point in (best, new)])
        if rates[1] <= rates[0]:
            best, rate = new, float(rates[1])
        tops = _tops(rates_of(search.method(best), fine), fine)
        added = tops[~np.isin(tops, curvatures)]
        if not len(added):
            break
        before = float(np.max(rates_of(search.method(best), curvatures)))
        curvatures = np.sort(np.append(curvatures, added))
        if rate <= before + 1e-12:
            break
    return search.method(best)


def _require_tunable(search: Search) -> None:
    """Say before the search what cannot be searched."""
    middle = search.method(np.array([0.5 * (low + high) for low, high in search.box]))
    if batch_shape(at_step(middle, 0)):
        raise ValueError(f"`fixed` must hold one value a field, not a batch. Received {search.fixed!r}: call tune for "
                         "each.")  # fmt: skip
    try:
        require_steady("method_type", middle)
    except NotLinearError as error:
        raise NotLinearError(
            f"`method_type` must be linear in state and gradient to be tuned on a spectrum; hb.race tunes any rule on "
            f"a loss. {error}"
        ) from None


def _examined(search: Search, point: FloatArray, *grids: FloatArray) -> float:
    return max(float(np.max(rates_of(search.method(point), grid))) for grid in grids)


def _between(low: float, high: float, number: int) -> FloatArray:
    """Return curvatures from `low` to `high`, denser towards both ends of the logarithmic axis, ends exact."""
    if low == high:
        return np.array([low])
    inner = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, number))
    grid = low * (high / low) ** inner
    grid[0], grid[-1] = low, high
    return np.asarray(grid)


def _tops(rates: FloatArray, grid: FloatArray) -> FloatArray:
    """Return where rates (mode,) have local maxima, ends included."""
    padded = np.concatenate([[-np.inf], rates, [-np.inf]])
    top = (rates >= padded[:-2]) & (rates >= padded[2:]) & (rates >= rates.max() - 1e-3 * abs(1 - rates.max()))
    # A plateau, such as the modes that all decay as √β, is represented by its ends.
    flat = top & np.roll(top, 1) & np.roll(top, -1)
    flat[[0, -1]] = False
    return np.asarray(grid[top & ~flat])


def _polish(search: Search, start: FloatArray, rate: float, curvatures: FloatArray) -> FloatArray:
    """Shrink the circle that holds all poles, by sequential quadratic programming."""
    # The unknown radius in units of its distance from one, so that slow optima are as well scaled as fast ones.
    room = abs(1 - rate) if rate != 1 else 1.0
    first = np.append(start, 0.0)
    box = search.box
    span = np.array([high - low for low, high in box])
    low, high = (np.array(side) for side in zip(*box, strict=True))
    # A quarter of the box a round keeps the local model from jumping into another valley.
    near = [(max(a, x - s), min(b, x + s)) for a, b, x, s in zip(low, high, start, 0.25 * span, strict=True)]

    def inside(point: FloatArray) -> FloatArray:
        radius = max(rate - room * point[-1], 1e-300)
        return _conditions(search.method(point[:-1]), radius, curvatures) / min(room, 1.0)

    with np.errstate(all="ignore"):
        result = minimize(  # type: ignore[call-overload]
            lambda point: -point[-1], first, method="SLSQP", jac=lambda point: np.append(0 * point[:-1], -1.0),
            bounds=[*near, (-1.0, rate / room)], constraints={"type": "ineq", "fun": inside, "jac": _slopes(inside)},
            options={"maxiter": 200, "ftol": 1e-15},
        )  # fmt: skip
    return np.clip(result.x[:-1], low, high) if np.all(np.isfinite(result.x)) else start


def _slopes(function: Callable[[FloatArray], FloatArray]) -> Callable[[FloatArray], FloatArray]:
    def central(point: FloatArray) -> FloatArray:
        steps = 1e-6 * np.maximum(np.abs(point), 1e-2)
        columns = []
        for i, step in enumerate(steps):
            shift = np.zeros(len(point))
            shift[i] = step
            columns.append((function(point + shift) - function(point - shift)) / (2 * step))
        return np.stack(columns, axis=-1)

    return central


def _conditions(method: Any, radius: float, curvatures: FloatArray) -> FloatArray:
    """Return what is positive while all poles are inside the circle, (condition · mode,)."""
    poles = loop_spectrum(method, curvatures, 0.0).poles / radius
    first, second = np.triu_indices(poles.shape[-1], 1)
    products = [np.prod(1 - poles, axis=-1), np.prod(1 + poles, axis=-1)]
    if len(first):
        products.append(np.prod(1 - poles[..., first] * poles[..., second], axis=-1))
    value = np.concatenate([np.asarray(product).real for product in products])
    return np.where(np.isfinite(value), np.clip(value, -UNSTABLE, UNSTABLE), -UNSTABLE)
