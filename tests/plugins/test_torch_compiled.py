"""Functions of `compile_to` as torch's own: under `torch.compile`, and with results written to."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")

import torch

import pycograd
from pycograd import compile_to, grad

X, W = np.linspace(-1.0, 1.0, 12).reshape(4, 3), np.linspace(0.2, 0.9, 6).reshape(3, 2)


# -- torch.compile ---------------------------------------------------------------------------------
@pytest.mark.filterwarnings("error:Dynamo does not know")
@pytest.mark.parametrize("dynamic", [None, True])
def test_the_first_call_may_be_under_torch_compile(dynamic: bool | None) -> None:
    torch._dynamo.reset()
    table, options = np.array([1.0, 2.0]), {"scale": 2.0}

    def f(w, x):
        return np.sum(np.tanh(x @ w * table) ** 2) * options["scale"]

    compiled = torch.compile(compile_to(f, "torch"), backend="aot_eager", dynamic=dynamic)
    for rows in (4, 3, 1, 4):
        x, w = torch.tensor(X[:rows]), torch.tensor(W, requires_grad=True)
        value = compiled(w, x)
        value.backward()
        assert np.isclose(value.item(), f(W, X[:rows]), rtol=1e-12)
        np.testing.assert_allclose(w.grad, grad(f, argnums=0)(W, X[:rows]), rtol=1e-10)
        table[:] += rows  # what f closes over is read at each call
        assert np.isclose(compiled(w, x).item(), f(W, X[:rows]), rtol=1e-12)
        table = table[::-1] * 0.5
        options["scale"] += 1.0
        assert np.isclose(compiled(w, x).item(), f(W, X[:rows]), rtol=1e-12)


ONE_GRAPH = """
import numpy as np, torch
from pycograd import compile_to
torch.compile(compile_to(np.sin, "torch"), backend="aot_eager", fullgraph=True)(torch.ones(3))
"""


def test_one_graph_is_made_of_modules_alone_and_torch_says_so() -> None:
    # In a process of its own: after such an error torch goes on to watch each call of a function,
    # which then holds its arguments once more, and arrays that are nobody else's are not known.
    done = subprocess.run([sys.executable, "-c", ONE_GRAPH], capture_output=True, text=True)
    assert done.returncode and "to_torch_module(f, params), after module.specialize" in done.stderr


# -- what the caller does with results -------------------------------------------------------------
TABLE = np.ones(3)
RESULTS = {
    "a constant": lambda x: TABLE,
    "numbers": lambda x: (2.5, np.float32(3.0), x + 1.0),
    "an array made inside": lambda x: np.zeros(3),
    "a constant's part": lambda x: (TABLE[1:], x),
    "nothing done to an argument": lambda x: x * 1.0,
    "a copy twice": lambda x: (x.copy(), x + 0.0),
    "nothing done to a part": lambda x: x[1:] * 1.0,
    "a gradient of equal entries": lambda x: grad(lambda x: np.sum(2.0 * x))(x)[0],
}


@pytest.mark.parametrize("f", RESULTS.values(), ids=RESULTS)
def test_results_are_the_callers_own(f) -> None:
    g, x = compile_to(f, "torch"), torch.arange(3.0, dtype=torch.float64) + 1.0
    wanted = [np.array(leaf) for leaf in pycograd.tree_leaves(f(x.numpy()))]
    for _ in range(3):
        found = pycograd.tree_leaves(g(x))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        for a in found:
            if not a.is_set_to(x):
                a.add_(7.0)
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(TABLE, np.ones(3))


def test_an_argument_and_its_views_come_back_as_such() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    same, turned = compile_to(lambda x: (x, x.T), "torch")(x)
    turned[0, 0] = 5.0
    assert same is x and x[0, 0] == 5.0
