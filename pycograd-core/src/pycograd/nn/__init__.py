"""Functions of neural networks, for plain and for differentiated arrays."""

from pycograd.nn.activations import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    swish,
    tanh,
)
from pycograd.nn.attention import scaled_dot_product_attention
from pycograd.nn.conv import causal_conv1d, conv1d, conv2d, conv3d
from pycograd.nn.conv_transpose import conv_transpose1d, conv_transpose2d
from pycograd.nn.layers import dropout, embedding, linear, one_hot
from pycograd.nn.losses import bce_with_logits, cross_entropy, mse_loss, nll_loss
from pycograd.nn.norm import layer_norm
from pycograd.nn.pool import avg_pool2d, max_pool2d, upsample_nearest2d
from pycograd.nn.softmax import log_softmax, logsumexp, softmax
from pycograd.nn.streaming import (
    streaming_conv1d,
    streaming_conv1d_init,
    streaming_conv2d,
    streaming_conv2d_init,
    streaming_conv_transpose1d,
    streaming_conv_transpose1d_init,
    streaming_conv_transpose2d,
    streaming_conv_transpose2d_init,
)

__all__ = [
    "avg_pool2d",
    "bce_with_logits",
    "causal_conv1d",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsumexp",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "one_hot",
    "relu",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "streaming_conv1d",
    "streaming_conv1d_init",
    "streaming_conv2d",
    "streaming_conv2d_init",
    "streaming_conv_transpose1d",
    "streaming_conv_transpose1d_init",
    "streaming_conv_transpose2d",
    "streaming_conv_transpose2d_init",
    "swish",
    "tanh",
    "upsample_nearest2d",
]
