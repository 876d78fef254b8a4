"""Certified rates against published ones, frequency domain, brute force and runs; proofs checked in another way."""

from __future__ import annotations

import doctest
import importlib.util
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from user_rules import Extragradient, TwoMomenta

import heavyball_dynamics as hb
from heavyball_dynamics.analysis import certificates
from heavyball_dynamics.analysis.certificates import certify

needs_solver = pytest.mark.skipif(
    not importlib.util.find_spec("clarabel"), reason="clarabel, the extra `certify`, is not installed"
)


def rate(*arguments, **keywords):
    return float(certify(*arguments, **keywords).rate)


def transfer(method, z):
    found = hb.state_matrices(method)
    size = len(found.A)
    return np.array([(found.C @ np.linalg.solve(x * np.eye(size) - found.A, found.B) + found.D).item() for x in z])


def holds_on_circle(method, low, high, radius, share):
    """The frequency-domain inequality of the constraint with `share` ρ² of the past, at all frequencies."""
    z = radius * np.exp(1j * np.linspace(1e-4, np.pi, 4001))
    G = transfer(method, z)
    side = (high * G - 1) * (1 - share * radius**2 / z)
    return np.max(np.real(np.conj(side) * (1 - low * G)) / (1 + np.abs(G) ** 2)) < 0


@needs_solver
class TestPublishedRates:
    @pytest.mark.parametrize("kappa", [1.5, 4.0, 10.0, 100.0, 1e4])
    @pytest.mark.parametrize("iqc", ["sector", "off-by-one"])
    def test_gradient_descent(self, kappa, iqc):
        assert_allclose(rate(hb.GradientDescent(2 / (1 + kappa)), 1.0, kappa, iqc=iqc), (kappa - 1) / (kappa + 1),
                        rtol=0, atol=2e-6)  # fmt: skip
        assert_allclose(rate(hb.GradientDescent(1 / kappa), 1.0, kappa, iqc=iqc), 1 - 1 / kappa, rtol=0, atol=2e-6)

    @pytest.mark.parametrize("kappa", [1.5, 4.0, 10.0, 100.0, 1000.0])
    def test_triple_and_robust_momentum(self, kappa):
        fastest = 1 - 1 / np.sqrt(kappa)
        assert_allclose(rate(hb.TripleMomentum.for_class(1.0, kappa), 1.0, kappa), fastest, rtol=0, atol=1e-5)
        middle = 0.5 * (fastest + 1 - 1 / kappa)
        assert_allclose(rate(hb.RobustMomentum(1.0, kappa, middle), 1.0, kappa), middle, rtol=0, atol=2e-6)

    @pytest.mark.parametrize("kappa", [1.5, 4.0, 10.0, 100.0, 1000.0])
    def test_nesterov_between_quadratics_and_the_textbook(self, kappa):
        found = rate(hb.tune(hb.Nesterov, 1.0, kappa, variant="standard"), 1.0, kappa)
        assert 1 - 1 / np.sqrt(kappa) <= found < np.sqrt(1 - 1 / np.sqrt(kappa))

    def test_heavy_ball_tuned_for_quadratics_is_certified_for_small_condition_numbers_only(self):
        edge = (2 + np.sqrt(5)) ** 2  # about 17.94
        below, above = edge * 0.999, edge * 1.001
        assert rate(hb.tune(hb.HeavyBall, 1.0, below), 1.0, below) < 1
        found = certify(hb.tune(hb.HeavyBall, 1.0, above), 1.0, above)
        assert found.rate == np.inf
        assert not found.feasible
        assert "no solution of the off-by-one inequality was found" in str(found)
        assert np.isnan(found.lyapunov).all()


@needs_solver
class TestAgainstTheFrequencyDomain:
    """The Kalman-Yakubovich-Popov lemma: the inequality has a solution iff it holds at every frequency."""

    @pytest.mark.parametrize("method", [hb.Nesterov(0.08, 0.4), hb.HeavyBall(0.1, 0.2), TwoMomenta(0.04, 0.1, 0.4)],
                             ids=repr)  # fmt: skip
    def test_both_constraints(self, method):
        low, high = 1.0, 10.0
        for iqc, shares in (("sector", [0.0]), ("off-by-one", np.linspace(0, 1, 201))):
            found = rate(method, low, high, iqc=iqc)
            assert found < 1
            assert any(holds_on_circle(method, low, high, found + 1e-4, share) for share in shares)
            if found > hb.analyze_modes(method, np.linspace(low, high, 2001)).rate.max() + 1e-4:
                assert not any(holds_on_circle(method, low, high, found - 1e-4, share) for share in shares)

    def test_sector_bounds_every_sequence_of_curvatures(self):
        method, low, high = hb.HeavyBall(0.12, 0.3), 1.0, 10.0
        ends = hb.state_matrices(method).loop(np.array([low, high]))
        fastest = 0.0
        for length in range(1, 10):
            for which in range(2**length):
                product = np.linalg.multi_dot([np.eye(2), *(ends[which >> i & 1] for i in range(length))])
                fastest = max(fastest, np.abs(np.linalg.eigvals(product)).max() ** (1 / length))
        assert rate(method, low, high) < fastest <= rate(method, low, high, iqc="sector")


