"""`train` and `fit`, against the same steps taken by hand."""

import math
import os
import signal

import numpy as np
import pytest

import pycograd as pg
from pycograd.optim import SGD, Adafactor, Adam, AdamW, Lion, cosine_decay, linear_warmup
from pycograd.training import (
    Checkpoint,
    DataLoader,
    EarlyStopping,
    History,
    MixedPrecision,
    fit,
    train,
)

X = np.linspace(-1.0, 1.0, 12).reshape(6, 2)
Y = X @ np.array([1.5, -0.5]) + 0.3


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C interrupts, also in the background of a shell, which lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def model(dtype=np.float64):
    return pg.params(slope=np.zeros(2, dtype), shift=np.zeros((), dtype))


def objective(batch):
    x, y = batch
    return np.mean((x @ slope + shift - y) ** 2)  # noqa: F821


def by_hand(steps, lr, batches=((X, Y),)):
    """The parameters after gradient descent, and the losses, by the formula of the gradient."""
    w, b, losses = np.zeros(2), 0.0, []
    for i in range(steps):
        x, y = batches[i % len(batches)]
        error = x @ w + b - y
        losses.append(np.mean(error**2))
        w, b = w - lr * 2 * x.T @ error / len(y), b - lr * 2 * np.mean(error)
    return w, b, losses


@pytest.mark.parametrize("jit", [False, True])
def test_train_takes_the_steps(jit):
    weights = model()
    first, last = train(weights, lambda: objective((X, Y)), 5, 0.3, jit=jit)
    w, b, losses = by_hand(5, 0.3)
    np.testing.assert_allclose(weights.slope, w, rtol=1e-12)
    np.testing.assert_allclose(weights.shift, b, rtol=1e-12)
    np.testing.assert_allclose([first, last], [losses[0], losses[-1]], rtol=1e-12)


@pytest.mark.parametrize("jit", [False, True])
def test_fit_goes_through_the_batches(jit):
    weights = model()
    history = fit(
        weights, objective, X, Y, epochs=3, opt=SGD(0.3), batch_size=4, shuffle=False, jit=jit
    )
    w, b, losses = by_hand(6, 0.3, [(X[:4], Y[:4]), (X[4:], Y[4:])])
    np.testing.assert_allclose(weights.slope, w, rtol=1e-12)
    np.testing.assert_allclose(weights.shift, b, rtol=1e-12)
    means = [(4 * losses[i] + 2 * losses[i + 1]) / 6 for i in (0, 2, 4)]
    np.testing.assert_allclose(history.loss, means, rtol=1e-12)
    assert len(history.seconds) == len(history) == 3 and not history.validation


def test_one_array_comes_alone_and_a_loader_as_it_is():
    weights = pg.params(m=0.0)
    fit(weights, lambda x: np.mean((x - m) ** 2), Y, epochs=200, opt=0.1)  # noqa: F821
    np.testing.assert_allclose(weights.m, np.mean(Y), rtol=1e-10)
    seen = []
    loader = DataLoader(X, Y, batch_size=5, shuffle=True, rng=3)

    def watching(batch):
        seen.append(len(batch[1]))
        return objective(batch)

    fit(model(), watching, loader, epochs=2, opt=0.1)
    assert seen == [5, 1, 5, 1]


def test_validation_is_the_mean_over_its_examples():
    weights = model()
    history = fit(
        weights, objective, X, Y, epochs=2, opt=0.3, batch_size=4, validation=(X[:5], Y[:5] + 1)
    )
    error = X[:5] @ np.asarray(weights.slope) + float(weights.shift) - Y[:5] - 1
    np.testing.assert_allclose(history.validation[-1], np.mean(error**2), rtol=1e-12)
    history = fit(model(), objective, X, Y, epochs=1, opt=0.3, validation=lambda: shift + 7.0)  # noqa: F821
    assert history.validation[0] == pytest.approx(7.0 + 0.6 * np.mean(Y))


