"""Optimisers against the papers' formulas in plain Python, and against torch where it is there."""

import collections
import copy
import math
import pickle

import ml_dtypes
import numpy as np
import pytest

import pycograd as pg
from pycograd.core.errors import (
    NotDifferentiableError,
    PycogradError,
    ShapeError,
    TreeMismatchError,
)
from pycograd.optim import (
    SGD,
    Adafactor,
    Adam,
    AdamW,
    Lion,
    Optimizer,
    clip_grad_norm,
    cosine_decay,
    sgd_update,
    step_decay,
)

STEPS = 60
SETTINGS = [
    (SGD, {"lr": 0.05}),
    (SGD, {"lr": 0.05, "weight_decay": 0.1}),
    (SGD, {"lr": 0.05, "momentum": 0.9}),
    (SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    (SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    (SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (Adam, {}),
    (Adam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}),
    (Adam, {"lr": 0.02, "weight_decay": 0.1}),
    (AdamW, {"lr": 0.02}),
    (AdamW, {"lr": 0.02, "weight_decay": 0.1}),
    (Lion, {"lr": 0.01, "betas": (0.9, 0.99)}),
    (Lion, {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1}),
]
IDS = [f"{cls.__name__}-{'-'.join(settings)}" for cls, settings in SETTINGS]


def by_the_paper(cls, lr, p, gradient, steps, momentum=0.0, weight_decay=0.0, nesterov=False,
                 betas=(0.9, 0.999), eps=1e-8):  # fmt: skip
    """The path of one number, each formula as its paper (or torch's documentation) prints it."""
    path, b, m, v = [], None, 0.0, 0.0
    for t in range(1, steps + 1):
        g = gradient(p, t)
        if cls in (AdamW, Lion):
            p -= lr * weight_decay * p
        else:
            g += weight_decay * p
        if cls is SGD:
            b = g if b is None else momentum * b + g
            p -= lr * ((g + momentum * b) if nesterov else b if momentum else g)
        elif cls is Lion:
            p -= lr * np.sign(betas[0] * m + (1 - betas[0]) * g)
            m = betas[1] * m + (1 - betas[1]) * g
        else:
            m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
            m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
            p -= lr * m_hat / (math.sqrt(v_hat) + eps)
        path.append(p)
    return path


def slope(p, t):
    return 3 * (p - 1) + np.sin(t)


@pytest.mark.parametrize("cls, settings", SETTINGS, ids=IDS)
def test_the_formulas_of_the_papers(cls, settings):
    opt, p = cls(**settings), np.array([[2.0, -1.0, 0.3]])
    path = []
    for t in range(1, STEPS + 1):
        p = opt.step(p, slope(p, t))
        path.append(p)
    for i, start in enumerate([2.0, -1.0, 0.3]):
        expected = by_the_paper(cls, settings.get("lr", 1e-3), start, slope, STEPS, **{
            k: v for k, v in settings.items() if k != "lr"
        })  # fmt: skip
        np.testing.assert_allclose([q[0, i] for q in path], expected, rtol=1e-11)


def entry_by_entry(p, gradients, lr, weight_decay):
    """Adafactor of one matrix, in loops: Shazeer and Stern 2018, algorithm 4, with their settings.

    The floor of the squares is the square of the precision, and the size of a parameter is that
    before it decays, as in torch's documentation.
    """
    n, m = len(p), len(p[0])
    r, c, tiny = [0.0] * n, [0.0] * m, np.finfo(float).eps
    norm = lambda x: math.sqrt(sum(v * v for row in x for v in row) / (n * m))
    for t, g in enumerate(gradients, 1):
        beta = 1 - t**-0.8
        alpha = max(1e-3, norm(p)) * min(lr, 1 / math.sqrt(t))
        p = [[v * (1 - lr * weight_decay) for v in row] for row in p]
        for i in range(n):
            r[i] = beta * r[i] + (1 - beta) * sum(g[i][j] ** 2 for j in range(m)) / m
        for j in range(m):
            c[j] = beta * c[j] + (1 - beta) * sum(g[i][j] ** 2 for i in range(n)) / n
        mean = max(sum(r) / n, tiny)
        u = [
            [g[i][j] / math.sqrt(max(r[i] * c[j] / mean, tiny**2)) for j in range(m)]
            for i in range(n)
        ]
        alpha /= max(1.0, norm(u))
        p = [[p[i][j] - alpha * u[i][j] for j in range(m)] for i in range(n)]
    return p


def test_adafactor_of_a_matrix_is_the_papers(rng):
    start, gradients = rng.standard_normal((3, 2)), rng.standard_normal((8, 3, 2))
    opt, p = Adafactor(lr=0.4, weight_decay=0.1), start
    for g in gradients:
        p = opt.step(p, g)
    np.testing.assert_allclose(p, entry_by_entry(start, gradients, 0.4, 0.1), rtol=1e-12)
    kept = opt.state_dict()["leaves"][""]
    assert (kept["rows"].shape, kept["columns"].shape) == ((3, 1), (1, 2))
    again = Adafactor(lr=0.4, weight_decay=0.1)
    again.load_state_dict(opt.state_dict())
    np.testing.assert_array_equal(again.step(p, gradients[0]), opt.step(p, gradients[0]))
    with pytest.raises(ShapeError, match=r"leaf '?.*needs a 'rows' of shape \(4, 1\)"):
        opt.step(np.ones((4, 2)), np.ones((4, 2)))


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 4, 3)])
def test_adafactor_agrees_with_torch(shape, rng):
    torch = pytest.importorskip("torch")
    ours, opt = rng.standard_normal(shape), Adafactor(lr=0.03, weight_decay=0.1)
    theirs = torch.tensor(ours, requires_grad=True)
    other = torch.optim.Adafactor([theirs], lr=0.03, weight_decay=0.1)
    for _ in range(STEPS):
        g = rng.standard_normal(shape)
        theirs.grad = torch.tensor(g)
        other.step()
        ours = opt.step(ours, g)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize("cls, settings", SETTINGS, ids=IDS)
