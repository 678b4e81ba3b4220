"""The default dtype, its names, and the short texts."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

import pycograd as pg
from pycograd.core import modes
from pycograd.core.dtypes import current_dtype, dtype, dtype_name, resolve_dtype

NAMES = {
    np.float64: ("float64", "f64", "double", None, float, np.float64, np.dtype("f8")),
    np.float32: ("float32", "f32", "single", np.float32),
    np.float16: ("float16", "f16", "half", np.float16),
    ml_dtypes.bfloat16: ("bfloat16", "bf16", ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)),
    np.complex64: ("complex64", "c64", np.complex64),
    np.complex128: ("complex128", "c128", complex),
    np.longdouble: (np.longdouble,),
}


@pytest.mark.parametrize("expected, spec", [(d, s) for d, specs in NAMES.items() for s in specs])
def test_names(expected, spec):
    assert resolve_dtype(spec) == np.dtype(expected)
    with dtype(spec) as chosen:
        assert current_dtype() == chosen == np.dtype(expected)


@pytest.mark.parametrize(
    "spec",
    ["int32", "float", "f4", "<f4", "", int, bool, np.int64, "bool", object, 3, "f128", "S3"],
)
def test_everything_else_is_refused_at_the_call(spec):
    with pytest.raises(ValueError, match=r"not a floating-point.*float64/f64/double.*bf16"):
        dtype(spec)


def test_blocks_nest_and_end_on_an_error():
    with dtype("f32"):
        with pytest.raises(KeyError), dtype("f16"):
            assert current_dtype() == np.float16
            raise KeyError
        assert current_dtype() == np.float32
    assert current_dtype() == np.float64


def test_as_a_decorator():
    @dtype("c64")
    def inside():
        return current_dtype()

    assert [inside(), inside(), current_dtype()] == ["complex64", "complex64", "float64"]


def test_threads_and_tasks_have_their_own():
    seen = []
    with dtype("f32"):
        thread = threading.Thread(target=lambda: seen.append(current_dtype()))
        thread.start()
        thread.join()
    assert seen == [np.float64]

    async def task(spec):
        with dtype(spec):
            await asyncio.sleep(0)
            return current_dtype()

    async def both():
        return await asyncio.gather(task("f16"), task("c64"))

    assert asyncio.run(both()) == [np.float16, np.complex64]


@pytest.mark.parametrize(
    "dt, text",
    [
        ("float64", "f64"),
        (np.float32, "f32"),
        ("float16", "f16"),
        (ml_dtypes.bfloat16, "bf16"),
        ("int64", "i64"),
        ("uint8", "u8"),
        (bool, "bool"),
        ("complex128", "c128"),
        (">f4", "f32"),
        (object, "O64"),
        (np.longdouble, f"f{8 * np.dtype(np.longdouble).itemsize}"),
    ],
)
def test_short_texts(dt, text):
    assert dtype_name(dt) == text


def test_ml_dtypes_is_imported_only_when_asked_for():
    code = (
        "import sys; from pycograd.core.dtypes import dtype_name, resolve_dtype;"
        "resolve_dtype('f32'); dtype_name('f8'); assert 'ml_dtypes' not in sys.modules;"
        "resolve_dtype('bf16'); assert 'ml_dtypes' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("make", [lambda: dtype("f32"), pg.no_grad, pg.debug_nans])
def test_a_block_may_be_entered_again_and_within_itself(make):
    block = make()
    before = modes.active

    def state():
        return current_dtype(), modes.checking_nans(), modes._no_grad.get() > 0

    outside = state()
    for _ in range(2):
        with block:
            inside = state()
            assert inside != outside
            with block, dtype("f16"), block:
                assert state()[1:] == inside[1:]
            assert state() == inside
        assert state() == outside
    with pytest.raises(ZeroDivisionError), block:
        1 / 0
    assert state() == outside and modes.active == before
    assert block(state)() == inside  # as a decorator


def test_one_block_in_threads():
    block, met = dtype("f32"), threading.Barrier(2)

    def run(_):
        with block:
            met.wait()
            with block:
                return current_dtype()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [np.float32] * 2
    assert current_dtype() == np.float64
