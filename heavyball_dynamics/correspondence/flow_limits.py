"""Which flow each method tends to as its learning rate tends to zero, in which time, and how fast: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from heavyball_dynamics._protocols import Flow, Method, ObjectiveLike
from heavyball_dynamics._schedule import AcceleratedMomentum
from heavyball_dynamics._types import State
from heavyball_dynamics._validation import one_of
from heavyball_dynamics.algorithms.adam import Adam, NAdam
from heavyball_dynamics.algorithms.adam_flows import AdamFlow, AdamWFlow, SignFlow
from heavyball_dynamics.algorithms.adaptive import AdaGrad, RMSProp
from heavyball_dynamics.algorithms.adaptive_flows import AdaDeltaFlow, AdaGradFlow, RMSPropFlow
from heavyball_dynamics.algorithms.adaptive_states import RMSPropState
from heavyball_dynamics.algorithms.flows import GradientFlow, HeavyBallFlow
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.algorithms.nesterov_flow import NesterovFlow
from heavyball_dynamics.correspondence.dialects import from_dialect

_STEPS: Mapping[str, Callable[[Any], Any]] = {"lr": lambda lr: lr, "sqrt(lr)": np.sqrt}


@dataclass(frozen=True)
class FlowLimit:
    """The limit of a family of methods, one for each learning rate: a row of `FLOW_LIMITS`, or one of your own.

    Attributes
    ----------
    name : str
        Key of the row.
    rule : str
        The family in words, a to c being constants.
    method : callable
        From lr to the method.
    flow : Flow
        What it tends to.
    time : callable
        From (k, lr) to the time at which the flow is where the method is after k steps.
    scaling : str
        That time in words; "τ" where it is the root of what the flow's equation is usually written in.
    fixed : str
        What does not change as lr → 0.
    order : float
        The largest distance from the flow over a fixed time is of this order in the step of the row.
    step : {"lr", "sqrt(lr)"}
        The step: the order in lr itself is half as large where it is the root.
    note : str
        What else there is to know.
    reference : str
        Where it is from.
    start : callable, optional
        From (position, objective) to the state at which the method must start; by default its own ``init``.

    Raises
    ------
    ValueError
        If the step is unknown.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> row = hb.FLOW_LIMITS["heavy_ball"]
    >>> row.method(0.01), row.flow.damping, float(row.time(50, 0.01))
    (HeavyBall(lr=0.01, momentum=0.9), 1.0, 5.0)
    """

    name: str
    rule: str
    method: Callable[[Any], Method]
    flow: Flow
    time: Callable[[Any, Any], Any]
    scaling: str
    fixed: str
    order: float
    step: str
    note: str
    reference: str
    start: Callable[[Any, ObjectiveLike], State] | None = None

    def __post_init__(self) -> None:
        one_of("step", self.step, _STEPS)

    def step_of(self, lr: Any) -> Any:
        """Return the step in which the order is counted, lr or its root."""
        return _STEPS[self.step](lr)


def _product(k: Any, lr: Any, factor: float = 1.0) -> Any:
    return factor * (k * lr)


def _root_product(k: Any, lr: Any) -> Any:
    return k * np.sqrt(lr)


def _root_of_product(k: Any, lr: Any) -> Any:
    return np.sqrt(k * lr)


def _product_of_root(k: Any, lr: Any) -> Any:
    return np.sqrt(k) * lr


# Functions with names, so that rows pickle.
def _near_one(kind: Callable[..., Method], lr: Any) -> Method:
    return kind(lr, 1 - np.sqrt(lr))


def _average(lr: Any) -> Method:
    return from_dialect("ema", lr=lr, momentum=1 - 2.0 * lr)


def _nadam(lr: Any) -> NAdam:
    return NAdam(lr, 1 - 2.0 * lr, 1 - 0.5 * lr, momentum_decay=1e3)


def _warm(position: Any, objective: ObjectiveLike) -> RMSPropState:
    gradient = objective.gradient(position)
    return RMSPropState(position, gradient * gradient, 0 * gradient)


_POLYAK = "Polyak 1964"
_SU = "Su, Boyd, Candès 2016, theorem 2"
_ADAM = "Barakat, Bianchi 2021"
_MA = "Ma, Wu, E 2020"
_GAZEAU = "Da Silva, Gazeau 2020"


def _momentum_rows() -> list[FlowLimit]:
    """Return the rows of methods without adaptive learning rates."""
    descent, oscillator = GradientFlow(), HeavyBallFlow(1.0, 1.0)
    scaled, root = "t = k·lr", "t = k·sqrt(lr)"
    return [
        FlowLimit("gradient_descent", "GradientDescent(lr)", GradientDescent, descent, _product, scaled, "-", 1.0, "lr",
                  "Explicit Euler steps of length lr.", "Euler 1768"),
        FlowLimit("heavy_ball_fixed", "HeavyBall(lr, momentum)", partial(HeavyBall, momentum=0.8), descent,
                  partial(_product, factor=5.0), "t = k·lr/(1 - momentum)", "momentum (0.8)", 1.0, "lr",
                  "Sped up, but without inertia.", _POLYAK),
        FlowLimit("nesterov_fixed", "Nesterov(lr, momentum)", partial(Nesterov, momentum=0.8), descent,
                  partial(_product, factor=5.0), "t = k·lr/(1 - momentum)", "momentum (0.8)", 1.0, "lr",
                  "The same limit.", _POLYAK),
        FlowLimit("heavy_ball", "HeavyBall(lr, 1 - c·sqrt(lr))", partial(_near_one, HeavyBall), oscillator,
                  _root_product, root, "c (1)", 1.0, "sqrt(lr)", "Mass 1, damping c.", _POLYAK),
        FlowLimit("nesterov", "Nesterov(lr, 1 - c·sqrt(lr))", partial(_near_one, Nesterov), oscillator,
                  _root_product, root, "c (1)", 1.0, "sqrt(lr)", "The same limit; the difference is of order 1.",
                  "Shi, Du, Jordan, Su 2018"),
        FlowLimit("heavy_ball_ema", "from_dialect('ema', lr, 1 - c·lr)",
                  _average, HeavyBallFlow(0.5, 1.0), _product, scaled, "c (2)", 1.0, "lr",
                  "x'' + c·x' + c·∇f = 0: mass 1/c, damping 1.", _POLYAK),
        FlowLimit("nesterov_growing", "Nesterov(lr, AcceleratedMomentum(r))",
                  partial(Nesterov, momentum=AcceleratedMomentum(3.0)), NesterovFlow(3.0), _root_product, root, "r (3)",
                  1.0, "sqrt(lr)", "Momentum (k - 1)/(k + r - 1); any other k + constant has the same limit.", _SU),
    ]  # fmt: skip


def _adam_rows() -> list[FlowLimit]:
    """Return the rows of Adam's family."""
    adam, decayed = AdamFlow(2.0, 0.5), AdamWFlow(2.0, 0.5, weight_decay=0.3)
    maximal, sign = AdamFlow(5.0, 3.0, amsgrad=True), SignFlow(0.1)
    scaled, rates = "t = k·lr", "(1 - beta1)/lr, (1 - beta2)/lr, eps"
    last = "Nothing of the averages is left in time t; the constants are large where betas are near 1."
    return [
        FlowLimit("adam", "Adam(lr, 1 - a·lr, 1 - b·lr)", adam.method, adam, _product, scaled, rates, 1.0, "lr",
                  "The corrected averages start at g and g².", _ADAM),
        FlowLimit("adamw", "AdamW(lr, 1 - a·lr, 1 - b·lr)", decayed.method, decayed, _product, scaled,
                  f"{rates}, weight_decay", 1.0, "lr", "Adds -weight_decay·x.", _ADAM),
        FlowLimit("amsgrad", "Adam(lr, 1 - a·lr, 1 - b·lr, amsgrad=True)", maximal.method, maximal, _product, scaled,
                  rates, 1.0, "lr", "Running supremum of the average square before correction.", _ADAM),
        FlowLimit("nadam", "NAdam(lr, 1 - a·lr, 1 - b·lr, momentum_decay → ∞)",
                  _nadam, adam, _product, scaled, rates,
                  1.0, "lr", "Constant momentum; Adam's flow: the look-ahead vanishes in the limit.", _ADAM),
        FlowLimit("adam_fixed", "Adam(lr, beta1, beta2)", partial(Adam, beta1=0.6, beta2=0.8, eps=0.1), sign, _product,
                  scaled, "beta1 (0.6), beta2 (0.8), eps (0.1)", 1.0, "lr", last, _MA),
        FlowLimit("rmsprop_fixed", "RMSProp(lr, alpha)", partial(RMSProp, alpha=0.8, eps=0.1), sign, _product,
                  scaled, "alpha (0.8), eps (0.1)", 1.0, "lr", last, _MA),
    ]  # fmt: skip


