"""Random programs: steps of the sample table and of NumPy's idioms on a growing pool of values.

A step of the table is evaluated near its own operands, where its sample says that it is smooth:
what it is given from the pool moves them by at most `REACH`. A step of an idiom (a view, a write in
place, a join) takes the values of the pool as they are. `built` turns a list of numbers, as
Hypothesis draws and shrinks it, into the steps that plain NumPy runs.
"""

import functools
import warnings

import numpy as np

from pycograd.testing.samples import all_samples

REACH, PACE = (
    0.02,
    20.0,
)  # of sin(PACE * v) * REACH, whose slope is moderate and never vanishes for long
LARGEST = 24  # entries of a value that stays in the pool
MASK = np.array([True, False, True])
TWICE = np.array([0, 2, 2, 1])

# -- idioms: a function of two values of the pool, giving None where it does not apply -------------
READS = {
    "tanh": lambda v, w: np.tanh(v),
    "sine": lambda v, w: np.sin(v) * 0.7,
    "scaled": lambda v, w: v * 0.5 - 0.1,
    "reciprocal": lambda v, w: 1.0 / (2.0 + v * v),
    "transposed": lambda v, w: v.T,
    "flat": lambda v, w: v.ravel(),
    "column": lambda v, w: v.reshape(-1, 1),
    "reversed": lambda v, w: v[::-1],
    "tail": lambda v, w: v[1:],
    "last": lambda v, w: v[..., -1],
    "new-axis": lambda v, w: v[None],
    "first": lambda v, w: v[0],
    "every-other": lambda v, w: v[..., ::2],
    "sum": lambda v, w: v.sum(0),
    "mean": lambda v, w: np.mean(v, axis=-1, keepdims=True),
    "cumulative": lambda v, w: np.cumsum(v, axis=0) * 0.5,
    "masked": lambda v, w: v[..., MASK] if v.shape[-1] == 3 else None,
    "gathered": lambda v, w: v[TWICE] if v.shape[0] == 3 else None,
    "taken": lambda v, w: np.take(v, [0, -1], axis=0) if v.ndim else None,
    "swapped": lambda v, w: np.swapaxes(v, 0, -1),
    "copied": lambda v, w: v.copy(),
    "joined": lambda v, w: np.concatenate([v, v * 2.0], axis=-1),
    "chosen": lambda v, w: np.where(np.arange(v.shape[-1]) != 1, v, 0.2 * v) if v.ndim else None,
    "normalised": lambda v, w: v / np.sqrt(1.0 + np.sum(v * v)),
    "softmax": lambda v, w: np.exp(v) / np.sum(np.exp(v), axis=-1, keepdims=True),
    "solved": lambda v, w: (
        np.linalg.solve(v @ v.T + 2.0 * np.eye(len(v)), v) if v.ndim == 2 else None
    ),
    "add": lambda v, w: v + w,
    "multiply": lambda v, w: v * w,
    "divide": lambda v, w: v / (1.5 + w * w),
    "matmul": lambda v, w: v @ w if v.ndim and w.ndim and w.shape[-2:][0] == v.shape[-1] else None,
    "stack": lambda v, w: np.stack([v, w]) if v.shape == w.shape else None,
    "outer": lambda v, w: np.multiply.outer(v, w) if v.ndim + w.ndim < 3 else None,
    "against": lambda v, w: np.einsum("i...,i...->i", v, v) if v.ndim > 1 else None,
    "broadcast": lambda v, w: np.broadcast_to(v, np.broadcast_shapes(v.shape, w.shape)) * w,
}


def assigned(where):
    def write(v, w):
        v[where] = w
        return v

    return write


def changed(write):
    def run(v, w):
        write(v, w)
        return v

    return run


def in_place(v, w):
    v += w
    return v


def scaled_in_place(v, w):
    v *= np.tanh(w)
    return v


WRITES = {
    "all": assigned(...),
    "first": assigned(0),
    "tail": assigned(slice(1, None)),
    "last-column": assigned((..., -1)),
    "entries": assigned([0, -1]),
    "in-place": in_place,
    "scaled": scaled_in_place,
    "out": lambda v, w: np.add(v, w, out=v) if v.ndim else None,
    "added-at": changed(lambda v, w: v.__setitem__(slice(1, None), v[1:] + 0.5 * w)),
    "entries-in-place": changed(lambda v, w: v.__setitem__(TWICE[:2], v[TWICE[:2]] - w)),
    "accumulated": changed(lambda v, w: np.add.at(v, [0, 0], 0.5 * w)),
    "masked": changed(lambda v, w: np.copyto(v, 0.5 * w, where=np.arange(v.shape[-1]) % 2 == 0)),
    "shifted": changed(lambda v, w: v.__setitem__(slice(1, None), v[:-1])),
    "flat": changed(lambda v, w: v.flat.__setitem__(0, w[(0,) * w.ndim]) if v.ndim else None),
}


