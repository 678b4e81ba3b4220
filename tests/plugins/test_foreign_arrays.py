"""Arrays and functions of other libraries where NumPy's are meant, and the other way round."""

import importlib

import numpy as np
import pytest

import pycograd
from pycograd import (
    capture,
    compile_to,
    device,
    eval_shape,
    grad,
    hessian,
    jit,
    jvp,
    on_device,
    params,
    value_and_grad,
    vjp,
    vmap,
)
from pycograd.core.errors import ConversionError, UnsupportedOperationError
from pycograd.core.foreign import library_at, library_of
from pycograd.testing.conformance.loopback import LoopbackBackend

X = np.linspace(0.5, 1.5, 3)


def loss(x):
    return np.sum(np.sin(x) * x)


# -- a library that is not here --------------------------------------------------------------------
class Kind:
    """Stands for torch.dtype, of which NumPy knows nothing."""


def tensor(library):
    """An array as the library has them, as far as can be told from outside."""
    names = {"__module__": f"{library}.arrays", "device": "x:0", "dtype": Kind(), "shape": (3,)}
    return type("Tensor", (), names)()


TAKES_NUMPYS = {
    "grad": lambda a: grad(loss)(a),
    "grad of several": lambda a: grad(lambda p: loss(p["w"]))({"w": a}),
    "value_and_grad": lambda a: value_and_grad(loss, argnums=0)(a),
    "vjp": lambda a: vjp(loss, a),
    "cotangent": lambda a: vjp(np.sin, X)[1](a),
    "jvp": lambda a: jvp(loss, (a,), (a,)),
    "tangent": lambda a: jvp(loss, (X,), (a,)),
    "vmap": lambda a: vmap(loss)(a),
    "hessian": lambda a: hessian(loss)(a),
    "jit": lambda a: jit(loss)(a),
    "jit of others too": lambda a: jit(lambda x, y: loss(x))(X, a),
    "capture": lambda a: capture(loss, a),
    "eval_shape": lambda a: eval_shape(loss, a),
    "jit for a backend": lambda a: jit(loss, backend=LoopbackBackend())(a),
}


@pytest.mark.parametrize("library", ["torch", "jaxlib", "tensorflow", "cupy"])
@pytest.mark.parametrize("use", TAKES_NUMPYS.values(), ids=TAKES_NUMPYS)
def test_an_array_of_another_library_is_refused_and_the_way_out_named(use, library):
    with pytest.raises(UnsupportedOperationError) as caught:
        use(tensor(library))
    said = str(caught.value)
    name = library.removesuffix("lib")
    assert f"with an array of {name} (Tensor) in the place of NumPy's. Give " in said
    assert __file__ in said
    if name == "cupy":
        assert "cupy.asnumpy(a)" in said and "compile_to" not in said
    else:
        backend = {"tensorflow": "tf"}.get(name, name)
        assert f"np.asarray(a), or call compile_to(f, {backend!r}), which takes them" in said


def test_what_is_no_array_of_a_library():
    for x in (X, np.float64(1.0), 1.0, [X], "x", None, tensor("mine"), Kind(), tensor("numpy")):
        assert library_of(x) == ""
    assert library_of(tensor("torch.nn")) == "torch"
    assert library_at("/venv/lib/python3.11/site-packages/jaxlib/a.py") == "jax"
    assert library_at("/home/me/torch/train.py") == ""


def test_the_line_of_an_error_is_not_in_a_library():
    integrate = pytest.importorskip("scipy.integrate")
    with pytest.raises(pycograd.core.errors.ClosedOverError) as caught:
        grad(lambda x: np.sum(integrate.odeint(lambda y, t: -x[0] * y, X, np.arange(3.0))))(X)
    assert __file__ in str(caught.value) and "odepack" not in str(caught.value)


# -- libraries that are here -----------------------------------------------------------------------
def sine(library, x):
    module = importlib.import_module({"jax": "jax.numpy"}.get(library, library))
    return module.sin(x)


def array(library, x):
    module = importlib.import_module({"jax": "jax.numpy"}.get(library, library))
    make = {"torch": "tensor", "jax": "asarray", "tensorflow": "constant"}[library]
    return getattr(module, make)(x)