def _adaptive_rows() -> list[FlowLimit]:
    """Return the rows of RMSProp, AdaGrad and AdaDelta."""
    warm, cold, sums, delta = RMSPropFlow(), RMSPropFlow(from_zero=True), AdaGradFlow(), AdaDeltaFlow(1.0, 1.0)
    return [
        FlowLimit("rmsprop_warm", "RMSProp(lr, 1 - b·lr)", warm.method, warm, _product, "t = k·lr",
                  "(1 - alpha)/lr, eps", 1.0, "lr", "From square_average = g², a state of RMSPropState.", _MA, _warm),
        FlowLimit("rmsprop", "RMSProp(lr, 1 - b·lr)", cold.method, cold, _root_of_product, "τ = sqrt(k·lr)",
                  "(1 - alpha)/lr, eps (1e-8)", 0.5, "lr",
                  "From square_average = 0. Order 1/2 while lr is far above eps²/(b·g²), order 1 far below.", _MA),
        FlowLimit("adagrad", "AdaGrad(lr)", AdaGrad, sums, _product_of_root, "τ = sqrt(k)·lr", "eps", 1.0, "lr",
                  "t = τ² = k·lr². Of an eps held fixed lr·eps is left, in the limit nothing.", _GAZEAU),
        FlowLimit("adadelta", "AdaDelta(lr, 1 - b·lr)", delta.method, delta, _product, "t = k·lr",
                  "(1 - rho)/lr, eps", 1.0, "lr", "Both averages start at 0. Order 1 while lr is far below eps/(b·g²).",
                  "Zeiler 2012"),
    ]  # fmt: skip


