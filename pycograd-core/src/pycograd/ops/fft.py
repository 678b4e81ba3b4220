"""`numpy.fft`: three primitives, and the other functions written in them.

The matrix of a transform is symmetric, so `fft` is its own transpose. `rfft` and `irfft` are linear
over the reals only, and what is written are the adjoints of these real maps. A half spectrum leaves
out the conjugates of the frequencies between the first and the middle one; a map that counts those
frequencies twice is `folded`. `irfft` does, `rfft` does not, so the adjoint of each is the other
with its own way of counting: two primitives, closed under differentiation.

Cropping and padding (`n=`, `s=`) are the slices and pads of other modules.
"""

from __future__ import annotations

import warnings
from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError, SymbolicSizeError, UnsupportedOperationError
from pycograd.core.linear import Linear
from pycograd.core.spelling import spells
from pycograd.core.views import lying_as
from pycograd.ops.astype import duplicate
from pycograd.ops.axes import axis_of
from pycograd.ops.cumulative import array
from pycograd.ops.linalg import dtypes
from pycograd.ops.out import deliver

# The convention by which the other direction has the factor that this one has now.
_SWAPPED = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _at(axis: int, part: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, part)


# -- the primitives --------------------------------------------------------------------------------
def _fft_value(x: Any, *, axes: tuple[int, ...], inverse: bool, norm: Any) -> Any:
    if len(axes) == 1:
        return (np.fft.ifft if inverse else np.fft.fft)(x, axis=axes[0], norm=norm)
    return (np.fft.ifftn if inverse else np.fft.fftn)(x, axes=axes, norm=norm)


def _fft_batch(size: Any, values: Any, mapped: Any, axes: tuple[int, ...], **params: Any) -> Any:
    return _fft(*values, axes=tuple([a + 1 for a in axes]), **params)


_fft: Linear = Linear(
    "fft",
    _fft_value,
    transposes={"x": lambda ct, **params: _fft(ct, **params)},
    conjugate=True,
    shape=lambda x, **params: make_aval(x.shape, dtypes(np.fft.fft, x.dtype)),
    batch=_fft_batch,
    cost="transcendental",
)


