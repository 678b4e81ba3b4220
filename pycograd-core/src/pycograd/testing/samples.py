"""The sample table: for every primitive, programs that exercise it, and where they may be checked.

One table drives every check of `pycograd.testing.check`; a primitive of the registry without a
sample fails the suite, and so does a sample that never binds its primitive. Each module of `ops/`
has its table in `sample_tables/` under the same name, a list called `SAMPLES`:

    draw = Draw("reduce")
    SAMPLES = [
        Sample("sum", lambda x: np.sum(x, axis=1), [draw.normal(2, 3)]),
        Sample("sum", lambda x: np.sum(x, axis=(0, 2), keepdims=True), [draw.normal(2, 3, 2)]),
        Sample(
            "max",
            lambda x: np.max(x, axis=0),
            [draw.distinct(3, 2)],                              # away from ties: differences
            kinks=[Kink([np.ones((2, 1))], [[[0.5], [0.5]]])],  # ties share equally
        ),
        Sample("take", lambda x, i: x[i], [draw.normal(4, 2), draw.integers(4, 3)]),
        Sample("argmax", lambda x: np.argmax(x, axis=0), [draw.distinct(3, 2)]),
        Sample("nonzero", np.flatnonzero, [draw.distinct(4)], data_dependent_shape=True),
    ]

Keep arrays small (a few entries an axis, sizes of different axes different): every sample runs
through some thirty checks, each of them a loop over entries or batch members.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.core.errors import DefinitionError

GROUPS = frozenset(
    {
        "value",
        "shape",
        "symbolic",
        "jvp",
        "adjoint",
        "second",
        "vmap",
        "vmap_grad",
        "dtype",
        "complex",
        "capture",
        "jit",
    }
)


class Kink:
    """A point where differences do not exist or are not the convention: 0, ties, empty, 0-d.

    Arguments:
        operands: in the place of the sample's own.
        gradients: the conventional gradients of `sum(f(*operands))`, one for each operand of `wrt`;
            None if they are only required to be finite.
    """

    __slots__ = ("operands", "gradients")

    def __init__(self, operands: Sequence[Any], gradients: Sequence[Any] | None = None) -> None:
        self.operands, self.gradients = tuple(operands), gradients


class Sample:
    """A program that exercises one primitive.

    Arguments:
        primitive: its name, a key of `core.primitive.REGISTRY`.
        f: a function of the operands in plain NumPy, returning an array or a tuple of arrays. It
            binds the primitive when an operand is a box; for a primitive that only derivatives
            bind, let `f` run `vjp` inside or call the primitive itself.
        operands: float64 arrays (or scalars) at a point where `f` is differentiable, and indices,
            masks and the like. Real ones are cast and made complex by the checks themselves. They
            are read-only: an `f` that writes makes its own copy first, `y = x * 1.0`.
        wrt: positions of the operands it is differentiated in; every float or complex one if left
            out. `()` for a zero-derivative operation is not needed: its gradient is checked to be
            what differences say, which is zero.
        name: tells several samples of a primitive apart in test names; a number if left out.
        mapped: positions of the operands that vmap maps, one by one and together; every array
            among the operands if left out.
        others: further operand tuples, of the same shapes, for the members of a batch. If left
            out, members are the operands with their entries rotated, which keeps any domain that
            is a condition on single entries, distinct entries and permutations included.
        complex: False if complex operands have no meaning for it although NumPy takes them.
        dtypes: which dtypes it must keep; if left out, all that NumPy itself runs `f` with.
        symbolic: True: the first axis of operand 0, and of those of the same length, may be `"B"`;
            False: a size is part of the program; or the symbolic shapes, one per operand.
        data_dependent_shape: the shape of the result depends on values: no shape, no vmap.
        kinks: points with conventions of their own.
        skip: group of checks (of `GROUPS`) -> the reason why it cannot hold. A last resort.
        rtol: of every comparison with finite differences.

    Raises:
        DefinitionError: a skip without a reason or of an unknown group.
    """

    __slots__ = (
        "primitive", "f", "operands", "wrt", "name", "mapped", "others", "complex", "dtypes",
        "symbolic", "data_dependent_shape", "kinks", "skip", "rtol",
    )  # fmt: skip

    def __init__(
        self,
        primitive: str,
        f: Callable[..., Any],
        operands: Sequence[Any],
        *,
        wrt: Sequence[int] | None = None,
        name: str = "",
        mapped: Sequence[int] | None = None,
        others: Sequence[Sequence[Any]] | None = None,
        complex: bool = True,
        dtypes: Sequence[str] | None = None,
        symbolic: bool | Sequence[Any] = True,
        data_dependent_shape: bool = False,
        kinks: Sequence[Kink] = (),
        skip: Mapping[str, str] | None = None,
        rtol: float = 1e-6,
    ) -> None:
        self.primitive, self.f, self.name = primitive, f, name
        self.operands = tuple([_read_only(x) if isinstance(x, np.ndarray) else x for x in operands])
        self.wrt = tuple(
            [i for i, x in enumerate(operands) if np.asarray(x).dtype.kind in "fc"]
            if wrt is None
            else wrt
        )
        self.mapped = tuple(
            [i for i, x in enumerate(operands) if isinstance(x, np.ndarray)]
            if mapped is None
            else mapped
        )
        self.others = others
        self.complex, self.dtypes, self.symbolic = complex, dtypes, symbolic
        self.data_dependent_shape, self.kinks, self.rtol = data_dependent_shape, tuple(kinks), rtol
        self.skip = dict(skip or {})
        if unknown := set(self.skip) - GROUPS:
            raise DefinitionError(f"sample of {primitive}: unknown groups {sorted(unknown)}")
        if not all(self.skip.values()):
            raise DefinitionError(f"sample of {primitive}: a skip needs a reason")

    def __repr__(self) -> str:
        return f"<sample {self.primitive}-{self.name}>"


def _read_only(x: Any) -> Any:
    """A copy that an implementation cannot change without an error."""
    x = x.copy()
    x.flags.writeable = False
    return x


class Draw:
    """Deterministic operands: one stream of numbers for each table.

    Arguments:
        table: the name of the table, which seeds the stream.

    >>> draw = Draw("example")
    >>> draw.normal(2, 3).shape
    (2, 3)
    """

    __slots__ = ("rng",)

    def __init__(self, table: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(table.encode()))

    def normal(self, *shape: int) -> Any:
        """Standard normal entries, none within 0.05 of 0 (a kink of many operations)."""
        x = self.rng.standard_normal(shape)
        return x + np.where(x < 0, -0.05, 0.05)

    def uniform(self, low: float, high: float, *shape: int) -> Any:
        """Entries between `low` and `high`."""
        return self.rng.uniform(low, high, shape)

    def positive(self, *shape: int) -> Any:
        """Entries between 0.5 and 2."""
        return self.rng.uniform(0.5, 2.0, shape)

    def distinct(self, *shape: int) -> Any:
        """Entries of both signs, any two of them and 0 at least 0.2 apart, in random order."""
        n = int(np.prod(shape))
        x = (np.arange(n) - n // 2 + 0.5) * 0.4 + self.rng.uniform(-0.1, 0.1, n)
        return np.reshape(self.rng.permutation(x), shape)

    def integers(self, high: int, *shape: int) -> Any:
        """Integers from 0 to `high - 1`."""
        return self.rng.integers(0, high, shape)

    def mask(self, *shape: int) -> Any:
        """Booleans, at least one of each where there is room for both."""
        n = int(np.prod(shape))
        return np.reshape(self.rng.permutation(n) % 2 == 0, shape)

    def complex(self, *shape: int) -> Any:
        """Complex entries, normal in both parts."""
        return self.normal(*shape) + 1j * self.normal(*shape)


def all_samples() -> Iterator[Sample]:
    """The samples of every table, with a name of their own within each primitive."""
    from pycograd.testing import sample_tables

    taken: set[tuple[str, str]] = set()
    for table in sorted(m.name for m in pkgutil.iter_modules(sample_tables.__path__)):
        module = importlib.import_module(f"{sample_tables.__name__}.{table}")
        for n, sample in enumerate(module.SAMPLES):
            key = (sample.primitive, sample.name or str(n))
            if key in taken:
                key = (sample.primitive, f"{sample.name}-{table}-{n}")
            taken.add(key)
            sample.name = key[1]
            yield sample