# -- the sample table ------------------------------------------------------------------------------
class Step:
    """A sample as a function of values of the pool."""

    def __init__(self, sample):
        self.sample, self.name = sample, f"{sample.primitive}-{sample.name}"
        self.scale = None

    def __repr__(self):
        return self.name

    def __call__(self, *values):
        operands = list(self.sample.operands)
        for k, i in enumerate(self.sample.wrt):
            v = fitted(values[k % len(values)], np.shape(operands[i]))
            operands[i] = operands[i] + np.sin(v * PACE + k) * REACH
        made = self.sample.f(*operands)
        made = [real_parts(y) for y in (made if isinstance(made, (tuple, list)) else [made])]
        # Also what does not depend on its operands is to be a value of the transform in the pool.
        nothing = 0.0 * np.sum(values[0])
        return [y * s + nothing for y, s in zip(made, self.scales(made)) if y is not None]

    def scales(self, made):
        """What brings each result to the size of 1; told by the first, plain run."""
        if self.scale is None:
            self.scale = [
                None if y is None else 1.0 / (1.0 + np.max(np.abs(y), initial=0.0)) for y in made
            ]
        return self.scale


def fitted(v, shape):
    """The entries of `v`, repeated or left out, in a shape."""
    if v.shape == shape:
        return v
    return np.resize(v, shape) if shape and v.shape else np.sum(v) * np.ones(shape)


def real_parts(y):
    """A result in double precision as a real one; None of any other."""
    char = getattr(getattr(y, "dtype", None), "char", "d" if isinstance(y, float) else "")
    return np.real(y) + 0.5 * np.imag(y) if char == "D" else y if char == "d" else None


# Solvers that end with an error where they have not converged to their own tolerance.
ITERATED = {"implicit"}


@functools.cache
def table():
    """The samples that may be a step: smooth, real or complex, of a shape that is known."""
    return [
        Step(sample)
        for sample in all_samples()
        if sample.wrt
        and sample.primitive not in ITERATED
        and sample.rtol <= 1e-6
        and not sample.data_dependent_shape
        and not {"jvp", "adjoint", "second", "vmap", "vmap_grad"} & set(sample.skip)
        and all(np.asarray(sample.operands[i]).dtype.char in "dD" for i in sample.wrt)
    ]


# -- programs --------------------------------------------------------------------------------------
class Program:
    """The steps that plain NumPy runs on two arrays, a step being `(name, function, i, j)`."""

    def __init__(self):
        self.steps = []

    def __repr__(self):
        return str([(name, i, j) for name, _, i, j in self.steps])

    def __call__(self, x, y):
        pool = [x, y]
        for _, function, i, j in self.steps:
            pool += self.taken(function, pool, i, j)
        total = 0.0
        for k, v in enumerate(pool):
            total = total + (k % 5 + 1) * 0.2 * np.sum(np.sin(v))
        return total

    @staticmethod
    def taken(function, pool, i, j):
        """What one step adds to the pool."""
        made = function(pool[i % len(pool)], pool[j % len(pool)])
        made = made if isinstance(made, list) else [made]
        return [v for v in made if v is not None and v.size <= LARGEST]


def arguments():
    return (
        np.sin(2.4 * np.arange(6.0) + 0.3).reshape(2, 3) * 0.9,
        np.cos(1.7 * np.arange(3.0) + 0.2),
    )


def built(numbers, turn=0):
    """The program of `(number, i, j)`s: even numbers name samples, odd ones idioms.

    Steps that NumPy does not run on these shapes, and those whose results are not finite, are left
    out. `turn` tells which sample number 0 is, so that several draws see different ones.
    """
    program = Program()
    samples, reads, writes = table(), list(READS.items()), list(WRITES.items())
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        pool = list(arguments())
        for number, i, j in numbers:
            place = number // 2
            if number % 2 == 0:
                sample = samples[(place * 37 + turn) % len(samples)].sample
                function = Step(sample)  # one of its own, for its scales
                name = repr(function)
            else:
                names = reads if place % 2 else writes
                name, function = names[(place // 2 + turn) % len(names)]
            try:
                made = program.taken(function, pool, i, j)
                if not made or not all(np.all(np.abs(v) < 1e3) for v in [*made, *pool]):
                    raise ValueError("too large, or nothing")
            except REFUSALS:
                pool = replayed(program)
                continue
            program.steps.append((name, function, i, j))
            pool += made
    return program


REFUSALS = (ValueError, TypeError, IndexError, AttributeError, ArithmeticError, RuntimeWarning)


def replayed(program):
    """The pool after the steps so far: a step that failed may have written something."""
    pool = list(arguments())
    for _, function, i, j in program.steps:
        pool += program.taken(function, pool, i, j)
    return pool
