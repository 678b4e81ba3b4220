"""Pipelines mean what they mean to pipescript, and are plain functions to every transform."""

import ast
import functools
import inspect
import threading
from typing import Any

import numpy as np
import pytest

import pycograd as pg
from dsl_code import pipescript_value, run, value
from pycograd.dsl.source import parse


class Adder:
    def __init__(self, by: float) -> None:
        self.by = by

    def add(self, x: Any) -> Any:
        return x + self.by

    def __call__(self, x: Any) -> Any:
        return x * self.by


def names() -> dict[str, Any]:
    return {
        "add": lambda x, y: x + y,
        "table": {"k": [7]},
        "adder": Adder(2),
        "partial": functools.partial,
        "reduce": functools.reduce,
        "seen": [],
        "offset": 5,
        "words": ["pipe", "hole", "fork"],
        "f2": lambda x: (x, x + 1),
    }


EXPRESSIONS = r"""
(1, 2, 3) |> list
(1, 2, 3)|>list|>$.index(2)
[3, 2, 1] |> sorted($).index(1)
[1, 2, 3] |> sorted($, reverse=True) |> $[0]
"{} {}" |> $.format(1, 2)
words |> " ".join |> $.upper()
(5, int) *|> isinstance
isinstance <|* (5, int)
{'a': 1, 'b': 2} **|> dict
5 $> isinstance <| int
5 $>isinstance<| int
(1, 2) *$> (lambda a, b, c: a + b * c) <| 3
isinstance <$ 5 <| int
(lambda a, b, c: a + b * c) <$* (1, 2) <| 3
{'a': 1} **$> dict <|** {'c': 3}
{'a': 1} **|> (dict <$** {'c': 3})
int |> (5 $> isinstance)
None ?> $ + 1
1 |> {0: 42, 1: None}[$] ?> $ + 1 ?> $ + 2
0 |> {0: 42, 1: None}[$] ?> $ + 1 |> $ + 2
None *?> add
($ |> $ + offset |> $ * 2)(3)
($a * $a + $b * $b |> $ - 1)(3, 4)
(($a, $b) *|> $b - $a)(10, 3)
($ - $ |> $ * 2)(9, 4)
(1, 2) *|> ($, $) *|> $ - $
("a: b c" |> $.split(': ') *|> ($key, $rest.split()) *|> ($rest, $key))
($, $) *|> $ - $ <|* (1, 2) |> $ * 10
(($ |> $ + 1) |> $ * 2)(5)
(|> 5 |> $ + 1 |> str)()
(|> add(1, 2))()
(|> 1 if offset else 2)()
sorted($, reverse=True)([1, 3, 2])
sorted([1, 3, 2], reverse=$)(True)
add($, 1) <| 1
add($, $)(1, 2)
add(*$)([1, 2])
str($ + 1)(3)
"k" |> table[$] |> $[0]
0 |> table["k"][$]
adder.add($)(5)
5 |> adder.add |> adder |> partial(add, 1)
[2, 3, 4] |> reduce$(lambda x, y: 10 * x + y)
reduce[$ * $]$([2, 3, 4])(2)
(list .> len)((1, 2))
(f2 *.> add)(3)
((lambda x: {"a": x}) **.> dict)(3)
(len <. list)(range(3))
(add <.* f2)(3)
sum($, start=[]) <. list <| ([1], [2], [3, 4])
[[[1, 2], [3, 4]], [[5, 6]]] |> (sum($, start=[]) *.> zip .> map[list] .> list)
(f[$ + 1] .** 3)(4)
5 |> ($ |> $ * 2) .** 3
2 .** 3
f[$ + $](2, 3)
f[$a * $b + $b * $c](2, 3, 4)
2 |> f[$ |> f[$ + 2]]
[1, 2, 3] |> map[$ + 1]
(1, 2, 3) |> map[add($, offset)]
{1, 2} |> map[$ * 2]
["1", "2"] |> map[int] |> map[$ % 2 == 0]
range(3) |> map[$ * 2] |> list
(1, 2) |> imap[$ + 1] |> list
[[1, 2], [3, 4]] |> map[map[$ + 1]] |> map[sum]
[1, 2, 3] |> map[$ |> $ + 1 |> str] |> "".join
[[1, 2], [3, 4]] |> map[f[$ + $](*$)]
[1, 2, 3, 4] |> filter[$ % 2 == 0]
[1, 2, 3] |> ifilter[$ > 1] |> sum
[1, 2, 3, 4] |> reduce[10 * $ + $]
reduce[$x + $y]([1, 2, 3], 10)
reduce[$ + $ |> 2 * $] <| [1, 2, 3, 4]
[1, 2, 3] |> fork[sum, max, $ |> len]
5 |> fork[$ + 1, $ |> $ * 2] *|> $ - $
5 |> fork[$, $ + 1, $ * 2] *|> ($x, $h, $t) *|> $h * $t + $x
[1, 2, 3] |> parallel[sum, max]
[1, 2, 3] |> do[seen.append] |> sum
5 |> fork{ $ + 1, $ * 2 }
4 |> f{ $ * $ + 1 }
[1, 2] |> map{ $ * $ }
4 |> f{ a = $ + 1; a * a }
zip("*+", [[2, 3], [1, 2]]) |> map[$ *|> reduce({"*": f[$ * $], "+": f[$ + $]}[$op], $row)] |> list
"1-2,5-6".split(",") |> [v.split("-") for v in $] |> [[int(a), int(b)] for a, b in $]
[[3, 1], [2, 5]] |> sorted($, key=f[$[1]])
range(6) |> list |> zip($v[::2], $v[1::2]) |> list
[1, 2, 3] |> sum |>> total |> $ + 1
offset |> $ + (3 |> $ * offset)
[1, 2] |> $ + [offset for offset in (7, 8)]
1 | 2 |> $ + 1
1 |> ($ | 6) |> str
"""


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_means_what_it_means_to_pipescript(expression: str) -> None:
    ours, theirs = value(expression, **names()), pipescript_value(expression, **names())
    assert ours == theirs and type(ours) is type(theirs)


