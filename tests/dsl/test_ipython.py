"""`%load_ext pycograd` in a real IPython shell, and in a real Jupyter kernel."""

import builtins
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("IPython")

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import pycograd

BLOBS = """
import numpy as np
from pycograd import Adam, accuracy, cosine_decay, cross_entropy, relu, softmax, train
rng = np.random.default_rng(0)
centres = np.array([[2.0, 0.0], [-1.0, 1.8], [-1.0, -1.8]])
labels = np.repeat(np.arange(3), 40)
points = centres[labels] + 0.6 * rng.standard_normal((120, 2))
data = np.concatenate([points, points**2], axis=1)
onehot = np.eye(3)[labels]
"""
CLASSIFIER = """
with params{
    U = 0.1 * rng.standard_normal((4, 32)); u = np.zeros(32)
    V = frozen[0.1 * rng.standard_normal((32, 3))]
} as weights:
    scores = $ |> $ @ U + u |> relu |> $ @ V
    predict = $ |> scores |> softmax
    objective = |> data |> scores |> cross_entropy($, onehot)
    value, grads = weights.grad(objective)
    weights.step(grads, 0.5)
    train(weights, objective, 200, Adam(lr=cosine_decay(0.05, 200)))
"""


@pytest.fixture(scope="module")
def one_shell() -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    hooks, main = (sys.displayhook, sys.excepthook), sys.modules["__main__"]
    names = {*vars(builtins)}
    shell = InteractiveShell.instance(config=config)
    yield shell
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()
    (sys.displayhook, sys.excepthook), sys.modules["__main__"] = hooks, main
    for name in vars(builtins).keys() - names:
        del vars(builtins)[name]


@pytest.fixture
def shell(one_shell: InteractiveShell) -> Iterator[InteractiveShell]:
    forget(one_shell)
    one_shell.run_line_magic("load_ext", "pycograd")
    yield one_shell
    one_shell.run_line_magic("unload_ext", "pycograd")


def forget(shell: InteractiveShell) -> None:
    """Deletes the names of earlier tests."""
    for name in [name for name in shell.user_ns if name not in shell.user_ns_hidden]:
        if not name.startswith("_"):
            del shell.user_ns[name]


def run(shell: InteractiveShell, cell: str) -> Any:
    result = shell.run_cell(textwrap.dedent(cell))
    result.raise_error()
    return result.result


def failure(shell: InteractiveShell, cell: str, capsys: Any) -> tuple[BaseException, str]:
    result = shell.run_cell(textwrap.dedent(cell))
    error = result.error_in_exec or result.error_before_exec
    assert error is not None
    out, err = capsys.readouterr()
    return error, out + err


def state(shell: InteractiveShell) -> tuple[Any, ...]:
    """All that an extension can leave behind."""
    manager = shell.input_transformer_manager
    return (
        {name: id(value) for name, value in shell.user_ns.items() if name[0] != "_"},
        {*vars(shell.compile)},
        {*vars(manager)},
        {name for name, value in vars(shell).items() if callable(value) or "pyco" in name},
        [*shell.input_transformers_post, *shell.ast_transformers],
        [*manager.cleanup_transforms, *manager.line_transforms, *manager.token_transformers],
        [*shell.Completer.custom_matchers],
        type(shell).showtraceback,
        {kind: [*found] for kind, found in shell.events.callbacks.items()},
        [*sys.meta_path],
    )


def test_the_classifier(shell: InteractiveShell) -> None:
    run(shell, BLOBS)
    run(shell, CLASSIFIER)
    assert not {"U", "u", "V"} & shell.user_ns.keys()
    assert run(shell, "with weights: share = data |> scores |> accuracy($, labels)\nshare") >= 0.97
    total = run(shell, "with weights: total = data |> predict |> $.sum(axis=1)\ntotal")
    np.testing.assert_allclose(total, 1.0)
    assert shell.user_ns["grads"].V is None


def test_across_cells_and_after_a_new_definition(shell: InteractiveShell) -> None:
    run(shell, "double = $ |> $ * 2")
    run(shell, "both = $ |> double |> double")
    assert run(shell, "3 |> both") == 12
    run(shell, "double = $ |> $ * 10")
    assert run(shell, "3 |> both") == 300


