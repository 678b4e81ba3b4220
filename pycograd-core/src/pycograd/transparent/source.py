"""Seeing calls: code made from the source of a function, in which every callable is looked at.

A method (`self.step(x)`, `X.dot(v)`), a function in a container or a parameter is known only when
it is called. Where the source is at hand it is compiled again with `f(x)` written as `seen(f)(x)`
and `a[i]` as `part(a, i)`, each in its place, so that lines in tracebacks are the user's. The code
of the function must equal what its source gives; otherwise it stays as it is.
"""

from __future__ import annotations
import __future__

import ast
import copy
import functools
import linecache
import operator
import types
import weakref
from typing import Any

SEEN, PART, SLICE = (
    "<pycograd: seen>",
    "<pycograd: part>",
    "<pycograd: slice>",
)  # names that no user's variable can have
_FLAGS = functools.reduce(
    operator.or_, [getattr(__future__, n).compiler_flag for n in __future__.all_feature_names]
)
_MANY, _MANY_FILES = 4096, 16

_modules: dict[str, tuple[Any, Any]] = {}  # file name -> (lines, tree)
_made: dict[int, tuple[Any, types.CodeType]] = {}  # by the id of the code it stands for


def seeing_calls(function: types.FunctionType) -> types.CodeType:
    """The code of `function` with its calls seen; its own where there is no source."""
    code = function.__code__
    found = _made.get(id(code))
    if found is None or found[0]() is not code:
        if len(_made) >= _MANY:
            _made.clear()
        found = _made[id(code)] = weakref.ref(code), _compiled(function) or code
    return found[1]


def _compiled(function: types.FunctionType) -> types.CodeType | None:
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    statements = _statements(code.co_filename, lines, code.co_firstlineno)
    if not statements:
        return None
    flags = code.co_flags & _FLAGS
    try:
        whole = ast.Module(statements, [])
        before = compile(whole, code.co_filename, "exec", flags, dont_inherit=True)
        hooked = _Hooks().visit(copy.deepcopy(whole))
        after = compile(
            ast.fix_missing_locations(hooked), code.co_filename, "exec", flags, dont_inherit=True
        )
    except (SyntaxError, ValueError, RecursionError):
        return None
    return _counterpart(code, before, after)


def _statements(name: str, lines: Any, number: int) -> list[ast.stmt]:
    """The statement of a module in which a line stands, and the imports before it.

    Attributes of names that the module imports are compiled in a way of their own.
    """
    known = _modules.get(name)
    if known is None or known[0] is not lines:
        try:
            tree = ast.parse("".join(lines))
        except (SyntaxError, ValueError, RecursionError):
            return []
        if len(_modules) >= _MANY_FILES:
            _modules.clear()
        known = _modules[name] = lines, tree
    for statement in known[1].body:
        decorators = getattr(statement, "decorator_list", ())
        first = min([statement.lineno, *[d.lineno for d in decorators]])
        if first <= number <= (statement.end_lineno or first):
            return [*_imports(known[1]), statement]
    return []


def _imports(block: Any) -> list[ast.stmt]:
    """The imports of a module, those in its branches included."""
    found: list[ast.stmt] = []
    for statement in block.body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            if getattr(statement, "module", "") != "__future__":
                found.append(statement)
        elif isinstance(statement, (ast.If, ast.Try, ast.With)):
            found += _imports(statement)
            for part in (*getattr(statement, "handlers", ()), *_lists(statement)):
                found += _imports(part)
    return found


def _lists(statement: Any) -> list[ast.Module]:
    names = ("orelse", "finalbody")
    return [ast.Module(getattr(statement, name, []), []) for name in names]


def _counterpart(
    code: types.CodeType, before: types.CodeType, after: types.CodeType
) -> types.CodeType | None:
    """The code in `after` at the place where `code` is in `before`."""
    nested = [
        [c for c in whole.co_consts if type(c) is types.CodeType] for whole in (before, after)
    ]
    if len(nested[0]) != len(nested[1]):
        return None
    for old, new in zip(*nested):
        if old == code:
            return new if new.co_freevars == code.co_freevars else None
        if (found := _counterpart(code, old, new)) is not None:
            return found
    return None


class _Hooks(ast.NodeTransformer):
    """Writes `f(x)` as `seen(f)(x)` and `a[i]` as `part(a, i)`."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if not (isinstance(node.func, ast.Name) and node.func.id in _LEFT):
            node.func = _call(SEEN, [node.func], node.func)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        index = node.slice
        entries = index.elts if isinstance(index, ast.Tuple) else [index]
        if not isinstance(node.ctx, ast.Load) or all([_is_plain(e) for e in entries]):
            return node
        if isinstance(index, ast.Tuple):
            index.elts = [_sliced(entry) for entry in index.elts]
        return _call(PART, [node.value, _sliced(index)], node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return node  # an annotation is no call of the function's


_LEFT = frozenset({"super", "locals", "vars", "dir"})  # they look at the frame, or are looked for


def _is_plain(entry: ast.expr) -> bool:
    """True for an entry of an index that is no value of a transform."""
    return isinstance(entry, (ast.Slice, ast.Constant, ast.UnaryOp))


def _sliced(entry: ast.expr) -> ast.expr:
    """`a:b:c` of an index as `slice(a, b, c)`; anything else as it is."""
    if not isinstance(entry, ast.Slice):
        return entry
    bounds = [b or ast.Constant(None) for b in (entry.lower, entry.upper, entry.step)]
    return _call(SLICE, bounds, entry)


def _call(name: str, arguments: list[ast.expr], place: ast.expr) -> ast.Call:
    function = ast.copy_location(ast.Name(name, ast.Load()), place)
    return ast.copy_location(ast.Call(function, arguments, []), place)
