"""The checks of a backend that need no sample: its probe, arrays, errors, devices and laziness."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final

import numpy as np

from pycograd.core.backend import API_VERSION, Backend, Probe
from pycograd.core.device import DeviceArray, on, trace_of
from pycograd.core.errors import (
    BackendUnavailableError,
    LoweringNotFoundError,
    UnsupportedDtypeError,
)
from pycograd.core.primitive import REGISTRY, Primitive, primitive_named
from pycograd.graph.native import compile_to
from pycograd.plugins.hub import HUB, device_of
from pycograd.plugins.records import BACKENDS, Name, Record
from pycograd.testing.conformance.running import Check, Context, NotApplicable
from pycograd.testing.program import close
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, value_and_grad

_DTYPES: Final = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
)


def backend_checks(backend: Backend) -> Iterator[Check]:
    """The checks of a backend as a whole."""
    claims = backend.capabilities
    yield Check("probe:honest", _probe, computes=False)
    yield Check("lazy:discovering", _lazy, computes=False)
    for name in _DTYPES:
        run = _round_trip if name in claims.dtypes else _refused
        yield Check(f"arrays:{name}", _for_dtype(run, name), computes=False)
    yield Check("lowerings:names", _names, computes=False)
    yield Check("errors:lowering", _no_lowering, computes=False)
    yield Check("errors:device", _no_device, computes=False)
    if claims.eager:
        yield Check("eager:control flow", _control_flow)
        yield Check("eager:constants", _constants)
    if claims.compiled:
        yield Check("compile_to:own arrays", _own_arrays)
        yield Check("compile_to:compiler", _compiler)
    if claims.placement:
        for at in range(2):
            yield Check(f"placement:{('first', 'second')[at]} larger", _placed(at))
        yield Check("placement:rows", _placed_rows)
        yield Check("placement:table", _placed_table)


def _record(backend: Backend) -> Record | None:
    """What the hub knows of a backend, if it is one of the hub's."""
    for record in HUB.records():
        if record.group == BACKENDS and record.loaded is backend:
            return record
    return None


# -- what it says of itself ------------------------------------------------------------------------
def _probe(context: Context) -> None:
    backend = context.backend
    probe = backend.probe()
    assert isinstance(probe, Probe), f"probe() returned {probe!r}"
    assert probe.ok, f"it runs here, but its probe says: {probe.reason}"
    devices = tuple(backend.devices())
    assert devices, "it has no device"
    assert not probe.devices or tuple(probe.devices) == devices, (
        f"probe() names the devices {probe.devices}, devices() {devices}"
    )
    assert len(set(devices)) == len(devices), f"a device is named twice: {devices}"
    assert backend.api[0] == API_VERSION[0], f"it is written for interface {backend.api}"
    for device in devices:
        array = backend.from_numpy(np.ones(2), device)
        assert backend.device_of(array) == device, (
            f"an array for {device!r} is on {backend.device_of(array)!r}"
        )
    claims = backend.capabilities
    assert not claims.placement or len(devices) > 1 or _one_is_all(backend), (
        "it claims placement on its one device"
    )


def _one_is_all(backend: Backend) -> bool:
    """True where a library with several devices has one of them here."""
    return type(backend).devices is not Backend.devices


