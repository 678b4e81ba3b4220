"""Joining, taking apart and padding: NumPy is the oracle of values, differences of slopes."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.dims import Dim
from pycograd.core.errors import (
    ConversionError,
    PlainBufferError,
    ShapeError,
    UnsupportedOperationError,
)
from pycograd.core.tape import Tape
from pycograd.testing import check
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

CHECKS = [
    check.check_value,
    check.check_shape,
    check.check_jvp,
    check.check_adjoint,
    check.check_vmap,
]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


X, Y, ROW, Z = normal(2, 3), normal(2, 3, seed=1), normal(3), normal(4, 2, 6)
S = np.array(0.5)

FORMS = {
    # -- concatenate
    "concatenate": (lambda x, y: np.concatenate((x, y)), X, Y),
    "concatenate axis": (lambda x, y: np.concatenate([x, y, x], axis=-1), X, Y),
    "concatenate None": (lambda x, y: np.concatenate((x, y), axis=None), X, S),
    "concatenate plain": (lambda x: np.concatenate((Y, x, [[1, 2, 3]])), X),
    "concatenate dtype": (
        lambda x, y: np.concatenate((x, y), dtype=complex, casting="safe") * 1j,
        X,
        Y,
    ),
    "concatenate one value": (lambda x: np.concatenate(x), Z),
    "concatenate one value, axis": (lambda x: np.concatenate(x, axis=1), Z),
    "concat": (lambda x, y: np.concat((x, y)), X, Y),
    "concatenate empty": (lambda x: np.concatenate((np.zeros((0, 3)), x)), X),
    # -- stack
    "stack": (lambda x, y: np.stack((x, y)), X, Y),
    "stack axis": (lambda x, y: np.stack([x, y, x], axis=1), X, Y),
    "stack last": (lambda x, y: np.stack([x, y], -1), X, Y),
    "stack scalars": (lambda x: np.stack([x[0, 1], 2.0, x[1, 2], 3]), X),
    "stack dtype": (lambda x: np.stack([x, x], dtype=np.longdouble), X),
    "stack one value": (lambda x: np.stack(x, axis=1), Z),
    # -- over these
    "vstack": (lambda x, y: np.vstack((x, y, [1, 2, 3])), X, ROW),
    "vstack rows": (lambda x, y: np.vstack((x, y)), ROW, ROW),
    "hstack": (lambda x, y: np.hstack((x, y)), X, Y),
    "hstack rows": (lambda x, y: np.hstack((x, y, 1.0)), ROW, S),
    "dstack": (lambda x, y: np.dstack((x, y)), X, Y),
    "dstack rows": (lambda x, y: np.dstack((x, y)), ROW, ROW),
    "column_stack": (lambda x, y: np.column_stack((x, y, [1, 2])), X, Y[:, 0]),
    "append": (lambda x, y: np.append(x, y), X, S),
    "append axis": (lambda x, y: np.append(x, y[None], axis=0), X, ROW),
    "append list": (lambda x: np.append(x, [1.0, 2.0]), X),
    "block": (lambda x, y: np.block([[x, y], [y, np.ones((2, 3))]]), X, Y),
    "block of mixed ranks": (lambda x, y: np.block([[x], [y]]), X, ROW),
    "block of scalars": (lambda x: np.block([x, 1.0, [[2.0]] * 0 or x]), S),
    "block of one": (lambda x: np.block(x), X),
    "block deep": (lambda x, y: np.block([[[x, y]], [[y, x]]]), X, Y),
    # -- apart
    "split": (lambda x: np.split(x, 3, axis=-1), Z),
    "split at": (lambda x: np.split(x, [1, 1, 3, 9]), Z),
    "split at negative": (lambda x: np.split(x, [-2, 3], axis=0), Z),
    "array_split": (lambda x: np.array_split(x, 4, axis=2), Z),
    "array_split many": (lambda x: np.array_split(x, 6), Z),
    "vsplit": (lambda x: np.vsplit(x, 2), Z),
    "hsplit": (lambda x: np.hsplit(x, 2), Z),
    "hsplit of a row": (lambda x: np.hsplit(x, [1]), ROW),
    "dsplit": (lambda x: np.dsplit(x, (2, 4)), Z),
    "iteration": (lambda x: [row * 2 for row in x], X),
    # -- pad
    "pad": (lambda x: np.pad(x, 2), X),
    "pad pair": (lambda x: np.pad(x, (1, 2)), X),
    "pad column": (lambda x: np.pad(x, ((1,), (2,))), X),
    "pad table": (lambda x: np.pad(x, ((1, 0), (0, 2))), X),
    "pad value": (lambda x: np.pad(x, 1, constant_values=-1.5), X),
    "pad values": (lambda x: np.pad(x, 1, constant_values=(1.5, 2)), X),
    "pad table of values": (lambda x: np.pad(x, 2, constant_values=((1, 2), (3, 4.5))), X),
    "pad with a box": (lambda x: np.pad(x, 1, constant_values=x[0, 0]), X),
    "pad with boxes": (
        lambda x: np.pad(x, ((1, 0), (2, 1)), constant_values=((x[0, 0], 1), (x[1, 1], x[0, 2]))),
        X,
    ),
    "pad a scalar": (lambda x: np.pad(x, 3), S),
    "pad an empty value": (lambda x: np.pad(x, 1), np.zeros((0, 2))),
    **{
        f"pad {mode} {width}": (lambda x, w=width, m=mode: np.pad(x, w, m), X)
        for mode in ("edge", "reflect", "symmetric", "wrap", "linear_ramp")
        for width in (1, ((1, 0), (0, 2)), ((3, 4), (5, 9)))
    },
    **{
        f"pad {mode} {width} {length}": (
            lambda x, w=width, m=mode, k=length: np.pad(x, w, m, stat_length=k),
            X,
        )
        for mode in ("maximum", "minimum", "mean", "median")
        for width, length in ((1, None), (((1, 0), (2, 2)), ((1, 2), (2, 9))))
    },
    **{
        f"pad {mode} odd {width}": (
            lambda x, w=width, m=mode: np.pad(x, w, m, reflect_type="odd"),
            X,
        )
        for mode in ("reflect", "symmetric")
        for width in (1, ((0, 1), (2, 0)), ((3, 4), (5, 9)))
    },
    "pad ramp ends": (lambda x: np.pad(x, 2, "linear_ramp", end_values=((1, 2), (-3, 0))), X),
    "pad ramp to a box": (lambda x: np.pad(x, 2, "linear_ramp", end_values=x[0, 1]), X),
    "pad reflect one": (lambda x: np.pad(x, 2, "reflect", reflect_type="odd"), X[:, :1]),
}
if hasattr(np, "unstack"):
    FORMS["unstack"] = (lambda x: np.unstack(x, axis=1), Z)


@pytest.mark.parametrize("run", CHECKS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form(name, run):
    f, *operands = FORMS[name]
    run(Sample("", f, operands))


@pytest.mark.parametrize("name", FORMS)
def test_float32_is_kept(name):
    f, *operands = FORMS[name]
    operands = [x.astype(np.float32) for x in operands]
    plain = f(*operands)
    several = isinstance(plain, (list, tuple))
    out, pullback = vjp(f, *operands)
    for mine, numpys in zip(out if several else [out], plain if several else [plain], strict=True):
        assert mine.dtype == numpys.dtype
        np.testing.assert_allclose(mine, numpys, rtol=1e-6)
    ones = [np.ones_like(y) for y in out] if several else np.ones_like(out)
    assert all(ct.dtype == np.float32 for ct in pullback(type(plain)(ones) if several else ones))


def test_vstack_and_hstack_convert():
    for f in (np.vstack, np.hstack, np.concatenate, np.stack):
        out = vjp(lambda x, f=f: f((x, x), dtype=np.float32), X)[0]
        assert out.dtype == np.float32
        with pytest.raises(TypeError, match="cast"):
            grad(lambda x, f=f: np.sum(f((x, x), dtype=np.float32, casting="safe")))(X)


def test_out():
    def f(x):
        y = np.zeros((4, 3), like=x)
        assert np.concatenate((x, 2 * x), out=y) is y
        z = np.zeros((2, 2, 3), like=x)
        np.stack((x, y[2:]), out=z)
        return np.sum(y) + np.sum(z)

    np.testing.assert_array_equal(grad(f)(X)[0], np.full((2, 3), 6.0))
    plain = np.zeros((4, 3))
    with pytest.raises(PlainBufferError, match="like=x"):
        grad(lambda x: np.sum(np.concatenate((x, x), out=plain)))(X)


def test_large_operands_cost_no_python_per_entry():
    # What is recorded does not grow with the number of entries, so neither does the overhead.
    tape = Tape()
    x, y = tape.input(np.ones(200_000)), tape.input(np.zeros(200_000))
    before = len(tape.steps)
    joined = np.concatenate((x, y, np.ones(200_000)))
    assert joined.shape == (600_000,) and len(tape.steps) == before + 1


def test_many_operands_cost_one_step_each_way():
    def f(x):
        return np.sum(np.stack([x[i] for i in range(500)]) ** 2)

    x = normal(500)
    np.testing.assert_allclose(grad(f)(x)[0], 2 * x)
    parts = [normal(n % 3, 2, seed=n) for n in range(200)]
    cts = grad(lambda parts: np.sum(np.concatenate(parts) ** 3))(parts)[0]
    for part, ct in zip(parts, cts, strict=True):
        np.testing.assert_allclose(ct, 3 * part**2)


def test_an_operand_used_twice():
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(np.concatenate((x, x)) * np.arange(12.0).reshape(4, 3)))(X)[0],
        np.arange(6.0).reshape(2, 3) * 2 + 6,
    )


def test_rows_that_are_shared_and_rows_that_are_not():
    rows, shared = normal(5, 2, 3), normal(4, 3)
    for f in (
        lambda x, y: np.concatenate((y, x, y)),
        lambda x, y: np.stack((y[:2], x), axis=1),
        lambda x, y: np.block([[y], [x]]),
        lambda x, y: np.pad(x, 1, constant_values=y[0, 0]),
        lambda x, y: np.pad(y, 1, constant_values=x[0, 0]),
    ):
        found = vmap(f, (0, None))(rows, shared)
        np.testing.assert_allclose(found, [f(row, shared) for row in rows])


# -- symbols -------------------------------------------------------------------------------------
def test_symbolic_sizes():
    b, n = Dim.of("B"), Dim.of("N")
    x, y = ShapeDtypeStruct(("B", 3), "float32"), ShapeDtypeStruct(("N", 3))
    for f, shape in (
        (lambda x, y: np.concatenate((x, y)), (b + n, 3)),
        (lambda x, y: np.concatenate((x, x), axis=1), (b, 6)),
        (lambda x, y: np.stack((x, x), axis=1), (b, 2, 3)),
        (lambda x, y: np.vstack((x, y, x)), (2 * b + n, 3)),
        (lambda x, y: np.pad(x, 1), (b + 2, 5)),
        (lambda x, y: np.concatenate((x, y), axis=None), (3 * b + 3 * n,)),
    ):
        out = eval_shape(f, x, y)
        assert out.shape == shape
        assert eval_shape(lambda x, y, f=f: vjp(f, x, y)[1](f(x, y)), x, y) == (x, y)
    with pytest.raises(ShapeError, match="stack: incompatible sizes 3 and 4"):
        eval_shape(lambda x: np.stack((x, np.ones((2, 4)))), x)
    assert eval_shape(lambda x: np.stack((x, np.ones((2, 3)))), x).shape == (2, 2, 3)


def test_splits_of_symbolic_sizes():
    halves = eval_shape(lambda x: np.split(x, 2), ShapeDtypeStruct((2 * Dim.of("B"), 3)))
    assert [x.shape for x in halves] == [(Dim.of("B"), 3)] * 2
    ends = eval_shape(lambda x: np.split(x, [1]), ShapeDtypeStruct(("B", 3)))
    assert [x.shape for x in ends] == [(1, 3), (Dim.of("B") - 1, 3)]


# -- errors --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.concatenate((x, x[:, :2])), r"concatenate: .*\(2, 3\) and \(2, 2\)"),
        (lambda x: np.concatenate((x, x[0])), r"concatenate: .*\(2, 3\) and \(3,\)"),
        (lambda x: np.concatenate((x[0, 0], x[0, 1])), "use np.stack"),
        (lambda x: np.concatenate((x, x), axis=2), "concatenate: axis 2 is out of bounds"),
        (lambda x: np.stack((x, x[0])), r"stack: .*\(2, 3\) and \(3,\)"),
        (lambda x: np.stack((x, x), axis=3), "stack: axis 3 is out of bounds"),
        (lambda x: np.block([[x], x]), "block: the lists must be nested equally deep"),
        (lambda x: np.block([[x], []]), "block: the lists must be nested equally deep"),
        (lambda x: np.split(x, 2, axis=1), r"split: axis 1 of \(2, 3\) has no 2 equal parts"),
        (lambda x: np.array_split(x, 0), "must be positive"),
        (lambda x: np.vsplit(x[0], 1), r"vsplit: a value of shape \(3,\)"),
        (lambda x: np.dsplit(x, 1), r"dsplit: a value of shape \(2, 3\)"),
        (lambda x: np.pad(x, -1), "pad: a width cannot be negative"),
        (lambda x: np.pad(x, 1.5), "integer"),
        (lambda x: np.pad(x, 1, "sideways"), "'sideways' is not supported"),
        (lambda x: np.pad(x, 1, "edge", stat_length=1), "takes no stat_length"),
        (lambda x: np.pad(x[:0], 1, "edge"), "cannot extend the empty axis 0"),
        (lambda x: np.pad(x, 1, lambda *a: None), "a function as mode"),
        (lambda x: np.pad(X, 1, constant_values=x[0, 0]), "converted to a plain array"),
    ],
)
def test_errors_name_the_operation(f, message):
    for run in (lambda: grad(lambda x: np.sum(f(x)))(X), lambda: vmap(f)(X[None])):
        with pytest.raises(
            (ValueError, TypeError, UnsupportedOperationError, ConversionError), match=message
        ):
            run()


def test_a_join_of_nothing_and_of_an_inner_value():
    with pytest.raises(ValueError, match="at least one"):
        grad(lambda x: np.sum(np.concatenate((), dtype=x.dtype, out=x)))(X)
    nested = grad(lambda x: np.sum(jvp(lambda y: np.concatenate((x, y * y)), (x,), (x,))[1]))
    np.testing.assert_allclose(nested(X)[0], 4 * X)
