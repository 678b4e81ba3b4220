"""Writes into boxes: a functional update that NumPy's aliasing survives.

`y[i] = v` replaces what the box `y` stands for. NumPy's views alias their base, so a box made by a
view operation knows its base and how it was made, and the base knows its live views (weakly): a
write through any of them updates the base functionally and remakes the others.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from pycograd.core.box import Box
from pycograd.core.errors import AmbiguousAliasError, EscapedTracerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycograd.core.primitive import Primitive

_FIRST_PRUNE = 16  # dead views are swept away whenever their list has doubled since the last time


class Links:
    """What a box knows of its aliases."""

    __slots__ = ("base", "remake", "views", "limit")

    def __init__(self) -> None:
        self.base: Box | None = None
        self.remake: Any = None  # (primitive, operands after the base, params); None: see `doubt`
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
    """Notes that `view` was made from `base` by a view operation."""
    if not isinstance(base, Box) or base.trace is not view.trace or view is base:
        return
    above = _links(base)
    if len(above.views) >= above.limit:
        above.views = [v for v in above.views if v() is not None]
        above.limit = max(_FIRST_PRUNE, 2 * len(above.views))
    above.views.append(weakref.ref(view))
    below = _links(view)
    below.base, below.remake = base, (primitive, tuple(operands[1:]), params)


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


def _known(links: Links) -> Any:
    if links.remake is None:
        raise AmbiguousAliasError(
            "whether a reshaped value is a view or a copy, and so whether this write changes both,"
            " depends on a memory layout that is not known. Reshape a .copy() of the value, or"
            " write before reshaping"
        )
    return links.remake


def write(box: Box, new: Any) -> None:
    """Makes `box` stand for `new`, and its base and other views follow."""
    if not isinstance(new, Box) or new.trace is not box.trace:
        raise EscapedTracerError(
            "a value of an inner transform was written into a value made outside it. Return it from"
            " the inner function instead"
        )
    _replace(box, new, None)


def _replace(box: Box, new: Any, source: Box | None) -> None:
    """`source`, the view through which the write came, is already right."""
    links = _links(box)
    if links.base is None:
        box.rebind(new)
        _remake(links.views, box, source)
    else:
        primitive, rest, params = _known(links)
        new_base = primitive.view(links.base, new, *rest, **params)  # may refuse: do it first
        box.rebind(new)
        _remake(links.views, box, source)
        _replace(links.base, new_base, box)


def _remake(views: list[weakref.ref[Any]], base: Box, source: Box | None) -> None:
    for ref in views:
        view = ref()
        if view is None or view is source:
            continue
        primitive, rest, params = _known(view.links)
        # impl through the trace, not bind: the fresh value must not be linked as a new view
        view.rebind(base.trace.process(primitive, (base, *rest), params))
        _remake(view.links.views, view, None)
