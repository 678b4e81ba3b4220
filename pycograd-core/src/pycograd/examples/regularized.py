"""A perceptron with layer norm and dropout on handwritten digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd import random
from pycograd.examples.data import digits
from pycograd.examples.training import Outcome, Params, run
from pycograd.nn import cross_entropy, dropout, gelu, layer_norm
from pycograd.optim import AdamW, cosine_decay


def regularized(params: Params, x: Any, key: Any = None) -> Any:
    """Ten logits per row of 64 grey values.

    Arguments:
        params: as `initial` makes them.
        x: (rows, 64).
        key: of `pycograd.random`: it says which hidden units drop out. None drops none of them,
            as is right after training.
    """
    for layer, part in enumerate(("1", "2")):
        x = gelu(layer_norm(x @ params["w" + part], params["norm" + part], params["b" + part]))
        if key is not None:
            x = dropout(x, 0.3, key=random.fold_in(key, layer))
    return x @ params["out"] + params["out_b"]


def loss(params: Params, x: Any, y: Any, key: Any) -> Any:
    """The mean cross-entropy with units dropped."""
    return cross_entropy(regularized(params, x, key), y)


def initial(rng: np.random.Generator, width: int = 64) -> Params:
    """Normal weights of variance 1 / fan-in, unit norms, zero shifts."""

    def weight(*shape: int) -> Any:
        return rng.standard_normal(shape) / np.sqrt(shape[0])

    return {
        "w1": weight(64, width),
        "norm1": np.ones(width),
        "b1": np.zeros(width),
        "w2": weight(width, width),
        "norm2": np.ones(width),
        "b2": np.zeros(width),
        "out": weight(width, 10),
        "out_b": np.zeros(10),
    }


def main(full: bool = False) -> Outcome:
    """Trains and reports; `full` is wider and trains for longer."""
    epochs, batch_size, width = (150, 64, 256) if full else (25, 64, 64)
    data = digits()
    steps = epochs * -(-len(data.x_train) // batch_size)
    return run(
        "regularized",
        f"LayerNorm, dropout, 2 x {width}",
        "digits",
        regularized,
        loss,
        initial(np.random.default_rng(0), width),
        data,
        AdamW(lr=cosine_decay(3e-3, steps), weight_decay=1e-2),
        target=0.97,
        epochs=epochs,
        batch_size=batch_size,
        key=random.key(0),
    )