def test_validation_may_be_a_list_or_a_loader():
    found = [
        fit(model(), objective, X, Y, epochs=2, opt=0.1, shuffle=False, validation=given).validation
        for given in ((X[:3], Y[:3]), [X[:3], Y[:3]], DataLoader(X[:3], Y[:3], batch_size=2))
    ]
    np.testing.assert_allclose(found, [found[0]] * 3, rtol=1e-12)


def test_a_loader_that_stands_in_an_epoch_goes_on_there():
    loader, seen, called = DataLoader(X, Y, batch_size=2), [], []
    loader.load_state_dict({"seed": 0, "epoch": 0, "batch": 2})

    def noted(batch):
        assert len(seen) < 9
        seen.append(float(batch[0][0, 0]))
        return objective(batch)

    history = fit(model(), noted, loader, epochs=2, opt=0.1, callbacks=called.append)
    assert seen == [X[i, 0] for i in (4, 0, 2, 4)]
    assert len(history) == len(called) == 2


def test_accumulated_batches_make_one_step():
    whole, parts = model(), model()
    fit(whole, objective, X, Y, epochs=4, opt=Adam(0.1), shuffle=False)
    fit(parts, objective, X, Y, epochs=4, opt=Adam(0.1), batch_size=2, accumulate=3, shuffle=False)
    np.testing.assert_allclose(parts.slope, whole.slope, rtol=1e-9)


def test_the_loss_of_an_epoch_is_over_examples_where_batches_accumulate():
    history = fit(
        model(), objective, X, Y, epochs=1, opt=0.0, batch_size=5, accumulate=2, shuffle=False
    )
    assert history.loss[0] == pytest.approx(np.mean(Y**2))


def test_clipped_gradients_have_the_norm():
    weights = model()
    fit(weights, objective, X, Y, epochs=1, opt=1.0, clip=0.01)
    moved = math.hypot(*np.asarray(weights.slope), float(weights.shift))
    assert moved == pytest.approx(0.01)


# -- callbacks -----------------------------------------------------------------------------------
def test_callbacks_see_each_epoch_and_can_stop():
    seen = []

    def callback(epoch):
        seen.append((epoch.number, epoch.loss, len(epoch.history)))
        if epoch.number == 3:
            epoch.stop("enough")

    history = fit(model(), objective, X, Y, epochs=10, opt=0.1, callbacks=[callback])
    assert [(n, size) for n, _, size in seen] == [(1, 1), (2, 2), (3, 3)]
    assert [loss for _, loss, _ in seen] == history.loss
    assert history.stopped == "enough" and "enough" in repr(history)


def test_early_stopping_brings_the_best_weights_back():
    kept = []
    checks = iter([3.0, 2.0, 2.5, 2.4, 0.0])
    history = fit(
        weights := model(),
        objective,
        X,
        Y,
        epochs=9,
        opt=0.2,
        validation=lambda: next(checks),
        callbacks=[lambda e: kept.append(np.array(e.weights.slope)), EarlyStopping(patience=2)],
    )
    assert history.validation == [3.0, 2.0, 2.5, 2.4]
    assert history.stopped == "no improvement on 2 for 2 epochs"
    np.testing.assert_array_equal(weights.slope, kept[1])
    assert not np.array_equal(kept[1], kept[3])


def test_early_stopping_may_leave_the_last_weights():
    kept = []
    stopping = EarlyStopping(patience=1, min_delta=10.0, restore=False)
    fit(
        weights := model(),
        objective,
        X,
        Y,
        epochs=9,
        opt=0.2,
        callbacks=[lambda e: kept.append(np.array(e.weights.slope)), stopping],
    )
    assert len(kept) == 2  # a fall of less than min_delta is none
    np.testing.assert_array_equal(weights.slope, kept[1])
    with pytest.raises(ValueError, match="patience must be positive"):
        EarlyStopping(patience=0)


