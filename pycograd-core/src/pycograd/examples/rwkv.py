"""RWKV on characters: trained on whole windows at once, sampled a character at a time.

What it remembers of a text is of one size however long the text: for each layer two rows of
activations, and the mean and weight of the values so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.examples.characters import Model, run
from pycograd.examples.training import Outcome
from pycograd.nn import (
    embedding,
    layer_norm,
    relu,
    rwkv_init,
    rwkv_parallel,
    rwkv_recurrent,
    sigmoid,
)


def initial(layers: int, width: int) -> Callable[[np.random.Generator, int, Any], Any]:
    """Normal weights of variance 1 / fan-in, channels that forget at rates from slow to fast."""

    def make(rng: np.random.Generator, characters: int, dtype: Any) -> Any:
        def weight(*shape: int) -> Any:
            return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(dtype)

        def block() -> Any:
            half = {f"mix_{name}": np.full(width, 0.5, dtype) for name in "kvrwg"}
            norms = {f"norm{i}": np.ones(width, dtype) for i in (1, 2)}
            shifts = {f"shift{i}": np.zeros(width, dtype) for i in (1, 2)}
            square = {name: weight(width, width) for name in ("k", "v", "r", "out", "gate")}
            return {
                **half,
                **norms,
                **shifts,
                **square,
                "log_decay": np.linspace(-4.0, 1.0, width).astype(dtype),
                "bonus": np.zeros(width, dtype),
                "wide": weight(width, 3 * width),
                "narrow": weight(3 * width, width),
            }

        return {
            "token": weight(characters, width),
            "blocks": [block() for _ in range(layers)],
            "norm": np.ones(width, dtype),
            "shift": np.zeros(width, dtype),
            "out": weight(width, characters),
        }

    return make


def start(params: Any, batch: int) -> Any:
    """The state before a text: nothing before the first character, no values yet."""
    shape, dtype = (batch, params["out"].shape[0]), params["out"].dtype
    nothing = np.zeros(shape, dtype)
    return [(nothing, nothing, rwkv_init(shape, dtype)) for _ in params["blocks"]]


def network(params: Any, x: Any, state: Any, shift: Any, attend: Any) -> tuple[Any, Any]:
    """The layers, in either form.

    Arguments:
        params: as `initial` makes them.
        x: embedded characters.
        state: as `start` makes it.
        shift: `shift(x, last)`, what was before each of `x`, and the last of them.
        attend: `attend(k, v, decay, bonus, past)`, RWKV's attention and its state.

    Returns:
        The logits and the new state.
    """
    after = []
    for p, (last1, last2, past) in zip(params["blocks"], state):
        normed = layer_norm(x, p["norm1"], p["shift1"])
        before, last1 = shift(normed, last1)
        k, v, r = (_mixed(p, name, normed, before) @ p[name] for name in "kvr")
        y, past = attend(k, v, np.exp(p["log_decay"]), p["bonus"], past)
        x = x + (sigmoid(r) * y) @ p["out"]
        normed = layer_norm(x, p["norm2"], p["shift2"])
        before, last2 = shift(normed, last2)
        wide = relu(_mixed(p, "w", normed, before) @ p["wide"]) ** 2
        x = x + sigmoid(_mixed(p, "g", normed, before) @ p["gate"]) * (wide @ p["narrow"])
        after.append((last1, last2, past))
    return layer_norm(x, params["norm"], params["shift"]) @ params["out"], after


def parallel(params: Any, tokens: Any, state: Any) -> tuple[Any, Any]:
    """Logits (batch, length, characters) for tokens (batch, length), all places at once."""

    def shift(x: Any, last: Any) -> tuple[Any, Any]:
        return np.concatenate([last[:, None], x[:, :-1]], axis=1), x[:, -1]

    return network(params, embedding(params["token"], tokens), state, shift, rwkv_parallel)


def recurrent(params: Any, tokens: Any, state: Any) -> tuple[Any, Any]:
    """What `parallel` returns, one place after the other."""

    def shift(x: Any, last: Any) -> tuple[Any, Any]:
        return last, x

    def attend(k: Any, v: Any, decay: Any, bonus: Any, past: Any) -> tuple[Any, Any]:
        return rwkv_recurrent(k, v, past, decay, bonus)

    logits = []
    for token in tokens.T:
        one, state = network(params, embedding(params["token"], token), state, shift, attend)
        logits.append(one)
    return np.stack(logits, axis=1), state


def _mixed(p: Any, name: str, x: Any, before: Any) -> Any:
    return before + p[f"mix_{name}"] * (x - before)


def main(full: bool = False) -> Outcome:
    """Trains in parallel and reports; writes one character at a time."""
    layers, width, window, steps = (4, 128, 64, 600) if full else (2, 48, 24, 80)
    make = initial(layers, width)
    return run(
        "rwkv",
        f"RWKV, {layers} layers of {width}",
        Model(make, start, parallel),
        Model(initial(1, 4), start, parallel),
        full,
        window=window,
        steps=steps,
        target=0.45 if full else 0.38,
        writer=Model(make, start, recurrent),
        lr=4e-3 if full else 1e-2,
    )
