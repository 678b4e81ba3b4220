"""Parameters: trees of named arrays that are trained, saved and read by their bare names."""

from pycograd.parameters.making import params
from pycograd.parameters.model import ParamDict, param_values
from pycograd.parameters.param import Param, buffer, frozen, on_cpu, on_device, tied
from pycograd.parameters.weight import Weight

__all__ = [
    "Param",
    "ParamDict",
    "Weight",
    "buffer",
    "frozen",
    "on_cpu",
    "on_device",
    "param_values",
    "params",
    "tied",
]
