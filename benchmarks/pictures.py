"""The pictures in docs/, drawn anew from the programs that they show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import programs
from pycograd import ShapeDtypeStruct, capture, grad, optimize, plan_remat
from pycograd.graph.schedule import in_order, simulated

LAYERS, WIDTH, ROWS = 32, 256, 2048


def mlp(weights: list[Any], biases: list[Any], x: Any) -> Any:
    for w, b in zip(weights, biases):
        x = np.tanh(x @ w + b)
    return np.sum(x * x)


def main(folder: Path) -> None:
    square, rows = ShapeDtypeStruct((16, 16)), ShapeDtypeStruct((32, 16))
    gradient = grad(programs.attention, argnums=(0, 1, 2))
    graph = optimize(capture(gradient, square, square, square, rows))
    graph.render(folder / "graph.svg", engine="own")

    weights = [ShapeDtypeStruct((WIDTH, WIDTH))] * LAYERS
    biases = [ShapeDtypeStruct((WIDTH,))] * LAYERS
    x = ShapeDtypeStruct((ROWS, WIDTH))
    graph = optimize(capture(grad(mlp, argnums=(0, 1)), weights, biases, x))
    half = simulated(graph, in_order(graph)).peak // 2
    plan_remat(graph, half, spill=False).show().save(folder / "memory.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
