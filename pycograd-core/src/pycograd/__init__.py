"""pycograd differentiates ordinary NumPy code.

>>> import numpy as np
>>> value, (g,) = value_and_grad(lambda t: np.sum(np.cos(t) * t))(np.linspace(0.0, 1.0, 5))
>>> g.shape
(5,)
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from pycograd import ops as _ops  # defines every operation
from pycograd._version import __version__
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.dims import Dim
from pycograd.core.dtypes import current_dtype, dtype, resolve_dtype
from pycograd.core.errors import *  # every error class, and nothing else
from pycograd.core.modes import debug_nans, no_grad
from pycograd.core.tape import Var
from pycograd.core.tree import (
    register_tree,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
)
from pycograd.transforms.batch import per_example_grad, vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad, vjp
from pycograd.transforms.shapes import bind, eval_shape, infer_shapes, substitute

if TYPE_CHECKING:
    from pycograd import nn, random, testing, train
    from pycograd.nn import *
    from pycograd.testing import check_grads
    from pycograd.train import *
    from pycograd.transforms.checkpoint import checkpoint
    from pycograd.transforms.custom import custom_jvp, custom_vjp, detach, stop_gradient
    from pycograd.transforms.derivatives import (
        egrad,
        elementwise_grad,
        hessian,
        holomorphic_grad,
        hvp,
        jacfwd,
        jacobian,
        jacrev,
        make_jvp,
        make_vjp,
    )
    from pycograd.transforms.summary import Summary, summary

# What `import pycograd` does not load: modules, and the modules whose public names are ours too.
_MODULES = ("nn", "random", "testing", "train")
_LENDERS = ("pycograd.nn", "pycograd.train")
_DERIVATIVES = (
    "egrad",
    "elementwise_grad",
    "hessian",
    "holomorphic_grad",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "make_jvp",
    "make_vjp",
)
_SINGLE = {
    "check_grads": "pycograd.testing",
    "checkpoint": "pycograd.transforms.checkpoint",
    **dict.fromkeys(("Summary", "summary"), "pycograd.transforms.summary"),
    **dict.fromkeys(
        ("custom_jvp", "custom_vjp", "detach", "stop_gradient"), "pycograd.transforms.custom"
    ),
    **dict.fromkeys(_DERIVATIVES, "pycograd.transforms.derivatives"),
}


def __getattr__(name: str) -> _Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    for lender in (_SINGLE[name],) if name in _SINGLE else _LENDERS:
        module = _import_module(lender)
        if name in _SINGLE or name in module.__all__:
            value = globals()[name] = getattr(module, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    lent = [name for lender in _LENDERS for name in _import_module(lender).__all__]
    return sorted({*globals(), *_MODULES, *_SINGLE, *lent})
