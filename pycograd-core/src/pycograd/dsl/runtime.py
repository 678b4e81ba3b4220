"""What lowered code calls: the operators and macros that are more than a call.

Each does what pipescript's operator or macro of that name does.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final, NoReturn

import numpy as np

from pycograd.parameters import params

__all__ = [
    "assign",
    "compose",
    "do",
    "filtering",
    "fork",
    "lazily_filtering",
    "lazily_mapping",
    "mapping",
    "one_for_many",
    "operation",
    "parallel",
    "params",
    "partial",
    "partly",
    "power",
    "reducing",
    "unless_none",
]

Function = Callable[..., Any]

_OPERATIONS: Final[dict[str, Function]] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mult": operator.mul,
    "MatMult": operator.matmul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
    "Pow": operator.pow,
    "LShift": operator.lshift,
    "RShift": operator.rshift,
    "BitAnd": operator.and_,
    "BitXor": operator.xor,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "USub": operator.neg,
    "Invert": operator.invert,
}


_FUNCTIONS: Final = {FunctionType, BuiltinFunctionType, MethodType, partial, np.ufunc}


def _is_function(x: Any) -> bool:
    """True for a callable without arithmetic of its own."""
    if type(x) in _FUNCTIONS:
        return True
    return callable(x) and not hasattr(type(x), "__add__") and not hasattr(type(x), "__mul__")


def operation(name: str, *operands: Any) -> Any:
    """An operator on values; on functions, the function that applies it to their results.

    >>> operation("Pow", abs, 2)(-3.0)
    9.0
    """
    apply, functions = _OPERATIONS[name], tuple(map(_is_function, operands))
    if True not in functions:
        return apply(*operands)
    if functions == (True, False):
        f, value = operands
        return lambda *args: apply(f(*args), value)
    if name == "MatMult":
        raise TypeError(
            "f @ g of two functions, or of a matrix and a function, is no stage: write"
            " f .> g, or $ |> W @ g($)"
        )
    called = list(zip(operands, functions))
    return lambda *args: apply(*[x(*args) if is_function else x for x, is_function in called])


def one_for_many(value: Any, holes: int) -> NoReturn:
    """`value |> $ + $`: a stage of several values that is given one."""
    raise TypeError(
        f"this stage has {holes} holes, and so takes {holes} values, of which |> hands on one:"
        " write *|> to hand on the parts of a tuple, or give the holes one name, $x + $x"
    )


def _star(f: Function, value: Any, stars: int) -> Any:
    return f(value) if not stars else f(*value) if stars == 1 else f(**value)


def compose(first: Function, second: Function, stars: int = 0) -> Function:
    """`first .> second`, where the result of the first may be splatted."""

    def composed(*args: Any, **kwargs: Any) -> Any:
        return _star(second, first(*args, **kwargs), stars)

    return composed


def power(f: Any, exponent: Any) -> Any:
    """`f .** n`, `f` applied n times; `f .** g`, `f` after `g`; of numbers, their power."""
    if not callable(f):
        return f**exponent
    if callable(exponent):
        return compose(exponent, f)
    n = operator.index(exponent)
    if n < 0:
        raise ValueError(f"f .** {n}: a function is applied a number of times that is not negative")

    def repeated(value: Any, *rest: Any) -> Any:
        for i in range(n):
            value = f(value, *rest) if not i else f(*value) if rest else f(value)
        return value

    return repeated


def partly(f: Function, value: Any, stars: int) -> Function:
    """`value $> f`: the function with its first arguments given."""
    return _star(partial(partial, f), value, stars)  # type: ignore[no-any-return]


def unless_none(f: Function, value: Any, stars: int) -> Any:
    """`value ?> f`."""
    return None if value is None else _star(f, value, stars)


def assign(scope: dict[str, Any], name: str, value: Any) -> Any:
    """`value |>> name`."""
    scope[name] = value
    return value


# -- macros ------------------------------------------------------------------------------------
def _like(kind: type) -> Callable[[Iterable[Any]], Any]:
    return kind if kind in (frozenset, list, set, tuple) else iter


def mapping(f: Function) -> Function:
    """`map[f]`: a list, tuple or set gives one of its kind, anything else an iterator."""
    return lambda values, *rest: _like(type(values))(map(f, values, *rest))


def filtering(f: Function) -> Function:
    """`filter[f]`: a list, tuple or set gives one of its kind, anything else an iterator."""
    return lambda values: _like(type(values))(filter(f, values))


def lazily_mapping(f: Function) -> Function:
    """`imap[f]`."""
    return lambda values, *rest: map(f, values, *rest)


def lazily_filtering(f: Function) -> Function:
    """`ifilter[f]`."""
    return lambda values: filter(f, values)


def reducing(f: Function) -> Function:
    """`reduce[f]`; the function that it makes takes a first value after the values."""
    return lambda values, *start: functools.reduce(f, values, *start)


def do(f: Function) -> Function:
    """`do[f]`: calls `f`, and hands on what it was given."""

    def done(value: Any, *rest: Any) -> Any:
        f(value, *rest)
        return (value, *rest) if rest else value

    return done


def fork(*functions: Function) -> Function:
    """`fork[f, g]`: the results of all, for the same arguments."""
    return lambda *args: tuple([f(*args) for f in functions])


def parallel(*functions: Function) -> Function:
    """`parallel[f, g]`: as `fork`, each in a thread of its own, in the context of this one."""

    def run(*args: Any) -> tuple[Any, ...]:
        with ThreadPoolExecutor(len(functions)) as pool:
            calls = [pool.submit(copy_context().run, f, *args) for f in functions]
        return tuple([call.result() for call in calls])

    return run
