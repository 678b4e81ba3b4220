"""`Primitive`: an operation with all its rules in one place, and `bind`, which runs it.

`bind` is the one decision of the system: the innermost transform among the operands handles the
operation; its rules compute on the `.value`s and so bind again one level out, until the operands
are plain arrays and the implementation runs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from pycograd.core import modes, sizes
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.box import Box, refuse_masks
from pycograd.core.dims import Dim
from pycograd.core.errors import (
    ArgumentError,
    DefinitionError,
    OutOfBoundsError,
    PycogradError,
    ShapeError,
)
from pycograd.core.spelling import find
from pycograd.core.views import link

REGISTRY: dict[str, Primitive] = {}
_SAID = (PycogradError, np.linalg.LinAlgError)  # errors that already say what they are
_PLAIN = frozenset({np.ndarray, float, int, np.float64})  # seen at a glance to be no box


class Trace:
    """One running transform. Boxes belong to a trace by identity; the level orders nesting."""

    __slots__ = ("level", "name")
    replaying = 0  # while a checkpointed function runs again, whatever `no_grad` says: since when
    closed = False  # True: the transform has ended, and its boxes have escaped
    passes = False  # True: its boxes only stand in front of what they hold (core.fillable)
    owns = False  # True: what is made beside its boxes is of its own kind (abstract, on a device)
    differentiates = False  # True: of an integer or boolean it has nothing to say; those stay plain

    def __init__(self, name: str = "") -> None:
        self.level = next(modes.levels)
        self.name = name

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        """Runs `primitive` under this transform; some operand is a box of this trace."""
        raise NotImplementedError

    def constant(self, value: Any) -> Any:
        """A box for a value that does not depend on the inputs, which a later write may change."""
        raise NotImplementedError

    def make(self, make: Callable[[], Any], aval: ShapeDtypeStruct) -> Any:
        """As `constant`, for what `make` returns; where no data exist nothing is made."""
        return self.constant(make())


class Primitive:
    """An operation. A subclass is a *kind*: it derives the rules below from what its author wrote.

    Arguments:
        name: unique; what errors, graphs and plugins call it.
        impl: `impl(*operands, **params)` on plain arrays; None where the subclass has a method.
        multi: True if it returns a tuple of arrays.
        view: how a write to the result goes back to operand 0 (`core.views`), if it is a view.
    """

    zero = False  # True: the derivative is zero everywhere, results are constants
    custom = False  # True: a user's function in a graph, its parameter `body` what it does
    fresh = False  # True: arrays that it returns are new memory, which nothing else refers to
    special = False  # True: `under` decides itself how it runs under a transform
    composed = False  # True: `impl` is of other operations, which backends without a lowering run
    spares = False  # True: lowerings take `wanted=`, which of the results are read; others: None
    writes_part = False  # True: the write-back of this view may change the base in place
    copies: Callable[[Any, Any], bool] | None = None  # (result, params): True where it is no view
    products: Callable[..., int] | None = None  # of a contraction, from all shapes: their number
    written: str | None = None  # as NumPy source, "{0}.reshape({shape})", for the graph executor

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any] | None,
        *,
        multi: bool = False,
        view: Callable[..., Any] | None = None,
        cost: str = "cheap",
        register: bool = True,
    ) -> None:
        self.name, self.multi, self.view, self.cost = name, multi, view, cost
        if impl is not None:
            self.impl = impl  # type: ignore[method-assign]
        if register:
            if name in REGISTRY:
                raise DefinitionError(f"primitive {name!r} is defined twice")
            REGISTRY[name] = self

    def impl(self, *operands: Any, **params: Any) -> Any:
        """The operation on plain arrays."""
        raise NotImplementedError

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return bind(self, operands, params)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> Any:
        if REGISTRY.get(self.name) is not self:
            raise TypeError(f"{self.name} is an operation of one call, which cannot be pickled")
        return primitive_named, (self.name,)

    def jvp(
        self, values: Sequence[Any], tangents: Sequence[Any], ans: Any, params: dict[str, Any]
    ) -> Any:
        """The tangent of `ans`; a tangent of None is a symbolic zero, in and out."""
        raise NotImplementedError

    def vjp(
        self, values: Sequence[Any], live: tuple[int, ...], ans: Any, params: dict[str, Any]
    ) -> tuple[Callable[[Any, Any], Any], Any]:
        """`(rule, residual)`: `rule(ct, residual)` gives the cotangents of the `live` operands.

        For one live operand its cotangent itself, for more a tuple; None is a symbolic zero.
        """
        raise NotImplementedError

    def batch(
        self, size: int, values: Sequence[Any], mapped: tuple[bool, ...], params: dict[str, Any]
    ) -> Any:
        """The result with batch axis 0, `mapped` operands having theirs at 0, others none."""
        raise NotImplementedError

    def shape(self, avals: Sequence[ShapeDtypeStruct], params: dict[str, Any]) -> Any:
        """The aval (for `multi`, the tuple of avals) of the result."""
        raise NotImplementedError

    def misfit(self, operands: Sequence[Any], params: dict[str, Any]) -> ShapeError | None:
        """The error for shapes that do not fit, where there is more to say than what they are."""
        return None

    def under(self, trace: Trace, operands: Sequence[Any], params: Any = None) -> Any:
        """For `special` primitives (user functions, control flow): runs under `trace`.

        `params` is left out where there are none.
        """
        raise NotImplementedError


_PARTS = ("nn", "random", "transforms.control", "transforms.custom")
_OF_SCIPY = ("implicit", "integrate", "linalg", "signal", "sparse", "special")
_HOMES = [f"pycograd.{m}" for m in (*_PARTS, *[f"scipy.{name}" for name in _OF_SCIPY])]


def primitive_named(name: str) -> Primitive:
    """The primitive of this name, if need be after every operation has been defined.

    Raises:
        KeyError: there is none.
    """
    found = find(REGISTRY, name)
    if found is None:
        # Graphs and pickles name operations of modules that nothing has asked for yet.
        for module in _HOMES:
            with contextlib.suppress(ImportError):  # of scipy
                import_module(module)
            if name in REGISTRY:
                break
        found = REGISTRY[name]
    return found


def bind(primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """Runs `primitive` on arrays and boxes."""
    top: Any = None
    for x in operands:
        if type(x) in _PLAIN:
            continue
        if isinstance(x, Box):
            trace = x._trace
            if top is None or (trace is not top and trace.level > top.level):
                top = trace
        elif type(x) is Dim:
            return bind(primitive, [sizes.number(x) for x in operands], params)
        elif isinstance(x, np.ndarray):
            refuse_masks(x)
        elif not isinstance(x, np.generic) and hasattr(type(x), "__array__"):  # another library's
            return bind(primitive, [_plain(x) for x in operands], params)
    if top is None:
        try:
            return primitive.impl(*operands, **params)
        except _SAID:
            raise
        except (ValueError, IndexError) as error:
            said = primitive.misfit(operands, params) if isinstance(error, ValueError) else None
            raise said or explained(primitive.name, operands, error) from error
    if top.passes:
        return top.process(primitive, operands, params)
    if modes.active and (inner := modes.staging()) is not None and top.level < inner.level:
        top = inner
    if primitive.special:
        if modes.active and top.differentiates and modes.stopped(top):
            values = [x.value if isinstance(x, Box) and x._trace is top else x for x in operands]
            return bind(primitive, values, params)
        if params:
            return primitive.under(top, operands, params)
        return primitive.under(top, operands)
    out = top.process(primitive, operands, params)
    if primitive.view is not None and (isinstance(out, Box) or type(out) is np.ndarray):
        if not isinstance(out, Box) or out._trace is not top:
            # A constant of this transform (no tangent, no_grad): as a plain view it would write
            # into the memory of the box, and not see what is written to the box.
            out = top.constant(out)
        link(operands[0], out, primitive, operands, params)
    return out


def _plain(x: Any) -> Any:
    """An array of another library as one of NumPy's; others as they are."""
    known = isinstance(x, (Box, Dim, np.ndarray, np.generic))
    return x if known or not hasattr(type(x), "__array__") else np.asarray(x)


_OF_SHAPES = re.compile(r"shape|broadcast|dimension|axis|axes|aligned|size")


def explained(name: str, operands: Sequence[Any], cause: Exception) -> PycogradError:
    """An error of NumPy's, with the operation and the user's line; a `ShapeError` if of shapes."""
    if isinstance(cause, IndexError):
        return OutOfBoundsError(f"{name}: {cause}")
    if not _OF_SHAPES.search(str(cause)):
        return ArgumentError(f"{name}: {cause}")
    return shape_error(name, operands, cause)


def shape_error(name: str, operands: Sequence[Any], cause: Exception) -> PycogradError:
    """A `ShapeError` naming the operation and its operands' shapes, NumPy's words behind it.

    Of a cause that names shapes as well, those of other operands (all rows of a batch) are left
    out; one that says more than that the shapes are incompatible is the error itself.
    """
    message = f"{name}: incompatible shapes {' and '.join(str(np.shape(x)) for x in operands)}"
    if not isinstance(cause, ShapeError):
        return ShapeError(f"{message}: {cause}")
    return ShapeError(message) if str(cause).startswith(f"{name}: incompatible") else cause
