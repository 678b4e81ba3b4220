"""Attention over sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, make_aval, promote, shape_of
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError
from pycograd.core.fit import fit
from pycograd.core.linear import aligned
from pycograd.core.pieces import PIECE
from pycograd.core.primitive import Primitive
from pycograd.nn.arguments import as_array, floating
from pycograd.nn.layers import linear
from pycograd.nn.softmax import softmax, softmax_map
from pycograd.nn.spatial import ints
from pycograd.ops.counting import below

__all__ = ["multi_head_attention", "scaled_dot_product_attention"]


# -- the primitive ---------------------------------------------------------------------------------
def _value(
    q: Any, k: Any, v: Any, mask: Any = None, *, causal: bool, wanted: Any = None
) -> tuple[Any, Any]:
    """`(weights @ v, weights)`; `wanted` is of lowerings, of which NumPy's is this."""
    if mask is None and _are_many(q, k, v):
        return _by_parts(q, k, v, causal)
    scores = (q * _scale(q)) @ np.matrix_transpose(k)
    n, m = shape_of(scores)[-2:]
    keep = below(n, m, 0) if causal else None
    if mask is None:
        # Every query sees key 0.
        weights = softmax(scores if keep is None else np.where(keep, scores, -np.inf))
        return weights @ v, weights
    if dtype_of(mask).kind == "b":
        keep = mask if keep is None else keep & mask
        scores = np.where(keep, scores, -np.inf)
    else:
        scores = scores + mask
        scores = scores if keep is None else np.where(keep, scores, -np.inf)
    some = np.any(scores != -np.inf, axis=-1, keepdims=True)
    weights = np.where(some, softmax(np.where(some, scores, 0)), 0)
    return weights @ v, weights


def _are_many(q: Any, k: Any, v: Any) -> bool:
    """True for plain arrays of the same leading axes, whose scores are too many for the cache."""
    return (
        type(q) is type(k) is type(v) is np.ndarray
        and q.dtype == k.dtype == v.dtype
        and q.dtype.char in "fd"
        and q.shape[:-2] == k.shape[:-2] == v.shape[:-2] != ()
        and math.prod(q.shape[:-1]) * k.shape[-2] * q.itemsize > PIECE
    )


