"""The GPT of `pycograd.examples.nanogpt` in PyTorch, eager, with its own functions and its Adam."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from pycograd.core.tree import tree_leaves, tree_map

torch.set_num_threads(1)


def loss(params: Any, x: Any, y: Any, heads: int) -> Any:
    length, width = x.shape[1], params["place"].shape[1]
    h = F.embedding(x, params["token"]) + params["place"][:length]
    for block in params["blocks"]:
        h = h + attention(block, F.layer_norm(h, (width,), block["norm1"], block["shift1"]), heads)
        normed = F.layer_norm(h, (width,), block["norm2"], block["shift2"])
        wide = F.gelu(normed @ block["wide"] + block["wide_b"], approximate="tanh")
        h = h + wide @ block["narrow"] + block["narrow_b"]
    logits = F.layer_norm(h, (width,), params["norm"], params["shift"]) @ params["token"].T
    return F.cross_entropy(logits.flatten(0, 1), y.flatten())


def attention(block: Any, x: Any, heads: int) -> Any:
    batch, length, width = x.shape
    qkv = (x @ block["qkv"]).reshape(batch, length, 3, heads, width // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2).reshape(x.shape) @ block["mix"]


def made(tree: Any, x: Any, y: Any, heads: int, lr: float) -> tuple[Any, Any]:
    """`(gradients, step)`: value and gradients at the first weights; a step of other ones."""
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    fixed, trained = (
        tree_map(lambda leaf: torch.tensor(leaf, requires_grad=True), tree) for _ in range(2)
    )
    leaves, optimizer = tree_leaves(fixed), torch.optim.Adam(tree_leaves(trained), lr=lr)

    def gradients() -> Any:
        value = loss(fixed, x, y, heads)
        return value.detach(), torch.autograd.grad(value, leaves)

    def step() -> Any:
        optimizer.zero_grad()
        value = loss(trained, x, y, heads)
        value.backward()
        optimizer.step()
        return value.detach()

    return gradients, step
