"""`scipy.signal` on differentiated values: scipy's numbers, and derivatives by differences."""

import itertools

import numpy as np
import pytest

import pycograd
from pycograd import check_grads, grad, jacobian, vjp, vmap

ss = pytest.importorskip("scipy.signal")
from pycograd.scipy import signal  # noqa: E402

rng = np.random.default_rng(0)
SHAPES = [((6,), (3,)), ((4,), (5,)), ((3, 4), (2, 3)), ((4, 3, 2), (2, 3, 1))]


def same(f, g, *args):
    """`f` on differentiated values gives what `g` gives on arrays."""
    out = vjp(lambda *xs: f(*xs), *args)[0]
    for a, b in zip(pycograd.tree_leaves(out), pycograd.tree_leaves(g(*args)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
        assert a.dtype == b.dtype


@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve", "oaconvolve"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_every_mode_is_scipys(name, mode):
    for shape, other in SHAPES:
        x, y = rng.standard_normal(shape), rng.standard_normal(other)
        pairs = [(x, y), (y, x)]
        if mode == "valid":
            larger = [
                all(a >= b for a, b in zip(shape, other)),
                all(a <= b for a, b in zip(shape, other)),
            ]
            pairs = pairs if any(larger) else []
        for a, b in pairs:
            same(
                lambda a, b: getattr(signal, name)(a, b, mode),
                lambda a, b: getattr(ss, name)(a, b, mode),
                a,
                b,
            )
            if name in ("convolve", "correlate"):
                for method in ("direct", "fft"):
                    same(
                        lambda a, b: getattr(signal, name)(a, b, mode, method),
                        lambda a, b: getattr(ss, name)(a, b, mode, method),
                        a,
                        b + 1j * b[::-1],
                    )


@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize(
    ("mode", "boundary"),
    list(itertools.product(["full", "same", "valid"], ["fill", "wrap", "symm"])),
)
def test_boundaries_are_scipys(name, mode, boundary):
    for shape, other in [((4, 5), (3, 2)), ((5, 4), (2, 4)), ((3, 3), (5, 4))]:
        if mode == "valid" and boundary != "fill" and other > shape:
            continue
        x, y = rng.standard_normal(shape), rng.standard_normal(other)
        for fill in (0, 1.5) if boundary == "fill" else (0,):
            same(
                lambda x, y: getattr(signal, name)(x, y, mode, boundary, fill),
                lambda x, y: getattr(ss, name)(x, y, mode, boundary, fill),
                x,
                y,
            )


def test_derivatives_of_convolutions():
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((2, 2))
    for mode in ("full", "same", "valid"):
        check_grads(lambda x, y: signal.convolve(x, y, mode, "direct"), (x, y))
        check_grads(lambda x, y: signal.fftconvolve(x, y, mode), (x, y))
    check_grads(lambda x, y: signal.correlate2d(x, y, "same", "wrap", 0), (x, y))
    check_grads(lambda x, f: signal.convolve2d(x, y, "same", "fill", f), (x, 0.5))
    z = x + 1j * x[::-1]
    check_grads(lambda z, y: np.abs(signal.correlate(y, z)) ** 2, (z, y))


def test_rows_of_either_operand():
    xs, ys = rng.standard_normal((5, 6)), rng.standard_normal((5, 3))
    for mode, method in itertools.product(["full", "same", "valid"], ["direct", "fft", "auto"]):
        f = lambda x, y: signal.convolve(x, y, mode, method)
        for axes in [(0, 0), (0, None), (None, 0)]:
            a = xs if axes[0] == 0 else xs[0]
            b = ys if axes[1] == 0 else ys[0]
            looped = [f(a[i] if axes[0] == 0 else a, b[i] if axes[1] == 0 else b) for i in range(5)]
            np.testing.assert_allclose(vmap(f, axes)(a, b), looped, atol=1e-12)
            back = vmap(grad(lambda x, y: np.sum(f(x, y) ** 2)), axes)(a, b)
            one = grad(lambda x, y: np.sum(f(x, y) ** 2))(
                a[2] if axes[0] == 0 else a, b[2] if axes[1] == 0 else b
            )
            for g, h in zip(back, one):
                np.testing.assert_allclose(g[2], h, atol=1e-10)


def test_operands_that_do_not_fit():
    with pytest.raises(pycograd.ShapeError, match=r"correlate.*\(3,\) and \(2, 2\)"):
        grad(lambda x: np.sum(signal.correlate(x, np.ones((2, 2)))))(np.ones(3))
    with pytest.raises(pycograd.ShapeError, match="valid"):
        grad(lambda x: np.sum(signal.convolve(x, np.ones((2, 5)), "valid")))(np.ones((3, 3)))
    with pytest.raises(ValueError, match="mode"):
        grad(lambda x: np.sum(signal.convolve(x, x, "most")))(np.ones(3))


FILTERS = [
    ([1.0, 0.5], [2.0]),
    ([0.7], [1.0, -0.4, 0.2]),
    ([0.7, 0.2, -0.3], [1.5, -0.4]),
    ([0.7, 0.2], [1.5, -0.4, 0.1, 0.05]),
]


@pytest.mark.parametrize(("b", "a"), FILTERS)
def test_filters(b, a):
    b, a, x = np.array(b), np.array(a), rng.standard_normal((2, 7))
    states = max(len(a), len(b)) - 1
    same(signal.lfilter, ss.lfilter, b, a, x)
    check_grads(signal.lfilter, (b, a, x[:, :4]))
    for length in (1, 2, 7):
        part, zi = x[:, :length], rng.standard_normal((2, states))
        same(
            lambda b, a, x, zi: signal.lfilter(b, a, x, zi=zi),
            lambda b, a, x, zi: ss.lfilter(b, a, x, zi=zi),
            b, a, part, zi,
        )  # fmt: skip
    check_grads(lambda b, a, zi: signal.lfilter(b, a, x[:, :3], zi=zi), (b, a, zi))
    same(lambda x: signal.lfilter(b, a, x, 0), lambda x: ss.lfilter(b, a, x, 0), x)
    rows = vmap(lambda a: signal.lfilter(b, a, x))(np.stack([a, a * 1.1]))
    np.testing.assert_allclose(rows[1], ss.lfilter(b, a * 1.1, x))


def test_complex_filter():
    a, x = np.array([1.0, 0.3 + 0.2j]), rng.standard_normal(4) * (1 + 1j)
    check_grads(lambda a, x: signal.lfilter([1.0], a, x), (a, x))


@pytest.mark.parametrize("type", ["linear", "constant"])
@pytest.mark.parametrize("bp", [0, [3], [2, 5]])
def test_detrend(type, bp):
    x = rng.standard_normal((8, 2))
    same(lambda x: signal.detrend(x, 0, type, bp), lambda x: ss.detrend(x, 0, type, bp), x)
    check_grads(lambda x: signal.detrend(x, 0, type, bp) ** 2, (x,))


@pytest.mark.parametrize("N", [None, 4, 5, 8])
def test_hilbert(N):
    x = rng.standard_normal((2, 6))
    same(lambda x: signal.hilbert(x, N), lambda x: ss.hilbert(x, N), x)
    check_grads(lambda x: np.abs(signal.hilbert(x, N)) ** 2, (x,))


def test_jacobian_of_a_convolution_is_a_toeplitz_matrix():
    x = np.arange(1.0, 4.0)
    found = jacobian(lambda y: signal.convolve(x, y))(np.ones(2))
    np.testing.assert_allclose(found, [[1, 0], [2, 1], [3, 2], [0, 3]])
