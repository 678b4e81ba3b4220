"""What is spelled out becomes torch's own kernels in its graphs: values and gradients stay."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

import pycograd as pg
from pycograd import nn
from pycograd.graph.passes import optimize
from pycograd.transforms.capture import capture
from results import assert_same

pytest.importorskip("pycograd_torch")
RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((3, 5)), np.array([1, 0, 4])
ELSEWHERE = np.arange(3)  # as any array that a caller may write to


def names_of(f: Callable[..., Any], *xs: Any) -> list[str]:
    pg.get_backend("torch")  # whose passes are there once it has been asked for
    return [e.primitive.name for e in optimize(capture(f, *xs), backend="torch").equations]


def check(f: Callable[..., Any], *xs: Any) -> None:
    """Values, and gradients in all that have any, by torch's autograd."""
    places = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
    loss = lambda *xs: np.sum(np.sin(f(*xs)))
    with np.errstate(all="ignore"):
        want = f(*xs), pg.grad(loss, argnums=tuple(places))(*xs)
    tensors = [torch.tensor(x, requires_grad=i in places) for i, x in enumerate(xs)]
    out = pg.compile_to(f, "torch")(*tensors)
    got = torch.autograd.grad(torch.sin(out).sum(), [tensors[i] for i in places])
    assert_same((out.detach().numpy(), [g.numpy() for g in got]), (want[0], list(want[1])))


# -- cross-entropy ---------------------------------------------------------------------------------
def entropy(x: Any, labels: Any) -> Any:
    shifted = x - np.max(x, axis=1, keepdims=True)
    norm = np.log(np.sum(np.exp(shifted), axis=1))
    return norm - shifted[np.arange(len(labels)), labels]


def test_a_cross_entropy_by_hand_is_of_log_softmax() -> None:
    assert names_of(entropy, X, LABELS) == ["log_softmax", "gather", "negative"]
    check(entropy, X, LABELS)
    check(entropy, np.where(X > 1, -np.inf, X) + np.eye(3, 5)[:, [1, 0, 2, 3, 4]], LABELS)
    check(entropy, 1e4 * X, LABELS)
    check(entropy, X[:0], LABELS[:0])


@pytest.mark.parametrize("worst", [np.inf, -np.inf, np.nan])
def test_infinite_logits(worst: float) -> None:
    for place in ((0, 1), (0, 2), 0):
        x = X.copy()
        x[place] = worst
        with np.errstate(all="ignore"):
            want, library = entropy(x, LABELS), nn.cross_entropy(x, LABELS, reduction="none")
        found = pg.compile_to(entropy, "torch")(torch.tensor(x), torch.tensor(LABELS))
        np.testing.assert_allclose(found.numpy(), want, rtol=1e-12)
        of_library = pg.compile_to(
            lambda x, labels: nn.cross_entropy(x, labels, reduction="none"), "torch"
        )
        found = of_library(torch.tensor(x), torch.tensor(LABELS))
        np.testing.assert_allclose(found.numpy(), library, rtol=1e-12)


def other_rows(x: Any, labels: Any) -> Any:
    shifted = x - np.max(x, axis=1, keepdims=True)
    return np.log(np.sum(np.exp(shifted), axis=1)) - shifted[np.array([0, 2, 1]), labels]


def rows_of_a_caller(x: Any, labels: Any) -> Any:
    shifted = x - np.max(x, axis=1, keepdims=True)
    return np.log(np.sum(np.exp(shifted), axis=1)) - shifted[ELSEWHERE, labels]


def along_columns(x: Any, labels: Any) -> Any:
    shifted = x - np.max(x, axis=0, keepdims=True)
    return np.log(np.sum(np.exp(shifted), axis=0)) - shifted[np.arange(3), labels]


def read_elsewhere(x: Any, labels: Any) -> Any:
    shifted = x - np.max(x, axis=1, keepdims=True)
    norm = np.log(np.sum(np.exp(shifted), axis=1))
    return norm - shifted[np.arange(3), labels] + np.sum(shifted)


@pytest.mark.parametrize("f", [other_rows, rows_of_a_caller, along_columns, read_elsewhere])
def test_what_is_no_cross_entropy_stays(f: Callable[..., Any]) -> None:
    x, labels = (X[:, :3], LABELS % 3) if f is along_columns else (X, LABELS)
    assert "log_softmax" not in names_of(f, x, labels)
    check(f, x, labels)


def test_rows_that_the_caller_writes_to_are_read_at_each_call() -> None:
    compiled = pg.compile_to(rows_of_a_caller, "torch")
    given = torch.tensor(X), torch.tensor(LABELS)
    compiled(*given)
    try:
        ELSEWHERE[:] = 2, 0, 1
        np.testing.assert_allclose(compiled(*given).numpy(), rows_of_a_caller(X, LABELS))
    finally:
        ELSEWHERE[:] = 0, 1, 2


# -- layer norm ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "f",
    [
        lambda x, w, b: nn.layer_norm(x, w, b),
        lambda x, w, b: b + w * nn.layer_norm(x),
        lambda x, w, b: nn.layer_norm(x[None], w, b, eps=0.1)[0],
    ],
)
def test_a_layer_norm_is_one_call(f: Callable[..., Any]) -> None:
    w, b = RNG.standard_normal((2, 5))
    assert "torch_layer_norm" in names_of(f, X, w, b)
    check(f, X, w, b)
    check(f, X[:0], w, b)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, w, b: nn.layer_norm(x, w[0], b),
        lambda x, w, b: nn.layer_norm(x, w, b[:3, None]),
        lambda x, w, b: nn.layer_norm(x, w[:3, None], b[:3, None], axis=0),
        lambda x, w, b: (y := nn.layer_norm(x)) * w + b + y,
    ],
)
def test_what_is_no_layer_norm_of_torchs_stays(f: Callable[..., Any]) -> None:
    w, b = RNG.standard_normal((2, 5))
    assert "torch_layer_norm" not in names_of(f, X, w, b)
    check(f, X, w, b)


# -- unbind ----------------------------------------------------------------------------------------
def parts(x: Any) -> Any:
    q, k, v = x
    return q * k - np.cos(v)


def turned(x: Any) -> Any:
    q, k, v = np.transpose(x, (2, 0, 3, 1))
    return q * k - np.cos(v)


def backwards(x: Any) -> Any:
    return x[-1] / x[1] + x[0]


def test_all_parts_of_a_tensor_are_one_call() -> None:
    x = RNG.standard_normal((3, 2, 4))
    for f, given in ((parts, x), (backwards, x), (turned, RNG.standard_normal((2, 4, 3, 2)))):
        names = names_of(f, given)
        assert names.count("unstack") == 1 and "index" not in names
        check(f, given)
    names = names_of(turned, RNG.standard_normal((2, 4, 3, 2)))
    assert names.count("transpose") == 3  # each part, not the whole


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[0] * x[1],
        lambda x: x[0] * x[1] * x[2] + np.sum(x),
        lambda x: x[0, 1] * x[1, 1] * x[2, 1],
    ],
)
def test_other_reads_stay(f: Callable[..., Any]) -> None:
    x = RNG.standard_normal((3, 2, 4))
    assert "unstack" not in names_of(f, x)
    check(f, x)
