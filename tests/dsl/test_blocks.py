"""`params{...}`: what it binds, what its lines see, and what is said about mistakes in them."""

import threading
from typing import Any

import numpy as np
import pytest

import pycograd as pg
from dsl_code import run
from pycograd.dsl.source import parse


def test_separators_comments_and_lines() -> None:
    scope = run(
        "model = params{\n"
        "    # the first layer; not a separator {\n"
        "    U = np.ones((2, 3)); u = np.zeros(\n"
        "        3\n"
        "    )  # u;\n"
        "\n"
        "    V = frozen[U.T]; scale = buffer[2.0];\n"
        "    name = 'a; b\\n{'\n"
        "}\n",
        np=np,
    )
    model = scope["model"]
    assert list(model) == ["U", "u", "V", "scale", "name"]
    assert model.U.shape == (2, 3) and model.u.shape == (3,) and model.V.shape == (3, 2)
    assert model.name == "a; b\n{"
    assert not {"U", "u", "V", "scale"} & scope.keys()


def test_temporaries_nesting_and_what_was_bound_before() -> None:
    model = run(
        "model = params{\n"
        "    _n = 3; w = np.full(_n, 2.0)\n"
        "    twin = tied[w]\n"
        "    enc = {w = w[:2] * _n; inner = {b = np.zeros(_n)}}\n"
        "    table = {'k': np.ones(1)}; layers = [{'w': np.ones(2)} for _ in range(2)]\n"
        "    (a, *rest), _unused = (1.0, 2.0, 3.0), 0\n"
        "    left = right = np.ones(1)\n"
        "}",
        np=np,
    )["model"]
    assert list(model) == ["w", "twin", "enc", "table", "layers", "a", "rest", "left", "right"]
    assert model.twin is model.w
    np.testing.assert_array_equal(model.enc.w, [6.0, 6.0])
    assert model.enc.inner.b.shape == (3,) and len(model.layers) == 2
    assert [float(r) for r in model.rest] == [2.0, 3.0]


def test_blocks_in_lists_and_calls() -> None:
    model = run(
        "model = params{\n"
        "    _n = 2\n"
        "    layers = [{w = i * np.ones(_n); inner = {b = frozen[w]}} for i in range(3)]\n"
        "    ends = ({v = 1.0}, dict(k={v = 2.0; u = v + 1}), {'w': 3.0}, {})\n"
        "}",
        np=np,
    )["model"]
    assert [float(layer.w[1]) for layer in model.layers] == [0.0, 1.0, 2.0]
    assert [float(layer.inner.b[0]) for layer in model.layers] == [0.0, 1.0, 2.0]
    assert [float(x) for x in (model.ends[0].v, model.ends[1].k.u, model.ends[2].w)] == [1, 3, 3]
    assert list(model) == ["layers", "ends"]


def test_every_kind_of_parameter() -> None:
    model = run(
        "model = params{\n"
        "    w = np.ones(2); b = frozen[w * 2]; m = buffer[0]\n"
        "    t = tied[w]; a = tied('key', 1.0); c = tied('key')\n"
        "    cpu = on_cpu[np.ones(3)]; dev = on_device('numpy')[np.ones(1)]\n"
        "}",
        np=np,
    )["model"]
    value, grads = model.grad(
        lambda: np.sum(model.w * model.b * model.t) + model.a * model.c + np.sum(model.cpu)
    )
    assert value == 8.0 and grads.b is None and grads.m is None
    np.testing.assert_array_equal(grads.w, [4.0, 4.0])
    assert float(grads.a) == 2.0 and model.c is model.a and model.t is model.w
    assert grads.cpu.shape == (3,) and grads.dev.shape == (1,)


def test_sees_globals_and_the_locals_of_functions() -> None:
    scope = run(
        "size = 2\n"
        "def make(n, w=1.0):\n"
        "    k = n + 1\n"
        "    return [params{a = np.zeros((size, n, k)); w = w * i} for i in range(2)]\n"
        "models = make(3, 5.0)\n",
        np=np,
    )
    assert [m.a.shape for m in scope["models"]] == [(2, 3, 4)] * 2
    assert [float(m.w) for m in scope["models"]] == [0.0, 5.0]