# -- what goes wrong -------------------------------------------------------------------------------
def test_a_loss_of_nan_names_the_operation_and_its_step_is_not_taken():
    weights = pg.params(w=np.array([4.0, 1.0]))

    def sinking(batch):
        return np.sum(np.sqrt(w)) + 0.0 * np.sum(batch)  # noqa: F821

    with (
        np.errstate(invalid="ignore"),
        pytest.raises(pg.NanError, match=r"fit: the loss is nan at epoch 4, batch 1.*sqrt") as e,
    ):
        fit(weights, sinking, Y, epochs=9, opt=0.7, shuffle=False)
    assert "test_fit.py" in str(e.value)
    assert np.all(np.isfinite(weights.w))


def test_a_loss_of_infinity_says_so():
    weights = pg.params(w=300.0)
    with (
        np.errstate(over="ignore"),
        pytest.raises(pg.NanError, match=r"train: the loss is inf at step \d.*lower the learning"),
    ):
        train(weights, lambda: np.exp(w * w), 3, 0.1)  # noqa: F821
    assert weights.w == 300.0


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "objective, said",
    [
        (lambda: np.sum(np.sqrt(w)), "a slope is infinite"),  # noqa: F821
        (lambda: np.sum(np.sqrt(w * w)), "derivative of multiply made a nan"),  # noqa: F821
    ],
)
def test_a_gradient_that_is_no_number_is_not_stepped_by(objective, said, jit):
    weights = pg.params(w=np.array([0.0, 1.0]))
    with (
        np.errstate(divide="ignore", invalid="ignore"),
        pytest.raises(pg.NanError, match=f"gradient of 'w' is not finite at step 1.*{said}"),
    ):
        train(weights, objective, 1, 0.1, jit=jit)
    np.testing.assert_array_equal(weights.w, [0.0, 1.0])


@pytest.mark.parametrize(
    "change, said",
    [
        ({"batch_size": 7}, "batch_size=7 is more than the 6 examples"),
        ({"epochs": 0}, "epochs must be positive"),
        ({"accumulate": 0}, "accumulate must be positive"),
        ({"precision": "float32"}, "float16 or bfloat16"),
        ({"validation": X}, "validation has 1 array, where 2 are trained on"),
        ({"validation": (X, Y, Y)}, "validation has 3 arrays"),
        ({"validation": DataLoader(X, batch_size=2)}, "validation has 1 array"),
    ],
)
def test_settings_that_do_not_fit(change, said):
    with pytest.raises(ValueError, match=said):
        fit(model(), objective, X, Y, **{"epochs": 1, "opt": 0.1, **change})


@pytest.mark.parametrize(
    "change, said",
    [
        ({"weights": {"w": 1.0}}, "the weights are a ParamDict.*not a dict"),
        ({"opt": Adam}, r"not the class Adam: write Adam\("),
        ({"validation": lambda: None}, "validation returned a NoneType, not a number"),
        ({"epochs": 1.5}, r"epochs is a whole number, not 1\.5 \(float\)"),
        ({"accumulate": "2"}, r"accumulate is a whole number"),
        ({"batch_size": 2.0}, r"batch_size is a whole number, not 2\.0"),
        ({"callbacks": [print, 3]}, "a callback is a function of an Epoch, not a int"),
        ({"callbacks": EarlyStopping}, r"not the class EarlyStopping: write EarlyStopping\("),
        ({"callbacks": [EarlyStopping]}, r"not the class EarlyStopping: write EarlyStopping\("),
        ({"rng": np.random.RandomState(0)}, "rng is an int seed.*not a RandomState"),
    ],
)
def test_things_of_other_types(change, said):
    settings = {"weights": model(), "epochs": 1, "opt": 0.1, **change}
    weights = settings.pop("weights")
    with pytest.raises(TypeError, match=said):
        fit(weights, objective, X, Y, **settings)


