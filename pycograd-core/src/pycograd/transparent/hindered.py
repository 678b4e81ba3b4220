"""Functions run in a way of their own, and those that would need the mode and cannot have it."""

from __future__ import annotations

import functools
import types
from typing import Any

from pycograd.core.errors import ConversionError, PlainBufferError


def name_of(f: Any) -> str:
    """What to call `f` in messages."""
    return getattr(f, "__qualname__", None) or type(f).__name__


class Around:
    """A function run in a way of its own."""

    def __init__(self, f: Any) -> None:
        functools.update_wrapper(self, f)
        self.f = f

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.f(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)


class Hindered(Around):
    """A function that needs the mode and cannot have it, which an error of it then says."""

    def __init__(self, f: Any, reason: str) -> None:
        super().__init__(f)
        self._reason = reason

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.f(*args, **kwargs)
        except (ConversionError, PlainBufferError, ValueError) as error:
            # Where NumPy stores single numbers it puts a ValueError of its own in front of ours.
            for told in (error, error.__cause__):
                if isinstance(told, (ConversionError, PlainBufferError)):
                    why = f"{name_of(self.f)} could not run in the transparent mode: {self._reason}"
                    told.args = (f"{told.args[0]}. {why}",)
                    break
            raise
