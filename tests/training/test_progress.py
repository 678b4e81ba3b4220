"""The progress bar: seen on a terminal, silent elsewhere, never in the way of the loop."""

import io
import subprocess
import sys
import time

import numpy as np
import pytest

import pycograd as pg
from pycograd.training import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    """Puts a terminal in the place of standard error; to be called in the test itself, since
    pytest changes standard error between a fixture and its test."""
    pytest.importorskip("rich")

    def start():
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        return screen

    return start


def loop(bar):
    seen = []
    for i in bar:
        seen.append(i)
        bar.update(loss=1 / (i + 1), phase="warm")
    return seen


def test_silent_where_there_is_no_terminal(capfd):
    assert loop(progress(range(5), description="fit")) == list(range(5))
    out, err = capfd.readouterr()
    assert out == err == ""


def test_silent_where_ipykernel_is_only_imported(capfd):
    pytest.importorskip("ipykernel.kernelapp")
    loop(progress(range(5), description="fit"))
    assert capfd.readouterr().err == ""


def test_a_notebook_sees_one_picture_that_changes():
    """Also where ipywidgets is missing, without which rich draws nothing in a notebook."""
    pytest.importorskip("rich")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    code = (
        "import sys, time\n"
        "sys.modules['ipywidgets'] = None\n"
        "from pycograd.training import progress\n"
        "bar = progress(range(3), description='fit')\n"
        "for i in bar:\n"
        "    bar.update(loss=1 / (i + 1))\n"
        "    time.sleep(0.11)\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (seen,) = notebook.cells[0].outputs
    assert seen.output_type == "display_data"
    for kind in ("text/plain", "text/html"):
        for part in ("fit", "3/3", "loss 0.3333", "/s"):
            assert part in seen.data[kind]


def test_a_terminal_sees_the_loss_and_the_speed(show):
    terminal = show()
    assert loop(progress(range(4), description="training")) == list(range(4))
    text = terminal.getvalue()
    for part in ("training", "4/4", "loss 0.25", "phase warm", "/s"):
        assert part in text


def test_iterables_without_a_length(show):
    terminal = show()
    assert loop(progress(iter(range(3)))) == [0, 1, 2]
    assert loop(progress((i for i in range(3)), total=3)) == [0, 1, 2]
    assert "3/3" in terminal.getvalue()
    assert len(progress([1, 2])) == 2


def test_leaving_the_loop_ends_the_bar(show):
    terminal = show()
    for i in progress(range(100)):
        if i == 3:
            break
    with pytest.raises(ZeroDivisionError):
        for _ in progress(range(100)):
            1 / 0
    assert loop(progress(range(2))) == [0, 1]  # its bar is drawn: the screen is free again
    assert "2/2" in terminal.getvalue()


def test_a_bar_inside_a_bar_is_silent(show):
    terminal = show()
    total = 0
    for _ in progress(range(3), description="outer"):
        total += sum(loop(progress(range(4), description="inner")))
    assert total == 18
    assert "outer" in terminal.getvalue() and "inner" not in terminal.getvalue()


def test_without_rich_it_is_silent(show, monkeypatch):
    terminal = show()
    for name in ("rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    assert loop(progress(range(3))) == [0, 1, 2]
    assert terminal.getvalue() == ""


def test_rich_is_imported_only_to_draw():
    code = (
        "import sys; from pycograd.training import progress; list(progress(range(3)));"
        "assert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.PIPE)


def test_a_run_that_fails_ends_its_bar_though_the_traceback_is_kept(show):
    terminal = show()
    weights, x, calls = pg.params(w=np.zeros(2)), np.ones((4, 2)), []

    def failing(batch):
        calls.append(batch)
        if len(calls) == 3:
            assert "2/12" in terminal.getvalue() or "1/12" in terminal.getvalue()
            raise ZeroDivisionError
        time.sleep(0.11)
        return np.sum(weights.w**2)

    with pytest.raises(ZeroDivisionError) as kept:
        pg.fit(weights, failing, x, epochs=3, opt=0.1, batch_size=1)
    before = len(terminal.getvalue())
    assert loop(progress(range(2), description="the next")) == [0, 1]
    assert "the next" in terminal.getvalue()[before:] and kept.tb is not None


def test_a_run_counts_all_of_its_batches(show):
    terminal = show()
    weights = pg.params(w=np.zeros(2))
    pg.fit(
        weights, lambda x: np.sum(weights.w**2), np.ones((4, 2)), epochs=3, opt=0.1, batch_size=1
    )
    assert "12/12" in terminal.getvalue()