def test_agrees_with_torch(cls, settings, dtype, rng):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, cls.__name__):
        pytest.skip(f"torch has no {cls.__name__}")
    start = [rng.standard_normal(s).astype(dtype) for s in ((3, 2), ())]
    if dtype == "complex128":
        start = [s + 1j * rng.standard_normal(s.shape) for s in start]
    theirs = [torch.tensor(s.copy(), requires_grad=True) for s in start]
    other = getattr(torch.optim, cls.__name__)(theirs, **{"weight_decay": 0.0, **settings}, **(
        {} if cls is not SGD or "lr" in settings else {"lr": 0.1}
    ))  # fmt: skip
    ours, opt = tuple(np.asarray(s) for s in start), cls(**settings)
    for t in range(STEPS):
        grads = [np.asarray((p * 2 - 1) * math.cos(t), dtype) for p in ours]
        skip = t % 7 == 3  # a leaf without a gradient: neither it nor its state moves
        for p, g in zip(theirs, grads):
            p.grad = torch.tensor(g.copy())
        if skip:
            theirs[0].grad = None
        other.step()
        ours = opt.step(ours, (None if skip else grads[0], grads[1]))
    for p, q in zip(ours, theirs):
        assert p.dtype == dtype
        np.testing.assert_allclose(
            p, q.detach().numpy(), rtol=1e-4 if dtype == "float32" else 1e-10
        )


