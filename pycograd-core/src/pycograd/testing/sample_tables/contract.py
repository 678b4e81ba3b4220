"""Samples of `ops.contract` and `ops.einsum`: every rank regime, and the functions over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("contract")


def _product(
    f: Callable[..., Any], *shapes: tuple[int, ...], of: str = "matmul", **options: Any
) -> Sample:
    return Sample(of, f, [draw.normal(*shape) for shape in shapes], **options)


def _einsum(spec: str, *shapes: tuple[int, ...], of: str = "einsum", **options: Any) -> Sample:
    return _product(lambda *xs: np.einsum(spec, *xs), *shapes, of=of, name=spec, **options)


def _along_path(x: Any, y: Any) -> Any:
    return np.einsum("ij,jk", x, y, optimize=np.einsum_path("ij,jk", x, y)[0])


SAMPLES = [
    # vectors and matrices, with batches that are shared, broadcast, or on one side only
    _product(np.matmul, (3,), (3,)),
    _product(np.matmul, (3,), (3, 2)),
    _product(np.matmul, (2, 3), (3,)),
    _product(np.matmul, (2, 3), (3, 4)),
    _product(np.matmul, (4, 2, 3), (3, 5)),
    _product(np.matmul, (2, 3), (4, 3, 5)),
    _product(np.matmul, (3,), (4, 3, 2)),
    _product(np.matmul, (4, 2, 3), (3,)),
    _product(np.matmul, (4, 2, 3), (4, 3, 2)),
    _product(np.matmul, (4, 1, 2, 3), (5, 3, 2)),
    _product(np.matmul, (1, 2, 3), (4, 3, 2), symbolic=False),
    _product(lambda x: x @ x.T @ x, (2, 3), name="an operand three times"),
    # the functions over it
    _product(np.dot, (2, 3), (4, 3, 2), name="dot"),
    _product(np.inner, (4, 3), (2, 3), name="inner"),
    _product(np.inner, (2, 3), (4, 2, 3), name="inner of stacks"),
    _product(np.vdot, (2, 3), (3, 2), name="vdot", symbolic=False),
    _product(
        lambda x, y: np.tensordot(x, y, ([0, 2], [1, 0])), (2, 3, 4), (4, 2), name="tensordot"
    ),
    _product(lambda x, y: np.tensordot(x, y, 0), (2, 3), (4,), name="tensordot over no axes"),
    _product(np.outer, (2, 3), (4,), of="multiply", name="outer"),
    _product(np.kron, (2, 3), (4, 1), of="multiply", name="kron"),
    _product(np.cross, (2, 3), (3,), of="multiply", name="cross"),
    # einsum
    _einsum("ij,jk->ik", (2, 3), (3, 4)),
    _einsum("bi,bj->bij", (2, 3), (2, 4)),
    _einsum("ij,kj->", (2, 3), (4, 3)),
    _einsum("i,i->i", (3,), (1,)),
    _einsum("i,i->", (1,), (3,), symbolic=False),
    _einsum("...ij,...j", (4, 2, 3), (1, 3)),
    _einsum("iij,j->i", (2, 2, 3), (3,), symbolic=False),
    _einsum("ij,jk,kl->li", (2, 3), (3, 4), (4, 2)),
    _einsum("ij,ij,jk->ik", (2, 3), (2, 3), (3, 2)),
    _einsum("ij->j", (2, 3), of="sum"),
    _einsum("ij->ji", (2, 3), of="transpose"),
    _product(np.vecdot, (2, 3), (4, 1, 3), name="vecdot"),
    # the names of the array API standard
    _product(np.linalg.matmul, (2, 3), (3, 2), name="linalg.matmul"),
    _product(
        lambda x, y: np.linalg.tensordot(x, y, axes=1), (2, 3), (3, 2), name="linalg.tensordot"
    ),
    _product(lambda x, y: np.linalg.vecdot(x, y, axis=0), (2, 3), (2, 3), name="linalg.vecdot"),
    _product(np.linalg.outer, (5,), (3,), of="multiply", name="linalg.outer"),
    _product(np.linalg.cross, (2, 3), (3,), of="multiply", name="linalg.cross"),
    _product(lambda x: np.linalg.diagonal(x, offset=1), (2, 3, 4), of="diagonal", name="linalg"),
    _product(
        lambda x: np.linalg.trace(x, offset=-1), (2, 3, 4), of="diagonal", name="linalg.trace"
    ),
    _product(np.linalg.matrix_transpose, (2, 3, 4), of="transpose", name="linalg"),
    _product(
        _along_path,
        (2, 3),
        (3, 2),
        of="einsum",
        name="einsum_path",
        symbolic=False,
        dtypes=["float32"],
    ),
    *[
        _product(getattr(np, name), *shapes, name=name)
        for name, *shapes in (("matvec", (2, 3, 4), (4,)), ("vecmat", (3,), (2, 3, 4)))
        if hasattr(np, name)  # of NumPy 2.2
    ],
]
