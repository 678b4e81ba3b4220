"""Random numbers from explicit, splittable keys: the same key always gives the same draw.

A key is a plain `uint32[4]` array, the 128-bit key of the counter-based generator Philox-4x64
(Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). A draw reads the blocks from
counter 0 on; `split` and `fold_in` read single blocks of two other counter ranges, so children are
outputs of the cipher itself, and neither they nor their draws overlap the draws of the parent.
Philox passes BigCrush; two of n children coincide with a chance of some n^2 / 2^129.

One key is for one draw: drawing twice from a key repeats or correlates, which is the point when a
checkpointed function replays. A stack of keys `(..., 4)` draws independently for each key, and the
result has the leading axes of the stack in front, which is what `vmap` over keys needs.

Draws are made by `numpy.random.Generator`: a key gives the same numbers in every process and
thread; NumPy may change the algorithm of a distribution between its versions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import make_aval
from pycograd.core.box import Box
from pycograd.core.dims import Dim, broadcast_shapes
from pycograd.core.dtypes import DType, current_dtype, resolve_dtype
from pycograd.core.errors import ArgumentError, ShapeError, located
from pycograd.core.linear import ZeroDerivative

_FLOAT64: DType = np.dtype(np.float64)
_UINT32: DType = np.dtype(np.uint32)
_SPLIT, _FOLD = 1, 2  # highest word of the counter; draws have 0
_SIGNIFICANT_BITS = {"float16": 11, "bfloat16": 8}  # of the dtypes that Generator does not draw


def key(seed: int) -> np.ndarray[Any, Any]:
    """A key from a seed.

    Arguments:
        seed: a non-negative int of any size.

    Returns:
        A uint32 array of shape (4,); nearby seeds give unrelated keys.

    Raises:
        ValueError: a negative seed.

    >>> key(0).shape, key(0).dtype
    ((4,), dtype('uint32'))
    """
    seed = operator.index(seed)
    if seed < 0:
        raise ValueError(f"random.key: the seed must not be negative, not {seed}")
    words: np.ndarray[Any, Any] = np.random.SeedSequence(seed).generate_state(4)
    return words


# -- the draw: all the work on plain keys, one function ----------------------------------------
def _draw(key: Any, *numbers: Any, shape: tuple[int, ...], kind: str, dtype: DType) -> Any:
    """Draws an array from each key of a stack.

    Arguments:
        key: uint32, shape (..., 4).
        numbers: further arguments of the sampler, of shapes that broadcast with the stack.
        shape: of the draw from one key.
        kind: one of the samplers of this module, such as "normal".
        dtype: of the result.

    Returns:
        An array of shape `stack + shape`, `stack` being what `key.shape[:-1]` and the numbers
        broadcast to.

    """
    if any([isinstance(n, Dim) for n in shape]) and (trace := sizes.running()) is not None:
        return trace.process(draw, (key, *numbers), {"shape": shape, "kind": kind, "dtype": dtype})
    sampler = _SAMPLERS[kind]
    stack = np.broadcast_shapes(key.shape[:-1], *map(np.shape, numbers))
    if not stack:
        return sampler(key, shape, dtype, *map(_plain, numbers))
    keys = np.broadcast_to(key, (*stack, 4))
    each = [np.broadcast_to(n, stack) for n in numbers]
    result: Any = np.empty((*stack, *shape), dtype)
    for at in np.ndindex(stack):
        result[at] = sampler(keys[at], shape, dtype, *[_plain(n[at]) for n in each])
    return result


def _plain(number: Any) -> Any:
    return number.item() if hasattr(number, "item") else number


def _draw_shape(key: Any, *numbers: Any, shape: Any, kind: str, dtype: DType) -> Any:
    stack = sizes.broadcast(key.shape[:-1], *[n.shape for n in numbers], operation="random_draw")
    return make_aval((*stack, *shape), dtype)


def _draw_rows(size: int, values: Any, mapped: Any, **params: Any) -> Any:
    """A batch axis in front is one more axis of the stack, and of the numbers that differ."""
    ranks = [len(np.shape(x)) - m - (i == 0) for i, (x, m) in enumerate(zip(values, mapped))]
    values = [
        np.reshape(x, (size, *[1] * (max(ranks) - rank), *x.shape[1:])) if m else x
        for x, m, rank in zip(values, mapped, ranks)
    ]
    return draw(*values, **params)


draw: ZeroDerivative = ZeroDerivative("random_draw", _draw, shape=_draw_shape, batch=_draw_rows)


def _philox(key: Any, purpose: int = 0, index: int = 0) -> np.random.Philox:
    words = np.ascontiguousarray(key, np.uint32).view(np.uint64)
    return np.random.Philox(key=words, counter=np.array([0, index, 0, purpose], np.uint64))


def _generator(key: Any) -> np.random.Generator:
    return np.random.Generator(_philox(key))


def _split(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    return _philox(key, _SPLIT).random_raw(2 * shape[0]).view(np.uint32).reshape(shape)


def _fold_in(key: Any, shape: tuple[int, ...], dtype: DType, data: int) -> Any:
    if not 0 <= data < 1 << 64:
        raise ArgumentError(f"random.fold_in: data must be from 0 to 2**64 - 1, not {data}")
    return _philox(key, _FOLD, data).random_raw(2).view(np.uint32)


def _uniform(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    if bits := _SIGNIFICANT_BITS.get(dtype.name):
        # Only numbers that the dtype holds: rounding a finer draw would give 1.0 now and then.
        return (_generator(key).integers(0, 1 << bits, shape) / (1 << bits)).astype(dtype)
    single = dtype == np.float32
    drawn = _generator(key).random(shape, np.float32 if single else np.float64)
    return drawn.astype(dtype, copy=False)


def _normal(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    if dtype.kind == "c":  # unit variance, half of it in each part
        parts = _normal(key, (*shape, 2), np.finfo(dtype).dtype) * math.sqrt(0.5)
        return (parts[..., 0] + 1j * parts[..., 1]).astype(dtype, copy=False)
    wide = dtype.itemsize >= 8
    drawn = _generator(key).standard_normal(shape, np.float64 if wide else np.float32)
    return drawn.astype(dtype, copy=False)


def _gumbel(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    return _generator(key).gumbel(size=shape).astype(dtype, copy=False)


def _randint(key: Any, shape: tuple[int, ...], dtype: DType, low: int, high: int) -> Any:
    if low >= high:
        raise ArgumentError(
            f"random.randint: no integers from {low} up to, but not including, {high}"
        )
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if low < least or high - 1 > most:
        raise ArgumentError(
            f"random.randint: {dtype} does not hold all integers from {low} to {high - 1}"
        )
    return _generator(key).integers(low, high, shape, dtype)


def _permutation(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    return _generator(key).permutation(shape[0]).astype(dtype, copy=False)


def _truncated_normal(
    key: Any, shape: tuple[int, ...], dtype: DType, lower: float, upper: float
) -> Any:
    """By rejection (Robert 1995): exact in the tails too, and at least a third is accepted."""
    rng = _generator(key)
    if mirrored := upper <= 0:
        lower, upper = -upper, -lower
    width, rate = upper - lower, (lower + math.hypot(lower, 2)) / 2
    if width < (math.sqrt(2 * math.pi) if lower < 0 else 1 / rate):
        nearest = max(lower, 0.0)

        def propose(n: int) -> tuple[Any, Any]:
            x = rng.uniform(lower, upper, n)
            return x, np.exp((nearest - x) * (nearest + x) / 2)

    elif lower < 0:

        def propose(n: int) -> tuple[Any, Any]:
            x = rng.standard_normal(n)
            return x, (x >= lower) & (x <= upper)

    else:

        def propose(n: int) -> tuple[Any, Any]:
            x = lower + rng.standard_exponential(n) / rate
            return x, np.exp(-((x - rate) ** 2) / 2) * (x <= upper)

    result = np.empty(math.prod(shape))
    missing = np.arange(result.size)
    while missing.size:
        x, chance = propose(missing.size)
        accepted = rng.random(missing.size) < chance
        result[missing[accepted]] = x[accepted]
        missing = missing[~accepted]
    return (-result if mirrored else result).reshape(shape).astype(dtype, copy=False)


_SAMPLERS: dict[str, Callable[..., Any]] = {
    "split": _split,
    "fold_in": _fold_in,
    "uniform": _uniform,
    "normal": _normal,
    "gumbel": _gumbel,
    "randint": _randint,
    "permutation": _permutation,
    "truncated_normal": _truncated_normal,
}


# -- keys from keys ----------------------------------------------------------------------------
def split(key: Any, num: int = 2) -> Any:
    """Independent new keys from one key, which should not be used again.

    Arguments:
        key: a key (4,), or a stack of them.
        num: how many.

    Returns:
        A uint32 array (num, 4); the first keys are the same for every `num`.

    Raises:
        TypeError: not a key.

    >>> first, second = split(key(0))
    >>> split(key(0), 5).shape
    (5, 4)
    """
    return draw(_key(key, "split"), shape=(_size(num), 4), kind="split", dtype=_UINT32)


def fold_in(key: Any, data: int) -> Any:
    """A new key from a key and a number, such as a step or the index of a layer.

    Arguments:
        key: a key (4,), or a stack of them.
        data: an int, 0 <= data < 2**64; under `vmap` each row may have its own.

    Returns:
        A uint32 array (4,).

    Raises:
        TypeError: not a key, or not an int.
        ValueError: data out of range.

    >>> step_key = fold_in(key(0), 17)
    """
    data = _integer(data, "fold_in", "data")
    return draw(_key(key, "fold_in"), data, shape=(4,), kind="fold_in", dtype=_UINT32)


def _key(key: Any, asked: str) -> Any:
    """The key itself, checked, so that a plain list of words becomes an array."""
    if not isinstance(key, (np.ndarray, Box)):
        raise TypeError(f"random.{asked}: {key!r} is not a key; make one with random.key(seed)")
    if key.dtype != _UINT32 or not key.shape or key.shape[-1] != 4:
        raise TypeError(
            f"random.{asked}: a key is uint32[4], not {key.dtype} of shape {key.shape};"
            " make one with random.key(seed)"
        )
    return key


def _integer(x: Any, asked: str, argument: str) -> Any:
    """An int, or the box of one: a number that differs between rows, or is an input of a graph."""
    if not isinstance(x, Box):
        return operator.index(x)
    if x.dtype.kind not in "iu" or x.shape != ():
        raise TypeError(
            located(
                f"random.{asked}: {argument} must be an integer, not {x.dtype} of shape {x.shape}"
            )
        )
    return x


def _size(n: Any) -> Any:
    if isinstance(n, Dim):
        return n
    size = operator.index(n)
    if size < 0:
        raise ValueError(f"random: a size must not be negative, not {size}")
    return size


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(map(_size, shape)) if hasattr(shape, "__iter__") else (_size(shape),)


def _fitting(asked: str, size: tuple[int, ...], *parameters: Any) -> tuple[int, ...]:
    """`size`, to which the parameters of a distribution must broadcast."""
    for parameter in parameters:
        if broadcast_shapes(size, np.shape(parameter), operation=f"random.{asked}") != size:
            raise ShapeError(
                f"random.{asked}: a parameter of shape {np.shape(parameter)} does not broadcast to"
                f" the shape {size} of the draw"
            )
    return size


def _real(dtype: Any, asked: str) -> DType:
    chosen = current_dtype() if dtype is None else resolve_dtype(dtype)
    if chosen.kind == "c":
        raise ValueError(f"random.{asked} draws real numbers, not {chosen}: give a real dtype=")
    return chosen


# -- distributions -----------------------------------------------------------------------------
def uniform(key: Any, shape: Any = (), low: Any = 0.0, high: Any = 1.0, dtype: Any = None) -> Any:
    """Uniform draws from `[low, high)`.

    Arguments:
        key: a key (4,), or a stack of them.
        shape: an int or a tuple.
        low, high: the bounds; numbers, or arrays that broadcast to `shape`. Derivatives with
            respect to them flow.
        dtype: a real float dtype; default `current_dtype()`.

    Returns:
        An array of that shape and dtype.

    Raises:
        TypeError: not a key.
        ValueError: a complex or integer dtype; bounds of another shape (`ShapeError`).

    >>> bool(np.all(uniform(key(0), (100,), 2.0, 3.0) >= 2.0))
    True
    """
    chosen = _real(dtype, "uniform")
    size = _fitting("uniform", _shape(shape), low, high)
    u = draw(_key(key, "uniform"), shape=size, kind="uniform", dtype=chosen)
    plain = not isinstance(low, Box) and not isinstance(high, Box)
    if plain:
        if np.ndim(low) == 0 == np.ndim(high) and low == 0.0 and high == 1.0:
            return u
        low, high = np.asarray(low, chosen), np.asarray(high, chosen)
    x = low + (high - low) * u
    # Rounding can reach `high` itself.
    return np.minimum(x, np.maximum(np.nextafter(high, low), low)) if plain else x


def normal(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draws of mean 0 and variance 1.

    Arguments:
        key: a key (4,), or a stack of them.
        shape: an int or a tuple.
        dtype: a float or complex dtype; default `current_dtype()`. Complex draws have half the
            variance in each part.

    Returns:
        An array of that shape and dtype.

    Raises:
        TypeError: not a key.

    >>> normal(key(0), (2, 3)).shape
    (2, 3)
    """
    chosen = current_dtype() if dtype is None else resolve_dtype(dtype)
    return draw(_key(key, "normal"), shape=_shape(shape), kind="normal", dtype=chosen)


