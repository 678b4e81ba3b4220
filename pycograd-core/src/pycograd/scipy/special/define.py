"""How a ufunc of `scipy.special` becomes an operation: a rule an operand, as for NumPy's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, promote_inexact, ufunc_dtype
from pycograd.core.elementwise import Elementwise
from pycograd.core.spelling import UFUNCS, claim

Rule = Callable[..., Any]


def name_of(ufunc: Any) -> str:
    """Its name as a primitive, apart from NumPy's own function of that name."""
    name: str = ufunc.__name__.lstrip("_")  # of those that scipy's Python functions call
    return f"scipy_{name}" if hasattr(np, name) else name


def ufunc(function: Any, *rules: Any, **options: Any) -> Elementwise:
    """An elementwise operation of scipy, from the rules of its operands.

    Those of several are cast: what scipy makes of a float32 beside a number is often a float64.
    """
    options.setdefault("keeps_dtype", len(rules) == 1)
    return Elementwise(name_of(function), function, rules, cost="transcendental", **options)


def family(name: str, value: Rule, *rules: Any, like: int) -> Elementwise:
    """An operation of our own that scipy has no ufunc for, a derivative of one that it has.

    Arguments:
        value: on plain arrays, the last operands being numbers of derivatives or an order.
        like: the number of leading operands that say what dtype the result has.
    """

    def impl(*operands: Any) -> Any:
        result = np.asarray(value(*operands))
        return result.astype(promote_inexact([aval_of(x) for x in operands[:like]]), copy=False)[()]

    return Elementwise(
        name, impl, rules, dtype=lambda *avals: promote_inexact(avals[:like]), cost="transcendental"
    )


def parts(function: Any, **outputs: Sequence[Any]) -> list[Elementwise]:
    """The results of a ufunc that has several, each an operation: name -> the rules of it."""
    made = [
        Elementwise(
            f"{name_of(function)}_{name}",
            _one_of(function, i),
            rules,
            dtype=lambda *avals: ufunc_dtype(function, avals),
            cost="transcendental",
            keeps_dtype=False,
        )
        for i, (name, rules) in enumerate(outputs.items())
    ]
    claim(UFUNCS, function, lambda *operands: tuple([part(*operands) for part in made]))
    return made


def _one_of(function: Any, i: int) -> Rule:
    return lambda *operands: function(*operands)[i]