@pytest.mark.parametrize(
    "wrong, arrays, said",
    [
        (lambda x, y: np.mean(x - y), (X, Y), r"<lambda>\(x, y\) is called.*a tuple of 2 arrays"),
        (lambda: np.mean(X), (X,), r"<lambda>\(\) is called with one argument.*is an array"),
    ],
)
def test_an_objective_of_other_arguments(wrong, arrays, said):
    with pytest.raises(TypeError, match=rf"fit: the objective {said}: write def loss\(batch\)"):
        fit(model(), wrong, *arrays, epochs=1, opt=0.1)


def test_arrays_that_do_not_fit():
    with pytest.raises(ValueError, match="no examples in the arrays given as validation"):
        fit(model(), objective, X, Y, epochs=1, opt=0.1, validation=(X[:0], Y[:0]))
    with pytest.raises(ValueError, match="give arrays of examples, or a DataLoader"):
        fit(model(), objective, epochs=1, opt=0.1)
    with pytest.raises(ValueError, match="different lengths"):
        fit(model(), objective, X, Y[:3], epochs=1, opt=0.1)
    loader = DataLoader(X, Y, batch_size=2, shuffle=True)
    for name, value in {"batch_size": 3, "rng": 0, "drop_last": True, "shuffle": False}.items():
        with pytest.raises(ValueError, match=f"its own {name}"):
            fit(model(), objective, loader, epochs=1, opt=0.1, **{name: value})
    with pytest.raises(TypeError, match=r"takes arrays.*not a generator"):
        fit(model(), objective, (x for x in X), epochs=1, opt=0.1)
    with pytest.raises(ValueError, match="steps must be positive"):
        train(model(), lambda: 0.0, 0, 0.1)


@pytest.mark.parametrize("run", ["train", "fit"])
def test_an_interrupt_waits_for_the_end_of_the_step(run):
    weights, handler = model(), signal.getsignal(signal.SIGINT)
    calls = []

    def interrupted(batch):
        calls.append(batch)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return objective(batch)

    with pytest.raises(KeyboardInterrupt):
        if run == "train":
            train(weights, lambda: interrupted((X, Y)), 9, 0.3)
        else:
            fit(weights, interrupted, X, Y, epochs=9, opt=0.3, shuffle=False)
    assert len(calls) == 3
    np.testing.assert_allclose(weights.slope, by_hand(3, 0.3)[0], rtol=1e-12)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_interrupt_does_not_wait():
    def stubborn(batch):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")

    with pytest.raises(KeyboardInterrupt):
        fit(model(), stubborn, X, Y, epochs=1, opt=0.3)


# -- history ---------------------------------------------------------------------------------------
def test_a_history_plots_itself(tmp_path):
    history = History([3.0, 2.0], [4.0, 3.0], [0.1, 0.1])
    axes = history.plot(tmp_path / "loss.png")
    assert [list(line.get_ydata()) for line in axes.lines] == [[3.0, 2.0], [4.0, 3.0]]
    assert (tmp_path / "loss.png").read_bytes()[:4] == history._repr_png_()[:4] == b"\x89PNG"
    assert History()._repr_png_() is None
    assert repr(history) == "History of 2 epochs: loss 3 -> 2, validation 4 -> 3"


