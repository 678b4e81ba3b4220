"""The look: which functions need the mode. What does not is the very function that was given."""

import functools
import math
import math as m
from math import sin as wave

import numpy as np
import numpy as xp
import pytest
from numpy import array as gather, zeros as fresh

from pycograd import grad, vmap
from pycograd.transparent import prepared, transparent
from pycograd.transparent.look import _MANY, _known, examine
from pycograd.transparent.mode import Transparent
from pycograd.transparent.scan import Scan, why_not

TABLE = np.arange(4.0)
scale = 2.0


def helper(x):
    return np.exp(x) * scale


def with_math(x):
    return math.exp(x)


class Model:
    def __init__(self):
        self.w = TABLE

    def loss(self, x):
        return np.sum(helper(x) * self.w)


def loop(x):
    total = 0.0
    for i in range(3):
        total += x[i] * i
    return total


def masks(x):
    keep = np.array([True, False, True, True])
    index = np.argsort(np.array([3, 1, 2, 0]))
    weights = np.ones(4)
    return np.sum(x[keep]) + np.sum(x[index] * np.arange(4) * weights)


def containers(x):
    found = {}
    found["a"] = x * 2.0
    rows = [x, x]
    rows[0] = found["a"]
    return np.sum(np.stack(rows)) + np.sum(np.concatenate([x, x]))


def with_like(x):
    y = np.zeros(4, like=x)
    return np.sum(y + x)


def own_math(math):  # a parameter of that name
    return np.sum(math.sin())


def imports_inside(x):
    import cmath

    return abs(cmath.exp(x))


def shapes(x):
    return np.reshape(x, [2, 2]) + np.zeros((2, 2)) + math.pi * np.sum(np.linspace(0.0, 1.0, 4))


PLAIN = {
    "arithmetic": lambda x: np.sum(np.sin(x) * x + 1.0) * math.pi,
    "helper": lambda x: np.sum(helper(x)),
    "method": Model().loss,
    "partial": functools.partial(lambda k, x: np.sum(k * x), 2.0),
    "loop": loop,
    "masks": masks,
    "containers": containers,
    "comprehension": lambda x: sum([v * v for v in x]),
    "with-like": with_like,
    "own-math": own_math,
    "shapes": shapes,
    "table": lambda x: np.sum(TABLE[1:] * x[1:]),
    "math-of-constants": lambda x: x * math.sqrt(2.0),
    "isinstance": lambda x: x * 2.0 if isinstance(x, float) else np.sum(x.astype(float)),
    "builtin": np.sin,
    "transformed": grad(lambda x: np.sum(x)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_needs_no_mode_is_left_alone(name):
    assert prepared(PLAIN[name]) is PLAIN[name]


NEEDED = {
    "math": lambda x: math.sin(x),
    "another-name": lambda x: m.sin(x),
    "imported": lambda x: wave(x),
    "helper": lambda x: with_math(x) + helper(x),
    "handed-on": lambda x: sum(map(math.sin, x)),
    "array": lambda x: np.sum(np.array([x, x])),
    "another-array": lambda x: np.sum(gather([x, x])),
    "r_": lambda x: np.sum(np.r_[x, x]),
    "float": lambda x: float(x),
    "list": lambda x: np.mean([x, x]),
    "list-through-a-name": lambda x: (parts := [v for v in x], np.sum(parts))[1],
    "fill": lambda x: (y := np.zeros(2), y.__setitem__(0, x), y.fill(x), np.sum(y))[3],
    "dot": lambda x: TABLE.dot(x),
    "vectorize": lambda x: np.sum(np.vectorize(lambda v: v)(x)),
    "imported-inside": lambda x: imports_inside(x),
    "full": lambda x: np.sum(np.full(3, x)),
}


def test_what_stores_into_what_it_makes():
    def direct(x):
        y = np.zeros(3)
        y[0] = x
        return np.sum(y)

    def by_another_name(x):
        y = fresh(3)
        part = y[1:]
        part += x
        return xp.sum(y)

    def by_a_function(x):
        y = np.empty(3)
        put(y, x)
        return np.sum(y)

    def put(target, x):
        target[0] = x

    def into_out(x):
        y = np.zeros(3)
        np.sin(x, out=y)
        return np.sum(y)

    for f in (direct, by_another_name, by_a_function, into_out):
        assert examine(f).plan.storing


@pytest.mark.parametrize("name", NEEDED)
def test_what_needs_the_mode_is_found(name):
    found = prepared(NEEDED[name])
    assert type(found) is Transparent
    assert prepared(NEEDED[name], False) is NEEDED[name]


def test_plain_tables_matter_under_vmap_only():
    f = lambda i: TABLE[i]
    assert prepared(f) is f
    assert prepared(f, indexed=True) is not f
    assert vmap(f)(np.array([2, 1])).tolist() == [2.0, 1.0]


def test_a_look_is_remembered_while_the_code_lives():
    examine(with_math)
    entries = len(_known)
    for _ in range(5):
        examine(with_math)
    assert len(_known) == entries
    for k in range(_MANY + 10):
        examine(eval(f"lambda x: x * {k}.0"))
    assert len(_known) <= _MANY


def test_globals_of_another_module_are_another_look():
    code = "def f(x): return g(x)"
    plain, blind = {"g": np.sin}, {"g": math.sin}
    exec(code, plain)
    exec(code, blind)
    blind["f"].__code__ = plain["f"].__code__
    assert examine(plain["f"]).plan is None and examine(blind["f"]).plan is not None


def test_types_used_as_types_stay():
    both = Scan(lambda x: (float(x), isinstance(x, float)))
    assert both.numbers and both.numbers_kept
    called = Scan(lambda x: float(x) + float(2))
    assert called.numbers and not called.numbers_kept
    f = lambda x: float(x) if x.dtype == float or isinstance(x, float) else x
    with pytest.raises(TypeError):
        grad(f)(1.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def f(): return 1", ""),
        ("def f():\n global a\n a = 1", "assigns"),
        ("def f():\n global a\n del a", "deletes"),
        ("def f():\n class A: pass", "class"),
        ("def f(): return globals()", "globals"),
        ("def f(): return [eval('1') for _ in 'ab']", "text"),
        ("def f():\n def g():\n  global a\n  a = 1", "assigns"),
    ],
)
def test_why_code_cannot_be_rebound(text, reason):
    scope = {}
    exec(text, scope)
    assert reason in why_not(scope["f"].__code__) and bool(reason) == bool(
        why_not(scope["f"].__code__)
    )


def test_a_program_of_more_than_a_byte_of_names():
    names = [f"a{k}" for k in range(300)]
    scope = {"math": math, **dict.fromkeys(names, 1.0)}
    exec(f"def f(x): return math.sin(x) * ({' + '.join(names)}) + math.cos(x)", scope)
    assert grad(scope["f"])(0.5)[0] == pytest.approx(300.0 * math.cos(0.5) - math.sin(0.5))
    assert grad(transparent(scope["f"]))(0.5)[0] == grad(scope["f"])(0.5)[0]
