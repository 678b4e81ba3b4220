"""Mini-batches."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pycograd.core.errors import ShapeError
from pycograd.training import DataLoader, accuracy, batches


@given(
    n=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 5),
)
def test_every_example_once_and_arrays_in_step(n, batch_size, shuffle, drop_last, seed):
    x, y = np.arange(n), -np.arange(n)[:, None]
    if drop_last and batch_size > n:
        with pytest.raises(ValueError, match="leaves no batch"):
            batches(x, batch_size=batch_size, drop_last=True)
        return
    settings = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last, "rng": seed}
    got = list(batches(x, y, **settings))
    assert len(got) == len(DataLoader(x, y, **settings))
    assert all(len(a) == batch_size for a, _ in got[:-1])
    assert all(np.array_equal(b[:, 0], -a) for a, b in got)
    seen = np.concatenate([a for a, _ in got]).tolist()
    if drop_last:
        assert len(seen) == n // batch_size * batch_size and set(seen) <= set(range(n))
    else:
        assert sorted(seen) == list(range(n))
    if not shuffle:
        assert seen == sorted(seen)


def test_one_array_comes_bare_and_unshuffled_batches_are_views():
    x = np.arange(6.0)
    first = next(batches(x, batch_size=4))
    assert type(first) is np.ndarray and np.shares_memory(first, x)
    assert not np.shares_memory(next(batches(x, batch_size=4, shuffle=True)), x)
    assert [b.tolist() for b in batches([1, 2, 3], batch_size=2)] == [[1, 2], [3]]


def epochs(loader, count=3):
    return [np.concatenate(list(loader)).tolist() for _ in range(count)]


def test_a_loader_shuffles_anew_each_epoch_and_reproducibly():
    x = np.arange(50)

    def make(rng):
        return DataLoader(x, batch_size=7, shuffle=True, rng=rng)

    first = epochs(make(3))
    assert first == epochs(make(3)) and len({tuple(e) for e in first}) == 3
    assert first != epochs(make(4))
    assert epochs(make(np.random.default_rng(3))) == epochs(make(np.random.default_rng(3)))
    assert epochs(make(None)) != epochs(make(None))
    rng = np.random.default_rng(3)
    one, two = make(rng), make(rng)
    rng.random(100)  # what else is drawn does not matter
    assert epochs(one) != epochs(two)
    assert epochs(make(np.random.default_rng(3))) == epochs(make(np.random.default_rng(3)))


def test_two_passes_at_once_do_not_disturb_each_other():
    x = np.arange(40)
    straight = epochs(DataLoader(x, batch_size=8, shuffle=True, rng=1), 2)
    loader = DataLoader(x, batch_size=8, shuffle=True, rng=1)
    both = list(zip(loader, loader))
    assert [np.concatenate(p).tolist() for p in zip(*both)] == straight


def test_a_pass_is_over_the_data_of_now():
    x = np.zeros(4)
    loader = DataLoader(x, batch_size=2)
    x += 1
    assert np.concatenate(list(loader)).sum() == 4


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("shape", [(20,), (20, 3)])
def test_windows(shuffle, shape):
    text = np.arange(np.prod(shape)).reshape(shape)
    loader = DataLoader(text, batch_size=6, window=5, shuffle=shuffle, rng=0)
    got = list(loader)
    assert len(got) == len(loader) == 3  # 15 windows
    x, y = (np.concatenate(part) for part in zip(*got))
    assert x.shape == y.shape == (15, 5, *shape[1:])
    assert np.array_equal(x[:, 1:], y[:, :-1])
    order = np.argsort(x.reshape(15, -1)[:, 0])
    assert np.array_equal(x[order], np.stack([text[i : i + 5] for i in range(15)]))
    assert np.array_equal(y[order], np.stack([text[i + 1 : i + 6] for i in range(15)]))


X = np.zeros((5, 2))


@pytest.mark.parametrize(
    "arrays, settings, message",
    [
        ((), {"batch_size": 2}, "no array"),
        ((X, np.zeros(4)), {"batch_size": 2}, r"different lengths \[5, 4\]"),
        ((X, np.float64(1)), {"batch_size": 2}, r"shape \(\)"),
        ((np.zeros((0, 2)),), {"batch_size": 2}, "empty"),
        ((X,), {"batch_size": 0}, "batch_size must be positive, not 0"),
        ((X,), {"batch_size": -1}, "batch_size must be positive"),
        ((X,), {"batch_size": 6, "drop_last": True}, "leaves no batch of 5 examples"),
        ((X,), {"batch_size": 2, "window": 0}, "window must be positive"),
        ((X,), {"batch_size": 2, "window": 5}, "window=5 needs a sequence of at least 6, not 5"),
        ((X, X), {"batch_size": 2, "window": 2}, "one sequence"),
    ],
)
def test_mistakes_are_told_at_the_call(arrays, settings, message):
    for make in (batches, DataLoader):
        with pytest.raises(ValueError, match=message):
            make(*arrays, **settings)


def test_sizes_must_be_whole():
    with pytest.raises(TypeError):
        batches(X, batch_size=2.5)


# -- accuracy ------------------------------------------------------------------------------------
def test_accuracy_is_the_share_of_hits(rng):
    logits, labels = rng.standard_normal((40, 5)), rng.integers(0, 5, 40)
    expected = sum(max(range(5), key=row.__getitem__) == y for row, y in zip(logits, labels)) / 40
    assert accuracy(logits, labels) == expected and type(accuracy(logits, labels)) is float
    assert accuracy(logits.T, labels, axis=0) == expected
    assert accuracy(logits, np.eye(5)[labels]) == expected
    assert accuracy(logits.reshape(4, 10, 5), labels.reshape(4, 10)) == expected
    assert accuracy([0.1, 0.9], 1) == 1.0


@pytest.mark.parametrize(
    "logits, labels, error",
    [
        (np.zeros((4, 3)), np.zeros(3), ShapeError),
        (np.zeros((4, 3)), np.zeros((4, 1)), ShapeError),
        (np.zeros((4, 3)), np.zeros((3, 4)), ShapeError),
        (np.float64(1.0), 1, ShapeError),
        (np.zeros((0, 3)), np.zeros(0), ValueError),
    ],
)
def test_accuracy_of_shapes_that_do_not_fit(logits, labels, error):
    with pytest.raises(error, match="accuracy: "):
        accuracy(logits, labels)
