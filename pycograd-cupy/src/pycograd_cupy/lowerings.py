"""The table of lowerings, as functions of the module cupy or of one with the same functions."""

from __future__ import annotations

from typing import Any

from pycograd_cupy import arrays, control, conv, elementwise, matrices, random
from pycograd_cupy.elementwise import Table

_SOLVERS = "implicit ode integral structured_solve sparse_matmul all_pole"
_MATRICES = "expm logm sqrtm cosm sinm coshm sinhm solve_sylvester eigh_turn lu"

REFUSED: dict[str, str] = {
    "while_loop_replay": "a loop on the device is Python's own, and differentiates as that",
    **dict.fromkeys(_SOLVERS.split(), "scipy's solver runs on the host alone"),
    **dict.fromkeys(_MATRICES.split(), "it is written in LAPACK's and scipy's own algorithms"),
}
# Whatever else is missing is of scipy.special.
NO_KERNEL = "cupyx.scipy.special has no such function"


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling.

    Arguments:
        cp: the module cupy.
        cps: the module cupyx.scipy.special.
    """
    made: Table = {}
    for part in (elementwise, arrays, matrices, conv, random, control):
        made |= part.table(cp, cps)
    return made
