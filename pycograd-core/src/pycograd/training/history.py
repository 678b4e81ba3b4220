"""What a training run looked like, epoch by epoch."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import Any


@dataclass
class History:
    """The course of a `fit`; in a notebook it shows its plot.

    Attributes:
        loss: the mean loss over the examples of each epoch, as they were met.
        validation: what was measured after each epoch, if something was.
        seconds: how long each epoch took.
        stopped: why it ended before the last epoch, or an empty text.

    >>> History([0.5, 0.25], [], [1.0, 1.0])
    History of 2 epochs: loss 0.5 -> 0.25
    """

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    stopped: str = ""

    def __len__(self) -> int:
        return len(self.loss)

    def __repr__(self) -> str:
        text = f"History of {len(self)} epoch{'' if len(self) == 1 else 's'}"
        said = [
            f"{name} {values[0]:.4g} -> {values[-1]:.4g}"
            for name, values in (("loss", self.loss), ("validation", self.validation))
            if values
        ]
        text = f"{text}: {', '.join(said)}" if said else text
        return f"{text}; {self.stopped}" if self.stopped else text

    def plot(self, path: str | os.PathLike[str] | None = None, axes: Any = None) -> Any:
        """Draws the losses over the epochs; needs matplotlib.

        Arguments:
            path: of a file to write the picture to, if one is wanted.
            axes: of matplotlib, to draw into; new ones if left out.

        Returns:
            The axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install matplotlib") from error
        if axes is None:
            axes = Figure(figsize=(6, 3.5), layout="constrained").add_subplot()
        epochs = range(1, len(self) + 1)
        axes.plot(epochs, self.loss, label="loss")
        if self.validation:
            axes.plot(epochs, self.validation, label="validation")
            axes.legend()
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        if path is not None:
            axes.figure.savefig(path)
        return axes

    def _repr_png_(self) -> bytes | None:
        """The plot, for notebooks; nothing where there is no matplotlib, or nothing to draw."""
        if not self.loss:
            return None
        file = io.BytesIO()
        try:
            axes = self.plot()
        except ImportError:
            return None
        axes.figure.savefig(file, format="png", dpi=100)
        return file.getvalue()
