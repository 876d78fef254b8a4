"""Schedules: rules whose hyperparameters vary with the step, run and probed as the rule of that step."""

import copy
import pickle
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from user_rules import Averaged

import heavyball_dynamics as hb

LOSS = hb.rosenbrock()
START = [-0.6, 0.8]
RULES = [
    hb.GradientDescent(1e-3), hb.HeavyBall(1e-3, 0.9), hb.Nesterov(1e-3, 0.9), hb.DampenedHeavyBall(1e-3, 0.9, 0.5),
    hb.LookAheadNesterov(1e-3, 0.9), hb.QuasiHyperbolicMomentum(1e-3, 0.9), hb.PIDMomentum(1e-3, 0.9, 1e-4),
    hb.AggregatedMomentum(1e-3, (0.0, 0.9)), hb.TripleMomentum(1e-3, 0.9, 0.5), hb.RMSProp(1e-3, momentum=0.5),
    hb.AdaGrad(0.1), hb.AdaDelta(0.5), hb.Adam(1e-2), hb.AdamW(1e-2), hb.NAdam(1e-2),
]  # fmt: skip
VARYING = ("lr", "momentum", "beta1", "beta2")
CASES = [(rule, f.name) for rule in RULES for f in fields(rule) if f.name in VARYING]


def named(value):
    return value if isinstance(value, str) else type(value).__name__


def decaying(k):
    return 1e-3 / (1 + 0.1 * k)


@pytest.mark.parametrize(("rule", "name"), CASES, ids=named)
class TestEveryRule:
    def test_a_constant_schedule_is_the_constant(self, rule, name):
        value = getattr(rule, name)
        expected = hb.iterate(rule, LOSS, START, 40)
        for schedule in (hb.Schedule([value]), lambda k: value):
            run = hb.iterate(replace(rule, **{name: schedule}), LOSS, START, 40)
            assert_array_equal(run.position, expected.position)
            assert_array_equal(run.energy, expected.energy)

    def test_each_step_is_the_rule_of_that_step(self, rule, name):
        values = getattr(rule, name) * (1 - 0.5 * np.sin(np.arange(30.0)) ** 2)
        scheduled = replace(rule, **{name: hb.Schedule(values)})
        run = hb.iterate(scheduled, LOSS, START, 30)
        first = replace(rule, **{name: values[0]})
        state = hb.iterate(first, LOSS, START, 0).state
        for k in range(30):
            now = replace(rule, **{name: values[k]})
            assert hb.at_step(scheduled, k) == now
            after = hb.iterate(now, LOSS, state, 1, first_step=k)
            assert_array_equal(after.position[-1], run.position[k + 1])
            assert_array_equal(after.energy[-1], run.energy[k + 1])
            state = after.state

    def test_batches_of_schedules(self, rule, name):
        values = getattr(rule, name) * np.linspace(0.5, 1, 24).reshape(3, 8)
        run = hb.iterate(replace(rule, **{name: hb.Schedule(values)}), LOSS, START, 12)
        assert run.position.shape == (3, 13, 2)
        for i in range(3):
            alone = hb.iterate(replace(rule, **{name: hb.Schedule(values[i])}), LOSS, START, 12)
            assert_allclose(run.position[i], alone.position, rtol=1e-13)
            called = replace(rule, **{name: lambda k: values[:, min(k, 7)]})
        assert_array_equal(hb.iterate(called, LOSS, START, 12).position, run.position)

    def test_resumes(self, rule, name):
        scheduled = replace(rule, **{name: lambda k: getattr(rule, name) / (1 + 0.01 * k)})
        whole = hb.iterate(scheduled, LOSS, START, 20)
        part = hb.iterate(scheduled, LOSS, START, 9)
        rest = hb.iterate(scheduled, LOSS, part.state, 11, first_step=9)
        assert_allclose(rest.position, whole.position[9:], rtol=1e-14)
        assert_allclose(rest.energy, whole.energy[9:], rtol=1e-12)

    def test_bad_values_are_said_with_their_step(self, rule, name):
        broken = replace(rule, **{name: lambda k: np.nan if k == 7 else getattr(rule, name)})
        said = rf"`{name}` must be finite. Received nan. That is what its schedule gives at step 7"
        with pytest.raises(ValueError, match=said):
            hb.iterate(broken, LOSS, START, 20)
        with pytest.raises(TypeError, match=rf"`{name}` must hold real numbers. Received 'fast' .* at step 0"):
            hb.iterate(replace(rule, **{name: lambda k: "fast"}), LOSS, START, 20)
        if name != "momentum":
            negative = replace(rule, **{name: hb.Schedule([1e-3, 1e-3, -1e-3])})
            with pytest.raises(ValueError, match=rf"`{name}` must be >= 0.*Received -0.001. That .* at step 2"):
                hb.iterate(negative, LOSS, START, 5)