def test_holes_and_pipelines_in_a_block() -> None:
    scope = run(
        "make = $ |> params{w = 2 * np.ones($n); u = 1.0 |> $ * 3; act = $ |> np.tanh}\n"
        "model = make(3)",
        np=np,
    )
    np.testing.assert_array_equal(scope["model"].w, 2 * np.ones(3))
    assert scope["model"].act(0.0) == 0.0


def test_qualified_and_beside_other_contexts() -> None:
    scope = run(
        "with pg.dtype('float32'), pg.params{w = 1.0; v = np.ones(2)} as model:\n"
        "    product = w * v\n",
        pg=pg,
        np=np,
    )
    assert scope["model"].w.dtype == np.float32 and scope["model"].v.dtype == np.float64
    np.testing.assert_array_equal(scope["product"], [1.0, 1.0])
    assert "w" not in scope and "v" not in scope


def test_a_variable_named_params_is_the_users() -> None:
    scope = run("params = {'lr': 0.1}\nmodel = params{w = params['lr']}")
    assert float(scope["model"].w) == 0.1 and scope["params"] == {"lr": 0.1}


def test_trains_as_the_plain_functions_do() -> None:
    source = (
        "with params{W = np.eye(2); b = frozen[np.ones(2)]; enc = {g = 0.5}} as weights:\n"
        "    net = $ |> $ @ W + b |> np.tanh |> $ * enc.g\n"
        "    loss = |> data |> net |> np.sum($ ** 2)\n"
        "    value, grads = weights.grad(loss)\n"
        "    jitted = weights.grad(loss, jit=True)\n"
    )
    data = np.arange(6.0).reshape(3, 2) / 5
    scope = run(source, np=np, data=data)

    def plain(W: Any, g: Any) -> Any:
        return np.sum((np.tanh(data @ W + np.ones(2)) * g) ** 2)

    value, (dW, dg) = pg.value_and_grad(plain)(np.eye(2), 0.5)
    for found, grads in ((scope["value"], scope["grads"]), scope["jitted"]):
        np.testing.assert_allclose(found, value)
        np.testing.assert_allclose(grads.W, dW)
        np.testing.assert_allclose(grads.enc.g, dg)
        assert grads.b is None


def test_a_highway_layer_in_a_function() -> None:
    scope = run(
        "def step(X, Y, W, n):\n"
        "    with params{T = 0.5 * W; H = W; bias = np.zeros(n)} as weights:\n"
        "        gate = $ |> $ @ T + bias |> pg.sigmoid\n"
        "        layer = $ |> fork[$, $ |> $ @ H |> np.tanh, gate] *|> ($x, $h, $t)"
        " *|> $h * $t + $x * (1 - $t)\n"
        "        return weights.grad(|> layer(X) |> f{ ($ - Y) * ($ - Y) } |> np.mean)\n",
        np=np,
        pg=pg,
    )
    X, Y, W = np.random.default_rng(0).standard_normal((3, 4, 4))

    def plain(T: Any, H: Any, bias: Any) -> Any:
        t = 1 / (1 + np.exp(-(X @ T + bias)))
        return np.mean((np.tanh(X @ H) * t + X * (1 - t) - Y) ** 2)

    found, grads = scope["step"](X, Y, W, 4)
    value, expected = pg.value_and_grad(plain, (0, 1, 2))(0.5 * W, W, np.zeros(4))
    np.testing.assert_allclose(found, value)
    for name, slope in zip(("T", "H", "bias"), expected):
        np.testing.assert_allclose(grads[name], slope, rtol=1e-10, atol=1e-15)
    assert not {"T", "H", "bias"} & scope.keys()


def test_reads_weights_in_threads() -> None:
    source = (
        "with params{w = 2.0} as weights:\n"
        "    f = $ |> $ * w\n"
        "    found = []\n"
        "    work = |> f(3.0) |> found.append\n"
        "    threads = [Thread(target=work) for _ in range(4)]\n"
        "    threads |> map[$.start()]\n"
        "    threads |> map[$.join()]\n"
    )
    assert run(source, Thread=threading.Thread)["found"] == [6.0] * 4


