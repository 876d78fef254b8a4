"""The card as a whole: batches, words, plain data, findings and errors."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from user_rules import Averaged, Clipped, Extragradient, Maxwell, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis.robustness_cards import Robustness, robustness

COLUMNS = [name for name in Robustness.__dataclass_fields__ if name not in ("algorithm", "discrete")]


def same(batch, index, alone, at, rtol=1e-9):
    for name in COLUMNS:
        # Where a flat maximum is attained is known to half the digits only.
        close = 1e-3 if name.endswith(("_frequency", "_time")) else rtol
        assert_allclose(getattr(batch, name)[index], getattr(alone, name)[at], rtol=close, atol=1e-12, err_msg=name)


@given(st.lists(st.floats(0.01, 0.95), min_size=2, max_size=2), st.lists(st.floats(0.01, 60.0), min_size=1, max_size=3))
@settings(max_examples=5, deadline=None)
def test_batches_are_their_elements(momenta, bends):
    lr = np.array([0.05, 0.2])[:, None]
    for kind in (hb.HeavyBall, hb.Nesterov):
        found = robustness(kind(lr, np.array(momenta)), bends)
        assert found.gain_margin.shape == (2, len(momenta), len(bends), 2)
        for i, j in np.ndindex(2, len(momenta)):
            same(found, (i, j), robustness(kind(float(lr[i, 0]), momenta[j]), bends), ...)


@pytest.mark.parametrize("rule", [Averaged(np.array([0.1, 0.3]), 0.7), TwoMomenta(np.array([0.1, 0.2]), 0.5, 0.9),
                                  Extragradient(np.array([0.1, 0.2]), 0.5), hb.HeavyBallFlow(1.0, np.array([0.5, 3.0])),
                                  Maxwell(np.array([1.0, 2.0]), 1.0, 2.0)], ids=lambda r: type(r).__name__)  # fmt: skip
def test_batches_of_any_rule(rule):
    bends = np.array([[0.5, 1.0, 2.0], [0.7, 3.0, 4.0]])
    found = robustness(rule, bends)
    fields = vars(rule)
    for i in range(2):
        one = type(rule)(**{name: float(v[i]) if np.ndim(v) else v for name, v in fields.items()})
        for j in range(3):
            same(found, (i, j), robustness(one, bends[i, j]), 0)


def test_one_bad_mode_leaves_the_others():
    found = robustness(hb.HeavyBall(1.0, 0.5), [-1.0, 0.0, 1.0, 3.0, 4.0])
    alone = robustness(hb.HeavyBall(1.0, 0.5), [1.0])
    same(found, slice(2, 3), alone, ...)
    assert list(found.stable) == [False, False, True, False, False]
    for name in ("phase_margin", "disk_margin", "modulus_margin", "delay_margin", "delay_steps"):
        assert np.isnan(getattr(found, name)[~found.stable]).all()
    assert np.isnan(found.gain_margin[~found.stable]).all()
    assert np.isnan(found.disk_gain[~found.stable]).all()


def test_words():
    told = robustness(hb.HeavyBall(1.0, 0.5), 4.0).summary()
    assert "divergent, grows by a factor 2.28078 per step" in told
    assert "margins          none" in told
    assert "growth of state  without end" in told
    flat = str(robustness(hb.HeavyBall(1.0, 0.5), 0.0))
    assert "marginal, does not decay" in flat
    tuned = str(robustness(hb.tune(hb.HeavyBall, 1.0, 100.0), 100.0))
    assert "1.01 times as large, flipping sign every step" in tuned
    assert "reaches 3.707 times its start at step 4" in tuned
    assert "defective" in tuned
    flow = str(robustness(hb.HeavyBallFlow(1.0, 0.5), 1.0))
    assert "no larger curvature makes it diverge" in flow
    assert "units of time that gradients may be stale" in flow
    rows = robustness(hb.HeavyBall(0.1, 0.5), np.linspace(0.5, 40, 7)).summary().splitlines()
    assert len(rows) == 8
    assert len({len(row) for row in rows}) == 1
    close = str(robustness(hb.HeavyBall(1.0, 1 - 1e-9), 3.9999))
    assert "decays by a factor 1 - 5e-10 per step" in close
    assert "0 to 1 + 2.5e-05: diverges once the curvature is 1 + 2.5e-05 times as large" in close
    assert "any factor 1 - 2.5e-12 to 1 + 2.5e-12," in close
    assert "grows by a factor 1 + 6e-08 per step" in str(robustness(hb.HeavyBall(1.0, 0.5), 3 * (1 + 1e-8)))
    assert "any positive factor, or any phase up to 90°" in str(robustness(hb.GradientFlow(), 2.0))
    needs = str(robustness(hb.Nesterov(1.0, 1.2), 0.4))
    assert "also below 0.4167" in needs


def test_plain_data():
    found = robustness(hb.HeavyBall(np.array([0.1, 1.0]), 0.5), [1.0, 4.0])
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["gain_margin"][0][0][0] == 0
    assert_allclose(plain["gain_margin"][0][0][1], 30.0)
    assert plain["phase_margin"][1][1] is None
    assert plain["peak_growth"][1][1] == "inf"
    assert plain["stable"] == [[True, True], [True, False]]
    again = pickle.loads(pickle.dumps(found))
    assert_allclose(again.hinf, found.hinf)


def test_guarantees_of_the_disk_margin():
    """(2-α)/(2+α) to its inverse are inside the gain margins, 2 atan(α/2) inside the phase margin."""
    found = robustness(hb.Nesterov(0.1, np.array([[0.1], [0.5], [0.9]])), np.geomspace(0.01, 7.0, 9)[None])
    assert np.all(found.disk_gain[..., 0] >= found.gain_margin[..., 0] - 1e-9)
    assert np.all(found.disk_gain[..., 1] <= found.gain_margin[..., 1] * (1 + 1e-9))
    assert np.all(found.disk_phase <= found.phase_margin + 1e-9)
    assert np.all(found.modulus_margin <= found.disk_margin + 1e-9)


def test_rules_that_vary_in_time():
    found = robustness(hb.NesterovFlow(), 1.0, t=2.0)
    same(found, 0, robustness(hb.HeavyBallFlow(1.0, 1.5), 1.0), 0)
    rule = hb.HeavyBall(0.1, hb.Schedule([0.5, 0.9]))
    same(robustness(rule, 1.0, k=1), 0, robustness(hb.HeavyBall(0.1, 0.9), 1.0), 0)
    with pytest.raises(ValueError, match="varies in time"):
        robustness(rule, 1.0)
    with pytest.raises(TypeError, match="frozen with k="):
        robustness(rule, 1.0, t=1.0)


def test_errors():
    with pytest.raises(ValueError, match="not linear"):
        robustness(hb.Adam(0.1), 1.0, k=5)
    with pytest.raises(ValueError, match="not linear"):
        robustness(Clipped(hb.HeavyBallFlow(1.0, 1.0), 0.1), 1.0)
    with pytest.raises(ValueError, match="`curvature` must be finite"):
        robustness(hb.HeavyBall(0.1, 0.5), [1.0, np.nan])
    with pytest.raises(ValueError, match="`curvature` must have shape"):
        robustness(hb.HeavyBall(np.array([0.1, 0.2]), 0.5), np.ones((3, 2)))

    class Deaf:
        def init(self, position, velocity, objective):
            return (position,)

        def step(self, k, state, objective):
            return (0.5 * state[0],)

    with pytest.raises(ValueError, match="must ask for a gradient"):
        robustness(Deaf(), 1.0)
