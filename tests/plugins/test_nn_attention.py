"""Attention on torch, jax and TensorFlow: kernels and what it is composed of, against NumPy."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import pycograd as pg
from pycograd import nn
from results import assert_same

RNG = np.random.default_rng(0)
KEEP = RNG.random((3, 4)) < 0.6
KEEP[1] = False


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape)


def of(*front: int, d: int = 5, e: int = 5) -> tuple[Any, Any, Any]:
    return normal(*front, 3, d), normal(*front, 4, d), normal(*front, 4, e)


CASES: dict[str, tuple[Any, ...]] = {
    "two axes": of(),
    "heads": of(2, 3),
    "wider values": of(2, 3, e=7),
    "broadcast": (normal(2, 1, 2, 3, 5), normal(2, 2, 1, 4, 5), normal(1, 2, 2, 4, 5)),
    "mask": (*of(2, 3), KEEP),
    "a mask for each": (*of(2, 3), RNG.random((2, 1, 3, 4)) < 0.5),
    "a mask of keys": (*of(2), RNG.random(4) < 0.5),
    "a larger mask": (*of(), RNG.random((2, 2, 3, 4)) < 0.5),
    "nothing kept": (*of(2, 3), np.zeros((3, 4), bool)),
    "added": (*of(2, 3), normal(3, 4)),
    "added infinities": (*of(2, 3), np.where(KEEP, normal(3, 4), -np.inf)),
    "no rows": of(0, 3),
    "no keys": (normal(2, 3, 5), normal(2, 0, 5), normal(2, 0, 5)),
    "no features": of(2, d=0),
}
COMPOSED = ("heads", "mask", "nothing kept", "added infinities", "no rows")  # without a kernel
RUNS = [
    pytest.param(name, case, marks=pytest.mark.skipif(not find_spec(module), reason=f"no {name}"))
    for name, module, cases in (
        ("torch", "torch", CASES), ("jax", "jax", COMPOSED), ("tf", "tensorflow", COMPOSED)
    )
    for case in cases
]  # fmt: skip


def loss(*operands: Any, causal: bool) -> Any:
    return np.sum(np.sin(2.0 * nn.scaled_dot_product_attention(*operands, causal=causal)))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("name", "case"), RUNS)
def test_value_and_gradients(name: str, case: str, causal: bool) -> None:
    operands = CASES[case]
    mask = operands[3:]
    whole = lambda *xs: loss(*xs, causal=causal)
    masked = lambda q, k, v: loss(q, k, v, *mask, causal=causal)
    want = pg.value_and_grad(masked, argnums=(0, 1, 2))(*operands[:3])
    native = pg.value_and_grad(masked, argnums=(0, 1, 2), backend=name, jit=name != "torch")
    assert_same(native(*operands[:3]), want)
    given = pg.value_and_grad(whole, argnums=(0, 1, 2), backend=name)
    assert_same(given(*operands), want)
    with pg.device(name):
        assert_same(pg.value_and_grad(masked, argnums=(0, 1, 2))(*operands[:3]), want)
    if mask and mask[0].dtype.kind == "f":
        each = pg.value_and_grad(whole, argnums=(0, 1, 2, 3))
        found = pg.value_and_grad(whole, argnums=(0, 1, 2, 3), backend=name)
        assert_same(found(*operands), each(*operands))


def test_torch_runs_its_kernel_where_nobody_wants_the_weights() -> None:
    torch = pytest.importorskip("torch")
    from torch.profiler import ProfilerActivity, profile

    for case, names in (("heads", {True, False}), ("mask", {False}), ("added infinities", {False})):
        operands = [torch.tensor(x) for x in CASES[case]]
        for causal in names:
            f = pg.compile_to(lambda *xs, c=causal: loss(*xs, causal=c), "torch")
            f(*operands)
            with profile(activities=[ProfilerActivity.CPU]) as found:
                f(*operands)
            assert any("flash_attention" in e.key for e in found.key_averages()), (case, causal)


def test_torchs_own_transforms_of_what_has_a_kernel() -> None:
    torch = pytest.importorskip("torch")
    xs = of(2, 3)
    f = lambda *xs: loss(*xs, causal=True)
    slope = lambda *xs: sum(np.sum(g**2) for g in pg.grad(f, argnums=(0, 1, 2))(*xs))
    compiled = pg.compile_to(f, "torch")
    leaves = [torch.tensor(x, requires_grad=True) for x in xs]
    slopes = torch.autograd.grad(compiled(*leaves), leaves, create_graph=True)
    bends = torch.autograd.grad(sum((g**2).sum() for g in slopes), leaves)
    for a, b in zip(bends, pg.grad(slope, argnums=(0, 1, 2))(*xs), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-11)
    plain = [torch.tensor(x) for x in xs]
    rows = torch.func.vmap(torch.func.grad(compiled))(*plain)
    wanted = np.stack([pg.grad(f, argnums=0)(*row) for row in zip(*xs)])
    np.testing.assert_allclose(rows.numpy(), wanted, rtol=1e-9, atol=1e-12)
    _, moved = torch.func.jvp(compiled, tuple(plain), tuple(plain))
    np.testing.assert_allclose(moved.item(), pg.jvp(f, xs, xs)[1], rtol=1e-9)
    value = compiled(*leaves)  # once more, through a graph that is kept
    for _ in range(2):
        again = torch.autograd.grad(value, leaves, retain_graph=True)
        for a, b in zip(again, slopes, strict=True):
            np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_onnx_has_its_parts(tmp_path: Any) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    batch = pg.ShapeDtypeStruct(("B", 3, 5), np.float32)
    f = lambda x: nn.scaled_dot_product_attention(x, x, x, KEEP[:, :3], causal=True)
    path = pg.export_onnx(f, [batch], tmp_path / "f.onnx")
    x = normal(2, 3, 5).astype(np.float32)
    session = runtime.InferenceSession(str(path))
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, f(x), rtol=1e-5, atol=1e-6)
