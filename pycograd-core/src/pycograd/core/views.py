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
from typing import TYPE_CHECKING, Any

import numpy as np

from pycograd.core.box import Box
from pycograd.core.buffers import FRAME, alone, owned
from pycograd.core.errors import AmbiguousAliasError, EscapedTracerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycograd.core.primitive import Primitive

_FIRST_PRUNE = 16  # dead views are swept away whenever their list has doubled since the last time
_ndarray = np.ndarray


class Links:
    """What a box knows of its aliases."""

    __slots__ = ("base", "remake", "views", "limit")

    def __init__(self, base: Box | None = None, remake: Any = None) -> None:
        self.base = base
        self.remake = remake  # (primitive, operands after the base, params); None: see `doubt`
        self.views: list[weakref.ref[Any]] = []
        self.limit = _FIRST_PRUNE


_links_of = Box.links.__get__  # the slot itself: a miss does not go through __getattr__


def _links(box: Box) -> Links:
    try:
        return _links_of(box)  # type: ignore[no-any-return]
    except AttributeError:
        box.links = links = Links()
        return links


def link(
    base: Any, view: Box, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> None:
    """Notes that `view`, just made, was made from `base` by a view operation."""
    if not isinstance(base, Box) or base._trace is not view._trace or view is base:
        return
    above = _links(base)
    if len(above.views) >= above.limit:
        above.views = [v for v in above.views if v() is not None]
        above.limit = max(_FIRST_PRUNE, 2 * len(above.views))
    above.views.append(weakref.ref(view))
    view.links = Links(base, (primitive, operands[1:], params))


def own(copy: Box) -> Any:
    """`copy`, just made by a view operation where NumPy makes a copy: it forgets its base."""
    links = _links(copy)
    if links.base is not None:
        _links(links.base).views.pop()
        links.base = links.remake = None
    return copy


def doubt(view: Box) -> None:
    """Notes that `view` is a view or a copy, as a memory layout decides that is not known."""
    _links(view).remake = None


def made_by(view: Any, base: Box, primitive: Primitive) -> Any:
    """The params by which `primitive` made the view `view` of `base`; None if it did not."""
    links = _links(view)
    if links.base is not base or links.remake is None or links.remake[0] is not primitive:
        return None
    return links.remake[2]


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
            if _links(content).base is not None or not exclusive(content):
                return False
    return bool(box.contents)


def spent(box: Any, holders: int = 1) -> bool:
    """True for a box that only its caller's local and `holders` more refer to (`buffers.alone`), if
    what it holds may be changed in place too.
    """
    return (
        isinstance(box, Box)
        and alone(box, holders + FRAME)
        and _links(box).base is None
        and exclusive(box)
    )


def write(box: Box, new: Any) -> None:
    """Makes `box` stand for `new`, and its base and other views follow."""
    change(box, lambda in_place: new)


def change(box: Box, update: Callable[[bool], Any]) -> None:
    """Makes `box` stand for `update(in_place)`, and its base and other views follow.

    `in_place` is True if `update` may change the buffers of `box` and return what holds them. All
    that can refuse the write is asked before anything is changed.
    """
    chain = [box]  # from the written view up to the box that owns the memory
    while (base := _links(chain[-1]).base) is not None:
        _known(chain[-1])
        chain.append(base)
    stale: list[tuple[Box, Box]] = []  # the other live views, each with what it is a view of
    for member, below in zip(chain, (None, *chain)):
        member.rebind(member)  # what it may refuse does not depend on the value
        _collect(member, below, stale)
    new = update(len(chain) == 1 and not stale and exclusive(box))
    if not isinstance(new, Box) or new._trace is not box._trace:
        raise EscapedTracerError(
            "a value of an inner transform was written into a value made outside it. Return it from"
            " the inner function instead"
        )
    pending = [(box, new)]
    for view, base in zip(chain, chain[1:]):
        primitive, rest, params = view.links.remake
        if base is chain[-1] and getattr(primitive, "writes_part", False):
            # The last step, which cannot refuse, may change the base in place once the views of
            # it have let go.
            pending = _settle(pending)
        new = primitive.view(base, new, *rest, **params)
        pending.append((base, new))
    _settle(pending)
    for view, base in stale:
        primitive, rest, params = view.links.remake
        # impl through the trace, not bind: the fresh value must not be linked as a new view
        made = base._trace.process(primitive, (base, *rest), params)
        ours = isinstance(made, Box) and made._trace is base._trace
        view.rebind(made if ours else base._trace.constant(made))


def _settle(pending: list[tuple[Box, Any]]) -> list[tuple[Box, Any]]:
    for box, new in pending:
        box.rebind(new)
    return []


def _known(view: Box) -> None:
    if view.links.remake is None:
        raise AmbiguousAliasError(
            "whether a reshaped value is a view or a copy, and so whether this write changes both,"
            " depends on a memory layout that is not known. Reshape a .copy() of the value, or"
            " write before reshaping"
        )


def _collect(base: Box, below: Box | None, stale: list[tuple[Box, Box]]) -> None:
    """Adds the live views of `base`, apart from `below`, and their views."""
    for ref in _links(base).views:
        view = ref()
        if view is not None and view is not below:
            _known(view)
            stale.append((view, base))
            _collect(view, None, stale)