@pytest.mark.parametrize("cls, settings", [*SETTINGS, (Adafactor, {})], ids=[*IDS, "Adafactor"])
@pytest.mark.parametrize(
    "dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8", np.longdouble, "c8", "c16"]
)
def test_dtypes_and_structures_are_kept_and_nothing_is_written(cls, settings, dtype):
    opt = cls(**{**settings, "lr": step_decay(np.float64(0.1), 0.5, 2)})
    params = collections.OrderedDict(
        w=np.ones((2, 3), dtype), deep=({"b": np.ones((), dtype)}, None), name="fixed", n=3
    )
    grads = collections.OrderedDict(
        w=np.ones((2, 3), dtype), deep=({"b": np.float64(1.0)}, None), name=None, n=None
    )
    kept = copy.deepcopy(params)
    new = opt.step(opt.step(params, grads), grads)
    assert type(new) is collections.OrderedDict and type(new["deep"]) is tuple
    assert (new["name"], new["n"]) == ("fixed", 3)
    for p in (new["w"], new["deep"][0]["b"]):
        assert type(p) is np.ndarray and p.dtype == dtype and np.all(np.abs(p) < 1)
    assert np.all(params["w"] == kept["w"]) and params["deep"][0]["b"] == 1


def test_scalars_keep_their_type():
    for p in (1.0, np.float16(1.0), np.float32(1.0), np.float64(1.0), 1 + 1j):
        for g in (2.0, np.asarray(2.0), np.float32(2.0)):
            for opt in (SGD(0.1), Adam(0.1)):
                new = opt.step({"p": p}, {"p": g})["p"]
                assert type(new) is type(p) and new != p


def test_small_gradients_of_16_bits_do_not_vanish_in_the_square():
    """In float16 itself the square of 1e-4 underflows, and Adam divides by eps or by 0."""
    p = np.ones(3, np.float16)
    q = Adam(lr=0.01).step(p, np.full(3, 1e-4, np.float16))
    np.testing.assert_allclose(q.astype(float), 0.99, rtol=1e-3)


def test_leaves_are_known_by_name():
    """The order of the keys does not matter to the state."""
    one, two = Adam(0.1), Adam(0.1)
    grads = {"a": np.array(1.0), "b": np.array(-5.0)}
    p, q = ({"a": np.array(0.0), "b": np.array(0.0)} for _ in range(2))
    for _ in range(3):
        p = one.step(p, grads)
        q = two.step(dict(reversed(q.items())), grads)
        grads = {k: 2 * g for k, g in grads.items()}
    assert p == q and list(p) != list(q)


# -- schedules and state -------------------------------------------------------------------------
def test_a_schedule_sees_the_step_from_one():
    seen = []

    def lr(step):
        seen.append(step)
        return 1.0 / step

    opt, p = SGD(lr), 0.0
    path = [p := opt.step(p, -1.0) for _ in range(3)]
    assert seen == [1, 2, 3] and path == pytest.approx([1, 1.5, 1.5 + 1 / 3])


@pytest.mark.parametrize("cls, settings", SETTINGS, ids=IDS)
def test_training_goes_on_from_a_saved_state(cls, settings):
    settings = {**settings, "lr": cosine_decay(0.1, 20)}
    straight, p = cls(**settings), {"w": np.ones(3), "z": np.ones(2, complex), "frozen": np.ones(1)}

    def step(opt, p, t):
        return opt.step(p, {"w": p["w"] * t, "z": p["z"] * 1j, "frozen": None})

    for t in range(5):
        p = step(straight, p, t)
    saved = pickle.loads(pickle.dumps(straight.state_dict()))
    resumed, q = cls(**settings), p
    resumed.load_state_dict(saved)
    for t in range(5, 10):
        p, q = step(straight, p, t), step(resumed, q, t)
    for name in p:
        assert np.array_equal(p[name], q[name])
    assert resumed.steps == 10
    assert saved["steps"] == 5  # loading does not tie the optimiser to what it was given


def test_a_state_of_another_optimiser_is_refused():
    opt = Adam()
    opt.step({"w": 1.0}, {"w": 1.0})
    with pytest.raises(ValueError, match=r"SGD\.load_state_dict: leaf 'w' has state.*'mean'"):
        SGD(momentum=0.9).load_state_dict(opt.state_dict())
    with pytest.raises(ValueError, match="expected the keys 'steps' and 'leaves'"):
        SGD().load_state_dict({"w": 1})


# -- mistakes ------------------------------------------------------------------------------------
PARAMS = {"layers": [{"w": np.ones((2, 3))}], "b": np.ones(3)}


