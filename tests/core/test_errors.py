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