class TestSchedule:
    def test_values(self):
        table = hb.Schedule(np.arange(6.0).reshape(2, 3))
        assert_array_equal(table(1), [1, 4])
        assert_array_equal(table(99), [2, 5])
        assert_array_equal(table(np.inf), [2, 5])
        assert hb.Schedule([0.5, 0.25])(1) == 0.25

    def test_a_record(self):
        one = hb.HeavyBall(hb.Schedule([0.1, 0.2]), 0.9)
        for twin in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            assert twin == one
            assert hash(twin) == hash(one)
            assert not twin.lr.values.flags.writeable
        assert one != hb.HeavyBall(hb.Schedule([0.1, 0.3]), 0.9)
        assert hb.HeavyBall(decaying, 0.9) == hb.HeavyBall(hb.Schedule(decaying), 0.9)
        assert pickle.loads(pickle.dumps(hb.HeavyBall(decaying, 0.9))) == hb.HeavyBall(decaying, 0.9)

    def test_nested_records_are_reached(self):
        @dataclass(frozen=True)
        class Twice:
            inner: object

            def init(self, position, velocity, objective):
                return self.inner.init(position, velocity, objective)

            def step(self, k, state, objective):
                return self.inner.step(k, self.inner.step(k, state, objective), objective)

        rates = 0.1 / (1 + np.arange(5))
        run = hb.iterate(Twice(hb.GradientDescent(hb.Schedule(rates))), hb.Quadratic([1.0]), [1.0], 5)
        assert_allclose(run.position[-1, 0], np.prod((1 - rates) ** 2), rtol=1e-14)
        assert hb.at_step(Twice(hb.GradientDescent(hb.Schedule(rates))), 4) == Twice(hb.GradientDescent(rates[4]))

    @pytest.mark.parametrize(("values", "error", "message"), [
        ([0.1, np.nan], ValueError, r"`values` must be finite. Received nan at index \(1,\)"),
        (0.1, ValueError, "`values` must have one value or more .* A constant needs no schedule"),
        ([], ValueError, r"`values` must have one value or more along the last axis.* Received shape \(0,\)"),
        ("warm", TypeError, "`values` must hold real numbers. Received 'warm'"),
    ])  # fmt: skip
    def test_bad_values(self, values, error, message):
        with pytest.raises(error, match=message):
            hb.Schedule(values)

    @pytest.mark.parametrize("k", [-1, 1.5, np.nan])
    def test_what_is_no_step(self, k):
        for values in ([0.1, 0.2], lambda k: 0.1):
            with pytest.raises(ValueError, match="`k` must be a whole step >= 0. Received"):
                hb.at_step(hb.GradientDescent(hb.Schedule(values)), k)

    def test_a_bare_callable_in_a_rule_of_ones_own(self):
        with pytest.raises(TypeError) as caught:
            hb.iterate(Averaged(lambda k: 0.1, 0.9), hb.Quadratic([1.0]), [1.0], 3)
        assert "`lr` of Averaged is a callable that nobody has called: wrap it" in caught.value.__notes__[0]
        run = hb.iterate(Averaged(hb.Schedule(lambda k: 0.1), 0.9), hb.Quadratic([1.0]), [1.0], 3)
        assert_array_equal(run.position, hb.iterate(Averaged(0.1, 0.9), hb.Quadratic([1.0]), [1.0], 3).position)

    def test_growing_batch_axes_are_refused(self):
        growing = hb.GradientDescent(lambda k: 0.1 if k < 3 else np.array([0.1, 0.2]))
        with pytest.raises(ValueError, match=r"keep the batch axes .*\(\)\. Received \(2,\) at step 3"):
            hb.iterate(growing, hb.Quadratic([1.0]), [1.0], 5)


