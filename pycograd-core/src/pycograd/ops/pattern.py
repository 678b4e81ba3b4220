"""What an index says: its static part, its arrays, and the shape of what it takes.

An index is split into a *key*, a tuple of ints, slices, None and Ellipsis in which `ARRAY` stands
for each array, and the arrays, which are operands: they may be boxes (under `vmap` an index may
differ between rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_int
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import ControlFlowError, OutOfBoundsError, SymbolicSizeError
from pycograd.ops.counting import arange

ARRAY = "array"
Key = tuple[Any, ...]
_AS_IT_IS = frozenset({int, type(None), type(Ellipsis)})


# -- from what the user wrote ----------------------------------------------------------------------
def parse(key: Any, shape: Sequence[Any]) -> tuple[Key, list[Any], bool]:
    """`(key, arrays, unique)` for an index of a value of this shape.

    A mask that is known becomes the positions where it is true. `unique` is True if no entry is
    taken twice, as can be seen from all arrays being masks.
    """
    if isinstance(key, Box) and shape and key.dtype.kind in "iu":
        return (ARRAY,), [key], False  # the common case of arrays: a label, a list of rows
    entries: list[Any] = []
    masks = False
    for entry in key if type(key) is tuple else (key,):
        entry = _entry(entry)
        masks = masks or _is_mask(entry)
        entries.append(entry)
    if sum(entry is Ellipsis for entry in entries) > 1:
        raise OutOfBoundsError("index: an index can only have a single ellipsis ('...')")
    used = consumed(entries)
    if used > len(shape):
        raise OutOfBoundsError(
            f"index: too many indices for array: array is {len(shape)}-dimensional, but {used} were"
            " indexed"
        )
    kinds = [dtype_of(entry).kind for entry in entries if _is_array(entry)]
    if masks:
        entries = _positions(entries, shape, used)
    arrays = [entry for entry in entries if _is_array(entry)]
    key = tuple([ARRAY if _is_array(e) else e for e in entries])
    return key, arrays, bool(kinds) and set(kinds) == {"b"}


def _is_array(entry: Any) -> bool:
    return type(entry) is np.ndarray or isinstance(entry, Box)


def _is_mask(entry: Any) -> bool:
    """True for a mask whose entries are known; a 0-d one takes no axis and stays as it is."""
    return type(entry) is np.ndarray and entry.dtype.kind == "b" and entry.ndim > 0


def _entry(entry: Any) -> Any:
    kind = type(entry)
    if kind in _AS_IT_IS:
        return entry
    if kind is slice:
        return slice(*[_bound(b) for b in (entry.start, entry.stop, entry.step)])
    if isinstance(entry, Box):
        found = entry
    elif isinstance(entry, (np.ndarray, bool, np.bool_, Sequence)):
        found = np.asarray(entry)
        if not found.size and not isinstance(entry, np.ndarray):
            found = found.astype(np.intp)
    elif hasattr(entry, "__index__"):
        return as_int(entry)
    else:
        raise _no_index(kind.__name__)
    if found.dtype.kind not in "iub":
        raise _no_index(f"an array of {found.dtype}")
    return found


def _bound(bound: Any) -> Any:
    return bound if bound is None or isinstance(bound, (int, Dim)) else as_int(bound)


def _no_index(what: str) -> OutOfBoundsError:
    return OutOfBoundsError(
        "index: only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer"
        f" or boolean arrays are valid indices, not {what}"
    )


def _positions(entries: list[Any], shape: Sequence[Any], used: int) -> list[Any]:
    """The entries with each mask replaced by the positions of its true entries."""
    found: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is Ellipsis:
            axis += len(shape) - used
        if not _is_mask(entry):
            found.append(entry)
        else:
            for i, n in enumerate(entry.shape):
                if n != shape[axis + i]:
                    raise OutOfBoundsError(
                        f"index: a boolean index of size {n} does not match axis {axis + i} of size"
                        f" {shape[axis + i]}"
                    )
            found += entry.nonzero()
        axis += consumed([entry])
    return found


# -- the shape of what is taken --------------------------------------------------------------------
def consumed(entries: Sequence[Any]) -> int:
    """How many axes the entries of an index take up, arrays standing in their places."""
    used = 0
    for entry in entries:
        if _is_array(entry) and entry.dtype.kind == "b":
            used += len(entry.shape)
        elif entry is not None and entry is not Ellipsis:
            used += 1
    return used


def filled(key: Key, arrays: Sequence[Any]) -> Key:
    """The index as NumPy takes it: `key` with its arrays in their places."""
    if not arrays:
        return key
    rest = iter(arrays)
    return tuple([next(rest) if type(entry) is str else entry for entry in key])


class Layout:
    """Where the axes of the result of an index come from.

    Attributes:
        rank: how many axes the arrays give, broadcast against each other.
        at: the first of them in the result: in the place of the arrays if these stand together
            (ints beside arrays count as such), else 0.
        together: whether they do.
        ndim: the number of axes of the result.
    """

    __slots__ = ("rank", "at", "together", "ndim")

    def __init__(self, key: Key, ranks: Sequence[int], masks: Sequence[bool], ndim: int) -> None:
        rest = iter(zip(ranks, masks))
        used = kept = before = 0
        places: list[int] = []
        ellipsis = None
        for i, entry in enumerate(key):
            if type(entry) is str:
                rank, mask = next(rest)
                used += rank if mask else 1
            elif entry is Ellipsis:
                ellipsis = (kept, len(places))
                continue
            elif entry is None:
                kept += 1
                continue
            else:
                used += 1
                if type(entry) is slice:
                    kept += 1
                    continue
            if not places:
                before = kept
            places.append(i)
        more = ndim - used
        if ellipsis is not None and ellipsis[1] == 0 and places:
            before += more
        self.rank = max([1 if mask else rank for rank, mask in zip(ranks, masks)], default=0)
        self.together = not ranks or places == list(range(places[0], places[-1] + 1))
        self.at = before if ranks and self.together else 0
        self.ndim = kept + more + self.rank


def shape_after(operation: str, x: Any, key: Key, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The shape of `x[key]` for avals."""
    rest, axis = iter(arrays), 0
    out: list[Any] = []
    taken: list[tuple[Any, ...]] = []
    used = consumed(filled(key, arrays))
    for entry in key:
        if type(entry) is str:
            a = next(rest)
            if a.dtype.kind == "b":
                for n in a.shape:
                    sizes.same_size(n, x.shape[axis], operation)
                    axis += 1
                taken.append((sizes.fresh_size(operation),))
            else:
                taken.append(a.shape)
                axis += 1
        elif entry is None:
            out.append(1)
        elif entry is Ellipsis:
            more = len(x.shape) - used
            out += x.shape[axis : axis + more]
            axis += more
        elif type(entry) is slice:
            out.append(_length(entry, x.shape[axis]))
            axis += 1
        else:
            n = x.shape[axis]
            if type(n) is int and not -n <= entry < n:
                raise OutOfBoundsError(
                    f"{operation}: index {entry} is out of bounds for axis {axis} with size {n}"
                )
            axis += 1
    out += x.shape[axis:]
    if arrays:
        at = layout(x.shape, key, arrays).at
        out[at:at] = sizes.broadcast(*taken, operation=operation)
    return tuple(out)


