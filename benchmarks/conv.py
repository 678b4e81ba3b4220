"""Convolutions against PyTorch's, on one thread: run `python benchmarks/conv.py` with both there.

Each line has the milliseconds of the forward pass, and of the value with both gradients, here and
in PyTorch, the best of many rounds that take turns, in processor time; then the two ratios.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pycograd import nn, vjp

torch.set_num_threads(1)

# name, images, channels, size, outputs, kernel, options
CASES: list[tuple[str, int, int, tuple[int, ...], int, int, dict[str, Any]]] = [
    ("3x3, 32 -> 32, 28x28, of 32", 32, 32, (28, 28), 32, 3, {"pad": 1}),
    ("3x3, 3 -> 64, 64x64, of 8", 8, 3, (64, 64), 64, 3, {"pad": 1}),
    ("3x3, 1 -> 32, 28x28, of 32", 32, 1, (28, 28), 32, 3, {}),
    ("3x3, 128 -> 128, 14x14, of 8", 8, 128, (14, 14), 128, 3, {"pad": 1}),
    ("3x3 stride 2, 32 -> 64, 28x28, of 32", 32, 32, (28, 28), 64, 3, {"pad": 1, "stride": 2}),
    ("1x1, 64 -> 64, 28x28, of 32", 32, 64, (28, 28), 64, 1, {}),
    ("7x7 stride 2, 3 -> 64, 64x64, of 8", 8, 3, (64, 64), 64, 7, {"pad": 3, "stride": 2}),
    ("3x3 depthwise, 32, 28x28, of 32", 32, 32, (28, 28), 32, 3, {"pad": 1, "groups": 32}),
    ("5, 64 -> 64, 512, of 16", 16, 64, (512,), 64, 5, {"pad": 2}),
    ("3x3, 64 -> 64, 128x128, of 1", 1, 64, (128, 128), 64, 3, {"pad": 1}),
    ("7x7 stride 2, 3 -> 64, 224x224, of 1", 1, 3, (224, 224), 64, 7, {"pad": 3, "stride": 2}),
    ("9, 64 -> 64, 16384, of 1", 1, 64, (16384,), 64, 9, {"pad": 4}),
    ("3x3, 8 -> 8, 8x8, of 256", 256, 8, (8, 8), 8, 3, {"pad": 1}),
]


def best(runs: Sequence[Callable[[], Any]], rounds: int = 15) -> list[float]:
    """The shortest time of each in milliseconds; they take turns."""
    times = [float("inf")] * len(runs)
    for round_ in range(rounds + 2):
        for i, run in enumerate(runs):
            start = time.process_time()
            run()
            if round_ > 1:
                times[i] = min(times[i], 1e3 * (time.process_time() - start))
    return times


def line(name: str, n: int, c: int, size: Any, o: int, k: int, options: dict[str, Any]) -> str:
    """The times of one case."""
    rng, rank = np.random.default_rng(0), len(size)
    x = rng.standard_normal((n, c, *size), np.float32)
    w = rng.standard_normal((o, c // options.get("groups", 1), *(k,) * rank), np.float32)
    ours = (nn.conv1d, nn.conv2d)[rank - 1]
    theirs = (F.conv1d, F.conv2d)[rank - 1]
    named = {"padding" if key == "pad" else key: value for key, value in options.items()}
    tx, tw = (torch.tensor(v, requires_grad=True) for v in (x, w))
    y = ours(x, w, **options)
    ct = rng.standard_normal(y.shape, np.float32)
    tct = torch.tensor(ct)

    def their_forward() -> Any:
        with torch.no_grad():
            return theirs(tx, tw, **named)

    times = best(
        [
            lambda: ours(x, w, **options),
            their_forward,
            lambda: vjp(lambda x, w: ours(x, w, **options), x, w)[1](ct),
            lambda: torch.autograd.grad(theirs(tx, tw, **named), (tx, tw), tct),
        ]
    )
    numbers = " ".join(f"{t:8.2f}" for t in times)
    return f"{name:38} {numbers}   {times[0] / times[1]:5.2f} {times[2] / times[3]:5.2f}"


if __name__ == "__main__":
    print(f"{'':38} {'forward':>8} {'torch':>8} {'vjp':>8} {'torch':>8}   ratios")
    for case in CASES:
        print(line(*case))
