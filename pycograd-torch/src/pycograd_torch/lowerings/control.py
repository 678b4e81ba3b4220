"""Control flow: sub-graphs come as functions of tensors that return lists.

What is known when a tensor's value is read is Python's own control flow, which torch's autograd
follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pycograd.plugins.api import ExportError, replayed
from pycograd_torch.lowerings.common import Lowering, exporting, tracing


def _strong(xs: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    """Results as tensors; a sub-graph may return a number."""
    device = next((x.device for x in like if isinstance(x, torch.Tensor)), None)
    return [x if isinstance(x, torch.Tensor) else torch.as_tensor(x, device=device) for x in xs]


def _holds(pred: Any) -> bool:
    if tracing():
        raise ExportError(
            "while_loop: a trace for TorchScript would hold the number of steps of the example; use"
            " scan or fori_loop, whose number of steps is known"
        )
    return bool(pred.any()) if isinstance(pred, torch.Tensor) else bool(pred)


def _copying(run: Any) -> Any:
    return lambda *xs: tuple([x.clone() for x in run(*xs)])


def _cond(choice: Any, *operands: Any, **graphs: Any) -> tuple[Any, ...]:
    choose, other = graphs["true"], graphs["false"]
    if isinstance(choice, torch.Tensor) and tracing():  # both, and the results of one
        first, second = (_strong(run(*operands), operands) for run in (choose, other))
        return tuple([torch.where(choice != 0, a, b) for a, b in zip(first, second)])
    if isinstance(choice, torch.Tensor) and exporting():
        operands = tuple(_strong(operands, [choice]))
        for run in (choose, other):  # each is only written out when it first runs
            run(*operands)
        # The branches must not return what they were given.
        branches = [_copying(choose), _copying(other)]
        return tuple(torch.cond(choice.reshape(()) != 0, *branches, operands))
    return tuple(_strong((choose if _holds(choice) else other)(*operands), operands))


def _checkpoint(*operands: Any, body: Any, **params: Any) -> tuple[Any, ...]:
    return tuple(body(*operands))


def _scan(
    *operands: Any, body: Any, parts: Any, length: int, reverse: bool, saved: Any
) -> tuple[Any, ...]:
    closed, carried = parts
    fixed, carry = operands[:closed], _strong(operands[closed : closed + carried], operands)
    rows = operands[closed + carried :]
    made: list[list[Any]] = []
    history: list[list[Any]] = [[carry[i]] for i in saved]
    if type(length) is not int and (tracing() or exporting()):
        raise ExportError(
            "scan: torch's programs hold a known number of steps, and the length of this loop is a"
            " symbolic size; export it for a size that is known"
        )
    steps = range(length - 1, -1, -1) if reverse else range(length)
    for k in steps:
        outs = _strong(body(*fixed, *carry, *[x[k] for x in rows]), operands)
        carry = outs[:carried]
        made.append(outs[carried:])
        for kept, i in zip(history, saved):
            kept.append(carry[i])
    if reverse:
        made = made[::-1]
        history = [kept[::-1] for kept in history]
    if not made:
        raise ValueError("scan: of no steps there is no telling what the results are like")
    stacked = [torch.stack(column) for column in zip(*made)]
    return (*carry, *stacked, *[torch.stack(kept) for kept in history])


def _while_loop(*operands: Any, cond: Any, body: Any, parts: Any) -> tuple[Any, ...]:
    m, k = parts
    a, b = operands[:m], operands[m : m + k]
    value = _strong(operands[m + k :], operands)
    while _holds(cond(*a, *value)[0]):
        value = _strong(body(*b, *value), operands)
    return tuple(value)


def _pulled(f: Any, live: Sequence[bool]) -> Any:
    """`(operands, cotangents of what is differentiable) -> cotangents of the live operands`."""

    def run(*xs: Any) -> tuple[Any, ...]:
        n = len(live)
        again = torch.is_grad_enabled() and any(
            isinstance(x, torch.Tensor) and x.requires_grad for x in xs
        )
        with torch.enable_grad():
            given = [
                (x if again and x.requires_grad else x.detach().requires_grad_()) if flag else x
                for x, flag in zip(xs[:n], live)
            ]
            outs = [x for x in f(*given) if x.is_floating_point() or x.is_complex()]
            pairs = [(x, ct) for x, ct in zip(outs, xs[n:]) if x.requires_grad]
            moving = [x for x, m in zip(given, live) if m]
            if not pairs:
                return tuple([torch.zeros_like(x) for x in moving])
            found = torch.autograd.grad(
                [x for x, _ in pairs],
                moving,
                [ct.expand(x.shape).to(x.dtype) for x, ct in pairs],
                create_graph=again,
                allow_unused=True,
            )
        return tuple(
            [torch.zeros_like(x) if g is None else g for x, g in zip(moving, list[Any](found))]
        )

    return run


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "cond": _cond,
        "checkpoint": _checkpoint,
        "scan": _scan,
        "while_loop": _while_loop,
        "while_loop_replay": replayed(_while_loop, _pulled, "torch"),
    }
