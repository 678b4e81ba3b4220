"""Writes into boxes: a functional update that NumPy's aliasing survives.

`y[i] = v` replaces what the box `y` stands for. NumPy's views alias their base, so a box made by a
view operation knows its base and how it was made, and the base knows its live views (weakly): a
write through any of them updates the base functionally and remakes the others.

Functionally, each write would copy. Where reference counts show that nobody but the box sees its
buffer (no residual, no view, no variable of the user), the update is done in that buffer, so that
filling n entries one by one costs n.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.box import Box, raw
from pycograd.core.buffers import FRAME, alone, owned
from pycograd.core.errors import AmbiguousAliasError, EscapedTracerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pycograd.core.primitive import Primitive

_FIRST_PRUNE = 16  # dead views are swept away whenever their list has doubled since the last time
_ndarray, _ref = np.ndarray, weakref.ref


class Links:
    """What a box knows of its aliases. A box that is a view and has none has only its `origin`."""

    __slots__ = ("origin", "views", "limit", "written", "moved", "reads")

    def __init__(self, origin: Any) -> None:
        # (base, primitive, operands after the base, params), for a view. The primitive is None
        # where it is not known whether it is one (`doubt`).
        self.origin: tuple[Box, Any, Any, Any] | None = origin
        self.views: list[weakref.ref[Any]] = []
        self.limit = _FIRST_PRUNE
        self.written = False  # it is a buffer being filled: small views of it hold copies
        self.moved = False  # a write has changed the layout in memory
        self.reads: Any = None  # what the steps that read parts of the box share (ops.index)


# The slot itself: a miss does not go through __getattr__.
_slot = Box.links.__get__  # type: ignore[misc]


def links_of(box: Box) -> Links:
    """The links of a box, made when first asked for."""
    try:
        links = _slot(box)
    except AttributeError:
        links = None
    if type(links) is not Links:
        box.links = links = Links(links)
    return links


def origin_of(box: Box) -> Any:
    """`(base, primitive, operands after the base, params)` of a view; None for any other box."""
    try:
        links = _slot(box)
    except AttributeError:
        return None
    return links.origin if type(links) is Links else links


def is_buffer(x: Box) -> bool:
    """True if `x` stands for an array, which a write changes, and not for an immutable scalar."""
    bottom = raw(x)
    if type(bottom) is np.ndarray and not x.shape and bottom.shape:
        return has_memory(x)  # vmap holds the numbers of all rows in an array
    if isinstance(bottom, ShapeDtypeStruct):
        return x.shape != () or _is_known_array(x)
    return type(bottom) is np.ndarray


def _is_known_array(x: Any) -> bool:
    """True if `x` or a box that it holds is known to stand for an array of no axes."""
    while isinstance(x, Box):
        if has_memory(x):
            return True
        x = x.value
    return False


def link(
    base: Any, view: Box, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> None:
    """Notes that `view`, just made, was made from `base` by a view operation."""
    if not isinstance(base, Box) or base._trace is not view._trace or view is base:
        return
    if not base.shape and not is_buffer(base):
        return  # NumPy makes an array of a scalar by copying it
    if primitive.copies is not None and primitive.copies(view, params):
        return
    alias(base, view, primitive, operands, params)


def alias(
    base: Box, view: Box, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> None:
    """As `link`, for boxes known to be base and view."""
    above = links_of(base)
    if len(above.views) >= above.limit:
        above.views = [v for v in above.views if v() is not None]
        above.limit = max(_FIRST_PRUNE, 2 * len(above.views))
    above.views.append(_ref(view))
    view.links = (base, primitive, operands[1:], params)


def own(copy: Box) -> Any:
    """`copy`, just made by a view operation where NumPy makes a copy: it forgets its base."""
    if (origin := origin_of(copy)) is not None:
        links_of(origin[0]).views.pop()
        copy.links = None
    return copy


def doubt(view: Box) -> None:
    """Notes that `view` is a view or a copy, as a memory layout decides that is not known."""
    if (origin := origin_of(view)) is not None:
        view.links = (origin[0], None, (), {})


def made_by(view: Any, base: Box, primitive: Primitive) -> Any:
    """The params by which `primitive` made the view `view` of `base`; None if it did not."""
    origin = origin_of(view)
    if origin is None or origin[0] is not base or origin[1] is not primitive:
        return None
    return origin[3]


def has_memory(box: Box) -> bool:
    """True if `box` is a view or was written to, and so stands for an array, not for a scalar."""
    return origin_of(box) is not None or links_of(box).written


def as_array(x: Any) -> Any:
    """`x`, just made and an array in NumPy: without axes, that does not show under vmap."""
    if isinstance(x, Box) and not x.shape:
        links_of(x).written = True
    return x


def exclusive(box: Box) -> bool:
    """True if nobody sees what `box` holds but through `box`: it may be changed in place."""
    for name in box.contents:
        content = getattr(box, name)
        if type(content) is _ndarray:
            if not owned(content, 1):  # the slot besides our local
                return False
        elif content is not None:
            if not isinstance(content, Box) or not alone(content, 1):
                return False
            if origin_of(content) is not None or not exclusive(content):
                return False
    return bool(box.contents)


def spent(box: Any, holders: int = 1) -> bool:
    """True for a box that only its caller's local and `holders` more refer to (`buffers.alone`), if
    what it holds may be changed in place too.
    """
    return (
        isinstance(box, Box)
        and alone(box, holders + FRAME)
        and origin_of(box) is None
        and exclusive(box)
    )


# -- what later writes do not change ---------------------------------------------------------------
_kept: dict[type, tuple[str, ...]] = {}  # the slots of each kind of box, its aliases left out


def still(x: Any) -> Any:
    """`x`, or for a box one that stands for what it does now: for a step to keep."""
    if not isinstance(x, Box):
        return x
    kind = type(x)
    if kind not in _kept:
        names = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
        _kept[kind] = tuple([name for name in names if name not in ("links", "__weakref__")])
    twin: Any = object.__new__(kind)
    for name in _kept[kind]:
        if hasattr(x, name):
            setattr(twin, name, still(getattr(x, name)))
    return twin


@contextmanager
def as_they_were(twins: Sequence[tuple[Box, Box]]) -> Iterator[None]:
    """Inside the block each box stands for what its twin does, which `still` made of it."""
    now = [still(box) for box, _ in twins]
    try:
        for box, twin in twins:
            _become(box, twin)
        yield
    finally:
        for (box, _), twin in zip(twins, now):
            _become(box, twin)


def _become(box: Box, twin: Box) -> None:
    for name in _kept[type(box)]:
        if hasattr(twin, name):
            setattr(box, name, getattr(twin, name))


# -- writes ----------------------------------------------------------------------------------------


def write(box: Box, new: Any) -> None:
    """Makes `box` stand for `new`, and its base and other views follow."""
    change(box, lambda in_place: new)


def change(box: Box, update: Callable[[bool], Any]) -> None:
    """Makes `box` stand for `update(in_place)`, and its base and other views follow.

    `in_place` is True if `update` may change the buffers of `box` and return what holds them. All
    that can refuse the write is asked before anything is changed.
    """
    chain = [box]  # from the written view up to the box that owns the memory
    while (origin := origin_of(chain[-1])) is not None:
        _known(origin)
        chain.append(origin[0])
    root = chain[-1]
    views = live_views(root)
    for member in chain:
        member.rebind(member)  # what it may refuse does not depend on the value
    new = update(box is root and exclusive(box))  # true only if the views have copies
    if not isinstance(new, Box) or new._trace is not box._trace:
        raise written_outwards()
    pending = [(box, new)]
    for view in chain[:-1]:
        base, primitive, rest, params = origin_of(view)
        if base is root and primitive.writes_part:
            # The last step, which cannot refuse, may change the root in place once the views of
            # it have let go.
            pending = _settle(pending)
        new = _ours(base, primitive.view(base, new, *rest, **params))
        pending.append((base, new))
    before = raw(root)
    _settle(pending)
    links_of(root).written = True
    if not _same_layout(before, raw(root)):
        root.rebind(_ours(root, _lying(root, memory_order(before, len(root.shape)))))
        if not _same_layout(before, raw(root)):
            links_of(root).moved = True
    for view in views:  # what was written through included, so that it lies where NumPy has it
        base, primitive, rest, params = origin_of(view)
        # impl through the trace, not bind: the fresh value must not be linked as a new view
        view.rebind(_ours(base, base._trace.process(primitive, (base, *rest), params)))


def written_outwards() -> EscapedTracerError:
    """The error for a write of a value of an inner transform into a box of an outer one."""
    return EscapedTracerError(
        "a value of an inner transform was written into a value made outside it. Return it from the"
        " inner function instead; or make the array one of the inner transform's, by"
        " np.zeros(n, like=v) or np.array(y, like=v) for a value v of its"
    )


def _settle(pending: list[tuple[Box, Any]]) -> list[tuple[Box, Any]]:
    for box, new in pending:
        box.rebind(new)
    return []


def _ours(base: Box, made: Any) -> Any:
    """`made` as a box of the transform of `base`, to which it may be a constant."""
    ours = isinstance(made, Box) and made._trace is base._trace
    return made if ours else base._trace.constant(made)


def _same_layout(before: Any, after: Any) -> bool:
    if type(before) is not _ndarray or type(after) is not _ndarray:
        return True
    return before.strides == after.strides or (
        before.flags.c_contiguous and after.flags.c_contiguous
    )


# -- how entries lie in memory: which reshapes are views depends on it -----------------------------
def memory_order(bottom: Any, rank: int) -> list[int] | None:
    """Of the last `rank` axes those of size over 1, as they lie in memory, the slowest first.

    None if `bottom` is no array: without data there is no layout.
    """
    if type(bottom) is not _ndarray:
        return None
    leading = bottom.ndim - rank
    sizes, strides = bottom.shape[leading:], bottom.strides[leading:]
    return sorted([i for i in range(rank) if sizes[i] > 1], key=lambda i: -abs(strides[i]))


def lying_as(made: Any, model: Any) -> Any:
    """`made` with its axes in memory as those of `model`, which is NumPy's order `"K"`."""
    rank = len(model.shape)
    return _lying(made, memory_order(raw(model), rank)) if rank == len(made.shape) else made


