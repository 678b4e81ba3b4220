"""Every function takes NumPy's own arguments, and ufunc methods take theirs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from pycograd import ops
from pycograd.core.errors import PlainBufferError, UnsupportedOperationError
from pycograd.core.spelling import CREATORS, FUNCTIONS
from pycograd.ops.cumulative import ACCUMULATORS
from pycograd.ops.reduce import REDUCERS
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Draw, Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import vjp

ops.load()
P = inspect.Parameter
POSITIONAL = (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)

# Arguments that NumPy takes and that ours has under another roof: `np.real(val)` is positional.
OTHERWISE = {"real": {"val"}, "imag": {"val"}, "einsum": {"kwargs"}}


def numpys(function):
    """NumPy's signature; None where this version does not tell it."""
    try:
        return inspect.signature(function)
    except ValueError:
        return None


def missing(function, ours, skip=0):
    """The names of NumPy's arguments that `ours`, its first `skip` left out, does not take."""
    wanted = numpys(function)
    own = list(inspect.signature(ours).parameters.values())[skip:]
    kinds = {p.kind for p in own}
    positional = [p.name for p in own if p.kind in POSITIONAL]
    found = []
    for place, p in enumerate(wanted.parameters.values()):
        if p.kind in (P.VAR_POSITIONAL, P.VAR_KEYWORD):
            taken = p.kind in kinds
        elif p.kind == P.POSITIONAL_ONLY:
            taken = place < len(positional) or P.VAR_POSITIONAL in kinds
        elif p.kind == P.POSITIONAL_OR_KEYWORD:
            # A later name of the same place stands for it: `newshape`, which is `shape` now.
            taken = place < len(positional) and p.name in [q.name for q in own]
            taken = taken or {P.VAR_POSITIONAL, P.VAR_KEYWORD} <= kinds
        else:
            taken = p.name in [q.name for q in own] or P.VAR_KEYWORD in kinds
        if not taken:
            found.append(p.name)
    return set(found)


CLAIMED = [
    f
    for f in FUNCTIONS
    if (getattr(f, "__module__", None) or "").startswith("numpy") and numpys(f) is not None
]


def test_there_are_functions_to_look_at():
    assert len(CLAIMED) > 200
    assert np.sum in CLAIMED and np.interp in CLAIMED


@pytest.mark.parametrize("function", CLAIMED, ids=lambda f: f.__name__)
def test_every_argument_of_numpys_is_taken(function):
    assert missing(function, FUNCTIONS[function]) <= OTHERWISE.get(function.__name__, set())


@pytest.mark.parametrize("function", [f for f in CREATORS if numpys(f)], ids=lambda f: f.__name__)
def test_every_argument_of_creators_is_taken(function):
    known = missing(function, CREATORS[function], skip=1) - {"like"}
    if function is np.arange:
        known -= {"start_or_stop", "start"}
    assert not known


@pytest.mark.parametrize("function", CLAIMED, ids=lambda f: f.__name__)
def test_defaults_are_numpys(function):
    own = inspect.signature(FUNCTIONS[function]).parameters
    for name, p in numpys(function).parameters.items():
        if name not in own or p.default is P.empty:
            continue
        default = own[name].default
        unset = (None, False, np._NoValue)
        if p.default in unset and default in unset:
            continue  # not given, in one way or another
        assert default == p.default, name


def test_a_missing_argument_is_seen():
    assert missing(np.sum, lambda a, axis=None, dtype=None, out=None: a) == {
        "keepdims",
        "initial",
        "where",
    }


def test_devices_are_numpys():
    x = np.ones(2)
    for f in (
        lambda x: np.zeros(2, device="gpu", like=x),
        lambda x: np.full(2, 1.0, device="gpu", like=x),
        lambda x: np.zeros_like(x, device="gpu"),
        lambda x: np.linspace(x, 2 * x, device="gpu"),
    ):
        with pytest.raises(ValueError, match="Device not understood"):
            vjp(f, x)
    assert vjp(lambda x: x + np.ones(2, device="cpu", like=x), x)[0].tolist() == [2, 2]


