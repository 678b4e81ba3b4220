"""Special functions: the ufuncs of `scipy.special`, and what it writes in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special

from pycograd import nn
from pycograd.scipy.dispatch import stands_for


@stands_for(scipy.special.logsumexp)
def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """`log(sum(b * exp(a)))`, as `scipy.special.logsumexp`."""
    return nn.logsumexp(a, axis=axis, keepdims=keepdims)
