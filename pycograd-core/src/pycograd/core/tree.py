"""Trees: nested containers, taken apart into a flat list of leaves and put together again.

    tree_flatten:   tree -> (leaves, treedef)
    tree_unflatten: (treedef, leaves) -> tree

Nodes are lists, tuples, dicts (insertion order kept), namedtuples, dataclass instances, None (a
node without children) and the classes given to `register_tree`; subclasses of list, tuple and dict
come back as themselves. Everything else is a leaf, boxes among them: they claim to be arrays, so
every decision here looks at `type(x)`, never at `isinstance`.

A transform flattens its arguments on every call, so one array costs a set lookup, and a flat
container a set lookup a child.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, NoReturn
from weakref import WeakKeyDictionary

import numpy as np

from pycograd.core.errors import TreeMismatchError

Tree = Any


class TreeDef:
    """The structure of a tree: what is left when the leaves are taken out.

    Equal structures compare equal and hash alike. The repr shows every leaf as `*`.

    >>> tree_structure({"w": 1.0, "b": (2.0, None)})
    {'w': *, 'b': (*, None)}
    """

    __slots__ = ("node", "aux", "children", "num_leaves")

    def __init__(
        self, node: type | None, aux: Any, children: tuple[TreeDef, ...], num_leaves: int
    ) -> None:
        self.node = node  # the class of the container; None for a leaf
        self.aux = aux  # what else it takes to rebuild it, such as the keys of a dict
        self.children = children
        self.num_leaves = num_leaves

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not TreeDef:
            return NotImplemented
        return (
            self.node is other.node
            and self.num_leaves == other.num_leaves
            and self.children == other.children
            and bool(self.aux == other.aux)
        )

    def __hash__(self) -> int:
        # aux may hold what has no hash (attributes of a dict subclass): only equality looks at it.
        return hash((self.node, self.num_leaves, self.children))

    def __repr__(self) -> str:
        node, parts = self.node, [repr(child) for child in self.children]
        if node is None:
            return "*"
        if node is type(None):
            return "None"
        if node is list:
            return f"[{', '.join(parts)}]"
        if node is tuple:
            return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
        if node is dict or _kind_of(node) is _DICT_SUBCLASS:
            keys = self.aux if node is dict else self.aux[0]
            text = "{" + ", ".join(f"{k!r}: {part}" for k, part in zip(keys, parts)) + "}"
            return text if node is dict else f"{node.__name__}({text})"
        named = (f"{name}={part}" for name, part in zip(self.names(), parts))
        return f"{node.__name__}({', '.join(named)})"

    def __reduce__(self) -> Any:
        if self is LEAF:  # must stay one object: the fast paths compare it by identity
            return "LEAF"
        return TreeDef, (self.node, self.aux, self.children, self.num_leaves)

    def names(self) -> Sequence[str]:
        """The name of each child: its key, field or position."""
        if self.node is None:
            return ()
        return _kind_of(self.node).names(self.node, self.aux, len(self.children))

    def paths(self) -> list[str]:
        """The dotted name of each leaf; see `tree_paths`."""
        return list(_paths(self, ""))

    def live(self) -> list[bool]:
        """For each leaf whether it may be differentiated; see `register_tree`."""
        if self.node is None:
            return [True]
        live = _kind_of(self.node).live
        flags = [True] * len(self.children) if live is None else live(self.aux)
        return [flag and each for child, flag in zip(self.children, flags) for each in child.live()]


LEAF = TreeDef(None, None, (), 1)
_NONE = TreeDef(type(None), None, (), 0)


# -- the kinds of nodes ------------------------------------------------------------------------
class _Kind(NamedTuple):
    """How one class of containers is taken apart, rebuilt and named."""

    flatten: Callable[[Any], tuple[Iterable[Any], Any]]  # node -> children, aux
    unflatten: Callable[[Any, Any, Sequence[Any]], Any]  # class, aux, children -> node
    names: Callable[[Any, Any, int], Sequence[str]]  # class, aux, count -> a name for each child
    static: bool = False  # aux holds data that must agree between trees, not just names or state
    live: Callable[[Any], Sequence[bool]] | None = None  # aux -> which children have derivatives


def _positions(cls: Any, aux: Any, count: int) -> list[str]:
    return [str(i) for i in range(count)]


def _key_name(key: Any) -> str:
    """A dict key as part of a path; different keys have different names."""
    plain = type(key) is str and key and "." not in key and key[0] != "["
    return key if plain else f"[{key!r}]"


def _state(node: Any) -> dict[str, Any] | None:
    """The attributes of an instance of a user's subclass, which are rebuilt but hold no leaves."""
    attributes = getattr(node, "__dict__", None)
    return dict(attributes) if attributes else None