def truncated_normal(
    key: Any, lower: float = -2.0, upper: float = 2.0, shape: Any = (), dtype: Any = None
) -> Any:
    """Draws of the standard normal distribution restricted to an interval.

    Arguments:
        key: a key (4,), or a stack of them.
        lower, upper: the ends, numbers; may be infinite.
        shape: an int or a tuple.
        dtype: a real float dtype; default `current_dtype()`.

    Returns:
        An array of that shape and dtype, all of it within the ends (rounded to the dtype).

    Raises:
        TypeError: not a key.
        ValueError: `lower` is not below `upper`.

    >>> bool(np.max(truncated_normal(key(0), 5.0, 6.0, (100,))) <= 6.0)
    True
    """
    lower, upper = float(lower), float(upper)
    if not lower < upper or lower == math.inf or upper == -math.inf:
        raise ValueError(f"random.truncated_normal: no interval from {lower} to {upper}")
    return draw(
        _key(key, "truncated_normal"),
        lower,
        upper,
        shape=_shape(shape),
        kind="truncated_normal",
        dtype=_real(dtype, "truncated_normal"),
    )


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, dtype: Any = None) -> Any:
    """Draws of 1 with probability `p`, else 0.

    Arguments:
        key: a key (4,), or a stack of them.
        p: the probability, a number or an array that broadcasts to `shape`.
        shape: an int or a tuple; default the shape of `p`.
        dtype: of the zeros and ones, `bool` and integers included; default `current_dtype()`.

    Returns:
        An array of that shape and dtype.

    Raises:
        TypeError: not a key.
        ValueError: a number `p` outside [0, 1], or of another shape (`ShapeError`).

    >>> bernoulli(key(0), 0.5, (4,), dtype=bool).dtype
    dtype('bool')
    """
    if not isinstance(p, Box) and not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise ValueError(f"random.bernoulli: p must be from 0 to 1, not {p}")
    chosen = current_dtype() if dtype is None else _any_dtype(dtype)
    size = _fitting("bernoulli", np.shape(p) if shape is None else _shape(shape), p)
    u = draw(_key(key, "bernoulli"), shape=size, kind="uniform", dtype=_FLOAT64)
    return np.where(u < p, np.ones((), chosen), np.zeros((), chosen))


