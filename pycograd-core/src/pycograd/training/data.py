"""Mini-batches of arrays that fit in memory."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Rng = Any  # None, an int seed or a numpy.random.Generator


class DataLoader:
    """Mini-batches, as often as it is iterated; with `shuffle`, in a new order each time.

    Arguments:
        arrays: arrays of one length, the examples along axis 0.
        batch_size: examples in a batch; the last batch has what is left.
        shuffle: whether the examples come in random order.
        rng: an int seed or a `numpy.random.Generator`, which makes the orders of all epochs
            reproducible; None for unpredictable ones.
        drop_last: leave out a last batch that is not full.
        window: of one sequence, take as examples the windows of this many entries at all
            positions; a batch is then a pair `(x, y)` of shape (batch, window, ...) with y one
            entry further on than x.

    Raises:
        ValueError: no array, lengths that differ, sizes that are not positive, or settings that
            leave no batch.

    >>> import numpy as np
    >>> loader = DataLoader(np.arange(5), np.arange(5) * 10, batch_size=2)
    >>> len(loader), list(loader)[-1]
    (3, (array([4]), array([40])))
    """

    def __init__(
        self,
        *arrays: Any,
        batch_size: int,
        shuffle: bool = False,
        rng: Rng = None,
        drop_last: bool = False,
        window: int | None = None,
    ) -> None:
        self._arrays = tuple(map(_array, arrays))
        self.batch_size = positive("batches", "batch_size", batch_size)
        self._window = None if window is None else positive("batches", "window", window)
        self._count = _count(self._arrays, self._window)
        if drop_last and self.batch_size > self._count:
            raise ValueError(
                f"batches: batch_size={self.batch_size} with drop_last=True leaves no batch of"
                f" {self._count} examples"
            )
        self.shuffle, self._drop_last = shuffle, drop_last
        # One number stands for the orders of all epochs, whoever else draws from `rng` meanwhile.
        if isinstance(rng, np.random.Generator):
            self._seed = int(rng.integers(1 << 62))
        elif rng is None or isinstance(rng, (int, np.integer)):
            self._seed = operator.index(np.random.SeedSequence(rng).entropy)  # type: ignore[arg-type]
        else:
            raise TypeError(
                "batches: rng is an int seed, a numpy.random.Generator or None, not a"
                f" {type(rng).__name__}"
            )
        self._epoch = self._first = 0  # where the next pass begins
        self._given: tuple[int, int] | None = None  # of the latest: its epoch, batches given

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        spare = 0 if self._drop_last else self.batch_size - 1
        return (self._count + spare) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        epoch, first = self._epoch, self._first
        self._epoch, self._first, self._given = epoch + 1, 0, (epoch, first)
        return self._batches(epoch, first)

    @property
    def arrays(self) -> int:
        """How many arrays a batch has."""
        return len(self._arrays) if self._window is None else 2

    @property
    def given(self) -> int:
        """The number of batches given of the epoch that is running; 0 between two."""
        return self.state_dict()["batch"]

    def state_dict(self) -> dict[str, int]:
        """Where it stands: the seed of its orders, the epoch, the batches given of it, and of what.

        >>> import numpy as np
        >>> loader = DataLoader(np.arange(6), batch_size=2, shuffle=True, rng=5)
        >>> batch = next(iter(loader))
        >>> loader.state_dict()
        {'seed': 5, 'epoch': 0, 'batch': 1, 'batch_size': 2, 'examples': 6, 'shuffle': 1}
        """
        epoch, given = self._given or (self._epoch, self._first)
        if given == len(self):
            epoch, given = epoch + 1, 0
        return {"seed": self._seed, "epoch": epoch, "batch": given, **self._settings()}

    def _settings(self) -> dict[str, int]:
        """What the place in an epoch means something for."""
        shuffle = int(self.shuffle)
        return {"batch_size": self.batch_size, "examples": self._count, "shuffle": shuffle}

    def load_state_dict(self, saved: Mapping[str, int]) -> None:
        """Makes the next pass begin where a loader of the same data stood.

        Between two epochs the settings and the number of examples may be others.

        Arguments:
            saved: what `state_dict` returned.

        Raises:
            ValueError: it is no such state, or one within an epoch of other settings.
        """
        asked, mine = "DataLoader.load_state_dict", self._settings()
        there = {name: saved.get(name, mine[name]) for name in mine}
        if {*saved} - {*mine} != {"seed", "epoch", "batch"}:
            raise ValueError(f"{asked}: {dict(saved)} is no state of a loader")
        if saved["batch"] and there != mine:
            raise ValueError(
                f"{asked}: the state is within an epoch of {there}, where this loader has {mine};"
                " go on with the same data and settings, or from the end of an epoch"
            )
        if not 0 <= saved["batch"] < len(self):
            raise ValueError(f"{asked}: {dict(saved)} is no state of this loader")
        self._seed, self._epoch, self._first = saved["seed"], saved["epoch"], saved["batch"]
        self._given = None

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        order = None
        if self.shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._count)
        for given in range(first, len(self)):
            self._given = epoch, given + 1
            start = given * self.batch_size
            stop = min(start + self.batch_size, self._count)
            if self._window is not None:
                heads = np.arange(start, stop) if order is None else order[start:stop]
                index = heads[:, None] + np.arange(self._window)
                yield self._arrays[0][index], self._arrays[0][index + 1]
            else:
                # A slice is a view; only a shuffled batch is copied.
                chosen = slice(start, stop) if order is None else order[start:stop]
                batch = tuple(a[chosen] for a in self._arrays)
                yield batch if len(batch) > 1 else batch[0]


def batches(
    *arrays: Any,
    batch_size: int,
    shuffle: bool = False,
    rng: Rng = None,
    drop_last: bool = False,
    window: int | None = None,
) -> Iterator[Any]:
    """One pass over arrays in mini-batches; the arguments are those of `DataLoader`.

    Arguments:
        arrays: arrays of one length, the examples along axis 0.
        batch_size: examples in a batch; the last batch has what is left.
        shuffle: whether the examples come in random order.
        rng: an int seed or a `numpy.random.Generator`, for a reproducible order.
        drop_last: leave out a last batch that is not full.
        window: examples are the windows of one sequence; see `DataLoader`.

    Returns:
        An iterator of batches: an array if one was given, else a tuple of them. Batches that are
        not shuffled are views of the arrays.

    Raises:
        ValueError: no array, lengths that differ, sizes that are not positive, or settings that
            leave no batch.

    >>> import numpy as np
    >>> list(batches(np.arange(5), batch_size=2))
    [array([0, 1]), array([2, 3]), array([4])]
    """
    return iter(
        DataLoader(
            *arrays,
            batch_size=batch_size,
            shuffle=shuffle,
            rng=rng,
            drop_last=drop_last,
            window=window,
        )
    )


def positive(asked: str, name: str, value: Any) -> int:
    """A whole number that is one or more."""
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{asked}: {name} is a whole number, not {value!r} ({type(value).__name__})"
        ) from None
    if size < 1:
        raise ValueError(f"{asked}: {name} must be positive, not {size}")
    return size


def _array(x: Any) -> Any:
    """An array of examples."""
    if hasattr(x, "shape"):
        return x
    if isinstance(x, Iterator):
        raise TypeError(
            f"batches: takes arrays, which are gone through again in each epoch, not a"
            f" {type(x).__name__}"
        )
    return np.asarray(x)


def _count(arrays: tuple[Any, ...], window: int | None) -> int:
    """The number of examples."""
    if not arrays:
        raise ValueError("batches: no array was given")
    shapes = [tuple(a.shape) for a in arrays]
    if any(not shape for shape in shapes):
        raise ValueError(f"batches: an array of shape () has no examples; shapes: {shapes}")
    if len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            f"batches: the arrays have different lengths {[shape[0] for shape in shapes]};"
            " the examples lie along axis 0"
        )
    length = shapes[0][0]
    if window is None:
        if length == 0:
            raise ValueError("batches: the arrays are empty")
        return int(length)
    if len(arrays) > 1:
        raise ValueError("batches: window= takes one sequence; its shifted copy is the target")
    if length <= window:
        raise ValueError(
            f"batches: window={window} needs a sequence of at least {window + 1}, not {length}"
        )
    return int(length - window)