def _with_state(node: Any, state: dict[str, Any] | None) -> Any:
    if state:
        node.__dict__.update(state)
    return node


def _sublist(cls: Any, state: Any, children: Sequence[Any]) -> Any:
    node = cls.__new__(cls)
    list.extend(node, children)
    return _with_state(node, state)


def _subtuple(cls: Any, state: Any, children: Sequence[Any]) -> Any:
    # A namedtuple's own __new__ takes fields, and may check or convert them: go past it.
    named = hasattr(cls, "_fields")
    node = tuple.__new__(cls, children) if named else cls.__new__(cls, children)
    return _with_state(node, state)


def _flatten_subdict(node: Any) -> tuple[Iterable[Any], Any]:
    return node.values(), (tuple(node), getattr(node, "default_factory", None), _state(node))


def _subdict(cls: Any, aux: Any, children: Sequence[Any]) -> Any:
    keys, factory, state = aux
    node = _with_state(cls.__new__(cls), state)
    if factory is not None:
        node.default_factory = factory
    # An OrderedDict keeps a second record of its order, which dict.__setitem__ would bypass.
    put = OrderedDict.__setitem__ if issubclass(cls, OrderedDict) else dict.__setitem__
    for key, child in zip(keys, children):
        put(node, key, child)
    return node


def _flatten_dataclass(node: Any) -> tuple[Iterable[Any], Any]:
    from dataclasses import fields

    names = tuple(field.name for field in fields(node))
    cls = type(node)
    for name in getattr(node, "__dict__", {}).keys() - set(names):
        # Whatever was derived from the fields would stay behind as a constant and lose gradient.
        if not isinstance(getattr(cls, name, None), cached_property):
            raise TypeError(
                f"{cls.__name__}.{name} is an attribute of a dataclass but not a field of it, so a"
                f" transform cannot see it. Declare it (`{name}: Any = field(init=False)`), make it"
                f" a property, or describe the class with register_tree"
            )
    return [getattr(node, name) for name in names], names


def _dataclass(cls: Any, names: Any, children: Sequence[Any]) -> Any:
    # Past __init__ and __post_init__: they may check or convert values that are now boxes or None.
    node = object.__new__(cls)
    for name, child in zip(names, children):
        object.__setattr__(node, name, child)
    return node


_DICT_SUBCLASS = _Kind(
    _flatten_subdict, _subdict, lambda cls, aux, count: [_key_name(key) for key in aux[0]]
)
_LIST_SUBCLASS = _Kind(lambda node: (node, _state(node)), _sublist, _positions)
_TUPLE_SUBCLASS = _Kind(
    lambda node: (node, _state(node)),
    _subtuple,
    lambda cls, aux, count: getattr(cls, "_fields", None) or _positions(cls, aux, count),
)
_DATACLASS = _Kind(_flatten_dataclass, _dataclass, lambda cls, names, count: names)

_KINDS: dict[type, _Kind] = {
    list: _Kind(lambda node: (node, None), lambda cls, aux, xs: list(xs), _positions),
    tuple: _Kind(lambda node: (node, None), lambda cls, aux, xs: tuple(xs), _positions),
    dict: _Kind(
        lambda node: (node.values(), tuple(node)),
        lambda cls, keys, xs: dict(zip(keys, xs)),
        lambda cls, keys, count: [_key_name(key) for key in keys],
    ),
    type(None): _Kind(lambda node: ((), None), lambda cls, aux, xs: None, _positions),
}
_LEAVES: set[type] = {np.ndarray, bool, int, float, complex, str, np.float64, np.float32}
FRONTS: dict[type, Callable[[Any], Any]] = {}  # leaves that stand in front of others
# Classes met on the way; weak, so that a class made inside a function can go.
_FOUND: WeakKeyDictionary[type, _Kind | None] = WeakKeyDictionary()


