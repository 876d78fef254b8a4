"""Saddles crossed: both chains, listed saddles, and when a way back is none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics.studies.saddle_crossings import saddles_crossed

SADDLE = hb.Quadratic([-1.0, 1.0])


class TestSaddleChain:
    def test_times_of_the_logistic_law(self):
        """Under gradient flow 1/x² - 1 falls like e^{-2at}: |x_i| passes r when it is 1/r² - 1."""
        chain = hb.SaddleChain(4, curvature=[1.0, 1.2, 1.0, 0.8])
        run = hb.integrate(hb.GradientFlow(), chain, chain.start, times=np.linspace(0, 30, 6001))
        found = saddles_crossed(run, chain)
        a, start = chain.curvature, chain.start
        wanted = np.log((start**-2.0 - 1) / (0.5**-2.0 - 1)) / (2 * a)
        assert_allclose(found.time, wanted, atol=0.006)
        assert found.number == 4
        assert_array_equal(found.saddles, chain.path.position[:-1])
        later = saddles_crossed(run, chain, radius=0.9)
        assert_allclose(later.time, np.log((start**-2.0 - 1) / (0.9**-2.0 - 1)) / (2 * a), atol=0.006)

    def test_stays_lie_between_crossings(self):
        chain = hb.SaddleChain(4)
        run = hb.iterate(hb.HeavyBall(0.02, 0.5), chain, chain.start, 700)
        found = saddles_crossed(run, chain)
        assert np.all(np.diff(found.time) > 0)
        assert np.all(found.stay > 50)
        # Near each saddle the run is after leaving the one before and before leaving this one.
        assert np.all(found.stay[1:] <= np.diff(found.time))
        assert_allclose(found.stay[0], found.time[0])

    def test_those_not_reached(self):
        chain = hb.SaddleChain(3)
        run = hb.iterate(hb.GradientDescent(np.array([0.1, 0.02])), chain, chain.start, 120)
        found = saddles_crossed(run, chain)
        assert_array_equal(found.number, [2, 0])
        assert_array_equal(np.isinf(found.time), [[False, False, True], [True] * 3])
        assert str(found) == "(0,): 2 of 3 saddles crossed, at 43 and 91\n(1,): 0 of 3 saddles crossed"


class TestWashboard:
    board = hb.TiltedWashboard(tilt=0.3)

    def test_a_ball_with_little_friction_rolls_on(self):
        run = hb.integrate(hb.HeavyBallFlow(damping=np.array([0.05, 3.0])), self.board, [-2.0, 0.0], duration=15.0)
        found = saddles_crossed(run, self.board)
        first = np.pi - np.arcsin(0.3)
        x = run.position[0, :, 0]
        assert found.number[0] == np.floor((x[-1] - first) / (2 * np.pi)) + 1
        assert found.number[1] == 0
        crossed = np.sort(found.time[0][found.crossed[0]])
        ridges = first + 2 * np.pi * np.arange(len(crossed))
        assert_array_equal(np.searchsorted(x, ridges), np.searchsorted(run.time, crossed))

    def test_both_directions_and_only_the_first_passage(self):
        """Without tilt and friction, thrown uphill to the left over one saddle."""
        flat = hb.TiltedWashboard(tilt=0.0)
        run = hb.integrate(hb.HeavyBallFlow(damping=0.35), flat, [0.0, 0.0], [-3.0, 0.0], duration=30.0)
        found = saddles_crossed(run, flat)
        ridge = found.saddles[found.crossed, 0]
        assert_allclose(ridge, [-np.pi])
        back = hb.integrate(hb.HeavyBallFlow(damping=0.0), flat, [3.0, 0.0], duration=60.0)
        assert saddles_crossed(back, flat).number == 0  # it swings below both ridges for ever

    def test_at_rest_on_the_ridge_nothing_is_crossed(self):
        start = self.board.stationary_points(0.0, 4.0).position[1]
        run = hb.iterate(hb.HeavyBall(0.01, 0.9), self.board, start, 3)
        assert saddles_crossed(run, self.board).number == 0


    def test_runs_that_run_away(self):
        """Far beyond the list, and out of the finite numbers: what was crossed on the way is counted."""
        method = hb.HeavyBall(0.1, np.array([0.5, 1.05]))
        run = hb.iterate(method, self.board, [-2.0, 0.0], 400)
        found = saddles_crossed(run, self.board)
        assert run.position[1, -1, 0] > 1e9
        assert_array_equal(found.ran_away, [False, True])
        assert found.number[0] == 0
        assert 990 < found.number[1] <= 1001
        assert found.time.shape == found.stay.shape == (2, len(found.saddles))
        assert len(found.saddles) < 1010
        assert len(str(found)) < 300
        assert str(found).endswith("; it ran away")
        lost = hb.iterate(hb.HeavyBall(1e3, 1.5), self.board, [-2.0, 0.0], 4000)
        assert lost.status == hb.Status.DIVERGED
        assert saddles_crossed(lost, self.board).ran_away

    def test_first_times_by_hand(self):
        """Against the definition, ridge by ridge, for balls that turn round."""
        start = np.array([[0.0, 0.0], [1.0, 0.0], [-3.5, 0.0]])
        run = hb.integrate(hb.HeavyBallFlow(damping=0.05), hb.TiltedWashboard(tilt=0.05), start, [3.0, 0.0],
                           duration=60.0)  # fmt: skip
        found = saddles_crossed(run, hb.TiltedWashboard(tilt=0.05))
        for i, j in np.ndindex(found.time.shape):
            side = np.sign(run.position[i, :, 0] - found.saddles[j, 0])
            other = np.flatnonzero(side == -side[0])
            assert found.time[i, j] == (run.time[other[0]] if other.size else np.inf)

    def test_an_empty_batch(self):
        run = hb.iterate(hb.HeavyBall(0.1, 0.5), self.board, np.zeros((0, 2)), 5)
        found = saddles_crossed(run, self.board)
        assert (found.number.shape, found.time.shape, str(found)) == ((0,), (0, 0), "")

    def test_starts_too_far_apart(self):
        run = hb.iterate(hb.HeavyBall(0.1, 0.5), self.board, [[0.0, 0.0], [1e9, 0.0]], 5)
        with pytest.raises(ValueError, match=r"began near each other.* Received starts from 0 to 1e\+09"):
            saddles_crossed(run, self.board)


class TestListed:
    def test_leaving_by_the_unstable_side(self):
        starts = np.array([[0.01, 2.0], [0.0, 2.0], [0.6, 2.0]])
        run = hb.integrate(hb.GradientFlow(), SADDLE, starts, times=np.linspace(0, 10, 2001))
        found = saddles_crossed(run, SADDLE, saddles=[[0.0, 0.0]])
        # The second stays on the stable manifold, the third never comes near: at |x| = |y| it has √1.2·√2 > ½.
        assert_array_equal(found.number, [1, 0, 0])
        # 0.01²e^{2t} + 4e^{-2t} = ¼, the later root
        roots = np.log(np.roots([1e-4, -0.25, 4.0])) / 2
        assert_allclose(found.time[0, 0], roots.max(), atol=0.006)
        assert_allclose(found.stay[0, 0], np.ptp(roots), atol=0.011)

    def test_turning_back_is_no_crossing(self):
        """Thrown towards the saddle against the stable direction and out the same way."""

        class Back:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                way = [1.0, 0.4, 0.1, 0.4, 1.0]
                return hb.PositionState(np.array([0.0 * way[k], way[k]]))

        run = hb.iterate(Back(), SADDLE, [0.0, 2.0], 5)
        found = saddles_crossed(run, SADDLE, saddles=[0.0, 0.0])
        assert found.number == 0
        assert found.stay == 3

    def test_agrees_with_the_rule_of_the_chain(self):
        """Balls around the path: the same order, about the same times."""
        chain = hb.SaddleChain(3)
        run = hb.iterate(hb.HeavyBall(0.05, 0.5), chain, chain.start, 400)
        own, listed = saddles_crossed(run, chain), saddles_crossed(run, chain, saddles=chain.path.position[:-1])
        assert_allclose(own.time, listed.time, atol=2)
        assert_array_equal(own.stay, listed.stay)

    def test_batch_equals_single_runs(self):
        chain = hb.SaddleChain(3)
        lr = np.array([[0.05], [0.1]])
        run = hb.iterate(hb.HeavyBall(lr, np.array([0.0, 0.5, 0.9])), chain, chain.start, 300)
        found = saddles_crossed(run, chain)
        assert found.time.shape == (2, 3, 3)
        alone = hb.iterate(hb.HeavyBall(0.1, 0.9), chain, chain.start, 300)
        assert_array_equal(found.time[1, 2], saddles_crossed(alone, chain).time)


def test_errors():
    run = hb.iterate(hb.GradientDescent(0.1), SADDLE, [0.1, 0.1], 3)
    with pytest.raises(ValueError, match="`saddles` must be given: .* Received Quadratic without"):
        saddles_crossed(run, SADDLE)
    with pytest.raises(ValueError, match=r"negative curvature each. Received \[0.0, 0.0\] at index 0, .* is 1"):
        saddles_crossed(run, hb.Quadratic([1.0, 2.0]), saddles=[[0.0, 0.0]])
    with pytest.raises(ValueError, match="`radius` must be > 0"):
        saddles_crossed(run, SADDLE, saddles=[[0.0, 0.0]], radius=0.0)
    with pytest.raises(ValueError, match=r"`saddles` must have shape \(\*batch, 2\)"):
        saddles_crossed(run, SADDLE, saddles=[[0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match=r"`saddles` must have shape \(saddle, 2\), .* Received shape \(0, 2\)"):
        saddles_crossed(run, SADDLE, saddles=np.zeros((0, 2)))
    with pytest.raises(ValueError, match=r"`trajectory` must be a run on this loss, of dimension 3. .* dimension 2"):
        saddles_crossed(run, hb.SaddleChain(3))


def test_a_diverged_run_on_the_chain():
    """Squares of what is about to leave the finite numbers overflow; that is no error."""
    chain = hb.SaddleChain(3)
    run = hb.iterate(hb.GradientDescent(np.array([0.1, 3.0])), chain, np.stack([chain.start, [1e3, 1e3, 1e3]]), 20)
    assert_array_equal(run.status, [hb.Status.COMPLETED, hb.Status.DIVERGED])
    found = saddles_crossed(run, chain)
    assert_array_equal(found.ran_away, [False, True])
    listed = saddles_crossed(run, chain, saddles=chain.path.position[:-1])
    assert_array_equal(listed.ran_away, [False, True])