def layout(
    shape: Sequence[Any], key: Key, arrays: Sequence[Any], mapped: Sequence[bool] = ()
) -> Layout:
    """The layout of `x[key]` for `x` of this shape, `mapped` arrays having a batch axis besides."""
    ranks = [len(shape_of(a)) - m for a, m in zip(arrays, mapped or [False] * len(arrays))]
    return Layout(key, ranks, [dtype_of(a).kind == "b" for a in arrays], len(shape))


def _length(s: slice, n: Any) -> Any:
    """The length of a slice of an axis of size `n`, either of which may be symbolic.

    Entries that a number takes off either end of a symbolic axis are taken to be there; any other
    bound must lie within the axis whatever its size, or the length is not known.
    """
    start, stop, step = s.start, s.stop, 1 if s.step is None else s.step
    if not any(isinstance(b, Dim) for b in (n, start, stop, step)):
        return len(range(*s.indices(n)))
    if isinstance(step, Dim) or (step < 0 and (start is not None or stop is not None)):
        raise _undecided(s, n)
    first, last = _from_front(start, 0, n), _from_front(stop, n, n)
    off_the_ends = _is_number(start) and (stop is None or (type(stop) is int and stop < 0))
    if not off_the_ends and not _ordered(0, first, last, n):
        raise _undecided(s, n)
    return (last - first + abs(step) - 1) // abs(step)