def _find(cls: type) -> _Kind | None:
    """The kind of a class outside the fast tables; None for a leaf."""
    if (known := _KINDS.get(cls)) is not None:
        return known
    try:
        return _FOUND[cls]
    except KeyError:
        pass
    if hasattr(cls, "__dataclass_fields__"):
        kind: _Kind | None = _DATACLASS
    elif issubclass(cls, dict):
        kind = _DICT_SUBCLASS
    elif issubclass(cls, list):
        kind = _LIST_SUBCLASS
    elif issubclass(cls, tuple):
        kind = _TUPLE_SUBCLASS
    else:
        kind = None
    _FOUND[cls] = kind
    return kind


def _kind_of(cls: type) -> _Kind:
    kind = _find(cls)
    assert kind is not None, f"{cls} is not a container"
    return kind


def is_node(cls: type) -> bool:
    """True if the instances of a class are nodes of trees, not leaves."""
    return _find(cls) is not None


def register_leaf(cls: type) -> None:
    """Declares instances of a class to be leaves, which also makes them the quickest to flatten."""
    _LEAVES.add(cls)


def register_front(cls: type, settle: Callable[[Any], Any]) -> None:
    """Declares instances of a class to be leaves in whose place stands what `settle` gives."""
    _LEAVES.discard(cls)
    FRONTS[cls] = settle


def register_tree(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten: Callable[[Any, Sequence[Any]], Any],
    names: Callable[[Any], Sequence[str]] | None = None,
    live: Callable[[Any], Sequence[bool]] | None = None,
) -> None:
    """Teaches every transform to look inside instances of a class.

    Arguments:
        cls: the class itself; its subclasses are registered on their own.
        flatten: `flatten(node) -> (children, aux)`; aux is everything that is not a child, and
            must be comparable with `==`.
        unflatten: `unflatten(aux, children) -> node`; must accept any objects as children.
        names: `names(aux) -> list of str`, for messages and for the names of parameters. Default:
            the positions.
        live: `live(aux) -> list of bool`: which children are differentiated, where they are
            floats; the gradients of the others are None. Default: all.

    Raises:
        ValueError: the class has a meaning already.

    >>> class Point:
    ...     def __init__(self, x, y): self.x, self.y = x, y
    >>> register_tree(Point, lambda p: ((p.x, p.y), None), lambda aux, xy: Point(*xy))
    >>> tree_leaves([Point(1.0, 2.0), 3.0])
    [1.0, 2.0, 3.0]
    """
    if cls in _KINDS or cls in _LEAVES:
        raise ValueError(f"register_tree: {cls.__qualname__} is a kind of tree or leaf already")

    def named(cls: Any, aux: Any, count: int) -> Sequence[str]:
        return _positions(cls, aux, count) if names is None else names(aux)

    made = _Kind(flatten, lambda cls, aux, xs: unflatten(aux, xs), named, static=True, live=live)
    _KINDS[cls] = made
    _FOUND.pop(cls, None)


# -- apart and together ------------------------------------------------------------------------
def tree_flatten(tree: Tree) -> tuple[list[Any], TreeDef]:
    """The leaves of a tree, left to right, and its structure.

    Arguments:
        tree: any nesting of lists, tuples, dicts, namedtuples, dataclasses, registered classes.

    Returns:
        A list of the leaves and the `TreeDef` that `tree_unflatten` takes.

    >>> tree_flatten({"w": 1.0, "b": (2.0, None)})
    ([1.0, 2.0], {'w': *, 'b': (*, None)})
    """
    if type(tree) in _LEAVES:
        return [tree], LEAF
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def _flatten(tree: Tree, leaves: list[Any]) -> TreeDef:
    """Appends the leaves of `tree` to `leaves` and returns its structure."""
    cls = type(tree)
    children: Iterable[Any]
    if cls is tuple or cls is list:
        children, aux = tree, None
    elif cls is dict:
        children, aux = tree.values(), tuple(tree)
    elif tree is None:
        return _NONE
    elif (kind := _find(cls)) is None:
        leaves.append(FRONTS[cls](tree) if cls in FRONTS else tree)
        return LEAF
    else:
        children, aux = kind.flatten(tree)
    start = len(leaves)
    defs = []
    for child in children:
        if type(child) in _LEAVES:
            leaves.append(child)
            defs.append(LEAF)
        else:
            defs.append(_flatten(child, leaves))
    return TreeDef(cls, aux, tuple(defs), len(leaves) - start)


