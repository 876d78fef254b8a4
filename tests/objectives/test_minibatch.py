"""Minibatches: what every step sees, its statistics over all permutations, and runs on real data."""

import itertools
import pickle
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import heavyball_dynamics as hb
from heavyball_dynamics._table import read_table
from heavyball_dynamics.objectives import _shuffling
from heavyball_dynamics.objectives.minibatch import Minibatch
from heavyball_dynamics.objectives.minibatch_sample import MinibatchSample

LONGLEY = Path(__file__).parents[2] / "examples" / "data" / "longley.csv"


def longley():
    table = read_table(LONGLEY, "TOTEMP").standardized()
    return hb.LeastSquares(table.features, table.target)


def least_squares(rows=12, dim=3, l2=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return hb.LeastSquares(rng.normal(size=(rows, dim)), rng.normal(size=rows), l2)


def logistic(rows=12, dim=3, l2=0.2, seed=0):
    rng = np.random.default_rng(seed)
    return hb.LogisticRegression(rng.normal(size=(rows, dim)), rng.integers(0, 2, size=rows), l2)


def part(loss, rows):
    """The same loss of these rows alone."""
    column = "targets" if isinstance(loss, hb.LeastSquares) else "labels"
    # Labels of one class alone would be read as 0 and 1 also where they are -1 and 1: these are 0 and 1.
    return replace(loss, features=loss.features[rows], **{column: getattr(loss, column)[rows]})


both = pytest.mark.parametrize("make", [least_squares, logistic])


# What the first minibatch of nine rows at seed 123 is.
FIRST_ROWS = [4, 3, 6, 0]


class TestOrders:
    @settings(deadline=None, max_examples=40)
    @given(
        rows=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 2**70), epoch=st.integers(0, 10**6),
        batch=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    )  # fmt: skip
    def test_every_row_once_an_epoch(self, rows, size, seed, epoch, batch):
        size = min(size, rows)
        noisy = least_squares(rows, 1).minibatch(size, seed)
        steps = noisy.steps_per_epoch
        assert steps == int(np.ceil(rows / size))
        seen = [noisy.rows(epoch * steps + j, batch) for j in range(steps)]
        assert all(each.shape == (*batch, size) for each in seen[:-1])
        assert seen[-1].shape == (*batch, rows - (steps - 1) * size)
        order = np.concatenate(seen, axis=-1)
        assert_array_equal(np.sort(order, axis=-1), np.broadcast_to(np.arange(rows), order.shape))

    def test_an_element_is_the_same_in_every_batch_whatever_was_asked_before(self):
        loss = least_squares(50)
        steps = range(40)
        small = [loss.minibatch(7, seed=4).rows(k, (3,)) for k in steps]  # a new one each time: nothing is kept
        noisy = loss.minibatch(7, seed=4)
        for k in [*reversed(steps), *steps]:
            for batch in [(2, 5), (), (3,), (1000,), (3,)]:
                rows = noisy.rows(k, batch).reshape(-1, noisy.rows(k).shape[-1])
                assert_array_equal(rows[:3], small[k][: len(rows)])

    def test_the_stream_is_as_documented(self):
        noisy = least_squares(9).minibatch(9 // 2, seed=123)
        for epoch, element in [(0, 0), (0, 3), (5, 2)]:
            stream = np.random.PCG64(np.random.SeedSequence(123, spawn_key=(epoch,))).advance(9 * element)
            order = np.argsort(stream.random_raw(9))
            seen = [noisy.rows(3 * epoch + j, (4,))[element] for j in range(3)]
            assert_array_equal(np.concatenate(seen), order)
        # Numbers that any version of NumPy must give.
        assert noisy.rows(0).tolist() == FIRST_ROWS

    def test_chunks_change_nothing(self, monkeypatch):
        loss = logistic(20)
        x = np.random.default_rng(0).normal(size=(11, 3))
        whole = loss.minibatch(6, seed=2)
        expected = [f(x) for f in (whole.at(5).gradient, whole.at(5).hessian, whole.gradient_covariance)]
        monkeypatch.setattr(_shuffling, "_CHUNK", 70)
        pieces = loss.minibatch(6, seed=2)
        assert_array_equal(pieces.rows(5, (11,)), whole.rows(5, (11,)))
        for function, wanted in zip(
            (pieces.at(5).gradient, pieces.at(5).hessian, pieces.gradient_covariance), expected, strict=True
        ):
            assert_allclose(function(x), wanted, rtol=1e-14, atol=1e-15)

    def test_every_permutation_is_as_likely_as_every_other(self):
        """χ² with 23 degrees of freedom; 60 lies beyond its 99.99th percentile. Over elements, epochs and seeds."""
        loss = least_squares(4)
        noisy = loss.minibatch(1, seed=8)
        others = [loss.minibatch(1, seed) for seed in range(2400)]
        samples = {
            "elements": np.stack([noisy.rows(k, (24_000,))[:, 0] for k in range(4)], axis=-1),
            "epochs": np.array([[int(noisy.rows(4 * e + j)[0]) for j in range(4)] for e in range(2400)]),
            "seeds": np.array([[int(m.rows(j)[0]) for j in range(4)] for m in others]),
        }  # fmt: skip
        for name, orders in samples.items():
            _, counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)
            expected = len(orders) / 24
            assert len(counts) == 24, name
            assert np.sum((counts - expected) ** 2) / expected < 60, name

    def test_elements_epochs_and_seeds_are_independent(self):
        """Which row comes first, of two streams: the table of both is that of independent draws."""
        loss = least_squares(5)
        noisy, other = loss.minibatch(5 - 1, seed=1), loss.minibatch(5 - 1, seed=2)
        first = noisy.rows(0, (40_000,))[:, 0]
        pairs = {
            "neighbours": (first[:-1], first[1:]),
            "epochs": (first, noisy.rows(2, (40_000,))[:, 0]),
            "seeds": (first, other.rows(0, (40_000,))[:, 0]),
        }
        for name, (one, two) in pairs.items():
            counts = np.bincount(5 * one + two, minlength=25)
            expected = len(one) / 25
            assert np.sum((counts - expected) ** 2) / expected < 60, name


