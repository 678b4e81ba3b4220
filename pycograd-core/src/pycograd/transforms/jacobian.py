"""How a Jacobian is made, from `vjp`, `jvp` and `vmap`.

Its rows are pullbacks of unit cotangents, its columns tangents of unit tangents, all computed at
once by `vmap` (or `chunk_size` at a time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import NotDifferentiableError
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import vjp
from pycograd.transforms.wrap import leaves_like


# Each takes a function that returns `(out, aux)` and gives the output's structure, the blocks of
# the Jacobian (a row of blocks per output leaf, a block per argument leaf) and the aux.
def by_rows(f: Any, leaves: Sequence[Any], chunk_size: int | None, name: str) -> Any:
    """By pullbacks of unit cotangents."""
    out, pullback, aux = vjp(f, *leaves, has_aux=True)
    return *_rows(out, pullback, leaves, chunk_size, name), aux


def _rows(out: Any, pullback: Any, leaves: Any, chunk_size: int | None, name: str) -> Any:
    outs, out_tree = tree_flatten(out)
    avals = [aval_of(x) for x in outs]
    blocks = []
    for i, aval in enumerate(avals):
        _check_output(aval, name)

        def row(unit: Any, i: int = i) -> Any:
            cts = [unit if j == i else None for j in range(len(outs))]
            return pullback(_tree_with_none(out_tree, cts, avals))

        units = _units(aval)
        found = vmap(row, chunk_size=chunk_size)(units)
        mixed = [is_complex(x) != (aval.dtype.kind == "c") for x in leaves]
        if any(m and is_complex(x) for m, x in zip(mixed, leaves)):
            raise _not_holomorphic(name)
        if any(mixed):  # a real argument: the imaginary part is the pullback of 1j
            sideways = vmap(row, chunk_size=chunk_size)(units * 1j)
            found = [a + 1j * b if m else a for a, b, m in zip(found, sideways, mixed)]
        blocks.append(
            [
                np.reshape(block if m else conjugate(block), (*aval.shape, *shape_of(x)))
                for block, x, m in zip(found, leaves, mixed)
            ]
        )
    return out_tree, blocks


def _tree_with_none(treedef: Any, cts: Sequence[Any], avals: Sequence[Any]) -> Any:
    return tree_unflatten(
        treedef, [np.zeros(a.shape, a.dtype) if c is None else c for c, a in zip(cts, avals)]
    )


def by_columns(f: Any, leaves: Sequence[Any], chunk_size: int | None, name: str) -> Any:
    """By tangents along unit tangents."""
    made: list[Any] = []  # (structure, aux) of each run: not mapped, so the same for all
    columns: list[list[Any]] = []
    for i, x in enumerate(leaves):
        aval = aval_of(x)

        def column(unit: Any, i: int = i) -> Any:
            moves = [unit if j == i else None for j in range(len(leaves))]
            out, moved, aux = jvp(f, leaves, moves, has_aux=True)
            outs, treedef = tree_flatten(out)
            for leaf in outs:
                _check_output(aval_of(leaf), name)
                if is_complex(leaves[i]) and not is_complex(leaf):
                    raise _not_holomorphic(name)
            made.append((treedef, aux))
            return leaves_like(out, moved)

        found = vmap(column, out_axes=-1, chunk_size=chunk_size)(_units(aval))
        columns.append([np.reshape(c, (*shape_of(c)[:-1], *aval.shape)) for c in found])
    out_tree, aux = made[0]
    return out_tree, [list(row) for row in zip(*columns)], aux


def by_fewer(f: Any, leaves: Sequence[Any], chunk_size: int | None, name: str) -> Any:
    """By rows or by columns, whichever are fewer."""
    out, pullback, aux = vjp(f, *leaves, has_aux=True)
    rows = sum(aval_of(x).size for x in tree_flatten(out)[0])
    columns = sum(aval_of(x).size for x in leaves)
    if rows <= columns:
        return *_rows(out, pullback, leaves, chunk_size, name), aux
    return by_columns(f, leaves, chunk_size, name)


def is_complex(x: Any) -> bool:
    """True for complex values."""
    return aval_of(x).dtype.kind == "c"


def _not_holomorphic(name: str) -> NotDifferentiableError:
    return NotDifferentiableError(
        f"{name}: a real output of a complex argument has no derivative df/dz; use grad (dL/da + i"
        " dL/db), or make the real and imaginary parts two arguments"
    )


def _check_output(aval: ShapeDtypeStruct, name: str) -> None:
    if not is_inexact(aval.dtype):
        raise NotDifferentiableError(f"{name}: an output of dtype {aval.dtype} has no derivative")


def _units(aval: ShapeDtypeStruct) -> Any:
    """One unit array per entry, stacked: `(size, *shape)`."""
    return np.reshape(np.eye(aval.size, dtype=aval.dtype), (aval.size, *aval.shape))


def ones_like(x: Any) -> Any:
    """Ones of the shape and dtype of `x`."""
    return np.ones(shape_of(x), aval_of(x).dtype)


def conjugate(x: Any) -> Any:
    """The conjugate of a complex value; any other as it is."""
    if isinstance(x, complex) or (hasattr(x, "dtype") and x.dtype.kind == "c"):
        return x.conjugate() if isinstance(x, complex) and not isinstance(x, Box) else np.conj(x)
    return x
