"""The checks that every sample of the table goes through, each a function of one sample.

A check compares a transform with something that does not use it: NumPy on plain arrays, differences
of it, a loop in place of `vmap`, the inner product identity in place of a transpose. `checks_of`
lists those that apply to a sample by name, `run_check` runs one; both serve the suite, backends and
whoever defines an operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, dtype_of, is_inexact, shape_of
from pycograd.core.tree import tree_leaves, tree_map
from pycograd.testing.graphs import check_capture, check_jit
from pycograd.testing.program import (
    Program,
    close,
    differences,
    differentiable,
    double,
    equal,
    filled,
    inner,
    like,
    numbers_for,
)
from pycograd.testing.recording import primitives_bound
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.capture import capture
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape, substitute

_DTYPES = ("float32", "float16", "bfloat16", "longdouble", "complex64", "complex128")
# How far a gradient in a dtype may be from the one in float64, relative to its largest entry.
_PRECISION = {
    "float32": 1e-4,
    "float16": 5e-2,
    "bfloat16": 3e-1,
    "float64": 1e-10,
    "longdouble": 1e-10,
    "complex64": 1e-4,
    "complex128": 1e-10,
}
_NESTINGS = ("rr", "fr", "rf", "ff")  # outer transform first: f forward, r reverse


# -- the checks ---------------------------------------------------------------------------------
def check_bound(sample: Sample) -> None:
    """Running the sample binds the primitive it is filed under."""
    values = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in sample.operands]
    out, seen = primitives_bound(sample.f, *values)
    if sample.primitive not in seen and sample.symbolic:  # it may stand for a size that is a number
        graph = capture(sample.f, *_symbolic_specs(sample))
        seen |= {equation.primitive.name for equation in graph.equations}
    assert sample.primitive in seen, f"{sample!r} binds {sorted(seen)}, not {sample.primitive}"
    equal(out, sample.f(*sample.operands), "a recorded run")


def check_value(sample: Sample) -> None:
    """Under reverse, forward and nested transforms every output is NumPy's, integers too."""
    p = Program(sample)

    def f(*xs: Any) -> Any:
        return sample.f(*filled(p.operands, dict(zip(p.wrt, xs))))

    equal(vjp(f, *p.primals)[0], p.plain, "vjp")
    equal(jvp(f, p.primals, p.directions)[0], p.plain, "jvp")
    nested = jvp(lambda *xs: vjp(f, *xs)[0], p.primals, p.directions)[0]
    equal(nested, p.plain, "vjp inside jvp")


def check_shape(sample: Sample) -> None:
    """`eval_shape` says what NumPy returns, and of the gradient what the operands are."""
    p = Program(sample)
    _same_avals(eval_shape(sample.f, *p.operands), p.plain, "eval_shape")
    if p.wrt and p.weights:
        _same_avals(eval_shape(p.gradient, *p.primals), p.primals, "eval_shape(grad)")
        moved = eval_shape(lambda *xs: jvp(p, xs, p.directions), *p.primals)
        _same_avals(moved, [p(*p.primals)] * 2, "eval_shape(jvp)")


def _same_avals(avals: Any, arrays: Any, what: str) -> None:
    got, want = tree_leaves(avals), tree_leaves(arrays)
    assert len(got) == len(want), f"{what}: {len(got)} results, not {len(want)}"
    for aval, array in zip(got, want):
        assert isinstance(aval, ShapeDtypeStruct), f"{what}: {aval!r} is no aval"
        assert aval == aval_of(array), f"{what}: {aval!r}, NumPy has {aval_of(array)!r}"


def check_symbolic(sample: Sample) -> None:
    """The shape with a symbol is right for two of its values."""
    shapes = _symbolic_shapes(sample)
    out = eval_shape(sample.f, *_symbolic_specs(sample))
    size = next(
        n for s, x in zip(shapes, sample.operands) for a, n in zip(s, shape_of(x)) if a == "B"
    )
    _same_avals(substitute(out, {"B": size}), sample.f(*sample.operands), f"B = {size}")
    longer = [_longer(x, shape) for x, shape in zip(sample.operands, shapes)]
    try:
        real = sample.f(*longer)
    except ValueError:  # B can have one value only, which the result must say
        names = {str(n) for aval in tree_leaves(out) for n in aval.shape}
        assert "B" not in names, f"NumPy refuses B = {size + 1}, eval_shape gives {out!r}"
        return
    _same_avals(substitute(out, {"B": size + 1}), real, f"B = {size + 1}")


