"""Weights by their bare names: blocks, passes, threads, and what they are to NumPy."""

import contextvars
import copy
import functools
import json
import threading
import types

import numpy as np
import pytest

import pycograd as pg
from pycograd import frozen, params

rng = np.random.default_rng(0)
X = rng.standard_normal((5, 3))


def net():
    return params(
        W1=rng.standard_normal((3, 4)), b1=np.zeros(4), W2=frozen(rng.standard_normal((4, 2)))
    )


def loss(x):
    return np.sum(np.tanh(x @ W1 + b1) @ W2)  # noqa: F821


def functional(p, x):
    return np.sum(np.tanh(x @ p.W1 + p.b1) @ p.W2)


def agree(found, expected):
    for g, e in zip(pg.tree_leaves(found), pg.tree_leaves(expected), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-12)


@pytest.mark.parametrize("jit", [False, True])
def test_grad_binds_the_names_for_its_call(jit):
    m = net()
    value, grads = m.grad(loss, X, jit=jit)
    expected, (g,) = pg.value_and_grad(functional, argnums=(0,))(m, X)
    assert value.shape == () and float(value) == pytest.approx(float(expected), rel=1e-12)
    agree(grads, g)
    assert grads.W2 is None
    assert "W1" not in globals()


def test_a_block_binds_names_and_takes_them_back():
    m = net()
    with m as entered:
        assert entered is m and W1 is m.W1  # noqa: F821
        assert loss(X) == pytest.approx(float(m.grad(loss, X)[0]))
        with m:
            assert b1.shape == (4,)  # noqa: F821
        assert b1.shape == (4,)  # noqa: F821
    assert "W1" not in globals() and "b1" not in globals()
    with pytest.raises(ZeroDivisionError), m:
        1 / 0
    assert "W1" not in globals()


def test_a_name_that_is_taken_is_an_error_and_nothing_is_bound():
    m = params(A1=1.0, X=2.0)
    with pytest.raises(pg.ParameterError, match="the name 'X' exists already"), m:
        pass
    assert "A1" not in globals() and X.shape == (5, 3)
    with pytest.raises(pg.ParameterError, match="the name 'X' exists already"):
        m.grad(lambda: np.sum(X))
    _, grads = m.grad(lambda: m.X * m.A1)  # which does not read the variable X
    assert grads.X == 1.0 and grads.A1 == 2.0
    with pytest.raises(pg.ParameterError, match="hide Python's own sum"), params(sum=1.0):
        pass


def test_a_local_variable_of_the_name_is_an_error():
    m = params(q=1.0)

    def f():
        q = 3.0
        with m:
            return q

    with pytest.raises(pg.ParameterError, match="'q' is a local variable of f"):
        f()


def test_a_name_assigned_in_the_block_keeps_its_value():
    scope = {"m": params(q=1.0, r=2.0), "__name__": "user"}
    exec(compile("with m:\n    q = 5", "user.py", "exec"), scope)
    assert scope["q"] == 5 and "r" not in scope


def test_a_name_that_was_given_another_value_in_its_block_has_no_gradient_and_is_an_error():
    m = params(w=np.ones(2), v=np.ones(2))
    uses_w, uses_v = lambda: np.sum(w**2), lambda: np.sum(v)  # noqa: F821
    with m:
        _, grads = m.grad(uses_w)
        globals()["w"] = w - 0.1 * grads.w  # noqa: F821
        try:
            for ask in (lambda: m.grad(uses_w), lambda: m.grad(uses_w, jit=True), m.__enter__):
                with pytest.raises(pg.ParameterError, match=r"'w' was given another value .*ndarr"):
                    ask()
            np.testing.assert_allclose(m.grad(uses_v)[1].v, 1.0)
        finally:
            del globals()["w"]
    assert not {"w", "v"} & globals().keys()


def test_blocks_of_several_models():
    with params(q1=1.0), params(q2=2.0):
        assert q1 + q2 == 3.0  # noqa: F821
    assert "q1" not in globals() and "q2" not in globals()


def test_sub_dicts_and_lists_are_bound_under_their_own_names():
    m = params(enc={"w": np.ones(3)}, layers=[{"w": 2.0}, {"w": 3.0}])
    with m:
        value, grads = m.grad(lambda: np.sum(enc.w) * layers[0].w * layers[1]["w"])  # noqa: F821
    assert value == 18 and grads.layers[1].w == 6
    np.testing.assert_array_equal(grads.enc.w, [6.0, 6.0, 6.0])
    part, g = m.enc.grad(lambda: np.sum(m.enc.w * m.layers[0].w))
    assert list(g) == ["w"] and part == 6


