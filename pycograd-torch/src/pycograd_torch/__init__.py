"""PyTorch for pycograd: its arrays as a device, its functions as a compile target, its modules.

Importing this imports no torch; what is used does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycograd_torch.export import export_program, export_torchscript
    from pycograd_torch.module import to_torch_module

__all__ = ["export_program", "export_torchscript", "to_torch_module"]

_HOMES = {
    "export_program": "pycograd_torch.export",
    "export_torchscript": "pycograd_torch.export",
    "to_torch_module": "pycograd_torch.module",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
