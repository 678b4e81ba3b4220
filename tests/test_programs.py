"""The corpus of programs under every transform, against differences, loops and other libraries."""

import functools
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import programs
from programs import PROGRAMS
from pycograd import (
    ShapeDtypeStruct,
    checkpoint,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_unflatten,
    value_and_grad,
    vjp,
    vmap,
)
from pycograd.testing import check_grads

every = pytest.mark.parametrize("program", PROGRAMS, ids=repr)
unbranched = pytest.mark.parametrize("program", [p for p in PROGRAMS if not p.branches], ids=repr)


def is_float(x):
    return np.asarray(x).dtype.kind in "fc"


def weights(x):
    return np.cos(np.arange(np.size(x), dtype=float)).reshape(np.shape(x)) + 0.2


def direction(tree, shift=0.3):
    """A tangent for the float leaves of a tree, None for the others."""
    return tree_map(lambda x: weights(x) + shift * np.asarray(x) if is_float(x) else None, tree)


def scalar(program):
    """The program as a real scalar function: the sum of its outputs with uneven weights."""

    def loss(*args):
        total = 0.0
        for y in tree_leaves(program.f(*args)):
            total = total + np.sum(np.real(y * weights(y)))
        return total

    return loss


def moved(args, directions, step):
    return tree_map(lambda x, v: x if v is None else x + step * v, args, directions)


def differences(f, args, directions, h=1e-4):
    """The derivative of a tree of outputs along a direction."""
    at = {k: f(*moved(args, directions, k * h)) for k in (-2, -1, 1, 2)}
    return tree_map(
        lambda a, b, aa, bb: (8 * (b - a) - (bb - aa)) / (12 * h), at[-1], at[1], at[-2], at[2]
    )


def inner(gradients, directions):
    """Re<gradients, directions> over the leaves that have gradients."""
    total = 0.0
    for g, v in zip(tree_leaves(gradients), tree_leaves(directions), strict=True):
        total = total + np.sum(np.real(np.conj(g) * v))
    return total


def close(found, expected, rtol=1e-7):
    for x, y in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        scale = float(np.max(np.abs(y), initial=0.0))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * max(1.0, scale))


@every
def test_values_are_numpys(program):
    loss, args = scalar(program), program.args
    expected = program.f(*args)
    v = direction(args)
    close(value_and_grad(loss)(*args)[0], loss(*args), 1e-14)
    close(vjp(program.f, *args)[0], expected, 1e-14)
    close(jvp(program.f, args, v)[0], expected, 1e-14)


@every
def test_grad(program):
    loss, args = scalar(program), program.args
    v = direction(args)
    gradients = grad(loss)(*args)
    close(inner(gradients, v), differences(loss, args, v))
    for g, x in zip(
        tree_leaves(gradients), [x for x in tree_leaves(args) if is_float(x)], strict=True
    ):
        assert (np.shape(g), np.asarray(g).dtype) == (np.shape(x), np.asarray(x).dtype)


@every
def test_jvp(program):
    v = direction(program.args)
    close(jvp(program.f, program.args, v)[1], differences(program.f, program.args, v))


@every
def test_every_entry(program):
    check_grads(scalar(program), program.args, order=1, rtol=1e-5, atol=1e-5)


@every
def test_second_order_in_every_nesting(program):
    loss, args = scalar(program), program.args
    v, u = direction(args), direction(args, -0.7)
    expected = inner(differences(grad(loss), args, v), u)
    slope = lambda *args: jvp(loss, args, u)[1]
    close(inner(jvp(grad(loss), args, v)[1], u), expected, 1e-6)
    close(jvp(slope, args, v)[1], expected, 1e-6)
    close(inner(grad(slope)(*args), v), expected, 1e-6)
    close(inner(grad(lambda *args: inner(grad(loss)(*args), u))(*args), v), expected, 1e-6)


