"""Keys and draws. Distributions are tested against scipy.stats with fixed keys, so the verdicts
never change; a p-value below 1e-3 fails."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

import pycograd as pg
from pycograd import random, vmap
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.dtypes import dtype
from pycograd.core.errors import ShapeError, SymbolicSizeError
from pycograd.transforms.capture import capture
from pycograd.transforms.shapes import eval_shape
from scipy import stats

KEY = random.key(0)
MANY = 20_000
DRAWS = {
    "uniform": lambda key, shape: random.uniform(key, shape),
    "normal": lambda key, shape: random.normal(key, shape),
    "truncated_normal": lambda key, shape: random.truncated_normal(key, -1.0, 2.0, shape),
    "bernoulli": lambda key, shape: random.bernoulli(key, 0.3, shape),
    "randint": lambda key, shape: random.randint(key, 0, 1000, shape),
    "categorical": lambda key, shape: random.categorical(key, np.zeros(1000), shape=shape),
}


def follows(sample, distribution):
    return stats.ks_1samp(np.ravel(sample).astype(float), distribution.cdf).pvalue > 1e-3


# -- keys ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DRAWS)
def test_the_same_key_gives_the_same_draw_and_another_key_another(name):
    draw = DRAWS[name]
    assert np.array_equal(draw(KEY, (50,)), draw(random.key(0), (50,)))
    others = [random.key(1), *random.split(KEY, 3), random.fold_in(KEY, 0), random.fold_in(KEY, 1)]
    drawn = [tuple(draw(k, (50,))) for k in [KEY, *others]]
    assert len(set(drawn)) == len(drawn)


def test_a_draw_is_the_same_in_another_process_and_in_threads():
    code = "from pycograd import random; print(*random.normal(random.key(7), (4,)))"
    output = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    expected = random.normal(random.key(7), (4,))
    assert np.array_equal([float(x) for x in output.stdout.split()], expected)
    with ThreadPoolExecutor(8) as pool:
        for drawn in pool.map(lambda _: random.normal(random.key(7), (4,)), range(50)):
            assert np.array_equal(drawn, expected)


def test_keys_made_of_keys_never_meet():
    """Among 40,000 keys of all origins, no two are equal, nor do they share a half."""
    parents = [random.key(seed) for seed in range(20)]
    keys = [k for p in parents for k in random.split(p, 1000)]
    keys += [random.fold_in(p, i) for p in parents for i in range(1000)]
    keys += parents
    words = np.stack(keys).view(np.uint64)
    assert len({tuple(k) for k in words.tolist()}) == len(keys)
    for half in words.T:
        assert len(set(half.tolist())) == len(keys)


def test_bits_of_children_are_balanced_and_unrelated():
    children = random.split(KEY, 4096)
    bits = np.unpackbits(children.view(np.uint8), axis=1).astype(float)
    # 128 proportions of 4096 fair bits, then 128 * 127 / 2 correlations: 5 sigma of each
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(4096)
    correlations = np.corrcoef(bits.T) - np.eye(128)
    assert np.abs(correlations).max() < 5.5 / np.sqrt(4096)


def test_streams_of_split_keys_are_independent():
    """Neighbours, parent and child, and the two kinds of children, all uncorrelated."""
    a, b = random.split(KEY)
    streams = [KEY, a, b, random.split(a)[0], random.fold_in(KEY, 0), random.fold_in(KEY, 1)]
    draws = np.stack([random.normal(k, (MANY,)) for k in streams])
    correlations = np.corrcoef(draws) - np.eye(len(streams))
    assert np.abs(correlations).max() < 5 / np.sqrt(MANY)


def test_one_number_from_each_of_many_keys_is_as_good_as_many_from_one():
    children = random.split(KEY, 5000)
    assert follows(random.uniform(children), stats.uniform)
    assert follows(random.normal(children), stats.norm)
    folded = np.stack([random.fold_in(KEY, i) for i in range(5000)])
    assert follows(random.uniform(folded), stats.uniform)
    # Successive pairs fill the square evenly.
    u = random.uniform(children).reshape(-1, 2)
    counts = np.histogram2d(*u.T, bins=8, range=[(0, 1), (0, 1)])[0]
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_the_first_keys_of_a_split_do_not_depend_on_their_number():
    assert np.array_equal(random.split(KEY, 2), random.split(KEY, 7)[:2])
    assert random.split(KEY, 0).shape == (0, 4)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_a_stack_of_keys_draws_for_each(name, shape):
    draw, keys = DRAWS[name], random.split(KEY, 6).reshape(2, 3, 4)
    together = draw(keys, shape)
    assert together.shape == (2, 3, *shape)
    for i in np.ndindex(2, 3):
        assert np.array_equal(together[i], draw(keys[i], shape))


def test_a_stack_of_keys_makes_stacks_of_keys():
    keys = random.split(KEY, 3)
    assert np.array_equal(random.split(keys, 2), np.stack([random.split(k, 2) for k in keys]))
    assert np.array_equal(random.fold_in(keys, 5), np.stack([random.fold_in(k, 5) for k in keys]))


@pytest.mark.parametrize(
    "bad", [0, None, np.zeros(4), np.zeros(3, np.uint32), np.uint32(1), [1, 2, 3, 4]]
)
def test_what_is_not_a_key_is_refused(bad):
    for use in (*DRAWS.values(), lambda k, _: random.split(k), lambda k, _: random.fold_in(k, 1)):
        with pytest.raises(TypeError, match=r"random\.key\(seed\)"):
            use(bad, (2,))


def test_seeds():
    assert random.key(2**200).dtype == np.uint32
    assert not np.array_equal(random.key(2**200), random.key(2**200 + 1))
    for wrong, error in ((-1, ValueError), (1.5, TypeError), ("0", TypeError)):
        with pytest.raises(error):
            random.key(wrong)
    for wrong, error in ((-1, ValueError), (2**64, ValueError), (0.5, TypeError)):
        with pytest.raises(error):
            random.fold_in(KEY, wrong)


# -- distributions ---------------------------------------------------------------------------------
@pytest.mark.parametrize("spec", ["f64", "f32", np.longdouble])
def test_uniform_and_normal_are_what_they_say(spec):
    u, x = random.uniform(KEY, (MANY,), dtype=spec), random.normal(KEY, (MANY,), dtype=spec)
    assert u.dtype == x.dtype == np.dtype({"f64": "f8", "f32": "f4"}.get(spec, spec))
    assert follows(u, stats.uniform) and follows(x, stats.norm)
    assert follows(random.uniform(KEY, (MANY,), -3, 5, spec), stats.uniform(-3, 8))


@pytest.mark.parametrize("spec, bits", [("f16", 11), ("bf16", 8)])
def test_short_floats(spec, bits):
    u, x = random.uniform(KEY, (MANY,), dtype=spec), random.normal(KEY, (MANY,), dtype=spec)
    assert u.dtype == x.dtype == np.dtype({"f16": "f2"}.get(spec, ml_dtypes.bfloat16))
    counts = np.bincount((u.astype(float) * 2**bits).astype(int), minlength=2**bits)
    assert stats.chisquare(counts).pvalue > 1e-3
    # A sample of rounded numbers has ties: compare with a sample rounded alike.
    rounded = stats.norm.rvs(size=MANY, random_state=1).astype(x.dtype)
    assert stats.ks_2samp(x.astype(float), rounded.astype(float)).pvalue > 1e-3


@pytest.mark.parametrize("spec", ["f64", "f32", "f16", "bf16"])
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (1.0, 2.0), (-2.0, -1.0), (1.0, 1.0)])
def test_uniform_stays_below_its_upper_end(spec, low, high):
    """1 + u rounds to 2 once in 2**24 draws of float32, once in 512 of bfloat16."""
    u = random.uniform(KEY, (MANY,), low, high, spec)
    assert np.all(u >= low) and (np.all(u < high) or low == high)
    assert np.all(np.isfinite(u.astype(float)))


def test_uniform_between_arrays():
    low, high = np.array([0.0, 10.0]), np.array([1.0, 30.0])
    u = random.uniform(KEY, (MANY, 2), low, high)
    assert follows(u[:, 0], stats.uniform(0, 1)) and follows(u[:, 1], stats.uniform(10, 20))


def test_complex_normal_has_unit_variance_in_both_parts_together():
    z = random.normal(KEY, (MANY,), dtype="c64")
    assert z.dtype == np.complex64
    half = stats.norm(scale=np.sqrt(0.5))
    assert follows(z.real, half) and follows(z.imag, half)
    assert abs(np.corrcoef(z.real, z.imag)[0, 1]) < 5 / np.sqrt(MANY)


@pytest.mark.parametrize(
    "lower, upper",
    [
        (-2.0, 2.0),
        (-0.1, 0.2),
        (-np.inf, 1.0),
        (-np.inf, np.inf),
        (0.0, np.inf),
        (0.5, 0.6),
        (3.0, np.inf),
        (8.0, 8.01),
        (-np.inf, -5.0),
        (-30.0, -20.0),
        (-np.inf, 0.0),
        (1e-3, 2.6),
    ],
)
def test_truncated_normal(lower, upper):
    x = random.truncated_normal(KEY, lower, upper, (MANY,))
    assert np.all((lower <= x) & (x <= upper))
    assert follows(x, stats.truncnorm(lower, upper))


def test_truncated_normal_where_the_square_overflows():
    x = random.truncated_normal(KEY, 1e200, np.inf, (3,))
    assert np.all(x == 1e200)


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (np.inf, np.inf)])
def test_truncated_normal_needs_an_interval(ends):
    with pytest.raises(ValueError, match="no interval"):
        random.truncated_normal(KEY, *ends)


def test_bernoulli():
    for p in (0.0, 0.03, 0.5, 1.0):
        ones = int(np.sum(random.bernoulli(KEY, p, (MANY,))))
        assert stats.binomtest(ones, MANY, p).pvalue > 1e-3
    each = random.bernoulli(KEY, np.array([0.0, 1.0]), (MANY, 2))
    assert each[:, 0].max() == 0 and each[:, 1].min() == 1
    assert random.bernoulli(KEY, [0.1, 0.2, 0.3]).shape == (3,)


def test_randint():
    faces = random.randint(KEY, -2, 4, (MANY,))
    assert faces.dtype == np.int64
    assert stats.chisquare(np.bincount(faces + 2, minlength=6)).pvalue > 1e-3
    assert random.randint(KEY, 0, 256, (5,), np.uint8).dtype == np.uint8


def test_permutation_of_numbers_is_uniform_over_the_orders():
    orders = random.permutation(random.split(KEY, 6000), 3)
    counts = np.unique(orders @ [9, 3, 1], return_counts=True)[1]
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_permutation_of_an_array_moves_whole_rows(axis):
    x, keys = np.arange(24).reshape(2, 3, 4), random.split(KEY, 5)
    order = random.permutation(KEY, x.shape[axis])
    assert np.array_equal(random.permutation(KEY, x, axis), np.take(x, order, axis))
    stack = random.permutation(keys, x, axis)
    assert np.array_equal(stack, np.stack([random.permutation(k, x, axis) for k in keys]))


def test_categorical():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.0, 0.5]])
    with np.errstate(divide="ignore"):
        logits = np.log(p) + 3.0
    drawn = random.categorical(KEY, logits, shape=(MANY, 2))
    for row, chance in zip(drawn.T, p):
        counts, live = np.bincount(row, minlength=3), chance > 0
        assert counts[~live].sum() == 0
        assert stats.chisquare(counts[live], chance[live] * MANY).pvalue > 1e-3
    columns = random.categorical(KEY, logits.T, axis=0)
    assert np.array_equal(columns, random.categorical(KEY, logits))


@pytest.mark.parametrize("row", [[np.nan, 0.0], [-np.inf, -np.inf], [np.inf, 0.0]])
def test_categorical_needs_a_distribution(row):
    with pytest.raises(ValueError, match="finite maximum"):
        random.categorical(KEY, np.array([[0.0, 0.0], row]))


def test_the_default_dtype_is_that_of_the_block():
    with dtype("f32"):
        for draw in (random.uniform, random.normal):
            assert draw(KEY, (2,)).dtype == np.float32
            assert draw(KEY, (2,), dtype="f64").dtype == np.float64
        assert random.truncated_normal(KEY, shape=(2,)).dtype == np.float32
        assert random.bernoulli(KEY, 0.5, (2,)).dtype == np.float32
        assert random.uniform(KEY, (2,), 0.0, np.float64(2.0)).dtype == np.float32
    assert random.bernoulli(KEY, 0.5, (2,), dtype=bool).dtype == bool
    assert random.normal(KEY, 3).dtype == np.float64


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: random.uniform(KEY, (2,), dtype="c64"), "real numbers"),
        (lambda: random.normal(KEY, (2,), dtype=int), "not a floating-point"),
        (lambda: random.normal(KEY, (-1,)), "must not be negative"),
        (lambda: random.bernoulli(KEY, 1.5), "from 0 to 1"),
        (lambda: random.bernoulli(KEY, np.nan), "from 0 to 1"),
        (lambda: random.randint(KEY, 3, 3), "no integers"),
        (lambda: random.randint(KEY, 0, 300, (2,), np.uint8), "uint8 does not hold"),
        (lambda: random.categorical(KEY, np.zeros((2, 3)), shape=(3,)), "does not end with"),
    ],
)
def test_bad_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize("p", [np.ones(4), np.ones((3, 2))])
def test_parameters_must_fit_the_shape(p):
    with pytest.raises(ShapeError):
        random.bernoulli(KEY, p, (2,))
    with pytest.raises(ShapeError):
        random.uniform(KEY, (2,), 0.0, p)


# -- numbers that differ between rows ------------------------------------------------------------
KEYS = random.split(KEY, 4)


def by_rows(f, *args):
    return np.stack([f(*row) for row in zip(*args)])


@pytest.mark.parametrize(
    "f, args",
    [
        (lambda i: random.fold_in(KEY, i), (np.arange(4),)),
        (random.fold_in, (KEYS, np.arange(4))),
        (lambda i: random.fold_in(KEYS, i), (np.arange(4),)),
        (lambda k: random.permutation(k, np.arange(5.0)), (KEYS,)),
        (lambda k: random.permutation(k, np.arange(6.0).reshape(2, 3), axis=1), (KEYS,)),
        (lambda k, h: random.randint(k, 0, h, (3,)), (KEYS, np.array([2, 3, 4, 5]))),
        (lambda h: random.randint(KEYS, h - 9, h, (3,), np.int16), (np.array([2, 3, 4, 5]),)),
    ],
)
def test_numbers_may_differ_between_rows(f, args):
    got = vmap(f)(*args)
    want = by_rows(f, *args)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    inner = vmap(vmap(f))(*[np.stack([a, a[::-1]]) for a in args])
    np.testing.assert_array_equal(inner, [want, by_rows(f, *[a[::-1] for a in args])])
    np.testing.assert_array_equal(vmap(pg.capture(f, *[a[0] for a in args]))(*args), want)
    assert pg.eval_shape(vmap(f), *args) == pg.ShapeDtypeStruct(want.shape, want.dtype)


def test_bad_numbers_in_rows():
    with pytest.raises(ValueError, match=r"no integers from 0 .* 0 \(.*test_random.py"):
        vmap(lambda h: random.randint(KEY, 0, h))(np.array([1, 0]))
    with pytest.raises(
        ValueError, match="uint8 does not hold all integers from 0 to 299"
    ) as caught:
        random.randint(KEY, 0, 300, (2,), np.uint8)
    assert not isinstance(caught.value, ShapeError)
    with pytest.raises(ValueError, match=r"fold_in: data must be .* -1"):
        vmap(lambda i: random.fold_in(KEY, i))(np.array([0, -1]))
    with pytest.raises(TypeError, match="must be an integer"):
        pg.grad(lambda x: random.fold_in(KEY, x).sum() * x)(1.0)
    with pytest.raises(TypeError, match="draws integers"):
        random.randint(KEY, 0, 3, dtype=float)


def test_draws_of_symbolic_sizes():
    spec = ShapeDtypeStruct(("B", 3))
    f = lambda x: x * random.uniform(random.key(1), x.shape) + random.normal(random.key(2), (3,))
    assert str(eval_shape(f, spec)) == "f64[B,3]"
    graph = capture(f, spec)
    for n in (1, 4):
        x = np.ones((n, 3))
        np.testing.assert_array_equal(graph(x), f(x))
    assert str(eval_shape(lambda x: random.split(random.key(0), x.shape[0]), spec)) == "u32[B,4]"
    with pytest.raises(SymbolicSizeError, match="the size B is symbolic"):
        random.uniform(random.key(0), spec.shape)
