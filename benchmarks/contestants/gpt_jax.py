"""The GPT of `pycograd.examples.nanogpt` in JAX, under `jax.jit`, with optax's Adam."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from pycograd.core.tree import tree_leaves, tree_map


def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return jax.nn.standardize(x, epsilon=1e-5) * gamma + beta


def loss(params: Any, x: Any, y: Any, heads: int) -> Any:
    h = params["token"][x] + params["place"][: x.shape[1]]
    for block in params["blocks"]:
        h = h + attention(block, layer_norm(h, block["norm1"], block["shift1"]), heads)
        normed = layer_norm(h, block["norm2"], block["shift2"])
        wide = jax.nn.gelu(normed @ block["wide"] + block["wide_b"], approximate=True)
        h = h + wide @ block["narrow"] + block["narrow_b"]
    logits = layer_norm(h, params["norm"], params["shift"]) @ params["token"].T
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))


def attention(block: Any, x: Any, heads: int) -> Any:
    batch, length, width = x.shape
    qkv = (x @ block["qkv"]).reshape(batch, length, 3, heads, width // heads)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    return jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape) @ block["mix"]


def made(tree: Any, x: Any, y: Any, heads: int, lr: float) -> tuple[Any, Any]:
    """`(gradients, step)`: value and gradients at the first weights; a step of other ones."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    fixed = trained = jax.tree.map(jnp.asarray, tree)
    optimizer = optax.adam(lr)
    state = optimizer.init(trained)
    run = jax.value_and_grad(lambda params, x, y: loss(params, x, y, heads))
    compiled = jax.jit(run)

    @jax.jit
    def stepped(params: Any, state: Any, x: Any, y: Any) -> Any:
        value, grads = run(params, x, y)
        updates, state = optimizer.update(grads, state)
        return value, optax.apply_updates(params, updates), state

    def gradients() -> Any:
        value, grads = jax.block_until_ready(compiled(fixed, x, y))
        return value, tree_leaves(tree_map(lambda _, g: g, tree, grads))  # jax sorts keys

    def step() -> Any:
        nonlocal trained, state
        value, trained, state = jax.block_until_ready(stepped(trained, state, x, y))
        return value

    return gradients, step
