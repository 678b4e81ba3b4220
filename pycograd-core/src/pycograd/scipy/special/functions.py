"""What `scipy.special` writes in Python, where it knows of no protocol.

Without differentiated values among the arguments each is scipy's own function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd import nn
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import UnsupportedOperationError
from pycograd.ops.axes import axes_of
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.special import gammafunctions
from pycograd.transforms.custom import stop_gradient

__all__ = [
    "comb",
    "factorial",
    "log_softmax",
    "logsumexp",
    "multigammaln",
    "perm",
    "polygamma",
    "softmax",
    "spherical_in",
    "spherical_jn",
    "spherical_kn",
    "spherical_yn",
]


Function = Callable[..., Any]


def _for_boxes(original: Any) -> Callable[[Function], Function]:
    """Decorator: stands for `original` where an argument is a box, and is it everywhere else."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def either(*args: Any, **kwargs: Any) -> Any:
            boxed = any([isinstance(x, Box) for x in (*args, *kwargs.values())])
            return (function if boxed else original)(*args, **kwargs)

        return stands_for(original)(either)

    return decorate


def _exact(name: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        f"scipy.special.{name}: exact=True counts with Python's integers, which have no derivative;"
        " leave it out"
    )


def _strong(x: Any) -> Any:
    """A number as the array that scipy makes of it."""
    return x if isinstance(x, Box) else np.asarray(x)


# -- softmax ---------------------------------------------------------------------------------------
@_for_boxes(sc.softmax)
def softmax(x: Any, axis: Any = None) -> Any:
    """As `scipy.special.softmax`: `exp(x)` divided by its sum, over all axes by default.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    return nn.softmax(x, axis)


@_for_boxes(sc.log_softmax)
def log_softmax(x: Any, axis: Any = None) -> Any:
    """As `scipy.special.log_softmax`: the logarithm of `softmax`.

    >>> log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    return nn.log_softmax(x, axis)


