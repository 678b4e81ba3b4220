"""Losses, gates, normalisation, attention and cells against PyTorch's own, with their gradients
and the gradients of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pycograd import jit, nn
from pycograd.transforms.reverse import grad

torch = pytest.importorskip("torch")
F = torch.nn.functional


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], *xs: Any) -> None:
    """Values, gradients and gradients of gradients in every argument."""
    tensors = [torch.tensor(x, requires_grad=True) for x in xs]
    y = theirs(*tensors)
    ct = np.cos(np.arange(y.numel())).reshape(y.shape)
    slopes = torch.autograd.grad(y, tensors, torch.tensor(ct), create_graph=True)
    total = sum(s.square().sum() for s in slopes)
    bends = torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)
    loss = lambda *xs: np.sum(ours(*xs) * ct)
    np.testing.assert_allclose(ours(*xs), y.detach().numpy(), rtol=1e-11, atol=1e-13)
    for g, s in zip(grad(loss)(*xs), slopes, strict=True):
        np.testing.assert_allclose(g, s.detach().numpy(), rtol=1e-9, atol=1e-12)
    squares = lambda *xs: sum(np.sum(g * g) for g in grad(loss)(*xs))
    for g, b in zip(grad(squares)(*xs), bends, strict=True):
        np.testing.assert_allclose(g, b.numpy(), rtol=1e-8, atol=1e-10)


# -- losses and gates ------------------------------------------------------------------------------
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_huber_loss(reduction: str, delta: float, rng: Any) -> None:
    options = {"reduction": reduction, "delta": delta}
    x, y = rng.standard_normal((2, 4, 3))
    compare(
        lambda x, y: nn.huber_loss(x, y, **options),
        lambda x, y: F.huber_loss(x, y, **options),
        x,
        y,
    )


@pytest.mark.parametrize(("reduction", "theirs"), [("mean", "batchmean"), ("sum", "sum")])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div(reduction: str, theirs: str, log_target: bool, rng: Any) -> None:
    logs, targets = nn.log_softmax(rng.standard_normal((2, 3, 4)))
    compare(
        lambda x, y: nn.kl_div(x, y, reduction=reduction, log_target=log_target),
        lambda x, y: F.kl_div(x, y, reduction=theirs, log_target=log_target),
        logs,
        targets if log_target else np.exp(targets),
    )


def test_gates(rng: Any) -> None:
    x, y = rng.standard_normal((2, 3, 4))
    compare(nn.gated_act, lambda x, y: torch.tanh(x) * torch.sigmoid(y), x, y)
    compare(nn.glu, F.glu, x)
    compare(lambda x: nn.glu(x, 1), lambda x: F.glu(x, 1), rng.standard_normal((2, 6, 3)))


# -- normalisation ---------------------------------------------------------------------------------
def test_rms_norm(rng: Any) -> None:
    x, gamma = rng.standard_normal((2, 3, 5)), rng.standard_normal(5)
    compare(nn.rms_norm, lambda x, g: F.rms_norm(x, (5,), g, 1e-5), x, gamma)


@pytest.mark.parametrize("behind", [(), (5,), (3, 2)])
def test_batch_norm(behind: tuple[int, ...], rng: Any) -> None:
    x, gamma, beta = rng.standard_normal((4, 6, *behind)), *rng.standard_normal((2, 6))
    mean, var = rng.standard_normal(6), rng.uniform(0.5, 2, 6)
    compare(
        lambda x, g, b: nn.batch_norm(x, g, b, mean, var)[0],
        lambda x, g, b: F.batch_norm(x, None, None, g, b, True),
        *(x, gamma, beta),
    )
    compare(
        lambda x, g, b: nn.batch_norm(x, g, b, mean, var, training=False)[0],
        lambda x, g, b: F.batch_norm(x, torch.tensor(mean), torch.tensor(var), g, b),
        *(x, gamma, beta),
    )
    theirs = torch.tensor(mean), torch.tensor(var)
    F.batch_norm(torch.tensor(x), *theirs, training=True, momentum=0.3)
    _, new_mean, new_var = nn.batch_norm(x, gamma, beta, mean, var, momentum=0.3)
    np.testing.assert_allclose(new_mean, theirs[0].numpy())
    n = x.size // 6  # of the batch's variance PyTorch keeps n / (n - 1) times as much
    np.testing.assert_allclose(
        0.7 * var + (new_var - 0.7 * var) * n / (n - 1), theirs[1].numpy(), rtol=1e-12
    )


def test_group_and_instance_norm(rng: Any) -> None:
    x, gamma, beta = rng.standard_normal((2, 6, 3, 2)), *rng.standard_normal((2, 6))
    for n in (1, 2, 6):
        compare(
            lambda x, g, b, n=n: nn.group_norm(x, g, b, n),
            lambda x, g, b, n=n: F.group_norm(x, n, g, b),
            *(x, gamma, beta),
        )
    compare(
        nn.instance_norm,
        lambda x, g, b: F.instance_norm(x, weight=g, bias=b),
        *(x, gamma, beta),
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_in_16_bits_do_not_overflow(dtype: str, rng: Any) -> None:
    x = torch.tensor(rng.standard_normal((3, 8)) * 3000).to(getattr(torch, dtype))
    ours = x.float().numpy().astype(np.dtype(dtype) if dtype == "float16" else bfloat16())
    eps = float(torch.finfo(getattr(torch, dtype)).eps)
    for f, theirs in ((nn.layer_norm, F.layer_norm), (nn.rms_norm, F.rms_norm)):
        y = f(ours, eps=1e-5)
        assert y.dtype == ours.dtype
        wanted = theirs(x, (8,), eps=1e-5).float().numpy()
        np.testing.assert_allclose(y.astype(np.float32), wanted, rtol=2 * eps, atol=eps)


@pytest.mark.parametrize("backend", ["torch", "jax"])
@pytest.mark.parametrize("axis", [-1, 0])
def test_nor_do_they_on_other_backends(backend: str, axis: int, rng: Any) -> None:
    pytest.importorskip(backend)
    x = (rng.standard_normal((4, 5)) * 3000).astype(np.float16)
    for f in (nn.layer_norm, nn.rms_norm):
        y = np.asarray(jit(lambda x, f=f: f(x, axis=axis), backend=backend)(x))
        assert y.dtype == np.float16
        np.testing.assert_allclose(y, f(x.astype(np.float64), axis=axis), rtol=2e-3, atol=1e-3)


def bfloat16() -> Any:
    return pytest.importorskip("ml_dtypes").bfloat16


# -- attention -------------------------------------------------------------------------------------
@pytest.fixture
def layer(rng: Any) -> tuple[Any, dict[str, Any]]:
    """PyTorch's layer of two heads over eight features, and its weights in our terms."""
    made = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape) * 0.4))
    w, b = made.in_proj_weight.detach().numpy(), made.in_proj_bias.detach().numpy()
    weights = {f"w{of}": part.T for of, part in zip("qkv", np.split(w, 3))}
    weights |= {f"b{of}": part for of, part in zip("qkv", np.split(b, 3))}
    out = made.out_proj
    return made, {**weights, "wo": out.weight.detach().numpy().T, "bo": out.bias.detach().numpy()}


