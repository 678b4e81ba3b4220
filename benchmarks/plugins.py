"""pycograd's plugins beside the same models written by hand in their frameworks.

    python benchmarks/plugins.py [--frameworks torch,jax] [--only b,c,d] [--rounds N]

Value and gradients of the workloads b, c and d of `run.py`, every result first compared with NumPy
by hand. A framework has a process of its own, on one core with one thread, in which its contestants
take turns; medians of processor time are compared. Each row of the table is one of two races:

    the framework's own arrays in and out
        by hand         the framework's own functions and its autodiff
        compile_to      the NumPy program compiled for it, under the same autodiff
        compile_to ours pycograd's gradient of the program, compiled for it
        loop by hand    (d) on jax, where by hand is a scan: the program's loop, in jax's functions
    NumPy's arrays in and out
        by hand         as above, the arrays handed over and fetched back by the framework's means
        jit             `jit(value_and_grad(f), backend=...)`
        native          `value_and_grad(f, backend=...)`
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

TOLERANCE: Final = 1e-10
WORKLOADS: Final = {"b": ("mlp", 4), "c": ("attention", 3), "d": ("rnn", 3)}  # and its gradients
MODULES: Final = {"torch": "torch_eager", "jax": "jax_jit", "tf": "tf_function"}
FRAMEWORKS: Final = {"torch": "torch", "jax": "jax", "tf": "tensorflow"}  # what is imported
LATER: Final = 60.0  # seconds that a first call may take before its contestant is left out

Call = Callable[..., Any]


# -- inside: one framework in its process ----------------------------------------------------------
def under_torch(f: Call, count: int) -> Call:
    """`f`, a function of tensors, differentiated by torch."""
    made: Call = importlib.import_module("contestants.torch_eager").value_and_grad(f, count)
    return made


def under_jax(f: Call, count: int) -> Call:
    import jax

    jax_jit = importlib.import_module("contestants.jax_jit")
    made: Call = jax_jit.compiled(jax.value_and_grad(f, tuple(range(count))))
    return made


def under_tf(f: Call, count: int) -> Call:
    made: Call = importlib.import_module("contestants.tf_function").value_and_grad(f, count)
    return made


def handed_over(framework: str) -> tuple[Call, Call]:
    """How a user of the framework takes an array from NumPy, and gives one back."""
    import numpy as np

    if framework == "torch":
        import torch

        return torch.from_numpy, lambda x: x.numpy()
    if framework == "jax":
        import jax.numpy as jnp

        return jnp.asarray, np.asarray
    import tensorflow as tf

    return tf.convert_to_tensor, lambda x: x.numpy()


def contestants(framework: str, name: str, count: int) -> dict[str, dict[str, Call]]:
    """The calls without arguments of each race, by the name of the contestant."""
    import data
    import programs
    import pycograd as pg
    from worker import _map

    module = importlib.import_module(f"contestants.{MODULES[framework]}")
    f, hand = getattr(programs, name), getattr(module, name)
    ours = pg.value_and_grad(f, argnums=tuple(range(count)))
    given = data.arguments(name, 0)
    to, back = handed_over(framework)
    arrays, fixed = [to(x) for x in given], [to(x) for x in given]  # torch marks those by hand
    under = {"torch": under_torch, "jax": under_jax, "tf": under_tf}[framework]
    ready = (
        (lambda x: x) if framework != "jax" else importlib.import_module("jax").block_until_ready
    )

    def by_hand() -> Any:
        return _map(back, tuple(hand(*[to(x) for x in given])))

    natively = pg.value_and_grad(
        f, argnums=tuple(range(count)), backend=framework, jit=framework != "torch"
    )
    jitted = pg.jit(ours, backend=framework)
    theirs = under(pg.compile_to(f, framework), count)
    compiled = pg.compile_to(ours, framework, jit=framework != "torch")
    others: dict[str, Call] = {}
    if (framework, name) == ("jax", "rnn"):  # by hand it is a scan; ours is the program's loop
        loop = under(programs.over(importlib.import_module("jax.numpy")).rnn, count)
        others["loop by hand"] = lambda: loop(*arrays)
    return {
        "own": {
            "by hand": lambda: hand(*arrays),
            "compile_to": lambda: theirs(*arrays),
            "compile_to ours": lambda: ready(compiled(*fixed)),
            **others,
        },
        "numpy": {
            "by hand": by_hand,
            "jit": lambda: jitted(*given),
            "native": lambda: natively(*given),
        },
    }


def checked(call: Call, name: str, back: Call) -> str:
    """What is wrong with a contestant's result; empty if nothing is."""
    import data
    from contestants import by_hand
    from worker import _map, disagreement

    start = time.perf_counter()
    value, gradients = call()
    first = time.perf_counter() - start
    if first > LATER:
        return f"its first call takes {first:.0f} s"
    result = _map(back, (value, tuple(gradients)))
    error = disagreement(result, getattr(by_hand, name)(*data.arguments(name, 0)))
    return "" if error <= TOLERANCE else f"WRONG: differs from NumPy by hand by {error:.1e}"


