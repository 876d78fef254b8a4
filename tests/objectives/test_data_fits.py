"""Fits to data, against certified and independent solutions."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from heavyball_dynamics.objectives import LeastSquares, LogisticRegression, _newton

LONGLEY = Path(__file__).parents[2] / "examples" / "data" / "longley.csv"

# NIST Statistical Reference Datasets, Longley, certified values: the intercept, then GNPDEFL, GNP, UNEMP, ARMED, POP,
# YEAR.
CERTIFIED = [
    -3482258.63459582, 15.0618722713733, -0.358191792925910e-01, -2.02022980381683, -1.03322686717359,
    -0.511041056535807e-01, 1829.15146461355,
]  # fmt: skip
CERTIFIED_RESIDUAL_SUM_OF_SQUARES = 836424.055505915


def longley():
    table = np.genfromtxt(LONGLEY, delimiter=",", skip_header=1)
    return np.column_stack([np.ones(len(table)), table[:, 1:]]), table[:, 0]


def standardized():
    features, targets = longley()
    features = features[:, 1:]
    return (features - features.mean(axis=0)) / features.std(axis=0), (targets - targets.mean()) / targets.std()


class TestLeastSquares:
    def test_longley_against_the_certified_fit(self):
        features, targets = longley()
        loss = LeastSquares(features, targets)
        np.testing.assert_allclose(loss.minimizer, CERTIFIED, rtol=1e-9)
        assert 2 * 16 * loss.value(loss.minimizer) == pytest.approx(CERTIFIED_RESIDUAL_SUM_OF_SQUARES, rel=1e-10)

    def test_longley_scaled_by_columns(self):
        features, targets = longley()
        size = np.max(np.abs(features), axis=0)
        np.testing.assert_allclose(LeastSquares(features / size, targets).minimizer / size, CERTIFIED, rtol=1e-9)

    def test_longley_spectrum_against_eigvalsh(self):
        features, targets = standardized()
        loss = LeastSquares(features, targets)
        expected = np.linalg.eigvalsh(features.T @ features / 16)
        np.testing.assert_allclose(loss.spectrum, expected, rtol=1e-10)
        np.testing.assert_allclose(loss.spectrum.sum(), 6.0, rtol=1e-13)  # the trace of a correlation matrix
        np.testing.assert_allclose(loss.spectrum, np.linalg.eigvalsh(loss.hessian(np.zeros(6))), rtol=1e-10)

    def test_small_curvatures_keep_their_digits(self):
        # Läuchli's matrix: the eigenvalues of X'X are ε² and 2 + ε², and ε² is lost in 1 + ε².
        epsilon = 1e-9
        features = np.array([[1.0, 1.0], [epsilon, 0.0], [0.0, epsilon]])
        spectrum = LeastSquares(features, np.zeros(3)).spectrum
        np.testing.assert_allclose(3 * spectrum, [epsilon**2, 2.0], rtol=1e-6)
        assert abs(3 * np.linalg.eigvalsh(features.T @ features / 3)[0] / epsilon**2 - 1) > 0.1

    def test_curvatures_that_are_missing_are_the_ridge(self):
        rng = np.random.default_rng(0)
        wide = rng.normal(size=(3, 5))
        assert LeastSquares(wide, np.zeros(3), l2=0.25).spectrum[:2].tolist() == [0.25, 0.25]
        assert LeastSquares(wide, np.zeros(3)).spectrum[:2].tolist() == [0.0, 0.0]
        twins = rng.normal(size=(9, 1)) @ np.ones((1, 2))
        assert LeastSquares(twins, np.zeros(9)).spectrum[0] == 0.0
        assert LeastSquares(np.zeros((4, 2)), np.ones(4)).spectrum.tolist() == [0.0, 0.0]

    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 5), st.sampled_from([0.0, 0.3]))
    def test_by_hand(self, seed, rows, dim, l2):
        rng = np.random.default_rng(seed)
        features, targets, w = rng.normal(size=(rows, dim)), rng.normal(size=rows), rng.normal(size=dim)
        loss = LeastSquares(features, targets, l2)
        residual = features @ w - targets
        assert loss.value(w) == pytest.approx(residual @ residual / (2 * rows) + l2 / 2 * w @ w, rel=1e-12)
        np.testing.assert_allclose(loss.gradient(w), features.T @ residual / rows + l2 * w, atol=1e-12)
        augmented = np.vstack([features, np.sqrt(rows * l2) * np.eye(dim)])
        expected = np.linalg.lstsq(augmented, np.concatenate([targets, np.zeros(dim)]))[0]
        size = np.linalg.cond(augmented) ** 2 if rows >= dim else 1e4
        np.testing.assert_allclose(loss.minimizer, expected, rtol=1e-13 * size, atol=1e-13 * size)

    def test_of_many_fits_the_nearest(self):
        loss = LeastSquares([[1.0, 1.0], [2.0, 2.0]], [2.0, 4.0])
        np.testing.assert_allclose(loss.minimizer, [1.0, 1.0], rtol=1e-14)
        np.testing.assert_allclose(LeastSquares(np.zeros((3, 2)), np.ones(3)).minimizer, [0.0, 0.0])

    def test_modes_are_complete_for_wide_features(self):
        loss = LeastSquares(np.random.default_rng(1).normal(size=(2, 4)), np.zeros(2), l2=0.5)
        eigenvalues, vectors = loss.modes
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-14)
        np.testing.assert_allclose(vectors @ np.diag(eigenvalues) @ vectors.T, loss.hessian(np.zeros(4)), atol=1e-13)


class TestLogisticRegression:
    @pytest.mark.parametrize("l2", [0.0, 1e-6, 0.2, 1e5])
    def test_minimizer(self, l2):
        rng = np.random.default_rng(2)
        features = rng.normal(size=(80, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, 1.0]
        labels = (features @ [1.0, 0.1, -3.0, -0.5] + rng.logistic(size=80) > 0).astype(float)
        loss = LogisticRegression(features, labels, l2)
        assert np.linalg.norm(loss.gradient(loss.minimizer)) < 1e-12
        other = minimize(loss.value, np.zeros(4), jac=loss.gradient, method="BFGS", options={"gtol": 1e-9}).x
        np.testing.assert_allclose(loss.minimizer, other, rtol=1e-5, atol=1e-7)

    def test_log_odds(self):
        # With an intercept alone the fit is the log odds; with a 0/1 feature it is the log odds ratio.
        loss = LogisticRegression(np.ones((10, 1)), [1] * 7 + [0] * 3)
        np.testing.assert_allclose(loss.minimizer, [np.log(7 / 3)], rtol=1e-14)
        np.testing.assert_allclose(loss.spectrum, [0.21], rtol=1e-14)
        group = np.repeat([0.0, 1.0], 10)
        labels = [1] * 4 + [0] * 6 + [1] * 9 + [0]
        loss = LogisticRegression(np.column_stack([np.ones(20), group]), labels)
        np.testing.assert_allclose(loss.minimizer, [np.log(4 / 6), np.log(9) - np.log(4 / 6)], rtol=1e-13)

    def test_raw_units_are_no_obstacle(self):
        features, targets = longley()
        labels = targets > 65000
        labels[[2, 5, 8]] ^= True
        loss = LogisticRegression(features, labels)
        size = np.max(np.abs(features), axis=0)
        assert np.linalg.norm(loss.gradient(loss.minimizer) / size) < 1e-13

    def test_of_many_fits_the_nearest(self):
        rng = np.random.default_rng(3)
        column = rng.normal(size=(40, 1))
        labels = column[:, 0] + rng.logistic(size=40) > 0
        single = LogisticRegression(column, labels).minimizer
        doubled = LogisticRegression(np.hstack([column, column]), labels)
        np.testing.assert_allclose(doubled.minimizer, [single[0] / 2] * 2, rtol=1e-12)
        assert doubled.spectrum[0] == 0.0
        np.testing.assert_allclose(LogisticRegression(np.zeros((2, 2)), [0, 1]).minimizer, [0.0, 0.0])

    @pytest.mark.parametrize(
        ("features", "labels"),
        [
            ([[-2.0], [-1.0], [1.0], [2.0]], [0, 0, 1, 1]),
            ([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]], [0, 1, 1]),  # quasi-complete separation
            (np.ones((5, 1)), [1, 1, 1, 1, 1]),
            ([[1e-9], [-1e-9]], [1, 0]),
            (1e8 * np.eye(3), [0, 1, 0]),
        ],
    )
    def test_separable_classes_have_no_minimizer_without_a_ridge(self, features, labels):
        with pytest.raises(ValueError, match="the classes are separable.*Give `l2` > 0"):
            _ = LogisticRegression(features, labels).minimizer
        loss = LogisticRegression(features, labels, l2=1e-3)
        scale = max(1.0, np.max(np.abs(features)))
        assert np.linalg.norm(loss.gradient(loss.minimizer)) < 1e-12 * scale
        assert LogisticRegression(features, labels).window is None

    def test_weights_that_decide_every_sample_prove_separation(self, monkeypatch):
        # The second line of defence, for programs that the linear solver cannot judge.
        monkeypatch.setattr(_newton, "_are_separable", lambda rows: False)
        with pytest.raises(ValueError, match="the classes are separable"):
            _ = LogisticRegression([[-2.0], [-1.0], [1.0]], [0, 0, 1]).minimizer

    def test_classes_that_overlap_by_one_sample_are_not_separable(self):
        loss = LogisticRegression([[-2.0], [-1.0], [1.0], [2.0], [1.5]], [0, 0, 1, 1, 0])
        assert np.linalg.norm(loss.gradient(loss.minimizer)) < 1e-14

    @pytest.mark.parametrize("overlap", [1e-3, 1e-7, 1e-9])
    def test_a_slight_overlap_is_one(self, overlap):
        # Stationarity by hand: 2/(1 + exp(w)) = overlap/(1 + exp(-overlap w)).
        loss = LogisticRegression([[-1.0], [1.0], [overlap]], [0, 1, 0])
        w = loss.minimizer[0]
        np.testing.assert_allclose(2 / (1 + np.exp(w)), overlap / (1 + np.exp(-overlap * w)), rtol=1e-12)

    @pytest.mark.parametrize("margin", [1e4, -1e4])
    def test_large_margins(self, margin):
        loss = LogisticRegression([[1.0]], [1])
        assert loss.value([margin]) == max(0.0, -margin)
        assert loss.gradient([margin]).tolist() == [0.0 if margin > 0 else -1.0]
        assert loss.hessian([margin]).tolist() == [[0.0]]
        assert loss.hessian_product([margin], [1.0]).tolist() == [0.0]

    def test_tails_keep_their_digits(self):
        # At margin 40 the loss, minus its slope and its curvature are all exp(-40) to 17 digits; 1 - p is lost.
        loss = LogisticRegression([[1.0], [-1.0]], [1, -1])
        for result in (loss.value([40.0]), -loss.gradient([40.0])[0], loss.hessian([40.0])[0, 0]):
            np.testing.assert_allclose(result, np.exp(-40), rtol=1e-14)

    def test_both_spellings_of_the_labels_mean_the_same(self):
        features = np.random.default_rng(4).normal(size=(6, 2))
        labels = np.array([0, 1, 1, 0, 1, 0])
        w = [0.3, -0.7]
        for other in (2 * labels - 1, labels == 1):
            one, two = LogisticRegression(features, labels, 0.1), LogisticRegression(features, other, 0.1)
            assert one.value(w) == two.value(w)
            assert np.array_equal(one.gradient(w), two.gradient(w))

    def test_value_by_hand(self):
        loss = LogisticRegression([[1.0, 0.0], [0.0, 2.0]], [1, 0], l2=0.5)
        expected = (np.log(1 + np.exp(-0.3)) + np.log(1 + np.exp(0.8))) / 2 + 0.25 * (0.09 + 0.16)
        assert loss.value([0.3, 0.4]) == pytest.approx(expected, rel=1e-14)

    def test_complex_step(self):
        rng = np.random.default_rng(5)
        features, w = rng.normal(size=(7, 3)), rng.normal(size=3)
        signs = np.array([1, -1, 1, 1, -1, -1, 1])
        loss = LogisticRegression(features, signs, l2=0.2)

        def value(z):
            return np.mean(np.log(1 + np.exp(-signs * (features @ z)))) + 0.1 * z @ z

        gradient = [value(w + 1e-30j * e).imag / 1e-30 for e in np.eye(3)]
        np.testing.assert_allclose(loss.gradient(w), gradient, rtol=1e-13)

    def test_bad_labels(self):
        with pytest.raises(ValueError, match=r"`labels` must be 0 and 1, or -1 and 1. Received 2.0 at index \(1,\)"):
            LogisticRegression(np.ones((3, 1)), [1, 2, 1])
        with pytest.raises(ValueError, match=r"`labels` must be .* Received -1.0 at index \(2,\)"):
            LogisticRegression(np.ones((3, 1)), [1, 0, -1])
        with pytest.raises(TypeError, match="`labels` must hold real numbers"):
            LogisticRegression(np.ones((2, 1)), ["a", "b"])


@pytest.mark.parametrize(("fit", "name"), [(LeastSquares, "targets"), (LogisticRegression, "labels")])
class TestBadInput:
    def test_shapes(self, fit, name):
        with pytest.raises(ValueError, match=rf"`{name}` must have shape \(3,\), .*Received shape \(2,\)"):
            fit(np.ones((3, 2)), [0, 1])
        with pytest.raises(ValueError, match=rf"`{name}` must have shape"):
            fit(np.ones((3, 2)), np.ones((3, 1)))
        for wrong in (np.ones(3), np.ones((3, 0)), np.ones((0, 3)), np.ones((1, 2, 3))):
            with pytest.raises(ValueError, match=r"`features` must have shape \(row, dim\).*Received shape"):
                fit(wrong, [0, 1, 1])
        with pytest.raises(ValueError, match="`features` must be a rectangular array"):
            fit([[1.0], [1.0, 2.0]], [0, 1])

    def test_values(self, fit, name):
        with pytest.raises(ValueError, match=r"`features` must be finite. Received nan at index \(1, 0\)"):
            fit([[1.0], [np.nan]], [0, 1])
        with pytest.raises(ValueError, match=rf"`{name}` must be finite. Received inf at index \(1,\)"):
            fit([[1.0], [1.0]], [0, np.inf])
        with pytest.raises(ValueError, match="`l2` must be >= 0. Received -0.1"):
            fit([[1.0]], [1], l2=-0.1)
        with pytest.raises(TypeError, match="`l2` must be one number"):
            fit([[1.0]], [1], l2=[0.1, 0.2])

    def test_what_was_factorized_is_not_pickled(self, fit, name):
        loss = fit(np.random.default_rng(6).normal(size=(9, 2)), [0, 1, 0, 1, 1, 0, 1, 0, 1], l2=0.1)
        fresh = pickle.dumps(loss)
        before = loss.minimizer, loss.modes
        assert pickle.dumps(loss) == fresh
        copy = pickle.loads(fresh)
        assert np.array_equal(copy.minimizer, before[0])
        with pytest.raises(ValueError, match="read-only"):
            loss.minimizer[0] = 1.0
