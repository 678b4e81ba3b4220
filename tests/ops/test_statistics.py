"""Moments and order statistics against NumPy, with every keyword, and their gradients."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RNG = np.random.default_rng(3)
X = RNG.permutation(24).reshape(3, 2, 4) * 0.3 - 2.1 + RNG.uniform(0, 0.1, (3, 2, 4))
HOLES = np.where(RNG.random((3, 2, 4)) > 0.3, X, np.nan)
HOLES[0, 0] = X[0, 0]
MASK = RNG.random((3, 2, 4)) > 0.4
MASK[:, :, 1:3] = True
WEIGHTS = RNG.uniform(0.5, 2.0, (3, 2, 4))
AXES = [None, 0, -1, (0, 2), (2, 0)]
METHODS = [
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "interpolated_inverted_cdf",
    "hazen",
    "weibull",
    "linear",
    "median_unbiased",
    "normal_unbiased",
    "lower",
    "higher",
    "midpoint",
    "nearest",
]


def value_of(f, *xs):
    return vjp(f, *xs)[0]


def same(actual, expected):
    """Equal in type, shape, dtype and value."""
    assert type(actual) is type(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    tolerance = {2: 1e-2, 4: 1e-5}.get(expected.itemsize, 1e-12)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def alike(actual, expected):
    """As `same`, a number being as good as a 0-d array, which NumPy's weighted quantiles are."""
    same(np.asarray(actual), np.asarray(expected))


def through_every_mode(f, *operands, **options):
    """All checks of the sample table but the name of the primitive."""
    sample = Sample("composite", f, operands, **options)
    for name, check in checks_of(sample):
        if name != "bound":
            check(sample)


# -- moments ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.nanmean, np.nanvar, np.nanstd])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes(function, axis, keepdims):
    f = lambda x: function(x, axis=axis, keepdims=keepdims)
    for x in (X, X.astype(np.float32), X.astype(np.float16), X + 1j * X[::-1]):
        same(value_of(f, x), f(x))


@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.nanmean, np.nanvar, np.nanstd])
@pytest.mark.parametrize("kind", ["?", "b", "H", "i", "q", "Q", "e", "f", "d", "g", "F", "D"])
def test_result_dtypes_are_numpys(function, kind):
    x = np.ones((2, 3), kind)
    for axis in (None, 1):
        f = lambda x: function(x, axis=axis)
        assert eval_shape(f, x).dtype == f(x).dtype
        same(vmap(f)(np.stack([x, x])), np.stack([f(x), f(x)]))