def raced(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Seconds a call of each, the median of the rounds, each of which begins with the next one."""
    times: dict[str, list[float]] = {key: [] for key in calls}
    keys = list(calls)
    clock = time.process_time
    for turn in range(rounds):
        for key in keys[turn % len(keys) :] + keys[: turn % len(keys)]:
            call = calls[key]
            call()  # to warm the caches
            start = clock()
            for _ in range(3):
                call()
            times[key].append((clock() - start) / 3)
    return {key: statistics.median(each) for key, each in times.items()}


def inside(framework: str, only: list[str], rounds: int) -> None:
    """Prints a line of JSON for each race."""
    _, back = handed_over(framework)
    for letter in only:
        name, count = WORKLOADS[letter]
        for race, calls in contestants(framework, name, count).items():
            failed: dict[str, str] = {}
            for key, call in calls.items():
                try:
                    failed[key] = checked(call, name, back if race == "own" else lambda x: x)
                except Exception as error:
                    failed[key] = f"{type(error).__name__}: {error}".splitlines()[0][:150]
            gc.collect()
            times = raced({k: c for k, c in calls.items() if not failed[k]}, rounds)
            line = {"workload": letter, "race": race, "times": times, "failed": failed}
            print("RACE", json.dumps(line), flush=True)


# -- outside: the table ----------------------------------------------------------------------------
def measured(framework: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    core = str(spare_core())
    command = [sys.executable, __file__, "--inside", framework, "--rounds", str(options.rounds)]
    done = subprocess.run(
        ["taskset", "-c", core, *command, "--only", ",".join(options.only)],
        env=environment(Path(__file__).parent) | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RACE ")]
    if done.returncode:
        print(f"{framework}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    return [json.loads(line.removeprefix("RACE ")) for line in lines]


def shown(framework: str, races: list[dict[str, Any]]) -> list[str]:
    lines = []
    for each in races:
        times, hand = each["times"], each["times"].get("by hand")
        cells = []
        for key in each["failed"]:
            if key in times:
                ratio = f" {times[key] / hand:5.2f}x" if hand and key != "by hand" else ""
                cells.append(f"{key} {1e3 * times[key]:7.2f} ms{ratio}")
            else:
                cells.append(f"{key}: {each['failed'][key]}")
        arrays = {"own": framework, "numpy": "numpy"}[each["race"]]
        lines.append(f"{framework:5} ({each['workload']}) {arrays:5}  " + "   ".join(cells))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frameworks", type=lambda text: text.split(","), default=[*FRAMEWORKS])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*WORKLOADS])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if unknown := {*options.only} - {*WORKLOADS} | {*options.frameworks} - {*FRAMEWORKS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.inside:
        inside(options.inside, options.only, options.rounds)
        return
    results = {}
    for framework in options.frameworks:
        if find_spec(FRAMEWORKS[framework]) is None:
            print(f"{framework:5} is not installed here")
            continue
        results[framework] = measured(framework, options)
        print("\n".join(shown(framework, results[framework])), flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