def _by_parts(q: Any, k: Any, v: Any, causal: bool) -> tuple[Any, Any]:
    """The same, some of the first axis at a time, in memory that is there."""
    (size, *front, n, _), m = q.shape, k.shape[-2]
    weights = np.empty((size, *front, n, m), q.dtype)
    out = np.empty((size, *front, n, v.shape[-1]), q.dtype)
    later, count = ~below(n, m, 0), max(PIECE // weights[0].nbytes, 1)
    for i in range(0, size, count):
        part = slice(i, i + count)
        scores = weights[part]
        np.matmul(q[part] * _scale(q), np.matrix_transpose(k[part]), scores)
        if causal:
            np.copyto(scores, -np.inf, where=later)
        np.subtract(scores, np.max(scores, -1, keepdims=True), scores)
        np.exp(scores, scores)
        np.divide(scores, np.sum(scores, -1, keepdims=True), scores)
        np.matmul(scores, v[part], out[part])
    return out, weights


def _scale(q: Any) -> Any:
    d = shape_of(q)[-1]
    return 1 / math.sqrt(max(d, 1)) if type(d) is int else sizes.number(d) ** -0.5


class _Attention(Primitive):
    """The operation, whose second result, the weights, is what its derivatives need."""

    fresh = True
    composed = True
    spares = True

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        (q, k, v, *_), (dq, dk, dv, *dmask) = values, tangents
        _, weights = ans
        scale = _scale(q)
        parts = [] if dq is None else [(dq * scale) @ np.matrix_transpose(k)]
        parts += [] if dk is None else [(q * scale) @ np.matrix_transpose(dk)]
        parts += [t for t in dmask if t is not None]
        moved = None if not parts else softmax_map(sum(parts[1:], parts[0]), weights, axis=(-1,))
        out = [] if moved is None else [moved @ v]
        out += [] if dv is None else [weights @ dv]
        return None if not out else sum(out[1:], out[0]), moved

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return self._pull, (live, values, ans[1])

    def _pull(self, cts: Any, residual: Any) -> Any:
        (ct, ct_weights), (live, values, weights) = cts, residual
        q, k, v, *_ = values
        found: dict[int, Any] = {}
        if ct is not None and 2 in live:
            found[2] = np.matrix_transpose(weights) @ ct
        if ct is not None and live != (2,):
            part = ct @ np.matrix_transpose(v)
            ct_weights = part if ct_weights is None else ct_weights + part
        if ct_weights is not None and live != (2,):
            moved = found[3] = softmax_map(ct_weights, weights, axis=(-1,))
            scale = _scale(q)
            if 0 in live:
                found[0] = (moved @ k) * scale
            if 1 in live:
                found[1] = np.matrix_transpose(moved) @ (q * scale)
        cts = tuple(
            [
                fit(found[i], shape_of(values[i]), dtype_of(values[i])) if i in found else None
                for i in live
            ]
        )
        return cts[0] if len(cts) == 1 else cts

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        out, weights = self(*aligned(values, mapped, (2, 2, 2, 2)), **params)
        if any(mapped[i] for i in range(len(mapped)) if i != 2):
            return out, weights
        return out, np.broadcast_to(weights, (size, *shape_of(weights)))  # for v alone has rows

    def shape(self, avals: Any, params: Any) -> Any:
        q, k, v, *mask = avals
        front = sizes.broadcast(*[x.shape[:-2] for x in (q, k, *mask)], operation=self.name)
        added = [x for x in mask if x.dtype.kind != "b"]
        weights = make_aval((*front, q.shape[-2], k.shape[-2]), promote([q, k, *added]))
        whole = sizes.broadcast(front, v.shape[:-2], operation=self.name)
        return make_aval((*whole, q.shape[-2], v.shape[-1]), promote([weights, v])), weights

    @staticmethod
    def products(q: Any, k: Any, v: Any, *others: Any) -> int:
        """How many products of entries it adds up; the last of `others` is the result's shape."""
        return math.prod(others[-1][:-1]) * k[-2] * (q[-1] + v[-1])  # type: ignore[no-any-return]


_attention = _Attention("attention", _value, multi=True, cost="contraction")


# -- the functions ---------------------------------------------------------------------------------
def scaled_dot_product_attention(
    q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False
) -> Any:
    """`softmax(q k^T / sqrt(d)) v`: for each query a mean of the values, weighted by its keys.

    Arguments:
        q: real, (..., n, d); leading axes broadcast.
        k: real, (..., m, d).
        v: real, (..., m, e).
        mask: broadcasts to (..., n, m). Boolean: True keeps a key. Floats: added to the scores;
            -inf leaves a key out. A query that keeps none gets zeros.
        causal: query i sees keys 0 to i only.

    Returns:
        An array (..., n, e).

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: complex numbers, or a mask of integers.

    >>> q, k, v = np.zeros((2, 3)), np.zeros((2, 3)), np.array([[1.0], [3.0]])
    >>> scaled_dot_product_attention(q, k, v)
    array([[2.],
           [2.]])
    >>> scaled_dot_product_attention(q, k, v, causal=True)
    array([[1.],
           [2.]])
    """
    name = "scaled_dot_product_attention"
    if mask is not None:
        mask = _mask(name, mask)
    _check(name, q, k, v, mask)
    operands = [floating(x, name) for x in (q, k, v)]
    if mask is not None:
        operands.append(mask)
    return _attention(*operands, causal=bool(causal))[0]


def multi_head_attention(
    q: Any,
    k: Any,
    v: Any,
    num_heads: int,
    mask: Any = None,
    causal: bool = False,
    *,
    wq: Any = None,
    wk: Any = None,
    wv: Any = None,
    wo: Any = None,
    bq: Any = None,
    bk: Any = None,
    bv: Any = None,
    bo: Any = None,
) -> Any:
    """`scaled_dot_product_attention` of `num_heads` equal parts of the features, each apart.

    Self-attention is `multi_head_attention(x, x, x, ...)`; for cross-attention `k` and `v` are of
    the other sequence.

    Arguments:
        q: real, (..., n, d).
        k: real, (..., m, d).
        v: real, (..., m, e).
        num_heads: how many heads there are; it divides the features behind the projections.
        mask: (n, m) or (..., n, m) for all heads alike, with as many axes as `q` at most; or with
            one axis more, (..., num_heads, n, m). Boolean: True keeps a key. Floats: added to the
            scores; -inf leaves a key out. A query that keeps none gets zeros.
        causal: query i sees keys 0 to i only.
        wq, wk, wv: weights (d, h), (d, h) and (e, g), the inputs along the first axis, by which q,
            k and v are projected; None leaves one out.
        wo: weights (g, f) of the projection of the result; None leaves it out.
        bq, bk, bv, bo: biases of these projections.

    Returns:
        An array (..., n, f); without `wo` (..., n, g).

    Raises:
        ArgumentError: `num_heads` below 1.
        ShapeError: shapes that do not fit, or features that `num_heads` does not divide.
        TypeError: complex numbers, a mask of integers, or a bias without its weights.

    >>> x = np.zeros((2, 4))
    >>> multi_head_attention(x, x, np.array([[1.0, 1.0], [3.0, 5.0]]), 2, causal=True)
    array([[1., 1.],
           [2., 3.]])
    """
    name = "multi_head_attention"
    q, k, v = (
        _projected(name, *of) for of in (("q", q, wq, bq), ("k", k, wk, bk), ("v", v, wv, bv))
    )
    axes = len(shape_of(q))
    mask = None if mask is None else _mask(name, mask)
    if mask is not None and 2 < len(shape_of(mask)) <= axes:
        mask = np.expand_dims(mask, -3)
    q, k, v = (_heads(name, *of, num_heads) for of in (("q", q), ("k", k), ("v", v)))
    out = np.swapaxes(scaled_dot_product_attention(q, k, v, mask, causal), -2, -3)
    *front, parts, size = shape_of(out)
    return _projected(name, "the result", np.reshape(out, (*front, parts * size)), wo, bo)


# -- parts -----------------------------------------------------------------------------------------
def _projected(name: str, said: str, x: Any, w: Any, b: Any) -> Any:
    if w is None:
        if b is not None:
            raise TypeError(f"{name}: {said} has a bias but no weights")
        return x
    try:
        return linear(x, w, b)
    except ShapeError as error:
        raise ShapeError(f"{name}: the projection of {said}: {error}") from error


def _heads(name: str, said: str, x: Any, num_heads: int) -> Any:
    """(..., n, d) as (..., num_heads, n, d / num_heads)."""
    shape = shape_of(x)
    if len(shape) < 2:
        raise ShapeError(f"{name}: {said} is (..., n, d), not of shape {shape}")
    *front, d = shape
    (num_heads,) = ints(num_heads, 1, name, "num_heads")
    if not isinstance(d, Dim) and d % num_heads:
        raise ShapeError(
            f"{name}: num_heads={num_heads} does not divide the {d} features of {said}"
        )
    return np.swapaxes(np.reshape(x, (*front, num_heads, d // num_heads)), -2, -3)


def _mask(name: str, mask: Any) -> Any:
    """A mask of booleans or floats; of integers nobody knows what is meant."""
    mask = as_array(mask)
    if dtype_of(mask).kind in "iu":
        raise TypeError(
            f"{name}: a mask is boolean, True keeping a key, or of floats that are added to the"
            f" scores, not of {dtype_of(mask)}: write mask.astype(bool)"
        )
    return mask if dtype_of(mask).kind == "b" else floating(mask, name)


def _check(name: str, q: Any, k: Any, v: Any, mask: Any) -> None:
    a, b, c = shape_of(q), shape_of(k), shape_of(v)
    if min(len(a), len(b), len(c)) < 2:
        raise ShapeError(f"{name}: q, k and v have two axes or more, not shapes {a}, {b} and {c}")
    try:
        sizes.same_size(a[-1], b[-1], name)
        sizes.same_size(b[-2], c[-2], name)
        if a[:-2] != b[:-2] or b[:-2] != c[:-2]:
            sizes.broadcast(a[:-2], b[:-2], c[:-2], operation=name)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: incompatible shapes {a}, {b} and {c}: q is (..., n, d), k (..., m, d) and v"
            " (..., m, e)"
        ) from error
    if mask is None:
        return
    scores = (a[-2], b[-2])
    try:
        for m, n in zip(shape_of(mask)[:-3:-1], reversed(scores)):
            if type(m) is not int or m != 1:
                sizes.same_size(m, n, name)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: a mask of shape {shape_of(mask)} does not broadcast to the scores"
            f" (..., {a[-2]}, {b[-2]})"
        ) from error