class TestProbing:
    METHOD = hb.Nesterov(lr=lambda k: 0.1 / (1 + k), momentum=hb.AcceleratedMomentum())

    @pytest.mark.parametrize("k", [0, 5, 100])
    def test_linear_systems_are_those_of_the_frozen_rule(self, k):
        frozen = hb.Nesterov(0.1 / (1 + k), hb.AcceleratedMomentum()(k))
        assert_array_equal(hb.state_matrices(self.METHOD, k=k).A, hb.state_matrices(frozen).A)
        assert_array_equal(hb.linearize(self.METHOD, k=k).B, hb.linearize(frozen).B)
        assert_array_equal(hb.closed_loop(self.METHOD, 2.0, k=k).A, hb.closed_loop(frozen, 2.0).A)
        assert_array_equal(hb.analyze_modes(self.METHOD, [1.0, 2.0], k=k).poles, hb.analyze_modes(frozen, [1, 2]).poles)
        assert hb.stability_limit(self.METHOD, 2.0, k=k) == hb.stability_limit(frozen, 2.0)
        for parameter in ("curvature", "momentum"):
            grid, mode = np.linspace(0.1, 0.9, 9), None if parameter == "curvature" else 1.0
            locus = hb.root_locus(self.METHOD, parameter, grid, curvature=mode, k=k)
            assert_array_equal(locus.poles, hb.root_locus(frozen, parameter, grid, curvature=mode).poles)

    @pytest.mark.parametrize("study", [
        hb.state_matrices, hb.linearize, lambda m: hb.closed_loop(m, 1.0), lambda m: hb.analyze_modes(m, [1.0]),
        lambda m: hb.stability_limit(m, 1.0), lambda m: hb.root_locus(m, "curvature", [0.1, 0.2]),
    ])  # fmt: skip
    def test_a_step_is_asked_for(self, study):
        with pytest.raises(ValueError, match="Nesterov varies in time: say at which step to freeze it"):
            study(self.METHOD)

    def test_polynomials_are_those_of_the_frozen_rule(self):
        frozen = hb.at_step(self.METHOD, 5)
        assert hb.characteristic_polynomial(self.METHOD, k=5) == hb.characteristic_polynomial(frozen)
        assert hb.stability_conditions(self.METHOD, k=5) == hb.stability_conditions(frozen)
        for study in (hb.characteristic_polynomial, hb.stability_conditions):
            with pytest.raises(ValueError, match="Nesterov varies in time: say at which step to freeze it"):
                study(self.METHOD)

    def test_batches(self):
        rates = np.array([[0.1, 0.2], [0.3, 0.4]])
        modes = hb.analyze_modes(hb.HeavyBall(hb.Schedule(rates), 0.9), [1.0, 2.0, 3.0], k=1)
        assert_array_equal(modes.poles, hb.analyze_modes(hb.HeavyBall(rates[:, 1], 0.9), [1.0, 2.0, 3.0]).poles)

    def test_there_is_no_mass_of_a_schedule(self):
        with pytest.raises(TypeError, match=r"a mass and a damping belong to one step.* hb.at_step\(method, k\)"):
            hb.to_physical(self.METHOD)
        assert hb.to_physical(hb.at_step(self.METHOD, 10)).mass == 1


class TestNamedSchedules:
    def test_growing_momentum_is_sutskevers(self):
        growing = hb.GrowingMomentum(largest=0.995)
        for k in (0, 249, 250, 999, 1000, 12249, 12250, 10**6):
            assert growing(k) == pytest.approx(min(1 - 2 ** (-1 - np.log2(k // 250 + 1)), 0.995), abs=1e-15)
        assert growing(np.inf) == 0.995
        assert (growing(0), growing(1000), growing(12250)) == (0.5, 0.9, 0.99)

    @settings(deadline=None, max_examples=25)
    @given(st.floats(3, 12), st.integers(0, 2**32 - 1))
    def test_accelerated_momentum_keeps_theorem_6(self, r, seed):
        """f(x_k) - f* <= (r-1)²|x_0 - x*|²/(2η(k+r-2)²): Su, Boyd, Candès 2016, theorem 6."""
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(30, 8)) * np.geomspace(1, 1e-3, 8)
        losses = [
            hb.LeastSquares(features, rng.normal(size=30)),
            hb.LogisticRegression(features, (rng.random(30) < 0.5).astype(float), l2=1e-4),
        ]
        for loss in losses:
            lr = 1 / (np.linalg.norm(features, 2) ** 2 / 30 + 1e-4)
            run = hb.iterate(hb.Nesterov(lr, hb.AcceleratedMomentum(r)), loss, np.zeros(8), 300)
            k = run.time[1:]
            bound = (r - 1) ** 2 * np.sum(loss.minimizer**2) / (2 * lr * (k + r - 2) ** 2)
            assert np.all(run.value[1:] - loss.value(loss.minimizer) <= bound * (1 + 1e-9))

    def test_bad_parameters(self):
        with pytest.raises(ValueError, match="`largest` must be one number >= 0 and < 1. Received 1.0"):
            hb.GrowingMomentum(1.0)
        with pytest.raises(ValueError, match="`interval` must be a whole number >= 1. Received 0"):
            hb.GrowingMomentum(0.9, 0)
        with pytest.raises(ValueError, match="`r` must be one number > 0. Received 0"):
            hb.AcceleratedMomentum(0)


def test_look_ahead_points_under_a_schedule():
    method = hb.Nesterov(lr=1e-3, momentum=hb.AcceleratedMomentum())
    run = hb.iterate(method, LOSS, START, 20)
    ahead = method.look_ahead(run)
    for k in range(20):
        assert_allclose(run.position[k + 1], ahead[k] - 1e-3 * LOSS.gradient(ahead[k]), rtol=1e-12)
