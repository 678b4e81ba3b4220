"""Special functions: those that torch has, and those that are a formula of these.

What neither holds for is refused; see `lowerings.REFUSED`.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from pycograd.plugins.api import UnsupportedDtypeError
from pycograd_torch.lowerings.common import Lowering, joined, together

sp = torch.special
_TERMS = 30  # of sinc's power series, to the last digit up to |pi x| = 6
_ANGLES = [(i + 0.5) * (math.pi / 128) for i in range(64)]  # of a quarter turn


# -- of NumPy --------------------------------------------------------------------------------------
def _order(y: Any) -> int:
    return int(y)


def _sinc_derivative(x: Any, y: Any) -> Any:
    """The y-th derivative of sinc: its power series near 0, a recursion elsewhere."""
    (x,) = together(x)
    order = _order(y)
    u = math.pi * x
    near = torch.abs(u) < order + 2.0
    small, large = torch.where(near, u, 0), torch.where(near, 1, u)
    odd = order % 2
    series: Any = torch.zeros_like(x)
    term = (-1.0) ** ((order + odd) // 2) * (small if odd else torch.ones_like(small))
    for m in range(odd, odd + 2 * _TERMS, 2):
        series = series + term / (m + order + 1)
        term = -term * small * small / ((m + 1) * (m + 2))
    # u f^(n) + n f^(n-1) is the n-th derivative of sin, from u f = sin(u)
    far = torch.sin(large) / large
    for n in range(1, order + 1):
        turned = (torch.sin, torch.cos)[n % 2](large) * (-1) ** (n // 2)
        far = (turned - n * far) / large
    return torch.where(near, series, far) * math.pi**order


def _bessel_i(x: Any, y: Any) -> Any:
    """I_y(x), the mean of exp(x cos a) cos(y a) over all angles a: DLMF 10.32.3."""
    (x,) = together(x)
    order = _order(y)
    total, even = torch.zeros_like(x), (torch.cosh, torch.sinh)[order % 2]
    for angle in _ANGLES:
        weight = math.cos(order * angle) / len(_ANGLES)
        total = total + even(x * math.cos(angle)) * weight
    return total


# -- of scipy --------------------------------------------------------------------------------------
def _gammasgn(x: Any) -> Any:
    even = torch.remainder(torch.floor(x), 2) == 0
    return torch.where((x > 0) | even, 1.0, -1.0).to(x.dtype)


def _gamma(x: Any) -> Any:
    pole = (x <= 0) & (torch.floor(x) == x)
    found = _gammasgn(x) * torch.exp(torch.lgamma(x))
    return torch.where(pole & (x < 0), math.nan, torch.where(pole, 1 / x, found))


def _rgamma(x: Any) -> Any:
    pole = (x <= 0) & (torch.floor(x) == x)
    inside = torch.where(pole, 1, x)
    return torch.where(pole, 0, _gammasgn(inside) * torch.exp(-torch.lgamma(inside)))


def _beta(x: Any, y: Any) -> Any:
    sign = _gammasgn(x) * _gammasgn(y) * _gammasgn(x + y)
    return sign * torch.exp(_betaln(x, y))


def _betaln(x: Any, y: Any) -> Any:
    return torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(x + y)


def _loggamma(x: Any) -> Any:
    return torch.where(x > 0, torch.lgamma(x), torch.where(x == 0, math.inf, math.nan))


def _binom(n: Any, k: Any) -> Any:
    return _gamma(n + 1) * _rgamma(k + 1) * _rgamma(n - k + 1)


def _polygamma(n: Any, x: Any) -> Any:
    order = _order(n if not isinstance(n, torch.Tensor) else n.reshape(-1)[0])
    if isinstance(n, torch.Tensor) and not bool((n == order).all()):
        raise NotImplementedError("polygamma: torch takes one order for all entries")
    (x,) = together(x)
    shape = x.shape if not isinstance(n, torch.Tensor) else joined(x, n)[0].shape
    if order == 0:
        return torch.digamma(x).expand(shape)
    if x.is_complex():
        raise UnsupportedDtypeError("polygamma: torch has none of complex numbers")
    # DLMF 5.15.1; torch's own is less precise, but knows numbers on the left.
    factor = math.factorial(order) * (-1) ** (order + 1)
    right = factor * sp.zeta(torch.full_like(x, order + 1.0), torch.where(x > 0, x, 1))
    return torch.where(x > 0, right, sp.polygamma(order, x)).expand(shape)


def _gamma_density(x: Any, y: Any) -> Any:
    """y^x exp(-y) / gamma(x) / y, by Stirling's series (DLMF 5.11.1) where x is large."""
    large = x > 50
    b = torch.where(large, x, 50.0)
    r = (y - b) / b
    series = 1 / (12 * b) - 1 / (360 * b**3) + 1 / (1260 * b**5) - 1 / (1680 * b**7)
    stirling = 0.5 * torch.log(b / (2 * math.pi)) - series - b * (r - torch.log1p(r))
    small = torch.where(large, 1.0, x)
    log = torch.where(large, stirling, sp.xlogy(small, y) - y - torch.lgamma(small))
    edge = torch.where(x > 1, 0.0, torch.where(x == 1, 1.0, math.inf))
    return torch.where(y == 0, edge, torch.exp(log) / y)


def _xlogy(x: Any, y: Any) -> Any:
    return sp.xlogy(x, y)


def _rel_entr(x: Any, y: Any) -> Any:
    inside = (x > 0) & (y > 0)
    log = torch.log(torch.where(inside, x, 1)) - torch.log(torch.where(inside, y, 1))
    edge = torch.where((x == 0) & (y >= 0), 0.0, math.inf).to(x.dtype)
    found = torch.where(inside, x * log, edge)
    return torch.where(torch.isnan(x) | torch.isnan(y), math.nan, found)


