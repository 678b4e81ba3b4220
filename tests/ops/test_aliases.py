"""Random programs of views, reads and writes over a base and several live views of it.

Hypothesis draws a program as a list of numbers; which steps apply depends on shapes alone, so a run
on plain arrays, on boxes of any transform and on MyGrad's tensors takes the same ones. Plain NumPy
says what the values are, differences what the derivatives are.
"""

import copy
import operator

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pycograd import (
    AmbiguousAliasError,
    checkpoint,
    debug_buffers,
    eval_shape,
    grad,
    jvp,
    value_and_grad,
    vjp,
    vmap,
)
from pycograd.core.tape import Var
from pycograd.ops.shape import is_contiguous
from pycograd.testing.samples import all_samples
from slopes import moved, near, slope

# -- views: each gives an array, or None where it does not apply to the shape ---------------------
VIEWS = {
    "tail": lambda v: v[1:],
    "head": lambda v: v[:-1],
    "reversed": lambda v: v[::-1],
    "reversed columns": lambda v: v[..., ::-1],
    "every other": lambda v: v[..., ::2],
    "first row": lambda v: v[0] if v.ndim > 1 and len(v) else None,
    "last column": lambda v: v[..., -1] if v.ndim > 1 and v.shape[-1] else None,
    "middle": lambda v: v[1:2, ...],
    "no axes": lambda v: v[(0,) * v.ndim + (...,)] if v.size else None,
    "transposed": lambda v: v.T,
    "new axis": lambda v: v[:, None] if v.ndim < 3 else None,
    "flat": lambda v: v.reshape(-1),
    "raveled": lambda v: v.ravel(),
    "folded": lambda v: v.reshape(2, -1) if v.size and v.size % 2 == 0 else None,
    "expanded": lambda v: np.expand_dims(v, 0) if v.ndim < 3 else None,
    "squeezed": lambda v: np.squeeze(v) if v.size > 1 else None,
    "swapped": lambda v: np.swapaxes(v, 0, -1),
    "moved": lambda v: np.moveaxis(v, 0, -1),
    "flipped": lambda v: np.flip(v, -1),
    "turned": lambda v: np.rot90(v) if v.ndim > 1 else None,
    "half": lambda v: np.array_split(v, 2)[1],
    "a row of the list": lambda v: list(v)[-1] if v.ndim > 1 and len(v) else None,
    "the same": lambda v: v[...],
    "itself": lambda v: v,
    "real": lambda v: v.real,
    "imaginary": lambda v: v.imag if v.dtype.kind == "c" else None,
    "at least two axes": lambda v: np.atleast_2d(v),
}
# -- reads: new arrays ----------------------------------------------------------------------------
READS = {
    "sine": lambda v, w: np.sin(v),
    "scaled": lambda v, w: v * 0.7 - 0.2,
    "copied": lambda v, w: v.copy(),
    "sum": lambda v, w: np.sum(v, axis=0) if v.ndim > 1 else None,
    "product": lambda v, w: np.sin(v) * w if fits(w, v) else None,
    "gathered": lambda v, w: v[[-1, 0, 0]] if len(v) else None,
    "masked": lambda v, w: v[every_third(v)],
    "diagonal": lambda v, w: np.diagonal(v) * 1.0 if v.ndim > 1 else None,
    "broadcast": lambda v, w: np.broadcast_to(v, (2, *v.shape)) * 0.5 if v.ndim < 3 else None,
    "cumulative": lambda v, w: np.cumsum(v, axis=0),
    "flattened": lambda v, w: v.flatten(),
    "one number": lambda v, w: v[(0,) * v.ndim] * np.ones_like(v) if v.size else None,
    "a new buffer": lambda v, w: np.zeros(v.shape, v.dtype, like=v),
    "conjugate": lambda v, w: np.conj(v) if v.dtype.kind == "c" else None,
    "joined": lambda v, w: np.concatenate([v, v[:1]]),
    "sorted": lambda v, w: np.sort(v, axis=0) if v.dtype.kind == "f" else None,
}


def fits(w, v):
    """True if `w` may be written into `v`."""
    if w.dtype.kind == "c" and v.dtype.kind != "c":
        return False
    tail = v.shape[v.ndim - w.ndim :]
    return w.ndim <= v.ndim and all(m in (1, n) for m, n in zip(w.shape, tail))


