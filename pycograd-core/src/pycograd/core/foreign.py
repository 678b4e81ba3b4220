"""Other libraries of arrays: whose a file or an array is, and what to write in its place.

Nothing of them is imported here.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Final

OTHERS: Final = frozenset({"cupy", "jax", "tensorflow", "torch"})  # that have arrays of their own

_PACKAGES = re.compile(r".*[/\\](?:site|dist)-packages[/\\](\w+)")
_LIBRARIES = {
    **{name: name for name in ("numpy", "scipy", *OTHERS)},
    "jaxlib": "jax",
    "keras": "tensorflow",
    "cupyx": "cupy",
}
_COMPILING = {"torch": "torch", "jax": "jax", "tensorflow": "tf"}  # the names of their backends


@lru_cache(maxsize=4096)
def library_at(path: str) -> str:
    """The library that a file is part of; empty for any other file."""
    found = _PACKAGES.match(path)
    if found is not None and found[1] in _LIBRARIES:
        return _LIBRARIES[found[1]]
    return "numpy" if f"{os.sep}numpy{os.sep}" in path else ""


def library_of(x: object) -> str:
    """The library whose own array `x` is; empty for NumPy's, for ours and for all else."""
    kind = type(x)
    library = _LIBRARIES.get(kind.__module__.partition(".")[0], "")
    return library if library in OTHERS and hasattr(kind, "device") else ""


def is_variable(x: object) -> bool:
    """True for a tf.Variable, which as an array of NumPy's is a copy of what is in it now."""
    return library_of(x) == "tensorflow" and any(c.__name__ == "Variable" for c in type(x).__mro__)


def instead_of_arrays(library: str) -> str:
    """What to give in the place of a library's arrays."""
    home = "cupy.asnumpy(a)" if library == "cupy" else "np.asarray(a)"
    backend = _COMPILING.get(library)
    own = f", or call compile_to(f, {backend!r}), which takes them" if backend else ""
    return f"Give {home}{own}"


def instead_of_functions(library: str) -> str:
    """What to write in the place of a library's functions."""
    backend = _COMPILING.get(library)
    code = f", of which compile_to(f, {backend!r}) makes code of {library}" if backend else ""
    return f"Write NumPy's functions{code}, and np.asarray(a) for an array a of {library}"
