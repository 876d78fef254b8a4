"""Mass, damping and time step read from the hyperparameters of a method."""

from __future__ import annotations

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._protocols import Method
from heavyball_dynamics._schedule import has_schedules
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import hyperparameter, one_of, positive
from heavyball_dynamics.algorithms.dampened import DampenedHeavyBall
from heavyball_dynamics.algorithms.methods import GradientDescent, HeavyBall, Nesterov
from heavyball_dynamics.correspondence.physical import Physical
from heavyball_dynamics.correspondence.rules import RULES


def to_physical(
    method: Method, *, mass: Hyperparameter = None, dt: Hyperparameter = None, rule: str = "central"
) -> Physical:
    r"""Return mass, damping and time step of a method.

    Learning rate and momentum determine only two of the three: give the mass or the time step (mass 1 if neither is
    given). Damping ratio, classes and path do not depend on that choice.

    =========== ===================== ======================
    rule        h, given m            γ
    =========== ===================== ======================
    central     √(2mη/(1+β))          2m(1-β)/((1+β)h)
    explicit    √(mη)                 (1-β)m/h
    implicit    √(mη/β)               m(1-β)/(βh)
    exponential √(mη)                 -m ln β/h
    =========== ===================== ======================

    Parameters
    ----------
    method : HeavyBall, Nesterov or DampenedHeavyBall
        Nesterov is read with ``look_ahead=True``. Dampening enters by the effective learning rate; its first step,
        which is a full one, starts from the displacement that ``method.init`` stores.
    mass, dt : float or array (*batch,), optional
        The free choice, > 0; at most one of them.
    rule : {"central", "explicit", "implicit", "exponential"}
        How friction acts within a step.

    Returns
    -------
    Physical
        Its ``method()`` gives lr and momentum back. A momentum of 1 has damping 0, one above 1 has negative damping.

    Raises
    ------
    ValueError
        If mass and dt are both given, the rule is unknown, lr is not positive, or the rule has no reading of the
        momentum: it must exceed -1 (central) or 0 (implicit, exponential).
    TypeError
        If the method has no mass.

    References
    ----------
    Polyak 1964, eq. (9); Qian 1999, section 2.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.to_physical(hb.HeavyBall(lr=0.25, momentum=0.75), rule="explicit")
    Physical(mass=1.0, damping=0.5, dt=0.5, rule='explicit', look_ahead=False)
    >>> hb.to_physical(hb.Nesterov(lr=2.0, momentum=0.0), dt=4.0)
    Physical(mass=4.0, damping=2.0, dt=4.0, rule='central', look_ahead=True)
    """
    one_of("rule", rule, RULES)
    if mass is not None and dt is not None:
        raise ValueError(
            f"`mass` and `dt` must not both be given: lr and momentum leave one of them free. Received mass={mass!r}, "
            f"dt={dt!r}."
        )
    lr, momentum = _readable(method, rule)
    reading = RULES[rule]
    if dt is not None:
        dt = positive("dt", dt)
        batch_shape(method, np.shape(dt))
        mass = reading.mass_from_dt(dt, lr, momentum)
    else:
        # An exact 1 leaves SymPy expressions free of decimals.
        mass = 1 if mass is None else positive("mass", mass, "Did you pass lr?")
        batch_shape(method, np.shape(mass))
        dt = reading.dt_from_mass(mass, lr, momentum)
    damping = reading.damping_from(mass, dt, momentum)
    return Physical(mass, damping, dt, rule, look_ahead=isinstance(method, Nesterov))


def _readable(method: Method, rule: str) -> tuple[Hyperparameter, Hyperparameter]:
    """Return learning rate and momentum, or say why they have no physical reading."""
    if isinstance(method, GradientDescent):
        raise TypeError(
            f"`method` must have a momentum. Received {method!r}: gradient descent has no mass, it is forward Euler of "
            "GradientFlow() with dt = lr. HeavyBall(lr, 0.0) makes the same steps and has a mechanical reading."
        )
    if not isinstance(method, (HeavyBall, Nesterov, DampenedHeavyBall)):
        raise TypeError(
            "`method` must be a HeavyBall, Nesterov or DampenedHeavyBall, whose lr and momentum stand for a mass and a "
            f"damping. Received {method!r}: analyze_modes classifies any linear rule without them."
        )
    if has_schedules(method):
        raise TypeError(
            f"`method` must have a constant lr and momentum: a mass and a damping belong to one step. Received "
            f"{method!r}. Freeze it with hb.at_step(method, k)."
        )
    batch_shape(method)
    name, lr = "lr", method.lr
    if isinstance(method, DampenedHeavyBall):
        name, lr = "lr·(1 - dampening)", method.effective_lr
    positive(name, lr, "Steps of length zero or against the force have no time step.")
    lowest = RULES[rule].lowest_momentum
    hyperparameter(
        "momentum", method.momentum, rule=f"> {lowest:g} under the {rule} rule", check=lambda x: x > lowest,
        remedy="The explicit rule reads every momentum, the central one those above -1.",
    )  # fmt: skip
    return lr, method.momentum
