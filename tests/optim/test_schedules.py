"""Learning-rate schedules against their closed forms and torch's schedulers."""

import itertools
import pickle

import numpy as np
import pytest

from pycograd.optim import constant_lr, cosine_decay, linear_warmup, step_decay

STEPS = range(1, 41)


def torch_rates(make):
    torch = pytest.importorskip("torch")
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule, rates = make(torch.optim.lr_scheduler, opt), []
    for _ in STEPS:
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule.step()
    return rates


def test_cosine_decay_is_torchs():
    theirs = torch_rates(lambda s, opt: s.CosineAnnealingLR(opt, T_max=40, eta_min=0.01))
    np.testing.assert_allclose([cosine_decay(0.3, 40, 0.01)(t) for t in STEPS], theirs, rtol=1e-9)


def test_step_decay_is_torchs():
    theirs = torch_rates(lambda s, opt: s.StepLR(opt, step_size=7, gamma=0.5))
    np.testing.assert_allclose([step_decay(0.3, 0.5, 7)(t) for t in STEPS], theirs, rtol=1e-12)


def test_cosine_decay_falls_from_end_to_end_and_stays():
    rates = [cosine_decay(1.0, 100, 0.1)(t) for t in range(1, 200)]
    assert rates[0] == 1.0 and rates[50] == pytest.approx(0.55)
    assert all(a > b for a, b in itertools.pairwise(rates[:101]))
    assert rates[100:] == pytest.approx([0.1] * 99)


def test_warmup_rises_evenly_to_what_follows():
    rates = [linear_warmup(cosine_decay(2.0, 10), 5, start=1.0)(t) for t in range(1, 17)]
    assert rates[:5] == pytest.approx([1.2, 1.4, 1.6, 1.8, 2.0])
    assert rates[5:] == pytest.approx([cosine_decay(2.0, 10)(t) for t in range(1, 12)])
    assert linear_warmup(0.5, 10)(1000) == 0.5


@pytest.mark.parametrize(
    "schedule",
    [constant_lr(0.1), step_decay(0.1, 0.5, 3), cosine_decay(0.1, 9), linear_warmup(0.1, 4)],
)
def test_schedules_pickle(schedule):
    again = pickle.loads(pickle.dumps(schedule))
    assert [again(t) for t in STEPS] == [schedule(t) for t in STEPS]


@pytest.mark.parametrize(
    "make",
    [lambda: step_decay(1, 0.5, 0), lambda: cosine_decay(1, 0), lambda: linear_warmup(1, -1)],
)
def test_lengths_must_be_positive(make):
    with pytest.raises(ValueError, match="must be positive"):
        make()
