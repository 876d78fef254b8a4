"""The figure of frozen modes shows what the result holds."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose

import heavyball_dynamics as hb


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_curves_colours_and_turns():
    found = hb.frozen_modes(hb.NesterovFlow(), [0.25, 4.0], np.geomspace(0.1, 10, 50))
    ax = found.plot()
    assert len(ax.collections) == 2
    for j, curve in enumerate(ax.collections):
        segments = np.array(curve.get_segments())
        assert_allclose(segments[:, 1, 1], -found.rate[1:, j])
        colours = [plt.matplotlib.colors.to_hex(c) for c in curve.get_colors()]
        assert colours == [hb.figures.class_colour(c) for c in found.damping[1:, j]]
    turns = [line.get_xdata()[0] for line in ax.lines if line.get_label() == "_turn"]
    assert_allclose(turns, [3.0, 0.75], rtol=1e-8)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_growing_modes_are_below_zero():
    found = hb.frozen_modes(hb.HeavyBall(lambda k: 0.1 * (k + 1), 0.5), [1.0, 4.0], range(10))
    ax = hb.figures.plot_frozen_modes(found)
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] < 0


def test_a_batch_is_refused():
    found = hb.frozen_modes(hb.HeavyBall([0.1, 0.2], 0.5), [1.0], range(3))
    with pytest.raises(ValueError, match=r"`found` must hold one rule. Received a batch of shape \(2,\)"):
        found.plot()
