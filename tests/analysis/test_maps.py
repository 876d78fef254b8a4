"""Maps of settings against the modes that they collect."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from heavyball_dynamics import DampingClass, HeavyBall, Nesterov, analyze_modes, stability_map


@pytest.mark.parametrize("kind", [HeavyBall, Nesterov])
def test_each_cell_is_a_mode(kind, rng):
    product, momentum = rng.uniform(-0.5, 5, size=7), rng.uniform(-0.5, 1.2, size=5)
    found = stability_map(kind, product=product, momentum=momentum)
    assert found.method_name == kind.__name__
    assert found.damping.shape == found.rate.shape == (5, 7)
    for i, j in np.ndindex(5, 7):
        # The product is all that matters: split it between lr and curvature.
        single = analyze_modes(kind(0.25, momentum[i]), [4 * product[j]])
        assert found.damping[i, j] == single.damping[0]
        assert_allclose(found.rate[i, j], single.rate[0], rtol=1e-12)


def test_default_map_of_the_heavy_ball():
    """Area of the stable triangle: ∫ 2(1+β) dβ = 3 of 4.4."""
    found = stability_map()
    assert found.damping.shape == (301, 441)
    assert_array_equal(found.product[[0, -1]], [0, 4.4])
    assert_array_equal(found.momentum[[0, -1]], [0, 1])
    assert_allclose(np.mean(found.rate < 1), 3 / 4.4, atol=0.01)
    assert (found.damping[:, 0] == DampingClass.MARGINAL).all()
    text = str(found)
    assert text.startswith("HeavyBall: ")
    assert "alternating" in text


def test_single_numbers_are_axes_of_length_one():
    assert stability_map(product=1.0, momentum=0.5).damping.shape == (1, 1)


def test_errors():
    with pytest.raises(ValueError, match=r"`product` must be one-dimensional.*Received shape \(2, 3\)"):
        stability_map(product=np.ones((2, 3)))
    with pytest.raises(ValueError, match="`momentum` must be finite. Received nan"):
        stability_map(momentum=[0.1, np.nan])


def test_pickles_as_plain_arrays():
    found = stability_map(product=[1.0, 2.0], momentum=[0.5])
    copy = pickle.loads(pickle.dumps(found))
    for name in ("product", "momentum", "damping", "rate"):
        assert type(getattr(found, name)) is np.ndarray
        assert_array_equal(getattr(copy, name), getattr(found, name))