@pytest.mark.parametrize(
    "grads, error, text",
    [
        ({"layers": [{"w": np.ones((3, 2))}], "b": None}, ShapeError,
         r"leaf 'layers\.0\.w' has shape \(2, 3\), its gradient \(3, 2\)"),
        ({"layers": [{"w": np.ones((2, 3))}], "b": 1.0}, ShapeError, r"leaf 'b' has shape \(3,\)"),
        ({"layers": [{"v": 1.0}], "b": None}, TreeMismatchError, r"differ at layers\.0"),
        ({"layers": [], "b": None}, TreeMismatchError, "differ at layers"),
        ([np.ones(3)], TreeMismatchError, "differ at the root"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cls", [SGD, Adam, AdamW, Lion, Adafactor])
def test_gradients_that_do_not_fit(cls, grads, error, text):
    opt = cls()
    with pytest.raises(error, match=rf"{cls.__name__}\.step: .*{text}") as caught:
        opt.step(PARAMS, grads)
    assert isinstance(caught.value, (PycogradError, ValueError))
    assert opt.steps == 0 and opt.state_dict() == cls().state_dict()


def test_an_optimiser_belongs_to_one_set_of_parameters():
    opt = Adam()
    opt.step({"w": np.ones(3)}, {"w": np.ones(3)})
    with pytest.raises(TreeMismatchError, match="leaf 'v' is not in both"):
        opt.step({"w": np.ones(3), "v": np.ones(3)}, {"w": np.ones(3), "v": None})
    with pytest.raises(ShapeError, match=r"leaf 'w' needs a 'mean' of shape \(4,\).*has \(3,\)"):
        opt.step({"w": np.ones(4)}, {"w": np.ones(4)})
    opt.step({"w": np.ones(3)}, {"w": np.ones(3)})
    assert opt.steps == 2


def test_an_error_in_the_schedule_changes_nothing():
    opt = SGD(lambda step: 1 / 0, momentum=0.9)
    with pytest.raises(ZeroDivisionError):
        opt.step(1.0, 1.0)
    assert opt.steps == 0 and opt.state_dict()["leaves"] == {}


@pytest.mark.parametrize("p", [3, np.arange(3), True, "text"])
def test_a_step_of_what_is_not_a_float_is_refused(p):
    with pytest.raises(NotDifferentiableError, match="leaf 'p'"):
        SGD().step({"p": p}, {"p": np.ones(np.shape(p))})


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(lr=-1),
        lambda: SGD(momentum=1.0),
        lambda: SGD(weight_decay=-1),
        lambda: SGD(nesterov=True),
        lambda: Adam(betas=(0.9, 1.0)),
        lambda: Adam(eps=-1),
        lambda: AdamW(weight_decay=-0.1),
        lambda: Lion(betas=(1.0, 0.9)),
        lambda: Lion(weight_decay=-0.1),
        lambda: Adafactor(beta2_decay=0.1),
        lambda: Adafactor(clip=0.0),
        lambda: Adafactor(eps=(None, -1.0)),
    ],
)
def test_settings_out_of_range(make):
    with pytest.raises(ValueError, match=r"must|needs"):
        make()


def test_a_new_optimiser_is_one_method():
    class Sign(Optimizer):
        def update(self, param, grad, lr, state):
            return param - lr * np.sign(grad), {}

    new = Sign(0.5).step({"a": np.zeros(2), "z": 0j}, {"a": np.array([3.0, -1.0]), "z": 2 - 1j})
    assert np.array_equal(new["a"], [-0.5, 0.5]) and new["z"] == -0.5 + 0.5j


# -- functions -----------------------------------------------------------------------------------
def test_sgd_update():
    params = {"w": np.ones(2, np.float32), "b": 1.0, "n": 3}
    new = sgd_update(params, {"w": np.array([1.0, 2.0]), "b": None, "n": None}, np.float64(0.5))
    assert np.array_equal(new["w"], [0.5, 0.0]) and new["w"].dtype == np.float32
    assert (new["b"], new["n"]) == (1.0, 3)


@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8", "c16"])
def test_clip_grad_norm(dtype):
    grads = {"w": np.array([3.0, 0.0], dtype), "b": [np.array(4.0, dtype), None], "s": 12.0}
    clipped = clip_grad_norm(grads, 6.5)
    assert clipped["w"].dtype == dtype and clipped["b"][1] is None and type(clipped["s"]) is float
    flat = [complex(clipped["w"][0]), complex(clipped["b"][0]), clipped["s"]]
    np.testing.assert_allclose(flat, [1.5, 2.0, 6.0], rtol=1e-2)
    same = clip_grad_norm(grads, 13.0)
    assert np.array_equal(same["w"], grads["w"]) and same["s"] == 12.0


def test_clip_grad_norm_agrees_with_torch(rng):
    torch = pytest.importorskip("torch")
    grads = [rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((3, 4), (5,))]
    leaves = [torch.zeros(g.shape, dtype=torch.complex128, requires_grad=True) for g in grads]
    for p, g in zip(leaves, grads):
        p.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(leaves, 1.0)
    for p, g in zip(leaves, clip_grad_norm(grads, 1.0)):
        np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-5)


