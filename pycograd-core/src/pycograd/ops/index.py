"""Parts of a value: reading `x[i]`, `x[1:, None]`, `x[rows, columns]`, `x[mask]`, and their duals.

`index` takes a basic index and makes a view; `gather` takes arrays. Both have one transpose,
`scatter`, whose transpose they are. The sweep does not build a scatter for each read: it adds the
cotangent into the buffer of the value's own cotangent, so n reads of one array cost n. Where
cotangents are boxes of outer transforms, `index_add` is that addition. `index_update` replaces
entries; what users write that ends in it is in `ops.assign`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pycograd.core import elementwise, sizes
from pycograd.core.aval import FLOAT32, aval_of, dtype_of, make_aval, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.buffers import FRAME, owned
from pycograd.core.errors import ShapeError
from pycograd.core.fit import fit, is_narrow
from pycograd.core.linear import zeros_like
from pycograd.core.primitive import Primitive, bind, explained
from pycograd.core.tape import INTO_BUFFER, Sweep, Var, WeakVar, deposit, slot_of
from pycograd.core.views import alias, as_array, exclusive, links_of, spent
from pycograd.ops.operators import attached
from pycograd.ops.pattern import (
    ARRAY,
    Key,
    batched,
    batched_part,
    filled,
    layout,
    parse,
    shape_after,
)

_new = object.__new__
_ndarray, _generic = np.ndarray, np.generic
_BASIC = frozenset({int, slice, type(None), type(Ellipsis)})
_FEW = 32  # entries, for which NumPy's own loop is as fast as any other


# -- on plain arrays -------------------------------------------------------------------------------
def _index(x: Any, *, key: Key, fresh: bool = False) -> Any:
    return x[key].copy() if fresh else x[key]


def _gather(x: Any, *arrays: Any, key: Key, unique: bool = False) -> Any:
    if len(key) == 1 and x.ndim > 1 and arrays[0].dtype.kind != "b" and x.flags.c_contiguous:
        return x.take(arrays[0], 0)  # rows: twice as fast
    return x[filled(key, arrays)]


def _add(total: Any, arrays: Sequence[Any], key: Key, unique: bool, part: Any) -> None:
    """`total[key] += part` in place, with entries that are taken twice added twice."""
    if unique or not arrays:
        total[filled(key, arrays)] += part
    elif is_narrow(total.dtype) and max([x.size for x in arrays]) > _FEW:
        wide = np.zeros(total.shape, FLOAT32)
        _add(wide, arrays, key, unique, np.asarray(part, FLOAT32))
        total[...] = total + wide
    elif key == (ARRAY,) and total.ndim > 1 and part.size > _FEW and total.flags.c_contiguous:
        # Whole rows: five times as fast one by one in the flat array, for which ufunc.at has a
        # loop of its own.
        width = total[0].size
        rows = np.remainder(arrays[0], len(total), dtype=np.intp, casting="unsafe")
        flat = (rows[..., None] * width + np.arange(width)).reshape(-1)
        part = np.broadcast_to(part, (*rows.shape, *total.shape[1:]))
        np.add.at(total.reshape(-1), flat, part.reshape(-1))
    else:
        np.add.at(total, filled(key, arrays), part)


def _scatter(x: Any, *arrays: Any, key: Key, shape: Any, unique: bool = False) -> Any:
    total = np.zeros(shape, dtype_of(x))
    _add(total, arrays, key, unique, np.asarray(x))
    return total


def _index_add(
    x: Any, y: Any, *arrays: Any, key: Key, unique: bool = False, in_place: bool = False
) -> Any:
    total = x if in_place else np.array(x)
    _add(total, arrays, key, unique, np.asarray(y))
    return total


def _index_update(
    x: Any, y: Any, *arrays: Any, key: Key, unique: bool = False, in_place: bool = False
) -> Any:
    # In a graph an array of no axes may come as a scalar; what is none for a user never gets here.
    new = x if in_place else x.copy(order="K") if type(x) is _ndarray else np.array(x)
    new[filled(key, arrays)] = y
    return new


# -- the kinds -------------------------------------------------------------------------------------
class Read(Primitive):
    """`x[key]`, linear in operand 0; the others are index arrays.

    `fresh=True` of a basic index asks for a copy: so that who keeps it does not keep the buffer.
    """

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        t = tangents[0]
        return None if t is None else bind(self, (t, *values[1:]), params)

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return _add_back, (values[1:], _only(params, "key", "unique"), shape_of(values[0]))

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        x, *arrays = values
        one = layout(shape_of(x)[mapped[0] :], params["key"], arrays, mapped[1:])
        params, arrays, source, destination = batched(
            size, one, params, arrays, mapped[1:], mapped[0]
        )
        if not arrays and one.ndim == 0:
            params["fresh"] = True  # one number in each row
        out = bind(self, (x, *arrays), params)
        return out if source == destination else np.moveaxis(out, source, destination)

    def shape(self, avals: Any, params: Any) -> Any:
        x, *arrays = avals
        return make_aval(shape_after(self.name, x, params["key"], arrays), x.dtype)


class Scatter(Primitive):
    """Zeros of a shape with operand 0 added at `key`: the transpose of reading."""

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        t = tangents[0]
        return None if t is None else bind(self, (t, *values[1:]), params)

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return _read_back, (aval_of(values[0]), values[1:], params)

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        x, *arrays = values
        shape = params["shape"]
        params, arrays, x = batched_part(size, shape, params, arrays, mapped[1:], x, mapped[0])
        return bind(self, (x, *arrays), {**params, "shape": (size, *shape)})

    def shape(self, avals: Any, params: Any) -> Any:
        return make_aval(params["shape"], avals[0].dtype)


class Write(Primitive):
    """`x` with its entries at `key` changed by `y`: linear in both together.

    `in_place=True` is given where nobody else sees the buffers of `x`, and only then.
    """

    spoken = "item assignment"  # what messages call it

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        t, s = tangents[:2]
        if t is None and s is None:
            return None
        t = zeros_like(values[0]) if t is None else _array(t)
        return bind(self, (t, 0 if s is None else s, *values[2:]), params)

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        x, y, *arrays = values
        if not mapped[0]:
            if type(size) is not int and not isinstance(x, Box):  # only a box has symbolic sizes
                x = np.asarray(x, like=next(v for v in (y, *arrays) if isinstance(v, Box)))
            x = np.copy(np.broadcast_to(x, (size, *shape_of(x))), order="C")
            params = _only(params, "key", "unique")
        params, arrays, y = batched_part(
            size, shape_of(x)[1:], params, arrays, mapped[2:], y, mapped[1]
        )
        return bind(self, (x, y, *arrays), params)

    def shape(self, avals: Any, params: Any) -> Any:
        x, y, *arrays = avals
        place = shape_after(self.name, x, params["key"], arrays)
        try:
            whole = sizes.broadcast(place, y.shape, operation=self.name)
        except ShapeError:
            whole = ()
        if len(whole) != len(place) or any(n == 1 != m for n, m in zip(place, whole)):
            raise ShapeError(
                f"{self.spoken}: a value of shape {y.shape} does not fit into entries of shape"
                f" {place}"
            )
        return make_aval(x.shape, x.dtype)

    def misfit(self, operands: Any, params: Any) -> ShapeError | None:
        try:
            self.shape([aval_of(x) for x in operands], params)
        except ShapeError as error:
            return error
        return None


class IndexAdd(Write):
    """`x[key] += y`."""

    spoken = "index_add"

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        rule = _pull_both if len(live) == 2 else _pass_on if live[0] == 0 else _read_back
        return rule, (aval_of(values[1]), values[2:], params)


class IndexUpdate(Write):
    """`x[key] = y`."""

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return _clear, (live, aval_of(values[1]), values[2:], params)


# -- the rules of the sweep ------------------------------------------------------------------------
def _pass_on(ct: Any, residual: Any) -> Any:
    return ct


def _read_back(ct: Any, residual: Any) -> Any:
    """The cotangent of what was added at `key`: its entries there."""
    part, arrays, params = residual
    return fit(_entries(ct, arrays, params), part.shape, part.dtype)


def _pull_both(ct: Any, residual: Any) -> Any:
    return ct, _read_back(ct, residual)


def _entries(x: Any, arrays: Sequence[Any], params: dict[str, Any]) -> Any:
    """`x[key]` for the key of a scatter or a write."""
    if not arrays:
        return bind(index, (x,), {"key": params["key"]})
    return bind(gather, (x, *arrays), _only(params, "key", "unique"))


def _only(params: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: params[name] for name in names if name in params}


def _add_back(ct: Any, residual: Any, parents: Any, sweep: Sweep) -> None:
    """Adds the cotangent of `x[key]` into the buffer of that of `x`."""
    arrays, params, shape = residual
    cts, slot = sweep.cts, parents[0]
    total = cts[slot]
    if total is None:
        cts[slot] = bind(scatter, (ct, *arrays), {**params, "shape": shape})
    elif _plain(total, ct, *arrays):
        if not owned(total, 1):
            total = cts[slot] = np.array(total)
        _add(total, arrays, params["key"], params.get("unique", False), ct)
    else:
        if spent(total):
            params = {**params, "in_place": True}
        cts[slot] = bind(index_add, (total, ct, *arrays), params)


def _add_basic(ct: Any, key: Any, parents: Any, sweep: Sweep) -> None:
    """As `_add_back` for an index without arrays: what the fast path of `getitem` records.

    All reads of one value share `parents`, which has its shape besides its slot: fewer objects for
    the cyclic collector to go through while a tape grows.
    """
    slot, shape = parents
    if type(ct) is _ndarray or isinstance(ct, _generic):
        cts = sweep.cts
        total = cts[slot]
        if total is None:
            total = cts[slot] = np.zeros(shape, ct.dtype)
            total[key] = ct
            return
        if type(total) is _ndarray:
            if not owned(total, 1):
                total = cts[slot] = np.array(total)
            total[key] += ct
            return
    _add_back(ct, ((), {"key": _tuple(key)}, shape), parents, sweep)


def _clear(ct: Any, residual: Any, parents: Any, sweep: Sweep, holders: int = FRAME) -> None:
    """What was overwritten gets nothing, what was written the cotangent of its place."""
    live, y, arrays, params = residual
    params = _only(params, "key", "unique")
    # Asked before the entries are taken, which may be a view. The sweep holds it besides us.
    in_place = owned(ct, holders) if type(ct) is _ndarray else spent(ct, holders)
    part = None
    if live[-1] == 1:
        part = _entries(ct, arrays, params)
        if arrays and "unique" not in params:
            part = _last(part, shape_of(ct), arrays, params)
        elif in_place and not arrays and (isinstance(part, Box) or type(part) is _ndarray):
            part = np.copy(part)
        part = fit(part, y.shape, y.dtype)
    if live[0] == 0:
        if in_place:
            params["in_place"] = True
        deposit(sweep.cts, parents[0], bind(index_update, (_array(ct), 0, *arrays), params))
    if part is not None:
        deposit(sweep.cts, parents[-1], part)


def _clear_basic(ct: Any, residual: Any, parents: Any, sweep: Sweep) -> None:
    """As `_clear`, for what the fast path of `store` records."""
    key, shape = residual
    slot, source = parents
    if type(ct) is not _ndarray:
        y = make_aval(shape, dtype_of(ct))
        live = (0,) if source is None else (0, 1)
        return _clear(ct, (live, y, (), {"key": _tuple(key)}), parents, sweep, 2 * FRAME)
    if not owned(ct, FRAME):
        ct = np.array(ct)
    if source is not None:
        part = ct[key]
        if type(part) is _ndarray:
            part = part.copy() if shape else part.sum()
        deposit(sweep.cts, source, part)
    ct[key] = 0
    deposit(sweep.cts, slot, ct)
    return None


def _last(part: Any, shape: Any, arrays: Sequence[Any], params: dict[str, Any]) -> Any:
    """`part` with zeros for what was overwritten by a later entry for the same place."""
    if not all(type(n) is int for n in shape):
        return part  # an abstract evaluation: there are no entries
    taken = shape_of(part)
    order = np.arange(math.prod(taken)).reshape(taken)
    written = bind(index_update, (np.zeros(shape, int), order, *arrays), params)
    return np.where(_entries(written, arrays, params) == order, part, 0)


def _array(x: Any) -> Any:
    """A derivative of an array of no axes, for which NumPy's functions return a scalar."""
    return x if shape_of(x) else np.copy(x)