def every_third(v):
    return (np.arange(v.size) % 3 == 1).reshape(v.shape)


def assign(where):
    def write(v, w):
        key = where(v)
        if key is not None and fits(w, np.empty(v.shape, v.dtype)[key]):
            v[key] = w * 0.9

    return write


def augment(operation, factor):
    def write(v, w):
        if fits(w, v):
            operation(v, np.sin(w) * factor)

    return write


def entries(operation):
    def write(v, w):
        if len(v) and fits(w[:1], v):
            at = [0, -1]
            if operation is None:
                v[at] = w[:1] * 0.5
            else:
                v[at] = operation(v[at], np.sin(w[:1]))

    return write


def function(applies, write):
    def run(v, w):
        if applies(v, w):
            write(v, w)

    return run


always = lambda v, w: True
nonempty = lambda v, w: v.size > 0 and w.size > 0 and fits(w.reshape(-1)[:1], v.reshape(-1))
fitting = lambda v, w: fits(w, v)

# -- writes ----------------------------------------------------------------------------------------
WRITES = {
    "all": assign(lambda v: ...),
    "first": assign(lambda v: 0 if len(v) else None),
    "tail": assign(lambda v: slice(1, None)),
    "last column": assign(lambda v: (..., -1) if v.shape[-1] else None),
    "a mask": assign(lambda v: every_third(v)),
    "a row mask": assign(lambda v: np.arange(len(v)) % 2 == 0),
    "entries": entries(None),
    "added to entries": entries(operator.add),
    "a number": lambda v, w: v.__setitem__(slice(None, 1), 0.75),
    "added": augment(operator.iadd, 0.5),
    "subtracted": augment(operator.isub, 0.8),
    "multiplied": augment(operator.imul, 1.0),
    "divided": lambda v, w: operator.itruediv(v, 2.0 + np.cos(w) ** 2) if fits(w, v) else None,
    "part augmented": lambda v, w: v.__setitem__(slice(1, None), v[1:] * 0.5 + v[:-1]),
    "shifted": lambda v, w: v.__setitem__(slice(1, None), v[:-1]),
    "shifted sums": lambda v, w: operator.iadd(v[1:], v[:-1]),
    "mirrored": lambda v, w: operator.imul(v, 0.5 * v[::-1]),
    "out": function(fitting, lambda v, w: np.add(v, np.sin(w), out=v)),
    "out of a view": function(always, lambda v, w: np.multiply(v[:-1], 0.5, out=v[1:])),
    "add.at": function(nonempty, lambda v, w: np.add.at(v, [0, 0], 0.3 * w.reshape(-1)[0])),
    "multiply.at": function(nonempty, lambda v, w: np.multiply.at(v, [0, 0, -1], 0.9)),
    "copyto": function(fitting, lambda v, w: np.copyto(v, np.cos(w), where=every_third(v))),
    "put": function(nonempty, lambda v, w: np.put(v, [0, v.size - 1], w.reshape(-1)[:2] * 0.5)),
    "putmask": function(nonempty, lambda v, w: np.putmask(v, every_third(v), np.sin(w))),
    "place": function(nonempty, lambda v, w: np.place(v, every_third(v), np.sin(w))),
    "fill_diagonal": function(
        lambda v, w: v.ndim == 2 and nonempty(v, w),
        lambda v, w: np.fill_diagonal(v, np.sin(w.reshape(-1)[0])),
    ),
    "put_along_axis": function(
        nonempty,
        lambda v, w: np.put_along_axis(
            v, np.zeros((1, *v.shape[1:]), int), 0.5 * w.reshape(-1)[:1].reshape((1,) * v.ndim), 0
        ),
    ),
    "flat": function(nonempty, lambda v, w: v.flat.__setitem__(-1, w.reshape(-1)[0] * 0.5)),
    "sort": lambda v, w: v.sort(axis=0) if v.dtype.kind == "f" else None,
    "rows swapped": lambda v, w: v.__setitem__([0, -1], v[[-1, 0]]) if len(v) else None,
    "fill": lambda v, w: v.fill(0.25),
}
KINDS = [("view", n) for n in VIEWS] + [("read", n) for n in READS] + [("write", n) for n in WRITES]
KINDS += [("forget", "")] * 4 + [("write", n) for n in ("all", "added", "tail", "multiplied")]
# What MyGrad's tensors know as well, in the same words.
SHARED = [
    *[("view", n) for n in ("tail", "head", "reversed", "every other", "first row", "transposed",
                            "new axis", "flat", "folded", "the same", "last column")],
    *[("read", n) for n in ("sine", "scaled", "sum", "product", "gathered", "masked")],
    *[("write", n) for n in ("all", "first", "tail", "last column", "a mask", "a row mask",
                             "a number", "added", "subtracted", "multiplied", "divided", "shifted",
                             "part augmented")],
    ("forget", ""),
]  # fmt: skip


