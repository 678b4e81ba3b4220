"""`scipy.special` on differentiated values.

Its ufuncs reach our definitions by NumPy's protocol, `scipy.special.erf(x)`; so do the functions
that do little more than call one (`zeta`, `lambertw`, `jvp`). The others have counterparts here,
with scipy's signatures; every other public name here is scipy's own.

An operand without a rule (the order of a Bessel function) is an error where it is differentiated.
So is every operand of the ufuncs that have no rule at all: Mathieu and spheroidal wave functions,
non-central distributions, and what else `REMAINING` lists.

>>> import scipy.special
>>> grad(lambda x: scipy.special.expit(x))(0.0)
(0.25,)
"""

from importlib import import_module as _import_module
from typing import Any as _Any

import scipy.special as _scipy_special

from pycograd.scipy.special.functions import (
    comb as comb,
    factorial as factorial,
    log_softmax as log_softmax,
    logsumexp as logsumexp,
    multigammaln as multigammaln,
    perm as perm,
    polygamma as polygamma,
    softmax as softmax,
    spherical_in as spherical_in,
    spherical_jn as spherical_jn,
    spherical_kn as spherical_kn,
    spherical_yn as spherical_yn,
)

for _name in (
    "bessel", "distributions", "elementary", "errorfunctions", "gammafunctions", "incomplete",
    "integrals", "polynomials",
):  # fmt: skip
    _import_module(f"{__name__}.{_name}")
REMAINING = _import_module(f"{__name__}.remaining").REMAINING  # the ufuncs without a rule


def __getattr__(name: str) -> _Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_scipy_special, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_scipy_special.__all__})
