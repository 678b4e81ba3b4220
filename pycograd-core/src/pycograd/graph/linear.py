"""Linear maps as graphs: `linearize`, `linear_transpose`, and the derivatives of a graph.

`linearize: (a -> b) -> a -> (b, a -o b)`; `linear_transpose: (a -o b) -> (b -o a)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycograd.core.aval import make_aval
from pycograd.core.buffers import apart
from pycograd.core.errors import GraphError
from pycograd.core.ir import Graph, Value
from pycograd.core.tree import tree_leaves, tree_map, tree_structure
from pycograd.graph.passes import optimize
from pycograd.graph.rewrite import without_unused
from pycograd.transforms.capture import capture
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape
from pycograd.transforms.wrap import check_callable, name_of


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Graph]:
    """The value of `f` and its derivative there, as the graph of a linear map.

    What depends on `primals` alone is computed once, so applying the map again costs the linear
    part only.

    Arguments:
        f: a function written in NumPy.
        primals: arrays, floats and trees of them.

    Returns:
        `(out, map)`; `map(*tangents)` is the tangent of the output at `primals` as they are now.

    >>> import numpy as np
    >>> out, push = linearize(np.sin, np.zeros(2))
    >>> push(np.array([1.0, 2.0]))
    array([1., 2.])
    """
    check_callable(f, "linearize")
    primals = tree_map(apart, primals)
    out: list[Any] = []

    def push(*tangents: Any) -> Any:
        value, tangent = jvp(f, primals, tangents)
        out[:] = [value]
        return tangent

    push.__name__ = f"linearized {name_of(f)}"
    graph = capture(push, *primals)
    return tree_map(apart, out[0]), without_unused(graph)


def linear_transpose(f: Callable[..., Any], *avals: Any) -> Graph:
    """The transpose of a linear function, as a graph.

    Arguments:
        f: a function of these arguments that is linear in them together.
        avals: arrays or `ShapeDtypeStruct`s, and trees of them; only shapes and dtypes matter.

    Returns:
        A graph of one argument, a cotangent like the output of `f`; its result is a tuple of
        cotangents, one for each argument.

    Raises:
        GraphError: `f` is not linear.

    >>> import numpy as np
    >>> w = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> linear_transpose(lambda x: w @ x, np.zeros(2))(np.array([1.0, 0.0]))
    (array([1., 2.]),)
    """
    check_callable(f, "linear_transpose")
    ct = eval_shape(f, *avals)

    def pull(primals: Any, ct: Any) -> Any:
        return vjp(f, *primals)[1](ct)

    pull.__name__ = f"transposed {name_of(f)}"
    graph = optimize(capture(pull, avals, ct))
    count = len(graph.inputs) - len(tree_leaves(ct))
    used = {x for equation in graph.equations for x in equation.values} | set(graph.outputs)
    if used.intersection(graph.inputs[:count]):
        raise GraphError(
            f"linear_transpose: {name_of(f)} is not linear: its derivative depends on where it is"
            " taken. linearize(f, *primals) gives the linear map at a point"
        )
    only: Sequence[Value] = graph.inputs[count:]
    return Graph(
        only,
        graph.constants,
        graph.equations,
        graph.outputs,
        name=graph.name,
        in_tree=tree_structure(((ct,), {})),
        out_tree=graph.out_tree,
    )


def eval_graph(graph: Graph, *inputs: Any) -> Any:
    """The result of a graph for these inputs, equation by equation; shapes and dtypes are checked.

    >>> import numpy as np
    >>> eval_graph(capture(lambda x: x + 1.0, np.ones(2)), np.zeros(2))
    array([1., 1.])
    """
    return graph(*inputs)


def grad_graph(graph: Graph, argnums: Any = None) -> Graph:
    """The graph of the gradients of a graph that returns a real scalar.

    Arguments:
        graph: what `capture` returned.
        argnums: as in `grad`.

    >>> import numpy as np
    >>> graph = capture(lambda x: np.sum(x * x), np.ones(2))
    >>> grad_graph(graph)(np.array([1.0, 2.0]))
    (array([2., 4.]),)
    """
    found: Graph = grad(graph, argnums=argnums)  # type: ignore[assignment]
    return found


def vjp_graph(graph: Graph) -> Graph:
    """The graph of `(*args, ct) -> (out, cotangents)`: a graph and its pullback together.

    >>> import numpy as np
    >>> graph = capture(lambda x: 3.0 * x, np.ones(2))
    >>> vjp_graph(graph)(np.ones(2), np.array([1.0, 2.0]))[1]
    (array([3., 6.]),)
    """
    args, kwargs = graph.arguments()

    def both(*args: Any) -> Any:
        *primals, ct = args
        out, pullback = vjp(lambda *xs: graph(*xs, **kwargs), *primals)
        return out, pullback(ct)

    both.__name__ = f"vjp of {graph.name}"
    ct = tree_map(lambda a: make_aval(a.shape, a.dtype), eval_shape(graph, *args, **kwargs))
    return capture(both, *args, ct)
