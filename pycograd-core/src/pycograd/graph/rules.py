"""The rewrite rules, in groups; see `rewrite` for their form and for what a licence means."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from pycograd.core.aval import aval_of, dtype_of, promote, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.elementwise import Elementwise
from pycograd.core.primitive import REGISTRY
from pycograd.graph.rewrite import Named, Rule

# -- views: exact, for nothing is computed ---------------------------------------------------------
STRUCTURE: Final = [
    Rule(("transpose", ("transpose", "x")), lambda x, params, of: _composed(x, params, of)),
    Rule(("transpose", "x"), lambda x, params: x if _in_order(params["axes"]) else None),
    Rule(("reshape", ("reshape", "x")), lambda x, shape, maker: _reshaped(x, shape, maker)),
    Rule(("reshape", "x"), lambda x, params: x if shape_of(x) == params["shape"] else None),
    Rule(("expand_dims", "x"), lambda x, shape: np.reshape(x, shape)),
    Rule(("squeeze", "x"), lambda x, shape: np.reshape(x, shape)),
    Rule(("broadcast_to", ("broadcast_to", "x")), lambda x, shape: np.broadcast_to(x, shape)),
    Rule(("broadcast_to", "x"), lambda x, shape: x if shape_of(x) == shape else None),
    Rule(("astype", "x"), lambda x: x),  # to the dtype it has: any other does not fit
]


def _composed(x: Any, params: Any, of: Any) -> Any:
    first = of["transpose"]["axes"]
    return np.transpose(x, tuple([first[a] for a in params["axes"]]))


def _reshaped(x: Any, shape: Any, maker: Any) -> Any:
    """`x` reshaped at once, but for one that must be copied: of that copy the next is a view."""
    copied = maker(x) == "transpose" and shape_of(x) != shape
    return None if copied else np.reshape(x, shape)


def _in_order(axes: tuple[int, ...]) -> bool:
    return axes == tuple(range(len(axes)))


def small_operands() -> list[Rule]:
    """An operand need not be repeated to the shape that the operation repeats it to anyway.

    What is made of a repeated operand and numbers alone is computed once and then repeated.
    """
    rules = []
    for p in REGISTRY.values():
        if not isinstance(p, Elementwise):
            continue
        if p.arity == 1:
            rules.append(
                Rule(
                    (p.name, ("broadcast_to", "x")),
                    lambda x, params, shape, p=p: _to(p(x, **params), shape),
                )
            )
        elif p.arity == 2:
            rules += [
                Rule(
                    (p.name, ("broadcast_to", "x"), "y"),
                    lambda x, y, params, p=p: _small(p, (x, y), params),
                ),
                Rule(
                    (p.name, "x", ("broadcast_to", "y")),
                    lambda x, y, params, p=p: _small(p, (x, y), params),
                ),
                Rule(
                    (p.name, ("broadcast_to", "x"), "y"),
                    lambda x, y, params, shape, p=p: _repeated(p, (x, y), y, params, shape),
                ),
                Rule(
                    (p.name, "x", ("broadcast_to", "y")),
                    lambda x, y, params, shape, p=p: _repeated(p, (x, y), x, params, shape),
                ),
            ]
        elif p.arity == 3:
            rules += [
                Rule(
                    (p.name, ("broadcast_to", "x"), "y", "z"),
                    lambda x, y, z, params, p=p: _small(p, (x, y, z), params),
                ),
                Rule(
                    (p.name, "x", ("broadcast_to", "y"), "z"),
                    lambda x, y, z, params, p=p: _small(p, (x, y, z), params),
                ),
                Rule(
                    (p.name, "x", "y", ("broadcast_to", "z")),
                    lambda x, y, z, params, p=p: _small(p, (x, y, z), params),
                ),
            ]
    return rules


def _small(p: Elementwise, operands: Any, params: Any) -> Any:
    """The operation, if a number that adapts to others does not: repeated it is an array."""
    avals = [aval_of(x) for x in operands]
    try:
        alike = promote(avals) == np.result_type(*[a.dtype for a in avals])
    except TypeError:  # bfloat16 and an integer, which have no dtype in common
        return None
    return p(*operands, **params) if alike else None


def _repeated(p: Elementwise, operands: Any, number: Any, params: Any, shape: Any) -> Any:
    if shape_of(number) != () or (made := _small(p, operands, params)) is None:
        return None
    return _to(made, shape)


def _to(x: Any, shape: Any) -> Any:
    if not isinstance(x, Box) and any(isinstance(n, Dim) for n in shape):
        return None  # a number alone has no symbolic shape
    return np.broadcast_to(x, shape)


# -- arithmetic ------------------------------------------------------------------------------------
def _reciprocal(x: Any, c: Any) -> Any:
    """x / c for a power of two, whose reciprocal is a float too, so that nothing is rounded."""
    if not isinstance(c, (int, float, np.floating)) or not c or not math.isfinite(c):
        return None
    dtype = np.result_type(dtype_of(x), c)
    if dtype.kind not in "fiub" or abs(math.frexp(c)[0]) != 0.5:
        return None
    least = np.finfo(dtype if dtype.kind == "f" else np.float64).smallest_normal
    return x * (type(c)(1) / c) if least <= abs(c) <= 1 / least else None


def _if_real(x: Any) -> Any:
    """`x` unless it is complex: products with 1 + 0j are not exact where there are infinities."""
    return None if dtype_of(x).kind == "c" else x


def _alike(x: Any, y: Any) -> bool:
    """True if a sign may move from one to the other: no conversion stands in between.

    Of an integer it may not where it is converted afterwards: -uint8(1) is 255. Nor of a real
    number where it becomes complex: -(x + 0j) has another zero than -x + 0j.
    """
    a, b = dtype_of(x), dtype_of(y)
    return a == b or a.kind == b.kind == "f"


EXACT: Final = [
    Rule(("multiply", "x", 1), _if_real),
    Rule(("divide", "x", 1), _if_real),
    Rule(("power", "x", 1), _if_real),
    Rule(("subtract", "x", 0), lambda x: x),
    Rule(("positive", "x"), lambda x: x),
    Rule(("negative", ("negative", "x")), lambda x: x),
    Rule(("subtract", "x", ("negative", "y")), lambda x, y: x + y if _alike(x, y) else None),
    Rule(("add", "x", ("negative", "y")), lambda x, y: x - y if _alike(x, y) else None),
    Rule(
        ("divide", ("negative", "x"), "y"),
        lambda x, y: -(x / y) if dtype_of(x).kind == "f" and dtype_of(y).kind != "c" else None,
    ),
    Rule(
        ("multiply", ("negative", "x"), ("negative", "y")),
        lambda x, y: x * y if _alike(x, y) else None,
    ),
    Rule(("divide", "x", "c"), _reciprocal),
    Rule(("where", "c", "x", "x"), lambda x: x),
]

FINITE: Final = [
    Rule(("add", "x", 0), lambda x: x, "finite"),
    Rule(("bitwise_or", "m", ("not_equal", "x", "x")), lambda m: m, "finite"),
    Rule(("subtract", "x", "x"), lambda x: np.zeros(shape_of(x), x.dtype, like=x), "finite"),
    Rule(("divide", "x", "x"), lambda x: np.ones(shape_of(x), x.dtype, like=x), "finite"),
]

# -- sums and products in another order ------------------------------------------------------------
_SOFTMAX = ("divide", "e", ("sum", "e"))  # e being the exponentials
_OF_LOGITS = ("multiply", ("subtract", "x", ("sum", ("multiply", "x", _SOFTMAX))), _SOFTMAX)
_OF_THE_MAXIMUM = ("where", "m", ("negative", ("divide", ("sum", "g"), "n")), 0)


def _broadcasts(params: Any) -> bool:
    """True if a sum broadcasts against its operand along the axes that it sums."""
    axes = params["axis"]
    return bool(params["keepdims"]) or axes == tuple(range(len(axes)))


def _dot(x: Any, y: Any, params: Any) -> Any:
    """The sum of a product without the product, where NumPy has a loop for it."""
    axes, shape = params["axis"], shape_of(x)
    if not shape or len(axes) < len(shape) or not _are_alike(x, y):
        return None
    whole = np.reshape(x, (-1,)) @ np.reshape(y, (-1,))
    return np.reshape(whole, (1,) * len(shape)) if params["keepdims"] else whole


def _dot_rows(x: Any, y: Any, params: Any) -> Any:
    """The same of sums over the last axes, where the rows are long."""
    axes, shape = params["axis"], shape_of(x)
    first = len(shape) - len(axes)
    if not axes or not first or axes != tuple(range(first, len(shape))) or not _are_alike(x, y):
        return None
    kept, summed = shape[:first], shape[first:]
    if any(type(n) is not int for n in summed) or (length := math.prod(summed)) < _LONG:
        return None
    rows = np.reshape(x, (*kept, 1, length)) @ np.reshape(y, (*kept, length, 1))
    return np.reshape(rows, (*kept, *((1,) * len(axes) if params["keepdims"] else ())))


_LONG: Final = 128  # entries with which a product of matrices is quicker than one and a sum


def _are_alike(x: Any, y: Any) -> bool:
    """True for real floats of one shape and dtype."""
    return shape_of(x) == shape_of(y) and x.dtype == y.dtype and x.dtype.kind == "f"


def _are_floats(x: Any, y: Any, s: Any) -> bool:
    """True for two of one precision, with room for their sum: integers and halves overflow.

    What they are divided by is of no other, in which the quotients would be added.
    """
    a = dtype_of(x)
    wide = a == dtype_of(y) and a.kind in "fc" and a.itemsize > 2
    return wide and promote([aval_of(x), aval_of(s)]) == a


REASSOCIATE: Final = [
    Rule(
        ("subtract", ("divide", "x", "s"), ("divide", "y", "s")),
        lambda x, y, s: (x - y) / s if _are_floats(x, y, s) else None,
        "reassociates",
    ),
    Rule(
        ("add", ("divide", "x", "s"), ("divide", "y", "s")),
        lambda x, y, s: (x + y) / s if _are_floats(x, y, s) else None,
        "reassociates",
    ),
    # x / s * e is x times a quotient that the graph has had before: one division less
    Rule(
        ("multiply", ("divide", "x", "s"), "e"),
        lambda x, s, e, made: (
            x * (e / s)
            if dtype_of(x) == dtype_of(e) and made("divide", e, s) < made("divide", x, s)
            else None
        ),
        "reassociates",
    ),
    # The cotangent of the logits of a softmax sums to zero, so the maximum that was subtracted from
    # them for stability gets none: sum((x - sum(x p)) p) = sum(x p) - sum(x p) sum(p) = 0.
    Rule(
        (
            "add",
            Named("g", _OF_LOGITS),
            _OF_THE_MAXIMUM,
        ),
        lambda g, e, of: g if _broadcasts(of["sum"]) and shape_of(e) == shape_of(g) else None,
        "reassociates",
    ),
    Rule(("sum", ("multiply", "x", "y")), _dot, "reassociates"),
]

# Apart from the others, some of which know a softmax by its sums of products; for NumPy, since
# compilers of other libraries do it themselves, or have no quick product of so many rows.
ROWS: Final = [Rule(("sum", ("multiply", "x", "y")), _dot_rows, "reassociates")]