# -- ufunc methods ---------------------------------------------------------------------------------
draw = Draw("signatures")
X = draw.distinct(2, 3, 4)
WHERE = draw.mask(2, 3, 4)
LOW, HIGH = draw.positive(3, 4), 2.1 + 0.07 * draw.rng.permutation(24).reshape(4, 6)
FLOATS = [f for f in REDUCERS if "dd->d" in f.types]


def same(actual, expected):
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    rtol = 1e-6 if actual.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)


def through_every_mode(f, *operands, **options):
    """All checks of the sample table but the name of the primitive."""
    for name, check in checks_of(Sample("composite", f, operands, **options)):
        if name != "bound":
            check(Sample("composite", f, operands, **options))


OPTIONS = [
    {},
    {"axis": 1},
    {"axis": -1, "keepdims": True},
    {"axis": (0, 2)},
    {"axis": None},
    {"axis": (2, 0), "keepdims": True, "initial": 0.9},
    {"axis": 1, "initial": 0.3, "where": WHERE},
    {"axis": 2, "initial": 0.3, "where": WHERE[:, :, :1], "keepdims": True},
    {"axis": 1, "dtype": np.float32},
]


@pytest.mark.parametrize("ufunc", FLOATS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_reduce(ufunc, options):
    f = lambda x: ufunc.reduce(x, **options)
    try:
        expected = f(X)
    except ValueError as error:  # not reorderable: over one axis only
        assert "reorderable" in str(error)
        return
    same(vjp(f, X)[0], expected)
    rows = np.stack([X, X[::-1] * 2])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(vmap(f)(rows), [f(x) for x in rows], rtol=1e-12)


@pytest.mark.parametrize("ufunc", FLOATS, ids=lambda f: f.__name__)
def test_reductions_with_where_are_differentiated(ufunc):
    through_every_mode(
        lambda x: ufunc.reduce(x, axis=1, initial=0.3, where=WHERE[0]),
        X[0],
        complex=False,
        symbolic=False,
        dtypes=["float32"],
    )


@pytest.mark.parametrize("ufunc", FLOATS, ids=lambda f: f.__name__)
def test_where_may_have_more_axes_than_needed_and_no_result(ufunc):
    for where in (np.zeros((3, 4), bool), WHERE[0], True):
        f = lambda x, where=where: ufunc.reduce(x, axis=0, initial=0.5, where=where)
        same(vjp(f, X)[0], f(X))


@pytest.mark.parametrize("ufunc", FLOATS, ids=lambda f: f.__name__)
def test_the_initial_value_is_differentiated(ufunc):
    through_every_mode(
        lambda x, start: ufunc.reduce(x + 0 * start, axis=1, initial=start),
        X[0],
        np.array(0.37),
        others=[(X[1], np.array(0.41)), (X[0] * 2, np.array(0.39))],
        complex=False,
        symbolic=False,
        dtypes=["float32"],
    )


@pytest.mark.parametrize(
    "ufunc", [f for f in ACCUMULATORS if "dd->d" in f.types], ids=lambda f: f.__name__
)
def test_accumulate(ufunc):
    for options in ({}, {"axis": 1}, {"axis": -1, "dtype": np.float32}):
        f = lambda x, options=options: ufunc.accumulate(x, **options)
        same(vjp(f, X)[0], f(X))
        rows = np.stack([X, X[::-1] * 2])
        np.testing.assert_allclose(vmap(f)(rows), [f(x) for x in rows], rtol=1e-12)
    into = lambda x: ufunc.accumulate(x, axis=1, out=np.zeros_like(x))
    same(vjp(into, X)[0], ufunc.accumulate(X, axis=1))


BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.fmax,
    np.fmin, np.hypot, np.arctan2, np.logaddexp, np.logaddexp2, np.float_power, np.copysign,
    np.fmod, np.remainder, np.heaviside,
]  # fmt: skip


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda f: f.__name__)
def test_outer(ufunc):
    a, b = LOW[:2, :3], HIGH[0, :2]
    for options in ({}, {"dtype": np.float32 if "ff->f" in ufunc.types else np.float64}):
        f = lambda a, b, options=options: ufunc.outer(a, b, **options)
        same(vjp(f, a, b)[0], f(a, b))
        same(vjp(lambda a, f=f: f(a, b), a)[0], f(a, b))
        same(vjp(lambda b, f=f: f(a, b), b)[0], f(a, b))
    into = lambda a, b: ufunc.outer(a, b, out=np.zeros((2, 3, 2), like=a))
    same(vjp(into, a, b)[0], ufunc.outer(a, b))
    part = lambda a, b: ufunc.outer(a, b, out=np.ones((2, 3, 2), like=a), where=WHERE[:, :, :2])
    expected = ufunc.outer(a, b, out=np.ones((2, 3, 2)), where=WHERE[:, :, :2])
    same(vjp(part, a, b)[0], expected)
    through_every_mode(
        ufunc.outer, a, b, complex=False, symbolic=False, dtypes=["float32"], rtol=1e-5
    )


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("index", [[0, 2, 0], (slice(None), 1), (Ellipsis, [1, 1, 3])], ids=str)
def test_at(ufunc, index):
    a = LOW
    b = HIGH.ravel()[: a[index].size].reshape(a[index].shape)

    def f(a, b):
        a = a + 0 * np.sum(b)
        ufunc.at(a, index, b)
        return a

    same(vjp(f, a, b)[0], f(a, b))
    through_every_mode(f, a, b, complex=False, symbolic=False, dtypes=["float32"], rtol=1e-5)