def test_clip_grad_norm_at_the_edges():
    assert clip_grad_norm({"w": None}, 1.0) == {"w": None}
    assert np.array_equal(clip_grad_norm([np.zeros(2)], 1.0)[0], np.zeros(2))
    big = np.full(4, 300.0, np.float16)  # its square is not a float16
    np.testing.assert_allclose(clip_grad_norm(big, 1.0).astype(float), 0.5, rtol=1e-3)
    with np.errstate(invalid="ignore"):
        assert np.all(np.isnan(clip_grad_norm([np.array([np.nan, 1.0])], 1.0)[0]))
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="must be positive"):
            clip_grad_norm([1.0], wrong)


def test_clip_grad_norm_does_not_overflow():
    for big, rest in (
        ([1e20, 1e20], "f4"),
        ([3e38, 3e38], "f4"),
        ([1e200], "f8"),
        ([1e308] * 4, "f8"),
    ):
        g = np.array(big, rest)
        got = clip_grad_norm({"a": g, "none": None}, 2.0)["a"]
        assert got.dtype == g.dtype
        np.testing.assert_allclose(got, 2.0 / np.sqrt(len(big)), rtol=1e-6)
    tiny = np.array([1e-200, 1e-200])
    np.testing.assert_allclose(clip_grad_norm(tiny, 1e-200), 1e-200 / np.sqrt(2))
    assert clip_grad_norm([np.ones(0), np.zeros(1)], 1.0)[1] == 0.0


def test_clip_grad_norm_refuses_integers():
    with pytest.raises(pg.NotDifferentiableError, match=r"leaf 'n' is of type int64"):
        clip_grad_norm({"a": np.ones(3), "n": np.arange(2)}, 1.0)


def test_clip_grad_norm_is_differentiable(rng):
    x = {"a": rng.standard_normal(3), "b": rng.standard_normal((2, 2))}
    for most in (0.5, 100.0):
        f = lambda t, most=most: np.sum(np.sin(clip_grad_norm(t, most)["a"]))
        pg.check_grads(f, (x,), order=2)
    assert np.array_equal(pg.grad(lambda g: np.sum(clip_grad_norm(g, 1.0)))(np.zeros(2))[0], [1, 1])
    rows = rng.standard_normal((3, 4)) * 5
    np.testing.assert_allclose(
        pg.vmap(lambda g: clip_grad_norm(g, 1.0))(rows), [clip_grad_norm(g, 1.0) for g in rows]
    )


def test_a_complex_gradient_of_a_real_leaf_is_refused():
    opt = Adam()
    with pytest.raises(pg.NotDifferentiableError, match="'w' is of type float64, and its gradient"):
        opt.step({"w": np.ones(2)}, {"w": np.ones(2) * 1j})
    assert opt.state_dict() == {"steps": 0, "leaves": {}}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("cls", [Adam, AdamW])
