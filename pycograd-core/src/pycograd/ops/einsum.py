"""`einsum`: diagonals and sums within one operand are taken first, the product is one primitive.

What is left for the primitive has no label twice in an operand and none in one operand alone, a
form that its transposes share: the cotangent of an operand is the einsum in which the output's
cotangent stands in that operand's place, and the operand in the output's.
"""

from __future__ import annotations

import operator
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import make_aval, shape_of
from pycograd.core.errors import ShapeError
from pycograd.core.fit import add_up, cast, is_narrow
from pycograd.core.linear import Variadic
from pycograd.core.spelling import spells
from pycograd.ops.contract import mismatch
from pycograd.ops.out import deliver

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


# -- the primitive ---------------------------------------------------------------------------------
def _impl(*operands: Any, spec: str, optimize: Any) -> Any:
    if any([x.dtype.kind == "V" for x in operands]):  # bfloat16, which NumPy's own does not take
        dtype = np.result_type(*[x.dtype for x in operands])
        operands = tuple([np.asarray(x, np.result_type(x.dtype, np.float32)) for x in operands])
        return np.asarray(np.einsum(spec, *operands, optimize=optimize), dtype)
    return np.einsum(spec, *operands, optimize=optimize)


def _transpose(ct: Any, i: int, values: Any, *, spec: str, optimize: Any) -> Any:
    inputs, output = _split(spec)
    own, inputs[i] = inputs[i], output
    operands = [*values[:i], ct, *values[i + 1 :]]
    if type(optimize) is tuple:  # a path that was good for other shapes
        optimize = "greedy"
    out = einsum_p(*operands, spec=_join(inputs, own), optimize=optimize)
    have, want = shape_of(out), shape_of(values[i])
    if have != want:  # a size 1 that stood for more; the axes the other way are summed by `fit`
        out = np.broadcast_to(out, [n if m == 1 else m for m, n in zip(have, want)])
    return out


def _shape(*operands: Any, spec: str, optimize: Any) -> Any:
    inputs, output = _split(spec)
    found: dict[str, Any] = {}
    for labels, x in zip(inputs, operands):
        for label, n in zip(labels, x.shape):
            known = found.setdefault(label, n)
            if known == 1:
                found[label] = n
            elif n != 1:
                try:
                    found[label] = sizes.same_size(known, n, "einsum")
                except ShapeError as error:
                    raise mismatch(f"einsum {spec!r}", *operands) from error
    dtype = np.result_type(*[x.dtype for x in operands])
    return make_aval(tuple([found[label] for label in output]), dtype)


def _batch(size: Any, values: Any, mapped: Any, *, spec: str, optimize: Any) -> Any:
    inputs, output = _split(spec)
    batch = next((c for c in _LETTERS if c not in spec), None)
    if batch is None:
        raise ShapeError(f"einsum {spec!r}: no letter is left for the axis that vmap adds")
    inputs = [batch + labels if m else labels for labels, m in zip(inputs, mapped)]
    return einsum_p(*values, spec=_join(inputs, batch + output), optimize=optimize)


def _split(spec: str) -> tuple[list[str], str]:
    inputs, output = spec.split("->")
    return inputs.split(","), output


def _join(inputs: list[str], output: str) -> str:
    return ",".join(inputs) + "->" + output


einsum_p = Variadic(
    "einsum",
    _impl,
    transpose=_transpose,
    joint=False,
    conjugate=True,
    shape=_shape,
    batch=_batch,
    cost="contraction",
)


# -- the spelling ----------------------------------------------------------------------------------
@spells(np.einsum)
def einsum(
    *operands: Any,
    out: Any = None,
    dtype: Any = None,
    order: str = "K",
    casting: Any = "safe",
    optimize: Any = False,
) -> Any:
    """Einstein summation, from a subscripts string or from lists of axis labels."""
    key, arrays = _arguments(operands)
    arrays = [x if isinstance(x, np.ndarray) else np.asarray(x) for x in arrays]
    if dtype is not None:
        for x in arrays:
            if not np.can_cast(x.dtype, dtype, casting):
                raise TypeError(f"einsum: cannot cast {x.dtype} to {np.dtype(dtype)} ({casting=})")
        arrays = [np.astype(x, dtype, copy=False) for x in arrays]
    plans, spec, order_of_axes = _plan(key, tuple([len(x.shape) for x in arrays]))
    common = np.result_type(*[x.dtype for x in arrays]) if arrays else None
    arrays = [_reduced(x, common, *plan) for x, plan in zip(arrays, plans)]
    if len(arrays) == 1:
        return deliver(np.transpose(arrays[0], order_of_axes), out)
    if isinstance(optimize, (list, tuple)):
        optimize = tuple([tuple(x) if isinstance(x, list) else x for x in optimize])
    elif optimize is True:
        optimize = "greedy"
    return deliver(einsum_p(*arrays, spec=spec, optimize=optimize), out)


