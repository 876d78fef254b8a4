"""One colour per class, told apart by every eye; files with real text in them."""

from __future__ import annotations

import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

import heavyball_dynamics as hb

# Linear RGB as seen by deuteranopes and protanopes: Machado, Oliveira and Fernandes, "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15 (2009), severity 1.0.
VISION = {
    "full": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


def _lab(linear):
    xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    t = np.array(xyz) @ linear / [0.95047, 1.0, 1.08883]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_all_pairs_of_classes_are_told_apart(vision):
    seen = []
    for each in hb.DampingClass:
        rgb = np.array(mpl.colors.to_rgb(hb.figures.class_colour(each)))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        seen.append(_lab(np.clip(VISION[vision] @ linear, 0, 1)))
    # A just noticeable difference is 2.3.
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 19


def test_every_class_has_a_marker_of_its_own():
    assert len({hb.figures.class_marker(c) for c in hb.DampingClass}) == len(hb.DampingClass)


def test_legend_names_the_classes_that_occur_once_each():
    ax = hb.figures.plot_modes(hb.analyze_modes(hb.HeavyBall(1.0, 0.25), [0.1, 1.0, 2.4, 1.1]))
    legend = hb.figures.class_legend(ax, np.array([[6, 3], [5, 3]]))
    assert [text.get_text() for text in legend.get_texts()] == ["underdamped", "overdamped", "alternating"]
    assert all(text.get_fontsize() >= 7 for text in legend.get_texts())


def test_saved_text_stays_text_and_settings_stay_as_they_were(tmp_path):
    ax = hb.figures.plot(hb.root_locus(hb.HeavyBall(1.0, 0.5)))
    before = dict(mpl.rcParams)
    files = hb.figures.save(ax.figure, tmp_path / "locus.v1", formats=("pdf", "svg", "png"))
    assert [file.name for file in files] == ["locus.v1.pdf", "locus.v1.svg", "locus.v1.png"]
    assert b"/CIDFontType2" in files[0].read_bytes()  # TrueType, and no Type 3
    assert b"/Type3" not in files[0].read_bytes()
    assert "<text" in files[1].read_text(encoding="utf-8")
    assert dict(mpl.rcParams) == before


def test_importing_figures_loads_no_matplotlib():
    code = (
        "import sys, heavyball_dynamics as hb; hb.figures; hb.phase_portrait; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'control', 'sympy')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