# -- mixed precision -------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype, tol", [("float16", 2e-3), ("bfloat16", 2e-2)])
@pytest.mark.parametrize("jit", [False, True])
def test_passes_in_16_bits_give_gradients_in_those_of_the_weights(dtype, tol, jit):
    weights, batch = model(np.float32), (X.astype("f4"), Y.astype("f4"))
    seen = []

    def watching(batch):
        seen.append((slope.dtype, batch[0].dtype))  # noqa: F821
        return objective(batch)

    value, grads = MixedPrecision(dtype).grad(weights, watching, batch, jit=jit)
    expected, slopes = weights.grad(objective, batch)
    assert set(seen) == {(pg.resolve_dtype(dtype),) * 2}
    assert value == pytest.approx(float(expected), rel=tol)
    assert grads.slope.dtype == np.float32
    np.testing.assert_allclose(grads.slope, slopes.slope, rtol=tol, atol=tol)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_buffers_keep_their_bits(dtype):
    weights = pg.params(
        gamma=np.ones(2, np.float32),
        mean=pg.buffer(np.zeros(2, np.float32)),
        var=pg.buffer(np.ones(2, np.float32)),
        calls=pg.buffer(0.0),
    )

    def normed(x):
        y, mean, var = pg.nn.batch_norm(x, gamma, 0 * gamma, weights.mean, weights.var)  # noqa: F821
        weights.update_buffers(
            mean=pg.stop_gradient(mean), var=pg.stop_gradient(var), calls=weights.calls + 1
        )
        return np.mean(y**2)

    half = MixedPrecision(dtype)
    data = X + 5.0
    for _ in range(300):
        half.grad(weights, normed, data)
    assert weights.calls == 300.0
    rounded = data.astype(pg.resolve_dtype(dtype)).astype(float)
    np.testing.assert_allclose(weights.mean, rounded.mean(0), rtol=1e-4)
    np.testing.assert_allclose(weights.var, rounded.var(0), rtol=1e-4)


def test_small_gradients_do_not_vanish():
    weights = pg.params(w=np.ones(2, np.float32))
    tiny = lambda: np.sum(w * np.float16(1e-4)) * np.float16(1e-4)  # noqa: F821
    with pg.dtype("float32"):
        _, grads = MixedPrecision("float16").grad(weights, tiny)
        _, lost = MixedPrecision("float16", scale=1e-3).grad(weights, tiny)
    np.testing.assert_allclose(grads.w, 1e-8, rtol=1e-3)
    assert np.all(lost.w == 0.0)


def test_an_overflow_leaves_the_step_out_and_lowers_the_scale():
    weights = pg.params(w=np.ones(2, np.float32))
    half = MixedPrecision("float16", scale=2.0**40, factor=2.0**20, interval=2)
    scales = []

    def note(epoch):
        scales.append((half.scale, float(np.asarray(epoch.weights.w)[0])))

    data = np.zeros(2, np.float32)
    objective = lambda x: np.sum((w - x) ** 2)  # noqa: F821
    fit(weights, objective, data, epochs=4, opt=0.25, precision=half, callbacks=[note])
    # Overflows at 2**40 and 2**20; from scale 1 on steps of one half, and a rise after two.
    assert scales == [(2.0**20, 1.0), (1.0, 1.0), (1.0, 0.5), (2.0**20, 0.25)]


def test_a_loss_that_is_too_large_for_16_bits_says_so():
    weights = pg.params(w=np.full(2, 300.0, np.float32))
    settings = {"epochs": 1, "opt": 0.1, "precision": "float16"}
    with (
        np.errstate(over="ignore"),
        pytest.raises(
            pg.NanError, match=r"without precision='float16' the loss is 90000.*bfloat16"
        ),
    ):
        fit(weights, lambda x: np.mean((w * x) ** 2), np.ones(2), **settings)  # noqa: F821


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "slope, said",
    [
        (lambda x: np.sum(np.sqrt(w)) + np.mean(x), "a slope is infinite"),  # noqa: F821
        (lambda x: np.sum(np.sqrt(w * w)) + np.mean(x), "multiply made a nan"),  # noqa: F821
    ],
)
def test_a_gradient_that_no_scale_makes_finite_is_an_error(slope, said, dtype):
    weights = pg.params(w=np.zeros(2, np.float32))
    with (
        np.errstate(divide="ignore", invalid="ignore"),
        pytest.raises(pg.NanError, match=f"gradient of 'w' is not finite at epoch.*{said}"),
    ):
        fit(weights, slope, X, epochs=30, opt=0.1, precision=dtype)
    np.testing.assert_array_equal(weights.w, [0.0, 0.0])


