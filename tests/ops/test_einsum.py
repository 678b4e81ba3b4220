"""`einsum` against NumPy in every form of its subscripts, against PyTorch, and against loops."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.testing.check import primitives_bound
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

PROGRAMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba", (2, 3)),
    ("Ab,bC", (2, 3), (3, 2)),
    (" i j , j -> i ", (2, 3), (3,)),
    ("ij->", (2, 3)),
    ("ij->ji", (2, 3)),
    ("i,i", (3,), (3,)),
    ("i,i->i", (3,), (1,)),
    ("i,i->", (1,), (3,)),
    (",->", (), ()),
    (",i->i", (), (3,)),
    ("ij,kl->", (2, 3), (4, 5)),
    ("ij,j->", (2, 3), (3,)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bi,bj->bij", (2, 3), (2, 4)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("ij,ij,jk->ik", (2, 3), (2, 3), (3, 2)),
    ("a,ab,b,c->", (2,), (2, 3), (3,), (4,)),
    # diagonals and traces
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iii->i", (3, 3, 3)),
    ("iij,j->i", (2, 2, 3), (3,)),
    ("iji,jk", (2, 3, 2), (3, 4)),
    ("ijij->", (2, 3, 2, 3)),
    ("ii,ii->", (3, 3), (3, 3)),
    ("i...i->...", (3, 2, 3)),
    # ellipses
    ("...->...", (2, 3)),
    ("...,...", (2, 1), (3,)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...j", (4, 2, 3), (1, 3)),
    ("i...,i...", (2, 3, 4), (2, 4)),
    ("i...,j...", (2, 3), (4, 1, 3)),
    ("...i->i...", (2, 3, 4)),
    ("i...->i", (3,)),
    # empty
    ("ij,jk->ik", (2, 0), (0, 4)),
    ("ij,jk->ik", (0, 2), (2, 4)),
]
CASES = [(spec, shapes) for spec, *shapes in PROGRAMS]
OPTIMIZE = [False, True, "greedy", "optimal"]


def normal(*shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape)
    x = (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)
    return np.asarray(x)


def operands_of(shapes, dtype=np.float64, salt=0):
    return tuple(normal(*s, dtype=dtype, seed=10 * salt + i) for i, s in enumerate(shapes))


def inner(a, b):
    return sum(np.sum(np.real(np.conj(x) * y)) for x, y in zip(a, b))


def check_adjoint(f, *xs):
    expected = f(*xs)
    out, pullback = vjp(f, *xs)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    assert np.shape(out) == np.shape(expected) and out.dtype == expected.dtype
    tangents = operands_of([x.shape for x in xs], xs[0].dtype, salt=1)
    ct = normal(*np.shape(expected), dtype=expected.dtype, seed=9)
    moved = jvp(f, xs, tangents)[1]
    pulled = pullback(ct)
    assert all(g.shape == x.shape and g.dtype == x.dtype for g, x in zip(pulled, xs))
    assert inner([ct], [moved]) == pytest.approx(inner(pulled, tangents))
    h = 1e-5
    ahead, behind = (f(*[x + s * t for x, t in zip(xs, tangents)]) for s in (h, -h))
    np.testing.assert_allclose(moved, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimize", OPTIMIZE)
@pytest.mark.parametrize("spec, shapes", CASES)
def test_einsum(spec, shapes, optimize):
    check_adjoint(lambda *xs: np.einsum(spec, *xs, optimize=optimize), *operands_of(shapes))


@pytest.mark.parametrize("spec, shapes", CASES)
def test_complex_operands(spec, shapes):
    check_adjoint(lambda *xs: np.einsum(spec, *xs), *operands_of(shapes, np.complex128))


@pytest.mark.parametrize("spec, shapes", CASES)
def test_gradients_are_torchs(spec, shapes):
    torch = pytest.importorskip("torch")
    if any(set(s) & {0, 1} for s in shapes) and "i,i" in spec:
        pytest.skip("torch does not broadcast labelled axes")
    xs = operands_of(shapes)
    found = grad(lambda *xs: np.sum(np.sin(np.einsum(spec, *xs))))(*xs)
    tensors = [torch.tensor(x, requires_grad=True) for x in xs]
    torch.sin(torch.einsum(spec, *tensors)).sum().backward()
    for g, t in zip(found, tensors):
        np.testing.assert_allclose(g, t.grad.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("spec, shapes", CASES)
def test_hessian_products_agree_in_every_nesting(spec, shapes):
    xs = operands_of(shapes)
    vs = operands_of(shapes, salt=1)
    loss = lambda *xs: np.sum(np.sin(np.einsum(spec, *xs)))
    forward = jvp(grad(loss), xs, vs)[1]
    slope = lambda *xs: sum(np.sum(g * v) for g, v in zip(grad(loss)(*xs), vs))
    outer = lambda *xs: jvp(loss, xs, vs)[1]
    for a, b, c in zip(forward, grad(slope)(*xs), grad(outer)(*xs)):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(a, c, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("spec, shapes", CASES)
def test_vmap_is_a_loop(spec, shapes, axis):
    f = lambda *xs: np.einsum(spec, *xs)
    for mapped in {0, len(shapes) - 1, len(shapes)}:  # one operand, another, all
        axes = [axis if i == mapped or mapped == len(shapes) else None for i in range(len(shapes))]
        members = [operands_of(shapes, salt=k) for k in range(2)]
        stacked = [
            members[0][i] if a is None else np.stack([m[i] for m in members], a)
            for i, a in enumerate(axes)
        ]
        rows = [[members[0][i] if a is None else m[i] for i, a in enumerate(axes)] for m in members]
        expected = np.stack([f(*row) for row in rows])
        np.testing.assert_allclose(vmap(f, tuple(axes))(*stacked), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec, shapes", CASES)
def test_shape_rule(spec, shapes):
    f = lambda *xs: np.einsum(spec, *xs)
    expected = f(*operands_of(shapes, np.float32))
    aval = eval_shape(f, *[ShapeDtypeStruct(s, "f32") for s in shapes])
    assert aval.shape == np.shape(expected) and aval.dtype == expected.dtype == np.float32


def test_symbolic_sizes():
    f = lambda *xs: np.einsum("...ij,...jk->...ik", *xs)
    aval = eval_shape(f, ShapeDtypeStruct(("B", "T", 3)), ShapeDtypeStruct(("B", 3, "N")))
    assert str(aval) == "f64[B,T,N]"
    aval = eval_shape(f, ShapeDtypeStruct(("B", 1, "K")), ShapeDtypeStruct(("B", 3, 2)))
    assert str(aval) == "f64[B,1,2]"


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]),
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2]),
        lambda x, y: np.einsum(x, [7, 1], y, [1, 2]),
        lambda x, y: np.einsum(x, [0, 1], y, [1, 2], []),
        lambda x, y: np.einsum(x, [..., 1], y, [1, 2], [..., 2]),
        lambda x, y: np.einsum(x, [..., 1], y, [1, ...]),
        lambda x, y: np.einsum(x, [0, ...], y, [1, 2]),
    ],
)
def test_lists_of_labels(f):
    check_adjoint(f, normal(3, 3), normal(3, 3, seed=1))


def test_a_path_chosen_beforehand():
    xs = operands_of([(2, 3), (3, 4), (4, 5)])
    path, _ = np.einsum_path("ij,jk,kl->il", *xs, optimize="optimal")
    check_adjoint(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=path), *xs)
    inside = []

    def f(*xs):
        inside.append(np.einsum_path("ij,jk,kl->il", *xs, optimize="optimal")[0])
        return np.sum(np.einsum("ij,jk,kl->il", *xs, optimize=inside[-1]))

    grad(f)(*xs)
    assert inside == [path]


def test_dtypes():
    x, y = normal(2, 3, dtype=np.float32), normal(3, 2, dtype=np.float32)
    for dtype in (None, np.float32, np.float64):
        f = lambda x, y, dtype=dtype: np.einsum("ij,jk", x, y, dtype=dtype)
        out, pullback = vjp(f, x, y)
        assert out.dtype == f(x, y).dtype
        assert all(g.dtype == np.float32 for g in pullback(np.ones((2, 2), out.dtype)))
    with pytest.raises(TypeError, match="cannot cast float64 to float32"):
        vjp(lambda x: np.einsum("ij->i", x, dtype=np.float32), normal(2, 3))
    narrow = lambda x: np.einsum("ij->i", x, dtype=np.float32, casting="same_kind")
    assert vjp(narrow, normal(2, 3))[0].dtype == np.float32
    counts = np.ones((2, 3), np.int8)
    rows = vmap(lambda x: np.einsum("i->", x))(counts)
    assert rows.dtype == np.einsum("ij->i", counts).dtype == np.int8


@pytest.mark.parametrize("spec", ["ae,ab->", "ae,ab->b", "ae,ab->a", "ae,cb->b", "ee,ab->b"])
@pytest.mark.parametrize("dtype", ["?", "i1", "f2", "f4"])
def test_what_one_operand_alone_has_is_summed_in_the_dtype_of_the_product(spec, dtype, rng):
    x = (100 * np.abs(rng.standard_normal((3, 3))) * (rng.random((3, 3)) < 0.8)).astype(dtype)
    y = rng.standard_normal((3, 2))
    labels, out = spec.split("->")
    swapped = f"{','.join(labels.split(',')[::-1])}->{out}"
    expected = np.einsum(spec, x.astype(float), y)
    for f in (lambda y: np.einsum(spec, x, y), lambda y: np.einsum(swapped, y, x)):
        for found in (vjp(f, y)[0], *jvp(f, (y,), (y,))):
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_an_operand_that_is_a_list_or_constant():
    x = normal(2, 3)
    (g,) = grad(lambda x: np.sum(np.einsum("ij,j->i", x, [1.0, 2.0, 3.0])))(x)
    np.testing.assert_allclose(g, [[1, 2, 3]] * 2)


def test_one_operand_is_no_product():
    x = normal(3, 3)
    for spec in ("ij->ji", "ij->i", "ii->i", "ii"):
        assert "einsum" not in primitives_bound(lambda x, s=spec: np.einsum(s, x), x)[1]


@pytest.mark.parametrize(
    "spec, shapes, message",
    [
        ("ij,jk->ik", [(2, 3), (4, 5)], r"incompatible shapes \(2, 3\) and \(4, 5\)"),
        ("ii->i", [(2, 3)], r"'ii->i': incompatible shapes \(2, 3\)"),
        ("ijk,jk->i", [(2, 3), (3, 4)], "operand 0 has 2 axes, its subscripts 3"),
        ("i,jk->i", [(2, 3), (3, 4)], "operand 0 has 2 axes, its subscripts 1"),
        ("ij,jk->ik", [(2, 3)], "subscripts for 2 operands, not 1"),
        ("ij->ik", [(2, 3)], "output subscript 'k' is in no operand"),
        ("ij->ii", [(2, 3)], "output subscript 'i' occurs twice"),
        ("i..j->ij", [(2, 3)], "'.' is not a letter"),
        ("i1->i", [(2, 3)], "'1' is not a letter"),
        ("...i->i", [(2, 3)], "the output has no '...'"),
    ],
)
def test_errors(spec, shapes, message):
    xs = operands_of(shapes)
    with pytest.raises(ShapeError, match=message):
        grad(lambda *xs: np.sum(np.einsum(spec, *xs)))(*xs)
    with pytest.raises(ShapeError):
        eval_shape(lambda *xs: np.einsum(spec, *xs), *[ShapeDtypeStruct(s) for s in shapes])