@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.nanmean, np.nanvar, np.nanstd])
def test_where_and_dtype(function):
    for options in ({"where": MASK}, {"where": MASK[:, :, :1]}, {"dtype": np.float32}):
        f = lambda x: function(x, axis=1, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            expected = f(X)
            same(value_of(f, X), expected)
    through_every_mode(lambda x: function(x, axis=2, where=MASK), X)


@pytest.mark.parametrize("function", [np.var, np.std, np.nanvar, np.nanstd])
@pytest.mark.parametrize("options", [{"ddof": 1}, {"ddof": 0.5}, {"correction": 1}, {"mean": True}])
def test_the_keywords_of_variances(function, options):
    if "mean" in options:
        options = {"mean": np.mean(X, axis=1, keepdims=True)}
    f = lambda x: function(x, axis=1, **options)
    same(value_of(f, X), f(X))
    through_every_mode(f, X, symbolic=False, complex="mean" not in options)


def test_ddof_and_correction_are_one_thing():
    with pytest.raises(ValueError, match="correction"):
        value_of(lambda x: np.var(x, ddof=1, correction=1), X)


def test_the_mean_that_a_variance_is_given_is_differentiated():
    f = lambda x, m: np.var(x, axis=1, mean=m)
    through_every_mode(f, X, np.mean(X, axis=1, keepdims=True) + 0.5)


def test_masked_out_nans_do_not_reach_gradients():
    x = np.where(MASK, X, np.nan)
    for f in (np.mean, np.var, np.std):
        holes = grad(lambda x: np.sum(f(x, axis=2, where=MASK)))(x)[0]
        np.testing.assert_allclose(holes, grad(lambda x: np.sum(f(x, axis=2, where=MASK)))(X)[0])
        assert not holes[~MASK].any()


@pytest.mark.parametrize(
    "function",
    [np.nanmean, np.nanvar, np.nanstd, np.nansum, np.nanprod, np.nanmax, np.nanmin, np.nanmedian],
)
@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
def test_nans_are_left_out(function, axis):
    f = lambda x: function(x, axis=axis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        same(value_of(f, HOLES), f(HOLES))
        rows = np.stack([HOLES, HOLES[::-1], X])
        same(vmap(f)(rows), np.stack([f(x) for x in rows]))
    g = grad(lambda x: np.sum(function(x, axis=axis)))(X)[0]
    assert np.isfinite(g).all() and g.any()
    if axis is None:
        g = grad(function)(HOLES)[0]
        kept = ~np.isnan(HOLES)
        assert not g[~kept].any()
        np.testing.assert_allclose(g[kept], grad(function)(HOLES[kept])[0], rtol=1e-10)


def test_a_row_of_nans():
    x = np.array([[np.nan, np.nan], [1.0, 3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for f in (np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin, np.nanmedian, np.nansum):
            same(value_of(lambda x: f(x, axis=1), x), f(x, axis=1))
        for f in (np.nanvar, np.nanstd):
            same(value_of(lambda x: f(x, axis=1, ddof=2), x), f(x, axis=1, ddof=2))


@pytest.mark.parametrize("function", [np.nanargmax, np.nanargmin])
def test_nan_arg_extrema(function):
    for axis in (None, 0, 1):
        f = lambda x: function(x, axis=axis)
        rows = np.stack([HOLES[0], X[1], X[2]])
        same(vmap(f)(rows), np.stack([f(x) for x in rows]))
    same(value_of(lambda x: x * function(x), X), X * function(X))
    with pytest.raises(ValueError, match="All-NaN"):
        grad(lambda x: x[function(x)])(np.full(3, np.nan))


def test_zero_variance_has_derivative_zero():
    for f in (np.std, np.nanstd):
        np.testing.assert_array_equal(grad(f)(np.full(4, 0.3))[0], np.zeros(4))
        np.testing.assert_array_equal(grad(f)(np.float32([0.5]))[0], np.zeros(1, np.float32))
    second = vjp(lambda x: grad(np.std)(x)[0], np.ones(3))[1](np.ones(3))[0]
    assert np.isfinite(second).all()


def test_moments_of_complex_numbers_against_torch():
    torch = pytest.importorskip("torch")
    z = X[0] + 1j * X[1]
    found = grad(lambda z: np.var(z, ddof=1) + np.real(np.mean(z * z)))(z)[0]
    t = torch.tensor(z, requires_grad=True)
    (torch.var(t) + torch.real(torch.mean(t * t))).backward()
    np.testing.assert_allclose(found, t.grad.numpy())


# -- average ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axis": 0},
        {"axis": 1, "weights": WEIGHTS},
        {"axis": 2, "weights": WEIGHTS[0, 0]},
        {"axis": (2, 0), "weights": WEIGHTS[:, 0].T},
        {"weights": WEIGHTS, "keepdims": True},
        {"axis": 0, "weights": [1, 2, 3]},
    ],
)
def test_average(options):
    for x in (X, X.astype(np.float32)):
        f = lambda x: np.average(x, **options)
        same(value_of(f, x), f(x))
        f = lambda x: np.average(x, returned=True, **options)
        for actual, expected in zip(value_of(f, x), f(x)):
            np.testing.assert_allclose(actual, expected, rtol=1e-6)
            assert actual.shape == expected.shape and actual.dtype == expected.dtype
    through_every_mode(lambda x: np.average(x, **options), X, symbolic=False)


@pytest.mark.parametrize("dtype", ["?", "i1", "i8", "f2", "f4"])
@pytest.mark.parametrize("weights", ["?", "i1", "f2", "f4", "f8"])
def test_average_has_the_dtype_of_numpys(dtype, weights):
    x, w = np.array([[3, 5, 7], [1, 0, 1]], dtype), np.array([1, 1, 1], weights)
    f = lambda x, w: np.average(x, axis=1, weights=w)
    found = vmap(lambda x, w: np.average(x, weights=w), (0, None))(x, w)
    assert found.dtype == f(x, w).dtype
    np.testing.assert_allclose(found, f(x, w), rtol=1e-3 if found.itemsize == 2 else 1e-7)


def test_average_in_its_weights():
    through_every_mode(lambda x, w: np.average(x, axis=1, weights=w), X, WEIGHTS, complex=False)


def test_average_of_bad_weights():
    with pytest.raises(ZeroDivisionError):
        value_of(lambda x: np.average(x, weights=np.zeros((3, 2, 4))), X)
    with pytest.raises(ShapeError, match="weights"):
        value_of(lambda x: np.average(x, axis=0, weights=np.ones(4)), X)
    with pytest.raises(TypeError, match="axis"):
        value_of(lambda x: np.average(x, weights=np.ones(4)), X)


# -- order statistics ------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [np.median, np.nanmedian])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
def test_median(function, axis, keepdims):
    f = lambda x: function(x, axis=axis, keepdims=keepdims)
    for x in (X, X[:, :, :3], X[0], X.astype(np.float32), np.round(X).astype(int)):
        if x.ndim == 3:
            rows = np.stack([x, x[::-1]])
            same(vmap(f)(rows), np.stack([f(r) for r in rows]))
    same(value_of(f, X), f(X))
    same(value_of(f, X.astype(np.float32)), f(X.astype(np.float32)))


def test_derivatives_of_medians():
    through_every_mode(lambda x: np.median(x, axis=2), X)
    through_every_mode(lambda x: np.nanmedian(x, axis=0), X)
    np.testing.assert_array_equal(
        grad(np.median)(np.array([3.0, 1.0, 2.0, 9.0]))[0], [0.5, 0, 0.5, 0]
    )


def test_a_nan_is_the_median():
    x = np.array([[1.0, np.nan, 2.0], [3.0, 2.0, 1.0]])
    same(value_of(lambda x: np.median(x, axis=1), x), np.median(x, axis=1))
    same(
        value_of(lambda x: np.quantile(x, [0.1, 0.5], axis=1), x),
        np.quantile(x, [0.1, 0.5], axis=1),
    )


@pytest.mark.parametrize("function", [np.quantile, np.nanquantile, np.percentile, np.nanpercentile])
@pytest.mark.parametrize(
    "q", [0.3, 0, 1.0, np.float64(0.4), [0.1, 0.8], np.array([[0.1, 0.2], [0.3, 0.99]])]
)
@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_quantiles(function, q, axis):
    if "percentile" in function.__name__:
        q = 100 * np.asarray(q) if np.ndim(q) else type(q)(100 * q)
    for options in ({}, {"keepdims": True}):
        f = lambda x: function(x, q, axis=axis, **options)
        # NumPy's nanquantile mixes up the axes of a two-dimensional q; without nans they agree.
        theirs = getattr(np, function.__name__.removeprefix("nan"))
        for x in (X, X.astype(np.float32)):
            same(value_of(f, x), theirs(x, q, axis=axis, **options))
        rows = np.stack([X, X[::-1] * 2])
        same(vmap(f)(rows), np.stack([theirs(r, q, axis=axis, **options) for r in rows]))


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_quantile(method):
    for q in (0.35, [0.0, 0.2, 0.5, 1.0]):
        f = lambda x: np.quantile(x, q, axis=0, method=method)
        same(value_of(f, X), f(X))
    through_every_mode(lambda x: np.quantile(x, [0.2, 0.55], axis=2, method=method), X)


def test_nanquantile_leaves_nans_out_row_by_row():
    f = lambda x: np.nanquantile(x, [0.2, 0.7], axis=2)
    same(value_of(f, HOLES), f(HOLES))
    g = grad(lambda x: np.sum(f(x)))(HOLES)[0]
    assert np.isfinite(g).all() and not g[np.isnan(HOLES)].any()


def test_quantile_in_q():
    through_every_mode(
        lambda x, q: np.quantile(x, q, axis=2), X, np.array([0.21, 0.55]), complex=False
    )
    torch = pytest.importorskip("torch")
    found = grad(lambda x, q: np.sum(np.quantile(x, q) ** 2))(X, np.array([0.21, 0.55]))
    t, p = (torch.tensor(v, requires_grad=True) for v in (X, np.array([0.21, 0.55])))
    torch.sum(torch.quantile(t, p) ** 2).backward()
    np.testing.assert_allclose(found[0], t.grad.numpy())
    np.testing.assert_allclose(found[1], p.grad.numpy())


def test_bad_quantiles():
    with pytest.raises(ValueError, match="between 0 and 1"):
        value_of(lambda x: np.quantile(x, 1.5), X)
    with pytest.raises(TypeError, match="complex"):
        value_of(lambda x: np.quantile(x, 0.5), X + 1j)
    with pytest.raises(ValueError, match="inverted_cdf"):
        value_of(lambda x: np.quantile(x, 0.5, weights=WEIGHTS), X)
    for weights, words in ((-WEIGHTS, "non-negative"), (0 * WEIGHTS, "positive")):
        with pytest.raises(ValueError, match=words):
            value_of(lambda x: np.quantile(x, 0.5, method="inverted_cdf", weights=weights), X)
    with pytest.raises(UnsupportedOperationError, match="linear"):
        grad(lambda q: np.quantile(X, q, method="hazen"))(0.5)
    with pytest.raises(ValueError, match="nonsense"):
        value_of(lambda x: np.quantile(x, 0.5, method="nonsense"), X)


@pytest.mark.parametrize(
    "q", [0.3, 0, 1.0, np.float64(0.4), [0.0, 0.1, 0.8], [[0.1], [1.0]]], ids=str
)
@pytest.mark.parametrize(
    "axis, weights",
    [
        (None, WEIGHTS),
        (1, WEIGHTS),
        ((2, 0), WEIGHTS),
        (2, [1.0, 0.5, 0.25, 1.5]),
        (0, WEIGHTS[:, 0, 0]),
        ((2, 0), WEIGHTS[:, 0].T),
    ],
    ids=["all", "1", "2-0", "line", "line-0", "matrix"],
)
def test_quantiles_with_weights(q, axis, weights):
    # NumPy 2.0 mixes up the weights of several axes: these are compared along one merged axis, in
    # which the entries of X[:, 0] and WEIGHTS[:, 0].T belong together.
    merge = lambda x: np.moveaxis(x, 1, 0).reshape(2, -1)
    full = np.shape(weights) == X.shape

    def expected(x, keepdims=False):
        if not isinstance(axis, tuple):
            return np.quantile(
                x, q, axis, weights=weights, method="inverted_cdf", keepdims=keepdims
            )
        w = merge(weights) if full else np.ravel(weights.T)
        found = np.quantile(merge(x), q, 1, weights=w, method="inverted_cdf")
        return found[..., None, :, None] if keepdims else found

    options = {"axis": axis, "weights": weights, "method": "inverted_cdf"}
    for function in (np.quantile, np.nanquantile):
        for keepdims in (False, True):
            f = lambda x: function(x, q, keepdims=keepdims, **options)
            for x in (X, X.astype(np.float32), np.round(X).astype(int) * 1.0):
                # NumPy's nanquantile fails for weights of other shapes; without nans they agree.
                alike(value_of(f, x), expected(x, keepdims))
            rows = np.stack([X, X[::-1] * 2])
            same(vmap(f)(rows), np.stack([expected(r, keepdims) for r in rows]))
    alike(value_of(lambda x: np.quantile(x, q, **options), HOLES), expected(HOLES))


def test_an_entry_without_weight_is_no_quantile():
    x, w = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0])
    f = lambda x: np.quantile(x, [0.0, 0.3, 0.7, 1.0], weights=w, method="inverted_cdf")
    np.testing.assert_array_equal(value_of(f, x), [2, 2, 4, 4])


def test_derivatives_of_quantiles_with_weights():
    f = lambda x, w: np.quantile(x, [0.2, 0.7], axis=2, weights=w, method="inverted_cdf")
    through_every_mode(f, X, WEIGHTS, complex=False, others=[(-X, WEIGHTS), (X, WEIGHTS[::-1])])
    assert not grad(lambda w: np.sum(f(X * np.ones_like(w), w)))(WEIGHTS)[0].any()


def test_nanquantile_with_weights_leaves_nans_out():
    options = {"axis": 2, "weights": WEIGHTS, "method": "inverted_cdf"}
    f = lambda x: np.nanquantile(x, [0.0, 0.2, 0.7, 1.0], **options)
    some = np.where(np.isnan(HOLES).all(axis=2, keepdims=True), X, HOLES)
    same(value_of(f, some), f(some))
    g = grad(lambda x: np.sum(f(x)))(some)[0]
    assert not g[np.isnan(some)].any() and np.sum(g) == f(some).size


# -- shapes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.median, np.nanmean, np.nanmedian])
def test_symbolic_shapes(function):
    x = ShapeDtypeStruct(("B", 3), np.float32)
    assert str(eval_shape(function, x)) == "f32[]"
    assert str(eval_shape(lambda x: function(x, axis=0), x)) == "f32[3]"
    assert str(eval_shape(lambda x: function(x, axis=1, keepdims=True), x)) == "f32[B,1]"
    assert str(eval_shape(lambda x: grad(function)(x)[0], x)) == "f32[B,3]"


def test_symbolic_quantiles():
    x = ShapeDtypeStruct(("B", 3))
    assert str(eval_shape(lambda x: np.quantile(x, [0.1, 0.2], axis=0), x)) == "f64[2,3]"
    assert str(eval_shape(lambda x: np.average(x, axis=0), x)) == "f64[3]"
