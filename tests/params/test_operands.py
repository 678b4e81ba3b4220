"""Every operation of the sample table takes a weight for an array, plain and in a pass."""

import warnings

import numpy as np
import pytest

import pycograd as pg
from pycograd.testing.program import Program
from pycograd.testing.samples import all_samples

SAMPLES = [
    sample for sample in all_samples() if any(isinstance(x, np.ndarray) for x in sample.operands)
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{s.primitive}-{s.name}")
def test_a_weight_is_its_array(sample):
    places = [i for i, x in enumerate(sample.operands) if isinstance(x, np.ndarray)]
    weights = pg.params({f"x{i}": pg.frozen(sample.operands[i]) for i in places})
    given = [weights[f"x{i}"] if i in places else x for i, x in enumerate(sample.operands)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pg.tree_leaves(sample.f(*sample.operands))
        found = pg.tree_leaves(sample.f(*given))
    for x, y in zip(found, expected, strict=True):
        assert not type(x).__module__.startswith("pycograd"), type(x)
        assert np.shape(x) == np.shape(y) and np.asarray(x).dtype == np.asarray(y).dtype
        np.testing.assert_allclose(x, y, rtol=1e-14)


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if s.wrt], ids=lambda s: f"{s.primitive}-{s.name}"
)
def test_a_weight_is_differentiated(sample):
    p = Program(sample)
    if not all(isinstance(x, np.ndarray) for x in p.primals):
        pytest.skip("a number among the operands")
    weights = pg.params(list_=list(p.primals))
    _, grads = weights.grad(lambda: p.loss(*weights.list_))
    for x, y in zip(grads.list_, p.gradient(*p.primals), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)