@spells(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """The order of contraction that NumPy would choose, which depends on shapes alone."""

    def blank(x: Any) -> Any:
        return np.broadcast_to(np.zeros((), x.dtype), x.shape) if isinstance(x, np.ndarray) else x

    path: Any = np.einsum_path
    return path(*map(blank, operands), optimize=optimize, einsum_call=einsum_call)


def _arguments(operands: Any) -> tuple[Any, list[Any]]:
    """`((inputs, output), arrays)`; labels are letters or ints, Ellipsis is "...", output None."""
    if not operands:
        raise ShapeError("einsum: no subscripts and no operands")
    if isinstance(operands[0], str):
        text = operands[0].replace(" ", "")
        inputs, arrow, last = text.partition("->")
        terms = [_letters(term, text) for term in inputs.split(",")]
        return (tuple(terms), _letters(last, text) if arrow else None), list(operands[1:])
    pairs = len(operands) // 2
    sublists = [_integers(operands[2 * i + 1]) for i in range(pairs)]
    output = _integers(operands[-1]) if len(operands) % 2 else None
    return (tuple(sublists), output), list(operands[: 2 * pairs : 2])


@lru_cache(maxsize=1024)
def _letters(term: str, text: str) -> tuple[Any, ...]:
    head, dots, tail = term.partition("...")
    for c in head + tail:
        if c not in _LETTERS:
            raise ShapeError(f"einsum {text!r}: {c!r} is not a letter, a comma, '->' or '...'")
    return (*head, *((...,) if dots else ()), *tail)


def _integers(labels: Any) -> tuple[Any, ...]:
    return tuple([x if x is ... else operator.index(x) for x in labels])


@lru_cache(maxsize=1024)
def _plan(key: Any, ranks: tuple[int, ...]) -> tuple[Any, str, Any]:
    """For each operand its diagonals and summed axes; the primitive's spec; the final order."""
    terms, output = key
    text = _text(key)
    if len(terms) != len(ranks):
        raise ShapeError(f"einsum {text!r}: subscripts for {len(terms)} operands, not {len(ranks)}")
    inputs = [_expanded(term, rank, i, text) for i, (term, rank) in enumerate(zip(terms, ranks))]
    counts = Counter([label for labels in inputs for label in labels])
    dots = sorted(label for label in counts if type(label) is tuple)
    if output is None:
        out = dots + sorted(c for c in counts if counts[c] == 1 and type(c) is not tuple)
    else:
        out = [x for label in output for x in (dots if label is ... else [label])]
        if dots and ... not in output:
            raise ShapeError(f"einsum {text!r}: the output has no '...' for the axes of '...'")
    for label in out:
        if label not in counts:
            raise ShapeError(f"einsum {text!r}: output subscript {label!r} is in no operand")
        if out.count(label) > 1:
            raise ShapeError(f"einsum {text!r}: output subscript {label!r} occurs twice")
    plans = []
    for i, labels in enumerate(inputs):
        diagonals = []
        while repeated := [x for x in labels if labels.count(x) > 1]:
            first = labels.index(repeated[0])
            second = labels.index(repeated[0], first + 1)
            diagonals.append((first, second))
            labels = [x for a, x in enumerate(labels) if a not in (first, second)] + repeated[:1]
        elsewhere = {x for j, other in enumerate(inputs) if j != i for x in other} | set(out)
        summed = tuple([a for a, x in enumerate(labels) if x not in elsewhere])
        inputs[i] = [x for x in labels if x in elsewhere]
        plans.append((tuple(diagonals), summed, text))
    order = tuple([inputs[0].index(x) for x in out]) if len(inputs) == 1 else None
    if len(counts) > len(_LETTERS):
        raise ShapeError(f"einsum {text!r}: more than {len(_LETTERS)} different axes")
    letter = dict(zip(counts, _LETTERS))
    words = ["".join(letter[x] for x in labels) for labels in (*inputs, out)]
    return tuple(plans), _join(words[:-1], words[-1]), order


def _expanded(term: Any, rank: int, i: int, text: str) -> list[Any]:
    """The labels of an operand's axes; an axis of `...` is labelled by its place from the right."""
    named = len(term) - (... in term)
    if named > rank or (named < rank and ... not in term):
        raise ShapeError(f"einsum {text!r}: operand {i} has {rank} axes, its subscripts {named}")
    dots = [("...", k - rank + named) for k in range(rank - named)]
    return [x for label in term for x in (dots if label is ... else [label])]


def _text(key: Any) -> str:
    """The subscripts as in a string, for messages."""
    inputs, output = key
    words = (*inputs, output or ())
    terms = ["".join("..." if x is ... else str(x) for x in word) for word in words]
    return ",".join(terms[:-1]) + ("" if output is None else "->" + terms[-1])


def _reduced(x: Any, common: Any, diagonals: Any, summed: tuple[int, ...], text: str) -> Any:
    """`x` with its repeated labels made one and those that nobody else has summed."""
    for first, second in diagonals:
        try:
            sizes.same_size(x.shape[first], x.shape[second], "einsum")
        except ShapeError as error:
            raise mismatch(f"einsum {text!r}", x) from error
        x = np.diagonal(x, 0, first, second)
    if not summed:
        return x
    if is_narrow(common):
        return add_up(cast(x, common), summed)
    # In the dtype of the product, as NumPy adds up: small ints stay small beside each other only.
    return np.sum(x, summed, None if x.dtype == common and common.kind in "fc" else common)