def _any_dtype(dtype: Any) -> DType:
    return resolve_dtype(dtype) if isinstance(dtype, str) else np.dtype(dtype)


def randint(key: Any, low: int, high: int, shape: Any = (), dtype: Any = np.int64) -> Any:
    """Uniform integers from `low` to `high - 1`.

    Arguments:
        key: a key (4,), or a stack of them.
        low, high: ints; under `vmap` each row may have its own.
        shape: an int or a tuple.
        dtype: an integer dtype.

    Returns:
        An array of that shape and dtype.

    Raises:
        TypeError: not a key.
        ValueError: an empty range, or one that the dtype does not hold.

    >>> sorted({int(i) for i in randint(key(0), 1, 7, (100,))})
    [1, 2, 3, 4, 5, 6]
    """
    found = np.dtype(dtype)
    if found.kind not in "iub":
        raise TypeError(
            located(f"random.randint draws integers, not {found}: give an integer dtype=")
        )
    return draw(
        _key(key, "randint"),
        _integer(low, "randint", "low"),
        _integer(high, "randint", "high"),
        shape=_shape(shape),
        kind="randint",
        dtype=found,
    )


def permutation(key: Any, x: Any, axis: int = 0) -> Any:
    """An array in random order along one axis, or the numbers 0 to x - 1 in random order.

    Arguments:
        key: a key (4,), or a stack of them.
        x: an array, or an int.
        axis: the axis to shuffle, of an array.

    Returns:
        An array like x; for an int, int64 of shape (x,).

    Raises:
        TypeError: not a key.

    >>> sorted(int(i) for i in permutation(key(0), 4))
    [0, 1, 2, 3]
    """
    counted = isinstance(x, (int, np.integer))
    n = _size(x) if counted else np.shape(x)[axis]
    order = draw(_key(key, "permutation"), shape=(n,), kind="permutation", dtype=np.dtype(np.int64))
    if counted:
        return order
    axis, stacked = axis % np.ndim(x), np.ndim(order) - 1
    if isinstance(order, Box) and not isinstance(x, Box):
        x = np.asarray(x, like=order)  # of a plain array NumPy would not ask
    taken = np.take(x, order, axis=axis)
    return np.moveaxis(taken, range(axis, axis + stacked), range(stacked)) if stacked else taken


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Any:
    """Draws of class indices with probabilities `softmax(logits)`.

    Arguments:
        key: a key (4,), or a stack of them.
        logits: unnormalised log-probabilities, the classes along `axis`; -inf excludes a class.
        axis: the axis of the classes.
        shape: of the result; default that of `logits` without `axis`, which it must end with.

    Returns:
        int64 indices.

    Raises:
        TypeError: not a key.
        ValueError: a nan or +inf among the logits, or a row that excludes every class.

    >>> categorical(key(0), np.array([-np.inf, 0.0, -np.inf]), shape=(3,))
    array([1, 1, 1])
    """
    logits = np.moveaxis(logits, axis, -1)
    *batch, classes = np.shape(logits)
    if not isinstance(logits, Box) and not np.all(np.isfinite(np.max(logits, axis=-1))):
        raise ValueError(
            "random.categorical: every row of logits needs a finite maximum"
            " (found nan, +inf, or -inf for all classes)"
        )
    size = tuple(batch) if shape is None else _shape(shape)
    if size[len(size) - len(batch) :] != tuple(batch):
        raise ValueError(
            f"random.categorical: shape {size} does not end with {tuple(batch)}, the shape of"
            " logits without its classes"
        )
    # Gumbel-max: argmax of logits + Gumbel noise is distributed as softmax(logits).
    noise = draw(_key(key, "categorical"), shape=(*size, classes), kind="gumbel", dtype=_FLOAT64)
    return np.argmax(logits + noise, axis=-1)