def run(steps, kinds, *bases):
    """Takes the steps on a pool that begins with the bases; a number made of what is alive then."""
    pool = list(bases)
    for number, i, j in steps:
        kind, name = kinds[number % len(kinds)]
        v, w = pool[i % len(pool)], pool[j % len(pool)]
        if kind == "view":
            made = VIEWS[name](v)
        elif kind == "read":
            made = READS[name](v, w)
        elif kind == "write":
            made = WRITES[name](v, w)
        else:
            made = None
            if len(pool) > 2:
                pool.pop(i % len(pool))
        if kind != "write" and made is not None and made.ndim and made.size <= 24:
            pool.append(made)
        del v, w, made
    total = 0.0
    for k, v in enumerate(pool):
        weights = np.cos(np.arange(v.size) + k).reshape(v.shape)
        part = np.sum(np.sin(v) * weights) + np.sum(v * v) * 0.1
        total = total + (np.real(part) + 0.3 * np.imag(part) if v.dtype.kind == "c" else part)
    return total


# -- the checks ------------------------------------------------------------------------------------
SHAPES = [(4,), (2, 3), (3, 3), (2, 1, 3)]
number = st.integers(0, 7)
programs = st.tuples(
    st.lists(st.tuples(st.integers(0, len(KINDS) - 1), number, number), min_size=2, max_size=14),
    st.sampled_from(SHAPES),
    st.sampled_from(["C", "F", "complex"]),
)


def bases(shape, form):
    n = int(np.prod(shape))
    x = (np.sin(2.4 * np.arange(n) + 0.3) * 1.3).reshape(shape)
    y = np.cos(1.7 * np.arange(shape[-1]) + 0.2)
    if form == "F":
        x = np.asfortranarray(x)
    return (x + 0.7j * np.cos(3.1 * x), y) if form == "complex" else (x, y)


def inner(gradients, directions):
    """The derivative of a real loss along directions, from its gradients."""
    return sum([np.sum(np.real(np.conj(g) * v)) for g, v in zip(gradients, directions)])


class Count:
    """How many programs ran, and what became of the others."""

    def __init__(self):
        self.ran = self.ambiguous = self.unstable = 0

    def enough(self):
        """Most programs have one meaning, and nearly all of these are smooth."""
        tried = self.ran + self.ambiguous + self.unstable
        return self.ran >= 0.4 * tried and self.unstable <= 0.1 * tried


def check(steps, shape, form, count):
    def f(*bases):
        return run(steps, KINDS, *bases)

    args = bases(shape, form)
    try:
        in_every_mode(f, args, count)
    except AmbiguousAliasError:
        count.ambiguous += 1