def _weighted(x: Any, axis: int, n: int, weight: float) -> Any:
    """Of `n` values' half spectrum, the frequencies that have a conjugate times `weight`."""
    x = x.copy()
    x[_at(axis, slice(1, (n + 1) // 2))] *= weight
    return x


def _rfft_value(x: Any, *, axis: int, n: int, norm: Any, folded: bool) -> Any:
    half = np.fft.rfft(x, n, axis, norm)
    return _weighted(half, axis, n, 2) if folded else half


def _irfft_value(x: Any, *, axis: int, n: int, norm: Any, folded: bool) -> Any:
    return np.fft.irfft(x if folded else _weighted(x, axis, n, 0.5), n, axis, norm)


def _rfft_shape(x: Any, axis: int, n: Any, **params: Any) -> Any:
    shape = (*x.shape[:axis], n // 2 + 1, *x.shape[axis + 1 :])
    return make_aval(shape, dtypes(np.fft.rfft, x.dtype))


def _irfft_shape(x: Any, axis: int, n: Any, **params: Any) -> Any:
    return make_aval((*x.shape[:axis], n, *x.shape[axis + 1 :]), dtypes(np.fft.irfft, x.dtype))


def _rfft_batch(size: Any, values: Any, mapped: Any, axis: int, **params: Any) -> Any:
    return _rfft(*values, axis=axis + 1, **params)


def _irfft_batch(size: Any, values: Any, mapped: Any, axis: int, **params: Any) -> Any:
    return _irfft(*values, axis=axis + 1, **params)


_rfft: Linear = Linear(
    "rfft",
    _rfft_value,
    transposes={"x": lambda ct, norm, **params: _irfft(ct, norm=_SWAPPED[norm], **params)},
    shape=_rfft_shape,
    batch=_rfft_batch,
    cost="transcendental",
)
_irfft: Linear = Linear(
    "irfft",
    _irfft_value,
    transposes={"x": lambda ct, norm, **params: _rfft(ct, norm=_SWAPPED[norm], **params)},
    shape=_irfft_shape,
    batch=_irfft_batch,
    cost="transcendental",
)


# -- arguments -------------------------------------------------------------------------------------
def _norm(norm: Any) -> str:
    if norm is None:
        return "backward"
    if norm not in _SWAPPED:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    return str(norm)


def _count(n: Any, name: str) -> Any:
    """The number of points of a transform: a positive int, or a symbol."""
    n = n if isinstance(n, Dim) else index(n)
    if not isinstance(n, Dim) and n < 1:
        raise ShapeError(f"{name}: invalid number of FFT data points ({n})")
    return n


def _resized(x: Any, axis: int, n: Any, name: str) -> Any:
    """The first `n` entries along `axis`, zeros behind them where there are fewer."""
    have = x.shape[axis]
    if have == n:
        return x
    if isinstance(have, Dim) or isinstance(n, Dim):
        raise SymbolicSizeError(
            f"{name}: whether {n} points crop or pad axis {axis} of size {have} depends on the"
            " number that the symbol stands for; give that axis a number"
        )
    if n < have:
        return x[_at(axis, slice(n))]
    widths = [(0, 0)] * len(x.shape)
    widths[axis] = (0, n - have)
    return np.pad(x, widths)


_OF_COMPLEX = {"rfft": "fft", "rfft2": "fft2", "rfftn": "fftn", "ihfft": "ifft"}


def _real(x: Any, name: str) -> Any:
    if dtype_of(x).kind == "c":
        raise UnsupportedOperationError(
            f"{name}: takes real values, not {dtype_of(x)}; write np.fft.{_OF_COMPLEX[name]}, or"
            " give it np.real(x)"
        )
    return x


def _sizes(a: Any, s: Any, axes: Any, name: str, whole: bool = False) -> tuple[Any, list[int]]:
    """The numbers of points (None: as many as there are) and the axes of a transform along several.

    Arguments:
        whole: True where the result is real, so that its last axis is the longer one.
    """
    rank = len(a.shape)
    if s is not None and (axes is None or None in list(s)):
        warnings.warn(
            f"{name}: s without axes, and None in s, are deprecated by NumPy; give both, and -1 for"
            " all entries of an axis",
            DeprecationWarning,
            stacklevel=2,
        )
    if axes is None:
        axes = range(-(rank if s is None else len(s)), 0)
    axes = [axis_of(i, rank, name) for i in axes]
    counts: list[Any] = [None] * len(axes) if s is None else list(s)
    if len(counts) != len(axes):
        raise ShapeError(f"{name}: s of {len(counts)} numbers for {len(axes)} axes")
    if whole and axes and counts[-1] is None:
        counts[-1] = (a.shape[axes[-1]] - 1) * 2
    return [a.shape[i] if n is None or _is_rest(n) else n for n, i in zip(counts, axes)], axes


def _is_rest(n: Any) -> bool:
    return not isinstance(n, Dim) and index(n) == -1


# -- along one axis --------------------------------------------------------------------------------
def _one(a: Any, n: Any, axis: Any, norm: Any, inverse: bool, name: str) -> Any:
    a = array(a)
    axis = axis_of(axis, len(shape_of(a)), name)
    n = _count(a.shape[axis] if n is None else n, name)
    return _fft(_resized(a, axis, n, name), axes=(axis,), inverse=inverse, norm=_norm(norm))


@spells(np.fft.fft)
def fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The discrete Fourier transform along an axis."""
    return deliver(_one(a, n, axis, norm, False, "fft"), out)


@spells(np.fft.ifft)
def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fft`."""
    return deliver(_one(a, n, axis, norm, True, "ifft"), out)


def _to_half(a: Any, n: Any, axis: Any, norm: Any, name: str) -> Any:
    a = _real(array(a), name)
    axis = axis_of(axis, len(shape_of(a)), name)
    n = _count(a.shape[axis] if n is None else n, name)
    return _rfft(_resized(a, axis, n, name), axis=axis, n=n, norm=_norm(norm), folded=False)


def _from_half(a: Any, n: Any, axis: Any, norm: Any, name: str) -> Any:
    a = array(a)
    axis = axis_of(axis, len(shape_of(a)), name)
    n = _count((a.shape[axis] - 1) * 2 if n is None else n, name)
    half = _resized(a, axis, n // 2 + 1, name)
    return _irfft(half, axis=axis, n=n, norm=_norm(norm), folded=True)


@spells(np.fft.rfft)
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The first half of the transform of real values, which determines the other."""
    return deliver(_to_half(a, n, axis, norm, "rfft"), out)


@spells(np.fft.irfft)
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft`: `n` real values, of which a half spectrum is given."""
    return deliver(_from_half(a, n, axis, norm, "irfft"), out)


@spells(np.fft.hfft)
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The real spectrum of values of which half are given, the others being their conjugates."""
    return deliver(_from_half(np.conj(a), n, axis, _SWAPPED[_norm(norm)], "hfft"), out)


@spells(np.fft.ihfft)
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    return deliver(np.conj(_to_half(a, n, axis, _SWAPPED[_norm(norm)], "ihfft")), out)


# -- along several axes ----------------------------------------------------------------------------
def _many(a: Any, s: Any, axes: Any, norm: Any, inverse: bool, name: str) -> Any:
    a = array(a)
    counts, axes = _sizes(a, s, axes, name)
    norm = _norm(norm)
    if len(set(axes)) < len(axes):  # an axis that is named twice is transformed twice
        for n, axis in zip(counts[::-1], axes[::-1]):
            a = _one(a, n, axis, norm, inverse, name)
        return a
    for n, axis in zip(counts, axes):
        a = _resized(a, axis, _count(n, name), name)
    return _fft(a, axes=tuple(axes), inverse=inverse, norm=norm) if axes else a


@spells(np.fft.fftn)
def fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The discrete Fourier transform along some or all axes."""
    return deliver(_many(a, s, axes, norm, False, "fftn"), out)


@spells(np.fft.ifftn)
def ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fftn`."""
    return deliver(_many(a, s, axes, norm, True, "ifftn"), out)


@spells(np.fft.fft2)
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The discrete Fourier transform along two axes."""
    return deliver(_many(a, s, axes, norm, False, "fft2"), out)


@spells(np.fft.ifft2)
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fft2`."""
    return deliver(_many(a, s, axes, norm, True, "ifft2"), out)


def _many_to_half(a: Any, s: Any, axes: Any, norm: Any, name: str) -> Any:
    a = array(a)
    counts, axes = _sizes(a, s, axes, name)
    if not axes:
        raise ShapeError(f"{name}: at least one axis must be transformed")
    half = _to_half(a, counts[-1], axes[-1], norm, name)
    return _many(half, counts[:-1], axes[:-1], norm, False, name)


def _many_from_half(a: Any, s: Any, axes: Any, norm: Any, name: str) -> Any:
    a = array(a)
    counts, axes = _sizes(a, s, axes, name, whole=True)
    if not axes:
        raise ShapeError(f"{name}: at least one axis must be transformed")
    a = _many(a, counts[-2::-1], axes[-2::-1], norm, True, name)
    return _from_half(a, counts[-1], axes[-1], norm, name)


@spells(np.fft.rfftn)
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """As `fftn` of real values, with half of the last axis."""
    return deliver(_many_to_half(a, s, axes, norm, "rfftn"), out)


@spells(np.fft.irfftn)
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfftn`."""
    return deliver(_many_from_half(a, s, axes, norm, "irfftn"), out)


@spells(np.fft.rfft2)
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """As `fft2` of real values, with half of the last axis."""
    return deliver(_many_to_half(a, s, axes, norm, "rfft2"), out)


@spells(np.fft.irfft2)
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft2`."""
    return deliver(_many_from_half(a, s, axes, norm, "irfft2"), out)


# -- order of frequencies --------------------------------------------------------------------------
def _swap_parts(x: Any, axes: Any, name: str, back: bool) -> Any:
    rank = len(x.shape)
    if axes is None:
        axes = range(rank)
    swapped = x
    for axis in [axis_of(i, rank, name) for i in np.atleast_1d(axes)]:
        n = x.shape[axis]
        part = n // 2 if back else n - n // 2
        ahead, behind = _at(axis, slice(part, None)), _at(axis, slice(None, part))
        swapped = np.concatenate((swapped[ahead], swapped[behind]), axis)
    return duplicate(x) if swapped is x else lying_as(swapped, x)


@spells(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """Frequency 0 in the middle."""
    return _swap_parts(x, axes, "fftshift", False)


@spells(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`, which for odd lengths differs from it."""
    return _swap_parts(x, axes, "ifftshift", True)
