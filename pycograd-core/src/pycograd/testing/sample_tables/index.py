"""Samples of `pycograd.ops.index`, `gather`, `assign` and `positions`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.primitive import bind
from pycograd.ops.index import index_add, index_update, scatter
from pycograd.testing.samples import Draw, Sample

draw = Draw("index")

_ROWS = np.array([2, 0, 2, -1])  # an entry taken twice, one from the end
_COLUMNS = np.array([[1], [0]])
_MASK = np.array([True, False, True, True])
_X, _SQUARE, _WIDE_MASK = draw.distinct(3, 4), draw.normal(3, 3), draw.mask(3, 4)
_CHOICES = draw.integers(2, 3, 4)
_COLUMN = np.array([[1], [0], [3]])
_FIXED: dict[str, Any] = {"symbolic": False}
_OPEN: dict[str, Any] = {"data_dependent_shape": True}


def _read(key: Any, name: str, *shape: int, **options: Any) -> Sample:
    primitive = "gather" if _has_arrays(key) else "index"
    return Sample(primitive, lambda x: x[key], [draw.normal(*shape)], name=name, **options)


def _has_arrays(key: Any) -> bool:
    return any(isinstance(e, (np.ndarray, list)) for e in (key if type(key) is tuple else (key,)))


def _written(key: Any, value_shape: tuple[int, ...], name: str, *shape: int) -> Sample:
    operands = [draw.normal(*shape), draw.normal(*value_shape)]
    return Sample("index_update", _after(lambda x, y: x.__setitem__(key, y)), operands, name=name)


def _after(write: Callable[[Any, Any], None]) -> Callable[[Any, Any], Any]:
    """The function of x and y that returns what `write` leaves in a copy of x."""

    def written(x: Any, y: Any) -> Any:
        x = x + 0 * np.sum(y)  # a box if y is one, which a plain buffer could not take
        write(x, y)
        return x

    return written


def _scattered(x: Any, at: Any) -> Any:
    return bind(scatter, (x, at), {"key": ("array",), "shape": (4, 3)})


def _added(x: Any, y: Any, at: Any) -> Any:
    return bind(index_add, (x, y, at), {"key": ("array",)})


def _added_part(x: Any, y: Any) -> Any:
    return bind(index_add, (x, y), {"key": (slice(1, None, 2), 0)})


def _updated(x: Any, y: Any, at: Any) -> Any:
    return bind(index_update, (x, y, at), {"key": (slice(None), "array")})


def _flat_in(x: Any, name: str = "in1d") -> Any:
    """The name of isin for the flattened array until NumPy 2.4, deprecated since 2.0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(np, name)(x, [1.0, 2.0])


