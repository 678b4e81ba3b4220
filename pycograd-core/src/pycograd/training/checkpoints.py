"""A training run on disk: where it stands, so that another can go on from there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pycograd.parameters import ParamDict
from pycograd.training.data import DataLoader
from pycograd.training.history import History
from pycograd.training.precision import MixedPrecision


class Place:
    """Where a run of `fit` stands, between two of its steps.

    Attributes:
        epoch: the number of the one that is running, from 1.
        losses, sizes: of its batches so far.
        history: of the epochs before.
        begun: when its steps began.
        loader, precision, callbacks: what else has a state.
    """

    def __init__(
        self, loader: DataLoader, precision: MixedPrecision | None, callbacks: Sequence[Any]
    ) -> None:
        self.epoch, self.history, self.begun = 1, History(), 0.0
        self.losses: list[float] = []
        self.sizes: list[int] = []
        self.loader, self.precision, self.callbacks = loader, precision, callbacks

    def over(self, epochs: int) -> bool:
        """True if there is nothing left of so many epochs."""
        return self.epoch > epochs or bool(self.history.stopped)

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        history = self.history
        return {
            "epoch": self.epoch,
            "losses": self.losses,
            "sizes": self.sizes,
            "history": [history.loss, history.validation, history.seconds, history.stopped],
            "loader": self.loader.state_dict(),
            "precision": None if self.precision is None else self.precision.state_dict(),
            "callbacks": [c.state_dict() for c in self._remembering()],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Takes up a state; raises ValueError if it is that of another run."""
        remembering = self._remembering()
        if (saved["precision"] is None) is not (self.precision is None):
            raise ValueError("fit: the checkpoint is of a run in another precision")
        if len(saved["callbacks"]) != len(remembering):
            raise ValueError("fit: the checkpoint is of a run with other callbacks")
        self.loader.load_state_dict(saved["loader"])
        if self.precision is not None:
            self.precision.load_state_dict(saved["precision"])
        for callback, state in zip(remembering, saved["callbacks"]):
            callback.load_state_dict(state)
        self.epoch, self.losses, self.sizes = saved["epoch"], saved["losses"], saved["sizes"]
        self.history = History(*saved["history"])

    def _remembering(self) -> list[Any]:
        return [c for c in self.callbacks if hasattr(c, "load_state_dict")]


class Checkpoint:
    """The file of a run of `fit`: written after epochs and after Ctrl-C, read when it starts anew.

    It holds the parameters, the state of the optimiser, the place in the data, the history, and
    random numbers; what follows is bit by bit what would have followed without the break.

    Arguments:
        path: of the file, in the safetensors format; it need not be there yet.
        every: after how many epochs it is written.
        rng: random numbers that the objective draws on: a `numpy.random.Generator`, a key, or a
            dict or list of these, whose states are kept as well.

    Raises:
        ValueError: `every` is not positive.

    >>> Checkpoint("run.safetensors").every
    1
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1, rng: Any = None) -> None:
        if every < 1:
            raise ValueError(f"Checkpoint: every must be positive, not {every}")
        self.path, self.every, self.rng = os.fspath(path), every, rng

    def due(self, place: Place, epochs: int) -> bool:
        """True after the epochs that are written."""
        return place.over(epochs) or len(place.history) % self.every == 0

    def save(self, weights: ParamDict, optimizer: Any, place: Place) -> None:
        """Writes the file, whole or not at all."""
        weights.save(self.path, optimizer, self._states(place))

    def resume(self, weights: ParamDict, optimizer: Any, place: Place) -> None:
        """Takes up what the file holds, if there is one.

        Raises:
            FileNotFoundError: there is no folder to write it in.
        """
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"fit: there is no folder {folder} to write the checkpoint in")
        if os.path.exists(self.path):
            weights.load(self.path, optimizer, self._states(place))

    def _states(self, place: Place) -> dict[str, Any]:
        return {"fit": place} if self.rng is None else {"fit": place, "rng": self.rng}
