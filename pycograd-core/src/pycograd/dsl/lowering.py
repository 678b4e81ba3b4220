"""From the marked tree of `spelling` to plain Python.

    $ |> $ @ U + u |> relu          lambda x: relu((lambda x: x @ U + u)(x))
    |> data |> scores               lambda: scores(data)
    f .> g                          __pycograd__.compose(f, g)
    params{w = 1.0; b = w}          __pycograd__.params((lambda: [w := 1.0, b := w, {...}][-1])())

A pipeline is lowered once, when its cell or module is compiled, so calling it costs what calling
the plain function does, in any thread, and every transform sees ordinary functions. The meaning is
pipescript's: which function a hole belongs to, the order of its parameters, what each operator
does. Two things differ: `f[...]` is an index unless it has a hole, since `f` is what everybody
calls an array; and the name of a macro that the user has given a meaning keeps that one.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

from pycograd.dsl.spelling import HOLE, MARK

RUNTIME: Final = "__pycograd__"
MACROS: Final = {
    "do": "do",
    "filter": "filtering",
    "fork": "fork",
    "ifilter": "lazily_filtering",
    "imap": "lazily_mapping",
    "map": "mapping",
    "parallel": "parallel",
    "reduce": "reducing",
}
_FOREIGN: Final = {
    "context", "expect", "future", "macro", "memoize", "method", "ntimes", "once", "otherwise",
    "read", "repeat", "unless", "until", "when", "write",
}  # fmt: skip

_FORWARD: Final = {"pipe", "some", "assign", "partial"}  # what is at their left is no function
_Node = TypeVar("_Node", bound=ast.AST)


def lower(tree: ast.Module, taken: Collection[str] = ()) -> None:
    """Lowers a module in place.

    Arguments:
        tree: of the legal text, at the places of the source.
        taken: names that mean something of the user's, so that they are no macros.

    Raises:
        SyntaxError: without a file name, for what the DSL does not have.
    """
    lowering = _Lowering(taken)
    lowering.visit(tree)
    for node in ast.walk(tree):
        _refuse_marks(node)
    if lowering.used_runtime:
        _import_runtime(tree)
    ast.fix_missing_locations(tree)


_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _bound_by(scope: ast.AST) -> set[str]:
    """The names that a scope binds, but to functions: those cannot be indexed."""
    found: set[str] = set()
    if isinstance(scope, _FUNCTIONS):
        found |= {node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg)}
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Assign) and (
            isinstance(node.value, ast.Lambda) or _pipe(node.value) is not None
        ):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def _import_runtime(tree: ast.Module) -> None:
    at = 0
    for at, statement in enumerate([*tree.body, ast.Pass()]):
        documents = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not future and not (documents and at == 0 and len(tree.body) > 1):
            break
    place = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
    alias = ast.alias("pycograd.dsl.runtime", RUNTIME, **place)
    tree.body.insert(at, ast.Import([alias], **place))


def _error(message: str, node: ast.AST) -> SyntaxError:
    error = SyntaxError(message)
    error.lineno, error.offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
    error.end_lineno, error.end_offset = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
    return error


def _refuse_marks(node: ast.AST) -> None:
    """Raises for a mark that had no meaning where it stood."""
    if isinstance(node, ast.Name) and node.id.startswith(HOLE):
        raise _error(
            f"the hole {'$' + node.id[1:]} belongs to no function: holes stand in a stage of a"
            " pipeline, in a call, an attribute or an index, or in f[...]",
            node,
        )
    if isinstance(node, ast.Name) and node.id.startswith(MARK):
        raise _error("this operator needs an expression on both sides", node)
    name = getattr(node, "name", None) or getattr(node, "arg", None)
    if isinstance(name, str) and name.startswith((HOLE, MARK)):
        raise _error(f"{'$' + name[1:]} is no name for something", node)


# -- reading the marks -------------------------------------------------------------------------
def _pipe(node: ast.AST) -> str | None:
    """The operator of a pipe `(left | ǃop) | right`, without the mark."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left = node.left
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.BitOr):
            return _marked(left.right)
    return None