SAMPLES = [
    _read(1, "row", 3, 4, symbolic=False),
    _read((-1, 2), "scalar", 3, 4, symbolic=False),
    _read((slice(1, None), slice(None, None, -1)), "slices", 3, 4),
    _read((slice(None, -1), None, Ellipsis, slice(1, 3)), "new-axis", 3, 2, 4),
    _read((Ellipsis, 0), "ellipsis", 3, 4),
    _read((), "everything", 3, 2),
    _read((slice(2, 2),), "nothing", 3, 2, symbolic=False),
    _read(_ROWS, "rows", 3, 4, symbolic=False),
    _read((slice(None), _ROWS), "columns", 3, 4),
    _read((_COLUMNS, slice(None), np.array([0, 1, 1])), "apart", 3, 2, 4, symbolic=False),
    _read((slice(None), _COLUMNS, 1), "beside-int", 3, 2, 4),
    _read((slice(None), _MASK), "mask", 3, 4),
    _read((np.ones((2, 4), bool),), "wide-mask", 2, 4, 3, symbolic=False),
    Sample("gather", lambda x, i: np.take(x, i, 0), [draw.normal(4, 3), draw.integers(4, 2, 2)]),
    Sample("gather", lambda x, i: np.take(x, i, 1), [draw.normal(2, 4), draw.integers(4, 3)]),
    Sample(
        "gather",
        lambda x, i: np.take_along_axis(x, i, 1),
        [draw.normal(3, 4), draw.integers(4, 3, 2)],
        name="along-axis",
    ),
    _written(1, (4,), "row", 3, 4),
    _written((slice(None), 2), (), "scalar", 3, 4),
    _written((slice(None, None, -2),), (1, 4), "broadcast", 3, 4),
    _written((_ROWS, 1), (4,), "repeated", 3, 4),
    _written((Ellipsis, _MASK), (3, 3), "mask", 3, 4),
    _written((_COLUMNS, slice(None), np.array([0, 1])), (2, 2, 2), "apart", 3, 2, 4),
    Sample("index_update", _updated, [draw.normal(2, 4), draw.normal(2, 3), draw.integers(4, 3)]),
    Sample("scatter", _scattered, [draw.normal(5, 3), draw.integers(4, 5)]),
    Sample("index_add", _added, [draw.normal(4, 2), draw.normal(3, 2), draw.integers(4, 3)]),
    Sample("index_add", _added_part, [draw.normal(4, 2), draw.normal(2)]),
    Sample("nonzero", np.flatnonzero, [draw.distinct(4)], data_dependent_shape=True),
    Sample("nonzero", np.argwhere, [draw.distinct(2, 3)], data_dependent_shape=True),
    Sample("distinct", np.unique, [draw.distinct(4)], data_dependent_shape=True),
    Sample(
        "distinct",
        lambda x: np.unique(x, axis=1, return_inverse=True),
        [draw.distinct(2, 3)],
        data_dependent_shape=True,
    ),
    *[
        Sample(
            "distinct",
            lambda x, f=f: tuple(f(x))[:2],
            [draw.distinct(4)],
            name=f.__name__,
            data_dependent_shape=True,
        )
        for f in (np.unique_all, np.unique_counts, np.unique_inverse)
    ],
    Sample(
        "distinct",
        lambda x: np.sort(np.unique_values(x)),  # NumPy gives them in any order
        [draw.distinct(4)],
        name="unique_values",
        data_dependent_shape=True,
    ),
    # -- what chooses entries
    Sample(
        "gather",
        lambda x, y: np.choose(_CHOICES, [x, y]),
        [_X, draw.positive(3, 4)],
        name="choose",
    ),
    Sample("gather", lambda x: np.compress([True, False, True], x, 0), [_X], name="compress"),
    Sample("gather", lambda x: np.extract(_WIDE_MASK, x), [_X], name="extract", **_FIXED),
    Sample("gather", lambda x: np.delete(x, 1, axis=1), [_X], name="delete"),
    Sample(
        "concatenate",
        lambda x, y: np.insert(x, [1, 2], y, axis=1),
        [_X, draw.normal(3, 2)],
        name="insert",
    ),
    Sample(
        "where",
        lambda x: np.piecewise(x, [x < 0, x >= 1], [lambda y: y * y, 2.0, lambda y: 3 * y]),
        [_X],
        name="piecewise",
    ),
    Sample(
        "where",
        lambda x, y: np.select([x > 0, y > 1], [x * x, y], 0.5),
        [_X, draw.positive(3, 4)],
        name="select",
    ),
    # -- what writes entries
    Sample(
        "where",
        _after(lambda x, y: np.copyto(x, y, where=_WIDE_MASK)),
        [_X, draw.normal(4)],
        name="copyto",
        symbolic=False,  # the mask has rows of its own
    ),
    Sample(
        "where",
        _after(lambda x, y: np.putmask(x, _WIDE_MASK, y)),
        [_X, draw.positive(3, 4)],
        name="putmask",
        **_FIXED,
    ),
    *[
        Sample("index_update", _after(write), [_X, draw.normal(*shape)], name=name, **_FIXED)
        for name, write, shape in (
            ("place", lambda x, y: np.place(x, _WIDE_MASK, y), (2,)),
            ("put", lambda x, y: np.put(x, [0, 5, 2], y), (3,)),
            ("put_along_axis", lambda x, y: np.put_along_axis(x, _COLUMN, y, 1), (3, 1)),
            ("fill_diagonal", lambda x, y: np.fill_diagonal(x, y), (3,)),
        )
    ],
    # -- positions
    Sample("nonzero", lambda x: np.nonzero(x > 0), [_X], name="all-axes", **_OPEN),
    *[
        Sample("gather", lambda x, f=f: x[f(x)], [_SQUARE], name=f.__name__, **_FIXED)
        for f in (np.diag_indices_from, np.tril_indices_from, np.triu_indices_from)
    ],
    Sample(
        "remainder", lambda i: np.unravel_index(i, (2, 3)), [draw.integers(6, 4)], name="unravel"
    ),
    Sample(
        "multiply",
        lambda i, j: np.ravel_multi_index((i, j), (3, 4)),
        [draw.integers(3, 5), draw.integers(4, 5)],
        name="ravel_multi_index",
    ),
    *[Sample("equal", _flat_in, [_X], name="in1d") for _ in (1,) if hasattr(np, "in1d")],
]
