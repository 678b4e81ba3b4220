"""Training: mini-batches, loops, what is done between epochs, a progress bar, accuracy."""

from pycograd.training.callbacks import EarlyStopping
from pycograd.training.checkpoints import Checkpoint
from pycograd.training.data import DataLoader, batches
from pycograd.training.fitting import fit, train
from pycograd.training.history import History
from pycograd.training.loop import gradient_descent
from pycograd.training.metrics import accuracy
from pycograd.training.precision import MixedPrecision
from pycograd.training.progress import progress

__all__ = [
    "DataLoader",
    "batches",
    "gradient_descent",
    "train",
    "fit",
    "History",
    "EarlyStopping",
    "Checkpoint",
    "MixedPrecision",
    "accuracy",
    "progress",
]