def _marked(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and node.id.startswith(MARK):
        return node.id[len(MARK) :]
    return None


def _chain(node: ast.expr) -> tuple[ast.expr, list[tuple[str, ast.expr]]]:
    """A pipeline as what it begins with, and its operators each with its right side."""
    steps: list[tuple[str, ast.expr]] = []
    while (op := _pipe(node)) is not None:
        assert isinstance(node, ast.BinOp) and isinstance(node.left, ast.BinOp)
        steps.append((op, node.right))
        node = node.left.left
    return node, steps[::-1]


def _split(op: str) -> tuple[str, int]:
    """An operator, and the number of stars before its operand."""
    for ending, stars in (("_tuple", 1), ("_dict", 2)):
        if op.endswith(ending):
            return op.removesuffix(ending), stars
    return op, 0


def _is_hole(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith(HOLE)


class _Lowering(ast.NodeTransformer):
    """Rewrites each construct of the DSL; `used_runtime` tells whether one needs the runtime."""

    def __init__(self, taken: Collection[str]) -> None:
        self.scopes = [{*taken}]  # of each scope around, the names that are no macros in it
        self.used_runtime = False

    def _in_scope(self, node: ast.AST) -> ast.AST:
        self.scopes.append(_bound_by(node))
        try:
            return self.generic_visit(node)
        finally:
            self.scopes.pop()

    visit_Module = visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _in_scope

    # -- making nodes -----------------------------------------------------------------------
    def _runtime(self, name: str, args: Sequence[ast.expr], at: ast.expr) -> ast.Call:
        self.used_runtime = True
        place = ast.copy_location(ast.Name(RUNTIME, ast.Load()), at)
        function = ast.copy_location(ast.Attribute(place, name, ast.Load()), at)
        return ast.copy_location(ast.Call(function, list(args), []), at)

    def _call(self, function: ast.expr, value: ast.expr, stars: int, at: ast.expr) -> ast.Call:
        """A call with a value, splatted or not; its place is that of the stage."""
        if stars == 2:
            call = ast.Call(function, [], [ast.keyword(None, value)])
        elif stars == 1:
            call = ast.Call(
                function, [ast.copy_location(ast.Starred(value, ast.Load()), value)], []
            )
        else:
            call = ast.Call(function, [value], [])
        return ast.copy_location(call, at)

    # -- holes ------------------------------------------------------------------------------
    def _is_macro(self, node: ast.AST) -> bool:
        """True for `map[...]` and its kin, for `f{...}`, and for `f[...]` with a hole."""
        if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
            return False
        name = node.value.id
        if _body(node) is not None:
            return True
        if any([name in scope for scope in self.scopes]):
            return False
        if name == "f" or name in _FOREIGN:
            return any(True for _ in self._macro_holes(node.slice))
        return name in MACROS

    def _stage_holes(self, node: ast.AST) -> Iterator[ast.Name]:
        """The holes of a stage: not those of pipelines and macros inside it."""
        if isinstance(node, ast.Name):
            if _is_hole(node):
                yield node
        elif _pipe(node) is None and not self._is_macro(node):
            for child in ast.iter_child_nodes(node):
                yield from self._stage_holes(child)

    def _macro_holes(self, node: ast.AST) -> Iterator[ast.Name]:
        """The holes of a macro's body: also those with which pipelines in it begin."""
        if isinstance(node, ast.Name):
            if _is_hole(node):
                yield node
        elif _pipe(node) is not None and isinstance(node, ast.expr):
            seed, steps = _chain(node)
            if _split(steps[0][0])[0] in _FORWARD:
                yield from self._macro_holes(seed)
        elif not self._is_macro(node):
            for child in ast.iter_child_nodes(node):
                yield from self._macro_holes(child)

    def _call_holes(self, node: ast.AST, outermost: bool = True) -> Iterator[ast.Name]:
        """The holes of a chain of calls, attributes and indices: not those in calls in it."""
        if isinstance(node, ast.Name):
            if _is_hole(node):
                yield node
        elif isinstance(node, ast.Call):
            if _pipe(node.func) is None:
                yield from self._call_holes(node.func, outermost)
            if outermost:
                for argument in [*node.args, *(k.value for k in node.keywords)]:
                    yield from self._call_holes(argument, False)
        elif _pipe(node) is None and not self._is_macro(node):
            for child in ast.iter_child_nodes(node):
                yield from self._call_holes(child, outermost and not isinstance(node, ast.BinOp))

    def _fill(
        self,
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

    def _function(self, node: ast.expr, holes: Iterator[ast.Name]) -> ast.expr:
        """An expression for a function: a lambda if it has holes, or what is one already."""
        args, _ = self._fill(node, holes)
        if args is None:
            return self._point_free(node)
        return ast.copy_location(ast.Lambda(args, self.visit(node)), node)

    def _point_free(self, node: ast.expr) -> ast.expr:
        """`np.tanh ** 2` as a function, decided when it is known what its operands are."""
        if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr):
            if not (isinstance(node.op, ast.Pow) and _is_power(node.right)):
                return self._operation(type(node.op).__name__, node, [node.left, node.right])
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            if type(node.ops[0]) in (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq):
                both = [node.left, node.comparators[0]]
                return self._operation(type(node.ops[0]).__name__, node, both)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
            if not isinstance(node.operand, ast.Constant):
                return self._operation(type(node.op).__name__, node, [node.operand])
        return self.visit(node)  # type: ignore[no-any-return]

    def _operation(self, name: str, node: ast.expr, operands: Sequence[ast.expr]) -> ast.expr:
        label = ast.copy_location(ast.Constant(name), node)
        return self._runtime("operation", [label, *map(self._point_free, operands)], node)

    # -- pipelines --------------------------------------------------------------------------
    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if _pipe(node) is not None:
            return self._pipeline(node)
        if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.BinOp):
            if _is_power(node.right):
                both = [self.visit(node.left), self.visit(node.right.right)]
                return self._runtime("power", both, node)
        return self.generic_visit(node)

    def _pipeline(self, node: ast.expr) -> ast.expr:
        seed, steps = _chain(node)
        args, names = None, list[str]()
        if _split(steps[0][0])[0] in _FORWARD:
            args, names = self._fill(node, self._stage_holes(seed))
            value = self.visit(seed)
        else:
            value = self._function(seed, self._stage_holes(seed))
        for op, right in steps:
            if args is not None and _split(op)[0] not in (*_FORWARD, "compose"):
                value, args = ast.copy_location(ast.Lambda(args, value), node), None
            value, names = self._step(op, value, right, names)
        if args is not None:
            value = ast.copy_location(ast.Lambda(args, value), node)
        return value  # type: ignore[no-any-return]

    def _step(
        self, op: str, left: ast.expr, right: ast.expr, names: list[str]
    ) -> tuple[ast.expr, list[str]]:
        op, stars = _split(op)
        if op == "assign":
            return self._assign(left, right), names
        args, own = self._fill(right, self._stage_holes(right), names)
        if args is not None:
            other: ast.expr = ast.copy_location(ast.Lambda(args, self.visit(right)), right)
        elif op in ("apply", "apply_some", "bind"):  # a value
            other = self.visit(right)
        else:
            other = self._point_free(right)
        count = ast.copy_location(ast.Constant(stars), right)
        if op == "pipe":
            made = self._call(other, left, stars, right)
        elif op == "apply":
            made = self._call(left, other, stars, right)
        elif op == "some":
            made = self._runtime("unless_none", [other, left, count], right)
        elif op == "apply_some":
            made = self._runtime("unless_none", [left, other, count], right)
        elif op == "partial":
            made = self._runtime("partly", [other, left, count], right)
        elif op == "bind":
            made = self._runtime("partly", [left, other, count], right)
        elif op == "compose":
            made = self._runtime("compose", [left, other, count], right)
        else:
            assert op == "after"
            made = self._runtime("compose", [other, left, count], right)
        return made, own or names

    def _assign(self, value: ast.expr, name: ast.expr) -> ast.expr:
        if not isinstance(name, ast.Name) or _is_hole(name):
            raise _error("|>> assigns to a name", name)
        scope = ast.copy_location(
            ast.Call(ast.copy_location(ast.Name("globals", ast.Load()), name), [], []), name
        )
        label = ast.copy_location(ast.Constant(name.id), name)
        return self._runtime("assign", [scope, label, value], name)

    # -- calls, macros and blocks -----------------------------------------------------------
    def visit_Call(self, node: ast.Call) -> ast.AST:
        body: ast.expr = node
        applied: list[ast.Call] = []
        while isinstance(body, ast.Call) and isinstance(body.func, ast.Call):
            arguments = [*body.args, *(k.value for k in body.keywords)]
            if any(True for a in arguments for _ in self._call_holes(a, True)):
                break
            applied.append(body)
            body = body.func
        args, _ = self._fill(body, self._call_holes(body))
        if args is None:
            return self._partial_call(node) or self.generic_visit(node)
        made: ast.expr = ast.copy_location(ast.Lambda(args, self.visit(body)), body)
        for call in reversed(applied):
            call.func = made
            call.args = [self.visit(a) for a in call.args]
            call.keywords = [self.visit(k) for k in call.keywords]
            made = call
        return made

    def _partial_call(self, node: ast.Call) -> ast.expr | None:
        """`f$(x)`, marked as `f.ǃcall(x)`."""
        if not isinstance(node.func, ast.Attribute) or node.func.attr != f"{MARK}call":
            return None
        made = self._runtime("partial", [node.func.value, *node.args], node)
        made.keywords = node.keywords
        return self.generic_visit(made)  # type: ignore[return-value]

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._around_holes(node)

    def _around_holes(self, node: ast.expr) -> ast.AST:
        args, _ = self._fill(node, self._call_holes(node))
        if args is None:
            return self.generic_visit(node)
        return ast.copy_location(ast.Lambda(args, self.visit(node)), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        block = _block(node)
        if block is not None:
            return self._params(node, *block)
        if not self._is_macro(node):
            return self._around_holes(node)
        assert isinstance(node.value, ast.Name)
        name = node.value.id
        if name in _FOREIGN:
            raise _error(f"{name}[...] is pipescript's own; %load_ext pipescript has it", node)
        body = _body(node)
        if body is not None:
            functions = self._block_functions(body)
        else:
            many = name in ("fork", "parallel") and isinstance(node.slice, ast.Tuple)
            bodies = node.slice.elts if many else [node.slice]  # type: ignore[attr-defined]
            functions = [self._function(body, self._macro_holes(body)) for body in bodies]
        return functions[0] if name == "f" else self._runtime(MACROS[name], functions, node)

    def _block_functions(self, block: ast.Subscript) -> list[ast.expr]:
        """The functions of a macro with braces: one, but for `fork{f, g}`.

        Here every hole without a name is the same parameter.
        """
        assert isinstance(block.slice, ast.Tuple)
        entries = block.slice.elts[1:]
        if not entries or not isinstance(entries[-1], ast.List):
            raise _error("a block in braces ends in an expression, which is its value", block)
        result = entries[-1].elts
        if len(entries) == 1 and len(result) > 1:
            return [self._function(body, self._macro_holes(body)) for body in result]
        args, _ = self._fill(block, self._macro_holes(block.slice), together=True)
        if len(result) > 1:
            entries[-1] = ast.copy_location(
                ast.List([ast.copy_location(ast.Tuple(result, ast.Load()), result[0])], ast.Load()),
                result[0],
            )
        if args is None and len(entries) == 1:
            return [self._point_free(result[0])]
        steps = [self._entry(entry) for entry in entries]
        if len(steps) == 1:
            body = steps[0][0]
        else:
            body = _last([expression for expression, _ in steps], block)
        given = args or ast.arguments([], [], None, [], [], None, [])
        _add_defaults(given, _read_before_bound(steps), block)
        return [ast.copy_location(ast.Lambda(given, body), block)]

    def _params(self, node: ast.Subscript, kind: str, owner: ast.expr | None) -> ast.expr:
        assert isinstance(node.slice, ast.Tuple)
        entries = [self._entry(entry) for entry in node.slice.elts[1:]]
        names = list(dict.fromkeys(name for _, targets in entries for name in targets))
        kept = [name for name in names if not name.startswith("_")]
        place = node.value
        keys: list[ast.expr | None] = [
            ast.copy_location(ast.Constant(name), place) for name in kept
        ]
        values = [ast.copy_location(ast.Name(name, ast.Load()), place) for name in kept]
        found = ast.copy_location(ast.Dict(keys, [*values]), place)
        body = _last([*(expression for expression, _ in entries), found], place)
        arguments = ast.arguments([], [], None, [], [], None, [])
        _add_defaults(arguments, _read_before_bound(entries), place)
        block = ast.copy_location(ast.Lambda(arguments, body), place)
        made = ast.copy_location(ast.Call(block, [], []), place)
        if kind == "dict":
            return made
        if owner is None:
            return self._runtime("params", [made], place)
        function = ast.copy_location(ast.Attribute(self.visit(owner), "params", ast.Load()), place)
        return ast.copy_location(ast.Call(function, [made], []), place)

    def _entry(self, entry: ast.expr) -> tuple[ast.expr, list[str]]:
        """An entry of a block, as an expression, and the names that it binds."""
        if isinstance(entry, ast.List):  # a bare expression
            return self.visit(entry.elts[0]), []
        assert isinstance(entry, ast.Compare)
        *targets, value = [entry.left, *entry.comparators]
        made = self.visit(value)
        names: list[str] = []
        for target in reversed(targets):
            own: list[str] = []
            made = _bound_to(target, made, own)
            names = own + names
        return made, names


def _unused(name: str, used: set[str]) -> str:
    while name in used:
        name += "_"
    return name


def _is_power(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and _marked(node.left) == "power"


def _block(node: ast.Subscript) -> tuple[str, ast.expr | None] | None:
    """The kind of a block, and what stands before the dot of `pycograd.params{...}`."""
    kind = _marked(node.value)
    if kind in ("params", "dict"):
        return kind, None
    if isinstance(node.value, ast.Attribute) and node.value.attr == f"{MARK}params":
        return "params", node.value.value
    return None


def _body(node: ast.Subscript) -> ast.Subscript | None:
    """The block of a macro with braces, `f[ǃbody[...]]`."""
    inside = node.slice
    if isinstance(inside, ast.Subscript) and _marked(inside.value) == "body":
        return inside
    return None


def _last(expressions: list[ast.expr], at: ast.expr) -> ast.expr:
    """`[a, b, c][-1]`: expressions one after another, and the value of the last."""
    listed = ast.copy_location(ast.List(expressions, ast.Load()), at)
    one = ast.copy_location(ast.Constant(1), at)
    last = ast.copy_location(ast.UnaryOp(ast.USub(), one), at)
    return ast.copy_location(ast.Subscript(listed, last, ast.Load()), at)


def _add_defaults(arguments: ast.arguments, names: Sequence[str], at: ast.expr) -> None:
    """Gives a lambda the values that names have outside it."""
    for name in names:
        arguments.kwonlyargs.append(ast.copy_location(ast.arg(name), at))
        arguments.kw_defaults.append(ast.copy_location(ast.Name(name, ast.Load()), at))


def _bound_to(target: ast.expr, value: ast.expr, names: list[str]) -> ast.expr:
    """`target := value`, where the target may be a tuple of names."""
    if isinstance(target, ast.Name) and not _is_hole(target):
        names.append(target.id)
        store = ast.copy_location(ast.Name(target.id, ast.Store()), target)
        return ast.copy_location(ast.NamedExpr(store, value), target)
    if not isinstance(target, (ast.Tuple, ast.List)):
        raise _error("params{...} gives values to names", target)
    # [[a := _0, b := _1] for _0, _1 in [value]], for := takes a single name.
    assigned, elements = list[ast.expr](), list[ast.expr]()
    for i, element in enumerate(target.elts):
        starred = isinstance(element, ast.Starred)
        inner = element.value if isinstance(element, ast.Starred) else element
        part = f"_{MARK}{len(names)}_{i}"
        load = ast.copy_location(ast.Name(part, ast.Load()), element)
        assigned.append(_bound_to(inner, load, names))
        bound: ast.expr = ast.copy_location(ast.Name(part, ast.Store()), element)
        if starred:
            bound = ast.copy_location(ast.Starred(bound, ast.Store()), element)
        elements.append(bound)
    pattern = ast.copy_location(ast.Tuple(elements, ast.Store()), target)
    given = ast.copy_location(ast.List([value], ast.Load()), target)
    body = ast.copy_location(ast.List(assigned, ast.Load()), target)
    loop = ast.comprehension(pattern, given, [], 0)
    return ast.copy_location(ast.ListComp(body, [loop]), target)


def _read_before_bound(entries: Sequence[tuple[ast.expr, list[str]]]) -> list[str]:
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