def test_a_gradient_that_is_too_large_for_16_bits_says_so():
    weights = pg.params(w=np.zeros(1, np.float32))
    said = r"gradient of 'w' .*without precision='float16' the loss is 0: .*bfloat16"
    with np.errstate(over="ignore"), pytest.raises(pg.NanError, match=said):
        fit(
            weights,
            lambda x: np.sum(w * x),  # noqa: F821
            np.full(6, 3e4),
            epochs=30,
            opt=0.1,
            precision="float16",
        )


def test_a_scale_below_one_is_not_raised_by_an_overflow():
    half = MixedPrecision("float16", scale=0.5)
    weights = pg.params(w=np.zeros(2, np.float32))
    with np.errstate(divide="ignore"):
        _, grads = half.grad(weights, lambda: np.sum(np.sqrt(w)))  # noqa: F821
    assert half.scale == 0.5 and np.all(np.isinf(grads.w))


def test_a_loss_may_be_a_python_number():
    value, grads = MixedPrecision("bfloat16").grad(model(), lambda: 2.5)
    assert value == 2.5 and not np.any(grads.slope)


def test_settings_of_mixed_precision():
    for settings in ({"dtype": "float64"}, {"scale": 0.0}, {"factor": 1.0}, {"interval": 0}):
        with pytest.raises(ValueError, match="MixedPrecision"):
            MixedPrecision(**settings)


# -- checkpoints -----------------------------------------------------------------------------------
def noisy(generator):
    """An objective with random numbers of its own."""

    def run(batch):
        x, y = batch
        return objective((x + 0.1 * generator.standard_normal(x.shape), y))

    return run


def course(path, stop_at=None, epochs=5, precision=None, opt=Adam, **settings):
    """A run with all that has a state, stopped by Ctrl-C at a call of the objective."""
    weights, generator, calls = model(np.float32), np.random.default_rng(7), []
    run, stopping, key = noisy(generator), EarlyStopping(patience=4), pg.random.key(3).copy()

    def interrupted(batch):
        calls.append(1)
        if len(calls) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        key[...], drawn = pg.random.split(key)
        return run((pg.dropout(batch[0], 0.3, key=drawn), batch[1]))

    history = fit(
        weights,
        interrupted,
        X.astype("f4"),
        Y.astype("f4"),
        epochs=epochs,
        opt=opt(linear_warmup(cosine_decay(0.05, 12), 3), **settings),
        batch_size=2,
        rng=1,
        callbacks=[stopping],
        precision=precision,
        checkpoint=path and Checkpoint(path, every=2, rng={"noise": generator, "drop": key}),
    )
    return weights, history, stopping


@pytest.mark.parametrize("precision", [None, "float16"])
@pytest.mark.parametrize("stop_at", [1, 2, 3, 8, 14])
def test_a_run_goes_on_bit_by_bit(tmp_path, stop_at, precision):
    pytest.importorskip("safetensors")
    whole, expected, kept = course(None, precision=precision)
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt, match=r"fit stopped in epoch \d.*run\.safetensors"):
        course(path, stop_at, precision=precision)
    weights, history, stopping = course(path, precision=precision)
    for name in whole:
        assert np.asarray(weights[name]).tobytes() == np.asarray(whole[name]).tobytes()
    assert history.loss == expected.loss
    assert (stopping.best, stopping.since) == (kept.best, kept.since)
    again, same, _ = course(path, precision=precision)  # there is nothing left to do
    assert same.loss == expected.loss
    assert np.asarray(again.slope).tobytes() == np.asarray(whole.slope).tobytes()
    assert os.listdir(tmp_path) == ["run.safetensors"]


