"""Samples of the modules `linalg*` of `pycograd.ops`: systems, determinants, powers, norms.

Factorizations are in `linalg_factor`. The members of a batch are drawn: a matrix whose entries are
rotated need not be regular.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample
from pycograd.transforms.reverse import vjp

draw = Draw("linalg")
_inf = float("inf")


def regular(*shape: int) -> Any:
    """Matrices that are well conditioned."""
    rows, columns = shape[-2:]
    x = draw.normal(*shape) * 0.3
    return x + 1.5 * np.eye(rows, columns) + 0.7 * np.eye(rows, columns, -1)


def another(x: Any) -> Any:
    """Regular matrices like `x`."""
    other = regular(*x.shape)
    return other + 0.5j * regular(*x.shape) if x.dtype.kind == "c" else other


_A, _STACK = regular(2, 2), regular(2, 3, 3)
_TALL, _WIDE = regular(4, 2), regular(2, 3)


def _of(primitive: str, f: Callable[..., Any], x: Any, name: str, **options: Any) -> Sample:
    """A sample with one matrix, the other members of its batch regular as well."""
    others = [(another(x),), (another(x),)]
    return Sample(primitive, f, [x], name=name, others=others, **options)


def _with(
    primitive: str, f: Callable[..., Any], a: Any, *rest: Any, name: str = "", **options: Any
) -> Sample:
    """As `_of`, with further operands of any values."""
    others = [(regular(*a.shape), *[np.flip(x) * k for x in rest]) for k in (1.0, 0.5)]
    return Sample(primitive, f, [a, *rest], name=name, others=others, **options)


def _singular(x: Any) -> Any:
    """Its small part, as the derivative of a determinant asks for it."""
    return vjp(np.linalg.det, x)[1](np.ones(x.shape[:-2]))[0]


def _lstsq(a: Any, b: Any) -> Any:
    x, residuals, _, s = np.linalg.lstsq(a, b)
    return x, residuals, s


SAMPLES = [
    # -- systems
    _of("inv", np.linalg.inv, _A, "matrix"),
    _of("inv", np.linalg.inv, _STACK, "stack"),
    _of("inv", np.linalg.inv, regular(2, 2) + 1j * regular(2, 2), "complex"),
    _with("solve", np.linalg.solve, _A, draw.normal(2), name="vector"),
    _with("solve", np.linalg.solve, _A, draw.normal(2, 1), name="matrix"),
    _with("solve", np.linalg.solve, regular(4, 1, 2, 2), draw.normal(3, 2, 1), name="stacks"),
    _with("solve", np.linalg.solve, regular(3, 2, 2), draw.normal(2), name="stack and vector"),
    Sample(
        "solve",
        np.linalg.tensorsolve,
        [np.reshape(regular(4, 4), (2, 2, 4)), draw.normal(2, 2)],
        name="tensorsolve",
        others=[(np.reshape(regular(4, 4), (2, 2, 4)), draw.normal(2, 2)) for _ in range(2)],
        symbolic=False,
    ),
    Sample(
        "solve",
        lambda a, b: np.linalg.tensorsolve(a, b, axes=(0,)),
        [np.reshape(regular(4, 4), (2, 4, 2)), draw.normal(4)],
        name="tensorsolve-axes",
        mapped=(1,),
        symbolic=False,
    ),
    Sample(
        "inv",
        lambda a: np.linalg.tensorinv(a, 1),
        [np.reshape(regular(4, 4), (4, 2, 2))],
        name="tensorinv",
        others=[(np.reshape(regular(4, 4), (4, 2, 2)),)] * 2,
        symbolic=False,
    ),
    _of("inv", lambda a: np.linalg.matrix_power(a, -3), _A, "power"),
    Sample("matmul", lambda a: np.linalg.matrix_power(a, 5), [_A], name="matrix_power"),
    Sample(
        "matmul",
        lambda a, b, c: np.linalg.multi_dot([a, b, c]),
        [draw.normal(2, 3), draw.normal(3, 4), draw.normal(4)],
        name="multi_dot",
    ),
    _of("pinv", np.linalg.pinv, _TALL, "tall"),
    _of("pinv", lambda a: np.linalg.pinv(a, rtol=1e-8), _WIDE, "wide"),
    _of("pinv", np.linalg.pinv, regular(2, 3, 2) + 0.5j * regular(2, 3, 2), "complex"),
    _of(
        "pinv",
        lambda a: np.linalg.pinv(a + np.conj(a).T, 1e-8, hermitian=True),
        _A,
        "hermitian",
    ),
    _with("pinv", _lstsq, regular(3, 2), draw.normal(3, 1), name="lstsq", symbolic=False),
    _with(
        "pinv",
        lambda a, b: np.linalg.lstsq(a, b)[0],
        _WIDE,
        draw.normal(2),
        name="lstsq-wide",
        symbolic=False,
    ),
    # -- determinants
    _of("det", np.linalg.det, _STACK, "stack"),
    _of("det", np.linalg.det, regular(2, 2) + 1j * regular(2, 2), "complex"),
    Sample(
        "det",
        np.linalg.det,
        [regular(3, 3)],
        name="singular",
        others=[(np.outer([1.0, 2.0, -1.0], [0.5, 1.0, 3.0]),), (np.zeros((3, 3)),)],
        kinks=[
            Kink([np.diag([2.0, 3.0, 0.0])], [np.diag([0.0, 0.0, 6.0])]),
            Kink([np.diag([2.0, 0.0, 0.0])], [np.zeros((3, 3))]),
        ],
    ),
    _of("slogdet", lambda a: np.linalg.slogdet(a)[1], _STACK, "real"),
    _of("slogdet", np.linalg.slogdet, regular(2, 2) - 1j * regular(2, 2), "complex"),
    Sample(
        "small_part",
        _singular,
        [np.array([[1.0, 2.0], [0.5, 1.0]])],
        name="det",
        skip=dict.fromkeys(
            ("capture", "jit"), "it is what a graph, which does not know the matrix, leaves out"
        ),
        mapped=(),
        symbolic=False,
        complex=False,
        dtypes=(),
    ),
    # -- norms
    *[
        Sample(
            "sum",
            lambda x, ord=ord: np.linalg.norm(x, ord, axis=0, keepdims=True),
            [draw.distinct(3, 2)],
            name=f"norm {ord}",
            kinks=[Kink([np.zeros((3, 2))], [np.zeros((3, 2))])],
        )
        for ord in (None, 1, 3, 4)
    ],
    Sample("sum", lambda x: np.linalg.norm(x, 0), [draw.distinct(3)], name="norm 0"),
    Sample(
        "sum",
        lambda x: np.linalg.norm(x, -1.5),
        [draw.distinct(3)],
        name="norm negative",
        kinks=[Kink([np.array([1.0, 0.0, 2.0])], [np.zeros(3)])],
    ),
    Sample(
        "sum",
        lambda x: np.linalg.norm(x, 0.5),
        [draw.distinct(3)],
        name="norm below 1",
        kinks=[Kink([np.array([4.0, 0.0, 0.0])], [np.array([1.0, 0.0, 0.0])])],
    ),
    Sample("sum", np.linalg.norm, [draw.complex(2, 3)], name="norm of all"),
    Sample("sum", np.linalg.vector_norm, [draw.normal(2, 3)], name="vector_norm"),
    Sample(
        "sum",
        lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3, keepdims=True),
        [draw.normal(2, 3, 2)],
        name="vector_norm-3",
    ),
    Sample("max", lambda x: np.linalg.norm(x, _inf), [draw.distinct(4)], name="norm inf"),
    Sample("min", lambda x: np.linalg.norm(x, -_inf), [draw.distinct(4)], name="norm -inf"),
    *[
        Sample(
            "max" if ord > 0 else "min",
            lambda x, ord=ord: np.linalg.norm(x, ord, axis=(2, 0)),
            [draw.distinct(2, 1, 3)],
            name=f"norm of matrices {ord}",
        )
        for ord in (1, -1, _inf, -_inf)
    ],
    Sample("sum", np.linalg.matrix_norm, [draw.normal(2, 3, 2)], name="matrix_norm"),
    *[
        _of(
            "svdvals",
            lambda x, ord=ord: np.linalg.matrix_norm(x, ord=ord, keepdims=True),
            regular(3, 2),
            f"norm {ord}",
            symbolic=False,
            kinks=[Kink([np.zeros((3, 2))], [np.zeros((3, 2))])],
        )
        for ord in ("nuc", 2, -2)
    ],
    *[
        _of(
            "inv" if p in (1, "fro") else "svdvals",
            lambda x, p=p: np.linalg.cond(x, p),
            regular(2, 2),
            f"cond {p}",
            symbolic=p not in (None, -2),
            complex=p in (None, -2),  # the others are complex in older versions of NumPy
        )
        for p in (None, -2, 1, "fro", "nuc")
    ],
    _of("svdvals", lambda x: np.linalg.matrix_rank(x), _WIDE, "matrix_rank", symbolic=False),
]