BACKENDS = {"torch": "torch", "jax": "jax", "tensorflow": "tf"}
TRANSFORMS = {
    "grad": lambda f: grad(lambda x: np.sum(f(x)))(X),
    "vjp": lambda f: vjp(f, X),
    "jvp": lambda f: jvp(f, (X,), (X,)),
    "vmap": lambda f: vmap(f)(X),
    "jit": lambda f: jit(f)(X),
}


@pytest.mark.parametrize("library", BACKENDS)
@pytest.mark.parametrize("run", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_function_of_another_library_inside_a_transform(run, library):
    pytest.importorskip(library)
    with pytest.raises((UnsupportedOperationError, ConversionError)) as caught:
        run(lambda x: sine(library, x))
    said = str(caught.value)
    assert f"of which compile_to(f, {BACKENDS[library]!r}) makes code of {library}" in said
    assert "Write NumPy's functions" in said and __file__ in said
    assert ",," not in said and "  " not in said


def test_arrays_that_jax_traces():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(X)
    for f in (grad(loss), vmap(np.sin), hessian(loss), value_and_grad(loss)):
        with pytest.raises(UnsupportedOperationError, match=r"compile_to\(grad\(f\), 'jax'\)") as e:
            jax.jit(f)(x)
        assert __file__ in str(e.value)
    with pytest.raises(UnsupportedOperationError, match=r"compile_to\(f, 'jax'\)"):
        jax.jit(jit(loss))(x)
    inside = compile_to(lambda x: grad(loss)(x)[0], "jax")
    np.testing.assert_allclose(jax.jit(inside)(x), grad(loss)(X)[0], rtol=1e-6)


def test_a_tensor_that_requires_a_gradient_is_no_constant():
    torch = pytest.importorskip("torch")
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    for f in (
        lambda x: np.sum(x * w),
        lambda x: np.sum(w * x),
        lambda x: np.dot(x, w),
        lambda x: np.sum(np.sin(w) * x),
    ):
        for run in (lambda f=f: compile_to(f, "torch")(w.detach()), lambda f=f: grad(f)(X)):
            with pytest.raises(UnsupportedOperationError, match="Make it an argument") as caught:
                run()
            assert __file__ in str(caught.value)
    with pytest.raises(RuntimeError, match="my own requires grad"):
        grad(raises_its_own)(X)


def raises_its_own(x):
    raise RuntimeError("my own requires grad")


def test_torchs_operators_leave_it_to_ours():
    torch = pytest.importorskip("torch")
    t = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    for f in (lambda x: t * x, lambda x: x * t, lambda x: t - x, lambda x: t @ x * x):
        (slope,) = grad(lambda x, f=f: np.sum(f(x)))(X)
        (wanted,) = grad(lambda x, f=f: np.sum(f(x)), backend="torch", argnums=[0])(X)
        np.testing.assert_allclose(slope, wanted)


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # of torch's
def test_weights_among_torchs_arguments():
    torch = pytest.importorskip("torch")
    pytest.importorskip("pycograd_torch")
    m = params(w=np.array([2.0, 3.0]), there=on_device("torch", np.array([2.0, 3.0])))
    t = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert float(t @ m.w) == float(t @ m.there) == 8.0
    for x, said in (
        (m.w, "the weight 'w', of which torch knows nothing"),
        (m.there, "an array on torch:cpu, float64[2], a DeviceArray. Write NumPy's function, or"),
    ):
        for call in (lambda x: torch.sin(input=x), lambda x: torch.cat([t, x])):
            with pytest.raises(UnsupportedOperationError) as caught:
                call(x)
            assert f"was called on {said}" in str(caught.value)


def test_what_a_library_raises_of_itself_stays():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="must be Tensor, not str") as caught:
        grad(lambda x: np.sum(x) * torch.sin("x"))(X)
    assert not isinstance(caught.value, UnsupportedOperationError)


@pytest.mark.parametrize("library", BACKENDS)
def test_arrays_of_a_third_library_in_compiled_code(library):
    pytest.importorskip(library)
    others = [other for other in BACKENDS if other != library]
    f = compile_to(loss, BACKENDS[library])
    for other in others:
        pytest.importorskip(other)
        for args in ((array(other, X),), (array(library, X), array(other, X))):
            run = f if len(args) == 1 else compile_to(lambda x, y: x * y, BACKENDS[library])
            with pytest.raises(TypeError, match=f"called with one of {other} .*np.asarray"):
                run(*args)
    with pytest.raises(
        TypeError, match=rf"called with NumPy's. Use jit\(f, backend='{f.backend.name}"
    ):
        f(X)


