"""What messages say: once, in the shapes that the user wrote."""

import numpy as np
import pytest

import pycograd as pg

MISTAKES = {
    "product": (lambda x: x @ np.ones((4, 2)), r"matmul: incompatible shapes \(3,\) and \(4, 2\)"),
    "sum": (lambda x: x + np.ones(4), r"add: incompatible shapes \(3,\) and \(4,\)"),
    "reshape": (lambda x: np.reshape(x, (2, 2)), r"reshape: .*\(3,\)"),
    "join": (
        lambda x: np.concatenate([x, np.ones((2, 2))]),
        r"concatenate: incompatible shapes \(3,\) and \(2, 2\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("under", ["grad", "vmap", "vmap of grad"])
def test_a_shape_is_named_once(name: str, under: str) -> None:
    f, message = MISTAKES[name]
    run = {
        "grad": lambda: pg.grad(lambda x: np.sum(f(x)))(np.ones(3)),
        "vmap": lambda: pg.vmap(f)(np.ones((5, 3))),
        "vmap of grad": lambda: pg.vmap(pg.grad(lambda x: np.sum(f(x))))(np.ones((5, 3))),
    }[under]
    with pytest.raises(pg.ShapeError, match=f"^{message}") as caught:
        run()
    text = str(caught.value)
    assert text.count("test_errors.py:") == 1
    assert "(5, 3)" not in text


# -- errors that are not of shapes ---------------------------------------------------------------
ARGUMENTS = {
    "index": (lambda x: x[5], IndexError, "index: index 5 is out of bounds"),
    "too many": (lambda x: x[0, 0], IndexError, "index: too many indices"),
    "array": (lambda x: x[np.array([7])], IndexError, "gather: index 7 is out of bounds"),
    "pad": (lambda x: np.pad(x, ((1, 2), (3, 4))), ValueError, r"pad: \(\(1, 2\), \(3, 4\)\)"),
    "ragged": (lambda x: np.pad(x, ((1, 2), 3)), ValueError, "pad: .* no pair for each of 1 axes"),
    "width": (lambda x: np.pad(x, 1.5), TypeError, "pad: a width is an integer, not in 1.5"),
    "axis": (lambda x: np.sum(x, axis="a"), TypeError, "sum: axis 'a' is not an integer"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("under", ["grad", "vmap"])
def test_an_error_names_the_operation_and_the_line(name: str, under: str) -> None:
    f, kind, message = ARGUMENTS[name]
    with pytest.raises(kind, match=rf"^{message}.*test_errors\.py:\d+\)$"):
        if under == "grad":
            pg.grad(lambda x: np.sum(f(x)))(np.ones(3))
        else:
            pg.vmap(f)(np.ones((4, 3)))


def test_an_error_that_is_not_of_shapes_is_no_shape_error() -> None:
    from pycograd.core.primitive import Primitive, bind

    def impl(x):
        raise ValueError("not this number")

    with pytest.raises(pg.ArgumentError, match=r"picky: not this number \(.*test_errors.py") as e:
        bind(Primitive("picky", impl, register=False), [np.ones(3)], {})
    assert not isinstance(e.value, pg.ShapeError)


# -- boxes that NumPy would store, and arrays of other kinds ---------------------------------------
def _filled(write):
    def f(x):
        y = np.zeros(3)
        write(y, x)  # the line to be named
        return np.sum(y)

    return f


def _entry(y, x):
    y[0] = x[0]


def _flat(y, x):
    y.flat[0] = x[0]


STORES = {
    "entry": _entry,
    "fill": lambda y, x: y.fill(x[0]),
    "flat": _flat,
    "iterator": lambda y, x: np.fromiter((a for a in x), float, count=3),
}


@pytest.mark.parametrize("name", STORES)
def test_a_box_in_a_plain_array_is_refused_with_the_line(name: str) -> None:
    f, x = _filled(STORES[name]), np.ones(3)
    for run in (
        lambda: pg.grad(f, transparent=False)(x),
        lambda: pg.vjp(f, x, transparent=False),
        lambda: pg.jvp(f, (x,), (x,), transparent=False),
        lambda: pg.vmap(f, transparent=False)(np.ones((2, 3))),
        lambda: pg.eval_shape(f, x, transparent=False),
        lambda: pg.capture(f, x, transparent=False),
        lambda: pg.grad(pg.grad(f, 0, transparent=False), transparent=False)(x),
    ):
        with pytest.raises(pg.PlainBufferError, match=r"np\.zeros\(n, like=x\)") as caught:
            run()
        line = int(str(caught.value).rsplit(":", 1)[1][:-1])
        first = STORES[name].__code__.co_firstlineno
        assert first <= line <= first + 1
        assert isinstance(caught.value.__cause__, ValueError)


def test_an_error_of_the_users_own_passes_through() -> None:
    def f(x):
        raise ValueError("mine")

    for run in (
        lambda: pg.grad(f)(1.0),
        lambda: pg.vmap(f)(np.ones(2)),
        lambda: pg.capture(f, 1.0),
    ):
        with pytest.raises(ValueError, match=r"^mine$"):
            run()


MASKED = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x * MASKED).sum(),
        lambda x: (MASKED * x).sum(),
        lambda x: np.sum(np.add(MASKED, x)),
        lambda x: np.concatenate([x, MASKED]).sum(),
        lambda x: np.sum(np.where(MASKED > 1, x, 0)),
        lambda x: x @ MASKED,
    ],
)
def test_a_masked_array_is_refused(f) -> None:
    for run in (pg.grad(f), lambda x: pg.vmap(f)(x[None]), lambda x: pg.eval_shape(f, x)):
        with pytest.raises(TypeError, match=r"np\.ma.* np\.where\(m\.mask.*test_errors\.py"):
            run(np.ones(3))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_masked_arrays_and_matrices_are_no_arguments() -> None:
    for given, fix in ((MASKED, "m.mask"), (np.matrix([[1.0]]), "asarray")):
        for run in (
            lambda x: pg.grad(np.sum)(x),
            lambda x: pg.grad(lambda t: np.sum(t["a"]))({"a": x, "b": 1.0}),
            lambda x: pg.vjp(np.sum, x),
            lambda x: pg.jvp(np.sum, (x,), (x,)),
            lambda x: pg.vmap(np.sum)(x),
            lambda x: pg.eval_shape(np.sum, x),
            lambda x: pg.capture(np.sum, x),
        ):
            with pytest.raises(pg.UnsupportedOperationError, match=f"{fix}|filled"):
                run(given)
    with pytest.raises(pg.UnsupportedOperationError, match="asarray"):
        pg.grad(lambda x: np.sum(x * np.matrix([[1.0]])))(np.ones((1, 1)))
    with pytest.raises((TypeError, AttributeError)):
        pg.grad(lambda x: np.sum(np.matrix([[1.0]]) * x))(np.ones((1, 1)))
