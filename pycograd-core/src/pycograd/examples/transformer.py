"""A single-head Transformer block on digits read as sequences of eight rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.examples.data import digits
from pycograd.examples.training import Outcome, Params, run
from pycograd.nn import cross_entropy, gelu, layer_norm, scaled_dot_product_attention
from pycograd.optim import AdamW, cosine_decay

ROWS, WIDTH = 8, 32


def transformer(params: Params, x: Any) -> Any:
    """Ten logits per digit: embed each row, attend, feed forward, average over rows."""
    p = params
    x = np.reshape(x, (-1, ROWS, 8))
    h = x @ p["embed"] + p["position"]
    normed = layer_norm(h, p["norm1"], p["shift1"])
    q, k, v = normed @ p["query"], normed @ p["key"], normed @ p["value"]
    h = h + scaled_dot_product_attention(q, k, v) @ p["mix"]
    normed = layer_norm(h, p["norm2"], p["shift2"])
    h = h + gelu(normed @ p["wide"] + p["wide_b"]) @ p["narrow"] + p["narrow_b"]
    return np.mean(h, axis=1) @ p["head"] + p["head_b"]


def loss(params: Params, x: Any, y: Any) -> Any:
    """The mean cross-entropy."""
    return cross_entropy(transformer(params, x), y)


def initial(rng: np.random.Generator) -> Params:
    """Normal weights of variance 1 / fan-in, unit norms, zero shifts."""

    def weight(rows: int, columns: int) -> Any:
        return rng.standard_normal((rows, columns)) / np.sqrt(rows)

    return {
        "embed": weight(8, WIDTH),
        "position": 0.1 * rng.standard_normal((ROWS, WIDTH)),
        "query": weight(WIDTH, WIDTH),
        "key": weight(WIDTH, WIDTH),
        "value": weight(WIDTH, WIDTH),
        "mix": weight(WIDTH, WIDTH),
        "norm1": np.ones(WIDTH),
        "shift1": np.zeros(WIDTH),
        "norm2": np.ones(WIDTH),
        "shift2": np.zeros(WIDTH),
        "wide": weight(WIDTH, 2 * WIDTH),
        "wide_b": np.zeros(2 * WIDTH),
        "narrow": weight(2 * WIDTH, WIDTH),
        "narrow_b": np.zeros(WIDTH),
        "head": weight(WIDTH, 10),
        "head_b": np.zeros(10),
    }


def main(full: bool = False) -> Outcome:
    """Trains and reports; `full` has more epochs."""
    epochs, batch_size = (150 if full else 30), 64
    data = digits()
    steps = epochs * -(-len(data.x_train) // batch_size)
    return run(
        "transformer",
        "Transformer block",
        "digits as rows",
        transformer,
        loss,
        initial(np.random.default_rng(0)),
        data,
        AdamW(lr=cosine_decay(4e-3, steps), weight_decay=1e-2),
        target=0.90,
        epochs=epochs,
        batch_size=batch_size,
    )
