"""Training: optimisers, learning-rate schedules, mini-batches, a loop, a progress bar, accuracy."""

from pycograd.train.clip import clip_grad_norm
from pycograd.train.data import DataLoader, batches
from pycograd.train.loop import gradient_descent
from pycograd.train.metrics import accuracy
from pycograd.train.optimizer import Optimizer
from pycograd.train.optimizers import (
    SGD,
    Adafactor,
    Adam,
    AdamW,
    Lion,
    sgd_update,
)
from pycograd.train.progress import progress
from pycograd.train.schedules import constant_lr, cosine_decay, linear_warmup, step_decay

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
    "DataLoader",
    "batches",
    "gradient_descent",
    "accuracy",
    "progress",
]
