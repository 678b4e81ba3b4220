"""Settings that change how every operation runs: `no_grad`, `debug_nans` and `debug_buffers`.

`active` counts the live blocks in all threads; whether one holds here is a ContextVar's to say.
While any is live the fast path of elementwise operations stands aside (`core.elementwise`), so the
settings cost nothing when they are off.
"""

from __future__ import annotations

import itertools
from _thread import allocate_lock  # threading itself takes 2 ms to import
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, is_inexact
from pycograd.core.blocks import Block
from pycograd.core.box import Box, raw
from pycograd.core.errors import NanError, PlainBufferError, user_line

active = 0
placing: Callable[[Any], list[Any]] | None = None  # set by core.device: moves inputs of transforms
homing: Callable[[Any, Any], Any] | None = None  # and cotangents to the device of their leaf
switches: list[Callable[[bool], None]] = []  # each turns a fast path on or off
_lock = allocate_lock()
levels = itertools.count(1)  # process-wide: a later trace is an inner one, in threads too
_no_grad: ContextVar[int] = ContextVar("no_grad", default=0)  # traces of lower levels stand still
_debug_nans: ContextVar[bool] = ContextVar("debug_nans", default=False)
_staging: ContextVar[Any] = ContextVar("staging", default=None)  # the capture of a sub-graph
_debug_buffers: ContextVar[bool] = ContextVar("debug_buffers", default=False)


def _mode(variable: ContextVar[Any], value: Any) -> Block[None]:
    return Block(variable, lambda: value, None, _count)


def _count(change: int) -> None:
    global active
    with _lock:
        active += change
        for switch in switches:
            switch(active == 0)


def staged(trace: Any) -> AbstractContextManager[None]:
    """A block whose operations are part of the sub-graph that `trace` writes.

    Operations on nothing but values of outer transforms are among them: a branch does nothing
    before it is chosen.
    """
    return _mode(_staging, trace)


def staging() -> Any:
    """The innermost capture of a sub-graph that is running, if any is."""
    return _staging.get()


def no_grad() -> Block[None]:
    """Operations inside the block are constants to every enclosing transform.

    A `grad` or `jvp` that begins inside the block is not concerned. A value written to inside it
    (`y[i] = v`) is a constant from there on.

    >>> def f(x):
    ...     with no_grad():
    ...         y = x * x
    ...     return y * x
    >>> grad(f)(3.0)
    (9.0,)
    """
    return Block(_no_grad, lambda: next(levels), None, _count)


def debug_nans() -> Block[None]:
    """Stops at the first operation that makes a nan, forward or backward, and names its line.

    Raises:
        NanError: an operation of a function being transformed, or its derivative, made a nan.

    >>> with debug_nans():
    ...     grad(lambda x: x * x)(3.0)
    (6.0,)
    """
    return _mode(_debug_nans, True)


def unchecked() -> AbstractContextManager[None]:
    """A block in which nans are let pass, for whoever checks what comes out of it."""
    return _mode(_debug_nans, False)


def debug_buffers() -> Block[None]:
    """Stops the reverse sweep where an array that was computed with has been changed since.

    Values are kept by reference until their derivative is there. An array that is refilled in
    between (`buffer[:] = ...` after `x * buffer`) would change what the derivative sees; inside the
    block every step keeps a copy besides, for comparison.

    Raises:
        PlainBufferError: such an array; the message names the operation that used it and its line.

    >>> with debug_buffers():
    ...     grad(lambda x: x * x)(3.0)
    (6.0,)
    """
    return _mode(_debug_buffers, True)


def stopped(trace: Any) -> bool:
    """True in a `no_grad` block that began after `trace`, and after any replay of a segment."""
    return bool(max(trace.level, trace.replaying) < _no_grad.get())


def watch(trace: Any, primitive: Any, values: Any, ans: Any) -> bool:
    """What the live settings ask of a finished operation; True: its result is a constant."""
    if _debug_nans.get():
        check_nan(primitive.name, values, ans)
    return stopped(trace)


def checking_nans() -> bool:
    """True inside a `debug_nans` block of this context."""
    return _debug_nans.get()


def check_nan(name: str, values: Any, ans: Any) -> None:
    """Raises `NanError` if `ans` has a nan; says whether an operand already had one."""
    if not has_nan(ans):
        return
    made = "passed on" if any(has_nan(v) for v in values) else "made"
    shapes = ", ".join(str(np.shape(raw(v))) for v in values)
    raise NanError(f"{name} {made} a nan; operand shapes {shapes}")


def checked(rule: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A step's rule that raises if it makes a nan, naming the line of the forward operation."""
    line = user_line()

    def run(ct: Any, *rest: Any) -> Any:
        found = rule(ct, *rest)
        if has_nan(found) and not has_nan(ct):
            raise NanError(f"the derivative of {name} made a nan, for the operation at {line}")
        return found

    return run


def checking_buffers() -> bool:
    """True inside a `debug_buffers` block of this context."""
    return _debug_buffers.get()


def guarded(rule: Callable[..., Any], residual: Any, name: str) -> Callable[..., Any]:
    """A step's rule that raises if an array it keeps has been changed since this call."""
    line = user_line()
    kept = [(array, array.copy()) for array in _arrays(residual)]

    def run(ct: Any, *rest: Any) -> Any:
        for array, before in kept:
            if array.tobytes() != before.tobytes():
                raise PlainBufferError(
                    f"{name} at {line} computed with an array of shape {array.shape} that was"
                    " changed before the derivative was taken, which needs what it held. Make a new"
                    " array in place of refilling one, or compute with a .copy() of it"
                )
        return rule(ct, *rest)

    return run


def _arrays(residual: Any) -> Iterator[Any]:
    """The arrays in a step's residual that can be written to."""
    if isinstance(residual, (tuple, list)):
        for part in residual:
            yield from _arrays(part)
    elif isinstance(residual, dict):
        yield from _arrays(list(residual.values()))
    elif isinstance(bottom := raw(residual), np.ndarray) and bottom.flags.writeable:
        yield bottom


def has_nan(x: Any) -> bool:
    """True if the array at the bottom of `x` holds a nan."""
    if isinstance(x, (tuple, list)):
        return any(has_nan(v) for v in x)
    x = raw(x) if isinstance(x, Box) else x
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return isinstance(x, (float, complex)) and x != x
    if isinstance(x, ShapeDtypeStruct):
        return False  # an abstract value has no data
    return is_inexact(dtype) and bool(np.isnan(x).any())
