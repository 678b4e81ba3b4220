"""A block of assignments as one expression: `[a := 1, b := a, ...][-1]` in a lambda of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pycograd.dsl.marks import error_at, is_hole
from pycograd.dsl.words import MARK


def last_of(expressions: list[ast.expr], at: ast.expr) -> ast.expr:
    """`[a, b, c][-1]`: expressions one after another, and the value of the last."""
    listed = ast.copy_location(ast.List(expressions, ast.Load()), at)
    one = ast.copy_location(ast.Constant(1), at)
    last = ast.copy_location(ast.UnaryOp(ast.USub(), one), at)
    return ast.copy_location(ast.Subscript(listed, last, ast.Load()), at)


def add_defaults(arguments: ast.arguments, names: Sequence[str], at: ast.expr) -> None:
    """Gives a lambda the values that names have outside it."""
    for name in names:
        arguments.kwonlyargs.append(ast.copy_location(ast.arg(name), at))
        arguments.kw_defaults.append(ast.copy_location(ast.Name(name, ast.Load()), at))


def bound_to(target: ast.expr, value: ast.expr, names: list[str]) -> ast.expr:
    """`target := value`, where the target may be a tuple of names."""
    if isinstance(target, ast.Name) and not is_hole(target):
        names.append(target.id)
        store = ast.copy_location(ast.Name(target.id, ast.Store()), target)
        return ast.copy_location(ast.NamedExpr(store, value), target)
    if not isinstance(target, (ast.Tuple, ast.List)):
        raise error_at(
            "params{...} gives values to names, one entry after another: write ; or a new line"
            " between them",
            target,
        )
    # [[a := _0, b := _1] for _0, _1 in [value]], for := takes a single name.
    assigned, elements = list[ast.expr](), list[ast.expr]()
    for i, element in enumerate(target.elts):
        starred = isinstance(element, ast.Starred)
        inner = element.value if isinstance(element, ast.Starred) else element
        part = f"_{MARK}{len(names)}_{i}"
        load = ast.copy_location(ast.Name(part, ast.Load()), element)
        assigned.append(bound_to(inner, load, names))
        bound: ast.expr = ast.copy_location(ast.Name(part, ast.Store()), element)
        if starred:
            bound = ast.copy_location(ast.Starred(bound, ast.Store()), element)
        elements.append(bound)
    pattern = ast.copy_location(ast.Tuple(elements, ast.Store()), target)
    given = ast.copy_location(ast.List([value], ast.Load()), target)
    body = ast.copy_location(ast.List(assigned, ast.Load()), target)
    loop = ast.comprehension(pattern, given, [], 0)
    return ast.copy_location(ast.ListComp(body, [loop]), target)


def read_before_bound(entries: Sequence[tuple[ast.expr, list[str]]]) -> list[str]:
    """Names of a block that its entries read before they bind them: those outside it."""
    later = {name for _, names in entries for name in names}
    outer: dict[str, None] = {}
    for expression, names in entries:
        for node in _outside_functions(expression):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in later:
                outer[node.id] = None
        later -= {*names}
    return list(outer)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _outside_functions(child)
