"""Custom rules, stop_gradient, no_grad, debug_nans and checkpoint."""

import collections
import functools
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import pycograd as pg
from pycograd import checkpoint, custom_jvp, custom_vjp, grad, jvp, vmap


def doubled_sine():
    """sin with a derivative twice too large, so that the rule in use shows."""

    @custom_vjp
    def f(x):
        return np.sin(x)

    f.defvjp(lambda x: (np.sin(x), x), lambda x, ct: (2 * ct * np.cos(x),))
    return f


def tripled_sine():
    @custom_jvp
    def f(x):
        return np.sin(x)

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return f(x), 3 * t * np.cos(x)

    return f


XS = np.linspace(0.1, 1.0, 4)


@pytest.mark.parametrize("make, k", [(doubled_sine, 2), (tripled_sine, 3)])
def test_rules_in_every_mode(make, k):
    f = make()
    np.testing.assert_allclose(f(XS), np.sin(XS))
    np.testing.assert_allclose(grad(f)(0.3)[0], k * np.cos(0.3))
    np.testing.assert_allclose(jvp(f, (0.3,), (2.0,))[1], 2 * k * np.cos(0.3))
    np.testing.assert_allclose(vmap(grad(f))(XS)[0], k * np.cos(XS))
    np.testing.assert_allclose(grad(lambda x: np.sum(vmap(f)(x)))(XS)[0], k * np.cos(XS))
    np.testing.assert_allclose(grad(lambda x: grad(f)(x)[0])(0.3)[0], -k * np.sin(0.3))
    np.testing.assert_allclose(jvp(lambda x: grad(f)(x)[0], (0.3,), (1.0,))[1], -k * np.sin(0.3))
    np.testing.assert_allclose(grad(lambda x: np.sum(checkpoint(f)(x)))(XS)[0], k * np.cos(XS))
    assert pg.eval_shape(f, pg.ShapeDtypeStruct((5,))).shape == (5,)


def test_both_rules_on_one_object():
    f = doubled_sine()
    f.defjvp(lambda p, t: (np.sin(p[0]), 5 * t[0]))
    assert grad(f)(0.0) == (2.0,)
    assert jvp(f, (0.0,), (1.0,))[1] == 5.0


def test_trees_unmapped_arguments_and_none():
    @custom_vjp
    def f(p, x, label):
        return {"y": p["w"] * x}, np.sum(x)

    f.defvjp(
        lambda p, x, label: (f(p, x, label), (p, x)),
        lambda res, ct: ({"w": ct[0]["y"] * res[1]}, ct[0]["y"] * res[0]["w"] + ct[1], None),
    )
    loss = lambda p, x: np.sum(f(p, x, 3)[0]["y"]) + f(p, x, 3)[1]
    gp, gx = grad(loss)({"w": np.arange(3.0)}, np.ones(3))
    np.testing.assert_allclose(gp["w"], np.ones(3))
    np.testing.assert_allclose(gx, np.arange(3.0) + 1)
    gp, gx = vmap(grad(loss), (None, 0))({"w": np.arange(3.0)}, np.ones((2, 3)))
    assert gp["w"].shape == (2, 3)


def test_missing_rules_and_wrong_rules():
    bare = custom_vjp(lambda x: x)
    with pytest.raises(pg.MissingRuleError):
        grad(bare)(1.0)
    wrong = custom_vjp(lambda x, y: x * y)
    wrong.defvjp(lambda x, y: (x * y, None), lambda res, ct: (ct,))
    with pytest.raises(pg.RuleSignatureError, match="1 cotangents for 2"):
        grad(wrong)(1.0, 2.0)


def test_closing_over_a_differentiated_value_is_an_early_error():
    def outer(w):
        f = custom_vjp(lambda x: x * w)
        f.defvjp(lambda x: (x * w, None), lambda res, ct: (ct,))
        return f(2.0)

    with pytest.raises(pg.ClosedOverError):
        grad(outer)(3.0)


