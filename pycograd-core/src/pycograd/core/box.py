"""`Box`: a value of a transform, which answers NumPy's protocols in the place of an array.

A box holds `.value` (an array, or a box of an enclosing transform) and the `._trace` that made it.
Operators, methods and attributes of arrays are installed by `pycograd.ops`, where each operation
is defined; this module has what every box shares and the conversions that must never happen
silently.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from pycograd.core.errors import ConversionError, UnsupportedOperationError
from pycograd.core.foreign import OTHERS, instead_of_functions, library_at
from pycograd.core.spelling import CREATORS, FUNCTIONS, REFUSED, UFUNC_METHODS, UFUNCS, find
from pycograd.core.tree import register_leaf

# An attribute of arrays that boxes do not have -> what to write; {plain} is the plain array.
INSTEAD: dict[str, str] = {}


class Box:
    """Base of all boxes; see the module docstring."""

    # links: views and bases for item assignment (core.views); unset until a view is made.
    __slots__ = ("value", "_trace", "links", "__weakref__")
    __hash__ = None  # type: ignore[assignment]  # as ndarray: == is elementwise

    value: Any
    _trace: Any
    links: Any

    # The slots that hold arrays or boxes and nothing else does: what a write may change in place
    # (core.views). A kind that says nothing here is only written functionally.
    contents: tuple[str, ...] = ()

    stays = False  # True: `x += 1` changes the box even where it stands for a number

    bottom = False  # True: it holds an array of a foreign library, which is not looked into

    plain = "stop_gradient(x)"  # in messages: how to write its plain array

    # Ordinary code branches on isinstance(x, np.ndarray); type(x) stays ours.
    __class__ = property(lambda self: np.ndarray)

    def __init_subclass__(cls) -> None:
        register_leaf(cls)  # of trees; the quickest kind to flatten
        if isinstance(own := cls.__dict__.get("shape"), property):
            cls.shape = own.setter(lambda box, new: box.set_shape(new))  # type: ignore[assignment]

    # -- what a kind of box must say ----------------------------------------------------------
    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes of the axes, as the user's function sees them."""
        return self.value.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value."""
        return self.value.dtype  # type: ignore[no-any-return]

    @property
    def weak(self) -> bool:
        """True if this stands for a Python scalar, which adapts to the dtype of arrays."""
        bottom = raw(self)
        return getattr(bottom, "weak", type(bottom) in (float, int, complex))

    def rebind(self, new: Box) -> None:
        """Becomes `new`, another box of the same trace: the functional form of a write."""
        raise NotImplementedError

    # -- NumPy's protocols ----------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            bind = UFUNCS.get(ufunc) or find(UFUNCS, ufunc)
            if bind is not None:
                return bind(*operands)
        return UFUNC_METHODS[method](ufunc, operands, kwargs)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        ours = FUNCTIONS.get(function)
        if ours is None:
            if function in CREATORS:
                return CREATORS[function](self, *args, **kwargs)
            ours = find(FUNCTIONS, function)
            if ours is None:
                raise self._unsupported(function)
        return ours(*args, **kwargs)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> NoReturn:
        # torch asks this of its functions' arguments. Its operators take the error for a reason to
        # try ours.
        box = next(_boxes_in([*args, *(kwargs or {}).values()]))
        raise UnsupportedOperationError(
            f"torch's {getattr(function, '__name__', 'function')} was called on"
            f" {box._kind().rstrip(',')}, {box._instead_of_torch()}"
        )

    def _unsupported(self, function: Any) -> UnsupportedOperationError:
        return unsupported(function)

    def _instead_of_torch(self) -> str:
        return f"of which torch knows nothing. {instead_of_functions('torch')}"

    # -- conversions that would detach ----------------------------------------------------------
    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConversionError(
            f"{self._kind()} was converted to a plain array, which would detach it. If NumPy was"
            " given a list, write np.stack([...]); np.zeros(n, like=x) makes a buffer that accepts"
            " it; X @ w instead of X.dot(w); np.asarray(table, like=i)[i] instead of table[i]; or"
            " transparent(f), which takes all of these as they stand;"
            f" stop_gradient(x) if detaching is the purpose{_for_the_caller()}"
        )

    def __float__(self) -> NoReturn:
        self._refuse(
            "float",
            "np functions in place of math functions (np.exp for math.exp), or transparent(f)",
        )

    def __int__(self) -> NoReturn:
        self._refuse("int", "np.floor(x), or int(stop_gradient(x))")

    def __complex__(self) -> NoReturn:
        self._refuse("complex", "x + 0j, or transparent(f)")

    def __index__(self) -> NoReturn:
        self._refuse("an index", "np.asarray(table, like=i)[i] for table[i]")

    def _refuse(self, target: str, fix: str) -> NoReturn:
        raise ConversionError(
            f"{self._kind()} was converted to {target}, which would detach it. Write {fix}; if it"
            " was being stored into a plain array, make that array with np.zeros(n, like=x), or"
            " in transparent(f); stop_gradient(x) if detaching is the purpose"
        )

    def _kind(self) -> str:
        return f"a differentiated value {type(self).__name__}({self._text()})"

    # -- the container protocol ------------------------------------------------------------------
    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise TypeError("len() of unsized object: a 0-d value")
        return int(shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d value")
        return (self[i] for i in range(self.shape[0]))  # type: ignore[index]

    def __contains__(self, item: Any) -> bool:
        return bool(np.any(np.equal(self, item)))

    # -- text -------------------------------------------------------------------------------------
    def _text(self) -> str:
        dtype = self.dtype
        return f"{dtype.name}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "dtype"):  # the property itself failed: its message needs them
            raise AttributeError(f"{type(self).__name__} holds {type(self.value).__name__}")
        if name in INSTEAD:
            raise AttributeError(self._without(name))
        raise AttributeError(self._unknown(name))

    def _without(self, name: str) -> str:
        instead = INSTEAD[name].replace("{plain}", self.plain)
        return f"{name!r} has no meaning for {self._kind()}; write {instead}"

    def _unknown(self, name: str) -> str:
        return f"{type(self).__name__!r} object has no attribute {name!r}"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{self._kind()} belongs to a running transform and cannot be pickled")


# Functions of NumPy that make a plain array of their arguments before any protocol is asked, and
# what to write in the place of a call that ends in them.
_INSTEAD_OF_CALLS = {
    "_vectorize_call": "np.vectorize makes plain arrays of its arguments: call the function itself,"
    " vmap(f)(x), or np.frompyfunc(f, 1, 1)(x)",
    "_vectorize_call_with_signature": "np.vectorize makes plain arrays of its arguments: write"
    " vmap(f)(x)",
    "mapdomain": "np.polynomial's classes make plain arrays of what they are called on: write"
    " np.polynomial.polynomial.polyval(offset + scale * x, p.coef), or its like for their kind,"
    " where offset, scale = p.mapparms()",
}
_SERIES = "np.polynomial makes plain arrays of coefficients: write np.polyval(c[::-1], x)"


def _for_the_caller() -> str:
    """What more to say to who called one of these functions."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__array__":  # that of a kind of box, which asks Box's
            frame = frame.f_back
            continue
        library = library_at(code.co_filename)
        if library in OTHERS:
            return f". A function of {library} was called: {instead_of_functions(library)}"
        if not code.co_filename.startswith(_NUMPY):
            break
        if code.co_name in _INSTEAD_OF_CALLS:
            return f". {_INSTEAD_OF_CALLS[code.co_name]}"
        if f"{os.sep}polynomial{os.sep}" in code.co_filename:
            return f". {_SERIES}"
        if code.co_filename.startswith(f"{_NUMPY}ma{os.sep}"):
            return f". np.ma does not go with differentiated values: {_OTHER_ARRAYS['MaskedArray']}"
        if code.co_filename.endswith(f"{os.sep}defmatrix.py"):
            return f". Of np.matrix, {_OTHER_ARRAYS['matrix']}"
        frame = frame.f_back
    scipy = getattr(sys.modules.get("scipy"), "__file__", None)
    if frame is not None and scipy and code.co_filename.startswith(os.path.dirname(scipy)):
        return f". {_SCIPY}"
    return ""


