"""Sharding: a model in NumPy on eight devices of JAX, in one process.

`compile_to` makes a function of JAX's own arrays. Where these are laid out over a mesh of devices
by `jax.sharding`, `jax.jit` splits the work among them and puts in what the devices must tell each
other. The same three lines of training run in both layouts: of the data alone (data parallel), or
of the parameters too (FSDP), each device keeping a part of every parameter and of its gradient.

Run it as it is: it makes eight devices of the host. On accelerators leave the first lines out, and
on several machines call `jax.distributed.initialize()` in their place.
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before JAX starts
os.environ["JAX_PLATFORMS"] = "cpu"

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from pycograd import compile_to, grad

jax.config.update("jax_enable_x64", True)  # the arrays of this script are float64
DEVICES, ROWS, STEPS, RATE = 8, 16, 3, 0.1


def loss(p: Any, x: Any, y: Any) -> Any:
    h = np.tanh(x @ p["hidden"]["w"] + p["hidden"]["b"])
    return np.mean((h @ p["out"] - y) ** 2)


def initial() -> Any:
    rng = np.random.default_rng(0)
    return {
        "hidden": {"w": rng.normal(size=(5, 24)), "b": np.zeros(24)},
        "out": rng.normal(size=(24, 2)),
    }


# The axis over which each parameter is split, where parameters are.
SPLIT = {"hidden": {"w": P(None, "devices"), "b": P("devices")}, "out": P("devices", None)}


def batch(step: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(step + 1)
    return rng.normal(size=(ROWS, 5)), rng.normal(size=(ROWS, 2))


def train(split: bool) -> tuple[Any, Any]:
    """The parameters after some steps, and the gradients of the last, as they lie on the devices.

    Arguments:
        split: whether the devices share the parameters, or each holds them all.
    """
    mesh = Mesh(np.array(jax.devices()), ("devices",))
    specs = SPLIT if split else jax.tree.map(lambda _: P(), SPLIT)
    layout = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    rows = NamedSharding(mesh, P("devices"))

    f = compile_to(loss, "jax")
    gradient = jax.jit(jax.grad(f), out_shardings=layout)
    step = jax.jit(lambda p, g: jax.tree.map(lambda x, d: x - RATE * d, p, g))
    p = jax.device_put(initial(), layout)
    for i in range(STEPS):
        g = gradient(p, *jax.device_put(batch(i), rows))
        p = step(p, g)
    return p, g


def alone() -> tuple[Any, Any]:
    """The same without JAX."""
    p = initial()
    for i in range(STEPS):
        g = grad(loss, argnums=0)(p, *batch(i))
        p = jax.tree.map(lambda x, d: x - RATE * d, p, g)
    return p, g


def main() -> None:
    wanted = alone()
    for name, split in (("data parallel", False), ("parameters split", True)):
        found = train(split)
        worst = max(
            jax.tree.leaves(jax.tree.map(lambda a, b: np.max(np.abs(a - b)), found, wanted))
        )
        kept = sum([x.addressable_shards[0].data.size for x in jax.tree.leaves(found[0])])
        total = sum([x.size for x in jax.tree.leaves(found[0])])
        print(f"{name}: {DEVICES} devices and one agree to {worst:.1e}")
        print(f"{name}: a device keeps {kept} of {total} numbers")
        assert worst < 1e-10 and len(jax.devices()) == DEVICES


if __name__ == "__main__":
    main()