def test_closing_over_a_value_through_a_helper_is_an_error():
    def outer(w):
        def helper(x):
            return x * w

        f = custom_vjp(lambda x: helper(x))
        f.defvjp(lambda x: (helper(x), None), lambda res, ct: (ct,))
        return f(2.0)

    with pytest.raises(pg.ClosedOverError):
        grad(outer)(3.0)
    with pytest.raises(pg.ClosedOverError):
        grad(lambda x: grad(lambda w: outer(w) * x)(3.0)[0])(2.0)


@pytest.mark.parametrize("returned", [1.0, np.ones(4), np.ones((3, 1))])
def test_cotangents_of_another_shape_are_errors(returned):
    f = custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (x * 2, None), lambda res, ct: (returned,))
    with pytest.raises(pg.RuleSignatureError, match="shape"):
        grad(lambda x: np.sum(f(x)))(np.ones(3))


def test_tangents_of_another_shape_are_errors_and_none_is_zero():
    f = custom_jvp(lambda x: x * 2)
    f.defjvp(lambda p, t: (p[0] * 2, np.float64(1.0)))
    with pytest.raises(pg.RuleSignatureError, match="shape"):
        jvp(f, (np.ones(3),), (np.ones(3),))
    g = custom_jvp(lambda x: x * 2)
    g.defjvp(lambda p, t: (p[0] * 2, None))
    assert jvp(g, (1.0,), (1.0,))[1] == 0.0


def test_opaque_functions_run_as_a_loop_with_one_warning():
    import math

    @functools.partial(custom_vjp, transparent=False)
    def f(x):
        return np.float64(math.exp(x))

    f.defvjp(lambda x: (np.float64(math.exp(x)),) * 2, lambda y, ct: (ct * y,))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_allclose(vmap(f)(XS), np.exp(XS))
    assert [w.category for w in caught] == [pg.BatchingLoopWarning] and "f" in str(
        caught[0].message
    )
    np.testing.assert_allclose(grad(f)(0.5)[0], np.exp(0.5))


# -- constants -------------------------------------------------------------------------------------
def test_stop_gradient_in_every_mode():
    f = lambda x: x * pg.stop_gradient(x)
    assert grad(f)(3.0) == (3.0,)
    assert jvp(f, (3.0,), (1.0,))[1] == 3.0
    np.testing.assert_allclose(vmap(grad(f))(XS)[0], XS)
    assert grad(lambda x: grad(f)(x)[0])(3.0) == (0.0,)
    assert pg.detach is pg.stop_gradient


def test_no_grad():
    def f(x):
        with pg.no_grad():
            y = x * x
        return y * x

    assert grad(f)(3.0) == (9.0,)
    assert grad(lambda x: x * x * x)(3.0) == (27.0,)


def test_transforms_inside_a_no_grad_block_are_their_own():
    with pg.no_grad():
        assert grad(lambda x: x * x)(3.0) == (6.0,)
        assert jvp(lambda x: x * x, (3.0,), (1.0,))[1] == 6.0


def test_custom_functions_and_checkpoints_are_constants_inside_no_grad():
    def f(x):
        with pg.no_grad():
            y = checkpoint(lambda x: x * x)(x) + tripled_sine()(x)
        return y + x

    assert grad(f)(3.0) == (1.0,)


def test_a_pullback_called_inside_no_grad_runs_its_checkpoints():
    _, pullback = pg.vjp(checkpoint(lambda x: x * x), 3.0)
    with pg.no_grad():
        assert pullback(1.0) == (6.0,)


def test_debug_nans_names_the_operation():
    with pg.debug_nans():
        with (
            pytest.raises(pg.NanError, match=r"log made a nan.*test_custom\.py"),
            np.errstate(all="ignore"),
        ):
            grad(lambda x: np.log(x))(-1.0)
        with pytest.raises(pg.NanError, match=r"derivative of sqrt"), np.errstate(all="ignore"):
            grad(lambda x: np.sqrt(x * x) * 0.0)(0.0)
        assert grad(lambda x: x * x)(2.0) == (4.0,)


# -- checkpoint ------------------------------------------------------------------------------------
def body(x, w, *, k=1.0):
    return np.tanh(np.sin(x * w) * k) * x


