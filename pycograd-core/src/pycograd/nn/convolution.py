"""Convolution of any number of spatial axes: one trilinear form, and the three maps it gives.

    T(x, w, z) = sum x[n, g c, j * stride + t * dilation - pad] w[g o, c, t] z[n, g o, j]

over images n, groups g, channels c of the images and o of the results, taps t and places j. Its
derivative in z is the convolution `conv(x, w)`, that in x the transposed convolution
`conv_input(z, w)`, and that in w the gradient of the kernel `conv_kernel(x, z)`. Each is bilinear,
and its transposes are the other two, so the set is closed under derivatives of every order.

Parameters, for every spatial axis: `stride` and `dilation` are ints; `pad` is a pair, the zeros in
front and behind, negative ones cutting entries off. `groups` parts of the channels are convolved
apart. `conv_input` is told the spatial `sizes` of x, and `conv_kernel` the `taps` of w.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.aval import make_aval, promote, shape_of
from pycograd.core.linear import Linear
from pycograd.nn.columns import convolve, convolve_input, convolve_kernel, out_size

__all__ = ["conv", "conv_input", "conv_kernel"]

# Which axis of each operand is of the images, of the groups and channels c, of the groups and o.
# A batch that two of the three share becomes part of what these two have in common: more images,
# more channels c, or more channels o in each group; one that all three have, more groups.
_COMMON = {"xz": "n", "zx": "n", "xw": "c", "wx": "c", "wz": "o", "zw": "o"}
_AXIS = {"xn": 0, "zn": 0, "xc": 1, "wc": 1, "wo": 0, "zo": 1, "xg": 1, "wg": 0, "zg": 1}
_WITHIN = frozenset({"xc", "wo", "zo"})  # of these the axis is that of the groups as well


def _take_in(v: Any, axis: int, groups: Any) -> Any:
    """The batch axis of `v` as part of another, inside each of its groups."""
    size, *shape = shape_of(v)
    apart = [*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]]
    v = np.moveaxis(np.reshape(v, (size, *apart)), 0, axis + 1)
    return np.reshape(v, (*shape[:axis], size * shape[axis], *shape[axis + 1 :]))


def _take_out(v: Any, axis: int, groups: Any, size: Any) -> Any:
    """The inverse of `_take_in`."""
    shape = shape_of(v)
    own = shape[axis] // size
    apart = (*shape[:axis], groups, size, own // groups, *shape[axis + 1 :])
    v = np.moveaxis(np.reshape(v, apart), axis + 1, 0)
    return np.reshape(v, (size, *shape[:axis], own, *shape[axis + 1 :]))


def _batch(names: str) -> Callable[..., Any]:
    """The batching rule of the map whose operands and result are `names`."""

    def batch(size: Any, values: Any, mapped: Any, **params: Any) -> Any:
        groups, out = params["groups"], names[2]
        if all(mapped):
            role, params = "g", {**params, "groups": groups * size}
        else:
            role = _COMMON[names[mapped.index(True)] + out]

        def place(name: str) -> tuple[int, Any]:
            return _AXIS[name + role], groups if name + role in _WITHIN else 1

        moved = [_take_in(v, *place(n)) if m else v for v, m, n in zip(values, mapped, names)]
        return _take_out(_MAPS[out](*moved, **params), *place(out), size)

    return batch


def _products(names: str) -> Callable[..., int]:
    """How many products the map adds up: every entry of z with every row of the kernel."""

    def products(*shapes: Any) -> int:
        of = dict(zip(names, shapes))
        return int(math.prod(of["z"]) * math.prod(of["w"][1:]))

    return products


def _conv_shape(x: Any, w: Any, stride: Any, pad: Any, dilation: Any, groups: Any) -> Any:
    out = map(out_size, x.shape[2:], w.shape[2:], stride, pad, dilation)
    return make_aval((x.shape[0], w.shape[0], *out), promote((x, w)))


conv: Linear = Linear(
    "conv",
    convolve,
    operands=("x", "w"),
    transposes={
        "x": lambda ct, x, w, **params: conv_input(ct, w, sizes=x.shape[2:], **params),
        "w": lambda ct, x, w, **params: conv_kernel(x, ct, taps=w.shape[2:], **params),
    },
    joint=False,
    conjugate=True,
    shape=_conv_shape,
    batch=_batch("xwz"),
    cost="contraction",
)
conv_input: Linear = Linear(
    "conv_input",
    convolve_input,
    operands=("z", "w"),
    transposes={
        "z": lambda ct, w, stride, pad, dilation, groups: conv(
            ct, w, stride=stride, pad=pad, dilation=dilation, groups=groups
        ),
        "w": lambda ct, z, w, stride, pad, dilation, groups: conv_kernel(
            ct, z, taps=w.shape[2:], stride=stride, pad=pad, dilation=dilation, groups=groups
        ),
    },
    joint=False,
    conjugate=True,
    shape=lambda z, w, sizes, groups, **params: make_aval(
        (z.shape[0], w.shape[1] * groups, *sizes), promote((z, w))
    ),
    batch=_batch("zwx"),
    cost="contraction",
)
conv_kernel: Linear = Linear(
    "conv_kernel",
    convolve_kernel,
    operands=("x", "z"),
    transposes={
        "x": lambda ct, x, z, stride, pad, dilation, groups: conv_input(
            z, ct, sizes=x.shape[2:], stride=stride, pad=pad, dilation=dilation, groups=groups
        ),
        "z": lambda ct, x, stride, pad, dilation, groups: conv(
            x, ct, stride=stride, pad=pad, dilation=dilation, groups=groups
        ),
    },
    joint=False,
    conjugate=True,
    shape=lambda x, z, taps, groups, **params: make_aval(
        (z.shape[1], x.shape[1] // groups, *taps), promote((x, z))
    ),
    batch=_batch("xzw"),
    cost="contraction",
)
_MAPS = {"z": conv, "x": conv_input, "w": conv_kernel}
for _map, _names in ((conv, "xwz"), (conv_input, "zwx"), (conv_kernel, "xzw")):
    _map.fresh, _map.products = True, _products(_names)
