"""TensorFlow, imported without the lines that its C++ code writes to the terminal.

They come before its logging is set up, so no setting of it stops them: the descriptor itself is
turned away while TensorFlow starts. What it said is shown if it does not start.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from threading import RLock
from typing import Any

_lock = RLock()


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which nothing reaches the standard error, unless it raises."""
    try:
        saved = os.dup(2)
    except OSError:  # there is none to turn away
        yield
        return
    with tempfile.TemporaryFile() as kept:
        try:
            os.dup2(kept.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(saved, 2)
        except BaseException:
            kept.seek(0)
            os.write(2, kept.read())
            raise
        finally:
            os.close(saved)


@cache
def tensorflow() -> Any:
    """The library, with its devices found."""
    with _lock:
        if "tensorflow" in sys.modules:
            return import_module("tensorflow")
        with _quiet():
            library = import_module("tensorflow")
            library.config.list_physical_devices()
        return library
