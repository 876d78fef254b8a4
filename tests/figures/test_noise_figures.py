"""Figures of noise: what is drawn is what was computed."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.expected_losses import expected_loss
from heavyball_dynamics.analysis.stationary import stationary_covariance
from heavyball_dynamics.analysis.tradeoffs import rate_noise_tradeoff
from heavyball_dynamics.figures.covariance_ellipses import plot_covariance
from heavyball_dynamics.figures.noise import plot_expected_loss
from heavyball_dynamics.figures.tradeoff import plot_tradeoff
from heavyball_dynamics.objectives.noisy import NoisyGradient

LOSS = hb.Quadratic([0.5, 2.0])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def line(ax, start):
    return next(each for each in ax.lines if each.get_label().startswith(start))


class TestExpectedLoss:
    def test_curves(self):
        found = expected_loss(hb.HeavyBall(np.array([0.05, 0.1]), 0.5), LOSS, [2.0, 1.0], 150, 0.01)
        ax = plot_expected_loss(found, index=1, label="fast")
        assert_allclose(line(ax, "fast: expected").get_ydata(), found.excess[1])
        assert_allclose(line(ax, "fast: floor").get_ydata(), found.floor[1])
        assert line(ax, "fast: twice").get_xdata()[0] == found.phase_change[1]
        shown = line(ax, "fast: noise").get_ydata()
        assert_allclose(shown[1:], found.stochastic[1][1:])
        assert ax.get_yscale() == "log"

    def test_the_band_of_runs(self):
        found = expected_loss(hb.HeavyBall(0.1, 0.5), LOSS, [2.0, 1.0], 30, 0.01)
        run = hb.iterate(hb.HeavyBall(0.1, 0.5), NoisyGradient(LOSS, 0.01), np.ones((500, 2)) * [2.0, 1.0], 30)
        ax = plot_expected_loss(found, runs=run, parts=False)
        corners = ax.collections[0].get_paths()[0].vertices
        assert_allclose(corners[:, 1].max(), np.quantile(run.value, 0.95, axis=0).max())
        assert len([each for each in ax.lines if "start" in each.get_label()]) == 0

    def test_no_floor(self):
        found = expected_loss(hb.HeavyBall(5.0, 0.5), LOSS, [2.0, 1.0], 900, 0.01)
        assert np.isnan(found.excess[-1])  # it left the finite numbers
        labels = plot_expected_loss(found).get_legend_handles_labels()[1]
        assert not any("floor" in label for label in labels)


class TestEllipses:
    def test_points_lie_at_their_mahalanobis_distance(self):
        P = stationary_covariance(hb.HeavyBall(0.1, 0.9), [0.5, 2.0])
        ax = plot_covariance(P, deviations=(2.0,), labels=["flat", "steep"], centre=[1.0, 0.0])
        for matrix, name in zip(P, ("flat", "steep"), strict=True):
            away = np.array(line(ax, name).get_data()) - [[1.0], [0.0]]
            assert_allclose(np.einsum("ik,ij,jk->k", away, np.linalg.inv(matrix), away), 4.0, rtol=1e-9)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("position", "velocity")

    def test_samples_and_what_is_not_finite(self):
        P = np.stack([np.eye(2), np.full((2, 2), np.nan)])
        ax = plot_covariance(P, points=np.zeros((7, 2)))
        assert len(ax.collections[0].get_offsets()) == 7
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["samples", "[0]"]
        with pytest.raises(ValueError, match="`covariance` must have shape"):
            plot_covariance(np.eye(2), components=(0, 2))

    def test_other_components(self):
        assert plot_covariance(np.eye(3), components=(0, 2)).get_ylabel() == "state 2"


class TestTradeoff:
    def test_points_and_front(self):
        found = rate_noise_tradeoff(hb.HeavyBall, [0.5, 2.0], np.geomspace(0.01, 1.9, 12), np.linspace(0, 0.9, 7))
        ax = plot_tradeoff(found)
        assert len(ax.collections[0].get_offsets()) == found.stable.sum()
        front = line(ax, "Pareto")
        assert_allclose(front.get_xdata(), found.steps[tuple(found.front.T)])
        assert_allclose(front.get_ydata(), found.loss[tuple(found.front.T)])
        assert ax.get_title() == "gradients summed (Polyak)"
        ax = plot_tradeoff(found, show="variance", bar=False)
        assert ax.get_ylabel() == "stationary variance"
        assert len(ax.figure.axes) == 1

    def test_errors(self):
        found = rate_noise_tradeoff(hb.HeavyBall, [1.0], [10.0], [0.5])
        with pytest.raises(ValueError, match="stable setting"):
            plot_tradeoff(found)
        with pytest.raises(ValueError, match="`show`"):
            plot_tradeoff(found, show="rate")