FLOW_LIMITS: Mapping[str, FlowLimit] = MappingProxyType(
    {row.name: row for row in [*_momentum_rows(), *_adam_rows(), *_adaptive_rows()]}
)
"""Methods and their flows by name, read-only; constants of the rows are examples."""


def _words(flow: Any) -> str:
    """Return the flow with those of its fields that are in use."""
    used = [f"{f.name}={value!r}" for f in fields(flow) if (value := getattr(flow, f.name))]
    return f"{type(flow).__name__}({', '.join(used)})"


def flow_limits_table() -> str:
    """Return `FLOW_LIMITS` as a page in Markdown.

    Returns
    -------
    str
        A heading, two sentences and the table, with a line feed at the end.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.flow_limits_table().splitlines()[0])
    # Methods and their flows
    """
    head = ["name", "method", "flow", "time of step k", "held fixed", "order", "note", "reference"]
    rows = [
        [
            f"`{row.name}`", f"`{row.rule}`", f"`{_words(row.flow)}`", row.scaling, row.fixed,
            f"{row.order:g} in {row.step}", row.note, row.reference,
        ]
        for row in FLOW_LIMITS.values()
    ]  # fmt: skip
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    text = [
        "# Methods and their flows",
        "",
        "As the learning rate lr tends to zero, the steps of a method come to lie on the solution of a flow. The",
        "largest distance over a fixed time shrinks like lr, or its square root, to the power called order.",
        "`heavyball_dynamics.FLOW_LIMITS` holds these rows; `approach_flow` measures the orders.",
        "",
        *lines,
    ]
    return "\n".join(text) + "\n"
