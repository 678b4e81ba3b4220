"""`train` and `fit`: loops over the steps of a model's weights."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from pycograd.core.errors import NanError
from pycograd.core.modes import debug_nans
from pycograd.core.tree import tree_leaves, tree_map, tree_paths
from pycograd.optim.clip import clip_grad_norm
from pycograd.optim.optax import as_optimizer
from pycograd.parameters import ParamDict
from pycograd.training.callbacks import Callback, Epoch
from pycograd.training.checkpoints import Checkpoint, Place
from pycograd.training.data import DataLoader, positive
from pycograd.training.history import History
from pycograd.training.interrupts import Interrupts
from pycograd.training.precision import MixedPrecision
from pycograd.training.progress import Progress, progress
from pycograd.transforms.wrap import name_of


def train(
    weights: ParamDict,
    objective: Callable[..., Any],
    steps: int,
    opt: Any,
    *,
    backend: Any = None,
    jit: bool = False,
) -> tuple[float, float]:
    """Takes steps of an optimiser on one objective without arguments.

    Arguments:
        weights: the model, which is changed in place.
        objective: a real scalar function of its weights.
        steps: how many, one or more.
        opt: an optimiser, an optax transformation, or a learning rate.
        backend, jit: as in `weights.grad`.

    Returns:
        `(first, last)`: the loss before the first step and before the last.

    Raises:
        ValueError: no steps.
        NanError: the loss or a gradient became nan or infinite; it names the first operation that
            made a nan, and the weights are those before that step.

    >>> import numpy as np
    >>> weights = params(w=np.zeros(2))
    >>> first, last = train(weights, lambda: np.sum((w - 3.0) ** 2), 50, 0.1)
    >>> first, round(last, 6)
    (18.0, 0.0)
    """
    steps = positive("train", "steps", steps)
    step = _Step(weights, objective, opt, {"backend": backend, "jit": jit}, "train")
    first = last = math.nan
    bar = progress(range(steps), description="train")
    with Interrupts() as interrupts:
        for i in bar:
            (last,) = step([()], f"step {i + 1}")
            first = last if i == 0 else first
            bar.update(loss=last)
            if interrupts.asked():
                raise KeyboardInterrupt
    return first, last


class _Step:
    """One change of the weights, by the gradients of one or more batches.

    Arguments:
        weights, objective: as for `fit`.
        opt: what can be given as an optimiser.
        options: of `weights.grad`.
        asked: the function that errors name.
        clip: the most that the norm of the gradients may be.
        precision: of the passes, if it is not that of the weights.
    """

    def __init__(
        self,
        weights: ParamDict,
        objective: Callable[..., Any],
        opt: Any,
        options: dict[str, Any],
        asked: str,
        clip: float | None = None,
        precision: MixedPrecision | None = None,
    ) -> None:
        if not isinstance(weights, ParamDict):
            raise TypeError(
                f"{asked}: the weights are a ParamDict, which params(...) makes, not a"
                f" {type(weights).__name__}"
            )
        self.weights, self.objective, self.asked = weights, objective, asked
        self.optimizer, self.options = as_optimizer(opt), options
        self.clip, self.precision = clip, precision

    def __call__(self, parts: Sequence[tuple[Any, ...]], where: str) -> list[float]:
        """The losses of batches, each a tuple of arguments, before the step."""
        losses, grads, overflow = list[float](), None, False
        for args in parts:
            one, slopes = self._pass(args)
            if not math.isfinite(one):
                self._refuse(f"loss is {one} at {where}", args)
            losses.append(one)
            overflow = overflow or slopes is None
            if not overflow:
                grads = slopes if grads is None else tree_map(np.add, grads, slopes)
        if overflow:
            return losses
        if len(parts) > 1:
            grads = tree_map(lambda g: g / len(parts), grads)
        if not _are_finite(grads):
            bad = [not np.all(np.isfinite(slope)) for slope in tree_leaves(grads)]
            name = tree_paths(grads)[bad.index(True)]
            self._refuse(f"gradient of {name!r} is not finite at {where}", *parts)
        if self.clip is not None:
            grads = clip_grad_norm(grads, self.clip)
        self.weights.step(grads, self.optimizer)
        return losses

    def _pass(self, args: tuple[Any, ...]) -> tuple[float, Any]:
        """The loss of a batch and its gradients; None in their place where they overflowed."""
        if self.precision is not None:
            return self.precision.grad(self.weights, self.objective, *args, **self.options)
        value, grads = self.weights.grad(self.objective, *args, **self.options)
        return float(value), grads

    def _refuse(self, what: str, *parts: tuple[Any, ...]) -> NoReturn:
        """Raises for what is no number, with the operation that first made a nan."""
        said, value, good = f"{self.asked}: the {what}, whose step was not taken", math.nan, True
        for args in parts:
            try:
                with debug_nans():
                    loss, grads = self.weights.grad(self.objective, *args)
            except NanError as error:
                raise NanError(f"{said}. {error}", line="") from None
            value = float(loss)
            good = good and math.isfinite(value) and _are_finite(grads)
        raise NanError(f"{said}; no operation made a nan, {self._too_large(value, good)}")

    def _too_large(self, value: float, good: bool) -> str:
        """What to do about an infinity.

        Arguments:
            value: the loss in the dtypes of the weights.
            good: whether all is finite in these.
        """
        if self.precision is not None and good:
            return (
                f"and without precision={self.precision.dtype.name!r} the loss is {value:.6g}: what"
                " it is computed from is too large for 16 bits; take bfloat16, or smaller values"
            )
        return (
            "so that a value has become too large, or a slope is infinite, as that of sqrt at 0:"
            " lower the learning rate, clip the gradients, or keep away from there"
        )


def _are_finite(grads: Any) -> bool:
    return all([np.all(np.isfinite(slope)) for slope in tree_leaves(grads)])


def fit(
    weights: ParamDict,
    objective: Callable[..., Any],
    *arrays: Any,
    epochs: int,
    opt: Any,
    batch_size: int | None = None,
    validation: Any = None,
    callbacks: Callback | Sequence[Callback] = (),
    shuffle: bool = True,
    rng: Any = None,
    drop_last: bool = False,
    clip: float | None = None,
    accumulate: int = 1,
    precision: Any = None,
    checkpoint: Any = None,
    backend: Any = None,
    jit: bool = False,
) -> History:
    """Trains a model on arrays of examples.

    Arguments:
        weights: the model, which is changed in place.
        objective: a real scalar function of a batch, the mean over its examples: of an array if
            one was given, of a tuple if several were.
        arrays: of one length, the examples along axis 0; or one `DataLoader`.
        epochs: how often to go through the examples.
        opt: an optimiser, an optax transformation, or a learning rate.
        batch_size: examples in a batch; all of them if left out.
        validation: arrays like `arrays` (a tuple of as many, or one), or a `DataLoader`, on which
            the objective is measured after each epoch; or a function without arguments that
            returns a number.
        callbacks: one or several, called with an `Epoch` after each; `epoch.stop()` ends the run.
        shuffle, rng, drop_last: as for `DataLoader`, which has its own.
        clip: the most that the joint norm of the gradients may be.
        accumulate: how many batches make one step, by the mean of their gradients.
        precision: `"float16"` or `"bfloat16"`, or a `MixedPrecision`: passes are in 16 bits, and a
            step whose gradients overflow is left out.
        checkpoint: a path, or a `Checkpoint`: the state of the run is written there after each
            epoch and after Ctrl-C; if the file is there already, the run goes on from it.
        backend, jit: as in `weights.grad`.

    Returns:
        A `History`: losses, validation and times by epoch; it plots itself.

    Raises:
        ValueError: settings that do not fit, or fewer examples than `batch_size`.
        NanError: the loss or a gradient became nan or infinite; it names the first operation that
            made a nan, and the weights are those before that step.
        KeyboardInterrupt: after Ctrl-C, at the end of the step that was being taken.
        ParameterError: the checkpoint is of another model; nothing has changed.

    >>> import numpy as np
    >>> x = np.linspace(-1.0, 1.0, 8)
    >>> weights = params(a=0.0, b=0.0)
    >>> objective = lambda batch: np.mean((a * batch[0] + b - batch[1]) ** 2)
    >>> history = fit(weights, objective, x, 2 * x + 1, epochs=60, opt=0.3, batch_size=4, rng=0)
    >>> np.round(weights.a, 3), np.round(weights.b, 3)
    (np.float64(2.0), np.float64(1.0))
    """
    loader = _loader(arrays, batch_size, shuffle, rng, drop_last)
    epochs, accumulate = (
        positive("fit", "epochs", epochs),
        positive("fit", "accumulate", accumulate),
    )
    callbacks = _callbacks(callbacks)
    options = {"backend": backend, "jit": jit}
    _check_objective(objective, loader)
    if precision is not None and not isinstance(precision, MixedPrecision):
        precision = MixedPrecision(precision)
    step = _Step(weights, objective, opt, options, "fit", clip, precision)
    measure = _measure(weights, objective, validation, loader)
    place = Place(loader, precision, callbacks)
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    if checkpoint is not None:
        checkpoint.resume(weights, step.optimizer, place)
    done = (place.epoch - 1) * len(loader) + len(place.sizes)
    bar = progress(range(epochs * len(loader) - done), description="fit")
    # Closed here, for whoever keeps the traceback of an error keeps what is in its frames.
    with Interrupts() as interrupts, contextlib.closing(iter(bar)) as ticks:
        next(ticks, None)  # it is seen from the beginning
        while not place.over(epochs):
            _epoch(step, place, accumulate, interrupts, ticks, bar)
            if not loader.given:
                _close(step, place, measure, callbacks)
            if checkpoint is not None and (interrupts.asked() or checkpoint.due(place, epochs)):
                checkpoint.save(weights, step.optimizer, place)
            if interrupts.asked():
                raise KeyboardInterrupt(*_how_to_go_on(checkpoint, place))
    return place.history


def _how_to_go_on(checkpoint: Checkpoint | None, place: Place) -> tuple[str, ...]:
    if checkpoint is None:
        return ()
    return (
        f"fit stopped in epoch {place.epoch}; the same call goes on from there, by what is in"
        f" {checkpoint.path}",
    )


def _epoch(
    step: _Step,
    place: Place,
    accumulate: int,
    interrupts: Interrupts,
    ticks: Iterator[int],
    bar: Progress[int],
) -> None:
    """The steps of an epoch, from where it stands to its end or to an interrupt."""
    group: list[tuple[Any, ...]] = []
    place.begun = time.monotonic()
    for batch in place.loader:
        group.append((batch,))
        place.sizes.append(_size(batch))
        whole = len(group) == accumulate or not place.loader.given
        if whole:
            losses = step(group, f"epoch {place.epoch}, batch {len(place.sizes)}")
            place.losses += losses
            group = []
            bar.update(loss=sum(losses) / len(losses))
        next(ticks, None)
        if whole and interrupts.asked():
            return


def _close(
    step: _Step,
    place: Place,
    measure: Callable[[], float] | None,
    callbacks: Sequence[Callback],
) -> None:
    """The end of an epoch: what is measured, and the callbacks."""
    history = place.history
    mean = float(np.average(place.losses, weights=place.sizes))
    history.loss.append(mean)
    checked = None if measure is None else measure()
    if checked is not None:
        history.validation.append(checked)
    history.seconds.append(time.monotonic() - place.begun)
    epoch = Epoch(place.epoch, mean, checked, step.weights, step.optimizer, history)
    place.epoch, place.losses, place.sizes = place.epoch + 1, [], []
    for callback in callbacks:
        callback(epoch)


def _callbacks(given: Any) -> Sequence[Callback]:
    """The callbacks, in a sequence."""
    given = (given,) if callable(given) else given
    for callback in given:
        if isinstance(callback, type):
            name = callback.__name__
            raise TypeError(f"fit: a callback is an object, not the class {name}: write {name}()")
        if not callable(callback):
            raise TypeError(
                f"fit: a callback is a function of an Epoch, not a {type(callback).__name__}"
            )
    return tuple(given)


def _check_objective(objective: Any, loader: DataLoader) -> None:
    """Refuses an objective that cannot be called with a batch, before there is a step."""
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):  # no function, or one of C
        return
    try:
        signature.bind(None)
    except TypeError:
        several = loader.arrays > 1
        batch = f"a tuple of {loader.arrays} arrays" if several else "an array"
        parts = "x, y = batch" if several else "x = batch"
        raise TypeError(
            f"fit: the objective {name_of(objective)}{signature} is called with one argument, the"
            f" batch, which is {batch}: write def loss(batch), which begins with {parts}"
        ) from None


def _loader(
    arrays: tuple[Any, ...], batch_size: int | None, shuffle: bool, rng: Any, drop_last: bool
) -> DataLoader:
    if len(arrays) == 1 and isinstance(arrays[0], DataLoader):
        given = {
            "batch_size": batch_size is not None,
            "shuffle": not shuffle and arrays[0].shuffle,
            "rng": rng is not None,
            "drop_last": drop_last,
        }
        for name in [name for name, is_given in given.items() if is_given]:
            raise ValueError(f"fit: a DataLoader has its own {name}; give it to the DataLoader")
        return arrays[0]
    if not arrays:
        raise ValueError("fit: give arrays of examples, or a DataLoader; train takes none")
    count = np.shape(arrays[0])[0] if np.ndim(arrays[0]) else 0
    if batch_size is not None and batch_size > count > 0:
        raise ValueError(
            f"fit: batch_size={batch_size} is more than the {count} examples there are; leave it"
            " out to take all of them at each step"
        )
    size = max(count, 1) if batch_size is None else batch_size
    return DataLoader(*arrays, batch_size=size, shuffle=shuffle, rng=rng, drop_last=drop_last)


def _size(batch: Any) -> int:
    return int(np.shape(batch[0] if type(batch) is tuple else batch)[0])


def _measure(
    weights: ParamDict, objective: Callable[..., Any], validation: Any, loader: DataLoader
) -> Callable[[], float] | None:
    """What is measured after each epoch."""
    if validation is None:
        return None
    if callable(validation):
        return functools.partial(_number, weights.bind(validation))
    checked = _unseen(validation, loader)
    bound = weights.bind(objective)

    def mean() -> float:
        found = [(float(bound(batch)), _size(batch)) for batch in checked]
        values, sizes = zip(*found)
        return float(np.average(values, weights=sizes))

    return mean


def _unseen(validation: Any, loader: DataLoader) -> DataLoader:
    """The examples to measure on, in batches like those that are trained on."""
    if isinstance(validation, DataLoader):
        unseen = validation
    else:
        several = type(validation) is tuple or (type(validation) is list and loader.arrays > 1)
        arrays = tuple(validation) if several else (validation,)
        count = min([np.shape(x)[0] if np.ndim(x) else 1 for x in arrays], default=0)
        if not count:
            raise ValueError("fit: there are no examples in the arrays given as validation")
        unseen = DataLoader(*arrays, batch_size=min(loader.batch_size, count))
    if unseen.arrays != loader.arrays:
        raise ValueError(
            f"fit: validation has {unseen.arrays} array{'s' * (unseen.arrays != 1)}, where"
            f" {loader.arrays} are trained on: give as many, in a tuple, a DataLoader or a function"
        )
    return unseen


def _number(run: Callable[[], Any]) -> float:
    """What a validation function measures."""
    found = run()
    try:
        return float(found)
    except (TypeError, ValueError):
        raise TypeError(
            f"fit: the function given as validation returned a {type(found).__name__}, not a number"
        ) from None
