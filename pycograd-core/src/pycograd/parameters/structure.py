"""`Structure`: what a `ParamDict` looks like, apart from its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycograd.core.tree import LEAF, TreeDef, tree_unflatten


class Structure:
    """Nested names, ties and settings of parameters; equal for models that are alike.

    Attributes:
        tree: of the nested containers; dicts in it are `ParamDict`s.
        places: for each leaf of the tree which parameter it is; None for a setting.
        settings: what stands at the leaves that are no parameters.
        names: of each parameter, the dotted name of the first place that it has.
        trainable: of each parameter, whether it is trained.
        mutable: of each parameter, whether it is a buffer.
        has_lists: whether there are lists, whose entries could be replaced.
    """

    __slots__ = (
        "tree", "places", "settings", "names", "trainable", "mutable", "has_lists", "_parts",
    )  # fmt: skip

    def __init__(
        self,
        tree: TreeDef,
        places: Sequence[int | None],
        settings: dict[int, Any],
        trainable: Sequence[bool],
        mutable: Sequence[bool],
    ) -> None:
        self.tree, self.places, self.settings = tree, tuple(places), settings
        self.trainable, self.mutable = tuple(trainable), tuple(mutable)
        first: dict[int, str] = {}
        for path, at in zip(tree.paths(), self.places):
            if at is not None:
                first.setdefault(at, path)
        self.names = tuple([first[i] for i in range(len(first))])
        self.has_lists = _has_lists(tree)
        self._parts: dict[tuple[int, int], tuple[Structure, list[int]]] = {}

    def _key(self) -> Any:
        return self.tree, self.places, self.trainable, self.mutable, self.settings

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Structure) and self._key() == other._key())

    def __hash__(self) -> int:
        return hash((self.tree, self.places))

    def __reduce__(self) -> Any:
        return Structure, (self.tree, self.places, self.settings, self.trainable, self.mutable)

    def paths(self) -> list[tuple[str, int]]:
        """Every dotted name, ties under each of theirs, and the parameter that it is of."""
        named = zip(self.tree.paths(), self.places)
        return [(path, at) for path, at in named if at is not None]

    def nested(self, leaves: Sequence[Any]) -> dict[str, Any]:
        """The parameters alone in dicts of dicts, named as in `names`; ties in each place."""
        return self._nested(self.tree, 0, leaves)

    def _nested(self, tree: TreeDef, start: int, leaves: Sequence[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, child in zip(tree.names(), tree.children):
            if child is not LEAF:
                found[name] = self._nested(child, start, leaves)
            elif (at := self.places[start]) is not None:
                found[name] = leaves[at]
            start += child.num_leaves
        return found

    def unique(self, leaves: Sequence[Any]) -> list[Any]:
        """Each parameter once, of the leaves of what `nested` made."""
        found: dict[int, Any] = {}
        for at, leaf in zip([at for at in self.places if at is not None], leaves):
            found.setdefault(at, leaf)
        return [found[i] for i in range(len(self.names))]

    def part(self, tree: TreeDef, start: int) -> tuple[Structure, list[int]]:
        """The structure of a sub-dict whose leaves begin at `start`, and its parameters."""
        key = start, tree.num_leaves
        if key not in self._parts:
            places = self.places[start : start + tree.num_leaves]
            mine = list(dict.fromkeys([at for at in places if at is not None]))
            new = {at: i for i, at in enumerate(mine)}
            self._parts[key] = (
                Structure(
                    tree,
                    [None if at is None else new[at] for at in places],
                    {i: self.settings[start + i] for i, at in enumerate(places) if at is None},
                    [self.trainable[at] for at in mine],
                    [self.mutable[at] for at in mine],
                ),
                mine,
            )
        return self._parts[key]

    def assemble(self, leaves: Sequence[Any], nested: Any) -> dict[Any, Any]:
        """The entries of a `ParamDict`; `nested(structure, leaves)` makes those inside it."""
        return dict(zip(self.tree.aux, self._children(self.tree, 0, leaves, nested)))

    def _children(self, tree: TreeDef, start: int, leaves: Sequence[Any], nested: Any) -> list[Any]:
        children = []
        for child in tree.children:
            children.append(self._entry(child, start, leaves, nested))
            start += child.num_leaves
        return children

    def _entry(self, tree: TreeDef, start: int, leaves: Sequence[Any], nested: Any) -> Any:
        if tree is LEAF:
            at = self.places[start]
            return self.settings[start] if at is None else leaves[at]
        if tree.node is dict:
            part, mine = self.part(tree, start)
            return nested(part, [leaves[at] for at in mine])
        children = self._children(tree, start, leaves, nested)
        shallow = TreeDef(tree.node, tree.aux, (LEAF,) * len(children), len(children))
        return tree_unflatten(shallow, children)


def _has_lists(tree: TreeDef) -> bool:
    return tree is not LEAF and (tree.node is list or any(map(_has_lists, tree.children)))
