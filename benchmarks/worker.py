"""One contestant in a process of its own, answering the driver's requests until its input ends.

    python worker.py MODULE CORE

A request and its answer are a line of JSON each, on standard input and output:

    {"do": "prepare", "function": "mlp", "size": 0}   -> {"first": seconds of the first call,
                                                         "error": against NumPy by hand}
    {"do": "time", "calls": 10}                       -> {"seconds": per call}
    {"do": "peak"}                                    -> {"bytes": at most, during one call}

The first line, unasked, is {"versions": {...}}. A request that fails answers {"failed": why}.
Seconds are the processor's: with all threads on one core that is the time of the clock, less what
other programs took meanwhile.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from typing import Any, TextIO


class Session:
    """A contestant's module and the call that was prepared last."""

    def __init__(self, module: str) -> None:
        self.module = importlib.import_module(f"contestants.{module}")
        self.call: Callable[[], Any] = lambda: None

    def versions(self) -> dict[str, str]:
        library = self.module.DISTRIBUTION
        try:
            own = version(library)
        except PackageNotFoundError:  # on the path without being installed
            own = importlib.import_module(library).__version__
        return {"python": platform.python_version(), "numpy": version("numpy"), library: own}

    def prepare(self, function: str, size: int) -> dict[str, float]:
        import data
        from contestants import by_hand

        reason = getattr(self.module, "UNSUPPORTED", {}).get(function)
        if reason is not None:
            raise NotImplementedError(reason)
        run = getattr(self.module, function)
        args = _map(self.module.array, data.arguments(function, size))
        self.call = lambda: run(*args)
        start = time.process_time()
        result = self.call()
        first = time.process_time() - start
        expected = getattr(by_hand, function)(*data.arguments(function, size))
        return {"first": first, "error": disagreement(result, expected)}

    def time(self, calls: int) -> dict[str, float]:
        """Times calls back to back; where there are several, one before them warms the caches."""
        call = self.call
        if calls > 1:
            call()
        start = time.process_time()
        for _ in repeat(None, calls):
            call()
        return {"seconds": (time.process_time() - start) / calls}

    def peak(self) -> dict[str, int]:
        tracemalloc.start()
        self.call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return {"bytes": peak}


def disagreement(result: Any, expected: Any) -> float:
    """Returns the largest error of any array, relative to that array's largest entry."""
    import numpy as np

    ours, theirs = list(_arrays(result)), list(_arrays(expected))
    if [(a.shape, a.dtype) for a in ours] != [(a.shape, a.dtype) for a in theirs]:
        raise TypeError(f"results are {_kinds(ours)}, by hand {_kinds(theirs)}")
    with np.errstate(divide="ignore"):
        return max(
            float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
            for a, b in zip(ours, theirs, strict=True)
        )


def _kinds(arrays: list[Any]) -> str:
    return ", ".join(f"{a.dtype}{list(a.shape)}" for a in arrays)


def _arrays(tree: Any) -> Iterator[Any]:
    import numpy as np

    if isinstance(tree, tuple | list):
        for branch in tree:
            yield from _arrays(branch)
    else:
        yield np.asarray(tree)


def _map(f: Callable[[Any], Any], tree: Any) -> Any:
    return tuple(_map(f, branch) for branch in tree) if isinstance(tree, tuple) else f(tree)


def _claim_stdout() -> TextIO:
    """Keeps standard output for the answers alone; what a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def main(module: str, core: int) -> None:
    answers = _claim_stdout()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})  # before any library counts the cores
    try:
        session = Session(module)
        print(json.dumps({"versions": session.versions()}), file=answers)
    except Exception as error:
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), file=answers)
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request.pop("do"))(**request)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
