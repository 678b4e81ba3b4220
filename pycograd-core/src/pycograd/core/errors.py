"""One error class per user mistake; each message names the operation, the user's line and the fix.

`located` appends the line of the user's own code, found by walking the stack past this package and
NumPy, so that a mistake deep inside a rule is still reported where it was made.
"""

from __future__ import annotations

import os
import sys
from types import FrameType

from pycograd.core.foreign import library_at

__all__ = [
    "AmbiguousAliasError",
    "AmbiguousBackendError",
    "ArgumentError",
    "AsyncFunctionError",
    "BackendUnavailableError",
    "BatchError",
    "BatchingLoopWarning",
    "BudgetError",
    "ClosedOverError",
    "ControlFlowError",
    "ConversionError",
    "DefinitionError",
    "EscapedTracerError",
    "ExportError",
    "GradientCheckError",
    "GraphError",
    "IncompatiblePluginError",
    "LoweringNotFoundError",
    "MissingRuleError",
    "NanError",
    "NonScalarOutputError",
    "NotDifferentiableError",
    "OutOfBoundsError",
    "OuterWriteError",
    "ParameterError",
    "PlainBufferError",
    "PluginError",
    "PycogradError",
    "RuleSignatureError",
    "ShapeError",
    "SymbolicSizeError",
    "TransparentModeError",
    "TreeMismatchError",
    "UnboundWeightError",
    "UnknownBackendError",
    "UnsupportedDtypeError",
    "UnsupportedOperationError",
]

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PYTHON = os.path.dirname(os.__file__) + os.sep
_USER_CODE = (
    _HERE + "examples" + os.sep,
)  # ships with the package, but reads like a user's program


def user_line() -> str:
    """The innermost `file:line` outside this package, its plugins and what they are built on.

    Empty if there is none.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if _is_users(frame):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def line_of(error: BaseException) -> str:
    """As `user_line`, of where an error was raised."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if _is_users(trace.tb_frame):
            found = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _is_users(frame: FrameType) -> bool:
    path, module = frame.f_code.co_filename, frame.f_globals.get("__name__")
    if module is None or module.startswith("pycograd_"):  # generated code, a plugin
        return False
    ours = path.startswith(_HERE) and not path.startswith(_USER_CODE)
    pythons = path.startswith(_PYTHON) and "-packages" not in path
    made = path.startswith(("<__array_function__", "<frozen "))
    return not (ours or pythons or made or library_at(path))


def located(message: str, line: str | None = None) -> str:
    """`message` with the user's line appended."""
    line = user_line() if line is None else line
    return f"{message} ({line})" if line else message


class PycogradError(Exception):
    """Base of every error that pycograd raises on purpose."""

    where = True  # False: the message says itself where the mistake is

    def __init__(self, message: str, line: str | None = None) -> None:
        super().__init__(located(message, line) if self.where else message)


class ShapeError(PycogradError, ValueError):
    """Operands whose shapes do not fit the operation.

    `np.ones((3, 4)) @ np.ones((5, 6))` has inner sizes 4 and 5: transpose or reshape one of them.
    """


class ArgumentError(PycogradError, ValueError):
    """An argument that an operation does not accept, whatever the shapes are."""


class OutOfBoundsError(PycogradError, IndexError):
    """An index beyond the entries that there are, or that does not fit the number of axes."""


class DefinitionError(PycogradError, TypeError):
    """A primitive defined wrongly: a missing rule, an unknown argument, a name taken twice."""


class UnsupportedOperationError(PycogradError, TypeError):
    """A NumPy function, method or keyword that has no rule for differentiated values."""


class MissingRuleError(PycogradError, TypeError):
    """An operation met a transform, or an operand to differentiate, that it has no rule for."""


class NonScalarOutputError(PycogradError, TypeError):
    """`grad` of a function whose output is not a real scalar.

    Reduce the output (`np.sum`), or ask for `jacobian`, `elementwise_grad` or `vmap(grad(f))`.
    """


class NotDifferentiableError(PycogradError, TypeError):
    """An argument to differentiate that is an integer, a boolean, a string or another constant.

    Write `grad(f)(3.0)` instead of `grad(f)(3)`.
    """


