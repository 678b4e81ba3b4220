"""Samples of the fused operations of `pycograd.nn`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd import nn
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("nn")
_X = draw.normal(2, 3)
_ROWS = draw.normal(3, 4)


def _activation(name: str, f: Callable[..., Any], at_zero: float, of: str = "") -> Sample:
    """At 0 the derivative is the convention, far out and for no entries it is finite."""
    far = np.array([-1000.0, 1000.0])
    kinks = [
        Kink([np.zeros(1)], [[at_zero]]),
        Kink([far]),
        Kink([np.zeros((0, 2))], [np.zeros((0, 2))]),
    ]
    return Sample(of or name, f, [_X], name=name, complex=False, kinks=kinks)


def _sample(primitive: str, f: Callable[..., Any], *operands: Any, **options: Any) -> Sample:
    return Sample(primitive, f, operands, complex=False, **options)


SAMPLES = [
    _activation("relu", nn.relu, 0),
    _activation("leaky_relu", nn.leaky_relu, 0.01),
    _sample("leaky_relu", nn.leaky_relu, _X, draw.positive(3), name="learned"),
    _activation("sigmoid", nn.sigmoid, 0.25),
    _activation("softplus", nn.softplus, 0.5),
    _activation("silu", nn.silu, 0.5),
    _activation("mish", nn.mish, 0.6, of="softplus"),
    _activation("elu", nn.elu, 1),
    _sample("elu", nn.elu, _X, draw.positive(3), name="learned"),
    _activation("selu", nn.selu, 1.0507009873554805 * 1.6732632423543772, of="elu"),
    _activation("softsign", nn.softsign, 1),
    _activation("gelu", nn.gelu, 0.5),
    _activation("normal_cdf", lambda x: nn.gelu(x, "none"), 0.5),
    _sample("clip", nn.hardswish, _X, name="hardswish"),
    # softmax and its relatives, along one axis and along two, with impossible classes
    _sample("softmax", nn.softmax, _ROWS),
    _sample("softmax", lambda x: nn.softmax(x, 0), _ROWS, symbolic=False),
    _sample("softmax", lambda x: nn.softmax(x, (0, 2)), draw.normal(2, 3, 2)),
    _sample("log_softmax", nn.log_softmax, _ROWS),
    _sample("log_softmax", lambda x: nn.log_softmax(x, None), _X),
    _sample(
        "logsumexp",
        lambda x: nn.logsumexp(x, 1),
        _ROWS,
        kinks=[Kink([np.array([[-np.inf, 0.0]])], [[[0.0, 1.0]]])],
    ),
    _sample("logsumexp", lambda x: nn.logsumexp(x, (0, 1), keepdims=True), _ROWS),
    _sample("logsumexp", nn.logsumexp, _X, name="all"),
    # losses, normalisation, attention
    _sample("bce_with_logits", nn.bce_with_logits, _X, draw.uniform(0, 1, 2, 3)),
    _sample(
        "logsumexp",
        lambda x, i: nn.cross_entropy(x, i, label_smoothing=0.1),
        _ROWS,
        draw.integers(4, 3),
        name="cross_entropy",
    ),
    _sample(
        "log_softmax",
        nn.cross_entropy,
        _ROWS,
        nn.softmax(draw.normal(3, 4)),
        name="cross_entropy of probabilities",
    ),
    _sample("standardize", nn.layer_norm, _ROWS, draw.normal(4), draw.normal(4)),
    _sample("standardize", lambda x: nn.layer_norm(x, axis=(0, 1), eps=0.1), _X, name="two axes"),
    _sample(
        "softmax",
        lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, causal=True),
        *[draw.normal(3, 2) for _ in range(3)],
        name="attention",
        symbolic=False,
    ),
]
