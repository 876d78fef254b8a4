"""Certified rates: a rate on every strongly convex and smooth loss at once, with the numbers that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import Method, require_method
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray
from heavyball_dynamics._validation import one_number, one_of, real_array, require, require_numbers
from heavyball_dynamics.analysis._certificate_check import Candidate, Loop, proven
from heavyball_dynamics.analysis._certificate_search import attempt, shifted, smallest_rate, solver
from heavyball_dynamics.analysis.linear import StateMatrices, state_matrices
from heavyball_dynamics.analysis.worst_rates import worst_rate

_KINDS = ("off-by-one", "sector")
_SAME = 1e-9  # relative size of what is rounding in an eigenvector


@dataclass(frozen=True)
class Certificate:
    r"""A rate that a method keeps on every loss of a class, and its proof.

    For states ξ and, with "off-by-one", filters ζ⁺ = u - Ly that remember the last gradient,

    .. math:: V = \begin{pmatrix}\xi - \xi^*\\ \zeta\end{pmatrix}^T P \begin{pmatrix}\xi - \xi^*\\ \zeta\end{pmatrix},
              \qquad V_k \le \rho^{2k} V_0

    Attributes
    ----------
    rate : array (*batch,)
        The certified factor per step ρ < 1; infinity where no rate below 1 can be certified.
    feasible : array (*batch,), bool
    quadratic_rate : array (*batch,)
        The rate on the quadratics of the class, below which no certificate can be.
    root : array (*batch, state, state)
        F, of norm 1, with P = FᵀF; the last states are the filters, one a gradient. NaN without a certificate.
    lyapunov : array (*batch, state, state)
        P, rounded. Where it is ill-conditioned `root` holds the digits.
    multipliers : array (*batch, gradient, constraint)
        λ >= 0: of the sector, and of consecutive gradients.
    inequality : array (*batch, state + gradient, state + gradient)
        The matrix of the states and gradients that is negative definite.
    slack : array (*batch,)
        Smallest eigenvalue of P, whose largest is 1.
    residual : array (*batch,)
        Largest eigenvalue of `inequality`, scaled to a diagonal of -1: negative.
    constant : array (*batch,)
        c in \|ξ_k - ξ*\| <= c ρᵏ \|ξ_0 - ξ*\|.
    reason : array (*batch,), str
        Why there is no certificate; empty where there is one.
    strong_convexity, smoothness : array (*batch,)
    iqc : str
        What is known of the gradient: "off-by-one" or "sector".

    Notes
    -----
    That P and minus the inequality are positive definite is checked in rational arithmetic on these very numbers and on
    the probed matrices of the method: the rate is proved, not believed. `slack` and `residual` are NumPy's.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.certify(hb.HeavyBall(lr=0.15, momentum=0.4), 1.0, 10.0))  # doctest: +SKIP
    certified rate 0.794644 on all losses with curvatures in [1, 10]; on quadratics 0.632456
    """

    rate: FloatArray
    feasible: BoolArray
    quadratic_rate: FloatArray
    root: FloatArray
    lyapunov: FloatArray
    multipliers: FloatArray
    inequality: FloatArray
    slack: FloatArray
    residual: FloatArray
    constant: FloatArray
    reason: np.ndarray
    strong_convexity: FloatArray
    smoothness: FloatArray
    iqc: str

    def summary(self) -> str:
        """Return the rate, or why there is none, in a line; of a batch one line an element."""
        lines = []
        for index in np.ndindex(self.rate.shape):
            low, high, rate, plain = (
                float(x[index]) for x in (self.strong_convexity, self.smoothness, self.rate, self.quadratic_rate)
            )
            where = f"losses with curvatures in [{low:g}, {high:g}]"
            lines.append(
                f"certified rate {rate:.6g} on all {where}; on quadratics {plain:.6g}"
                if self.feasible[index] else f"no certified rate on {where}: {self.reason[index]}"
            )  # fmt: skip
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def certify(
    method: Method, strong_convexity: ArrayLike, smoothness: ArrayLike, *, iqc: str = "off-by-one",
    tolerance: float = 1e-6,
) -> Certificate:  # fmt: skip
    r"""Return the smallest rate that integral quadratic constraints certify on all strongly convex, smooth losses.

    .. math:: \begin{pmatrix} \hat A^TP\hat A - \rho^2P & \hat A^TP\hat B\\ \hat B^TP\hat A & \hat B^TP\hat B
              \end{pmatrix} + \sum_i \lambda_i \begin{pmatrix}\hat C_i & \hat D_i\end{pmatrix}^T
              \begin{pmatrix}0 & 1\\ 1 & 0\end{pmatrix} \begin{pmatrix}\hat C_i & \hat D_i\end{pmatrix} \prec 0, \qquad
              P \succ 0, \quad \lambda \ge 0

    where the hats are the method's probed matrices with the filters of the constraints. The smallest ρ is bisected.

    Parameters
    ----------
    method : Method
        Any linear rule, a user's too, with one gradient a step or several; batched or not. Each element of a batch is
        solved by itself.
    strong_convexity, smoothness : float or array (*batch,)
        Bounds on the curvature, 0 < μ < L, in units of loss / position².
    iqc : str
        "off-by-one": the sector, and the weighted constraint between consecutive gradients, which holds for gradients
        of convex losses. "sector": (Ly - u)·(u - μy) >= 0 alone, which also holds for slopes that change every step.
    tolerance : float
        On the rate.

    Returns
    -------
    Certificate
        Without a certificate the rate is infinite and `reason` says why: that is a finding, not an error.

    Raises
    ------
    ImportError
        If clarabel is not installed: ``pip install "heavyball_dynamics[certify]"``.
    ValueError
        If not 0 < strong_convexity < smoothness, the rule is not linear, varies in time (`hb.at_step` freezes its
        schedules), or asks for no gradient.
    TypeError
        If `method` is no method.

    Notes
    -----
    No certificate does not prove that the method fails: see `hb.polygon_cycle` for losses on which it does.
    Published rates are met to the tolerance: (κ-1)/(κ+1) and 1 - 1/κ for gradient descent with lr 2/(L+μ) and 1/L,
    1 - 1/√κ for triple momentum, ρ for `hb.RobustMomentum`. The heavy ball tuned for quadratics is certified for
    κ < (2+√5)² ≈ 17.94 only.

    Where a smallest rate is not attained, as that of triple momentum, `constant` grows without bound as it is
    approached: a larger tolerance gives a bound that is of use sooner. There, and for κ from about 10⁴, the search may
    end above the smallest rate by more than the tolerance, and for κ from about 10⁵ find none; what it returns is
    proved all the same.

    References
    ----------
    Lessard, Recht, Packard, "Analysis and design of optimization algorithms via integral quadratic constraints", SIAM
    J. Optim. 26, 2016, theorem 4, lemmas 6 and 10. Solver: Goulart, Chen, "Clarabel", 2024.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.certify(hb.Nesterov(lr=0.01, momentum=9 / 11), 1.0, 100.0)  # doctest: +SKIP
    >>> round(float(found.rate), 4)  # doctest: +SKIP
    0.9279
    """
    require_method("method", method)
    require_numbers(method)
    one_of("iqc", iqc, _KINDS)
    solver()
    step = one_number("tolerance", tolerance)
    require("tolerance", step, (step >= 1e-9) & (step < 1), "between 1e-9, what the solver can tell apart, and 1")
    low, high = real_array("strong_convexity", strong_convexity), real_array("smoothness", smoothness)
    require("strong_convexity", low, low > 0, "> 0", "Without it no rate holds for all losses.")
    matrices = state_matrices(method)
    if matrices.B.shape[-1] == 0:
        raise ValueError(f"`method` must ask for a gradient. Received {method!r}.")
    try:
        shape = np.broadcast_shapes(matrices.A.shape[:-2], low.shape, high.shape)
    except ValueError:
        raise ValueError(
            "`strong_convexity` and `smoothness` must have shapes that broadcast against each other and against the "
            f"batch axes of the hyperparameters, {matrices.A.shape[:-2]}. Received {low.shape} and {high.shape}."
        ) from None
    low, high = (np.broadcast_to(end, shape) for end in (low, high))
    require("smoothness", high, high > low, "> strong_convexity", "For one curvature hb.analyze_modes has the rate.")
    plain = worst_rate(method, low, high)
    return _certificates(matrices, low, high, np.broadcast_to(plain, shape), iqc, float(step))


def _certificates(
    matrices: StateMatrices, low: FloatArray, high: FloatArray, plain: FloatArray, iqc: str, tolerance: float
) -> Certificate:
    shape, (states, gradients) = low.shape, matrices.B.shape[-2:]
    memory = iqc == "off-by-one"
    size = states + (gradients if memory else 0)
    numbers = {
        "rate": np.full(shape, np.inf), "root": np.full((*shape, size, size), np.nan),
        "lyapunov": np.full((*shape, size, size), np.nan),
        "multipliers": np.full((*shape, gradients, 2 if memory else 1), np.nan),
        "inequality": np.full((*shape, size + gradients, size + gradients), np.nan),
        "slack": np.full(shape, np.nan), "residual": np.full(shape, np.nan), "constant": np.full(shape, np.nan),
    }  # fmt: skip
    reason = np.full(shape, "", dtype=object)
    A, B, C, D = (
        np.broadcast_to(part, (*shape, *part.shape[-2:])) for part in (matrices.A, matrices.B, matrices.C, matrices.D)
    )
    for index in np.ndindex(shape):
        loop = Loop(A[index], B[index], C[index], D[index], float(low[index]), float(high[index]))
        reason[index] = refusal(loop, float(plain[index]))
        if reason[index]:
            continue
        found = smallest_rate(loop, float(plain[index]), tolerance, memory=memory)
        if found is None:
            reason[index] = f"no solution of the {iqc} inequality was found at any rate below 1; that proves no cycle"
            continue
        values = _numbers(loop, found)
        for name, value in zip(numbers, values, strict=True):
            numbers[name][index] = value
    return Certificate(
        **numbers, feasible=np.isfinite(numbers["rate"]), quadratic_rate=plain, reason=reason, strong_convexity=low,
        smoothness=high, iqc=iqc,
    )  # fmt: skip


def refusal(loop: Loop, quadratic_rate: float) -> str:
    """Return why no certificate can exist, without solving anything; empty where one may."""
    if not quadratic_rate < 1:
        return f"it does not converge on all quadratics of the class, where the rate is {quadratic_rate:.6g}"
    _, sizes, right = np.linalg.svd(loop.A - np.eye(len(loop.A)))
    resting = right[sizes <= _SAME * max(1.0, sizes[0])]
    queries = resting @ loop.C.T  # where states that rest without a gradient ask for it
    common = np.mean(queries, axis=-1, keepdims=True)
    if not np.any((np.abs(common[:, 0]) > _SAME) & np.all(np.abs(queries - common) <= _SAME, axis=-1)):
        return "it does not rest at a minimizer: without gradients no state stays where it is"
    return ""


def is_certified(matrices: StateMatrices, low: float, high: float, rate: float) -> bool:
    """Tell whether one rate is proved for one rule, known to converge on quadratics, by one solve."""
    loop = Loop(matrices.A, matrices.B, matrices.C, matrices.D, low, high)
    if refusal(loop, 0.0):
        return False
    system = shifted(loop, memory=True)
    return attempt(loop, system, np.eye(len(system.A)), rate)[0] is not None


def _numbers(loop: Loop, found: Candidate) -> tuple[Any, ...]:
    """Return what a certificate shows of a candidate, after one more proof, in the order of its fields."""
    left, states = proven(loop, found), len(loop.A)
    if left is None:
        raise ArithmeticError(f"{found!r} proves no rate, although the search took it for a proof.")
    size = 1 / np.sqrt(-np.diag(left))
    inverse = np.linalg.inv(found.root)
    # The filters start at zero: V_0 is that of the states; later the filters may be what makes V smallest.
    constant = np.linalg.norm(found.root[:, :states], 2) * np.linalg.norm(inverse[:states], 2)
    return (
        found.rate, found.root, found.root.T @ found.root, found.multipliers, left,
        np.linalg.norm(inverse, 2) ** -2, np.linalg.eigvalsh(left * size * size[:, None])[-1], constant,
    )  # fmt: skip