def tree_unflatten(treedef: TreeDef, leaves: Iterable[Any]) -> Tree:
    """The tree of a structure with these leaves; the inverse of `tree_flatten`.

    Arguments:
        treedef: a structure from `tree_flatten` or `tree_structure`.
        leaves: `treedef.num_leaves` objects of any type.

    Returns:
        A tree of the same classes.

    Raises:
        TreeMismatchError: the number of leaves is another.

    >>> tree_unflatten(tree_structure({"w": 0, "b": [0]}), ["x", "y"])
    {'w': 'x', 'b': ['y']}
    """
    if type(leaves) is not list:
        leaves = list(leaves)
    if len(leaves) != treedef.num_leaves:
        raise TreeMismatchError(
            f"tree_unflatten: {len(leaves)} leaves for a structure of {treedef.num_leaves}:"
            f" {treedef!r}"
        )
    return leaves[0] if treedef is LEAF else _unflatten(treedef, iter(leaves))


def _unflatten(treedef: TreeDef, leaves: Iterator[Any]) -> Tree:
    cls = treedef.node
    xs = [next(leaves) if c is LEAF else _unflatten(c, leaves) for c in treedef.children]
    if cls is list:
        return xs
    if cls is tuple:
        return tuple(xs)
    if cls is dict:
        return dict(zip(treedef.aux, xs))
    assert cls is not None
    return _kind_of(cls).unflatten(cls, treedef.aux, xs)


def tree_leaves(tree: Tree) -> list[Any]:
    """The leaves of a tree, left to right.

    >>> tree_leaves([1.0, {"a": 2.0}, None])
    [1.0, 2.0]
    """
    return tree_flatten(tree)[0]


def tree_structure(tree: Tree) -> TreeDef:
    """The structure of a tree.

    >>> tree_structure([1.0, (2.0,)]) == tree_structure([5.0, (6.0,)])
    True
    """
    return tree_flatten(tree)[1]


def tree_map(f: Callable[..., Any], first: Tree, *rest: Tree) -> Tree:
    """Applies a function to the leaves of one tree, or to those of several side by side.

    Arguments:
        f: takes one leaf of each tree.
        first: the tree whose structure the result has.
        rest: trees of the same structure (keys of dicts in any order). Where `first` has a leaf
            they may have None, which is passed on.

    Returns:
        The tree of the results.

    Raises:
        TreeMismatchError: the structures differ; it names the place.

    >>> step = lambda p, g: p if g is None else p - g
    >>> tree_map(step, {"w": 5.0, "b": 1.0}, {"w": 2.0, "b": None})
    {'w': 3.0, 'b': 1.0}
    """
    leaves, treedef = tree_flatten(first)
    if not rest:
        return tree_unflatten(treedef, [f(x) for x in leaves])
    asked = f"tree_map({getattr(f, '__name__', type(f).__name__)})"
    columns = [flatten_like(treedef, tree, asked) for tree in rest]
    return tree_unflatten(treedef, [f(*row) for row in zip(leaves, *columns)])


