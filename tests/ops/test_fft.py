"""`numpy.fft`: adjoints by the matrix of the transform, keywords, symbolic sizes, errors."""

import itertools

import numpy as np
import pytest

from pycograd import (
    ShapeDtypeStruct,
    ShapeError,
    SymbolicSizeError,
    UnsupportedOperationError,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jvp,
    vjp,
    vmap,
)

NORMS = ("backward", "ortho", "forward", None)


def matrix_of(f, n, real):
    """The real matrix of a real-linear function of `n` numbers, column by column by NumPy."""
    units = np.eye(n) if real else np.concatenate([np.eye(n), 1j * np.eye(n)])
    return np.array([parts(f(unit)) for unit in units]).T


def parts(x):
    return np.concatenate([x.real, x.imag]) if np.iscomplexobj(x) else x


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("norm", NORMS)
def test_the_adjoint_is_the_transposed_matrix(name, norm, rng):
    function = getattr(np.fft, name)
    real = name in ("rfft", "ihfft")
    for size, n in itertools.product((2, 3, 4, 5), (None, 1, 2, 3, 4, 5, 8)):
        f = lambda x, n=n: function(x, n, norm=norm)
        x = rng.normal(size=size) if real else rng.normal(size=size) + 1j * rng.normal(size=size)
        out, pullback = vjp(f, x)
        matrix = matrix_of(f, size, real)
        np.testing.assert_allclose(parts(out), matrix @ parts(x), atol=1e-12)
        ct = rng.normal(size=out.shape)
        ct = ct + 1j * rng.normal(size=out.shape) if np.iscomplexobj(out) else ct
        (back,) = pullback(ct)
        np.testing.assert_allclose(parts(back), matrix.T @ parts(ct), atol=1e-12)
        t = rng.normal(size=size).astype(x.dtype)
        np.testing.assert_allclose(jvp(f, (x,), (t,))[1], f(t), atol=1e-12)


def test_the_gradient_of_the_energy_follows_parseval(rng):
    x = rng.normal(size=7)
    energy = lambda x: np.sum(np.abs(np.fft.fft(x, norm="ortho")) ** 2)
    np.testing.assert_allclose(grad(energy)(x)[0], 2 * x)
    np.testing.assert_allclose(hessian(energy, argnums=0)(x), 2 * np.eye(7), atol=1e-12)


def test_filtering_a_signal_has_the_gradient_of_a_circular_convolution(rng):
    x, w = rng.normal(size=6), rng.normal(size=6)
    filtered = lambda w: np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(w), 6)
    expected = np.array([np.roll(x, k) for k in range(6)]).T  # the circulant matrix of x
    np.testing.assert_allclose(jacfwd(filtered, argnums=0)(w), expected, atol=1e-12)
    ct = rng.normal(size=6)
    np.testing.assert_allclose(vjp(filtered, w)[1](ct)[0], expected.T @ ct, atol=1e-12)


def test_one_transform_for_all_rows(rng):
    x = rng.normal(size=(3, 4, 5))
    np.testing.assert_allclose(vmap(np.fft.fft2)(x), np.fft.fft2(x))
    np.testing.assert_allclose(vmap(np.fft.rfft, 1, 1)(x), np.fft.rfft(x))
    np.testing.assert_allclose(vmap(vmap(np.fft.ihfft))(x), np.fft.ihfft(x))
    integers = rng.integers(0, 9, (3, 4))
    np.testing.assert_allclose(vmap(np.fft.fft)(integers), np.fft.fft(integers))


def test_a_list_beside_out(rng):
    x = rng.normal(size=4)

    def f(x):
        out = np.zeros(4, complex, like=x)
        np.fft.fft([1.0, 2.0, 3.0, 4.0], out=out)
        return np.sum(np.abs(out * x))

    np.testing.assert_allclose(grad(f)(x)[0], np.sign(x) * np.abs(np.fft.fft([1.0, 2, 3, 4])))


# -- symbolic sizes ----------------------------------------------------------------------------
B = ShapeDtypeStruct(("B", 4))


