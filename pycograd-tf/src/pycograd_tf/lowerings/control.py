"""Control flow: sub-graphs come as functions of tensors that return lists.

Where tensors can be read it is Python's own; in a graph it is TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pycograd.plugins.api import replayed
from pycograd_tf.dtypes import cast
from pycograd_tf.lowerings.common import Lowering, shape, tensors, truth


def _strong(xs: Sequence[Any]) -> list[Any]:
    """Results as tensors; a sub-graph may return a number."""
    return [tensors(x)[0] for x in xs]


def _holds(pred: Any) -> Any:
    """A condition as one boolean; in a batch it holds while it does in any row."""
    return tf.reduce_any(truth(*tensors(pred)))


def _cond(choice: Any, *operands: Any, true: Any, false: Any) -> tuple[Any, ...]:
    return tuple(
        tf.cond(_holds(choice), lambda: _strong(true(*operands)), lambda: _strong(false(*operands)))
    )


def _checkpoint(*operands: Any, body: Any) -> tuple[Any, ...]:
    """Nothing is kept for the reverse mode but the operands."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped here
    def run(*xs: Any) -> Any:
        outs = [tf.identity(x) for x in _strong(body(*xs))]

        def back(*cts: Any) -> list[Any]:
            with tf.GradientTape() as tape:
                again = [tf.identity(x) for x in xs]
                tape.watch([x for x in again if _moves(x)])
                results = _strong(body(*again))
            pairs = [(x, ct) for x, ct in zip(results, cts) if _moves(x)]
            return _pulled_back(tape, again, pairs)

        return outs, back

    return tuple(run(*_strong(operands)))


def _moves(x: Any) -> bool:
    return bool(x.dtype.is_floating or x.dtype.is_complex)


def _pulled_back(tape: Any, xs: Sequence[Any], pairs: Sequence[Any]) -> list[Any]:
    """The cotangents of `xs`, None of those that have none, from pairs of result and cotangent."""
    live = [x for x in xs if _moves(x)]
    given = [ct for _, ct in pairs]
    found = iter(tape.gradient([x for x, _ in pairs], live, given, unconnected_gradients="zero"))
    return [tf.convert_to_tensor(next(found)) if _moves(x) else None for x in xs]


# -- loops -----------------------------------------------------------------------------------------
def _rows_of(xs: Sequence[Any]) -> Lowering:
    """The k-th row of each."""
    if tf.executing_eagerly():
        rows = [tf.unstack(x) for x in xs]
        return lambda k: [row[k] for row in rows]
    # Of these the reverse mode adds up the rows' cotangents in a list, not in whole arrays.
    arrays = [tf.TensorArray(x.dtype, x.shape[0], element_shape=x.shape[1:]).unstack(x) for x in xs]
    return lambda k: [array.read(k) for array in arrays]


def _scan(
    *operands: Any, body: Any, parts: Any, length: int, reverse: bool, saved: Sequence[int]
) -> tuple[Any, ...]:
    """Results are the last carry, the rows, and all values of the carries in `saved`."""
    closed, count = parts
    fixed = operands[:closed]
    first = _strong(operands[closed : closed + count])
    rows = _rows_of(_strong(operands[closed + count :]))

    def step(k: Any, carry: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        outs = _strong(body(*fixed, *carry, *rows(k)))
        carry = [cast(x, c.dtype) for x, c in zip(outs, first)]
        return carry, [*outs[count:], *[carry[i] for i in saved]]

    if not length:
        raise ValueError("scan: of no steps there is no telling what the results are like")
    run = _python_steps if tf.executing_eagerly() else _graph_steps
    last, made = run(step, first, length, reverse)
    ys, histories = made[: len(made) - len(saved)], made[len(made) - len(saved) :]
    whole = []
    for i, history in zip(saved, histories):
        start = first[i][None]
        whole.append(tf.concat([history, start] if reverse else [start, history], 0))
    return (*last, *ys, *whole)


def _python_steps(
    step: Lowering, carry: list[Any], length: int, reverse: bool
) -> tuple[list[Any], list[Any]]:
    made = []
    for k in reversed(range(length)) if reverse else range(length):
        carry, row = step(k, carry)
        made.append(row)
    return carry, [tf.stack(xs[::-1] if reverse else xs) for xs in zip(*made)]


def _graph_steps(
    step: Lowering, carry: list[Any], length: int, reverse: bool
) -> tuple[list[Any], list[Any]]:
    """The first step stands in front of the loop: it tells what the rows are like."""

    def at(i: Any) -> Any:
        return length - 1 - i if reverse else i

    def body(i: Any, carry: Any, arrays: Any) -> Any:
        carry, row = step(at(i), carry)
        return i + 1, carry, [array.write(at(i), x) for array, x in zip(arrays, row)]

    carry, row = step(at(0), carry)
    arrays = [tf.TensorArray(x.dtype, length, element_shape=x.shape).write(at(0), x) for x in row]
    _, carry, arrays = tf.while_loop(
        lambda i, *_: i < length, body, (1, carry, arrays), maximum_iterations=length - 1
    )
    return list(carry), [_stacked(array, length, x) for array, x in zip(arrays, row)]


def _stacked(array: Any, length: int, like: Any) -> Any:
    out = array.stack()
    out.set_shape([length, *shape(like)])
    return out


def _while_loop(*operands: Any, cond: Any, body: Any, parts: Any) -> tuple[Any, ...]:
    m, k = parts
    a, b, first = operands[:m], operands[m : m + k], _strong(operands[m + k :])

    def step(*value: Any) -> list[Any]:
        return [cast(x, v.dtype) for x, v in zip(_strong(body(*b, *value)), first)]

    return tuple(tf.while_loop(lambda *value: _holds(cond(*a, *value)[0]), step, first))


def _pulled(f: Any, live: Sequence[bool]) -> Any:
    """`(operands, cotangents of what is differentiable) -> cotangents of the live operands`."""

    def run(*xs: Any) -> tuple[Any, ...]:
        n = len(live)
        given = [tf.identity(x) for x in _strong(xs[:n])]
        moving = [x for x, flag in zip(given, live) if flag]
        with tf.GradientTape() as tape:
            tape.watch(moving)
            outs = [x for x in f(*given) if _moves(x)]
        pairs = [(x, cast(ct, x.dtype)) for x, ct in zip(outs, _strong(xs[n:]))]
        return tuple(_pulled_back(tape, moving, pairs))

    return run


TABLE: dict[str, Lowering] = {
    "cond": _cond,
    "checkpoint": _checkpoint,
    "scan": _scan,
    "while_loop": _while_loop,
    "while_loop_replay": replayed(_while_loop, _pulled, "tf"),
}
