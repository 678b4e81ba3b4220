"""Gradients kept from growing too large."""

from __future__ import annotations

import functools

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.errors import NotDifferentiableError
from pycograd.core.tree import Tree, tree_flatten, tree_paths, tree_unflatten
from pycograd.optim.leaves import as_real, check, leaf_named, like, root
from pycograd.transforms.custom import stop_gradient


def clip_grad_norm(grads: Tree, max_norm: float) -> Tree:
    """Scales gradients down together, so that their joint L2 norm is at most `max_norm`.

    Arguments:
        grads: any tree; None leaves stay.
        max_norm: a positive number.

    Returns:
        The gradients, unchanged if their norm is small enough; nan if the norm is not finite.

    Raises:
        ValueError: `max_norm` is not positive.
        NotDifferentiableError: a leaf of integers.

    >>> clip_grad_norm((3.0, 4.0, None), 2.5)
    (1.5, 2.0, None)
    """
    check(max_norm > 0, f"clip_grad_norm: max_norm={max_norm} must be positive")
    leaves, treedef = tree_flatten(grads)
    if not leaves:
        return grads
    for name, g in zip(tree_paths(grads), leaves):
        if not is_inexact(dtype_of(g)):
            raise NotDifferentiableError(
                f"clip_grad_norm: {leaf_named(name)} is of type {dtype_of(g)}, which scaling would"
                " round; make it a float, or leave None in its place"
            )
    pieces = [as_real(g, g) for g in leaves]
    # As fractions of the largest entry, of which no square overflows.
    largest = functools.reduce(
        np.maximum, [np.max(np.abs(stop_gradient(piece)), initial=0) for piece in pieces]
    )
    parts = [piece / np.where(largest == 0, 1, largest) for piece in pieces]
    length = root(sum(np.sum(np.square(part)) for part in parts))
    with np.errstate(over="ignore"):
        small = largest * length <= max_norm
    factor = max_norm / np.where(small, 1, length)
    scaled = [np.where(small, piece, part * factor) for piece, part in zip(pieces, parts)]
    return tree_unflatten(treedef, [like(s, g) for s, g in zip(scaled, leaves)])