def test_names_that_are_the_users_are_no_macros(shell: InteractiveShell) -> None:
    run(shell, "import numpy as np\nfrom functools import reduce\nf = np.arange(3.0); map = [7]")
    assert run(shell, "f[1] |> $ + 1") == 2.0
    assert run(shell, "map[0] |> fork[f[$ - 6], $]") == (1.0, 7)
    assert run(shell, "[1, 2] |> reduce[$ + $]") == 3
    run(shell, "del map\ndef f(x): return x")
    assert run(shell, "[3] |> map[f[$ + 1]]") == [4]


def test_names_come_back_after_a_reset(shell: InteractiveShell) -> None:
    shell.reset(new_session=False)
    assert "frozen" not in shell.user_ns
    shell.run_line_magic("reload_ext", "pycograd")
    assert run(shell, "params{a = frozen[1.0]}.num_params()") == 1


def test_magics_see_the_language(shell: InteractiveShell, capsys: Any) -> None:
    run(shell, "%time y = 1 |> $ + 1")
    assert shell.user_ns["y"] == 2
    run(shell, "%%time\nz = 1 |> $ + 2\nw = z |> $ * 2")
    assert shell.user_ns["w"] == 6
    run(shell, "%timeit -n 2 -r 1 1 |> $ + 1")
    assert "loop" in capsys.readouterr().out
    run(shell, "x = !echo $y\n")
    assert list(shell.user_ns["x"]) == ["2"]  # $ of the command, not of the language


def test_await_at_the_top_level(shell: InteractiveShell) -> None:
    run(shell, "import asyncio\nawait asyncio.sleep(0)\nlate = 1 |> $ + 1")
    assert shell.user_ns["late"] == 2


def test_source_and_docs_are_the_cell(shell: InteractiveShell) -> None:
    import inspect

    run(shell, "def f(x):\n    return x |> $ + 1\n")
    assert inspect.getsource(shell.user_ns["f"]) == "def f(x):\n    return x |> $ + 1\n"


@pytest.mark.parametrize("jedi", [True, False])
@pytest.mark.parametrize("before", ["", "with ", "x = with_ |> ", "with params{\n  a = 1; b = "])
def test_names_complete(shell: InteractiveShell, before: str, jedi: bool) -> None:
    shell.Completer.use_jedi = jedi
    for name in ("params", "frozen", "tied", "buffer", "on_cpu", "on_device"):
        text = before + name[:4]
        with provisionalcompleter():
            found = {c.text for c in shell.Completer.completions(text, len(text))}
        assert name in found


def test_wants_more_lines(shell: InteractiveShell) -> None:
    assert shell.check_complete("with params{a = 1} as w:")[0] == "incomplete"
    assert shell.check_complete("with params{a = 1} as w:\n    x = 1 |> $ + 1")[0] == "incomplete"
    assert shell.check_complete("with params{\n  a = 1")[0] == "incomplete"
    assert shell.check_complete("x |> $ + 1")[0] == "complete"
    assert shell.check_complete("x = 1")[0] == "complete"
    assert shell.check_complete("x = $ $")[0] == "invalid"


@pytest.mark.parametrize(
    "cell, kind, shown",
    [
        ("x = 1\nwith params{\n  a = 1.0\n  b = 3 +\n} as w:\n  pass", SyntaxError, "b = 3 +"),
        ("with params{\n  a = 1.0\n  b = (3\n", SyntaxError, "with params{"),
        ("x = 1\ny = $ + 1", SyntaxError, "y = $ + 1"),
        ("with params{\n  a = 1.0\n  b = frozn[a]\n} as w:\n  pass", NameError, "b = frozn[a]"),
        ("with params{\n  a = 1.0; step = 2.0\n} as w:\n  pass", ValueError, "with params{"),
        ("a = 3\nwith params{a = 1.0} as w:\n  pass", ValueError, "with params{a = 1.0}"),
        ("with params{a = 1.0} as w:\n  x = 1 |> $ + aa", NameError, "x = 1 |> $ + aa"),
        ("x = (1\n  |> $ + 1\n  |> $ / 0\n)", ZeroDivisionError, "|> $ / 0"),
    ],
)
def test_errors_show_the_line(
    shell: InteractiveShell, cell: str, kind: type[Exception], shown: str, capsys: Any
) -> None:
    error, text = failure(shell, cell, capsys)
    assert isinstance(error, kind)
    line = next(i for i, found in enumerate(cell.split("\n"), 1) if shown in found)
    marked = [t.strip() for t in text.split("\n") if t.strip().startswith((f"----> {line}", shown))]
    assert any(shown in t for t in marked), text
    assert "ǃ" not in text and "ǂ" not in text and "During handling" not in text
    assert run(shell, "1 |> $ + 1") == 2  # the next cell is none the worse


