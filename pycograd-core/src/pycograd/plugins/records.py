"""What is known of each plugin: where it comes from, and how far it has got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, NamedTuple

from pycograd.core.errors import located

State = Literal[
    "discovered",  # installed; no code of it has run
    "disabled",  # by PYCOGRAD_DISABLE_PLUGINS
    "ambiguous",  # several distributions provide the name
    "incompatible",  # written for another version of the plugin interface
    "missing-framework",  # the library that it is for is not installed
    "unavailable",  # it is all there, but cannot run here
    "broken",  # it failed when it was loaded
    "active",
]

BACKENDS: Final = "pycograd.backends"
EXPORTERS: Final = "pycograd.exporters"
PLUGINS: Final = "pycograd.plugins"
FRAMEWORKS: Final = "pycograd.frameworks"  # name of a backend -> the module that it needs
NOUNS: Final = {BACKENDS: "backend", EXPORTERS: "exporter", PLUGINS: "plugin"}

# What there is to install, and other names that people use.
KNOWN: Final = {
    BACKENDS: {
        "torch": "pycograd-torch",
        "jax": "pycograd-jax",
        "tf": "pycograd-tf",
        "cupy": "pycograd-cupy",
        "mps": "pycograd-mps",
    },
    EXPORTERS: {
        "onnx": "pycograd-onnx",
        "torchscript": "pycograd-torch",
        "torch_export": "pycograd-torch",
        "stablehlo": "pycograd-jax",
    },
    PLUGINS: {},
}
ALIASES: Final = {
    "pytorch": "torch",
    "tensorflow": "tf",
    "metal": "mps",
    "gpu": "cupy",
    "cuda": "cupy",
}


@dataclass
class Record:
    """One name that one distribution provides.

    Attributes:
        group: the entry-point group, `"pycograd.backends"`.
        name: what users write.
        distribution: who provides it; empty for what the program itself registered.
        version: of the distribution.
        value: the object, as its entry point names it.
        state: how far it has got.
        reason: why not further.
        fix: what to do about it.
        framework: the module of the library that it is for, as its distribution declares it.
        framework_version: of the library, as far as known.
        devices: the names of its devices, known once it has been probed.
    """

    group: str
    name: str
    distribution: str
    version: str
    value: str
    state: State = "discovered"
    reason: str = ""
    fix: str = ""
    framework: str = ""
    framework_version: str = ""
    devices: tuple[str, ...] = ()
    load: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    loaded: Any = field(default=None, repr=False, compare=False)

    @property
    def source(self) -> str:
        """The distribution and its version, as messages have them."""
        return f"{self.distribution} {self.version}" if self.distribution else "registered here"

    @property
    def owner(self) -> str:
        """What the additions of its hooks are filed under."""
        return f"{self.name} ({self.source})"

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes it the same before and after the installed distributions are read again."""
        return self.group, self.name, self.distribution, self.version, self.value

    def __str__(self) -> str:
        return self.owner

    def to_json(self) -> dict[str, Any]:
        """All but the objects themselves, for JSON."""
        plain = {**self.__dict__, "load": None, "loaded": None}
        found = asdict(Record(**plain))
        return {k: v for k, v in found.items() if k not in ("load", "loaded")}


class Name(NamedTuple):
    """`backend[@distribution][:device]`, taken apart."""

    name: str
    distribution: str = ""
    device: str = ""


def parse(text: str) -> Name:
    """The parts of a name.

    Raises:
        TypeError: it is not a string.

    >>> parse("torch@acme-torch:cuda:1")
    Name(name='torch', distribution='acme-torch', device='cuda:1')
    """
    if not isinstance(text, str):
        said = f"the class {text.__qualname__}" if isinstance(text, type) else repr(text)
        raise TypeError(
            located(
                'a backend is named by a string, "torch", "torch:cuda:1" or "torch@acme-torch", or'
                f" is itself given, an instance of Backend; this is {said[:80]}"
            )
        )
    head, _, device = text.strip().partition(":")
    name, _, distribution = head.partition("@")
    return Name(name.strip(), normalized(distribution), device.strip())


def normalized(distribution: str) -> str:
    """The name of a distribution as PEP 503 compares them."""
    parts = distribution.strip().lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join([part for part in parts if part])