def _kl_div(x: Any, y: Any) -> Any:
    return torch.where(torch.isinf(_rel_entr(x, y)), math.inf, _rel_entr(x, y) - x + y)


def _boxcox1p(x: Any, y: Any) -> Any:
    log = torch.log1p(x)
    safe = torch.where(y == 0, 1, y)
    return torch.where(y == 0, log, torch.expm1(y * log) / safe)


def _boxcox(x: Any, y: Any) -> Any:
    log = torch.log(x)
    safe = torch.where(y == 0, 1, y)
    return torch.where(y == 0, log, torch.expm1(y * log) / safe)


def _inv_boxcox(x: Any, y: Any) -> Any:
    safe = torch.where(y == 0, 1, y)
    return torch.where(y == 0, torch.exp(x), torch.exp(torch.log1p(y * x) / safe))


def _inv_boxcox1p(x: Any, y: Any) -> Any:
    safe = torch.where(y == 0, 1, y)
    return torch.where(y == 0, torch.expm1(x), torch.expm1(torch.log1p(y * x) / safe))


def _exprel(x: Any) -> Any:
    safe = torch.where(x == 0, 1, x)
    return torch.where(x == 0, 1.0, torch.expm1(x) / safe)


def _huber(x: Any, y: Any) -> Any:
    size = torch.abs(y)
    found = torch.where(size <= x, 0.5 * y * y, x * (size - 0.5 * x))
    return torch.where(x < 0, math.inf, found)


def _pseudo_huber(x: Any, y: Any) -> Any:
    ratio = y / torch.where(x == 0, 1, x)
    inner = ratio * ratio / (1 + torch.sqrt(1 + ratio * ratio))
    return torch.where(x < 0, math.inf, torch.where(x == 0, 0, x * x * inner))


def _radian(d: Any, m: Any, s: Any) -> Any:
    return (d + m / 60 + s / 3600) * (math.pi / 180)


def _log_expit(x: Any) -> Any:
    return torch.nn.functional.logsigmoid(x)


def _of_floats(function: Lowering) -> Lowering:
    return lambda *xs: function(*together(*xs))


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    cos = lambda x: -2 * torch.square(torch.sin(x / 2))
    of_many: dict[str, Lowering] = {
        # gamma functions
        "gamma": _gamma, "gammaln": torch.lgamma, "psi": torch.digamma, "loggamma": _loggamma,
        "binom": _binom, "gammasgn": _gammasgn,
        "rgamma": _rgamma, "beta": _beta, "betaln": _betaln,
        "poch": lambda x, y: _gamma(x + y) * _rgamma(x),
        "gammainc": sp.gammainc, "gammaincc": sp.gammaincc,
        "chdtr": lambda v, x: sp.gammainc(v / 2, x / 2),
        "chdtrc": lambda v, x: sp.gammaincc(v / 2, x / 2),
        "gdtr": lambda a, b, x: sp.gammainc(b, a * x),
        "gdtrc": lambda a, b, x: sp.gammaincc(b, a * x),
        "pdtr": lambda k, m: sp.gammaincc(torch.floor(k) + 1, m),
        "pdtrc": lambda k, m: sp.gammainc(torch.floor(k) + 1, m),
        "zeta": sp.zeta, "zetac": lambda x: sp.zeta(x, torch.ones_like(x)) - 1,
        "gamma_density": _gamma_density,
        # error functions
        "erf": torch.erf, "erfc": torch.erfc, "erfinv": torch.erfinv, "erfcx": sp.erfcx,
        "erfcinv": lambda x: -sp.ndtri(x / 2) * math.sqrt(0.5),
        "ndtr": sp.ndtr, "ndtri": sp.ndtri, "log_ndtr": sp.log_ndtr,
        # Bessel functions
        "scipy_i0": sp.i0, "i1": sp.i1, "i0e": sp.i0e, "i1e": sp.i1e,
        "k0": sp.modified_bessel_k0, "k1": sp.modified_bessel_k1,
        "k0e": sp.scaled_modified_bessel_k0, "k1e": sp.scaled_modified_bessel_k1,
        # elementary functions
        "scipy_expm1": torch.expm1, "scipy_log1p": torch.log1p, "scipy_exp2": torch.exp2,
        "exp10": lambda x: torch.exp(x * math.log(10.0)), "cosm1": cos, "exprel": _exprel,
        "powm1": lambda x, y: torch.expm1(y * torch.log(x)),
        "expit": torch.sigmoid, "log_expit": _log_expit, "logit": torch.logit,
        "xlogy": _xlogy, "xlog1py": sp.xlog1py, "entr": sp.entr, "rel_entr": _rel_entr,
        "kl_div": _kl_div, "boxcox": _boxcox, "boxcox1p": _boxcox1p, "inv_boxcox": _inv_boxcox,
        "inv_boxcox1p": _inv_boxcox1p, "huber": _huber, "pseudo_huber": _pseudo_huber,
        "radian": _radian, "scipy_round": torch.round,
        "sindg": lambda x: torch.sin(torch.deg2rad(x)),
        "cosdg": lambda x: torch.cos(torch.deg2rad(x)),
        "tandg": lambda x: torch.tan(torch.deg2rad(x)),
        "cotdg": lambda x: 1 / torch.tan(torch.deg2rad(x)),
        # of NumPy
        "sinc": torch.sinc, "i0": sp.i0,
    }  # fmt: skip
    made = {name: _of_floats(f) for name, f in of_many.items()}
    made |= {
        "polygamma": _polygamma,
        "sinc_derivative": _sinc_derivative,
        "bessel_i": _bessel_i,
    }
    return made
