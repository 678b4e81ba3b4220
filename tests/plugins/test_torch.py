"""The torch backend, from the sample table: every primitive in each use of its lowering.

The tape on torch's arrays, the compiled graph and torch's own autodiff equal NumPy.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")
pytest.importorskip("scipy", reason="the table has samples of scipy's functions")

import torch

import pycograd
from pycograd import capture, grad, jvp, ops, optimize, vmap
from pycograd.core.device import DeviceArray, on, trace_of
from pycograd.core.errors import (
    BackendUnavailableError,
    LoweringNotFoundError,
    PycogradError,
    UnsupportedDtypeError,
    UnsupportedOperationError,
)
from pycograd.core.primitive import REGISTRY, Primitive
from pycograd.core.tree import tree_flatten
from pycograd.graph.lowered import Lowered
from pycograd.testing.samples import Sample, all_samples
from pycograd_torch.backend import DTYPES, OWN_RULES, TorchBackend
from pycograd_torch.hooks import with_softmax
from pycograd_torch.lowerings import REFUSED

ops.load()
torch.set_num_threads(1)
BACKEND = TorchBackend()
TRACE = trace_of(BACKEND)

# What the samples ask for that torch's arrays are not: sample -> why.
NOT_ON_TORCH = {
    "array2string": "prints the numbers of an array, which stay on the device",
    "array_repr": "prints the numbers of an array, which stay on the device",
    "array_str": "prints the numbers of an array, which stay on the device",
    "shares_memory": "asks which memory NumPy's arrays have",
    "may_share_memory": "asks which memory NumPy's arrays have",
    "roots": "the eigenvalues of a real matrix are complex on a device, whatever they are",
}
SINGULAR = "a graph of a derivative of det takes matrices for regular"

SAMPLES = [s for s in all_samples() if s.name not in NOT_ON_TORCH]


def identity(sample: Sample) -> str:
    return f"{sample.primitive}-{sample.name}"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


# -- comparing -------------------------------------------------------------------------------------
def leaves(x: Any) -> list[Any]:
    return [np.asarray(leaf) for leaf in tree_flatten(x)[0] if leaf is not None]


def check_close(found: Any, wanted: Any, tolerance: float = 1e-10) -> None:
    got, want = leaves(found), leaves(wanted)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if b.dtype.kind not in "fcV":
            assert np.array_equal(a, b)
            continue
        if b.dtype.kind == "V":
            a, b = a.astype(np.float64), b.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        size = np.max(np.abs(b[np.isfinite(b)]), initial=1.0)
        differences = np.where(same, 0, np.abs(np.where(same, 0, a) - np.where(same, 0, b)))
        assert np.all(differences <= tolerance * size), (a, b)


def weighed(f: Callable[..., Any]) -> Callable[..., Any]:
    """A real number of all results, each entry with a weight of its own."""

    def loss(*args: Any) -> Any:
        total: Any = 0.0
        for out in tree_flatten(f(*args))[0]:
            kind = getattr(out, "dtype", np.dtype(bool)).kind  # a truth of Python's has none
            if kind not in "fcV":
                continue
            count = int(np.prod(out.shape))
            weights = np.cos(np.arange(count) + 0.7).reshape(out.shape)
            if kind == "c":
                total = total + np.sum(np.real(out) * weights)
                total = total + np.sum(np.imag(out) * weights * weights)
            else:
                total = total + np.sum(out * weights.astype(out.dtype))
        return total

    return loss


def of_arrays(f: Callable[..., Any], operands: Any) -> tuple[Callable[..., Any], list[int]]:
    """`f` as a function of those operands that are arrays, and which these are."""
    places = [i for i, x in enumerate(operands) if isinstance(x, np.ndarray)]

    def run(*xs: Any) -> Any:
        full = list(operands)
        for i, x in zip(places, xs):
            full[i] = x
        return f(*full)

    return run, places


def tensors(arrays: Any) -> list[Any]:
    return [BACKEND.from_numpy(x) for x in arrays]


def home(outs: Any) -> list[Any]:
    return [BACKEND.to_numpy(x) if isinstance(x, torch.Tensor) else x for x in outs]


def refusable(run: Callable[[], Any]) -> Any:
    """What `run` gives; a test is skipped where torch has no such primitive."""
    try:
        return run()
    except LoweringNotFoundError as error:
        name = str(error).split("'")[1]
        assert name in REFUSED or name not in REGISTRY, f"{name} is refused without a reason"
        pytest.skip(f"{name}: {REFUSED.get(name, 'a rule of one function')}")
    except UnsupportedDtypeError as error:
        pytest.skip(str(error))


# -- the table -------------------------------------------------------------------------------------
@pytest.mark.parametrize("sample", SAMPLES, ids=identity)
def test_the_device_equals_numpy(sample: Sample) -> None:
    wanted = sample.f(*sample.operands)
    with on(TRACE):
        given = [TRACE.constant(x) if isinstance(x, np.ndarray) else x for x in sample.operands]
        check_close(refusable(lambda: sample.f(*given)), wanted)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.wrt], ids=identity)
def test_the_tape_on_the_device_equals_numpy(sample: Sample) -> None:
    differentiated = grad(weighed(sample.f), argnums=tuple(sample.wrt))
    try:
        wanted = differentiated(*sample.operands)
    except PycogradError:
        pytest.skip("no gradient of this sample")
    with on(TRACE):
        check_close(refusable(lambda: differentiated(*sample.operands)), wanted)


@pytest.mark.parametrize("sample", SAMPLES, ids=identity)
def test_compiled_and_native_equal_numpy(sample: Sample) -> None:
    run, places = of_arrays(sample.f, sample.operands)
    arrays = [sample.operands[i] for i in places]
    try:
        graph = capture(run, *arrays)
    except PycogradError:
        pytest.skip("no graph of this sample")
    if sample.primitive == "small_part":
        with pytest.raises(RuntimeError, match="singular"):
            Lowered(graph, BACKEND)(*tensors(arrays))
        return
    lowered = refusable(lambda: Lowered(graph, BACKEND))
    check_close(
        home(refusable(lambda: lowered(*tensors(arrays)))), leaves(sample.f(*sample.operands))
    )
    live = [k for k, i in enumerate(places) if i in sample.wrt]
    if live:
        check_native(weighed(run), arrays, live)


def check_native(loss: Any, arrays: Any, live: Any, tolerance: float = 1e-10) -> None:
    try:
        wanted = grad(loss, argnums=tuple(live))(*arrays)
        graph = capture(loss, *arrays)
    except PycogradError:
        return
    code = refusable(lambda: Lowered(graph, BACKEND, rules=True))
    _, found = refusable(lambda: BACKEND.grad_and_value(code, tensors(arrays), live))
    check_close(home(found), wanted, tolerance)


KINKS = [(s, n) for s in SAMPLES for n in range(len(s.kinks))]


@pytest.mark.parametrize(
    ("sample", "n"), KINKS, ids=lambda x: identity(x) if isinstance(x, Sample) else str(x)
)
def test_kinks_keep_their_conventions(sample: Sample, n: int) -> None:
    operands = sample.kinks[n].operands
    run, places = of_arrays(sample.f, operands)
    arrays = [operands[i] for i in places]
    live = [k for k, i in enumerate(places) if i in sample.wrt]
    if not live:
        pytest.skip("nothing to differentiate")
    if "det" in sample.primitive and "singular" in sample.name:
        with pytest.raises((AssertionError, RuntimeError)):
            check_native(weighed(run), arrays, live)
    else:
        check_native(weighed(run), arrays, live)
    with on(TRACE):
        found = refusable(lambda: grad(weighed(run), argnums=tuple(live))(*arrays))
    check_close(found, grad(weighed(run), argnums=tuple(live))(*arrays))


# -- dtypes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.dtypes is None and s.wrt], ids=identity)
def test_float32_stays_float32(sample: Sample) -> None:
    operands = [
        x.astype(np.float32) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x
        for x in sample.operands
    ]
    try:
        wanted = sample.f(*operands)
    except Exception:
        pytest.skip("NumPy has no float32 of this")
    with on(TRACE):
        given = [TRACE.constant(x) if isinstance(x, np.ndarray) else x for x in operands]
        found = refusable(lambda: sample.f(*given))
    check_close(found, wanted, 1e-5)
    run, places = of_arrays(sample.f, operands)
    live = [k for k, i in enumerate(places) if i in sample.wrt]
    if sample.primitive != "small_part":
        check_native(weighed(run), [operands[i] for i in places], live, 1e-5)


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_arrays_go_there_and_come_back(name: str) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    for array in (np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3)[::-1].T, np.array(1)):
        array = array.astype(dtype)
        tensor = BACKEND.from_numpy(array)
        assert BACKEND.dtype_of(tensor) == dtype
        back = BACKEND.to_numpy(tensor)
        assert back.dtype == dtype and np.array_equal(back, array)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "complex64", "complex128"])
def test_gradients_keep_the_dtype(name: str) -> None:
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    x = np.linspace(0.5, 1.5, 4).astype(dtype)
    f = lambda x: np.sum(np.real(np.exp(x) * x))
    with on(TRACE):
        (found,) = grad(f)(x)
    assert isinstance(found, DeviceArray) and found.dtype == dtype
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2}.get(name, 1e-5)
    check_close(found, grad(f)(x)[0], tolerance)


def test_what_torch_has_no_dtype_for_is_refused() -> None:
    with pytest.raises(UnsupportedDtypeError, match=r"'torch' has no (float128|longdouble)"):
        BACKEND.from_numpy(np.ones(2, np.longdouble))


def test_memory_is_not_shared() -> None:
    array = np.ones(3)
    tensor = BACKEND.from_numpy(array)
    array[0] = 5
    assert tensor[0] == 1
    home = BACKEND.to_numpy(tensor)
    home[1] = 7
    assert tensor[1] == 1


def test_constants_of_compiled_code_are_where_its_inputs_are() -> None:
    held, factor = np.arange(3.0), np.arange(3.0)
    factor.flags.writeable = False

    def f(x: Any, c: float = 1.0) -> Any:
        return np.sum(np.where(x > 0.0, x * held, factor) * np.float64(2.0)) + c, factor * 2.0

    run = pycograd.compile_to(f, "torch")
    for place in ("meta", "cpu", "meta"):  # of which the first has shapes alone
        x = torch.ones(3, dtype=torch.float64, device=place)
        for args in ((x,), (x, 2.0), (torch.tensor(1.0, dtype=torch.float64), x)):
            if args[0].dim() == 0:
                out = pycograd.compile_to(lambda a, x: np.sum(a * x * held), "torch")(*args)
                assert out.device.type == place
                continue
            value, fixed = run(*args)
            assert (value.device.type, fixed.device.type) == (place, place)
            if place == "cpu":
                assert float(value) == 6.0 + (args[1:] or (1.0,))[0]
    with pytest.raises(BackendUnavailableError, match="no device 'nowhere'"):
        pycograd.compile_to(f, "torch:nowhere")
    x = torch.ones(3, dtype=torch.float64, device="meta")
    slope = torch.func.grad(lambda x: run(x)[0])(x)  # whose rules hold constants too
    assert slope.device.type == "meta"


# -- the table of lowerings ------------------------------------------------------------------------
def test_every_primitive_is_lowered_or_refused_with_a_reason() -> None:
    import pycograd.nn
    import pycograd.random  # noqa: F401

    lowered = set(BACKEND.lowerings)
    names = {name for name, p in REGISTRY.items() if not (p.custom or p.composed)}
    assert not names - lowered - REFUSED.keys()
    assert not lowered & REFUSED.keys()
    assert all(REFUSED.values())
    assert OWN_RULES <= lowered


def test_a_missing_lowering_names_the_primitive() -> None:
    import scipy.special as sc

    with on(TRACE), pytest.raises(LoweringNotFoundError) as caught:
        grad(lambda x: np.sum(sc.jv(0.5, x)))(np.ones(2))
    said = f"primitive 'jv' is not lowered by backend 'torch': {REFUSED['jv']}. Call the function"
    assert str(caught.value).startswith(said) and f" ({__file__}:" in str(caught.value)
    assert "pycograd explain" not in str(caught.value)
    unknown = Primitive("unknown_here", None, register=False)
    with pytest.raises(LoweringNotFoundError, match="pycograd explain unknown_here"):
        BACKEND.lowering(unknown)


# -- what torch has none of ------------------------------------------------------------------------
@pytest.mark.parametrize("f", [np.max, np.argmin, np.ptp, np.rint], ids=lambda f: f.__name__)
def test_complex_numbers_have_no_order(f: Callable[..., Any]) -> None:
    x = np.array([1 + 2j, 3.0, 0.0])
    loss = lambda x: np.sum(np.real(f(x) * x))
    for run in (
        lambda: grad(loss)(x),
        lambda: pycograd.value_and_grad(loss, backend="torch")(x),
        lambda: pycograd.jit(loss, backend="torch")(x),
    ):
        with on(TRACE), pytest.raises(Exception, match="torch has none of complex numbers") as said:
            run()
        assert isinstance(said.value, UnsupportedDtypeError) or "jit" in repr(said.traceback)


def test_what_torch_has_no_kernel_for_names_the_operation_and_the_dtype() -> None:
    f = pycograd.compile_to(lambda x: x + x, "torch")
    said = r"add: torch has no kernel for torch\.uint16; .* \(.*test_torch\.py:\d+\)"
    with pytest.raises(UnsupportedDtypeError, match=said):
        f(torch.ones(3, dtype=torch.uint16))
    with pytest.raises(UnsupportedDtypeError, match=r"sparse_coo; convert it with \.to_dense"):
        f(torch.ones(3).to_sparse())


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_transforms_of_half_precision(name: str) -> None:
    x = np.array([0.0, 1.0, 2.0]).astype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    for transform in (np.fft.fft, np.fft.rfft):
        f = lambda x: np.sum(np.abs(transform(x)))
        with on(TRACE):
            found = grad(f)(x)
        check_close(found, grad(f)(x), 1e-2)


# -- tensors of the user's -------------------------------------------------------------------------
def test_a_closed_over_tensor_is_a_constant() -> None:
    x, tensor = np.arange(3.0), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for f in (lambda x: np.sum(x * tensor * x), lambda x: np.sum(np.multiply(tensor, x) * x)):
        check_close(grad(f)(x), 2 * x * tensor.numpy())
        with on(TRACE):
            check_close(grad(f)(x), 2 * x * tensor.numpy())
    with pytest.raises(UnsupportedOperationError, match="requires a gradient"):
        grad(lambda x: np.sum(x * tensor.requires_grad_()))(x)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_torchs_modes_change_no_gradient(mode: Any) -> None:
    f, x = lambda x: np.sum(np.hypot(x, 1.0) * np.arange(3.0)), np.arange(1.0, 4.0)
    with mode():
        _, found = pycograd.value_and_grad(f, backend="torch")(x)
        with on(TRACE):
            check_close(grad(f)(x), grad(f)(x))
    check_close(found, grad(f)(x))


# -- draws -----------------------------------------------------------------------------------------
def test_a_key_draws_the_same_everywhere() -> None:
    from pycograd import random

    def f(w: Any, key: Any) -> Any:
        first, second = random.split(random.fold_in(key, 2**63 + 5))
        cut = random.truncated_normal(second, -1.0, 2.0, (4,), dtype=np.float32)
        return np.sum(w * random.normal(first, (3,))) + np.sum(cut)

    w, compiled = np.arange(3.0), pycograd.compile_to(f, "torch")
    for key in map(random.key, (0, 1)):
        with on(TRACE):
            check_close(f(TRACE.constant(w), TRACE.constant(key)), f(w, key))
            keys = random.split(key, 3)
            check_close(vmap(f, in_axes=(None, 0))(w, keys), np.stack([f(w, k) for k in keys]))
        given = torch.tensor(w, requires_grad=True)
        out = compiled(given, torch.tensor(key))
        check_close(out.detach().numpy(), f(w, key))
        (found,) = torch.autograd.grad(out, given)
        check_close(found.numpy(), grad(f, argnums=0)(w, key))


# -- other transforms on the device ----------------------------------------------------------------
def test_transforms_compose_on_the_device() -> None:
    f = lambda w, x: np.sum(np.tanh(x @ w) ** 2)
    w, x = np.random.default_rng(0).standard_normal((2, 3, 3))
    for run in (
        lambda: vmap(grad(f, argnums=0), in_axes=(None, 0))(w, x),
        lambda: jvp(lambda w: f(w, x), (w,), (x,)),
        lambda: grad(lambda w: np.sum(grad(f, argnums=0)(w, x) ** 2))(w),
        lambda: pycograd.hessian(lambda w: f(w, x))(w),
    ):
        wanted = run()
        with on(TRACE):
            found = run()
        assert isinstance(tree_flatten(found)[0][-1], DeviceArray)
        check_close(found, wanted)


def test_python_control_flow_reads_values_on_the_device() -> None:
    def f(x: Any) -> Any:
        while np.sum(x * x) > 1:
            x = x * 0.5
        return np.sum(x)

    with on(TRACE):
        (found,) = grad(f)(np.array([3.0, 4.0]))
    check_close(found, grad(f)(np.array([3.0, 4.0]))[0])


def test_a_write_of_equal_places_keeps_the_last() -> None:
    key = ("array",)
    x, y, at = torch.zeros(4), torch.arange(1.0, 4.0), torch.tensor([2, 2, 0])
    out = BACKEND.lowerings["index_update"](x, y.requires_grad_(), at, key=key)
    assert out.tolist() == [3.0, 0.0, 2.0, 0.0]
    out.sum().backward()
    assert y.grad is not None and y.grad.tolist() == [0.0, 1.0, 1.0]


def test_native_gradients_of_what_is_not_used_are_zeros() -> None:
    code = Lowered(capture(lambda x, y: np.sum(x), np.ones(2), np.ones(3)), BACKEND)
    value, found = BACKEND.grad_and_value(code, tensors([np.ones(2), np.ones(3)]), [0, 1])
    assert float(value) == 2.0
    check_close(home(found), [np.ones(2), np.zeros(3)])


# -- passes of the plugin --------------------------------------------------------------------------
def by_hand(x: Any) -> Any:
    weights = np.exp(x - np.max(x, axis=1, keepdims=True))
    return weights / np.sum(weights, axis=1, keepdims=True)


def names_of(graph: Any) -> list[str]:
    return [e.primitive.name for e in graph.equations]


def test_a_softmax_by_hand_is_one_operation() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    graph = with_softmax(capture(by_hand, x))
    assert names_of(graph) == ["softmax"]
    check_close(home(Lowered(graph, BACKEND)(*tensors([x]))), [by_hand(x)])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: by_hand(x) + np.max(x, axis=1, keepdims=True),
        lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))),
        lambda x: np.exp(x - np.min(x, 1, keepdims=True)) / np.sum(np.exp(x), 1, keepdims=True),
    ],
    ids=["maximum read again", "no axis kept", "another"],
)
def test_what_is_no_softmax_stays(f: Callable[[Any], Any]) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    graph = capture(f, x)
    check_close(home(Lowered(with_softmax(graph), BACKEND)(*tensors([x]))), [f(x)])


def test_the_pass_comes_with_the_backend() -> None:
    pycograd.activate("torch")
    x = np.random.default_rng(0).standard_normal((3, 4))
    graph = capture(by_hand, x)
    assert names_of(optimize(graph, backend="torch")) == ["softmax"]
    assert "softmax" not in names_of(optimize(graph))


def test_native_gradients_and_what_comes_with_them_share_no_memory_with_arguments() -> None:
    x, kept = np.ones(3), np.ones(3)
    f = pycograd.value_and_grad(lambda x: (np.sum(x * x) / 2, x), has_aux=True, backend="torch")
    for _ in range(3):  # from the second call on the arguments are not copied
        (_, aux), (slope,) = f(x)
        assert not np.shares_memory(aux, x) and not np.shares_memory(slope, x)
        aux += 1
        slope += 1
        np.testing.assert_array_equal(x, kept)
        x += 1
        kept += 1
        np.testing.assert_array_equal(f(x)[1][0], x)
