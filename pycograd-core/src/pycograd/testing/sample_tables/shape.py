"""Samples of `pycograd.ops.shape`, `rearrange`, `diagonal`, `astype`, `complex` and `pad`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.primitive import REGISTRY
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("shape")

_X, _Y, _Z = draw.normal(2, 3), draw.normal(2, 3, 4), draw.normal(3, 1, 2, 1)
_SQUARE = draw.normal(3, 3)
_APART = draw.uniform(0.1, 0.4, 2, 3) + draw.integers(4, 2, 3)  # away from halves and integers
_REAL: dict[str, Any] = {"complex": False, "dtypes": ["float32"]}
_0D, _EMPTY = np.array(0.7), np.zeros((0, 3))


# What Python decides on cannot be left open: no shape, no rows.
_ANSWERED: dict[str, Any] = {"data_dependent_shape": True}
_QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "shape": lambda x: np.shape(x)[1],
    "size": np.size,
    "ndim": np.ndim,
    "isrealobj": np.isrealobj,
    "iscomplexobj": np.iscomplexobj,
    "can_cast": lambda x: np.can_cast(x, x.dtype),
    "common_type": lambda x: np.ones(3, np.common_type(x, x)),
    "result_type": lambda x: np.ones(3, np.result_type(x, np.float16)),
    "min_scalar_type": lambda x: np.ones(3, np.min_scalar_type(x)),
    "shares_memory": lambda x: np.shares_memory(x, x),
    "may_share_memory": lambda x: np.may_share_memory(x, x),
}


def _same(*operands: Any) -> Kink:
    """A point where every gradient is one: each entry comes out once."""
    return Kink(operands, [np.ones(np.shape(x)) for x in operands])


def _bind(name: str, **params: Any) -> Any:
    """The primitive itself, for those that only derivatives bind."""
    return lambda *operands: REGISTRY[name](*operands, **params)


SAMPLES = [
    # -- reshape
    Sample("reshape", lambda x: np.reshape(x, (3, -1)), [_X]),
    Sample("reshape", lambda x: np.reshape(x, (-1, 2, 3)), [_Y]),
    Sample("reshape", lambda x: x.reshape(x.shape[0], -1), [_Y]),
    Sample("reshape", lambda x: x.reshape(4, -1, order="F"), [_Y]),
    Sample("reshape", np.ravel, [_Y], kinks=[_same(_EMPTY), _same(_0D)]),
    Sample("reshape", lambda x: np.ravel(x.T), [_X], name="columns"),
    Sample("reshape", lambda x: np.reshape(x, ()), [np.array([[0.7]])], symbolic=False),
    Sample("reshape", lambda x: np.tile(x, (2, 3)), [_X], name="tile"),
    Sample("reshape", lambda x: np.tile(x, 2), [_Y], name="tile-last"),
    Sample("reshape", lambda x: np.repeat(x, 3, axis=1), [_X], name="repeat"),
    Sample("reshape", lambda x: np.repeat(x, 2), [_X], name="repeat-all"),
    # -- transpose
    Sample("transpose", np.transpose, [_X], kinks=[_same(_EMPTY), _same(_0D)]),
    Sample("transpose", lambda x: x.T, [_Y]),
    Sample("transpose", lambda x: np.transpose(x, (1, 2, 0)), [_Y], symbolic=[(2, "B", 4)]),
    Sample("transpose", lambda x: np.transpose(x, (-1, 0, 1)), [_Y]),
    Sample("transpose", np.matrix_transpose, [_Y]),
    Sample("transpose", lambda x: np.swapaxes(x, 0, -1), [_Y]),
    Sample("transpose", lambda x: np.moveaxis(x, (0, 2), (1, 0)), [_Y]),
    Sample("transpose", lambda x: np.moveaxis(x, -1, 0), [_Z]),
    Sample("transpose", lambda x: np.rollaxis(x, 2, 1), [_Y]),
    # -- turned around
    Sample("index", lambda x: np.flip(x, (0, 2)), [_Y], name="flip"),
    Sample("index", np.flipud, [_X], name="flipud"),
    Sample("index", np.fliplr, [_X], name="fliplr"),
    Sample("index", lambda x: np.rot90(x, 3, (1, 2)), [_Y], name="rot90"),
    Sample("gather", lambda x: np.resize(x, (3, 4)), [_X], name="resize", symbolic=False),
    # -- axes of size 1
    Sample("expand_dims", lambda x: np.expand_dims(x, 1), [_X], kinks=[_same(_EMPTY)]),
    Sample("expand_dims", lambda x: np.expand_dims(x, (0, -1)), [_X], kinks=[_same(_0D)]),
    Sample("expand_dims", lambda x: np.atleast_3d(x), [_X]),
    Sample("expand_dims", np.atleast_2d, [_X[0], _0D], name="atleast_2d"),
    Sample("expand_dims", np.atleast_1d, [_0D], name="atleast_1d"),
    Sample("squeeze", np.squeeze, [_Z], kinks=[_same(_0D)]),
    Sample("squeeze", lambda x: np.squeeze(x, axis=-1), [_Z]),
    Sample("squeeze", lambda x: np.squeeze(x, axis=(1, 3)), [_Z]),
    # -- broadcasting
    Sample("broadcast_to", lambda x: np.broadcast_to(x, (4, *x.shape)), [_X]),
    Sample("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 5)), [_X[:, :, None]]),
    Sample("broadcast_to", lambda x: np.broadcast_to(x, (3, 5, 2, 2)), [_Z]),
    Sample("broadcast_to", lambda x: np.broadcast_to(x, (2, 3)), [_0D], kinks=[Kink([_0D], [6.0])]),
    Sample("broadcast_to", lambda x: np.broadcast_to(x, (0, 3)), [_X[0]], symbolic=False),
    Sample("broadcast_to", lambda x, y: np.broadcast_arrays(x, y), [_X, _Y[0, 0][:, None, None]]),
    Sample("broadcast_to", lambda x, y: np.meshgrid(x, y), [_X[0], _Y[0, 0]], symbolic=False),
    # -- diagonals
    Sample("diagonal", np.diagonal, [_SQUARE], symbolic=False, kinks=[_same(np.zeros((0, 0)))]),
    Sample("diagonal", lambda x: np.diagonal(x, 1), [_X], symbolic=False),
    Sample("diagonal", lambda x: np.diagonal(x, -1, 2, 0), [_Y], symbolic=False),
    Sample("diagonal", lambda x: np.diagonal(x, 7), [_X], symbolic=False),
    Sample("diagonal", np.diag, [_SQUARE], symbolic=False),
    Sample("diagonal", np.trace, [_SQUARE], symbolic=False),
    Sample("embed_diagonal", np.diag, [_X[0]], symbolic=False),
    Sample("embed_diagonal", lambda x: np.diag(x, -2), [_X[0]], symbolic=False),
    Sample("embed_diagonal", lambda x: np.diagflat(x, 1), [_X], symbolic=False),
    Sample(
        "embed_diagonal",
        _bind("embed_diagonal", offset=1, rows=5, columns=4),
        [_X],
        name="in-batches",
    ),
    Sample("where", lambda x: np.tril(x, -1), [_Y], name="tril"),
    Sample("where", np.triu, [_Y], name="triu"),
    # -- dtypes
    Sample("astype", lambda x: x.astype(np.float32), [_X], rtol=1e-1, **_REAL),
    Sample("astype", lambda x: x.astype(np.complex128), [_X], **_REAL),
    Sample("astype", lambda x: np.astype(x, np.longdouble), [_X], **_REAL),
    Sample("to_integer", lambda x: x.astype(np.int32), [_APART], complex=False),
    Sample("to_integer", lambda x: x.astype(bool) * 1.0, [_APART]),
    Sample("copy", np.copy, [_X], kinks=[_same(_EMPTY), _same(_0D)]),
    Sample("copy", lambda x: x.flatten(), [_Y]),
    Sample("round", np.round, [_APART]),
    Sample("round", lambda x: np.around(x, 1), [_APART + 0.02]),
    Sample("complex", lambda x, y: np.nan_to_num(x + 1j * y), [_X, _X[::-1]], complex=False),
    Sample("complex", _bind("complex"), [_X, _X[0]], complex=False, dtypes=["float32", "float64"]),
    # -- pad: the value dispatches and not the constants, so it must be a box where they are
    Sample("pad", lambda x: np.pad(x, 1), [_X], kinks=[_same(_EMPTY), _same(_0D)]),
    Sample("pad", lambda x: np.pad(x, ((0, 2), (1, 0))), [_X]),
    Sample(
        "pad",
        lambda x, v: np.pad(x + 0 * v, 2, constant_values=v),
        [_X, np.array(0.3)],
        symbolic=False,
    ),
    Sample(
        "pad",
        lambda x, v, w: np.pad(x + 0 * v * w, 1, constant_values=((v, w), (w, 2.0))),
        [_X, np.array(0.3), np.array(1.3)],
        symbolic=False,
        name="four-values",
    ),
    Sample("pad", lambda x: np.pad(x, ((1, 0), (0, 2)), "empty")[1:, :3], [_X], name="empty"),
    # -- questions: about values, and about shapes and dtypes, which are asked of no value
    Sample("trunc", np.fix, [_APART], name="fix"),
    Sample("less_equal", lambda x: np.isclose(x, 1.0, atol=0.5), [_X], name="isclose"),
    Sample("equal", np.isreal, [draw.complex(2, 3)], name="isreal"),
    Sample("not_equal", np.iscomplex, [draw.complex(2, 3)], name="iscomplex"),
    Sample("isinf", np.isposinf, [_X], name="isposinf"),
    Sample("isinf", np.isneginf, [_X], name="isneginf"),
    Sample("less_equal", lambda x: np.allclose(x, 2 * x), [_X], name="allclose", **_ANSWERED),
    Sample("equal", lambda x: np.array_equal(x, 2 * x), [_X], name="array_equal", **_ANSWERED),
    Sample("equal", lambda x: np.array_equiv(x, x[:1]), [_X], name="array_equiv", **_ANSWERED),
    Sample(
        "real",
        lambda x: np.real_if_close(x + 0j),
        [_X],
        name="real_if_close",
        complex=False,
        data_dependent_shape=True,  # and dtype
        dtypes=["float32"],
    ),
    *[
        Sample("multiply", lambda x, ask=ask: x * ask(x), [_X], name=name, symbolic=False)
        for name, ask in _QUESTIONS.items()
    ],
]