def _lying(made: Any, order: list[int] | None) -> Any:
    rank = len(made.shape)
    if order is None or memory_order(raw(made), rank) in (order, None):
        return made
    axes = order + [i for i in range(rank) if i not in order]
    if axes == list(range(rank))[::-1]:
        return np.copy(made, order="F")
    inverse = sorted(range(rank), key=axes.__getitem__)
    relaid: Any = np.transpose(np.copy(np.transpose(made, axes), order="C"), inverse)
    return own(relaid) if isinstance(relaid, Box) else relaid


def in_place_layout(box: Any) -> bool:
    """True if `box` lies in memory as NumPy's value would, in spite of what was written to it."""
    while isinstance(box, Box):
        try:
            links = _slot(box)
        except AttributeError:
            return True
        if type(links) is Links:
            if links.moved:
                return False
            links = links.origin
        box = links and links[0]
    return True


def _known(origin: Any) -> None:
    if origin[1] is None:
        raise AmbiguousAliasError(
            "whether a reshaped value is a view or a copy, and so whether this write changes both,"
            " depends on a memory layout that is not known. Reshape a .copy() of the value, or"
            " write before reshaping"
        )


def live_views(root: Box) -> list[Box]:
    """The live views of `root` and theirs, each after what it is a view of."""
    views: list[Box] = []
    waiting = links_of(root).views[::-1]
    while waiting:
        view = waiting.pop()()
        if view is not None:
            _known(origin_of(view))
            views.append(view)
            waiting += links_of(view).views[::-1]
    return views