def test_steps_of_large_leaves_have_the_bits_of_the_formula(cls, dtype, rng):
    """Written in pieces, and for a view that is not, entry by entry as the formula says."""
    p, opt = rng.standard_normal((301, 223)).astype(dtype), cls(0.1, weight_decay=0.01)
    kept = ours = {"a": p, "b": np.asfortranarray(p)}
    mean = square = 0.0
    for count in range(1, 5):
        grad = rng.standard_normal(p.shape).astype(dtype)
        saved = copy.deepcopy(opt.state_dict())
        held = opt.state_dict()
        ours = opt.step(ours, {"a": grad, "b": grad})
        if count > 1:  # what was handed out stays as it was
            assert np.array_equal(held["leaves"]["a"]["mean"], saved["leaves"]["a"]["mean"])
        if cls is Adam:
            grad = grad + 0.01 * p
        else:
            p = p * (1 - 0.1 * 0.01)
        mean = 0.9 * mean + (1 - 0.9) * grad
        square = 0.999 * square + (1 - 0.999) * grad * grad
        scale = np.sqrt(square) / math.sqrt(1 - 0.999**count) + 1e-8
        p = p - 0.1 / (1 - 0.9**count) * mean / scale
        for new in ours.values():
            assert new.dtype == dtype
            assert np.array_equal(new, p)
    assert np.array_equal(kept["a"], kept["b"])


@pytest.mark.parametrize("cls, settings", SETTINGS, ids=IDS)
def test_a_state_of_arrays_without_axes_is_taken_up(cls, settings):
    """As files of arrays give numbers back."""
    p, g = np.array(1.0), np.array(0.5)
    opt, again = cls(**settings), cls(**settings)
    p = opt.step(p, g)
    state = copy.deepcopy(opt.state_dict())
    for leaf in state["leaves"].values():
        leaf.update({k: np.asarray(x) for k, x in leaf.items() if isinstance(x, np.floating)})
    again.load_state_dict(state)
    assert again.step(p, g) == opt.step(p, g)


@pytest.mark.parametrize("lr", ["0.1", None, [0.1], np.ones(2), object()])
def test_a_learning_rate_is_a_number_or_a_schedule(lr):
    with pytest.raises(TypeError, match=r"lr is a number, or a schedule lr\(step\), not "):
        SGD(lr)


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused_and_nothing_changes(rate):
    with pytest.raises(ValueError, match="must be finite, and not negative"):
        SGD(rate)
    opt, p = Adam(lambda step: 0.1 if step < 2 else rate), {"w": np.ones(2)}
    opt.step(p, p)
    before = opt.state_dict()
    with pytest.raises(ValueError, match=r"Adam\.step: the schedule gave lr=.* at step 2"):
        opt.step(p, p)
    assert str(opt.state_dict()) == str(before)


@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.9, 0.9)])
def test_betas_are_a_pair(betas):
    for cls in (Adam, Lion):
        with pytest.raises(ValueError, match="is a pair"):
            cls(betas=betas)


def test_an_optimizer_does_not_step_in_a_function_that_is_compiled_but_one_made_there_does():
    p, g = np.ones(2), np.array([1.0, 2.0])
    for opt in (Adam(0.1), SGD(0.1, momentum=0.9), SGD(pg.cosine_decay(0.1, 9))):
        with pytest.raises(pg.UnsupportedOperationError, match=r"would take this one step again"):
            pg.jit(opt.step)(p, g)
        with pytest.raises(pg.UnsupportedOperationError, match=r"would take this one step again"):
            pg.capture(lambda p, opt=opt: opt.step(p, p), p)
        assert opt.state_dict() == {"steps": 0, "leaves": {}}

    def two(p, g):
        opt = Adam(pg.cosine_decay(0.1, 9))
        return opt.step(opt.step(p, g), 2 * g)

    np.testing.assert_allclose(pg.jit(two)(p, g), two(p, g), rtol=1e-12)
    np.testing.assert_allclose(pg.jit(SGD(0.1).step)(p, g), p - 0.1 * g)