@pytest.mark.parametrize("opt", [SGD, AdamW, Lion, Adafactor], ids=lambda opt: opt.__name__)
def test_every_optimiser_goes_on_bit_by_bit(tmp_path, opt):
    pytest.importorskip("safetensors")
    settings = {"momentum": 0.9, "nesterov": True} if opt is SGD else {"weight_decay": 0.1}
    whole, expected, _ = course(None, opt=opt, **settings)
    for stop_at in (2, 6, 3):
        with pytest.raises(KeyboardInterrupt):
            course(tmp_path / "run", stop_at, opt=opt, **settings)
    weights, history, _ = course(tmp_path / "run", opt=opt, **settings)
    for name in whole:
        assert np.asarray(weights[name]).tobytes() == np.asarray(whole[name]).tobytes()
    assert history.loss == expected.loss


def test_a_checkpoint_needs_its_folder_before_the_first_step(tmp_path):
    calls = []
    with pytest.raises(FileNotFoundError, match=r"no folder .*none to write the checkpoint"):
        fit(model(), calls.append, X, Y, epochs=1, opt=0.1, checkpoint=tmp_path / "none" / "run")
    assert not calls


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path):
    pytest.importorskip("safetensors")
    path = str(tmp_path / "run.safetensors")
    fit(model(), objective, X, Y, epochs=1, opt=0.1, checkpoint=path)
    other = pg.params(slope=np.zeros(3), shift=0.0)
    with pytest.raises(pg.ParameterError, match="not those of this model"):
        fit(other, objective, X, Y, epochs=1, opt=0.1, checkpoint=path)
    weights = model()
    with pytest.raises(pg.ParameterError, match="SGD, not of Adam"):
        fit(weights, objective, X, Y, epochs=1, opt=Adam(), checkpoint=path)
    assert not np.any(weights.slope)
    for change, said in (
        ({"callbacks": [EarlyStopping()]}, "other callbacks"),
        ({"precision": "float16"}, "another precision"),
    ):
        opt = SGD(0.1)
        with pytest.raises(ValueError, match=said):
            fit(weights, objective, X, Y, epochs=1, opt=opt, checkpoint=path, **change)
        assert not np.any(weights.slope) and not opt.steps
    with pytest.raises(ValueError, match="every must be positive"):
        Checkpoint(path, every=0)


def test_a_loader_goes_on_where_it_stood():
    loader = DataLoader(np.arange(7), batch_size=2, shuffle=True, rng=3)
    expected = [b.tolist() for _ in range(3) for b in loader]
    for stop in range(10):
        first = DataLoader(np.arange(7), batch_size=2, shuffle=True, rng=3)
        seen = []
        while len(seen) < stop:
            for batch in first:
                seen.append(batch.tolist())
                if len(seen) == stop:
                    break
        second = DataLoader(np.arange(7), batch_size=2, shuffle=True, rng=99)
        second.load_state_dict(first.state_dict())
        while len(seen) < 12:
            seen += [b.tolist() for b in second]
        assert seen == expected
    with pytest.raises(ValueError, match="no state of this loader"):
        loader.load_state_dict({"seed": 1, "epoch": 0, "batch": 4})


def test_other_data_or_settings_do_not_go_on_within_an_epoch(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "run.safetensors"
    calls = []

    def interrupted(batch):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return objective(batch)

    settings = {"epochs": 2, "opt": 0.1, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        fit(model(), interrupted, X, Y, batch_size=2, **settings)
    for arrays, change in (
        ((X, Y), {"batch_size": 1}),
        ((X[:5], Y[:5]), {"batch_size": 2}),
        ((X, Y), {"batch_size": 2, "shuffle": False}),
    ):
        weights = model()
        with pytest.raises(ValueError, match=r"within an epoch of.*'examples': 6.*end of an epoch"):
            fit(weights, objective, *arrays, **change, **settings)
        assert not np.any(weights.slope)
    fit(model(), objective, X, Y, batch_size=2, **settings)
    history = fit(model(), objective, X[:5], Y[:5], batch_size=3, **{**settings, "epochs": 3})
    assert len(history) == 3
