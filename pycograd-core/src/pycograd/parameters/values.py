"""The values of parameters: memory of their own, and what may be written into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from pycograd.core.aval import aval_of, is_inexact
from pycograd.core.box import Box, refuse_masks
from pycograd.core.dtypes import current_dtype
from pycograd.core.errors import NotDifferentiableError, ParameterError, ShapeError
from pycograd.core.fillable import settled
from pycograd.core.tree import is_node
from pycograd.parameters.weight import Info, Weight, in_pass
from pycograd.transforms.capture import capturing


def is_numeric(x: Any) -> bool:
    """True for what can be a parameter: arrays and numbers."""
    if isinstance(x, (Box, np.ndarray, np.generic)):
        return x.dtype.kind in "biufcV" and not x.dtype.names
    return isinstance(x, (float, complex, int))


def write(changes: Iterable[tuple[Weight, Any]]) -> None:
    """Writes values into weights; all are looked at before the first is written."""
    put(fitting(changes))


def fitting(changes: Iterable[tuple[Weight, Any]]) -> list[tuple[Weight, Any]]:
    """The changes, ready to be written; raises if one does not fit."""
    ready = []
    for weight, value in changes:
        value = settled(value)
        value = value if hasattr(value, "dtype") else np.asarray(value)
        _check(weight, value)
        ready.append((weight, value))
    return ready


def put(ready: Iterable[tuple[Weight, Any]]) -> None:
    """Writes what `fitting` has looked at."""
    for weight, value in ready:
        if type(weight.array) is np.ndarray:
            weight.array[...] = np.asarray(value)
        else:
            weight.array = _placed(value, weight.array)


def paired(entry: Any, value: Any, name: str) -> Iterator[tuple[Weight, Any]]:
    """Each weight of an entry with its part of a value that is nested in the same way."""
    if type(entry) is Weight:
        yield entry, value
        return
    if isinstance(entry, (list, tuple)):
        fits = isinstance(value, (list, tuple)) and len(value) == len(entry)
        parts: Any = zip(range(len(entry)), entry, value) if fits else ()
    else:
        fits = isinstance(value, Mapping) and value.keys() == entry.keys()
        parts = [(key, entry[key], value[key]) for key in entry] if fits else ()
    if not fits:
        raise ParameterError(f"{name!r} is {_nesting(entry)}; its new value is {_nesting(value)}")
    for key, inside, part in parts:
        if type(inside) is Weight or is_node(type(inside)):
            yield from paired(inside, part, f"{name}.{key}")


def _nesting(x: Any) -> str:
    if isinstance(x, Mapping):
        return f"a dict with the keys {list(x)}"
    return f"a list of {len(x)}" if isinstance(x, (list, tuple)) else f"a {type(x).__name__}"


def _check(weight: Weight, value: Any) -> None:
    name = weight.info.name
    if isinstance(value, Box) and not value.bottom:
        raise ParameterError(
            f"{name!r}: a value of a running transform cannot be stored in a parameter; return it,"
            " and write it outside"
        )
    if capturing.get() is not None:
        raise ParameterError(
            f"{name!r}: a compiled function would write it once, when it is captured; return the"
            " new value, and write it outside"
        )
    if not weight.info.mutable and in_pass([weight]):
        raise ParameterError(f"{name!r}: the objective cannot change the weights that it reads")
    have, got = aval_of(weight.array), aval_of(value)
    if have.shape != got.shape:
        raise ShapeError(f"{name!r} has shape {have.shape}, its new value {got.shape}")
    if not np.can_cast(got.dtype, have.dtype, "same_kind"):
        raise ParameterError(
            f"{name!r} is of dtype {have.dtype}, its new value of {got.dtype}, which would lose"
            " something"
        )


def _placed(value: Any, like: Any) -> Any:
    """A value as one of the same dtype on the device of another."""
    if isinstance(value, Box) and value.dtype == like.dtype:
        return value if value._trace is like._trace else like._trace.constant(value)
    return like._trace.constant(np.asarray(value).astype(like.dtype))


def equal(x: Any, y: Any) -> bool:
    """True if two values are the same, down to the last bit."""
    x, y = np.asarray(settled(x)), np.asarray(settled(y))
    return bool(x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes())


def owned(value: Any, info: Info) -> Any:
    """A value in memory that belongs to the parameter, on its device."""
    name, value = info.name, settled(value)
    refuse_masks(value)
    if not is_numeric(value):
        raise TypeError(f"params: {name!r} is a {type(value).__name__}, not an array or a number")
    if isinstance(value, (float, complex)) and not isinstance(value, np.generic):
        dtype = np.result_type(current_dtype(), np.complex64) if type(value) is complex else None
        value = np.array(value, dtype or current_dtype())
    elif not isinstance(value, Box):
        value = np.array(value)
    if info.trainable and not is_inexact(value.dtype):
        _refuse_integers(name, value)
    if info.device is None:
        return value
    from pycograd.core.device import trace_of
    from pycograd.plugins.hub import resolve

    backend, place = resolve(info.device)
    return value if backend.name == "numpy" else trace_of(backend, place).constant(value)


def _refuse_integers(name: str, value: Any) -> NoReturn:
    one = not value.shape and not isinstance(value, Box)
    fix = f"{float(value)!r} in the place of {value.item()!r}" if one else "x.astype(float)"
    raise NotDifferentiableError(
        f"params: {name!r} is of dtype {value.dtype}, which is not trained: write {fix}, or"
        " frozen(...) if it is meant to stay"
    )
