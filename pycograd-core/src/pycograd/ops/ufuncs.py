"""What NEP 13 asks beyond a plain call: keywords of ufuncs and their methods.

`np.add(x, y, out=..., where=..., dtype=...)`, `ufunc.reduce`, `accumulate`, `reduceat`, `outer` and
`at` on boxes arrive here, and so does `plain += box`, which cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, dtype_of, shape_of
from pycograd.core.box import Box, unsupported
from pycograd.core.errors import ShapeError, UnsupportedOperationError, located
from pycograd.core.fit import cast
from pycograd.core.spelling import UFUNC_METHODS, UFUNCS, claim, find
from pycograd.ops.axes import axis_of
from pycograd.ops.cumulative import accumulate, array
from pycograd.ops.index import index_add, index_update
from pycograd.ops.operators import update
from pycograd.ops.out import deliver, plain_buffer
from pycograd.ops.pattern import ARRAY, parse
from pycograd.ops.reduce import REDUCERS, reduce, reduced_dtype


# -- calls with keywords ---------------------------------------------------------------------------
def call(
    ufunc: np.ufunc,
    operands: Sequence[Any],
    *,
    out: Any = None,
    where: Any = True,
    casting: Any = "same_kind",
    order: Any = "K",
    subok: bool = True,
    dtype: Any = None,
    signature: Any = None,
    sig: Any = None,
    **axes: Any,
) -> Any:
    """`ufunc(*operands, ...)`; `order` and `subok` say nothing about values."""
    run = UFUNCS.get(ufunc) or find(UFUNCS, ufunc)
    if run is None:
        run = find(UFUNC_METHODS, "frompyfunc")(ufunc)  # type: ignore[misc]
    operands = [array(x) for x in operands]
    signature = signature or sig or (dtype and (None,) * ufunc.nin + (dtype,) * ufunc.nout)
    if signature or casting != "same_kind":
        operands = _for_loop(ufunc, operands, signature, casting)
    if axes:
        run = _along(ufunc, run, **axes)
    outs = out if isinstance(out, tuple) else (out,) * ufunc.nout
    if any(type(o) is np.ndarray and o.dtype.kind == "O" for o in outs):
        raise plain_buffer(f"np.{ufunc.__name__}(out=...)")  # it could hold boxes, which would leak
    if where is not True:
        return _masked_call(ufunc, run, operands, where, outs, casting)
    ans = run(*operands)
    if ufunc.nout == 1:
        return _into(ufunc, ans, outs[0], casting)
    return tuple([_into(ufunc, a, o, casting) for a, o in zip(ans, outs)])


def _into(ufunc: np.ufunc, ans: Any, out: Any, casting: Any) -> Any:
    """`ans`, broadcast and converted into `out` if there is one."""
    if out is None:
        return ans
    _check_cast(ufunc, ans, out, casting)
    if isinstance(ans, Box) and not isinstance(out, Box):
        raise plain_buffer(f"np.{ufunc.__name__}(out=...)")
    have, room = shape_of(ans), shape_of(out)
    if have != room and (
        len(have) > len(room) or any(n not in (1, m) for n, m in zip(have[::-1], room[::-1]))
    ):
        raise ShapeError(
            f"np.{ufunc.__name__}: a result of shape {have} does not fit into out= of shape {room}"
        )
    ans = cast(ans, out.dtype)
    return deliver(ans if shape_of(ans) == out.shape else np.broadcast_to(ans, out.shape), out)


def _check_cast(ufunc: np.ufunc, ans: Any, out: Any, casting: Any) -> None:
    if not np.can_cast(dtype_of(ans), out.dtype, casting):
        raise TypeError(
            located(
                f"np.{ufunc.__name__}: cannot write a {dtype_of(ans)} result into a {out.dtype}"
                f" array with casting={casting!r}; make the array with dtype={dtype_of(ans)}"
            )
        )


def _for_loop(ufunc: np.ufunc, operands: list[Any], signature: Any, casting: Any) -> list[Any]:
    """The operands in the dtypes of the inner loop that NumPy would choose."""
    avals = [aval_of(x) for x in operands]
    kinds = {"f": float, "c": complex, "i": int}
    given = [kinds.get(a.dtype.kind, a.dtype) if a.weak else a.dtype for a in avals]
    wanted = {"signature": signature} if signature else {}
    loop = ufunc.resolve_dtypes((*given, *[None] * ufunc.nout), casting=casting, **wanted)
    return [
        x if a.weak and d.kind == a.dtype.kind and signature is None else cast(x, d)
        for x, a, d in zip(operands, avals, loop)
    ]


def _masked_call(
    ufunc: np.ufunc,
    run: Callable[..., Any],
    operands: list[Any],
    where: Any,
    outs: Any,
    casting: Any,
) -> Any:
    """`where=`: entries left out keep what `out` has, and have no part in the derivative.

    They are computed at a point where every function here is smooth, so that no nan arises which
    the zero cotangent would not cancel.
    """
    if any(o is None for o in outs):
        raise UnsupportedOperationError(
            f"np.{ufunc.__name__}(where=...) without out= leaves entries uninitialised. Write"
            f" out=np.zeros(n, like=x), or np.where(mask, np.{ufunc.__name__}(x), 0)"
        )
    inside = 2 if ufunc is np.arccosh else 0.5
    safe = [
        x if aval_of(x).weak and ufunc.nin > 1 else np.where(where, x, _point(inside, x))
        for x in operands
    ]
    results = run(*safe) if ufunc.nout > 1 else (run(*safe),)
    done = []
    for ans, out in zip(results, outs):
        _check_cast(ufunc, ans, out, casting)
        done.append(_into(ufunc, np.where(where, cast(ans, out.dtype), out), out, casting))
    return done[0] if ufunc.nout == 1 else tuple(done)


def _point(value: float, x: Any) -> Any:
    """`value` in the dtype of `x`; 1 in place of a fraction."""
    return cast(value if dtype_of(x).kind in "fcV" else 1, dtype_of(x))


def _along(
    ufunc: np.ufunc,
    run: Callable[..., Any],
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Callable[..., Any]:
    """A generalised ufunc on core dimensions that are not the last ones."""
    if axis is not None:
        axes = [(axis,)] * ufunc.nin
    elif axes is None:
        axes = [(-1,)] * ufunc.nin
    places = [a if isinstance(a, tuple) else (a,) for a in axes]

    def moved(*operands: Any) -> Any:
        ans = run(*[np.moveaxis(x, a, tuple(range(-len(a), 0))) for x, a in zip(operands, places)])
        if keepdims:
            return np.expand_dims(ans, places[0])
        for place in places[ufunc.nin :]:
            ans = np.moveaxis(ans, tuple(range(-len(place), 0)), place)
        return ans

    return moved


# -- methods ---------------------------------------------------------------------------------------
def outer(ufunc: np.ufunc, operands: Sequence[Any], **kwargs: Any) -> Any:
    """`ufunc` of every entry of one operand with every entry of the other."""
    # As arrays: beside another a Python number keeps its dtype here.
    parts: list[Any] = [np.reshape(array(x), shape_of(x)) for x in operands]
    a, b = parts
    a = np.reshape(a, shape_of(a) + (1,) * len(shape_of(b)))
    return call(ufunc, (a, b), **kwargs)


def at(ufunc: np.ufunc, operands: Sequence[Any]) -> None:
    """`a[index] = ufunc(a[index], b)`, an entry that is named twice being changed twice."""
    name = f"np.{ufunc.__name__}.at"
    a, index, *rest = operands
    if not isinstance(a, Box):
        raise plain_buffer(name)
    if find(UFUNCS, ufunc) is None or ufunc.nout > 1:
        raise unsupported(ufunc)
    rest = [array(b) for b in rest]
    if ufunc in (np.add, np.subtract):
        part = _same_kind(name, rest[0] if ufunc is np.add else -rest[0], a)
        key, arrays, unique = parse(index, a.shape)
        new = index_add(a, part, *arrays, key=key, unique=unique)
    else:
        new = _in_turn(name, UFUNCS[ufunc], a, index, rest)
    update(a, new)


def _in_turn(name: str, run: Callable[..., Any], a: Any, index: Any, rest: Sequence[Any]) -> Any:
    """Applies `run` in rounds, none of which names an entry twice."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, Box) for part in parts):
        raise UnsupportedOperationError(
            f"{name}: mapped indices have no rule, since which entries are named twice differs"
            " between rows; np.add.at takes them"
        )
    numbers = np.arange(int(np.prod(a.shape))).reshape(a.shape)[index]
    others: list[Any] = [np.reshape(np.broadcast_to(b, numbers.shape), -1) for b in rest]
    if numbers.size == 0:
        return a
    numbers = numbers.reshape(-1)
    flat: Any = np.reshape(a, -1)
    rounds = _occurrence(numbers)
    for turn in range(int(rounds.max()) + 1):
        chosen = np.flatnonzero(rounds == turn)
        where = numbers[chosen]
        new = _same_kind(name, run(flat[where], *[b[chosen] for b in others]), a)
        flat = index_update(flat, new, where, key=(ARRAY,), unique=True)
    return np.reshape(flat, a.shape)


