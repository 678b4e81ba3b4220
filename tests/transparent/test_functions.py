"""Every kind of function in the mode, found automatically or by `transparent(f)`."""

import copy
import functools
import gc
import importlib
import math
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref

import numpy as np
import pytest

from pycograd import (
    ConversionError,
    PycogradError,
    ShapeError,
    TransparentModeError,
    custom_jvp,
    custom_vjp,
    grad,
    jvp,
    transparent,
    value_and_grad,
    vmap,
)

X = 0.5
COSINE = math.cos(X)


def sine(x):
    return math.sin(x)


class Wave:
    """Methods of every kind, some of which reach math only through others."""

    rate = 2.0

    def __init__(self, scale):
        self.scale = scale

    def step(self, x):
        return math.sin(x) * self.scale

    def twice(self, x):
        return self.step(x) + self.step(x)

    @staticmethod
    def fixed(x):
        return math.sin(x)

    @classmethod
    def of_class(cls, x):
        return math.sin(x) * cls.rate

    def all_of_them(self, x):
        return self.twice(x) + self.fixed(x) + self.of_class(x) + self.slope

    @property
    def slope(self):
        return math.sin(0.0)

    def __call__(self, x):
        return self.step(x)


class Deeper(Wave):
    def step(self, x):
        return super().step(x) * 2.0 + self.__hidden(x)

    def __hidden(self, x):
        return math.sin(x)