def test_leaves_names_of_the_user_alone(one_shell: InteractiveShell, capsys: Any) -> None:
    forget(one_shell)
    run(one_shell, "params = {'lr': 0.1}; frozen = 'ice'")
    one_shell.run_line_magic("load_ext", "pycograd")
    assert "params, frozen: left as you have defined" in capsys.readouterr().out
    run(one_shell, "m = params{a = 1.0}; b = params['lr']")
    assert float(one_shell.user_ns["m"].a) == 1.0 and one_shell.user_ns["b"] == 0.1
    one_shell.run_line_magic("unload_ext", "pycograd")
    assert one_shell.user_ns["frozen"] == "ice" and "tied" not in one_shell.user_ns


def test_unloads_and_loads_again(one_shell: InteractiveShell, capsys: Any) -> None:
    forget(one_shell)
    before = state(one_shell)
    for _ in range(2):
        one_shell.run_line_magic("load_ext", "pycograd")
        pycograd.load_ipython_extension(one_shell)  # once more than is needed
        one_shell.run_line_magic("load_ext", "pycograd")
        assert run(one_shell, "keep = $ |> map[$ + 1]\n[1] |> keep") == [2]
        one_shell.run_line_magic("unload_ext", "pycograd")
        keep = one_shell.user_ns.pop("keep")
        assert state(one_shell) == before
        assert keep([2]) == [3]  # what was defined goes on
        assert isinstance(failure(one_shell, "1 |> $", capsys)[0], SyntaxError)
    pycograd.unload_ipython_extension(one_shell)
    assert state(one_shell) == before


def test_unloads_beneath_another_wrapper(one_shell: InteractiveShell) -> None:
    forget(one_shell)
    one_shell.run_line_magic("load_ext", "pycograd")
    ours = one_shell.compile.ast_parse
    one_shell.compile.ast_parse = lambda *args, **kwargs: ours(*args, **kwargs)  # type: ignore[method-assign]
    one_shell.run_line_magic("unload_ext", "pycograd")
    try:
        assert run(one_shell, "1 + 1") == 2
        assert one_shell.run_cell("1 |> $").error_before_exec is not None
    finally:
        del one_shell.compile.ast_parse  # type: ignore[method-assign]


BESIDE = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="nocolor")
shell.history_manager.enabled = False
for name in sys.argv[1:]:
    shell.run_line_magic("load_ext", name)
for cell in (
    "[1, 2] |> map[$ + 1] |> sum |> print",
    "with params{a = 2.0; b = frozen[1.0]} as w:\\n    3.0 |> $ * a + b |> print",
    "5 |> when[$ > 4] |> $ + 1 |> print",
    "%unload_ext pycograd",
    "1 |> $ + 1 |> print",
):
    shell.run_cell(cell)
"""


@pytest.mark.parametrize("order", [("pycograd", "pipescript"), ("pipescript", "pycograd")])
def test_beside_pipescript(order: tuple[str, str], tmp_path: Any) -> None:
    script = tmp_path / "beside.py"
    script.write_text(BESIDE)
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, str(script), *order]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["5", "7.0", "6", "2"], done.stdout + done.stderr


def test_in_a_jupyter_kernel(tmp_path: Any) -> None:
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "%load_ext pycograd",
        BLOBS,
        CLASSIFIER,
        "with weights:\n    share = data |> scores |> accuracy($, labels)\nshare >= 0.97",
        "import asyncio\nawait asyncio.sleep(0)\n1 |> $ + 1",
        "with params{\n  a = 1.0\n  b = 3 +\n} as w:\n  pass",
        "%unload_ext pycograd\nimport sys\nsorted({'params', 'frozen', 'tied'} & set(globals()))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True
    ).execute(cwd=str(tmp_path))
    outputs = [cell.outputs for cell in notebook.cells]
    errors = {i: o for i, found in enumerate(outputs) for o in found if o.output_type == "error"}
    assert list(errors) == [5] and errors[5].ename == "SyntaxError"
    assert "b = 3 +" in "\n".join(errors[5].traceback)
    assert [outputs[i][-1].data["text/plain"] for i in (3, 4, 6)] == ["True", "2", "[]"]
