"""`scipy.interpolate` on differentiated values: scipy's numbers, and derivatives by differences."""

import numpy as np
import pytest

from pycograd import (
    ConversionError,
    ShapeDtypeStruct,
    UnsupportedOperationError,
    check_grads,
    eval_shape,
    grad,
    jacobian,
    vjp,
    vmap,
)

sp = pytest.importorskip("scipy.interpolate")
from pycograd.scipy import interpolate  # noqa: E402

rng = np.random.default_rng(0)
X = np.array([0.0, 0.7, 1.1, 2.0, 2.4, 3.3])
Y = rng.standard_normal((6, 2))
AT = np.array([-0.3, 0.1, 0.7, 1.05, 2.2, 3.1, 3.3, 3.6])  # outside, knots, inside
INSIDE = np.array([0.1, 1.05, 2.3, 3.1])


def same(ours, scipys, *args):
    np.testing.assert_allclose(vjp(ours, *args)[0], scipys(*args), atol=1e-12, rtol=1e-9)


def periodic(y):
    return np.concatenate([y[:-1], y[:1]])


# -- cubics ----------------------------------------------------------------------------------------
CONDITIONS = [
    "not-a-knot",
    "natural",
    "clamped",
    "periodic",
    ("not-a-knot", (2, np.array([0.3, -0.2]))),
    ((1, np.array([0.5, 1.0])), "natural"),
]


@pytest.mark.parametrize("bc", CONDITIONS, ids=str)
@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_cubic_spline(bc, n):
    close = periodic if bc == "periodic" else lambda y: y
    x, y = X[:n], Y[:n]
    for nu in (0, 1, 2, 3):
        same(
            lambda y: interpolate.CubicSpline(x, close(y), bc_type=bc)(AT, nu),
            lambda y: sp.CubicSpline(x, close(y), bc_type=bc)(AT, nu),
            y,
        )
    inside = INSIDE * x[-1] / 3.3
    check_grads(
        lambda x, y, at: interpolate.CubicSpline(x, close(y), bc_type=bc)(at),
        (x, y, inside[1:3]),
        order=1,
    )
    if n == 4:
        f = lambda x, at: interpolate.CubicSpline(x, close(y), bc_type=bc)(at)[0, 1]
        check_grads(f, (x, inside[1:2]))


def test_values_of_boundary_conditions_are_differentiable():
    f = lambda a, b: interpolate.CubicSpline(X, Y[:, 0], bc_type=((1, a), (2, b)))(INSIDE)
    check_grads(f, (0.3, -0.7))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "at", [1.3, INSIDE, INSIDE.reshape(2, 2)], ids=["number", "vector", "matrix"]
)
def test_axes(axis, at):
    y = rng.standard_normal((6, 6, 6))
    for name in ("CubicSpline", "PchipInterpolator", "Akima1DInterpolator", "interp1d"):
        make, theirs = getattr(interpolate, name), getattr(sp, name)
        same(lambda y: make(X, y, axis=axis)(at), lambda y: theirs(X, y, axis=axis)(at), y)
        spline = make(X, y, axis=axis)  # from plain samples, at a differentiated place
        same(lambda at: spline(at), lambda at: theirs(X, y, axis=axis)(at), at)


LOCAL = {
    "pchip": (interpolate.PchipInterpolator, sp.PchipInterpolator, {}),
    "akima": (interpolate.Akima1DInterpolator, sp.Akima1DInterpolator, {}),
    "makima": (interpolate.Akima1DInterpolator, sp.Akima1DInterpolator, {"method": "makima"}),
}


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("n", [2, 3, 6])
def test_local_slopes(name, n):
    make, theirs, options = LOCAL[name]
    rising = np.cumsum(np.abs(Y), axis=0)
    for y in (Y[:n], rising[:n]):
        for nu in (0, 1):
            same(
                lambda y: make(X[:n], y, **options)(AT, nu),
                lambda y: theirs(X[:n], y, **options)(AT, nu),
                y,
            )
    inside = INSIDE * X[n - 1] / 3.3
    check_grads(lambda x, y, at: make(x, y, **options)(at), (X[:n], rising[:n], inside), order=1)
    check_grads(lambda y, at: make(X[:n], y, **options)(at), (rising[:n, 0], inside))


def test_hermite_and_spline_of_degree_one():
    d = rng.standard_normal((6, 2))
    same(
        lambda d: interpolate.CubicHermiteSpline(X, Y, d)(AT),
        lambda d: sp.CubicHermiteSpline(X, Y, d)(AT),
        d,
    )
    check_grads(lambda x, y, d: interpolate.CubicHermiteSpline(x, y, d)(INSIDE), (X, Y, d), order=1)
    for k in (1, 3):
        same(
            lambda y: interpolate.make_interp_spline(X, y, k)(AT),
            lambda y: sp.make_interp_spline(X, y, k)(AT),
            Y,
        )
    with pytest.raises(UnsupportedOperationError, match="degree 1 and 3"):
        grad(lambda y: np.sum(interpolate.make_interp_spline(X, y, 2)(1.0)))(Y)


