"""A convolutional network on handwritten digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.examples.data import digits
from pycograd.examples.training import Outcome, Params, run
from pycograd.nn import conv2d, cross_entropy, gelu
from pycograd.optim import AdamW, cosine_decay


def convnet(params: Params, x: Any) -> Any:
    """Ten logits per digit: three convolutions, the last two with stride 2, and a linear layer."""
    h: Any = np.reshape(x, (-1, 1, 8, 8))
    for layer, stride in (("1", 1), ("2", 2), ("3", 2)):
        h = gelu(conv2d(h, params["w" + layer], params["b" + layer], stride=stride, pad=1))
    return np.reshape(h, (x.shape[0], -1)) @ params["w"] + params["b"]


def loss(params: Params, x: Any, y: Any) -> Any:
    """The mean cross-entropy."""
    return cross_entropy(convnet(params, x), y)


def initial(rng: np.random.Generator, channels: int = 12) -> Params:
    """He initialisation."""

    def weight(*shape: int) -> Any:
        return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))

    return {
        "w1": weight(channels, 1, 3, 3),
        "b1": np.zeros(channels),
        "w2": weight(2 * channels, channels, 3, 3),
        "b2": np.zeros(2 * channels),
        "w3": weight(2 * channels, 2 * channels, 3, 3),
        "b3": np.zeros(2 * channels),
        "w": weight(10, 8 * channels).T,
        "b": np.zeros(10),
    }


def main(full: bool = False) -> Outcome:
    """Trains and reports; `full` has more channels and epochs."""
    epochs, batch_size = (60 if full else 12), 32
    data = digits()
    steps = epochs * -(-len(data.x_train) // batch_size)
    return run(
        "convnet",
        "convolutional network",
        "digits",
        convnet,
        loss,
        initial(np.random.default_rng(0), 32 if full else 12),
        data,
        AdamW(lr=cosine_decay(5e-3, steps), weight_decay=1e-2),
        target=0.985 if full else 0.975,
        epochs=epochs,
        batch_size=batch_size,
    )