def in_every_mode(f, args, count):
    kept = [x.copy() for x in args]
    vs = [np.cos(1.0 + np.arange(x.size)).reshape(x.shape) * (1 + 0.5 * x) for x in args]
    us = [np.sin(2.0 + np.arange(x.size)).reshape(x.shape) * (1 - 0.5 * x) for x in args]
    want = f(*[x.copy("K") for x in args])
    value, gradients = value_and_grad(f)(*args)
    near(value, want, 1e-13)
    with debug_buffers():  # no step keeps memory that a write in place has changed
        for g, again in zip(gradients, grad(f)(*args)):
            near(again, g, 1e-13)
    first, trusted = slope(f, args, vs)
    if not trusted:
        count.unstable += 1
        return
    near(inner(gradients, vs), first, 1e-8)
    near(jvp(f, args, tuple(vs))[1], first, 1e-8)
    for x, k in zip(args, kept):
        assert np.array_equal(x, k), "an array of the caller was changed"
    for x, g in zip(args, gradients):
        assert g.shape == x.shape and g.dtype == x.dtype
    hand = [Var(x) for x in args]
    f(*[v * 1.0 for v in hand]).backward()
    again = grad(checkpoint(lambda *xs: f(*[np.copy(x) for x in xs])))(*args)
    for v, a, g in zip(hand, again, gradients):
        near(v.grad, g, 1e-12)
        near(a, g, 1e-12)
    assert eval_shape(f, *args).shape == ()

    def along(*xs):
        return inner(grad(f)(*xs), us)

    second, trusted = slope(along, args, vs)
    mixed = inner(jvp(grad(f), args, tuple(vs))[1], us)
    if trusted:
        near(mixed, second, 1e-7)
    near(jvp(lambda *xs: jvp(f, xs, tuple(us))[1], args, tuple(vs))[1], mixed, 1e-9)
    near(inner(grad(along)(*args), vs), mixed, 1e-9)
    near(inner(grad(lambda *xs: jvp(f, xs, tuple(us))[1])(*args), vs), mixed, 1e-9)

    members = [args, moved(args, vs, 0.1)]
    rows = [np.stack(xs) for xs in zip(*members)]
    near(vmap(f)(*rows), [f(*[x.copy("K") for x in xs]) for xs in members], 1e-12)
    each = [grad(f)(*xs) for xs in members]
    for got, one, two in zip(vmap(grad(f))(*rows), *each):
        near(got, [one, two], 1e-11)
    near(vmap(grad(along, argnums=0))(*rows)[0], grad(along, argnums=0)(*args), 1e-9)
    count.ran += 1


@pytest.mark.parametrize("block", range(4))
def test_random_programs(block):
    count = Count()

    @given(programs)
    def every(program):
        steps, shape, form = program
        check([((n + 7 * block) % len(KINDS), i, j) for n, i, j in steps], shape, form, count)

    every()
    assert count.enough(), vars(count)


def test_gradients_are_those_of_mygrad():
    mygrad = pytest.importorskip("mygrad")
    count = Count()

    @given(programs)
    def every(program):
        steps, shape, _ = program
        x, y = bases(shape, "C")
        steps = [(n % len(SHARED), i, j) for n, i, j in steps]
        tensors = [mygrad.tensor(x), mygrad.tensor(y)]
        try:
            gradients = grad(lambda x, y: run(steps, SHARED, x, y))(x, y)
        except AmbiguousAliasError:
            count.ambiguous += 1
            return
        run(steps, SHARED, *[1.0 * t for t in tensors]).backward()
        count.ran += 1
        for t, g in zip(tensors, gradients):
            near(np.zeros(t.shape) if t.grad is None else t.grad, g, 1e-11)

    every()
    assert count.enough(), vars(count)


# -- every function: what is a view in NumPy is one here, and what is a copy is none ---------------
# Primitives that are reached by names of ours, or by derivatives alone.
NOT_NUMPYS = {"split", "unstack", "cond", "scan", "while_loop", "while_loop_replay"}
SPELLED = {
    "conj of reals": lambda x: x.conj(),
    "np.conj of reals": np.conj,
    "astype": lambda x: x.astype(float, copy=False),
    "asarray": lambda x: np.asarray(x, like=x),
    "array": lambda x: np.array(x, like=x),
    "array without a copy": lambda x: np.array(x, copy=None, like=x),
    "ascontiguousarray": lambda x: np.ascontiguousarray(x, like=x),
    "ascontiguousarray of T": lambda x: np.ascontiguousarray(x.T, like=x),
    "asfortranarray": lambda x: np.asfortranarray(x, like=x),
    "asfortranarray of T": lambda x: np.asfortranarray(x.T, like=x),
    "asarray in Fortran's order": lambda x: np.asarray(x, order="F", like=x),
    "einsum of one": lambda x: np.einsum("ij->ji", x),
    "nan_to_num": np.nan_to_num,
    "nan_to_num in place": lambda x: np.nan_to_num(x, copy=False),
    "hsplit": lambda x: np.hsplit(x, [1])[0],
    "squeeze of nothing": np.squeeze,
    "reshape to the same": lambda x: np.reshape(x, x.shape),
    "reshape of T": lambda x: x.T.reshape(-1, order="F"),
    "positive": lambda x: +x,
    "clip": lambda x: np.clip(x, -9, 9),
    "round": lambda x: x.round(3) * 1.0 + x * 0,
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "tile once": lambda x: np.tile(x, 1),
    "repeat once": lambda x: np.repeat(x, 1, 0),
    "roll by nothing": lambda x: np.roll(x, 0),
    "pad with nothing": lambda x: np.pad(x, 0),
    "delete nothing": lambda x: np.delete(x, [], 0),
    "block of a list": lambda x: np.block([x]),
    "block of one": lambda x: np.block(x),
    "an empty index": lambda x: x[()],
    "flat": lambda x: x.flat[:],
    "flatten": lambda x: x.flatten(),
    "sum over no axes": lambda x: np.sum(x, axis=()),
    "max over no axes": lambda x: np.max(x, axis=()),
    "first power": lambda x: x**1,
    "rot90 by nothing": lambda x: np.rot90(x, 4),
    "flip of no axes": lambda x: np.flip(x, ()),
    "triu of everything": lambda x: np.triu(x, -5),
    "an iterator": lambda x: next(iter(x)),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x)[0],
    "broadcast_to": lambda x: np.broadcast_to(x, x.shape),
    "atleast_3d": np.atleast_3d,
    "take": lambda x: np.take(x, [0, 1, 2], 0),
}


