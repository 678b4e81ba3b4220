"""Samples of `pycograd.ops.linalg_factor` and `pycograd.ops.linalg_eigen`.

Vectors are compared through what does not depend on their phase where they are complex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.ops.linalg_eigen import gaps, over
from pycograd.testing.sample_tables.linalg import another, regular
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("linalg_factor")


def _positive(*shape: int) -> Any:
    """Symmetric positive definite matrices with eigenvalues apart."""
    x = regular(*shape)
    return x @ np.swapaxes(x, -1, -2) + np.diag(np.arange(shape[-1]) + 0.5)


def _made(x: Any) -> Any:
    """As `_positive`, for a program to make of any regular matrix."""
    return x @ np.conj(np.matrix_transpose(x)) + np.diag(np.arange(x.shape[-1]) + 0.5)


def _sizes(v: Any) -> Any:
    """|v|^2, which does not depend on phases."""
    return np.real(v * np.conj(v))


def _of(primitive: str, f: Callable[..., Any], x: Any, name: str, **options: Any) -> Sample:
    others = [(another(x),), (another(x),)]
    if len(x.shape) == 2 and x.shape[0] != x.shape[1]:
        options["symbolic"] = False  # the smaller of two sizes
    return Sample(primitive, f, [x], name=name, others=others, **options)


def _read(primitive: str, f: Callable[..., Any], name: str, **options: Any) -> Sample:
    """A function of one triangle of a positive definite matrix."""
    others = [(_positive(2, 2),), (_positive(2, 2),)]
    return Sample(primitive, f, [_positive(2, 2)], name=name, others=others, **options)


def _eigh(x: Any) -> Any:
    w, v = np.linalg.eigh(x)
    return w, _sizes(v), v @ np.conj(np.matrix_transpose(v))


def _svd(x: Any, full: bool = True) -> Any:
    u, s, vh = np.linalg.svd(x, full)
    k = s.shape[-1]
    product = u[..., :k] @ vh[..., :k, :]
    return _sizes(u[..., :k]), s, _sizes(vh[..., :k, :]), product


def _complete(x: Any) -> Any:
    """Q and R as far as they are decided, and the space of the extra columns."""
    q, r = np.linalg.qr(x, "complete")
    k = min(x.shape[-2:])
    extra = q[..., k:]
    return q[..., :k], r, extra @ np.conj(np.matrix_transpose(extra))


_ROTATED = np.array([[0.3, -1.2, 0.4], [1.1, 0.2, -0.3], [0.1, 0.5, 0.9]])

SAMPLES = [
    Sample(
        "over_gap",
        lambda x, w: over(x, gaps(w)),
        [draw.normal(3, 3), draw.distinct(3)],
        others=[(draw.normal(3, 3), draw.distinct(3)) for _ in range(2)],
        mapped=(0, 1),
        symbolic=False,
    ),
    _of("cholesky", lambda x: np.linalg.cholesky(_made(x)), regular(2, 3, 3), "made"),
    _read("cholesky", np.linalg.cholesky, "read", complex=False),
    _read("cholesky", lambda x: np.linalg.cholesky(x, upper=True), "upper", complex=False),
    _of("eigh", lambda x: _eigh(_made(x)), regular(2, 3, 3), "made"),
    _read("eigh", np.linalg.eigh, "read", complex=False),
    _read("eigh", lambda x: np.linalg.eigh(x, "U"), "upper", complex=False),
    _of("eigvalsh", lambda x: np.linalg.eigvalsh(_made(x)), regular(2, 3, 3), "made"),
    Sample(
        "eigvalsh",
        lambda x: np.sum(np.linalg.eigvalsh(x, UPLO="U") ** 2),
        [_positive(3, 3)],
        name="symmetric function",
        others=[(_positive(3, 3),), (_positive(3, 3),)],
        complex=False,
        kinks=[Kink([2 * np.eye(3)], [4 * np.eye(3)])],
    ),
    Sample("eig", np.linalg.eig, [_ROTATED], name="pairs", mapped=(), dtypes=("float32",)),
    Sample(
        "eig",
        np.linalg.eig,
        [draw.complex(2, 3, 3)],
        name="complex",
        others=[(draw.complex(2, 3, 3),) for _ in range(2)],
    ),
    Sample(
        "eigvals",
        np.linalg.eigvals,
        [draw.complex(2, 2)],
        name="complex",
        others=[(draw.complex(2, 2),) for _ in range(2)],
    ),
    _of("qr", np.linalg.qr, regular(3, 2), "tall"),
    _of("qr", np.linalg.qr, regular(2, 2, 3), "wide"),
    _of("qr", lambda x: np.linalg.qr(x, "r"), regular(2, 2), "r", symbolic=False),
    _of("qr", _complete, regular(4, 2), "complete"),
    _of("qr", _complete, regular(2, 3), "complete wide"),
    _of("svd", lambda x: _svd(x, False), regular(2, 3, 2), "tall"),
    _of("svd", lambda x: _svd(x, False), regular(2, 3), "wide"),
    _of("svd", _svd, regular(3, 2), "full"),
    _of(
        "eigh",
        lambda x: np.linalg.svd(_made(x) - 3 * np.eye(2), hermitian=True)[1],
        regular(2, 2),
        "svd-hermitian",
    ),
    _of("svdvals", np.linalg.svdvals, regular(3, 2), "tall"),
    _of("svdvals", lambda x: np.linalg.svd(x, compute_uv=False), regular(2, 2, 3), "wide"),
    Sample(
        "svdvals",
        lambda x: np.sum(np.linalg.svdvals(x)),
        [regular(3, 3)],
        name="at 0",
        symbolic=False,
        others=[(regular(3, 3),), (regular(3, 3),)],
        kinks=[
            Kink([np.zeros((3, 3))], [np.zeros((3, 3))]),
            Kink([2 * np.eye(3)], [np.eye(3)]),
            Kink([np.diag([2.0, 1.0, 0.0])], [np.diag([1.0, 1.0, 0.0])]),
        ],
    ),
]
