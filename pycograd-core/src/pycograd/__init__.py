"""pycograd differentiates ordinary NumPy code.

>>> import numpy as np
>>> value, (g,) = value_and_grad(lambda t: np.sum(np.cos(t) * t))(np.linspace(0.0, 1.0, 5))
>>> g.shape
(5,)
"""

from pycograd import ops as _ops  # defines every operation
from pycograd._version import __version__
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.dims import Dim
from pycograd.core.dtypes import current_dtype, dtype, resolve_dtype
from pycograd.core.errors import *  # noqa: F403  (every error class, and nothing else)
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
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad, vjp
from pycograd.transforms.shapes import bind, eval_shape, infer_shapes, substitute
from pycograd.transforms.summary import summary
