"""The checks that every sample of the table goes through on a backend's arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.backend import Capabilities
from pycograd.core.box import Box
from pycograd.core.device import DeviceArray, on
from pycograd.core.errors import ControlFlowError, PycogradError
from pycograd.core.tree import tree_leaves
from pycograd.graph.native import Native
from pycograd.graph.passes import optimize
from pycograd.testing.check import axes_of, batch_of, checks_of, members, recast
from pycograd.testing.conformance.running import Check, Context, NotApplicable
from pycograd.testing.program import Program, close
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.capture import capture
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad

_TOLERANCE: Final = {"float64": 1e-10, "complex128": 1e-10, "float32": 1e-5, "complex64": 1e-5}
_LOOSE: Final = 1e-2  # of narrower dtypes, whose values integers and booleans may stand for
# Check -> the checks on NumPy that a sample must go through for it.
_NEEDS: Final = {
    "forward": (),
    "tape": ("adjoint",),
    "jvp": ("jvp",),
    "second": ("second-fr",),
    "vmap_grad": ("vmap-grad",),
    "compiled": (),
    "native": ("adjoint",),
}


def sample_checks(samples: Sequence[Sample], claims: Capabilities) -> Iterator[Check]:
    """For each sample the checks that apply to it, of what a backend claims."""
    kinds: dict[str, Callable[[Sample, Context], None]] = {}
    if claims.eager:
        kinds |= {"forward": _forward, "tape": _tape, "jvp": _jvp, "second": _second}
        kinds |= {"vmap_grad": _vmap_grad}
    if claims.compiled:
        kinds["compiled"] = _compiled
    if claims.native:
        kinds["native"] = _native
    runs = ["tape"] * claims.eager + ["native"] * claims.native
    dtypes = [d for d in ("float32", "complex64", "complex128") if d in claims.dtypes]
    for sample in samples:
        subject = f"{sample.primitive}-{sample.name}"
        with np.errstate(all="ignore"):
            there = {name for name, _ in checks_of(sample)}
        for kind, run in kinds.items():
            if all(any(c.startswith(need) for c in there) for need in _NEEDS[kind]):
                yield Check(f"{kind}:{subject}", _bound(run, sample))
        for i in range(len(sample.kinks)):
            for kind in runs:
                if f"kink-{i}" in there and "tape" in kinds:
                    yield Check(f"kink-{kind}:{subject}-{i}", _bound(_kink, sample, i, kind))
        if claims.eager and sample.wrt:
            for d in dtypes:
                if f"dtype-{d}" in there:
                    yield Check(f"{d}:{subject}", _bound(_in_dtype, sample, d))


def _bound(run: Callable[..., None], sample: Sample, *args: Any) -> Callable[[Context], None]:
    return lambda context: run(sample, context, *args)


# -- comparing -------------------------------------------------------------------------------------
def agree(
    actual: Any, expected: Any, what: str, context: Context | None = None, dtype: str = "float64"
) -> None:
    """Same tree, shapes, dtypes and values; with a context, arrays on its device."""
    got, want = tree_leaves(actual), tree_leaves(expected)
    assert len(got) == len(want), f"{what}: {len(got)} results, not {len(want)}"
    for x, y in zip(got, want):
        if not isinstance(y, (np.ndarray, np.generic, float, complex)):
            continue
        if dtype_of(y).kind in "OSUT":
            continue
        assert shape_of(x) == shape_of(y), f"{what}: shape {shape_of(x)}, not {shape_of(y)}"
        if isinstance(y, (np.ndarray, np.generic)):
            assert dtype_of(x) == dtype_of(y), f"{what}: dtype {dtype_of(x)}, not {dtype_of(y)}"
        if context is not None and type(x) is not DeviceArray:
            assert not isinstance(x, Box), f"{what}: a {type(x).__name__} leaked"
        if context is not None and type(x) is DeviceArray:
            assert x._trace is context.trace, f"{what}: on {x.device}, not {context.trace.name}"
        close(x, y, what, max(_TOLERANCE.get(d, _LOOSE) for d in (dtype, dtype_of(y).name)))


def placed(context: Context, operands: Sequence[Any]) -> list[Any]:
    """The operands, arrays on the device."""
    for x in operands:
        if isinstance(x, (np.ndarray, np.generic)):
            if x.dtype.kind not in "biufcV" or not context.has(x.dtype):
                raise NotApplicable(f"no {x.dtype.name} arrays")
    if not any(isinstance(x, np.ndarray) for x in operands):
        raise NotApplicable("no arrays among its operands")
    return [context.trace.constant(x) if isinstance(x, np.ndarray) else x for x in operands]


# -- the eager device ------------------------------------------------------------------------------
def _forward(sample: Sample, context: Context) -> None:
    """What the program computes is NumPy's."""
    there = placed(context, sample.operands)
    expected = sample.f(*sample.operands)
    with on(context.trace):
        actual = sample.f(*there)
    agree(actual, expected, "forward", context)


def _tape(sample: Sample, context: Context) -> None:
    """The tape on its arrays gives NumPy's gradient, there."""
    p = Program(sample)
    there = placed(context, sample.operands)
    expected = grad(p.loss_of_all, argnums=p.wrt)(*sample.operands)
    with on(context.trace):
        actual = grad(p.loss_of_all, argnums=p.wrt)(*there)
    for i, g in zip(p.wrt, actual):
        if type(there[i]) is DeviceArray:
            assert type(g) is DeviceArray, f"the gradient of operand {i} left the device"
    agree(actual, expected, "gradient", context)


