"""Models in files: the safetensors format, whole or not at all, never code.

A file holds each parameter under its dotted name, ties once, and if asked for what an optimiser
keeps and where random numbers stand. The header has, as JSON under "pycograd", what the format has
no words for: complex dtypes, ties, numbers that are no arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, make_aval
from pycograd.core.box import Box
from pycograd.core.errors import ParameterError
from pycograd.core.files import replacing
from pycograd.parameters.structure import Structure

Path = str | os.PathLike[str]
Arrays = dict[str, Any]
T = TypeVar("T")

_KEY: Final = "pycograd"  # in the metadata of the header
_VERSION: Final = 1
_OPTIMIZER, _RNG = "@optimizer", "@rng"  # in front of the names of arrays that are no parameters
_METADATA: Final = "__metadata__"  # the format's own name for what is no array
_SENSELESS = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_COMPLEX: Final = {"complex64": np.float32, "complex128": np.float64}  # stored as pairs


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "saving and loading parameters needs safetensors: pip install 'pycograd-core[io]'"
        ) from error
    return safetensors


# -- writing ---------------------------------------------------------------------------------------
def save(structure: Structure, arrays: list[Any], path: Path, optimizer: Any, rng: Any) -> None:
    """Writes parameters to a file, and the states of what else is given."""
    library = _library()
    tensors: Arrays = dict(zip(structure.names, arrays))
    if odd := [name for name in tensors if name.startswith((_OPTIMIZER, _RNG, _METADATA))]:
        raise ParameterError(f"save: a parameter cannot be named {odd[0]!r}; give it another name")
    said: dict[str, Any] = {
        "version": _VERSION,
        "ties": {p: structure.names[at] for p, at in structure.paths() if p != structure.names[at]},
        "optimizer": None,
        "rng": None,
    }
    if optimizer is not None:
        if not hasattr(optimizer, "state_dict"):
            raise TypeError(
                f"save: a {type(optimizer).__name__} is no optimiser with a state, such as Adam()"
            )
        state = _encoded(optimizer.state_dict(), _OPTIMIZER, tensors)
        said["optimizer"] = {"class": type(optimizer).__name__, "state": state}
    if rng is not None:
        said["rng"] = _encoded(_random_state(rng), _RNG, tensors)
    said["dtypes"] = {n: x.dtype.name for n, x in tensors.items() if x.dtype.name in _COMPLEX}
    stored = {name: _storable(name, np.asarray(x)) for name, x in tensors.items()}
    with replacing(path, "save") as temporary:
        library.numpy.save_file(stored, temporary, metadata={_KEY: json.dumps(said)})


def _storable(name: str, x: Any) -> Any:
    """An array in a dtype, a byte order and a layout that the format has."""
    if x.dtype.name in _COMPLEX:
        real = _COMPLEX[x.dtype.name]
        native = np.ascontiguousarray(x, x.dtype.newbyteorder("="))
        return native.reshape(*x.shape, 1).view(real)
    if x.dtype.kind not in "biufV" or (x.dtype.kind == "f" and x.dtype.itemsize > 8):
        raise ParameterError(
            f"save: {name!r} is of dtype {x.dtype}, which the safetensors format does not have;"
            " convert it with .astype(np.float64) or .astype(np.complex128)"
        )
    return np.require(x.astype(x.dtype.newbyteorder("<"), copy=False), requirements="C")


# -- reading ---------------------------------------------------------------------------------------
class Stored:
    """What a file holds.

    Attributes:
        path: of the file.
        tensors: every array by name.
        said: what the header says of them.
    """

    def __init__(self, path: Path) -> None:
        library = _library()
        self.path = os.fspath(path)
        with open(path, "rb") as file:
            content = file.read()
        kinds = library.SafetensorError, ValueError
        found = self._read(lambda: library.deserialize(content), kinds)
        self.said = self._read(lambda: self._metadata(content))
        self.tensors = self._read(
            lambda: {
                name: _array(info, self.said.get("dtypes", {}).get(name)) for name, info in found
            }
        )

    def _read(self, read: Callable[[], T], errors: tuple[type[Exception], ...] = _SENSELESS) -> T:
        """What `read()` returns; where what the file says makes no sense the file is to blame."""
        try:
            return read()
        except ParameterError:
            raise
        except errors as error:
            raise ParameterError(
                f"load: {self.path} is no safetensors file, or not a whole one"
                f" ({type(error).__name__}: {error})"
            ) from error

    def _metadata(self, content: bytes) -> dict[str, Any]:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        said: dict[str, Any] = json.loads(header.get(_METADATA, {}).get(_KEY, "{}"))
        if said.get("version", _VERSION) != _VERSION:
            raise ParameterError(
                f"load: {self.path} was written by a later pycograd (format {said['version']})"
            )
        return said

    def parameters(self, structure: Structure, avals: list[ShapeDtypeStruct]) -> list[Any]:
        """The values of a model's parameters.

        Raises:
            ParameterError: names, shapes or dtypes are others; the message lists them.
        """
        mine = {n: x for n, x in self.tensors.items() if not n.startswith((_OPTIMIZER, _RNG))}
        wanted = dict(zip(structure.names, avals))
        said = []
        for name, aval in wanted.items():
            if name not in mine:
                said.append(f"{name}: {aval!r} in the model, not in the file")
            elif (have := make_aval(mine[name].shape, mine[name].dtype)) != _native(aval):
                said.append(f"{name}: {aval!r} in the model, {have!r} in the file")
        said += [
            f"{name}: {make_aval(x.shape, x.dtype)!r} in the file, not in the model"
            for name, x in mine.items()
            if name not in wanted
        ]
        if said:
            raise ParameterError(
                f"load: the parameters in {self.path} are not those of this model:\n  "
                + "\n  ".join(said)
            )
        return [mine[name] for name in structure.names]

    def optimizer_state(self, optimizer: Any) -> Any:
        """The state that was saved of an optimiser of this class."""
        saved = self.said.get("optimizer")
        if saved is None:
            raise ParameterError(f"load: {self.path} holds no state of an optimiser")
        kind = self._read(lambda: saved["class"])
        if kind != type(optimizer).__name__:
            raise ParameterError(
                f"load: {self.path} holds the state of {kind}, not of {type(optimizer).__name__}"
            )
        return self._read(lambda: _decoded(saved["state"], self.tensors))

    def restore(self, rng: Any) -> list[Any]:
        """Checks what is saved of random numbers; functions that put it in place."""
        saved = self.said.get("rng")
        if saved is None:
            raise ParameterError(f"load: {self.path} holds no state of random numbers")
        state = self._read(lambda: _decoded(saved, self.tensors))
        have = _random_state(rng)  # whose errors are the caller's
        return self._read(lambda: list(_restoring(rng, have, state, "rng")))


def _native(aval: ShapeDtypeStruct) -> ShapeDtypeStruct:
    """A shape and a dtype in this machine's byte order."""
    return make_aval(aval.shape, aval.dtype.newbyteorder("="))


