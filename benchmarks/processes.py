"""The driver's end of a worker: a pinned process, asked, and killed when it takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

HERE: Final = Path(__file__).parent

# One thread for every BLAS; glibc keeps freed memory and gives large arrays memory it has (with
# its moving thresholds the page faults of a large case come and go from run to run). glibc heeds
# no mmap threshold above 32 MiB.
PINNED: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    "JAX_PLATFORMS": "cpu",
    "PYTHONHASHSEED": "0",
}
# OpenBLAS picks its kernels by the processor it finds; told to take another's, NumPy alone is slow.
DROPPED: Final = frozenset({"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"})


def environment(path: Path | None) -> dict[str, str]:
    """Returns the variables of a pinned process whose module path is `path` and nothing else.

    No other setting of Python is passed on: without byte code files every import would compile.
    """
    variables = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PYTHON") and key not in DROPPED
    }
    return variables | PINNED | ({"PYTHONPATH": str(path)} if path else {})


def spare_core() -> int:
    """Returns the core that every worker is pinned to, leaving the first to the driver."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


class Refusal(Exception):
    """The worker can't do what it was asked; the message says why."""


class Worker:
    """A contestant's process; `ask` it what `worker.py` answers."""

    def __init__(self, python: Path, module: str, path: Path | None, core: int) -> None:
        self._stderr = TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self._process = subprocess.Popen(
            [python, HERE / "worker.py", module, str(core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment(path),
            text=True,
        )
        try:
            self.versions: dict[str, str] = self._answer(60.0)["versions"]
        except Refusal:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, do: str, limit: float = 60.0, **details: Any) -> dict[str, Any]:
        """Returns the answer; raises `Refusal` if it fails, dies or takes over `limit` seconds."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and _answer says of what
            print(json.dumps({"do": do, **details}), file=self._process.stdin, flush=True)
        return self._answer(limit)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def _answer(self, limit: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(limit, give_up)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            self._process.wait()
            raise Refusal(f"no answer within {limit:.0f} s" if late.is_set() else self._death())
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise Refusal(" ".join(answer["failed"].split())[:160])
        return answer

    def _death(self) -> str:
        code = self._process.returncode
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"died: {how}" + (f": {last[:120]}" if last else "")