UNARY = [np.sin, np.exp, np.negative, np.sqrt, np.square, np.reciprocal, np.absolute]


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda f: f.__name__)
def test_at_of_one_operand(ufunc):
    def f(a):
        a = a * 1.0
        ufunc.at(a, [0, 2, 0])
        return a

    through_every_mode(f, LOW[0, :3], symbolic=False, dtypes=["float32"])


@pytest.mark.parametrize("ufunc", FLOATS, ids=lambda f: f.__name__)
def test_reduceat(ufunc):
    for axis, dtype in ((0, None), (2, None), (-1, np.float32)):
        f = lambda x, axis=axis, dtype=dtype: ufunc.reduceat(x, [0, 1, 1], axis=axis, dtype=dtype)
        same(vjp(f, X)[0], f(X))
    into = lambda x: ufunc.reduceat(x, [2, 0], axis=2, out=np.zeros((2, 3, 2), like=x))
    same(vjp(into, X)[0], ufunc.reduceat(X, [2, 0], axis=2))


@pytest.mark.parametrize("ufunc", FLOATS, ids=lambda f: f.__name__)
def test_results_of_methods_go_into_boxes_only(ufunc):
    f = lambda x: ufunc.reduce(x, axis=1, out=np.zeros((2, 4), like=x))
    same(vjp(f, X)[0], ufunc.reduce(X, axis=1))
    matrix, outer, line = np.zeros((2, 4)), np.zeros((2, 3, 4) * 2), np.zeros(2)
    for call in (
        lambda x: ufunc.reduce(x, axis=1, out=matrix),
        lambda x: ufunc.outer(x, x, out=outer),
        lambda x: ufunc.at(line, [0, 1], x[0, 0, :2]),
    ):
        with pytest.raises(PlainBufferError):
            vjp(call, X)


@pytest.mark.parametrize("ufunc", [np.arctan2, np.divide, np.copysign], ids=lambda f: f.__name__)
def test_reductions_without_a_rule_are_refused(ufunc):
    for method in ("reduce", "accumulate"):
        with pytest.raises(UnsupportedOperationError, match=f"{ufunc.__name__}.{method}"):
            vjp(getattr(ufunc, method), X)
    with pytest.raises(UnsupportedOperationError, match="reduceat"):
        vjp(lambda x: ufunc.reduceat(x, [0, 1]), X)
