"""A GPT on characters: causal Transformer blocks, trained to predict the next one, and sampled."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from pycograd.core.tree import tree_leaves
from pycograd.examples.text import Text, topics
from pycograd.examples.training import Outcome
from pycograd.graph import jit
from pycograd.nn import cross_entropy, embedding, gelu, layer_norm, scaled_dot_product_attention
from pycograd.optim import AdamW, cosine_decay, linear_warmup
from pycograd.testing.gradients import check_grads
from pycograd.training import accuracy, batches, progress
from pycograd.transforms.reverse import value_and_grad


class Size(NamedTuple):
    """How large the model is."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    context: int = 64


def gpt(params: Any, tokens: Any, heads: int) -> Any:
    """Logits of the next character at each place.

    Arguments:
        params: as `initial` makes them.
        tokens: integers, (batch, length), no longer than the context.
        heads: of the attention.

    Returns:
        An array (batch, length, characters).
    """
    length = tokens.shape[1]
    h = embedding(params["token"], tokens) + params["place"][:length]
    for block in params["blocks"]:
        h = h + attention(block, layer_norm(h, block["norm1"], block["shift1"]), heads)
        normed = layer_norm(h, block["norm2"], block["shift2"])
        wide = gelu(normed @ block["wide"] + block["wide_b"])
        h = h + wide @ block["narrow"] + block["narrow_b"]
    return layer_norm(h, params["norm"], params["shift"]) @ params["token"].T


def attention(block: Any, x: Any, heads: int) -> Any:
    """Each place attends to those before it, in several heads."""
    batch, length, width = x.shape
    qkv = np.reshape(x @ block["qkv"], (batch, length, 3, heads, width // heads))
    q, k, v = np.transpose(qkv, (2, 0, 3, 1, 4))
    mixed = scaled_dot_product_attention(q, k, v, causal=True)
    return np.reshape(np.transpose(mixed, (0, 2, 1, 3)), x.shape) @ block["mix"]


def loss(params: Any, x: Any, y: Any, heads: int) -> Any:
    """The mean cross-entropy of the characters that follow."""
    return cross_entropy(gpt(params, x, heads), y)


def initial(rng: np.random.Generator, characters: int, size: Size, dtype: Any = np.float32) -> Any:
    """Small normal weights, those into the residual stream smaller; unit norms, zero shifts."""
    layers, width = size.layers, size.width

    def weight(*shape: int, scale: float = 0.02) -> Any:
        return (scale * rng.standard_normal(shape)).astype(dtype)

    def block() -> dict[str, Any]:
        into = 0.02 / np.sqrt(2 * layers)
        return {
            "norm1": np.ones(width, dtype),
            "shift1": np.zeros(width, dtype),
            "qkv": weight(width, 3 * width),
            "mix": weight(width, width, scale=into),
            "norm2": np.ones(width, dtype),
            "shift2": np.zeros(width, dtype),
            "wide": weight(width, 4 * width),
            "wide_b": np.zeros(4 * width, dtype),
            "narrow": weight(4 * width, width, scale=into),
            "narrow_b": np.zeros(width, dtype),
        }

    return {
        "token": weight(characters, width),
        "place": weight(size.context, width),
        "blocks": [block() for _ in range(layers)],
        "norm": np.ones(width, dtype),
        "shift": np.zeros(width, dtype),
    }


def sample(
    params: Any, tokens: Any, count: int, size: Size, rng: np.random.Generator, heat: float = 0.8
) -> Any:
    """Continues a text, each character drawn from what the model expects.

    Arguments:
        params: of the model.
        tokens: the text so far, (length,).
        count: how many characters to add.
        size: of the model.
        rng: draws the characters.
        heat: below 1 the likely ones become likelier.

    Returns:
        The whole text, (length + count,).
    """
    tokens = np.asarray(tokens)
    for _ in range(count):
        scores = gpt(params, tokens[None, -size.context :], size.heads)[0, -1] / heat
        # The largest of logits with Gumbel noise is a draw from their softmax.
        tokens = np.append(tokens, np.argmax(scores + rng.gumbel(size=scores.shape)))
    return tokens


SMALL, FULL = Size(layers=2, width=48, heads=4, context=32), Size()


def train(text: Text, size: Size, steps: int, batch_size: int, seed: int = 0) -> Any:
    """The trained parameters, and the loss of each step."""
    params = initial(np.random.default_rng(seed), len(text.alphabet), size)
    step = jit(value_and_grad(lambda p, x, y: loss(p, x, y, size.heads), argnums=0))
    optimizer = AdamW(linear_warmup(cosine_decay(4e-3, steps), 20), weight_decay=1e-2)
    losses: list[float] = []
    windows = batches(
        text.train, batch_size=batch_size, window=size.context, shuffle=True, rng=seed
    )
    bar = progress(range(steps), description="nanogpt")
    for (x, y), _ in zip(windows, bar):
        value, grads = step(params, x, y)
        params = optimizer.step(params, grads)
        losses.append(float(value))
        bar.update(loss=losses[-1])
    return params, losses


def main(full: bool = False) -> Outcome:
    """Trains and reports; prints some text that the model writes."""
    size, steps = (FULL, 600) if full else (SMALL, 120)
    text = topics(None if full else 200_000)
    few = text.train[:10][None]
    exact = initial(np.random.default_rng(0), len(text.alphabet), Size(1, 8, 2, 9), np.float64)
    check_grads(lambda p: loss(p, few[:, :-1], few[:, 1:], 2), (exact,), order=1, modes=("rev",))
    started = time.perf_counter()
    params, losses = train(text, size, steps, 32)
    seconds = time.perf_counter() - started
    held_out = next(batches(text.test, batch_size=256, window=size.context, shuffle=True, rng=1))
    found = accuracy(gpt(params, held_out[0], size.heads), held_out[1])
    written = sample(params, text.encode("The "), 120, size, np.random.default_rng(2))
    print(f"nanogpt writes: {text.decode(written)!r}")
    return Outcome(
        "nanogpt",
        f"GPT, {size.layers} layers of {size.width}",
        "Python's help, by character",
        sum(int(np.size(leaf)) for leaf in tree_leaves(params)),
        seconds,
        found,
        0.35,
        [float(np.mean(part)) for part in np.array_split(losses, 25)],
    )
