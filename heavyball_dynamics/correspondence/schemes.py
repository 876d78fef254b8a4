"""The table of schemes, and the way from a flow to a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any

from heavyball_dynamics._implicit import require_hessian
from heavyball_dynamics._protocols import Flow, ObjectiveLike, is_flow
from heavyball_dynamics._types import Hyperparameter
from heavyball_dynamics._validation import positive
from heavyball_dynamics.correspondence.modal import C2D_SCHEMES, ModalExact
from heavyball_dynamics.correspondence.one_step import DissipativeLeapfrog, ExplicitEuler, ImplicitMidpoint, RungeKutta4
from heavyball_dynamics.correspondence.scheme import Scheme, require_instance, require_quadratic
from heavyball_dynamics.correspondence.two_point import (
    Central,
    Exponential,
    ImplicitFriction,
    NesterovScheme,
    SemiImplicitEuler,
)

SCHEMES: Mapping[str, type[Scheme]] = MappingProxyType({
    scheme.name: scheme
    for scheme in (
        ExplicitEuler, SemiImplicitEuler, ImplicitFriction, Exponential, Central, DissipativeLeapfrog, ImplicitMidpoint,
        RungeKutta4, NesterovScheme, ModalExact,
    )
})  # fmt: skip


def discretize(flow: Flow, dt: Hyperparameter, scheme: str | type) -> Any:
    r"""Return the method that a scheme makes of a flow.

    .. math:: m\ddot\theta + \gamma\dot\theta + \nabla f(\theta) = 0 \quad\longrightarrow\quad z_{k+1} = \Phi_h(z_k)

    ==================== ===== ========= =====================================================
    scheme               order gradients what it is
    ==================== ===== ========= =====================================================
    explicit_euler       1     1         the position moves with the old velocity; any smooth flow
    semi_implicit_euler  1     1         a heavy ball, momentum 1 - γh/m, lr h²/m
    implicit_friction    1     1         a heavy ball, momentum m/(m + γh), lr h²/(m + γh)
    exponential          1     1         a heavy ball, momentum exp(-γh/m), lr h²/m
    central              2     1         a heavy ball, momentum (2m - γh)/(2m + γh)
    dissipative_leapfrog 2     1         Strang splitting of friction and leapfrog
    implicit_midpoint    2     Newton    needs the Hessian
    runge_kutta4         4     4         the classical one; any smooth flow
    nesterov             1     1         central, its gradient taken at the look-ahead
    modal_exact          ∞     1         matrix exponential of each mode; quadratics only
    ==================== ===== ========= =====================================================

    The c2d methods of python-control stand in `C2D_SCHEMES`, for quadratics: c2d_zoh, c2d_tustin, c2d_matched,
    c2d_euler and c2d_backward_diff.

    Parameters
    ----------
    flow : Flow
        A HeavyBallFlow; explicit_euler and runge_kutta4 take any smooth flow.
    dt : float or array (*batch,)
        Time h > 0 of one step.
    scheme : str or type
        A name in `SCHEMES` or `C2D_SCHEMES`, or a scheme type of your own: a frozen dataclass with the fields ``flow``
        and ``dt`` and the calls of a method, whose ``init`` takes dx/dt. The ``velocity`` of its states is dx/dt, or
        else it offers ``velocity(state, objective)``. It may declare ``name``, ``order`` and ``requires`` (a frozenset
        of "hessian", "quadratic").

    Returns
    -------
    Method
        Its ``init`` takes position and dx/dt and starts consistently with the order; ``velocity(state, objective)``
        gives dx/dt back. ``.method`` is the bare optimizer where the scheme is one.

    Raises
    ------
    ValueError
        If the name is unknown, dt is not positive or too large for the scheme, or batch axes do not broadcast.
    TypeError
        If the flow is not one that the scheme can discretize, or a scheme of your own makes no method.

    References
    ----------
    Hairer, Lubich, Wanner, "Geometric Numerical Integration", 2006, chapters I, II and VI; França, Sulam, Robinson,
    Vidal, "Conformal symplectic and relativistic optimization", 2020.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> flow = hb.HeavyBallFlow(mass=1.0, damping=1.0)
    >>> hb.discretize(flow, 0.5, "semi_implicit_euler").method
    HeavyBall(lr=0.25, momentum=0.5)
    >>> method = hb.discretize(flow, 0.5, "dissipative_leapfrog")
    >>> run = hb.iterate(method, hb.rosenbrock(), [-1.0, 1.0], steps=4, velocity=[0.0, 0.0])
    >>> method.order, run.position.shape
    (2, (5, 2))
    """
    kind = scheme_type(scheme)
    if issubclass(kind, Scheme):
        return kind(flow, dt)
    require_instance(flow)
    found = kind(flow=flow, dt=positive("dt", dt))
    if is_flow(found):
        raise TypeError(f"`scheme` must make a method of a flow. Received {scheme!r}, which made the flow {found!r}.")
    return found


def scheme_type(scheme: str | type) -> type[Any]:
    """Return the type behind a name; a type that can be a scheme is returned as it is."""
    if isinstance(scheme, type):
        missing = {"flow", "dt"} - {field.name for field in fields(scheme)} if is_dataclass(scheme) else {"flow", "dt"}
        if missing:
            raise TypeError(
                "`scheme` must be a dataclass with the fields flow and dt. Received "
                f"{scheme.__name__} without {' and '.join(sorted(missing))}."
            )
        return scheme
    known = {**SCHEMES, **C2D_SCHEMES}
    if not isinstance(scheme, str) or scheme not in known:
        raise ValueError(
            f"`scheme` must be one of {', '.join(known)}, or a scheme type of your own. Received {scheme!r}."
        )
    return known[scheme]


def require_preconditions(scheme: type, objective: ObjectiveLike) -> None:
    """Raise TypeError unless the objective has what a scheme declares to require."""
    needed: frozenset[str] = getattr(scheme, "requires", frozenset())
    if "hessian" in needed:
        try:
            require_hessian(objective)
        except TypeError as error:
            raise TypeError(f"The scheme {scheme_name(scheme)} cannot be run: {error}") from None
    if "quadratic" in needed:
        require_quadratic(scheme_name(scheme), objective)


def scheme_name(scheme: type) -> str:
    """Return the name by which tables and figures call a scheme."""
    return str(getattr(scheme, "name", scheme.__name__))
