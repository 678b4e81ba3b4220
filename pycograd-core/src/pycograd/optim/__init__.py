"""Optimisers, learning-rate schedules, and gradients kept in bounds."""

from pycograd.optim.clip import clip_grad_norm
from pycograd.optim.optimizer import Optimizer
from pycograd.optim.optimizers import SGD, Adafactor, Adam, AdamW, Lion, sgd_update
from pycograd.optim.schedules import constant_lr, cosine_decay, linear_warmup, step_decay

__all__ = [
    "Optimizer",
    "SGD",
    "Adam",
    "AdamW",
    "Lion",
    "Adafactor",
    "sgd_update",
    "clip_grad_norm",
    "constant_lr",
    "step_decay",
    "cosine_decay",
    "linear_warmup",
]