def _jvp(sample: Sample, context: Context) -> None:
    """Tangents on its arrays are NumPy's."""
    p = Program(sample)
    there = placed(context, p.operands)
    tangents = placed(context, p.directions)
    expected = jvp(p, p.primals, p.directions)
    with on(context.trace):
        primals = [there[i] for i in p.wrt]
        actual = jvp(_with(p, there), primals, tangents)
    agree(actual, expected, "jvp", context)


def _with(p: Program, there: Sequence[Any]) -> Callable[..., Any]:
    """The program with its other operands on the device."""

    def run(*xs: Any) -> Any:
        new = dict(zip(p.wrt, xs))
        return p.outputs(*[new.get(i, x) for i, x in enumerate(there)])

    return run


def _second(sample: Sample, context: Context) -> None:
    """A Hessian product on its arrays is NumPy's."""
    p = Program(sample)
    there = placed(context, p.operands)
    tangents = placed(context, p.directions)
    expected = jvp(p.gradient, p.primals, p.directions)[1]

    def gradient(*xs: Any) -> Any:
        new = dict(zip(p.wrt, xs))
        whole = [new.get(i, x) for i, x in enumerate(there)]
        return grad(p.loss_of_all, argnums=p.wrt)(*whole)

    with on(context.trace):
        actual = jvp(gradient, [there[i] for i in p.wrt], tangents)[1]
    agree(actual, expected, "second order", context)


def _vmap_grad(sample: Sample, context: Context) -> None:
    """A batch of gradients on its arrays is NumPy's."""
    p = Program(sample)
    axes = axes_of(sample)[0]
    stacked, _ = batch_of(members(sample, sample.operands), axes)
    there = placed(context, stacked)
    run = vmap(grad(p.loss_of_all, argnums=p.wrt), axes)
    expected = run(*stacked)
    with on(context.trace):
        actual = run(*there)
    agree(actual, expected, "vmap(grad)", context)


def _in_dtype(sample: Sample, context: Context, name: str) -> None:
    """Values and gradients keep a dtype as NumPy's do."""
    operands = recast(sample, name)
    if operands is None:
        raise NotApplicable(f"NumPy does not run it in {name}")
    p = Program(sample, operands)
    there = placed(context, operands)
    expected = sample.f(*operands)
    with on(context.trace):
        actual = sample.f(*there)
    agree(actual, expected, f"forward in {name}", context, name)
    if not p.weights:
        return
    expected = grad(p.loss_of_all, argnums=p.wrt)(*operands)
    with on(context.trace):
        actual = grad(p.loss_of_all, argnums=p.wrt)(*there)
    scale = 1.0 + max([float(np.max(np.abs(x), initial=0.0)) for x in expected])
    for x, y in zip(actual, expected, strict=True):
        assert dtype_of(x) == dtype_of(y), f"gradient: dtype {dtype_of(x)}, not {dtype_of(y)}"
        close(np.asarray(x) / scale, np.asarray(y) / scale, f"gradient in {name}", 1e-4)


# -- graphs ----------------------------------------------------------------------------------------
def _captured(f: Callable[..., Any], operands: Sequence[Any]) -> None:
    """Skips what depends on data, which NumPy's own graphs cannot have either."""
    try:
        graph = optimize(capture(f, *operands))
    except (ControlFlowError, PycogradError, TypeError, ValueError) as error:
        raise NotApplicable(f"not to be captured: {type(error).__name__}") from None
    if not graph.equations:
        raise NotApplicable("it is a constant")


def _of_values(sample: Sample) -> None:
    """Skips what asks where its operands are in memory, which a graph answers once for all."""
    if sample.name in ("shares_memory", "may_share_memory"):
        raise NotApplicable("it depends on the memory of its operands")


def _compiled(sample: Sample, context: Context) -> None:
    """One graph as its code gives two answers for two batches, both NumPy's."""
    _captured(sample.f, sample.operands)
    _of_values(sample)
    placed(context, sample.operands)
    f = Native(sample.f, frozenset(), {}, context.backend, compiled=False)
    batches = [sample.operands]
    if "vmap" not in sample.skip and sample.mapped:
        batches.append(members(sample, sample.operands)[1])
    ran = 0
    for operands in batches:
        try:
            expected = sample.f(*operands)
            capture(sample.f, *sample.operands)(*operands)
        except (PycogradError, ValueError, np.linalg.LinAlgError):
            continue  # a point outside its domain
        agree(f(*operands), expected, "compiled")
        ran += 1
    if not ran:
        raise NotApplicable("its graph fails on NumPy too")


def _native(sample: Sample, context: Context) -> None:
    """The library's own autodiff gives the gradient of our tape."""
    _of_values(sample)
    p = Program(sample)
    _captured(p.loss_of_all, sample.operands)
    placed(context, sample.operands)
    expected = value_and_grad(p.loss_of_all, argnums=p.wrt)(*sample.operands)
    run = value_and_grad(p.loss_of_all, argnums=p.wrt, backend=context.backend)
    agree(run(*sample.operands), expected, "native gradient")


# -- kinks -----------------------------------------------------------------------------------------
def _kink(sample: Sample, context: Context, number: int, kind: str) -> None:
    """Where there is no derivative the gradient is the convention."""
    p = Program(sample, sample.kinks[number].operands)
    there = placed(context, p.operands)

    def total(*operands: Any) -> Any:
        outs = p.outputs(*operands)
        return sum([np.sum(np.real(y) if dtype_of(y).kind == "c" else y) for y in outs])

    expected = grad(total, argnums=p.wrt)(*p.operands)
    if kind == "tape":
        with on(context.trace):
            actual = grad(total, argnums=p.wrt)(*there)
    else:
        _captured(total, p.operands)
        actual = grad(total, argnums=p.wrt, backend=context.backend)(*p.operands)
    agree(actual, expected, f"the gradient at a kink, {kind}")