def _array(info: Mapping[str, Any], dtype: str | None) -> Any:
    """An array of the file, in memory of its own."""
    shape = tuple(info["shape"])
    if info["dtype"] == "BF16":
        import ml_dtypes

        kind: Any = np.dtype(ml_dtypes.bfloat16)
    else:
        kind = _DTYPES.get(info["dtype"])
        if kind is None:
            raise ValueError(f"it has entries of type {info['dtype']}, which NumPy has not")
    x = np.frombuffer(bytearray(info["data"]), kind).reshape(shape)
    return x if dtype is None else x.view(dtype).reshape(shape[:-1])


_DTYPES: Final = {
    "BOOL": np.dtype(bool),
    **{f"{k}{8 * n}": np.dtype(f"<{k.lower()}{n}") for k in "IU" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
    "C64": np.dtype("<c8"),
}


# -- states as JSON, their arrays apart ------------------------------------------------------------
def _encoded(x: Any, name: str, tensors: Arrays) -> Any:
    """`x` in words of JSON; its arrays join `tensors`."""
    kind = type(x)
    if x is None or kind in (bool, int, float, str):
        return x
    if isinstance(x, (np.ndarray, np.generic, Box)):
        tensors[name] = x
        return {"array": name, "scalar": isinstance(x, np.generic) and not isinstance(x, Box)}
    if kind in (list, tuple):
        return {kind.__name__: [_encoded(v, f"{name}.{i}", tensors) for i, v in enumerate(x)]}
    if isinstance(x, Mapping):
        return {"dict": [[k, _encoded(v, f"{name}.{k}", tensors)] for k, v in x.items()]}
    raise ParameterError(f"save: {name[1:]} holds a {kind.__name__}, which cannot be saved")


def _decoded(x: Any, tensors: Arrays) -> Any:
    if not isinstance(x, dict):
        return x
    if "array" in x:
        array = tensors[x["array"]]
        return array[()] if x["scalar"] else array
    if "dict" in x:
        return {k: _decoded(v, tensors) for k, v in x["dict"]}
    ((kind, parts),) = x.items()
    return {"list": list, "tuple": tuple}[kind](_decoded(v, tensors) for v in parts)


# -- random numbers --------------------------------------------------------------------------------
def _random_state(rng: Any) -> Any:
    """The state of generators and keys, in a tree like theirs."""
    if isinstance(rng, np.random.Generator):
        return {"generator": rng.bit_generator.state}
    if hasattr(rng, "state_dict"):
        return {"state": rng.state_dict()}
    if isinstance(rng, np.ndarray):
        return {"key": rng}
    if isinstance(rng, Mapping):
        return {"parts": {name: _random_state(part) for name, part in rng.items()}}
    if isinstance(rng, (list, tuple)):
        return {"parts": {str(i): _random_state(part) for i, part in enumerate(rng)}}
    raise TypeError(
        f"rng: a key, a numpy.random.Generator, or a dict or list of these, not a"
        f" {type(rng).__name__}"
    )


def _restoring(rng: Any, have: Any, saved: Any, name: str) -> Iterator[Any]:
    """Functions that put a state in the place of the one there is, after it has been looked at."""
    if have.keys() != saved.keys():
        raise ParameterError(
            f"load: {name} is a {next(iter(have))}, in the file it is a {next(iter(saved))}"
        )
    if "generator" in saved:
        kinds = have["generator"]["bit_generator"], saved["generator"]["bit_generator"]
        if kinds[0] != kinds[1]:
            raise ParameterError(f"load: {name} is a {kinds[0]}, in the file it is a {kinds[1]}")
        type(rng.bit_generator)().state = saved["generator"]  # raises if it is none
        yield lambda: setattr(rng.bit_generator, "state", saved["generator"])
    elif "state" in saved:
        yield lambda: rng.load_state_dict(saved["state"])
    elif "key" in saved:
        key = saved["key"]
        if rng.shape != key.shape or rng.dtype != key.dtype or not rng.flags.writeable:
            raise ParameterError(
                f"load: {name} is a key of shape {rng.shape}, in the file it has {key.shape}; it"
                " is written into, and must not be read-only"
            )
        yield lambda: np.copyto(rng, key)
    else:
        parts = rng if isinstance(rng, Mapping) else {str(i): x for i, x in enumerate(rng)}
        if parts.keys() != saved["parts"].keys():
            raise ParameterError(
                f"load: {name} has the parts {list(parts)}, in the file {list(saved['parts'])}"
            )
        for part, x in parts.items():
            inside = have["parts"][part], saved["parts"][part]
            yield from _restoring(x, *inside, f"{name}.{part}")