def test_derivatives_integrals_and_extrapolation():
    for bc in ("natural", "not-a-knot"):
        ours = lambda y: interpolate.CubicSpline(X, y, bc_type=bc)
        theirs = lambda y: sp.CubicSpline(X, y, bc_type=bc)
        same(lambda y: ours(y).derivative(2)(AT), lambda y: theirs(y).derivative(2)(AT), Y)
        same(lambda y: ours(y).antiderivative(2)(AT), lambda y: theirs(y).antiderivative(2)(AT), Y)
        same(lambda y: ours(y).derivative(5)(AT), lambda y: theirs(y).derivative(5)(AT), Y)
        same(lambda y: ours(y).integrate(0.2, 2.9), lambda y: theirs(y).integrate(0.2, 2.9), Y)
        for extrapolate in (True, False, "periodic"):
            same(
                lambda y: ours(y)(AT, extrapolate=extrapolate),
                lambda y: theirs(y)(AT, extrapolate=extrapolate),
                Y,
            )
    spline = interpolate.CubicSpline(X, Y[:, 0])
    at_place = grad(lambda t: spline(t))(1.3)[0]
    np.testing.assert_allclose(at_place, spline(1.3, 1))
    np.testing.assert_allclose(
        grad(grad(lambda t: spline(t), argnums=0), argnums=0)(1.3), spline(1.3, 2)
    )
    np.testing.assert_allclose(grad(lambda t: spline.antiderivative()(t))(1.3)[0], spline(1.3))
    assert len(spline.roots()) == len(sp.CubicSpline(X, Y[:, 0]).roots())
    with pytest.raises(AttributeError, match="roots"):
        grad(lambda y: interpolate.CubicSpline(X, y).roots()[0])(Y[:, 0])


def test_rows_and_shapes():
    f = lambda y, at: interpolate.CubicSpline(X, y)(at)
    ys, ats = rng.standard_normal((3, 6)), rng.uniform(0, 3, (3, 2))
    np.testing.assert_allclose(vmap(f)(ys, ats)[1], f(ys[1], ats[1]))
    np.testing.assert_allclose(vmap(f, (None, 0))(ys[0], ats)[1], f(ys[0], ats[1]))
    each = vmap(jacobian(f, 0))(ys, ats)
    np.testing.assert_allclose(each[2], jacobian(f, 0)(ys[2], ats[2]), atol=1e-12)
    assert eval_shape(f, ShapeDtypeStruct((6,)), ShapeDtypeStruct((2,))) == ShapeDtypeStruct((2,))
    with pytest.raises(ValueError, match="increasing"):
        grad(lambda y: interpolate.CubicSpline(X[::-1], y)(1.0))(ys[0])
    scipys = sp.CubicSpline(X, ys[0])  # an object of scipy knows nothing of us, and says so
    with pytest.raises(ConversionError):
        grad(lambda at: scipys(at))(1.0)


# -- interp1d --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "kind", ["linear", "slinear", "cubic", "nearest", "nearest-up", "previous", "next", "zero"]
)
def test_interp1d(kind):
    order = np.array([3, 0, 1, 5, 4, 2])
    fills = [
        {"fill_value": "extrapolate"},
        {"fill_value": (-1.0, 2.0), "bounds_error": False},
        {"bounds_error": False},
    ]
    for options in fills:
        same(
            lambda y: interpolate.interp1d(X[order], y, kind, axis=0, **options)(AT),
            lambda y: sp.interp1d(X[order], y, kind, axis=0, **options)(AT),
            Y,
        )
    check_grads(lambda y, at: interpolate.interp1d(X, y, kind, axis=0)(at), (Y, INSIDE))
    with pytest.raises(ValueError, match="outside"):
        grad(lambda at: interpolate.interp1d(X, X, kind)(at))(4.0)


def test_interp1d_refuses_other_kinds():
    with pytest.raises(UnsupportedOperationError, match="quadratic"):
        grad(lambda at: interpolate.interp1d(X, X, "quadratic")(at))(1.0)
    fill = grad(lambda v: interpolate.interp1d(X, X, fill_value=v)(4.0))(1.0)
    assert fill == (1.0,)


# -- grids -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_grids(method):
    grid = (X[:3], X[:4] * 2, X[:2])
    values = rng.standard_normal((3, 4, 2, 2))
    at = rng.uniform([0, 0, 0], [1.1, 4.0, 0.7], (2, 3, 3))
    out = at + np.array([0.5, 0.0, 0.0])
    same(
        lambda v: interpolate.RegularGridInterpolator(grid, v, method)(at),
        lambda v: sp.RegularGridInterpolator(grid, v, method)(at),
        values,
    )
    for fill in (None, 7.0):
        same(
            lambda at: interpolate.RegularGridInterpolator(grid, values, method, False, fill)(at),
            lambda at: sp.RegularGridInterpolator(grid, values, method, False, fill)(at),
            out,
        )
    check_grads(lambda v, at: interpolate.interpn(grid, v, at, method), (values, at[0]))
    check_grads(
        lambda x: interpolate.interpn((x, *grid[1:]), values, at[0], method), (grid[0],), order=1
    )
    with pytest.raises(ValueError, match="dimension 0"):
        grad(lambda at: np.sum(interpolate.interpn(grid, values, at, method)))(out)
    with pytest.raises(UnsupportedOperationError, match="cubic"):
        grad(
            lambda at: np.sum(
                interpolate.RegularGridInterpolator(grid, values, "slinear")(at, "cubic")
            )
        )(at)
