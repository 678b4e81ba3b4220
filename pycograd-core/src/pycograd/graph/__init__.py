"""Graphs: optimising, compiling and taking apart what `capture` wrote down."""

from pycograd.core.ir import Graph
from pycograd.graph.cost import DEFAULT_COST_MODEL, CostModel, CostReport, calibrate, cost_report
from pycograd.graph.jitted import explain, jit
from pycograd.graph.linear import eval_graph, grad_graph, linear_transpose, linearize, vjp_graph
from pycograd.graph.native import compile_to
from pycograd.graph.passes import optimize
from pycograd.graph.remat import (
    Decision,
    RematPlan,
    apply_remat_plan,
    eval_scheduled,
    plan_remat,
)
from pycograd.graph.validity import check
from pycograd.transforms.capture import capture

__all__ = [
    "DEFAULT_COST_MODEL",
    "CostModel",
    "CostReport",
    "Decision",
    "Graph",
    "RematPlan",
    "apply_remat_plan",
    "calibrate",
    "capture",
    "check",
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
]
