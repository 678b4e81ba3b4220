"""Attention by torch's own kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd import forward_ad

from pycograd_torch.lowerings.common import Lowering, common, staged

_functorch: Any = torch._C._functorch


def _attention(
    q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool, wanted: Sequence[bool] = (True, True)
) -> tuple[Any, Any]:
    """`(weights @ v, weights)`; by a kernel where nobody wants the weights, which it has not."""
    q, k, v = common(q, k, v)
    if wanted[1] or not _has_kernel(q, k, v, mask):
        return _spelled(q, k, v, mask, causal)
    if mask is not None and causal:
        keep = _below(q, k)
        mask, causal = (mask & keep if mask.dtype is torch.bool else _kept(keep, mask)), False
    if mask is not None and mask.dtype is not torch.bool:
        mask = mask.to(q.dtype)
    q, k, v, mask, front = _in_four_axes(q, k, v, mask)
    differentiated = torch.is_grad_enabled() and any([x.requires_grad for x in (q, k, v)])
    kernel: Lowering = _Kernel.apply if differentiated and not staged() else _run
    out = kernel(q, k, v, mask, causal)
    return out if len(front) == 2 else out.reshape(*front, *out.shape[-2:]), None


def _has_kernel(q: Any, k: Any, v: Any, mask: Any) -> bool:
    """True where the kernel can do what is asked: it has no tangents and no slope of the mask."""
    if mask is not None and mask.requires_grad:
        return False
    if staged():
        return True
    if 0 in (*q.shape, *k.shape, *v.shape):
        return False
    return _functorch.peek_interpreter_stack() is None and forward_ad._current_level < 0


def _in_four_axes(q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, ...]:
    """The operands with two leading axes, the last of any more as one; and what these were."""
    masks = () if mask is None else (mask,)
    front = torch.broadcast_shapes(*[x.shape[:-2] for x in (q, k, v, *masks)])
    two = front if len(front) == 2 else (1, math.prod(front))

    def folded(x: Any, rows: int, columns: int) -> Any:
        if x.shape == (*two, rows, columns):
            return x
        return x.expand(*front, rows, columns).reshape(*two, rows, columns)

    if mask is not None:
        n, m = q.shape[-2], k.shape[-2]
        alone = math.prod(mask.shape[:-2]) == 1
        mask = mask.reshape(mask.shape[-2:]).expand(n, m) if alone else folded(mask, n, m)
    return (*[folded(x, *x.shape[-2:]) for x in (q, k, v)], mask, front)


def _run(q: Any, k: Any, v: Any, mask: Any, causal: bool) -> Any:
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=_scale(q)
    )


class _Kernel(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """The kernel; the derivative of its derivative, which torch has not, is that of the parts."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool) -> Any:
        inner = [x.detach().requires_grad_(n) for x, n in zip((q, k, v), ctx.needs_input_grad)]
        with torch.enable_grad():
            out = _run(inner[0], inner[1], inner[2], mask, causal)
        ctx.inner, ctx.out, ctx.mask, ctx.causal = inner, out, mask, causal
        ctx.save_for_backward(q, k, v)
        return out.detach()

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        again = torch.is_grad_enabled()
        operands = ctx.saved_tensors if again else ctx.inner
        q, k, v = operands
        out = _spelled(q, k, v, ctx.mask, ctx.causal)[0] if again else ctx.out
        live = [x for x, n in zip(operands, ctx.needs_input_grad) if n]
        found = iter(torch.autograd.grad(out, live, ct, retain_graph=True, create_graph=again))
        return (*[next(found) if n else None for n in ctx.needs_input_grad[:3]], None, None)


# -- spelled out -----------------------------------------------------------------------------------
def _scale(q: Any) -> float:
    return 1 / math.sqrt(max(q.shape[-1], 1))


def _below(q: Any, k: Any) -> Any:
    """True where a query sees a key that does not follow it."""
    size = q.shape[-2], k.shape[-2]
    return torch.ones(size, dtype=torch.bool, device=q.device).tril()


def _kept(keep: Any, scores: Any) -> Any:
    return torch.where(keep, scores, -math.inf)


def _spelled(q: Any, k: Any, v: Any, mask: Any, causal: bool) -> tuple[Any, Any]:
    """As `pycograd.nn.attention` has it."""
    scores = (q * _scale(q)) @ k.mT
    if mask is not None:
        scores = _kept(mask, scores) if mask.dtype is torch.bool else scores + mask
    if causal:
        scores = _kept(_below(q, k), scores)
    if mask is None:  # every query sees key 0
        weights = torch.softmax(scores, -1)
    else:
        some = (scores != -math.inf).any(-1, keepdim=True)
        weights = torch.where(some, torch.softmax(torch.where(some, scores, 0), -1), 0)
    if weights.dtype is not v.dtype:  # of a mask of higher precision
        v = v.to(weights.dtype)
    return weights @ v, weights


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {"attention": _attention}