def written_after(f, operands, places, into_results):
    """The operands and results of `f` after all the one or the other have been written into."""

    def run(*xs):
        given = list(operands)
        for i, x in zip(places, xs):
            given[i] = x
        made = f(*given)
        made = [y for y in (made if isinstance(made, (tuple, list)) else [made]) if is_array(y)]
        for x in made if into_results else xs:
            if type(x) is not np.ndarray or x.flags.writeable:
                x *= 1.5
        return [x * 1.0 for x in xs], [y * 1.0 for y in made]

    return run


def writes_itself(f, operands, places):
    """True if a plain run changes an operand, as SciPy does where it sorts a sparse matrix."""
    copies = [x.copy("K") if isinstance(x, np.ndarray) else x for x in operands]
    with np.errstate(all="ignore"):
        f(*copies)
    return any(not np.array_equal(copies[i], operands[i]) for i in places)


def is_array(y):
    return isinstance(y, np.ndarray) and y.shape != () and y.dtype.kind in "fc"


@pytest.mark.filterwarnings("ignore:.*broadcast_array", "ignore:Numpy has detected")
def test_views_and_copies_are_numpys():
    square = np.arange(1.0, 10.0).reshape(3, 3)
    cases = [(name, f, [square], [0]) for name, f in SPELLED.items()]
    for sample in all_samples():
        places = [i for i in sample.wrt if is_array(sample.operands[i])]
        if sample.primitive not in NOT_NUMPYS and places:
            cases.append((repr(sample), sample.f, sample.operands, places))
    counts = {"the same": 0, "read-only": 0, "ambiguous": 0}
    for name, f, operands, places in cases:
        if writes_itself(f, operands, places):
            continue
        for into_results in (False, True):
            run = written_after(f, operands, places, into_results)
            copies = [operands[i].copy("K") for i in places]
            with np.errstate(all="ignore"):
                want = run(*[x.copy("K") for x in copies])
                try:
                    got = vjp(run, *copies)[0]
                except AmbiguousAliasError:
                    counts["ambiguous"] += 1
                    continue
                except ValueError as error:
                    assert "read-only" in str(error), name
                    counts["read-only"] += 1
                    continue
            counts["the same"] += 1
            for ours, numpys in zip(got[0] + got[1], want[0] + want[1], strict=True):
                np.testing.assert_allclose(ours, numpys, rtol=1e-6, atol=1e-9, err_msg=name)
    assert counts["the same"] > 20 * (counts["read-only"] + counts["ambiguous"]), counts


def test_what_is_known_to_lie_in_c_order_does_in_numpy():
    """Where a reshape is taken for a view it is one in NumPy, in whatever order operands lie."""
    known, lying = [], []
    for sample in all_samples():
        if "scipy" in sample.name:
            continue  # how those lie differs between the releases of SciPy
        places = [i for i in sample.wrt if is_array(sample.operands[i])]
        for orders in ("C", "F", "FC") if len(places) > 1 else ("C", "F"):
            xs = [np.array(sample.operands[i], order=o) for i, o in zip(places, orders * 9)]

            def results(*xs, sample=sample, places=places):
                given = list(sample.operands)
                for i, x in zip(places, xs):
                    given[i] = x
                made = sample.f(*given)
                return [y for y in (made if isinstance(made, tuple) else [made]) if is_array(y)]

            def note(*xs, results=results):
                boxes = results(*xs)
                known.extend([(repr(sample), is_contiguous(y)) for y in boxes])
                return [y * 1.0 for y in boxes]

            with np.errstate(all="ignore"):
                lying.extend([y.flags.c_contiguous for y in results(*[x.copy("K") for x in xs])])
                vjp(note, *xs)
    assert [name for (name, told), so in zip(known, lying, strict=True) if told and not so] == []
    assert sum(told for _, told in known) > 0.9 * sum(lying)


