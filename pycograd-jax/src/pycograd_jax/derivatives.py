"""JAX's automatic differentiation with pycograd's conventions.

Of a complex value JAX's cotangent is the conjugate of ours, so what goes in or out is conjugated.
The rule that replaces JAX's own is the primitive's tangent rule, captured as a graph and lowered by
the same table. JAX transposes it where it needs to, so that both of its modes, and each inside the
other, follow our conventions. A user's function has cotangent rules, and JAX's reverse mode alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pycograd.plugins.api import (
    Backend,
    Graph,
    LoweringNotFoundError,
    ShapeDtypeStruct,
    Value,
    capture,
    lowered,
)
from pycograd_jax.lowerings import REFUSED, special
from pycograd_jax.lowerings.dtypes import cast
from pycograd_jax.precision import wide

# JAX's own rules of the others are ours: they are linear, or smooth wherever they are defined.
_KINDS = """
absolute fabs sign copysign angle sqrt cbrt power float_power reciprocal divide square logaddexp
logaddexp2 arctan2 hypot maximum minimum fmax fmin clip remainder fmod arcsin arccos arccosh arctanh
log log2 log10 log1p exp2 heaviside ldexp complex over_gap deviation prod max min fmax_reduce
fmin_reduce logaddexp_reduce logaddexp2_reduce hypot_reduce logsumexp cumprod logaddexp_accumulate
logaddexp2_accumulate standardize det slogdet inv solve pinv cholesky qr svd svdvals eigh eigvalsh
eig eigvals sinc sinc_derivative i0 bessel_i relu leaky_relu elu sigmoid silu softplus softsign gelu
normal_cdf bce_with_logits softmax log_softmax max_pool index_update astype nextafter
spacing
"""
OWN_RULES = frozenset(_KINDS.split()) | frozenset(special.TABLE)


def _conj(x: Any) -> Any:
    return jnp.conj(x) if jnp.iscomplexobj(x) else x


def _moves(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.inexact))


def with_rule(backend: Backend, run: Callable[..., Any], backward: Any) -> Callable[..., Any]:
    """`run` with the rule of `backward` as its derivative.

    Arguments:
        backend: JAX's.
        run: a function of arrays that returns a list of them.
        backward: `backward(operands, results, cotangents)`, a cotangent for each operand; its
            attribute `graph` is of the one equation.
    """
    (equation,) = backward.graph.equations
    ruled: Any = (
        _with_cotangents(run, backward)
        if equation.primitive.special
        else _with_tangents(run, _Push(backend, backward.graph))
    )
    return lambda *operands: list(ruled(*map(jnp.asarray, operands)))


# -- rules of the primitives ---------------------------------------------------------------------
class _Push:
    """The tangent rule of an equation as functions of JAX's arrays, one for each set of operands
    that move."""

    def __init__(self, backend: Backend, graph: Graph) -> None:
        self.backend, self.graph = backend, graph
        self.made: dict[tuple[bool, ...], tuple[Any, list[bool]]] = {}

    def __call__(self, operands: Any, moves: Sequence[Any], results: Any) -> list[Any]:
        """The tangents of the results, None where one does not move."""
        flags = tuple([t is not None for t in moves])
        if flags not in self.made:
            self.made[flags] = self._of(flags)
        run, has = self.made[flags]
        found = iter(run(*operands, *results, *[t for t in moves if t is not None]))
        return [next(found) if h else None for h in has]

    def _of(self, flags: tuple[bool, ...]) -> tuple[Any, list[bool]]:
        (equation,) = self.graph.equations
        inputs, outs, primitive = self.graph.inputs, equation.outs, equation.primitive
        has: list[bool] = []

        def push(*xs: Any) -> list[Any]:
            known = dict(zip(inputs, xs))
            results = xs[len(inputs) : len(inputs) + len(outs)]
            rest = iter(xs[len(inputs) + len(outs) :])
            moving = {v: next(rest) for v, flag in zip(inputs, flags) if flag}
            values = [known[x] if isinstance(x, Value) else x.number for x in equation.operands]
            tangents = [moving.get(x) if isinstance(x, Value) else None for x in equation.operands]
            ans = tuple(results) if primitive.multi else results[0]
            made = primitive.jvp(values, tangents, ans, equation.params)
            each = list(made or [None] * len(outs)) if primitive.multi else [made]
            has[:] = [t is not None for t in each]
            return [t for t in each if t is not None]

        plain = [ShapeDtypeStruct(v.shape, v.dtype) for v in (*inputs, *outs)]
        moving = [a for a, flag in zip(plain, flags) if flag]
        graph = capture(push, *plain, *moving)
        return lowered(graph, self.backend, rules=True), has


def _with_tangents(run: Callable[..., Any], push: _Push) -> Callable[..., Any]:
    def whole(*operands: Any) -> tuple[Any, ...]:
        with wide():
            return tuple(run(*operands))

    ruled: Any = jax.custom_jvp(whole)

    def tangents(operands: Any, moves: Any) -> tuple[Any, Any]:
        with wide():
            results = ruled(*operands)
            given = [None if _stays(x, t) else t for x, t in zip(operands, moves)]
            if all(t is None for t in given):
                found: list[Any] = [None] * len(results)
            else:
                found = push(operands, given, results)
            return results, tuple(map(_tangent, found, results))

    ruled.defjvp(tangents, symbolic_zeros=True)
    made: Callable[..., Any] = ruled
    return made


def _stays(x: Any, t: Any) -> bool:
    return isinstance(t, jax.custom_derivatives.SymbolicZero) or not _moves(x)


def _tangent(t: Any, result: Any) -> Any:
    if not _moves(result):
        return np.zeros(result.shape, jax.dtypes.float0)
    if t is None:
        return jnp.zeros(result.shape, result.dtype)
    return cast(jnp.broadcast_to(t, result.shape), result.dtype)


# -- rules of the user ---------------------------------------------------------------------------
def _with_cotangents(run: Callable[..., Any], backward: Any) -> Callable[..., Any]:
    def whole(*operands: Any) -> tuple[Any, ...]:
        with wide():
            return tuple(run(*operands))

    def forward(*operands: Any) -> tuple[Any, Any]:
        results = whole(*operands)
        return results, (operands, results)

    def back(kept: Any, cts: Any) -> tuple[Any, ...]:
        operands, results = kept
        with wide():
            given = [_conj(ct) if _moves(x) else None for ct, x in zip(cts, results)]
            found = backward(list(operands), list(results), given)
            return tuple(map(_cotangent, found, operands))

    ruled: Any = jax.custom_vjp(whole)
    ruled.defvjp(forward, back)
    made: Callable[..., Any] = ruled
    return made


def _cotangent(ct: Any, operand: Any) -> Any:
    if not _moves(operand):
        return np.zeros(operand.shape, jax.dtypes.float0)
    if ct is None:
        return jnp.zeros(operand.shape, operand.dtype)
    return _conj(cast(jnp.broadcast_to(ct, operand.shape), operand.dtype))


def grad_and_value(
    run: Callable[..., Any], leaves: Sequence[Any], live: Sequence[int]
) -> tuple[Any, list[Any]]:
    """`(value, gradients)` of a scalar function, with our convention for complex leaves."""

    def of_live(*given: Any) -> Any:
        full = list(fixed)
        for i, x in zip(live, given):
            full[i] = x
        out = run(*full)
        return out[0] if isinstance(out, (list, tuple)) else out

    with wide():
        fixed = list(map(jnp.asarray, leaves))
        given = [fixed[i] for i in live]
        try:
            value, found = jax.value_and_grad(of_live, tuple(range(len(given))))(*given)
        except ValueError as error:
            if "lax.while_loop" not in str(error):
                raise
            raise LoweringNotFoundError(
                f"the reverse mode of while_loop: {REFUSED['while_loop_replay']}"
            ) from error
        return value, [_conj(g) for g in found]
