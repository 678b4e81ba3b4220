"""JAX under jit, in float64: the same programs over `jax.numpy`, with JAX's own loops.

A long Python loop is unrolled when jit traces it and takes minutes to compile, so its users write
`lax.scan` and `lax.fori_loop`; the chain of 50 stays a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import programs

DISTRIBUTION = "jax"
jax.config.update("jax_enable_x64", True)


def array(value: Any) -> Any:
    return jnp.asarray(value) if isinstance(value, np.ndarray | float) else value


def compiled(f: Callable[..., Any], static: tuple[int, ...] = ()) -> Callable[..., Any]:
    """A call ends when its results are there, not when they are promised."""
    run = jax.jit(f, static_argnums=static)
    return lambda *args: jax.block_until_ready(run(*args))


def rnn_loss(wx: Any, wh: Any, b: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        return jnp.tanh(x @ wx + h @ wh + b), None

    h, _ = jax.lax.scan(step, jnp.zeros((xs.shape[1], wh.shape[0])), xs)
    return jnp.sum(h * h)


def loop_loss(x: Any) -> Any:
    return jax.lax.fori_loop(0, len(x), lambda i, total: total + x[i] * x[i], 0.0)


def tape_loss(x: Any, operations: int) -> Any:
    return jax.lax.fori_loop(0, operations, lambda _, x: jnp.sin(x), x)


theirs = programs.over(jnp)
chain = compiled(jax.value_and_grad(theirs.chain))
mlp = compiled(jax.value_and_grad(theirs.mlp, (0, 1, 2, 3)))
attention = compiled(jax.value_and_grad(theirs.attention, (0, 1, 2)))
rnn = compiled(jax.value_and_grad(rnn_loss, (0, 1, 2)))
loop = compiled(jax.value_and_grad(loop_loss))
per_sample = compiled(jax.vmap(jax.grad(theirs.sample), (None, 0, 0)))
hessian = compiled(jax.hessian(theirs.rosenbrock))
tape = compiled(jax.value_and_grad(tape_loss), static=(1,))
