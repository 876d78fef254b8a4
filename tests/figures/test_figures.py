"""What is drawn is what was computed."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import heavyball_dynamics as hb

F = hb.figures


def _labelled(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def _results():
    method, loss = hb.HeavyBall(0.1, 0.81), hb.Quadratic([1.0, 5.0])
    return {
        "modes": hb.analyze_modes(method, [0.1, 1.0]),
        "locus": hb.root_locus(method),
        "map": hb.stability_map(),
        "trajectory": hb.iterate(method, loss, [1.0, 1.0], 20),
        "portrait": hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.5), hb.Quadratic([1.0]), resolution=7),
        "contours": hb.contours(hb.canyon(), resolution=21),
        "loss": hb.loss_curves({"descent": hb.GradientDescent(0.1)}, loss, [1.0, 1.0], steps=60),
        "mode portrait": hb.mode_portrait(method, 1.0),
    }


@pytest.mark.parametrize("name", _results())
def test_results_draw_themselves_into_the_axes_given_and_touch_nothing_else(name):
    result, before = _results()[name], dict(mpl.rcParams)
    ax = Figure(figsize=(3.4, 3.0)).add_subplot()
    assert result.plot(ax=ax) is ax
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    new = F.plot(result)
    assert new is not ax
    assert len(plt.get_fignums()) == 1
    new.figure.canvas.draw()


@pytest.mark.parametrize("name", _results())
def test_no_text_is_smaller_than_seven_points(name):
    ax = F.plot(_results()[name])
    legend = ax.get_legend()
    texts = [*ax.texts, ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend else [])]
    sizes = {text.get_text(): text.get_fontsize() for text in texts if text.get_text()}
    # ModePortrait draws its legend in matplotlib's "x-small".
    assert min(sizes.values()) >= 6.9


def test_what_has_no_figure_is_refused():
    with pytest.raises(TypeError, match="must be one of Audit, .*Comparison, Contours, .*LossCurves.*Received list"):
        F.plot([1.0])


def test_loci_are_the_poles_with_break_away_points_in_between():
    locus = hb.root_locus(hb.HeavyBall(1.0, 0.25), values=np.linspace(0.01, 2.4, 20))
    ax = F.plot_root_locus(locus)
    branches = _labelled(ax, "_locus")
    assert len(branches) == 2
    for branch, line in zip(locus.poles.T, branches, strict=True):
        drawn = line.get_xdata() + 1j * line.get_ydata()
        assert len(drawn) == 20 + len(locus.breakaway)
        assert set(branch) <= set(drawn)
        # Double roots ±√β at the break-away points.
        assert np.min(np.abs(drawn - 0.5)) < 1e-7
        assert np.min(np.abs(drawn + 0.5)) < 1e-7
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Re $z$", "Im $z$")


def test_break_away_and_limit_are_marked():
    ax = F.plot_root_locus(hb.root_locus(hb.HeavyBall(1.0, 0.25)))
    (meeting,) = _labelled(ax, "_break-away")
    np.testing.assert_allclose(np.sort(meeting.get_xdata()), [-0.5, 0.5], atol=1e-6)
    (limit,) = _labelled(ax, "_stability limit")
    np.testing.assert_allclose([limit.get_xdata(), limit.get_ydata()], [[-1], [0]], atol=1e-9)
    (boundary,) = _labelled(ax, "_stability boundary")
    np.testing.assert_allclose(np.hypot(*boundary.get_data()), 1)


def test_modes_on_a_locus_have_the_colours_of_their_classes():
    method = hb.HeavyBall(1.0, 0.25)
    modes = hb.analyze_modes(method, [0.1, 0.25, 1.0, 2.4, 3.0])
    ax = F.plot_root_locus(hb.root_locus(method), modes=modes, zoom=False)
    found = {}
    for each in ax.collections:
        for point in each.get_offsets():
            found[complex(*point)] = tuple(each.get_facecolor()[0])
    for poles, damping in zip(modes.poles, modes.damping, strict=True):
        for pole in poles:
            assert found[complex(pole)] == to_rgba(F.class_colour(damping))
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    classes = ["divergent", "underdamped", "critically damped", "overdamped", "alternating"]
    assert named == [*classes, "break-away", "stability limit"]


def test_damping_grid_lies_at_constant_damping_ratio():
    ax = F.plot_modes(hb.analyze_modes(hb.HeavyBall(0.1, 0.9), [1.0]))
    lines = [line for line in _labelled(ax, "_grid") if line.get_linestyle() == "-"]
    for line, ratio in zip(lines[::2], (0.1, 0.2, 0.4), strict=True):
        s = np.log(line.get_xdata() + 1j * line.get_ydata())[1:-1]
        np.testing.assert_allclose(-s.real / np.abs(s), ratio)


def test_crowded_modes_get_an_enlargement():
    method = hb.HeavyBall(0.02, 0.9)
    locus = hb.root_locus(method)
    crowded, sparse = hb.analyze_modes(method, [0.01, 0.02, 0.05]), hb.analyze_modes(method, [50.0, 100.0])
    (inset,) = F.plot_root_locus(locus, modes=crowded).child_axes
    low, high = inset.get_xlim()
    assert low < 1 < high
    assert high - low < 0.5
    assert F.plot_root_locus(locus, modes=sparse).child_axes == []
    assert len(F.plot_root_locus(locus, modes=sparse, zoom=True).child_axes) == 1
    assert F.plot_root_locus(locus, modes=crowded, zoom=False).child_axes == []


def test_s_plane_shows_the_imaginary_axis_and_every_mode():
    flow = hb.HeavyBallFlow(1.0, 1.0)
    modes = hb.analyze_modes(flow, [0.1, 3.0])
    ax = F.plot_root_locus(hb.root_locus(flow), modes=modes)
    (boundary,) = _labelled(ax, "_stability boundary")
    assert set(boundary.get_xdata()) == {0.0}
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert np.all((modes.poles.real > low) & (modes.poles.real < high))
    assert np.all((modes.poles.imag > bottom) & (modes.poles.imag < top))


def test_third_order_locus_of_a_rule_in_the_momentum():
    locus = hb.root_locus(hb.HeavyBall(0.25, 0.5), "momentum", curvature=1.0)
    assert F.plot_root_locus(locus).get_title() == "Root locus in the momentum"


def test_few_modes_are_labelled_with_their_curvatures():
    ax = F.plot_modes(hb.analyze_modes(hb.HeavyBallFlow(1.0, 1.0), [0.1, 3.0]))
    texts = [text.get_text() for text in ax.texts]
    assert r"$\lambda = 0.1$" in texts
    assert r"$\lambda = 3$" in texts


def test_map_shows_the_classes_in_their_colours_and_the_modes():
    found = hb.stability_map(product=np.geomspace(1e-3, 6, 60), momentum=np.linspace(0, 1, 41))
    ax = F.plot_stability_map(found, product=[0.01, 1.0], momentum=0.9, labels=["slow", "stiff"])
    (mesh,) = [c for c in ax.collections if isinstance(c, mpl.collections.QuadMesh)]
    np.testing.assert_array_equal(np.asarray(mesh.get_array()), found.damping)
    for each in hb.DampingClass:
        assert mpl.colors.to_hex(mesh.cmap(mesh.norm(int(each)))) == F.class_colour(each)
    (marks,) = _labelled(ax, "_modes")
    np.testing.assert_array_equal(marks.get_xydata(), [[0.01, 0.9], [1.0, 0.9]])
    assert {"slow", "stiff"} <= {text.get_text() for text in ax.texts}
    assert ax.get_xscale() == "log"
    assert F.plot_stability_map(hb.stability_map(), scale="log").get_xscale() == "log"
    assert F.plot_stability_map(hb.stability_map(hb.Nesterov)).get_xscale() == "linear"


def test_map_refuses_other_scales_and_unmatched_labels():
    found = hb.stability_map(product=[0.1, 1.0], momentum=[0.1, 0.5, 0.9])
    with pytest.raises(ValueError, match="`scale` must be one of"):
        F.plot_stability_map(found, scale="cubic")
    with pytest.raises(ValueError, match="`labels` must be one name a mode, 1 here"):
        F.plot_stability_map(found, product=[0.1], momentum=0.5, labels=["a", "b"])


def test_paths_lie_on_level_lines_from_start_to_end():
    run = hb.iterate(hb.HeavyBall(np.array([1e-3, 5e-4]), 0.9), hb.rosenbrock(), [-1.0, 1.0], steps=30)
    ax = F.plot_trajectory(run, contours=hb.contours(hb.rosenbrock()), labels=["fast", "slow"])
    for path, label in zip(run.position, ["fast", "slow"], strict=True):
        (line,) = _labelled(ax, label)
        np.testing.assert_array_equal(line.get_xydata(), path)
    ends = np.concatenate([line.get_xydata() for line in _labelled(ax, "_end")])
    np.testing.assert_array_equal(ends, run.position[:, -1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x$", "$y$")


def test_divergent_path_ends_where_it_was_last_finite():
    run = hb.iterate(hb.GradientDescent(1.0), hb.rosenbrock(), [-1.0, 1.0], steps=30)
    (end,) = _labelled(F.plot_trajectory(run), "_end")
    assert np.isfinite(end.get_xydata()).all()


def test_one_coordinate_is_drawn_against_time_and_many_as_gradient_norm():
    flow = hb.integrate(hb.HeavyBallFlow(), hb.Quadratic([1.0]), [1.0], duration=5.0)
    ax = F.plot_trajectory(flow)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), flow.position[:, 0])
    assert ax.get_xlabel() == "time $t$"
    run = hb.iterate(hb.HeavyBall(0.1, 0.5), hb.Quadratic([1.0, 2.0, 3.0]), [1.0, 1.0, 1.0], 30)
    ax = F.plot_trajectory(run)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), run.gradient_norm)
    assert (ax.get_xlabel(), ax.get_yscale()) == ("step $k$", "log")
    with pytest.raises(ValueError, match="`labels` must be one name a run, 1 here. Received 2"):
        F.plot_trajectory(run, labels=["a", "b"])


def test_minimum_and_levels_of_contours():
    lines = hb.contours(hb.beale())
    ax = F.plot_contours(lines)
    (star,) = _labelled(ax, "minimum")
    np.testing.assert_array_equal(star.get_xydata(), [[3.0, 0.5]])
    (drawn,) = [c for c in ax.collections if isinstance(c, mpl.contour.ContourSet)]
    np.testing.assert_array_equal(drawn.levels, lines.levels)


def test_portrait_shows_orbits_separatrices_and_equilibria():
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.3), hb.from_sympy("(x**2 - 1)**2/4", "x"))
    points = np.array([[1.5, 0.0], [1.2, -0.4]])
    ax = F.plot_phase_portrait(portrait, iterates=(points, "heavy ball"))
    for orbit, line in zip(portrait.orbits, _labelled(ax, "_orbit"), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), orbit)
    (first,) = _labelled(ax, "stable separatrix")
    np.testing.assert_array_equal(first.get_xydata(), portrait.stable_separatrices[0])
    (saddle,) = _labelled(ax, "saddle")
    assert saddle.get_markerfacecolor() == F.class_colour(hb.DampingClass.DIVERGENT)
    (focus,) = _labelled(ax, "stable focus")
    assert focus.get_markerfacecolor() == F.class_colour(hb.DampingClass.UNDERDAMPED)
    (iterates,) = _labelled(ax, "heavy ball")
    np.testing.assert_array_equal(iterates.get_xydata(), points)
    np.testing.assert_allclose([ax.get_xlim(), ax.get_ylim()], portrait.limits)
    assert F.plot_phase_portrait(portrait, legend=False).get_legend() is None
    with pytest.raises(ValueError, match="`iterates` must be"):
        F.plot_phase_portrait(portrait, iterates=(points[0], "heavy ball"))


def test_nullclines_pass_through_the_equilibria():
    portrait = hb.phase_portrait(hb.HeavyBallFlow(1.0, 0.3), hb.from_sympy("(x**2 - 1)**2/4", "x"))
    ax = F.plot_phase_portrait(portrait)
    sets = [c for c in ax.collections if isinstance(c, mpl.contour.ContourSet)]
    assert len(sets) == 2
    for drawn in sets:
        vertices = np.concatenate([path.vertices for path in drawn.get_paths()])
        for point in portrait.equilibria:
            assert np.linalg.norm(vertices - point, axis=1).min() < 0.03


def test_losses_and_predictions_are_drawn():
    runs = {"descent": hb.GradientDescent(0.1), "ball": hb.HeavyBall(0.1, 0.5), "explodes": hb.GradientDescent(5.0)}
    curves = hb.loss_curves(runs, hb.Quadratic([1.0, 5.0]), [1.0, 1.0], steps=60)
    ax = F.plot_loss(curves)
    solid = [line for line in ax.lines if line.get_label() != "_predicted"]
    for i, (line, dashed) in enumerate(zip(solid, _labelled(ax, "_predicted"), strict=True)):
        good = np.isfinite(line.get_ydata())
        np.testing.assert_array_equal(line.get_ydata()[good], curves.excess[i][good])
        good = np.isfinite(dashed.get_ydata())
        np.testing.assert_array_equal(dashed.get_ydata()[good], curves.reference[i][good])
        assert line.get_label().startswith(curves.labels[i])
    assert solid[0].get_label() == "descent: 0.81 (predicted 0.81)"
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[1] < 1e12
