"""NumPy's names that no value of a transform can meet, and what to write in their place."""

from __future__ import annotations

import numpy as np

from pycograd.core.spelling import REFUSED

_TO_FILES = "it writes numbers to a file; write stop_gradient(x), outside vmap"
_DATES = "dates and times have no derivative; compute with them before the function is transformed"
_DOMAIN = "it decides by the values whether its result is complex; write {} where that is wanted"

REFUSED.update(
    {
        **{f: _TO_FILES for f in (np.save, np.savez, np.savez_compressed, np.savetxt)},
        **{
            f: _DATES
            for f in (
                np.busday_count, np.busday_offset, np.is_busday, np.datetime_as_string, np.isnat,
            )
        },
        **{
            getattr(np.emath, name): _DOMAIN.format(f"np.{name}(x + 0j)")
            for name in ("sqrt", "log", "log2", "log10", "arccos", "arcsin", "arctanh")
        },
        np.emath.power: _DOMAIN.format("np.power(x + 0j, y)"),
        np.emath.logn: _DOMAIN.format("np.log(x + 0j) / np.log(n)"),
    }
)  # fmt: skip
