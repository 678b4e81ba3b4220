"""WaveNet on characters: gated causal convolutions, dilated twice as far from layer to layer.

In training every place of a window is computed at once. In writing each convolution remembers only
what its kernel spans, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.examples.characters import Model, run
from pycograd.examples.training import Outcome
from pycograd.nn import (
    causal_conv1d,
    conv1d,
    embedding,
    gated_act,
    relu,
    streaming_conv1d,
    streaming_conv1d_init,
)


def initial(layers: int, width: int) -> Callable[[np.random.Generator, int, Any], Any]:
    """Normal weights of variance 1 / fan-in."""

    def make(rng: np.random.Generator, characters: int, dtype: Any) -> Any:
        def kernel(into: int, out: int, taps: int) -> Any:
            return (rng.standard_normal((out, into, taps)) / np.sqrt(into * taps)).astype(dtype)

        return {
            "token": rng.standard_normal((characters, width)).astype(dtype),
            "layers": [
                {
                    "w": kernel(width, 2 * width, 2),
                    "b": np.zeros(2 * width, dtype),
                    "out": kernel(width, 2 * width, 1),
                    "out_b": np.zeros(2 * width, dtype),
                }
                for _ in range(layers)
            ],
            "head": kernel(width, characters, 1),
            "head_b": np.zeros(characters, dtype),
        }

    return make


def start(params: Any, batch: int) -> Any:
    """The state before a text: for each layer the silence that its kernel spans."""
    return [
        streaming_conv1d_init(p["w"], batch, dilation=2**i) for i, p in enumerate(params["layers"])
    ]


def network(params: Any, tokens: Any, convolve: Callable[..., Any]) -> Any:
    """The layers, in either form.

    Arguments:
        params: as `initial` makes them.
        tokens: integers, (batch, length).
        convolve: `convolve(i, x, w, b, dilation)`, the causal convolution of layer i.

    Returns:
        Logits (batch, length, characters).
    """
    x = np.swapaxes(embedding(params["token"], tokens), 1, 2)
    width = x.shape[1]
    total = np.zeros_like(x)
    for i, p in enumerate(params["layers"]):
        wide = convolve(i, x, p["w"], p["b"], 2**i)
        gated = conv1d(gated_act(wide[:, :width], wide[:, width:]), p["out"], p["out_b"])
        x, total = x + gated[:, :width], total + gated[:, width:]
    return np.swapaxes(conv1d(relu(total), params["head"], params["head_b"]), 1, 2)


def whole(params: Any, tokens: Any, state: Any) -> tuple[Any, Any]:
    """Logits for windows that begin in silence; the state is passed on as it is."""

    def convolve(i: int, x: Any, w: Any, b: Any, dilation: int) -> Any:
        return causal_conv1d(x, w, b, dilation=dilation)

    return network(params, tokens, convolve), state


def stream(params: Any, tokens: Any, state: Any) -> tuple[Any, Any]:
    """Logits for a chunk of any length behind what the state remembers, and the new state."""
    after = list(state)

    def convolve(i: int, x: Any, w: Any, b: Any, dilation: int) -> Any:
        y, after[i] = streaming_conv1d(x, w, b, after[i], dilation=dilation)
        return y

    return network(params, tokens, convolve), after


def main(full: bool = False) -> Outcome:
    """Trains on windows and reports; writes in a stream."""
    layers, width, window, steps = (7, 96, 128, 2000) if full else (5, 32, 48, 100)
    make = initial(layers, width)
    return run(
        "wavenet",
        f"WaveNet, {layers} layers of {width}",
        Model(make, start, whole),
        Model(initial(3, 3), start, whole),
        full,
        window=window,
        steps=steps,
        target=0.5 if full else 0.4,
        writer=Model(make, start, stream),
        lr=4e-3 if full else 1e-2,
    )