NESTINGS = {
    "reverse": lambda f: lambda x: grad(lambda x: np.sum(f(x)))(x)[0],
    "reverse over reverse": lambda f: (
        lambda x: grad(lambda x: np.sum(grad(lambda x: np.sum(f(x)))(x)[0] ** 2))(x)[0]
    ),
    "forward over reverse": lambda f: (
        lambda x: jvp(lambda x: grad(lambda x: np.sum(f(x)))(x)[0], (x,), (np.ones(4),))[1]
    ),
    "reverse over forward": lambda f: (
        lambda x: grad(lambda x: np.sum(jvp(f, (x,), (np.ones(4),))[1]))(x)[0]
    ),
    "batched reverse": lambda f: lambda x: vmap(grad(lambda x: np.sum(f(x))))(x)[0],
    "reverse over batched": lambda f: lambda x: grad(lambda x: np.sum(vmap(f)(x)))(x)[0],
    "hessian": lambda f: lambda x: pg.hessian(lambda x: np.sum(f(x)))(x),
    "vjp": lambda f: lambda x: pg.vjp(f, x)[1](np.arange(4.0))[0],
    "by hand": lambda f: lambda x: by_hand(f, x),
}


def by_hand(f, x):
    v = pg.Var(x)
    np.sum(f(v)).backward()
    return v.grad


@pytest.mark.parametrize("nesting", NESTINGS)
def test_checkpoint_is_drop_in(nesting):
    w = np.linspace(0.5, 2.0, 4)
    plain = lambda x: body(x, 1.5, k=2.0) * 2.0
    wrapped = lambda x: checkpoint(body)(x, 1.5, k=2.0) * 2.0
    twice = lambda x: checkpoint(lambda x: checkpoint(body)(x, 1.5, k=2.0) * 2.0)(x)
    run = NESTINGS[nesting]
    for f in (wrapped, twice):
        np.testing.assert_allclose(run(f)(w), run(plain)(w), rtol=1e-10)


def test_checkpoint_of_values_closed_over():
    f = lambda w: np.sum(checkpoint(lambda x: np.sin(x * w) * w)(w * 2.0))
    g = lambda w: np.sum(np.sin(w * 2.0 * w) * w)
    for run in (NESTINGS["reverse"], NESTINGS["forward over reverse"], NESTINGS["vjp"]):
        if run is NESTINGS["vjp"]:
            a, b = (pg.vjp(h, XS)[1](1.0)[0] for h in (f, g))
        else:
            a, b = run(f)(XS), run(g)(XS)
        np.testing.assert_allclose(a, b)


def test_checkpoint_keeps_only_its_inputs():
    import tracemalloc

    def run(wrap):
        layer = wrap(lambda x: np.sin(np.cos(np.tanh(np.sin(np.cos(x))))))

        def f(x):
            for _ in range(8):
                x = layer(x)
            return np.sum(x)

        x = np.ones(100_000)
        tracemalloc.start()
        grad(f)(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert run(checkpoint) < 0.5 * run(lambda f: f)


def test_checkpoint_replays_keys_and_trees():
    key = pg.random.key(0)
    noisy = lambda p: {"y": p["w"] * pg.random.normal(key, (3,))}
    f = lambda p: np.sum(checkpoint(noisy)(p)["y"] ** 2)
    g = lambda p: np.sum(noisy(p)["y"] ** 2)
    p = {"w": np.arange(3.0)}
    np.testing.assert_allclose(grad(f)(p)[0]["w"], grad(g)(p)[0]["w"])


class Holder:
    def __init__(self, w):
        self.w = w

    def method(self, x):
        return x * x * self.w


HIDING = {
    "partial": lambda w: functools.partial(lambda w, x: w * x * x, w),
    "method": lambda w: Holder(w).method,
    "default": lambda w: lambda x, w=w: w * x * x,
    "helper": lambda w: (lambda h: lambda x: h(x))(lambda x: w * x * x),
    "nested": lambda w: lambda x: checkpoint(lambda x: w * x * x)(x),
}


@pytest.mark.parametrize("hide", HIDING)
def test_checkpoint_of_values_that_hide(hide):
    make = HIDING[hide]
    outer = lambda x: grad(lambda w: checkpoint(make(w))(x))(3.0)[0]
    assert grad(outer)(2.0) == (4.0,)
    np.testing.assert_allclose(vmap(outer)(np.array([2.0, 3.0])), [4.0, 9.0])
    assert jvp(outer, (2.0,), (1.0,))[1] == 4.0
    assert grad(lambda w: np.sum(vmap(checkpoint(make(w)))(XS)))(2.0)[0] == pytest.approx(
        np.sum(XS**2)
    )


def test_writing_into_an_argument_is_an_error_and_harmless():
    def f(h):
        h *= 2
        return np.sum(h**2)

    x = np.array([1.0, 2.0, 3.0])
    with pytest.raises(pg.OuterWriteError):
        grad(checkpoint(f))(x)
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])


