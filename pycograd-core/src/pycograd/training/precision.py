"""Mixed precision: the forward and backward pass in 16 bits, the parameters and steps in theirs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.dtypes import resolve_dtype
from pycograd.core.tree import tree_leaves, tree_map
from pycograd.parameters import ParamDict
from pycograd.parameters.model import weights_of
from pycograd.parameters.passes import on_values
from pycograd.parameters.weight import current


class MixedPrecision:
    """Gradients by passes in 16 bits, of a loss that is scaled up so that they do not vanish.

    The weights and the arrays of a batch are rounded to 16 bits for the pass, buffers are not;
    gradients and steps are in the dtypes of the weights. A pass whose gradients overflow is not
    used, and the scale is lowered; after many that do not it is raised again (Micikevicius et al.
    2018).

    Arguments:
        dtype: `"float16"`, or `"bfloat16"`, which has the range of float32 and needs no scale.
        scale: what the loss is multiplied by at first; None for 32768 in float16, else 1.
        factor: what the scale is divided by after an overflow, and multiplied by when it is raised.
        interval: how many passes without an overflow raise it.

    Raises:
        ValueError: another dtype, or settings out of range.

    >>> weights = params(w=np.array([0.5, 0.25], np.float32))
    >>> half = MixedPrecision("float16")
    >>> value, grads = half.grad(weights, lambda: np.sum(w * w))
    >>> value, grads
    (0.3125, ParamDict(w=array([1. , 0.5], dtype=float32)))
    """

    def __init__(
        self,
        dtype: Any = "float16",
        scale: float | None = None,
        factor: float = 2.0,
        interval: int = 2000,
    ) -> None:
        self.dtype = resolve_dtype(dtype)
        if self.dtype.itemsize != 2:
            raise ValueError(f"MixedPrecision: the dtype is float16 or bfloat16, not {self.dtype}")
        first = 2.0**15 if self.dtype == np.float16 else 1.0
        self.scale = first if scale is None else float(scale)
        if not self.scale > 0 or not factor > 1 or interval < 1:
            raise ValueError(
                f"MixedPrecision: scale={self.scale} must be positive, factor={factor} more than 1"
                f" and interval={interval} positive"
            )
        self.factor, self.interval = factor, interval
        self.good = 0  # passes since the scale changed
        self._scaled: tuple[Any, Any, Any] = (None, None, None)  # a model, an objective, its form

    def grad(
        self, weights: ParamDict, objective: Callable[..., Any], *args: Any, **options: Any
    ) -> tuple[float, Any]:
        """The loss and its gradients, as `weights.grad`.

        Arguments:
            weights: the model.
            objective: a real scalar function of its weights and of `args`.
            args: what it is called with.
            options: `backend` and `jit` of `weights.grad`.

        Returns:
            `(value, gradients)`; the gradients are None if they overflowed, and the scale is then
            lower. A value that is not finite is the loss's own, and so are gradients that are not.
        """
        known, of, run = self._scaled
        if known is not weights or of is not objective:
            run = self._lowered(weights, objective)
            self._scaled = weights, objective, run
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is looked for below
            value, grads = weights.grad(run, np.float32(self.scale), *args, **options)
        value = float(value) / self.scale
        scale, self.good = self.scale, self.good + 1
        if not all(np.all(np.isfinite(g)) for g in tree_leaves(grads)):
            self.scale, self.good = max(scale / self.factor, min(scale, 1.0)), 0
            if scale > 1:
                return value, None
        if self.good >= self.interval and self.dtype == np.float16:
            self.scale, self.good = scale * self.factor, 0
        return value, tree_map(lambda g: g / np.asarray(scale, dtype_of(g)), grads)

    def state_dict(self) -> dict[str, Any]:
        """The scale, and the passes since it changed."""
        return {"scale": self.scale, "good": self.good}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self.scale, self.good = float(saved["scale"]), int(saved["good"])

    def _lowered(self, weights: ParamDict, objective: Callable[..., Any]) -> Callable[..., Any]:
        """`objective(*args)` times a scale, on values of 16 bits."""
        live = weights_of(weights, "MixedPrecision", whole=True)

        @functools.wraps(objective)
        def run(scale: Any, *args: Any) -> Any:
            values = [current(weight) for weight in live]
            # A buffer counts, or averages over many passes, for which 16 bits are too few.
            low = [x if w.info.mutable else self._low(x) for w, x in zip(live, values)]
            value = on_values(low, (), (live, ()), objective, tree_map(self._low, args), {})
            value = value if hasattr(value, "astype") else np.asarray(value)
            return value.astype(np.float32) * scale

        return run

    def _low(self, x: Any) -> Any:
        """Floats of more than 16 bits rounded to them; other things as they are."""
        if not hasattr(x, "dtype") or not is_inexact(dtype_of(x)) or dtype_of(x).kind == "c":
            return x
        return x.astype(self.dtype)
