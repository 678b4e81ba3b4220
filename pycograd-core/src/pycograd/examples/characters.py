"""What the models of characters share: training on windows of a text, and writing on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pycograd.core.tree import tree_leaves
from pycograd.examples.text import Text, topics
from pycograd.examples.training import Outcome
from pycograd.graph import jit
from pycograd.nn import cross_entropy
from pycograd.optim import AdamW, cosine_decay, linear_warmup
from pycograd.testing.gradients import check_grads
from pycograd.training import accuracy, progress
from pycograd.transforms.reverse import value_and_grad


class Model(NamedTuple):
    """A model that reads characters and expects the next ones.

    Arguments:
        initial: `initial(rng, characters, dtype)`, the parameters.
        start: `start(params, batch)`, the state before the first character.
        read: `read(params, tokens, state)`: the logits (batch, length, characters) behind each of
            the tokens (batch, length), and the state after the last.
    """

    initial: Callable[[np.random.Generator, int, Any], Any]
    start: Callable[[Any, int], Any]
    read: Callable[[Any, Any, Any], tuple[Any, Any]]


def streams(tokens: Any, batch: int) -> Any:
    """A text as `batch` pieces of one length, below each other."""
    length = len(tokens) // batch
    return np.reshape(tokens[: batch * length], (batch, length))


def train(
    name: str, model: Model, text: Text, window: int, steps: int, batch: int = 32, lr: float = 4e-3
) -> tuple[Any, list[float]]:
    """Trains on windows that follow each other in `batch` pieces of the text.

    The state goes on from window to window, the gradient does not.

    Returns:
        The trained parameters, and the loss of each step.
    """

    def loss(params: Any, x: Any, y: Any, state: Any) -> Any:
        logits, state = model.read(params, x, state)
        return cross_entropy(logits, y), state

    params = model.initial(np.random.default_rng(0), len(text.alphabet), np.float32)
    step = jit(value_and_grad(loss, argnums=0, has_aux=True))
    optimizer = AdamW(linear_warmup(cosine_decay(lr, steps), 20), weight_decay=1e-2)
    pieces = streams(text.train, batch)
    windows = (pieces.shape[1] - 1) // window
    losses: list[float] = []
    bar = progress(range(steps), description=name)
    for i in bar:
        begin = i % windows * window
        if begin == 0:
            state = model.start(params, batch)
        x, y = (pieces[:, a : a + window] for a in (begin, begin + 1))
        (value, state), grads = step(params, x, y, state)
        params = optimizer.step(params, grads)
        losses.append(float(value))
        bar.update(loss=losses[-1])
    return params, losses


def write(
    model: Model, params: Any, tokens: Any, count: int, rng: np.random.Generator, heat: float = 0.8
) -> Any:
    """Continues a text, each character drawn from what the model expects and read once.

    Arguments:
        model, params: of any kind; what it remembers is its state, of one size.
        tokens: the text so far, (length,).
        count: how many characters to add.
        rng: draws the characters.
        heat: below 1 the likely ones become likelier.

    Returns:
        The whole text, (length + count,).
    """
    written = list(np.asarray(tokens))
    logits, state = model.read(params, np.asarray(tokens)[None], model.start(params, 1))
    for _ in range(count):
        scores = logits[0, -1] / heat
        # The largest of logits with Gumbel noise is a draw from their softmax.
        written.append(np.argmax(scores + rng.gumbel(size=scores.shape)))
        logits, state = model.read(params, np.array([written[-1:]]), state)
    return np.array(written)


def run(
    name: str,
    said: str,
    model: Model,
    tiny: Model,
    full: bool,
    *,
    window: int,
    steps: int,
    target: float,
    writer: Model | None = None,
    lr: float = 4e-3,
) -> Outcome:
    """Checks the gradient of a tiny model, trains, measures the accuracy, and writes some text.

    Arguments:
        name, said: of the example and of its model.
        model, tiny: what is trained, and one of few weights for the finite differences.
        full: the whole text rather than a part.
        window, steps, lr: of the training.
        target: the accuracy that is promised.
        writer: the form of the model that writes; `model` if left out.
    """
    text = topics(None if full else 200_000)
    few = text.train[:10][None]

    def loss(params: Any) -> Any:
        logits, _ = tiny.read(params, few[:, :-1], tiny.start(params, 1))
        return cross_entropy(logits, few[:, 1:])

    exact = tiny.initial(np.random.default_rng(0), len(text.alphabet), np.float64)
    check_grads(loss, (exact,), order=1, modes=("rev",))
    started = time.perf_counter()
    params, losses = train(name, model, text, window, steps, lr=lr)
    seconds = time.perf_counter() - started
    test = streams(text.test, 64)[:, : 4 * window + 1]
    logits, _ = model.read(params, test[:, :-1], model.start(params, 64))
    found = accuracy(logits, test[:, 1:])
    start = text.encode("The ")
    written = write(writer or model, params, start, 120, np.random.default_rng(2))
    print(f"{name} writes: {text.decode(written)!r}")
    return Outcome(
        name,
        said,
        "Python's help, by character",
        sum(int(np.size(leaf)) for leaf in tree_leaves(params)),
        seconds,
        found,
        target,
        [float(np.mean(part)) for part in np.array_split(losses, 25)],
    )