@_for_boxes(sc.logsumexp)
def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """As `scipy.special.logsumexp`: `log(sum(b * exp(a)))` without overflow.

    Arguments:
        a: real or complex, any shape.
        axis: an int, a tuple of them, or None for all axes.
        b: factors of the exponentials, which broadcast against `a`; they may be 0 or negative.
        keepdims: keep the reduced axes with size 1.
        return_sign: give the pair of the logarithm of the sum's magnitude and its sign.

    Returns:
        The logarithm; nan where the sum is negative and `return_sign` is not set.

    >>> grad(lambda a: logsumexp(a, b=np.array([3.0, -1.0])))(np.array([1000.0, 1000.0]))
    (array([ 1.5, -0.5]),)
    """
    if b is None and not return_sign and dtype_of(a).kind != "c":
        return nn.logsumexp(a, axis, keepdims)
    if b is not None:
        a, b = np.broadcast_arrays(a, b)
        a = np.where(b == 0, -np.inf, a)  # what counts for nothing must not overflow
    axes = axes_of(axis, len(shape_of(a)), "logsumexp")
    # By how much all are lowered changes nothing, in the derivatives either.
    top = np.max(stop_gradient(np.real(a)), axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    terms = np.exp(a - top)
    total = np.sum(terms if b is None else b * terms, axis=axes, keepdims=True)
    out = np.log(np.abs(total) if return_sign else total) + top
    if not keepdims:
        out = np.squeeze(out, axes)
    if not return_sign:
        return out
    sign = np.sign(total)
    return out, sign if keepdims else np.squeeze(sign, axes)


# -- gamma functions -------------------------------------------------------------------------------
@_for_boxes(sc.polygamma)
def polygamma(n: Any, x: Any) -> Any:
    """As `scipy.special.polygamma`: the n-th derivative of `digamma`; n is not differentiated.

    >>> round(float(polygamma(1, 1.0)), 6)
    1.644934
    """
    return gammafunctions.polygamma(n, x)


@_for_boxes(sc.multigammaln)
def multigammaln(a: Any, d: Any) -> Any:
    """As `scipy.special.multigammaln`: the logarithm of the multivariate gamma function.

    >>> round(float(multigammaln(3.0, 1)), 6)
    0.693147
    """
    if isinstance(d, Box) or int(d) != d:
        raise ValueError("multigammaln: the dimension d should be a positive integer")
    parts = [sc.gammaln(a - 0.5 * j) for j in range(int(d))]
    return sum(parts) + np.float64(d * (d - 1) * 0.25 * math.log(math.pi))


@_for_boxes(sc.factorial)
def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """As `scipy.special.factorial`: `gamma(n + 1)`, and 0 of negative n.

    >>> float(factorial(4.0))
    24.0
    """
    if exact:
        raise _exact("factorial")
    if extend == "complex":
        return sc.gamma(n + 1)
    negative = n < 0
    found = np.where(negative, 0, sc.gamma(np.where(negative, 0, n) + 1))
    return found.astype(np.float64) if n.shape else found  # scipy widens arrays alone


def _inside(function: Function, n: Any, k: Any) -> Any:
    """`function(n, k)` where 0 <= k <= n, and 0 elsewhere, its derivatives too."""
    inside = (k <= n) & (n >= 0) & (k >= 0)
    return np.where(inside, function(np.where(inside, n, 1), np.where(inside, k, 0)), 0)


@_for_boxes(sc.comb)
def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """As `scipy.special.comb`: `binom(N, k)`, and 0 outside of 0 <= k <= N.

    >>> float(comb(5.0, 2.0))
    10.0
    """
    if exact:
        raise _exact("comb")
    N, k = _strong(N), _strong(k)
    if repetition:
        return np.where((k == 0) & (N >= 0), 1, comb(N + k - 1, k))
    return _inside(sc.binom, N, k)


@_for_boxes(sc.perm)
def perm(N: Any, k: Any, exact: bool = False) -> Any:
    """As `scipy.special.perm`: `poch(N - k + 1, k)`, and 0 outside of 0 <= k <= N.

    >>> float(perm(5.0, 2.0))
    20.0
    """
    if exact:
        raise _exact("perm")
    N, k = _strong(N), _strong(k)
    return _inside(lambda n, k: sc.poch(n - k + 1, k), N, k)


# -- spherical Bessel functions --------------------------------------------------------------------
def _spherical(original: Any, name: str, reflected: Any) -> Function:
    """`original`, of whose ufuncs some know no negative z: there `reflected(n, z, derivative)`."""
    value, slope = getattr(sc._ufuncs, f"_{name}"), getattr(sc._ufuncs, f"_{name}_d")

    def right(n: Any, z: Any, derivative: bool) -> Any:
        return (slope if derivative else value)(n, z)

    def function(n: Any, z: Any, derivative: bool = False) -> Any:
        n = n if isinstance(n, Box) else np.asarray(n, np.dtype("long"))[()]
        if dtype_of(z).kind == "c":
            return right(n, z, derivative)
        below = z < 0
        return np.where(
            below,
            reflected(right, n, np.where(below, z, -1), derivative),
            right(n, np.where(below, 1, z), derivative),
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""As `scipy.special.{name}`, differentiable in z.

    >>> float(grad(lambda z: {name}(0, z))(1.0)[0]) == float({name}(0, 1.0, True))
    True
    """
    return _for_boxes(original)(function)


def _mirrored(sign: int) -> Function:
    """f(n, -z) = sign (-1)^n f(n, z): DLMF 10.47.14 and 10.47.16."""

    def reflected(right: Function, n: Any, z: Any, derivative: bool) -> Any:
        factor = np.where(n % 2 == 0, sign, -sign)
        return right(n, -z, derivative) * (-factor if derivative else factor)

    return reflected


def _continued(right: Function, n: Any, z: Any, derivative: bool) -> Any:
    """The real part of what the complex function gives beside its cut."""
    return np.real(right(n, z + 0j, derivative))


spherical_jn = _spherical(sc.spherical_jn, "spherical_jn", _mirrored(1))
spherical_yn = _spherical(sc.spherical_yn, "spherical_yn", _mirrored(-1))
spherical_in = _spherical(sc.spherical_in, "spherical_in", _mirrored(1))
spherical_kn = _spherical(sc.spherical_kn, "spherical_kn", _continued)
