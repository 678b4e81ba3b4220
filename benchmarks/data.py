"""The arguments of each workload, the same for all: what is differentiated, then data."""

from __future__ import annotations

from typing import Any

import numpy as np


def arguments(workload: str, size: int) -> tuple[Any, ...]:
    """Returns fresh NumPy arguments for a workload by its function's name.

    `size` is the length or the number of operations, for the workloads that come in several.
    """
    rng = np.random.default_rng(0)

    def weight(fan_in: int, fan_out: int) -> Any:
        return rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)

    def bias(width: int) -> Any:
        return 0.1 * rng.standard_normal(width)

    def batch(count: int, features: int, classes: int) -> tuple[Any, Any]:
        return rng.standard_normal((count, features)), rng.integers(0, classes, count)

    match workload:
        case "chain":
            return (rng.standard_normal(10),)
        case "mlp":
            return weight(784, 256), bias(256), weight(256, 10), bias(10), *batch(128, 784, 10)
        case "attention":
            return weight(64, 64), weight(64, 64), weight(64, 64), rng.standard_normal((128, 64))
        case "rnn":
            return weight(64, 64), weight(64, 64), bias(64), rng.standard_normal((100, 16, 64))
        case "loop":
            return (rng.standard_normal(size),)
        case "per_sample":
            return (weight(64, 32), bias(32), weight(32, 10), bias(10)), *batch(256, 64, 10)
        case "hessian":
            return (rng.standard_normal(size),)
        case "tape":
            return 0.5, size
        case "helper_numpy" | "helper_math":
            return (0.5,)
        case "fill":
            return rng.standard_normal(10), size
        case "look":
            return ()
        case _:
            raise ValueError(f"no workload is named {workload!r}")