def _plain(*values: Any) -> bool:
    return not any(isinstance(v, Box) for v in values)


INTO_BUFFER.update((_add_back, _clear))


# -- the primitives --------------------------------------------------------------------------------
def _write_back(base: Any, new: Any, key: Key, fresh: bool = False) -> Any:
    params = {"key": key, "in_place": True} if exclusive(base) else {"key": key}
    return bind(index_update, (base, new), params)


def _is_copy(out: Any, params: Any) -> bool:
    return "fresh" in params or (not out.shape and _only_ints(params["key"]))


index = Read("index", _index, view=_write_back)
index.writes_part, index.copies, index.written = True, _is_copy, "{0}[{key}]"
gather = Read("gather", _gather, cost="memory")
scatter = Scatter("scatter", _scatter, cost="memory")
index_add = IndexAdd("index_add", _index_add, cost="memory")
index_update = IndexUpdate("index_update", _index_update, cost="memory")
gather.fresh = scatter.fresh = index_add.fresh = index_update.fresh = True  # if not `in_place`


# -- reading and writing entries -------------------------------------------------------------------
def _tuple(key: Any) -> Key:
    return key if type(key) is tuple else (key,)


def _only_ints(key: Key) -> bool:
    return all([type(entry) is int for entry in key])


def _is_row(x: Any, bottom: Any, key: Key) -> bool:
    """True for a row of a buffer that is being filled.

    Such a row is taken as a copy: kept by a later step as it is, it does not keep the buffer, which
    the next write may then change in place. It is a view of the box all the same (`core.views`).
    """
    return links_of(x).written and bottom.flags.c_contiguous and _only_ints(key)


