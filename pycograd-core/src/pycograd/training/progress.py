"""A progress bar with the loss and the speed: on a terminal and in notebooks, silent elsewhere."""

from __future__ import annotations

import _thread
import io
import sys
from collections.abc import Callable, Generator, Iterable
from importlib import import_module
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_REFRESH = 0.1  # seconds between two drawings; in between an iteration costs one look at the clock
_screen = _thread.allocate_lock()  # held by the bar that is drawn; others stay silent meanwhile


class Progress(Generic[T]):
    """What `progress` returns: iterate it once, and `update` it with what to show."""

    def __init__(self, iterable: Iterable[T], total: int | None, description: str) -> None:
        self._iterable, self._total, self._description = iterable, total, description
        self._values: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]

    def update(self, **values: Any) -> None:
        """Sets what the bar shows beside its speed, such as `loss=0.25`."""
        self._values = values

    def __iter__(self) -> Generator[T, None, None]:
        started = _start(self._description, self._total)
        if started is None:
            yield from self._iterable
            return
        bar, show = started
        begun = drawn = monotonic()
        done = 0
        try:
            for item in self._iterable:
                yield item
                done += 1
                if (now := monotonic()) - drawn >= _REFRESH:
                    drawn = now
                    self._draw(bar, show, done, now - begun)
        finally:
            self._draw(bar, show, done, monotonic() - begun)
            bar.stop()
            _screen.release()

    def _draw(self, bar: Any, show: Callable[[], Any], done: int, seconds: float) -> None:
        words = [f"{name} {_text(value)}" for name, value in self._values.items()]
        speed = done / seconds if seconds else 0.0
        words.append(f"{speed:,.0f}/s" if speed >= 100 else f"{speed:.3g}/s")
        bar.update(bar.task_ids[0], completed=done, note="  ".join(words))
        show()


def progress(iterable: Iterable[T], total: int | None = None, description: str = "") -> Progress[T]:
    """Wraps an iterable so that a loop over it shows a progress bar.

    The bar is drawn by rich, if it is installed, on standard error if that is a terminal, or below
    the cell of a notebook; elsewhere, and inside another bar, the loop runs silently.

    Arguments:
        iterable: what to loop over.
        total: the number of items, where `len(iterable)` does not tell.
        description: the text in front of the bar.

    Returns:
        An iterable of the same items; call its `update(loss=...)` in the loop.

    >>> bar = progress(range(3), description="training")
    >>> for step in bar:
    ...     bar.update(loss=1.0 / (step + 1))
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    return Progress(iterable, total, description)


def _start(description: str, total: int | None) -> tuple[Any, Callable[[], Any]] | None:
    """A rich bar, and what shows how it is now; None where there is nobody to see it."""
    notebook = _in_a_kernel()
    if not (notebook or sys.stderr.isatty()):
        return None
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        return None
    if not _screen.acquire(blocking=False):
        return None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        # In a notebook rich would ask for ipywidgets: there it is one picture, shown again.
        console=Console(file=io.StringIO(), force_jupyter=False)
        if notebook
        else Console(stderr=True),
        auto_refresh=False,
    )
    bar.add_task(description, total=total, note="")
    if notebook:
        place = import_module("IPython.display").display(bar, display_id=True)
        return bar, lambda: place.update(bar)
    bar.start()
    return bar, bar.refresh


def _in_a_kernel() -> bool:
    """True in the process of a notebook's kernel, not in one that has only imported ipykernel."""
    module = sys.modules.get("ipykernel.kernelapp")
    return module is not None and module.IPKernelApp.initialized()


def _text(value: Any) -> str:
    try:
        return f"{value:.4g}"
    except (TypeError, ValueError):
        return str(value)