class EscapedTracerError(PycogradError, RuntimeError):
    """A value of a finished transform was used, or stored into a value made outside it.

    Return values from the function instead of keeping them in globals, attributes or outer arrays.
    """


class ConversionError(PycogradError, TypeError):
    """A differentiated value was converted to a plain number or array, which would detach it.

    Use NumPy functions on it (`np.exp(x)` for `math.exp(x)`), or `stop_gradient(x)` on purpose.
    """


class PlainBufferError(PycogradError, TypeError):
    """A differentiated value was written into a plain array, which cannot hold it.

    Write `y = y + x`, or make the buffer with `np.zeros(n, like=x)`.
    """


class OuterWriteError(PycogradError, RuntimeError):
    """A checkpointed function wrote into a value made outside it.

    It runs twice, so its writes would happen twice: return the new value instead.
    """


class ClosedOverError(PycogradError, TypeError):
    """A function with a custom rule uses a differentiated value that is not one of its arguments.

    The rule could not give that value a cotangent: pass it as an argument.
    """


class AmbiguousAliasError(PycogradError, ValueError):
    """A write through a reshaped value of which it is unknown whether it is a view or a copy."""


class ControlFlowError(PycogradError, TypeError):
    """Python control flow on a value that `vmap` or an abstract evaluation does not know.

    Use `np.where(condition, a, b)`, or branch on shapes and constants.
    """


class SymbolicSizeError(PycogradError, TypeError):
    """A symbolic size was used where a number is needed, which would bake one size in."""


class TransparentModeError(PycogradError, TypeError):
    """A function that cannot run in the transparent mode, as its names cannot be seen otherwise.

    Move what assigns a global or defines a class into a function of its own.
    """


class TreeMismatchError(PycogradError, ValueError):
    """Two trees that should have the same structure differ."""


class ParameterError(PycogradError, ValueError):
    """Parameters that cannot be: a taken name, ties that differ, a file of another model."""


class UnboundWeightError(PycogradError, RuntimeError):
    """A weight was read in a thread to which the running gradient has not been handed on.

    Start the work with `contextvars.copy_context().run(f, ...)` in the place of `f(...)`.
    """


class AsyncFunctionError(PycogradError, TypeError):
    """A coroutine or generator function was given to a transform, which needs a plain return."""


class RuleSignatureError(PycogradError, TypeError):
    """A custom rule returned something that does not fit the arguments of its function."""


class GradientCheckError(PycogradError, AssertionError):
    """`check_grads` found a derivative that differs from finite differences."""


class GraphError(PycogradError, TypeError):
    """A graph that is not well formed, or was given what it was not captured for."""


class BudgetError(PycogradError, MemoryError):
    """A memory budget that no schedule can keep; the message names the smallest that one can."""


class NanError(PycogradError, FloatingPointError):
    """Under `debug_nans`, the first operation that made a nan."""


class BatchError(PycogradError, ValueError):
    """Arguments of `vmap` whose mapped axes are missing or differ in size."""


class BatchingLoopWarning(UserWarning):
    """`vmap` met an operation without a batching rule and runs it as a loop."""


class LoweringNotFoundError(PycogradError, LookupError):
    """A backend has no spelling of an operation.

    `see` is where to read on; it stands behind the user's line.
    """

    def __init__(self, message: str, see: str = "") -> None:
        super().__init__(message)
        if see:
            self.args = (f"{self}. See: {see}",)


class UnsupportedDtypeError(PycogradError, TypeError):
    """A dtype that a backend does not have."""


class PluginError(PycogradError, RuntimeError):
    """A plugin that failed while it was loaded or registered; the message has the cause."""

    where = False  # of these no line of the user's is the cause


class IncompatiblePluginError(PluginError):
    """A plugin written for another version of the plugin interface."""


class BackendUnavailableError(PluginError):
    """A backend that is installed but cannot run here; the message has the cause and the fix."""


class UnknownBackendError(PluginError, LookupError):
    """No backend has this name; the message lists those that are there."""


class AmbiguousBackendError(PluginError, LookupError):
    """Several installed distributions provide a backend of one name."""


class ExportError(PycogradError, RuntimeError):
    """A graph that a file format cannot express, or a file that does not compute what it should."""
