"""The loop gain along the boundary of stability, with what its margins exclude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, BoolArray, ComplexArray, FloatArray
from heavyball_dynamics.analysis._closed_loops import closed_loops
from heavyball_dynamics.analysis._loop_gain import LoopResponse, chosen, curvature_response, frequency_grid
from heavyball_dynamics.analysis.linear import curvatures
from heavyball_dynamics.analysis.margins import loop_margins

_BETWEEN = 6  # points for each of the grid that finds the margins


@dataclass(frozen=True)
class NyquistCurve(Drawable):
    r"""Loop gain L along 0 < ω <= π (flows: ω > 0), and the margins of modes that decay, NaN for others.

    Curves of modes with a pole on the boundary of stability, flat ones among them, are NaN: L is 0, infinite or passes
    through -1 there.

    Attributes
    ----------
    algorithm : str
        The rule, as it prints.
    curvature : array (*batch, mode)
        Curvatures λ.
    frequency : array (*batch, mode, point)
        ω in radians per step or unit time.
    loop : array (*batch, mode, point, locus), complex
        L; the characteristic loci of a rule with several gradients a step, each continuous.
    stable : array (*batch, mode)
        Whether the closed loop decays.
    gain_margin : array (*batch, mode, 2)
        Factors, down and up; the curve meets the negative real axis at -1/factor.
    phase_margin, disk_margin : array (*batch, mode)
        As those of `Robustness`.
    discrete : bool
        True for methods.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.nyquist(hb.HeavyBall(lr=0.1, momentum=0.9), 1.0)
    >>> found.loop[0, -1, 0].round(9), (-1 / found.gain_margin[0, 1]).round(9)
    (np.complex128(-0.026315789+0j), np.float64(-0.026315789))
    """

    algorithm: str
    curvature: FloatArray
    frequency: FloatArray
    loop: ComplexArray
    stable: BoolArray
    gain_margin: FloatArray
    phase_margin: FloatArray
    disk_margin: FloatArray
    discrete: bool

    @property
    def disk(self) -> tuple[FloatArray, FloatArray]:
        """Centre on the real axis and radius of the disk that the curve only touches, (*batch, mode) each.

        All L with |1 + L| < α/2·|1 - L|; centre and radius are infinite for α = 2, a half plane.
        """
        alpha = self.disk_margin
        with np.errstate(divide="ignore"):
            return -(4 + alpha**2) / (4 - alpha**2), 4 * alpha / np.abs(4 - alpha**2)

    def summary(self) -> str:
        """Return one line for each mode."""
        lines = []
        for index in np.ndindex(self.stable.shape):
            line = f"curvature {self.curvature[index]:.6g}: "
            if self.stable[index]:
                low, high = self.gain_margin[index]
                line += (
                    f"factors {low:.6g} to {high:.6g}, phase {self.phase_margin[index]:.6g} rad, disk "
                    f"{self.disk_margin[index]:.6g}"
                )
            else:
                line += "does not decay" + (", a pole is on the boundary" if np.isnan(self.loop[index]).all() else "")
            lines.append(line)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def nyquist(
    algorithm: Algorithm, curvature: ArrayLike, *, k: int | None = None, t: float | None = None
) -> NyquistCurve:
    r"""Return the loop gain along the boundary of stability.

    .. math:: L(e^{i\omega}) = -\lambda\,G(e^{i\omega}), \qquad 0 < \omega \le \pi

    with the rule's response G from gradient to query point (flows: iω in place of e^{iω}). The closed loop has a pole
    on the boundary where L = -1; the frequencies are as dense as the features of the curve ask for.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    curvature : float or array (mode,) or (*batch, mode)
        Eigenvalues λ of the Hessian.
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    NyquistCurve

    Raises
    ------
    ValueError
        If the rule is not linear, or has no loop to open at the gradient.

    References
    ----------
    Nyquist, "Regeneration theory", Bell System Technical Journal 11, 1932; Seiler, Packard, Gahinet 2020 for the disk.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.nyquist(hb.HeavyBall(lr=0.1, momentum=0.5), [2.0, 40.0]))
    curvature 2: factors 0 to 15, phase 1.07231 rad, disk 1.0575
    curvature 40: does not decay
    """
    value = curvatures(curvature)
    loops = closed_loops(algorithm, value, k=k, t=t)
    if loops.matrices is None:
        raise ValueError(
            f"`algorithm` must ask for gradients only: a rule that asks for Hessians has no loop to open. Received "
            f"{algorithm!r}; hb.robustness has what its poles tell."
        )
    response = curvature_response(loops.matrices, loops.value)
    elements = len(loops.curvature)
    # With a pole on the boundary the closed loop tells nothing of L.
    apart = np.flatnonzero(loops.stable | loops.divergent)
    some = chosen(response, apart)
    grid = _finer(some)
    T = some.loci(grid, np.arange(len(apart)))
    loop = np.full((elements, *T.shape[1:]), np.nan, dtype=complex)
    frequency = np.full((elements, grid.shape[-1]), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        loop[apart], frequency[apart] = _continuous(T / (1 - T)), response.omega(grid)
    gain, phase, disk = np.full((elements, 2), np.nan), np.full(elements, np.nan), np.full(elements, np.nan)
    who = np.flatnonzero(loops.stable)
    if who.size:
        found = loop_margins(chosen(response, who))
        gain[who], phase[who], disk[who] = found.gain, found.phase, found.disk
    return NyquistCurve(
        algorithm=repr(algorithm), curvature=loops.value.copy(),
        frequency=frequency.reshape(*loops.shape, frequency.shape[-1]),
        loop=loop.reshape(*loops.shape, *loop.shape[1:]), stable=loops.modes.stable,
        gain_margin=gain.reshape(*loops.shape, 2), phase_margin=phase.reshape(loops.shape),
        disk_margin=disk.reshape(loops.shape), discrete=response.discrete,
    )  # fmt: skip


def _finer(response: LoopResponse) -> FloatArray:
    """Return ν for a smooth curve, the last one infinite."""
    logs = np.log(frequency_grid(response))
    share = np.arange(_BETWEEN) / _BETWEEN
    between = logs[:, :-1, None] + (logs[:, 1:] - logs[:, :-1])[..., None] * share
    fine = np.exp(between.reshape(len(logs), _BETWEEN * (logs.shape[-1] - 1)))
    return np.concatenate([fine, np.full((len(logs), 1), np.inf)], axis=-1)


def _continuous(loop: ComplexArray) -> ComplexArray:
    """Order the loci of each point so that each goes on from the last; the last point leads, where they are apart."""
    number = loop.shape[-1]
    if number == 1:
        return loop
    result = loop.copy()
    for j in range(loop.shape[1] - 2, -1, -1):
        left = np.ones((len(loop), number), dtype=bool)
        row = np.empty((len(loop), number), dtype=complex)
        for i in range(number):
            away = np.where(left, np.abs(loop[:, j] - result[:, j + 1, i : i + 1]), np.inf)
            nearest = np.argmin(away, axis=-1)
            rows = np.arange(len(loop))
            row[:, i] = loop[rows, j, nearest]
            left[rows, nearest] = False
        result[:, j] = row
    return result