@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_every_name_keeps_its_place(expression: str) -> None:
    source = f"'é|>$'; é = (\n  {expression}); ü = é |> $ + params{{w = é; t = w}}.w\n"
    kept = 0
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.Name) and node.id not in ("__pycograd__", "globals"):
            segment = ast.get_source_segment(source, node) or ""
            assert segment == node.id or segment.startswith("$") or "params{" in segment, node.id
            kept += segment == node.id
    assert kept >= 5


POINT_FREE = {
    "np.tanh ** 2": lambda x: np.tanh(x) ** 2,
    "(np.tanh > 0.0)": lambda x: np.tanh(x) > 0.0,
    "(1.0 <= np.exp)": lambda x: np.exp(x) >= 1.0,
    "np.sin + np.cos": lambda x: np.sin(x) + np.cos(x),
    "2.0 * np.sin ** 2 - np.cos": lambda x: 2.0 * np.sin(x) ** 2 - np.cos(x),
    "-np.exp": lambda x: -np.exp(x),
    "np.tanh @ W": lambda x: np.tanh(x) @ np.eye(3)[:, :2],
    "partial(np.power, 2.0) / 3": lambda x: 2.0**x / 3,
    "adder.add * adder": lambda x: (x + 2) * (x * 2),
    "(np.tanh ** 2 .> np.sum)": lambda x: np.sum(np.tanh(x) ** 2),
}


@pytest.mark.parametrize("stage", POINT_FREE)
def test_point_free_stages_in_inference(stage: str) -> None:
    x = np.array([0.3, -0.7, 1.1])
    stages = {"x": x, "np": np, "W": np.eye(3)[:, :2], **names()}
    expected = POINT_FREE[stage](x)
    np.testing.assert_array_equal(value(f"x |> ({stage})", **stages), expected)
    if not stage.startswith("("):
        np.testing.assert_array_equal(value(f"($ |> {stage})(x)", **stages), expected)


def test_two_functions_are_no_matrix_product() -> None:
    with pytest.raises(TypeError, match=r"write f \.> g"):
        value("x |> np.tanh @ np.tanh", x=np.ones(3), np=np)


