"""Samples for `ops.counting`: they bind its primitives where sizes are symbols."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Sample

_X = np.random.default_rng(0).standard_normal((3, 2))

SAMPLES = [
    Sample("size", lambda x: np.sum(x) / x.shape[0], [_X]),
    Sample("size", lambda x: x.size * x - np.sqrt(x.shape[0]), [_X], name="alone"),
    Sample("size", lambda x: np.where(x > 0, x.shape[0], x), [_X], name="branch"),
    Sample("positions", lambda x: np.tril(x @ x.T) + np.triu(x @ x.T, 1), [_X], name="triangles"),
    *[
        Sample("positions", f, [_X], name=name)
        for name, f in {
            "arange": lambda x: np.arange(x.shape[0], like=x)[:, None] * x,
            "steps": lambda x: np.arange(2 * x.shape[0], 0, -2, like=x)[:, None] * x,
            "floats": lambda x: np.arange(1.0, x.shape[0] + 1, like=x) @ x,
            "eye": lambda x: np.eye(x.shape[0], like=x) @ x,
            "columns": lambda x: np.eye(x.shape[0], 4, 1, np.float32, like=x).T @ x,
            "identity": lambda x: np.identity(x.shape[0], like=x) @ x,
            "tri": lambda x: np.tri(x.shape[0], x.shape[0], -1, like=x) @ x,
        }.items()
    ],
]
