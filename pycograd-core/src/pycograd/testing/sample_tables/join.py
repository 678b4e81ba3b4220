"""Samples of `pycograd.ops.join`."""

from __future__ import annotations

import numpy as np

from pycograd.core.primitive import REGISTRY
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("join")

_X, _Y, _TALL = draw.normal(2, 3), draw.normal(2, 3), draw.normal(4, 3)
_PLAIN = draw.normal(2, 3)
_EMPTY = np.zeros((0, 3))

SAMPLES = [
    Sample(
        "concatenate",
        lambda x, y: np.concatenate((x, y)),
        [_X, _TALL],
        kinks=[Kink([_EMPTY, _EMPTY], [_EMPTY, _EMPTY])],
    ),
    Sample("concatenate", lambda x, y: np.concatenate((x, y, x), axis=1), [_X, _Y]),
    Sample("concatenate", lambda x: np.concatenate((_PLAIN, x, x), axis=-1), [_X]),
    Sample("concatenate", lambda x, y: np.concatenate((x, y), axis=None), [_X, _TALL[0]]),
    Sample("concatenate", lambda x: np.concatenate((x, [[1, 2, 3]])), [_X], name="integers"),
    Sample("concatenate", lambda x: np.concatenate(x, axis=-1), [_X[:, :, None]], symbolic=False),
    Sample("concatenate", lambda x, y: np.vstack((x, y, y[0])), [_X, _TALL]),
    Sample("concatenate", lambda x, y: np.hstack((x, y)), [_X, _Y]),
    Sample("concatenate", lambda x, y: np.hstack((x, y)), [_X[0], _Y[0, :2]], symbolic=False),
    Sample("concatenate", lambda x, y: np.dstack((x, y)), [_X, _Y]),
    Sample("concatenate", lambda x, y: np.column_stack((x, y)), [_X[:, 0], _Y]),
    Sample("concatenate", lambda x, y: np.append(x, y), [_X, _TALL[0]]),
    Sample("concatenate", lambda x, y: np.append(x, y, axis=0), [_X, _TALL]),
    Sample("concatenate", lambda x, y: np.block([[x, y], [_PLAIN, 2 * x]]), [_X, _Y]),
    Sample("concatenate", lambda x, y: np.block([x, y]), [_X[0], np.array(0.7)], symbolic=False),
    Sample("concatenate", lambda x: np.roll(x, 2, axis=0), [_TALL], name="roll"),
    Sample("concatenate", lambda x: np.roll(x, (1, -2), axis=(0, 1)), [_X], name="roll-both"),
    Sample("concatenate", lambda x: np.roll(x, -2), [_X], name="roll-all"),
    Sample(
        "stack", lambda x, y: np.stack((x, y)), [_X, _Y], kinks=[Kink([_EMPTY] * 2, [_EMPTY] * 2)]
    ),
    Sample("stack", lambda x, y: np.stack((x, _PLAIN, y, x), axis=1), [_X, _Y]),
    Sample("stack", lambda x, y: np.stack([x[0, 0], y[1, 1], x[1, 2]], -1), [_X, _Y]),
    Sample("stack", lambda x: np.stack([np.array(1.5), x, x]), [np.array(0.7)]),
    # what joins are taken apart by
    Sample("split", lambda x: REGISTRY["split"](x, axis=0, sizes=(1, 3)), [_TALL], symbolic=False),
    Sample("split", lambda x: REGISTRY["split"](x, axis=1, sizes=(2, 0, 1)), [_TALL]),
    Sample("unstack", lambda x: REGISTRY["unstack"](x, axis=0), [_X], symbolic=False),
    Sample("unstack", lambda x: REGISTRY["unstack"](x, axis=1), [_X]),
    # NumPy's own spellings, which are views
    Sample(
        "index", lambda x: np.array_split(x, 3, axis=1), [draw.normal(2, 5)], name="array_split"
    ),
    Sample("index", lambda x: np.split(x, [1, 3]), [_TALL], name="split", symbolic=False),
    Sample("index", lambda x: np.vsplit(x, 2), [_TALL], name="vsplit", symbolic=False),
    Sample("index", lambda x: np.hsplit(x, [1]), [_X], name="hsplit"),
    Sample("index", lambda x: np.dsplit(x, 2), [draw.normal(2, 3, 4)], name="dsplit"),
    *[
        Sample("index", lambda x: np.unstack(x, axis=1), [_X], name="unstack")
        for _ in (1,)
        if hasattr(np, "unstack")  # of NumPy 2.1
    ],
]