NETWORK = """
def head(x):
    return np.sum(x * x, axis=-1)

class Scale:
    def __init__(self, by): self.by = by
    def __call__(self, x): return x * self.by
    def shift(self, x): return x + self.by

scale = Scale(0.5)
triple = functools.partial(np.multiply, 3.0)
net = $ |> $ @ W |> np.tanh ** 2 |> scale |> scale.shift |> triple |> head
loss = $ |> fork[net, np.cos .> $ @ W .> head] *|> $a + $b |> np.sum
"""
RNG = np.random.default_rng(0)
W, X, V = RNG.standard_normal((3, 2)), RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))


def plain_loss(x: Any) -> Any:
    head = lambda y: np.sum(y * y, axis=-1)
    net = head(3.0 * (np.tanh(x @ W) ** 2 * 0.5 + 0.5))
    return np.sum(net + head(np.cos(x) @ W))


def plain_slope(x: np.ndarray, v: np.ndarray, step: float = 1e-6) -> float:
    return float((plain_loss(x + step * v) - plain_loss(x - step * v)) / (2 * step))


@pytest.fixture
def loss() -> Any:
    return run(NETWORK, np=np, functools=functools, W=W)["loss"]


def test_grad_and_jvp(loss: Any) -> None:
    value, (gradient,) = pg.value_and_grad(loss)(X)
    np.testing.assert_allclose(value, plain_loss(X))
    np.testing.assert_allclose(np.sum(gradient * V), plain_slope(X, V), rtol=1e-7)
    np.testing.assert_allclose(pg.jvp(loss, (X,), (V,))[1], plain_slope(X, V), rtol=1e-7)


def test_second_order(loss: Any) -> None:
    found = pg.hvp(loss)(X, V)
    step = 1e-5
    above, below = pg.grad(plain_loss)(X + step * V)[0], pg.grad(plain_loss)(X - step * V)[0]
    np.testing.assert_allclose(found, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)


def test_vmap_of_grad(loss: Any) -> None:
    rows = pg.vmap(pg.grad(loss))(X)[0]
    np.testing.assert_allclose(rows, [pg.grad(plain_loss)(x)[0] for x in X])


def test_capture_and_jit(loss: Any) -> None:
    graph = pg.capture(loss, X)
    np.testing.assert_allclose(graph(V), plain_loss(V))
    compiled = pg.jit(pg.value_and_grad(loss))
    for x in (X, V):
        value, (gradient,) = compiled(x)
        np.testing.assert_allclose(value, plain_loss(x))
        np.testing.assert_allclose(gradient, pg.grad(plain_loss)(x)[0])


def test_eval_shape_and_checkpoint(loss: Any) -> None:
    assert pg.eval_shape(loss, pg.ShapeDtypeStruct((4, 3))).shape == ()
    gradient = pg.grad(pg.checkpoint(loss))(X)[0]
    np.testing.assert_allclose(gradient, pg.grad(plain_loss)(X)[0])


def test_compiles_to_torch_and_exports_to_onnx(loss: Any, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    onnxruntime = pytest.importorskip("onnxruntime")
    x = torch.tensor(X, requires_grad=True)
    pg.compile_to(loss, "torch")(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), pg.grad(plain_loss)(X)[0])
    path = tmp_path / "loss.onnx"
    pg.export_onnx(loss, (X.astype(np.float32),), path)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {session.get_inputs()[0].name: X.astype(np.float32)})
    np.testing.assert_allclose(found, plain_loss(X), rtol=1e-5)


def test_parallel_branches_differentiate() -> None:
    scope = run(
        "g = $ |> np.sin |> $ * 2 |> np.tanh |> np.cos |> np.sum\n"
        "one = $ |> fork[g, g, g, g] |> sum\nother = $ |> parallel[g, g, g, g] |> sum\n",
        np=np,
    )
    for _ in range(20):
        np.testing.assert_allclose(pg.grad(scope["other"])(X)[0], pg.grad(scope["one"])(X)[0])


def test_runs_in_threads(loss: Any) -> None:
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = pg.value_and_grad(loss)(X * (i + 1))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        value, (gradient,) = found[i]
        np.testing.assert_allclose(value, plain_loss(X * (i + 1)))
        np.testing.assert_allclose(gradient, pg.grad(plain_loss)(X * (i + 1))[0])


