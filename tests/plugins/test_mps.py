"""The Metal backend without its hardware: the same code on torch's CPU device."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_mps", reason="pycograd-mps is not installed")

import torch
from pycograd_mps.backend import MpsBackend

import pycograd as pg
from pycograd.core.device import on, trace_of
from pycograd.core.errors import LoweringNotFoundError, SymbolicSizeError, UnsupportedDtypeError
from pycograd.core.primitive import REGISTRY
from pycograd.core.tree import tree_leaves
from pycograd.graph.lowered import Lowered
from pycograd.testing.samples import all_samples

BACKEND = MpsBackend("cpu")
TRACE = trace_of(BACKEND)
NARROW = {"f": np.float32, "c": np.complex64}


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def narrow(x):
    """An operand in single precision, integers as they are."""
    kind = np.asarray(x).dtype.kind if isinstance(x, (np.ndarray, np.generic)) else ""
    return x.astype(NARROW[kind]) if kind in NARROW else x


def cases():
    """Samples whose results NumPy has in single precision."""
    for sample in all_samples():
        if sample.primitive not in BACKEND.lowerings or not sample.wrt:
            continue
        yield pytest.param(sample, id=f"{sample.primitive}-{sample.name}")


@pytest.mark.parametrize("sample", list(cases()))
def test_single_precision_or_a_refusal(sample):
    operands = [narrow(x) for x in sample.operands]
    try:
        want = tree_leaves(sample.f(*operands))
    except (TypeError, ValueError, np.linalg.LinAlgError):
        pytest.skip("NumPy does not run it in single precision")
    here = [TRACE.constant(x) if isinstance(x, (np.ndarray, np.generic)) else x for x in operands]
    try:
        with on(TRACE):
            got = tree_leaves(sample.f(*here))
    except UnsupportedDtypeError as error:
        assert "'mps' has no" in str(error) or "torch has none of complex numbers" in str(error)
        return
    except (LoweringNotFoundError, SymbolicSizeError) as error:
        pytest.skip(str(error))
    for a, b in zip(got, want):
        assert not hasattr(a, "native") or a.native.dtype not in (torch.float64, torch.complex128)
        a, b = np.asarray(a), np.asarray(b)
        if b.dtype in (np.float32, np.complex64) and np.all(np.isfinite(b)):
            assert a.dtype == b.dtype
            scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * scale)


def program(x, y):
    return np.sum(np.tanh(x @ y) * np.maximum(x[:, 0], 0.1)) + np.linalg.norm(x)


ARGS = (
    np.arange(6, dtype=np.float32).reshape(2, 3) / 5 - np.float32(0.3),
    np.array([0.3, -0.5, 0.7], np.float32),
)


def test_a_gradient_in_each_way():
    want = pg.value_and_grad(program)(*ARGS)
    with on(TRACE):
        got = pg.value_and_grad(program)(*ARGS)
    run = Lowered(pg.capture(program, *ARGS), BACKEND, rules=True)
    native = BACKEND.grad_and_value(run, [BACKEND.from_numpy(x) for x in ARGS], [0, 1])
    for made in (got, native):
        for a, b in zip(tree_leaves((made[0], *made[1])), tree_leaves(want)):
            assert np.asarray(a.detach() if hasattr(a, "detach") else a).dtype == np.float32
            np.testing.assert_allclose(np.asarray(a), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype, instead", [("float64", "float32"), ("complex128", "complex64")])
def test_double_precision_is_refused_with_the_fix(dtype, instead):
    with pytest.raises(
        UnsupportedDtypeError, match=rf"'mps' has no {dtype} arrays: .*x\.astype\(np\.{instead}\)"
    ):
        BACKEND.from_numpy(np.ones(2, dtype))
    with on(TRACE), pytest.raises(UnsupportedDtypeError, match="no float64"):
        pg.grad(lambda x: np.sum(x))(np.ones(2))


def test_whole_numbers_stay():
    x = np.array([1, 2**40])
    there = BACKEND.from_numpy(x)
    assert there.dtype is torch.int64
    np.testing.assert_array_equal(BACKEND.to_numpy(there + 1), x + 1)


def test_a_missing_kernel_is_named():
    def missing(*operands, **params):
        raise NotImplementedError("The operator 'aten::sin' is not implemented for the MPS device")

    with pytest.raises(LoweringNotFoundError, match="'sin' is not lowered by backend 'mps': torch"):
        BACKEND._refusing("sin", missing)(1.0)


def test_the_table_is_that_of_torch():
    from pycograd_torch.backend import TorchBackend

    assert set(BACKEND.lowerings) == set(TorchBackend().lowerings)
    assert BACKEND.lowering(REGISTRY["sin"]) is BACKEND.lowering(REGISTRY["sin"])


def test_the_probe():
    assert MpsBackend("cpu").probe().ok
    probe = MpsBackend().probe()
    if torch.backends.mps.is_available():
        assert probe.ok
    else:
        assert not probe.ok
        assert probe.reason.startswith(f"torch {torch.__version__} has no mps device (")
        assert "Apple-silicon" in probe.fix


def test_importing_the_backend_imports_no_torch():
    code = "import sys, pycograd_mps.backend; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
