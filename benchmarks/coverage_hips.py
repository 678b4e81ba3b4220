"""What HIPS autograd differentiates of the programs in pycograd's sample tables.

    python benchmarks/coverage_hips.py

runs, in the environment of `make bench`, every program that calls a differentiable NumPy function,
with `autograd.numpy` in the place of NumPy, and counts by function how many of them get the right
gradient, forward derivative and second derivative. The judge is NumPy alone: differences of the
same program. A program that fails is held against the function that fails everywhere, where it
calls one. Programs written in pycograd's own functions are left out. It writes
docs/coverage_hips.json, which the coverage page shows.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = ROOT / "pycograd-core" / "src"
RESULT: Final = ROOT / "docs" / "coverage_hips.json"
COMMAND: Final = "python benchmarks/coverage_hips.py"
URL: Final = "https://github.com/HIPS/autograd"
INSIDE: Final = "PYCOGRAD_COVERAGE_INSIDE"
MODES: Final = ("grad", "jvp", "second order")
RTOL: Final = 1e-5
STEP: Final = 1e-3  # of second differences: truncation and rounding both near 1e-10


def main() -> None:
    if INSIDE in os.environ:
        RESULT.write_text(lines(measured()))
        return
    from environments import bench_python

    env = os.environ | {INSIDE: "1", "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([bench_python(), __file__], check=True, env=env)


def lines(result: dict[str, Any]) -> str:
    """JSON with a line for each function."""
    rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in result["functions"].items()]
    head = json.dumps({**result, "functions": {}}, indent=1).removesuffix("{}\n}")
    return f"{head}{{\n" + ",\n".join(rows) + "\n }\n}\n"


def measured() -> dict[str, Any]:
    import numpy as np

    from pycograd.testing.coverage.classes import functions, methods

    differentiable = [f for f in (*functions(), *methods()) if f.kind == "differentiable"]
    passed: dict[int, dict[str, bool]] = {}  # by program, those that are NumPy's alone
    for sample in {id(s): s for f in differentiable for s in f.samples}.values():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if (modes := outcome(sample)) is not None:
                passed[id(sample)] = modes
    programs = {f.names[0]: {id(s) for s in f.samples} & set(passed) for f in differentiable}
    return {
        "command": COMMAND,
        "autograd": {"version": version("autograd"), "url": URL},
        "numpy": np.__version__,
        "python": platform.python_version(),
        "functions": {
            name: {mode: list(counted(name, mode, programs, passed)) for mode in MODES}
            for name in programs
            if programs[name]
        },
    }


def counted(
    name: str, mode: str, programs: dict[str, set[int]], passed: dict[int, dict[str, bool]]
) -> tuple[int, int]:
    """How many programs of a function pass, and of how many: one that fails is left out if it calls
    another function of which all programs fail.
    """
    failing = {f for f, ids in programs.items() if not any(passed[i][mode] for i in ids)}
    excused = (
        set().union(*(programs[f] for f in failing - {name})) if name not in failing else set()
    )
    count = sum(passed[i][mode] for i in programs[name])
    return count, sum(passed[i][mode] or i not in excused for i in programs[name])


# -- the programs over autograd.numpy ----------------------------------------------------------
class Ours(Exception):
    """A program that is not NumPy's alone."""


class Namespace:
    """A module of NumPy as autograd has it: its functions and no others, NumPy's types and numbers.

    What makes arrays takes `like=`, which autograd's versions have no need of.
    """

    def __init__(self, original: ModuleType, theirs: ModuleType) -> None:
        self._original, self._theirs = original, theirs

    def __getattr__(self, name: str) -> Any:
        from pycograd.core.spelling import CREATORS

        original = getattr(self._original, name)
        if isinstance(original, ModuleType):
            return Namespace(original, getattr(self._theirs, name))
        if isinstance(original, type) or not callable(original):
            return original
        theirs = getattr(self._theirs, name)
        if original in CREATORS:
            return lambda *args, like=None, **kwargs: theirs(*args, **kwargs)
        return theirs


