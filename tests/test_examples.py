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


TARGETS = [
    ("logistic", 95.0),
    ("mlp", 96.5),
    pytest.param("highway", 95.0, marks=pytest.mark.slow),
    ("regularized", 97.0),
    pytest.param("convnet", 97.5, marks=pytest.mark.slow),
    pytest.param("transformer", 90.0, marks=pytest.mark.slow),
    ("nanogpt", 35.0),
    ("gru", 38.0),
    pytest.param("lstm", 38.0, marks=pytest.mark.slow),
    ("rwkv", 38.0),
    ("wavenet", 40.0),
    ("dsl", 97.0),
    ("gaussian_process", 45.0),
    ("ode", 80.0),
]


@pytest.mark.parametrize(("name", "target"), TARGETS)
def test_an_example_reaches_its_accuracy_and_draws_its_losses(tmp_path, name, target):
    pytest.importorskip("matplotlib")
    plot = tmp_path / "losses.png"
    done = run(name, "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    reached = [float(word[:-1]) for word in done.stdout.split() if word.endswith("%")]
    assert reached[0] >= target and "MISSED" not in done.stdout
    assert plot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [path.name for path in tmp_path.iterdir()] == ["losses.png"]


def test_each_example_is_run():
    from pycograd.examples.__main__ import EXAMPLES

    named = [x.values[0] if hasattr(x, "values") else x[0] for x in TARGETS]
    assert named == list(EXAMPLES)


def test_an_unknown_example_is_an_error_that_lists_the_known_ones():
    done = run("perceptron")
    assert done.returncode == 2 and "logistic, mlp, highway" in done.stderr


def test_dropout_goes_by_its_key_and_is_off_without_one():
    from pycograd.examples import regularized
    from pycograd.random import key

    params = regularized.initial(np.random.default_rng(0))
    x = np.random.default_rng(1).random((5, 64))
    plain = regularized.regularized(params, x)
    one, again, other = (regularized.regularized(params, x, key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.all(one != other) and np.all(one != plain)
    # Without dropout a row's logits do not depend on what other rows there are.
    np.testing.assert_allclose(regularized.regularized(params, x[:2]), plain[:2], rtol=1e-12)


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


def make_of_characters(name):
    """A model of 11 characters in its forms for whole windows and for parts."""
    from pycograd.examples import recurrent, rwkv, wavenet
    from pycograd.examples.characters import Model

    mix, conv = rwkv.initial(2, 6), wavenet.initial(4, 16)
    return {
        "rwkv": (Model(mix, rwkv.start, rwkv.parallel), Model(mix, rwkv.start, rwkv.recurrent)),
        "wavenet": (
            Model(conv, wavenet.start, wavenet.whole),
            Model(conv, wavenet.start, wavenet.stream),
        ),
        "gru": (recurrent.network(recurrent.GRU, 7),) * 2,
        "lstm": (recurrent.network(recurrent.LSTM, 7),) * 2,
    }[name]


@pytest.mark.parametrize("name", ["gru", "lstm", "rwkv", "wavenet"])
def test_a_text_read_in_parts_gives_what_it_gives_at_once(name):
    at_once, in_parts = make_of_characters(name)
    rng = np.random.default_rng(0)
    params = at_once.initial(rng, 11, np.float64)
    tokens = rng.integers(0, 11, (3, 20))
    whole, _ = at_once.read(params, tokens, at_once.start(params, 3))
    for cuts in ([1], [7, 15], range(1, 20)):
        state, parts = in_parts.start(params, 3), []
        for part in np.split(tokens, cuts, axis=1):
            logits, state = in_parts.read(params, part, state)
            parts.append(logits)
        np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-9, atol=1e-12)
    changed = tokens.copy()
    changed[:, 12] = (changed[:, 12] + 1) % 11
    other, _ = at_once.read(params, changed, at_once.start(params, 3))
    np.testing.assert_array_equal(other[:, :12], whole[:, :12])
    assert np.all(np.any(other[:, 12] != whole[:, 12], axis=-1))


@pytest.mark.parametrize("name", ["gru", "lstm", "rwkv", "wavenet"])
def test_a_text_is_written_on_from_a_state_of_one_size(name):
    from pycograd.core.tree import tree_leaves
    from pycograd.examples.characters import Model, write

    at_once, in_parts = make_of_characters(name)
    params = at_once.initial(np.random.default_rng(0), 11, np.float64)
    sizes = set()

    def read(params, tokens, state):
        logits, state = in_parts.read(params, tokens, state)
        sizes.add(sum(leaf.size for leaf in tree_leaves(state)))
        return logits, state

    counted = Model(in_parts.initial, in_parts.start, read)
    start = np.array([1, 2, 3])
    # Without heat each character is the likeliest behind the whole text before it.
    written = write(counted, params, start, 30, np.random.default_rng(1), heat=1e-9)
    assert len(sizes) == 1 and written.shape == (33,) and np.array_equal(written[:3], start)
    logits, _ = at_once.read(params, written[None, :-1], at_once.start(params, 1))
    np.testing.assert_array_equal(written[3:], np.argmax(logits[0, 2:], axis=-1))


def test_a_gaussian_process_is_that_of_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    from pycograd.examples import gaussian_process as gp

    rng = np.random.default_rng(0)
    x, new, y = rng.random((12, 2)), rng.random((5, 2)), rng.random(12)
    rates = np.array([0.3, 2.0])
    params = {"log_rates": np.log(rates), "log_variance": np.log(1.7), "log_noise": np.log(0.1)}
    kernel = ConstantKernel(1.7) * RBF(1 / rates) + WhiteKernel(0.1)
    theirs = GaussianProcessRegressor(kernel, alpha=0, optimizer=None).fit(x, y)
    evidence = -len(y) * gp.loss(params, x, y)
    np.testing.assert_allclose(evidence, theirs.log_marginal_likelihood_value_, rtol=1e-9)
    mean, variance = gp.predict(params, x, y, new)
    expected, deviation = theirs.predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected, rtol=1e-9)
    np.testing.assert_allclose(variance + 0.1, deviation**2, rtol=1e-9)  # theirs with the noise


def test_hares_and_lynxes_go_round():
    from pycograd.examples import ode

    theta = np.concatenate([np.log(ode.PELTS[0]), np.log([0.5, 0.025, 0.85, 0.024])])
    hares, lynxes = np.exp(ode.solution(theta)).T
    birth, hunt, death, feed = np.exp(theta[2:])
    # What Lotka and Volterra's equation conserves.
    kept = feed * hares - death * np.log(hares) + hunt * lynxes - birth * np.log(lynxes)
    np.testing.assert_allclose(kept, kept[0], rtol=1e-4)