def _lazy(context: Context) -> None:
    record = _record(context.backend)
    if record is None or not record.distribution:
        raise NotApplicable("it is no installed distribution's")
    if record.name == "numpy":
        raise NotApplicable("NumPy is always there")
    module = record.value.partition(":")[0].partition(".")[0]
    names = [module, *([record.framework] if record.framework else [])]
    program = (
        "import sys, pycograd\n"
        "from pycograd.plugins.hub import HUB\n"
        f"assert {record.name!r} in {{r.name for r in HUB.records()}}\n"
        f"print([n for n in {names!r} if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-400:]
    assert done.stdout.strip() == "[]", f"listing it imports {done.stdout.strip()}"


# -- arrays ----------------------------------------------------------------------------------------
def _for_dtype(run: Callable[..., None], name: str) -> Callable[[Context], None]:
    return lambda context: run(context.backend, _dtype(name))


def _dtype(name: str) -> np.dtype[Any]:
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise NotApplicable("ml_dtypes is not installed") from None
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def _round_trip(backend: Backend, dtype: np.dtype[Any]) -> None:
    base: Any = np.arange(12).reshape(3, 4) % 7
    data = (base + 1j * base[::-1] if dtype.kind == "c" else base).astype(dtype)
    for x in (data, data.T, data[::2, ::-1], data[:0], data[0, 0, ...], np.asfortranarray(data)):
        x = np.asarray(x)
        array = backend.from_numpy(x, backend.devices()[0])
        assert backend.is_array(array), f"from_numpy made {type(array).__name__}, no array of it"
        assert tuple(backend.shape_of(array)) == x.shape, f"shape {backend.shape_of(array)}"
        assert backend.dtype_of(array) == dtype, f"dtype {backend.dtype_of(array)}"
        back = backend.to_numpy(array)
        assert isinstance(back, np.ndarray) or back.shape == (), f"a {type(back).__name__}"
        assert back.dtype == dtype and back.shape == x.shape
        assert np.array_equal(np.asarray(back), x), "the values changed on the way"
    assert not backend.is_array(data) or backend.name == "numpy", "NumPy's arrays count as its own"
    if dtype.kind in "iuf":
        wide = backend.cast(backend.from_numpy(data), np.dtype("float32"))
        assert backend.dtype_of(wide) == np.float32


def _refused(backend: Backend, dtype: np.dtype[Any]) -> None:
    try:
        array = backend.from_numpy(np.ones(2).astype(dtype), backend.devices()[0])
    except UnsupportedDtypeError as error:
        assert backend.name in str(error) and dtype.name in str(error), f"it says: {error}"
    else:
        found = backend.dtype_of(array)  # it may have more than it claims
        assert found == dtype, f"{dtype.name} is not claimed, and became {found} without an error"


# -- the table of lowerings ------------------------------------------------------------------------
def _names(context: Context) -> None:
    """Each lowering is of a primitive, so none is left out for a misspelt name.

    Primitives that only passes of the backend's plugin write begin with its name: `torch_...`.
    """
    kinds = [getattr(kind, "name", None) for kind in type(context.backend).__mro__]
    own = tuple([f"{name}_" for name in kinds if isinstance(name, str)])
    for name, lowering in context.backend.lowerings.items():
        assert callable(lowering), f"the lowering of {name!r} is {lowering!r}, no function"
        if name.startswith(own):
            continue
        try:
            primitive_named(name)
        except KeyError:
            near = get_close_matches(name, REGISTRY, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AssertionError(f"there is no primitive {name!r}, which it lowers{hint}") from None


# -- errors ----------------------------------------------------------------------------------------
def _no_lowering(context: Context) -> None:
    unknown = Primitive("conformance_unknown", None, register=False)
    try:
        context.backend.lowering(unknown)
    except LoweringNotFoundError as error:
        wanted = "primitive 'conformance_unknown' has no lowering for backend"
        assert str(error).startswith(f"{wanted} {context.backend.name!r}"), f"it says: {error}"
    else:
        raise AssertionError("it has a lowering of a primitive that does not exist")


def _no_device(context: Context) -> None:
    try:
        device_of(context.backend, Name(context.backend.name, "", "nowhere"))
    except BackendUnavailableError as error:
        for device in context.backend.devices():
            assert device in str(error), f"it does not name {device!r}: {error}"
    else:
        raise AssertionError("it has a device 'nowhere'")


# -- programs --------------------------------------------------------------------------------------
def _loss(w: Any, x: Any) -> Any:
    return np.sum(np.exp(x * w) * w)


_W, _X = np.linspace(0.1, 0.4, 4), np.linspace(-1.0, 1.0, 12).reshape(3, 4)


def _control_flow(context: Context) -> None:
    """Python's branches and loops on data are what they are."""

    def f(x: Any) -> Any:
        total = x * 1.0
        while np.sum(total) < 30.0:
            total = total * x + x
        return np.sum(total) if total[0] > 1.0 else np.sum(total * total)

    for x in (np.array([1.5, 2.0]), np.array([0.5, 4.0])):
        with on(context.trace):
            (actual,) = grad(f)(x)
        assert type(actual) is DeviceArray, "the gradient is not on the device"
        close(actual, grad(f)(x)[0], "control flow", 1e-10)


def _constants(context: Context) -> None:
    """What a function closes over follows along, as it is at each call."""
    held = np.array([1.0, 2.0, 3.0, 4.0])
    f = grad(lambda w: np.sum(w * w * held))
    for _ in range(2):
        with on(context.trace):
            (actual,) = f(_W)
        close(actual, 2.0 * _W * held, "a constant that was written to", 1e-10)
        held *= 3.0


def _own_arrays(context: Context) -> None:
    """A compiled function takes and gives its own arrays."""
    backend = context.backend
    f = compile_to(_loss, backend)
    for x in (_X, 2.0 * _X):
        out = f(*[backend.from_numpy(a, context.device) for a in (_W, x)])
        assert backend.is_array(out), f"it returned a {type(out).__name__}"
        close(backend.to_numpy(out), _loss(_W, x), "compile_to", 1e-10)


def _compiler(context: Context) -> None:
    """The library's own compiler takes the code; data are inputs, not constants."""
    backend = context.backend
    f = compile_to(value_and_grad(_loss), backend, jit=True)
    for x in (_X, 2.0 * _X):
        value, grads = f(*[backend.from_numpy(a, context.device) for a in (_W, x)])
        expected, wanted = value_and_grad(_loss)(_W, x)
        close(backend.to_numpy(value), expected, "value", 1e-10)
        for g, w in zip(grads, wanted, strict=True):
            close(backend.to_numpy(g), w, "gradient", 1e-10)


# -- placement -------------------------------------------------------------------------------------
def _traces(context: Context) -> Sequence[Any]:
    devices = context.backend.devices()
    if len(devices) < 2:
        raise NotApplicable(f"there is one device here, {devices[0]}")
    return [trace_of(context.backend, d) for d in devices[:2]]


def _placed(larger: int) -> Callable[[Context], None]:
    def run(context: Context) -> None:
        """Arrays of two devices meet at the larger; each gradient is at home."""
        traces = _traces(context)
        w, x = traces[1 - larger].constant(_W), traces[larger].constant(_X)
        value, grads = value_and_grad(_loss)(w, x)
        expected, wanted = value_and_grad(_loss)(_W, _X)
        close(value, expected, "value", 1e-10)
        assert (x * w)._trace is traces[larger], "the larger operand moved"
        for g, leaf, right in zip(grads, (w, x), wanted, strict=True):
            assert g._trace is leaf._trace, f"a gradient on {g.device}, its leaf on {leaf.device}"
            close(g, right, "gradient", 1e-10)

    return run


def _placed_rows(context: Context) -> None:
    """The same for one gradient a row."""
    here, there = _traces(context)
    w, x = here.constant(_W), there.constant(_X)
    run = vmap(grad(_loss), (None, 0))
    for g, right in zip(run(w, x), run(_W, _X), strict=True):
        close(g, right, "vmap(grad)", 1e-10)


def _placed_table(context: Context) -> None:
    """Of a table the entries that are gathered move; its gradient stays with it."""
    here, there = _traces(context)
    index = np.array([2, 0, 2])

    def f(table: Any, w: Any) -> Any:
        return np.sum(table[index] * w)

    table, w = here.constant(_X), there.constant(_W)
    assert table[index]._trace is here
    grads = grad(f)(table, w)
    for g, leaf, right in zip(grads, (table, w), grad(f)(_X, _W), strict=True):
        assert g._trace is leaf._trace, f"a gradient on {g.device}, its leaf on {leaf.device}"
        close(g, right, "gradient", 1e-10)
