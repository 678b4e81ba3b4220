"""einops on boxes: every pattern in every mode, as the sample table does it for operations."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import pycograd as pg
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Draw, Sample
from pycograd.transforms.reverse import grad
from pycograd.transforms.shapes import eval_shape

einops = pytest.importorskip("einops")
from einops import einsum, pack, rearrange, reduce, repeat, unpack  # noqa: E402

draw = Draw("einops")
_X = draw.distinct(2, 4, 3)
SAMPLES = [
    Sample("transpose", lambda x: rearrange(x, "b (h w) c -> b c h w", h=2), [_X], name="apart"),
    Sample("stack", lambda x, y: rearrange([x, y], "k b h c -> (b k) h c"), [_X, _X], name="list"),
    Sample("transpose", lambda x: rearrange(x, "b ... -> ... b"), [_X], name="ellipsis"),
    Sample("mean", lambda x: reduce(x, "b (h k) c -> b h c", "mean", k=2), [_X], complex=False),
    Sample("max", lambda x: reduce(x, "b h c -> b c", "max"), [_X], complex=False),
    Sample("prod", lambda x: reduce(x, "b h c -> b h", "prod"), [_X], name="prod"),
    Sample("tile", lambda x: repeat(x, "b h c -> b (h k) c n", k=2, n=3), [_X], name="repeat"),
    Sample("einsum", lambda x, y: einsum(x, y, "b h c, c d -> b h d"), [_X, draw.normal(3, 5)]),
    Sample("concatenate", lambda x: pack([x, x[:, 0]], "b *")[0], [_X], name="pack"),
    Sample(
        "reshape",
        lambda x: tuple(unpack(x, [(4,), (2, 2)], "b *")),
        [draw.normal(3, 8)],
        name="unpack",
    ),
]


def cases():
    for sample in SAMPLES:
        for name, check in checks_of(sample):
            if name != "bound":  # which operations einops spells a pattern with is its own affair
                label = f"{sample.name or sample.primitive}-{name}"
                yield pytest.param(sample, check, id=label)


@pytest.mark.parametrize(("sample", "check"), list(cases()))
def test_pattern(sample, check):
    check(sample)


def test_sizes_may_be_symbols():
    x = ShapeDtypeStruct(("B", "H", 6))
    assert str(eval_shape(lambda x: rearrange(x, "b h (c k) -> (b h) c k", k=2), x)) == (
        "f64[B*H,3,2]"
    )
    assert str(eval_shape(lambda x: reduce(x, "b h c -> h", "sum"), x)) == "f64[H]"


def test_weights_and_variables():
    x = np.arange(6.0).reshape(2, 3)
    weights = pg.params(table=x)
    objective = lambda: np.sum(rearrange(table, "a b -> b a")[0] ** 2)  # noqa: F821
    for options in ({}, {"jit": True}):
        value, grads = weights.grad(objective, **options)
        assert value == 9.0
        np.testing.assert_array_equal(grads.table, [[0, 0, 0], [6, 0, 0]])
    v = pg.Var(x)
    np.sum(einsum(v, v, "a b, a b -> a")).backward()
    np.testing.assert_array_equal(v.grad, 2 * x)


def test_a_pattern_that_does_not_fit_is_named():
    with pytest.raises(einops.EinopsError, match="can't divide axis of length 4 in chunks of 3"):
        grad(lambda x: np.sum(rearrange(x, "a (b c) d -> a b c d", c=3)))(_X)


@pytest.mark.parametrize("first", ["pycograd", "einops"])
def test_registering(first):
    """In a process of its own, whatever was imported or used first."""
    program = (
        f"import {first}, sys, json, numpy as np\n"
        "said = ['einops' in sys.modules]\n"
        "import pycograd as pg\n"
        "from einops import reduce\n"
        "x = np.array([[3 + 4j, 0.0], [0.0, 3 + 4j]])\n"
        "f = lambda x: np.abs(np.sum(reduce(x, 'a b -> a', 'mean')))\n"
        "real = lambda x: np.sum(reduce(x, 'a b -> a', 'mean') ** 2)\n"
        "before = pg.grad(real)(x.imag)[0]\n"
        "try:\n"
        "    pg.grad(f)(x)\n"
        "except NotImplementedError:\n"
        "    said.append('refused')\n"
        "pg.register_einops_backend(); pg.register_einops_backend()\n"
        "said.append(float(np.abs(pg.grad(f)(x)[0]).sum()))\n"
        "said.append(bool(np.all(pg.grad(real)(x.imag)[0] == before)))\n"
        "said.append(type(reduce(x.imag, 'a b -> a', 'mean')).__name__)\n"
        "print(json.dumps(said))\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout) == [first == "einops", "refused", 2.0, True, "ndarray"]


def test_without_einops(monkeypatch):
    monkeypatch.setitem(sys.modules, "einops._backends", None)
    with pytest.raises(ImportError, match="einops is not installed: pip install einops"):
        pg.register_einops_backend()
