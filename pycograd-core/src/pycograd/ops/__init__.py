"""Every operation, one definition each. Importing this package defines them all."""

from pycograd.ops import (
    assign,
    astype,
    complex,
    contract,
    creation,
    cumulative,
    diagonal,
    einsum,
    elementwise,
    gather,
    index,
    join,
    methods,
    operators,
    pad,
    positions,
    rearrange,
    reduce,
    shape,
    sort,
    statistics,
    ufuncs,
)

operators.install()
methods.install()

__all__ = [
    "assign",
    "astype",
    "complex",
    "contract",
    "creation",
    "cumulative",
    "diagonal",
    "einsum",
    "elementwise",
    "gather",
    "index",
    "join",
    "methods",
    "operators",
    "pad",
    "positions",
    "rearrange",
    "reduce",
    "shape",
    "sort",
    "statistics",
    "ufuncs",
]
