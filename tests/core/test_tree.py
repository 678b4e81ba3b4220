"""Trees: apart and together, aligned, named, and expanded from prefixes."""

import collections
import copy
import dataclasses
import functools
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pycograd.core import tree as trees
from pycograd.core.errors import TreeMismatchError
from pycograd.core.tree import (
    LEAF,
    broadcast_prefix,
    flatten_like,
    register_tree,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_structure,
    tree_unflatten,
)


class Pair(NamedTuple):
    left: Any
    right: Any


class Checked(NamedTuple("Checked", [("value", float)])):
    """A namedtuple whose constructor refuses what a transform puts in."""

    def __new__(cls, value):
        return super().__new__(cls, float(value))


@dataclasses.dataclass
class Layer:
    w: Any
    b: Any = None
    made: Any = dataclasses.field(init=False, default=7)

    @functools.cached_property
    def total(self):
        return self.w + 1


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any

    def __post_init__(self):
        if not isinstance(self.x, (int, float)):
            raise TypeError("a number is needed")


class Config(dict):
    """A dict with attributes, as users write them."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Stack(list):
    pass


class Module:
    def __init__(self, name, *weights):
        self.name, self.weights = name, weights

    def __eq__(self, other):
        return (self.name, self.weights) == (other.name, other.weights)


register_tree(
    Module,
    lambda m: (m.weights, m.name),
    lambda name, weights: Module(name, *weights),
    names=lambda name: [f"{name}{i}" for i in range(2)],
)

keys = st.one_of(st.text(max_size=3), st.integers(-2, 2), st.tuples(st.integers(0, 1)))
leaf = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=2))
tree = st.recursive(
    st.one_of(leaf, st.none()),
    lambda sub: st.one_of(
        st.lists(sub, max_size=3),
        st.lists(sub, max_size=3).map(tuple),
        st.dictionaries(keys, sub, max_size=3),
        st.dictionaries(keys, sub, max_size=3).map(collections.OrderedDict),
        st.dictionaries(keys, sub, max_size=3).map(Config),
        st.lists(sub, max_size=3).map(Stack),
        st.builds(Pair, sub, sub),
        st.builds(Layer, sub, sub),
        st.builds(lambda a, b: Module("m", a, b), sub, sub),
    ),
    max_leaves=12,
)


@given(tree)
def test_unflatten_inverts_flatten(t):
    leaves, treedef = tree_flatten(t)
    again = tree_unflatten(treedef, leaves)
    assert again == t and type(again) is type(t)
    assert treedef.num_leaves == len(leaves)
    assert tree_structure(again) == treedef and hash(tree_structure(again)) == hash(treedef)


@given(tree)
def test_paths_are_one_a_leaf_and_all_different(t):
    paths = tree_paths(t)
    assert len(paths) == len(set(paths)) == len(tree_leaves(t))


@given(tree)
def test_structures_survive_pickle_and_deepcopy(t):
    leaves, treedef = tree_flatten(t)
    for other in (pickle.loads(pickle.dumps(treedef)), copy.deepcopy(treedef)):
        assert other == treedef and hash(other) == hash(treedef)
        assert tree_unflatten(other, leaves) == t


@given(tree)
def test_every_cut_of_a_tree_is_a_prefix_of_it(t):
    leaves, treedef = tree_flatten(t)
    assert broadcast_prefix(5, t) == [5] * len(leaves)
    assert broadcast_prefix(None, treedef) == [None] * len(leaves)
    assert broadcast_prefix(t, t) == leaves


@given(tree)
def test_tree_map_keeps_the_structure(t):
    mapped = tree_map(lambda x: (x,), t)  # results that are containers stay whole
    assert [x for (x,) in flatten_one_level(mapped, tree_structure(t))] == tree_leaves(t)


def flatten_one_level(t, treedef):
    """The subtrees of t at the leaves of treedef."""
    marks = tree_unflatten(treedef, list(range(treedef.num_leaves)))
    found = {}

    def walk(mark, part):
        if type(mark) is int:
            found[mark] = part
        elif isinstance(mark, dict):
            [walk(mark[k], part[k]) for k in mark]
        elif isinstance(mark, (list, tuple)):
            [walk(m, p) for m, p in zip(mark, part)]
        elif isinstance(mark, Layer):
            [walk(getattr(mark, n), getattr(part, n)) for n in ("w", "b", "made")]
        elif isinstance(mark, Module):
            [walk(m, p) for m, p in zip(mark.weights, part.weights)]

    walk(marks, t)
    return [found[i] for i in range(treedef.num_leaves)]


def test_agrees_with_torch_on_plain_containers():
    pytree = pytest.importorskip("torch.utils._pytree")
    t = {"b": [1, (2, 3)], "a": {"x": 4}, 0: ()}
    assert tree_leaves(t) == pytree.tree_flatten(t)[0]


def test_order_of_a_dict_is_that_of_insertion():
    assert tree_leaves({"b": 1, "a": 2}) == [1, 2]
    moved = collections.OrderedDict(a=1, b=2)
    moved.move_to_end("a")
    assert tree_leaves(moved) == [2, 1]
    again = tree_map(lambda x: x, moved)
    assert list(again) == ["b", "a"]
    again.move_to_end("b")  # corrupt if it was filled behind the back of OrderedDict
    assert list(again.items()) == [("a", 1), ("b", 2)]


def test_subclasses_keep_what_makes_them():
    counts = tree_map(lambda x: x, collections.defaultdict(list, a=1))
    assert type(counts) is collections.defaultdict and counts["new"] == []
    config = Config(w=1.0)
    config.__dict__["mode"] = "train"
    assert tree_map(lambda x: x, config).__dict__ == {"mode": "train"}
    assert type(tree_map(lambda x: x, collections.Counter("aab"))) is collections.Counter


def test_containers_are_rebuilt_past_their_constructors():
    """Boxes, None and arrays stand for the leaves: a constructor that checks would refuse them."""
    assert tree_map(str, Checked(1.0)) == ("1.0",)
    assert tree_map(lambda x: None, Frozen(1.0)).x is None


def test_dataclass_fields_without_init_are_leaves_and_caches_are_dropped():
    layer = Layer(1.0, (2.0,))
    assert layer.total == 2.0
    doubled = tree_map(lambda x: 2 * x, layer)
    assert (doubled.w, doubled.b, doubled.made) == (2.0, (4.0,), 14)
    assert doubled.total == 3.0


def test_an_attribute_that_would_lose_gradient_is_refused():
    layer = Layer(1.0)
    layer.scaled = 3 * layer.w
    with pytest.raises(TypeError, match=r"Layer\.scaled is an attribute.*not a field.*field\("):
        tree_flatten(layer)


def test_what_is_a_leaf():
    class Impostor:
        """Claims to be an array, as a box does."""

        __class__ = property(lambda self: np.ndarray)

    for x in (np.ones(2), 1, "text", {1, 2}, Impostor(), Layer, np.float32(1), object()):
        leaves, treedef = tree_flatten(x)
        assert leaves[0] is x and treedef is LEAF
        assert tree_unflatten(treedef, leaves) is x


def test_deep_trees():
    t: Any = 1.0
    for _ in range(300):
        t = [t]
    leaves, treedef = tree_flatten(t)
    assert tree_unflatten(treedef, leaves) == t
    assert tree_structure(t) == treedef and hash(treedef)


def test_local_classes_are_not_kept_alive():
    import gc
    import weakref

    def use():
        local = dataclasses.make_dataclass("Local", ["x"])
        tree_map(lambda x: x, local(1.0))
        return weakref.ref(local)

    gone = use()
    gc.collect()
    assert gone() is None


def test_repr_reads_like_the_tree():
    t = {"w": 1, "b": (2, None), "l": [Pair(1, 2)], "d": Layer(1), "m": Module("m", 1, 2)}
    assert repr(tree_structure(t)) == (
        "{'w': *, 'b': (*, None), 'l': [Pair(left=*, right=*)],"
        " 'd': Layer(w=*, b=None, made=*), 'm': Module(m0=*, m1=*)}"
    )
    assert repr(tree_structure((1,))) == "(*,)"
    assert repr(tree_structure(Config(a=1))) == "Config({'a': *})"


@pytest.mark.parametrize(
    "a, b",
    [
        ([1], (1,)),
        ({"a": 1}, {"b": 1}),
        ({"a": 1, "b": 2}, {"b": 1, "a": 2}),
        ([1, None], [1]),
        ([1], [[1]]),
        (Pair(1, 2), (1, 2)),
        (Module("m", 1, 2), Module("n", 1, 2)),
    ],
)
def test_different_structures_are_unequal(a, b):
    assert tree_structure(a) != tree_structure(b)


def test_names():
    t = {"layers": [Layer(0), Layer(0, 0)], "p": Pair(0, {"a.b": 0}), 3: 0, "": 0, "[3]": 0}
    assert tree_paths(t) == [
        "layers.0.w",
        "layers.0.made",
        "layers.1.w",
        "layers.1.b",
        "layers.1.made",
        "p.left",
        "p.right.['a.b']",
        "[3]",
        "['']",
        "['[3]']",
    ]
    assert tree_paths(1.0) == [""]
    assert tree_paths(Module("m", 1, [2])) == ["m0", "m1.0"]


# -- several trees -------------------------------------------------------------------------------
def test_tree_map_over_several_trees():
    total = tree_map(
        lambda *xs: sum(xs), {"a": 1, "b": [2]}, {"b": [20], "a": 10}, {"a": 5, "b": [7]}
    )
    assert total == {"a": 16, "b": [29]} and list(total) == ["a", "b"]


def test_none_beside_a_leaf_is_passed_on():
    pairs = tree_map(lambda p, g: (p, g), {"a": 1, "b": (2, None)}, {"a": None, "b": (3, None)})
    assert pairs == {"a": (1, None), "b": ((2, 3), None)}


@pytest.mark.parametrize(
    "first, other, place",
    [
        ([1, 2], [1], "at the root"),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, "at a:"),
        ({"a": 1}, {"a": 1, "b": 2}, "at the root"),
        ({"a": {"x": 1}}, {"a": {"y": 1}}, "at a:"),
        ({"a": [0, 1]}, {"a": [0, (1,)]}, r"at a\.1: a leaf in the first, \(\*,\) in the other"),
        ({"a": [1]}, {"a": None}, "at a:"),
        ({"a": None}, {"a": 1}, "at a:"),
        ({"a": [1]}, {"a": (1,)}, "at a:"),
        ([Module("m", 1, 2)], [Module("n", 1, 2)], "at 0:"),
    ],
)
def test_a_mismatch_names_the_place_both_structures_and_who_asked(first, other, place):
    with pytest.raises(TreeMismatchError, match=place) as caught:
        tree_map(max, first, other)
    text = str(caught.value)
    assert "tree_map(max)" in text
    assert repr(tree_structure(first)) in text and repr(tree_structure(other)) in text
    assert isinstance(caught.value, ValueError) and __file__ in text


def test_flatten_like_looks_past_static_state():
    """A defaultdict of gradients need not have the factory of the parameters."""
    a = collections.defaultdict(int, x=1, y=2)
    b = collections.defaultdict(list, y=3, x=4)
    assert flatten_like(tree_structure(a), b, "f") == [4, 3]


def test_wrong_number_of_leaves():
    treedef = tree_structure([1, (2, 3)])
    assert tree_unflatten(treedef, iter("abc")) == ["a", ("b", "c")]
    for leaves in ([1, 2], [1, 2, 3, 4]):
        with pytest.raises(
            TreeMismatchError, match=r"leaves for a structure of 3: \[\*, \(\*, \*\)\]"
        ):
            tree_unflatten(treedef, leaves)


# -- prefixes ------------------------------------------------------------------------------------
def test_prefixes():
    t = ({"w": 1, "b": 2}, [3, 4], None, 5)
    assert broadcast_prefix((0, 1, 0, None), t) == [0, 0, 1, 1, None]
    assert broadcast_prefix(({"b": 0, "w": None}, [2, 3], None, -1), t) == [None, 0, 2, 3, -1]
    assert broadcast_prefix(({"b": 0, "w": None}, None, 7, 1), t) == [None, 0, None, None, 1]


@pytest.mark.parametrize(
    "prefix, place",
    [
        ((0, 0), r"in_axes is \(\*, \*\)"),
        (({"w": 0}, 0, 0), "in_axes at 0 is"),
        ((0, [0], 0), "in_axes at 1 is"),
        ((0, 0, (0,)), "in_axes at 2 is"),
        ((0, (0, 0), 0), "in_axes at 1 is"),
    ],
)
def test_a_prefix_that_does_not_fit_names_the_position(prefix, place):
    with pytest.raises(TreeMismatchError, match=place):
        broadcast_prefix(prefix, ({"w": 1, "b": 2}, [3, 4], 5), "in_axes")


# -- registration --------------------------------------------------------------------------------
def test_a_class_is_registered_once_and_built_in_ones_never():
    for cls in (Module, dict, np.ndarray, type(None)):
        with pytest.raises(ValueError, match="already"):
            register_tree(cls, lambda n: ((), None), lambda aux, xs: None)


def test_a_class_seen_as_a_leaf_can_be_registered_later():
    class Late:
        def __init__(self, x):
            self.x = x

    assert tree_leaves(Late(1.0)) != [1.0]
    register_tree(Late, lambda n: ([n.x], None), lambda aux, xs: Late(*xs))
    assert tree_leaves(Late(1.0)) == [1.0]
    assert tree_paths([Late(1.0)]) == ["0.0"]


def test_registration_comes_before_inheritance():
    class Weights(dict):
        pass

    register_tree(
        Weights,
        lambda w: (w.values(), tuple(w)),
        lambda keys, xs: Weights(zip(keys, xs)),
        names=lambda keys: keys,
    )
    weights = Weights(a=1, b=[2, 3])
    assert type(tree_map(lambda x: x, weights)) is Weights
    assert tree_paths(weights) == ["a", "b.0", "b.1"]
    assert repr(tree_structure(weights)) == "Weights(a=*, b=[*, *])"


def test_a_registered_leaf_stays_whole():
    class Names(tuple):
        pass

    trees.register_leaf(Names)
    assert tree_leaves([Names("ab")]) == [("a", "b")]
