"""Convolutions against the sums that define them and against scipy, and what they refuse."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.dims import Dim
from pycograd.core.errors import ArgumentError, ShapeError, SymbolicSizeError
from pycograd.core.primitive import REGISTRY
from pycograd.graph import cost_report, jit
from pycograd.nn import columns
from pycograd.nn.convolution import conv, conv_input, conv_kernel
from pycograd.transforms.batch import vmap
from pycograd.transforms.capture import capture
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

CONVS = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}


def by_definition(x, w, stride, pad, dilation, groups):
    """The sums as they are written down, one product at a time."""
    rank = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *pad])
    places = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation)
    ]
    made = np.zeros((len(x), len(w), *places), np.result_type(x, w))
    inputs, outputs = w.shape[1], w.shape[0] // groups
    for o, j, t in itertools.product(range(len(w)), np.ndindex(*places), np.ndindex(*w.shape[2:])):
        at = tuple([j[a] * stride[a] + t[a] * dilation[a] for a in range(rank)])
        first = o // outputs * inputs
        for c in range(inputs):
            made[(slice(None), o, *j)] += x[(slice(None), first + c, *at)] * w[(o, c, *t)]
    return made


CASES = [  # rank, stride, pad, dilation, groups
    *[
        (1, (stride,), pad, (dilation,), groups)
        for stride in (1, 2, 3)
        for pad in (((0, 0),), ((2, 1),))
        for dilation in (1, 2)
        for groups in (1, 2)
    ],
    *[
        (2, stride, pad, dilation, groups)
        for stride in ((1, 1), (1, 2), (2, 1))
        for pad in (((0, 0), (0, 0)), ((1, 2), (3, 0)))
        for dilation in ((1, 1), (2, 1))
        for groups in (1, 2)
    ],
    (3, (1, 1, 1), ((1, 0), (0, 1), (1, 1)), (1, 2, 1), 1),
    (3, (2, 1, 2), ((0, 0), (1, 0), (0, 1)), (1, 1, 1), 2),
]


@pytest.mark.parametrize(("rank", "stride", "pad", "dilation", "groups"), CASES)
@pytest.mark.parametrize("channels", [2, 16])  # on either side of the choice of the scheme
def test_convolutions_and_their_transposes_are_the_sums(
    rank, stride, pad, dilation, groups, channels, rng
):
    sizes, taps = (7, 6, 5)[:rank], (3, 2, 2)[:rank]
    x = rng.standard_normal((2, channels, *sizes))
    w = rng.standard_normal((4, channels // groups, *taps))
    options = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
    expected = by_definition(x, w, **options)
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(CONVS[rank](x, w, **options), expected, **close)
    # <z, conv(x, w)> is linear in each of the three: the transposes give the same number.
    z = rng.standard_normal(expected.shape)
    total = np.vdot(z, expected)
    assert math.isclose(np.vdot(x, conv_input(z, w, sizes=sizes, **options)), total, rel_tol=1e-10)
    assert math.isclose(np.vdot(w, conv_kernel(x, z, taps=taps, **options)), total, rel_tol=1e-10)
    # and they are linear maps of z, whose rows are found one at a time
    one = np.zeros_like(z)
    one[(1, 3, *(0,) * rank)] = 1.0
    pull = vjp(lambda x, w: conv(x, w, **options), x, w)[1]
    entry = lambda x, w: by_definition(x, w, **options)[(1, 3, *(0,) * rank)]
    ct_x, ct_w = pull(one)
    dx, dw = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
    assert math.isclose(np.vdot(ct_x, dx), entry(dx, w), rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(np.vdot(ct_w, dw), entry(x, dw), rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_channel_is_the_correlation_of_scipy(rank, rng):
    signal = pytest.importorskip("scipy.signal")
    x, w = rng.standard_normal((8, 7, 6)[:rank]), rng.standard_normal((3, 4, 2)[:rank])
    expected = signal.correlate(x, w, "valid")
    np.testing.assert_allclose(CONVS[rank](x[None, None], w[None, None])[0, 0], expected)
    full = signal.correlate(x, w, "full")
    pad = [(n - 1, n - 1) for n in w.shape]
    np.testing.assert_allclose(CONVS[rank](x[None, None], w[None, None], pad=pad)[0, 0], full)


def test_complex_kernels_are_not_conjugated(rng):
    x = rng.standard_normal((1, 2, 5)) + 1j * rng.standard_normal((1, 2, 5))
    w = rng.standard_normal((3, 2, 2)) + 1j * rng.standard_normal((3, 2, 2))
    parts = [
        (1 if a is b else 1j) * f
        for a, b, f in [
            (0, 0, nn.conv1d(x.real, w.real) - nn.conv1d(x.imag, w.imag)),
            (0, 1, nn.conv1d(x.real, w.imag) + nn.conv1d(x.imag, w.real)),
        ]
    ]
    np.testing.assert_allclose(nn.conv1d(x, w), parts[0] + parts[1])


@pytest.mark.parametrize("n", [5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("taps", [1, 2, 3, 4])
def test_same_is_one_place_for_each_stride(n, stride, taps, rng):
    x, w = rng.standard_normal((1, 1, n)), rng.standard_normal((1, 1, taps))
    y = nn.conv1d(x, w, stride=stride, pad="same", dilation=2)
    assert y.shape == (1, 1, -(-n // stride))
    # as few zeros as do, as many in front as behind or one less: nothing else has these results
    reach = 2 * (taps - 1) + 1
    zeros = max(0, (-(-n // stride) - 1) * stride + reach - n)
    by_hand = nn.conv1d(x, w, stride=stride, pad=(zeros // 2, -(-zeros // 2)), dilation=2)
    np.testing.assert_array_equal(y, by_hand)


def test_a_pad_for_each_axis(rng):
    x, w = rng.standard_normal((1, 1, 4, 5)), rng.standard_normal((1, 1, 3, 2))
    expected = nn.conv2d(np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 1)]), w)
    for pad in (("same", (0, 1)), ((1, 1), "same"), [[1, 1], [0, 1]], "same"):
        np.testing.assert_array_equal(nn.conv2d(x, w, pad=pad), expected)
    np.testing.assert_array_equal(
        nn.conv2d(x, w, pad=(2, 1)), nn.conv2d(x, w, pad=((2, 2), (1, 1)))
    )


def test_bias_and_its_gradient(rng):
    x, w, b = (rng.standard_normal(s) for s in ((2, 3, 4, 4), (5, 3, 2, 2), 5))
    y = nn.conv2d(x, w, b)
    np.testing.assert_allclose(y, nn.conv2d(x, w) + b[:, None, None])
    (found,) = grad(lambda b: np.sum(nn.conv2d(x, w, b) ** 2))(b)
    np.testing.assert_allclose(found, np.sum(2 * y, (0, 2, 3)))


def test_causal_results_depend_on_nothing_later(rng):
    x, w = rng.standard_normal((1, 2, 8)), rng.standard_normal((3, 2, 3))
    y = nn.causal_conv1d(x, w, dilation=2)
    assert y.shape == (1, 3, 8)
    for n in range(1, 8):
        np.testing.assert_allclose(nn.causal_conv1d(x[..., :n], w, dilation=2), y[..., :n])
    np.testing.assert_allclose(nn.causal_conv1d(x, w, stride=3), nn.causal_conv1d(x, w)[..., ::3])


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolutions_add_copies_of_the_kernel(groups, stride, rng):
    x, w = rng.standard_normal((2, 4, 3, 2)), rng.standard_normal((4, 3, 2, 3))
    expected = np.zeros((2, 3 * groups, 3 * stride + 2, 2 * stride + 3))
    for c, i, j in itertools.product(range(4), range(3), range(2)):
        g = c // (4 // groups)
        at = np.s_[:, 3 * g : 3 * g + 3, i * stride : i * stride + 2, j * stride : j * stride + 3]
        expected[at] += x[:, c, i, j][:, None, None, None] * w[c]
    options = {"stride": stride, "groups": groups}
    end = (2 * stride + 2, stride + 3)  # without output_padding
    np.testing.assert_allclose(
        nn.conv_transpose2d(x, w, **options), expected[..., : end[0], : end[1]]
    )
    found = nn.conv_transpose2d(x, w, pad=(1, (0, 1)), output_padding=(2, 1), **options)
    np.testing.assert_allclose(found, expected[..., 1 : end[0] + 1, : end[1]])


def test_transposed_convolutions_with_dilation_and_bias(rng):
    x, w, b = (rng.standard_normal(s) for s in ((1, 2, 4), (2, 3, 2), 3))
    spread = np.zeros((2, 3, 3))
    spread[..., ::2] = w
    np.testing.assert_allclose(
        nn.conv_transpose1d(x, w, b, dilation=2), nn.conv_transpose1d(x, spread) + b[:, None]
    )


# -- dtypes, sizes, batches ------------------------------------------------------------------------
def test_half_precision_is_summed_in_single(rng):
    x = np.full((1, 1, 4096), 1.0, np.float16)
    y = nn.conv1d(x, np.ones((1, 1, 4096), np.float16))
    assert y.dtype == np.float16
    assert y[0, 0, 0] == 4096


def test_no_images_and_no_channels():
    w = np.ones((4, 3, 2, 2))
    y, pull = vjp(nn.conv2d, np.ones((0, 3, 5, 5)), w)
    assert y.shape == (0, 4, 4, 4)
    np.testing.assert_array_equal(pull(y)[1], np.zeros_like(w))
    assert pull(y)[0].shape == (0, 3, 5, 5)
    nothing = nn.conv1d(np.ones((1, 0, 3)), np.ones((2, 0, 2)))
    np.testing.assert_array_equal(nothing, np.zeros((1, 2, 2)))


def test_operands_in_any_layout(rng):
    x, w = rng.standard_normal((5, 6, 3, 2)).T, np.asfortranarray(rng.standard_normal((4, 3, 2, 2)))
    close = {"rtol": 1e-12, "atol": 1e-12}
    for options in ({}, {"stride": 2}, {"pad": 1}):
        expected = nn.conv2d(np.ascontiguousarray(x), np.ascontiguousarray(w), **options)
        np.testing.assert_allclose(nn.conv2d(x, w, **options), expected, **close)


@pytest.mark.parametrize("channels", [2, 8])  # of 8, the taps of the first axis are apart
@pytest.mark.parametrize(
    "options", [{"pad": 1}, {"stride": 2, "pad": 2}, {"pad": ((0, 2), 1), "dilation": 2}, {}]
)
def test_pieces_of_images_are_all_of_them(options, channels, rng, monkeypatch):
    x, w = rng.standard_normal((5, channels, 9, 5)), rng.standard_normal((3, channels, 3, 3))
    if not options:
        w = w[..., :1]  # where nothing is unfolded
    run = lambda: vjp(lambda x, w: nn.conv2d(x, w, **options), x, w)
    y, pull = run()
    whole = (y, *pull(y))
    for block, most in ((1, 1 << 24), (20000, 1 << 24), (1, 1), (1, 3000), (20000, 9000)):
        monkeypatch.setattr(columns, "_BLOCK", block)
        monkeypatch.setattr(columns, "_MOST", most)
        y, pull = run()
        for a, b in zip((y, *pull(y)), whole, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_symbolic_sizes():
    x, w = (
        ShapeDtypeStruct(("B", 3, "H", "H"), "float32"),
        ShapeDtypeStruct((8, 3, 3, 3), "float32"),
    )
    same = eval_shape(lambda x, w: nn.conv2d(x, w, pad="same"), x, w)
    assert repr(same) == "f32[B,8,H,H]"
    strided = eval_shape(lambda x, w: nn.conv2d(x, w, stride=2), x, w)
    assert strided.shape[2] == (Dim.of("H") + -3) // 2 + 1
    gradient = eval_shape(grad(lambda x, w: np.sum(nn.conv2d(x, w))), x, w)
    assert repr(gradient) == "(f32[B,3,H,H], f32[8,3,3,3])"
    with pytest.raises(SymbolicSizeError, match="pad='same' with a stride"):
        eval_shape(lambda x, w: nn.conv2d(x, w, stride=2, pad="same"), x, w)
    assert repr(eval_shape(nn.conv_transpose2d, x, ShapeDtypeStruct((3, 2, 2, 2)))).startswith(
        "f64[B,2,"
    )


def test_graphs_of_symbolic_sizes_run_for_any(rng):
    w = rng.standard_normal((4, 3, 2))
    loss = lambda x: np.sum(np.tanh(nn.conv1d(x, w, stride=2, pad=1)))
    graph = capture(grad(loss), ShapeDtypeStruct(("B", 3, "L")))
    for shape in ((2, 3, 5), (1, 3, 8)):
        x = rng.standard_normal(shape)
        np.testing.assert_allclose(graph(x)[0], grad(loss)(x)[0])


def test_per_example_gradients_of_a_kernel(rng):
    x, w = rng.standard_normal((6, 1, 3, 5, 5)), rng.standard_normal((4, 3, 3, 3))
    loss = lambda w, x: np.sum(np.tanh(nn.conv2d(x, w, pad=1)))
    (found,) = vmap(grad(loss, argnums=(0,)), (None, 0))(w, x)
    np.testing.assert_allclose(found, [grad(loss)(w, each)[0] for each in x], rtol=1e-10)


def test_jit_keeps_the_convolutions(rng):
    x, w = rng.standard_normal((2, 3, 6, 6)), rng.standard_normal((4, 3, 3, 3))
    step = grad(lambda w: np.sum(np.square(nn.conv2d(x, w))))
    np.testing.assert_allclose(jit(step)(w)[0], step(w)[0], rtol=1e-12)


def test_what_a_graph_costs(rng):
    x, w = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((6, 2, 3, 2))
    graph = capture(grad(lambda x, w: np.sum(nn.conv2d(x, w, groups=2)), argnums=(0, 1)), x, w)
    costs = [
        r.flops for r in cost_report(graph).rows if r.equation.split(" = ")[1].startswith("conv")
    ]
    # a multiplication and an addition for every place, channel, row of the kernel and map
    assert costs and set(costs) == {2 * (2 * 6 * 3 * 5) * (2 * 3 * 2)}


# -- errors ----------------------------------------------------------------------------------------
X, W = np.ones((1, 4, 5, 5)), np.ones((6, 4, 3, 3))


BOTH = r"\(1, 4, 5, 5\) and \(6, 2, 3, 3\) with groups=1: "
CHANNELS = "x has 4 channels, w is for 2"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: nn.conv2d(X, W[:, :2]),
            BOTH + CHANNELS,
        ),
        (lambda: nn.conv2d(X, W[:5, :2], groups=2), "groups=2 does not divide the 5 channels of"),
        (lambda: nn.conv2d(X[0], W), r"x is \(N, C, H, W\), not .*: for one image write x\[None\]"),
        (lambda: nn.conv2d(X[0, 0], W), r"x is \(N, C, H, W\), not of shape \(5, 5\)"),
        (lambda: nn.conv2d(X, W[0]), r"w has 4 axes.*\(4, 3, 3\)"),
        (lambda: nn.conv2d(X, W[..., :0]), "no taps"),
        (lambda: nn.conv2d(X[..., :2], W), "kernel is larger than the padded images.*pad='same'"),
        (lambda: nn.conv2d(X, W, np.ones(5)), r"b has shape \(5,\), not \(6,\)"),
        (lambda: nn.conv2d(X, W, np.ones((6, 1, 1))), r"b has shape \(6, 1, 1\), not \(6,\)"),
        (lambda: nn.conv_transpose2d(X, W[:2]), "conv_transpose2d: incompatible.*" + CHANNELS),
        (lambda: nn.conv_transpose2d(X, W[:4], groups=3), "groups=3 does not divide the 4 .* of x"),
        (lambda: nn.conv_transpose2d(X, W[:4], pad=9), "smaller pad"),
        (lambda: nn.causal_conv1d(X[0], W[0, :, :, :2]), "causal_conv1d: incompatible shapes"),
    ],
)
def test_shapes_that_do_not_fit(call, words):
    with pytest.raises(ShapeError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.conv2d(X, W, stride=0), "stride is at least 1"),
        (
            lambda: nn.conv2d(X, W, stride=(1, 2, 3)),
            r"an int, or one for each of the 2",
        ),
        (lambda: nn.conv2d(X, W, pad=-1), "pad is 'same', an int"),
        (lambda: nn.conv2d(X, W, pad="valid"), "pad is 'same', an int.*'valid'"),
        (lambda: nn.conv2d(X, W, pad=((1, 2, 3), 1)), "pad is"),
        (lambda: nn.conv2d(X, W, pad=("same", "same", "same")), "each of the 2 spatial axes"),
        (lambda: nn.conv1d(X[0], W[0], groups=0), "groups is at least 1"),
        (lambda: nn.conv_transpose2d(X, W[:4], pad="same"), "output_padding"),
        (lambda: nn.conv_transpose2d(X, W[:4], output_padding=-1), "output_padding is at least 0"),
    ],
)
def test_arguments_that_are_not_meaningful(call, words):
    with pytest.raises(ArgumentError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.conv2d(X.astype(int), W), r"x is of int64.*write x.astype\(np.float32\)"),
        (lambda: nn.conv2d(X, W.astype(np.uint8)), "w is of uint8"),
        (lambda: nn.conv2d(X, W, np.ones(6, bool)), "b is of bool"),
        (lambda: nn.conv2d(X, W, stride=1.5), "conv2d: stride is a whole number, not 1.5"),
    ],
)
def test_dtypes_that_are_not_meant(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_errors_name_the_line_of_the_user():
    with pytest.raises(ShapeError, match=r"test_conv\.py"):
        grad(lambda w: np.sum(nn.conv2d(X, w)))(W[:, :2])


def test_the_primitives_are_three():
    assert {n for n in REGISTRY if n.startswith("conv_") or n == "conv"} == {
        "conv", "conv_input", "conv_kernel"
    }  # fmt: skip
