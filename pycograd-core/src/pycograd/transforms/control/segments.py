"""Checkpointed and custom functions in a captured program: one equation for each call.

A checkpointed call is an equation with its function as sub-graph; its derivative is another one,
which runs the function again inside. Neither is taken apart by the passes, so the second run is
never replaced by the first one's values. A custom function keeps the rules that the user gave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycograd.core.errors import OuterWriteError
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tape import Tape
from pycograd.core.tree import tree_unflatten
from pycograd.transforms.batch import BatchTrace
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.calls import Calls
from pycograd.transforms.control.operands import as_avals, is_operand, is_staged, with_operands
from pycograd.transforms.forward import ForwardTrace

checkpoint_p = Calls("checkpoint", ("body",), 0, keeps=False)


def checkpointed(flat: Callable[..., Any], name: str, leaves: Sequence[Any]) -> Any:
    """`(result,)` of a checkpointed call that is part of a captured program; None for another."""
    places = [i for i, x in enumerate(leaves) if is_operand(x)]
    own = [leaves[i] for i in places]

    def run(*boxes: Any) -> Any:
        before = [x.value for x in boxes]
        out = flat(*with_operands(leaves, places, boxes))
        if any(x.value is not v for x, v in zip(boxes, before)):
            raise OuterWriteError(
                f"checkpoint({name}) writes into its argument; the write would be repeated when it"
                " is run again. Write into a copy, x = x.copy(), and return that"
            )
        return out

    def traced() -> Any:
        return subgraph.traced(run, as_avals(own), name)

    if not is_staged(own, lambda: traced()[1]):
        return None
    graph, closed, out_tree = traced()
    outs = bind(checkpoint_p, [*closed, *own], {"body": graph})
    return (tree_unflatten(out_tree, outs),)


class CapturedCustom(Primitive):
    """A call of a custom function in a graph; its body is the parameter `body`.

    Arguments:
        name: of the function.
        call: `call()` makes the primitive with the user's rules for one call.
        leaves: of the arguments; what stands at `places` are the operands.
    """

    special = True
    custom = True

    def __init__(
        self, name: str, call: Callable[[], Primitive], leaves: Sequence[Any], places: Sequence[int]
    ) -> None:
        super().__init__(name, None, multi=True, register=False)
        self.call, self.places = call, tuple(places)
        self.leaves = [None if i in self.places else x for i, x in enumerate(leaves)]

    def __reduce__(self) -> Any:
        return CapturedCustom, (self.name, self.call, self.leaves, self.places)

    def impl(self, *operands: Any, **params: Any) -> tuple[Any, ...]:
        return tuple(subgraph.executor().program(params["body"])(*operands))

    def shape(self, avals: Any, params: Any) -> Any:
        return tuple(subgraph.output_avals(params["body"]))

    def under(self, trace: Trace, operands: Sequence[Any], params: Any = None) -> Any:
        if isinstance(trace, (Tape, ForwardTrace, BatchTrace)):
            return self.call().under(trace, with_operands(self.leaves, self.places, operands))
        return trace.process(self, operands, params)


def captured_custom(
    trace: Trace, call: Callable[[], Primitive], run: Any, name: str, leaves: Sequence[Any]
) -> tuple[Any, Any, Sequence[Any]]:
    """A custom call in a capture: `(results, their structure, what it closes over)`."""
    places = [i for i, x in enumerate(leaves) if is_operand(x)]
    own = [leaves[i] for i in places]
    graph, closed, out_tree = subgraph.traced(
        lambda *boxes: run(*with_operands(leaves, places, boxes)), as_avals(own), name
    )
    if closed:
        return (), out_tree, closed
    primitive = CapturedCustom(name, call, leaves, places)
    return trace.process(primitive, own, {"body": graph}), out_tree, ()