class TestSamples:
    @both
    @settings(deadline=None, max_examples=20)
    @given(k=st.integers(0, 200), batch=st.lists(st.integers(0, 4), max_size=3).map(tuple), size=st.integers(1, 12))
    def test_each_element_is_the_loss_of_its_rows(self, make, k, batch, size):
        loss = make()
        noisy = loss.minibatch(size, seed=5)
        sample = noisy.at(k)
        x, v = np.random.default_rng(k).normal(size=(2, *batch, 3))
        rows = noisy.rows(k, batch)
        found = sample.value(x), sample.gradient(x), sample.hessian(x), sample.hessian_product(x, v)
        assert [f.shape for f in found] == [batch, (*batch, 3), (*batch, 3, 3), (*batch, 3)]
        for index in np.ndindex(*batch):
            alone = part(loss, rows[index])
            wanted = (
                alone.value(x[index]), alone.gradient(x[index]), alone.hessian(x[index]),
                alone.hessian_product(x[index], v[index]),
            )  # fmt: skip
            for one, other in zip(found, wanted, strict=True):
                assert_allclose(one[index], other, rtol=1e-12, atol=1e-14)

    @both
    @pytest.mark.parametrize("size", [1, 3, 6])
    def test_the_mean_over_an_epoch_is_the_full_loss(self, make, size):
        loss = make()
        noisy = loss.minibatch(size, seed=6)
        x = np.random.default_rng(1).normal(size=(5, 3))
        steps = range(12 // size, 2 * (12 // size))
        for name in ("value", "gradient", "hessian"):
            mean = np.mean([getattr(noisy.at(k), name)(x) for k in steps], axis=0)
            assert_allclose(mean, getattr(loss, name)(x), rtol=1e-13, atol=1e-14)

    @both
    def test_weighted_by_their_rows_where_the_last_is_smaller(self, make):
        loss = make()
        noisy = loss.minibatch(5, seed=6)
        x = np.random.default_rng(1).normal(size=(4, 3))
        weighted = sum(n * noisy.at(k).gradient(x) for k, n in [(0, 5), (1, 5), (2, 2)]) / 12
        assert_allclose(weighted, loss.gradient(x), rtol=1e-13, atol=1e-14)
        assert noisy.rows(2).shape == (2,)

    @both
    def test_all_rows_are_the_full_loss(self, make):
        loss = make()
        noisy = loss.minibatch(12, seed=6)
        assert noisy.at(9) is loss
        assert_array_equal(noisy.gradient_covariance(np.ones((2, 3))), np.zeros((2, 3, 3)))
        single = make(rows=1).minibatch(1)
        assert_array_equal(single.gradient_covariance(np.ones(3)), np.zeros((3, 3)))

    def test_an_element_is_numbered_by_all_axes_but_the_last(self):
        sample = least_squares().minibatch(2, seed=1).at(3)
        x = np.random.default_rng(2).normal(size=(2, 3, 3))
        assert_array_equal(sample.gradient(x).reshape(6, 3), sample.gradient(x.reshape(6, 3)))
        assert_array_equal(sample.gradient(x[0, 0]), sample.gradient(x)[0, 0])
        # Stacked along a new axis in front the second point is another element, with other rows.
        twice = sample.gradient(np.stack([x[0, 0], x[0, 0]]))
        assert not np.allclose(twice[0], twice[1])

    def test_products_number_the_elements_by_the_common_batch(self):
        sample = logistic().minibatch(2, seed=1).at(3)
        x, v = np.random.default_rng(2).normal(size=(2, 4, 3))
        everywhere = sample.hessian(np.broadcast_to(x[0], (4, 3)))
        assert_allclose(sample.hessian_product(x[0], v), np.einsum("eij,ej->ei", everywhere, v), rtol=1e-12)
        assert_allclose(sample.hessian_product(x, v[0]), sample.hessian(x) @ v[0], rtol=1e-12)

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    def test_positions_that_are_not_finite_harm_no_other(self):
        sample = logistic().minibatch(4, seed=1).at(0)
        x = np.full((3, 3), 0.3)
        expected = sample.gradient(x)
        x[1] = [np.inf, np.nan, 0.0]
        assert_array_equal(sample.gradient(x)[[0, 2]], expected[[0, 2]])

    def test_a_sample_is_an_objective(self):
        noisy = least_squares().minibatch(4, seed=1)
        sample = noisy.at(2)
        assert isinstance(sample, MinibatchSample)
        assert sample.at(7) is sample
        assert (sample.dim, sample.exact_hessian, sample.constant_hessian) == (3, True, False)
        assert sample == noisy.at(2) != noisy.at(3)
        copy = pickle.loads(pickle.dumps(sample))
        assert copy == sample
        assert hash(copy) == hash(sample)
        assert_array_equal(copy.gradient(np.ones((4, 3))), sample.gradient(np.ones((4, 3))))
        with pytest.raises(ValueError, match=r"`position` must have shape \(\*batch, 3\)"):
            sample.gradient(np.ones(4))


class TestStatistics:
    @both
    @pytest.mark.parametrize("size", range(1, 8))
    def test_mean_and_covariance_over_all_subsets(self, make, size):
        """Every subset of the rows is as likely as every other: exactly what `gradient_covariance` says."""
        loss = make(rows=7)
        x = np.array([[0.3, -0.5, 1.2], [2.0, 0.1, -0.4]])
        subsets = [list(rows) for rows in itertools.combinations(range(7), size)]
        assert len(subsets) == comb(7, size)
        gradients = np.array([part(loss, rows).gradient(x) for rows in subsets])
        assert_allclose(gradients.mean(axis=0), loss.gradient(x), rtol=1e-13, atol=1e-14)
        error = gradients - gradients.mean(axis=0)
        expected = np.einsum("sei,sej->eij", error, error) / len(subsets)
        found = loss.minibatch(size).gradient_covariance(x)
        assert_allclose(found, expected, rtol=1e-11, atol=1e-15)
        assert_array_equal(loss.minibatch(size).gradient_covariance(x[1]), found[1])

    def test_covariance_of_two_minibatches_of_one_epoch(self):
        """Minus that of single rows over N - 1: over all ordered pairs of disjoint subsets."""
        loss, x = least_squares(rows=6), np.array([0.3, -0.5, 1.2])
        full, products = loss.gradient(x), []
        for one in itertools.combinations(range(6), 2):
            for two in itertools.combinations(set(range(6)) - set(one), 2):
                a, b = (part(loss, list(rows)).gradient(x) - full for rows in (one, two))
                products.append(np.outer(a, b))
        single = loss.minibatch(1).gradient_covariance(x)
        assert_allclose(np.mean(products, axis=0), -single / 5, rtol=1e-12, atol=1e-15)

    @both
    def test_gradients_drawn_have_that_mean_and_covariance(self, make):
        loss, x, seeds = make(), np.array([0.3, -0.5, 1.2]), 40_000
        noisy = loss.minibatch(4, seed=10)
        gradients = noisy.at(7).gradient(np.broadcast_to(x, (seeds, 3)))
        covariance = noisy.gradient_covariance(x)
        error = np.sqrt(np.diag(covariance) / seeds)
        assert np.all(np.abs(gradients.mean(axis=0) - loss.gradient(x)) < 5 * error)
        assert_allclose(np.cov(gradients.T), covariance, atol=0.05 * np.max(covariance))


class TestMinibatch:
    @both
    def test_asked_directly_it_is_the_full_loss(self, make):
        loss = make()
        noisy = loss.minibatch(4, seed=1)
        x, v = np.random.default_rng(0).normal(size=(2, 5, 3))
        assert isinstance(noisy, Minibatch)
        assert noisy.dim == 3
        for name in ("value", "gradient", "hessian"):
            assert_array_equal(getattr(noisy, name)(x), getattr(loss, name)(x))
        assert_array_equal(noisy.hessian_product(x, v), loss.hessian_product(x, v))
        for name in ("minimizer", "spectrum", "window", "constant_hessian", "exact_hessian"):
            assert_array_equal(getattr(noisy, name), getattr(loss, name))
        assert_array_equal(noisy.modes.eigenvectors, loss.modes.eigenvectors)

    def test_equality_and_pickles(self):
        noisy = least_squares().minibatch(4, seed=1)
        assert noisy == least_squares().minibatch(4, 1)
        assert hash(noisy) == hash(least_squares().minibatch(np.int64(4), np.int64(1)))
        others = [least_squares().minibatch(5, 1), least_squares().minibatch(4, 2), least_squares(seed=1).minibatch(4)]
        assert all(noisy != other for other in others)
        assert least_squares().minibatch(4) == least_squares().minibatch(4, seed=0)
        before = pickle.dumps(noisy)
        noisy.rows(3, (100,))
        assert pickle.dumps(noisy) == before, "orders are drawn again, not pickled"
        assert_array_equal(pickle.loads(before).rows(3, (100,)), noisy.rows(3, (100,)))

    @both
    def test_bad_input(self, make):
        loss = make()
        with pytest.raises(ValueError, match=r"`batch_size` must be at most 12, the number of rows.*Received 13"):
            loss.minibatch(13, seed=0)
        for wrong in (0, -3):
            with pytest.raises(ValueError, match=rf"`batch_size` must be a whole number >= 1. Received {wrong}"):
                loss.minibatch(wrong)
        for wrong in (2.0, True, "4", None):
            with pytest.raises(TypeError, match="`batch_size` must be a whole number >= 1. Received"):
                loss.minibatch(wrong)
        with pytest.raises(ValueError, match="`seed` must be a whole number >= 0. Received -1"):
            loss.minibatch(4, seed=-1)
        for wrong in (1.5, None, np.random.default_rng(0)):
            with pytest.raises(TypeError, match="`seed` must be a whole number >= 0. Received"):
                loss.minibatch(4, seed=wrong)
        with pytest.raises(ValueError, match="`k` must be a whole number >= 0. Received -1"):
            loss.minibatch(4).at(-1)
        with pytest.raises(TypeError, match="`loss` must be a LeastSquares or a LogisticRegression. Rec.* Quadratic"):
            Minibatch(hb.Quadratic([1.0, 2.0]), 1)


class TestRuns:
    def test_sgd_with_momentum_by_hand(self):
        """A loop in plain NumPy over the same permutations gives the same iterates, in every element."""
        loss = longley()
        noisy = loss.minibatch(5, seed=3)
        run = hb.iterate(hb.HeavyBall(0.02, 0.8), noisy, np.zeros((2, 3, 6)), steps=30)
        for element, index in enumerate(np.ndindex(2, 3)):
            w, buffer = np.zeros(6), np.zeros(6)
            for k in range(30):
                place, key = 5 * (k % 4), np.random.SeedSequence(3, spawn_key=(k // 4,))
                order = np.argsort(np.random.PCG64(key).advance(16 * element).random_raw(16))
                rows = order[place : place + 5]
                X, y = loss.features[rows], loss.targets[rows]
                buffer = 0.8 * buffer + X.T @ (X @ w - y) / len(rows)
                w = w - 0.02 * buffer
                assert_allclose(run.position[(*index, k + 1)], w, rtol=1e-12, atol=1e-14)

    @both
    @pytest.mark.parametrize("method", [hb.HeavyBall(0.1, 0.8), hb.Nesterov(0.1, 0.8), hb.Adam(0.05)])
    def test_values_are_those_of_the_full_loss(self, make, method):
        loss = make()
        run = hb.iterate(method, loss.minibatch(3, seed=1), np.zeros((4, 3)), steps=20)
        assert_allclose(run.value, loss.value(run.position), rtol=1e-13)
        assert_allclose(run.gradient_norm, np.linalg.norm(loss.gradient(run.position), axis=-1), rtol=1e-12)
        assert np.all(np.ptp(run.position[:, -1], axis=0) > 0), "every element must see data of its own"

    @pytest.mark.parametrize("method", [hb.HeavyBall(0.1, 0.8), hb.Nesterov(0.1, 0.8), hb.Adam(0.05)])
    @pytest.mark.parametrize("stop", [1, 7, 10])
    def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(self, method, stop):
        loss = logistic()
        whole = hb.iterate(method, loss.minibatch(5, seed=1), np.zeros((4, 3)), steps=25)
        head = hb.iterate(method, loss.minibatch(5, seed=1), np.zeros((4, 3)), steps=stop)
        tail = hb.iterate(method, loss.minibatch(5, seed=1), head.state, steps=25 - stop, first_step=stop)
        assert_array_equal(tail.position, whole.position[:, stop:])

    def test_a_batch_of_methods_or_of_positions_is_many_runs(self):
        noisy = least_squares().minibatch(5, seed=1)
        few = hb.iterate(hb.HeavyBall(0.1, 0.8), noisy, np.zeros((3, 3)), steps=20).position
        many = hb.iterate(hb.HeavyBall(0.1, 0.8), noisy, np.zeros((700, 3)), steps=20).position
        assert_allclose(many[:3], few, rtol=1e-13, atol=1e-15)
        methods = hb.iterate(hb.HeavyBall(np.full(3, 0.1), 0.8), noisy, np.zeros(3), steps=20).position
        assert_array_equal(methods, few)
        alone = hb.iterate(hb.HeavyBall(0.1, 0.8), noisy, np.zeros(3), steps=20).position
        assert_allclose(alone, few[0], rtol=1e-13, atol=1e-15)

    def test_a_rule_that_asks_twice_sees_one_sample(self):
        loss = least_squares()
        noisy = loss.minibatch(5, seed=1)

        class Extragradient:
            def init(self, position, velocity, objective):
                return hb.PositionState(position)

            def step(self, k, state, objective):
                ahead = state.position - 0.1 * objective.gradient(state.position)
                return hb.PositionState(state.position - 0.1 * objective.gradient(ahead))

        run = hb.iterate(Extragradient(), noisy, np.zeros((2, 3)), steps=9)
        for element in range(2):
            w = np.zeros(3)
            for k in range(9):
                sample = part(loss, noisy.rows(k, (2,))[element])
                w = w - 0.1 * sample.gradient(w - 0.1 * sample.gradient(w))
            assert_allclose(run.position[element, -1], w, rtol=1e-12)

    def test_on_longley_momentum_falls_to_a_floor_of_second_order(self):
        """From rest to a floor far below the start; there halving the learning rate divides the loss by four.

        Within an epoch errors cancel (Mishchenko, Khaled, Richtárik, arXiv:2006.05988, theorem 1 and proposition 1).
        """
        loss = longley()
        least = loss.value(loss.minimizer)
        fallen = hb.iterate(hb.HeavyBall(0.02, 0.9), loss.minibatch(4), np.zeros((5, 6)), 12_000, save_every=4)
        late = np.median(fallen.value[:, -500:]) - least
        assert late < 1e-3 * (loss.value(np.zeros(6)) - least)
        lr = np.array([0.01, 0.005, 0.0025])[:, None]
        start = np.broadcast_to(loss.minimizer, (3, 200, 6))
        run = hb.iterate(hb.HeavyBall(lr, 0.5), loss.minibatch(4, seed=0), start, steps=4000, save_every=10)
        floor = np.mean(run.value[..., 200:] - least, axis=(1, 2))
        assert_allclose(floor[:-1] / floor[1:], 4.0, rtol=0.05)

    def test_without_noise_it_converges(self):
        loss = least_squares()
        run = hb.iterate(hb.HeavyBall(0.2, 0.7), loss.minibatch(12), np.zeros((2, 3)), steps=400)
        assert_allclose(run.position[:, -1], np.tile(loss.minimizer, (2, 1)), rtol=1e-12)

    @pytest.mark.parametrize("momentum", [0.0, 0.8])
    def test_independent_minibatches_have_the_floor_that_their_covariance_says(self, momentum):
        """The first minibatch of every epoch: noise whose variance per mode is η²σ²(1+β)/[q(1-β)(2(1+β)-q)].

        That is the formula for noise which does not depend on the position, so that the step must be small.
        """
        loss = least_squares(rows=40, l2=0.0)
        noisy = loss.minibatch(8, seed=2)

        class Independent(hb.Objective):
            def at(self, k):
                return noisy.at(5 * k)

        objective = Independent(loss.value, loss.gradient, dim=3)
        lr = 0.02 * (1 - momentum)
        start = np.broadcast_to(loss.minimizer, (1000, 3))
        run = hb.iterate(hb.HeavyBall(lr, momentum), objective, start, steps=700, save_every=50)
        floor = np.mean(run.value[:, 6:]) - loss.value(loss.minimizer)
        curvature, vectors = loss.modes
        noise = np.diag(vectors.T @ noisy.gradient_covariance(loss.minimizer) @ vectors)
        q = lr * curvature
        variance = lr**2 * noise * (1 + momentum) / (q * (1 - momentum) * (2 * (1 + momentum) - q))
        assert floor == pytest.approx(np.sum(curvature * variance) / 2, rel=0.05)
        reshuffled = hb.iterate(hb.HeavyBall(lr, momentum), noisy, start[:200], steps=700, save_every=50)
        assert np.mean(reshuffled.value[:, 6:]) - loss.value(loss.minimizer) < 0.3 * floor

    def test_one_step_gains_what_the_covariance_says(self):
        """One step from the minimizer: E f - f* = ½η² tr(H Cov), exactly."""
        loss = longley()
        noisy = loss.minibatch(4, seed=2)
        start = np.broadcast_to(loss.minimizer, (40_000, 6))
        run = hb.iterate(hb.GradientDescent(0.1), noisy, start, steps=1)
        expected = 0.5 * 0.01 * np.sum(loss.hessian(loss.minimizer) * noisy.gradient_covariance(loss.minimizer))
        gained = run.value[:, -1] - loss.value(loss.minimizer)
        assert np.mean(gained) == pytest.approx(expected, abs=5 * np.std(gained) / 200)
        assert np.std(gained) / 200 < 0.01 * expected
