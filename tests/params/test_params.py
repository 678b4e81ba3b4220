"""Parameters: making them, names, ties, settings, and how trees see them."""

import copy
import pickle

import numpy as np
import pytest

import pycograd as pg
from pycograd import buffer, frozen, on_cpu, params, tied


def model():
    return params(
        w=np.arange(6.0).reshape(3, 2),
        b=frozen[np.zeros(2)],
        enc={"w": np.ones((2, 2)), "scales": [1.0, tied("k", np.array([1.0, 2.0]))]},
        mean=buffer(np.zeros(3, np.float32)),
        k=tied("k"),
        act="relu",
    )


def test_entries_are_there_as_attributes_and_as_keys():
    m = model()
    assert m.enc.w is m["enc"]["w"] and m.enc.scales[1] is m.k
    assert list(m) == ["w", "b", "enc", "mean", "k", "act"] and len(m) == 6
    assert m.act == "relu" and "w" in m and "v" not in m
    assert m.num_params() == 6 + 2 + 4 + 1 + 2 + 3
    assert m.num_params(trainable=True) == 13 and m.num_params(trainable=False) == 5


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", "g"])
def test_values_keep_their_dtype_and_are_copies(dtype):
    x = np.ones(3, dtype)
    m = params(x=x)
    assert m.x.dtype == x.dtype
    m.x[0] = 5
    assert x[0] == 1


def test_python_numbers_take_the_default_dtype():
    with pg.dtype("float32"):
        m = params(a=1.0, b=1j)
    assert m.a.dtype == np.float32 and m.b.dtype == np.complex64 and m.a.shape == ()


def test_trees_see_values_once_and_give_a_paramdict_of_results():
    m = model()
    leaves, treedef = pg.tree_flatten(m)
    assert treedef.paths() == ["w", "b", "enc.w", "enc.scales.0", "enc.scales.1", "mean"]
    assert all(type(leaf) is np.ndarray for leaf in leaves)
    doubled = pg.tree_map(lambda x: 2 * x, m)
    assert type(doubled) is pg.ParamDict
    np.testing.assert_array_equal(doubled.k, [2.0, 4.0])
    np.testing.assert_array_equal(doubled.enc.scales[1], [2.0, 4.0])
    assert doubled.act == "relu"


def test_any_transform_leaves_out_what_is_not_trained():
    m = model()
    (g,) = pg.grad(lambda p: np.sum(p.w @ p.enc.w + p.b) * p.k[0] + np.sum(p.mean))(m)
    assert g.b is None and g.mean is None
    np.testing.assert_allclose(g.k, [np.sum(m.w @ m.enc.w + m.b), 0.0])
    new = pg.SGD(0.5).step(m, g)
    np.testing.assert_array_equal(new.b, m.b)
    np.testing.assert_allclose(new.k, np.asarray(m.k) - 0.5 * g.k)


