"""Results of a backend beside those of NumPy: a number to differentiate, comparisons, refusals."""

import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from pycograd.core.errors import (
    ControlFlowError,
    LoweringNotFoundError,
    SymbolicSizeError,
    UnsupportedDtypeError,
)
from pycograd.core.tree import tree_leaves


def scalar(out):
    """A real number that every entry of the floating results has a share in."""
    total = 0.0
    for k, y in enumerate(tree_leaves(out)):
        if np.dtype(getattr(y, "dtype", object)).kind not in "fc":
            continue
        y = np.real(y) + 0.5 * np.imag(y) if np.dtype(y.dtype).kind == "c" else y
        weights = np.cos(np.arange(float(np.prod(y.shape))).reshape(y.shape) + k)
        total = total + np.sum(y * weights)
    return total


def assert_same(got, want, tol=1e-10):
    """Equal shapes, dtypes and entries, inexact ones up to `tol` of the largest."""
    got, want = tree_leaves(got), tree_leaves(want)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype
        if b.dtype.kind in "biuUS":
            np.testing.assert_array_equal(a, b)
            continue
        known = np.isfinite(b)
        np.testing.assert_array_equal(a[~known], b[~known])
        scale = max(1.0, float(np.max(np.abs(b[known]), initial=0.0)))
        np.testing.assert_allclose(a[known], b[known], rtol=0, atol=tol * scale)


@contextmanager
def refusals(known, library, in_graph=True):
    """Skips what a library refuses for one of the known reasons, and what no graph holds."""
    try:
        yield
    except LoweringNotFoundError as error:
        assert any(reason in str(error) for reason in known), error
        pytest.skip(f"refused: {error}")
    except (SymbolicSizeError, ControlFlowError):
        assert in_graph
        pytest.skip("a graph does not hold this")
    except UnsupportedDtypeError as error:
        assert "float128" in str(error)
        pytest.skip(f"{library} has no wider float")


def assert_complete(table, refused):
    """Every primitive that is no composite, of a process that has made no others, is in one."""
    code = (
        "from importlib import import_module; import pycograd.ops\n"
        "from pycograd.core.primitive import _HOMES, REGISTRY\n"
        "pycograd.ops.load()\n"
        "for home in _HOMES: import_module(home)\n"
        "print(*(name for name, p in REGISTRY.items() if not p.composed))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = set(done.stdout.split())
    assert not set(table) & set(refused)
    assert ours - set(table) - set(refused) == set()
    assert set(table) - ours == set()
    assert set(refused) - ours == set()
    assert all(refused.values())
