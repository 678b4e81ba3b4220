"""Steps of training: a small GPT beside PyTorch and JAX, and private gradients beside a loop.

    python benchmarks/training.py [--only numpy,torch,jax,private] [--rounds N]

Each race has a process of its own on one core, in which its contestants take turns; every result is
compared before anything is timed; of processor time there are medians, and of the ratios to the
first contestant in the same round.

    numpy    a step of the GPT of `pycograd.examples.nanogpt` (4 layers of width 128, 4 heads,
             contexts of 64, batches of 32, float32): `weights.grad`, and with `weights.step` by
             Adam, eager and compiled, beside PyTorch eager with its own functions and Adam
    torch    the same with `backend="torch"`
    jax      the same with `backend="jax"`, beside `jax.jit` and optax
    private  DP-SGD: the gradients of 256 digits under an MLP 64-128-10, each clipped to a norm,
             and their sum, in float32 and float64: `vmap(grad(loss))`, eager and compiled, beside a
             Python loop of the same
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from processes import environment, spare_core

# Each race: the framework that it needs, and what the others are compared with.
RACES: Final = {
    "numpy": ("torch", "torch"),
    "torch": ("torch", "torch"),
    "jax": ("jax", "jax.jit"),
    "private": (None, "loop"),
}
BATCH: Final = 32  # of the GPT
SAMPLES: Final = 256  # of the private gradients
NORM: Final = 1.0  # to which each of them is clipped
RATE: Final = 1e-3
TOLERANCE: Final = {"float32": 2e-4, "float64": 1e-10}

Call = Callable[..., Any]
Calls = dict[str, dict[str, Call]]  # what is timed -> contestant -> a call without arguments


# -- the GPT ---------------------------------------------------------------------------------------
def gpt(race: str) -> Calls:
    """The contestants of a race; pycograd under the ways to ask for gradients."""
    import numpy as np

    from pycograd.core.tree import tree_map
    from pycograd.examples import nanogpt
    from pycograd.examples.text import topics

    text, size = topics(), nanogpt.FULL
    tree = nanogpt.initial(np.random.default_rng(0), len(text.alphabet), size)
    windows = text.train[: BATCH * size.context + 1]
    x, y = (windows[i : i + BATCH * size.context].reshape(BATCH, -1) for i in (0, 1))
    peer = RACES[race][1]
    module = importlib.import_module(f"contestants.gpt_{RACES[race][0]}")
    made = {peer: module.made(tree, x, y, size.heads, RATE)}
    ways: dict[str, dict[str, Any]] = {
        "numpy": {"eager": {}, "jit": {"jit": True}},
        "torch": {
            "backend": {"backend": "torch"},
            "backend, jit": {"backend": "torch", "jit": True},
        },
        "jax": {"backend, jit": {"backend": "jax", "jit": True}},
    }
    for name, how in ways[race].items():
        copy = tree_map(np.copy, tree)
        made[name] = ours(nanogpt.loss, copy, x, y, size.heads, **how)
    return {
        "gradients": {name: pair[0] for name, pair in made.items()},
        "with Adam": {name: pair[1] for name, pair in made.items()},
    }


def ours(loss: Call, tree: Any, x: Any, y: Any, heads: int, **how: Any) -> tuple[Call, Call]:
    import pycograd as pg
    from pycograd.core.tree import tree_leaves, tree_map

    fixed, trained = (pg.params(**tree_map(lambda leaf: leaf.copy(), tree)) for _ in range(2))
    optimizer = pg.optim.Adam(RATE)

    def at_first(x: Any, y: Any) -> Any:
        return loss(fixed, x, y, heads)

    def objective(x: Any, y: Any) -> Any:
        return loss(trained, x, y, heads)

    def gradients() -> Any:
        value, grads = fixed.grad(at_first, x, y, **how)
        return value, tree_leaves(grads)

    def step() -> Any:
        value, grads = trained.grad(objective, x, y, **how)
        trained.step(grads, optimizer)
        return value

    return gradients, step


# -- private gradients -----------------------------------------------------------------------------
def private() -> Calls:
    return {dtype: clipped_sums(dtype) for dtype in ("float32", "float64")}


def clipped_sums(dtype: str) -> dict[str, Call]:
    import numpy as np

    import pycograd as pg
    from pycograd.examples import mlp
    from pycograd.examples.data import digits

    data, params = digits(), mlp.initial(np.random.default_rng(0))
    params = {key: leaf.astype(dtype) for key, leaf in params.items()}
    x, y = data.x_train[:SAMPLES].astype(dtype), data.y_train[:SAMPLES]
    one = pg.grad(mlp.loss, argnums=0)
    many = pg.vmap(one, in_axes=(None, 0, 0))

    def loop() -> Any:
        total = {key: np.zeros_like(leaf) for key, leaf in params.items()}
        for i in range(SAMPLES):
            found = one(params, x[i], y[i])
            norm = np.sqrt(sum([np.vdot(g, g) for g in found.values()]))
            scale = min(1.0, NORM / norm)
            for key, g in found.items():
                total[key] += scale * g
        return total

    def clipped(params: Any, x: Any, y: Any) -> Any:
        found = many(params, x, y)
        rows = [np.reshape(g, (len(g), -1)) for g in found.values()]
        squares = sum([np.einsum("ij,ij->i", g, g) for g in rows])
        scale = np.minimum(1.0, NORM / np.sqrt(squares))
        return {key: np.tensordot(scale, g, 1) for key, g in found.items()}

    compiled = pg.jit(clipped)
    return {
        "loop": loop,
        "eager": lambda: clipped(params, x, y),
        "jit": lambda: compiled(params, x, y),
    }


# -- inside: a race in its process -----------------------------------------------------------------
def disagreement(result: Any, expected: Any) -> float:
    """The largest difference, in parts of the largest entry of its array."""
    import numpy as np

    from pycograd.core.tree import tree_leaves

    leaves, wanted = tree_leaves(result), tree_leaves(expected)
    if len(leaves) != len(wanted):
        return float("inf")
    worst = 0.0
    for a, b in zip(leaves, wanted):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return float("inf")
        worst = max(worst, float(np.max(np.abs(a - b)) / (np.max(np.abs(b)) + 1e-30)))
    return worst


def inside(race: str, rounds: int) -> None:
    """Prints a line of JSON for each thing that is timed."""
    peer = RACES[race][1]
    for title, calls in (private() if race == "private" else gpt(race)).items():
        failed: dict[str, str] = {}
        expected: Any = None
        for name, call in calls.items():  # the one to compare with is the first
            try:
                found = call()
                found = call()  # of a step the second loss, which tells how the first one went
                expected = found if name == peer else expected
                error = disagreement(found, expected)
            except Exception as problem:
                failed[name] = f"{type(problem).__name__}: {problem}".splitlines()[0][:150]
                continue
            if not error <= TOLERANCE["float64" if title == "float64" else "float32"]:
                failed[name] = f"WRONG: differs from {peer} by {error:.1e}"
        gc.collect()
        times: dict[str, list[float]] = {name: [] for name in calls if name not in failed}
        for turn in range(rounds):
            names = list(times)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                start = time.process_time()
                calls[name]()
                times[name].append(time.process_time() - start)
        medians = {name: statistics.median(each) for name, each in times.items()}
        # Round by round, as a slow minute of the machine is everybody's.
        ratios = {
            name: statistics.median([a / b for a, b in zip(each, times[peer])])
            for name, each in times.items()
            if peer in times
        }
        line = {"title": title, "times": medians, "ratios": ratios, "failed": failed}
        print("RACE", json.dumps(line), flush=True)


# -- outside: the table ----------------------------------------------------------------------------
def measured(race: str, rounds: int) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--inside", race, "--rounds", str(rounds)]
    done = subprocess.run(
        ["taskset", "-c", str(spare_core()), *command],
        env=environment(Path(__file__).parent),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(f"{race}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("RACE ")]
    return [json.loads(line.removeprefix("RACE ")) for line in lines]


def shown(race: str, result: dict[str, Any]) -> str:
    ratios, peer = result["ratios"], RACES[race][1]
    cells = []
    for name, seconds in result["times"].items():
        ratio = ""
        if name in ratios and name != peer:
            quicker = f"{1 / ratios[name]:.1f}x faster"
            ratio = " " + (quicker if peer == "loop" else f"{ratios[name]:.2f}x")
        cells.append(f"{name} {1e3 * seconds:.1f} ms{ratio}")
    cells += [f"{name}: {why}" for name, why in result["failed"].items()]
    return f"{race:8} {result['title']:12} " + "   ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*RACES])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if unknown := {*options.only} - {*RACES}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(RACES)}")
    if options.inside:
        inside(options.inside, options.rounds)
        return
    results = {}
    for race in options.only:
        framework = RACES[race][0]
        if framework is not None and find_spec(framework) is None:
            print(f"{race}: {framework} is not installed here")
            continue
        results[race] = measured(race, options.rounds)
        print("\n".join(shown(race, each) for each in results[race]), flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
