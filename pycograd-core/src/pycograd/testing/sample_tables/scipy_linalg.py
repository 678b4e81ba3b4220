"""Samples of `scipy.linalg`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import linalg

    draw = Draw("scipy_linalg")
    _A = draw.normal(3, 3) + 3 * np.eye(3)
    _P = _A @ _A.T + np.eye(3)
    _KEPT: dict[str, Any] = {"symbolic": False, "dtypes": ["float32", "complex64"]}
    _REAL: dict[str, Any] = {"symbolic": False, "complex": False, "dtypes": ["float32"]}

    def _bands(lower: int, upper: int) -> Any:
        ab = draw.normal(lower + upper + 1, 4)
        ab[upper] += 4 * np.sign(ab[upper])
        return ab

    def _of(
        primitive: str, name: str, f: Callable[..., Any], *operands: Any, **more: Any
    ) -> Sample:
        return Sample(primitive, f, operands, name=f"scipy-{name}", **(more or _KEPT))

    SAMPLES += [
        Sample(
            "structured_solve",
            lambda ab, b: linalg.solve_banded((1, 2), ab, b),
            [_bands(1, 2), draw.normal(4)],
            name="solve_banded",
            dtypes=["float32", "complex64"],
            symbolic=False,
        ),
        Sample(
            "structured_solve",
            lambda x, b: linalg.solveh_banded(0.3 * x + np.array([[6.0], [1.0]]), b, lower=True),
            [draw.normal(2, 4), draw.normal(4, 2)],
            name="solveh_banded",
            complex=False,
            dtypes=["float32"],
            symbolic=False,
        ),
        Sample(
            "structured_solve",
            lambda c, r, b: linalg.solve_toeplitz((c, r), b),
            [np.array([4.0, 1.0, 0.5]), draw.normal(3), draw.normal(3, 2)],
            name="solve_toeplitz",
            dtypes=[],
            symbolic=False,
        ),
        # systems
        _of("solve", "solve", lambda a, b: linalg.solve(a, b, assume_a="sym"), _P, draw.normal(3)),
        _of(
            "structured_solve",
            "solve_triangular",
            lambda a, b: linalg.solve_triangular(a, b, "T", unit_diagonal=True),
            _A,
            draw.normal(3),
        ),
        _of("inv", "inv", linalg.inv, _A),
        _of("det", "det", linalg.det, _A, symbolic=False, dtypes=[]),
        _of("sum", "norm", linalg.norm, draw.normal(3), complex=False, dtypes=[]),
        _of("pinv", "pinv", linalg.pinv, draw.normal(3, 2), **_REAL),
        _of(
            "pinv",
            "lstsq",
            lambda a, b: linalg.lstsq(a, b)[:2],
            draw.normal(3, 2),
            draw.normal(3),
            **_REAL,
        ),
        _of(
            "solve_sylvester",
            "solve_sylvester",
            linalg.solve_sylvester,
            _A,
            draw.normal(2, 2) + 2 * np.eye(2),
            draw.normal(3, 2),
        ),
        _of(
            "solve_sylvester",
            "solve_continuous_lyapunov",
            linalg.solve_continuous_lyapunov,
            _A,
            draw.normal(3, 3),
        ),
        _of(
            "solve",
            "solve_discrete_lyapunov",
            linalg.solve_discrete_lyapunov,
            0.1 * _A,
            draw.normal(3, 3),
            **_REAL,
        ),
        # factorizations
        _of("cholesky", "cholesky", lambda x: linalg.cholesky(x @ x.T + np.eye(3)), _A, **_REAL),
        _of(
            "structured_solve",
            "cho_solve",
            lambda x, b: linalg.cho_solve(linalg.cho_factor(x @ x.T + np.eye(3), True), b),
            _A,
            draw.normal(3),
            **_REAL,
        ),
        _of("lu", "lu", lambda a: linalg.lu(a)[1:], draw.normal(3, 3), **_REAL),
        _of("lu", "lu of columns", lambda a: linalg.lu(a, True), draw.normal(4, 2), **_REAL),
        _of(
            "lu",
            "lu_solve",
            lambda a, b: linalg.lu_solve(linalg.lu_factor(a), b),
            _A,
            draw.normal(3),
            **_REAL,
        ),
        _of("qr", "qr", lambda a: linalg.qr(a, mode="economic"), draw.normal(3, 2), **_REAL),
        _of("svd", "svd", lambda a: linalg.svd(a)[1], draw.normal(3, 2), **_REAL),
        _of("svdvals", "svdvals", linalg.svdvals, draw.normal(3, 2), **_REAL),
        _of("eigh_turn", "eigh", lambda a: linalg.eigh(a)[1] ** 2, _P, **_REAL),
        _of("eigvalsh", "eigvalsh", lambda a, b: linalg.eigvalsh(a, b @ b.T), _P, _A, **_REAL),
        # functions of matrices
        *[
            _of(name, name, getattr(linalg, name), 0.05 * _P[:2, :2])
            for name in ("expm", "cosm", "sinm", "coshm", "sinhm")
        ],
        *[
            _of(
                name,
                name,
                lambda x, name=name: getattr(linalg, name)(x @ x.T + np.eye(2)),
                draw.normal(2, 2),
                complex=False,
                symbolic=False,
                dtypes=[],
            )
            for name in ("logm", "sqrtm")
        ],
        _of(
            "expm",
            "expm_frechet",
            lambda a, e: linalg.expm_frechet(a, e, compute_expm=False),
            0.1 * _A[:2, :2],
            draw.normal(2, 2),
            symbolic=False,
            complex=False,
            dtypes=[],
        ),
        # structured matrices
        _of("gather", "toeplitz", linalg.toeplitz, draw.normal(3), draw.normal(2)),
        _of("gather", "circulant", linalg.circulant, draw.normal(3)),
        _of("gather", "hankel", linalg.hankel, draw.normal(3), draw.normal(2)),
        _of("pad", "block_diag", linalg.block_diag, draw.normal(2, 3), draw.normal(2)),
        _of("multiply", "khatri_rao", linalg.khatri_rao, draw.normal(2, 3), draw.normal(4, 3)),
    ]
