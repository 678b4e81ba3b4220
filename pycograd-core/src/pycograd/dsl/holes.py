"""Which function a hole belongs to: pipescript's rules.

A hole belongs to the smallest stage of a pipeline or macro around it; where there is none, to the
chain of calls, attributes and indices around it.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from pycograd.dsl.marks import FORWARD, block_of, body_of, chain_of, is_hole, pipe_of, split
from pycograd.dsl.words import HOLE, MACROS

FOREIGN: Final = {
    "context", "expect", "future", "macro", "memoize", "method", "ntimes", "once", "otherwise",
    "read", "repeat", "unless", "until", "when", "write",
}  # fmt: skip

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def bound_by(scope: ast.AST) -> set[str]:
    """The names that a scope binds to what may be an array: not to functions it defines."""
    found: set[str] = set()
    if isinstance(scope, _FUNCTIONS):
        found |= {node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg)}
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Assign) and (
            isinstance(node.value, ast.Lambda) or pipe_of(node.value) is not None
        ):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias) and (node.asname or node.name) == "f":
            found.add("f")  # a macro that is imported, as reduce is, is itself
        elif isinstance(node, ast.Subscript) and block_of(node) is not None:
            found |= _weights(node)
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def _weights(block: ast.Subscript) -> set[str]:
    """The names that `params{...}` binds."""
    assert isinstance(block.slice, ast.Tuple)
    assigned = [entry for entry in block.slice.elts if isinstance(entry, ast.Compare)]
    targets = [target for a in assigned for target in (a.left, *a.comparators[:-1])]
    return {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}


class Holes:
    """Finds holes, and knows in which scopes the names of macros mean something else."""

    def __init__(self, taken: Collection[str]) -> None:
        self.scopes = [{*taken}]  # of each scope around, the names that are no macros in it

    def is_macro(self, node: ast.AST) -> bool:
        """True for `map[...]` and its kin, for `f{...}`, and for `f[...]` with a hole."""
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            return False
        name = node.value.id
        if body_of(node) is not None:
            return True
        if any([name in scope for scope in self.scopes]):
            return False
        if name == "f" or name in FOREIGN:
            return any(True for _ in self.of_macro(node.slice))
        return name in MACROS

    def of_stage(self, node: ast.AST) -> Iterator[ast.Name]:
        """The holes of a stage: not those of pipelines and macros inside it."""
        if isinstance(node, ast.Name):
            if is_hole(node):
                yield node
        elif pipe_of(node) is None and not self.is_macro(node):
            for child in ast.iter_child_nodes(node):
                yield from self.of_stage(child)

    def of_macro(self, node: ast.AST) -> Iterator[ast.Name]:
        """The holes of a macro's body: also those with which pipelines in it begin."""
        if isinstance(node, ast.Name):
            if is_hole(node):
                yield node
        elif pipe_of(node) is not None and isinstance(node, ast.expr):
            seed, steps = chain_of(node)
            if split(steps[0][0])[0] in FORWARD:
                yield from self.of_macro(seed)
        elif not self.is_macro(node):
            for child in ast.iter_child_nodes(node):
                yield from self.of_macro(child)

    def of_call(self, node: ast.AST, outermost: bool = True) -> Iterator[ast.Name]:
        """The holes of a chain of calls, attributes and indices: not those in calls in it."""
        if isinstance(node, ast.Name):
            if is_hole(node):
                yield node
        elif isinstance(node, ast.Call):
            if pipe_of(node.func) is None:
                yield from self.of_call(node.func, outermost)
            if outermost:
                for argument in [*node.args, *(k.value for k in node.keywords)]:
                    yield from self.of_call(argument, False)
        elif pipe_of(node) is None and not self.is_macro(node):
            for child in ast.iter_child_nodes(node):
                yield from self.of_call(child, outermost and not isinstance(node, ast.BinOp))


def fill(
    body: ast.AST,
    holes: Iterator[ast.Name],
    order: Sequence[str] = (),
    together: bool = False,
) -> tuple[ast.arguments | None, list[str]]:
    """Gives the holes of a body the names of parameters: None if there are none.

    Arguments:
        order: names of holes; parameters of these names keep that order.
        together: holes without a name are one parameter.

    Returns:
        The parameters, those without names of their own first; and the names of the others.
    """
    found = list(holes)
    if not found:
        return None, []
    used = {n.id for n in ast.walk(body) if isinstance(n, ast.Name)}
    used |= {n.arg for n in ast.walk(body) if isinstance(n, ast.arg)}
    fresh = (name for name in map("_{}".format, itertools.count()) if name not in used)
    positional: list[str] = []
    named: dict[str, str] = {}
    for hole in found:
        name = hole.id[len(HOLE) :]
        if not name and together and positional:
            hole.id = positional[0]
        elif not name:
            hole.id = next(fresh)
            positional.append(hole.id)
        else:
            hole.id = named.setdefault(name, _unused(name, used))
    known = {name: i for i, name in enumerate(order)}
    names = sorted(named, key=lambda name: known.get(name, len(known)))
    args = [ast.arg(name) for name in [*positional, *(named[name] for name in names)]]
    return ast.arguments([], args, None, [], [], None, []), names


def _unused(name: str, used: set[str]) -> str:
    while name in used:
        name += "_"
    return name