class Porter:
    """Makes the functions of sample tables anew, over autograd.numpy."""

    def __init__(self) -> None:
        import autograd.numpy as theirs
        import numpy as np

        from pycograd.testing.coverage.names import MODULES, public

        self._modules = {id(np): Namespace(np, theirs)}
        self._names = {id(value): name for module in MODULES for name, value in public(module)}
        self._globals: dict[int, dict[str, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """`value` itself, unless it is of NumPy or holds what is."""
        if id(value) in self._modules:
            return self._modules[id(value)]
        if isinstance(value, FunctionType) and value.__module__.startswith("pycograd.testing.sam"):
            return self._function(value)
        if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
            return type(value)(self(x) for x in value)
        if callable(value) and not isinstance(value, type) and id(value) in self._names:
            return self._counterpart(self._names[id(value)])
        if is_ours(value):
            raise Ours
        return value

    def _counterpart(self, name: str) -> Any:
        import numpy as np

        found: Any = self._modules[id(np)]
        try:
            for part in name.split(".")[1:]:
                found = getattr(found, part)
        except AttributeError:
            return _missing(name)
        return found

    def _function(self, function: FunctionType) -> FunctionType:
        for name in names_in(function.__code__):
            if is_ours(function.__globals__.get(name)):
                raise Ours
        cells = function.__closure__ or ()
        made = FunctionType(
            function.__code__,
            self._over(function.__globals__),
            function.__name__,
            self(function.__defaults__),
            tuple(CellType(self(cell.cell_contents)) for cell in cells),
        )
        made.__kwdefaults__ = function.__kwdefaults__
        return made

    def _over(self, names: dict[str, Any]) -> dict[str, Any]:
        if id(names) not in self._globals:
            new = self._globals[id(names)] = dict(names)
            for name, value in names.items():
                if isinstance(value, (ModuleType, FunctionType)):
                    with contextlib.suppress(Ours):  # which ends the programs that name it
                        new[name] = self(value)
        return self._globals[id(names)]


def _missing(name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise AttributeError(f"autograd has no {name}")

    return call


def names_in(code: CodeType) -> Iterator[str]:
    """The global names that a function and those inside it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_ours(value: Any) -> bool:
    """True of what belongs to pycograd itself."""
    from pycograd.core.primitive import REGISTRY

    if value is REGISTRY:
        return True
    of = value.__name__ if isinstance(value, ModuleType) else getattr(type(value), "__module__", "")
    if isinstance(value, FunctionType):
        of = value.__module__
    return of.startswith("pycograd") and not of.startswith("pycograd.testing")


# -- what is right -----------------------------------------------------------------------------
def outcome(sample: Any) -> dict[str, bool] | None:
    """Which modes autograd gets right for a program; None if it is not NumPy's alone."""
    import numpy as np

    from pycograd.testing.program import Program, differences

    try:
        f = Porter()(sample.f)
    except Ours:
        return None
    p = Program(sample)
    first = float(differences(lambda *xs: [p.loss(*xs)], p.primals, p.directions)[0])
    value = {
        k: p.loss(*[x + k * STEP * v for x, v in zip(p.primals, p.directions, strict=True)])
        for k in (-2, -1, 0, 1, 2)
    }
    second = float(
        (16 * (value[1] + value[-1]) - (value[2] + value[-2]) - 30 * value[0]) / (12 * STEP**2)
    )

    def right(run: Callable[..., float], expected: float) -> bool:
        try:
            found = float(run(f, p))
        except Exception:
            return False
        return bool(np.isfinite(found) and abs(found - expected) <= RTOL * max(1.0, abs(expected)))

    runs = ((reverse, first), (forward, first), (twice, second))
    return {mode: right(run, want) for mode, (run, want) in zip(MODES, runs, strict=True)}


def leaves_of(out: Any) -> list[Any]:
    """The arrays of a result; autograd has a box for tuples too."""
    from autograd.builtins import SequenceBox

    from pycograd.core.tree import tree_leaves

    if isinstance(out, SequenceBox):
        return [leaf for x in out for leaf in leaves_of(x)]
    return tree_leaves(out)


def loss_of(f: Callable[..., Any], p: Any) -> Callable[..., Any]:
    """The loss of `testing.program` written in autograd.numpy."""
    import autograd.numpy as np

    from pycograd.core.aval import dtype_of, is_inexact
    from pycograd.core.tree import tree_leaves
    from pycograd.testing.program import filled

    chosen = [i for i, y in enumerate(tree_leaves(p.plain)) if is_inexact(dtype_of(y))]

    def loss(*xs: Any) -> Any:
        leaves = leaves_of(f(*filled(p.operands, dict(zip(p.wrt, xs, strict=True)))))
        total = 0.0
        for weight, i in zip(p.weights, chosen, strict=True):
            y = leaves[i]
            total = total + np.sum(np.real(np.conj(weight) * y + 0.5 * np.conj(y) * y))
        return total

    return loss


def along(gradients: Any, p: Any) -> Any:
    """The slope along the direction: autograd's gradient in z = a + ib is dL/da - i dL/db."""
    import autograd.numpy as np

    return sum(np.sum(np.real(g * v)) for g, v in zip(gradients, p.directions, strict=True))


def reverse(f: Callable[..., Any], p: Any) -> Any:
    from autograd import grad

    return along(grad(loss_of(f, p), tuple(range(len(p.primals))))(*p.primals), p)


def forward(f: Callable[..., Any], p: Any) -> Any:
    from autograd import make_jvp

    loss = loss_of(f, p)
    moved = [make_jvp(loss, i)(*p.primals)(v)[1] for i, v in enumerate(p.directions)]
    return sum(moved)


def twice(f: Callable[..., Any], p: Any) -> Any:
    from autograd import grad

    every = tuple(range(len(p.primals)))
    gradient = grad(loss_of(f, p), every)
    return along(grad(lambda *xs: along(gradient(*xs), p), every)(*p.primals), p)


if __name__ == "__main__":
    main()
