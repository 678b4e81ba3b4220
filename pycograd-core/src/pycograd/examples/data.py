"""The data sets that scikit-learn ships, as float arrays split into training and held-out rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Split(NamedTuple):
    """Inputs `x (rows, features...)` and `y (rows,)`, integer labels or real values."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def breast_cancer(seed: int = 0) -> Split:
    """569 tumours, 30 measurements each, benign or malignant; standardised."""
    x, y = _load("load_breast_cancer")
    split = _split(x, y, 0.25, seed)
    mean, spread = split.x_train.mean(axis=0), split.x_train.std(axis=0)
    return split._replace(
        x_train=(split.x_train - mean) / spread, x_test=(split.x_test - mean) / spread
    )


def diabetes(seed: int = 0) -> Split:
    """442 patients, 10 measurements each, and how far diabetes is a year later; standardised."""
    split = _split(*_load("load_diabetes"), 0.25, seed)
    x, y = split.x_train, split.y_train

    def standard(values: Array, of: Array) -> Array:
        result: Array = (values - of.mean(axis=0)) / of.std(axis=0)
        return result

    return Split(
        standard(x, x), standard(y, y), standard(split.x_test, x), standard(split.y_test, y)
    )


def digits(seed: int = 0) -> Split:
    """1,797 handwritten digits as 64 grey values between 0 and 1."""
    x, y = _load("load_digits")
    return _split(x / 16.0, y, 0.25, seed)


def _load(name: str) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "the examples train on data sets that scikit-learn ships:"
            " pip install 'pycograd-core[examples]'"
        ) from error
    x, y = getattr(datasets, name)(return_X_y=True)
    return x, y


def _split(x: Array, y: Array, held_out: float, seed: int) -> Split:
    order = np.random.default_rng(seed).permutation(len(x))
    test = order[: int(len(x) * held_out)]
    train = order[len(test) :]
    return Split(x[train], y[train], x[test], y[test])
