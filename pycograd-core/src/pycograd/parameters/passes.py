"""A call in which values stand for the weights of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycograd.core.fillable import settled
from pycograd.parameters.weight import Weight, enter, leave


def on_values(
    values: Sequence[Any],
    fixed: Sequence[Any],
    weights: tuple[Sequence[Weight], Sequence[Weight]],
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """A call of `f` in which values stand for weights, two rows of them."""
    live, rest = weights
    token = enter((live or rest)[0].store, [*live, *rest], [*values, *fixed])
    try:
        return settled(f(*args, **kwargs))
    finally:
        leave((live or rest)[0].store, token)