def test_holes_by_name_are_parameters_by_name() -> None:
    area = value("$width * $height |> $ * offset", offset=2.0)
    assert list(inspect.signature(area).parameters) == ["width", "height"]
    assert area(height=4.0, width=3.0) == 24.0
    assert pg.grad(area, argnums=1)(3.0, 4.0) == 6.0


def test_a_hole_hides_no_variable_of_its_name() -> None:
    assert value("3 |> $v * v + _0", v=10, _0=1) == 31


def test_a_hole_in_a_lambda_is_no_parameter_of_it() -> None:
    assert value("3 |> (lambda v, _0: $v * v + _0)(10, 1)") == 31
    assert value("3 |> (lambda _0: $ * _0)(10)") == 30


def test_what_a_pipeline_reads_is_read_at_each_call_of_a_jitted_function() -> None:
    scope = run(
        "f = pg.jit($ |> $ * scale |> fork[np.sum, $ @ target] *|> $ + $)\n"
        "found = []\n"
        "for scale in (2.0, 3.0):\n"
        "    target = scale * np.arange(3.0)\n"
        "    np.ones(3) |> f |> found.append\n",
        np=np,
        pg=pg,
    )
    np.testing.assert_allclose(scope["found"], [6.0 + 12.0, 9.0 + 27.0])


def test_an_enclosing_function_is_seen() -> None:
    scope = run(
        "def outer(n):\n"
        "    add = $ |> map[$ + n]\n"
        "    n = n + 1\n"
        "    return [1] |> map[$ + n], add\n"
    )
    first, add = scope["outer"](10)
    assert first == [12]
    assert add([1]) == [12]  # n is what it is when the function is called


def test_indices_stay_indices() -> None:
    scope = run(
        "f = [4, 5]\nfirst = f[0] |> $ + 1\nat = 1 |> f[$]\n"
        "map = {'a': 1}\nentry = map['a'] |> str\n"
        "def inside(reduce): return reduce[0] |> $ + 1\n"
        "g = f[$ + 1]\n"
    )
    assert (scope["first"], scope["at"], scope["entry"], scope["inside"]([1])) == (5, 5, "1", 2)
    assert scope["g"](0) == 5
    model = run("with params{f = np.arange(3.0)} as w: x = 1 |> f[$]\nx = x + 0", np=np)
    assert model["x"] == 1.0


def test_macros_that_are_imported_or_shadowed_by_functions() -> None:
    scope = run(
        "from functools import reduce\nfrom os import path as fork\n"
        "def f(x): return x\n"
        "x = [1, 2] |> reduce[$ + $]\ny = 3 |> f[$ + 1] |> fork[$, $ * 2]\nz = f(7)\n"
    )
    assert (scope["x"], scope["y"], scope["z"]) == (3, (4, 8), 7)


UNTOUCHED = [
    "params = {'a': 1}\nx = params['a']",
    "x = 'params{a = 1}' + \"$ |> f\"  # params{ |> $ }\n",
    "a, b = 1, 2\nx = f'{a}|>{b} $ params{{}}' '$v'",
    'x = """\nparams{\n  a = 1 |> $\n"""',
    "x = 1 if 2 <.5 else {1, 2} | {3}",
    "def f(x: dict = {}) -> dict: return {**x}\nx = f()",
    "class A:\n    params = {}\n    def map(self): return {}\nx = A().map()",
    "x = [1., 2.][0]**2",
]


@pytest.mark.parametrize("source", UNTOUCHED)
def test_python_stays_python(source: str) -> None:
    expected: dict[str, Any] = {}
    exec(source, expected)
    assert run(source)["x"] == expected["x"]
    assert run(f"{source}\ny = 1 |> $ + 1")["x"] == expected["x"]  # beside something of the DSL


def test_a_stage_of_several_holes_that_is_given_one_value_says_so() -> None:
    for text in ("5 |> $ + $", "5 |> ($ + $) * 2", "5 |> $ + $a", "[1, 2] |> [$[0], $[1]]"):
        with pytest.raises(TypeError, match=r"this stage has 2 holes, .* write \*\|>"):
            value(text)
    assert value("(5, 6) *|> $ + $") == 11 and value("5 |> $x + $x") == 10
    assert value("7 if True else 5 |> $ + $") == 7  # it was not asked
