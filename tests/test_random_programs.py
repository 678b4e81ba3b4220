"""Random programs of the sample table's operations, views, writes and reads, in every mode.

A run on plain arrays shows what NumPy does; transforms must say the same, and differentiate it as
differences and each other do. `make test` runs some 2,000 programs, the profile `thorough` five
times as many with numbers of its own, and this command 50,000:

    python -m pytest tests/test_random_programs.py --hypothesis-profile=exhaustive -n auto
"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pycograd import AmbiguousAliasError, checkpoint, eval_shape, grad, jvp, value_and_grad, vmap
from sampled import arguments, built
from slopes import moved, near, slope

BLOCKS = 20
number = st.integers(0, 7)
programs = st.lists(st.tuples(st.integers(0, 2**14 - 1), number, number), min_size=2, max_size=12)


class Count:
    """How many programs ran, and what became of the others."""

    def __init__(self):
        self.ran = self.steps = self.ambiguous = self.rough = self.rough_slopes = 0

    def enough(self):
        """Most have one meaning and are smooth, and are programs of some length."""
        tried = self.ran + self.ambiguous + self.rough
        return (
            self.ran >= 0.7 * tried
            and self.rough <= 0.1 * tried
            and self.rough_slopes <= 0.2 * tried
            and self.steps >= 2 * self.ran
        )


V = np.array([[1.0, -0.4, 0.7], [0.2, 0.9, -1.1]]), np.array([0.3, -1.0, 0.5])
U = np.array([[-0.3, 0.8, 0.5], [1.2, -0.6, 0.1]]), np.array([0.9, 0.4, -0.7])


def inner(gradients, directions):
    return sum([np.sum(g * v) for g, v in zip(gradients, directions)])


def check(f, count):
    """Compares a program under every transform with plain runs of it; counts what became of it."""
    args = arguments()
    value, gradients = value_and_grad(f)(*args)
    near(value, f(*arguments()), 1e-12)
    first, smooth = slope(f, args, V)
    if not smooth:
        count.rough += 1
        return
    near(inner(gradients, V), first, 1e-6)
    near(jvp(f, args, V)[1], inner(gradients, V), 1e-10)
    for x, kept in zip(args, arguments()):
        np.testing.assert_array_equal(x, kept)  # what is written changes inside f alone

    def across(x, y):
        return inner(grad(f)(x, y), U)

    mixed = inner(jvp(grad(f), args, V)[1], U)
    second, smooth = slope(across, args, V)
    if smooth:
        near(mixed, second, 1e-6)
    else:
        count.rough_slopes += 1
    near(inner(grad(across)(*args), V), mixed, 1e-9)
    near(inner(grad(lambda x, y: jvp(f, (x, y), U)[1])(*args), V), mixed, 1e-9)

    again = grad(checkpoint(lambda x, y: f(x * 1.0, y * 1.0)))(*args)
    for g, want in zip(again, gradients):
        near(g, want, 1e-12)
    assert eval_shape(f, *args).shape == ()

    rows = np.stack([args[0], moved(args, V, 0.01)[0]])
    near(vmap(f, (0, None))(rows, args[1]), [f(x.copy(), args[1].copy()) for x in rows], 1e-11)
    for g, want in zip(vmap(grad(f), (0, None))(rows, args[1]), gradients):
        near(g[0], want, 1e-10)
    count.ran += 1
    count.steps += len(f.steps)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_programs(block):
    count = Count()

    @given(programs)
    def every(numbers):
        program = built(numbers, turn=block)
        try:
            check(program, count)
        except AmbiguousAliasError:
            count.ambiguous += 1  # a write through a reshape that may be a copy: not guessed
        except Exception as error:
            raise AssertionError(f"program {program}") from error

    every()
    assert count.enough(), vars(count)
