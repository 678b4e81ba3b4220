"""Functions in the transparent mode: when they are rebound, and when they run as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycograd.core.box import Box
from pycograd.core.errors import TransparentModeError
from pycograd.core.tree import tree_leaves, tree_map
from pycograd.transparent.hindered import Around, Hindered, name_of
from pycograd.transparent.look import NOTHING, Looked, Plan, examine, python_function

_EVERYTHING = Plan(storing=True, numbers=True, lists=True, calls=True)
_INSTEAD = (
    "or write np.sin for math.sin, np.stack([x, y]) for np.array([x, y]), np.zeros(n, like=x) for"
    " np.zeros(n)"
)


def explicit(f: Callable[..., Any]) -> Callable[..., Any]:
    """`transparent(f)`."""
    from pycograd.transparent.scan import why_not

    if isinstance(f, Transparent):
        return f
    function, _ = python_function(f)
    reason = why_not(function.__code__) if function else "it is no Python function"
    if reason:
        raise TransparentModeError(
            f"{name_of(f)} cannot run in the transparent mode: {reason}. Move that into a function"
            f" of its own, {_INSTEAD}"
        )
    return Transparent(f, _EVERYTHING)


def as_needed(f: Any, indexed: bool) -> Any:
    """`f` itself, or in the mode if a look at it shows the need."""
    found = examine(f, indexed)
    if found is NOTHING:
        return f
    return Undecided(f, indexed) if found.undefined else _as_found(f, found)


def _as_found(f: Any, found: Looked) -> Any:
    if found.plan is not None:
        return Transparent(f, found.plan, within=True)
    return Hindered(f, found.hindrance) if found.hindrance else f


class Undecided(Around):
    """A function with names that have no value yet: looked at again when it is called."""

    def __init__(self, f: Any, indexed: bool) -> None:
        super().__init__(f)
        self._indexed = indexed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _as_found(self.f, examine(self.f, self._indexed))(*args, **kwargs)


class Transparent(Around):
    """A function in the transparent mode.

    Arguments:
        within: it is only called by a transform; others see to it that one is at work.
    """

    def __init__(self, f: Any, plan: Plan, within: bool = False) -> None:
        super().__init__(f)
        self._plan, self._within = plan, within
        self._held: Any = None  # what its cells held when it was rebound
        self._rebound: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not (self._within or _transformed(self.f, args, kwargs)):
            return self.f(*args, **kwargs)
        out = self._current()(*args, **kwargs)
        return _settled(out) if self._plan.storing else out

    def __reduce__(self) -> Any:
        return Transparent, (self.f, self._plan, self._within)

    def _current(self) -> Any:
        """The function rebound, anew if a variable that it closes over has been assigned."""
        from pycograd.transparent.rebind import held_by, on_behalf

        function, _ = python_function(self.f)
        if function.__closure__ is None:
            if self._rebound is None:
                self._rebound = on_behalf(self.f, self._plan)
            return self._rebound
        held, before = held_by(function), self._held
        if before is None or any([a is not b for a, b in zip(held, before)]):
            self._rebound, self._held = on_behalf(self.f, self._plan), held
        return self._rebound


def _transformed(f: Any, args: Any, kwargs: Any) -> bool:
    """True if a transform is at work on the arguments, or on what `f` closes over."""
    for x in (*args, *kwargs.values()):
        if isinstance(x, Box):
            return True
    function, instance = python_function(f)
    held = list(getattr(instance, "__dict__", {}).values())
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            continue
    return any([isinstance(leaf, Box) for leaf in tree_leaves([args, kwargs, held])])


def _settled(out: Any) -> Any:
    """A result without what stands in front of it."""
    return tree_map(lambda leaf: leaf, out)