@pytest.mark.parametrize(
    "f, shape, dtype",
    [
        (np.fft.fft, "(B, 4)", "complex128"),
        (lambda x: np.fft.fft(x, axis=0), "(B, 4)", "complex128"),
        (lambda x: np.fft.rfft(x, axis=0), "((B)//2 + 1, 4)", "complex128"),
        (lambda x: np.fft.irfft(x, axis=0), "(2*B + -2, 4)", "float64"),
        (lambda x: np.fft.irfft(np.fft.rfft(x, axis=0), x.shape[0], 0), "(B, 4)", "float64"),
        (lambda x: np.fft.irfft(x, 9), "(B, 9)", "float64"),
        (np.fft.fftn, "(B, 4)", "complex128"),
        (np.fft.rfftn, "(B, 3)", "complex128"),
        (np.fft.fftshift, "(B, 4)", "float64"),
        (np.fft.ifftshift, "(B, 4)", "float64"),
    ],
)
def test_symbolic_sizes(f, shape, dtype):
    out = eval_shape(f, B)
    assert str(out.shape) == shape
    assert out.dtype == dtype
    back = eval_shape(lambda x: grad(lambda x: np.sum(np.abs(f(x))))(x)[0], B)
    assert back == B


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft"])
def test_cropping_a_symbolic_axis_is_refused(name):
    with pytest.raises(SymbolicSizeError, match=rf"{name}: whether \d points crop or pad axis 0"):
        eval_shape(lambda x: getattr(np.fft, name)(x, 3, axis=0), B)


# -- dtypes ------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "complex64"])
def test_dtypes_are_those_of_numpy(dtype):
    x = np.ones((3, 4), dtype)
    for name in ("fft", "ifft", "fft2", "ifftn", "irfft", "hfft", "irfft2"):
        function = getattr(np.fft, name)
        out, pullback = vjp(function, x)
        assert out.dtype == function(x).dtype == eval_shape(function, x).dtype
        assert pullback(np.ones_like(out))[0].dtype == x.dtype
        assert jvp(function, (x,), (x,))[1].dtype == out.dtype


# -- errors ------------------------------------------------------------------------------------
X = np.ones((3, 4))


@pytest.mark.parametrize(
    "f, error, match",
    [
        (lambda x: np.fft.fft(x, 0), ShapeError, r"fft: invalid number of FFT data points \(0\)"),
        (lambda x: np.fft.irfft(x[:, :1]), ShapeError, r"irfft: invalid number .*\(0\)"),
        (lambda x: np.fft.fft(x, axis=2), ShapeError, "fft: axis 2 is out of bounds"),
        (lambda x: np.fft.fft(x, norm="unit"), ValueError, "Invalid norm value unit"),
        (lambda x: np.fft.hfft(x, norm="unit"), ValueError, "Invalid norm value unit"),
        (lambda x: np.fft.fftn(x, (2, 2, 2), (0, 1)), ShapeError, "s of 3 numbers for 2 axes"),
        (lambda x: np.fft.fftn(x, (2,), (0, 1)), ShapeError, "s of 1 numbers for 2 axes"),
        (lambda x: np.fft.rfft(x * 1j), UnsupportedOperationError, "rfft: takes real values"),
        (lambda x: np.fft.ihfft(x * 1j), UnsupportedOperationError, "write np.fft.ifft, "),
        (lambda x: np.fft.rfftn(x * 1j), UnsupportedOperationError, "write np.fft.fftn"),
        (lambda x: np.fft.rfftn(x, axes=()), ShapeError, "at least one axis"),
    ],
)
def test_errors(f, error, match):
    with pytest.raises(error, match=match):
        grad(lambda x: np.sum(np.abs(f(x))))(X)


def test_s_without_axes_warns_as_numpy_does():
    with pytest.warns(DeprecationWarning, match="s without axes"):
        out = vjp(lambda x: np.fft.fftn(x, (2,)), X)[0]
    with pytest.warns(DeprecationWarning):
        np.testing.assert_allclose(out, np.fft.fftn(X, (2,)))


def test_an_axis_may_be_shifted_twice():
    x = np.arange(5.0)
    for f in (np.fft.fftshift, np.fft.ifftshift):
        np.testing.assert_array_equal(vjp(lambda x: f(x, (0, 0)), x)[0], f(x, (0, 0)))


def test_a_shift_of_nothing_is_a_copy():
    def f(x):
        y = np.fft.fftshift(x, ())
        y[0] = 0.0
        return np.sum(x * x)

    np.testing.assert_array_equal(grad(f)(np.ones(3))[0], [2.0, 2.0, 2.0])