def getitem(x: Any, key: Any) -> Any:
    """`x[key]`."""
    if type(x) is Var and type(x._trace) is elementwise.hot and type(x.value) is _ndarray:
        kind = type(key)
        if kind is int or kind is slice or (kind is tuple and _BASIC.issuperset(map(type, key))):
            value, tape, slot = x.value, x._trace, x.slot
            try:
                ans = value[key]
            except IndexError as error:
                raise explained("index", (value,), error) from error
            shared = links_of(x)
            if shared.reads is None or shared.reads[0] != slot:
                shared.reads = [slot, value.shape]
            steps = tape.steps
            step = (_add_basic, shared.reads, key)
            steps.append(step)
            out: Var = _new(Var)
            out.value, out._trace, out.slot = ans, tape, len(steps) - 1
            if steps[-1] is not step:
                out.slot = slot_of(steps, step)
            if type(ans) is _ndarray:
                key = _tuple(key)
                if _is_row(x, value, key):
                    out.value = ans.copy()
                alias(x, out, index, (x,), {"key": key})
            return out
    return read(x, key)


def read(x: Any, key: Any) -> Any:
    """`x[key]` where `x` is a box, or a plain array and there are boxes in `key`."""
    key, arrays, unique = parse(key, shape_of(x))
    if arrays:
        params = {"key": key, "unique": True} if unique else {"key": key}
        out = bind(gather, (x, *arrays), params)
        # Of a constant too a part is a box, so that `x[key] += y` can write a box into it.
        return attached(x, out) if isinstance(x, Box) and not isinstance(out, _generic) else out
    bottom = raw(x)
    if isinstance(x, Box) and type(bottom) is _ndarray and len(key) < len(x.shape):
        if _is_row(x, bottom, key):
            row = bind(index, (x,), {"key": key, "fresh": True})
            alias(x, row, index, (x,), {"key": key})
            return row
    out = bind(index, (x,), {"key": key})
    return as_array(out) if Ellipsis in key else out


def store(x: Any, key: Any, value: Any) -> bool:
    """`x[key] = value` in the buffer of `x`, if nobody else sees that and the key is basic.

    The fast path of assignment: one number, or one row, at a time. False: nothing was done.
    """
    kind = type(key)
    if not (kind is int or (kind is tuple and _BASIC.issuperset(map(type, key)))):
        return False
    tape, target, links = x._trace, x.value, links_of(x)
    links.written = True
    if not owned(target, 1) or links.origin is not None or x.slot < tape.floor:
        return False
    links.views = [view for view in links.views if view() is not None]
    part, source = value, None
    if (type(value) is Var or type(value) is WeakVar) and value._trace is tape:
        part, source = value.value, value.slot
    if type(part) is _ndarray:
        if kind is not int or part.shape != target.shape[1:]:
            return False
    elif type(part) is not float and not isinstance(part, _generic):
        return False
    if links.views or (type(part) is not float and part.dtype != target.dtype):
        return False
    target[key] = part
    steps = tape.steps
    step = (_clear_basic, [x.slot, source], (key, shape_of(part)))
    steps.append(step)
    x.slot = slot_of(steps, step)
    return True


box: Any = Box
box.__getitem__ = getitem