LAYOUTS = {
    "an argument": lambda x: x.__iadd__(np.ones(x.shape)) * 2.0,
    "a buffer": lambda x: copied_into(np.zeros((3, 4), order="F", like=x), x) * 2.0,
    "like another": lambda x: np.zeros_like(x.T) + 1.0,
    "a number like another": lambda x: np.full_like(x.T, 2.0) + x.T,
    "sorted": lambda x: np.sort(x.T, axis=0),
    "partitioned": lambda x: np.partition(x.T, 1, axis=0),
    "a running maximum": lambda x: np.maximum.accumulate(x.T),
    "padded": lambda x: np.pad(x.T, 1),
    "rolled": lambda x: np.roll(x.T, 1, axis=0),
    "shifted": lambda x: np.fft.fftshift(x.T),
    "parts of a complex": lambda x: np.nan_to_num(x.T + 1j).real * 1.0,
    "rows of three axes": lambda x: np.stack([x, 2 * x]).transpose(2, 1, 0)[[0, 1]],
    "pieces": lambda x: np.piecewise(x.T, [np.ones((4, 3), bool)], [lambda t: t * t]),
    "axes moved": lambda x: np.sort(np.stack([x, x + 1]).transpose(1, 0, 2), axis=0),
    "columns": lambda x: x[:, [0, 2]],
}


def copied_into(buffer, x):
    buffer[...] = x
    buffer += x
    return buffer


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_write_through_a_reshape_is_numpys_or_refused(name, order):
    def f(x):
        made = LAYOUTS[name](x)
        line = made.reshape(-1)
        line[0] = 9.0
        made[-1] *= 2.0
        return made * line.reshape(made.shape)

    x = np.array(np.arange(12.0).reshape(3, 4) % 7, order=order)
    for run in (
        lambda: vjp(f, x)[0],
        lambda: jvp(f, (x,), (x,))[0],
        lambda: vjp(lambda x: vjp(f, x)[0], x)[0],
        lambda: vmap(f)(np.stack([x, x]))[0] if order == "C" else f(x.copy("K")),
    ):
        try:
            found = run()
        except AmbiguousAliasError:
            continue
        near(found, f(x.copy("K")), 1e-14)


# -- scalars, which nothing can change, and arrays of no axes --------------------------------------
NUMBERS = {
    "copy": lambda s: s.copy(),
    "np.copy": np.copy,
    "astype": lambda s: s.astype(float),
    "astype to another": lambda s: s.astype(np.float32),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "nan_to_num": np.nan_to_num,
    "reshape": lambda s: s.reshape(()),
    "squeeze": np.squeeze,
    "T": lambda s: s.T,
    "real": lambda s: s.real,
    "conj": lambda s: s.conj(),
    "everything": lambda s: s[...],
    "an empty index": lambda s: s[()],
    "sum": np.sum,
    "where": lambda s: np.where(True, s, 0.0),
    "zeros_like": np.zeros_like,
    "clip": lambda s: np.clip(s, -9, 9),
    "positive": lambda s: +s,
    "select": lambda s: np.select([np.array(True)], [s]),
    "sort": lambda s: np.sort(s[None])[0],
    "stack": lambda s: np.stack([s, s])[0],
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("place", [0, (0, ...)], ids=["scalar", "array"])
def test_what_is_a_scalar_in_numpy_is_no_buffer(name, place):
    def f(x):
        made = NUMBERS[name](x[place])
        same = made
        made += 1.0
        return same * x + made

    x = np.array([1.5, 2.5])
    near(vjp(f, x)[0], f(x.copy()), 1e-14)
    near(jvp(f, (x,), (x,))[0], f(x.copy()), 1e-14)
    near(vmap(f)(x[None])[0], f(x.copy()), 1e-14)