_SCIPY = (
    "scipy's own code takes plain arrays: call the function of the same name in pycograd.scipy (for"
    " A @ x with a sparse A, pycograd.scipy.sparse.matmul(A, x)), or use transparent(f)"
)
_NUMPY = os.path.dirname(np.__file__) + os.sep


def _boxes_in(values: Any) -> Iterator[Box]:
    """The boxes in nested sequences, themselves and not what they stand for."""
    for x in values:
        if isinstance(x, Box):
            yield x
        elif type(x) is list or type(x) is tuple:
            yield from _boxes_in(x)


def unsupported(function: Any) -> UnsupportedOperationError:
    """The error for a NumPy name that no operation has claimed."""
    name = dotted(function)
    if function in REFUSED:
        return UnsupportedOperationError(f"{name} of a differentiated value: {REFUSED[function]}")
    return UnsupportedOperationError(
        f"{name} has no rule for differentiated values. Write it with supported NumPy functions, or"
        " give it one with custom_vjp; stop_gradient(x) makes its argument a constant"
    )


def dotted(function: Any) -> str:
    """What users call a function of NumPy."""
    name = getattr(function, "__name__", str(function))
    if not isinstance(function, np.ufunc):
        module = getattr(function, "__module__", None) or "numpy"
        return f"{module.replace('numpy', 'np', 1)}.{name}"
    # Other ufuncs do not say where they are from.
    return f"np.{name}" if getattr(np, name, None) is function else name


def refuse_masks(x: Any) -> None:
    """Refuses masked arrays and `np.matrix`, whose operations are others than those of arrays."""
    if type(x) is np.ndarray or isinstance(x, Box) or not isinstance(x, np.ndarray):
        return
    for cls in type(x).__mro__:
        if (fix := _OTHER_ARRAYS.get(cls.__name__)) and cls.__module__.startswith("numpy"):
            raise UnsupportedOperationError(
                f"np.{'ma.' if cls.__name__ == 'MaskedArray' else ''}{cls.__name__} does not go"
                f" with differentiated values: {fix}"
            )


_OTHER_ARRAYS = {
    "MaskedArray": "its mask would be lost. Write np.where(m.mask, 0, x) or np.sum(x,"
    " where=~m.mask) with m.data in the place of m",
    "matrix": "write np.asarray(m), and @ for the product",
}


def raw(x: Any) -> Any:
    """The array at the bottom of nested boxes; of an array of a foreign library, its box."""
    while isinstance(x, Box) and not x.bottom:
        x = x.value
    return x
