"""Text that comes with Python: the pages of its `help()`, as numbers of characters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pycograd.examples.data import Array


class Text(NamedTuple):
    """Characters as numbers: `train` and `test`, and the alphabet that they index."""

    train: Array
    test: Array
    alphabet: str

    def decode(self, numbers: Array) -> str:
        """Numbers as text."""
        return "".join(self.alphabet[int(i)] for i in numbers)

    def encode(self, text: str) -> Array:
        """Text as numbers; raises ValueError for characters that the alphabet lacks."""
        found: Array = np.array([self.alphabet.index(c) for c in text])
        return found


def topics(size: int | None = None, held_out: float = 0.1) -> Text:
    """The topics of `pydoc_data`, half a million characters of ASCII.

    Arguments:
        size: how many characters of them; all if left out.
        held_out: the share at the end that is for testing.
    """
    from pydoc_data.topics import topics as pages

    whole = "\n\n".join(pages[name] for name in sorted(pages))
    whole = whole.encode("ascii", "ignore").decode()[:size]
    alphabet = "".join(sorted(set(whole)))
    position = {c: i for i, c in enumerate(alphabet)}
    numbers = np.array([position[c] for c in whole])
    cut = int(len(numbers) * (1 - held_out))
    return Text(numbers[:cut], numbers[cut:], alphabet)
