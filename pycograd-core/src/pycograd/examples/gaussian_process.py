"""Regression by a Gaussian process, whose kernel is fitted to the evidence."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.linalg

from pycograd.examples.data import diabetes
from pycograd.examples.training import Outcome, Params, explained
from pycograd.optim import Adam
from pycograd.testing.gradients import check_grads
from pycograd.training import progress
from pycograd.transforms.reverse import value_and_grad


def kernel(params: Params, a: Any, b: Any) -> Any:
    """Covariances (m, n) of a smooth function at a (m, d) and b (n, d), each axis with a scale."""
    a, b = a * np.exp(params["log_rates"]), b * np.exp(params["log_rates"])
    apart = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T
    return np.exp(params["log_variance"] - 0.5 * apart)


def covariance(params: Params, x: Any) -> Any:
    """Of noisy values at x."""
    return kernel(params, x, x) + np.exp(params["log_noise"]) * np.eye(len(x))


def loss(params: Params, x: Any, y: Any) -> Any:
    """Minus the logarithm of the marginal likelihood, for one value: `K = L L'`, `L z = y`."""
    factor = np.linalg.cholesky(covariance(params, x))
    z = scipy.linalg.solve_triangular(factor, y, lower=True)
    evidence = 0.5 * z @ z + np.sum(np.log(np.diag(factor)))
    return evidence / len(y) + 0.5 * np.log(2 * np.pi)


def predict(params: Params, x: Any, y: Any, new: Any) -> tuple[Any, Any]:
    """The mean and the variance of the function at new places, given values y at x."""
    factor = scipy.linalg.cho_factor(covariance(params, x), lower=True)
    across = kernel(params, new, x)
    known = np.sum(across * scipy.linalg.cho_solve(factor, across.T).T, axis=1)
    return across @ scipy.linalg.cho_solve(factor, y), np.exp(params["log_variance"]) - known


def initial(axes: int) -> Params:
    """A smooth function of unit variance with some noise."""
    return {
        "log_rates": np.full(axes, -2.0),
        "log_variance": np.array(0.0),
        "log_noise": np.array(-1.0),
    }


def main(full: bool = False) -> Outcome:
    """Fits and reports; `full` takes more steps."""
    steps = 300 if full else 40
    data = diabetes()
    x, y = data.x_train, data.y_train
    params = initial(x.shape[1])
    check_grads(lambda p: loss(p, x[:9], y[:9]), (params,), order=1, modes=("rev",))
    started = time.perf_counter()
    step, optimizer, losses = value_and_grad(loss, argnums=0), Adam(0.1), []
    bar = progress(range(steps), description="gaussian process")
    for _ in bar:
        value, grads = step(params, x, y)
        params = optimizer.step(params, grads)
        losses.append(float(value))
        bar.update(loss=losses[-1])
    seconds = time.perf_counter() - started
    mean, _ = predict(params, x, y, data.x_test)
    return Outcome(
        "gaussian_process",
        "Gaussian process",
        "diabetes",
        sum(int(np.size(leaf)) for leaf in params.values()),
        seconds,
        explained(mean, data.y_test),
        0.45,
        losses,
        "of variance",
    )
