"""Loops of any number of steps, for libraries whose autodiff follows them while they run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pycograd.core.errors import LoweringNotFoundError


def replayed(
    loop: Callable[..., Any], pulled: Callable[[Any, Any], Any], backend: str
) -> Callable[..., Any]:
    """The lowering of `while_loop_replay` by an autodiff that counts the steps while they run.

    Arguments:
        loop: the lowering of `while_loop`.
        pulled: `pulled(f, live)`: a function of the operands of `f` and of the cotangents of its
            results that returns those of the operands that `live` marks.
        backend: the name of the backend, for the error of a derivative in forward mode.
    """

    def replay(*operands: Any, spec: Any, **params: Any) -> Any:
        f: Any = functools.partial(loop, **params)
        for kind, flags, *_ in spec:
            if kind != "vjp":
                raise LoweringNotFoundError(
                    f"primitive 'while_loop_replay' has no lowering of its {kind} for backend"
                    f" {backend!r}, whose autodiff counts the steps of a loop while it runs."
                    " Use scan or fori_loop",
                    see="pycograd explain while_loop_replay",
                )
            f = pulled(f, flags)
        return f(*operands)

    return replay