def test_weights_read_through_the_model_are_differentiated():
    m = net()
    _, grads = m.grad(lambda: functional(m, X))
    agree(grads, pg.grad(functional, argnums=0)(m, X))
    _, grads = m.grad(lambda: sum(np.sum(w * w) for w in pg.tree_leaves(m)))
    np.testing.assert_allclose(grads.W1, 2 * np.asarray(m.W1))


def test_passes_nest():
    m = params(w=np.array([1.0, 2.0]))

    def penalty():
        _, g = m.grad(lambda: np.sum(m.w**3))
        return np.sum(g.w**2)

    _, grads = m.grad(penalty)
    np.testing.assert_allclose(grads.w, 36 * np.array([1.0, 2.0]) ** 3)  # (3 w^2)^2 = 9 w^4


def test_an_exception_in_the_objective_leaves_nothing_behind():
    m = net()
    with pytest.raises(ZeroDivisionError):
        m.grad(lambda: 1 / 0)
    assert m._store.passes == 0 and "W1" not in globals()
    assert m.grad(loss, X)[0].shape == ()


def test_objectives_that_are_no_losses():
    m = net()
    with pytest.raises(pg.NonScalarOutputError, match="shape \\(3, 4\\)"):
        m.grad(lambda: m.W1)
    with pytest.raises(TypeError, match="takes a function, not float"):
        m.grad(3.0)
    with pytest.raises(pg.NotDifferentiableError, match="no parameter of this model is trained"):
        params(w=frozen(1.0)).grad(lambda: 1.0)
    s = params(s=2.0)
    assert s.grad(lambda: s.s)[1].s == 1.0


def test_a_shape_mismatch_names_the_line():
    m = net()

    def wrong():
        return np.sum(X @ m.W1 @ X)

    with pytest.raises(pg.ShapeError, match=r"\(5, 4\) and \(5, 3\).*test_weights.py:\d+"):
        m.grad(wrong)


def test_a_step_inside_of_an_objective_is_an_error():
    m = params(w=1.0)
    _, g = m.grad(lambda: m.w * 2)

    def objective():
        m.step(g, 0.1)
        return m.w * 2

    with pytest.raises(pg.ParameterError, match="cannot change the weights"):
        m.grad(objective)
    assert m.w == 1.0


# -- threads ---------------------------------------------------------------------------------------
def in_thread(f):
    found = []

    def run():
        try:
            found.append(f())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("write", ["update_buffers", "assignment"])
def test_buffers_that_are_written_in_a_pass_keep_their_value_for_it(write):
    model = pg.params(w=np.ones(3), scale=pg.buffer(np.full(3, 2.0)))

    def objective():
        product = model.w * model.scale
        if write == "assignment":
            model.scale = np.full(3, 7.0)
        else:
            model.update_buffers(scale=np.full(3, 7.0))
        return np.sum(product)

    with pytest.raises(pg.ParameterError, match="'scale': a compiled function would write it once"):
        model.grad(objective, jit=True)
    np.testing.assert_array_equal(model.scale, np.full(3, 2.0))
    value, grads = model.grad(objective)
    assert value == 6.0
    np.testing.assert_array_equal(grads.w, np.full(3, 2.0))
    np.testing.assert_array_equal(model.scale, np.full(3, 7.0))


def test_an_objective_does_not_assign_to_the_weights_that_it_reads():
    model = pg.params(w=np.ones(3), fixed=pg.frozen(np.ones(3)))
    for name in model:

        def objective(name=name):
            square = np.sum(model.w * model.fixed)
            model[name] = np.zeros(3)
            return square

        with pytest.raises(pg.ParameterError, match=f"'{name}': the objective cannot change"):
            model.grad(objective)
        np.testing.assert_array_equal(model[name], np.ones(3))


def test_a_thread_without_the_binding_is_refused_and_one_with_it_is_not():
    m = params(w=2.0)
    read = lambda: m.w * 3.0
    with pytest.raises(pg.UnboundWeightError, match=r"copy_context\(\).run"):

        def objective():
            raise in_thread(read)

        m.grad(objective)
    assert in_thread(read) == 6.0

    def handed_on():
        context = contextvars.copy_context()
        return in_thread(lambda: context.run(read))

    value, grads = m.grad(handed_on)
    assert value == 6.0 and grads.w == 3.0


