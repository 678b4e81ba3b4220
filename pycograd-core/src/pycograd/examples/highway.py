"""A highway network on handwritten digits: deep, since each layer may pass its input on."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.examples.data import digits
from pycograd.examples.training import Outcome, Params, run
from pycograd.nn import cross_entropy, sigmoid
from pycograd.optim import Adam, cosine_decay
from pycograd.transforms.control import scan


def highway(params: Params, x: Any) -> Any:
    """Ten logits per row: each layer mixes `tanh(h w + b)` with h by a gate (Srivastava 2015)."""

    def layer(h: Any, p: Any) -> tuple[Any, None]:
        gate = sigmoid(h @ p["gate"] + p["gate_b"])
        return gate * np.tanh(h @ p["w"] + p["b"]) + (1 - gate) * h, None

    names = ("w", "b", "gate", "gate_b")
    h, _ = scan(layer, np.tanh(x @ params["into"]), {name: params[name] for name in names})
    return h @ params["out"] + params["out_b"]


def loss(params: Params, x: Any, y: Any) -> Any:
    """The mean cross-entropy."""
    return cross_entropy(highway(params, x), y)


def initial(rng: np.random.Generator, layers: int, width: int = 32) -> Params:
    """Normal weights of variance 1 / fan-in; gates that let the input through at first."""

    def weight(*shape: int) -> Any:
        return rng.standard_normal(shape) / np.sqrt(shape[-2])

    return {
        "into": weight(64, width),
        "w": weight(layers, width, width),
        "b": np.zeros((layers, width)),
        "gate": weight(layers, width, width),
        "gate_b": np.full((layers, width), -2.0),
        "out": weight(width, 10),
        "out_b": np.zeros(10),
    }


def main(full: bool = False) -> Outcome:
    """Trains and reports; `full` is five times as deep."""
    epochs, batch_size, layers = (60, 64, 50) if full else (25, 64, 10)
    data = digits()
    steps = epochs * -(-len(data.x_train) // batch_size)
    return run(
        "highway",
        f"highway net, {layers} layers",
        "digits",
        highway,
        loss,
        initial(np.random.default_rng(0), layers),
        data,
        Adam(lr=cosine_decay(5e-3, steps)),
        target=0.95,
        epochs=epochs,
        batch_size=batch_size,
    )
