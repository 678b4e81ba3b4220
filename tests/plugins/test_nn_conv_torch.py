"""Convolutions, pooling and upsampling against PyTorch's own, with gradients and their gradients;
and the operations that each framework is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pycograd as pg
from pycograd import nn
from pycograd.transforms.capture import capture
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad, vjp

torch = pytest.importorskip("torch")
F = torch.nn.functional

CONVS = {
    1: (nn.conv1d, F.conv1d),
    2: (nn.conv2d, F.conv2d),
    3: (nn.conv3d, F.conv3d),
}
TRANSPOSED = {
    1: (nn.conv_transpose1d, F.conv_transpose1d),
    2: (nn.conv_transpose2d, F.conv_transpose2d),
}
NAMES = {"pad": "padding"}  # ours -> torch's


def compare(ours: Any, theirs: Any, *arrays: Any) -> None:
    """Values, gradients, tangents, and gradients of gradients."""
    leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    y = theirs(*leaves)
    close = {"rtol": 1e-10, "atol": 1e-11}
    value, pull = vjp(ours, *arrays)
    np.testing.assert_allclose(value, y.detach().numpy(), **close)
    ct = np.cos(np.arange(y.numel())).reshape(y.shape)
    slopes = torch.autograd.grad(y, leaves, torch.tensor(ct), create_graph=True)
    for found, wanted in zip(pull(ct), slopes, strict=True):
        np.testing.assert_allclose(found, wanted.detach().numpy(), **close)
    along = [np.sin(np.arange(x.size)).reshape(x.shape) for x in arrays]
    moved = jvp(ours, arrays, along)[1]
    rate = sum(np.sum(s.detach().numpy() * v) for s, v in zip(slopes, along))
    np.testing.assert_allclose(np.sum(moved * ct), rate, rtol=1e-9)
    if len(arrays) > 1:
        total = sum(s.square().sum() for s in slopes)
        bends = torch.autograd.grad(total, leaves, materialize_grads=True)
        squares = lambda *xs: sum(np.sum(np.square(s)) for s in vjp(ours, *xs)[1](ct))
        found = grad(squares, argnums=tuple(range(len(arrays))))(*arrays)
        for a, b in zip(found, bends, strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "pad": 1},
        {"stride": 3, "dilation": 2, "pad": 2},
        {"dilation": 2, "groups": 2},
        {"pad": "same", "groups": 4},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_convolutions(rank: int, options: dict[str, Any], rng: Any) -> None:
    ours, theirs = CONVS[rank]
    groups = options.get("groups", 1)
    x = rng.standard_normal((2, 4, *(7, 6, 5)[:rank]))
    w = rng.standard_normal((8, 4 // groups, *(3, 2, 2)[:rank]))
    b = rng.standard_normal(8)
    named = {NAMES.get(k, k): v for k, v in options.items()}
    compare(
        lambda x, w, b: ours(x, w, b, **options), lambda x, w, b: theirs(x, w, b, **named), x, w, b
    )


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "pad": 1, "output_padding": 1},
        {"stride": 3, "dilation": 2, "pad": 2},
        {"dilation": 3, "groups": 2, "output_padding": 2},
    ],
    ids=str,
)
def test_transposed_convolutions(rank: int, options: dict[str, Any], rng: Any) -> None:
    ours, theirs = TRANSPOSED[rank]
    x = rng.standard_normal((2, 4, *(5, 4)[:rank]))
    w = rng.standard_normal((4, 3, *(3, 2)[:rank]))
    b = rng.standard_normal(3 * options.get("groups", 1))
    named = {NAMES.get(k, k): v for k, v in options.items()}
    compare(
        lambda x, w, b: ours(x, w, b, **options), lambda x, w, b: theirs(x, w, b, **named), x, w, b
    )


@pytest.mark.parametrize(
    "options",
    [
        {"k": 2},
        {"k": 3, "stride": 1},
        {"k": 3, "stride": 2, "pad": 1},
        {"k": (2, 3), "pad": (0, 1)},
    ],
    ids=str,
)
def test_pooling(options: dict[str, Any], rng: Any) -> None:
    x = rng.permutation(np.arange(84.0)).reshape(1, 2, 6, 7)
    args = options["k"], options.get("stride"), options.get("pad", 0)
    compare(lambda x: nn.max_pool2d(x, **options), lambda x: F.max_pool2d(x, *args), x)
    compare(lambda x: nn.avg_pool2d(x, **options), lambda x: F.avg_pool2d(x, *args), x)


def test_upsampling(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 4, 5))
    compare(
        lambda x: nn.upsample_nearest2d(x, (2, 3)),
        lambda x: F.interpolate(x, scale_factor=(2.0, 3.0), mode="nearest"),
        x,
    )


def test_complex_convolutions(rng: Any) -> None:
    x, w = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((2, 4, 6), (6, 2, 3)))
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, w)]
    y = F.conv1d(*leaves, stride=2, padding=1, groups=2)
    value, pull = vjp(lambda x, w: nn.conv1d(x, w, stride=2, pad=1, groups=2), x, w)
    np.testing.assert_allclose(value, y.detach().numpy(), rtol=1e-12)
    ct = rng.standard_normal(y.shape) * (1 + 2j)
    for found, wanted in zip(pull(ct), torch.autograd.grad(y, leaves, torch.tensor(ct))):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_narrow_floats(dtype: str, rng: Any) -> None:
    x, w = (rng.standard_normal(s).astype(dtype) for s in ((2, 3, 8, 8), (4, 3, 3, 3)))
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, w)]
    y = F.conv2d(*leaves, padding=1)
    value, pull = vjp(lambda x, w: nn.conv2d(x, w, pad=1), x, w)
    rtol = 20 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(value, y.detach().numpy(), rtol=rtol, atol=20 * rtol)
    ct = np.ones(y.shape, dtype)
    for found, wanted in zip(pull(ct), torch.autograd.grad(y, leaves, torch.tensor(ct))):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted.numpy(), rtol=rtol, atol=20 * rtol)


# -- what the frameworks are given -----------------------------------------------------------------
def net(p: Any, x: Any) -> Any:
    """A small network with every kind of layer."""
    x = nn.max_pool2d(nn.relu(nn.conv2d(x, p["w"], p["b"], pad="same")), 2)
    x = nn.conv_transpose2d(nn.avg_pool2d(x, 3, 2, 1), p["v"], stride=2)
    return np.mean(nn.upsample_nearest2d(np.tanh(x), 2), (2, 3))


def arguments(rng: Any) -> Any:
    shapes = {"w": (6, 3, 3, 3), "b": (6,), "v": (6, 2, 2, 2)}
    return {k: rng.standard_normal(s) for k, s in shapes.items()}, rng.standard_normal((4, 3, 8, 8))


def test_a_graph_has_each_as_one_operation(rng: Any) -> None:
    names = [e.primitive.name for e in capture(net, *arguments(rng)).equations]
    wanted = ["conv", "relu", "max_pool", "sum_pool", "conv_input", "tanh", "spread"]
    assert [n for n in names if n in wanted] == wanted


def test_a_network_compiled_and_its_gradients(rng: Any) -> None:
    p, x = arguments(rng)
    loss = lambda p, x: np.sum(np.square(net(p, x)))
    expected, ours = value_and_grad(loss, argnums=0)(p, x)
    run = pg.compile_to(value_and_grad(loss, argnums=0), "torch")
    value, found = run({k: torch.tensor(v) for k, v in p.items()}, torch.tensor(x))
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    for name in p:
        np.testing.assert_allclose(found[name], ours[name], rtol=1e-9, atol=1e-12)


def test_the_operators_of_an_onnx_file(tmp_path: Any, rng: Any) -> None:
    onnx = pytest.importorskip("onnx")
    from pycograd_onnx.exporter import export_onnx

    p, x = arguments(rng)
    path = tmp_path / "net.onnx"
    export_onnx(lambda x: net(p, x), (x,), path)
    found = {n.op_type for n in onnx.load(path).graph.node}
    assert {"Conv", "MaxPool", "AveragePool", "ConvTranspose", "Resize"} <= found


def test_a_symbolic_batch_in_an_onnx_file(tmp_path: Any, rng: Any) -> None:
    onnx = pytest.importorskip("onnx")
    ort = pytest.importorskip("onnxruntime")
    from pycograd_onnx.exporter import export_onnx

    p, x = arguments(rng)
    path = tmp_path / "net.onnx"
    export_onnx(lambda x: net(p, x), (pg.ShapeDtypeStruct(("B", 3, 8, 8)),), path)
    assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "B"
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})
    np.testing.assert_allclose(found, net(p, x), rtol=1e-4, atol=1e-5)
