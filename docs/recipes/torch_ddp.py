"""Data parallelism: a model in NumPy under torch's DistributedDataParallel, in two processes.

Each process holds all of the parameters and a part of every batch; torch averages the gradients
while the backward pass still runs. Run it as it is: it needs no accelerator, and no network beyond
this machine. What is different on several machines is `init_process_group`, which `torchrun`
takes care of, and on accelerators the name "gloo", which becomes "nccl".
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from pycograd import grad
from pycograd_torch import to_torch_module

WORLD, ROWS, STEPS, RATE = 2, 8, 3, 0.1


def loss(p: Any, x: Any, y: Any) -> Any:
    """A mean over the rows, so that the mean over processes is that of the whole batch."""
    h = np.tanh(x @ p["hidden"]["w"] + p["hidden"]["b"])
    return np.mean((h @ p["out"] - y) ** 2)


def initial() -> Any:
    rng = np.random.default_rng(0)
    return {
        "hidden": {"w": rng.normal(size=(5, 6)), "b": np.zeros(6)},
        "out": rng.normal(size=(6, 2)),
    }


def batch(step: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(step + 1)
    return rng.normal(size=(ROWS, 5)), rng.normal(size=(ROWS, 2))


def work(rank: int, meeting: str) -> None:
    """What each process runs."""
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
    # The module is gone before the group is. If it held the group last, torch would wait for the
    # group's threads with the interpreter's lock held; these may need it, to drop what they sent.
    found = train(rank)
    if rank == 0:
        check(found)
    dist.destroy_process_group()


def train(rank: int) -> dict[str, Any]:
    """The parameters after some steps."""
    module = DistributedDataParallel(to_torch_module(loss, initial()))
    optimizer = torch.optim.SGD(module.parameters(), RATE)
    mine = slice(rank * ROWS // WORLD, (rank + 1) * ROWS // WORLD)
    for step in range(STEPS):
        x, y = [torch.tensor(a[mine]) for a in batch(step)]
        optimizer.zero_grad()
        module(x, y).backward()
        optimizer.step()
    return {name: p.detach() for name, p in module.module.named_parameters()}


def check(found: dict[str, Any]) -> None:
    """Compares with one process, which sees whole batches and needs no torch."""
    p = initial()
    for step in range(STEPS):
        g = grad(loss, argnums=0)(p, *batch(step))
        p["hidden"] = {k: v - RATE * g["hidden"][k] for k, v in p["hidden"].items()}
        p["out"] = p["out"] - RATE * g["out"]
    wanted = {"hidden.w": p["hidden"]["w"], "hidden.b": p["hidden"]["b"], "out": p["out"]}
    assert found.keys() == wanted.keys()
    worst = max(float(np.max(np.abs(found[k].numpy() - w))) for k, w in wanted.items())
    print(f"{WORLD} processes and one agree to {worst:.1e}")
    assert worst < 1e-10


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:  # a file to meet at: no port may be taken
        spawn(work, (Path(folder, "meeting").as_uri(),), WORLD)
