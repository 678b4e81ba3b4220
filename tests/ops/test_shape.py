"""Shapes, rearrangements, diagonals, dtypes: values are NumPy's, slopes those of differences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.device import on, trace_of
from pycograd.core.dims import Dim
from pycograd.core.errors import (
    AmbiguousAliasError,
    ControlFlowError,
    ShapeError,
    SymbolicSizeError,
    UnsupportedOperationError,
)
from pycograd.core.tape import Var
from pycograd.graph.jitted import jit
from pycograd.testing import check
from pycograd.testing.conformance.loopback import LoopbackBackend
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


X, Y, Z, V = normal(2, 3), normal(2, 3, 4), normal(3, 1, 2, 1), normal(5)
SQUARE = normal(3, 3)

FORMS = {
    # -- reshape
    "reshape int": (lambda x: np.reshape(x, 6), X),
    "reshape list": (lambda x: np.reshape(x, [3, 2]), X),
    "reshape numpy ints": (lambda x: np.reshape(x, (np.int64(3), np.int32(2))), X),
    "reshape F": (lambda x: np.reshape(x, (4, -1), order="F"), Y),
    "reshape F of transpose": (lambda x: np.reshape(x.T, (3, 8), order="F"), Y),
    "reshape to 0-d": (lambda x: np.reshape(x, ()), normal(1, 1)),
    "ravel": (np.ravel, Y),
    "ravel F": (lambda x: np.ravel(x, "F"), Y),
    # -- transpose
    "transpose": (np.transpose, Y),
    "transpose axes": (lambda x: np.transpose(x, [2, 0, 1]), Y),
    "permute_dims": (lambda x: np.permute_dims(x, (1, 0, 2)), Y),
    "matrix_transpose": (np.matrix_transpose, Y),
    "swapaxes": (lambda x: np.swapaxes(x, -1, 0), Y),
    "moveaxis": (lambda x: np.moveaxis(x, [0, 1], [-1, -2]), Y),
    "moveaxis one": (lambda x: np.moveaxis(x, 2, 0), Y),
    "rollaxis": (lambda x: np.rollaxis(x, 2), Y),
    "rollaxis start": (lambda x: np.rollaxis(x, 0, 3), Y),
    # -- axes of size 1
    "expand_dims": (lambda x: np.expand_dims(x, -1), X),
    "expand_dims two": (lambda x: np.expand_dims(x, (1, -1)), X),
    "squeeze": (np.squeeze, Z),
    "squeeze axis": (lambda x: np.squeeze(x, axis=-3), Z),
    "squeeze axes": (lambda x: np.squeeze(x, axis=(1, -1)), Z),
    "squeeze nothing": (np.squeeze, X),
    "atleast_1d": (np.atleast_1d, np.array(0.5)),
    "atleast_2d": (np.atleast_2d, V),
    "atleast_3d": (np.atleast_3d, V),
    "atleast_3d of a matrix": (np.atleast_3d, X),
    "atleast_2d of several": (lambda x: np.atleast_2d(x, [1.0, 2.0], x[0]), X),
    # -- broadcasting
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 2, 3)), X),
    "broadcast_to int": (lambda x: np.broadcast_to(x, 4), np.array(0.5)),
    "broadcast_arrays": (lambda x: np.broadcast_arrays(x, np.ones((4, 1, 3)), 2.0), X),
    "meshgrid": (lambda x: np.meshgrid(x, np.arange(3.0)), V),
    "meshgrid ij sparse": (
        lambda x: np.meshgrid(np.arange(2.0), x, x, indexing="ij", sparse=True),
        V,
    ),
    "meshgrid one": (lambda x: np.meshgrid(x), V),
    # -- reversed and turned
    "flip": (np.flip, Y),
    "flip axis": (lambda x: np.flip(x, -1), Y),
    "flip axes": (lambda x: np.flip(x, (0, 2)), Y),
    "flipud": (np.flipud, X),
    "fliplr": (np.fliplr, X),
    **{
        f"rot90 {k} {axes}": (lambda x, k=k, axes=axes: np.rot90(x, k, axes), Y)
        for k in (-1, 0, 1, 2, 3, 5)
        for axes in ((0, 1), (2, 0), (-1, 1))
    },
    "roll": (lambda x: np.roll(x, 2), Y),
    "roll far": (lambda x: np.roll(x, -25), Y),
    "roll axis": (lambda x: np.roll(x, 1, axis=-1), Y),
    "roll axes": (lambda x: np.roll(x, (1, -2), axis=(0, 2)), Y),
    "roll one shift on two axes": (lambda x: np.roll(x, 1, axis=(0, 1)), Y),
    "roll two shifts on one axis": (lambda x: np.roll(x, (1, 1), axis=2), Y),
    "roll nothing": (lambda x: np.roll(x, 3, axis=1), Y),
    # -- repeated
    "repeat": (lambda x: np.repeat(x, 2), X),
    "repeat axis": (lambda x: np.repeat(x, 3, axis=-1), X),
    "repeat 0-d": (lambda x: np.repeat(x, 3), np.array(0.5)),
    "repeat counts": (lambda x: np.repeat(x, [2, 0, 1], axis=1), X),
    "repeat counts flat": (lambda x: np.repeat(x, np.arange(6)), X),
    "repeat one count": (lambda x: np.repeat(x, [2], axis=0), X),
    "repeat zero times": (lambda x: np.repeat(x, 0, axis=0), X),
    "tile": (lambda x: np.tile(x, 3), X),
    "tile two": (lambda x: np.tile(x, (2, 2)), X),
    "tile more axes": (lambda x: np.tile(x, (2, 1, 2)), X),
    "tile zero": (lambda x: np.tile(x, (0, 2)), X),
    "tile once": (lambda x: np.tile(x, 1), X),
    "resize smaller": (lambda x: np.resize(x, (2, 2)), X),
    "resize larger": (lambda x: np.resize(x, (4, 5)), X),
    "resize int": (lambda x: np.resize(x, 7), X),
    "resize empty": (lambda x: np.resize(x, (0, 3)), X),
    # -- diagonals
    **{f"diagonal {k}": (lambda x, k=k: np.diagonal(x, k), X) for k in (-3, -1, 0, 1, 2, 4)},
    "diagonal axes": (lambda x: np.diagonal(x, 1, axis1=2, axis2=0), Y),
    "diag of a matrix": (lambda x: np.diag(x, -1), SQUARE),
    **{f"diag of a vector {k}": (lambda x, k=k: np.diag(x, k), V) for k in (-2, 0, 1)},
    "diagflat": (lambda x: np.diagflat(x, 1), X),
    "trace": (np.trace, SQUARE),
    "trace of many": (lambda x: np.trace(x, -1, 1, 2), Y),
    **{
        f"{name} {k}": (lambda x, f=f, k=k: f(x, k), x)
        for name, f in (("tril", np.tril), ("triu", np.triu))
        for k, x in ((-1, X), (0, Y), (1, SQUARE), (5, X), (-5, X), (0, V))
    },
    # -- dtypes and values
    "copy": (lambda x: np.copy(x, order="F"), X),
    "astype complex": (lambda x: x.astype(complex) * (1 + 2j), X),
    "astype the same": (lambda x: x.astype(float, copy=False), X),
    "nan_to_num": (np.nan_to_num, X),
    "nan_to_num of a complex product": (lambda x: np.nan_to_num(x * (1 + 2j)), X),
}


NEW = np.lib.NumpyVersion(np.__version__) >= "2.1.0"  # np.reshape has shape= and copy=
if NEW:
    FORMS["reshape shape="] = (lambda x: np.reshape(x, shape=(3, 2)), X)
    FORMS["reshape copy"] = (lambda x: np.reshape(x, (3, 2), copy=True), X)


@pytest.mark.parametrize("run", CHECKS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form(name, run):
    f, *operands = FORMS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
        run(Sample("", f, operands))


@pytest.mark.parametrize("name", FORMS)
def test_float32_is_kept(name):
    f, *operands = FORMS[name]
    operands = [x.astype(np.float32) for x in operands]
    kept = [np.asarray(y).dtype for y in _flat(f(*operands))]
    out, pullback = vjp(f, *operands)
    assert [y.dtype for y in _flat(out)] == kept
    cts = [np.ones_like(y) for y in _flat(out)]
    for ct in pullback(type(out)(cts) if isinstance(out, (tuple, list)) else cts[0]):
        assert ct.dtype == np.float32


def _flat(out):
    return list(out) if isinstance(out, (tuple, list)) else [out]


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 3), (1,)])
@pytest.mark.parametrize(
    "f",
    [
        np.ravel,
        np.transpose,
        np.squeeze,
        lambda x: np.expand_dims(x, 0),
        lambda x: np.broadcast_to(x, (2, *x.shape)),
        np.flip,
        lambda x: np.roll(x, 3),
        lambda x: np.tile(x, 2),
        lambda x: np.repeat(x, 2),
        np.copy,
        lambda x: x.reshape(x.shape),
    ],
)
def test_empty_and_0d(f, shape):
    for run in CHECKS:
        run(Sample("", f, [np.full(shape, 0.5)]))


# -- what is known without the data --------------------------------------------------------------
def test_shape_ndim_and_size():
    seen = []

    def f(x):
        seen.append((np.shape(x), np.ndim(x), np.size(x), np.size(x, 1), x.shape, x.ndim, x.size))
        return np.sum(x)

    grad(f)(Y)
    assert seen == [((2, 3, 4), 3, 24, 3, (2, 3, 4), 3, 24)]


def test_symbolic_sizes():
    x = ShapeDtypeStruct(("B", "N", 4), "float32")
    b, n = Dim.of("B"), Dim.of("N")
    for f, shape in (
        (lambda x: np.reshape(x, (x.shape[0], -1)), (b, 4 * n)),
        (lambda x: np.reshape(x, (-1, 2)), (2 * b * n, 2)),
        (lambda x: np.reshape(x, (x.shape[1], 2, x.shape[0], 2)), (n, 2, b, 2)),
        (np.ravel, (4 * b * n,)),
        (lambda x: x.T, (4, n, b)),
        (lambda x: np.moveaxis(x, 0, -1), (n, 4, b)),
        (lambda x: np.expand_dims(x, (0, 2)), (1, b, 1, n, 4)),
        (lambda x: np.squeeze(np.expand_dims(x, 1)), (b, n, 4)),
        (lambda x: np.broadcast_to(x, (7, *x.shape)), (7, b, n, 4)),
        (lambda x: np.broadcast_to(np.sum(x, 1, keepdims=True), x.shape), (b, n, 4)),
        (lambda x: np.tile(x, (2, 1, 3)), (2 * b, n, 12)),
        (lambda x: np.repeat(x, 3, axis=1), (b, 3 * n, 4)),
        (lambda x: np.flip(x, 0), (b, n, 4)),
        (lambda x: np.atleast_3d(x[0]), (n, 4, 1)),
        (lambda x: np.copy(x).flatten(), (4 * b * n,)),
    ):
        found = eval_shape(f, x)
        assert found.shape == shape and found.dtype == np.float32
        assert eval_shape(lambda x, f=f: vjp(f, x)[1](f(x)), x) == (x,)
    with pytest.raises(SymbolicSizeError, match="B"):
        eval_shape(lambda x: np.resize(x, (3, x.shape[0])), x)


def test_a_symbol_is_solved_by_reshape():
    assert eval_shape(lambda x: np.reshape(x, (2, 3)), ShapeDtypeStruct(("B", 3))).shape == (2, 3)
    with pytest.raises(ShapeError, match="reshape"):
        eval_shape(lambda x: np.reshape(x, (2, 4)), ShapeDtypeStruct((3, 3)))


# -- errors --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.reshape(x, (4, 2)), r"reshape: .*\(2, 3\)"),
        (lambda x: np.reshape(x, (4, -1)), r"reshape: \(2, 3\) has no shape \(4, -1\)"),
        (lambda x: np.reshape(x, (-1, -1)), "leaves the size of an axis open"),
        (lambda x: np.transpose(x, (0, 0)), "transpose: repeated axis"),
        (lambda x: np.transpose(x, (0,)), r"do not match a value of shape \(2, 3\)"),
        (lambda x: np.moveaxis(x, 0, 5), "moveaxis: axis 5 is out of bounds"),
        (lambda x: np.moveaxis(x, (0, 1), 0), "2 source axes but 1 destinations"),
        (lambda x: np.matrix_transpose(x[0]), "no matrix"),
        (lambda x: np.expand_dims(x, 4), "expand_dims: axis 4 is out of bounds"),
        (lambda x: np.squeeze(x, 0), "is not of size 1"),
        (lambda x: np.broadcast_to(x, (2, 4)), r"broadcast_to: .*\(2, 3\)"),
        (lambda x: np.flip(x, 2), "flip: axis 2 is out of bounds"),
        (lambda x: np.rot90(x, 1, (0, 0)), "rot90: repeated axis"),
        (lambda x: np.roll(x, 1, axis=2), "roll: axis 2 is out of bounds"),
        (lambda x: np.repeat(x, [1, 2], axis=1), "repeat: 2 counts do not fit axis 1"),
        (lambda x: np.diag(np.reshape(x, (1, 2, 3))), "neither a vector nor a matrix"),
        (lambda x: np.diagonal(x[0]), "fewer than two axes"),
        (lambda x: np.diagonal(x, 0, 1, 1), "cannot be the same"),
        (lambda x: np.resize(x, (-1, 2)), "must not be negative"),
        (lambda x: x.astype(object), "no object form"),
        (lambda x: np.reshape(x, (3, 2), order="Z"), "order must be one of"),
    ],
)
def test_errors_name_the_operation_and_this_file(f, message):
    for run in (lambda: grad(lambda x: np.sum(f(x)))(X), lambda: vmap(f)(X[None])):
        with pytest.raises((ValueError, UnsupportedOperationError), match=message) as caught:
            run()
        if not message.startswith("order"):
            assert "test_shape.py" in str(caught.value)
    assert not isinstance(caught.value, np.exceptions.AxisError)


# -- views ---------------------------------------------------------------------------------------
def through_views(program, *shape):
    """The program on plain arrays and on boxes, by values and by gradients (see `agree`)."""
    agree(program, normal(*shape, seed=3))


def agree(program, x):
    """`program(base, x)` writes functions of x into the base or views of it, then reads `base`."""

    def boxed(x):
        base = x * 1.0
        out = program(base, np.sin(x))
        return np.stack([np.sum(base**2), np.sum(out**3)])

    def plain(x):
        base = x * 1.0
        out = program(base, np.sin(x))
        return np.array([np.sum(base**2), np.sum(out**3)])

    np.testing.assert_allclose(vjp(boxed, x)[0], plain(x), rtol=1e-12)
    t = normal(*x.shape, seed=4)
    h = 1e-6
    slope = (plain(x + h * t) - plain(x - h * t)) / (2 * h)
    np.testing.assert_allclose(jvp(boxed, (x,), (t,))[1], slope, rtol=1e-6, atol=1e-7)
    pullback = vjp(boxed, x)[1]
    for i in range(2):
        np.testing.assert_allclose(
            np.sum(pullback(np.eye(2)[i])[0] * t), slope[i], rtol=1e-6, atol=1e-7
        )
    rows = np.stack([x, 2 * x, x - 1])
    np.testing.assert_allclose(vmap(boxed)(rows), [plain(row) for row in rows], rtol=1e-12)


VIEWS = {
    "reshape": lambda x: x.reshape(3, 4),
    "ravel": np.ravel,
    "transpose": lambda x: x.T,
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "matrix_transpose": lambda x: x.mT,
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 0), 0),
    "flip": np.flip,
    "rot90": np.rot90,
    "atleast_3d": np.atleast_3d,
    "split": lambda x: np.split(x, 2, axis=1)[1],
    "hsplit": lambda x: np.hsplit(x, [1, 4])[1],
    "real": lambda x: x.real,
    "reshape of a slice": lambda x: x[0].reshape(2, 3),
    "transpose of a reshape": lambda x: x.reshape(3, 2, 2).transpose(2, 0, 1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_writes_go_through_views(name):
    view = VIEWS[name]

    def program(base, v):
        part = view(base)
        part[0] = view(v)[-1]  # into the view
        base[1, 2:] = v[0, :4] * 2  # into the base, seen by the view
        part *= 3
        return part

    through_views(program, 2, 6)


@pytest.mark.parametrize("name", VIEWS)
def test_two_views_of_one_base(name):
    view = VIEWS[name]

    def program(base, v):
        one, two = view(base), base.T
        two[1] = v[:, 0]
        one[...] = one * 2
        return two + 0 * v.T

    through_views(program, 2, 6)


COPIES = {
    "tile": lambda x: np.tile(x, (1, 1)),
    "repeat": lambda x: np.repeat(x, 1, axis=0),
    "roll": lambda x: np.roll(x, 0, axis=0),
    "roll all": lambda x: np.roll(x, 12),
    "resize": lambda x: np.resize(x, (2, 6)),
    "flatten": lambda x: x.flatten().reshape(2, 6),
    "copy": np.copy,
    "astype": lambda x: x.astype(float),
    "reshape copy": lambda x: np.reshape(x, (2, 6), copy=True) if NEW else x.copy(),
    "concatenate of one": lambda x: np.concatenate([x]),
    "nan_to_num": np.nan_to_num,
    "meshgrid": lambda x: np.meshgrid(x[0], x[:, 0])[0],
    "pad by nothing": lambda x: np.pad(x, 0),
    "diagflat": lambda x: np.diagflat(x[0])[:2],
    "tril": lambda x: np.tril(x, 9),
}


@pytest.mark.parametrize("name", COPIES)
def test_writes_do_not_go_through_copies(name):
    def program(base, v):
        part = COPIES[name](base)
        part[0] = v[1]
        base[1] = v[0] * 2
        return part

    through_views(program, 2, 6)


@pytest.mark.parametrize("f", [lambda x: np.broadcast_to(x, (2, 2, 6)), np.diagonal, np.diag])
def test_read_only_views(f):
    def program(x):
        base = x * 1.0
        part = f(base)
        base[0, 0] = x[1, 1]  # is seen by the view
        seen = np.sum(part**2)
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 1.0
        return seen

    def plain(x):
        base = x * 1.0
        part = f(base)
        base[0, 0] = x[1, 1]
        return np.sum(part**2)

    x = normal(2, 6)
    value, pullback = vjp(program, x)
    assert value == pytest.approx(plain(x))
    t, h = normal(2, 6, seed=1), 1e-6
    assert np.sum(pullback(1.0)[0] * t) == pytest.approx(
        (plain(x + h * t) - plain(x - h * t)) / (2 * h)
    )


def test_a_view_of_unknown_layout_refuses_writes():
    def into_the_view(x):
        base = x * 1.0
        flat = base.T.reshape(-1)
        flat[0] = 2.0
        return np.sum(base)

    def into_the_base(x):
        base = x * 1.0
        flat = base.T.ravel()
        base[0, 0] = 2.0
        return np.sum(flat)

    def into_a_copy(x):
        base = x * 1.0
        flat = base.T.copy().reshape(-1)
        flat[0] = 2.0
        base[0] = 1.0
        return np.sum(base) + np.sum(flat)

    for f in (into_the_view, into_the_base):
        with pytest.raises(AmbiguousAliasError, match=r"copy.*test_shape\.py"):
            grad(f)(X)
    np.testing.assert_array_equal(grad(into_a_copy)(X)[0], [[0, 1, 1], [2, 2, 2]])
    if NEW:
        with pytest.raises(AmbiguousAliasError, match="copy="):
            grad(lambda x: np.sum(np.reshape(x.T, -1, copy=False)))(X)
        assert grad(lambda x: np.sum(np.reshape(x, -1, copy=False)))(X)[0].sum() == 6


def test_orders_that_depend_on_memory():
    def flat(order):
        return lambda x: np.ravel(x.T, order) * np.arange(6.0)

    for order in ("A", "K", "F", "C"):
        np.testing.assert_array_equal(vjp(flat(order), X)[0], flat(order)(X))
        rows = normal(5, 2, 3)
        np.testing.assert_array_equal(vmap(flat(order))(rows), [flat(order)(row) for row in rows])
        assert eval_shape(flat(order), X).shape == (6,)
    with pytest.raises(AmbiguousAliasError, match="'K'"):
        vjp(lambda x: np.ravel(np.moveaxis(x, 0, 1), "K"), Y)
    for order in ("A", "K"):  # a graph is for arrays of any layout
        with pytest.raises(AmbiguousAliasError, match=f"'{order}'.*use 'C' or 'F'"):
            jit(flat(order))(X)
        assert jit(lambda x, order=order: np.ravel(x[:1], order))(X).shape == (3,)


def on_a_device(f):
    def run(x):
        trace = trace_of(LOOPBACK)
        with on(trace):
            return np.asarray(f(trace.constant(x)))

    return run


LOOPBACK = LoopbackBackend()


@pytest.mark.parametrize(
    "view",
    [
        lambda y: y.T,
        lambda y: y.T[:1],
        lambda y: y[:, 1:],
        lambda y: y[:, ::2],
        lambda y: y[::-1],
        lambda y: y[1:],
        lambda y: y[:, 1],
        lambda y: y[None].swapaxes(0, 1),
        lambda y: np.moveaxis(y.reshape(2, 3, 1), 2, 0),
        lambda y: y.reshape(3, 2).T.reshape(-1)[2:],
    ],
)
@pytest.mark.parametrize("way", [jit, on_a_device], ids=["jit", "device"])
def test_what_a_reshape_of_a_view_copies_is_not_written_through(view, way):
    def f(x):
        y = x * 1.0
        line = view(y).reshape(-1)
        line[1:] = 50.0
        return np.sum(y * X) + 2.0 * np.sum(line)

    assert np.isclose(way(f)(X), f(X), rtol=1e-12)
    assert np.isclose(way(lambda x: vjp(f, x)[0])(X), f(X), rtol=1e-12)


# -- dtypes --------------------------------------------------------------------------------------
def test_astype_to_integers_is_constant():
    x = np.array([1.7, -2.2])
    assert grad(lambda x: np.sum(x * x.astype(int)))(x)[0].tolist() == [1, -2]
    seen = []
    grad(lambda x: seen.append(x.astype(np.int8)) or np.sum(x))(x)
    assert type(seen[0]) is np.ndarray and seen[0].dtype == np.int8


def test_astype_follows_numpys_casting():
    for f in (
        lambda x: x.astype(np.float32, casting="safe"),
        lambda x: x.astype(int, casting="same_kind"),
    ):
        with pytest.raises(TypeError, match=r"cast"):
            grad(lambda x, f=f: np.sum(f(x)))(X)
    assert vjp(lambda x: x.astype(np.float32, casting="same_kind"), X)[0].dtype == np.float32


def test_complex_to_real_takes_the_real_part_with_numpys_warning():
    z = normal(3) + 1j * normal(3, seed=1)
    with pytest.warns(np.exceptions.ComplexWarning):
        out, pullback = vjp(lambda z: z.astype(float), z)
    np.testing.assert_array_equal(out, z.real)
    (ct,) = pullback(np.array([1.0, 2.0, 3.0]))
    assert ct.dtype == z.dtype and ct.tolist() == [1, 2, 3]


def test_rounding_has_derivative_zero():
    x = np.array([1.26, -2.71])
    for f in (np.round, np.around, np.fix, lambda x: np.round(x, 1), lambda x: x.round(1)):
        out, pullback = vjp(lambda x, f=f: f(x) + 0 * x, x)
        np.testing.assert_array_equal(out, f(x))
        assert pullback(np.ones(2))[0].tolist() == [0, 0]


def test_nan_to_num():
    x = np.array([1.0, np.nan, np.inf, -np.inf, -2.0])
    for kwargs in ({}, {"nan": 5.0}, {"nan": 1.0, "posinf": 2.0, "neginf": -3.0}):
        for dtype in (np.float32, np.float64):
            y = x.astype(dtype)
            out, pullback = vjp(lambda x, kwargs=kwargs: np.nan_to_num(x, **kwargs), y)
            np.testing.assert_array_equal(out, np.nan_to_num(y, **kwargs))
            assert out.dtype == dtype
            assert pullback(np.full(5, 2, dtype))[0].tolist() == [2, 0, 0, 0, 2]
    z = np.stack([x, x[::-1]], -1).view(complex)[:, 0]
    np.testing.assert_array_equal(vjp(np.nan_to_num, z)[0], np.nan_to_num(z))

    def in_place(x):
        y = x * 1.0
        assert np.nan_to_num(y, copy=False) is y
        return np.sum(y * np.array([1.0, 1.0, 0.0, 0.0, 2.0]))

    assert grad(in_place)(x)[0].tolist() == [1, 0, 0, 0, 2]


def test_real_if_close():
    for f in (lambda x: np.real_if_close(x + 0j), lambda x: np.real_if_close(x * 1j)):
        out, pullback = vjp(f, X)
        assert out.dtype == f(X).dtype
        np.testing.assert_array_equal(out, f(X))
        np.testing.assert_array_equal(pullback(out)[0], X)
    with pytest.raises(ControlFlowError):
        vmap(lambda x: np.real_if_close(x + 0j))(X)


def test_questions_about_values():
    seen = []

    def f(x):
        y = x + 1e-9
        seen.append(
            [
                np.isclose(x, y),
                np.isclose(x, y, rtol=0, atol=0),
                np.isclose(x, np.nan, equal_nan=True),
                np.allclose(x, y),
                np.allclose(x, 2.0),
                np.array_equal(x, x),
                np.array_equal(x, y),
                np.array_equal(x, x[:1]),
                np.array_equal(x, x, equal_nan=True),
                np.array_equiv(x, np.stack([x, x])),
                np.array_equiv(x, [1.0, 2.0, 3.0]),
                np.isposinf(x),
                np.isneginf(x),
                np.isreal(x),
                np.iscomplex(x),
                np.iscomplexobj(x),
                np.isrealobj(x),
                np.result_type(x, np.float32),
                np.result_type(x, 1j),
                np.can_cast(x, np.float32),
                np.common_type(x, np.float32(1)[None]),
                np.min_scalar_type(x),
                np.shares_memory(x, x[:1]),
                np.may_share_memory(x, np.ones(2)),
            ]
        )
        return np.sum(x[:1])

    x = np.array([1.0, np.inf, np.nan, -np.inf])[[0, 1, 2, 3]]
    f(x)
    grad(f)(x)
    jvp(f, (x,), (x,))
    plain, *boxed = seen
    for answers in boxed:
        for mine, numpys in zip(answers, plain, strict=True):
            assert type(mine) is type(numpys)
            np.testing.assert_array_equal(mine, numpys)
    with pytest.raises(ControlFlowError, match="vmap"):
        vmap(lambda x: np.allclose(x, 1.0) * x)(X)


def test_questions_about_python_scalars_are_weak():
    seen = []
    grad(lambda x: seen.append(np.result_type(x, np.float32)) or x)(3.0)
    assert seen == [np.dtype(np.float32)]


def test_questions_with_out():
    def f(x):
        out = np.zeros(2, bool)
        assert np.isposinf(x, out=out) is out
        return np.sum(np.where(out, 0, x))

    assert grad(f)(np.array([np.inf, 1.0]))[0].tolist() == [0, 1]


def test_complex_parts():
    z = normal(2, 3) + 1j * normal(2, 3, seed=1)

    def program(z):
        y = z * 2
        y.real[0] = np.imag(z)[1]
        y.imag = np.real(z) ** 2
        y.real *= 3
        return y

    out, pullback = vjp(program, z)
    np.testing.assert_allclose(out, program(z))
    t, ct = (normal(2, 3, seed=s) + 1j * normal(2, 3, seed=s + 1) for s in (5, 7))
    h = 1e-6
    slope = (program(z + h * t) - program(z - h * t)) / (2 * h)
    np.testing.assert_allclose(jvp(program, (z,), (t,))[1], slope, rtol=1e-6)
    inner = np.sum((np.conj(pullback(ct)[0]) * t).real)
    assert inner == pytest.approx(np.sum((np.conj(ct) * slope).real), rel=1e-6)
    with pytest.raises(TypeError, match="no imaginary part"):
        grad(lambda x: setattr(x, "imag", 1.0))(X)


def test_by_hand():
    x = Var(X)
    np.sum(x.T.reshape(-1)[:2] ** 2).backward()
    np.testing.assert_array_equal(x.grad, np.where([[1, 0, 0], [1, 0, 0]], 2 * X, 0))