def _symbolic_shapes(sample: Sample) -> list[Any]:
    if not isinstance(sample.symbolic, bool):
        return list(sample.symbolic)
    shapes = [shape_of(x) for x in sample.operands]
    size = next((shape[0] for shape in shapes if shape and shape[0] > 1), None)
    return [("B", *shape[1:]) if shape and shape[0] == size else shape for shape in shapes]


def _symbolic_specs(sample: Sample) -> list[Any]:
    return [
        ShapeDtypeStruct(shape, dtype_of(x)) if isinstance(x, np.ndarray) else x
        for shape, x in zip(_symbolic_shapes(sample), sample.operands)
    ]


def _longer(x: Any, shape: Sequence[Any]) -> Any:
    for axis, size in enumerate(shape):
        if size == "B":
            x = np.concatenate([x, np.take(x, [0], axis)], axis)
    return x


def check_jvp(sample: Sample, operands: Sequence[Any] | None = None) -> None:
    """The tangent is the difference quotient, for all operands together and for each alone."""
    p = Program(sample, operands)
    for moving in _selections(len(p.primals)):
        v = tuple([d if i in moving else np.zeros_like(d) for i, d in enumerate(p.directions)])
        expected = differences(p, p.primals, v)
        tangents = tuple([d if i in moving else None for i, d in enumerate(v)])
        for t in (v, tangents):
            actual = jvp(p, p.primals, t)[1]
            for a, e in zip(actual, expected, strict=True):
                close(a, e, f"jvp along operands {moving}", sample.rtol)


def _selections(n: int) -> list[tuple[int, ...]]:
    every = tuple(range(n))
    return [every] if n == 1 else [every, *[(i,) for i in every]]


def check_adjoint(sample: Sample, operands: Sequence[Any] | None = None) -> None:
    """Re<ct, J t> = Re<J* ct, t>, and cotangents have the shape and dtype of their primals."""
    _adjoint(Program(sample, operands))


def _adjoint(p: Program) -> None:
    rtol = max(10 * float(np.finfo(dtype_of(x)).eps) for x in (*p.primals, *p.weights)) ** 0.6
    cts = tuple([like(y, 3) for y in p.weights])
    for moving in _selections(len(p.primals)):

        def part(*xs: Any, moving: tuple[int, ...] = moving) -> Any:
            whole = list(p.primals)
            for i, x in zip(moving, xs):
                whole[i] = x
            return p(*whole)

        primals = [p.primals[i] for i in moving]
        directions = [p.directions[i] for i in moving]
        tangents = jvp(part, primals, directions)[1]
        pulled = vjp(part, *primals)[1](cts)
        for ct, x in zip(pulled, primals):
            assert shape_of(ct) == shape_of(x), f"cotangent {shape_of(ct)} of {shape_of(x)}"
            assert dtype_of(ct) == dtype_of(x), f"cotangent {dtype_of(ct)} of {dtype_of(x)}"
        forward, reverse = inner(cts, tangents), inner(pulled, directions)
        scale = sum(float(np.sum(np.abs(double(t)))) for t in tangents)
        assert abs(float(forward) - float(reverse)) <= rtol * max(1.0, scale), (
            f"<ct, J t> = {forward}, <J* ct, t> = {reverse} for operands {moving}"
        )


def check_second(sample: Sample, nesting: str, operands: Sequence[Any] | None = None) -> None:
    """The Hessian times a direction, by two nested transforms, is the difference of gradients."""
    p = Program(sample, operands)
    expected = differences(p.gradient, p.primals, p.directions)
    other = tuple([like(x, 4) for x in p.primals])
    if nesting == "ff":  # <other, H v>, one number

        def along(*xs: Any) -> Any:
            return jvp(p.loss, xs, other)[1]

        actual: Any = [jvp(along, p.primals, p.directions)[1]]
        expected = [inner(other, expected)]
    elif nesting == "fr":
        actual = jvp(p.gradient, p.primals, p.directions)[1]
    elif nesting == "rf":
        actual = grad(p.slope)(*p.primals)
    else:
        actual = grad(lambda *xs: inner(p.directions, p.gradient(*xs)))(*p.primals)
    for a, e in zip(actual, expected, strict=True):
        close(a, e, f"second order, {nesting}", 10 * sample.rtol)


