"""The best hyperparameters for a spectrum, and the largest ones that are stable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import elementwise

from heavyball_dynamics._batching import batch_shape, map_arrays
from heavyball_dynamics._fields import holder, with_field
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import one_of, real_array, require
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.algorithms.triple_momentum import TripleMomentum
from heavyball_dynamics.analysis.linear import require_broadcast, state_matrices
from heavyball_dynamics.analysis.numeric_tuning import plan, search_numerically
from heavyball_dynamics.analysis.worst_rates import interval


def _gradient_descent(smallest: FloatArray, largest: FloatArray) -> GradientDescent:
    return GradientDescent(2 / (largest + smallest))


def _heavy_ball(smallest: FloatArray, largest: FloatArray) -> HeavyBall:
    low, high = np.sqrt(smallest), np.sqrt(largest)
    return HeavyBall((2 / (high + low)) ** 2, ((high - low) / (high + low)) ** 2)


def _nesterov_standard(smallest: FloatArray, largest: FloatArray) -> Nesterov:
    low, high = np.sqrt(smallest), np.sqrt(largest)
    return Nesterov(1 / largest, (high - low) / (high + low))


def _nesterov_tuned(smallest: FloatArray, largest: FloatArray) -> Nesterov:
    root = np.sqrt(3 * largest / smallest + 1)
    return Nesterov(4 / (3 * largest + smallest), (root - 2) / (root + 2))


def _triple_momentum(smallest: FloatArray, largest: FloatArray) -> TripleMomentum:
    return TripleMomentum.for_class(smallest, largest)


_AT_ONCE = 100_000  # loops examined in one call

_TUNINGS: dict[tuple[type[Any], str], Callable[[FloatArray, FloatArray], Any]] = {
    (GradientDescent, "tuned"): _gradient_descent,
    (HeavyBall, "tuned"): _heavy_ball,
    (Nesterov, "tuned"): _nesterov_tuned,
    (Nesterov, "standard"): _nesterov_standard,
    (TripleMomentum, "tuned"): _triple_momentum,
}


def tune(
    method_type: type[Any], smallest: ArrayLike, largest: ArrayLike, *, variant: str = "tuned",
    parameters: Mapping[str, tuple[float, float]] | None = None, fixed: Mapping[str, Any] | None = None,
    curvatures: ArrayLike | None = None,
) -> Any:  # fmt: skip
    r"""Return the method whose worst rate over a spectrum is best.

    .. math:: \min_\theta \max_{\mu \le \lambda \le L} \max_i |z_i(\lambda, \theta)|

    In closed form, with κ = largest/smallest: gradient descent (κ-1)/(κ+1), heavy ball (√κ-1)/(√κ+1), Nesterov
    1 - 2/√(3κ+1) tuned and 1 - 1/√κ in its standard form. Triple momentum is tuned for all losses with curvatures in
    that range, quadratic or not: 1 - 1/√κ. For every other linear rule, a user's own included, by numerical search.

    Parameters
    ----------
    method_type : type
        GradientDescent, HeavyBall, Nesterov or TripleMomentum; or any frozen dataclass of a linear rule.
    smallest, largest : float or array (*batch,)
        Ends of the spectrum, 0 < smallest <= largest, in units of loss / position².
    variant : str
        "tuned"; for Nesterov also "standard" (lr = 1/largest); "numeric" searches also where a closed form is known.
    parameters : mapping of str to (low, high), optional
        Fields to search over, with their bounds, besides ``lr`` (by default from 1e-4 to 1e4 times 1/largest) and
        ``momentum`` (from 0 to below 1), which are searched where the rule has them. If given, the search is numeric.
        A learning rate is searched on a logarithmic scale.
    fixed : mapping of str to value, optional
        Fields that are held. If given, the search is numeric. Other fields keep their defaults.
    curvatures : array (mode,), optional
        The only curvatures that count, if not the whole interval. If given, the search is numeric.

    Returns
    -------
    Method
        Its fields are scalars or arrays (*batch,).

    Raises
    ------
    ValueError
        If the ends are not in order, the method has no such variant, bounds are missing or reversed, a fixed value is a
        batch, or the rule is not linear or varies in time.
    TypeError
        If `method_type` is no dataclass of a method.

    Notes
    -----
    The tuned heavy ball sits at κ/(κ+1) of the divergence limit and its end modes are defective: the stiffest one grows
    before it decays. On losses that are not quadratic this tuning may cycle for ever (`find_cycle`).

    The search is global by differential evolution, with a fixed seed, and then shrinks the circle that holds all poles,
    in a formulation that is smooth where poles meet; the curvatures are refined until no mode between them is slower.

    References
    ----------
    Polyak 1964; Lessard, Recht, Packard, SIAM J. Optim. 26, 2016, proposition 1; Van Scoy, Freeman, Lynch, IEEE Control
    Systems Letters 2, 2018, theorem 1. Storn and Price, J. Global Optim. 11, 1997; Kraft, "A software package for
    sequential quadratic programming", 1988.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> method = hb.tune(hb.HeavyBall, 1.0, 100.0)
    >>> float(hb.analyze_modes(method, [1.0, 100.0]).rate.max().round(6))
    0.818182
    >>> found = hb.tune(hb.HeavyBall, 1.0, 100.0, variant="numeric")
    >>> round(found.lr / method.lr, 4), round(found.momentum / method.momentum, 4)
    (1.0, 1.0)
    """
    known = [v for kind, v in _TUNINGS if kind is method_type]
    one_of("variant", variant, [*(known or ["tuned"]), "numeric"])
    low, high = interval(smallest, largest)
    if known and variant != "numeric" and parameters is None and fixed is None and curvatures is None:
        return _TUNINGS[method_type, variant](low, high)
    if variant == "standard":
        raise ValueError('`variant` must be "tuned" or "numeric" for a search. Received \'standard\'.')
    return _searched(method_type, low, high, parameters, fixed, curvatures)


def _searched(
    method_type: Any, low: FloatArray, high: FloatArray, parameters: Any, fixed: Any, curvatures: Any
) -> Any:
    """Search for each element of the batch by itself."""
    spectrum = None
    if curvatures is not None:
        spectrum = np.unique(real_array("curvatures", curvatures))
        inside = (spectrum >= low.max(initial=-np.inf)) & (spectrum <= high.min(initial=np.inf))
        require("curvatures", spectrum, inside, "between smallest and largest")
        if not spectrum.size:
            raise ValueError("`curvatures` must hold at least one curvature. Received none.")
    found = []
    for start, end in zip(low.ravel(), high.ravel(), strict=True):
        search = plan(method_type, float(end), parameters, fixed)
        values = np.array([start, end]) if spectrum is None else spectrum
        found.append(search_numerically(search, values, whole=spectrum is None))
    if low.ndim == 0:
        return found[0]
    names = list(plan(method_type, 1.0, parameters, fixed).bounds)
    batch = {name: np.array([getattr(one, name) for one in found]).reshape(low.shape) for name in names}
    return method_type(**batch, **dict(fixed or {}))


def stability_limit(method: Method, curvature: ArrayLike, *, k: int | None = None) -> Any:
    """Return the largest learning rate at which modes decay, all else fixed.

    The rule itself is asked: the learning rate is raised, from 1e-9 to 1e9 times 1/curvature, until all poles are
    inside the unit circle and then one leaves it again; that crossing is solved for.

    Parameters
    ----------
    method : Method
        Any linear rule with a field ``lr``, scalar or batched.
    curvature : float or array (mode,) or (*batch, mode)
        Eigenvalues of the Hessian.
    k : int, optional
        Step at which a rule that varies in time is frozen.

    Returns
    -------
    float or array
        (*batch,) for one curvature, else (*batch, mode). Infinite at zero curvature, 0 where no learning rate is
        stable.

    Raises
    ------
    TypeError
        If the method has no field ``lr``.

    Notes
    -----
    For the heavy ball it is 2(1+β)/λ, for Nesterov 2(1+β)/((1+2β)λ), for gradient descent 2/λ. Where the momentum
    exceeds 1, small learning rates need not be stable: Nesterov's decay only above (β-1)/(βλ).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> round(hb.stability_limit(hb.HeavyBall(lr=0.1, momentum=0.9), 10.0), 12)
    0.38
    """
    require_method("method", method)
    rule: Any = method if k is None else at_step(method, k)
    if holder(rule, "lr") is None:
        raise TypeError(f"`method` must be a dataclass with a field lr. Received {method!r}.")
    value = real_array("curvature", curvature)
    single = value.ndim == 0
    value = np.atleast_1d(value)
    spread = map_arrays(rule, lambda array: array[..., None])
    require_broadcast(batch_shape(rule), value.shape)
    shape = np.broadcast_shapes(batch_shape(spread), value.shape)
    bend = np.broadcast_to(value, shape).ravel()

    def margin(lr: FloatArray, index: FloatArray) -> FloatArray:
        """Positive while stable; `index` says which elements of the flattened batch are still sought."""
        who = index.astype(int)
        chosen: Any = map_arrays(spread, lambda array: np.broadcast_to(array, shape).ravel()[who])
        with np.errstate(all="ignore"):
            matrices = state_matrices(with_field(chosen, "lr", lr), k=k)
            conditions = matrices.spectrum(bend[who][:, None], 0.0).conditions
        return np.asarray(np.min(conditions, axis=0)[..., 0])

    limit = _last_stable(margin, bend).reshape(shape)
    result = limit[..., 0] if single else limit
    return float(result) if result.ndim == 0 else result


def _last_stable(margin: Callable[[FloatArray, FloatArray], FloatArray], curvature: FloatArray) -> FloatArray:
    limit = np.where(curvature == 0, np.inf, 0.0)
    index = np.flatnonzero(curvature > 0).astype(float)
    if not index.size:
        return limit
    scale = 1 / curvature[index.astype(int)]
    # lr·λ in steps fine enough not to jump over a stable range and back.
    factors = np.geomspace(1e-9, 1e9, 289)
    stable = np.empty((0, len(index)), dtype=bool)
    while len(stable) < len(factors):
        rows = factors[len(stable) :][: max(1, _AT_ONCE // len(index))]
        new = margin((rows[:, None] * scale).ravel(), np.tile(index, len(rows))) > 0
        stable = np.concatenate([stable, new.reshape(len(rows), -1)])
        lost = (stable[:-1] & ~stable[1:]).any(axis=0)
        if lost.all():
            break
    limit[index[stable.any(axis=0) & ~lost].astype(int)] = np.inf
    if lost.any():
        last = np.argmax(stable[:-1] & ~stable[1:], axis=0)[lost]
        bracket = factors[last] * scale[lost], factors[last + 1] * scale[lost]
        limit[index[lost].astype(int)] = elementwise.find_root(margin, bracket, args=(index[lost],)).x
    return limit