@every
def test_checkpoint(program):
    loss, args = scalar(program), program.args
    close(grad(checkpoint(loss))(*args), grad(loss)(*args), 1e-13)
    v = direction(args)
    second = lambda f: grad(lambda *args: inner(grad(f)(*args), v))(*args)
    close(second(checkpoint(loss)), second(loss), 1e-12)


@unbranched
def test_vmap(program):
    args = program.args
    rows = [moved(args, direction(args), 0.01 * k) for k in range(3)]
    axes = tree_map(lambda x: 0 if is_float(x) else None, args)
    stacked = tree_map(lambda x, *xs: np.stack(xs) if is_float(x) else x, args, *rows)
    stack = lambda results: tree_map(lambda *xs: np.stack(xs), *results)
    close(vmap(program.f, axes)(*stacked), stack([program.f(*row) for row in rows]), 1e-12)
    loss = scalar(program)
    close(vmap(grad(loss), axes)(*stacked), stack([grad(loss)(*row) for row in rows]), 1e-11)
    total = grad(lambda *args: np.sum(vmap(loss, axes)(*args)))(*stacked)
    close(total, stack([grad(loss)(*row) for row in rows]), 1e-11)


@unbranched
def test_shapes(program):
    args, loss = program.args, scalar(program)

    def same(avals, arrays):
        for aval, array in zip(tree_leaves(avals), tree_leaves(arrays), strict=True):
            assert aval == ShapeDtypeStruct(np.shape(array), np.asarray(array).dtype)

    same(eval_shape(program.f, *args), program.f(*args))
    same(eval_shape(grad(loss), *args), grad(loss)(*args))


single = [
    p
    for p in PROGRAMS
    if isinstance(p.args[0], (np.ndarray, np.generic)) and p.args[0].dtype.kind == "f"
]


@pytest.mark.parametrize("program", single, ids=repr)
def test_jacobians_and_hessians_in_the_first_argument(program):
    x, *rest = program.args
    f = lambda x: program.f(x, *rest)
    basis = np.eye(np.size(x)).reshape(np.size(x), *np.shape(x))

    def by_columns(g):
        columns = [differences(g, (x,), (e,)) for e in basis]
        return tree_map(
            lambda *cs: np.stack(cs, -1).reshape(np.shape(cs[0]) + np.shape(x)), *columns
        )

    if not program.branches:
        close(jacfwd(f)(x), by_columns(f), 1e-6)
        close(jacrev(f)(x), by_columns(f), 1e-6)
        loss = lambda x: scalar(program)(x, *rest)
        close(hessian(loss)(x), by_columns(lambda x: grad(loss)(x)[0]), 1e-5)


# -- another library as the oracle --------------------------------------------------------------
@functools.cache
def programs_over_jax():
    """The corpus again, with `jax.numpy` in the place of `numpy`."""
    source = Path(programs.__file__).read_text()
    module = types.ModuleType("programs_over_jax")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    source = source.replace("import numpy as np\n", "import jax.numpy as np\n")
    exec(compile(source, "programs_over_jax", "exec"), module.__dict__)
    return {p.name: p.f for p in module.PROGRAMS}


@pytest.mark.parametrize(
    "program", [p for p in PROGRAMS if not p.writes and not p.nested], ids=repr
)
def test_gradients_are_those_of_jax(program):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    f = programs_over_jax()[program.name]
    leaves, treedef = tree_flatten(program.args)
    places = [i for i, x in enumerate(leaves) if is_float(x)]

    def loss(floats):
        filled = list(leaves)
        for i, x in zip(places, floats):
            filled[i] = x
        outputs = tree_leaves(f(*tree_unflatten(treedef, filled)))
        return sum(jax.numpy.sum(jax.numpy.real(y * weights(y))) for y in outputs)

    expected = jax.grad(loss)([leaves[i] for i in places])
    found = tree_leaves(grad(scalar(program))(*program.args))
    # JAX's gradient of a real loss of complex numbers is the conjugate of ours.
    close(found, [np.conj(np.asarray(g)) for g in expected], 1e-9)
