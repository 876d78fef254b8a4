"""Algorithms as linear systems: state-space matrices by probing the rule, python-control objects made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heavyball_dynamics._batching import batch_shape
from heavyball_dynamics._probe import HessianAskedError, probe
from heavyball_dynamics._protocols import Algorithm, is_flow
from heavyball_dynamics._schedule import at_step
from heavyball_dynamics._springs import spring_loops
from heavyball_dynamics._types import ArrayLike, FloatArray
from heavyball_dynamics._validation import real_array, require
from heavyball_dynamics.analysis._pairs import ROUNDING, Pairs, pairs_of_loop, pairs_of_matrix
from heavyball_dynamics.analysis._spectra import Spectra

if TYPE_CHECKING:
    import control


@dataclass(frozen=True)
class StateMatrices:
    r"""The linear system that one coordinate of an algorithm is, gradient in and query point out.

    .. math:: x^+ = A x + B u, \qquad y = C x + D u

    where x⁺ is the next state of a method and the time derivative of a flow's state.

    Attributes
    ----------
    A : array (*batch, state, state)
    B : array (*batch, state, gradient)
    C : array (*batch, gradient, state)
    D : array (*batch, gradient, gradient)
        Strictly lower triangular for explicit rules that ask for several gradients.
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> hb.state_matrices(hb.HeavyBall(lr=0.1, momentum=0.9)).A
    array([[1. , 0.9],
           [0. , 0.9]])
    """

    A: FloatArray
    B: FloatArray
    C: FloatArray
    D: FloatArray
    discrete: bool

    def loop(self, curvature: FloatArray) -> FloatArray:
        """Return the closed loop A + λB(1 - λD)⁻¹C for curvatures (*batch, mode): (*batch, mode, state, state)."""
        feedback = self.feedback(curvature)
        return np.asarray(self.A[..., None, :, :] + self.B[..., None, :, :] @ feedback @ self.C[..., None, :, :])

    @property
    def increment(self) -> FloatArray:
        """What a step adds to a state in open loop, A - 1; a flow's matrix A. (*batch, state, state)."""
        return np.asarray(self.A - np.eye(self.A.shape[-1]) if self.discrete else self.A)

    def closed_increment(self, curvature: FloatArray) -> FloatArray:
        """Return what a step of the closed loop adds (a flow's matrix), (*batch, mode, state, state)."""
        return StateMatrices(self.increment, self.B, self.C, self.D, self.discrete).loop(curvature)

    def error_drive(self, curvature: FloatArray) -> FloatArray:
        """Return what an error of one in all gradients of a step adds to the closed loop, (*batch, mode, state)."""
        error = np.eye(self.D.shape[-1]) + self.feedback(curvature) @ self.D[..., None, :, :]
        return np.asarray((self.B[..., None, :, :] @ error).sum(axis=-1))

    def feedback(self, curvature: FloatArray) -> FloatArray:
        """Return λ(1 - λD)⁻¹, what turns the free query points into gradients: (*batch, mode, gradient, gradient)."""
        gain = curvature[..., None, None]
        identity = np.eye(self.D.shape[-1])
        if not np.any(self.D):
            return np.asarray(gain * identity)
        through = identity - gain * self.D[..., None, :, :]
        try:
            return np.asarray(np.linalg.solve(through, gain * identity))
        except np.linalg.LinAlgError:
            bad = np.linalg.det(through) == 0
            require("curvature", np.broadcast_to(curvature, bad.shape), ~bad, "one at which the implicit step has a "
                    "solution", "A slightly different dt has one.")  # fmt: skip
            raise

    def spectrum(self, curvature: FloatArray, rtol: float) -> Pairs | Spectra:
        """Return poles and classes of the closed loop for curvatures (*batch, mode)."""
        order, inputs = self.B.shape[-2:]
        if order == 2 and inputs == 1:
            gain = self.feedback(curvature)[..., 0, 0]
            return pairs_of_loop(self.increment, self.B, self.C, gain, discrete=self.discrete, rtol=rtol)
        return spectrum_of(self.closed_increment(curvature), discrete=self.discrete, rtol=rtol)


def spectrum_of(moving: FloatArray, *, discrete: bool, rtol: float, noise: float = 0.0) -> Pairs | Spectra:
    """Return poles and classes of closed loops given as what a step adds, or as time derivatives."""
    order = moving.shape[-1]
    if order == 2:
        return pairs_of_matrix(moving, discrete=discrete, rtol=rtol, noise=noise)
    sigma = moving[..., 0].astype(complex) if order == 1 else np.linalg.eigvals(moving).astype(complex)
    return Spectra(sigma, discrete, rtol)


def loop_spectrum(
    algorithm: Algorithm, curvature: FloatArray, rtol: float, *, k: int | None = None, t: float | None = None
) -> Pairs | Spectra:
    """Return poles and classes for curvatures (*batch, mode), of rules without an open loop too."""
    time = _time(algorithm, k, t)
    algorithm = algorithm if time is None else at_step(algorithm, time)
    require_broadcast(batch_shape(algorithm), curvature.shape)
    if "quadratic" not in getattr(algorithm, "requires", ()):
        try:
            return state_matrices(algorithm, k=k, t=t).spectrum(curvature, rtol)
        except HessianAskedError:
            pass  # it has no open loop, but a closed one
    loops = spring_loops(algorithm, curvature, time)
    # A step is one plus its increment, known to the rounding of one; of a matrix exponential fewer digits are known.
    discrete = not is_flow(algorithm)
    return spectrum_of(loops, discrete=discrete, rtol=rtol, noise=512 * ROUNDING if discrete else 0.0)


