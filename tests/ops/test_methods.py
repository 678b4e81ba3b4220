"""Methods and attributes of boxes: what a program on arrays does, one on boxes does."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from pycograd.core.box import Box
from pycograd.core.errors import (
    ControlFlowError,
    ConversionError,
    ShapeError,
    UnsupportedOperationError,
)
from pycograd.core.modes import no_grad
from pycograd.core.tape import Var
from pycograd.graph.jitted import jit
from pycograd.ops.methods import _INSTEAD
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
X = np.array([[0.7, -1.2, 2.1], [1.4, 0.3, -0.6]])
Y = np.random.default_rng(0).standard_normal((2, 3, 4))
SQUARE = np.random.default_rng(1).standard_normal((3, 3))

FORMS = {
    "reshape": (lambda x: x.reshape(3, 2), X),
    "reshape tuple": (lambda x: x.reshape((3, -1)), X),
    "reshape order": (lambda x: x.reshape(3, 2, order="F"), X),
    "transpose": (lambda x: x.transpose(), Y),
    "transpose axes": (lambda x: x.transpose(1, 0, 2), Y),
    "transpose tuple": (lambda x: x.transpose((2, 0, 1)), Y),
    "transpose None": (lambda x: x.transpose(None), Y),
    "T": (lambda x: x.T, Y),
    "mT": (lambda x: x.mT, Y),
    "swapaxes": (lambda x: x.swapaxes(0, 2), Y),
    "squeeze": (lambda x: x.reshape(2, 1, 3).squeeze(1), X),
    "ravel": (lambda x: x.ravel(), X),
    "flatten": (lambda x: x.flatten(), X),
    "flatten F": (lambda x: x.flatten("F"), X),
    "copy": (lambda x: x.copy(), X),
    "astype": (lambda x: x.astype(np.longdouble, copy=False), X),
    "diagonal": (lambda x: x.diagonal(1), X),
    "trace": (lambda x: x.trace(), SQUARE),
    "real": (lambda x: x.real, X),
    "conj": (lambda x: x.conj(), X),
    "conjugate": (lambda x: x.conjugate(), X),
    "sum": (lambda x: x.sum(), Y),
    "sum axis": (lambda x: x.sum(1), Y),
    "sum keywords": (lambda x: x.sum(axis=(0, 2), keepdims=True), Y),
    "mean": (lambda x: x.mean(0), X),
    "prod": (lambda x: x.prod(axis=1), X),
    "max": (lambda x: x.max(axis=-1), X),
    "min": (lambda x: x.min(1, keepdims=True), X),
    "var": (lambda x: x.var(ddof=1), X),
    "std": (lambda x: x.std(0), X),
    "cumsum": (lambda x: x.cumsum(1), X),
    "cumprod": (lambda x: x.cumprod(), X),
    "clip": (lambda x: x.clip(-1, 1), X),
    "clip keywords": (lambda x: x.clip(min=0.0), X),
    "round": (lambda x: x.round(1) + x, X + 0.02),
    "dot": (lambda x: x.dot(x.T), X),
    "take": (lambda x: x.take([0, 2, 2], axis=1), X),
    "take flat": (lambda x: x.take([[0, 5], [1, 1]]), X),
    "repeat": (lambda x: x.repeat(2, axis=0), X),
    "compress": (lambda x: x.compress([True, False, True], axis=1), X),
    "choose": (lambda x: np.array([[0, 1, 0]]).choose([x, 2 * x]) if 0 else x, X),
    "item": (lambda x: x.item(4), X),
    "item pair": (lambda x: x.item(1, 2), X),
    "item tuple": (lambda x: x.item((1, -1)), X),
    "item of one": (lambda x: x[:1, :1].item(), X),
    "tolist": (lambda x: np.stack([np.stack(row) for row in x.tolist()]), X),
    "flat": (lambda x: np.stack(list(x.flat)), X),
    "flat index": (lambda x: x.flat[-2], X),
    "flat slice": (lambda x: x.flat[1:5:2], X),
    "flat array": (lambda x: x.flat[[0, 0, 5]], X),
    "flat copy": (lambda x: x.flat.copy(), X),
    "sort": (lambda x: _in_place(x, "sort"), X),
    "sort axis": (lambda x: _in_place(x, "sort", axis=0), X),
    "partition": (lambda x: _in_place(x, "partition", 1), X),
    "fill": (lambda x: _in_place(x, "fill", 2.5) + x, X),
    "fill with a box": (lambda x: _in_place(x, "fill", x[0, 1]), X),
    "put": (lambda x: _in_place(x, "put", [0, 4], [1.5, 2.5]), X),
    "set flat": (lambda x: _set(x, "flat", 3 * x[0]), X),
    "set flat one": (lambda x: _set(x, "flat", x[0, 0]), X),
    "set real": (lambda x: _set(x, "real", x[0]), X),
    "set shape": (lambda x: _set(x, "shape", (3, 2)), X),
    "copy.copy": (copy.copy, X),
    "copy.deepcopy": (copy.deepcopy, X),
    "deepcopy in a list": (lambda x: copy.deepcopy([x])[0], X),
    "array namespace": (
        lambda x: x.__array_namespace__().sum(x) if hasattr(x, "__array_namespace__") else x.sum(),
        X,
    ),
}


def _in_place(x, method, *args, **kwargs):
    y = x * 1.0
    assert getattr(y, method)(*args, **kwargs) is None
    return y


def _set(x, name, value):
    y = x * 1.0
    setattr(y, name, value)
    return y


@pytest.mark.filterwarnings("ignore:Setting the shape")
@pytest.mark.parametrize("run", CHECKS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form(name, run):
    f, *operands = FORMS[name]
    run(Sample("", f, operands))


def test_methods_that_answer_with_constants():
    seen = []

    def f(x):
        seen.append(
            [
                x.argmax(), x.argmin(axis=1), x.argsort(), x.argpartition(1), x.any(), x.all(0),
                x.nonzero(), x[0].searchsorted([0.1]), x.size, x.ndim, x.nbytes, x.itemsize,
                x.flags.c_contiguous, x.flags["C_CONTIGUOUS"], len(x), x.shape, x.dtype, x.device,
                len(x.flat),
            ]
        )  # fmt: skip
        return np.sum(x)

    f(X)
    grad(f)(X)
    for mine, numpys in zip(seen[1], seen[0], strict=True):
        assert type(mine) is type(numpys)
        np.testing.assert_array_equal(mine, numpys)


def test_every_attribute_of_arrays_has_a_meaning_or_an_error():
    x = Var(X)
    private = {name for name in dir(np.ndarray) if name.startswith("_")}
    for name in sorted(set(dir(np.ndarray)) - private - {"ctypes"}):
        if hasattr(x, name):
            assert hasattr(type(x), name)
        else:
            assert name in _INSTEAD, f"{name} is neither defined nor refused"
    for name in _INSTEAD.keys() - {"flags"}:  # which are refused of arrays on devices alone
        with pytest.raises(AttributeError, match="write"):
            getattr(x, name)
    with pytest.raises(AttributeError, match="no attribute 'shpae'"):
        x.shpae


def test_item_is_differentiated_and_tolist_nests():
    def f(x):
        rows = x.tolist()
        assert isinstance(rows[0][1], Box) and rows[0][1].shape == ()
        return rows[0][1] * x.item(5) + x.sum().item()

    np.testing.assert_allclose(grad(f)(X)[0], [[1, 1 + X[1, 2], 1], [1, 1, 1 + X[0, 1]]])
    with pytest.raises(ValueError, match="size 1"):
        grad(lambda x: x.item())(X)


def test_flat_writes():
    def program(x):
        y = x * 2.0
        y.flat[1] = x[0, 0]
        y.flat[2:5] = x[1]
        y.flat[[0, 5]] = 7.0
        part = y.T
        part.flat[1] = x[0, 1] * 2
        y.flat[np.array([[True, False, False], [False, False, True]]).ravel()] *= 2
        return y

    for run in CHECKS:
        run(Sample("", program, [X]))


def test_augmented_flat_and_parts():
    def program(x):
        y = x + 0.0
        y.flat[::2] += x[0]
        y.T[0] *= 3
        return y

    for run in CHECKS:
        run(Sample("", program, [X]))


def test_setting_the_shape_of_a_view_is_refused():
    def f(x):
        y = x * 1.0
        z = y.T
        y.shape = (6,)
        return np.sum(z)

    with pytest.raises(UnsupportedOperationError, match="reshape"):
        grad(f)(X)
    with pytest.raises(ShapeError):
        grad(lambda x: setattr(x, "shape", (5,)))(X)


def test_copies_are_apart():
    for duplicate in (copy.copy, copy.deepcopy, lambda x: x.copy(), np.copy):

        def f(x, duplicate=duplicate):
            y = x * 1.0
            z = duplicate(y)
            z[0] = 0.0
            y[1] = 0.0
            return np.sum(y) + 10 * np.sum(z)

        np.testing.assert_array_equal(grad(f)(X)[0], [[1, 1, 1], [10, 10, 10]])


def test_the_callers_array_is_never_written():
    def f(x):
        x.sort()
        x.fill(2.0)
        x.flat[0] = 3.0
        x.real[0] = 1.0
        x.T[0] = 1.0
        x.copy()[0] = 5.0
        return np.sum(x)

    for run in (
        lambda x: grad(f)(x),
        lambda x: jvp(f, (x,), (x,)),
        lambda x: vmap(f)(x),
        lambda x: vmap(grad(f))(x),
    ):
        x = X[None].repeat(2, 0)
        before = x.copy()
        run(x)
        np.testing.assert_array_equal(x, before)


def test_constant_views_are_boxes_too():
    """What does not move is plain, but not a view: a write to that must reach its base alone."""

    def without_gradient(x):
        y = x * 2
        with no_grad():
            y.T[0] = 5.0
            x.reshape(-1)[1] = 7.0
        return np.sum(y) + np.sum(x)

    def made_like(x):
        y = np.zeros((2, 3), like=x)
        y.T[0] = x[:, 0] * 2
        y[1].fill(x[0, 1])
        return y

    x = X.copy()
    value = without_gradient(X.copy())
    assert vjp(without_gradient, x)[0] == value == jvp(without_gradient, (x,), (x,))[0]
    np.testing.assert_array_equal(x, X)
    for run in CHECKS:
        run(Sample("", made_like, [X]))


def test_flags_cannot_be_set():
    with pytest.raises(AttributeError):
        grad(lambda x: setattr(x.flags, "writeable", False))(X)
    with pytest.raises(UnsupportedOperationError, match="shape is known"):
        eval_shape(lambda x: x.flags, X)


def test_conversions_are_refused():
    for f in (np.asarray, lambda x: np.asarray(x.flat), lambda x: np.sum(x.flat)):
        with pytest.raises(ConversionError):
            grad(lambda x, f=f: np.sum(f(x)))(X)
    with pytest.raises(ControlFlowError):
        vmap(lambda x: x if x.any() else -x)(X)


def test_a_sum_by_method_and_by_function_record_the_same():
    assert vjp(lambda x: x.sum(), X)[0] == vjp(np.sum, X)[0] == X.sum()


def test_round_of_booleans_is_a_float():
    x = np.array([True, False])
    f = lambda x: np.round(x) + np.float16(0.5)
    assert eval_shape(np.round, x).dtype == np.round(x).dtype
    assert jit(f)(x).dtype == f(x).dtype
    np.testing.assert_array_equal(jit(f)(x), f(x))


def test_round_of_the_interpreter():
    np.testing.assert_allclose(grad(lambda x: round(x * x, 1) + x)(2.5), (1.0,))
    with pytest.raises(ConversionError, match=r"converted to int.*np\.round"):
        grad(lambda x: round(x) * x)(2.5)
