"""`out=`: a finished result goes where the caller asked for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.box import Box
from pycograd.core.errors import PlainBufferError
from pycograd.core.fillable import Fillable
from pycograd.ops.operators import update


def deliver(result: Any, out: Any) -> Any:
    """`result`, written into `out` if there is one, as NumPy's `out=` does."""
    if type(out) is tuple and len(out) == 1:  # ufuncs give theirs in a tuple
        out = out[0]
    if out is None:
        return result
    if type(out) is Fillable:
        out[...] = result
        return out
    if isinstance(out, Box):
        return update(out, result)
    if isinstance(result, Box):
        raise plain_buffer("out=")
    np.copyto(out, result, casting="same_kind")
    return out


def plain_buffer(what: str) -> PlainBufferError:
    """The error for a differentiated value that `what` would write into a plain array."""
    return PlainBufferError(
        f"{what}: a differentiated value cannot be written into a plain array. Write y = y + x in"
        " place of y += x, or make the array with np.zeros(n, like=x), which accepts it, as"
        " transparent(f) does for the arrays that f makes"
    )