def _time(algorithm: Algorithm, k: int | None, t: float | None) -> float | None:
    flow = is_flow(algorithm)
    wrong = k if flow else t
    if wrong is not None:
        raise TypeError(f"A {'flow is frozen with t=, not k=' if flow else 'method is frozen with k=, not t='}. "
                        f"Received {wrong!r} for {algorithm!r}.")  # fmt: skip
    return t if flow else k


def state_matrices(algorithm: Algorithm, *, k: int | None = None, t: float | None = None) -> StateMatrices:
    """Return the state-space matrices of an algorithm, batched over its hyperparameters.

    The rule itself is called on unit vectors; no matrix is written down by hand.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, a user's own included.
    k, t : int, float, optional
        Step (methods) or time (flows) at which a rule that varies in time is frozen.

    Returns
    -------
    StateMatrices
        Arrays with the batch axes of the hyperparameters first.

    Raises
    ------
    ValueError
        If the rule is not linear, or varies in time and no time is given.
    TypeError
        If the algorithm is neither method nor flow, or is given the other one's time.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> matrices = hb.state_matrices(hb.Nesterov(lr=np.array([0.1, 0.2]), momentum=0.5))
    >>> matrices.C
    array([[[1. , 0.5]],
           [[1. , 0.5]]])
    """
    found = probe(algorithm, _time(algorithm, k, t))
    return StateMatrices(found.A, found.B, found.C, found.D, found.discrete)


def _single(algorithm: Algorithm, k: int | None, t: float | None) -> StateMatrices:
    matrices = state_matrices(algorithm, k=k, t=t)
    if matrices.B.shape[-1] == 0:
        raise ValueError(f"`algorithm` must ask for a gradient, the input of its system. Received {algorithm!r}.")
    if matrices.A.ndim > 2:
        raise ValueError(
            f"python-control has no batches: `algorithm` must have scalar hyperparameters. Received {algorithm!r} "
            "with array-valued ones; hb.state_matrices and hb.analyze_modes take them."
        )
    return matrices


def _system(A: FloatArray, B: FloatArray, C: FloatArray, D: FloatArray, *, discrete: bool) -> control.StateSpace:
    import control

    inputs = [f"gradient[{j}]" for j in range(B.shape[1])]
    outputs = [f"query[{j}]" for j in range(C.shape[0])]
    # Otherwise python-control drops states that it believes unused, and with them poles.
    return control.ss(A, B, C, D, 1 if discrete else 0, inputs=inputs, outputs=outputs, remove_useless_states=False)


def linearize(algorithm: Algorithm, *, k: int | None = None, t: float | None = None) -> control.StateSpace:
    r"""Return one coordinate of an algorithm as a python-control system, in open loop.

    Input: the gradient that the rule receives. Output: the point where it asks for it. For the heavy ball

    .. math:: \frac{Y(z)}{U(z)} = \frac{-\eta z}{(z - 1)(z - \beta)}

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule with scalar hyperparameters.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    control.StateSpace
        Discrete with dt=1 (one step) for methods, continuous for flows. One input and one output per gradient.

    Raises
    ------
    ValueError
        If the rule is not linear, varies in time, or holds arrays.

    References
    ----------
    Lessard, Recht, Packard, "Analysis and design of optimization algorithms via integral quadratic constraints",
    SIAM J. Optim. 26, 2016, eq. (2.1).

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> system = hb.linearize(hb.HeavyBall(lr=0.1, momentum=0.9))
    >>> system.dt, system.nstates
    (1, 2)
    """
    found = _single(algorithm, k, t)
    return _system(found.A, found.B, found.C, found.D, discrete=found.discrete)


def closed_loop(
    algorithm: Algorithm, curvature: float, *, k: int | None = None, t: float | None = None
) -> control.StateSpace:
    r"""Return an algorithm on one mode of a quadratic loss as a python-control system.

    The loop is closed by u = λy + e. Input: the error e of the gradient. Output: the query point y.

    .. math:: A_\lambda = A + \lambda B(1 - \lambda D)^{-1}C

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule with scalar hyperparameters.
    curvature : float
        Eigenvalue λ of the Hessian.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    control.StateSpace
        Its poles are those of `analyze_modes`.

    Raises
    ------
    ValueError
        If the rule is not linear, varies in time or holds arrays, or the curvature is not one finite number.

    Examples
    --------
    >>> import numpy as np
    >>> import heavyball_dynamics as hb
    >>> system = hb.closed_loop(hb.HeavyBall(lr=0.1, momentum=0.81), curvature=1.0)
    >>> np.abs(system.poles()).round(12)
    array([0.9, 0.9])
    """
    matrices = _single(algorithm, k, t)
    value = real_array("curvature", curvature)
    if value.ndim:
        raise ValueError(
            f"`curvature` must be one number: a python-control system is one mode. Received shape {value.shape}; "
            "hb.analyze_modes takes arrays."
        )
    feedback = matrices.feedback(value[None])[0]
    through = np.eye(len(feedback)) + matrices.D @ feedback
    error = np.eye(len(feedback)) + feedback @ matrices.D
    closed = matrices.loop(value[None])[0]
    return _system(closed, matrices.B @ error, through @ matrices.C, through @ matrices.D, discrete=matrices.discrete)


def curvatures(value: ArrayLike) -> FloatArray:
    """Return curvatures as an array (*batch, mode); a single number is one mode."""
    return np.atleast_1d(real_array("curvature", value))


def require_broadcast(batch: tuple[int, ...], modes: tuple[int, ...]) -> None:
    """Raise ValueError unless curvatures broadcast against a batch of hyperparameters."""
    try:
        np.broadcast_shapes((*batch, 1), modes)
    except ValueError:
        raise ValueError(
            f"`curvature` must have shape (mode,) or (*batch, mode) with the batch axes of the hyperparameters, "
            f"{batch}. Received shape {modes}."
        ) from None
