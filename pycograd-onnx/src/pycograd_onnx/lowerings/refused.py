"""Why ONNX cannot spell some primitives; those without a word here have no operator in it."""

from __future__ import annotations

_NO_COMPLEX = "ONNX has no arithmetic of complex numbers"
_NO_FACTORIZATION = "ONNX has no such factorizations or functions of matrices"
_OF_DATA = "the sizes of its results depend on data"
_HOST_SOLVER = "the solver is scipy's, which runs Python functions on the host"

REFUSED: dict[str, str] = {
    **dict.fromkeys(("complex", "fft", "rfft", "irfft"), _NO_COMPLEX),
    **dict.fromkeys(
        (
            *("small_part", "pinv", "qr", "lu", "svd", "svdvals", "eig", "eigh", "eigvals"),
            *("eigvalsh", "expm", "logm", "sqrtm"),
        ),
        _NO_FACTORIZATION,
    ),
    **dict.fromkeys(("nonzero", "distinct", "kept_entries"), _OF_DATA),
    **dict.fromkeys(("implicit", "ode", "integral"), _HOST_SOLVER),
    "random_draw": "draw the numbers outside and pass them in",
    "while_loop_replay": "use scan or fori_loop, whose number of steps is known",
}  # fmt: skip
