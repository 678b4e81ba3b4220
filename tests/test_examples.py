"""The examples: real data, the promised accuracy, a plot, and clear words for a wrong name."""

import subprocess
import sys

import pytest

pytest.importorskip("sklearn", reason="the examples' data sets come with scikit-learn")


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pycograd.examples", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("name", "target"), [("logistic", 95.0), ("mlp", 96.5)])
def test_an_example_reaches_its_accuracy_and_draws_its_losses(tmp_path, name, target):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "losses.png"
    done = run(name, "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    reached = [float(word[:-1]) for word in done.stdout.split() if word.endswith("%")]
    assert reached[0] >= target and "MISSED" not in done.stdout
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["losses.png"]


def test_an_unknown_example_is_an_error_that_lists_the_known_ones():
    done = run("perceptron")
    assert done.returncode == 2 and "logistic, mlp, transformer" in done.stderr