@needs_solver
class TestProof:
    def test_the_inequality_of_the_paper_in_rational_numbers(self):
        """Theorem 4 with lemma 10 written out for one state and one filter, without the package's matrices."""
        lr, low, high = 0.15, 1.0, 10.0
        found = certify(hb.GradientDescent(lr), low, high)
        root = [[Fraction(x) for x in row] for row in found.root.tolist()]
        P = [[sum(root[k][i] * root[k][j] for k in range(2)) for j in range(2)] for i in range(2)]
        rho2, (sector, past) = Fraction(float(found.rate)) ** 2, map(Fraction, found.multipliers[0].tolist())

        def form(x, zeta, u):
            after = (x - Fraction(lr) * u, u - Fraction(high) * x)
            V = lambda s: sum(P[i][j] * s[i] * s[j] for i in range(2) for j in range(2))  # noqa: E731
            side, lower = Fraction(high) * x - u, u - Fraction(low) * x
            return V(after) - rho2 * V((x, zeta)) + 2 * sector * side * lower + 2 * past * (side + rho2 * zeta) * lower

        rng = np.random.default_rng(1)
        for point in rng.normal(size=(100, 3)) * [1, 10, 10]:
            assert form(*map(Fraction, point.tolist())) < 0
        e = np.eye(3)
        for i in range(3):
            assert_allclose(found.inequality[i, i], float(form(*map(Fraction, e[i].tolist()))), rtol=1e-12)

    @pytest.mark.parametrize("method", [hb.GradientDescent(0.15), hb.HeavyBall(0.1, 0.2), hb.Nesterov(0.1, 0.5),
                                        TwoMomenta(0.04, 0.1, 0.4), Extragradient(0.05, 0.2)], ids=repr)  # fmt: skip
    def test_numbers_by_numpy(self, method):
        found = certify(method, 1.0, 10.0)
        assert_allclose(found.lyapunov, found.root.T @ found.root, rtol=0, atol=1e-15)
        values = np.linalg.eigvalsh(found.lyapunov)
        assert values[0] > 0
        assert_allclose(values[[0, -1]], [found.slack, 1.0], rtol=1e-6, atol=1e-13)
        assert np.linalg.eigvalsh(found.inequality)[-1] < 1e-13
        assert -1 <= found.residual < 0
        assert np.all(found.multipliers >= 0)
        assert found.constant >= 1
        assert found.rate >= found.quadratic_rate - 1e-9

    def test_cvxpy_finds_the_same_rate(self):
        cp = pytest.importorskip("cvxpy")
        lr, beta, low, high = 0.1, 0.2, 1.0, 10.0
        A, B, C = np.array([[1 + beta, -beta], [1, 0]]), np.array([[-lr], [0]]), np.array([[1.0, 0]])

        def feasible(rho):
            hat = np.block([[A, np.zeros((2, 1))], [-high * C, np.zeros((1, 1))]]), np.vstack([B, [[1.0]]])
            out = np.array([[high, 0, rho**2, -1.0], [-low, 0, 0, 1.0]])
            plain = np.array([[high, 0, 0, -1.0], [-low, 0, 0, 1.0]])
            swap = np.array([[0, 1.0], [1, 0]])
            P, weights = cp.Variable((3, 3), symmetric=True), cp.Variable(2, nonneg=True)
            both = np.hstack(hat)
            now = np.eye(3, 4)
            left = both.T @ P @ both - rho**2 * now.T @ P @ now
            left = left + weights[0] * plain.T @ swap @ plain + weights[1] * out.T @ swap @ out
            problem = cp.Problem(cp.Minimize(0), [P >> np.eye(3), (left + left.T) / 2 << 0])
            problem.solve(solver="CLARABEL")
            return problem.status == "optimal"

        found = rate(hb.HeavyBall(lr, beta), low, high)
        assert feasible(found + 1e-4)
        assert not feasible(found - 1e-4)

    @settings(max_examples=8)
    @given(st.integers(0, 10**6))
    def test_runs_stay_below_the_bound(self, seed):
        rng = np.random.default_rng(seed)
        low, high = 1.0, 10.0
        methods = [hb.GradientDescent(0.18), hb.HeavyBall(0.1, 0.2), hb.Nesterov(0.1, 0.5),
                   hb.TripleMomentum.for_class(low, high)]  # fmt: skip
        method = methods[rng.integers(len(methods))]
        found = certify(method, low, high, tolerance=1e-3)
        features, labels = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
        top = np.linalg.eigvalsh(features.T @ features / 120)[-1]
        losses = [
            hb.Quadratic(np.array([low, rng.uniform(low, high), high])),
            hb.LogisticRegression(features * np.sqrt((high - low) / top), labels, l2=low),
        ]
        for loss in losses:
            best = hb.iterate(hb.GradientDescent(2 / (low + high)), loss, np.zeros(3), 300).position[-1]
            start = best + rng.normal(size=3)
            run = hb.iterate(method, loss, start, 60)
            error = np.linalg.norm(run.position - best, axis=-1)
            bound = found.constant * found.rate**run.time * np.linalg.norm(start - best)
            assert np.all(error <= bound * (1 + 1e-9) + 1e-11)

    def test_the_published_counterexample_stays_below_the_bound_of_what_is_certified(self):
        loss, method = hb.LessardCounterexample(), hb.tune(hb.Nesterov, 1.0, 25.0, variant="standard")
        found = certify(method, 1.0, 25.0, tolerance=1e-3)
        run = hb.iterate(method, loss, np.linspace(-4, 4, 81)[:, None], 80)
        error = np.abs(run.position[..., 0])
        assert np.all(error <= found.constant * found.rate**run.time * error[:, :1] + 1e-12)


