"""The transparent mode: ordinary Python where NumPy's protocols are blind.

`math.sin(x)`, `float(x)`, `np.array([x, y])`, lists of values given to NumPy, and arrays made in
the function and filled with values. Transforms turn it on where a look at the code shows the need;
`transparent(f)` says so explicitly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["prepared", "transparent"]

# What these need is loaded by the first transform of a program, not by importing the package.


def transparent(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` in the transparent mode, whatever a look at its code would say.

    In it, and in the Python functions that it calls, functions of `math` and `cmath`, `float`,
    `complex`, `np.array` and its kin, lists given to NumPy functions and methods of plain arrays
    take differentiated values, and arrays that it makes (`np.zeros(n)`) may be filled with them.

    Arguments:
        f: a Python function, method, partial or callable instance.

    Returns:
        A function like `f`; outside of transforms it is `f`.

    Raises:
        TransparentModeError: `f` assigns globals, defines a class, asks for `globals()` or runs
            texts as code, or is no Python function: its names cannot be seen otherwise.

    >>> import math
    >>> grad(transparent(lambda x: math.sin(x)))(0.0)
    (1.0,)
    """
    from pycograd.transparent.mode import explicit

    return explicit(f)


def prepared(f: Any, asked: bool | None = None, indexed: bool = False) -> Any:
    """`f` as a transform runs it.

    Arguments:
        f: the user's function.
        asked: the keyword `transparent` of the transform: None looks at the code.
        indexed: entries of plain arrays may be taken at values of the transform.
    """
    if asked is False:
        return f
    from pycograd.transparent.mode import as_needed, explicit

    return explicit(f) if asked else as_needed(f, indexed)
