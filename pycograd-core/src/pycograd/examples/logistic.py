"""Logistic regression on the breast-cancer set: a loss in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.examples.data import breast_cancer
from pycograd.examples.training import Outcome, Params, run
from pycograd.optim import Adam


def logistic_regression(params: Params, x: Any) -> Any:
    """One logit per class, `(rows, 2)`: zero for benign, the model's for malignant."""
    logit = x @ params["w"] + params["b"]
    return np.stack([np.zeros_like(logit), logit], axis=-1)


def loss(params: Params, x: Any, y: Any) -> Any:
    """The mean negative log-likelihood, with a small weight decay."""
    logit = x @ params["w"] + params["b"]
    sign = 2.0 * y - 1.0
    return np.mean(np.logaddexp(0.0, -sign * logit)) + 1e-3 * np.sum(params["w"] ** 2)


def main(full: bool = False) -> Outcome:
    """Trains and reports; `full` has more epochs."""
    data = breast_cancer()
    params = {"w": np.zeros(data.x_train.shape[1]), "b": np.zeros(())}
    return run(
        "logistic",
        "logistic regression",
        "breast cancer",
        logistic_regression,
        loss,
        params,
        data,
        Adam(lr=0.02),
        target=0.95,
        epochs=300 if full else 60,
        batch_size=32,
    )
