"""TensorFlow, imported without the lines that its C++ code writes to the terminal.

They come before its logging is set up, so no setting of it stops them: the descriptor itself is
turned away while TensorFlow starts. What anybody else said meanwhile comes after, and what
TensorFlow said if it does not start.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from typing import Any

_lock = Lock()
_OF_ITS_LOG = re.compile(
    rb"[IWE]\d{4} \d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|WARNING: All log messages before absl::|To enable the following instructions: "
)


@contextmanager
def quietly() -> Iterator[None]:
    """A block in which nothing of TensorFlow's log reaches the standard error, unless it raises."""
    try:
        saved = os.dup(2)
    except OSError:  # there is none to turn away
        yield
        return
    with tempfile.TemporaryFile() as kept:
        try:
            os.dup2(kept.fileno(), 2)
            yield
        except BaseException:
            _restore(saved)
            _show(kept, re.compile(rb"(?!)"))
            raise
        _restore(saved)
        _show(kept, _OF_ITS_LOG)


def _restore(saved: int) -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(saved, 2)
    os.close(saved)


def _show(kept: Any, hidden: re.Pattern[bytes]) -> None:
    kept.seek(0)
    for line in kept:
        if not hidden.match(line):
            os.write(2, line)


def tensorflow() -> Any:
    """The library, with its devices found."""
    with _lock:
        if "tensorflow" not in sys.modules:
            with quietly():
                import_module("tensorflow").config.list_physical_devices()
    return import_module("tensorflow")
