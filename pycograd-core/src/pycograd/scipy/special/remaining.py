"""The ufuncs of `scipy.special` that have no rule: they run in every mode that needs no derivative.

To be imported last: it takes whatever the other modules have left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.aval import ufunc_dtype
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import UnsupportedOperationError
from pycograd.core.rules import Refused
from pycograd.core.spelling import UFUNCS, claim

_MOST = 4  # operands that an elementwise operation has


def _part(function: Any, i: int) -> Elementwise:
    """Result `i` of a ufunc, each of whose derivatives is an error."""
    return Elementwise(
        f"scipy.special.{function.__name__}",
        lambda *operands: function(*operands)[i] if function.nout > 1 else function(*operands),
        [Refused(f"operand {k + 1} of {function.nin}") for k in range(function.nin)],
        dtype=lambda *avals: ufunc_dtype(function, avals),
        spellings=(),
        register=False,
    )


def _refusing(function: Any) -> Any:
    def refused(*operands: Any) -> Any:
        raise UnsupportedOperationError(
            f"scipy.special.{function.__name__} has no rule for the values of a transform; give it"
            " one with custom_vjp, or make its arguments constants with stop_gradient(x)"
        )

    return refused


def _operation(function: Any) -> Any:
    if function.nin > _MOST:
        return _refusing(function)
    made = [_part(function, i) for i in range(function.nout)]
    if function.nout == 1:
        return made[0]
    return lambda *operands: tuple([part(*operands) for part in made])


REMAINING = [
    function
    for name in dir(sc)
    if isinstance(function := getattr(sc, name), np.ufunc) and function not in UFUNCS
]
for _function in REMAINING:
    claim(UFUNCS, _function, _operation(_function))
