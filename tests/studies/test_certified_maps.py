"""The three layers contradict neither each other nor runs."""

from __future__ import annotations

import doctest
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.certificates import certify
from heavyball_dynamics.studies import certified_maps
from heavyball_dynamics.studies.certified_maps import certified_map


def test_missing_solver(monkeypatch):
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(ImportError, match=r'pip install "heavyball_dynamics\[certify\]"'):
        certified_map(hb.HeavyBall, [0.1], [0.1])


@pytest.fixture(scope="module")
def found():
    pytest.importorskip("clarabel", reason="clarabel, the extra `certify`, is not installed")
    return certified_map(hb.HeavyBall, np.linspace(0.01, 0.17, 9), np.linspace(0, 0.95, 7), 1.0, 25.0)


def test_layers_exclude_each_other(found):
    layers = np.array([found.certified, found.cycling, found.open, ~found.stable])
    assert np.all(layers.sum(axis=0) == 1)
    assert np.all(layers[[0, 1, 3]].any(axis=(1, 2)))
    # What a certificate excludes does not exist, whichever way it was looked for.
    assert not np.any(found.certified & (found.period > 0))
    assert str(found).startswith("HeavyBall, curvatures in [1, 25]:")


def test_stable_on_quadratics_is_the_closed_form(found):
    limit = 2 * (1 + found.momentum[:, None]) / 25
    assert np.array_equal(found.stable, found.lr < limit)


def test_certified_is_what_certify_says(found):
    for row, column in [(0, 0), (2, 3), (3, 5), (6, 1), (5, 4)]:
        alone = certify(hb.HeavyBall(found.lr[column], found.momentum[row]), 1.0, 25.0, tolerance=1e-2)
        assert alone.feasible == found.certified[row, column]


def test_witnesses_go_round(found):
    for row, column in np.argwhere(found.cycling):
        cycle = found.cycle(row, column)
        method = hb.HeavyBall(found.lr[column], found.momentum[row])
        run = hb.iterate(method, cycle.loss, cycle.states, cycle.period)
        assert_allclose(run.position[:, -1], run.position[:, 0], atol=1e-10)
        assert_allclose(np.linalg.norm(run.position, axis=-1), 1.0)
    with pytest.raises(ValueError, match="must be those of a setting that goes round"):
        found.cycle(0, 0)


def test_rates():
    pytest.importorskip("clarabel", reason="clarabel, the extra `certify`, is not installed")
    with_rates = certified_map(hb.Nesterov, [0.01, 0.04, 0.09], [0.0, 0.6], 1.0, 25.0, rates=True, tolerance=1e-4)
    assert np.array_equal(np.isfinite(with_rates.rate), with_rates.certified)
    assert_allclose(with_rates.rate[0, 1], 1 - 0.04, atol=2e-4)
    assert np.all(with_rates.rate >= with_rates.quadratic_rate - 1e-9)
    assert not with_rates.cycling.any()


def test_bad_axes():
    pytest.importorskip("clarabel", reason="clarabel, the extra `certify`, is not installed")
    with pytest.raises(ValueError, match="`lrs` must be one-dimensional"):
        certified_map(hb.HeavyBall, [[0.1]], [0.1])
    with pytest.raises(ValueError, match="`smoothness` must be > strong_convexity"):
        certified_map(hb.HeavyBall, [0.1], [0.1], 1.0, 1.0)


@pytest.mark.parametrize("what", [certified_maps.CertifiedMap, certified_map], ids=lambda what: what.__name__)
def test_examples_of_the_docstrings(what, monkeypatch):
    pytest.importorskip("clarabel", reason="clarabel, the extra `certify`, is not installed")
    monkeypatch.setattr(hb, "certified_map", certified_map, raising=False)
    text = what.__doc__.replace("# doctest: +SKIP", "")
    examples = doctest.DocTestParser().get_doctest(text, {}, what.__name__, None, None)
    said = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=said.append)
    assert not said, "".join(said)