def _occurrence(numbers: Any) -> Any:
    """How often the number at each position has occurred before it."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths: Any = np.diff(np.append(starts, len(ordered)))
    before: Any = np.empty(len(numbers), np.intp)
    before[order] = np.arange(len(ordered)) - np.repeat(starts, lengths)
    return before


def _same_kind(name: str, new: Any, a: Any) -> Any:
    have = dtype_of(new)
    number = aval_of(new).weak and have.kind == "i" and a.dtype.kind == "u"
    if not number and not np.can_cast(have, a.dtype, "same_kind"):
        raise TypeError(f"{name}: cannot write a {have} result into a {a.dtype} array")
    return cast(new, a.dtype)


def reduceat(
    ufunc: np.ufunc,
    operands: Sequence[Any],
    *,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """Reductions over the segments between consecutive indices.

    Segments of one length are gathered into one array and reduced together.
    """
    name = f"{ufunc.__name__}.reduceat"
    if ufunc not in REDUCERS:
        raise UnsupportedOperationError(
            f"np.{name} has no rule for differentiated values; those that have are"
            f" {', '.join(sorted(f.__name__ for f in REDUCERS))}"
        )
    a, starts = operands
    if isinstance(starts, Box):
        raise UnsupportedOperationError(
            f"np.{name}: the lengths of segments must be known; its indices cannot be mapped or"
            " differentiated values"
        )
    a, starts = array(a), np.asarray(starts, np.intp)
    axis = axis_of(axis, len(shape_of(a)), name)
    n = int(shape_of(a)[axis])
    if starts.size and (starts.min() < 0 or starts.max() >= n):
        raise ShapeError(f"{name}: indices lie outside of axis {axis} of shape {shape_of(a)}")
    # An index that is not below the next one stands for its entry alone.
    lengths = np.maximum(np.append(starts[1:], n) - starts, 1)
    found: list[Any] = []
    place: Any = np.empty(len(starts), np.intp)
    filled = 0
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        if length == 1:  # an entry alone is only converted
            wide = reduced_dtype(ufunc, dtype_of(a)) if dtype is None else np.dtype(dtype)
            found.append(cast(np.take(a, starts[chosen], axis=axis), wide))
        else:
            entries = np.take(a, starts[chosen, None] + np.arange(length), axis=axis)
            found.append(reduce(ufunc, entries, axis + 1, dtype, name=name))
        place[chosen] = np.arange(filled, filled + len(chosen))
        filled += len(chosen)
    if not found:
        return deliver(np.take(a, starts, axis=axis), out)
    return deliver(np.take(np.concatenate(found, axis), place, axis=axis), out)


def _method(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run(ufunc, operands, **kwargs)` in the form that boxes call."""
    return lambda ufunc, operands, kwargs: run(ufunc, operands, **kwargs)


def _reduce(ufunc: np.ufunc, operands: Sequence[Any], **kwargs: Any) -> Any:
    return reduce(ufunc, *operands, **kwargs)


def _accumulate(ufunc: np.ufunc, operands: Sequence[Any], **kwargs: Any) -> Any:
    return accumulate(ufunc, *operands, **kwargs)


for _name, _run in (
    ("__call__", call),
    ("reduce", _reduce),
    ("accumulate", _accumulate),
    ("reduceat", reduceat),
    ("outer", outer),
    ("at", at),
):
    claim(UFUNC_METHODS, _name, _method(_run))
