"""Each form of a pipeline over weights, beside the same in plain Python, under every transform."""

import functools
from typing import Any

import numpy as np
import pytest

import pycograd as pg
from dsl_code import run
from pycograd import params

X = np.arange(12.0).reshape(4, 3) / 7
ROWS = np.stack([X, 2 * X, X - 1])


class Doubling:
    k = 2.0

    def __call__(self, x: Any) -> Any:
        return x * self.k

    def plus(self, x: Any) -> Any:
        return x + self.k

    @staticmethod
    def less(x: Any) -> Any:
        return x - 1


def two(a: Any, b: Any) -> Any:
    return a * b


NAMES = {"np": np, "functools": functools, "two": two, "ob": Doubling(), "X": X}
FORMS = {
    "$ |> $ * w |> np.tanh |> np.sum": "lambda x: np.sum(np.tanh(x * w))",
    "$ |> $a + $a * c |> np.sum($ * w)": "lambda x: np.sum((x + x * c) * w)",
    "|> X |> $ @ w |> np.sum": "lambda: np.sum(X @ w)",
    "$ |> fork[$, $ + 1] *|> two |> $ * w |> np.sum": "lambda x: np.sum(x * (x + 1) * w)",
    "$ |> {'a': $, 'b': c} **|> two |> np.sum": "lambda x: np.sum(x * c)",
    "np.tanh .> np.exp .> ($ * w) .> np.sum": "lambda x: np.sum(np.exp(np.tanh(x)) * w)",
    "np.sum <. ($ * w) <. np.tanh": "lambda x: np.sum(np.tanh(x) * w)",
    "f[$ * w] .** 3 .> np.sum": "lambda x: np.sum(x * w * w * w)",
    "$ |> fork[np.sin, $ * w, ob] *|> $a * $b + $d |> np.sum": (
        "lambda x: np.sum(np.sin(x) * (x * w) + 2.0 * x)"
    ),
    "$ |> list |> map[$ * w] |> np.stack |> np.sum": "lambda x: np.sum(np.stack([*(x * w)]))",
    "$ |> list |> map[$ @ w] |> reduce[$ + $]": "lambda x: sum([r @ w for r in x])",
    "$ |> list |> map[$ @ w] |> reduce[*]": "lambda x: functools.reduce(two, [r @ w for r in x])",
    "$ |> imap[$ @ w] |> list |> np.stack |> np.prod": "lambda x: np.prod(np.stack([*(x @ w)]))",
    "$ |> ob.plus |> ob.less |> ob |> $.sum(axis=0) |> $ @ w": (
        "lambda x: (2.0 * (x + 2.0 - 1)).sum(axis=0) @ w"
    ),
    "$ |> functools.partial(two, w) |> two$(c) |> np.sum": "lambda x: np.sum(c * (w * x))",
    "$ |> (c $> two) |> np.sum": "lambda x: np.sum(c * x)",
    "$ |> $ * (np.tanh <| w) |> np.sum": "lambda x: np.sum(x * np.tanh(w))",
    "$ |> np.tanh ** 2 |> 2.0 * np.sin |> -np.cos |> $ * w |> np.sum": (
        "lambda x: np.sum(-np.cos(2.0 * np.sin(np.tanh(x) ** 2)) * w)"
    ),
    "$ |> (np.tanh > 0.3) |> np.where($, w, c) |> np.sum": (
        "lambda x: np.sum(np.where(np.tanh(x) > 0.3, w, c))"
    ),
    "$ |> f{y = $ * w; z = np.tanh(y); z * y + c} |> np.sum": (
        "lambda x: np.sum(np.tanh(x * w) * (x * w) + c)"
    ),
    "$ |> do[np.shape] |> $ @ w ?> np.sum": "lambda x: np.sum(x @ w)",
    "$ |> parallel[$ @ w, np.tanh] *|> $a.sum() + $b.sum()": (
        "lambda x: (x @ w).sum() + np.tanh(x).sum()"
    ),
    "$ |> (lambda x: x @ w) |> (lambda x, k=2.0: x * k) |> np.sum": "lambda x: np.sum(x @ w * 2.0)",
    "$ |> ($ |> $ * w |> $.sum(axis=1)) |> np.tanh |> np.sum": (
        "lambda x: np.tanh((x * w).sum(axis=1)).sum()"
    ),
    "$ |> np.einsum('ij,j->i', $, w) |> np.linalg.norm": "lambda x: np.linalg.norm(x @ w)",
}

WAYS: dict[str, Any] = {
    "inference": lambda m, f, x: m.bind(f)(*x),
    "grad": lambda m, f, x: m.grad(f, *x),
    "grad compiled": lambda m, f, x: m.grad(f, *x, jit=True),
    "checkpoint": lambda m, f, x: m.grad(pg.checkpoint(f), *x),
    "capture": lambda m, f, x: pg.optimize(pg.capture(m.bind(f), *x))(*x),
    "jit": lambda m, f, x: pg.jit(m.bind(f))(*x),
    "shape": lambda m, f, x: np.zeros(pg.eval_shape(m.bind(f), *x).shape),
    "grad of data": lambda m, f, x: pg.grad(m.bind(f))(*x),
    "jvp": lambda m, f, x: pg.jvp(m.bind(f), x, x),
    "vmap": lambda m, f, x: pg.vmap(m.bind(f))(ROWS),
    "vmap of grad": lambda m, f, x: pg.vmap(pg.grad(m.bind(f)))(ROWS),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_what_it_is_in_plain_python(form: str, way: str) -> None:
    given = () if form.startswith("|>") else (X,)
    if not given and way in ("grad of data", "jvp", "vmap", "vmap of grad"):
        pytest.skip("it takes no data")
    m = params(w=np.array([1.0, 2.0, 3.0]), c=np.array(0.5))
    scope = run(f"form = ({form})\nplain = {FORMS[form]}", **NAMES)
    found, wanted = (WAYS[way](m, scope[name], given) for name in ("form", "plain"))
    for x, y in zip(pg.tree_leaves(found), pg.tree_leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-9, atol=1e-12)
