"""Recurrent networks of characters, with the cells of a GRU and of an LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pycograd.examples.characters import Model, run
from pycograd.examples.training import Outcome
from pycograd.nn import embedding, gru_cell, lstm_cell
from pycograd.transforms.control import scan


class Cell(NamedTuple):
    """A recurrent cell: its gates, the arrays of its state, and its step."""

    gates: int
    arrays: int
    step: Callable[..., Any]


GRU = Cell(3, 1, lambda x, state, *w: (gru_cell(x, state[0], *w),))
LSTM = Cell(4, 2, lstm_cell)


def network(cell: Cell, width: int) -> Model:
    """One layer of `width` cells over the characters, one after the other."""

    def initial(rng: np.random.Generator, characters: int, dtype: Any) -> Any:
        def weight(*shape: int) -> Any:
            return (rng.standard_normal(shape) / np.sqrt(width)).astype(dtype)

        return {
            "token": weight(characters, width),
            "w_ih": weight(cell.gates * width, width),
            "w_hh": weight(cell.gates * width, width),
            "b_ih": np.zeros(cell.gates * width, dtype),
            "b_hh": np.zeros(cell.gates * width, dtype),
            "out": weight(width, characters),
            "out_b": np.zeros(characters, dtype),
        }

    def start(params: Any, batch: int) -> Any:
        return (np.zeros((batch, width), params["out"].dtype),) * cell.arrays

    def read(params: Any, tokens: Any, state: Any) -> tuple[Any, Any]:
        weights = [params[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh")]

        def step(state: Any, x: Any) -> tuple[Any, Any]:
            state = cell.step(x, state, *weights)
            return state, state[0]

        state, seen = scan(step, state, embedding(params["token"], tokens.T))
        return np.swapaxes(seen, 0, 1) @ params["out"] + params["out_b"], state

    return Model(initial, start, read)


def gru(full: bool = False) -> Outcome:
    """Trains a network of gated recurrent units and reports."""
    return _run("gru", "GRU", GRU, full, 3000, 0.5)


def lstm(full: bool = False) -> Outcome:
    """Trains a network of long short-term memories and reports."""
    return _run("lstm", "LSTM", LSTM, full, 600, 0.4)


def _run(
    name: str, said: str, cell: Cell, full: bool, full_steps: int, full_target: float
) -> Outcome:
    width, window, steps = (256, 64, full_steps) if full else (64, 24, 150)
    return run(
        name,
        f"{said} of {width}",
        network(cell, width),
        network(cell, 6),
        full,
        window=window,
        steps=steps,
        target=full_target if full else 0.38,
        lr=4e-3 if full else 1e-2,
    )
