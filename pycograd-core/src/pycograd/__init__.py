"""pycograd differentiates ordinary NumPy code.

>>> import numpy as np
>>> value, (g,) = value_and_grad(lambda t: np.sum(np.cos(t) * t))(np.linspace(0.0, 1.0, 5))
>>> g.shape
(5,)
"""

import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING, Any as _Any

from pycograd import ops as _ops  # defines every operation
from pycograd._version import __version__ as __version__
from pycograd.core import spelling as _spelling
from pycograd.core.aval import ShapeDtypeStruct as ShapeDtypeStruct
from pycograd.core.dims import Dim as Dim
from pycograd.core.dtypes import (
    current_dtype as current_dtype,
    dtype as dtype,
    resolve_dtype as resolve_dtype,
)
from pycograd.core.errors import *  # every error class, and nothing else
from pycograd.core.modes import (
    debug_buffers as debug_buffers,
    debug_nans as debug_nans,
    no_grad as no_grad,
)
from pycograd.core.tape import Var as Var
from pycograd.core.tree import (
    register_tree as register_tree,
    tree_flatten as tree_flatten,
    tree_leaves as tree_leaves,
    tree_map as tree_map,
    tree_structure as tree_structure,
    tree_unflatten as tree_unflatten,
)
from pycograd.transforms.batch import (
    per_example_grad as per_example_grad,
    vmap as vmap,
)
from pycograd.transforms.forward import jvp as jvp
from pycograd.transforms.reverse import (
    grad as grad,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from pycograd.transforms.shapes import (
    bind as bind,
    eval_shape as eval_shape,
    infer_shapes as infer_shapes,
    substitute as substitute,
)
from pycograd.transparent import transparent as transparent

if _TYPE_CHECKING:
    from pycograd import (
        dsl as dsl,
        graph as graph,
        nn as nn,
        optim as optim,
        random as random,
        testing as testing,
        training as training,
    )
    from pycograd.dsl.ipython import (
        load_ipython_extension as load_ipython_extension,
        unload_ipython_extension as unload_ipython_extension,
    )
    from pycograd.graph import (
        CostModel as CostModel,
        Decision as Decision,
        Graph as Graph,
        RematPlan as RematPlan,
        apply_remat_plan as apply_remat_plan,
        calibrate as calibrate,
        compile_to as compile_to,
        cost_report as cost_report,
        eval_graph as eval_graph,
        eval_scheduled as eval_scheduled,
        explain as explain,
        grad_graph as grad_graph,
        jit as jit,
        linear_transpose as linear_transpose,
        linearize as linearize,
        optimize as optimize,
        plan_remat as plan_remat,
        vjp_graph as vjp_graph,
    )
    from pycograd.nn import *
    from pycograd.optim import *
    from pycograd.parameters import *
    from pycograd.plugins.exports import (
        export_onnx as export_onnx,
        export_program as export_program,
        export_torchscript as export_torchscript,
        to_torch_module as to_torch_module,
    )
    from pycograd.plugins.hub import (
        activate as activate,
        get_backend as get_backend,
        register_backend as register_backend,
    )
    from pycograd.plugins.placing import device as device
    from pycograd.scipy.objective import scipy_optimize_args as scipy_optimize_args
    from pycograd.testing import check_grads as check_grads
    from pycograd.training import *
    from pycograd.transforms.capture import capture as capture
    from pycograd.transforms.checkpoint import checkpoint as checkpoint
    from pycograd.transforms.control import (
        cond as cond,
        fori_loop as fori_loop,
        scan as scan,
        while_loop as while_loop,
    )
    from pycograd.transforms.custom import (
        custom_jvp as custom_jvp,
        custom_vjp as custom_vjp,
        detach as detach,
        stop_gradient as stop_gradient,
    )
    from pycograd.transforms.derivatives import (
        egrad as egrad,
        elementwise_grad as elementwise_grad,
        hessian as hessian,
        holomorphic_grad as holomorphic_grad,
        hvp as hvp,
        jacfwd as jacfwd,
        jacobian as jacobian,
        jacrev as jacrev,
        make_jvp as make_jvp,
        make_vjp as make_vjp,
    )
    from pycograd.transforms.summary import (
        Summary as Summary,
        summary as summary,
    )

# What `import pycograd` does not load: modules, and the modules whose public names are ours too.
_MODULES = ("dsl", "graph", "nn", "optim", "random", "testing", "training")
_GRAPHS = (
    "CostModel",
    "Decision",
    "Graph",
    "RematPlan",
    "apply_remat_plan",
    "calibrate",
    "compile_to",
    "cost_report",
    "eval_graph",
    "eval_scheduled",
    "explain",
    "grad_graph",
    "jit",
    "linear_transpose",
    "linearize",
    "optimize",
    "plan_remat",
    "vjp_graph",
)
_LENDERS = ("pycograd.nn", "pycograd.optim", "pycograd.parameters", "pycograd.training")
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
    "scipy_optimize_args": "pycograd.scipy.objective",
    **dict.fromkeys(("Summary", "summary"), "pycograd.transforms.summary"),
    **dict.fromkeys(
        ("custom_jvp", "custom_vjp", "detach", "stop_gradient"), "pycograd.transforms.custom"
    ),
    **dict.fromkeys(_DERIVATIVES, "pycograd.transforms.derivatives"),
    "capture": "pycograd.transforms.capture",
    **dict.fromkeys(("activate", "get_backend", "register_backend"), "pycograd.plugins.hub"),
    "device": "pycograd.plugins.placing",
    **dict.fromkeys(("load_ipython_extension", "unload_ipython_extension"), "pycograd.dsl.ipython"),
    **dict.fromkeys(
        ("export_onnx", "export_program", "export_torchscript", "to_torch_module"),
        "pycograd.plugins.exports",
    ),
    **dict.fromkeys(("cond", "fori_loop", "scan", "while_loop"), "pycograd.transforms.control"),
    **dict.fromkeys(_GRAPHS, "pycograd.graph"),
}


def _define_scipy() -> None:
    if "scipy" in _sys.modules:
        _import_module("pycograd.scipy.dispatch").load()


_spelling.later.append(_define_scipy)


def __getattr__(name: str) -> _Any:
    if name == "__all__":  # what `from pycograd import *` asks for
        return [name for name in __dir__() if not name.startswith("_") and name != "scipy"]
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES or name == "scipy":  # a star import must not hide the user's own scipy
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
