"""Samples of `scipy.sparse`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import sparse

    draw = Draw("scipy_sparse")
    _INDICES, _INDPTR = np.array([0, 2, 1, 2, 0]), np.array([0, 2, 3, 5])
    _FIXED: dict[str, Any] = {"symbolic": False, "dtypes": ["float32", "complex128"]}

    def _of(data: Any) -> Any:
        return sparse.csr_array((data, _INDICES, _INDPTR), (3, 3))

    SAMPLES += [
        Sample(
            "sparse_matmul",
            lambda data, x: sparse.csr_matvec(data, _INDICES, _INDPTR, x, (3, 3)),
            [draw.normal(5), draw.normal(3)],
            name="csr_matvec",
            **_FIXED,
        ),
        Sample(
            "sparse_matmul",
            lambda data, x: sparse.matmul(x, _of(data)),
            [draw.normal(5), draw.normal(2, 3)],
            name="matmul",
            **_FIXED,
        ),
        Sample(
            "structured_solve",
            lambda data, b: sparse.linalg.spsolve(_of(data), b),
            [np.array([4.0, 0.5, 3.0, 5.0, -0.7]), draw.normal(3)],
            name="spsolve",
            **_FIXED,
        ),
        *[
            Sample(
                "structured_solve",
                lambda a, b, name=name: getattr(sparse.linalg, name)(
                    a @ a.T + np.eye(3), b, rtol=1e-13
                )[0],
                [draw.normal(3, 3), draw.normal(3)],
                name=name,
                complex=False,
                symbolic=False,
                dtypes=[],
                skip={"value": "an iterative solver stops at its tolerance", "vmap": "likewise"},
            )
            for name in ("cg", "gmres", "bicgstab", "minres")
        ],
    ]
