"""`Var` used by hand: records linked to their parents instead of a list that somebody owns.

There is no enclosing call, so what nobody reaches is freed by reference counting; `backward` orders
the records it reaches by their running number and hands them to the ordinary sweep.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import NonScalarOutputError, NotDifferentiableError, ShapeError
from pycograd.core.tape import CONSTANT, Sweep, Tape, Var

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
        grad = var.slot.grad
        return np.zeros(shape_of(var.value), dtype_of(var.value)) if grad is None else grad

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
            ct = np.asarray(ct, aval.dtype) if not isinstance(ct, Box) else ct
            if shape_of(ct) != aval.shape:
                raise ShapeError(f"backward: cotangent {shape_of(ct)} for a value {aval.shape}")
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


def leaf(value: Any) -> tuple[Any, HandTape, Node]:
    """The parts of a new leaf `Var`."""
    if type(value) not in (float, complex):
        value = np.asarray(value)
    if not is_inexact(dtype_of(value)):
        raise NotDifferentiableError(
            f"Var() of a value with dtype {dtype_of(value)}: only float and complex values have"
            " derivatives; write Var(3.0) or x.astype(float)"
        )
    return value, BY_HAND, Node(*CONSTANT, keep=True)
