"""The robustness card: how much a method bears on each mode, in the numbers of a control engineer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from heavyball_dynamics._drawing import Drawable
from heavyball_dynamics._protocols import Algorithm
from heavyball_dynamics._types import ArrayLike, BoolArray, FloatArray, IntArray
from heavyball_dynamics.analysis._card_words import card, table
from heavyball_dynamics.analysis._closed_loops import ClosedLoops, closed_loops
from heavyball_dynamics.analysis._loop_gain import chosen, curvature_response, error_response
from heavyball_dynamics.analysis.kreiss import kreiss_constants
from heavyball_dynamics.analysis.linear import curvatures
from heavyball_dynamics.analysis.margins import loop_margins
from heavyball_dynamics.analysis.norms import noise_gain, worst_gain
from heavyball_dynamics.analysis.transient_growth import transient_growth

_CARDS = 3  # modes that are told in a card each; more are told in a table


@dataclass(frozen=True)
class Robustness(Drawable):
    r"""What each mode bears; every array is (*batch, mode) unless said otherwise.

    The loop is opened where the curvature λ turns the query point into the gradient: L = -λ·(query point over gradient)
    has the curvature as its gain; :math:`S = 1/(1 + L)`, :math:`T = L/(1 + L)`. Margins of modes that do not decay are
    NaN, norms and growths infinite.

    Attributes
    ----------
    algorithm : str
        The rule, as it prints.
    curvature : array
        Curvatures λ.
    discrete : bool
        True for methods; times are then steps.
    damping : array of int
        Class of the mode as an integer of `DampingClass`.
    stable : array of bool
        Whether the mode decays, strictly.
    spectral_radius : array
        max|z|; of flows the spectral abscissa max Re s.
    gain_margin : array (*batch, mode, 2)
        The factors on the curvature, down and up, between which the mode decays. Down is 0 for rules that come to rest
        with any curvature, positive if they need some, negative if they contract by themselves.
    gain_frequency : array
        ω at which a pole is on the boundary at the upper end; π is an alternation, NaN where there is no end.
    phase_margin, phase_frequency : array
        The smallest change of phase of either sign, in radians, that puts a pole on the boundary, and ω there; infinite
        where there is none.
    disk_margin, disk_frequency : array
        α = 1/‖(S - T)/2‖∞: the mode decays under every constant complex factor (1 + δ/2)/(1 - δ/2), |δ| < α.
    modulus_margin : array
        1/‖S‖∞, the distance of L from -1.
    delay_margin, delay_frequency : array
        The smallest staleness of the gradients, in steps (any real number; a delay of d multiplies L by e^{-iωd}) or
        time, that puts a pole on the boundary, and ω there. Of methods it is the first whole delay that does not decay
        where that is smaller.
    delay_steps : array
        The largest whole number of steps such that the mode decays with it and with all smaller ones, tried as whole
        steps up to 64, so that it may exceed the margin (see `largest_delay`); NaN for flows.
    hinf, hinf_frequency : array
        H∞ gain from an error of the gradient to the position, and the ω of the worst error.
    h2 : array
        H2 gain: standard deviation of the position under white gradient noise of unit variance (flows: unit intensity).
    peak_growth, peak_time : array
        max over k >= 0 of ‖Mᵏ‖₂ (flows: of ‖exp(Mt)‖₂) and where it is attained, in the rule's own state: (x, V) with
        the displacement V for the heavy ball and Nesterov, (x, dx/dt) for flows. Infinite also where a mode on the
        boundary grows without end.
    position_growth, position_time : array
        The largest |position| from position 1 at rest: no coordinates but the position's enter.
    kreiss : array
        Kreiss constant of the same matrix, sup over |z| > 1 of (\|z\| - 1)‖(z - M)⁻¹‖₂.
    defective : array of bool
        Whether eigenvectors are missing; for two states told from the coefficients.
    eigenvector_condition : array
        κ₂ of the unit eigenvectors, infinite where defective.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> found = hb.robustness(hb.tune(hb.HeavyBall, 1.0, 100.0), [1.0, 100.0])
    >>> found.gain_margin[:, 1].round(9)
    array([101.  ,   1.01])
    >>> found.position_growth.round(2), found.defective
    (array([1.  , 3.71]), array([ True,  True]))
    """

    algorithm: str
    curvature: FloatArray
    discrete: bool
    damping: IntArray
    stable: BoolArray
    spectral_radius: FloatArray
    gain_margin: FloatArray
    gain_frequency: FloatArray
    phase_margin: FloatArray
    phase_frequency: FloatArray
    disk_margin: FloatArray
    disk_frequency: FloatArray
    modulus_margin: FloatArray
    delay_margin: FloatArray
    delay_frequency: FloatArray
    delay_steps: FloatArray
    hinf: FloatArray
    hinf_frequency: FloatArray
    h2: FloatArray
    peak_growth: FloatArray
    peak_time: FloatArray
    position_growth: FloatArray
    position_time: FloatArray
    kreiss: FloatArray
    defective: BoolArray
    eigenvector_condition: FloatArray

    @property
    def disk_gain(self) -> FloatArray:
        """The real factors on the curvature that the disk margin guarantees, (2-α)/(2+α) and inverse, (…, 2)."""
        alpha = self.disk_margin
        low = np.maximum((2 - alpha) / (2 + alpha), 0.0)
        with np.errstate(divide="ignore"):
            return np.stack([low, 1 / low], axis=-1)

    @property
    def disk_phase(self) -> FloatArray:
        """The phase in radians that the disk margin guarantees, 2 atan(α/2)."""
        return np.asarray(2 * np.arctan(self.disk_margin / 2))

    def summary(self) -> str:
        """Return a card for each mode, or a table where there are more than three."""
        return card(self) if self.stable.size <= _CARDS else table(self)

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and nested lists; None stands for NaN, the word "inf" for infinity."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def robustness(
    algorithm: Algorithm, curvature: ArrayLike, *, k: int | None = None, t: float | None = None
) -> Robustness:
    r"""Return what each mode bears: margins, noise gains, transient growth.

    The optimizer is the controller, the loss its plant, the curvature the gain of the loop

    .. math:: L(z) = \frac{\eta\lambda z}{(z-1)(z-\beta)}, \qquad
        L(z) = \frac{\eta\lambda((1+\beta)z - \beta)}{(z-1)(z-\beta)}, \qquad
        L(s) = \frac{\lambda}{s(ms+\gamma)}

    for the heavy ball, Nesterov's method and the heavy-ball flow.

    Parameters
    ----------
    algorithm : Method or Flow
        Any linear rule, its hyperparameters scalars or arrays (*batch,).
    curvature : float or array (mode,) or (*batch, mode)
        Eigenvalues λ of the Hessian, in units of loss / position².
    k, t : int, float, optional
        Step or time at which a rule that varies in time is frozen.

    Returns
    -------
    Robustness
        Arrays (*batch, mode). A mode that does not decay is a finding, not an error.

    Raises
    ------
    ValueError
        If the rule is not linear, asks for no gradient, varies in time and no time is given, or shapes do not
        broadcast.

    Notes
    -----
    With several gradients a step, all of them get the same factor, phase or delay; margins are those of the
    characteristic loci, the eigenvalues of the matrix of loop gains, the gain margin checked by the poles between its
    ends, and the gradient error is one number added to all.
    Rules that ask for Hessians have no loop to open at the gradient: of the margins they have that of the gain, from
    their poles, and no gains of errors (NaN).

    The heavy ball bears a factor 2(1+β)/(ηλ), Nesterov's method 2(1+β)/((1+2β)ηλ). Tuned for curvatures from μ to L the
    heavy ball is within (κ+1)/κ of divergence.

    References
    ----------
    Seiler, Packard, Gahinet, "An introduction to disk margins", IEEE Control Systems Magazine 40, 2020; Bruinsma and
    Steinbuch 1990 for the norms; Trefethen and Embree, "Spectra and Pseudospectra", 2005, for the growth; Postlethwaite
    and MacFarlane, "A Complex Variable Approach to the Analysis of Linear Multivariable Feedback Systems", 1979, for
    characteristic loci; Lessard, Recht, Packard, SIAM J. Optim. 26, 2016, for optimizers as feedback loops.

    Examples
    --------
    >>> import heavyball_dynamics as hb
    >>> print(hb.robustness(hb.HeavyBall(lr=0.1, momentum=0.5), 2.0))
    HeavyBall(lr=0.1, momentum=0.5) at curvature 2: underdamped, decays by a factor 0.707107 per step
      gain margin      0 to 15: diverges once the curvature is 15 times as large, flipping sign every step
      phase margin     1.072 rad (61.4°) at 0.359 rad/step
      disk margin      1.057: any factor 0.3083 to 3.244, or any phase up to 55.74°, and some of both
      modulus margin   0.7449: the worst error of the loop gain comes out 1.342 times as large
      delay margin     2.987 steps: gradients may be 2 steps stale
      H∞ gain          0.508 at 0.2241 rad/step: position per persistent gradient error
      H2 gain          0.2315: standard deviation of the position per unit of gradient noise
      growth of state  none
      from rest        the position never exceeds its start
      eigenvectors     condition number 2.019
    """
    value = curvatures(curvature)
    loops = closed_loops(algorithm, value, k=k, t=t)
    columns = {**_margins(loops), **_gains(loops), **_growth(loops)}
    defective, condition = loops.vectors()
    shaped = {name: column.reshape(*loops.shape, *column.shape[1:]) for name, column in columns.items()}
    modes = loops.modes
    return Robustness(
        algorithm=repr(algorithm), curvature=np.broadcast_to(value, loops.shape).copy(), discrete=modes.discrete,
        damping=np.asarray(modes.damping), stable=modes.stable, spectral_radius=np.asarray(modes.rate),
        defective=defective.reshape(loops.shape), eigenvector_condition=condition.reshape(loops.shape), **shaped,
    )  # fmt: skip


def _margins(loops: ClosedLoops) -> dict[str, Any]:
    """Return the columns of margins, (element,)."""
    elements = len(loops.curvature)
    names = ["gain_frequency", "phase_margin", "phase_frequency", "disk_margin", "disk_frequency", "modulus_margin",
             "delay_margin", "delay_frequency", "delay_steps"]  # fmt: skip
    columns = {name: np.full(elements, np.nan) for name in names}
    columns["gain_margin"] = np.full((elements, 2), np.nan)
    who = np.flatnonzero(loops.stable)
    if loops.matrices is None:
        columns["gain_margin"] = loops.gain_by_search()
    elif who.size:
        response = chosen(curvature_response(loops.matrices, loops.value), who)
        found = loop_margins(response)
        known = [found.gain_frequency, found.phase, found.phase_frequency, found.disk, found.disk_frequency,
                 found.modulus, found.delay, found.delay_frequency, found.whole]  # fmt: skip
        for name, column in zip(names, known, strict=True):
            columns[name][who] = column
        columns["gain_margin"][who] = found.gain
    return columns


def _gains(loops: ClosedLoops) -> dict[str, Any]:
    """Return the columns of norms, (element,)."""
    elements = len(loops.curvature)
    if loops.matrices is None:
        return {name: np.full(elements, np.nan) for name in ("hinf", "hinf_frequency", "h2")}
    hinf, frequency, h2 = np.full(elements, np.inf), np.full(elements, np.nan), np.full(elements, np.inf)
    who = np.flatnonzero(loops.stable)
    if who.size:
        response = chosen(error_response(loops.matrices, loops.value), who)
        hinf[who], frequency[who] = worst_gain(response)
        h2[who] = noise_gain(response)
    return {"hinf": hinf, "hinf_frequency": frequency, "h2": h2}


def _growth(loops: ClosedLoops) -> dict[str, Any]:
    """Return the columns of transient growth, (element,)."""
    discrete = loops.modes.discrete
    found = transient_growth(loops.moving, loops.start, loops.divergent, discrete=discrete)
    return {
        "peak_growth": found.state, "peak_time": found.state_time, "position_growth": found.position,
        "position_time": found.position_time,
        "kreiss": kreiss_constants(loops.moving, np.isfinite(found.state), discrete=discrete),
    }  # fmt: skip
