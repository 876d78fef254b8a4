"""Noisy losses: what every step sees, whatever the batch; normal noise, fresh minibatches, and heat."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import heavyball_dynamics as hb
from heavyball_dynamics._normals import Purpose, normals, square_root
from heavyball_dynamics.objectives.noisy import IndependentMinibatch, NoisyGradient
from heavyball_dynamics.objectives.thermostat import Thermostat

SIGMA = np.array([[2.0, 0.9], [0.9, 0.5]])
LOSS = hb.Quadratic([[2.0, 0.5], [0.5, 1.0]], [1.0, -1.0])


def least_squares(rows=12, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    return hb.LeastSquares(rng.normal(size=(rows, dim)), rng.normal(size=rows), 0.1)


class TestNormals:
    @settings(max_examples=25)
    @given(st.integers(0, 2**70), st.integers(0, 10**9), st.integers(1, 5), st.integers(0, 20), st.integers(0, 20))
    def test_an_element_knows_nothing_of_the_others(self, seed, k, size, few, more):
        long, short = (normals(seed, k, many, size, Purpose.PATH) for many in (few + more, few))
        assert_array_equal(long[:few], short)

    def test_they_are_normal_and_independent(self):
        z = np.stack([normals(5, k, 4000, 3, Purpose.HEAT) for k in range(5)])
        assert stats.kstest(z.ravel(), "norm").pvalue > 0.01
        assert np.abs(np.corrcoef(z.reshape(5, -1)) - np.eye(5)).max() < 0.04
        assert np.abs(np.corrcoef(z.reshape(-1, 3).T) - np.eye(3)).max() < 0.04
        assert np.isfinite(z).all()

    def test_the_stream_is_kept(self):
        """Numbers that no version may change."""
        kept = [0.8202568282680697, -0.1891484614312407, -0.2638724503322373]
        assert_allclose(normals(123, 4, 1, 3, Purpose.GRADIENT)[0], kept, rtol=1e-14)
        key = np.random.SeedSequence(123, spawn_key=(4, 1, 0))
        raw = np.random.PCG64(key).random_raw(3) >> np.uint64(12)
        assert_allclose(stats.norm.ppf((raw + 0.5) / 2**52), kept, rtol=1e-13)

    def test_equal_seeds_are_independent_for_each_purpose_and_depth(self):
        """Also of the integers that minibatches of the seed are ordered by."""
        drawn = [normals(5, k, 20_000, 1, p, d) for k in range(2) for p in Purpose for d in range(3)]
        ordering = [np.random.PCG64(np.random.SeedSequence(5, spawn_key=(k,))).random_raw(20_000) for k in range(2)]
        drawn += [stats.norm.ppf(((raw >> np.uint64(12)) + 0.5) / 2**52)[:, None] for raw in ordering]
        table = np.concatenate(drawn, axis=-1)
        assert np.abs(np.corrcoef(table.T) - np.eye(table.shape[1])).max() < 5 / np.sqrt(20_000)

    @settings(max_examples=25)
    @given(st.integers(1, 5), st.integers(0, 2**32), st.integers(1, 5))
    def test_square_root(self, size, seed, rank):
        rng = np.random.default_rng(seed)
        root = rng.normal(size=(size, rank)) * 10.0 ** rng.uniform(-6, 2, size=(size, 1))
        matrix = root @ root.T
        found = square_root(matrix)
        scale = np.sqrt(np.diag(matrix))
        assert_allclose(found @ found.T / np.outer(scale, scale), matrix / np.outer(scale, scale), atol=1e-12)

    def test_square_root_of_nothing(self):
        assert_array_equal(square_root(np.diag([0.0, 4.0])), np.diag([0.0, 2.0]))


class TestNoisyGradient:
    @pytest.mark.parametrize(
        ("noise", "expected"), [(0.5, 0.5 * np.eye(2)), ([0.5, 2.0], np.diag([0.5, 2.0])), (SIGMA, SIGMA)]
    )
    def test_its_covariance(self, noise, expected):
        noisy = NoisyGradient(LOSS, noise, seed=1)
        x = np.broadcast_to([0.3, -0.2], (50_000, 2))
        error = noisy.at(3).gradient(x) - LOSS.gradient(x)
        assert_allclose(np.cov(error.T), expected, atol=0.05)
        assert_allclose(error.mean(axis=0), 0.0, atol=0.02)
        assert_allclose(noisy.gradient_covariance([0.0, 0.0]), expected)
        assert noisy.gradient_covariance(np.zeros((4, 3, 2))).shape == (4, 3, 2, 2)

    def test_without_a_step_it_is_the_loss(self):
        noisy, x = NoisyGradient(LOSS, 1.0), np.array([[0.3, -0.2]])
        assert_array_equal(noisy.value(x), LOSS.value(x))
        assert_array_equal(noisy.gradient(x), LOSS.gradient(x))
        assert_array_equal(noisy.minimizer, LOSS.minimizer)
        assert_array_equal(noisy.spectrum, LOSS.spectrum)
        assert noisy.dim == 2
        assert noisy.constant_hessian

    @settings(max_examples=20)
    @given(st.integers(0, 1000), st.lists(st.integers(1, 3), max_size=2).map(tuple), st.integers(1, 5))
    def test_an_element_is_what_it_is_in_any_batch(self, k, batch, more):
        noisy, rng = NoisyGradient(LOSS, SIGMA, seed=4), np.random.default_rng(0)
        x = rng.normal(size=(*batch, 2))
        longer = np.concatenate([x.reshape(-1, 2), rng.normal(size=(more, 2))])
        both = noisy.at(k).gradient(longer)[: len(longer) - more]
        # A matrix product of another shape may round otherwise.
        assert_allclose(noisy.at(k).gradient(x).reshape(-1, 2), both, rtol=1e-14, atol=1e-15)

    def test_one_error_a_step(self):
        noisy = NoisyGradient(LOSS, SIGMA, seed=4)
        here, there = np.array([[0.3, -0.2]] * 3), np.array([[5.0, 1.0]] * 3)
        sample = noisy.at(2)
        error = sample.gradient(here) - LOSS.gradient(here)
        assert_allclose(sample.gradient(there) - LOSS.gradient(there), error, atol=1e-14)
        assert np.abs(error[0] - error[1]).min() > 0
        assert np.abs(noisy.at(3).gradient(here) - sample.gradient(here)).min() > 0
        assert_array_equal(noisy.at(2).gradient(here), sample.gradient(here))
        assert np.abs(NoisyGradient(LOSS, SIGMA, seed=5).at(2).gradient(here) - sample.gradient(here)).min() > 0

    def test_value_gradient_and_hessian_belong_together(self, rng):
        sample = NoisyGradient(LOSS, SIGMA, seed=4).at(2)
        x, step = rng.normal(size=(4, 2)), 1e-5
        slopes = [(sample.value(x + step * e) - sample.value(x - step * e)) / (2 * step) for e in np.eye(2)]
        assert_allclose(sample.gradient(x), np.stack(slopes, axis=-1), atol=1e-9)
        assert_array_equal(sample.hessian(x), LOSS.hessian(x))
        assert_array_equal(sample.hessian_product(x, x), LOSS.hessian_product(x, x))

    def test_around_minibatches(self):
        shuffled = least_squares().minibatch(4, seed=1)
        noisy, x = NoisyGradient(shuffled, 0.3, seed=2), np.ones((5, 3))
        assert_allclose(noisy.at(7).gradient(x) - shuffled.at(7).gradient(x), noisy.errors(7, 5), atol=1e-14)
        assert_allclose(noisy.gradient_covariance(x[0]), shuffled.gradient_covariance(x[0]) + 0.3 * np.eye(3))

    def test_noise_inside_noise_of_the_same_seed_is_independent(self):
        """Variances add up, as `gradient_covariance` says, also with heat in between."""
        x = np.zeros((50_000, 2))
        inner = NoisyGradient(LOSS, 1.0)
        for between in (inner, Thermostat(inner, 1.0)):
            nested = NoisyGradient(NoisyGradient(between, [0.5, 2.0]), SIGMA)
            expected = nested.gradient_covariance(np.zeros(2))
            assert_allclose(expected, np.eye(2) + np.diag([0.5, 2.0]) + SIGMA)
            found = np.cov(nested.at(0).gradient(x).T)
            assert_allclose(found, expected, atol=5 * expected.max() * np.sqrt(2 / 50_000))
        # Heat around noise does not change the errors, nor they the heat.
        assert_array_equal(Thermostat(inner, 1.0).at(1).gradient(x[:3]), inner.at(1).gradient(x[:3]))
        assert_array_equal(Thermostat(inner, 1.0).at(1).kick((3,)), Thermostat(LOSS, 1.0).at(1).kick((3,)))

    def test_runs_are_reproducible_and_resumed(self):
        noisy, rule = NoisyGradient(LOSS, SIGMA, seed=1), hb.Nesterov(0.1, 0.8)
        whole = hb.iterate(rule, noisy, np.ones((3, 2)), 20)
        half = hb.iterate(rule, noisy, np.ones((3, 2)), 10)
        rest = hb.iterate(rule, noisy, half.state, 10, first_step=10)
        assert_array_equal(rest.position[:, -1], whole.position[:, -1])
        again = hb.iterate(rule, pickle.loads(pickle.dumps(noisy)), np.ones((3, 2)), 20)
        assert_array_equal(again.position, whole.position)
        assert pickle.loads(pickle.dumps(noisy)) == noisy
        assert hash(noisy) == hash(NoisyGradient(LOSS, SIGMA, seed=1))
        sample = pickle.loads(pickle.dumps(noisy.at(3)))
        assert_array_equal(sample.gradient(np.ones(2)), noisy.at(3).gradient(np.ones(2)))

    def test_errors(self):
        with pytest.raises(ValueError, match="symmetric"):
            NoisyGradient(LOSS, [[1.0, 0.1], [0.2, 1.0]])
        with pytest.raises(ValueError, match="positive semidefinite"):
            NoisyGradient(LOSS, [[1.0, 2.0], [2.0, 1.0]])
        with pytest.raises(ValueError, match="one covariance matrix"):
            NoisyGradient(LOSS, np.ones((3, 2, 2)))
        with pytest.raises(ValueError, match=">= 0, a variance"):
            NoisyGradient(LOSS, -1.0)
        with pytest.raises(ValueError, match="`seed`"):
            NoisyGradient(LOSS, 1.0, seed=-1)
        with pytest.raises(TypeError, match="`objective` must offer"):
            NoisyGradient(np.sin, 1.0)
        with pytest.raises(AttributeError, match="no_such_thing"):
            _ = NoisyGradient(LOSS).no_such_thing


class TestIndependentMinibatch:
    def test_every_step_is_the_first_of_an_epoch(self):
        shuffled = least_squares().minibatch(5, seed=3)
        drawn, x = IndependentMinibatch(shuffled), np.ones((4, 3))
        for k in range(4):
            assert_array_equal(drawn.at(k).gradient(x), shuffled.at(3 * k).gradient(x))
        assert_array_equal(drawn.gradient(x), shuffled.gradient(x))
        assert drawn.batch_size == 5

    def test_its_covariance_and_that_steps_do_not_know_of_each_other(self):
        shuffled = least_squares().minibatch(4, seed=3)
        drawn, x = IndependentMinibatch(shuffled), np.zeros((20_000, 3))
        one, other = drawn.at(0).gradient(x), drawn.at(1).gradient(x)
        expected = shuffled.gradient_covariance(np.zeros(3))
        size = np.abs(expected).max()
        assert_allclose(np.cov(one.T), expected, atol=0.05 * size)
        both = np.cov(np.concatenate([one, other], axis=-1).T)[:3, 3:]
        assert np.abs(both).max() < 0.05 * size

    def test_errors(self):
        with pytest.raises(TypeError, match="`objective` must be a Minibatch"):
            IndependentMinibatch(least_squares())


class TestThermostat:
    def test_kicks(self):
        bath = Thermostat(LOSS, np.array([0.0, 1.0, 4.0])[:, None], seed=2)
        kicks = bath.at(5).kick((3, 20_000))
        assert kicks.shape == (3, 20_000, 2)
        assert_allclose(kicks.var(axis=1), np.broadcast_to([[0.0], [1.0], [4.0]], (3, 2)), rtol=0.05)
        assert_array_equal(bath.at(5).kick((3, 20_000)), kicks)
        assert np.abs(bath.at(6).kick((3, 1))[1:] - bath.at(5).kick((3, 1))[1:]).min() > 0

    def test_the_loss_is_untouched(self):
        bath, x = Thermostat(LOSS, 3.0), np.ones((2, 2))
        for each in (bath, bath.at(1)):
            assert_array_equal(each.value(x), LOSS.value(x))
            assert_array_equal(each.gradient(x), LOSS.gradient(x))
            assert_array_equal(each.hessian(x), LOSS.hessian(x))
            assert not hasattr(LOSS, "kick")
        assert pickle.loads(pickle.dumps(bath)) == bath
        assert_array_equal(pickle.loads(pickle.dumps(bath.at(2))).kick((2,)), bath.at(2).kick((2,)))

    def test_heat_in_heat_is_independent(self):
        kicks = [bath.at(0).kick((20_000,)) for bath in (Thermostat(LOSS), Thermostat(Thermostat(LOSS)))]
        assert np.abs(np.corrcoef(np.concatenate(kicks, axis=-1).T) - np.eye(4)).max() < 5 / np.sqrt(20_000)

    def test_rules_without_friction_do_not_notice(self):
        run = hb.iterate(hb.HeavyBall(0.1, 0.5), Thermostat(LOSS, 3.0), [1.0, 1.0], 5)
        assert_array_equal(run.position, hb.iterate(hb.HeavyBall(0.1, 0.5), LOSS, [1.0, 1.0], 5).position)

    def test_errors(self):
        with pytest.raises(ValueError, match="`temperature` must be >= 0"):
            Thermostat(LOSS, -1.0)
        for batch in ((), (2,), (3, 2)):
            with pytest.raises(ValueError, match=r"`temperature` must be one number or broa.*Received shape \(3,\)"):
                Thermostat(LOSS, [1.0, 2.0, 3.0]).at(0).kick(batch)
        with pytest.raises(TypeError, match="`objective` must offer"):
            Thermostat("loss")
