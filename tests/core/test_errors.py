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
