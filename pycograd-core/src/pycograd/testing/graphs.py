"""The checks of a sample as a graph: captured, optimised and compiled it is what it was."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of
from pycograd.core.tree import tree_leaves
from pycograd.graph.jitted import jit
from pycograd.graph.passes import optimize
from pycograd.graph.validity import check
from pycograd.testing.program import Program, close, equal, filled
from pycograd.testing.samples import Sample
from pycograd.transforms.capture import capture
from pycograd.transforms.reverse import grad


def check_capture(sample: Sample) -> None:
    """The graph is well formed and gives what NumPy does; passes that are exact keep every bit."""
    f, inputs = _of_inputs(sample)
    graph = check(capture(f, *inputs))
    found = graph(*inputs)
    equal(found, sample.f(*sample.operands), "the graph")
    exact = check(optimize(graph, licence="exact"))
    for x, y in zip(tree_leaves(exact(*inputs)), tree_leaves(found), strict=True):
        assert _bits(x) == _bits(y), f"exact passes made {x!r} of {y!r}"


def _of_inputs(sample: Sample) -> tuple[Any, list[Any]]:
    """The sample as a function of the operands on whose values no shape depends."""
    places = [i for i in range(len(sample.operands)) if i in sample.wrt or i in sample.mapped]

    def f(*xs: Any) -> Any:
        return sample.f(*filled(sample.operands, dict(zip(places, xs))))

    return f, [sample.operands[i] for i in places]


def _bits(x: Any) -> Any:
    """The value to the last bit; one nan is like another."""
    x = np.asarray(x)
    if x.dtype.kind not in "fc":
        return x.shape, x.dtype, x.tolist()
    parts = (x,) if x.dtype.kind == "f" else (x.real, x.imag)
    text = [np.where(np.isnan(y), np.nan, y).ravel().tolist() for y in parts]
    return x.shape, x.dtype, repr(text)


def check_jit(sample: Sample) -> None:
    """Compiled, the value and the gradient are what they are step by step; a second time too."""
    f, inputs = _of_inputs(sample)
    compiled = jit(f)
    p = Program(sample)
    for _ in range(2):
        equal_nearly(compiled(*inputs), p.plain, "compiled")
    if p.weights:
        for x, y in zip(jit(grad(p.loss))(*p.primals), p.gradient(*p.primals), strict=True):
            assert dtype_of(x) == dtype_of(y), (
                f"compiled gradient: {dtype_of(x)}, not {dtype_of(y)}"
            )
            close(x, y, "the compiled gradient", 1e-10)


def equal_nearly(actual: Any, expected: Any, what: str) -> None:
    """As `equal`, for sums that may have been added up in another order."""
    for x, y in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        assert np.shape(x) == np.shape(y), f"{what}: shape {np.shape(x)}, not {np.shape(y)}"
        assert dtype_of(x) == dtype_of(y), f"{what}: dtype {dtype_of(x)}, not {dtype_of(y)}"
        close(x, y, what, 1e-12 if dtype_of(y).itemsize >= 8 else 1e-5)
