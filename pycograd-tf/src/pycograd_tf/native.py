"""TensorFlow's automatic differentiation with pycograd's rules in it.

Of a complex value TensorFlow's cotangent is ours, dL/da + i dL/db.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def with_rule(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, which TensorFlow differentiates by `backward(operands, results, cotangents)`.

    Arguments:
        forward: a function of tensors that returns a list of them.
        backward: a cotangent for each operand, None where there is none.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped here
    def ruled(*operands: Any) -> Any:
        results = [tf.identity(x) for x in forward(*operands)]

        def back(*cts: Any) -> list[Any]:
            return list(backward(operands, results, list(cts)))

        return results, back

    return lambda *operands: list(ruled(*operands))


def grad_and_value(
    run: Callable[..., Any], leaves: Sequence[Any], live: Sequence[int]
) -> tuple[Any, list[Any]]:
    """`(value, gradients)` of a scalar function; zeros for a leaf that it does not depend on."""
    # Leaves may be one tensor, and are watched apart all the same.
    own = {i: tf.identity(leaves[i]) for i in live}
    moving = list(own.values())
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(moving)
        out = run(*[own.get(i, x) for i, x in enumerate(leaves)])
        value = out[0] if isinstance(out, (list, tuple)) else out
    found = tape.gradient(value, moving, unconnected_gradients="zero")
    # Of a gather it is a list of rows.
    return value, [tf.convert_to_tensor(g) for g in found]