def _is_number(bound: Any) -> bool:
    return bound is None or type(bound) is int


def _from_front(bound: Any, default: Any, n: Any) -> Any:
    if bound is None:
        return default
    return n + bound if type(bound) is int and bound < 0 else bound


def _ordered(*chain: Any) -> bool:
    """True if these sizes do not decrease, for the numbers from 2 on tried in place of symbols."""
    names = sorted(set[str]().union(*[n.symbols for n in chain if isinstance(n, Dim)]))
    for number in (2, 3, 4, 5, 7, 8, 64, 1001):
        for order in (names, names[::-1]):
            chosen = {name: number * (i + 1) for i, name in enumerate(order)}
            sizes_ = [n.subs(chosen) if isinstance(n, Dim) else n for n in chain]
            if sizes_ != sorted(sizes_):
                return False
    return True


def _undecided(s: slice, n: Any) -> SymbolicSizeError:
    text = ":".join("" if b is None else str(b) for b in (s.start, s.stop, s.step))
    return SymbolicSizeError(
        f"the length of [{text.removesuffix(':')}] on an axis of symbolic size {n} depends on the"
        " number it stands for. Count from the ends ([1:], [:-1], [::2]), or give the axis a number"
    )


# -- under vmap ------------------------------------------------------------------------------------
def batched(
    size: Any,
    one: Layout,
    params: dict[str, Any],
    arrays: Sequence[Any],
    mapped: Sequence[bool],
    x: bool,
) -> tuple[dict[str, Any], list[Any], Any, Any]:
    """The index that does for all rows at once what `x[key]` does in each.

    Arguments:
        size: the number of rows.
        one: the layout of the result in one row.
        params: of the operation in one row: its key, and `unique` if no entry is taken twice.
        mapped: which arrays differ between rows (these have their batch axis in front).
        x: whether `x` does.

    Returns:
        `(params, arrays, source, destination)`: the axes `source` of what this index takes belong
        where `destination` says in what the rows take, batch axis first.
    """
    if any(m and dtype_of(a).kind == "b" for m, a in zip(mapped, arrays)):
        raise ControlFlowError(
            "x[mask] under vmap: the mask differs between rows, so the result would have another"
            " size in each. Write np.where(mask, x, 0), or np.sum(x, where=mask), in its place"
        )
    key = params["key"]
    if not any(mapped):
        # Arrays that stand apart give the first axes of the result, before the batch axis.
        every: Key = (slice(None), *key)
        return {**params, "key": every}, list(arrays), 0 if one.together else one.rank, 0
    aligned = [
        a.reshape((size,) + (1,) * (one.rank - len(a.shape) + 1) + a.shape[1:]) if m else a
        for a, m in zip(arrays, mapped)
    ]
    if not x:
        params = {name: value for name, value in params.items() if name != "unique"}
        return params, aligned, one.at, 0
    rows = arange(size).reshape((size,) + (1,) * one.rank)
    given = tuple(range(1, 1 + one.rank))  # the rows in front, the axes of all arrays come first
    params = {**params, "key": (ARRAY, *key)}
    if not one.rank:
        params["unique"] = True  # one entry in each row, whose number it is taken with
    return params, [rows, *aligned], given, tuple([a + one.at for a in given])


def batched_part(
    size: Any,
    shape: Sequence[Any],
    params: dict[str, Any],
    arrays: Sequence[Any],
    mapped: Sequence[bool],
    part: Any,
    part_mapped: bool,
) -> tuple[dict[str, Any], list[Any], Any]:
    """As `batched`, for a write of `part` into a value with a batch axis, of `shape` in a row."""
    one = layout(shape, params["key"], arrays, mapped)
    params, given, source, destination = batched(size, one, params, arrays, mapped, True)
    have = shape_of(part)[part_mapped:]
    if have or part_mapped:
        missing = one.ndim - len(have)
        part = np.reshape(part, ((size if part_mapped else 1), *[1] * missing, *have))
        if source != destination:
            part = np.moveaxis(part, destination, source)
    return params, given, part
