"""`weights.grad` by the autodiff of each library, against the tape, on data of all kinds.

Each case is a generator of calls: a model, an objective, and what it is called with. Between the
calls it changes what the objective reads.
"""

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pycograd as pg
from pycograd import buffer, frozen, nn, on_cpu, params, random, tied

rng = np.random.default_rng(0)
Call = tuple[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def normal(*shape: int, dtype: Any = np.float64) -> Any:
    return rng.standard_normal(shape).astype(dtype)


def of_all_kinds() -> Iterator[Call]:
    """Frozen, a buffer, a tie over two sub-trees, lists, a float, leaves that are no arrays."""
    t = normal(6, 4)
    m = params(
        emb=t,
        layers=[{"w": normal(4, 4), "b": np.zeros(4)}, {"w": normal(4, 4), "b": normal(4)}],
        out={"w": tied[t], "deep": {"x": normal(4)}},
        scale=frozen(np.array(2.0)),
        run=buffer(normal(4)),
        s=0.5,
        act="tanh",
        nothing=None,
        k=frozen(np.array([1, 2])),
    )
    x, i = normal(5, 4), rng.integers(0, 6, 5)

    def objective() -> Any:
        h = m.emb[i] + x * m.s
        for layer in m.layers:
            h = np.tanh(h @ layer.w + layer.b) * m.scale + m.run
        return nn.cross_entropy((h * m.out.deep.x) @ m.out.w.T, i) + np.sum(h[m.k])

    for rows in (5, 7, 5):
        yield m, objective, (), {}
        m.step(m.grad(objective)[1], 0.01)
        m.update_buffers(run=normal(4))
        x, i = normal(rows, 4), rng.integers(0, 6, rows)


def written_in_place() -> Iterator[Call]:
    m, x, y = params(w=normal(4, 3)), normal(5, 4), normal(5, 3)

    def objective() -> Any:
        return np.mean((x @ m.w - y) ** 2)

    for i in range(3):
        yield m, objective, (), {}
        x[:] = normal(5, 4)
        y[i] = 1.0


def positional_and_keyword() -> Iterator[Call]:
    m = params(w=normal(4, 3), b=normal(3))

    def objective(x: Any, y: Any, *, scale: float = 1.0, flag: bool = True) -> Any:
        error = np.mean((np.tanh(x @ m.w + m.b) - y) ** 2)
        return error * scale + (np.sum(m.b) if flag else 0.0)

    for rows, scale, flag in ((5, 1.0, True), (5, 2.0, True), (7, 2.0, False), (5, 3.0, False)):
        yield m, objective, (normal(rows, 4), normal(rows, 3)), {"scale": scale, "flag": flag}
    yield m, objective, (), {"y": normal(5, 3), "x": normal(5, 4)}


def trees() -> Iterator[Call]:
    m = params(w=normal(4, 3), b=normal(3))

    def objective(batch: Any, options: Any) -> Any:
        return np.mean((batch["x"] @ m.w + m.b - batch["y"][0]) ** 2) * options["s"]

    for i in range(3):
        options = {"s": 1.0 + i, "name": "a"}
        yield m, objective, ({"x": normal(5, 4), "y": [normal(5, 3)]}, options), {}


def integers() -> Iterator[Call]:
    m = params(t=normal(6, 4), w=normal(4, 6))

    def objective(i: Any, k: Any) -> Any:
        return nn.cross_entropy(m.t[i] @ m.w, i) * k

    for k in (1, 2):
        yield m, objective, (rng.integers(0, 6, 8), k), {}
    yield m, objective, (rng.integers(0, 6, 8).astype(np.int32), np.int32(3)), {}
    yield m, objective, (rng.integers(0, 6, 8).astype(np.uint8), 2.5), {}


def of_float32() -> Iterator[Call]:
    f = np.float32
    m = params(w=normal(4, 3, dtype=f), b=normal(3, dtype=f), e=frozen(normal(3, dtype=f)))

    def objective(x: Any, y: Any) -> Any:
        return np.mean((np.tanh(x @ m.w + m.b) * m.e - y) ** 2)

    for rows in (5, 5, 6):
        yield m, objective, (normal(rows, 4, dtype=f), normal(rows, 3, dtype=f)), {}


def of_dropout() -> Iterator[Call]:
    """A key as an argument, by keyword and in a variable: new ones drop others."""
    m, key = params(w=normal(6, 6)), random.key(7)

    def objective(x: Any, first: Any, second: Any = None, training: bool = True) -> Any:
        h = nn.dropout(x @ m.w, 0.4, training, key=first)
        h = nn.dropout(h, 0.4, training, key=second)
        return np.mean(nn.dropout(h, 0.1, key=random.fold_in(key, 3)) ** 2)

    for i in range(3):
        yield m, objective, (normal(5, 6), random.key(i)), {"second": random.key(i + 9)}
    key = random.key(8)
    yield m, objective, (normal(5, 6), random.key(0)), {"second": random.key(1)}
    yield m, objective, (normal(5, 6), key), {"second": key, "training": False}


def leaves_of_the_host() -> Iterator[Call]:
    m = params(emb=on_cpu(normal(9, 4)), w=normal(4, 3), f=frozen(on_cpu[normal(3)]))

    def objective(i: Any) -> Any:
        return np.sum(np.tanh(m.emb[i] @ m.w * m.f) ** 2)

    for rows in (5, 5, 7):
        yield m, objective, (rng.integers(0, 9, rows),), {}


class Data:
    """Data and settings that an objective reads as attributes."""

    def __init__(self, m: Any) -> None:
        self.m, self.x, self.power = m, normal(4), 2.0

    def __call__(self) -> Any:
        return np.sum(self.m.w * self.x) ** self.power


def in_objects() -> Iterator[Call]:
    data = Data(params(w=normal(4)))
    data.x = np.abs(data.x) + 1.0
    data.m.w = np.ones(4)
    for objective in (data, lambda: data() * data.power):
        yield data.m, objective, (), {}
        data.x = data.x + 1.0
        yield data.m, objective, (), {}
        data.x[:] = 3.0
        yield data.m, objective, (), {}
        data.power = data.power + 1.0
        yield data.m, objective, (), {}


def in_containers() -> Iterator[Call]:
    m = params(w=normal(4))
    data: dict[str, Any] = {"x": normal(4), "y": [normal(4)]}
    options: dict[str, Any] = {"p": 2.0, "inner": types.SimpleNamespace(k=3)}

    def objective() -> Any:
        value = np.sum(m.w * data["x"]) + np.sum(m.w**2 * data["y"][0])
        return value * options["p"] * options["inner"].k

    yield m, objective, (), {}
    data["x"] = normal(4)
    yield m, objective, (), {}
    data["y"][0][1] = 9.0
    yield m, objective, (), {}
    options["p"] = 5.0
    yield m, objective, (), {}
    options["inner"].k = 2
    yield m, objective, (), {}
    data = {"x": normal(4), "y": [normal(4)]}
    yield m, objective, (), {}


def by_partials_and_defaults() -> Iterator[Call]:
    m, x = params(w=normal(4)), normal(4)

    def f(x: Any, k: float) -> Any:
        return np.sum(m.w * x) * k

    g = functools.partial(f, x)
    for k in (1.0, 2.0):
        yield m, functools.partial(f, normal(4), k=k), (), {}
        yield m, g, (), {"k": k}
        data = normal(4)
        yield m, lambda x=data: f(x, 1.5), (), {}
        x[:] = normal(4)


def of_kinks() -> Iterator[Call]:
    m = params(w=np.array([0.0, 1.0, 1.0, -1.0]))

    def objective() -> Any:
        w = m.w
        values = (np.abs(w), np.maximum(w, 1.0), nn.relu(w), np.clip(w, -1, 1), np.sort(w) * w)
        return np.max(w) + sum([np.sum(v) for v in values])

    yield m, objective, (), {}


CASES = [
    of_all_kinds, written_in_place, positional_and_keyword, trees, integers, of_float32, of_dropout,
    leaves_of_the_host, in_objects, in_containers, by_partials_and_defaults, of_kinks,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*compiled at each")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize(
    ("backend", "jit"),
    [
        (None, True),
        *[(name, False) for name in ("torch", "jax", "tf")],
        *[pytest.param(name, True, marks=pytest.mark.slow) for name in ("torch", "jax", "tf")],
    ],
)
def test_agrees_with_the_tape(case: Any, backend: str | None, jit: bool) -> None:
    global rng
    if backend is not None:
        module = {"tf": "tensorflow"}.get(backend, backend)
        pytest.importorskip(module, reason=f"{module} is not installed")
        pytest.importorskip(f"pycograd_{backend}", reason=f"pycograd-{backend} is not installed")
    rng = np.random.default_rng(0)
    for m, objective, args, kwargs in case():
        wanted = m.grad(objective, *args, **kwargs)
        found = m.grad(objective, *args, backend=backend, jit=jit, **kwargs)
        bound = 2e-6 if wanted[0].dtype == np.float32 else 1e-10
        assert found[0].dtype == wanted[0].dtype
        np.testing.assert_allclose(found[0], wanted[0], rtol=bound)
        assert pg.tree_structure(found[1]) == pg.tree_structure(wanted[1])
        for a, b in zip(pg.tree_leaves(found[1]), pg.tree_leaves(wanted[1]), strict=True):
            assert type(a) is type(b) and a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=bound, atol=bound * max(1.0, np.max(np.abs(b))))
