"""Robustness cards and Nyquist curves as figures: what is drawn is what the results hold."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import Circle, Rectangle
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.nyquist_curves import nyquist
from heavyball_dynamics.analysis.robustness_cards import robustness
from heavyball_dynamics.figures.nyquist import plot_nyquist
from heavyball_dynamics.figures.robustness_card import plot_robustness

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_card_shows_every_mode():
    found = robustness(hb.tune(hb.HeavyBall, 1.0, 100.0), [0.0, 1.0, 10.0, 100.0, 150.0])
    ax = plot_robustness(found)
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "1", "10", "100", "150"]
    told = [text.get_text() for text in ax.texts]
    assert told.count("does not decay") == 2
    assert "1.15°" in told
    assert "3.71" in told
    assert "101" in told
    spans = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    assert any(np.isclose(span[1], 101.0) for span in spans)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "decays" in labels
    assert "critically damped" in labels


def test_card_of_a_flow_and_of_a_batch():
    flow = plot_robustness(robustness(hb.HeavyBallFlow(1.0, [0.5, 2.0]), [[1.0, 4.0]]))
    assert len(flow.get_yticklabels()) == 4
    assert flow.get_ylabel() == "curvature, [batch and mode]"
    _, ax = plt.subplots()
    assert plot_robustness(robustness(hb.GradientDescent(0.1), 1.0), ax=ax) is ax


def test_no_text_of_the_card_overlaps_or_leaves_the_figure():
    ax = plot_robustness(robustness(hb.tune(hb.Nesterov, 1.0, 100.0), [0.0, 1.0, 3.0, 30.0, 100.0, 500.0]))
    figure = ax.figure
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    for i, one in enumerate(boxes):
        assert one.x1 <= figure.bbox.x1 + 1
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_nyquist_draws_the_disk_and_the_crossing():
    curve = nyquist(hb.HeavyBall(0.1, 0.5), 2.0)
    ax = plot_nyquist(curve)
    circle = next(patch for patch in ax.patches if isinstance(patch, Circle))
    centre, radius = (float(part[0]) for part in curve.disk)
    assert_allclose([circle.center[0], circle.radius], [centre, radius])
    assert ax.get_aspect() == 1
    marks = [line for line in ax.lines if line.get_marker() == "D"]
    assert_allclose(marks[0].get_xdata(), [-1 / 15])
    drawn = next(line for line in ax.lines if len(line.get_xdata()) == curve.loop.shape[1])
    assert_allclose(drawn.get_ydata(), curve.loop[0, :, 0].imag)


def test_nyquist_of_several_modes_and_of_a_half_plane():
    several = plot_nyquist(nyquist(hb.HeavyBall(0.1, 0.5), [1.0, 2.0, 40.0]))
    told = [text.get_text() for text in several.get_legend().get_texts()]
    assert told[2].endswith("diverges")
    assert not several.patches
    half = plot_nyquist(nyquist(hb.GradientFlow(), 1.0))
    assert any(isinstance(patch, Rectangle) for patch in half.patches)
