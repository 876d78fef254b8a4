"""Impulse responses, terminal velocity, bias and variance, saddles and colours are drawn as they were computed."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.bias_variances import bias_variance
from heavyball_dynamics.analysis.impulse_responses import impulse_response
from heavyball_dynamics.figures.bias_variance import plot_bias_variance
from heavyball_dynamics.figures.coloring_front import plot_coloring_front
from heavyball_dynamics.figures.impulse_response import plot_impulse_response
from heavyball_dynamics.figures.saddle_crossing import plot_saddle_crossing
from heavyball_dynamics.figures.terminal_speed import plot_terminal_velocity
from heavyball_dynamics.studies.measurements import arrival
from heavyball_dynamics.studies.saddle_crossings import saddles_crossed
from heavyball_dynamics.studies.terminal_speed import terminal_velocity

PATH = hb.PathColoring(6)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def _coloured(method=None):
    return hb.iterate(hb.HeavyBall(0.3, 0.8) if method is None else method, PATH, np.zeros(6), 20)


def _drawn():
    ball = hb.HeavyBall(0.1, np.array([0.5, 0.9]))
    chain = hb.SaddleChain(3)
    crossed = saddles_crossed(hb.iterate(ball, chain, chain.start, 150), chain)
    noise = bias_variance(ball, np.linspace(0, 2, 30), 3)
    return {
        "impulse": lambda ax: plot_impulse_response(impulse_response(ball, 20), ax=ax),
        "adaptive": lambda ax: plot_impulse_response({"Adam": impulse_response(hb.Adam(), 60, around=1.0)}, ax=ax),
        "endless": lambda ax: plot_impulse_response(impulse_response(hb.HeavyBall(0.1, 1.0), 20), ax=ax),
        "terminal": lambda ax: plot_terminal_velocity(terminal_velocity(ball), labels=["half", "nine tenths"], ax=ax),
        "no limit": lambda ax: plot_terminal_velocity(terminal_velocity(hb.AdaGrad(), steps=50), ax=ax),
        "moment": lambda ax: plot_bias_variance(noise, ax=ax),
        "stationary": lambda ax: plot_bias_variance({"a": noise}, show="stationary_variance", lr=0.1, ax=ax),
        "saddles": lambda ax: plot_saddle_crossing({"chain": crossed}, ax=ax),
        "front": lambda ax: plot_coloring_front(_coloured(), arrival(_coloured()), ax=ax),
        "no front": lambda ax: plot_coloring_front(_coloured(), largest=1.0, colorbar=False, ax=ax),
    }


@pytest.mark.parametrize("name", _drawn())
def test_drawn_into_the_axes_given_and_nothing_else_touched(name):
    draw, before = _drawn()[name], dict(mpl.rcParams)
    ax = Figure(figsize=(4.0, 3.4)).add_subplot()
    assert draw(ax) is ax
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    new = draw(None)
    new.figure.canvas.draw()
    assert new.get_xlabel()
    assert new.get_ylabel()
    legend = new.get_legend()
    texts = [new.xaxis.label, new.yaxis.label, *([] if legend is None else legend.get_texts())]
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= 6.9


def _curves(ax):
    return [line for line in ax.lines if not str(line.get_label()).startswith("_")]


def test_impulse_responses_are_the_weights():
    found = impulse_response(hb.HeavyBall(0.1, np.array([0.5, 0.9])), 20)
    lines = _curves(plot_impulse_response(found))
    for line, weights in zip(lines, found.weights, strict=True):
        assert_array_equal(line.get_ydata(), weights)
    assert [line.get_label() for line in lines] == ["[0]: sum 0.2, memory 2 steps", "[1]: sum 1, memory 10 steps"]
    lines = _curves(plot_impulse_response({"plain": impulse_response(hb.GradientDescent(0.2), 5)}, cumulative=True))
    assert_array_equal(lines[0].get_ydata(), 0.2)
    assert lines[0].get_label() == "plain: sum 0.2, memory 1 step"


def test_terminal_velocity_is_in_units_of_gradient_descent():
    found = terminal_velocity(hb.HeavyBall(0.1, np.array([0.5, 0.9])), gradient=-4.0)
    ax = plot_terminal_velocity(found)
    lines = _curves(ax)
    for line, velocity in zip(lines, found.velocity, strict=True):
        assert_allclose(line.get_ydata(), np.abs(velocity) / 0.4, rtol=1e-12)
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in marks] == [5, 29]
    assert lines[1].get_label() == "limit 10, 95 % from step 29"
    with pytest.raises(ValueError, match="`labels` must have one name for each of 2 curves. Received 1"):
        plot_terminal_velocity(found, labels=["one"])


def test_bias_and_variance_over_the_curvature():
    q = np.linspace(0, 1.5, 20)
    found = {kind.__name__: bias_variance(kind(1.0, 0.9), q, 4) for kind in (hb.HeavyBall, hb.Nesterov)}
    for show in ("variance", "bias_squared", "second_moment"):
        lines = _curves(plot_bias_variance(found, show=show, step=2, lr=2.0))
        for line, each in zip(lines, found.values(), strict=True):
            assert_array_equal(line.get_xdata(), 2 * q)
            assert_array_equal(line.get_ydata(), getattr(each, show)[:, 2])
        assert [line.get_label() for line in lines] == ["HeavyBall", "Nesterov"]
    with pytest.raises(ValueError, match="`show` must be one of"):
        plot_bias_variance(found, show="bias")


def test_a_staircase_has_a_step_for_each_saddle():
    chain = hb.SaddleChain(3)
    found = saddles_crossed(hb.iterate(hb.GradientDescent(0.1), chain, chain.start, 120), chain)
    (line,) = _curves(plot_saddle_crossing(found))
    assert_array_equal(line.get_xdata(), [0, *found.time[:2], 120])
    assert_array_equal(line.get_ydata(), [0, 1, 2, 2])
    assert line.get_label() == "2 crossed"


def test_nodes_that_have_not_moved_stay_white():
    run = _coloured()
    ax = plot_coloring_front(run, arrival(run))
    shown = ax.collections[0].get_array()
    assert_array_equal(np.ma.getmaskarray(shown).reshape(6, -1), run.position.T == 0)
    with pytest.raises(ValueError, match=r"`trajectory` must be a single run. Received batch axes of shape \(2,\)"):
        plot_coloring_front(_coloured(hb.HeavyBall(np.array([0.1, 0.2]), 0.8)))
