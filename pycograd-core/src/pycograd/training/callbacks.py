"""What may be done after each epoch: a callback is called with an `Epoch`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pycograd.core.tree import tree_leaves
from pycograd.parameters import ParamDict
from pycograd.parameters.model import weights_of
from pycograd.parameters.values import write
from pycograd.training.history import History


@dataclass
class Epoch:
    """One epoch of `fit`, over.

    Attributes:
        number: counted from 1.
        loss: the mean loss over its examples.
        validation: what was measured after it; None if nothing was.
        weights: the model.
        optimizer: what steps it.
        history: of all epochs so far.
    """

    number: int
    loss: float
    validation: float | None
    weights: ParamDict
    optimizer: Any
    history: History

    def stop(self, why: str = "a callback asked to stop") -> None:
        """Makes this epoch the last one.

        Arguments:
            why: what `History.stopped` will say.
        """
        self.history.stopped = why


Callback = Callable[[Epoch], Any]


class EarlyStopping:
    """Stops when the validation loss (without one the loss) has not fallen for some epochs.

    The model then has the weights of its best epoch again.

    Arguments:
        patience: how many epochs in a row without an improvement are too many.
        min_delta: how much lower a loss must be to count as an improvement.
        restore: whether the weights of the best epoch come back; False leaves the last ones.

    >>> EarlyStopping(patience=3).best
    inf
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, restore: bool = True) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience must be positive, not {patience}")
        self.patience, self.min_delta, self.restore = patience, min_delta, restore
        self.best, self.since = math.inf, 0
        self._values: Any = None

    def __call__(self, epoch: Epoch) -> None:
        """Looks at an epoch."""
        loss = epoch.loss if epoch.validation is None else epoch.validation
        if loss < self.best - self.min_delta:
            self.best, self.since = loss, 0
            if self.restore:
                self._values = _copies(epoch.weights)
            return
        self.since += 1
        if self.since >= self.patience:
            epoch.stop(f"no improvement on {self.best:.4g} for {self.patience} epochs")
            if self.restore and self._values is not None:
                write(zip(weights_of(epoch.weights, "EarlyStopping"), self._values))

    def state_dict(self) -> dict[str, Any]:
        """The best loss, the epochs since, and the weights of the best epoch."""
        return {"best": self.best, "since": self.since, "values": self._values}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self.best, self.since, self._values = saved["best"], saved["since"], saved["values"]


def _copies(weights: ParamDict) -> list[Any]:
    return [leaf.copy() for leaf in tree_leaves(weights)]