def test_checkpoints_and_custom_calls_make_no_cycles():
    import gc
    import weakref

    gc.collect()
    gc.disable()
    try:
        for make in (checkpoint, lambda f: tripled_sine()):
            kept = []

            def f(x, make=make, kept=kept):
                y = x * 2.0
                kept.append(weakref.ref(y))
                return np.sum(make(lambda z: z * 3.0)(y))

            grad(f)(np.ones(5))
            assert kept[0]() is None
    finally:
        gc.enable()


def test_writing_to_an_outer_value_is_an_error():
    def f(x):
        y = x * 1.0

        def inner(z):
            y[0] = z[0]
            return z * 2.0

        return np.sum(checkpoint(inner)(x)) + y[0]

    with pytest.raises(pg.OuterWriteError):
        grad(f)(np.ones(2))


def test_policies():
    assert grad(checkpoint(lambda x: x * x, policy="everything"))(2.0) == (4.0,)
    with pytest.raises(ValueError, match="policy"):
        checkpoint(lambda x: x, policy="some")


# -- values that leave a checkpointed function otherwise than as its result -----------------------
class Kept:
    """Where a function leaves values behind."""

    v = None


@pytest.mark.parametrize("with_weights", [False, True])
@pytest.mark.parametrize("transform", ["grad", "jvp", "vmap", "grad of grad"])
def test_values_kept_from_a_checkpointed_function(with_weights, transform):
    def f(x, wrap=checkpoint):
        kept, w = Kept(), x if with_weights else 1.5

        def layer(y):
            kept.v = np.tanh(w * y)
            return kept.v * 2.0

        y = wrap(layer)(x * 1.0)
        return np.sum(y) + np.sum(kept.v**2) + np.sum(np.sin(x))

    run = {
        "grad": lambda f: grad(f)(XS),
        "jvp": lambda f: jvp(f, (XS,), (XS,)),
        "vmap": lambda f: vmap(f)(np.stack([XS, XS])),
        "grad of grad": lambda f: grad(lambda x: np.sum(grad(f)(x)[0]))(XS),
    }[transform]
    if with_weights and transform in ("jvp", "vmap"):  # an ordinary call
        np.testing.assert_allclose(run(f), run(lambda x: f(x, lambda g: g)))
    else:
        with pytest.raises(pg.EscapedTracerError):
            run(f)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 5, 2), (9, 1, 3), (2, 9, 1), (1, 2, 12)])
@pytest.mark.parametrize("nested", [False, True])
def test_values_kept_from_one_recompute_to_another(sizes, nested):
    kept, runs = Kept(), []

    def layer(n, x):
        runs.append(n)
        y = x
        for _ in range(n):
            y = np.sin(y)
        if len(runs) > len(sizes):  # a recompute
            if kept.v is None:
                kept.v = y
            else:
                y = y * kept.v
        return y

    def f(x):
        for n in sizes:
            g = functools.partial(layer, n)
            x = checkpoint(lambda x, g=g: checkpoint(g)(x) * 2.0 if nested else g(x))(x)
        return np.sum(x)

    with pytest.raises(pg.EscapedTracerError):
        grad(f)(XS)


