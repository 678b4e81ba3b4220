"""Control flow as Python's: sub-graphs come as functions that take and return lists of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycograd_cupy.elementwise import Table


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling."""

    def cond(choice: Any, *operands: Any, true: Any, false: Any) -> tuple[Any, ...]:
        return tuple((true if bool(choice) else false)(*operands))

    def checkpoint(*operands: Any, body: Any) -> tuple[Any, ...]:
        return tuple(body(*operands))

    def scan(
        *operands: Any, body: Any, parts: Any, length: int, reverse: bool, saved: Sequence[int]
    ) -> tuple[Any, ...]:
        """Results are the last carry, the rows, and all values of the carries in `saved`."""
        closed, count = parts
        fixed, carry = operands[:closed], list(map(cp.asarray, operands[closed : closed + count]))
        xs = operands[closed + count :]
        if not length:
            raise ValueError("scan of no steps: the shapes of its rows are not known on the device")
        rows: list[Any] = []
        history = [carry]
        for t in range(length - 1, -1, -1) if reverse else range(length):
            outs = body(*fixed, *carry, *[x[t] for x in xs])
            carry = list(outs[:count])
            rows.append(outs[count:])
            history.append(carry)
        if reverse:
            rows.reverse()
            history.reverse()
        ys = [cp.stack(list(map(cp.asarray, column))) for column in zip(*rows)]
        kept = [cp.stack([cp.asarray(c[i]) for c in history]) for i in saved]
        return (*carry, *ys, *kept)

    def while_loop(*operands: Any, cond: Any, body: Any, parts: Any) -> tuple[Any, ...]:
        m, k = parts
        a, b, value = operands[:m], operands[m : m + k], list(operands[m + k :])
        while bool(cond(*a, *value)[0]):
            value = list(body(*b, *value))
        return tuple(map(cp.asarray, value))

    return {"cond": cond, "checkpoint": checkpoint, "scan": scan, "while_loop": while_loop}