def logged(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    return wrapper


@logged
@logged
def decorated(x, *, scale=1.0):
    return math.sin(x) * scale


def keyword_only(x, /, y=2.0, *rest, z=3.0, **others):
    return math.sin(x) * y * z


WAVE, DEEPER = Wave(3.0), Deeper(1.0)
WAVES = {"sine": sine, "wave": WAVE.step, "math": math.sin}

FUNCTIONS = {  # what its derivative is in cosines
    "function": (sine, 1.0),
    "lambda": (lambda x: math.sin(x), 1.0),
    "helper": (lambda x: sine(x) * 2.0, 2.0),
    "method": (WAVE.step, 3.0),
    "method-of-methods": (WAVE.twice, 6.0),
    "methods-of-every-kind": (WAVE.all_of_them, 9.0),
    "static": (Wave.fixed, 1.0),
    "class-method": (Wave.of_class, 2.0),
    "inherited": (DEEPER.twice, 6.0),
    "instance": (WAVE, 3.0),
    "method-of-a-global": (lambda x: WAVE.step(x), 3.0),
    "call-of-a-global": (lambda x: WAVE(x), 3.0),
    "unbound": (lambda x: Wave.step(WAVE, x), 3.0),
    "partial": (functools.partial(keyword_only, y=1.0), 3.0),
    "partial-of-method": (functools.partial(WAVE.step), 3.0),
    "partial-inside": (lambda x: functools.partial(keyword_only, z=1.0)(x), 2.0),
    "decorated": (decorated, 1.0),
    "decorated-helper": (lambda x: decorated(x, scale=4.0), 4.0),
    "defaults": (keyword_only, 6.0),
    "default-function": (lambda x, f=sine: f(x), 1.0),
    "reduce": (lambda x: functools.reduce(lambda a, v: a + math.sin(v), [x, x], 0.0), 2.0),
    "sorted-key": (lambda x: sorted([x, 2 * x], key=math.sin)[0] + math.sin(x) - x, 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_kinds_of_functions(name):
    f, factor = FUNCTIONS[name]
    expected = factor * COSINE
    assert grad(transparent(f))(X)[0] == pytest.approx(expected)
    if name not in ("default-function", "sorted-key"):  # known when called; compares
        assert grad(f)(X)[0] == pytest.approx(expected)
        assert jvp(f, (X,), (1.0,))[1] == pytest.approx(expected)
        assert vmap(grad(f))(np.full(2, X))[0] == pytest.approx([expected] * 2)
        assert grad(lambda x: grad(f)(x)[0])(X)[0] == pytest.approx(-factor * math.sin(X))


CONTAINERS = {
    "dict": lambda x: WAVES["sine"](x) + WAVES["wave"](x) + WAVES["math"](x),
    "argument": lambda x: (lambda g, v: g(v))(WAVES["sine"], x),
    "attribute-of-argument": lambda x, wave=WAVE: wave.twice(x),
    "comprehension": lambda x: sum([f(x) for f in WAVES.values()]),
    "loop": lambda x: sum(f(x) for f in (sine, WAVE)),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_is_known_only_when_it_is_called(name):
    f = CONTAINERS[name]
    expected = (f(X + 1e-6) - f(X - 1e-6)) / 2e-6
    assert grad(transparent(f))(X)[0] == pytest.approx(expected)
    try:
        assert grad(f)(X)[0] == pytest.approx(expected)
    except ConversionError as error:
        assert "transparent(f)" in str(error)


def test_several_lambdas_on_one_line():
    f, g = lambda x: math.sin(x), lambda x: math.sin(x) * 2.0
    h, k = transparent(lambda x: WAVE.step(x)), transparent(lambda x: WAVE.twice(x))
    assert [grad(f)(X)[0] / COSINE for f in (f, g, h, k)] == pytest.approx([1.0, 2.0, 3.0, 6.0])


def test_modules_of_helpers(tmp_path, monkeypatch):
    package = tmp_path / "helpers_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("from . import inner\n")
    (package / "inner.py").write_text(
        "from math import sin\nimport numpy as np\nscale = 1.0\n"
        "def f(x):\n    return sin(x) * scale\n"
        "def g(x):\n    y = np.zeros(2)\n    y[0] = f(x)\n    return np.sum(y)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    helpers = importlib.import_module("helpers_of_a_test")
    inner = helpers.inner
    for f in (inner.f, lambda x: inner.g(x), lambda x: helpers.inner.f(x), inner.g):
        assert grad(f)(X)[0] == pytest.approx(COSINE)
    f = lambda x: helpers.inner.f(x)
    gradient = grad(f)
    inner.scale = 5.0  # a global of the module, read when it is needed
    assert gradient(X)[0] == pytest.approx(5.0 * COSINE)

    def imports(x):
        from helpers_of_a_test.inner import f

        return f(x)

    assert grad(transparent(imports))(X)[0] == pytest.approx(5.0 * COSINE)


# -- what functions close over -------------------------------------------------------------------
def test_variables_rebound_between_calls():
    scale, wave, part = 2.0, math.sin, sine
    both = grad(lambda x: scale * wave(x) + part(x))
    assert both(X)[0] == pytest.approx(3.0 * COSINE)
    scale = 5.0
    assert both(X)[0] == pytest.approx(6.0 * COSINE)
    wave = math.cos
    assert both(X)[0] == pytest.approx(-5.0 * math.sin(X) + COSINE)
    part = lambda x: math.exp(x)
    assert both(X)[0] == pytest.approx(-5.0 * math.sin(X) + math.exp(X))


def test_globals_rebound_between_calls():
    scope = {"math": math, "scale": 2.0}
    exec("def h(x): return math.sin(x)\ndef f(x): return h(x) * scale", scope)
    gradient = grad(scope["f"])
    assert gradient(X)[0] == pytest.approx(2.0 * COSINE)
    scope["scale"] = 3.0
    assert gradient(X)[0] == pytest.approx(3.0 * COSINE)
    exec("def h(x): return math.exp(x)", scope)
    assert gradient(X)[0] == pytest.approx(3.0 * math.exp(X))


def test_built_in_names_are_read_when_they_are_needed(monkeypatch):
    f = transparent(lambda x: math.sin(x) * added_later)  # noqa: F821
    import builtins

    for value in (2.0, 3.0):
        monkeypatch.setattr(builtins, "added_later", value, raising=False)
        assert grad(f)(X)[0] == pytest.approx(value * COSINE)


def test_values_held_by_the_instance_of_a_method():
    class Holder:
        def product(self, y):
            return math.sin(self.x) * y

    def f(x):
        holder = Holder()
        holder.x = x
        return transparent(holder.product)(2.0)

    assert grad(f, transparent=False)(X)[0] == pytest.approx(2.0 * COSINE)


def test_a_function_that_differentiates_itself():
    def f(x, n=2):
        return math.sin(x) if n == 0 else grad(lambda v: f(v, n - 1))(x)[0]

    assert f(X) == pytest.approx(-math.sin(X))
    assert grad(f)(X)[0] == pytest.approx(-COSINE)


def test_nonlocal_variables():
    calls, total = 0, None

    def f(x):
        nonlocal calls, total
        calls += 1
        total = 0.0

        def add(v):
            nonlocal total
            total = total + math.sin(v)

        add(x)
        add(2.0 * x)
        result, total = total, None
        return result

    assert grad(f)(X)[0] == pytest.approx(COSINE + 2.0 * math.cos(2.0 * X))
    assert grad(transparent(f))(X)[0] == pytest.approx(COSINE + 2.0 * math.cos(2.0 * X))
    assert calls == 2


def test_local_functions_that_call_each_other():
    def even(x, n):
        return math.sin(x) if n == 0 else odd(x, n - 1)

    def odd(x, n):
        return even(x, n - 1) * 2.0

    assert grad(lambda x: even(x, 4))(X)[0] == pytest.approx(4.0 * COSINE)


def test_a_function_defined_after_its_transform():
    scope = {"math": math, "grad": grad}
    exec("g = grad(lambda x: later(x))\ndef later(x): return math.sin(x)", scope)
    assert scope["g"](X)[0] == pytest.approx(COSINE)


def test_a_value_closed_over_by_an_inner_function():
    outer = lambda x: grad(lambda y: math.sin(y) * math.exp(x))(x)[0]
    assert grad(outer)(X)[0] == pytest.approx((COSINE - math.sin(X)) * math.exp(X))
    by_hand = lambda x: transparent(lambda: math.sin(x))()
    assert grad(by_hand)(X)[0] == pytest.approx(COSINE)


# -- functions without source --------------------------------------------------------------------
PROGRAM = (
    "from pycograd import grad; import numpy as np, math\n"
    "def f(x):\n"
    "    y = np.zeros(2); y[0] = math.sin(x); y[1] = x\n"
    "    return np.sum(y)\n\n"
    "print(grad(f)(0.5)[0], grad(lambda x: f(x) * math.exp(x))(0.5)[0])\n"
)


@pytest.mark.parametrize("how", [["-c", PROGRAM], ["-i", "-q"]])
def test_python_dash_c_and_the_repl(how):
    text = "" if len(how) > 2 or how[0] == "-c" else PROGRAM + "exit()\n"
    done = subprocess.run(
        [sys.executable, *how], input=text, capture_output=True, text=True, timeout=120
    )
    found = [float(word) for word in done.stdout.split()[-2:]]
    f, slope = math.sin(X) + X, COSINE + 1.0
    assert found == pytest.approx([slope, (slope + f) * math.exp(X)]), done.stderr


def test_exec_and_eval():
    scope = {"np": np, "math": math}
    exec(textwrap.dedent("""
        def f(x):
            return np.sum(np.array([math.sin(x), x]))
        class Thing:
            def step(self, x):
                return math.sin(x)
    """), scope)  # fmt: skip
    assert grad(scope["f"])(X)[0] == pytest.approx(COSINE + 1.0)
    assert grad(eval("lambda x: math.sin(x)", scope))(X)[0] == pytest.approx(COSINE)
    assert grad(scope["Thing"]().step)(X)[0] == pytest.approx(COSINE)


# -- errors --------------------------------------------------------------------------------------
def test_tracebacks_point_at_the_line_of_the_user():
    def wrong(a, b):
        c = np.array([math.sin(v) for v in a])
        return np.sum(WAVE.scale * c @ b)  # the culprit

    for f in (wrong, transparent(wrong)):
        with pytest.raises(ShapeError) as caught:
            grad(f)(np.ones(3), np.ones((5, 6)))
        line = test_tracebacks_point_at_the_line_of_the_user.__code__.co_firstlineno + 3
        assert f"{__file__}:{line}" in str(caught.value)
        lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert any("the culprit" in (text or "") for text in lines)


def test_an_exception_then_a_correct_call():
    fails = [True]

    def f(x):
        y = np.zeros(2)
        y[0] = math.sin(x)
        if fails:
            raise ValueError("mine")
        return y[0]

    gradient = grad(f)
    with pytest.raises(ValueError, match="mine"):
        gradient(X)
    fails.clear()
    assert gradient(X)[0] == pytest.approx(COSINE)


COUNT = 0


def stores_a_global(x):
    global COUNT
    COUNT += 1
    return math.sin(x)


def defines_a_class(x):
    class Local:
        value = 1.0

    return math.sin(x) * Local.value


def asks_for_globals(x):
    return math.sin(x) * len(globals())


def nested_store(x):
    def inner():
        global COUNT
        COUNT = 0

    inner()
    return math.sin(x)


REFUSED = {
    stores_a_global: "assigns a global",
    defines_a_class: "defines a class",
    asks_for_globals: "asks for its globals",
    nested_store: "assigns a global",
}


@pytest.mark.parametrize("f", REFUSED)
def test_what_cannot_be_rebound_says_why(f):
    with pytest.raises(TransparentModeError, match=REFUSED[f]):
        transparent(f)
    with pytest.raises(TransparentModeError, match=REFUSED[f]):
        grad(f, transparent=True)
    for run in (grad(f), grad(lambda x: f(x) + math.sin(x))):
        with pytest.raises(ConversionError, match=REFUSED[f]) as caught:
            run(X)
        assert f.__name__ in str(caught.value) and "np.exp" in str(caught.value)


def test_what_stores_globals_runs_as_it_is():
    before = COUNT

    def f(x):
        stores_a_global(0.5)
        return np.sin(x)

    assert grad(f)(X)[0] == pytest.approx(COSINE)
    assert COUNT == before + 1


def test_what_is_no_python_function():
    for f in (np.sin, math.sin, len, Wave):
        with pytest.raises(TransparentModeError, match="no Python function"):
            transparent(f)
    assert grad(np.sin)(X)[0] == pytest.approx(COSINE)


@pytest.mark.parametrize("run", [
    lambda f: grad(f, transparent=False)(X),
    lambda f: value_and_grad(f, transparent=False)(X),
    lambda f: jvp(f, (X,), (1.0,), transparent=False),
    lambda f: vmap(f, transparent=False)(np.ones(2)),
])  # fmt: skip
def test_it_can_be_declined(run):
    with pytest.raises(ConversionError, match=r"transparent\(f\)"):
        run(sine)


# -- what it leaves behind -----------------------------------------------------------------------
def test_names_docstrings_and_pickles():
    wrapped = transparent(decorated)
    assert (wrapped.__name__, wrapped.__wrapped__) == ("decorated", decorated)
    for make in (grad, functools.partial(grad, transparent=True)):
        g = pickle.loads(pickle.dumps(make(sine)))
        assert g(X)[0] == pytest.approx(COSINE)
    again = pickle.loads(pickle.dumps(transparent(sine)))
    assert grad(again)(X)[0] == pytest.approx(COSINE)
    assert copy.copy(transparent(sine))(X) == math.sin(X)


def test_as_a_decorator_of_functions_and_methods():
    @transparent
    def f(x):
        return WAVES["sine"](x)

    class Model:
        @transparent
        def loss(self, x):
            return WAVES["sine"](x) * 2.0

    assert (f(X), Model().loss(X)) == (math.sin(X), 2.0 * math.sin(X))
    assert grad(f)(X)[0] == pytest.approx(COSINE)
    assert grad(Model().loss)(X)[0] == pytest.approx(2.0 * COSINE)
    assert transparent(f) is f


def test_custom_rules_in_the_mode():
    @custom_vjp
    def doubled(x):
        return math.sin(x)

    doubled.defvjp(lambda x: (math.sin(x), x), lambda x, ct: (ct * math.cos(x) * 2.0,))
    assert grad(doubled)(X)[0] == pytest.approx(2.0 * COSINE)
    assert vmap(grad(doubled))(np.full(2, X))[0] == pytest.approx([2.0 * COSINE] * 2)

    tripled = custom_jvp(lambda x: math.sin(x))
    tripled.defjvp(lambda xs, ts: (tripled(*xs), 3.0 * math.cos(*xs) * ts[0]))
    assert grad(lambda x: tripled(x) * 1.0)(X)[0] == pytest.approx(3.0 * COSINE)


def test_sixteen_threads_at_once():
    def f(x):
        y = np.zeros(3)
        for i in range(3):
            y[i] = math.sin(x) * WAVE.step(x) ** i
        return grad(lambda v: np.sum(y) * math.exp(v))(x)[0]

    expected = grad(transparent(f))(X)[0]
    h = 1e-6
    assert expected == pytest.approx((f(X + h) - f(X - h)) / (2 * h), rel=1e-6)
    found, barrier = [], threading.Barrier(16)

    def work():
        barrier.wait()
        for _ in range(5):
            found.append(grad(transparent(f))(X)[0])
            found.append(grad(lambda x: f(x) + 0.0 * math.sin(x), transparent=True)(X)[0])

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    np.testing.assert_allclose(found, expected)


def test_fresh_closures_leak_nothing():
    alive = []

    def make(k):
        data = np.full(1000, float(k))
        alive.append(weakref.ref(data))
        wave = lambda x: math.sin(x) * data[0]
        return lambda x: wave(x) + np.sum(np.array([x, data[1]]))

    for k in range(1000):
        grad(make(k))(X)
    gc.collect()
    assert sum(ref() is not None for ref in alive) < 10


def test_ten_gradients_without_the_cyclic_collector_retain_nothing():
    def f(x):
        y = np.zeros(3)
        y[0] = math.sin(x[0])
        y[1:] = x[1:]
        return np.sum(y * y)

    x = np.ones(3)
    grad(f)(x)
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(10):
            grad(f)(x)
        assert len(gc.get_objects()) - before < 10
    finally:
        gc.enable()


def test_an_inner_error_names_what_to_write_where_no_source_is_known():
    scope = {"math": math}
    exec("table = {'sine': lambda x: math.sin(x)}\ndef f(x): return table['sine'](x)", scope)
    with pytest.raises(PycogradError, match="np"):
        grad(transparent(scope["f"]))(X)