# -- mistakes --------------------------------------------------------------------------------------
MISTAKES: dict[str, tuple[str, int, str]] = {
    # source: what the error says, its line, what is marked there
    "x = 1\nwith params{\n  a = 3 +\n} as w:\n  pass": ("invalid syntax", 3, ""),
    "x = 1\nwith params{\n  a = 3; b = (4\n} as w:\n  pass": (
        r"'\}' does not match '\(' of line 3",
        4,
        "}",
    ),
    "\nwith params{\n  a = 1\nx = [2]": (r"'\{' of params\{...\} was never closed", 2, "params{"),
    "params{ é = 1; for i in x: 3 }": ("not 'for'", 1, "for"),
    "params{ a = 1; a += 3 }": (r"not '\+='", 1, "+="),
    "params{ a: float = 3 }": ("not ':'", 1, ":"),
    "params{ a = 1; b = }": ("one of them is missing", 1, "="),
    "params{ a = { b =\n} }": ("one of them is missing", 1, "="),
    "params{ = 3 }": ("one of them is missing", 1, "="),
    "params{\n  a = = 3 }": ("one of them is missing", 2, "="),
    "params{\n  a[0] = 3 }": ("gives values to names", 2, "a[0]"),
    "params{ a = 1)": (r"'\)' closes nothing", 1, ")"),
    "y = 1\nz = $ + y": (r"the hole \$ belongs to no function", 2, "$"),
    "é = 'é'; z = y + $name": (r"the hole \$name belongs", 1, "$name"),
    "x |> when[$ > 0]": ("pipescript's own", 1, "when[$ > 0]"),
    "y = a?.b |> f": ("pipescript's own", 1, "?"),
    "m = macro[$$ + 1]": ("pipescript's own", 1, "$$"),
    "x |> f |>> 3": (r"\|>> assigns to a name", 1, "3"),
    "y = (x |> f |>)": ("invalid syntax", 1, ")"),
    "y = x |> f\nz = (1 +": (r"'\(' was never closed", 2, "("),
    "x |> g($ $)": ("forgot a comma", 1, "$ $"),
    "y = x.$name |> f": (r"\$name is no name for something", 1, "x.$name"),
    "y = x\ny |> f\n|> g": (r"begins with \|> goes on .* only in parentheses", 3, "|>"),
    "y = x |> f\n    |> g": (r"begins with \|> goes on .* only in parentheses", 2, "|>"),
    "def h(x):\n  return x\n  # on\n\n  |> g": (r"only in parentheses", 5, "|>"),
    "f{ a = $ }": ("ends in an expression", 1, "{ a = $ }"),
}


@pytest.mark.parametrize("source", MISTAKES)
def test_mistakes_are_shown_where_they_are(source: str) -> None:
    message, line, marked = MISTAKES[source]
    with pytest.raises(SyntaxError, match=message) as caught:
        parse(source, "cell 7")
    error = caught.value
    assert error.filename == "cell 7"
    assert error.__context__ is None or error.__suppress_context__
    assert error.lineno == line
    assert error.text is not None and error.offset is not None and error.end_offset is not None
    assert error.text.rstrip("\n") == source.split("\n")[line - 1]
    found = error.text[error.offset - 1 : max(error.end_offset, error.offset + 1) - 1]
    assert found.strip() == marked


@pytest.mark.parametrize(
    "source, error, line",
    [
        ("x = 1\nwith params{\n  a = 1.0\n  b = frozn[a]\n} as w:\n  pass", NameError, 4),
        ("with params{\n  a = 1.0\n  b = later\n  later = 1.0\n} as w:\n  pass", NameError, 1),
        ("with params{\n  a = 1.0\n  step = 2.0\n} as w:\n  pass", pg.ParameterError, 1),
        ("a = 3\nwith params{\n  a = 1.0\n} as w:\n  pass", pg.ParameterError, 2),
        ("x = (1\n  |> $ + 1\n  |> $ / 0\n  |> str)", ZeroDivisionError, 3),
        ("f = $ |> $ + 1\n\ny = 'a' |> f", TypeError, 1),
    ],
)
def test_errors_name_the_line(source: str, error: type[Exception], line: int) -> None:
    with pytest.raises(error) as caught:
        run(source)
    lines = [
        entry.lineno + 1 for entry in caught.traceback if str(entry.path).endswith("dsl_test.py")
    ]
    assert lines[-1] == line
