"""Linear maps, embeddings and dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd import random
from pycograd.core import sizes
from pycograd.core.aval import shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.dtypes import current_dtype, resolve_dtype
from pycograd.core.errors import ShapeError
from pycograd.nn.arguments import as_array, integers, known
from pycograd.nn.spatial import ints
from pycograd.transforms.custom import stop_gradient

__all__ = ["dropout", "embedding", "linear", "one_hot"]


def linear(x: Any, w: Any, b: Any = None) -> Any:
    """`x @ w + b`.

    Arguments:
        x: (..., n).
        w: (n, m), the inputs along the first axis.
        b: (m,), or None.

    Returns:
        An array (..., m).

    Raises:
        ShapeError: shapes that do not fit.

    >>> linear(np.ones((2, 3)), np.ones((3, 1)), np.ones(1))
    array([[4.],
           [4.]])
    """
    x, w = as_array(x), as_array(w)
    _check_linear(shape_of(x), shape_of(w), None if b is None else shape_of(b))
    y = x @ w
    return y if b is None else y + b


def _check_linear(x: Any, w: Any, b: Any) -> None:
    try:
        if len(x) < 1 or len(w) != 2:
            raise ShapeError("linear: other numbers of axes")
        sizes.same_size(x[-1], w[0], "linear")
    except ShapeError as error:
        turned = len(x) > 0 and len(w) == 2 and x[-1] == w[1]
        raise ShapeError(
            f"linear: incompatible shapes {x} and {w}: x is (..., n), w is (n, m)"
            + ("; write w.T" if turned else "")
        ) from error
    if b is None:
        return
    try:
        if len(b) != 1:
            raise ShapeError("linear: other numbers of axes")
        sizes.same_size(b[0], w[1], "linear")
    except ShapeError as error:
        raise ShapeError(f"linear: b has shape {b}, not ({w[1]},)") from error


def one_hot(indices: Any, n: int, dtype: Any = None) -> Any:
    """Rows of the identity matrix.

    Arguments:
        indices: integers from 0 to n - 1, any shape.
        n: the length of a row.
        dtype: of the result; default `current_dtype()`.

    Returns:
        An array of shape `indices.shape + (n,)`.

    Raises:
        TypeError: indices that are not integers.
        ValueError: an index out of range.

    >>> one_hot(np.array([1, 0]), 3)
    array([[0., 1., 0.],
           [1., 0., 0.]])
    """
    indices = integers(indices, "one_hot")
    if not isinstance(n, Dim):
        (n,) = ints(n, 1, "one_hot", "n", least=0)
    numbers = known(indices)
    if numbers is not None and np.any((numbers < 0) | (numbers >= n)):
        raise ValueError(f"one_hot: indices from {numbers.min()} to {numbers.max()}, rows of {n}")
    dtype = current_dtype() if dtype is None else resolve_dtype(dtype)
    return np.astype(np.expand_dims(indices, -1) == np.arange(n), dtype)


def embedding(table: Any, indices: Any, padding_idx: int | None = None) -> Any:
    """The rows of a table.

    Arguments:
        table: (n, ...), one row for each index.
        indices: integers, any shape; negative ones count from the end, as in NumPy.
        padding_idx: the row that padding refers to, whose gradient stays zero.

    Returns:
        An array of shape `indices.shape + table.shape[1:]`.

    Raises:
        TypeError: indices that are not integers.
        IndexError: an index out of range.
        ValueError: a `padding_idx` that is no row.

    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    indices = integers(indices, "embedding")
    if isinstance(indices, Box) and not isinstance(table, Box):
        table = np.asarray(table, like=indices)  # of a plain array NumPy would not ask
    rows = np.take(table, indices, axis=0)
    if padding_idx is None:
        return rows
    size = shape_of(table)[0]
    if type(size) is int and not -size <= padding_idx < size:
        raise ValueError(f"embedding: padding_idx={padding_idx} is not one of the {size} rows")
    padded = indices % size == padding_idx % size
    behind = tuple(range(len(shape_of(indices)), len(shape_of(rows))))
    return np.where(np.expand_dims(padded, behind), stop_gradient(rows), rows)


def dropout(x: Any, p: float, training: bool = True, key: Any = None) -> Any:
    """Zeroes entries with probability `p` and divides the others by `1 - p`, which keeps the mean.

    Arguments:
        x: real or complex, any shape.
        p: from 0 to 1.
        training: False returns `x` as it is.
        key: a key of `pycograd.random`; the same key drops the same entries.

    Returns:
        An array like `x`.

    Raises:
        ValueError: `p` out of range, or no key.
        ShapeError: several keys.

    >>> from pycograd.random import key
    >>> sorted(set(dropout(np.ones(100), 0.5, key=key(0)).tolist()))
    [0.0, 2.0]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be from 0 to 1, not {p}")
    x = as_array(x)
    if not training or p == 0:
        return x
    if key is None:
        raise ValueError("dropout: training needs key=, such as pycograd.random.key(0)")
    if p == 1:
        return np.where(False, x * 1.0, 0)
    keep = random.bernoulli(key, 1 - p, shape_of(x), bool)
    if len(shape_of(keep)) != len(shape_of(x)):
        raise ShapeError(
            f"dropout: key= is one key, not an array of them of shape {shape_of(key)}; vmap"
            " over keys and rows of x"
        )
    return np.where(keep, x * (1 / (1 - p)), 0)