def flatten_like(treedef: TreeDef, tree: Tree, asked: str) -> list[Any]:
    """The leaves of a tree in the order of a given structure, with None allowed for any leaf.

    Arguments:
        treedef: the structure that the tree must have; keys of dicts may stand in another order.
        tree: the tree to take apart.
        asked: the function that needs it, named in the message.

    Returns:
        `treedef.num_leaves` leaves.

    Raises:
        TreeMismatchError: the structures differ; it names the place.

    >>> flatten_like(tree_structure({"w": 0, "b": 0}), {"b": 1.0, "w": None}, "step")
    [None, 1.0]
    """
    leaves, found = tree_flatten(tree)
    if found is treedef or found == treedef:
        return leaves

    def differ(path: str, expected: str, got: str) -> NoReturn:
        where = f"at {path}" if path else "at the root"
        raise TreeMismatchError(
            f"{asked}: the trees differ {where}: {expected} in the first, {got} in the other."
            f" First structure: {treedef!r}; the other: {found!r}"
        )

    return list(_aligned(treedef, tree, "", differ))


def _aligned(
    treedef: TreeDef, tree: Tree, path: str, differ: Callable[[str, str, str], NoReturn]
) -> Iterator[Any]:
    """The leaves of `tree` in the order of `treedef`."""
    if treedef is LEAF:
        if tree is not None and (got := tree_structure(tree)) is not LEAF:
            differ(path, "a leaf", repr(got))
        yield tree
        return
    children = _match(treedef, tree)
    if children is None:
        differ(path, repr(treedef), repr(tree_structure(tree)))
    for name, child, part in zip(treedef.names(), treedef.children, children):
        yield from _aligned(child, part, _join(path, name), differ)


def _match(treedef: TreeDef, tree: Tree) -> list[Any] | None:
    """The children of `tree` in the order of `treedef`; None where they are not the same."""
    cls = type(tree)
    if cls is not treedef.node:
        return None
    kind = _kind_of(cls)
    parts, aux = kind.flatten(tree)
    children = list(parts)
    expected = treedef.names()
    found = dict(zip(kind.names(cls, aux, len(children)), children))
    same = len(expected) == len(children) == len(found) and found.keys() == set(expected)
    if not same or (kind.static and aux != treedef.aux):
        return None
    return [found[name] for name in expected]


# -- names and prefixes ------------------------------------------------------------------------
def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _paths(treedef: TreeDef, path: str) -> Iterator[str]:
    if treedef is LEAF:
        yield path
    for name, child in zip(treedef.names(), treedef.children):
        yield from _paths(child, _join(path, name))


def tree_paths(tree: Tree) -> list[str]:
    """The dotted name of each leaf, made of keys, fields and positions.

    Arguments:
        tree: any tree; a single leaf has the empty name.

    Returns:
        One name a leaf, all different: a key that is not a string, or has a dot in it, is written
        in brackets.

    >>> tree_paths({"layers": [{"w": 0, "b": 0}], 7: 0})
    ['layers.0.w', 'layers.0.b', '[7]']
    """
    return tree_structure(tree).paths()


def broadcast_prefix(prefix: Tree, tree: Tree, what: str = "prefix") -> list[Any]:
    """Expands a tree prefix, such as `in_axes` of `vmap`, to one entry for every leaf.

    Arguments:
        prefix: the top of the tree, cut off anywhere; what stands at a cut, None included, holds
            for all the leaves below it.
        tree: the full tree, or its `TreeDef`.
        what: the name of the argument, for the message.

    Returns:
        One entry for each leaf of the tree.

    Raises:
        TreeMismatchError: the prefix has a container where the tree has none like it.

    >>> broadcast_prefix((0, None), ({"w": 1.0, "b": 2.0}, 3.0))
    [0, 0, None]
    """
    treedef = tree if type(tree) is TreeDef else tree_structure(tree)
    return list(_expanded(prefix, treedef, "", what))


def _expanded(prefix: Tree, treedef: TreeDef, path: str, what: str) -> Iterator[Any]:
    """An entry of `prefix` for every leaf of `treedef`."""
    if prefix is None or type(prefix) in _LEAVES or _find(type(prefix)) is None:
        yield from [prefix] * treedef.num_leaves
        return
    children = _match(treedef, prefix)
    if children is None:
        where = f" at {path}" if path else ""
        raise TreeMismatchError(
            f"{what}{where} is {tree_structure(prefix)!r}, which does not fit the structure"
            f" {treedef!r}; write one entry for each child, or a single one for all of them"
        )
    for name, child, part in zip(treedef.names(), treedef.children, children):
        yield from _expanded(part, child, _join(path, name), what)
