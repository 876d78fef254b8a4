"""Learning rates and momenta inside a wrapper: limits and loci reach them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import heavyball_dynamics as hb
from heavyball_dynamics.algorithms.delayed import Delayed


@pytest.mark.parametrize("delay", range(31))
def test_the_limit_of_delayed_gradient_descent(delay):
    limit = hb.stability_limit(Delayed(hb.GradientDescent(1.0), delay), 1.0)
    assert_allclose(limit, 2 * np.sin(np.pi / (4 * delay + 2)), rtol=1e-9)


def test_limits_are_batched():
    limit = hb.stability_limit(Delayed(hb.HeavyBall(1.0, np.array([0.0, 0.5, 0.9])), 1), [1.0, 2.0])
    assert_allclose(limit, np.array([1.0, 0.5, 0.1])[:, None] / [1.0, 2.0], rtol=1e-9)


def test_loci_in_fields_of_the_method_inside():
    late = Delayed(hb.HeavyBall(0.2, 0.5), 1)
    # Stable for η < 1 - β.
    assert_allclose(hb.root_locus(late, "lr", curvature=1.0).stability_limit, [0.5], rtol=1e-9)
    assert_allclose(hb.root_locus(late, "momentum", curvature=1.0).stability_limit, [0.8], rtol=1e-9)
