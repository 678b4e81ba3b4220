# pycograd: dsl
"""A model in the DSL: a network of two layers that tells three clouds of points apart."""

import time

import numpy as np

from pycograd.examples.training import Outcome
from pycograd.nn import cross_entropy, relu, softmax
from pycograd.optim import Adam, cosine_decay
from pycograd.testing.gradients import check_grads
from pycograd.training import accuracy, train

rng = np.random.default_rng(0)


def blobs(count):
    """Points around three centres, and which centre each is around."""
    labels = np.arange(count) % 3
    centres = np.array([[0.0, 2.0], [-2.0, -1.0], [2.0, -1.0]])
    return centres[labels] + 0.7 * rng.standard_normal((count, 2)), labels


data, labels = blobs(120)
weights = params{
    U = rng.standard_normal((2, 32)) / np.sqrt(2); u = np.zeros(32)
    V = rng.standard_normal((32, 3)) / np.sqrt(32)
}
scores = $ |> $ @ U + u |> relu |> $ @ V
predict = $ |> scores |> softmax
objective = |> data |> scores |> cross_entropy($, labels)


def few(U, u, V):
    """The objective of four points as a function of the weights."""
    return params(U=U, u=u, V=V).bind(scores)(data[:4]) |> cross_entropy($, labels[:4])


def main(full=False):
    """Trains on 120 points and reports the accuracy on 600 others; `full` takes more steps."""
    steps = 2000 if full else 200
    check_grads(few, (weights.U, weights.u, weights.V), order=1, modes=("rev",))
    optimizer, losses = Adam(lr=cosine_decay(0.05, steps)), []
    started = time.perf_counter()
    for _ in range(20):
        losses.append(train(weights, objective, steps // 20, optimizer)[1])
    seconds = time.perf_counter() - started
    points, truth = blobs(600)
    return Outcome(
        "dsl",
        "two layers, in the DSL",
        "three clouds of points",
        weights.num_params(),
        seconds,
        accuracy(weights.bind(predict)(points), truth),
        0.97,
        losses,
    )