def test_a_value_memoised_inside_a_checkpointed_function():
    kept = Kept()

    def layer(x):
        if kept.v is None:
            kept.v = np.exp(x)
        return np.sin(x) * kept.v

    with pytest.raises(pg.EscapedTracerError):
        grad(lambda x: np.sum(checkpoint(layer)(x)))(XS)


def test_threads_may_checkpoint_and_record_on_one_tape():
    def layer(x):
        for _ in range(20):
            x = np.sin(x) * 1.1
        return x

    def f(x, wrap):
        layers = [wrap(layer), layer, wrap(lambda y: layer(y) * x)] * 3
        with ThreadPoolExecutor(4) as pool:
            return np.sum(sum(pool.map(lambda g: g(x * 2.0), layers)))

    expected = grad(lambda x: f(x, lambda g: g))(XS)[0]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            np.testing.assert_allclose(grad(lambda x: f(x, checkpoint))(XS)[0], expected)
    finally:
        sys.setswitchinterval(before)


def test_checkpoints_of_all_sizes_are_right():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = [int(n) for n in rng.integers(0, 12, 4)]

        def f(x, wrap, sizes=sizes):
            def inner(n, y):
                for _ in range(n):
                    y = np.sin(y) * x
                return y

            def outer(n, y):
                return wrap(functools.partial(inner, n))(y) + inner(n // 2, y)

            y = x
            for n in sizes:
                y = wrap(functools.partial(outer, n))(y)
            return np.sum(y)

        expected = grad(lambda x: f(x, lambda g: g))(XS)[0]
        np.testing.assert_allclose(grad(lambda x: f(x, checkpoint))(XS)[0], expected)
        _, pullback = pg.vjp(lambda x: f(x, checkpoint), XS)
        for _ in range(2):
            np.testing.assert_allclose(pullback(1.0)[0], expected)


def in_an_object_array(x):
    o = np.empty(2, object)
    o[0], o[1] = x * 2.0, None
    return o


HOLDING = {
    "instance": lambda x: Holder(np.exp(x)),
    "instance in an instance": lambda x: Holder([Holder({"w": np.exp(x)})]),
    "deque": lambda x: collections.deque([x * 2.0]),
    "map": lambda x: map(np.exp, [x]),
    "generator": lambda x: [(y for y in [x])],
    "object array": in_an_object_array,
    "method": lambda x: {"f": Holder(np.exp(x)).method},
    "function": lambda x: lambda: x,
    "partial": lambda x: functools.partial(np.add, x),
}


@pytest.mark.parametrize("hold", HOLDING)
def test_values_inside_objects_that_are_no_trees_are_refused(hold):
    f = HOLDING[hold]
    fix = r"np\.stack" if hold == "object array" else "register_tree"
    for run in (
        lambda: grad(lambda x: (checkpoint(f)(x), np.sum(x))[1])(XS),
        lambda: grad(lambda x: (np.sum(x), f(x)), has_aux=True)(XS),
        lambda: pg.vjp(f, XS),
        lambda: jvp(f, (XS,), (XS,)),
        lambda: vmap(f)(XS),
        lambda: pg.eval_shape(f, XS),
        lambda: pg.capture(f, XS),
        lambda: grad(lambda x: (np.sum(jvp(f, (x,), (x,))[0]), 1.0)[1])(XS),
    ):
        with pytest.raises(pg.UnsupportedOperationError, match=fix):
            run()


def test_objects_with_values_of_outer_transforms_or_none_may_be_returned():
    def f(x):
        held, kept = Holder(x), Holder([1.0, "a", np.ones(2)])
        _, (out, plain) = grad(lambda y: (y * y, (held, kept)), has_aux=True)(2.0)
        assert plain is kept
        return np.sum(out.w * 3.0)

    np.testing.assert_array_equal(grad(f)(XS)[0], np.full(4, 3.0))


def test_no_grad_inside_a_checkpointed_function():
    def f(x):
        with pg.no_grad():
            y = x * x
        return y * x

    assert grad(checkpoint(f))(3.0) == (9.0,)


def test_no_grad_inside_what_is_captured():
    """A graph says what is constant, and so do those within it."""

    def f(x):
        with pg.no_grad():
            y = x * x
            z = np.stack([y, x])
            z[0] = x * 3.0
        return y * x + np.sum(z)

    def loop(x):
        return pg.fori_loop(0, 2, lambda i, c: c * f(x), 1.0)

    def chosen(x):
        return pg.cond(x > 0, f, lambda x: -x, x)

    for g, slope in (
        (f, 9.0),
        (loop, 2 * (27.0 + 12.0) * 9.0),
        (chosen, 9.0),
        (checkpoint(f), 9.0),
    ):
        assert grad(g)(3.0) == (slope,)
        assert grad(pg.jit(g))(3.0) == (slope,)
        assert pg.jit(grad(g))(3.0) == (slope,)
        assert grad(pg.capture(g, 3.0))(3.0) == (slope,)
        assert pg.grad_graph(pg.optimize(pg.capture(g, 3.0)))(3.0) == (slope,)
        assert jvp(pg.jit(g), (3.0,), (1.0,))[1] == slope
        assert pg.jit(g)(3.0) == g(3.0)


def scaled(x, k=1.0):
    return x * k


def test_keyword_arguments_reach_the_rules():
    f = custom_vjp(scaled)
    f.defvjp(lambda x, k=1.0: (x * k, k), lambda k, ct: (ct * k * 2.0,))
    g = custom_jvp(scaled)
    g.defjvp(lambda p, t, **kw: (scaled(*p, **kw), t[0] * kw.get("k", 1.0) * 2.0))
    for h in (f, g):
        for k in ({}, {"k": 5.0}):
            times = k.get("k", 1.0)
            run = lambda x, h=h, k=k: h(x, **k)
            assert run(3.0) == 3.0 * times
            assert pg.value_and_grad(run)(3.0) == (3.0 * times, (2.0 * times,))
            assert jvp(run, (3.0,), (1.0,)) == (3.0 * times, 2.0 * times)
            np.testing.assert_array_equal(vmap(run)(XS), XS * times)
            np.testing.assert_array_equal(vmap(grad(run))(XS)[0], np.full(4, 2.0 * times))
            assert pg.capture(grad(run), 3.0)(4.0) == (2.0 * times,)


@pytest.mark.parametrize("by_name", [{"k": 5.0}, {"k": 5.0, "other": 1.0}])
def test_rules_that_lack_a_keyword_argument(by_name):
    f = custom_vjp(lambda x, **kw: x)
    f.defvjp(lambda x, other=None: (x, None), lambda _, ct: (ct,))
    g = custom_jvp(lambda x, **kw: x)
    g.defjvp(lambda p, t: (p[0], t[0]))
    for h in (f, g):
        with pytest.raises(pg.RuleSignatureError, match="no keyword 'k'"):
            grad(lambda x, h=h: h(x, **by_name))(1.0)


@pytest.mark.parametrize(
    "backward",
    [
        lambda held, ct: (ct * held.w,),
        lambda held, ct: (held.w,),
        lambda held, ct: (np.cos(held.w), ct)[1:],
    ],
)
def test_rules_that_read_a_differentiated_value_through_an_object(backward):
    held = Holder(None)
    f = custom_vjp(lambda y: y * 2.0)
    f.defvjp(lambda y: (y * 2.0, held), backward)

    def g(x):
        held.w = x
        return np.sum(f(x * 1.0))

    for run in (lambda: grad(g)(XS), lambda: pg.vjp(g, XS)[1](1.0)):
        with pytest.raises(pg.ClosedOverError):
            run()
    assert grad(np.sin)(0.0) == (1.0,)


def test_rules_may_read_a_value_of_an_outer_transform_through_an_object():
    held = Holder(None)
    f = custom_vjp(lambda y: y * 2.0)
    f.defvjp(lambda y: (y * 2.0, None), lambda _, ct: (ct * held.w,))

    def g(x):
        held.w = x
        return grad(f)(1.0)[0] * x

    assert grad(g)(3.0) == (6.0,)


def test_a_gradient_by_hand_is_no_var():
    held = Holder(pg.Var(3.0))
    f = custom_vjp(lambda y: y * 2.0)
    f.defvjp(lambda y: (y * 2.0, None), lambda _, ct: (ct * held.w,))
    with pytest.raises(pg.ClosedOverError):
        f(pg.Var(1.0)).backward()


def test_debug_nans_sees_custom_rules():
    f = custom_vjp(lambda x: x * 2.0)
    f.defvjp(lambda x: (x * 2.0, x), lambda x, ct: (ct * np.log(x),))
    g = custom_jvp(lambda x: x * 2.0)
    g.defjvp(lambda p, t: (p[0] * 2.0, t[0] * np.log(p[0])))
    opaque = custom_vjp(lambda x: np.log(x))
    opaque.defvjp(lambda x: (np.log(x), x), lambda x, ct: (ct,))
    with np.errstate(all="ignore"), pg.debug_nans():
        for h in (f, g):
            with pytest.raises(pg.NanError):
                grad(lambda x, h=h: np.sum(h(x)))(-XS)
            with pytest.raises(pg.NanError):
                jvp(h, (-XS,), (XS,))
            grad(lambda x, h=h: np.sum(h(x)))(XS)
        with pytest.raises(pg.NanError, match="made a nan"):
            grad(lambda x: np.sum(opaque(x)))(-XS)


# -- opaque functions under vmap -------------------------------------------------------------------
def opaque_square(x):
    return np.array([float(v) ** 2 for v in x])


def opaque_slope(x, ct):
    return (np.array([2 * float(a) * float(b) for a, b in zip(x, ct, strict=True)]),)


def opaque_call(slope):
    f = custom_vjp(opaque_square, transparent=False)
    return f, f.defvjp(lambda x: (opaque_square(x), x), slope)


X = np.arange(1.0, 13.0).reshape(4, 3)
OVER_ROWS = {
    "vmap": (lambda f: vmap(f)(X), X**2),
    "vmap of grad": (lambda f: vmap(grad(lambda x: np.sum(f(x) * x)))(X)[0], 3 * X**2),
    "grad of vmap": (lambda f: grad(lambda x: np.sum(vmap(f)(x)))(X)[0], 2 * X),
    "vmap of vmap": (lambda f: vmap(vmap(f))(X[None]), X[None] ** 2),
    "vmap of vmap of grad": (
        lambda f: vmap(vmap(grad(lambda x: np.sum(f(x)))))(X[None])[0],
        2 * X[None],
    ),
    "jacrev": (lambda f: pg.jacrev(f)(X[0]), np.diag(2 * X[0])),
    "vmap of jacrev": (lambda f: vmap(pg.jacrev(f))(X), np.stack([np.diag(2 * x) for x in X])),
    "no rows": (lambda f: vmap(f)(X[:0]), np.zeros((0, 3))),
    "gradients of no rows": (lambda f: vmap(grad(lambda x: np.sum(f(x))))(X[:0])[0], X[:0]),
}


@pytest.mark.parametrize("name", OVER_ROWS)
@pytest.mark.parametrize("slope", [opaque_slope, lambda x, ct: (2 * x * ct,)])
def test_opaque_functions_and_rules_run_as_a_loop(name, slope):
    run, expected = OVER_ROWS[name]
    f, _ = opaque_call(slope)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = run(f)
    np.testing.assert_allclose(found, expected)
    assert found.shape == expected.shape
    loops = [w for w in caught if w.category is pg.BatchingLoopWarning]
    assert len(loops) == (name != "jacrev" or slope is opaque_slope)
    assert all("opaque_square" in str(w.message) for w in loops)


def test_opaque_functions_under_vmap_of_jvp():
    f, _ = opaque_call(lambda x, ct: (2 * x * ct,))
    g = custom_jvp(opaque_square, transparent=False)
    g.defjvp(lambda p, t: (opaque_square(*p), opaque_slope(p[0], t[0])[0]))
    for h in (f, g):
        with pytest.warns(pg.BatchingLoopWarning):
            found = vmap(lambda x, h=h: jvp(h, (x,), (x,)))(X)
        np.testing.assert_allclose(found, (X**2, 2 * X**2))
