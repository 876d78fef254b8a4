"""Bode's diagram and the preconditioned curvatures show what the results hold."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_curves_phases_and_cut_offs():
    found = hb.frequency_response(hb.HeavyBall([0.1, 0.2], 0.9), curvature=[0.5, 4.0], output="position")
    ax = hb.figures.plot_bode(found)
    beneath = ax.get_figure().axes[1]
    curves = [line for line in ax.lines if not line.get_label().startswith("_")]
    phases = [line for line in beneath.lines if not line.get_label().startswith("_")]
    assert len(curves) == len(phases) == 4
    assert_allclose(curves[1].get_ydata(), found.magnitude[0, :, 1])
    assert_allclose(phases[2].get_ydata(), np.degrees(found.phase[1, :, 0]))
    rings = [line for line in ax.lines if line.get_label() == "_cutoff"]
    assert_allclose([ring.get_xdata()[0] for ring in rings], found.cutoff.ravel())
    assert_allclose([ring.get_ydata()[0] for ring in rings], (found.dc_gain / np.sqrt(2)).ravel())
    assert curves[2].get_label().startswith(r"[1] $\lambda$ = 0.5: cut-off ")
    assert (ax.get_xscale(), ax.get_yscale(), beneath.get_xscale()) == ("log", "log", "log")


def test_axes_are_those_given():
    figure, axes = plt.subplots(2, 1)
    found = {name: hb.dialect_response(name, momentum=0.5) for name in hb.DIALECTS}
    assert hb.figures.plot_bode(found, ax=axes[0], phase_ax=axes[1]) is axes[0]
    assert len(figure.axes) == 2
    _, alone = plt.subplots()
    hb.figures.plot_bode(found["ema"], ax=alone)
    assert alone.get_xlabel() == r"frequency $\omega$ (rad per step)"
    flow = hb.figures.plot_bode(hb.frequency_response(hb.HeavyBallFlow(1.0, 0.5)))
    assert flow.get_figure().axes[1].get_xlabel() == r"frequency $\omega$ (rad per time)"


def test_bad_axes():
    found = hb.dialect_response("ema", momentum=0.5)
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="`ax` must be given where `phase_ax` is"):
        hb.figures.plot_bode(found, phase_ax=ax)
    with pytest.raises(ValueError, match="methods alone or flows alone"):
        hb.figures.plot_bode({"a": found, "b": hb.frequency_response(hb.GradientFlow())})


def test_preconditioned_curvatures():
    found = hb.frozen_preconditioner(hb.Adam(0.01, [0.5, 0.9]), hb.Quadratic([[10.0, 6.0], [6.0, 4.0]]), [1.0, 2.0], 50)
    ax = hb.figures.plot_frozen_preconditioner(found, index=(1,))
    marks = ax.collections[0].get_offsets()
    assert_allclose(marks[:, 1], found.curvature[1].ravel())
    colours = [plt.matplotlib.colors.to_hex(c) for c in ax.collections[0].get_facecolors()]
    assert_array_equal(colours, [hb.figures.class_colour(int(c)) for c in found.damping[1].ravel()])
    assert_allclose(ax.lines[-1].get_ydata(), 38.0, rtol=1e-9)