def test_many_threads_take_gradients_of_models_of_their_own():
    def work(i):
        m = params(W1=np.full((3, 4), float(i)), b1=np.zeros(4), W2=np.ones((4, 2)))
        for _ in range(20):
            _, g = m.grad(lambda: functional(m, X))
        return m, g

    found = [None] * 8
    threads = [threading.Thread(target=lambda i=i: found.__setitem__(i, work(i))) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for m, g in found:
        agree(g, pg.grad(functional, argnums=0)(m, X))


def test_many_threads_take_gradients_of_one_model():
    m = net()
    expected = pg.grad(functional, argnums=0)(m, X)
    found, barrier = [], threading.Barrier(8)

    def work(i):
        barrier.wait()
        for _ in range(20):
            try:
                found.append(m.grad(loss, X, jit=bool(i % 2))[1])
            except Exception as error:
                found.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 160 and "W1" not in globals()
    for grads in found:
        agree(grads, expected)


def test_threads_bind_one_name_together():
    m, failed = net(), []
    barrier = threading.Barrier(4)

    def work():
        barrier.wait()
        for _ in range(50):
            try:
                with m:
                    W1.shape  # noqa: F821
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed and "W1" not in globals()


# -- other modules, methods, callables -------------------------------------------------------------
def test_an_objective_of_another_module_sees_the_names_in_its_own():
    module = types.ModuleType("another")
    exec("import numpy as np\ndef loss(x):\n    return np.sum(x @ W1)", vars(module))
    m = params(W1=np.ones((3, 2)))
    _, grads = m.grad(module.loss, X)
    np.testing.assert_allclose(grads.W1, X.sum(0)[:, None].repeat(2, 1))
    assert not hasattr(module, "W1")


def module_with(text):
    module = types.ModuleType("another")
    exec("import numpy as np, pycograd as pg\n" + text, vars(module))
    return module


def test_a_model_of_another_module_is_bound_where_it_was_made():
    text = "model = pg.params(H1=np.ones((3, 2)))\ndef net(x): return np.tanh(x @ H1)"
    module = module_with(text)
    expected = pg.grad(lambda w: np.sum(np.tanh(X @ w)))(np.ones((3, 2)))[0]
    for m in (module.model, copy.deepcopy(module.model)):
        for jit in (False, True):
            _, grads = m.grad(lambda: np.sum(module.net(X)), jit=jit)
            np.testing.assert_allclose(grads.H1, expected)
        np.testing.assert_array_equal(m.bind(lambda: module.net(X))(), np.tanh(X @ np.ones((3, 2))))
    assert "H1" not in globals() and not hasattr(module, "H1")


def test_a_variable_of_the_module_in_the_place_of_a_weight_is_an_error(monkeypatch):
    text = "H2 = np.ones((3, 2))\nmodel = pg.params(H2=H2)\ndef net(x): return np.tanh(x @ H2)"
    module = module_with(text)
    monkeypatch.setitem(globals(), "elsewhere", module)
    with pytest.raises(pg.ParameterError, match="'H2' exists already in another"):
        module.model.grad(lambda: np.sum(elsewhere.net(X)))  # noqa: F821


def test_a_module_in_which_weights_are_not_bound_is_named():
    module = module_with("def net(x): return np.tanh(x @ H3)")
    m = params(H3=np.ones((3, 2)))
    with pytest.raises(NameError, match="in another: weights are bound by name in the modules of"):
        m.grad(lambda: np.sum(module.net(X)))


def test_a_weight_of_another_model_in_the_place_of_a_weight_is_an_error():
    first, second = params(H4=np.ones(2)), params(H4=np.zeros(2))
    with first, pytest.raises(pg.ParameterError, match="of another model, whose block is open"):
        second.grad(lambda: np.sum(H4))  # noqa: F821


def test_bind_makes_a_function_for_any_transform():
    m = net()
    f = m.bind(lambda x: np.tanh(x @ W1 + b1) @ W2)  # noqa: F821
    direct = lambda x: np.tanh(x @ m.W1 + m.b1) @ m.W2
    np.testing.assert_array_equal(f(X), direct(X))
    np.testing.assert_allclose(pg.vmap(f)(X), direct(X))
    np.testing.assert_allclose(pg.jit(f)(X), direct(X))
    assert pg.eval_shape(f, X).shape == (5, 2)
    graph = pg.capture(f, X)
    compiled = pg.jit(f)
    compiled(X)
    m.step(m.grad(loss, X)[1], 0.1)
    np.testing.assert_allclose(graph(X), direct(X))
    np.testing.assert_allclose(compiled(X), direct(X))


def test_nothing_of_a_weight_becomes_part_of_a_program():
    m = params(w=np.array([1.0, 2.0]), s=3.0)
    f = pg.jit(lambda x: x * (m.w * m.s) + np.sum(m.w))
    for _ in range(3):
        np.testing.assert_allclose(f(np.ones(2)), m.w * m.s + np.sum(m.w))
        m.step(m.grad(lambda: np.sum(m.w * m.s))[1], 0.5)
    with pytest.raises(pg.ControlFlowError):
        pg.jit(lambda x: x if m.s > 0 else -x)(1.0)


def test_jit_reads_arguments_and_arrays_at_each_call():
    m = net()
    for _ in range(2):
        x = rng.standard_normal((5, 3))
        value, grads = m.grad(loss, x, jit=True)
        assert float(value) == pytest.approx(float(functional(m, x)), rel=1e-12)
        agree(grads, pg.grad(functional, argnums=0)(m, x))
        m.step(grads, 0.1)
    for data in (rng.standard_normal((5, 3)), rng.standard_normal((5, 3))):
        value, _ = m.grad(lambda: loss(data), jit=True)
        assert float(value) == pytest.approx(float(functional(m, data)), rel=1e-12)
    data = X.copy()
    thunk = lambda: loss(data)
    for _ in range(3):
        value, _ = m.grad(thunk, jit=True)
        assert float(value) == pytest.approx(float(functional(m, data)), rel=1e-12)
        data += 1.0
        data = data.copy()


def test_a_misspelt_weight_is_named():
    m = net()
    with pytest.raises(NameError, match="'W11' is not defined; did you mean the weight 'W1'"):
        m.grad(lambda: np.sum(W11))  # noqa: F821
    with pytest.raises(NameError, match="did you mean the weight 'b1'"), m:
        b11 + 1  # noqa: F821
    with pytest.raises(NameError, match=r"'zzz' is not defined$"):
        m.grad(lambda: np.sum(zzz))  # noqa: F821


def test_blocks_in_generators_tasks_and_stacks():
    import asyncio
    from contextlib import ExitStack

    m = params(G1=np.ones(3))

    def rows():
        with m:
            yield G1.sum()  # noqa: F821

    generator = rows()
    assert next(generator) == 3.0
    generator.close()
    assert "G1" not in globals()

    async def work(i):
        with m:
            await asyncio.sleep(0)
            return m.grad(lambda: np.sum(G1 * i))[1].G1[0]  # noqa: F821

    async def together():
        return await asyncio.gather(*[work(float(i)) for i in range(4)])

    assert asyncio.run(together()) == [0.0, 1.0, 2.0, 3.0]
    with ExitStack() as stack:
        stack.enter_context(m)
        assert G1.shape == (3,)  # noqa: F821
    assert "G1" not in globals()


def test_objectives_may_be_any_callable():
    import functools

    m = params(P1=np.ones(3))

    class Model:
        def __call__(self, x):
            return np.sum(P1 * x)  # noqa: F821

        def method(self, x):
            return self(x) * 2.0

    x = np.array([1.0, 2.0, 3.0])
    for jit in (False, True):
        for objective in (Model(), functools.partial(Model.method, Model()), Model().method):
            value, grads = m.grad(objective, x, jit=jit)
            scale = 1.0 if isinstance(objective, Model) else 2.0
            assert value == 6.0 * scale
            np.testing.assert_array_equal(grads.P1, x * scale)


def test_numbers_of_a_weight_are_pythons_own():
    m = params(w=np.array([[1.5, 2.0]]), s=2.0, k=frozen(3))
    assert json.dumps([m.w.tolist(), m.s.tolist(), m.k.item()]) == "[[[1.5, 2.0]], 2.0, 3]"
    assert type(m.w.item(0, 1)) is float
    value, grads = m.grad(lambda: m.w.tolist()[0][0] * m.s.item())
    assert float(value) == 3.0 and float(grads.s) == 1.5


def test_what_is_behind_a_wrapper_sees_the_names_in_its_own_module():
    module = types.ModuleType("wrapped_elsewhere")
    source = "import numpy as np\ndef loss(x):\n    return np.sum(w * x)\n"
    exec(source, vars(module))
    m, x = params(w=np.ones(2)), np.array([2.0, 3.0])
    decorated = functools.wraps(module.loss)(lambda x: module.loss(x))
    for f in (module.loss, pg.checkpoint(module.loss), functools.partial(module.loss), decorated):
        for jit in (False, True):
            assert float(m.grad(f, x, jit=jit)[0]) == 5.0
    assert "w" not in vars(module) and "w" not in globals()
