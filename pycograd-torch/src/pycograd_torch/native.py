"""Torch's autograd with rules of ours in it.

Where torch's derivative of an operation is another one (at kinks, of one triangle of a matrix, of
equal eigenvalues) or missing, the operation becomes an `autograd.Function` whose backward is the
primitive's own rule, captured and lowered as any other graph.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch


def with_rule(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, which torch differentiates by `backward(operands, results, cotangents)`."""

    class Step(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
        generate_vmap_rule = True

        @staticmethod
        def forward(*operands: Any) -> Any:
            # A result that is an operand itself would be saved as both.
            return tuple(
                [out.view_as(out) if any(out is x for x in operands) else out
                 for out in forward(*operands)]
            )  # fmt: skip

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs, *output)
            ctx.count = len(inputs)

        @staticmethod
        def backward(ctx: Any, *cts: Any) -> Any:
            operands, results = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
            found = backward(operands, results, cts)
            return tuple([ct if n else None for ct, n in zip(found, ctx.needs_input_grad)])

    apply: Callable[..., Any] = Step.apply

    def run(*operands: Any) -> Any:
        if torch.is_grad_enabled() and any([x.requires_grad for x in operands]):
            if torch._C._get_tracing_state() is None:  # TorchScript has no functions of Python
                return apply(*operands)
        return forward(*operands)

    return run


_WHY = (
    "pycograd captures functions, and looks at what they close over. A module of"
    " to_torch_module(f, params), after module.specialize(*inputs), is one graph"
)


def untraced(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, which `torch.compile` calls and does not look into."""
    disable: Any = torch.compiler.disable
    told = {"reason": _WHY} if "reason" in signature(disable).parameters else {}
    disabled: Callable[..., Any] = disable(f, **told)
    return disabled
