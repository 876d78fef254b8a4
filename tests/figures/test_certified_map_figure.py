"""The map of what is proved, drawn."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
from matplotlib import pyplot as plt

import heavyball_dynamics as hb
from heavyball_dynamics.figures.certified_map import plot_certified_map
from heavyball_dynamics.studies.certified_maps import CertifiedMap


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def a_map(rows=12, columns=14):
    """A map with all layers, made up: no solver is needed to draw one."""
    lr, momentum = np.linspace(0.01, 0.17, columns), np.linspace(0, 0.95, rows)
    plain = lr / (2 * (1 + momentum[:, None]) / 25)
    certified = (lr < 0.06) & (plain < 1)
    period = np.where((lr > 0.07) & (momentum[:, None] > 0.3), np.where(lr < 0.1, 4, 3), 0)
    return CertifiedMap("HeavyBall", 1.0, 25.0, lr, momentum, plain, certified, np.full(plain.shape, np.nan), period,
                        np.minimum(period, 1), 25, hb.HeavyBall)  # fmt: skip


def test_layers_periods_and_limit():
    found = a_map()
    ax = plot_certified_map(found)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "certified on all losses", "cycles on a loss (number: period)", "open: only quadratics",
        "diverges on a quadratic", "limit on quadratics",
    ]  # fmt: skip
    kinds = np.asarray(ax.collections[0].get_array()).reshape(found.period.shape)
    for number, layer in enumerate([found.certified, found.cycling, found.open, ~found.stable]):
        assert np.array_equal(kinds == number, layer)
    assert {text.get_text() for text in ax.texts} == {"3", "4"}
    assert ax.get_title() == r"Heavy ball, 1 $\leq$ curvature $\leq$ 25"
    limit = next(c for c in ax.collections if np.any(np.asarray(c.get_linewidth()) == 1.8)).get_paths()[0].vertices
    assert np.allclose(limit[:, 0], 2 * (1 + limit[:, 1]) / 25, atol=1e-3)
    ax.figure.canvas.draw()


def test_one_setting_is_no_map():
    with pytest.raises(ValueError, match="at least two values on each axis"):
        plot_certified_map(a_map(rows=1))
