"""The order of matrix chains: `(A @ B) @ v` is `A @ (B @ v)` for a fraction of the products."""

from __future__ import annotations

from collections import Counter

from pycograd.core.ir import Atom, Equation, Graph, Value
from pycograd.core.primitive import REGISTRY
from pycograd.graph.rewrite import Rewriter, without_unused


def ordered_chains(graph: Graph) -> Graph:
    """`graph` with every chain of products of matrices computed in the cheapest order.

    A chain is made of products of one dtype that nothing else reads; a vector may stand at either
    end. The order of the sums changes, so the pass reassociates.
    """
    uses = Counter(v for e in graph.equations for v in e.values)
    uses.update(x for x in graph.outputs if type(x) is Value)
    makers = {e.outs[0]: e for e in graph.equations if _is_product(e)}
    inner = {
        v
        for e in makers.values()
        for v in e.values
        if v in makers and uses[v] == 1 and len(v.shape) == 2
    }
    best = {}
    for value, equation in makers.items():
        if value in inner:
            continue
        factors = _factors(equation, makers, inner)
        if len(factors) > 2:
            cost, tree = _cheapest(factors)
            if cost < _cost_as_written(equation, makers, inner):
                best[value] = tree
    return _rebuilt(graph, best) if best else graph


def _is_product(equation: Equation) -> bool:
    return (
        equation.primitive.name == "matmul"
        and all(
            type(x) is Value and len(x.shape) in (1, 2) and all(type(n) is int for n in x.shape)
            for x in equation.operands
        )
        and len({x.dtype for x in equation.values}) == 1
    )


def _factors(equation: Equation, makers: dict[Value, Equation], inner: set[Value]) -> list[Value]:
    """The factors of a chain, from left to right."""
    found: list[Value] = []
    stack = [*reversed(equation.values)]
    while stack:
        x = stack.pop()
        if x in inner:
            stack += reversed(makers[x].values)
        else:
            found.append(x)
    return found


def _sizes(x: Value, at: int) -> tuple[int, int]:
    """Rows and columns; a vector is a row at the left end of a chain and a column elsewhere."""
    if len(x.shape) == 2:
        return x.shape[0], x.shape[1]
    return (1, x.shape[0]) if at == 0 else (x.shape[0], 1)


def _cost_as_written(equation: Equation, makers: dict[Value, Equation], inner: set[Value]) -> int:
    total, stack = 0, [equation]
    while stack:
        x, y = (product := stack.pop()).values
        rows, columns = _sizes(x, 0)
        total += rows * columns * _sizes(y, 1)[1]
        stack += [makers[v] for v in product.values if v in inner]
    return total


Tree = Value | tuple["Tree", "Tree"]


def _cheapest(factors: list[Value]) -> tuple[int, Tree]:
    """The least number of products for a chain, and its order (Cormen et al., section 15.2)."""
    n = len(factors)
    sizes = [_sizes(x, i) for i, x in enumerate(factors)]
    best: dict[tuple[int, int], tuple[int, Tree]] = {(i, i): (0, x) for i, x in enumerate(factors)}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            best[i, j] = min(
                (
                    (
                        best[i, k][0] + best[k + 1, j][0] + sizes[i][0] * sizes[k][1] * sizes[j][1],
                        (best[i, k][1], best[k + 1, j][1]),
                    )
                    for k in range(i, j)
                ),
                key=lambda found: found[0],
            )
    return best[0, n - 1]


def _rebuilt(graph: Graph, best: dict[Value, Tree]) -> Graph:
    trace = Rewriter(graph, (), fold=False)
    known: dict[Value, Atom] = {v: v for v in [*graph.inputs, *[v for v, _ in graph.constants]]}

    def now(x: Atom) -> Atom:
        return known[x] if type(x) is Value else x

    def product(tree: Tree) -> Atom:
        if isinstance(tree, Value):
            return known[tree]
        operands = [product(part) for part in tree]
        avals = [x if isinstance(x, Value) else x.aval for x in operands]
        matmul = REGISTRY["matmul"]
        (out,) = trace.emit(matmul, operands, {}, [matmul.shape(avals, {})], trace.line)
        return out  # type: ignore[no-any-return]

    try:
        for equation in graph.equations:
            trace.line = equation.line
            out = equation.outs[0]
            if out in best:
                known[out] = product(best[out])
                continue
            operands = [now(x) for x in equation.operands]
            made = trace.emit(
                equation.primitive, operands, equation.params, equation.outs, equation.line
            )
            known.update(zip(equation.outs, made))
    finally:
        trace.closed = True
    outputs = [now(x) for x in graph.outputs]
    return without_unused(graph.with_body(trace.equations, outputs, trace.constants))
