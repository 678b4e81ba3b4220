"""Convolutions in chunks are those of the whole signal, to the last bit.

The entries are small whole numbers, so that sums are exact in whatever order they are taken.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.transforms.batch import vmap
from pycograd.transforms.control import scan
from pycograd.transforms.reverse import grad
from pycograd.transforms.shapes import eval_shape


def whole_numbers(rng, *shape):
    return rng.integers(-4, 5, shape).astype(float)


def in_chunks(step, x, lengths, state):
    """The joined results of a signal cut into `lengths`, and the last state."""
    assert sum(lengths) == x.shape[-1]
    made, start = [], 0
    for n in lengths:
        y, state = step(x[..., start : start + n], state)
        made.append(y)
        start += n
    return np.concatenate(made, -1), state


CUTS = [(12,), (6, 6), (1,) * 12, (5, 1, 0, 6), (2, 4, 6)]
KERNELS = [  # taps, stride, dilation, groups
    (3, 1, 1, 1),
    (3, 1, 2, 2),
    (4, 3, 1, 1),
    (2, 2, 2, 2),
    (1, 1, 1, 1),
]


@pytest.mark.parametrize("lengths", CUTS)
@pytest.mark.parametrize(("taps", "stride", "dilation", "groups"), KERNELS)
def test_chunks_of_a_convolution(lengths, taps, stride, dilation, groups, rng):
    x, b = whole_numbers(rng, 2, 4, 12), whole_numbers(rng, 6)
    w = whole_numbers(rng, 6, 4 // groups, taps)
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    step = lambda x, state: nn.streaming_conv1d(x, w, b, state, **options)
    state = nn.streaming_conv1d_init(w, 2, dilation, groups)
    causal, state = in_chunks(step, x, lengths, state)
    np.testing.assert_array_equal(causal, nn.causal_conv1d(x, w, b, **options))
    assert state.shape[:2] == (2, 4)
    valid, _ = in_chunks(step, x, lengths, None)
    np.testing.assert_array_equal(valid, nn.conv1d(x, w, b, **options))


@pytest.mark.parametrize("lengths", CUTS)
@pytest.mark.parametrize("pad", [0, (1, 0), "same"])
def test_chunks_of_images(lengths, pad, rng):
    x, w, b = whole_numbers(rng, 1, 2, 5, 12), whole_numbers(rng, 3, 2, 2, 3), np.arange(3.0)
    options = {"stride": (2, 1), "dilation": (1, 2)}
    step = lambda x, state: nn.streaming_conv2d(x, w, b, state, pad=pad, **options)
    high = pad if isinstance(pad, str) else (pad, pad) if isinstance(pad, int) else pad
    causal, _ = in_chunks(step, x, lengths, nn.streaming_conv2d_init(w, 5, dilation=(1, 2)))
    np.testing.assert_array_equal(causal, nn.conv2d(x, w, b, pad=(high, (4, 0)), **options))
    valid, _ = in_chunks(step, x, lengths, None)
    np.testing.assert_array_equal(valid, nn.conv2d(x, w, b, pad=(high, 0), **options))


@pytest.mark.parametrize("lengths", CUTS)
@pytest.mark.parametrize(("taps", "stride", "dilation", "groups"), [*KERNELS, (2, 3, 1, 1)])
def test_chunks_of_a_transposed_convolution(lengths, taps, stride, dilation, groups, rng):
    if 0 in lengths and dilation * (taps - 1) + 1 <= stride:
        lengths = (5, 1, 6)  # a chunk without entries has no results there
    x, b = whole_numbers(rng, 2, 4, 12), whole_numbers(rng, 3 * groups)
    w = whole_numbers(rng, 4, 3, taps)
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    step = lambda x, state: nn.streaming_conv_transpose1d(x, w, b, state, **options)
    reach = dilation * (taps - 1) + 1
    expected = nn.conv_transpose1d(x, w, **options, output_padding=max(stride - reach, 0))
    for state in (None, nn.streaming_conv_transpose1d_init(w, 2, **options)):
        y, state = in_chunks(step, x, lengths, state)
        np.testing.assert_array_equal(y, expected[..., : 12 * stride] + b[:, None])
        np.testing.assert_array_equal(state, expected[..., 12 * stride :])


@pytest.mark.parametrize("lengths", [(12,), (5, 1, 6)])
def test_chunks_of_a_transposed_convolution_of_images(lengths, rng):
    x, w, b = whole_numbers(rng, 1, 2, 3, 12), whole_numbers(rng, 2, 3, 4, 5), np.arange(3.0)
    step = lambda x, state: nn.streaming_conv_transpose2d(
        x, w, b, state, stride=(3, 2), pad=(1, 2), output_padding=2
    )
    expected = nn.conv_transpose2d(x, w, stride=(3, 2), pad=((1, 2), 0), output_padding=(2, 0))
    options = {"stride": (3, 2), "pad": (1, 2), "output_padding": 2}
    for state in (None, nn.streaming_conv_transpose2d_init(w, 3, **options)):
        y, state = in_chunks(step, x, lengths, state)
        np.testing.assert_array_equal(y, expected[..., :24] + b[:, None, None])
        np.testing.assert_array_equal(state, expected[..., 24:])


def test_states_keep_their_shape_over_whole_strides(rng):
    x, w = whole_numbers(rng, 1, 2, 12), whole_numbers(rng, 3, 2, 2)
    state = nn.streaming_conv1d_init(w)
    for n in (4, 8):
        y, new = nn.streaming_conv1d(x[..., :n], w, state=state, stride=4)
        assert y.shape[-1] == n // 4
        assert new.shape == state.shape


def test_a_stride_longer_than_the_kernel_wants_whole_strides(rng):
    x, w = whole_numbers(rng, 1, 2, 12), whole_numbers(rng, 3, 2, 2)
    step = lambda x, state: nn.streaming_conv1d(x, w, state=state, stride=3)
    y, _ = in_chunks(step, x, (3, 9), nn.streaming_conv1d_init(w))
    np.testing.assert_array_equal(y, nn.causal_conv1d(x, w, stride=3))
    y, _ = in_chunks(step, x, (6, 6), None)
    np.testing.assert_array_equal(y, nn.conv1d(x, w, stride=3))
    with pytest.raises(ShapeError, match="give chunks of a multiple of 3"):
        in_chunks(step, x, (4, 8), nn.streaming_conv1d_init(w))


def test_scan_over_chunks_and_its_gradient(rng):
    x, w, v = whole_numbers(rng, 1, 2, 12), whole_numbers(rng, 4, 2, 3), whole_numbers(rng, 4, 2, 3)
    chunks = np.moveaxis(x.reshape(1, 2, 4, 3), 2, 0)

    def streamed(w, v):
        def step(carry, chunk):
            y, first = nn.streaming_conv1d(chunk, w, state=carry[0])
            z, second = nn.streaming_conv_transpose1d(np.tanh(y), v, state=carry[1], stride=2)
            return (first, second), z

        start = nn.streaming_conv1d_init(w), nn.streaming_conv_transpose1d_init(v, stride=2)
        return np.sum(np.square(scan(step, start, chunks)[1]))

    def at_once(w, v):
        y = nn.conv_transpose1d(np.tanh(nn.causal_conv1d(x, w)), v, stride=2)
        return np.sum(np.square(y[..., :24]))

    np.testing.assert_allclose(streamed(w, v), at_once(w, v))
    for found, expected in zip(grad(streamed)(w, v), grad(at_once)(w, v)):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_under_vmap_and_with_symbolic_lengths(rng):
    x, w = whole_numbers(rng, 3, 1, 2, 6), whole_numbers(rng, 4, 2, 3)
    state = whole_numbers(rng, 3, 1, 2, 2)
    step = lambda x, state: nn.streaming_conv1d(x, w, state=state)
    y, new = vmap(step)(x, state)
    for i in range(3):
        np.testing.assert_array_equal(y[i], step(x[i], state[i])[0])
        np.testing.assert_array_equal(new[i], step(x[i], state[i])[1])
    y, new = eval_shape(step, ShapeDtypeStruct((1, 2, "L")), nn.streaming_conv1d_init(w))
    assert (repr(y), repr(new)) == ("f64[1,4,L]", "f64[1,2,2]")


def test_dtypes_of_states(rng):
    w = whole_numbers(rng, 4, 2, 3).astype(np.float32)
    inits = [
        nn.streaming_conv1d_init(w),
        nn.streaming_conv_transpose1d_init(w),
        nn.streaming_conv2d_init(w[..., None, :], 1),
        nn.streaming_conv_transpose2d_init(w[..., None, :], 1),
    ]
    assert {s.dtype for s in inits} == {np.dtype(np.float32)}
    assert nn.streaming_conv1d_init(w, dtype="c64").dtype == np.complex64
    y, state = nn.streaming_conv1d(np.ones((1, 2, 3), np.float32), w, state=inits[0])
    assert y.dtype == state.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, w: nn.streaming_conv1d(x, w, state=np.ones((2, 2, 2))), r"shape \(2, 2, 2\)"),
        (lambda x, w: nn.streaming_conv1d(x, w, state=np.ones((1, 2))), "streaming_conv1d_init"),
        (
            lambda x, w: nn.streaming_conv_transpose1d(x, w, state=np.ones((1, 4, 3))),
            r"shape \(1, 4, 3\) where \(1, 2, 2\)",
        ),
        (lambda x, w: nn.streaming_conv1d(x, w[:, :1]), "streaming_conv1d: incompatible shapes"),
        (lambda x, w: nn.streaming_conv1d(x[0], w), r"x is \(N, C, L\)"),
        (lambda x, w: nn.streaming_conv1d_init(w[0]), "w has 3 axes"),
    ],
)
def test_what_does_not_fit_is_said(call, words):
    with pytest.raises(ShapeError, match=words):
        call(np.ones((1, 2, 5)), np.ones((2, 2, 3)))


def test_every_cut_gives_the_same(rng):
    x, w = whole_numbers(rng, 1, 1, 6), whole_numbers(rng, 1, 1, 3)
    step = lambda x, state: nn.streaming_conv1d(x, w, state=state, stride=2)
    expected = nn.causal_conv1d(x, w, stride=2)
    for cuts in itertools.product((False, True), repeat=5):
        ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [6]
        lengths = np.diff([0, *ends])
        y, _ = in_chunks(step, x, lengths, nn.streaming_conv1d_init(w))
        np.testing.assert_array_equal(y, expected)
