"""Control flow: sub-graphs come as functions that take and return lists of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from pycograd_jax.lowerings.dtypes import cast, strong


def _arrays(outs: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([strong(x) for x in outs])


def _cond(choice: Any, *operands: Any, true: Any, false: Any) -> tuple[Any, ...]:
    found: tuple[Any, ...] = jax.lax.cond(
        jnp.asarray(choice).astype(bool),
        lambda xs: _arrays(true(*xs)),
        lambda xs: _arrays(false(*xs)),
        _arrays(operands),
    )
    return found


def _checkpoint(*operands: Any, body: Any) -> tuple[Any, ...]:
    run = jax.checkpoint(lambda *xs: _arrays(body(*xs)))
    found: tuple[Any, ...] = run(*_arrays(operands))
    return found


def _scan(
    *operands: Any, body: Any, parts: Any, length: int, reverse: bool, saved: Sequence[int]
) -> tuple[Any, ...]:
    """Results are the last carry, the rows, and all values of the carries in `saved`."""
    closed, count = parts
    fixed = operands[:closed]
    first = _arrays(operands[closed : closed + count])
    rows = _arrays(operands[closed + count :])

    def step(carry: Any, row: Any) -> Any:
        outs = body(*fixed, *carry, *row)
        new = tuple([cast(x, c.dtype) for x, c in zip(outs[:count], carry)])
        return new, (_arrays(outs[count:]), tuple([new[i] for i in saved]))

    last, (ys, histories) = jax.lax.scan(step, first, rows, length=length, reverse=reverse)
    whole = []
    for i, history in zip(saved, histories):
        start = first[i][None]
        whole.append(jnp.concatenate([history, start] if reverse else [start, history]))
    return (*last, *ys, *whole)


def _while_loop(
    *operands: Any, cond: Any, body: Any, parts: Any, both: bool = False
) -> tuple[Any, ...]:
    m, k = parts
    a, b, first = operands[:m], operands[m : m + k], _arrays(operands[m + k :])

    def step(value: Any) -> Any:
        return tuple([cast(x, v.dtype) for x, v in zip(body(*b, *value), value)])

    found: tuple[Any, ...] = jax.lax.while_loop(
        lambda value: jnp.asarray(cond(*a, *value)[0]).astype(bool), step, first
    )
    return found


TABLE: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "checkpoint": _checkpoint,
    "scan": _scan,
    "while_loop": _while_loop,
}
