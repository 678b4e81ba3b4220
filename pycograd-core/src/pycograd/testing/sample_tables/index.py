"""Samples of `pycograd.ops.index` and of what takes and writes entries by it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.primitive import bind
from pycograd.ops.index import index_add, index_update, scatter
from pycograd.testing.samples import Draw, Sample

draw = Draw("index")

_ROWS = np.array([2, 0, 2, -1])  # an entry taken twice, one from the end
_COLUMNS = np.array([[1], [0]])
_MASK = np.array([True, False, True, True])


def _read(key: Any, name: str, *shape: int, **options: Any) -> Sample:
    primitive = "gather" if _has_arrays(key) else "index"
    return Sample(primitive, lambda x: x[key], [draw.normal(*shape)], name=name, **options)


def _has_arrays(key: Any) -> bool:
    return any(isinstance(e, (np.ndarray, list)) for e in (key if type(key) is tuple else (key,)))


def _written(key: Any, value_shape: tuple[int, ...], name: str, *shape: int) -> Sample:
    def write(x: Any, y: Any) -> Any:
        x = x + 0 * np.sum(y)  # a box if y is one, which a plain buffer could not take
        x[key] = y
        return x

    operands = [draw.normal(*shape), draw.normal(*value_shape)]
    return Sample("index_update", write, operands, name=name)


def _scattered(x: Any, at: Any) -> Any:
    return bind(scatter, (x, at), {"key": ("array",), "shape": (4, 3)})


def _added(x: Any, y: Any, at: Any) -> Any:
    return bind(index_add, (x, y, at), {"key": ("array",)})


def _added_part(x: Any, y: Any) -> Any:
    return bind(index_add, (x, y), {"key": (slice(1, None, 2), 0)})


def _updated(x: Any, y: Any, at: Any) -> Any:
    return bind(index_update, (x, y, at), {"key": (slice(None), "array")})


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
]
