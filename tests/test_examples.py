"""The examples: real data, the promised accuracy, a plot, and clear words for a wrong name."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the examples' data sets come with scikit-learn")


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pycograd.examples", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "target"),
    [("logistic", 95.0), ("mlp", 96.5), ("highway", 95.0), ("convnet", 97.5), ("nanogpt", 35.0)],
)
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
    assert done.returncode == 2 and "logistic, mlp, highway" in done.stderr


def test_a_gpt_looks_back_only_and_writes_on():
    from pycograd.examples import nanogpt
    from pycograd.examples.text import topics

    text, size = topics(2000), nanogpt.Size(2, 16, 2, 8)
    assert text.decode(text.encode("the ")) == "the "
    rng = np.random.default_rng(0)
    params = nanogpt.initial(rng, len(text.alphabet), size, np.float64)
    tokens = rng.integers(0, len(text.alphabet), (2, 8))
    changed = tokens.copy()
    changed[:, 5] = (changed[:, 5] + 1) % len(text.alphabet)
    before, after = (nanogpt.gpt(params, t, size.heads) for t in (tokens, changed))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert np.all(np.any(before[:, 5:] != after[:, 5:], axis=-1))
    written = nanogpt.sample(params, tokens[0], 5, size, rng)
    assert written.shape == (13,) and np.array_equal(written[:8], tokens[0])
    # Without heat the likeliest character follows.
    cold = nanogpt.sample(params, tokens[0], 1, size, rng, heat=1e-9)
    assert cold[-1] == np.argmax(before[0, -1])
