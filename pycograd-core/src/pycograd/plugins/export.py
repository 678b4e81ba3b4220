"""`Exporter`: what a plugin for a file format says of itself, and what its files are tried on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.ir import Graph, symbols_of, with_sizes

_SIZES: Final = ((3, 5, 7), (4, 6, 9))  # of the first symbols, in two runs


class Exporter:
    """A file format that graphs are written to.

    Attributes:
        name: what users write, `"onnx"`.
        api: the version of this interface that the plugin was written for.
    """

    name: ClassVar[str]
    api: ClassVar[tuple[int, int]] = (1, 0)

    def export(self, graph: Graph, path: str | os.PathLike[str], **options: Any) -> Any:
        """Writes a graph to a file, whole or not at all."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define export")

    def verify(
        self, path: str | os.PathLike[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Raises `ExportError` if the file does not compute these outputs from these inputs."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define verify")


def trial_sizes(inputs: Iterable[Any]) -> list[dict[str, int]]:
    """The sizes at which a file is run and compared: two of each symbol, all different.

    Arguments:
        inputs: of the graph, `ShapeDtypeStruct`s; arrays among them have no symbols.

    Returns:
        For each run the sizes by symbol; one run without any where there are no symbols.

    >>> trial_sizes([ShapeDtypeStruct(("B", 3)), np.ones(3)])
    [{'B': 3}, {'B': 4}]
    """
    symbols = sorted({symbol for x in inputs for symbol in symbols_of(x)})
    if not symbols:
        return [{}]
    return [{s: sizes[i % 3] + i // 3 for i, s in enumerate(symbols)} for sizes in _SIZES]


def trial_array(aval: ShapeDtypeStruct, sizes: Mapping[str, int], number: int) -> Any:
    """Entries for an input of which only shape and dtype are given.

    Arguments:
        aval: its shape and dtype.
        sizes: of the symbols in the shape.
        number: which of the inputs it is: others have other entries.

    Returns:
        An array of NumPy: numbers between 0 and 1, and of integers and booleans ones.

    >>> trial_array(ShapeDtypeStruct(("B",), int), {"B": 3}, 0)
    array([1, 1, 1])
    """
    shape = with_sizes(aval.shape, lambda n: n.subs(sizes))
    if aval.dtype.kind in "biu":  # of an index or a count, what is likely to be one
        return np.ones(shape, aval.dtype)
    drawn = np.random.default_rng(number).uniform(0.1, 0.9, shape)
    return np.asarray(drawn).astype(aval.dtype)
