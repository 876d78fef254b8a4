"""The weights that a rule gives to past gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._probe import NotLinearError
from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import count, real_array
from heavyball_dynamics.analysis._linear_steps import linear_steps, transient
from heavyball_dynamics.analysis._lyapunov import covariance_solution
from heavyball_dynamics.analysis._response_derivatives import (
    StepDerivative,
    response_derivatives,
    response_differences,
)

_CANCELLED = 1e-3  # a sum of weights this small beside their size is none to divide by


@dataclass(frozen=True)
class ImpulseResponse(Drawable):
    r"""How much each past gradient moves a method now.

    .. math:: x_{k+1} - x_k = -\sum_{j\ge0} w_j g_{k-j}, \qquad x_{k+1} = -\sum_{j\ge0} c_j g_{k-j}

    Attributes
    ----------
    weights : array (*batch, step)
        w_0 of the newest gradient, w_1 of the one before, …, in the unit of the learning rate.
    cumulative : array (*batch, step)
        c_j, how far one unit of that gradient has moved the position by now; the sum w_0 + … + w_j where the rule does
        not vary in time.
    total : array (*batch,)
        Sum of all weights: of the endless series, in closed form, where the rule is linear and does not vary in time
        (infinite where the weights do not decay), of the weights shown otherwise. It is the displacement per step that
        a constant unit gradient leads to.
    effective_memory : array (*batch,)
        :math:`\sum (j+1)w_j / \sum w_j` in steps, the mean age of a gradient when it acts, the newest counting as one:
        1/(1-β) of the heavy ball. Summed like `total`; infinite where there is no sum. Weights of both signs may make
        it small or negative, and NaN where they cancel, as those of adaptive rules do.
    effective_samples : array (*batch,)
        :math:`(\sum w_j)^2 / \sum w_j^2`: the number of gradients whose plain mean would have as much noise as the
        weighted one, (1+β)/(1-β) of the heavy ball. Summed like `total`; NaN where the weights cancel.
    k : int or None
        The step whose displacement is explained; None where all steps are alike.
    derivatives : str
        Where the weights come from: "matrices" of a linear rule, "complex steps" through the rule, both exact, or
        "differences" of runs, where the rule does not take complex numbers; those are known to nine digits or so.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.impulse_response(hb.HeavyBall(lr=0.1, momentum=0.9), steps=3).summary())
    3 weights, newest first: 0.1, 0.09, 0.081
    sum 1, effective memory 10 steps, as much noise as a mean of 19
    """

    weights: FloatArray
    cumulative: FloatArray
    total: FloatArray
    effective_memory: FloatArray
    effective_samples: FloatArray
    k: int | None
    derivatives: str

    def summary(self) -> str:
        """Return two lines for each batch element."""
        steps = self.weights.shape[-1]
        lines = []
        for index in np.ndindex(self.total.shape):
            shown = ", ".join(f"{w:.6g}" for w in self.weights[index][:4]) + (", …" if steps > 4 else "")
            where = f"{index}: " if index else ""
            lines += [
                f"{where}{steps} weights{'' if self.k is None else f' at step {self.k}'}, newest first: {shown}",
                (
                    f"{where}sum {self.total[index]:.6g}, effective memory {self.effective_memory[index]:.6g} steps, "
                    f"as much noise as a mean of {self.effective_samples[index]:.6g}"
                ),
            ]
        if self.derivatives == "differences":
            lines.append("weights by differences of runs: the rule does not take complex numbers")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


class _Sums(NamedTuple):
    """Σw, Σ(j+1)w and Σw², each (*batch,)."""

    plain: FloatArray
    aged: FloatArray
    squared: FloatArray


def impulse_response(
    method: Method, steps: int, *, k: int | None = None, around: ArrayLike | None = None
) -> ImpulseResponse:
    r"""Return the weights that a rule gives to the gradients it has received, by probing the rule.

    .. math:: w_j = -\frac{\partial(x_{k+1} - x_k)}{\partial g_{k-j}}

    The gradients of a step, where a rule asks for several, all change together. Linear rules are probed with unit
    vectors and have these weights on any loss; what they are on a rule that is not linear depends on where it is: it is
    run on a constant gradient and differentiated there by complex steps, exact to rounding. Of rules that decide,
    round, or take absolute values, runs with one gradient changed are compared instead.

    Parameters
    ----------
    method : Method
        Any rule, its hyperparameters scalars or arrays (*batch,).
    steps : int
        Number of weights, at least 1.
    k : int, optional
        The step, counted from 0, whose displacement is explained, at least steps - 1. By default steps - 1, so that all
        gradients since the start are shown. Rules that do not vary in time have the same weights at every step.
    around : float or array (*batch,), optional
        The constant gradient around which a rule that is not linear is linearized; linear rules need none, and have the
        same weights around all.

    Returns
    -------
    ImpulseResponse
        Arrays (*batch, step) and (*batch,).

    Raises
    ------
    ValueError
        If the rule is not linear and no `around` is given, or it is not differentiable there; if k is below steps - 1.
    TypeError
        If the method is none, or a count is no whole number.

    Notes
    -----
    Nesterov's method has the weights of the heavy ball: what differs is where it asks for its gradients. Its look-ahead
    points are those of ``QuasiHyperbolicMomentum`` with ν = β, which gives the newest gradient η(1+β), the others
    ηβ^(j+1). A gradient that is asked for when a method is started (``DampenedHeavyBall``) is not counted.

    References
    ----------
    Goh, "Why momentum really works", Distill 2017, for momentum as a filter of gradients; Ma and Yarats,
    "Quasi-hyperbolic momentum and Adam for deep learning", ICLR 2019, section 3, for the discount of the newest one.

    Examples
    --------
    The average and the sum are the same method with other numbers:

    >>> import heavyball_dynamics as hb
    >>> average = hb.impulse_response(hb.from_dialect("ema", lr=1.0, momentum=0.5), steps=4)
    >>> average.weights, float(average.total)
    (array([0.5   , 0.25  , 0.125 , 0.0625]), 1.0)
    >>> hb.impulse_response(hb.from_dialect("torch", lr=1.0, momentum=0.5), steps=4).weights
    array([1.   , 0.5  , 0.25 , 0.125])

    Adam divides by what it has seen: one larger gradient also shrinks all steps, longer than it pushes.

    >>> hb.impulse_response(hb.Adam(lr=1.0, beta1=0.5, beta2=0.75), steps=3, around=1.0).weights.round(4)
    array([ 0.139 , -0.0386, -0.1004])
    """
    require_method("method", method)
    number = count("steps", steps, 1)
    last = number - 1 if k is None else count("k", k, 0)
    if last < number - 1:
        raise ValueError(
            f"`k` must be at least steps - 1 = {number - 1}: step k has seen k + 1 gradients. Received {last}."
        )
    near = None if around is None else real_array("around", around)
    try:
        linear = linear_steps(method)
    except NotLinearError as error:
        if near is None:
            raise ValueError(
                f"{error} Its weights depend on the gradients: give `around`, a constant gradient to linearize at."
            ) from None
        found = response_derivatives(method, near, last, number)
        if found is None:
            weights, cumulative = response_differences(method, near, last, number)
            return _response(weights, cumulative, None, last, "differences")
        weights, cumulative = _backwards(lambda step: found[step - last - 1], last, number)
        return _response(weights, cumulative, None, last, "complex steps")
    batch = batch_shape(at_step(method, last), () if near is None else near.shape)

    def derivative(step: int) -> StepDerivative:
        matrices = linear.at(step)
        A, b = matrices.A, matrices.B.sum(axis=-1)
        return StepDerivative(np.broadcast_to(A, (*batch, *A.shape[-2:])), np.broadcast_to(b, (*batch, b.shape[-1])))

    weights, cumulative = _backwards(derivative, last, number)
    sums = _endless(derivative(last)) if linear.constant else None
    return _response(weights, cumulative, sums, None if linear.constant else last, "matrices")


def _response(
    weights: FloatArray, cumulative: FloatArray, sums: _Sums | None, k: int | None, derivatives: str
) -> ImpulseResponse:
    if sums is None:
        number = weights.shape[-1]
        age = np.arange(1, number + 1)
        sums = _Sums(weights.sum(axis=-1), (age * weights).sum(axis=-1), (weights**2).sum(axis=-1))
    endless = np.isinf(sums.plain)
    with np.errstate(divide="ignore", invalid="ignore"):
        cancel = np.abs(sums.plain) <= _CANCELLED * np.sqrt(sums.squared)
        memory = np.where(endless, np.inf, np.where(cancel, np.nan, sums.aged / sums.plain))
        samples = np.where(endless, np.inf, np.where(cancel, np.nan, sums.plain**2 / sums.squared))
    return ImpulseResponse(weights, cumulative, sums.plain, memory, samples, k, derivatives)


def _backwards(at: Callable[[int], StepDerivative], last: int, number: int) -> tuple[FloatArray, FloatArray]:
    """Go back from step `last` with the row that reads the displacement and the one that reads the position."""
    newest = at(last)
    unit = np.eye(newest.A.shape[-1])[0]
    # What reads a displacement must not see where the rule is: the difference is taken before, not after.
    rows = np.stack([newest.A[..., 0, :] - unit, newest.A[..., 0, :]], axis=-2)
    first = -newest.b[..., 0]
    found = [np.stack([first, first], axis=-1)]
    for j in range(1, number):
        A, b = at(last - j)
        found.append(-np.einsum("...ij,...j->...i", rows, b))
        rows = rows @ A
    table = np.stack(found, axis=-1)
    return table[..., 0, :] + 0.0, table[..., 1, :] + 0.0  # no weight is -0


def _endless(step: StepDerivative) -> _Sums:
    """Return the sums over all powers of a constant step."""
    A, b = step
    order = A.shape[-1]
    away = transient(A)
    decays = away.decays[..., None, None]
    matrix = np.where(decays, away.matrix, 0.0)
    row = (A - np.eye(order))[..., 0, :]
    # Σ Aʲ b and Σ (j+1) Aʲ b over j >= 0.
    column = b[..., None]
    once = np.linalg.solve(np.eye(order) - matrix, column)
    twice = np.linalg.solve(np.eye(order) - matrix, once)
    now = -b[..., 0]
    plain = now - np.einsum("...i,...ij->...", row, once)
    aged = now - np.einsum("...i,...ij->...", row, twice + once)
    increment = matrix - np.eye(matrix.shape[-1])
    noise = covariance_solution(increment, increment, b[..., :, None] * b[..., None, :], discrete=True)
    squared = now**2 + np.einsum("...i,...ij,...j->...", row, noise, row)
    fine = away.decays
    return _Sums(*(np.where(fine, value, np.inf) for value in (plain, aged, squared)))
