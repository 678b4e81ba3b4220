"""Long formulas on large arrays, piece by piece: what lies in between stays in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

PIECE: Final = 1 << 17  # bytes: a few of these fit into an L2 cache


def is_plain(x: Any) -> bool:
    """True for an array of NumPy's own floats that is whole in memory, row by row."""
    return type(x) is np.ndarray and x.dtype.char in "fd" and x.flags.c_contiguous


def is_long(x: Any) -> bool:
    """True for a plain array for which `in_pieces` pays."""
    return type(x) is np.ndarray and x.nbytes >= PIECE and is_plain(x)


def in_pieces(run: Callable[..., None], out: Any, *operands: Any, scratch: int = 0) -> Any:
    """Writes `out` by `run(out, *operands, *scratch)` on equal parts of all of them.

    Arguments:
        run: writes its first argument, entry by entry; each entry depends on those of the operands
            at its place alone, so that parts and wholes agree to the last bit.
        out: what to fill, of any shape; contiguous.
        operands: arrays of that shape, contiguous too, or anything else, which is handed on.
        scratch: how many arrays like a part `run` gets to write into.

    Returns:
        `out`.

    >>> in_pieces(lambda out, x: np.add(x, 1, out), np.empty(3), np.arange(3.0))
    array([1., 2., 3.])
    """
    flat, length = out.reshape(-1), max(PIECE // out.dtype.itemsize, 1)
    flats = [x.reshape(-1) if isinstance(x, np.ndarray) else x for x in operands]
    spare = [np.empty(min(length, flat.size), out.dtype) for _ in range(scratch)]
    for start in range(0, flat.size, length):
        part = flat[start : start + length]
        parts = [x[start : start + length] if isinstance(x, np.ndarray) else x for x in flats]
        run(part, *parts, *[x[: part.size] for x in spare])
    return out
