"""Every operation, one definition each. Importing this package defines them all."""

from pycograd.ops import (
    astype,
    complex,
    contract,
    creation,
    cumulative,
    diagonal,
    einsum,
    elementwise,
    join,
    methods,
    operators,
    pad,
    rearrange,
    reduce,
    shape,
    sort,
    statistics,
)

operators.install()
methods.install()

__all__ = [
    "astype",
    "complex",
    "contract",
    "creation",
    "cumulative",
    "diagonal",
    "einsum",
    "elementwise",
    "join",
    "methods",
    "operators",
    "pad",
    "rearrange",
    "reduce",
    "shape",
    "sort",
    "statistics",
]
