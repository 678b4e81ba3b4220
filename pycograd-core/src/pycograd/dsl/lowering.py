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
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from pycograd.dsl.blocks import add_defaults, bound_to, last_of, read_before_bound
from pycograd.dsl.holes import FOREIGN, Holes, bound_by, fill
from pycograd.dsl.marks import (
    FORWARD,
    block_of,
    body_of,
    chain_of,
    error_at,
    is_hole,
    is_power,
    pipe_of,
    split,
)
from pycograd.dsl.words import HOLE, MACROS, MARK

RUNTIME: Final = "__pycograd__"


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


def _refuse_marks(node: ast.AST) -> None:
    """Raises for a mark that had no meaning where it stood."""
    if isinstance(node, ast.Name) and node.id.startswith(HOLE):
        raise error_at(
            f"the hole {'$' + node.id[1:]} belongs to no function: holes stand in a stage of a"
            " pipeline, in a call, an attribute or an index, or in f[...]",
            node,
        )
    if isinstance(node, ast.Name) and node.id.startswith(MARK):
        raise error_at("this operator needs an expression on both sides", node)
    name = next((getattr(node, x) for x in ("name", "arg", "attr") if hasattr(node, x)), None)
    if isinstance(name, str) and name.startswith((HOLE, MARK)):
        raise error_at(f"{'$' + name[1:]} is no name for something", node)


class _Lowering(ast.NodeTransformer):
    """Rewrites each construct of the DSL; `used_runtime` tells whether one needs the runtime."""

    def __init__(self, taken: Collection[str]) -> None:
        self.holes = Holes(taken)
        self.used_runtime = False

    def _in_scope(self, node: ast.AST) -> ast.AST:
        self.holes.scopes.append(bound_by(node))
        try:
            return self.generic_visit(node)
        finally:
            self.holes.scopes.pop()

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

    def _function(self, node: ast.expr, holes: Iterator[ast.Name]) -> ast.expr:
        """An expression for a function: a lambda if it has holes, or what is one already."""
        args, _ = fill(node, holes)
        if args is None:
            return self._point_free(node)
        return ast.copy_location(ast.Lambda(args, self.visit(node)), node)

    def _point_free(self, node: ast.expr) -> ast.expr:
        """`np.tanh ** 2` as a function, decided when it is known what its operands are."""
        if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr):
            if not (isinstance(node.op, ast.Pow) and is_power(node.right)):
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
        if pipe_of(node) is not None:
            return self._pipeline(node)
        if isinstance(node.op, ast.Pow) and isinstance(node.right, ast.BinOp):
            if is_power(node.right):
                both = [self.visit(node.left), self.visit(node.right.right)]
                return self._runtime("power", both, node)
        return self.generic_visit(node)

    def _pipeline(self, node: ast.expr) -> ast.expr:
        seed, steps = chain_of(node)
        args, names = None, list[str]()
        if split(steps[0][0])[0] in FORWARD:
            args, names = fill(node, self.holes.of_stage(seed))
            value = self.visit(seed)
        else:
            value = self._function(seed, self.holes.of_stage(seed))
        for op, right in steps:
            if args is not None and split(op)[0] not in (*FORWARD, "compose"):
                value, args = ast.copy_location(ast.Lambda(args, value), node), None
            value, names = self._step(op, value, right, names)
        if args is not None:
            value = ast.copy_location(ast.Lambda(args, value), node)
        return value  # type: ignore[no-any-return]

    def _step(
        self, op: str, left: ast.expr, right: ast.expr, names: list[str]
    ) -> tuple[ast.expr, list[str]]:
        op, stars = split(op)
        if op == "assign":
            return self._assign(left, right), names
        args, own = fill(right, self.holes.of_stage(right), names)
        if args is not None:
            other: ast.expr = ast.copy_location(ast.Lambda(args, self.visit(right)), right)
        elif op in ("apply", "apply_some", "bind"):  # a value
            other = self.visit(right)
        else:
            other = self._point_free(right)
        count = ast.copy_location(ast.Constant(stars), right)
        if op == "pipe" and not stars and args is not None and len(args.args) > 1:
            holes = ast.copy_location(ast.Constant(len(args.args)), right)
            made = self._runtime("one_for_many", [left, holes], right)
        elif op == "pipe":
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
        if not isinstance(name, ast.Name) or is_hole(name):
            raise error_at("|>> assigns to a name", name)
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
            if any(True for a in arguments for _ in self.holes.of_call(a, True)):
                break
            applied.append(body)
            body = body.func
        args, _ = fill(body, self.holes.of_call(body))
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
        args, _ = fill(node, self.holes.of_call(node))
        if args is None:
            return self.generic_visit(node)
        return ast.copy_location(ast.Lambda(args, self.visit(node)), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        block = block_of(node)
        if block is not None:
            return self._params(node, *block)
        if not self.holes.is_macro(node):
            return self._around_holes(node)
        assert isinstance(node.value, ast.Name)
        name = node.value.id
        if name in FOREIGN:
            raise error_at(f"{name}[...] is pipescript's own; %load_ext pipescript has it", node)
        body = body_of(node)
        if body is not None:
            functions = self._block_functions(body)
        else:
            many = name in ("fork", "parallel") and isinstance(node.slice, ast.Tuple)
            bodies = node.slice.elts if many else [node.slice]  # type: ignore[attr-defined]
            functions = [self._function(body, self.holes.of_macro(body)) for body in bodies]
        return functions[0] if name == "f" else self._runtime(MACROS[name], functions, node)

    def _block_functions(self, block: ast.Subscript) -> list[ast.expr]:
        """The functions of a macro with braces: one, but for `fork{f, g}`.

        Here every hole without a name is the same parameter.
        """
        assert isinstance(block.slice, ast.Tuple)
        entries = block.slice.elts[1:]
        if not entries or not isinstance(entries[-1], ast.List):
            raise error_at("a block in braces ends in an expression, which is its value", block)
        result = entries[-1].elts
        if len(entries) == 1 and len(result) > 1:
            return [self._function(body, self.holes.of_macro(body)) for body in result]
        args, _ = fill(block, self.holes.of_macro(block.slice), together=True)
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
            body = last_of([expression for expression, _ in steps], block)
        given = args or ast.arguments([], [], None, [], [], None, [])
        add_defaults(given, read_before_bound(steps), block)
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
        body = last_of([*(expression for expression, _ in entries), found], place)
        arguments = ast.arguments([], [], None, [], [], None, [])
        add_defaults(arguments, read_before_bound(entries), place)
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
            made = bound_to(target, made, own)
            names = own + names
        return made, names