# -- arrays on a device ----------------------------------------------------------------------------
@pytest.fixture
def there():
    """An array on a device."""
    with device(LoopbackBackend()):
        (found,) = grad(loss)(X)
    return found


def test_compiled_code_says_what_it_was_called_with(there):
    own, other = there._trace.backend, LoopbackBackend()
    with pytest.raises(TypeError, match=r"called with an array on loopback:cpu.*x\.native is"):
        compile_to(loss, own)(there)
    assert compile_to(loss, own)(there.native) is not None
    for args in ((there,), (other.from_numpy(X), there)):
        with pytest.raises(TypeError, match=r"jit\(f, backend='loopback'\) takes np\.asarray"):
            compile_to(lambda *xs: loss(xs[-1]), other)(*args)
    for transform in (grad, jit, vmap):
        with pytest.raises(UnsupportedOperationError, match=r"compile_to\(grad\(f\), 'loopback'\)"):
            transform(compile_to(loss, own))(X)
    with pytest.raises(UnsupportedOperationError, match=r"float64\[\] in each, which loopback"):
        vmap(compile_to(loss, own))(X)


def test_compiled_code_of_another_backend_says_where_an_array_is(there):
    f = jit(loss, backend=LoopbackBackend())
    with pytest.raises(
        UnsupportedOperationError,
        match=r"with an array on loopback:cpu, float64\[3\]: give np\.asarray",
    ):
        f(there)
    own = jit(loss, backend=there._trace.backend)
    np.testing.assert_allclose(np.asarray(own(there)), loss(np.asarray(there)))
    with pytest.raises(UnsupportedOperationError, match="that an enclosing transform follows"):
        grad(lambda x: own(x) + np.sum(x))(X)


@pytest.mark.parametrize("name", ["flags", "strides", "data", "base", "tobytes", "__dlpack__"])
def test_the_memory_of_an_array_on_a_device(there, name):
    assert not hasattr(there, name)
    with pytest.raises(AttributeError) as caught:
        getattr(there, name)
    assert str(caught.value) == (
        f"{name!r} has no meaning for an array on loopback:cpu, float64[3]; write"
        f" np.asarray(x).{name} if the plain array is meant"
    )
    said = pytest.raises(AttributeError, match=rf"write stop_gradient\(x\)\.{name} if")
    with device(there._trace.backend), said:
        grad(lambda x: np.sum(x) * bool(getattr(x, name)))(X)


def test_numbers_of_an_array_on_a_device(there):
    home = np.asarray(there)
    assert type(there.tolist()) is list and there.tolist() == home.tolist()
    assert type(there[0].tolist()) is float
    assert type(there.item(1)) is float and there.item(1) == home[1] == there[1].item()
    with pytest.raises(ValueError, match="can only convert an array of size 1"):
        there.item()
    (slope,) = grad(lambda x: x[0] * there[0].item())(X)
    np.testing.assert_array_equal(slope, [home[0], 0.0, 0.0])


def test_a_function_of_plain_arrays_says_how_to_bring_one_home(there, tmp_path):
    with pytest.raises(UnsupportedOperationError) as caught:
        np.save(tmp_path / "x", there)
    assert str(caught.value).startswith(
        "np.save of an array on loopback:cpu, float64[3]: it runs on NumPy's arrays alone. Write"
        " np.asarray(x)"
    )
    with pytest.raises(UnsupportedOperationError, match=r"write stop_gradient\(x\)"):
        grad(lambda x: np.sum(x) + (np.save(tmp_path / "x", x) or 0.0))(X)


def test_the_librarys_own_methods_are_those_of_the_native_array():
    pytest.importorskip("torch")
    import torch

    with device("torch"):
        (found,) = grad(loss)(X)
    with pytest.raises(AttributeError, match=r"no attribute 'numel'; write x\.native\.numel for"):
        found.numel()
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        found.nothing
    with pytest.raises(UnsupportedOperationError, match=r"torch's sin was called on an array on"):
        torch.sin(found)
    np.testing.assert_array_equal(torch.sin(found.native).numpy(), np.asarray(np.sin(found)))
