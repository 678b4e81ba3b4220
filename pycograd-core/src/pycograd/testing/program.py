"""A sample as a function to differentiate, and how results are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.tree import tree_leaves
from pycograd.testing.samples import Sample
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad

_STEP = 1e-4  # of the five-point differences: truncation and rounding both near 1e-12


def numbers_for(*shapes: Any) -> np.random.Generator:
    """Random numbers that depend on the shapes alone."""
    return np.random.default_rng([7, *[n for shape in shapes for n in shape]])


def like(x: Any, salt: int = 0) -> Any:
    """A direction or weight for `x`: normal entries, complex ones for complex x; of its dtype."""
    dtype, rng = dtype_of(x), numbers_for(shape_of(x), (salt,))
    entries = rng.standard_normal(shape_of(x))
    if dtype.kind == "c":
        entries = entries + 1j * rng.standard_normal(shape_of(x))
    return np.asarray(entries).astype(dtype)


def differentiable(out: Any) -> list[Any]:
    """The float and complex leaves of a result."""
    return [y for y in tree_leaves(out) if is_inexact(dtype_of(y))]


def inner(a: Any, b: Any) -> Any:
    """Re<a, b> of two lists of arrays: the inner product of vectors of real and imaginary parts."""
    total: Any = 0.0
    for x, y in zip(a, b):
        product = np.conj(x) * y if dtype_of(x).kind == "c" else x * y
        total = total + np.sum(np.real(product) if dtype_of(product).kind == "c" else product)
    return total


def filled(operands: Sequence[Any], new: dict[int, Any]) -> list[Any]:
    """`operands` with those at some positions replaced."""
    return [new.get(i, x) for i, x in enumerate(operands)]


class Program:
    """A sample's function over the operands it is differentiated in, the others fixed.

    Arguments:
        sample: the sample.
        operands: in the place of the sample's own.
    """

    def __init__(self, sample: Sample, operands: Sequence[Any] | None = None) -> None:
        self.sample, self.wrt = sample, sample.wrt
        self.operands = tuple(sample.operands if operands is None else operands)
        self.primals = tuple([self.operands[i] for i in self.wrt])
        with np.errstate(all="ignore"):
            self.plain = sample.f(*self.operands)
        self.weights = [like(y, 1) for y in differentiable(self.plain)]
        self.directions = tuple([like(x, 2) for x in self.primals])

    def __call__(self, *xs: Any) -> Any:
        """The differentiable outputs, as a tuple."""
        return self.outputs(*filled(self.operands, dict(zip(self.wrt, xs))))

    def loss(self, *xs: Any) -> Any:
        """A real scalar of the outputs, curved so that linear operations have Hessians too."""
        return self.loss_of_all(*filled(self.operands, dict(zip(self.wrt, xs))))

    def outputs(self, *operands: Any) -> Any:
        """As a call, as a function of all operands."""
        return tuple(differentiable(self.sample.f(*operands)))

    def loss_of_all(self, *operands: Any) -> Any:
        """As `loss`, as a function of all operands."""
        outs = self.outputs(*operands)
        return inner(self.weights, outs) + inner(outs, outs) * 0.5

    def gradient(self, *xs: Any) -> Any:
        """The gradients of the loss, in every operand of `wrt`."""
        return grad(self.loss)(*xs)

    def slope(self, *xs: Any) -> Any:
        """The derivative of the loss along `directions`, in forward mode."""
        return jvp(self.loss, xs, self.directions)[1]


def differences(f: Callable[..., Any], primals: Sequence[Any], directions: Sequence[Any]) -> Any:
    """The derivative of a tuple of outputs along `directions` by five-point differences."""

    def at(step: float) -> list[Any]:
        moved = [x + step * v for x, v in zip(primals, directions)]
        return [np.asarray(y) for y in f(*moved)]

    h = _STEP
    return [
        (8 * (b - a) - (bb - aa)) / (12 * h)
        for a, b, aa, bb in zip(at(-h), at(h), at(-2 * h), at(2 * h))
    ]


def equal(actual: Any, expected: Any, what: str) -> None:
    """Same tree, shapes, dtypes and values (to the last bits, which a fused path may turn)."""
    got, want = tree_leaves(actual), tree_leaves(expected)
    assert len(got) == len(want), f"{what}: {len(got)} results, not {len(want)}"
    for x, y in zip(got, want):
        assert not isinstance(x, Box), f"{what}: a box leaked, {x!r}"
        assert shape_of(x) == shape_of(y), f"{what}: shape {shape_of(x)}, not {shape_of(y)}"
        assert dtype_of(x) == dtype_of(y), f"{what}: dtype {dtype_of(x)}, not {dtype_of(y)}"
        close(x, y, what, 4e-15 if dtype_of(x) == np.float64 else 1e-6)


def close(actual: Any, expected: Any, what: str, rtol: float) -> None:
    """Equal up to `rtol` of the largest finite entry."""
    x, y = double(actual), double(expected)
    finite = np.abs(y[np.isfinite(y)])
    atol = rtol * max(1.0, float(finite.max())) if finite.size else rtol
    np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=what)


def double(x: Any) -> Any:
    """`x` in double precision at least, so that every dtype can be compared."""
    x = np.asarray(x)
    return x if x.dtype.kind == "c" or x.dtype.char == "g" else x.astype(np.float64)