# -- batches ------------------------------------------------------------------------------------
def members(sample: Sample, operands: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Three operand tuples for the rows of a batch."""
    if sample.others is not None:
        return [tuple(operands), *[tuple(o) for o in sample.others]]
    return [
        tuple([_rotated(x, j) if isinstance(x, np.ndarray) else x for x in operands])
        for j in range(3)
    ]


def _rotated(x: Any, by: int) -> Any:
    return np.roll(x.ravel(), by).reshape(x.shape)


def axes_of(sample: Sample) -> list[tuple[Any, ...]]:
    """Combinations of in_axes: all in front, all behind, alternating, and each operand alone."""
    n, mapped = len(sample.operands), sample.mapped

    def only(axes: dict[int, int]) -> tuple[Any, ...]:
        return tuple([axes.get(i) for i in range(n)])

    found = [
        only({i: 0 for i in mapped}),
        only({i: -1 for i in mapped}),
        only({i: -(k % 2) for k, i in enumerate(mapped)}),
        *[only({i: 0}) for i in mapped],
    ]
    return list(dict.fromkeys(found))


def batch_of(members: list[tuple[Any, ...]], axes: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """The operands stacked along `axes`, and the operands of each row for the loop."""
    stacked = [
        members[0][i] if axis is None else np.stack([m[i] for m in members], axis)
        for i, axis in enumerate(axes)
    ]
    rows = [
        [members[0][i] if axis is None else m[i] for i, axis in enumerate(axes)] for m in members
    ]
    return stacked, rows


def _stack(results: Sequence[Any], axis: int = 0) -> Any:
    return tree_map(lambda *xs: np.stack(xs, axis), *results)


def check_vmap(sample: Sample) -> None:
    """vmap is a loop, for mapped axes in front and behind, mixed, and operands that are shared."""
    rows_in = members(sample, sample.operands)
    for axes in axes_of(sample):
        stacked, rows = batch_of(rows_in, axes)
        expected = [sample.f(*row) for row in rows]
        _rows_equal(vmap(sample.f, axes)(*stacked), _stack(expected), f"in_axes {axes}")
        behind = vmap(sample.f, axes, -1)(*stacked)
        _rows_equal(behind, _stack(expected, -1), f"in_axes {axes}, out_axes -1")
        avals = eval_shape(vmap(sample.f, axes), *stacked)
        _same_avals(avals, _stack(expected), f"eval_shape(vmap), in_axes {axes}")
    every = axes_of(sample)[0]
    stacked, rows = batch_of(rows_in, every)
    twice = [np.stack([x, x[::-1]]) if a == 0 else x for x, a in zip(stacked, every)]
    expected = _stack([sample.f(*row) for row in rows])
    both = tree_map(lambda y: np.stack([y, y[::-1]]), expected)
    _rows_equal(vmap(vmap(sample.f, every), every)(*twice), both, "of vmap")


def _rows_equal(actual: Any, expected: Any, what: str) -> None:
    for x, y in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        assert shape_of(x) == shape_of(y), f"vmap {what}: shape {shape_of(x)}, not {shape_of(y)}"
        assert dtype_of(x) == dtype_of(y), f"vmap {what}: dtype {dtype_of(x)}, not {dtype_of(y)}"
        close(x, y, f"vmap, {what}", 1e-12)


def check_vmap_grad(sample: Sample) -> None:
    """vmap of a gradient is a loop of gradients; so is the gradient of a vmap, summed."""
    p = Program(sample)
    rows_in = members(sample, sample.operands)
    gradient = grad(p.loss_of_all, argnums=p.wrt)
    for axes in axes_of(sample):
        stacked, rows = batch_of(rows_in, axes)
        expected = _stack([gradient(*row) for row in rows])
        _rows_equal(vmap(gradient, axes)(*stacked), expected, f"of grad, in_axes {axes}")

        def total(*operands: Any, axes: tuple[Any, ...] = axes) -> Any:
            return np.sum(vmap(p.loss_of_all, axes)(*operands))

        found = grad(total, argnums=p.wrt)(*stacked)
        for i, got, want in zip(p.wrt, found, expected):
            want = np.sum(want, 0) if axes[i] is None else np.moveaxis(want, 0, axes[i])
            close(got, want, f"grad of vmap, in_axes {axes}, operand {i}", 1e-12)


def check_vmap_jvp(sample: Sample) -> None:
    """vmap of a jvp is a loop of jvps, and so is the jvp of a vmap."""
    p = Program(sample)

    still = [None] * len(p.operands)
    along = filled(still, dict(zip(p.wrt, p.directions)))
    axes = axes_of(sample)[0]
    stacked, rows = batch_of(members(sample, sample.operands), axes)
    expected = _stack([jvp(p.outputs, row, along)[1] for row in rows])
    _rows_equal(
        vmap(lambda *row: jvp(p.outputs, row, along)[1], axes)(*stacked), expected, "of jvp"
    )
    repeated = [
        v if v is None or a is None else np.stack([v] * len(rows)) for v, a in zip(along, axes)
    ]
    _rows_equal(jvp(vmap(p.outputs, axes), stacked, repeated)[1], expected, "inside jvp")


def check_vmap_second(sample: Sample) -> None:
    """vmap of a Hessian product, reverse over reverse, is a loop of them."""
    p = Program(sample)
    rows_in = members(sample, sample.operands)
    axes = axes_of(sample)[0]

    def product(*operands: Any) -> Any:
        def slope(*operands: Any) -> Any:
            return inner(p.directions, grad(p.loss_of_all, argnums=p.wrt)(*operands))

        return grad(slope, argnums=p.wrt)(*operands)

    stacked, rows = batch_of(rows_in, axes)
    expected = _stack([product(*row) for row in rows])
    _rows_equal(vmap(product, axes)(*stacked), expected, f"of a Hessian product, in_axes {axes}")


# -- dtypes -------------------------------------------------------------------------------------
def _dtype(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def recast(sample: Sample, name: str) -> tuple[Any, ...] | None:
    """The operands in a dtype; None if NumPy itself does not run the sample with it."""
    try:
        dtype = _dtype(name)
    except ImportError:
        return None
    own_complex = any(dtype_of(x).kind == "c" for x in sample.operands)
    if dtype.kind == "c" and not (own_complex or sample.complex):
        return None
    operands: list[Any] = list(sample.operands)
    for i in sample.wrt:
        x = operands[i]
        if not hasattr(x, "dtype"):
            continue
        if dtype.kind != "c" and x.dtype.kind == "c":
            return None
        if dtype.kind == "c" and not own_complex:
            x = x + 0.3j * numbers_for(x.shape).uniform(0.2, 1.0, x.shape)
        # A real operand beside complex ones stays real, with their precision.
        operands[i] = x.astype(dtype if x.dtype.kind == "c" else np.zeros((), dtype).real.dtype)
    try:
        with np.errstate(all="ignore"):
            out = sample.f(*operands)
    except (TypeError, ValueError, np.linalg.LinAlgError):
        return None
    found = [dtype_of(y) for y in tree_leaves(out)]
    if any(d.kind == "O" for d in found):
        return None
    if name == "bfloat16" and any(d != dtype for d in found if is_inexact(d)):
        return None  # a dtype from outside NumPy, which it does not keep beside Python scalars
    return tuple(operands)


def check_dtype(sample: Sample, name: str) -> None:
    """Values, shapes, tangents and cotangents have NumPy's dtype, and the float64 answer nearly."""
    operands = recast(sample, name)
    assert operands is not None, f"NumPy does not run {sample!r} in {name}"
    p = Program(sample, operands)
    expected = p(*p.primals)
    value, pullback = vjp(p, *p.primals)
    moved, tangents = jvp(p, p.primals, p.directions)
    for what, got in (("vjp", value), ("jvp", moved), ("the tangent", tangents)):
        for x, y in zip(got, expected, strict=True):
            assert dtype_of(x) == dtype_of(y), f"{what}: dtype {dtype_of(x)}, not {dtype_of(y)}"
            assert shape_of(x) == shape_of(y), f"{what}: shape {shape_of(x)}, not {shape_of(y)}"
    for ct, x in zip(pullback(tuple(p.weights)), p.primals, strict=True):
        assert dtype_of(ct) == dtype_of(x), f"cotangent: dtype {dtype_of(ct)}, not {dtype_of(x)}"
    if not sample.data_dependent_shape:
        _same_avals(eval_shape(sample.f, *p.operands), p.plain, "eval_shape")
        if sample.mapped and "vmap" not in sample.skip:
            stacked = [
                np.stack([x, x]) if i in sample.mapped else x for i, x in enumerate(p.operands)
            ]
            axes = tuple([0 if i in sample.mapped else None for i in range(len(stacked))])
            rows = tree_leaves(vmap(sample.f, axes)(*stacked))
            for x, y in zip(rows, tree_leaves(p.plain), strict=True):
                assert dtype_of(x) == dtype_of(y), f"vmap: dtype {dtype_of(x)}, not {dtype_of(y)}"
    wide = [
        x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
        if i in p.wrt and hasattr(x, "astype")
        else x
        for i, x in enumerate(operands)
    ]
    q = Program(sample, wide)
    for a, e in zip(p.gradient(*p.primals), q.gradient(*q.primals)):
        close(a, e, f"the gradient in {name}", _PRECISION[name])


def _complex_operands(sample: Sample) -> tuple[Any, ...] | None:
    """Complex operands for a real sample, if NumPy takes them."""
    if any(dtype_of(x).kind == "c" for x in sample.operands):
        return None
    return recast(sample, "complex128")


def _in_complex(check: Callable[..., None], *args: Any) -> Callable[[Sample], None]:
    return lambda sample: check(sample, *args, _complex_operands(sample))


# -- kinks --------------------------------------------------------------------------------------
def check_kink(sample: Sample, number: int) -> None:
    """At a kink: the value is NumPy's, gradients are the convention, both modes agree on it."""
    kink = sample.kinks[number]
    with np.errstate(all="ignore"):
        p = Program(sample, kink.operands)
        value, pullback = vjp(p, *p.primals)
        equal(value, p(*p.primals), "vjp")
        ones = tuple([np.ones(shape_of(y), dtype_of(y)) for y in p.weights])
        found = pullback(ones)
        _adjoint(p)
    for i, g in enumerate(found):
        assert np.all(np.isfinite(double(g))), f"the gradient of operand {p.wrt[i]} is {g}"
        if kink.gradients is not None:
            want = np.asarray(kink.gradients[i])
            assert shape_of(g) == want.shape, f"gradient of shape {shape_of(g)}, not {want.shape}"
            close(g, want, f"the gradient of operand {p.wrt[i]}", 1e-12)


# -- the list -----------------------------------------------------------------------------------
def checks_of(sample: Sample) -> Iterator[tuple[str, Callable[[Sample], None]]]:
    """The names and functions of the checks that apply to a sample.

    >>> sample = Sample("sin", np.sin, [np.ones(2)])
    >>> [name for name, check in checks_of(sample)][:4]
    ['bound', 'value', 'shape', 'symbolic']
    """
    yield "bound", check_bound
    for group, name, check in _candidates(sample):
        if group not in sample.skip:
            yield name, check


def _candidates(sample: Sample) -> Iterator[tuple[str, str, Callable[[Sample], None]]]:
    smooth = bool(sample.wrt) and bool(differentiable(Program(sample).plain))
    fixed = not sample.data_dependent_shape
    if sample.wrt:
        yield "value", "value", check_value
    if fixed:
        yield "shape", "shape", check_shape
        if sample.symbolic and any("B" in shape for shape in _symbolic_shapes(sample)):
            yield "symbolic", "symbolic", check_symbolic
        if sample.mapped:
            yield "vmap", "vmap", check_vmap
        yield "capture", "capture", check_capture
        yield "jit", "jit", check_jit
    if smooth:
        yield "jvp", "jvp", check_jvp
        yield "adjoint", "adjoint", check_adjoint
        for nesting in _NESTINGS:
            yield "second", f"second-{nesting}", _second(nesting)
        if fixed and sample.mapped and "vmap" not in sample.skip:
            yield "vmap_grad", "vmap-jvp", check_vmap_jvp
            yield "vmap_grad", "vmap-grad", check_vmap_grad
            if "second" not in sample.skip:
                yield "vmap_grad", "vmap-second", check_vmap_second
        if "complex" not in sample.skip and _complex_operands(sample) is not None:
            yield "complex", "complex-jvp", _in_complex(check_jvp)
            yield "complex", "complex-adjoint", _in_complex(check_adjoint)
            if "second" not in sample.skip:
                for nesting in _NESTINGS:
                    yield "complex", f"complex-{nesting}", _in_complex(check_second, nesting)
        names = _DTYPES if sample.dtypes is None else sample.dtypes
        for name in names:
            if sample.dtypes is not None or recast(sample, name) is not None:
                yield "dtype", f"dtype-{name}", _keeps(name)
    for i in range(len(sample.kinks)):
        yield "kink", f"kink-{i}", _kink(i)


def _second(nesting: str) -> Callable[[Sample], None]:
    return lambda sample: check_second(sample, nesting)


def _keeps(name: str) -> Callable[[Sample], None]:
    return lambda sample: check_dtype(sample, name)


def _kink(number: int) -> Callable[[Sample], None]:
    return lambda sample: check_kink(sample, number)


def run_check(sample: Sample, name: str) -> None:
    """Runs one check of a sample by name.

    Raises:
        AssertionError: the check failed; the message has the numbers.
        KeyError: the check does not apply to this sample.

    >>> run_check(Sample("sin", np.sin, [np.ones(2)]), "jvp")
    """
    with np.errstate(all="ignore"):
        dict(checks_of(sample))[name](sample)
