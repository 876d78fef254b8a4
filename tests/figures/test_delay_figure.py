"""The figure of delay limits shows what the result holds."""

import numpy as np
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.delayed_loci import delayed_locus
from heavyball_dynamics.analysis.delays import delay_limits
from heavyball_dynamics.figures.delay import plot_delay_limits
from heavyball_dynamics.figures.root_locus import plot_root_locus

DELAYS = [0, 1, 3, 10]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_curves_are_the_limits_times_the_curvature():
    found = delay_limits(hb.HeavyBall(1.0, np.array([0.0, 0.9])), DELAYS, np.array([1.0, 10.0]))
    ax = plot_delay_limits(found)
    drawn = lines(ax)
    for i, label in enumerate(found.labels):
        assert_allclose(drawn[label].get_xdata(), DELAYS)
        assert_allclose(drawn[label].get_ydata(), found.limit[i] * (1.0, 10.0)[i])
    exact = drawn["gradient descent"]
    at = np.argmin(np.abs(exact.get_xdata() - 10.0))
    assert_allclose(exact.get_ydata()[at], found.limit[0, -1], rtol=1e-12)
    assert (ax.get_xscale(), ax.get_yscale()) == ("symlog", "log")
    assert [label.get_text() for label in ax.get_legend().get_texts()][:2] == list(found.labels)


def test_nothing_stable_is_left_out_and_no_reference_where_it_has_no_place():
    found = delay_limits(hb.HeavyBall(0.3, np.array([0.5, 1.05])), DELAYS, parameter="curvature")
    ax = plot_delay_limits(found)
    assert np.isnan(lines(ax)["momentum 1.05"].get_ydata()).all()
    assert "gradient descent" not in lines(ax)
    assert "curvature" in ax.get_ylabel()
    _, own = plt.subplots()
    assert plot_delay_limits(delay_limits(hb.GradientDescent(1.0), [0]), reference=False, ax=own) is own
    assert own.get_legend() is None


def test_the_locus_of_a_hundred_delays_is_drawn():
    locus = delayed_locus(hb.HeavyBall(1.0, 0.5), 100)
    ax = plot_root_locus(locus)
    assert sum(line.get_label() == "_locus" for line in ax.lines) == 102
