"""`Var` used by hand: records linked to their parents instead of a list that somebody owns.

There is no enclosing call, so what nobody reaches is freed by reference counting; `backward` orders
the records it reaches by their running number and hands them to the ordinary sweep.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import aval_of, dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import (
    ConversionError,
    NonScalarOutputError,
    NotDifferentiableError,
    ShapeError,
    UnsupportedOperationError,
)
from pycograd.core.fit import cast
from pycograd.core.tape import CONSTANT, Sweep, Tape, Var, WeakVar, is_within

_numbers = itertools.count()


class Node:
    """One record: a step whose parents are nodes."""

    __slots__ = ("rule", "parents", "residual", "number", "grad", "keep", "__weakref__")

    def __init__(self, rule: Any, parents: Any, residual: Any, keep: bool = False) -> None:
        self.rule, self.parents, self.residual, self.keep = rule, parents, residual, keep
        self.number = next(_numbers)
        self.grad: Any = None

    def above(self) -> Any:
        """The parent nodes."""
        return (self.parents,) if isinstance(self.parents, Node) else self.parents


class HandTape(Tape):
    """The trace of all `Var`s made by hand: outermost of all, always open."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("by hand")
        self.level = 0

    def input(self, value: Any) -> Var:
        return self.box(value, Node(*CONSTANT))

    constant = input

    def record(self, rule: Any, parents: Any, residual: Any, value: Any) -> Var:
        return self.box(value, Node(rule, parents, residual))

    def close(self) -> None:
        """By hand there is no end."""

    def grad_of(self, var: Var) -> Any:
        """The stored cotangent, or zeros."""
        grad, dtype = var.slot.grad, dtype_of(var.value)
        return np.zeros(shape_of(var.value), dtype) if grad is None else cast(grad, dtype)

    def retain(self, var: Var) -> None:
        """Keeps the cotangent of an intermediate value."""
        var.slot.keep = True

    def backward(self, out: Var, ct: Any) -> None:
        """Sweeps what `out` depends on; the cotangents of leaves and kept nodes are stored."""
        aval = aval_of(out.value)
        if ct is None:
            if aval.shape != () or aval.dtype.kind == "c":
                raise NonScalarOutputError(
                    f"backward() of {aval}, which is not a real scalar: pass a cotangent of that"
                    " shape, backward(ct), or reduce it with np.sum"
                )
            ct = np.ones((), aval.dtype)
        else:
            ct = ct if isinstance(ct, Box) else np.asarray(ct)
            if is_within(ct, self):
                raise ConversionError(
                    "backward: the cotangent is a Var made by hand, and what .grad then is could"
                    " not be differentiated rightly. Pass ct.value, or nest grad(f) for second"
                    " derivatives"
                )
            if shape_of(ct) != aval.shape:
                raise ShapeError(f"backward: cotangent {shape_of(ct)} for a value {aval.shape}")
            if dtype_of(ct).kind == "c" and aval.dtype.kind != "c":
                raise NotDifferentiableError("backward: the cotangent of a real value is complex")
            ct = cast(ct, aval.dtype)
        nodes = _reachable(out.slot)
        index = {id(node): i for i, node in enumerate(nodes)}
        steps: list[Any] = []
        cts: list[Any] = []
        for node in nodes:
            parents = node.parents
            if isinstance(parents, Node):
                place: Any = index[id(parents)]
            else:
                place = type(parents)([index[id(p)] for p in parents])
            if node.keep:
                steps.append((_store, [], (node, place)))
            else:
                steps.append((node.rule, place, node.residual))
            cts.append(None)
        cts[-1] = ct
        for node in nodes:
            node.grad = None
        Sweep(steps, cts, self).run(0)


def _store(ct: Any, residual: Any, parents: Any, sweep: Sweep) -> None:
    """Keeps the cotangent of a node, then sweeps the node as its own rule says."""
    node, place = residual
    node.grad = ct if isinstance(ct, Box) else np.array(ct)  # nobody else's memory
    sweep.steps.append((node.rule, place, node.residual))
    sweep.cts.append(ct)
    sweep.run(len(sweep.steps) - 1)


def _reachable(node: Node) -> list[Node]:
    """Every node that `node` depends on and itself, in the order of their making."""
    seen, stack = {id(node): node}, [node]
    while stack:
        for parent in stack.pop().above():
            if id(parent) not in seen:
                seen[id(parent)] = parent
                stack.append(parent)
    return sorted(seen.values(), key=lambda n: n.number)


BY_HAND = HandTape()


class _Leaf:
    """What a `Var` made by hand has besides: a value that may be set."""

    __slots__ = ()
    slot: Any

    @property
    def value(self) -> Any:
        """The array or number."""
        return _value.__get__(self)

    @value.setter
    def value(self, new: Any) -> None:
        try:
            old = _value.__get__(self)
        except AttributeError:  # being made
            _value.__set__(self, new)
            return
        new = _fitting(new, old)
        if shape_of(new) != shape_of(old):
            self.slot.grad = None
        _value.__set__(self, new)

    def rebind(self, new: Box) -> None:
        if not modes.stopped(BY_HAND):
            raise UnsupportedOperationError(
                "a Var made by hand was written to, after which it would not be a leaf and would"
                " get no gradient. Write v.value = v.value - step, or the same write inside"
                " no_grad(); to differentiate through a write, write into a copy (v * 1.0)"
            )
        old, value = _value.__get__(self), new.value
        _value.__set__(self, type(old)(value) if type(old) in (float, complex) else value)


_value: Any = vars(Box)["value"]  # the slot


class Leaf(_Leaf, Var):
    """A `Var` made by hand of an array."""

    __slots__ = ()


class WeakLeaf(_Leaf, WeakVar):
    """A `Var` made by hand of a Python scalar."""

    __slots__ = ()
    stays = True


Leaf.__name__, WeakLeaf.__name__ = "Var", "WeakVar"


def leaf(value: Any) -> Var:
    """A `Var` made by hand."""
    weak = type(value) in (float, complex)
    if not weak:
        value = np.array(value)
    if not is_inexact(dtype_of(value)):
        raise NotDifferentiableError(
            f"Var() of a value with dtype {dtype_of(value)}: only float and complex values have"
            " derivatives; write Var(3.0) or x.astype(float)"
        )
    made: Any = object.__new__(WeakLeaf if weak else Leaf)
    made.value, made._trace, made.slot = value, BY_HAND, Node(*CONSTANT, keep=True)
    return made  # type: ignore[no-any-return]


def _fitting(new: Any, old: Any) -> Any:
    """The value that a leaf with the value `old` takes for `new`."""
    if isinstance(new, Box):
        raise ConversionError(
            f"v.value = {new._kind()}: the value of a Var is a plain array. Write v.value ="
            " w.value, or v.value = v.value - step"
        )
    new = np.array(new)
    kind = new.dtype.kind
    if not (is_inexact(new.dtype) or kind in "biu") or (kind == "c" and dtype_of(old).kind != "c"):
        raise NotDifferentiableError(
            f"v.value = a value of dtype {new.dtype}, which does not fit the Var's"
            f" {dtype_of(old)}; make another one, Var(x)"
        )
    if type(old) not in (float, complex):
        return new.astype(dtype_of(old), copy=False)
    if new.shape:
        raise ShapeError(
            f"v.value = an array of shape {new.shape}: the Var was made of a Python number; make"
            " another one, Var(x)"
        )
    return type(old)(new)
