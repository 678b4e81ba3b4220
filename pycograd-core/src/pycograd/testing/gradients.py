"""`check_grads`: the derivatives of a user's function against differences of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact, shape_of
from pycograd.core.errors import GradientCheckError, NotDifferentiableError
from pycograd.core.tree import tree_leaves
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import vjp
from pycograd.transforms.wrap import Selection, check_callable, name_of
from pycograd.transparent import prepared

Directions = tuple[Any, ...]  # one array for each leaf

_MODES = {"fwd": "forward", "rev": "reverse"}
_ENTRIES = 64  # of one array that are checked singly; a dense direction covers the others
_ALLOWED = {"float16": 5e-2, "bfloat16": 2e-1, "float32": 2e-3, "complex64": 2e-3}  # rtol and atol
_ALLOWED_DOUBLE = 1e-6


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: str | Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = 1e-4,
) -> None:
    """Checks the derivatives of `f` at `args` against finite differences.

    Every entry of every float and complex leaf is checked (of arrays above 64 entries a selection,
    and a direction that has them all). Differences are five-point ones, taken in float64.

    Arguments:
        f: a function of `args` with any tree of outputs, smooth within `2 * eps` of them.
        args: a tuple or list with one value or tree per positional argument.
        order: derivatives up to this order, in every nesting of the modes.
        modes: `"fwd"`, `"rev"` or both.
        atol, rtol: what may differ, `atol + rtol * |difference quotient|`. Default by the least
            precise dtype among `args`: 1e-6 for float64.
        eps: the step of the differences.

    Raises:
        GradientCheckError: a derivative differs; says which mode, order, argument and entry, and
            both numbers.
        NotDifferentiableError: no float or complex leaf in `args`.

    >>> import numpy as np
    >>> check_grads(lambda x: np.sum(np.sin(x) * x), (np.array([0.5, 1.0]),))
    """
    check_callable(f, "check_grads")
    if not isinstance(args, (tuple, list)):
        raise TypeError("check_grads(f, args): args is a tuple, one entry per argument: (x,)")
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if unknown := set(modes) - set(_MODES):
        raise ValueError(f"check_grads: modes are 'fwd' and 'rev', not {sorted(unknown)}")
    if order < 1 or not modes:
        raise ValueError("check_grads: nothing to check: order is at least 1, modes not empty")
    selection = Selection("check_grads", f, tuple(args), {}, None, ())
    if not any(selection.live):
        raise NotDifferentiableError(f"check_grads of {name_of(f)}: no float or complex argument")
    allowed = max(_ALLOWED.get(dtype_of(x).name, _ALLOWED_DOUBLE) for x in _live(selection))
    checked = _Checked(
        prepared(f),
        selection,
        eps,
        allowed if rtol is None else rtol,
        allowed if atol is None else atol,
    )
    checked.compare(checked.outputs, order, modes, [])


def _live(selection: Selection) -> list[Any]:
    return [x for x, live in zip(selection.leaves, selection.live) if live]


class _Checked:
    """A function of its differentiable leaves, and how its derivatives are compared."""

    def __init__(
        self, f: Callable[..., Any], selection: Selection, eps: float, rtol: float, atol: float
    ) -> None:
        self.f, self.selection = f, selection
        self.eps, self.rtol, self.atol = eps, rtol, atol
        self.primals = _live(selection)
        self.names = [selection.path(i) for i, live in enumerate(selection.live) if live]
        self.rng = np.random.default_rng(0)

    def outputs(self, *xs: Any) -> tuple[Any, ...]:
        """The float and complex leaves of what `f` returns."""
        moved = iter(xs)
        boxed = [
            next(moved) if live else x
            for x, live in zip(self.selection.leaves, self.selection.live)
        ]
        out = tree_leaves(self.selection.call(self.f, boxed))
        return tuple([y for y in out if is_inexact(dtype_of(y))])

    def compare(
        self, f: Callable[..., Any], order: int, modes: Sequence[str], outer: list[str]
    ) -> None:
        """Checks `f`, and for higher orders the derivatives that its own modes give."""
        values = f(*self.primals)
        # The cotangent of a loss is 1, so that a message has its gradient; others are arbitrary.
        loss = len(values) == 1 and shape_of(values[0]) == () and dtype_of(values[0]).kind != "c"
        cts = tuple([np.ones_like(y) if loss else self._entries(y) for y in values])
        pulled = vjp(f, *self.primals)[1](cts) if "rev" in modes else None
        for where, v in self._directions():
            quotient = self._differences(f, v)
            if "fwd" in modes:
                tangents = jvp(f, self.primals, self._cast(v))[1]
                for k, (t, q) in enumerate(zip(tangents, quotient)):
                    self._judge(np.asarray(t), q, "fwd", outer, where, k, len(values))
            if pulled is not None:
                got, want = _inner(pulled, v), _inner(cts, quotient)
                self._judge(np.asarray(got), np.asarray(want), "rev", outer, where, 0, 1)
        if order > 1:
            dense = self._cast(tuple([self._entries(x) for x in self.primals]))
            inner = {
                "fwd": lambda *xs: jvp(f, xs, dense)[1],
                "rev": lambda *xs: vjp(f, *xs)[1](cts),
            }
            for mode in modes:
                self.compare(inner[mode], order - 1, modes, [mode, *outer])

    def _entries(self, x: Any) -> Any:
        entries = self.rng.standard_normal(shape_of(x))
        if dtype_of(x).kind == "c":
            entries = entries + 1j * self.rng.standard_normal(shape_of(x))
        return np.asarray(entries).astype(dtype_of(x))

    def _cast(self, directions: Directions) -> Directions:
        return tuple([v.astype(dtype_of(x)) for v, x in zip(directions, self.primals)])

    def _directions(self) -> Iterator[tuple[str, Directions]]:
        """Along one entry at a time (both parts of a complex one), then along all at once."""
        still = [np.zeros(shape_of(x), _wide(x)) for x in self.primals]
        for i, x in enumerate(self.primals):
            size = still[i].size
            chosen = range(size) if size <= _ENTRIES else self.rng.choice(size, _ENTRIES, False)
            for n in sorted(chosen):
                entry = np.unravel_index(n, still[i].shape)
                text = f", entry ({', '.join(map(str, entry))})" if entry else ""
                for part, unit in (("", 1.0), (" (imaginary part)", 1j)):
                    if part and dtype_of(x).kind != "c":
                        continue
                    moved = still[i].copy()
                    moved[entry] = unit
                    yield (
                        f"{self.names[i]}{text}{part}",
                        (*still[:i], moved, *still[i + 1 :]),
                    )
        yield "along all entries", tuple([self._entries(x).astype(_wide(x)) for x in self.primals])

    def _differences(self, f: Callable[..., Any], directions: Directions) -> list[Any]:
        """The derivative of `f` along `directions`, by differences in float64."""

        def at(step: float) -> list[Any]:
            moved = [_widened(x) + step * v for x, v in zip(self.primals, directions)]
            return [np.asarray(y) for y in f(*moved)]

        h = self.eps
        return [
            (8 * (b - a) - (bb - aa)) / (12 * h)
            for a, b, aa, bb in zip(at(-h), at(h), at(-2 * h), at(2 * h))
        ]

    def _judge(
        self, got: Any, want: Any, mode: str, outer: list[str], where: str, k: int, outputs: int
    ) -> None:
        """Raises if an entry of `got` is too far from `want`."""
        got = got.astype(want.dtype)
        off = np.abs(got - want)
        bad = ~(off <= self.atol + self.rtol * np.abs(want))
        if not bad.any():
            return
        worst = np.unravel_index(
            np.argmax(np.where(bad, np.nan_to_num(off, nan=np.inf), -1)), off.shape
        )
        if mode == "fwd" and (outputs > 1 or worst):
            place = f", output {k}" if outputs > 1 else ", output"
            where += place + (f" entry ({', '.join(map(str, worst))})" if worst else "")
        nesting = " over ".join(_MODES[m] for m in [mode, *outer])
        raise GradientCheckError(
            f"check_grads of {name_of(self.f)}: {_MODES[mode]} mode, order {len(outer) + 1}"
            f"{f' ({nesting})' if outer else ''}, {where}: the derivative is {got[worst]}, finite"
            f" differences give {want[worst]} (they may differ by"
            f" {self.atol + self.rtol * float(np.abs(want[worst])):.3g})"
        )


def _wide(x: Any) -> Any:
    """The dtype in which differences are taken: double precision at least."""
    dtype = dtype_of(x)
    if dtype.char in "gG":
        return dtype
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)


def _widened(x: Any) -> Any:
    return np.asarray(x).astype(_wide(x))


def _inner(a: Sequence[Any], b: Sequence[Any]) -> float:
    """Re<a, b>, in double precision."""
    return float(sum(np.sum(np.real(np.conj(_widened(x)) * _widened(y))) for x, y in zip(a, b)))
