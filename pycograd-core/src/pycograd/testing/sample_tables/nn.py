"""Samples of the fused operations of `pycograd.nn`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd import nn
from pycograd.testing.samples import Draw, Kink, Sample
from pycograd.transforms.reverse import grad

draw = Draw("nn")
_X = draw.normal(2, 3)
_ROWS = draw.normal(3, 4)
_SHARES = nn.softmax(draw.normal(3, 4))
_KEEP: Any = np.tri(3, 5, 1, dtype=np.bool_)


def _activation(name: str, f: Callable[..., Any], at_zero: float, of: str = "") -> Sample:
    """At 0 the derivative is the convention, far out and for no entries it is finite."""
    far = np.array([-1000.0, 1000.0])
    kinks = [
        Kink([np.zeros(1)], [[at_zero]]),
        Kink([far]),
        Kink([np.zeros((0, 2))], [np.zeros((0, 2))]),
    ]
    return Sample(of or name, f, [_X], name=name, complex=False, kinks=kinks)


def _slope_of_gelu(x: Any) -> Any:
    return grad(lambda x: np.sum(nn.gelu(x)), argnums=0)(x)


def _weights(gates: int) -> list[Any]:
    """Of a cell with 3 inputs and 2 units."""
    m = 2 * gates
    return [draw.normal(m, 3), draw.normal(m, 2), draw.normal(m), draw.normal(m)]


def _attentions(draw: Draw) -> list[Sample]:
    """With each kind of mask; the second query of some sees no key."""
    q, k, v = draw.normal(2, 3, 2), draw.normal(2, 4, 2), draw.normal(2, 4, 5)
    keep = draw.mask(3, 4)
    keep[1] = False
    added = draw.normal(2, 3, 4)
    blind = np.where(keep, added, -np.inf)
    return [
        _sample("attention", nn.scaled_dot_product_attention, q, k, v, name="plain"),
        _sample("attention", nn.scaled_dot_product_attention, q, k, v, keep, name="mask"),
        _sample(
            "attention",
            lambda q, k, v, mask: nn.scaled_dot_product_attention(q, k, v, mask, causal=True),
            q,
            k[0],
            v,
            added,
            name="added mask",
            kinks=[Kink([q, k[0], v, blind]), Kink([q[:0], k[0], v[:0], blind[:0]])],
        ),
    ]


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
    _sample("gelu_slope", _slope_of_gelu, _X),
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
        "attention",
        lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, causal=True),
        *[draw.normal(3, 2) for _ in range(3)],
        name="causal",
        symbolic=False,
    ),
    *_attentions(Draw("attention")),
    _sample("where", lambda x, w: nn.kl_div(nn.log_softmax(x), w), _ROWS, _SHARES, name="kl_div"),
    _sample(
        "exp",
        lambda x, t: nn.kl_div(nn.log_softmax(x), t, log_target=True),
        _ROWS,
        np.log(_SHARES),
        name="kl_div of logarithms",
    ),
    _sample("clip", lambda x, y: nn.huber_loss(x, y, delta=0.9), _X, _X[::-1], name="huber_loss"),
    _sample("sigmoid", nn.gated_act, _X, _X[::-1], name="gated_act"),
    _sample("sigmoid", nn.glu, _ROWS, name="glu"),
    _sample("sqrt", nn.rms_norm, _ROWS, draw.normal(4), name="rms_norm"),
    _sample(
        "standardize",
        lambda x, gamma, beta: nn.batch_norm(x, gamma, beta, *nn.batch_norm_init(2))[0],
        draw.normal(3, 2, 2),
        draw.normal(2),
        draw.normal(2),
        name="batch_norm",
        symbolic=[("B", 2, 2), (2,), (2,)],
    ),
    _sample(
        "sqrt",
        lambda x, mean, var: nn.batch_norm(x, None, None, mean, var, training=False)[0],
        draw.normal(3, 2, 2),
        draw.normal(2),
        draw.positive(2),
        name="batch_norm with what it has seen",
        symbolic=[("B", 2, 2), (2,), (2,)],
    ),
    _sample(
        "standardize",
        lambda x, gamma, beta: nn.group_norm(x, gamma, beta, 2),
        draw.normal(2, 4, 3),
        draw.normal(4),
        draw.normal(4),
        name="group_norm",
        symbolic=[("B", 4, 3), (4,), (4,)],
    ),
    _sample("standardize", nn.instance_norm, draw.normal(2, 3, 4), name="instance_norm"),
    _sample(
        "attention",
        lambda q, k, w: nn.multi_head_attention(q, k, k, 2, wq=w, mask=_KEEP),
        draw.normal(2, 3, 4),
        draw.normal(2, 5, 4),
        draw.normal(4, 4),
        name="multi_head_attention",
        symbolic=[("B", 3, 4), ("B", 5, 4), (4, 4)],
    ),
    _sample("tanh", nn.rnn_cell, _X, draw.normal(2, 2), *_weights(1), name="rnn_cell"),
    _sample("sigmoid", nn.gru_cell, _X, draw.normal(2, 2), *_weights(3), name="gru_cell"),
    _sample(
        "sigmoid",
        lambda x, h, c, *weights: nn.lstm_cell(x, (h, c), *weights),
        _X,
        draw.normal(2, 2),
        draw.normal(2, 2),
        *_weights(4),
        name="lstm_cell",
    ),
    _sample(
        "logaddexp",
        lambda k, v, decay, bonus: nn.rwkv_parallel(k, v, decay, bonus)[0],
        draw.normal(2, 3, 2),
        draw.normal(2, 3, 2),
        draw.positive(2),
        draw.normal(2),
        name="rwkv_parallel",
    ),
    _sample(
        "logaddexp",
        lambda k, v, mean, log_weight, decay: nn.rwkv_recurrent(
            k, v, (mean, log_weight), decay, decay
        ),
        *[draw.normal(3, 2) for _ in range(4)],
        draw.positive(2),
        name="rwkv_recurrent",
    ),
]
