"""Bifurcation diagrams and races as pictures: what is drawn is what was found, and it can be read."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

import heavyball_dynamics as hb
from heavyball_dynamics.figures.bifurcation import plot_bifurcation
from heavyball_dynamics.figures.race import _LOOKS, plot_race, plot_race_losses, plot_race_paths
from heavyball_dynamics.studies.bifurcations import bifurcation_diagram
from heavyball_dynamics.studies.races import race

CUBIC = hb.from_sympy("x**3/3 - x**2/2", "x", minimizer=[1.0])


@pytest.fixture(scope="module")
def logistic():
    return bifurcation_diagram(hb.GradientDescent(1.0), CUBIC, [0.5], np.linspace(1.5, 3.1, 161))


@pytest.fixture(scope="module")
def contest():
    return race(None, hb.canyon(), [0.5, 10.0], 60)


def drawn(ax):
    return [line for line in ax.lines if line.get_gid() == "run"]


def texts_do_not_overlap(ax):
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    return not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


class TestBifurcation:
    def test_points_limit_and_periods(self, logistic):
        ax = plot_bifurcation(logistic)
        x, y = drawn(ax)[0].get_data()
        keep = np.isfinite(logistic.points)
        assert len(x) == keep.sum()
        np.testing.assert_array_equal(y, logistic.points[keep])
        assert set(np.round(x, 9)) <= set(np.round(logistic.values, 9))
        dashed = [line for line in ax.lines if line.get_label() == "linear stability limit"]
        assert dashed[0].get_xdata()[0] == pytest.approx(2.0)
        assert [text.get_text() for text in ax.texts][:3] == ["1", "2", "4"]
        assert texts_do_not_overlap(ax)
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["diverges", "linear stability limit"]
        # The grey begins between the last value that ends anywhere and the first that diverges, r = 4.
        left = ax.patches[0].get_extents().transformed(ax.transData.inverted()).x0
        assert 3.0 <= left <= 3.011

    def test_labels(self):
        found = bifurcation_diagram(hb.HeavyBall(1.0, 0.5), hb.double_well(), [1.1, 0.1], [1.4, 1.6])
        assert plot_bifurcation(found).get_ylabel() == "position $x_1$"
        assert plot_bifurcation(found, coordinate=1).get_ylabel() == "position $x_2$"
        ax = plot_bifurcation(found, coordinate=None)
        assert ax.get_ylabel() == "loss $f$"
        np.testing.assert_array_equal(drawn(ax)[0].get_ydata(), found.losses.ravel())

    def test_several_starts_and_given_axes(self):
        _, ax = plt.subplots()
        method, loss = hb.HeavyBall(1 / 9, 4 / 9), hb.LessardCounterexample()
        found = bifurcation_diagram(method, loss, [[3.3], [0.5]], [0.1, 1 / 9])
        assert plot_bifurcation(found, ax=ax) is ax
        assert len(drawn(ax)) == 2
        assert len({line.get_color() for line in drawn(ax)}) == 2
        assert not ax.texts

    def test_one_value_and_all_diverged(self):
        plot_bifurcation(bifurcation_diagram(hb.GradientDescent(1.0), CUBIC, [0.5], [2.0]))
        ax = plot_bifurcation(bifurcation_diagram(hb.GradientDescent(1.0), CUBIC, [0.5], [4.0, 5.0]))
        assert len(drawn(ax)[0].get_xdata()) == 0
        ax.figure.canvas.draw()

    def test_errors(self, logistic):
        with pytest.raises(ValueError, match="`coordinate` must be below 1, the number of coordinates. Received 1"):
            plot_bifurcation(logistic, coordinate=1)
        with pytest.raises(ValueError, match="`coordinate` must be a whole number >= 0"):
            plot_bifurcation(logistic, coordinate=-1)


class TestRace:
    def test_losses(self, contest):
        ax = plot_race_losses(contest)
        assert len(drawn(ax)) == 12
        names = [text.get_text().split(",")[0] for text in ax.get_legend().get_texts()]
        assert names == [contest.labels[i] for i in contest.ranking]
        assert "each at its own best" in ax.get_title()
        looks = [(line.get_color(), str(line.get_linestyle()), str(line._dash_pattern)) for line in drawn(ax)]
        assert len(set(looks)) == 12
        first = contest.ranking[0]
        share = contest.excess[first] / contest.excess[first, 0]
        high = share > 1e-10
        np.testing.assert_allclose(np.asarray(drawn(ax)[0].get_ydata())[high], share[high])

    def test_colours_belong_to_methods(self, contest):
        two = race([hb.Adam, hb.HeavyBall], hb.canyon(), [0.5, 10.0], 40)
        for result in (contest, two):
            lines = {line.get_label().split(",")[0]: line.get_color() for line in drawn(plot_race_losses(result))}
            assert lines["Adam"] == _LOOKS["Adam"][0]
            assert lines["heavy ball"] == _LOOKS["HeavyBall"][0]
        same = race({"a": hb.HeavyBall, "b": hb.HeavyBall(1.0, 0.0)}, hb.canyon(), [0.5, 10.0], 40)
        assert len({line.get_color() for line in drawn(plot_race_losses(same))}) == 2

    def test_paths(self, contest):
        ax = plot_race_paths(contest)
        assert len(drawn(ax)) == 6
        assert ax.get_title() == "the fastest 6 of 12"
        last = drawn(ax)[-1]  # the fastest is drawn on top
        np.testing.assert_array_equal(np.transpose(last.get_data()), contest.position[contest.ranking[0]])
        assert len(drawn(plot_race_paths(contest, number=None))) == 12

    def test_both(self, contest):
        ax = plot_race(contest)
        figure = ax.figure
        assert len(figure.axes) == 2
        figure.canvas.draw()
        legend = ax.get_legend().get_window_extent()
        assert legend.x0 >= ax.get_window_extent().x1  # beside the curves
        assert legend.x1 <= figure.bbox.x1 + 1
        _, alone = plt.subplots()
        assert plot_race(contest, ax=alone) is alone

    def test_other_dimensions(self):
        found = race([hb.HeavyBall], hb.Quadratic([1.0, 2.0, 3.0]), [1.0, 1.0, 1.0], 30)
        assert len(plot_race(found).figure.axes) == 1
        with pytest.raises(ValueError, match="`race` must be one on a loss with two coordinates. Received 3"):
            plot_race_paths(found)
