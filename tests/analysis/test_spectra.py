"""Modes of any order from eigenvalues."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import DampingClass, GradientDescent, GradientFlow, analyze_modes
from heavyball_dynamics.analysis._spectra import Spectra


def spectra(*poles, discrete=True):
    sigma = np.array([poles], dtype=complex) - (1 if discrete else 0)
    return Spectra(sigma, discrete, 1e-9)


@pytest.mark.parametrize("sigma", [-1e-12, -1e-3 + 1e-3j, -0.5, -1 + 1e-9j, -1 + 1e-6, -1.3 + 0.2j, -1.999, 0.2, 3j])
def test_log_rate_keeps_its_digits(sigma):
    """log|1 + σ| near z = 1, where slow modes live, and near z = 0, where fast ones do."""
    found = Spectra(np.array([[sigma]], dtype=complex), True, 1e-9).log_rate[0]
    with mpmath.workdps(50):
        wanted = float(mpmath.log(abs(1 + mpmath.mpc(sigma))))
    assert_allclose(found, wanted, rtol=1e-13)


def test_discriminant_of_a_cubic(rng):
    """b²c² - 4c³ - 4b³d - 27d² + 18bcd of z³ + bz² + cz + d."""
    for roots in (rng.normal(size=3), np.array([0.3 + 0.4j, 0.3 - 0.4j, 0.7])):
        b, c, d = np.real(np.poly(roots))[1:]
        wanted = b**2 * c**2 - 4 * c**3 - 4 * b**3 * d - 27 * d**2 + 18 * b * c * d
        assert_allclose(spectra(*roots).discriminant, [wanted], rtol=1e-9)


def test_poles_are_ranked():
    assert_allclose(spectra(0.1, -0.9, 0.5j, -0.5j).poles, [[-0.9, 0.5j, -0.5j, 0.1]])
    assert_array_equal(spectra(-3, -1, -2 + 1j, -2 - 1j, discrete=False).poles, [[-1, -2 + 1j, -2 - 1j, -3]])


@pytest.mark.parametrize(("poles", "name"), [
    ((0.5, 0.4, 1.1), "DIVERGENT"), ((0.5, 0.4, 1.0), "MARGINAL"), ((0.5, 1j, -1j), "UNDAMPED"),
    ((0.5, 0.6j, -0.6j), "UNDERDAMPED"), ((0.5, 0.5, 0.1), "CRITICAL"), ((0.5, 0.4, 0.1), "OVERDAMPED"),
    ((-0.5, 0.4, 0.1), "ALTERNATING"), ((-0.5, -0.5, 0.1), "ALTERNATING"), ((-0.5, 0.5, 0.1), "ALTERNATING"),
    ((0.5, -0.4, 0.1), "OVERDAMPED"), ((0.0, 0.0, 0.0), "CRITICAL"), ((-1.0, 0.5, 0.1), "MARGINAL"),
    ((0.7, 0.5j, -0.5j), "OVERDAMPED"), ((-0.5 + 3e-9j, -0.5 - 3e-9j, 0.1), "ALTERNATING"),
    ((0.5 + 3e-9j, 0.5 - 3e-9j, 0.1), "CRITICAL"),
])  # fmt: skip
def test_the_dominant_pole_or_pair_decides(poles, name):
    assert DampingClass(spectra(*poles).damping[0]).name == name


def test_stability_condition_changes_sign_at_the_circle():
    signs = [np.sign(spectra(0.3, pole).conditions[0][0]) for pole in (0.9, 1.0, 1.1, -1.0, -1.1)]
    assert signs == [1, 0, -1, 0, -1]


def test_first_order_is_decided_from_its_coefficient():
    """The only pole of gradient descent is 1 - q: however small or large q is, its class is known."""
    curvature = [1e-300, 1e-13, 1e-5, 2.0, 3e13, 1e200, -1e-13, -1e15, 0.0]
    D = DampingClass
    wanted = [D.OVERDAMPED] * 3 + [D.MARGINAL] + [D.DIVERGENT] * 4 + [D.MARGINAL]
    assert_array_equal(analyze_modes(GradientDescent(1.0), curvature).damping, wanted)


@pytest.mark.parametrize("scale", [1e-100, 1e-13, 1.0, 1e13, 1e100])
def test_classes_of_flows_do_not_depend_on_the_unit_of_time(scale):
    D = DampingClass
    found = analyze_modes(GradientFlow(), scale * np.array([1.0, -1.0, 0.0])).damping
    assert_array_equal(found, [D.OVERDAMPED, D.DIVERGENT, D.MARGINAL])
    for poles, wanted in [
        ((-1, -2, -3), D.OVERDAMPED), ((-1 + 1j, -1 - 1j, -3), D.UNDERDAMPED), ((1j, -1j, -3), D.UNDAMPED),
        ((0, -2, -3), D.MARGINAL), ((1e-9, -1, -2), D.DIVERGENT), ((-1e-9, -1, -2), D.OVERDAMPED),
    ]:  # fmt: skip
        modes = spectra(*(scale * np.array(poles)), discrete=False)
        assert modes.damping[0] == wanted
        if wanted == D.UNDERDAMPED:
            assert_allclose(modes.damping_ratio[0], np.sqrt(0.5), rtol=1e-12)