@needs_solver
class TestShapesAndReasons:
    def test_batch_is_its_elements(self):
        lr, beta = np.array([0.05, 0.1, 0.3]), np.array([[0.1], [0.3]])
        found = certify(hb.HeavyBall(lr, beta), 1.0, 10.0, tolerance=1e-4)
        assert found.rate.shape == found.reason.shape == (2, 3)
        assert found.lyapunov.shape == (2, 3, 3, 3)
        assert found.multipliers.shape == (2, 3, 1, 2)
        for i, j in np.ndindex(2, 3):
            alone = certify(hb.HeavyBall(lr[j], beta[i, 0]), 1.0, 10.0, tolerance=1e-4)
            assert_allclose(found.rate[i, j], alone.rate, rtol=1e-12)
            assert_allclose(found.root[i, j], alone.root, rtol=1e-9, atol=1e-12)
            assert found.reason[i, j] == alone.reason[()]
        assert len(str(found).splitlines()) == 6

    def test_bounds_broadcast(self):
        found = certify(hb.GradientDescent(0.1), [0.5, 1.0], 10.0)
        assert_allclose(found.rate, [0.95, 0.9], atol=2e-6)

    def test_units_do_not_matter(self):
        one = rate(hb.HeavyBall(0.1, 0.2), 1.0, 10.0)
        assert_allclose(rate(hb.HeavyBall(1e-5, 0.2), 1e4, 1e5), one, atol=2e-6)
        assert_allclose(rate(hb.from_dialect("ema", lr=0.1 / 0.8, momentum=0.2), 1.0, 10.0), one, atol=2e-6)

    def test_divergence_on_quadratics_is_the_reason(self):
        found = certify(hb.HeavyBall(0.3, 0.2), 1.0, 10.0)
        assert found.rate == np.inf
        assert "does not converge on all quadratics of the class, where the rate is" in found.reason[()]
        assert np.isnan([found.slack, found.residual, found.constant]).all()

    def test_a_rule_that_does_not_rest_at_the_minimizer(self):
        class Decaying(hb.GradientDescent):
            def step(self, k, state, objective):
                moved = super().step(k, state, objective)
                return moved._replace(position=0.9 * moved.position)

        found = certify(Decaying(0.1), 1.0, 10.0)
        assert found.rate == np.inf
        assert "does not rest at a minimizer" in found.reason[()]

    def test_several_gradients(self):
        found = certify(Extragradient(0.05, 0.2), 1.0, 10.0)
        assert found.multipliers.shape == (2, 2)
        assert found.quadratic_rate <= found.rate < 1


class TestErrors:
    def test_missing_solver(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "clarabel", None)
        with pytest.raises(ImportError, match=r'pip install "heavyball_dynamics\[certify\]"'):
            certify(hb.GradientDescent(0.1), 1.0, 10.0)

    @needs_solver
    @pytest.mark.parametrize(
        ("bounds", "keywords", "message"),
        [
            ((0.0, 1.0), {}, "`strong_convexity` must be > 0. Received 0.0"),
            ((1.0, 1.0), {}, "`smoothness` must be > strong_convexity. Received 1.0"),
            ((1.0, 2.0), {"iqc": "popov"}, "`iqc` must be one of 'off-by-one', 'sector'. Received 'popov'"),
            ((1.0, 2.0), {"tolerance": 0.0}, "`tolerance` must be between 1e-9"),
            (([1.0, 1.0], [2.0, 3.0, 4.0]), {}, "must have shapes that broadcast"),
        ],
    )
    def test_bad_numbers(self, bounds, keywords, message):
        with pytest.raises(ValueError, match=message):
            certify(hb.GradientDescent(0.1), *bounds, **keywords)

    @needs_solver
    def test_bad_rules(self):
        with pytest.raises(TypeError, match="must be a method"):
            certify(hb.GradientFlow(), 1.0, 2.0)
        with pytest.raises(ValueError, match="not linear"):
            certify(hb.AdaGrad(0.1), 1.0, 2.0)


@needs_solver
@pytest.mark.parametrize("what", [certificates.Certificate, certificates.certify], ids=lambda what: what.__name__)
def test_examples_of_the_docstrings(what, monkeypatch):
    monkeypatch.setattr(hb, "certify", certify, raising=False)
    examples = doctest.DocTestParser().get_doctest(
        what.__doc__.replace("# doctest: +SKIP", ""), {}, what.__name__, None, None
    )
    said = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples, out=said.append)
    assert not said, "".join(said)
