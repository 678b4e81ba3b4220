"""A two-layer perceptron on handwritten digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.examples.data import digits
from pycograd.examples.training import Outcome, Params, run
from pycograd.nn import cross_entropy, relu
from pycograd.optim import AdamW, cosine_decay


def mlp(params: Params, x: Any) -> Any:
    """Ten logits per row of 64 grey values."""
    hidden = relu(x @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def loss(params: Params, x: Any, y: Any) -> Any:
    """The mean cross-entropy."""
    return cross_entropy(mlp(params, x), y)


def initial(rng: np.random.Generator) -> Params:
    """He initialisation."""
    return {
        "w1": rng.standard_normal((64, 128)) * np.sqrt(2 / 64),
        "b1": np.zeros(128),
        "w2": rng.standard_normal((128, 10)) * np.sqrt(2 / 128),
        "b2": np.zeros(10),
    }


def main(full: bool = False) -> Outcome:
    """Trains and reports; `full` has more epochs."""
    epochs, batch_size = (200 if full else 40), 64
    data = digits()
    steps = epochs * -(-len(data.x_train) // batch_size)
    return run(
        "mlp",
        "MLP 64-128-10",
        "digits",
        mlp,
        loss,
        initial(np.random.default_rng(0)),
        data,
        AdamW(lr=cosine_decay(3e-3, steps), weight_decay=1e-2),
        target=0.965,
        epochs=epochs,
        batch_size=batch_size,
    )
