"""TensorFlow under `tf.function`, with its own functions and its own loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

DISTRIBUTION = "tensorflow"
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def array(value: Any) -> Any:
    return tf.constant(value) if isinstance(value, np.ndarray | float) else value


def value_and_grad(f: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Differentiates in the first `count` arguments."""

    @tf.function
    def run(*args: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(args[:count])
            loss = f(*args)
        return loss, tape.gradient(loss, args[:count])

    return run  # type: ignore[no-any-return]  # tensorflow is untyped here


def mlp_loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, labels: Any) -> Any:
    logits = tf.tanh(x @ w1 + b1) @ w2 + b2
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def attention_loss(wq: Any, wk: Any, wv: Any, x: Any) -> Any:
    q, k, v = x @ wq, x @ wk, x @ wv
    scores = tf.matmul(q, k, transpose_b=True) / x.shape[1] ** 0.5
    out = tf.nn.softmax(scores) @ v
    return tf.reduce_sum(out * out)


def rnn_loss(wx: Any, wh: Any, b: Any, xs: Any) -> Any:
    h = tf.zeros((xs.shape[1], wh.shape[0]), xs.dtype)
    for i in range(xs.shape[0]):
        h = tf.tanh(xs[i] @ wx + h @ wh + b)
    return tf.reduce_sum(h * h)


mlp = value_and_grad(mlp_loss, 4)
attention = value_and_grad(attention_loss, 3)
rnn = value_and_grad(rnn_loss, 3)
