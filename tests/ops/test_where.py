"""`np.where` beside a number, which large arrays do by their bits."""

import numpy as np
import pytest

from pycograd import jit

NUMBERS = [0, -0.0, 0.0, -np.inf, np.nan, 1.5, 7, "own"]


@pytest.mark.parametrize("number", NUMBERS, ids=str)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c16", "i4"])
def test_compiled_choices_have_numpys_bits(dtype, number, rng):
    x = rng.standard_normal((64, 32)) * 5
    if np.dtype(dtype).kind in "fc":
        x[0], x[1], x[2] = np.nan, -0.0, np.inf
    with np.errstate(invalid="ignore"):
        x = x.astype(dtype)
    number = np.dtype(dtype).type(3) if number == "own" else number
    for c in (x.real > 0, np.tri(64, 32, dtype=bool), x.real[0] > 0, x.real[:, :1] > 0):
        for order in (lambda x: x, np.asfortranarray):
            given = order(x)
            for f in (lambda c, x: np.where(c, x, number), lambda c, x: np.where(c, number, x)):
                found, expected = jit(f)(c, given), f(c, given)
                assert found.dtype == expected.dtype
                assert found.tobytes() == expected.tobytes()


def test_choices_that_repeat_the_array_or_promote(rng):
    x, c = rng.standard_normal(2048).astype("f4"), rng.standard_normal((3, 2048)) > 0
    for f in (
        lambda c, x: np.where(c, x, 0),
        lambda c, x: np.where(c[0], x, np.float64(2)),
        lambda c, x: np.where(c[0], x, np.zeros(1)),
    ):
        found, expected = jit(f)(c, x), f(c, x)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