def test_copies_and_pickles_are_models_of_their_own():
    m = model()
    for other in (copy.copy(m), copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        other.w[...] = 0
        assert m.w[0, 1] == 1 and other.k is other.enc.scales[1]
        assert pg.tree_structure(other) == pg.tree_structure(m)
        _, grads = other.grad(lambda: np.sum(other.w) + np.sum(other.k))
        np.testing.assert_array_equal(grads.k, [1.0, 1.0])


def test_parameters_of_another_model_bring_their_settings_and_ties():
    m = model()
    n = params(old=m, new=1.0)
    assert n.old.k is n.old.enc.scales[1]
    n.old.w[...] = 7
    assert m.w[0, 0] == 0
    _, grads = n.grad(lambda: n.new * np.sum(n.old.w) + np.sum(n.old.b))
    assert grads.old.b is None and grads.new == 42


def test_tied_to_the_very_array():
    table = np.ones((4, 2))
    m = params(embed=table, head={"out": tied[table]})
    assert m.head.out is m.embed and m.num_params() == 8
    _, grads = m.grad(lambda: np.sum(m.embed) + np.sum(3 * m.head.out))
    np.testing.assert_array_equal(grads.embed, np.full((4, 2), 4.0))
    assert grads.head.out is grads.embed
    m.step(grads, 0.25)
    np.testing.assert_array_equal(m.embed, np.zeros((4, 2)))


def test_settings_may_be_combined():
    m = params(a=frozen[on_cpu[np.ones(2)]], b=on_cpu(tied("t", 1.0)), c=tied("t"))
    assert m.num_params(trainable=True) == 1 and m.c is m.b
    f = frozen({"x": np.ones(2), "y": [1.0]})
    assert params(f=f).num_params(trainable=True) == 0


def test_assignment_writes_into_the_parameter():
    m = model()
    weight = m.w
    m.w = np.zeros((3, 2))
    m["enc"] = {"w": np.zeros((2, 2)), "scales": [3.0, np.array([4.0, 5.0])]}
    assert m.w is weight and not np.any(m.w) and m.k[1] == 5.0 and m.enc.scales[0] == 3.0


MISTAKES = [
    (
        lambda m: params(w=np.ones(2), step=1.0),
        pg.ParameterError,
        "'step' is a method of ParamDict",
    ),
    (lambda m: params(n={"grad": 1.0}), pg.ParameterError, "'grad' is a method"),
    (lambda m: params(n=3), pg.NotDifferentiableError, "'n' is of dtype int64.*write 3.0"),
    (lambda m: params(s=np.array(["a"])), TypeError, "'s' is an array of dtype <U1"),
    (lambda m: params(s=np.ma.ones(2)), TypeError, "its mask would be lost"),
    (lambda m: m.step(3.0, 0.1), pg.TreeMismatchError, "the trees differ"),
    (lambda m: params({"a": 1.0}, b=2.0), TypeError, "a dict or names, not both"),
    (lambda m: params([1.0]), TypeError, "takes a dict or names, not list"),
    (lambda m: params(a=tied("k")), pg.ParameterError, "'a' has no value"),
    (lambda m: params(a=tied("k", 1.0), b=tied("k", 2.0)), pg.ParameterError, "different values"),
    (lambda m: params(a=1.0, b=tied[np.ones(2)]), pg.ParameterError, "must be the very object"),
    (lambda m: params(a=tied("k", 1.0), b=frozen(tied("k"))), pg.ParameterError, "ties are one"),
    (lambda m: tied(np.ones(2)), pg.ParameterError, r"write tied\[w\]"),
    (lambda m: pg.on_device(np.ones(2)), pg.ParameterError, "the name of a device comes first"),
    (lambda m: m.ww, AttributeError, "no parameter is named 'ww'; did you mean 'w'"),
    (lambda m: m["ww"], KeyError, "did you mean 'w'"),
    (lambda m: setattr(m, "ww", 1.0), AttributeError, "did you mean 'w'"),
    (lambda m: setattr(m, "w", np.ones(2)), pg.ShapeError, r"'w' has shape \(3, 2\).*\(2,\)"),
    (lambda m: setattr(m, "w", np.ones((3, 2), complex)), pg.ParameterError, "would lose"),
    (lambda m: setattr(m, "enc", {"w": 1.0}), pg.ParameterError, "a dict with the keys"),
    (lambda m: setattr(m, "act", "tanh"), TypeError, "is a setting"),
    (lambda m: setattr(m, "grad", 1.0), AttributeError, "is a method"),
    (lambda m: m.update_buffers(mean=np.ones(2)), pg.ShapeError, r"'mean' has shape \(3,\)"),
    (lambda m: m.update_buffers(w=np.ones(2)), pg.ParameterError, "'w' is no buffer"),
    (lambda m: m.update_buffers(maen=np.ones(3)), pg.ParameterError, "did you mean 'mean'"),
    (lambda m: pg.ParamDict(w=1.0), TypeError, r"write params\(...\)"),
]


@pytest.mark.parametrize("mistake, kind, message", MISTAKES)
def test_mistakes_are_named(mistake, kind, message):
    m = model()
    before = m.param_values()
    with pytest.raises(kind, match=message):
        mistake(m)
    after = pg.tree_leaves(m.param_values())
    for x, y in zip(pg.tree_leaves(before), after):
        np.testing.assert_array_equal(x, y)


def test_a_step_changes_all_or_nothing():
    m = params(a=np.ones(2), b=np.ones(3))
    _, grads = m.grad(lambda: np.sum(m.a) + np.sum(m.b))
    wrong = pg.tree_map(lambda g: g[:2], grads)
    with pytest.raises(pg.ShapeError, match="'b'"):
        m.step(wrong, 0.1)
    with pytest.raises(pg.TreeMismatchError):
        m.step({"a": np.ones(2)}, 0.1)
    np.testing.assert_array_equal(m.a, [1.0, 1.0])


def test_update_buffers_changes_all_or_nothing():
    m = params(n={"mean": buffer(np.zeros(2)), "count": buffer(0)})
    with pytest.raises(pg.ShapeError):
        m.update_buffers({"n.count": 1, "n.mean": np.ones(3)})
    assert m.n.count == 0
    m.update_buffers({"n.count": 1, "n.mean": np.ones(2)})
    assert m.n.count == 1 and m.n.mean[1] == 1


def test_a_summary_knows_what_is_frozen_and_tied():
    m = params(
        U=np.zeros((4, 5)), u=frozen(np.zeros(5)), V=tied("v", np.zeros((5, 9))), W=tied("v")
    )

    def net_loss(p, x, y):
        return np.sum((np.tanh(x @ p.U + p.u) @ p.V - y) ** 2) + np.sum(p.W)

    text = []
    found = pg.summary(net_loss, m, (7, 4), (7, 9), print_fn=text.append)
    assert (found.total, found.trainable) == (70, 65) and found.output.shape == ()
    assert "u          f64[5]        5  (frozen)" in text[0]
    assert "V          f64[5,9]     45  = W" in text[0]
    ambient = pg.summary(lambda x, y: np.sum((x @ U) @ V - y), m, (7, 4), (7, 9), print_fn=None)  # noqa: F821
    assert ambient.rows == found.rows and ambient.output.shape == ()


def test_registered_trees_may_say_what_is_differentiated():
    class Scaled:
        def __init__(self, w, scale):
            self.w, self.scale = w, scale

    pg.register_tree(
        Scaled,
        lambda s: ((s.w, s.scale), None),
        lambda aux, ws: Scaled(*ws),
        live=lambda aux: (1, 0),
    )
    (g,) = pg.grad(lambda s: s["a"].w * s["a"].scale * s["b"])({"a": Scaled(2.0, 3.0), "b": 5.0})
    assert g["a"].w == 15.0 and g["a"].scale is None and g["b"] == 6.0


def test_a_step_that_does_not_fit_leaves_the_optimizer_as_it_was():
    class Halving(pg.Optimizer):
        slots = ("count",)

        def update(self, param, grad, lr, state):
            return param[:1], {"count": state.get("count", 0) + 1}

    m, opt = params(a=np.ones(2)), Halving(0.1)
    grads = m.grad(lambda: np.sum(m.a))[1]
    with pytest.raises(pg.ShapeError, match=r"'a' has shape \(2,\)"):
        m.step(grads, opt)
    assert opt.state_dict() == {"steps": 0, "leaves": {}}
    np.testing.assert_array_equal(m.a, 1.0)


def test_an_entry_of_a_list_that_was_replaced_is_no_parameter_and_an_error():
    def model():
        layers = [np.ones(2), {"k": [np.ones(2), 1.0]}]
        return params(layers=layers, pair=([1.0], 2.0), enc={"w": [1.0]}, s=2.0)

    objective = lambda m: lambda: np.sum(m.layers[0]) * m.s

    def replaced(m):
        m.layers[0] = np.zeros(2)

    def inside(m):
        m.layers[1].k[1] = 2.0

    def in_a_tuple(m):
        m.pair[0][0] = 2.0

    def in_a_dict(m):
        m.enc.w[0] = 2.0

    for change, said in [
        (replaced, "the entry 0 of the list 'layers' was replaced"),
        (inside, "the entry 1 of the list 'k' was replaced"),
        (in_a_tuple, "the entry 0 of the list 'pair.0' was replaced"),
        (in_a_dict, "the entry 0 of the list 'w' was replaced"),
        (lambda m: m.layers.append(1.0), "the list 'layers' has a further entry"),
        (lambda m: m.layers.pop(), "the entry 1 of the list 'layers' was replaced"),
    ]:
        m = model()
        grads = m.grad(objective(m))[1]
        change(m)
        asked = [lambda: m.grad(objective(m)), lambda: m.step(grads, 0.1), m.__enter__]
        for ask in [*asked, lambda: m.save("unused"), lambda: m.grad(objective(m), jit=True)]:
            with pytest.raises(pg.ParameterError, match=said):
                ask()
    m = model()
    m.layers[0][:], m.layers = 3.0, [np.full(2, 4.0), {"k": [np.ones(2), 5.0]}]
    np.testing.assert_array_equal(m.grad(objective(m))[1].layers[0], [2.0, 2.0])
    assert m.layers[1].k[1] == 5.0


@pytest.mark.parametrize(
    "use",
    [
        lambda p: np.sum(p),
        lambda p: np.max(p),
        lambda p: p * 2,
        lambda p: 2 - p,
        lambda p: np.ones(2) @ p,
        lambda p: p.T,
        lambda p: p[0],
        lambda p: np.zeros(p),
        lambda p: float(p),
        lambda p: len(p),
        lambda p: list(p),
    ],
)
def test_a_description_of_a_parameter_is_no_array(use):
    for described in (frozen[np.ones(2)], tied["k"], tied("k", np.ones(2)), buffer[np.ones(2)]):
        with pytest.raises((pg.ParameterError, AttributeError), match="describes a parameter"):
            use(described)
