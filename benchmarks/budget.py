"""A gradient within a memory budget: `plan_remat` at parts of the peak, measured.

    python budget.py [ROUNDS]

A tanh MLP of 32 layers, width 256, batch 2048, float64. Prints a JSON list: for each part the
budget, the peak that tracemalloc saw (inputs apart, outputs included), the time as a multiple of
the unplanned run's, taken in turns, and whether the gradients are the same to the last bit.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import pycograd as pg
from pycograd.graph.schedule import in_order, run_steps

PARTS = (0.7, 0.5, 0.35)
LAYERS, WIDTH, BATCH = 32, 256, 2048


def loss(weights: list[Any], biases: list[Any], x: Any) -> Any:
    for w, b in zip(weights, biases):
        x = np.tanh(x @ w + b)
    return np.sum(x * x)


def peak_of(run: Callable[[], Any]) -> tuple[Any, int]:
    tracemalloc.start()
    out = run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return out, peak


def main(rounds: int) -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((WIDTH, WIDTH)) / 16 for _ in range(LAYERS)]
    args = weights, [np.zeros(WIDTH) for _ in range(LAYERS)], rng.standard_normal((BATCH, WIDTH))
    graph = pg.optimize(pg.capture(pg.grad(loss, argnums=(0, 1)), *args))
    leaves = graph.flat(args, {})
    unplanned = lambda: run_steps(graph, in_order(graph), leaves)[0]
    expected, peak = peak_of(unplanned)
    plans = {part: pg.plan_remat(graph, int(part * peak), spill=False) for part in PARTS}
    runs: dict[float, Callable[[], Any]] = {1.0: unplanned}
    for part, plan in plans.items():
        runs[part] = lambda plan=plan: pg.eval_scheduled(graph, *args, plan=plan)[0]
    seconds: dict[float, list[float]] = {part: [] for part in runs}
    for _ in range(rounds):
        for part, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[part].append(time.perf_counter() - start)
    rows = []
    for part in PARTS:
        out, reached = peak_of(runs[part])
        same = all(map(np.array_equal, pg.tree_leaves(out), expected))
        ratio = statistics.median(seconds[part]) / statistics.median(seconds[1.0])
        row = {"part": part, "budget": part * peak, "peak": reached, "time": ratio, "same": same}
        rows.append(row)
    print(json.dumps(rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
