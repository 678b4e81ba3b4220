"""A backend that works, and one that has something to say: lists, of which it makes arrays."""

import numpy as np

from pycograd.plugins.api import Backend, Probe


class Cell:
    """A foreign array: NumPy's, out of NumPy's reach."""

    def __init__(self, array):
        self.array = np.asarray(array)
        self.shape = self.array.shape


def lowered(f):
    def run(*operands, **params):
        return Cell(f(*[x.array if isinstance(x, Cell) else x for x in operands], **params))

    return run


class Good(Backend):
    name = "good"
    probes = 0

    def probe(self):
        type(self).probes += 1
        return Probe(True, framework_version="3.1", devices=("cpu", "gpu:0", "gpu:1"))

    def devices(self):
        return ("cpu", "gpu:0", "gpu:1")

    def from_numpy(self, array, device=None):
        return Cell(array)

    def to_numpy(self, array):
        return array.array

    def is_array(self, x):
        return isinstance(x, Cell)

    def dtype_of(self, array):
        return array.array.dtype

    def cast(self, array, dtype):
        return Cell(array.array.astype(dtype))

    lowerings = {
        "sin": lowered(np.sin),
        "cos": lowered(np.cos),
        "add": lowered(np.add),
        "multiply": lowered(np.multiply),
        "sum": lowered(lambda x, axis, keepdims: np.sum(x, axis=axis, keepdims=keepdims)),
        "broadcast_to": lowered(lambda x, shape: np.broadcast_to(x, shape)),
        "expand_dims": lowered(lambda x, axis: np.expand_dims(x, axis)),
    }


class Torch(Good):
    name = "torch"


class Nowhere(Good):
    name = "cupy"

    def probe(self):
        reason = "cupy 14.2 found no usable CUDA device (cudaErrorInsufficientDriver)"
        return Probe(False, reason, "run on a CUDA machine", framework_version="14.2")