def test_multi_head_attention(layer: Any, rng: Any) -> None:
    made, weights = layer
    q, k = rng.standard_normal((2, 4, 8)), rng.standard_normal((2, 6, 8))
    keep = np.arange(6) < np.array([[6], [4]])
    additive = rng.standard_normal((4, 6))
    per_head = rng.standard_normal((2, 2, 4, 6))

    def theirs(q: Any, k: Any, **options: Any) -> Any:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return made(q, k, k, need_weights=False, **options)[0]

    for mask, options in [
        (None, {}),
        (keep[:, None, :], {"key_padding_mask": torch.tensor(~keep)}),
        (additive, {"attn_mask": torch.tensor(additive)}),
        (per_head, {"attn_mask": torch.tensor(per_head.reshape(4, 4, 6))}),
    ]:
        compare(
            lambda q, k, mask=mask: nn.multi_head_attention(q, k, k, 2, mask, **weights),
            lambda q, k, options=options: theirs(q, k, **options),
            q,
            k,
        )
    later = ~torch.ones(4, 4, dtype=torch.bool).tril()
    compare(
        lambda q: nn.multi_head_attention(q, q, q, 2, causal=True, **weights),
        lambda q: theirs(q, q, attn_mask=later),
        q,
    )


# -- cells -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("biased", [True, False])
def test_cells(biased: bool, rng: Any) -> None:
    x, h, c = (rng.standard_normal(s) for s in ((2, 3), (2, 5), (2, 5)))

    def weights(gates: int) -> list[Any]:
        shapes = [(5 * gates, 3), (5 * gates, 5), (5 * gates,), (5 * gates,)]
        return [rng.standard_normal(s) for s in shapes[: 4 if biased else 2]]

    compare(nn.rnn_cell, torch.rnn_tanh_cell, x, h, *weights(1))
    compare(lambda *a: nn.rnn_cell(*a, activation="relu"), torch.rnn_relu_cell, x, h, *weights(1))
    compare(nn.gru_cell, torch.gru_cell, x, h, *weights(3))
    both = weights(4)
    for i in range(2):
        compare(
            lambda x, h, c, *w, i=i: nn.lstm_cell(x, (h, c), *w)[i],
            lambda x, h, c, *w, i=i: torch.lstm_cell(x, (h, c), *w)[i],
            *(x, h, c, *both),
        )


def test_an_lstm_over_a_sequence(rng: Any) -> None:
    made = torch.nn.LSTM(3, 4).double()
    w = [p.detach().numpy() for p in made.parameters()]
    xs = rng.standard_normal((5, 2, 3))
    state, hs = (np.zeros((2, 4)), np.zeros((2, 4))), []
    for x in xs:
        state = nn.lstm_cell(x, state, *w)
        hs.append(state[0])
    theirs, (_, c) = made(torch.tensor(xs))
    np.testing.assert_allclose(np.stack(hs), theirs.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(state[1], c[0].detach().numpy(), rtol=1e-12)
