"""What plugins add to: tables that know who added what, so that a failure leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from pycograd.core import spelling
from pycograd.core.backend import Backend
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import DefinitionError
from pycograd.core.ir import Graph
from pycograd.core.linear import General, Linear, ZeroDerivative
from pycograd.core.primitive import REGISTRY, Primitive, primitive_named

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class GraphPass:
    """A pass over graphs that a plugin adds to `optimize`.

    Attributes:
        name: tells it from others.
        run: a function of a graph that returns an equal one.
        before: names of passes that it has to precede. Passes that are not there are left aside.
        after: names of passes that it has to follow; the core's one is `"algebra"`.
    """

    name: str
    run: Callable[[Graph], Graph]
    before: Sequence[str] = ()
    after: Sequence[str] = ()


@dataclass(frozen=True)
class Check:
    """A line of `pycograd doctor`.

    Attributes:
        name: what was looked at.
        ok: whether it is in order.
        detail: what was found.
        fix: what to do if it is not in order.
    """

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""


class Registry:
    """Where a plugin defines operations; each method makes one, with all its rules.

    The kinds and their arguments are those of the core's own operations: `elementwise` takes a
    derivative for each operand, `linear` a transpose, `general` both derivatives of one operand.
    """

    elementwise = Elementwise
    linear = Linear
    general = General
    zero_derivative = ZeroDerivative

    def __contains__(self, name: object) -> bool:
        return name in REGISTRY

    def __getitem__(self, name: str) -> Primitive:
        return REGISTRY[name]

    def __iter__(self) -> Iterator[str]:
        return iter(REGISTRY)

    @staticmethod
    def spells(*names: Any) -> Callable[[F], F]:
        """Decorator: the function that answers when functions of a library meet a box.

        It has their signature, and is written in NumPy over operations that there are.
        """
        return spelling.spells(*names)


_TABLES: tuple[dict[Any, Any], ...] = (
    REGISTRY,
    spelling.UFUNCS,
    spelling.FUNCTIONS,
    spelling.CREATORS,
    spelling.REFUSED,
)
Keys = list[set[Any]]


@contextmanager
def recorded(keys: Keys) -> Iterator[None]:
    """Notes in `keys` what is defined in the block; if it raises, that is taken back."""
    for (
        define
    ) in spelling.later:  # what the core itself defines at a first use is nobody's addition
        define()
    before = [set(table) for table in _TABLES]
    try:
        yield
    except BaseException:
        forget([set(table) - old for table, old in zip(_TABLES, before)])
        raise
    keys[:] = [set(table) - old for table, old in zip(_TABLES, before)]


def forget(keys: Keys) -> None:
    """Takes definitions back."""
    for table, names in zip(_TABLES, keys):
        for name in names:
            table.pop(name, None)


class Lowerings(Mapping[str, Callable[..., Any]]):
    """The lowerings of a backend as one plugin sees and extends them.

    `table["sort"] = f` adds one where there is none; `table.replace("sort", f)` takes the place of
    one that the backend has.
    """

    def __init__(self, backend: Backend, owner: str, owners: dict[str, str]) -> None:
        self._backend, self._owner, self._owners = backend, owner, owners

    def __getitem__(self, name: str) -> Callable[..., Any]:
        found = self._backend.added.get(name)
        return self._backend.lowerings[name] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter({**self._backend.lowerings, **self._backend.added})

    def __len__(self) -> int:
        return len({*self._backend.lowerings, *self._backend.added})

    def __setitem__(self, name: str, lowering: Callable[..., Any]) -> None:
        if name in self._backend.lowerings:
            raise DefinitionError(
                f"backend {self._backend.name!r} has a lowering of {name!r}: write"
                f" table.replace({name!r}, f) to take its place"
            )
        self.replace(name, lowering)

    def replace(self, name: str, lowering: Callable[..., Any]) -> None:
        """Adds a lowering, in the place of the backend's own if it has one."""
        if not callable(lowering):
            raise DefinitionError(f"the lowering of {name!r} cannot be called: {lowering!r}")
        other = self._owners.get(name, self._owner)
        if other != self._owner:
            raise DefinitionError(
                f"both {other} and {self._owner} give backend {self._backend.name!r} a lowering of"
                f" {name!r}: activate one of them"
            )
        try:
            primitive_named(name)
        except KeyError:
            near = get_close_matches(name, REGISTRY, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DefinitionError(f"there is no primitive {name!r} to lower{hint}") from None
        self._backend.added = {**self._backend.added, name: lowering}
        self._owners[name] = self._owner

    def withdraw(self) -> None:
        """Takes back all that this plugin added."""
        mine = {name for name, owner in self._owners.items() if owner == self._owner}
        self._backend.added = {k: f for k, f in self._backend.added.items() if k not in mine}
        for name in mine:
            del self._owners[name]
