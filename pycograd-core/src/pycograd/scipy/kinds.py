"""The kind of most primitives here: a map whose tangent and whose adjoint are both written down.

The rules are NumPy on values, as everywhere, and may bind the primitive itself. Where an
implementation takes one problem at a time, a batch is a loop over its rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT64, ShapeDtypeStruct, aval_of, dtype_of, make_aval, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.fit import fit
from pycograd.core.linear import zeros_like
from pycograd.core.primitive import Primitive, bind
from pycograd.core.tree import tree_flatten

Rule = Callable[..., Any]


class Adjoint(Primitive):
    """An operation given by its tangent map and the transpose of that.

    Arguments:
        tangent: `tangent(tangents, values, ans, **params)`, the tangent of `ans`; a tangent of None
            is zero, and at least one is not.
        pull: `pull(ct, live, values, ans, **params)`, the cotangents of the operands `live`, in
            their order. Holomorphic, as the transposes of `core.linear` are.
        shape: `shape(*avals, **params)` -> aval.
        batch: `batch(size, values, mapped, **params)`; a loop over rows if left out.
        adjoint: True if `pull` is the adjoint in the real inner product, conjugations included.
    """

    def __init__(
        self,
        name: str,
        impl: Rule,
        *,
        tangent: Rule,
        pull: Rule,
        shape: Rule,
        batch: Rule | None = None,
        adjoint: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        self.tangent, self.pull, self.adjoint = tangent, pull, adjoint
        self.shape_rule, self.batch_rule = shape, batch

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        return self.tangent(tangents, values, ans, **params)

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return self._pull, (values, live, ans, params)

    def _pull(self, ct: Any, residual: Any) -> Any:
        values, live, ans, params = residual
        turned = not self.adjoint and dtype_of(ct).kind == "c"
        found = self.pull(np.conj(ct) if turned else ct, live, values, ans, **params)
        fitted = [
            fit(np.conj(c) if turned and c is not None else c, shape_of(v), dtype_of(v))
            for c, v in zip(found, [values[i] for i in live])
        ]
        return fitted[0] if len(live) == 1 else tuple(fitted)

    def batch(self, size: Any, values: Any, mapped: Any, params: Any) -> Any:
        if self.batch_rule is not None:
            return self.batch_rule(size, values, mapped, **params)
        return by_rows(self, size, values, mapped, params)

    def shape(self, avals: Any, params: Any) -> Any:
        return self.shape_rule(*avals, **params)


def by_rows(
    primitive: Primitive, size: Any, values: Sequence[Any], mapped: Sequence[bool], params: Any
) -> Any:
    """The results for the rows of a batch, one after the other."""
    bottom = [raw(v) for v in values]
    if any(isinstance(b, ShapeDtypeStruct) for b in bottom):  # there are no rows to loop over
        avals = [aval_of(v) for v in values]
        rows = [make_aval(a.shape[1:], a.dtype) if m else a for a, m in zip(avals, mapped)]
        out = primitive.shape(rows, params)
        like = next(v for v, b in zip(values, bottom) if isinstance(b, ShapeDtypeStruct))
        made = [
            np.zeros((size, *a.shape), a.dtype, like=like)
            for a in (out if primitive.multi else (out,))
        ]
        return tuple(made) if primitive.multi else made[0]
    found = [
        bind(primitive, [v[i] if m else v for v, m in zip(values, mapped)], params)
        for i in range(size)
    ]
    if not primitive.multi:
        return np.stack(found)
    return tuple([np.stack(column) for column in zip(*found)])


def over_columns(times: Callable[[Any], Any], x: Any) -> Any:
    """A map of vectors and of columns, `times`, on a batch of operands: as columns of one."""
    columns = np.moveaxis(x, 0, -1)
    shape = shape_of(columns)
    if len(shape) > 2:
        columns = np.reshape(columns, (shape[0], math.prod(shape[1:])))
    out = times(columns)
    if len(shape) > 2:
        out = np.reshape(out, (shape_of(out)[0], *shape[1:]))
    return np.moveaxis(out, -1, 0)


def boxed(*trees: Any) -> bool:
    """True if some leaf is a differentiated value, so that scipy cannot be called as it is."""
    return any(isinstance(x, Box) for x in tree_flatten(trees)[0])


def array(x: Any) -> Any:
    """A value as an array or box; a list or tuple of either is stacked."""
    if isinstance(x, (list, tuple)) and boxed(x):
        return np.stack([array(entry) for entry in x])
    return x if isinstance(x, (Box, np.ndarray)) else np.asarray(x)


def inexact(x: Any) -> Any:
    """A value as an array or box; integers as float64."""
    x = array(x)
    return x if dtype_of(x).kind in "fc" else x.astype(FLOAT64)


def moved(tangent: Any, value: Any) -> Any:
    """A tangent, a symbolic zero made real."""
    return zeros_like(value) if tangent is None else tangent


def entries_at(table: Any, places: Any) -> Any:
    """`table[places]` along axis 0, where either may be a box."""
    if isinstance(places, Box) and not isinstance(table, Box):
        table = np.asarray(table, like=places)
    return table[places]
