"""Samples of convolutions: each of the three maps, with every parameter, over one to three axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycograd import nn
from pycograd.nn.convolution import conv_input, conv_kernel
from pycograd.testing.samples import Draw, Sample

draw = Draw("conv")


def _sample(
    f: Callable[..., Any], *shapes: tuple[int, ...], of: str = "conv", **options: Any
) -> Sample:
    return Sample(of, f, [draw.normal(*shape) for shape in shapes], **options)


_ODD = {"stride": (2, 1), "pad": ((1, 0), (-1, 2)), "dilation": (1, 2), "groups": 2}

SAMPLES = [
    _sample(nn.conv1d, (2, 3, 4), (4, 3, 2), (4,), name="conv1d"),
    _sample(
        lambda x, w: nn.conv1d(x, w, stride=2, pad=(2, 1), dilation=2, groups=2),
        (3, 2, 4),
        (4, 1, 2),
        name="conv1d, grouped",
    ),
    _sample(lambda x, w: nn.conv2d(x, w, pad="same"), (2, 1, 3, 3), (3, 1, 3, 2), name="conv2d"),
    _sample(
        lambda x, w: nn.conv2d(x, w, stride=(1, 2), pad=1, dilation=(2, 1)),
        (2, 1, 3, 4),
        (1, 1, 2, 3),
        name="conv2d, uneven",
    ),
    _sample(nn.conv2d, (2, 16, 2, 1), (1, 16, 2, 1), name="conv2d, many channels", dtypes=()),
    _sample(nn.conv2d, (2, 3, 2, 2), (4, 3, 1, 1), name="conv2d, one tap"),
    _sample(nn.conv3d, (2, 1, 2, 2, 3), (1, 1, 1, 2, 2), name="conv3d"),
    _sample(
        lambda x, w: nn.causal_conv1d(x, w, dilation=2), (2, 1, 4), (3, 1, 2), name="causal_conv1d"
    ),
    _sample(
        lambda z, w: conv_input(z, w, sizes=(4, 3), **_ODD),
        (3, 2, 2, 2),
        (2, 1, 2, 2),
        of="conv_input",
        name="uneven",
    ),
    _sample(
        lambda x, z: conv_kernel(x, z, taps=(2, 2), **_ODD),
        (2, 2, 4, 3),
        (2, 4, 2, 2),
        of="conv_kernel",
        name="uneven",
    ),
]
